import ArgumentParser
import Operations

struct Scan: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Scans message files with the configured virus scanner, started for this alone.",
    discussion: """
      Reads all files first, then times the scanning. Every message is scanned each time, whatever
      is remembered of it. Exit code 0 when all is clean, 1 when anything else was found (a threat,
      something encrypted, a limit), 2 when something could not be scanned.

      EXAMPLES
        ceralacca scan --config ceralacca.yaml message.eml
        ceralacca scan --config ceralacca.yaml --jobs 4 --repeat 10 --summary mail/
      """)
  @Option(name: [.long, .short], help: "The configuration file (YAML).") var config = "/etc/ceralacca/ceralacca.yaml"
  @Option(name: [.long, .short], help: "Messages under way at a time; one for each worker otherwise.") var jobs: Int?
  @Option(name: .customLong("repeat"), help: "Times that all files are scanned.") var rounds = 1
  @Flag(help: "Only the totals.") var summary = false
  @Flag(help: "One JSON object on each line, the totals last.") var json = false
  @Argument(help: "Files, and folders with files at any depth.") var paths: [String]

  func validate() throws {
    guard (1...1000).contains(jobs ?? 1) else { throw ValidationError("--jobs must be between 1 and 1000") }
    guard (1...1_000_000).contains(rounds) else { throw ValidationError("--repeat must be between 1 and 1000000") }
  }

  func run() throws {
    try Outcome.of {
      let request = ScanCommand.Request(paths: paths, jobs: jobs, rounds: rounds, isSummary: summary)
      try ScanCommand.run(request, configurationFile: config, json: json, say: Outcome.say)
    }
  }
}

struct Quarantine: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Looks at infected messages that are kept, takes one out for an analyst, removes what was kept long enough.",
    discussion: """
      Only the owner of the data folder may read the quarantine. Who looks, exports and purges is
      written into its access.log.

      EXAMPLES
        ceralacca quarantine list --from 2026-03-01 --to 2026-03-31 --config ceralacca.yaml
        ceralacca quarantine show ID --config ceralacca.yaml
        ceralacca quarantine export ID --to sample.zip --config ceralacca.yaml
        ceralacca quarantine purge --yes --config ceralacca.yaml
      """,
    subcommands: [List.self, Show.self, Export.self, Purge.self], defaultSubcommand: List.self)

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Lists messages, oldest first.", discussion: "Exit code 65 when something is not as it was put there.")
    @Option(help: "First day, YYYY-MM-DD in legal time.") var from: String?
    @Option(help: "Last day.") var to: String?
    @OptionGroup var file: ConfigOption
    @Flag(help: "One JSON object on each line.") var json = false

    func run() throws {
      try Outcome.of {
        try QuarantineCommands.list(from: from, to: to, configurationFile: file.config, json: json, say: Outcome.say)
      }
    }
  }

  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Shows all that is known of one message, whether it is unchanged, and its rows in the certified log.")
    @Argument(help: "Id of the message, as `quarantine list` shows it, or a PEC id.") var id: String
    @OptionGroup var file: ConfigOption
    @Flag(help: "One JSON object.") var json = false

    func run() throws {
      try Outcome.of { try QuarantineCommands.show(id, configurationFile: file.config, json: json, say: Outcome.say) }
    }
  }

  struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Writes one message with its record into a zip archive sealed by a password (AES-256).",
      discussion: "Without --password-file it makes a password and says it once. The archive must not be there.")
    @Argument(help: "Id of the message, as `quarantine list` shows it, or a PEC id.") var id: String
    @Option(help: "The archive to write.") var to: String
    @Option(help: "A file whose first line is the password: 8 to 127 ASCII characters.") var passwordFile: String?
    @OptionGroup var file: ConfigOption
    @Flag(help: "One JSON object.") var json = false

    func run() throws {
      try Outcome.of {
        try QuarantineCommands.export(
          id, to: to, passwordFile: passwordFile, configurationFile: file.config, json: json, say: Outcome.say)
      }
    }
  }

  struct Purge: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Removes the messages that have been kept for 30 months; without --yes it only says which they are.")
    @Flag(help: "Remove them.") var yes = false
    @OptionGroup var file: ConfigOption
    @Flag(help: "One JSON object on each line.") var json = false

    func run() throws {
      try Outcome.of {
        try QuarantineCommands.purge(isConfirmed: yes, configurationFile: file.config, json: json, say: Outcome.say)
      }
    }
  }
}
