import MIMEStream
import PEC

extension QueueEntry {
  /// The name of the part-th entry of a message: stable, so that a replay names the same entries.
  static func identifier(of messageID: String, part: Int) -> String {
    let local = messageID.utf8.split(separator: UInt8(ascii: "@"), maxSplits: 1).first.flatMap { String($0) } ?? messageID
    return "\(local)-q\(part + 1)"
  }

  /// The part-th entry of a draft's message.
  init(
    _ draft: Draft, part: Int, to group: (route: Route, addresses: [String]), of pecID: String, reception: String?, at instant: Instant,
    hasEightBit: Bool = false
  ) {
    self.init(
      id: QueueEntry.identifier(of: draft.messageID, part: part), pecID: pecID, messageID: draft.messageID, kind: draft.kind,
      sender: draft.sender, recipients: group.addresses, route: group.route, content: [], createdAt: instant.unixSeconds,
      dueAt: instant.unixSeconds, reception: reception, hasEightBit: hasEightBit)
  }
}

extension MessageFacts {
  /// True when octets above 127 are anywhere in it.
  var hasEightBit: Bool { flags.contains(.eightBitHeader) || flags.contains(.eightBitBody) }
}

extension TransactionRecord {
  /// The record of a transaction as it is kept.
  init(_ facts: TransactionFacts, accepted: Bool) {
    self.init(
      pecID: facts.pecID, instant: facts.instant, sender: facts.sender, recipients: facts.recipients, replyTo: facts.replyTo,
      subject: facts.subject, rawSubject: facts.rawSubject, clientMessageID: facts.clientMessageID, receiptType: facts.receiptType,
      bytes: facts.bytes, accepted: accepted)
  }

  /// An event about one recipient. It names that one alone: the acceptance names them all, and a list in each of 500 rows would
  /// make 250,000 of 500 recipients.
  func event(_ kind: EventKind, about recipient: String, at instant: Instant, by provider: String, made relatedIDs: [String]) -> EventRecord
  {
    var event = event(kind, at: instant, by: provider, made: relatedIDs)
    event.recipient = recipient
    event.recipients = recipients.filter { $0.address == recipient }
    return event
  }

  /// An event of this transaction.
  func event(_ kind: EventKind, at instant: Instant, by provider: String, made relatedIDs: [String]) -> EventRecord {
    EventRecord(
      pecID: pecID, instant: instant, kind: kind, sender: sender, recipients: recipients, subject: subject,
      clientMessageID: clientMessageID, relatedIDs: relatedIDs, provider: provider, bytes: bytes)
  }
}

extension TransactionFacts {
  /// The facts of a transaction as they were kept.
  init(_ record: TransactionRecord) {
    self.init(
      pecID: record.pecID, instant: record.instant, sender: record.sender, recipients: record.recipients, replyTo: record.replyTo,
      subject: record.subject, rawSubject: record.rawSubject, clientMessageID: record.clientMessageID,
      receiptType: record.receiptType, bytes: record.bytes)
  }
}
