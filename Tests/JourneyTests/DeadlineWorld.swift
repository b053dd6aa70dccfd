import Limits
import MIMEStream
import Octets
import PEC
import Testing

@testable import Journey

/// A provider that waits for word of one message: the real machines, a simulated disk, a wall clock that may be wrong.
struct DeadlineWorld {
  /// What comes of a message for a recipient, by seconds after its acceptance, and which notices are then due.
  struct Row: Sendable, CustomTestStringConvertible {
    var name: String
    var heard: [(seconds: Int64, end: RecipientEnd)]
    var notices: [DeadlineStage]
    var testDescription: String { name }

    init(_ name: String, _ heard: [(Double, RecipientEnd)], _ notices: [DeadlineStage]) {
      self.name = name
      self.heard = heard.map { (Int64($0.0 * 3600), $0.1) }
      self.notices = notices
    }
  }

  /// What goes wrong meanwhile.
  enum Disturbance: CaseIterable, Sendable {
    case nothing
    /// The process dies once at every step of each stage's work, and signatures and a commit fail once.
    case restarts
    /// It dies when a stage's notices are written and not committed, and when they are committed and nobody knows yet.
    case restartAtCommit
    /// It is down when the time comes.
    case down
    /// The clock goes back by an hour between the stages, and is right again after half an hour.
    case stepBetween
    /// The clock goes back by an hour while the notices are being signed.
    case stepInFlight
    /// The clock goes back by thirteen hours when a stage's notices have just become durable.
    case stepAfter
    /// The clock is set by seconds now and then.
    case smallSteps
    case restartsAndSteps

    /// True when signatures and commits fail too.
    var fails: Bool { self == .restarts || self == .restartsAndSteps }
  }

  /// Steps of a stage's work at which something happens.
  private enum Point: CaseIterable {
    case signing, signed, written, synced, committed
  }

  static let point = SimulationTests.point
  static let tick: Int64 = 60

  let disturbance: Disturbance
  let rows: [String: Row]
  private(set) var disk = SimulatedDisk()
  private(set) var transaction: TransactionRecord
  /// True time since the acceptance.
  private(set) var elapsed: Int64 = 0
  private(set) var restarts = 0
  /// Commits that were refused.
  private(set) var conflicts = 0
  /// Told before a commit, once: what others commit meanwhile.
  var meanwhile: [LedgerChange] = []
  private var error: (seconds: Int64, until: Int64) = (0, 0)
  private var struck: Set<String> = []
  private var seeds: UInt64 = 0

  /// A message to these recipients, accepted at the access point.
  init(_ rows: [(address: String, row: Row)], _ disturbance: Disturbance) throws {
    self.disturbance = disturbance
    self.rows = Dictionary(uniqueKeysWithValues: rows)
    let plan = try Self.submitted(to: rows.map(\.address))
    transaction = SimulationTests.transaction
    for change in plan.changes { if case .transaction(let record) = change { transaction = record } }
    let isCommitted = disk.commit(plan.changes)
    #expect(isCommitted)
  }

  /// What the access point makes durable.
  static func submitted(to recipients: [String]) throws -> CommitPlan {
    let text =
      "Message-ID: <1@mua.test>\r\nDate: Tue, 10 Mar 2026 09:14:58 +0100\r\nFrom: \(SimulationTests.sender)\r\n"
      + "To: \(recipients.joined(separator: ",\r\n "))\r\nSubject: prova\r\n\r\ncorpo\r\n"
    let submission = Submission(
      reversePath: SimulationTests.sender, forwardPaths: recipients,
      facts: MessageWalker.facts(of: Array(text.utf8), watchedBoundaryPrefix: Composer.boundaryPrefix))
    var journey = SubmissionJourney(at: point)
    let effects = journey.handle(
      .received(
        Arrival(
          submission: submission, instant: InfectedTests.noon, sequence: 1, random: SimulationTests.random,
          directory: SimulationTests.directory)))
    guard case .sign(let drafts, _)? = effects.last, journey.handle(.scanned(.off)).isEmpty,
      case .commit(let plan)? = journey.handle(.signed(drafts.map { _ in [0x30] })).first
    else { throw NotAccepted() }
    return plan
  }

  struct NotAccepted: Error {}

  /// The wall clock.
  private var wall: Int64 {
    let now = transaction.instant.unixSeconds + elapsed
    if elapsed < error.until { return now + error.seconds }
    guard disturbance == .smallSteps || disturbance == .restartsAndSteps else { return now }
    return now + (elapsed / 7000 % 3 - 1) * 20
  }

  private var isDown: Bool {
    disturbance == .down && ((42_000..<44_400).contains(elapsed) || (84_600..<86_000).contains(elapsed))
  }

  /// Lives for 30 hours: word comes, deadlines are looked at.
  mutating func live() {
    var waiting = rows.flatMap { address, row in row.heard.map { (at: $0.seconds, address: address, end: $0.end) } }
    while elapsed < 30 * 3600 {
      elapsed += Self.tick
      if disturbance == .stepBetween, elapsed == 6 * 3600 || elapsed == 20 * 3600 { error = (-3600, elapsed + 1800) }
      if isDown { continue }
      // Who could not tell us while we were down tells us later, and the deadlines come first.
      if disturbance == .down { look() }
      let come = waiting.filter { $0.at <= elapsed }
      waiting.removeAll { $0.at <= elapsed }
      for word in come.sorted(by: { $0.at < $1.at }) {
        let isCommitted = disk.commit([.progress(pecID: transaction.pecID, recipients: [word.address], to: word.end)])
        #expect(isCommitted)
      }
      look()
    }
  }

  /// What the gateway does each second. Bounded: what cannot be done now is tried at the next tick.
  private mutating func look() {
    for _ in 0..<20 {
      guard let due = disk.due(at: wall).first else { return }
      run(due)
    }
  }

  private var instant: Instant { Instant(unixSeconds: wall, utcOffsetSeconds: 3600) }

  /// True the first time that a stage comes to this point.
  private mutating func isFirst(_ point: String, _ due: DueDeadline) -> Bool {
    struck.insert("\(point) \(due.watch.stage)").inserted
  }

  /// True when the process died here.
  private mutating func dies(_ point: Point, _ due: DueDeadline) -> Bool {
    let isFirst = isFirst("\(point)", due)
    if isFirst, disturbance == .stepInFlight, point == .signing { error = (-3600, elapsed + 1800) }
    if isFirst, disturbance == .stepAfter || disturbance == .restartsAndSteps, point == .committed {
      error = (-13 * 3600, elapsed + 3600)
    }
    let isDeadly = disturbance.fails || (disturbance == .restartAtCommit && (point == .synced || point == .committed))
    guard isFirst, isDeadly else { return false }
    restarts += 1
    disk.crash()
    return true
  }

  private mutating func run(_ due: DueDeadline) {
    seeds += 1
    var journey = DeadlineJourney(at: Self.point)
    var effects = journey.handle(.due(due, at: instant, random: RandomBits(identifier: 0, boundary: seeds, secret: (0, 0))))
    while let effect = effects.first {
      switch effect {
      case .sign(let drafts, _):
        if dies(.signing, due) { return }
        if disturbance.fails, isFirst("no signature", due) {
          effects = journey.handle(.signingFailed("simulated"))
          continue
        }
        if dies(.signed, due) { return }
        effects = journey.handle(.signed(drafts.map { _ in [0x30] }))
      case .commit(let plan):
        if disturbance.fails, isFirst("no commit", due) {
          effects = journey.handle(.commitFailed("simulated"))
          continue
        }
        let written = disk.write(plan, original: [])
        if dies(.written, due) { return }
        disk.sync()
        if dies(.synced, due) { return }
        if !meanwhile.isEmpty {
          let isCommitted = disk.commit(meanwhile)
          #expect(isCommitted)
          meanwhile = []
        }
        let isCommitted = disk.commit(written.changes)
        if !isCommitted { conflicts += 1 }
        if dies(.committed, due) { return }
        effects = journey.handle(isCommitted ? .committed : .commitFailed("conflict"))
      case .finished: return
      case .scan, .askQuota, .reply, .releaseOriginal: preconditionFailure("a deadline has no message of its own")
      }
    }
    Issue.record("a deadline's journey ended without a word")
  }

  /// Compares what was made with what was due.
  func check(sourceLocation: SourceLocation = #_sourceLocation) {
    let id = transaction.pecID
    #expect(disk.watches.isEmpty, sourceLocation: sourceLocation)
    for (stage, kind, message) in [
      (DeadlineStage.first, EventKind.timeoutFirst, MessageKind.timeoutFirst), (.second, .timeoutSecond, .timeoutSecond),
    ] {
      let events = disk.events.filter { $0.kind == kind }
      let due = rows.filter { $0.value.notices.contains(stage) }.keys.sorted()
      #expect(events.compactMap(\.recipient).sorted() == due, "\(stage): \(disturbance)", sourceLocation: sourceLocation)
      let entries = disk.queue.values.filter { $0.kind == message }
      #expect(entries.map(\.messageID).sorted() == events.flatMap(\.relatedIDs).sorted(), sourceLocation: sourceLocation)
      #expect(Set(entries.map(\.messageID)).count == due.count, sourceLocation: sourceLocation)
      #expect(
        entries.allSatisfy { $0.recipients == [transaction.sender] && $0.pecID == id && $0.reception == nil },
        sourceLocation: sourceLocation)
      // Not before 12 hours; not before 22 hours and by 24 (RFC 6109 §3.1.6), by the clock that certifies.
      let start = transaction.instant.unixSeconds
      let window = stage == .first ? start + 43_200..<start + 48_600 : start + 79_200..<start + 86_400
      #expect(events.allSatisfy { window.contains($0.instant.unixSeconds) }, "\(stage): \(disturbance)", sourceLocation: sourceLocation)
      #expect(Set(events.map(\.instant)).count <= 1, "several times for one decision", sourceLocation: sourceLocation)
      for event in events {
        let isRight = event.pecID == id && event.error == "altro" && event.recipients.map(\.address) == event.recipient.map { [$0] }
        #expect(isRight, sourceLocation: sourceLocation)
      }
    }
    #expect(disk.queue.values.allSatisfy { $0.kind == .timeoutFirst || $0.kind == .timeoutSecond }, sourceLocation: sourceLocation)
  }
}
