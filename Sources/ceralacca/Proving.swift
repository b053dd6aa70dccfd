import ArgumentParser
import Foundation
import Operations

/// Progress and remarks of long work, beside what a pipe reads.
private func remark(_ line: String) { try? FileHandle.standardError.write(contentsOf: Data("\(line)\n".utf8)) }

/// What of the log is asked.
struct SearchOptions: ParsableArguments {
  @Option(help: "Sender of the original.") var sender: String?
  @Option(help: "A recipient of the original.") var recipient: String?
  @Option(help: "Sender or recipient.") var address: String?
  @Option(help: "One day.") var day: String?
  @Option(help: "First day.") var from: String?
  @Option(help: "Last day.") var to: String?
  @Option(help: "A word of the subject; may be given more than once.") var subject: [String] = []
  @Option(help: "PEC id.") var id: String?
  @Option(help: "The sender's own Message-ID.") var msgid: String?
  @Option(help: "Message-ID of a receipt, notice or envelope.") var related: String?
  @Option(help: "An event, as `log search` shows it; may be given more than once.") var event: [String] = []
  @Option(help: "Sending provider.") var provider: String?
  @Option(help: "Kind of error: no-dest, no-dominio, virus, altro.") var error: String?

  func validate() throws {
    guard day == nil || (from == nil && to == nil) else { throw ValidationError("--day, or --from and --to") }
  }

  var words: LogSearchWords {
    var words = LogSearchWords()
    (words.sender, words.recipient, words.address) = (sender, recipient, address)
    (words.day, words.from, words.to) = (day, from, to)
    (words.subject, words.id, words.messageID, words.related) = (subject, id, msgid, related)
    (words.events, words.provider, words.error) = (event, provider, error)
    return words
  }
}

struct LogSearch: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "search", abstract: "Searches the certified log; all that is asked must hold.",
    discussion: """
      Days are days of legal time, as 2026-03-10 or 10/03/2026. Subject words are whole words,
      without regard to case and accents.

      EXAMPLES
        ceralacca log search --sender anna@pec.example.org --day 2026-03-10 --config ceralacca.yaml
        ceralacca log search --subject concorso --from 2026-03-01 --to 2026-03-31 --csv --config ceralacca.yaml
        ceralacca log search --event mancata-consegna --newest --limit 20 --config ceralacca.yaml
      """)
  @OptionGroup var asked: SearchOptions
  @Flag(help: "The newest rows first.") var newest = false
  @Option(help: "Rows at the most.") var limit = 1000
  @Flag(help: "One JSON object on each line.") var json = false
  @Flag(help: "Comma-separated values, with a line of names.") var csv = false
  @OptionGroup var file: ConfigOption

  func validate() throws {
    guard (1...100_000_000).contains(limit) else { throw ValidationError("--limit must be between 1 and 100000000") }
    guard !(json && csv) else { throw ValidationError("--json or --csv, not both") }
  }

  func run() throws {
    var words = asked.words
    (words.newestFirst, words.limit) = (newest, limit)
    let request = words
    let form: LogSearchForm = json ? .jsonLines : csv ? .csv : .table
    try Outcome.of {
      try LogCommands.search(request, form: form, configurationFile: file.config, say: Outcome.say, remark: remark)
    }
  }
}

struct LogExtract: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "extract", abstract: "Makes an extract of the log for a holder or a judge, which proves itself.",
    discussion: """
      For a holder it has the rows of his own messages and no one else's; for a judge all that
      was asked. Rows without a seal are sealed first, by the running gateway.

      EXAMPLES
        ceralacca log extract --for anna@pec.example.org --day 2026-03-10 --to-file anna.zip --config ceralacca.yaml
        ceralacca log extract --for-judge 'Tribunale di Roma, RG 1234/2026' --id ID --to-file extract/ --config ceralacca.yaml
      """)
  @OptionGroup var asked: SearchOptions
  @Option(name: .customLong("for"), help: "A holder's address: his own messages.") var holder: String?
  @Option(name: .customLong("for-judge"), help: "The judge's order, in Italian: everything asked for.") var order: String?
  @Option(help: "A zip archive (FILE.zip), or a folder, which must not be there.") var toFile: String
  @OptionGroup var file: ConfigOption

  func validate() throws {
    guard (holder == nil) != (order == nil) else { throw ValidationError("--for ADDRESS, or --for-judge ORDER") }
  }

  func run() throws {
    let reader = holder.map { ExtractCommand.Reader.holder($0) } ?? .judge(order: order ?? "")
    try Outcome.of {
      try ExtractCommand.run(asked.words, for: reader, to: toFile, configurationFile: file.config, say: Outcome.say, remark: remark)
    }
  }
}

struct LogVerify: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Verifies every row of the log against its chain and the seals.",
    discussion: "Exit code 65 when anything is not as it was.\n\nEXAMPLE\n  ceralacca log verify --config ceralacca.yaml")
  @Flag(help: "One JSON object.") var json = false
  @OptionGroup var file: ConfigOption

  func run() throws {
    try Outcome.of { try SealCommands.verifyLog(configurationFile: file.config, json: json, say: Outcome.say, remark: remark) }
  }
}

struct LogHold: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hold", abstract: "Keeps days of the log beyond their time, for a case at law.",
    discussion: """
      EXAMPLES
        ceralacca log hold list --config ceralacca.yaml
        ceralacca log hold add case-1234 --from 2026-03-01 --to 2026-03-31 --reason 'Tribunale di Roma, RG 1234' --config ceralacca.yaml
        ceralacca log hold lift case-1234 --config ceralacca.yaml
      """,
    subcommands: [List.self, Add.self, Lift.self], defaultSubcommand: List.self)

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists the holds.")
    @Flag(help: "One JSON object on each line.") var json = false
    @OptionGroup var file: ConfigOption
    func run() throws { try Outcome.of { try SealCommands.holds(configurationFile: file.config, json: json, say: Outcome.say) } }
  }

  struct Add: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Adds a hold.")
    @Argument(help: "A name for it.") var id: String
    @Option(help: "First day.") var from: String
    @Option(help: "Last day.") var to: String
    @Option(help: "Why, and by whose order.") var reason: String
    @Flag(help: "One JSON object.") var json = false
    @OptionGroup var file: ConfigOption
    func run() throws {
      try Outcome.of {
        try SealCommands.hold(id, from: from, to: to, reason: reason, configurationFile: file.config, json: json, say: Outcome.say)
      }
    }
  }

  struct Lift: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lifts a hold.")
    @Argument(help: "Its name.") var id: String
    @Option(help: "Why.") var reason: String?
    @Flag(help: "One JSON object.") var json = false
    @OptionGroup var file: ConfigOption
    func run() throws {
      try Outcome.of { try SealCommands.liftHold(id, reason: reason, configurationFile: file.config, json: json, say: Outcome.say) }
    }
  }
}

struct Seal: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Seals of the certified log: signed, time-stamped, chained to each other.",
    discussion: """
      EXAMPLES
        ceralacca seal now --config ceralacca.yaml
        ceralacca seal list --config ceralacca.yaml
        ceralacca seal verify --config ceralacca.yaml
      """,
    subcommands: [Now.self, List.self, Verify.self], defaultSubcommand: List.self)

  struct Now: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Has the running gateway seal what waits.")
    @Flag(help: "One JSON object.") var json = false
    @OptionGroup var file: ConfigOption
    func run() throws { try Outcome.of { try SealCommands.now(configurationFile: file.config, json: json, say: Outcome.say) } }
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists the seals, oldest first.")
    @Flag(help: "One JSON object on each line.") var json = false
    @OptionGroup var file: ConfigOption
    func run() throws { try Outcome.of { try SealCommands.list(configurationFile: file.config, json: json, say: Outcome.say) } }
  }

  struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Verifies a seal, or all of them: files, signatures, time stamps, chain, rows.",
      discussion: "Exit code 65 when anything is not as it was.")
    @Argument(help: "Number of one seal.") var seal: Int64?
    @Flag(help: "One JSON object.") var json = false
    @OptionGroup var file: ConfigOption
    func run() throws {
      try Outcome.of {
        try SealCommands.verify(seal: seal, configurationFile: file.config, json: json, say: Outcome.say, remark: remark)
      }
    }
  }
}

struct Trace: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Tells the whole life of a message, and why a receipt is not there.",
    discussion: """
      EXAMPLES
        ceralacca trace opec210.20260310091500.00001.1f2e.1@pec.example.org --config ceralacca.yaml
        ceralacca trace '<c1f0a7@mua.example.org>' --config ceralacca.yaml
        ceralacca trace anna@pec.example.org --config ceralacca.yaml
      """)
  @Argument(help: "A PEC id, a receipt's Message-ID, the sender's Message-ID in angle brackets, or a mail address.") var what: String
  @Flag(help: "One JSON object on each line.") var json = false
  @OptionGroup var file: ConfigOption
  func run() throws { try Outcome.of { try TraceCommand.run(what, configurationFile: file.config, json: json, say: Outcome.say) } }
}

struct Requests: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Holders' requests for extracts of the log.",
    discussion: """
      EXAMPLES
        ceralacca requests list --all --config ceralacca.yaml
        ceralacca requests show ID --config ceralacca.yaml
        ceralacca requests answer ID --config ceralacca.yaml
        ceralacca requests answer ID --refuse 'Occorre un documento di identità.' --config ceralacca.yaml
      """,
    subcommands: [List.self, Show.self, Answer.self], defaultSubcommand: List.self)

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists the open requests, or all.")
    @Flag(help: "Those that are answered, too.") var all = false
    @Flag(help: "One JSON object on each line.") var json = false
    @OptionGroup var file: ConfigOption
    func run() throws {
      try Outcome.of { try RequestCommands.list(all: all, configurationFile: file.config, json: json, say: Outcome.say) }
    }
  }

  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows a request with all its changes of state.")
    @Argument(help: "The request, as `requests list` shows it.") var id: String
    @Flag(help: "One JSON object.") var json = false
    @OptionGroup var file: ConfigOption
    func run() throws { try Outcome.of { try RequestCommands.show(id, configurationFile: file.config, json: json, say: Outcome.say) } }
  }

  struct Answer: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Answers a request that waits for the operator.")
    @Argument(help: "The request.") var id: String
    @Option(help: "Refuse it, for this reason (in Italian: its asker reads it).") var refuse: String?
    @Flag(help: "One JSON object.") var json = false
    @OptionGroup var file: ConfigOption
    func run() throws {
      try Outcome.of { try RequestCommands.answer(id, refusal: refuse, configurationFile: file.config, json: json, say: Outcome.say) }
    }
  }
}

struct Statistics: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "What providers owe the supervisor every two months, as CSV: messages for each day, mailboxes for each domain.",
    discussion: "EXAMPLE\n  ceralacca statistics --from 2026-01-01 --to 2026-02-28 --config ceralacca.yaml")
  @Option(help: "First day; that of the last whole period of two months when it is not given.") var from: String?
  @Option(help: "Last day.") var to: String?
  @OptionGroup var file: ConfigOption
  func run() throws { try Outcome.of { try StatisticsCommand.run(from: from, to: to, configurationFile: file.config, say: Outcome.say) } }
}
