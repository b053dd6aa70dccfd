import PEC

/// A signed message with the queue entries that carry it to its recipients.
///
/// Its octets are fragments: what we composed, and ranges of the original, which the committer maps to where the spool keeps them.
public struct OutgoingMessage: Sendable {
  /// The message's octets in order: head, signed part, signature.
  public var content: [Fragment]
  /// Where it goes. `content` of each entry is filled in by the committer, who knows where the octets lie.
  public var entries: [QueueEntry]
  /// What it is about.
  public var matter: Matter

  /// A draft with its signature.
  init(draft: Draft, signature: [UInt8], entries: [QueueEntry], matter: Matter) {
    self.init(
      content: [.composed(draft.head)] + draft.signed + [.composed(draft.tail(signature: signature))], entries: entries, matter: matter)
  }

  /// A message of these octets.
  init(content: [Fragment], entries: [QueueEntry], matter: Matter) {
    self.content = content
    self.entries = entries
    self.matter = matter
  }
}

/// What a message of the queue is about: the facts that its receipts, notices and log rows are written from.
public struct Matter: Sendable, Equatable {
  public var transaction: TransactionRecord
  /// How the message came, where it came from outside or crossed from our access point to our delivery point.
  public var reception: ReceptionRecord?

  /// A transaction, and the reception of its envelope at our incoming point.
  public init(_ transaction: TransactionRecord, _ reception: ReceptionRecord?) {
    self.transaction = transaction
    self.reception = reception
  }

  /// A reception: the transaction is what it certifies.
  public init(_ reception: ReceptionRecord) {
    self.init(reception.facts, reception)
  }
}

/// All that becomes durable together: rows of the ledger, and messages with their octets. One group commit, or nothing.
public struct CommitPlan: Sendable {
  public var changes: [LedgerChange]
  public var messages: [OutgoingMessage]
  /// The original is put into quarantine under this record: durable before the rows that speak of it. Keeping it twice is harmless.
  public var quarantine: QuarantineRecord?

  /// A plan of these rows and messages.
  public init(changes: [LedgerChange], messages: [OutgoingMessage], quarantine: QuarantineRecord? = nil) {
    self.changes = changes
    self.messages = messages
    self.quarantine = quarantine
  }

  /// True when a message points at octets of the original, which must then be in the spool before the rows that name it.
  public var needsOriginal: Bool {
    messages.contains { message in
      message.content.contains { if case .original = $0 { true } else { false } }
    }
  }
}

/// The words an SMTP client is answered with at the end of a message.
public struct Verdict: Sendable, Equatable {
  public var code: Int
  public var enhanced: String
  public var text: String

  /// An answer to the client.
  public init(code: Int, enhanced: String, text: String) {
    self.code = code
    self.enhanced = enhanced
    self.text = text
  }
}

/// What a journey asks of the world around it.
public enum Effect: Sendable {
  /// Have the whole original looked at by the virus scanner; answer with `.scanned`.
  case scan
  /// Ask whether these mailboxes have room for so many octets; answer with `.quotas`, in this order.
  case askQuota([String], bytes: Int)
  /// Sign these drafts, all of them, in this order, with this signing time; answer with `.signed`.
  case sign([Draft], at: Instant)
  /// Make this durable; answer with `.committed` or `.commitFailed`.
  case commit(CommitPlan)
  /// Answer the client.
  case reply(Verdict)
  /// The octets of the original are needed no longer.
  case releaseOriginal
  /// Nothing more comes from this journey.
  case finished
}
