import MIMEStream
import PEC
import Reception
import ScanWire
import Testing

@testable import Journey

/// What the incoming point does with ordinary mail for mailboxes without room, and that it asks about nothing else.
@Suite struct QuotaTests {
  private static let noon = Instant(unixSeconds: 1_770_000_000, utcOffsetSeconds: 3600)
  private static let full = QuotaAnswer.full(code: 552, enhanced: "5.2.2", text: "Mailbox is full")
  private static let uno = "uno@pec.beta.test"
  private static let due = "due@pec.beta.test"

  private struct Course {
    var asked: [String] = []
    var bytes = 0
    var drafts: [Draft] = []
    var plan: CommitPlan?
    var verdict: Verdict?
    var rows: [EventRecord] { (plan?.changes ?? []).compactMap { if case .event(let event) = $0 { event } else { nil } } }
    var entries: [QueueEntry] { (plan?.messages ?? []).flatMap(\.entries) }
  }

  private static func points(asksQuota: Bool = true) -> ProviderPoints {
    var points = SimulationTests.points("beta", provesByReport: false)
    points.asksQuota = asksQuota
    return points
  }

  private static let ordinary = Array(
    "Message-ID: <o@posta.test>\r\nFrom: tizio@posta.test\r\nTo: uno@pec.beta.test\r\nSubject: ordinaria\r\n\r\ncorpo\r\n".utf8)

  private func take(
    _ octets: [UInt8] = QuotaTests.ordinary, to recipients: [String], from sender: String = "tizio@posta.test",
    points: ProviderPoints = QuotaTests.points(), choices: HolderChoices = HolderChoices(), _ answers: [String: QuotaAnswer]
  ) -> Course {
    var beta = SimulatedProvider(points)
    let message = beta.examine(octets, from: sender, to: recipients, directory: SimulationTests.directory, instant: Self.noon)
    var journey = IncomingJourney(at: points)
    var course = Course()
    var effects = journey.handle(
      .examined(
        IncomingArrival(
          message: message, scan: .off, instant: Self.noon, sequence: beta.nextSequence(), random: SimulationTests.random,
          directory: SimulationTests.directory, peer: "192.0.2.1", helo: "mx.test", choices: choices)))
    while let effect = effects.first {
      switch effect {
      case .askQuota(let mailboxes, let bytes):
        (course.asked, course.bytes) = (mailboxes, bytes)
        effects = journey.handle(.quotas(mailboxes.map { answers[$0] ?? .room }))
      case .sign(let drafts, _):
        course.drafts = drafts
        effects = journey.handle(.signed(drafts.map { _ in [0x30] }))
      case .commit(let plan):
        course.plan = plan
        effects = journey.handle(.committed)
      case .reply(let verdict):
        course.verdict = verdict
        effects.removeFirst()
      case .scan, .releaseOriginal, .finished: effects.removeFirst()
      }
    }
    return course
  }

  @Test func withRoomNothingChanges() throws {
    let course = take(to: [Self.uno, Self.due], [:])
    let unasked = take(to: [Self.uno, Self.due], points: Self.points(asksQuota: false), [:])
    #expect(course.asked == [Self.uno, Self.due] && unasked.asked.isEmpty)
    #expect(course.verdict == unasked.verdict && course.verdict?.code == 250)
    #expect(course.drafts.map(\.kind) == [.anomaly] && course.entries.map(\.recipients) == unasked.entries.map(\.recipients))
    // The size is the envelope's, but for the signature.
    let draft = try #require(course.drafts.first)
    #expect(course.bytes == draft.head.count + draft.signedBytes + draft.tail(signature: []).count)
    #expect(course.bytes > Self.ordinary.count)
  }

  @Test func everybodyFullIsRefusedInTheServicesWords() {
    let course = take(to: [Self.uno, Self.due], [Self.uno: Self.full, Self.due: Self.full])
    #expect(course.verdict == Verdict(code: 552, enhanced: "5.2.2", text: "Mailbox is full"))
    #expect(course.entries.isEmpty && course.drafts.isEmpty)
    #expect(course.rows.map(\.kind) == [.ordinaryRefused])
    #expect(course.rows.first?.detail == "5.2.2 Mailbox is full")
  }

  @Test func ofSomeTheSenderIsTold() throws {
    let course = take(to: [Self.uno, Self.due], [Self.uno: Self.full])
    #expect(course.verdict?.code == 250)
    #expect(course.entries.first { $0.kind == .anomaly }?.recipients == [Self.due])
    let report = try #require(course.plan?.messages.first { $0.entries.contains { $0.kind == .deliveryReport } })
    #expect(report.entries.map(\.recipients) == [["tizio@posta.test"]])
    guard case .composed(let octets)? = report.content.first else { return #expect(Bool(false), "\(report.content)") }
    let text = String(decoding: octets, as: UTF8.self)
    #expect(text.contains("Status: 5.2.2") && text.contains("552 Mailbox is full") && text.contains(Self.uno) && !text.contains(Self.due))
    #expect(course.rows.filter { $0.kind == .ordinaryRefused }.map(\.detail) == ["5.2.2 Mailbox is full"])
  }

  @Test func whereNobodyCanSayTheSenderKeepsIt() {
    let unknown = QuotaAnswer.unknown("no answer")
    let none = take(to: [Self.uno, Self.due], [Self.uno: Self.full, Self.due: unknown])
    #expect(none.verdict?.code == 451 && none.plan == nil)
    // One has room: it is taken, and the other's waits here.
    let one = take(to: [Self.uno, Self.due], [Self.due: unknown])
    #expect(one.verdict?.code == 250)
    #expect(one.entries.first { $0.kind == .anomaly }?.recipients == [Self.uno, Self.due])
  }

  /// Who refuses, discards or forwards has no mailbox that it would go into; the service's own has no holder.
  @Test func onlyMailboxesThatItGoesInto() {
    let choices = HolderChoices([
      "uno@pec.beta.test": HolderChoice(ordinary: .refuse), "due@pec.beta.test": HolderChoice(ordinary: .forward("due@posta.test")),
      "tre@pec.beta.test": HolderChoice(ordinary: .discard),
    ])
    let all = [Self.uno, Self.due, "tre@pec.beta.test", "servizio@pec.beta.test", "posta-certificata@pec.beta.test"]
    #expect(take(to: all, choices: choices, [:]).asked.isEmpty)
    #expect(take(to: all + ["quattro@pec.beta.test"], choices: choices, [:]).asked == ["quattro@pec.beta.test"])
    let mixed = take(to: [Self.uno, "quattro@pec.beta.test"], choices: choices, ["quattro@pec.beta.test": Self.full])
    #expect(mixed.verdict?.code == 550)
    #expect(Set(mixed.rows.flatMap { $0.recipients.map(\.address) }) == [Self.uno, "quattro@pec.beta.test"] && mixed.rows.count == 2)
  }

  @Test(arguments: [
    (QuotaAnswer.room, nil as RecipientFate.Outcome?),
    (
      .full(code: 552, enhanced: "5.2.2", text: "Mailbox is full"),
      .failed(
        .refused(code: 552, enhanced: "5.2.2", text: "Mailbox is full"), text: "the quota service at q:1 said: 552 5.2.2 Mailbox is full")
    ),
    (.unknown("the quota service at q:1: gone"), .later("the quota service at q:1: gone")),
  ])
  func fates(answer: QuotaAnswer, outcome: RecipientFate.Outcome?) {
    #expect(answer.fate(of: Self.uno, by: "the quota service at q:1")?.outcome == outcome)
    guard case .failed(let cause, _)? = outcome else { return }
    #expect(cause.italian.hasPrefix("ecceduta la quota della casella (risposta del server: 552 5.2.2 Mailbox is full"))
  }
}
