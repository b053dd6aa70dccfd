import Octets
import PEC
import Reception

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
  /// The incoming point took a valid transport envelope.
  case envelopeReceived = "ricezione-busta"
  /// A take-charge receipt was made.
  case takeCharge = "presa-in-carico"
  /// The delivery point stored an envelope and made its delivery receipt.
  case delivery = "avvenuta-consegna"
  /// A receipt or notice of another provider arrived for a user.
  case notificationReceived = "ricezione-ricevuta"
  /// Another provider's take-charge receipt arrived.
  case takeChargeReceived = "ricezione-presa-in-carico"
  /// Another provider's virus detection notice arrived.
  case virusDetectionReceived = "ricezione-rilevazione-virus"
  /// A virus non-delivery notice was made.
  case virusNonDelivery = "mancata-consegna-virus"
  /// A message of the certified channel, or ordinary mail, was put into an anomaly envelope.
  case anomaly = "busta-anomalia"
  /// Ordinary mail was refused.
  case ordinaryRefused = "posta-ordinaria-rifiutata"
  /// Ordinary mail was discarded.
  case ordinaryDiscarded = "posta-ordinaria-scartata"
  /// Ordinary mail was forwarded to where the holder wants it.
  case ordinaryForwarded = "posta-ordinaria-inoltrata"
  /// A next hop took the word by ordinary mail that a message had arrived, as the holder wants it.
  case arrivalNoticeSent = "avviso-di-arrivo"
  /// Such a word could not be sent and was given up.
  case arrivalNoticeDropped = "avviso-di-arrivo-non-inviato"
  /// A message arrived that had arrived before.
  case duplicate = "duplicato"
  /// The mailbox server took an envelope; the receipt waits for its word that it was delivered.
  case awaitingProof = "attesa-conferma"
  /// The access point refused an infected message.
  case nonAcceptanceVirus = "non-accettazione-virus"
  /// The incoming point found a virus in an envelope and made a virus detection notice.
  case virusDetection = "rilevazione-virus"
  /// A virus in a receipt, notice or malformed message of the certified channel: quarantined, nothing delivered.
  case infectedCertified = "messaggio-certificato-infetto"
  /// A virus in ordinary mail.
  case ordinaryInfected = "posta-ordinaria-infetta"
  /// The virus scanner could not come to a verdict: the message was not taken.
  case scanFault = "verifica-sicurezza-fallita"
  /// The notice after 12 hours of silence was made.
  case timeoutFirst = "mancata-consegna-12h"
  /// The notice before 24 hours without delivery were over was made.
  case timeoutSecond = "mancata-consegna-24h"
  // What happens to the log itself and to what it rests on; these rows bear no PEC id.
  /// A gateway began to write.
  case logOpened = "apertura-registro"
  /// It ended in order.
  case logClosed = "chiusura-registro"
  /// The provider index was refreshed, or was not.
  case indexUpdated = "aggiornamento-indice"
  /// The clock cannot be trusted: nothing is certified.
  case clockAlarm = "allarme-orologio"
  /// The clock can be trusted again.
  case clockTrusted = "orologio-affidabile"
  /// Rows were sealed.
  case sealed = "sigillo"
  /// A seal got its time stamp.
  case stamped = "marca-temporale"
  /// A seal has no time stamp yet: an alarm.
  case stampMissing = "marca-temporale-mancante"
  /// A day was removed when its time was over.
  case purged = "scarto"
  /// Days were put under a hold.
  case held = "vincolo"
  /// A hold was lifted.
  case holdLifted = "vincolo-rimosso"
  /// A request for an extract came, or went on.
  case extractRequest = "richiesta-estratto"
  /// An extract was made for a holder or a judge.
  case extractMade = "estratto"
  /// The operator held something of the delivery queue.
  case deliveryHeld = "recapito-sospeso"
  /// The operator released it.
  case deliveryReleased = "recapito-ripreso"
  /// The operator set what a holder wants.
  case choiceChanged = "scelta-del-titolare"
  /// A backup was restored: the log goes on from there.
  case restored = "ripristino"

  /// True for the rows that say what arrived at the incoming point.
  var isArrival: Bool {
    switch self {
    case .envelopeReceived, .notificationReceived, .takeChargeReceived, .virusDetectionReceived, .anomaly: true
    default: false
    }
  }

  /// True for the rows about the log itself, which belong to no message.
  public var isAboutTheLog: Bool {
    switch self {
    case .logOpened, .logClosed, .indexUpdated, .clockAlarm, .clockTrusted, .sealed, .stamped, .stampMissing, .purged, .held, .holdLifted,
      .extractRequest, .extractMade, .deliveryHeld, .deliveryReleased, .choiceChanged, .restored:
      true
    default: false
    }
  }
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

extension EventRecord {
  /// A row about the log itself, which belongs to no message.
  /// - Parameters:
  ///   - kind: one of those that are about the log.
  ///   - detail: what happened, in words.
  ///   - provider: our own name.
  public init(aboutTheLog kind: EventKind, _ detail: String, by provider: String, at instant: Instant) {
    self.init(
      pecID: "", instant: instant, kind: kind, sender: "", recipients: [], subject: nil, clientMessageID: nil, relatedIDs: [],
      provider: provider, detail: detail, bytes: 0)
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
  /// Id of the reception that brought the message, or that it was made about; nil for what is about a submission of our own.
  public var reception: String?
  /// True when octets above 127 are in the message (RFC 6152).
  public var hasEightBit: Bool
  /// What a delivery report must name to be believed (ENVID, RFC 3461 §4.4): random, known to the mailbox server alone. Every envelope
  /// to a mailbox has one, whether the mailboxes' server proves by reports or not: that may change while the entry waits. Nil for the
  /// rest, of which no receipt is made.
  public var proofToken: String?
  /// Recipients whom the mailbox server has taken and of whom no report has come yet. Not among `recipients` any more.
  public var awaiting: [String]

  /// A record of these fields.
  public init(
    id: String, pecID: String, messageID: String, kind: MessageKind, sender: String, recipients: [String], route: Route,
    content: [StoredRange], createdAt: Int64, dueAt: Int64, attempts: Int = 0, lastError: String? = nil, reception: String? = nil,
    hasEightBit: Bool = false, proofToken: String? = nil, awaiting: [String] = []
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
    self.reception = reception
    self.hasEightBit = hasEightBit
    self.proofToken = proofToken
    self.awaiting = awaiting
  }

  /// Size of the message in octets; as much as there can be when the ranges are damaged.
  public var bytes: Int {
    content.reduce(0) { sum, range in
      let (next, isOver) = sum.addingReportingOverflow(Int(clamping: range.length))
      return isOver ? .max : next
    }
  }
}

/// How far a message has come for a recipient, as far as this gateway knows.
public enum RecipientEnd: String, Sendable, Codable {
  /// The next hop took the envelope. For an ordinary recipient nothing more is heard.
  case relayed
  /// The recipient's provider took the message in charge.
  case takenInCharge = "taken-in-charge"
  /// It is in the mailbox: there is a delivery receipt, or the mailbox took it.
  case delivered
  /// It will not be delivered; the sender has a notice.
  case failed

  /// True when nothing comes after it.
  public var isFinal: Bool { self == .delivered || self == .failed }
}

/// What the incoming point took a message for (`pec-rules` 6.3).
public enum ReceptionKind: String, Sendable, Codable {
  /// A valid transport envelope.
  case envelope
  /// A valid receipt or notice for a user.
  case notification
  /// A take-charge receipt or virus detection notice for the service mailbox.
  case serviceNotice = "service-notice"
  /// Signed by a provider, and malformed.
  case anomaly
  /// Everything else.
  case ordinary
}

/// A message that the incoming point took in one SMTP transaction, for these recipients: what receipts and notices about it are
/// written from.
public struct ReceptionRecord: Sendable, Equatable {
  /// Our own identifier of the reception, in the form of a PEC id; ids of what we make of it are derived from it.
  public var id: String
  /// Time of arrival.
  public var instant: Instant
  public var kind: ReceptionKind
  /// What is certified about the original; of mail that certifies nothing, what its header says (its `pecID` is then `id`).
  public var facts: TransactionRecord
  /// Recipients of this reception: those of the SMTP transaction that the kind holds for.
  public var recipients: [String]
  /// Recipients among them whom the envelope names in Cc alone: theirs is the concise receipt (RFC 6109 §3.3.2).
  public var copyRecipients: [String]
  /// Name of the provider that signed it; empty for ordinary mail.
  public var provider: String
  /// Hexadecimal digest over the signed octets and the signer's certificate; empty for ordinary mail. The same message has the same.
  public var fingerprint: String
  /// Where postacert.eml lies in the message as it is stored; nil where there is none.
  public var original: Range<Int>?
  /// Content-Transfer-Encoding of that part, in lower case.
  public var originalEncoding: String

  /// A record of these fields.
  public init(
    id: String, instant: Instant, kind: ReceptionKind, facts: TransactionRecord, recipients: [String], copyRecipients: [String] = [],
    provider: String, fingerprint: String, original: Range<Int>? = nil, originalEncoding: String = "7bit"
  ) {
    self.id = id
    self.instant = instant
    self.kind = kind
    self.facts = facts
    self.recipients = recipients
    self.copyRecipients = copyRecipients
    self.provider = provider
    self.fingerprint = fingerprint
    self.original = original
    self.originalEncoding = originalEncoding
  }
}

/// A change of the ledger. A list of changes is committed as one: all of it is durable, or none.
public enum LedgerChange: Sendable, Equatable {
  case event(EventRecord)
  case transaction(TransactionRecord)
  case enqueue(QueueEntry)
  /// These recipients of the entry are done, and how; an entry without recipients goes. They may be among its `awaiting`.
  case settle(entry: String, recipients: [String], end: RecipientEnd = .delivered)
  /// The entry is tried again later.
  case postpone(entry: String, dueAt: Int64, attempts: Int, lastError: String)
  /// A message that arrived. With an `end` nothing more comes of it: that is its recipients' fate from the start.
  case reception(ReceptionRecord, end: RecipientEnd? = nil)
  /// How far our own transaction of that PEC id has come for these recipients. It never goes back: what is final stays. Nothing happens
  /// when there is no such transaction or recipient.
  case progress(pecID: String, recipients: [String], to: RecipientEnd)
  /// The mailbox server took the entry for these recipients; a report is to come.
  case awaitProof(entry: String, recipients: [String])
  /// A deadline begins to run for a transaction of this same commit, or an earlier one.
  case watch(DeadlineWatch)
  /// A deadline has come: its watch goes, and `next` takes its place. The commit is refused (`conflict`) when the watch is not there any
  /// more, or when a recipient is not as far as `progress` says any more: the decision rests on that.
  case deadlinePassed(DeadlineWatch, progress: [RecipientProgress], next: DeadlineWatch?)
  /// Rows were sealed. Refused when it does not follow the last seal.
  case seal(SealRecord)
  /// A seal got its time stamp.
  case stamp(seal: Int64, at: Int64, authority: String)
  /// A request for an extract, new or moved on.
  case request(LogRequestRecord)
  /// Days that must not be purged.
  case hold(LogHold)
  /// The hold of that id is lifted.
  case liftHold(id: String)
  /// Something of the queue waits from now on. Refused (`conflict`) when it is held already.
  case holdQueue(QueueHold)
  /// It waits no longer, from this time (Unix seconds) on. Refused when it was not held.
  case releaseQueue(QueueScope, at: Int64)
  /// All that is held waits no longer, from this time on; but for notices of silence after a restore, which are a question of their own.
  case releaseWholeQueue(at: Int64)
  /// The deadlines of what a backup brought back end without a notice, and their hold from this time on. Refused when nothing holds them.
  case dropRestoredDeadlines(at: Int64)
  /// Rows from `first` to `last` go: their time is over. Refused when they are not sealed, or held, or not the oldest.
  case purge(first: Int64, last: Int64)
  /// How many mailboxes each domain had on a day, for the statistics; replaces what was said of that day.
  case mailboxes(day: LegalDay, counts: [String: Int])
  /// What is chosen for a mailbox or domain (in lower case) from now on, in place of what was; an empty choice removes it. The time is in
  /// Unix seconds.
  case choice(HolderChoice, of: String, changedAt: Int64)
  /// A trusted peer handed over what has this key, and it became that transaction; the first of a plan's changes. The time is in Unix
  /// seconds.
  case handedOver(HandOverKey, pecID: String, at: Int64)
}

/// What a trusted peer handed over, octet for octet: who hands the same over again has not heard our answer.
public struct HandOverKey: Sendable, Hashable {
  /// SHA-256 of reverse path, recipients and message.
  public var digest: [UInt8]
  /// For how long it is known.
  public var seconds: Int64
  /// Keys that are too old, of which so many are forgotten with each new one.
  public var forgottenAtOnce: Int

  /// A key with its bounds.
  public init(digest: [UInt8], seconds: Int64, forgottenAtOnce: Int) {
    self.digest = digest
    self.seconds = seconds
    self.forgottenAtOnce = forgottenAtOnce
  }
}
