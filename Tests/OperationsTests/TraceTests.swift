import Journey
import Octets
import PEC
import Testing

@testable import Operations

/// 2026-03-10T09:15:00+01:00, and two hours later.
private let sent = Instant(unixSeconds: 1_773_130_500, utcOffsetSeconds: 3600)
private let now = sent.unixSeconds + 7200
private let anna = "anna@pec.alfa.test"
private let luca = Recipient(address: "luca@pec.gamma.test", recipientClass: .certified)
private let ugo = Recipient(address: "ugo@pec.gamma.test", recipientClass: .certified)
private let full = "4.2.2 mailbox full"

/// A row about a recipient; Anna's own where it is about what goes to her.
private func row(_ kind: EventKind, _ recipient: String, _ made: String, error: CertificationError? = nil, _ detail: String? = nil)
  -> EventRecord
{
  EventRecord(
    pecID: "pec1", instant: sent, kind: kind, sender: anna, recipients: [], subject: nil, clientMessageID: nil, relatedIDs: [made],
    provider: "Alfa", recipient: recipient, error: error?.rawValue, detail: detail, bytes: 1)
}

/// Luca's provider says that he has it.
private func came(_ made: String, for recipient: Recipient = luca) -> EventRecord {
  row(.notificationReceived, recipient.address, made, error: CertificationError.none, "avvenuta-consegna")
}

/// Something on its way to Anna, whose mailbox is full.
private func waiting(_ kind: MessageKind, _ messageID: String, for address: String = anna) -> QueueEntry {
  QueueEntry(
    id: "\(messageID)-q1", pecID: "pec1", messageID: messageID, kind: kind, sender: "", recipients: [address], route: .mailbox,
    content: [], createdAt: sent.unixSeconds, dueAt: now + 60, attempts: 3, lastError: full)
}

private func fates(_ events: [EventRecord], _ entries: [QueueEntry] = [], _ watch: DeadlineWatch? = nil) -> TraceFates {
  TraceFates(events, entries, watch, isAccepted: true, now: now)
}

private func watch(_ stage: DeadlineStage) -> DeadlineWatch { DeadlineWatch(pecID: "pec1", stage: stage, dueAt: now + 3600) }

/// What `trace` says of receipts and notices that are made or came, and of what became of them on the way to the sender.
@Suite struct TraceOfReceiptsTests {
  @Test func aRemoteReceiptThatWaits() {
    let why = fates([came("r1")], [waiting(.notification, "r1")]).why(luca, .delivered, since: sent.unixSeconds)
    #expect(why.contains("waits to be delivered to the sender (3 attempts") && why.contains(full))
    #expect(!why.contains("went"))
  }

  @Test func aReceiptThatWasDelivered() {
    for events in [
      [came("r1"), row(.noticeDelivered, anna, "r1")], [row(.delivery, luca.address, "r1"), row(.noticeDelivered, anna, "r1")],
    ] {
      let why = fates(events).why(luca, .delivered, since: sent.unixSeconds)
      #expect(why == "It is in the mailbox, and the receipt went to the sender.")
    }
  }

  @Test(arguments: [came("r1"), row(.delivery, luca.address, "r1")])
  func aReceiptThatWasDropped(made: EventRecord) {
    let events = [made, row(.noticeDropped, anna, "r1", "5.4.7 delivery time expired; last: \(full)")]
    let why = fates(events).why(luca, .delivered, since: sent.unixSeconds)
    #expect(why.contains("could not be delivered to the sender and was given up (5.4.7 delivery time expired"))
    #expect(!why.contains("went"))
  }

  @Test(arguments: [MessageKind.notification, .deliveryComplete])
  func oneThatWaitsIsNotEverybodys(kind: MessageKind) {
    let isRemote = kind == .notification
    let events = [
      isRemote ? came("r1") : row(.delivery, luca.address, "r1"), isRemote ? came("r2", for: ugo) : row(.delivery, ugo.address, "r2"),
      row(.noticeDelivered, anna, "r2"),
    ]
    let fates = fates(events, [waiting(kind, "r1")])
    #expect(fates.why(luca, .delivered, since: sent.unixSeconds).contains("waits"))
    #expect(fates.why(ugo, .delivered, since: sent.unixSeconds).hasSuffix("the receipt went to the sender."))
  }

  /// A take-charge receipt goes to the service mailbox as a notification too, and is no delivery receipt.
  @Test func takeChargeIsNoReceiptOfDelivery() {
    let events = [
      row(.takeChargeReceived, luca.address, "t1", error: CertificationError.none), came("r1"), row(.noticeDelivered, anna, "r1"),
    ]
    let why = fates(events, [waiting(.notification, "t1", for: "servizio@pec.alfa.test")]).why(luca, .delivered, since: sent.unixSeconds)
    #expect(why == "It is in the mailbox, and the receipt went to the sender.")
  }

  @Test func anAnomalyEnvelopeHasNoReceipt() {
    let why = fates([row(.noticeDelivered, luca.address, "a1")]).why(luca, .delivered, since: sent.unixSeconds)
    #expect(why == "It is in the mailbox; the log has no receipt for it.")
  }

  @Test func noticesOfNonDeliveryFareAlike() {
    let made = row(.nonDelivery, luca.address, "n1", error: .noRecipient, "5.1.1 unknown")
    func why(_ more: [EventRecord], _ entries: [QueueEntry] = []) -> String {
      fates([made] + more, entries).why(luca, .failed, since: sent.unixSeconds)
    }
    let head = "It will not be delivered: 5.1.1 unknown; the notice instead of a receipt "
    #expect(why([row(.noticeDelivered, anna, "n1")]) == head + "went to the sender.")
    #expect(why([], [waiting(.nonDelivery, "n1")]).hasPrefix(head + "is here and waits"))
    #expect(why([row(.noticeDropped, anna, "n1", "5.4.7 x")]) == head + "could not be delivered to the sender and was given up (5.4.7 x).")
    let remote = row(.notificationReceived, luca.address, "n2", error: .noRecipient, "errore-consegna")
    let told = fates([remote], [waiting(.notification, "n2")]).why(luca, .failed, since: sent.unixSeconds)
    #expect(told.hasPrefix("It will not be delivered: errore-consegna; the notice instead of a receipt is here and waits"))
  }
}

/// What `trace` promises the sender of a message that nothing is heard of.
@Suite struct TraceOfSilenceTests {
  @Test func withoutADeadlineNothingIsPromised() {
    for state in [RecipientEnd.relayed, .takenInCharge] {
      let why = silence([], nil, state)
      #expect(why.contains("No deadline runs for it") && why.hasSuffix("the sender will not be told."))
      #expect(!why.contains("deadline below"))
    }
  }

  @Test func aDeadlineThatRunsIsNamed() {
    #expect(silence([], watch(.first), .relayed).contains("is told when the deadline below passes"))
    #expect(silence([], watch(.second), .relayed).contains("is told when the deadline below passes"))
    #expect(silence([], watch(.second), .takenInCharge).contains("is told when the deadline below passes"))
  }

  /// RFC 6109 §3.1.6: after 12 hours it is told of those alone who were not taken in charge.
  @Test func theFirstDeadlinePassesOverWhoIsTakenInCharge() {
    let why = silence([], watch(.first), .takenInCharge)
    #expect(why.contains("The 12 h notice is not about him") && !why.contains("deadline below"))
  }

  @Test func whatWasTold() {
    let first = [row(.timeoutFirst, luca.address, "p1"), row(.noticeDelivered, anna, "p1")]
    #expect(silence(first, watch(.second), .relayed).hasSuffix("told after 12 hours, and another is due when the deadline below passes."))
    #expect(silence(first, nil, .relayed).hasSuffix("The sender was told after 12 hours."))
    let second = first + [row(.timeoutSecond, luca.address, "p2"), row(.noticeDelivered, anna, "p2")]
    #expect(silence(second, nil, .relayed).hasSuffix("The sender was told after 24 hours; a receipt may still come."))
  }

  /// A notice that is made is not a notice that the sender has.
  @Test func whatWasNotTold() {
    let second = row(.timeoutSecond, luca.address, "p2")
    let waits = fates([second], [waiting(.timeoutSecond, "p2")]).why(luca, .relayed, since: sent.unixSeconds)
    #expect(waits.contains("The 24 h notice is here and waits to be delivered to the sender"))
    let dropped = silence([second, row(.noticeDropped, anna, "p2", "5.4.7 x")], nil, .relayed)
    #expect(dropped.contains("The 24 h notice could not be delivered to the sender and was given up (5.4.7 x); a receipt may still come."))
  }

  private func silence(_ events: [EventRecord], _ watch: DeadlineWatch?, _ end: RecipientEnd) -> String {
    let fates = fates(events, [], watch)
    return end == .relayed
      ? fates.why(luca, .relayed, since: sent.unixSeconds) : fates.why(luca, .takenInCharge, since: sent.unixSeconds)
  }
}
