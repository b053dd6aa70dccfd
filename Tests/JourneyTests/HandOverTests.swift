import Limits
import MIMEStream
import PEC
import Testing

@testable import Journey

@Suite struct HandOverDoubtsTests {
  private static func entry(_ id: String, createdAt: Int64 = 1000, _ recipients: [String] = ["a@x.test", "b@x.test"]) -> QueueEntry {
    QueueEntry(
      id: id, pecID: "p1", messageID: "p1.x", kind: .envelope, sender: "s@y.test", recipients: recipients, route: .mailbox,
      content: [], createdAt: createdAt, dueAt: createdAt)
  }

  private static func doubts(createdBy: Int64 = .min, capacity: Int = 10) -> HandOverDoubts {
    HandOverDoubts(createdBy: createdBy, at: 1000, graceSeconds: 30, capacity: capacity)
  }

  @Test func nothingIsInDoubtAfterAnOrderlyEnd() {
    let doubts = Self.doubts()
    let entry = Self.entry("e1")
    #expect(doubts.standing(of: entry, for: entry.recipients, at: 1000) == .certain)
    #expect(!doubts.isOpen)
  }

  /// What the queue had when the process before this one was killed is asked about for as long as it is there, each time.
  @Test func allThatAnEarlierRunLeftIsInDoubt() {
    var doubts = Self.doubts(createdBy: 1000)
    let entry = Self.entry("e1")
    #expect(doubts.standing(of: entry, for: entry.recipients, at: 1000) == .tooEarly(until: 1030))
    #expect(doubts.standing(of: entry, for: entry.recipients, at: 1029) == .tooEarly(until: 1030))
    #expect(doubts.standing(of: entry, for: entry.recipients, at: 1030) == .doubtful(entry.recipients))
    #expect(doubts.standing(of: entry, for: ["b@x.test"], at: 1030) == .doubtful(["b@x.test"]))
    #expect(doubts.standing(of: Self.entry("e2", createdAt: 1001), for: ["a@x.test"], at: 1001) == .certain)
    doubts.isAbsent("e1", for: entry.recipients)
    #expect(doubts.standing(of: entry, for: entry.recipients, at: 1060) == .doubtful(entry.recipients))
    // The ledger keeps that it is so: it is no doubt of this run's.
    #expect(!doubts.isOpen)
  }

  @Test func whoWasCutOffIsAskedAndNobodyElse() {
    var doubts = Self.doubts()
    let entry = Self.entry("e1")
    doubts.cutOff("e1", for: [], at: 2000)
    #expect(!doubts.isOpen)
    doubts.cutOff("e1", for: ["b@x.test"], at: 2000)
    #expect(doubts.isOpen)
    #expect(doubts.standing(of: entry, for: ["a@x.test"], at: 2000) == .certain)
    #expect(doubts.standing(of: entry, for: entry.recipients, at: 2029) == .tooEarly(until: 2030))
    #expect(doubts.standing(of: entry, for: entry.recipients, at: 2030) == .doubtful(["b@x.test"]))
    #expect(doubts.standing(of: Self.entry("e2"), for: entry.recipients, at: 2000) == .certain)
    // Cut off again after it had been handed over again.
    doubts.isAbsent("e1", for: ["b@x.test"])
    #expect(doubts.standing(of: entry, for: entry.recipients, at: 2031) == .certain)
    doubts.cutOff("e1", for: ["a@x.test", "b@x.test"], at: 2040)
    #expect(doubts.standing(of: entry, for: entry.recipients, at: 2069) == .tooEarly(until: 2070))
    doubts.remain(["a@x.test"], of: "e1")
    #expect(doubts.standing(of: entry, for: entry.recipients, at: 2070) == .doubtful(["a@x.test"]))
    doubts.remain([], of: "e1")
    #expect(!doubts.isOpen)
  }

  /// A server that put off what it had is storing nothing any more; an answer that is still out is waited for all the same.
  @Test func whatWasPutOffIsAskedAboutAtOnce() {
    var doubts = Self.doubts()
    let entry = Self.entry("e1")
    doubts.cutOff("e1", for: ["a@x.test"], at: 2000, isOver: true)
    #expect(doubts.standing(of: entry, for: entry.recipients, at: 2000) == .doubtful(["a@x.test"]))
    #expect(doubts.isOpen)
    doubts.cutOff("e1", for: ["b@x.test"], at: 2001)
    doubts.cutOff("e1", for: ["a@x.test"], at: 2002, isOver: true)
    #expect(doubts.standing(of: entry, for: ["b@x.test"], at: 2030) == .tooEarly(until: 2031))
    doubts.isAbsent("e1", for: entry.recipients)
    #expect(!doubts.isOpen)
  }

  @Test func bothKindsWaitForTheLater() {
    var doubts = Self.doubts(createdBy: 1000)
    let entry = Self.entry("e1")
    doubts.cutOff("e1", for: ["a@x.test"], at: 1040)
    #expect(doubts.standing(of: entry, for: entry.recipients, at: 1069) == .tooEarly(until: 1070))
    #expect(doubts.standing(of: entry, for: entry.recipients, at: 1070) == .doubtful(entry.recipients))
  }

  /// Nobody is said to be without a message that he may have.
  @Test func whoMayHaveIt() {
    var doubts = Self.doubts(createdBy: 1000)
    let (old, new) = (Self.entry("e1"), Self.entry("e2", createdAt: 1001))
    #expect(doubts.mayHave(old, "a@x.test", isAsked: false))
    #expect(!doubts.mayHave(old, "a@x.test", isAsked: true))
    #expect(!doubts.mayHave(new, "a@x.test", isAsked: false))
    doubts.cutOff("e2", for: ["a@x.test"], at: 2000)
    for isAsked in [true, false] {
      #expect(doubts.mayHave(new, "a@x.test", isAsked: isAsked))
      #expect(!doubts.mayHave(new, "b@x.test", isAsked: isAsked))
    }
    doubts.isAbsent("e2", for: ["a@x.test"])
    #expect(!doubts.mayHave(new, "a@x.test", isAsked: false))
  }

  /// More than can be remembered: all that is there by then is in doubt, and so is the end of the run.
  @Test func aboveTheBoundEverythingIsInDoubt() {
    var doubts = Self.doubts(capacity: 2)
    for id in ["e1", "e2"] { doubts.cutOff(id, for: ["a@x.test"], at: 2000) }
    doubts.cutOff("e2", for: ["b@x.test"], at: 2000)
    #expect(doubts.standing(of: Self.entry("e4"), for: ["a@x.test"], at: 2000) == .certain)
    doubts.cutOff("e3", for: ["a@x.test"], at: 2000)
    for id in ["e1", "e2", "e3", "e4"] {
      #expect(doubts.standing(of: Self.entry(id, createdAt: 2000), for: ["c@x.test"], at: 2030) == .doubtful(["c@x.test"]), "\(id)")
    }
    #expect(doubts.standing(of: Self.entry("e5", createdAt: 2001), for: ["c@x.test"], at: 2030) == .certain)
    for id in ["e1", "e2", "e3"] { doubts.remain([], of: id) }
    #expect(doubts.isOpen)
  }
}

@Suite struct HandOverMarksTests {
  private static func entry(_ kind: MessageKind, reception: String? = nil) -> QueueEntry {
    QueueEntry(
      id: "e1", pecID: "p1", messageID: "m1.opec@alfa.test", kind: kind, sender: "", recipients: ["a@x.test"], route: .mailbox,
      content: [], createdAt: 0, dueAt: 0, reception: reception)
  }

  private static func marks(_ head: String, _ entry: QueueEntry) -> [String] {
    HandOverMarks.of(Array(head.utf8), entry, limits: MessageLimits()).map { "\($0.field): \($0.text)" }
  }

  /// What is passed on is told by the line that we put on top, and by nothing that its sender wrote.
  @Test func ourTraceLine() {
    let trace = String(
      decoding: Composer.receivedLine(
        from: "192.0.2.7", name: "mx; id x;.test", helo: "a id b;", by: "mx.alfa.test", protocolName: "ESMTPS", id: "r5.20261122@alfa.test",
        at: Instant(unixSeconds: 1_795_323_141, utcOffsetSeconds: 3600)), as: UTF8.self)
    let foreign =
      "Received: from x by y with ESMTP id theirs-0001;\r\n\tSun, 22 Nov 2026 10:00:00 +0100\r\nMessage-ID: <copied@b.test>\r\n\r\n"
    #expect(Self.marks(trace + foreign, Self.entry(.envelope, reception: "r5")) == ["Received: id r5.20261122@alfa.test;"])
    #expect(Self.marks("Subject: x\r\n" + trace + "\r\n", Self.entry(.envelope, reception: "r5")).isEmpty)
    #expect(Self.marks(trace + "\r\n", Self.entry(.acceptance)).isEmpty)
  }

  @Test func ourBoundary() {
    let type = "Content-Type: multipart/signed; micalg=sha-256;\r\n\tboundary=\"=_ceralacca_S0123456789ABCDEF\"\r\n"
    let mark = "Content-Type: =_ceralacca_S0123456789ABCDEF"
    #expect(Self.marks("Subject: x\r\n\(type)\r\n", Self.entry(.acceptance)) == [mark])
    #expect(Self.marks("Subject: x\r\n\(type.replacing("\"", with: ""))\r\n", Self.entry(.anomaly, reception: "r")) == [mark])
    // A short one is not of our making, and what stands in the body is no header.
    #expect(Self.marks("Content-Type: multipart/mixed; boundary==_ceralacca_x\r\n\r\n", Self.entry(.acceptance)).isEmpty)
    #expect(Self.marks("Subject: x\r\n\r\n\(type)", Self.entry(.acceptance)).isEmpty)
  }

  @Test func aMessageIDOnlyWhereItIsOurs() {
    let head = "Message-ID: <m1.opec@alfa.test>\r\nContent-Type: text/plain\r\n\r\n"
    #expect(Self.marks(head, Self.entry(.arrivalNotice)) == ["Message-ID: m1.opec@alfa.test"])
    #expect(Self.marks(head, Self.entry(.anomaly, reception: "r")).isEmpty)
  }
}

/// A submission that a trusted peer hands over again.
@Suite struct HandOverAgainTests {
  private static let noon = Instant(unixSeconds: 1_773_140_400, utcOffsetSeconds: 3600)
  private static let key = HandOverKey(digest: [7], seconds: 600, forgottenAtOnce: 10)

  private static func arrival(_ from: String, _ handOver: HandOverKey?) -> Arrival {
    let text =
      "Message-ID: <1@mua.test>\r\nDate: Tue, 10 Mar 2026 09:14:58 +0100\r\nFrom: \(from)\r\nTo: uno@pec.beta.test\r\nSubject: x\r\n\r\ny\r\n"
    return Arrival(
      submission: Submission(
        reversePath: SimulationTests.sender, forwardPaths: ["uno@pec.beta.test"],
        facts: MessageWalker.facts(of: Array(text.utf8), watchedBoundaryPrefix: Composer.boundaryPrefix)),
      instant: noon, sequence: 1, random: SimulationTests.random, directory: SimulationTests.directory, handOver: handOver)
  }

  /// The plan at the end of a journey that waits for its commit.
  private static func plan(_ journey: inout SubmissionJourney, _ arrival: Arrival) throws -> CommitPlan {
    let effects = journey.handle(.received(arrival))
    if case .scan? = effects.first { #expect(journey.handle(.scanned(.off)).isEmpty) }
    guard case .sign(let drafts, _)? = effects.last, case .commit(let plan)? = journey.handle(.signed(drafts.map { _ in [0x30] })).first
    else { throw NothingMade() }
    return plan
  }

  private struct NothingMade: Error {}

  /// Accepted or refused: the key goes with the transaction, before all else.
  @Test(arguments: [SimulationTests.sender, "another@pec.alfa.test"])
  func theKeyIsDurableWithTheTransaction(from: String) throws {
    var journey = SubmissionJourney(at: SimulationTests.point)
    let plan = try Self.plan(&journey, Self.arrival(from, Self.key))
    guard case .handedOver(let key, let pecID, let at)? = plan.changes.first else {
      Issue.record("\(plan.changes)")
      return
    }
    #expect(key == Self.key && at == Self.noon.unixSeconds)
    #expect(plan.messages.first?.matter.transaction.pecID == pecID)
  }

  @Test func whoSubmitsInHisOwnNameHasNone() throws {
    var journey = SubmissionJourney(at: SimulationTests.point)
    let changes = try Self.plan(&journey, Self.arrival(SimulationTests.sender, nil)).changes
    #expect(!changes.contains { if case .handedOver = $0 { true } else { false } })
  }

  /// The first transaction's identifier, and nothing is left of the second.
  @Test func theSecondHearsOfTheFirst() throws {
    var journey = SubmissionJourney(at: SimulationTests.point)
    _ = try Self.plan(&journey, Self.arrival(SimulationTests.sender, Self.key))
    let effects = journey.handle(.repeated(of: "first@pec.alfa.test"))
    #expect(effects.count == 3)
    guard case .reply(let verdict)? = effects.first, case .releaseOriginal = effects[1], case .finished = effects[2] else {
      Issue.record("\(effects)")
      return
    }
    #expect(verdict.code == 250 && verdict.text.contains("first@pec.alfa.test"))
  }
}
