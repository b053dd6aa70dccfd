import ArgumentParser
import Operations

struct Queue: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Looks at messages that wait for delivery, and acts on them.",
    discussion: """
      An entry is a message on its way to one or more recipients by one route. What is
      done to one can be done to all of a route (--route, as `queue summary` shows it),
      to all for a recipients' domain (--domain), or to everything (--all).

      EXAMPLES
        ceralacca queue summary --config ceralacca.yaml
        ceralacca queue list --domain pec.example.it --limit 20 --config ceralacca.yaml
        ceralacca queue show ID --config ceralacca.yaml
        ceralacca queue retry --route default --config ceralacca.yaml
        ceralacca queue hold --domain pec.example.it --reason 'their MX is being moved' --config ceralacca.yaml
        ceralacca queue release --domain pec.example.it --config ceralacca.yaml
        ceralacca queue drain --route default --config ceralacca.yaml
        ceralacca queue bounce --domain gone.example --yes --config ceralacca.yaml
      """,
    subcommands: [
      List.self, Summary.self, Show.self, Retry.self, Hold.self, Release.self, Drain.self, Bounce.self, Notices.self,
    ],
    defaultSubcommand: List.self)

  /// What a command is about.
  struct Chosen: ParsableArguments {
    @Argument(help: "Id of an entry, as `queue list` shows it.") var id: String?
    @Option(help: "All that goes by a route: mailbox, default, or the route's first domain.") var route: String?
    @Option(help: "All for recipients of a domain.") var domain: String?
    @Flag(help: "Everything.") var all = false

    var choice: QueueChoice { get throws { try QueueChoice(entry: id, route: route, domain: domain, all: all) } }
  }

  /// The same, or what a restore brought back.
  struct ChosenOrRestored: ParsableArguments {
    @OptionGroup var chosen: Chosen
    @Flag(help: "All that waits because it was restored from a backup.") var restored = false

    var choice: QueueChoice {
      get throws {
        try QueueChoice(entry: chosen.id, route: chosen.route, domain: chosen.domain, all: chosen.all, restored: restored)
      }
    }
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Lists the queue, oldest first.",
      discussion: "EXAMPLE\n  ceralacca queue list --domain pec.example.it --held --config ceralacca.yaml")
    @Option(help: "Only what goes by this route.") var route: String?
    @Option(help: "Only what has a recipient of this domain.") var domain: String?
    @Option(help: "Only what has this MAIL FROM.") var sender: String?
    @Flag(help: "Only what is held.") var held = false
    @Option(help: "So many entries at the most.") var limit: Int?
    @OptionGroup var file: ConfigOption
    @Flag(help: "One JSON object on each line.") var json = false

    func validate() throws {
      if let limit, limit < 1 { throw ValidationError("--limit must be at least 1") }
    }

    func run() throws {
      try Outcome.of {
        try QueueCommands.list(
          QueueListing(route: route, domain: domain, sender: sender, isHeld: held, limit: limit), configurationFile: file.config,
          json: json, say: Outcome.say)
      }
    }
  }

  struct Summary: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Shows the queue by destination and age.",
      discussion: """
        For each route, and each domain of recipients: entries, recipients, octets, the age
        of the oldest, when the next attempt is, how many are held, and the last error that
        most of them have. Then how old the entries are.
        """)
    @Option(help: "So many domains of each route at the most; the numbers of a route are of all.") var limit = 20
    @OptionGroup var file: ConfigOption
    @Flag(help: "One JSON object on each line.") var json = false

    func validate() throws {
      guard limit >= 0 else { throw ValidationError("--limit must not be negative") }
    }

    func run() throws {
      try Outcome.of { try QueueCommands.summary(configurationFile: file.config, limit: limit, json: json, say: Outcome.say) }
    }
  }

  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Shows one entry: recipients, attempts, the last error, where its octets are, what the log says of it.")
    @Argument(help: "Id of the entry, as `queue list` shows it.") var id: String
    @Flag(help: "Writes the message itself to standard output, octet for octet as it would be sent.") var message = false
    @OptionGroup var file: ConfigOption
    @Flag(help: "One JSON object.") var json = false

    func run() throws {
      try Outcome.of {
        if message {
          try Outcome.write(try QueueCommands.message(of: id, configurationFile: file.config), to: nil)
        } else {
          try QueueCommands.show(id, configurationFile: file.config, json: json, say: Outcome.say)
        }
      }
    }
  }

  struct Retry: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Tries an entry, or many, now. What is held stays so.")
    @OptionGroup var chosen: Chosen
    @OptionGroup var file: ConfigOption
    @Flag(help: "One JSON object.") var json = false

    func run() throws {
      try Outcome.of { try QueueCommands.retry(try chosen.choice, configurationFile: file.config, json: json, say: Outcome.say) }
    }
  }

  struct Hold: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Holds an entry, or a destination with all that comes for it, until it is released.",
      discussion: """
        What is held is not attempted. What is under way may finish, and connections to a
        route that is held are ended. A hold is kept in the ledger. Its time does not count
        towards the 24 hours after which a message is given up; the notices that tell
        senders after 12 and 24 hours that nothing has come go out all the same.
        """)
    @OptionGroup var chosen: Chosen
    @Option(help: "Why, for the certified log and for `queue list`.") var reason = ""
    @OptionGroup var file: ConfigOption
    @Flag(help: "One JSON object.") var json = false

    func run() throws {
      try Outcome.of {
        try QueueCommands.hold(try chosen.choice, reason: reason, configurationFile: file.config, json: json, say: Outcome.say)
      }
    }
  }

  struct Release: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Takes a hold back: said as the hold was, or --all for every hold. What fell due meanwhile is tried at once.")
    @OptionGroup var chosen: ChosenOrRestored
    @OptionGroup var file: ConfigOption
    @Flag(help: "One JSON object.") var json = false

    func run() throws {
      try Outcome.of { try QueueCommands.release(try chosen.choice, configurationFile: file.config, json: json, say: Outcome.say) }
    }
  }

  struct Drain: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Holds a destination, and returns when nothing is under way to it any more.",
      discussion: "For taking a next hop out of service. `queue release` takes it back.")
    @OptionGroup var chosen: Chosen
    @Option(help: "Why, for the certified log and for `queue list`.") var reason = ""
    @Option(help: "Seconds to wait for what is under way.") var wait = 600
    @OptionGroup var file: ConfigOption
    @Flag(help: "One JSON object.") var json = false

    func run() throws {
      try Outcome.of {
        try QueueCommands.drain(
          try chosen.choice, reason: reason, waitingSeconds: wait, configurationFile: file.config, json: json, say: Outcome.say,
          progress: Outcome.progress)
        Outcome.endProgress()
      }
    }
  }

  struct Bounce: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Gives an entry up, or many: for an envelope, the sender gets a signed non-delivery notice for each recipient.",
      discussion: """
        Of a domain, the other recipients of a message stay. Of many, receipts and notices
        stay, because nobody is told when those are given up.
        """,
      aliases: ["drop"])
    @OptionGroup var chosen: ChosenOrRestored
    @Flag(help: "Receipts and notices too, of which nobody is told.") var withReceipts = false
    @Flag(help: "Yes, many: without it, says how many.") var yes = false
    @OptionGroup var file: ConfigOption
    @Flag(help: "One JSON object.") var json = false

    func run() throws {
      try Outcome.of {
        defer { Outcome.endProgress() }
        try QueueCommands.bounce(
          try chosen.choice, isSure: yes, withReceipts: withReceipts, configurationFile: file.config, json: json, say: Outcome.say,
          progress: Outcome.progress)
      }
    }
  }

  struct Notices: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Says what becomes of notices of silence about messages that a restored backup brought back.",
      discussion: """
        Receipts that came after the backup was made are not known to it, so no notice that
        nothing has come goes out until this is said, with --send or --drop. Without either
        it says how many messages wait.
        """)
    @Flag(help: "They go out, for all recipients from whom nothing is known here.") var send = false
    @Flag(help: "None is made.") var drop = false
    @Flag(help: "Yes: without it, says how many.") var yes = false
    @OptionGroup var file: ConfigOption
    @Flag(help: "One JSON object.") var json = false

    func validate() throws {
      if send && drop { throw ValidationError("give one of --send and --drop") }
    }

    func run() throws {
      try Outcome.of {
        try QueueCommands.notices(
          areSent: send ? true : drop ? false : nil, isSure: yes, configurationFile: file.config, json: json, say: Outcome.say)
      }
    }
  }
}
