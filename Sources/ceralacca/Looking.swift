import ArgumentParser
import Operations

struct Log: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Looks at the certified log.",
    subcommands: [Tail.self, Show.self, LogSearch.self, LogExtract.self, LogVerify.self, LogHold.self], defaultSubcommand: Tail.self)

  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Shows all that is known of a message: how far it has come for each recipient, and its events.",
      discussion: "EXAMPLE\n  ceralacca log show '<c1f0a7@mua.example.org>' --config ceralacca.yaml")
    @Argument(help: "A PEC id, the id of a reception, or the sender's own Message-ID in angle brackets.") var id: String
    @Flag(help: "One JSON object on each line.") var json = false
    @OptionGroup var file: ConfigOption

    func run() throws { try Outcome.of { try LogCommands.show(id, configurationFile: file.config, json: json, say: Outcome.say) } }
  }

  struct Tail: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Shows the last events of the certified log.",
      discussion: "EXAMPLE\n  ceralacca log tail --lines 20 --follow --config ceralacca.yaml")
    @Option(name: [.long, .customShort("n")], help: "How many events.") var lines = 10
    @Flag(name: [.long, .short], help: "Go on with new events as they come.") var follow = false
    @Flag(help: "One JSON object on each line.") var json = false
    @OptionGroup var file: ConfigOption

    func validate() throws {
      guard (0...1_000_000).contains(lines) else { throw ValidationError("--lines must be between 0 and 1000000") }
    }

    func run() throws {
      try Outcome.of {
        try LogCommands.tail(lines: lines, follow: follow, configurationFile: file.config, json: json, say: Outcome.say)
      }
    }
  }
}

struct Verify: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Says who signed a PEC message, whether it holds at the message's own time, and what it certifies; checks extracts of the log.",
    discussion: """
      An extract of the certified log is a zip archive or a folder. With --ca its signers
      must bear the provider's name, and these authorities vouch for them; those of
      --stamp-ca vouch for its time stamps.

      Reads files with CRLF or LF line ends. With the provider index of the messages'
      time it says whose certificate it is, and whether From belongs to that provider;
      with revocation lists, whether the certificate was revoked. Exit code 0 only when
      all of it holds.

      EXAMPLES
        ceralacca verify --ca ca.pem mail/new/*
        ceralacca verify --ca ca.pem --index index.ldif --crl ca.crl mail/new/*
        ceralacca verify --ca authorities.pem --stamp-ca stamping.pem extract.zip
      """)
  @Option(help: "PEM file of the authorities that may vouch for the signer; the system's when it is not given.") var ca: String?
  @Option(help: "PEM file of the authorities that may vouch for an extract's time stamps; --ca when it is not given.")
  var stampCa: String?
  @Option(help: "The provider index, LDIF or signed.") var index: String?
  @Option(help: "PEM file with the certificates, or their authorities, that must have signed the index; --ca when it is not given.")
  var indexSigners: String?
  @Option(help: "A file with revocation lists, PEM or DER; may be given more than once.") var crl: [String] = []
  @Flag(help: "One JSON object on each line.") var json = false
  @Argument(help: "Messages, and extracts of the log.") var files: [String]

  func run() throws {
    try Outcome.of {
      let verifier = try MessageVerifier(authority: ca, index: index, indexSigners: indexSigners, revocationLists: crl)
      try VerifyCommand.run(
        files: files, verifier: verifier, authorities: ca.map { [$0] } ?? [], stampAuthorities: stampCa.map { [$0] } ?? [], json: json,
        say: Outcome.say)
    }
  }
}
