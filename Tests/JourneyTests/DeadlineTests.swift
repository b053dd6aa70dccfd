import Limits
import MIMEStream
import Octets
import PEC
import Testing

@testable import Journey

/// Silence speaks (RFC 6109 §3.1.6; `pec-rules` 8.1): exactly the notices that are due, once.
@Suite struct DeadlineTests {
  typealias Row = DeadlineWorld.Row
  typealias Disturbance = DeadlineWorld.Disturbance

  /// The result table of `pec-rules` 8.1, row by row.
  static let table = [
    Row("taken in charge, delivered in 24 h", [(1, .takenInCharge), (13, .delivered)], []),
    Row("taken in charge, never delivered", [(1, .takenInCharge)], [.second]),
    Row("not taken in charge, delivered within 12 h", [(2, .delivered)], []),
    Row("not taken in charge, delivered between 12 and 24 h", [(13, .delivered)], [.first]),
    Row("not taken in charge, never delivered", [], [.first, .second]),
  ]

  /// What the table leaves between its rows: outcomes other than delivery, late words, the edges.
  static let between = [
    Row("sent, then nothing", [(0.02, .relayed)], [.first, .second]),
    Row("sent late, then nothing", [(13, .relayed)], [.first, .second]),
    Row("taken in charge after 12 h, never delivered", [(13, .takenInCharge)], [.first, .second]),
    Row("taken in charge after 12 h, delivered", [(13, .takenInCharge), (20, .delivered)], [.first]),
    Row("failed at once", [(0.02, .failed)], []),
    Row("failed after 12 h", [(13, .failed)], [.first]),
    Row("taken in charge, failed after 22 h", [(1, .takenInCharge), (22.5, .failed)], []),
    Row("taken in charge, delivered after 24 h", [(1, .takenInCharge), (25, .delivered)], [.second]),
    Row("delivered after 24 h", [(25, .delivered)], [.first, .second]),
    Row("taken in charge just before 12 h", [(11.98, .takenInCharge)], [.second]),
    Row("taken in charge just after 12 h", [(12.02, .takenInCharge)], [.first, .second]),
    Row("delivered just before 12 h", [(11.98, .delivered)], []),
    Row("delivered just before the second notice", [(23.73, .delivered)], [.first]),
    Row("delivered just after it", [(23.77, .delivered)], [.first, .second]),
  ]

  static func recipients(_ count: Int, _ row: Row) -> [(address: String, row: Row)] {
    (0..<count).map { ("utente\($0)@pec.beta.test", row) }
  }

  @Test(arguments: table, Disturbance.allCases)
  func oneRecipient(row: Row, disturbance: Disturbance) throws {
    var world = try DeadlineWorld(Self.recipients(1, row), disturbance)
    world.live()
    world.check()
    if disturbance.fails { #expect(world.restarts >= 2) }
  }

  @Test(arguments: table, [Disturbance.nothing, .restartAtCommit, .stepInFlight])
  func fiveHundredRecipients(row: Row, disturbance: Disturbance) throws {
    var world = try DeadlineWorld(Self.recipients(500, row), disturbance)
    world.live()
    world.check()
  }

  @Test(arguments: table + between)
  func theEdges(row: Row) throws {
    var world = try DeadlineWorld(Self.recipients(1, row), .nothing)
    world.live()
    world.check()
  }

  /// 500 recipients of all fates in one message, ordinary ones between them, of whom nobody is ever told.
  @Test(arguments: Disturbance.allCases)
  func allFatesInOne(disturbance: Disturbance) throws {
    let fates = Self.table + (disturbance == .nothing ? Self.between : [])
    let rows = (0..<60).map { number in
      number % 10 == 9
        ? ("utente\(number)@posta.test", Row("ordinary", [], [])) : ("utente\(number)@pec.beta.test", fates[number % fates.count])
    }
    var world = try DeadlineWorld(rows, disturbance)
    world.live()
    world.check()
  }

  // MARK: The watch

  @Test func whoIsWatched() throws {
    func watch(_ recipients: [String]) throws -> (stage: DeadlineStage, seconds: Int64)? {
      let plan = try DeadlineWorld.submitted(to: recipients)
      let watches = plan.changes.compactMap { if case .watch(let watch) = $0 { watch } else { nil } }
      #expect(watches.count <= 1)
      return watches.first.map { ($0.stage, $0.dueAt - InfectedTests.noon.unixSeconds) }
    }
    let certified = try #require(try watch(["uno@pec.beta.test", "tre@posta.test"]))
    #expect(certified == (.first, 43_200))
    #expect(try watch(["tre@posta.test"]) == nil)
    // Taken in charge in the same commit: only the second silence is left.
    let own = try #require(try watch(["aldo@pec.alfa.test", "tre@posta.test"]))
    #expect(own == (.second, 85_500))
    let both = try #require(try watch(["aldo@pec.alfa.test", "uno@pec.beta.test"]))
    #expect(both == (.first, 43_200))
    #expect(DeadlineLimits().firstSeconds == 12 * 3600)
    #expect((22 * 3600..<24 * 3600).contains(DeadlineLimits().secondSeconds))
  }

  /// What is refused has no deadlines.
  @Test func nothingIsWatchedOfARefusal() {
    var journey = SubmissionJourney(at: SimulationTests.point)
    let text = "From: \(SimulationTests.sender)\r\nTo: uno@pec.beta.test\r\nBcc: x@y.test\r\n\r\nx\r\n"
    let submission = Submission(
      reversePath: SimulationTests.sender, forwardPaths: ["uno@pec.beta.test"], facts: MessageWalker.facts(of: Array(text.utf8)))
    _ = journey.handle(
      .received(
        Arrival(
          submission: submission, instant: InfectedTests.noon, sequence: 1, random: SimulationTests.random,
          directory: SimulationTests.directory)))
    guard case .commit(let plan)? = journey.handle(.signed([[0x30]])).first else {
      Issue.record("nothing was committed")
      return
    }
    #expect(!plan.changes.contains { if case .watch = $0 { true } else { false } })
  }

  // MARK: One decision

  static func due(_ stage: DeadlineStage, _ ends: [RecipientEnd?], dueAt: Int64? = nil) -> DueDeadline {
    var transaction = SimulationTests.transaction
    transaction.recipients = ends.indices.map { Recipient(address: "u\($0)@pec.beta.test", recipientClass: .certified) }
    let watch = DeadlineWatch(pecID: transaction.pecID, stage: stage, dueAt: dueAt ?? (stage == .first ? 43_200 : 85_500))
    return DueDeadline(
      watch: watch, transaction: transaction,
      progress: zip(transaction.recipients, ends).map { RecipientProgress(recipient: $0, end: $1) })
  }

  private func begin(_ due: DueDeadline, at seconds: Int64) -> (journey: DeadlineJourney, effects: [Effect]) {
    var journey = DeadlineJourney(at: SimulationTests.point)
    let instant = Instant(unixSeconds: seconds, utcOffsetSeconds: 3600)
    let effects = journey.handle(.due(due, at: instant, random: SimulationTests.random))
    return (journey, effects)
  }

  @Test func theNoticesAndTheirCommit() throws {
    let due = Self.due(.first, [nil, .takenInCharge, .relayed, .delivered, .failed])
    var (journey, effects) = begin(due, at: 43_205)
    guard case .sign(let drafts, let instant)? = effects.first else {
      Issue.record("\(effects)")
      return
    }
    #expect(drafts.map(\.kind) == [.timeoutFirst, .timeoutFirst] && instant.unixSeconds == 43_205)
    #expect(drafts.allSatisfy { $0.recipients == [SimulationTests.sender] && $0.sender == SimulationTests.point.provider.serviceAddress })
    #expect(Set(drafts.map { Array($0.head.suffix(50)) }).count == 2, "the same boundaries twice")
    effects = journey.handle(.signed([[1], [2]]))
    guard case .commit(let plan)? = effects.first else {
      Issue.record("\(effects)")
      return
    }
    let next = DeadlineWatch(pecID: due.watch.pecID, stage: .second, dueAt: 85_500)
    #expect(plan.changes.first == .deadlinePassed(due.watch, progress: [due.progress[0], due.progress[2]], next: next))
    let events = plan.changes.compactMap { if case .event(let event) = $0 { event } else { nil } }
    #expect(events.map(\.recipient) == ["u0@pec.beta.test", "u2@pec.beta.test"] && plan.changes.count == 3)
    #expect(events.flatMap(\.relatedIDs) == drafts.map(\.messageID) && events.allSatisfy { $0.provider == "alfa" })
    #expect(events.allSatisfy { $0.kind == .timeoutFirst && $0.instant == instant })
    #expect(plan.messages.flatMap(\.entries).map(\.messageID) == drafts.map(\.messageID))
    #expect(plan.messages.flatMap(\.entries).allSatisfy { $0.route == .mailbox && $0.kind == .timeoutFirst })
    #expect(!plan.needsOriginal && plan.quarantine == nil)
    guard case .finished? = journey.handle(.committed).first else {
      Issue.record("it did not end")
      return
    }
    #expect(journey.outcome == .passed(next: next))
  }

  /// Nobody is silent: the watch moves on without a notice, and ends when nobody's fate is open.
  @Test(
    arguments: [
      (.first, [.takenInCharge], .second), (.first, [.takenInCharge, .delivered], .second), (.first, [.delivered], nil),
      (.first, [.delivered, .failed], nil), (.second, [.delivered, .failed], nil), (.first, [], nil), (.second, [], nil),
    ] as [(DeadlineStage, [RecipientEnd?], DeadlineStage?)])
  func nobodyIsSilent(stage: DeadlineStage, ends: [RecipientEnd?], next: DeadlineStage?) {
    let due = Self.due(stage, ends)
    let (journey, effects) = begin(due, at: 90_000)
    guard case .commit(let plan)? = effects.first else {
      Issue.record("\(effects)")
      return
    }
    let watch = next.map { DeadlineWatch(pecID: due.watch.pecID, stage: $0, dueAt: 85_500) }
    #expect(plan.changes == [.deadlinePassed(due.watch, progress: [], next: watch)] && plan.messages.isEmpty)
    #expect(journey.outcome == nil)
  }

  /// A clock that went back, and a watch that was made by other limits: not before its time.
  @Test func notBeforeItsTime() {
    for stage in DeadlineStage.allCases {
      let due = Self.due(stage, [nil])
      let (journey, effects) = begin(due, at: due.watch.dueAt - 1)
      guard case .finished? = effects.first else {
        Issue.record("\(effects)")
        continue
      }
      #expect(journey.outcome == .early)
      let hasty = Self.due(stage, [nil], dueAt: 100)
      guard case .commit(let plan)? = begin(hasty, at: due.watch.dueAt - 1).effects.first else {
        Issue.record("a notice before its time")
        continue
      }
      #expect(plan.changes == [.deadlinePassed(hasty.watch, progress: [], next: due.watch)] && plan.messages.isEmpty)
    }
  }

  @Test func whatFailsIsStillDue() {
    let due = Self.due(.second, [.takenInCharge])
    var (journey, _) = begin(due, at: 85_500)
    _ = journey.handle(.signingFailed("no key"))
    #expect(journey.outcome == .failed("no key"))
    (journey, _) = begin(due, at: 85_500)
    _ = journey.handle(.signed([[1]]))
    _ = journey.handle(.commitFailed("conflict"))
    #expect(journey.outcome == .failed("conflict"))
  }

  /// A receipt that becomes durable while the notices are signed: the commit is refused, and only the others are reported.
  @Test func wordInTheLastMoment() throws {
    let rows = Self.table[4]
    var others = Self.recipients(3, rows)
    others[1].row = Row("delivered at 12 h", [], [])
    for end in [RecipientEnd.delivered, .failed] {
      var world = try DeadlineWorld(others, .nothing)
      world.meanwhile = [.progress(pecID: world.transaction.pecID, recipients: [others[1].address], to: end)]
      world.live()
      world.check()
      #expect(world.conflicts == 1)
    }
  }

  @Test(arguments: [1, 20, 500])
  func whatNoticesWeigh(count: Int) {
    var due = Self.due(.second, Array(repeating: nil, count: count))
    due.transaction.subject = String(repeating: "è", count: 200)
    due.transaction.rawSubject = Array(repeating: UInt8(ascii: "x"), count: 400)
    guard case .sign(let drafts, _)? = begin(due, at: 85_500).effects.first else {
      Issue.record("no notices")
      return
    }
    let bytes = drafts.reduce(0) { $0 + $1.head.count + $1.signedBytes }
    #expect((bytes...bytes * 3).contains(due.noticeBytes), "\(bytes), and \(due.noticeBytes) were foretold")
    due.progress = due.progress.map { RecipientProgress(recipient: $0.recipient, end: .delivered) }
    #expect(due.noticeBytes == 0)
  }

  /// Values from a database that nobody would write.
  @Test func oddValues() {
    var due = Self.due(.second, [nil], dueAt: .min)
    due.transaction.instant.unixSeconds = .max
    let effects = begin(due, at: 0).effects
    guard case .commit(let plan)? = effects.first else {
      Issue.record("\(effects)")
      return
    }
    #expect(plan.messages.isEmpty)
    due.transaction.accepted = false
    guard case .commit(let refused)? = begin(due, at: .max).effects.first else {
      Issue.record("a notice about what was refused")
      return
    }
    #expect(refused.changes == [.deadlinePassed(due.watch, progress: [], next: nil)])
  }
}
