import Journey
import Ledger
import Octets
import PEC

/// What a conversation puts into the ledgers of the two providers: from the submission to the sender's delivery receipt, in the commits
/// that the journeys make of it.
struct Conversation {
  private let number: Int
  private let sentAt: Instant
  private let id: String
  private static let alfa = "Alfa Posta Certificata S.p.A."
  private static let beta = "Beta PEC S.r.l."
  private static let subject = "Domanda di iscrizione all'albo (integrazione)"

  init(_ number: Int) {
    self.number = number
    sentAt = Instant(unixSeconds: 1_773_140_400 + Int64(number / 40), utcOffsetSeconds: 3600)
    id = "opec210.20260310120000.\(10_000_000 + number).\(Conversation.digits(number)).pec1@pec.alfa.test"
  }

  /// Something that comes in no order.
  private static func digits(_ number: Int) -> UInt32 { UInt32(truncatingIfNeeded: UInt64(number) &* 0x9E37_79B9_7F4A_7C15 >> 32) }

  // MARK: - Records

  private var facts: TransactionRecord {
    TransactionRecord(
      pecID: id, instant: sentAt, sender: Mails.sender, recipients: [Recipient(address: Mails.recipient, recipientClass: .certified)],
      replyTo: Mails.sender, subject: Conversation.subject, rawSubject: Array(Conversation.subject.utf8),
      clientMessageID: "<\(Conversation.digits(number + 7))-ceea-467a-9575-\(number)@client.alfa.test>", receiptType: .complete,
      bytes: 5000, accepted: true)
  }

  private func event(
    _ kind: EventKind, by provider: String, made messageID: String, detail: String? = nil, one: Bool = true
  ) -> LedgerChange {
    let facts = facts
    return .event(
      EventRecord(
        pecID: id, instant: sentAt, kind: kind, sender: facts.sender, recipients: facts.recipients, subject: facts.subject,
        clientMessageID: facts.clientMessageID, relatedIDs: [messageID], provider: provider, recipient: one ? Mails.recipient : nil,
        detail: detail, bytes: facts.bytes))
  }

  private func queued(
    _ name: String, _ kind: MessageKind, to recipient: String, _ route: Route, of reception: String? = nil, proof: String? = nil
  ) -> LedgerChange {
    .enqueue(
      QueueEntry(
        id: "\(name).\(id)-q1", pecID: id, messageID: "\(name).\(id)", kind: kind, sender: "posta-certificata@pec.alfa.test",
        recipients: [recipient], route: route,
        content: [StoredRange(segment: 1, offset: UInt64(number) * 8192, length: 6000)], createdAt: sentAt.unixSeconds,
        dueAt: sentAt.unixSeconds, reception: reception, proofToken: proof))
  }

  private func settled(_ name: String, _ recipient: String, _ end: RecipientEnd = .delivered) -> LedgerChange {
    .settle(entry: "\(name).\(id)-q1", recipients: [recipient], end: end)
  }

  private func received(_ kind: ReceptionKind, _ name: String, for recipient: String, from provider: String) -> LedgerChange {
    let half = (0..<4).map { Conversation.digits(number &* 64 + $0 + name.utf8.count) | 0x8000_0000 }.map { String($0, radix: 16) }.joined()
    return .reception(
      ReceptionRecord(
        id: "\(name).\(id)", instant: sentAt, kind: kind, facts: facts, recipients: [recipient], provider: provider,
        fingerprint: half + half, original: 4000..<9000))
  }

  // MARK: - Commits

  /// At the sender's provider: submission, its two deliveries, the take-charge receipt and its delivery, the delivery receipt and its own.
  func atSender(_ step: Int) -> [LedgerChange] {
    let (service, taken) = ("servizio@pec.alfa.test", "250 2.0.0 Ok: queued as 4cYzJd1Qf2z9rkX")
    switch step {
    case 0:
      return [
        .transaction(facts), event(.acceptance, by: Conversation.alfa, made: "accettazione.\(id)", one: false),
        event(.envelopeMade, by: Conversation.alfa, made: id, one: false),
        .watch(DeadlineWatch(pecID: id, stage: .first, dueAt: sentAt.unixSeconds + 43_200)),
        queued("a", .acceptance, to: Mails.sender, .mailbox), queued("b", .envelope, to: Mails.recipient, .relay("beta")),
      ]
    case 1:
      return [event(.noticeDelivered, by: Conversation.alfa, made: "a.\(id)", detail: "250 2.1.5 Ok"), settled("a", Mails.sender)]
    case 2:
      return [
        event(.envelopeSent, by: Conversation.alfa, made: "b.\(id)", detail: taken), settled("b", Mails.recipient, .relayed),
      ]
    case 3:
      return [
        received(.serviceNotice, "c", for: service, from: Conversation.beta),
        event(.takeChargeReceived, by: Conversation.beta, made: "presa.\(id)", detail: "presa-in-carico"),
        .progress(pecID: id, recipients: [Mails.recipient], to: .takenInCharge),
        queued("c", .notification, to: service, .mailbox, of: "c.\(id)"),
      ]
    case 4:
      return [event(.noticeDelivered, by: Conversation.beta, made: "c.\(id)", detail: "250 2.1.5 Ok"), settled("c", service)]
    case 5:
      return [
        received(.notification, "dd", for: Mails.sender, from: Conversation.beta),
        event(.notificationReceived, by: Conversation.beta, made: "consegna.\(id)", detail: "avvenuta-consegna"),
        .progress(pecID: id, recipients: [Mails.recipient], to: .delivered),
        queued("dd", .notification, to: Mails.sender, .mailbox, of: "dd.\(id)"),
      ]
    default:
      return [event(.noticeDelivered, by: Conversation.beta, made: "dd.\(id)", detail: "250 2.1.5 Ok"), settled("dd", Mails.sender)]
    }
  }

  /// At the recipient's provider: reception, the way of the take-charge receipt, the delivery, the way of its receipt.
  func atRecipient(_ step: Int) -> [LedgerChange] {
    let taken = "250 2.0.0 Ok: queued as 4cYzJd1Qf2z9rkX"
    switch step {
    case 0:
      return [
        received(.envelope, "e", for: Mails.recipient, from: Conversation.alfa),
        event(.envelopeReceived, by: Conversation.alfa, made: id, one: false),
        event(.takeCharge, by: Conversation.alfa, made: "presa.\(id)", one: false),
        queued("f", .takeCharge, to: "servizio@pec.alfa.test", .relay("alfa"), of: "e.\(id)"),
        queued("e", .envelope, to: Mails.recipient, .mailbox, of: "e.\(id)", proof: "\(Conversation.digits(number + 3))f00dfeed0"),
      ]
    case 1: return [event(.noticeDelivered, by: Conversation.alfa, made: "f.\(id)", detail: taken), settled("f", "servizio@pec.alfa.test")]
    case 2:
      return [
        event(.delivery, by: Conversation.alfa, made: "consegna.\(id)", detail: "250 2.1.5 Ok"), settled("e", Mails.recipient),
        queued("g", .deliveryComplete, to: Mails.sender, .relay("alfa"), of: "e.\(id)"),
      ]
    default: return [event(.noticeDelivered, by: Conversation.alfa, made: "g.\(id)", detail: taken), settled("g", Mails.sender)]
    }
  }

  /// Conversations under way, one behind the other: each time the ledger commits as many rows as a whole one takes, of several.
  static func commits(_ steps: Int, _ changes: @escaping (Conversation, Int) -> [LedgerChange]) throws -> () throws -> Void {
    let folder = try TemporaryFolder()
    let ledger = try Ledger(path: folder.path + "/ledger.sqlite")
    var number = 0
    return {
      number += 1
      try ledger.commit((0..<min(steps, number)).flatMap { changes(Conversation(number - $0), $0) })
      withExtendedLifetime(folder) {}
    }
  }

  /// The same, each step in a commit of its own: what transactions cost besides their rows.
  static func smallCommits(_ steps: Int, _ changes: @escaping (Conversation, Int) -> [LedgerChange]) throws -> () throws -> Void {
    let folder = try TemporaryFolder()
    let ledger = try Ledger(path: folder.path + "/ledger.sqlite")
    var number = 0
    return {
      number += 1
      for step in 0..<min(steps, number) { try ledger.commit(changes(Conversation(number - step), step)) }
      withExtendedLifetime(folder) {}
    }
  }
}
