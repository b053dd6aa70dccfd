import Octets
import PEC

/// Type of an event of the certified log (`pec-rules` 9.1 field 6).
public enum EventKind: String, Sendable, Codable, CaseIterable {
  /// The access point accepted a message.
  case acceptance = "accettazione"
  /// The access point refused a message.
  case nonAcceptance = "non-accettazione"
  /// A transport envelope was made.
  case envelopeMade = "busta-trasporto"
  /// A next hop or mailbox took an envelope for a recipient.
  case envelopeSent = "inoltro"
  /// A receipt or notice was put into its mailbox, or a next hop took it.
  case noticeDelivered = "recapito-ricevuta"
  /// A non-delivery notice was made.
  case nonDelivery = "mancata-consegna"
  /// A receipt or notice could not be delivered and was given up (no notice about a notice).
  case noticeDropped = "ricevuta-non-recapitata"
  /// The operator removed an entry from the queue.
  case dropped = "rimosso-dal-gestore"
}

/// A row of the certified log: the fields of RFC 6109 §2.3.
public struct EventRecord: Sendable, Equatable {
  /// Position in the log; nil until the ledger gave it one.
  public var number: Int64?
  /// PEC id of the transaction, without angle brackets.
  public var pecID: String
  public var instant: Instant
  public var kind: EventKind
  /// Reverse path of the original.
  public var sender: String
  public var recipients: [Recipient]
  public var subject: String?
  /// Client's Message-ID with its angle brackets.
  public var clientMessageID: String?
  /// Message-IDs (without brackets) of the messages this event made or moved.
  public var relatedIDs: [String]
  /// Name of the sending provider.
  public var provider: String
  /// Recipient this event is about, where there is exactly one.
  public var recipient: String?
  /// `errore` of the certification data, where there is one: nessuno, no-dest, no-dominio, virus, altro.
  public var error: String?
  /// A person's explanation: faults, the next hop's reply.
  public var detail: String?
  /// Size of the original in octets.
  public var bytes: Int

  /// A record of these fields.
  public init(
    number: Int64? = nil, pecID: String, instant: Instant, kind: EventKind, sender: String, recipients: [Recipient],
    subject: String?, clientMessageID: String?, relatedIDs: [String], provider: String, recipient: String? = nil,
    error: String? = nil, detail: String? = nil, bytes: Int
  ) {
    self.number = number
    self.pecID = pecID
    self.instant = instant
    self.kind = kind
    self.sender = sender
    self.recipients = recipients
    self.subject = subject
    self.clientMessageID = clientMessageID
    self.relatedIDs = relatedIDs
    self.provider = provider
    self.recipient = recipient
    self.error = error
    self.detail = detail
    self.bytes = bytes
  }
}

/// What a transaction is from the sender's side: the facts every later notice about it is written from.
public struct TransactionRecord: Sendable, Equatable, Codable {
  public var pecID: String
  public var instant: Instant
  public var sender: String
  public var recipients: [Recipient]
  /// Value for `risposte`: the original's Reply-To, or the sender.
  public var replyTo: String
  /// Decoded subject; nil when the original has none.
  public var subject: String?
  /// Octets of the Subject field's value as received (unfolded), for the outer header of notices.
  public var rawSubject: [UInt8]?
  public var clientMessageID: String?
  public var receiptType: ReceiptType
  /// Size of the original in octets.
  public var bytes: Int
  /// True when an acceptance receipt was made, false for a non-acceptance.
  public var accepted: Bool

  /// A record of these fields.
  public init(
    pecID: String, instant: Instant, sender: String, recipients: [Recipient], replyTo: String, subject: String?,
    rawSubject: [UInt8]?, clientMessageID: String?, receiptType: ReceiptType, bytes: Int, accepted: Bool
  ) {
    self.pecID = pecID
    self.instant = instant
    self.sender = sender
    self.recipients = recipients
    self.replyTo = replyTo
    self.subject = subject
    self.rawSubject = rawSubject
    self.clientMessageID = clientMessageID
    self.receiptType = receiptType
    self.bytes = bytes
    self.accepted = accepted
  }
}

/// Where a queue entry goes.
public enum Route: Sendable, Hashable, Codable {
  /// A mailbox of our own: Maildir or LMTP, as configured.
  case mailbox
  /// The next hop of that name in the configuration ("default", or a domain).
  case relay(String)

  /// `mailbox`, or `relay:NAME`: how it is stored and shown.
  public var text: String {
    switch self {
    case .mailbox: "mailbox"
    case .relay(let name): "relay:\(name)"
    }
  }

  /// Reads what `text` wrote.
  public init?(text: String) {
    if text == "mailbox" {
      self = .mailbox
    } else if text.hasPrefix("relay:") {
      self = .relay(String(text.dropFirst(6)))
    } else {
      return nil
    }
  }
}

/// A message waiting for delivery to one or more recipients by one route. Recipients leave it one by one, as their fate is known.
public struct QueueEntry: Sendable, Equatable {
  /// Unique and stable for the entry's life: derived from the message's id, the route and a running number.
  public var id: String
  public var pecID: String
  /// Message-ID of the message, without brackets.
  public var messageID: String
  public var kind: MessageKind
  /// MAIL FROM.
  public var sender: String
  /// Recipients whose fate is open.
  public var recipients: [String]
  public var route: Route
  /// The message's octets, in order.
  public var content: [StoredRange]
  public var createdAt: Int64
  /// Unix seconds of the next attempt.
  public var dueAt: Int64
  public var attempts: Int
  /// The last failure, for people.
  public var lastError: String?

  /// A record of these fields.
  public init(
    id: String, pecID: String, messageID: String, kind: MessageKind, sender: String, recipients: [String], route: Route,
    content: [StoredRange], createdAt: Int64, dueAt: Int64, attempts: Int = 0, lastError: String? = nil
  ) {
    self.id = id
    self.pecID = pecID
    self.messageID = messageID
    self.kind = kind
    self.sender = sender
    self.recipients = recipients
    self.route = route
    self.content = content
    self.createdAt = createdAt
    self.dueAt = dueAt
    self.attempts = attempts
    self.lastError = lastError
  }

  /// Size of the message in octets.
  public var bytes: Int { content.reduce(0) { $0 + Int($1.length) } }
}

/// How it ended for a recipient, as far as this gateway knows.
public enum RecipientEnd: String, Sendable, Codable {
  /// The next hop or the mailbox took the message.
  case delivered
  /// It will not be delivered; the sender has a notice.
  case failed
}

/// A change of the ledger. A list of changes is committed as one: all of it is durable, or none.
public enum LedgerChange: Sendable, Equatable {
  case event(EventRecord)
  case transaction(TransactionRecord)
  case enqueue(QueueEntry)
  /// These recipients of the entry are done, and how; an entry without recipients goes.
  case settle(entry: String, recipients: [String], end: RecipientEnd = .delivered)
  /// The entry is tried again later.
  case postpone(entry: String, dueAt: Int64, attempts: Int, lastError: String)
}
