import Limits
import MIMEStream
import PEC
import Reception
import Testing

@testable import Journey

/// Holders' choices where messages meet them: words about arrivals, kinds of receipts, ordinary mail.
@Suite struct ChosenTests {
  private static let noon = Instant(unixSeconds: 1_773_140_400, utcOffsetSeconds: 3600)
  private static let mailbox = "aldo@pec.alfa.test"
  private static let address = "avvisi@posta.test"
  private static let told = HolderChoices([mailbox: HolderChoice(notice: .to(address), noticeOfAnomalies: true)])

  private static func entry(_ kind: MessageKind = .envelope, token: String? = nil, sender: String = SimulationTests.sender) -> QueueEntry {
    QueueEntry(
      id: "e1", pecID: "p1@pec.alfa.test", messageID: "p1@pec.alfa.test", kind: kind, sender: sender, recipients: [mailbox],
      route: .mailbox, content: [], createdAt: noon.unixSeconds, dueAt: noon.unixSeconds, reception: "r1@pec.alfa.test", proofToken: token)
  }

  private static func matter(_ kind: ReceptionKind = .envelope) -> Matter {
    var facts = SimulationTests.transaction
    facts.pecID = "p1@pec.alfa.test"
    facts.recipients = [Recipient(address: mailbox, recipientClass: .certified)]
    return Matter(
      ReceptionRecord(
        id: "r1@pec.alfa.test", instant: noon, kind: kind, facts: facts, recipients: ["altri@pec.alfa.test", mailbox],
        provider: kind == .ordinary ? "" : "alfa", fingerprint: ""))
  }

  /// The plan that follows from an attempt.
  private static func plan(
    _ entry: QueueEntry, _ outcome: RecipientFate.Outcome = .delivered("stored"), _ choices: HolderChoices = told,
    matter: Matter = matter(), point: ProviderPoints = SimulationTests.point, isReport: Bool = false, isAutomatic: Bool = false
  ) throws -> CommitPlan {
    var journey = DeliveryJourney(entry, of: matter, at: point)
    let fates = entry.recipients.map { RecipientFate(recipient: $0, outcome: outcome) }
    var effects = journey.handle(
      .attempted(
        DeliveryJourney.Attempt(
          fates, at: noon, random: SimulationTests.random, isReport: isReport, choices: choices, isAutomatic: isAutomatic)))
    if case .sign(let drafts, _)? = effects.first { effects = journey.handle(.signed(drafts.map { _ in [0x30] })) }
    guard case .commit(let plan)? = effects.first else { throw Unexpected(effects: effects) }
    return plan
  }

  private struct Unexpected: Error { var effects: [Effect] }

  private static func notices(_ plan: CommitPlan) -> [QueueEntry] {
    plan.messages.flatMap(\.entries).filter { $0.kind == .arrivalNotice }
  }

  private static func events(_ plan: CommitPlan) -> [EventRecord] {
    plan.changes.compactMap { if case .event(let event) = $0 { event } else { nil } }
  }

  /// In the same plan as the delivery and its receipt, with the null reverse path, under a name that is always the same.
  @Test func oneWordForOneMessage() throws {
    let plan = try Self.plan(Self.entry())
    #expect(plan.messages.flatMap(\.entries).map(\.kind) == [.deliveryComplete, .arrivalNotice])
    #expect(plan.changes.contains(.settle(entry: "e1", recipients: [Self.mailbox], end: .delivered)))
    let notice = try #require(Self.notices(plan).first)
    #expect(notice.sender.isEmpty && notice.recipients == [Self.address] && notice.route == .relay("default"))
    #expect(notice.pecID == "p1@pec.alfa.test" && notice.reception == "r1@pec.alfa.test")
    let again = try #require(Self.notices(try Self.plan(Self.entry())).first)
    #expect(again.id == notice.id && again.messageID == notice.messageID)
  }

  @Test func afterSoManyTheLastAndNone() throws {
    let point = SimulationTests.point
    #expect(point.isTold(of: Self.entry(), in: Self.mailbox, Self.matter(), Self.told, isAutomatic: false))
    #expect(!point.isTold(of: Self.entry(), in: "altri@pec.alfa.test", Self.matter(), Self.told, isAutomatic: false))
    func text(_ voice: ArrivalVoice) throws -> String? {
      var journey = DeliveryJourney(Self.entry(), of: Self.matter(), at: point)
      var attempt = DeliveryJourney.Attempt(
        [RecipientFate(recipient: Self.mailbox, outcome: .delivered("x"))], at: Self.noon, random: SimulationTests.random,
        choices: Self.told)
      attempt.voices = [Self.mailbox: voice]
      guard case .sign(let drafts, _)? = journey.handle(.attempted(attempt)).first,
        case .commit(let plan)? = journey.handle(.signed(drafts.map { _ in [0x30] })).first
      else { return nil }
      let word = plan.messages.first { $0.entries.first?.kind == .arrivalNotice }
      return word.map {
        $0.content.map { if case .composed(let octets) = $0 { String(decoding: octets, as: UTF8.self) } else { "" } }.joined()
      }
    }
    #expect(try text(.usual)?.contains("without one") == false)
    #expect(try text(.last)?.contains("without one") == true)
    #expect(try text(.silent) == nil)
  }

  @Test func whenThereIsNone() throws {
    #expect(Self.notices(try Self.plan(Self.entry(), .delivered("x"), HolderChoices())).isEmpty)
    #expect(Self.notices(try Self.plan(Self.entry(), .later("full"))).isEmpty)
    #expect(Self.notices(try Self.plan(Self.entry(), .failed(.noMailbox, text: "no"))).isEmpty)
    let nobody = HolderChoices([
      Self.mailbox: HolderChoice(notice: .nobody), "pec.alfa.test": HolderChoice(notice: .to(Self.address)),
    ])
    #expect(Self.notices(try Self.plan(Self.entry(), .delivered("x"), nobody)).isEmpty)
    for kind in [MessageKind.notification, .takeCharge, .acceptance, .deliveryComplete, .ordinary] {
      #expect(Self.notices(try Self.plan(Self.entry(kind))).isEmpty, "\(kind)")
    }
    // The address has become one of ours since.
    let ours = HolderChoices([Self.mailbox: HolderChoice(notice: .to("altri@pec.alfa.test"))])
    #expect(Self.notices(try Self.plan(Self.entry(), .delivered("x"), ours)).isEmpty)
  }

  /// A server that proves by reports: the word waits for the report.
  @Test func onlyWhenItIsProved() throws {
    let point = SimulationTests.points("alfa", provesByReport: true)
    #expect(Self.notices(try Self.plan(Self.entry(token: "t"), point: point)).isEmpty)
    #expect(Self.notices(try Self.plan(Self.entry(token: "t"), point: point, isReport: true)).count == 1)
  }

  @Test func anomalies() throws {
    let matter = Self.matter(.ordinary)
    #expect(Self.notices(try Self.plan(Self.entry(.anomaly), matter: matter)).count == 1)
    let onlyEnvelopes = HolderChoices([Self.mailbox: HolderChoice(notice: .to(Self.address))])
    #expect(Self.notices(try Self.plan(Self.entry(.anomaly), .delivered("x"), onlyEnvelopes, matter: matter)).isEmpty)
    // What a machine sent, or nobody: it may be a word of ours that came back.
    #expect(Self.notices(try Self.plan(Self.entry(.anomaly), matter: matter, isAutomatic: true)).isEmpty)
    #expect(Self.notices(try Self.plan(Self.entry(.anomaly, sender: ""), matter: matter)).isEmpty)
  }

  /// Its rows name the mailbox, and its sender hears nothing of its end.
  @Test func whatBecomesOfIt() throws {
    let notice = try #require(Self.notices(try Self.plan(Self.entry())).first)
    for (outcome, kind) in [
      (RecipientFate.Outcome.delivered("250 ok"), EventKind.arrivalNoticeSent),
      (.failed(.noMailbox, text: "550 no"), .arrivalNoticeDropped),
      (.failed(.removed, text: "by the operator"), .arrivalNoticeDropped),
    ] {
      let plan = try Self.plan(notice, outcome)
      #expect(plan.messages.isEmpty)
      let row = try #require(Self.events(plan).first)
      #expect(Self.events(plan).count == 1 && row.kind == kind && row.recipient == Self.mailbox && row.relatedIDs == [notice.messageID])
      #expect(!"\(row)".contains(Self.address), "the row tells where the holder wants his words")
    }
  }

  // MARK: - Kinds of receipts

  @Test(arguments: [
    ("", ReceiptType.brief as ReceiptType?, ReceiptType.brief), ("", .concise, .concise), ("", .complete, .complete), ("", nil, .complete),
    ("X-TipoRicevuta: completa\r\n", .brief, .complete), ("x-tiporicevuta: sintetica\r\n", .brief, .concise),
    ("X-TipoRicevuta: complet\r\n", .brief, .complete),
  ])
  func whoDoesNotAskGetsWhatIsChosen(line: String, chosen: ReceiptType?, expected: ReceiptType) throws {
    let choices = HolderChoices(chosen.map { ["pec.alfa.test": HolderChoice(receipt: $0)] } ?? [:])
    let text =
      "Message-ID: <1@mua.test>\r\nDate: Tue, 10 Mar 2026 09:14:58 +0100\r\nFrom: \(SimulationTests.sender)\r\nTo: uno@pec.beta.test\r\n"
      + "Subject: prova\r\n\(line)\r\ncorpo\r\n"
    var journey = SubmissionJourney(at: SimulationTests.point)
    let submission = Submission(
      reversePath: SimulationTests.sender, forwardPaths: ["uno@pec.beta.test"],
      facts: MessageWalker.facts(of: Array(text.utf8), watchedBoundaryPrefix: Composer.boundaryPrefix))
    let effects = journey.handle(
      .received(
        Arrival(
          submission: submission, instant: Self.noon, sequence: 1, random: SimulationTests.random, directory: SimulationTests.directory,
          choices: choices)))
    guard case .sign(let drafts, _)? = effects.last, journey.handle(.scanned(.off)).isEmpty,
      case .commit(let plan)? = journey.handle(.signed(drafts.map { _ in [0x30] })).first
    else { throw Unexpected(effects: effects) }
    let transaction = try #require(
      plan.changes.lazy.compactMap { change -> TransactionRecord? in if case .transaction(let record) = change { record } else { nil } }
        .first)
    #expect(transaction.receiptType == expected)
    let head = String(decoding: try #require(drafts.first { $0.kind == .envelope }).head, as: UTF8.self)
    let isSaid = head.contains("X-TipoRicevuta: \(expected.rawValue)\r\n")
    #expect(isSaid == (!line.isEmpty || expected != .complete))
  }
}
