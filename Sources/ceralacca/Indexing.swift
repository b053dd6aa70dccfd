import ArgumentParser
import Operations

struct Index: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Looks at the provider index (indice dei gestori), and acts on it.",
    discussion: """
      EXAMPLES
        ceralacca index show --config ceralacca.yaml
        ceralacca index show pec.example.org --config ceralacca.yaml
        ceralacca index check new.ldif.p7m --config ceralacca.yaml
        ceralacca index fetch --config ceralacca.yaml
        ceralacca index export --signed --output own.ldif.p7m --config ceralacca.yaml
      """,
    subcommands: [Show.self, Check.self, Fetch.self, Export.self], defaultSubcommand: Show.self)

  /// Which index: the one a configuration names, or a file.
  struct Source: ParsableArguments {
    @Option(name: [.long, .short], help: "The configuration file (YAML), whose index it is.") var config: String?
    @Option(help: "PEM file with the certificates, or their authorities, that must have signed it; the configuration's otherwise.")
    var signers: String?
  }

  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows providers with their domains, service mailboxes and certificates.")
    @Argument(help: "A domain, an address or a part of a provider's name; all providers otherwise.") var name: String?
    @OptionGroup var source: Source
    @Option(help: "Another index file than the configuration's, LDIF or signed.") var file: String?
    @Flag(help: "Every domain instead of the first few.") var domains = false
    @Flag(help: "One JSON object on each line.") var json = false

    func validate() throws {
      guard source.config != nil || file != nil else { throw ValidationError("name an index by --config or --file") }
    }

    func run() throws {
      try Outcome.of {
        try IndexCommands.show(
          name, configurationFile: source.config, file: file, signers: source.signers, allDomains: domains, json: json, say: Outcome.say)
      }
    }
  }

  struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Checks an index file before it is used: its signature, its records, and what would change.",
      discussion: "Exit code 65 when the gateway would not take it.")
    @Argument(help: "The index, LDIF or signed.") var index: String
    @OptionGroup var source: Source
    @Flag(help: "One JSON object.") var json = false

    func run() throws {
      try Outcome.of {
        try IndexCommands.check(index, configurationFile: source.config, signers: source.signers, json: json, say: Outcome.say)
      }
    }
  }

  struct Fetch: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Fetches the index from where the configuration says, now; a running gateway does it itself.",
      discussion: "Exit code 75 when it could not be had or was not taken; the one in use stays.")
    @OptionGroup var file: ConfigOption
    @Flag(help: "Take it even if many domains or all certificates of a provider vanish.") var allowLosses = false
    @Flag(help: "One JSON object.") var json = false

    func run() throws {
      try Outcome.of {
        try IndexCommands.fetch(configurationFile: file.config, allowingLosses: allowLosses, json: json, say: Outcome.say)
      }
    }
  }

  struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Writes our own record for publication, as LDIF or signed with the signing key.")
    @OptionGroup var file: ConfigOption
    @Flag(help: "Signed: CMS with the LDIF inside (.p7m).") var signed = false
    @Option(help: "LDIFLocationURL, where it will be published; what the index has otherwise.") var url: String?
    @Option(name: [.long, .short], help: "The file to write; standard output otherwise.") var output: String?

    func run() throws {
      try Outcome.of {
        try IndexCommands.export(configurationFile: file.config, signed: signed, url: url) { try Outcome.write($0, to: output) }
      }
    }
  }
}
