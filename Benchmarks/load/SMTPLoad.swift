import ArgumentParser

/// Both ends of a measurement: `send` makes load, `sink` takes it. Argument parsing, nothing else; loopback only.
@main
struct SMTPLoad: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "smtp-load",
    abstract: "A load generator and a sink for mail servers on this machine.",
    discussion: """
      EXAMPLES
        smtp-load sink --port 2500 --threads 1
        smtp-load send 127.0.0.1:2500 --size 5000 --messages 20000 --connections 20 --bdat
        smtp-load send 127.0.0.1:2500 --message mails/ --rate 500 --seconds 30 --to 'user{n}@example.test' --to-count 1000

      Each prints one line of JSON at its end.
      """,
    subcommands: [Send.self, Sink.self])
}

/// `smtp-load send`.
struct Send: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Sends messages over many connections and measures how they are answered.",
    discussion: """
      Without --rate each connection sends its next message when the last was answered (closed loop).
      With --rate messages have times at which they are meant to start, and latency counts from there,
      however long they had to wait for a connection.

      Where the header of a message has \(Token.placeholder), this is overwritten with something new each time;
      a message without it gets such a token into its Message-ID.

      Of what is printed: latencyMicroseconds is from the start of a message (its MAIL, or its intended time) to its answer,
      answerMicroseconds from handing its last octet to the system to the answer, both of accepted messages only; seconds is
      from all connections being ready to the last answer; unstarted are messages that were due and never began. Nanoseconds
      are those of CLOCK_MONOTONIC, and so can be compared with the sink's.
      """)

  @Argument(help: "HOST:PORT; the host is a loopback address.") var target: String
  @Option(name: [.short, .long], help: "Connections.") var connections = 10
  @Option(name: [.short, .long], help: "Messages in all.") var messages: Int?
  @Option(help: "Begin no message after so many seconds.") var seconds: Double?
  @Option(help: "Messages a second at fixed times, instead of one after the other.") var rate: Double?
  @Option(help: "A message file, or a folder of them, used in the order of their names, again and again.") var message: String?
  @Option(help: "Make a message of about so many octets.") var size: Int?
  @Flag(help: "Send the messages as they are: no token.") var keep = false
  @Option(name: [.short, .customLong("from")], help: "Envelope sender; empty for <>.") var from = "sender@load.example.test"
  @Option(name: [.short, .customLong("to")], help: "A recipient; may be repeated. {n} stands for 0, 1, … below --to-count.")
  var recipients: [String] = ["recipient@load.example.test"]
  @Option(help: "How many recipients a template with {n} makes.") var toCount = 1
  @Option(name: .customLong("rcpts"), help: "Recipients of a message, 1–500; all that were listed, or 1 of a template, otherwise.")
  var recipientsPerMessage: Int?
  @Option(help: "A new connection after so many messages.") var perConnection: Int?
  @Flag(help: "BDAT (RFC 3030) instead of DATA.") var bdat = false
  @Flag(help: "STARTTLS.") var starttls = false
  @Flag(help: "TLS from the first octet.") var tls = false
  @Option(help: "PEM file with authorities; without it the server's certificate is not looked at.") var ca: String?
  @Option(help: "The server's name in TLS.") var serverName: String?
  @Option(help: "AUTH PLAIN, as LOGIN:PASSWORD.") var auth: String?
  @Option(help: "XCLIENT LOGIN=NAME after EHLO.") var xclientLogin: String?
  @Option(help: "The name given with EHLO.") var helo = "load.example.test"
  @Option(help: "Seconds to wait for an answer.") var timeout = 60
  @Flag(help: "Print the buckets of the histograms too.") var buckets = false

  func run() throws {
    var plan = try SendPlan(
      target: Endpoint(target), connections: connections, messages: messages, seconds: seconds, rate: rate, timeoutSeconds: timeout)
    plan.perConnection = try Check.optional(perConnection, 1...1_000_000_000, "--per-connection") ?? .max
    plan.usesBDAT = bdat
    plan.heloName = try Check.word(helo, "--helo")
    plan.security = try Security(starttls: starttls, implicit: tls, authorities: ca, serverName: serverName)
    plan.credentials = try auth.map { try Credentials($0) }
    plan.forwardedLogin = try xclientLogin.map { try Check.word($0, "--xclient-login") }
    plan.showsBuckets = buckets
    let corpus = try Corpus(path: message, size: size, keepsMessages: keep, isDotStuffed: !bdat)
    let envelopes = try Envelopes(
      sender: from, recipients: RecipientSource(recipients, templateCount: toCount, perMessage: recipientsPerMessage), corpus: corpus,
      usesBDAT: bdat)
    let outcome = try SendRun.perform(plan, corpus, envelopes)
    Output.line(outcome.json)
    if let fault = outcome.fault {
      Output.complain(fault)
      throw ExitCode.failure
    }
  }
}

/// `smtp-load sink`.
struct Sink: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Takes messages, counts them, and throws them away.",
    discussion: """
      Says "listening PORT" on standard error when it is ready, and ends at SIGTERM, SIGINT or after --messages.
      Refusals are given as SHARE:CODE: --refuse 0.1:451 refuses each tenth message.

      Of what is printed: messages are accepted ones, in LMTP those that one recipient at least was accepted of; octets are
      theirs as they came, with the dots that DATA doubles and without the final one.
      """)

  @Option(help: "The loopback address to listen on.") var host = "127.0.0.1"
  @Option(name: [.short, .long], help: "The port; 0 for any that is free.") var port = 0
  @Option(help: "Loop threads.") var threads = 1
  @Option(name: [.short, .long], help: "End after so many messages.") var messages: Int?
  @Flag(help: "LMTP (RFC 2033): an answer for each recipient.") var lmtp = false
  @Flag(help: "Announce DSN.") var dsn = false
  @Flag(help: "Do not announce PIPELINING.") var noPipelining = false
  @Flag(help: "Do not announce CHUNKING.") var noChunking = false
  @Flag(help: "Announce AUTH PLAIN, and believe everybody.") var auth = false
  @Flag(help: "Announce XCLIENT, and believe everything.") var xclient = false
  @Option(help: "Refuse a share of the messages (LMTP: of the answers): SHARE:CODE.") var refuse: String?
  @Option(help: "Refuse a share of the recipients: SHARE:CODE.") var refuseRecipients: String?
  @Option(help: "Milliseconds before a message is answered.") var delay = 0
  @Option(help: "PEM file with a certificate, for STARTTLS.") var cert: String?
  @Option(help: "PEM file with its key.") var key: String?
  @Flag(help: "TLS from the first octet instead of STARTTLS.") var tls = false
  @Option(help: "Store the first message in this file.") var once: String?

  func run() throws {
    var plan = SinkPlan(endpoint: try Endpoint(host: host, port: port, portsFrom: 0))
    plan.threads = try Check.number(threads, 1...256, "--threads")
    plan.messages = try Check.optional(messages, 1...1_000_000_000_000, "--messages") ?? .max
    plan.isLMTP = lmtp
    plan.announcesDSN = dsn
    plan.announcesPipelining = !noPipelining
    plan.announcesChunking = !noChunking
    plan.announcesAuth = auth
    plan.announcesXClient = xclient
    plan.messageRefusal = try refuse.map { try Refusal($0, "--refuse") }
    plan.recipientRefusal = try refuseRecipients.map { try Refusal($0, "--refuse-recipients") }
    plan.delayMilliseconds = UInt64(try Check.number(delay, 0...3_600_000, "--delay"))
    plan.tls = try plan.context(certificate: cert, key: key)
    plan.startsSecure = tls
    guard !tls || plan.tls != nil else { throw ValidationError("--tls needs --cert and --key") }
    plan.captureFile = once
    Output.line(try SinkRun.perform(plan))
  }
}
