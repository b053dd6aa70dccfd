import ArgumentParser
import Journey
import Operations

struct Mailbox: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "What holders have chosen for their mailboxes, or for all of a domain.",
    discussion: """
      A mailbox's choice goes before its domain's, and both go before the configuration.

      EXAMPLES
        ceralacca mailbox show anna@pec.example.org --config ceralacca.yaml
        ceralacca mailbox set anna@pec.example.org --ordinary forward:anna@example.org --config ceralacca.yaml
        ceralacca mailbox set pec.example.org --notify posta@example.org --receipt brief --config ceralacca.yaml
        ceralacca mailbox set anna@pec.example.org --notify none --config ceralacca.yaml
        ceralacca mailbox list --config ceralacca.yaml
      """,
    subcommands: [Show.self, Set.self, List.self], defaultSubcommand: List.self)

  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows what holds for a mailbox or domain, and who decided it.")
    @Argument(help: "An address, or a domain of the provider.") var holder: String
    @Flag(help: "One JSON object.") var json = false
    @OptionGroup var file: ConfigOption
    func run() throws {
      try Outcome.of { try MailboxCommands.show(holder, configurationFile: file.config, json: json, say: Outcome.say) }
    }
  }

  struct Set: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Has the running gateway set what a holder wants; it holds for the next message.",
      discussion: "What is not named stays as it is; `default` takes a choice away.")
    @Argument(help: "An address, or a domain of the provider.") var holder: String
    @Option(help: "Ordinary mail: refuse, discard, anomaly, forward:ADDRESS or default.") var ordinary: String?
    @Option(help: "An ordinary address that is told when certified mail arrives; none or default.") var notify: String?
    @Option(help: "Whether it is told of anomaly envelopes too: yes, no or default.") var notifyAnomalies: String?
    @Option(help: "Delivery receipts for messages that do not ask for a kind themselves: complete, brief, concise or default.")
    var receipt: String?
    @Flag(help: "One JSON object.") var json = false
    @OptionGroup var file: ConfigOption

    func validate() throws {
      guard ordinary != nil || notify != nil || notifyAnomalies != nil || receipt != nil else {
        throw ValidationError("say what is to be set: --ordinary, --notify, --notify-anomalies or --receipt")
      }
    }

    func run() throws {
      let change = ChoiceChange(
        holder: holder, ordinary: ordinary, notice: notify, noticeOfAnomalies: notifyAnomalies, receipt: receipt)
      try Outcome.of { try MailboxCommands.set(change, configurationFile: file.config, json: json, say: Outcome.say) }
    }
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists the mailboxes and domains for which something is chosen.")
    @Flag(help: "One JSON object on each line.") var json = false
    @OptionGroup var file: ConfigOption
    func run() throws { try Outcome.of { try MailboxCommands.list(configurationFile: file.config, json: json, say: Outcome.say) } }
  }
}
