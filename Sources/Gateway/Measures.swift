import Journey
import Limits
import Metering
import PEC
import SMTPWire
import ScanWire
import Signing
import Synchronization
import Threading

/// Which of the provider's points (RFC 6109 §1.2.2) a message came to.
enum IntakePoint: String, CaseIterable, Sendable {
  case access, incoming

  init(_ trust: ServerProfile.Trust) { self = trust == .incoming ? .incoming : .access }
}

/// What became of a message that was offered whole.
enum IntakeOutcome: String, CaseIterable, Sendable {
  /// 250; at the access point, accepted.
  case accepted
  /// 250, and a notice of non-acceptance.
  case notAccepted = "not_accepted"
  /// 5xx.
  case refused
  /// 4xx: it may come again.
  case deferred
}

/// Labels that belong together.
struct Pair<First: Hashable & Sendable, Second: Hashable & Sendable>: Hashable, Sendable {
  var first: First
  var second: Second

  init(_ first: First, _ second: Second) { (self.first, self.second) = (first, second) }
}

/// Why something was refused, by the subject of its enhanced status (RFC 3463 §3).
enum RefusalReason: String, CaseIterable, Sendable {
  case other, address, mailbox, system, network, `protocol`, content, policy

  init(_ enhanced: String?) {
    let subject = (enhanced ?? "").split(separator: ".").dropFirst().first.flatMap { Int($0) } ?? 0
    self = RefusalReason.allCases.indices.contains(subject) ? RefusalReason.allCases[subject] : .other
  }
}

/// A bound on how many come, or how often, by its key among the configuration's `limits`.
enum Bound: String, CaseIterable, Sendable {
  case connections, connectionsPerPeer, connectionsPerPeerPerMinute, messagesPerPeerPerMinute, messagesPerUserPerHour
  case recipientsPerUserPerHour, arrivalNoticesPerMailboxPerHour
}

/// When something was refused.
struct Refusal: Hashable, Sendable {
  enum Phase: String, CaseIterable, Sendable { case mail, rcpt, message }

  var point: IntakePoint
  var phase: Phase
  var isFinal: Bool
  var reason: RefusalReason
}

/// What was heard of a delivery.
enum DeliveryStatus: String, CaseIterable, Sendable { case sent, deferred, bounced }

/// What the scanner said.
enum ScanWord: String, CaseIterable, Sendable {
  case clean, infected, encrypted, limits, unavailable, fault

  init?(_ outcome: ScanOutcome) {
    switch outcome {
    case .off: return nil
    case .unavailable: self = .unavailable
    case .fault: self = .fault
    case .verdict(let verdict):
      switch verdict.finding {
      case .clean: self = .clean
      case .infected: self = .infected
      case .encrypted: self = .encrypted
      case .limits: self = .limits
      }
    }
  }
}

/// What is counted while messages pass: atomics that any thread adds to and a scrape reads. No label comes from a peer.
final class Measures: Sendable {
  let connections = Counts(Measures.listenerKinds)
  let refusedConnections = Counts(["421", "554", "other"])
  /// How often somebody was refused for a bound; whom, says the log.
  let bounds = Counts<Bound>()
  let authentications = Counts(["accepted", "rejected", "unavailable"])
  let messages = Counts(IntakePoint.allCases.flatMap { point in IntakeOutcome.allCases.map { Pair(point, $0) } })
  let refusals = Counts(
    IntakePoint.allCases.flatMap { point in
      Refusal.Phase.allCases.flatMap { phase in
        RefusalReason.allCases.flatMap { reason in
          [false, true].map { Refusal(point: point, phase: phase, isFinal: $0, reason: reason) }
        }
      }
    })
  let messageBytes = Counts<IntakePoint>()
  let recipients = Counts<IntakePoint>()
  let replySeconds: [IntakePoint: Histogram]
  let emitted = Counts<MessageKind>()
  private let ways: Mutex<(routes: [String], deliveries: Counts<Pair<String, DeliveryStatus>>)>
  /// Routes of the configuration that holds, and one for those that it has no more.
  var routes: [String] { ways.withLock { $0.routes } }
  /// What was heard on each of them.
  var deliveries: Counts<Pair<String, DeliveryStatus>> { ways.withLock { $0.deliveries } }
  static let otherRoute = "other"
  /// All kinds of listeners there are: a reload may bring one that the start had not.
  static let listenerKinds = ["submission", "submissions", "trusted", "incoming"]

  let signingSeconds = Histogram(bounds: Measures.fineNanoseconds, partsOfUnit: 1_000_000_000)
  let batchSeconds = Histogram(bounds: Measures.fineNanoseconds, partsOfUnit: 1_000_000_000)
  let batchSizes = Histogram(bounds: [1, 2, 3, 4, 5, 6, 7, 8, 16])
  let scans = Counts<ScanWord>()
  let scanSeconds = Histogram(bounds: Measures.nanoseconds, partsOfUnit: 1_000_000_000)
  let commitSeconds = Histogram(bounds: Measures.fineNanoseconds, partsOfUnit: 1_000_000_000)
  let commitRows = Histogram(bounds: [1, 5, 10, 20, 50, 100, 200, 500, 1000, 5000])
  let commitFailures = Count()
  /// Monotonic nanoseconds of the first of the commits in a row that failed and may succeed later; 0 while they succeed.
  let commitsFailSince = Count()
  /// Monotonic nanoseconds of each lane's last look at the clock.
  private let beats: [Count]
  let isDraining = Count()
  /// What was heard of mailboxes whose room was asked for.
  let quotas = Counts(["room", "full", "unknown"])
  /// Monotonic nanoseconds of the first of the questions in a row that the service did not answer; 0 while it answers.
  let quotasUnknownSince = Count()

  private static let nanoseconds = [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000].map { $0 * 1_000_000 }
  private static let fineNanoseconds = [500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000].map { $0 * 1000 }

  /// - Parameter routes: as `Route.text` has them.
  init(lanes: Int, routes: [String]) {
    let keys = Measures.keys(routes)
    ways = Mutex((keys.routes, Counts(keys.pairs)))
    replySeconds = Dictionary(
      uniqueKeysWithValues: IntakePoint.allCases.map { ($0, Histogram(bounds: Measures.nanoseconds, partsOfUnit: 1_000_000_000)) })
    beats = (0..<lanes).map { _ in Count() }
    for beat in beats { beat.set(MonotonicClock.nanoseconds()) }
  }

  /// Counts other routes from now on. One that stays goes on where it was; what is heard of one that is gone counts for `other`.
  func adopt(routes: [String]) {
    let keys = Measures.keys(routes)
    ways.withLock { $0 = (keys.routes, Counts(keys.pairs, continuing: $0.deliveries)) }
  }

  private static func keys(_ routes: [String]) -> (routes: [String], pairs: [Pair<String, DeliveryStatus>]) {
    let all = routes + [otherRoute]
    return (all, all.flatMap { route in DeliveryStatus.allCases.map { Pair(route, $0) } })
  }

  /// The word for a listener.
  static func listener(_ trust: ServerProfile.Trust) -> String {
    switch trust {
    case .submission(let implicitTLS): implicitTLS ? "submissions" : "submission"
    case .trustedPeer: "trusted"
    case .incoming: "incoming"
    }
  }

  /// The word for what came of an AUTH exchange.
  static func word(_ answer: AuthenticationAnswer) -> String {
    switch answer {
    case .accepted: "accepted"
    case .rejected: "rejected"
    case .temporaryFailure: "unavailable"
    }
  }

  // MARK: What lanes tell

  func connected(_ profile: ServerProfile) { connections.add(Measures.listener(profile.trust)) }

  /// A connection was refused with these words.
  func refusedConnection(_ words: String) {
    if !refusedConnections.add(String(words.prefix(3))) { refusedConnections.add("other") }
  }

  /// Counts a reply to MAIL or RCPT when it refuses, and gives it back.
  func answered(_ reply: Reply, _ phase: Refusal.Phase, _ trust: ServerProfile.Trust) -> Reply {
    if reply.code >= 400 {
      refusals.add(
        Refusal(point: IntakePoint(trust), phase: phase, isFinal: reply.code >= 500, reason: RefusalReason(reply.enhanced)))
    }
    return reply
  }

  /// A message has its reply.
  /// - Parameters:
  ///   - since: monotonic nanoseconds of its last octet.
  ///   - isNotice: true when its 250 comes with a notice of non-acceptance.
  func replied(_ verdict: Verdict, _ trust: ServerProfile.Trust, since: Int, isNotice: Bool) {
    let point = IntakePoint(trust)
    let outcome: IntakeOutcome =
      switch verdict.code {
      case ..<400: isNotice ? .notAccepted : .accepted
      case ..<500: .deferred
      default: .refused
      }
    messages.add(Pair(point, outcome))
    replySeconds[point]?.observe(MonotonicClock.nanoseconds() - since)
    guard verdict.code >= 400 else { return }
    refusals.add(
      Refusal(point: point, phase: .message, isFinal: verdict.code >= 500, reason: RefusalReason(verdict.enhanced)))
  }

  func taken(_ trust: ServerProfile.Trust, bytes: Int, recipients count: Int) {
    messageBytes.add(IntakePoint(trust), bytes)
    recipients.add(IntakePoint(trust), count)
  }

  func delivered(_ route: String, _ outcome: RecipientFate.Outcome) {
    let status: DeliveryStatus =
      switch outcome {
      case .delivered: .sent
      case .later: .deferred
      case .failed: .bounced
      }
    let counts = deliveries
    if !counts.add(Pair(route, status)) { counts.add(Pair(Measures.otherRoute, status)) }
  }

  /// - Parameter isAnswer: true where the service itself said that it cannot say.
  func quotaAnswered(_ answer: QuotaAnswer, isAnswer: Bool) {
    switch answer {
    case .room: quotas.add("room")
    case .full: quotas.add("full")
    case .unknown: quotas.add("unknown")
    }
    if case .unknown = answer, !isAnswer {
      if quotasUnknownSince.value == 0 { quotasUnknownSince.set(MonotonicClock.nanoseconds()) }
    } else if quotasUnknownSince.value != 0 {
      quotasUnknownSince.set(0)
    }
  }

  /// For how long the service for quotas has not answered.
  var quotaSilenceSeconds: Double {
    let since = quotasUnknownSince.value
    return since == 0 ? 0 : Double(MonotonicClock.nanoseconds() - since) / 1e9
  }

  func scanned(_ outcome: ScanOutcome, since: Int) {
    guard let word = ScanWord(outcome) else { return }
    scans.add(word)
    scanSeconds.observe(MonotonicClock.nanoseconds() - since)
  }

  func beat(_ lane: Int) { beats[lane].set(MonotonicClock.nanoseconds()) }

  /// For how long each lane has not looked at the clock, in nanoseconds; a lane looks each second.
  var silences: [Int] {
    let now = MonotonicClock.nanoseconds()
    return beats.map { max(0, now - $0.value) }
  }

  // MARK: What threads that sign and write tell

  func signed(_ figures: SigningFigures) {
    batchSizes.observe(Int(clamping: figures.signatures &+ figures.failures))
    batchSeconds.observe(Int(clamping: figures.busyNanoseconds))
  }

  /// A transaction of the ledger is over.
  func committed(rows: Int, kinds: some Sequence<MessageKind>, since: Int) {
    commitSeconds.observe(MonotonicClock.nanoseconds() - since)
    commitRows.observe(rows)
    if commitsFailSince.value != 0 { commitsFailSince.set(0) }
    for kind in kinds { emitted.add(kind) }
  }

  func commitFailed() {
    commitFailures.add()
    if commitsFailSince.value == 0 { commitsFailSince.set(MonotonicClock.nanoseconds()) }
  }
}
