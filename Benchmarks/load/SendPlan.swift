import ArgumentParser
import TLSPipe

/// What a run is to do.
struct SendPlan {
  let target: Endpoint
  let connections: Int
  /// Messages to send in all; `Int.max` when only time ends the run.
  let messages: Int
  /// No message begins after so many nanoseconds; nil when only the count ends the run.
  let limitNanoseconds: UInt64?
  /// Messages a second at fixed times; nil for a closed loop.
  let rate: Double?
  let timeoutSeconds: Int
  /// Messages after which a connection is replaced.
  var perConnection = Int.max
  var usesBDAT = false
  var heloName = ""
  var security: Security?
  var credentials: Credentials?
  var forwardedLogin: String?
  var showsBuckets = false

  init(target: Endpoint, connections: Int, messages: Int?, seconds: Double?, rate: Double?, timeoutSeconds: Int) throws {
    self.target = target
    self.connections = try Check.number(connections, 1...20_000, "--connections")
    self.timeoutSeconds = try Check.number(timeoutSeconds, 1...3600, "--timeout")
    guard messages != nil || seconds != nil else { throw ValidationError("--messages or --seconds: one of them is needed") }
    if let seconds, !(seconds > 0 && seconds <= 1_000_000) { throw ValidationError("--seconds must be above 0") }
    if let rate, !(rate > 0 && rate <= 1_000_000) { throw ValidationError("--rate must be above 0, and 1000000 at the most") }
    let count = try Check.optional(messages, 1...1_000_000_000, "--messages") ?? 1_000_000_000_000
    limitNanoseconds = seconds.map { UInt64($0 * 1e9) }
    self.rate = rate
    // At a fixed rate the time says how many there are.
    if let rate, let seconds { self.messages = max(1, min(count, Int((rate * seconds).rounded(.up)))) } else { self.messages = count }
  }
}

/// How connections are secured.
struct Security {
  let context: TLSContext
  /// TLS from the first octet (RFC 8314 §3.3); STARTTLS otherwise.
  let isImplicit: Bool
  let serverName: String?

  /// Nil when neither is asked for.
  init?(starttls: Bool, implicit: Bool, authorities: String?, serverName: String?) throws {
    guard !(starttls && implicit) else { throw ValidationError("--starttls and --tls: one of them") }
    guard starttls || implicit else {
      if authorities != nil || serverName != nil { throw ValidationError("--ca and --server-name need --starttls or --tls") }
      return nil
    }
    context = try TLSContext.client(caFile: authorities, verify: authorities != nil)
    isImplicit = implicit
    self.serverName = serverName
  }
}

/// What came of a run.
struct SendTally {
  var accepted = 0
  /// Messages that were refused, by the code that decided it.
  var refused: [Int: Int] = [:]
  /// Messages whose connection broke, or whose answer did not come in time.
  var lost = 0
  var recipientsAccepted = 0
  var recipientsRefused: [Int: Int] = [:]
  /// Every final line of every answer, by its code.
  var answers = CodeCounts()
  /// An answer for each code from 400 on, as it came first.
  var examples: [Int: String] = [:]
  var connectionsOpened = 0
  /// Connections that were refused, broke before their first message, or were greeted with a refusal.
  var connectionsFailed = 0
  var octetsSent = 0
  /// From the (intended) start of an accepted message to its answer.
  var latency = Histogram()
  /// From the moment in which the last octet of an accepted message was handed to the system, to its answer.
  var answer = Histogram()

  var refusedCount: Int { refused.values.reduce(0, +) }
}

/// A count for each reply code.
struct CodeCounts {
  private var counts = [Int](repeating: 0, count: 400)

  /// - Parameter code: 200…599.
  mutating func add(_ code: Int) { counts[code - 200] += 1 }

  var byCode: [Int: Int] { counts.enumerated().reduce(into: [:]) { if $1.element > 0 { $0[$1.offset + 200] = $1.element } } }
}

/// The end of a run: its report, and what cut it short.
struct SendOutcome {
  let json: String
  let fault: String?
}

/// When a run happened, and what it cost.
struct SendTimes {
  /// When the first connection was asked for.
  var opening: UInt64 = 0
  /// When the first message could begin: all connections were ready.
  var start: UInt64 = 0
  /// When the last answer came.
  var end: UInt64 = 0
  var cpuAtStart = 0.0
  var cpuAtEnd = 0.0
}

extension SendTally {
  /// One line of JSON.
  func report(_ times: SendTimes, unstarted: Int, plan: SendPlan, fault: String?) -> String {
    let seconds = times.start == 0 ? 0 : Clock.seconds(times.end - times.start)
    let answered = accepted + refusedCount
    let cpu = times.cpuAtEnd - times.cpuAtStart
    func rate(_ count: Int) -> String { JSON.number(seconds > 0 ? Double(count) / seconds : 0) }
    var fields = [
      ("messages", "\(answered + lost)"), ("accepted", "\(accepted)"), ("refused", JSON.counts(refused)), ("lost", "\(lost)"),
      ("unstarted", "\(unstarted)"), ("recipientsAccepted", "\(recipientsAccepted)"),
      ("recipientsRefused", JSON.counts(recipientsRefused)), ("answers", JSON.counts(answers.byCode)),
      ("seconds", JSON.number(seconds)), ("messagesPerSecond", rate(answered)), ("acceptedPerSecond", rate(accepted)),
      ("rate", plan.rate.map { JSON.number($0) } ?? "null"),
      ("latencyMicroseconds", latency.json(withBuckets: plan.showsBuckets)),
      ("answerMicroseconds", answer.json(withBuckets: plan.showsBuckets)),
      ("cpuMicrosecondsPerMessage", JSON.number(answered > 0 ? cpu / Double(answered) : 0)),
      ("octetsSent", "\(octetsSent)"), ("megabytesPerSecond", JSON.number(seconds > 0 ? Double(octetsSent) / seconds / 1e6 : 0)),
      ("connections", "\(plan.connections)"), ("connectionsOpened", "\(connectionsOpened)"),
      ("connectionsFailed", "\(connectionsFailed)"),
      ("setupSeconds", JSON.number(times.start == 0 ? 0 : Clock.seconds(times.start - times.opening))),
      ("startNanoseconds", "\(times.start)"), ("endNanoseconds", "\(times.end)"),
    ]
    if !examples.isEmpty {
      fields.append(("examples", JSON.object(examples.sorted { $0.key < $1.key }.map { ("\($0.key)", JSON.text($0.value)) })))
    }
    if let fault { fields.append(("fault", JSON.text(fault))) }
    return JSON.object(fields)
  }
}
