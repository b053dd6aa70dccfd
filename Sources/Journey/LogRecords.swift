import PEC

/// Which of the two silences a sender is told of (RFC 6109 §3.1.6).
public enum DeadlineStage: Int, Sendable, Codable, CaseIterable {
  /// After 12 hours neither take-charge nor delivery.
  case first = 1
  /// Before 24 hours are over no delivery.
  case second = 2
}

/// A deadline that runs for a transaction: for all of its certified recipients together, whose states decide whom it is about when it
/// has come.
public struct DeadlineWatch: Sendable, Equatable {
  public var pecID: String
  public var stage: DeadlineStage
  /// Unix seconds at which it is looked at.
  public var dueAt: Int64

  /// A watch over the transaction of that PEC id.
  public init(pecID: String, stage: DeadlineStage, dueAt: Int64) {
    self.pecID = pecID
    self.stage = stage
    self.dueAt = dueAt
  }
}

/// How far a message has come for one recipient at the moment of a decision.
public struct RecipientProgress: Sendable, Equatable {
  public var recipient: Recipient
  /// Nil while nothing is known.
  public var end: RecipientEnd?

  /// A recipient's state.
  public init(recipient: Recipient, end: RecipientEnd?) {
    self.recipient = recipient
    self.end = end
  }
}

/// A deadline that has come, with all that the decision needs.
public struct DueDeadline: Sendable, Equatable {
  public var watch: DeadlineWatch
  public var transaction: TransactionRecord
  /// All recipients, in the order given by the sender.
  public var progress: [RecipientProgress]

  /// A deadline of this transaction.
  public init(watch: DeadlineWatch, transaction: TransactionRecord, progress: [RecipientProgress]) {
    self.watch = watch
    self.transaction = transaction
    self.progress = progress
  }
}

/// A seal over consecutive rows of the certified log, as the ledger remembers it. Its files hold the rest.
public struct SealRecord: Sendable, Equatable {
  /// 1, 2, 3…
  public var number: Int64
  /// First and last row that it covers.
  public var first: Int64
  public var last: Int64
  public var madeAt: Instant
  /// SHA-256 of the signed manifest's octets, by which the next seal names this one; hexadecimal.
  public var digest: String
  /// Merkle root over the rows (RFC 6962 §2.1), hexadecimal.
  public var root: String
  /// Chain value after its last row, hexadecimal.
  public var chain: String
  /// The time that a time-stamping authority vouches for; nil while there is no stamp.
  public var stampedAt: Int64?
  /// Which authority that was.
  public var authority: String?

  /// A record of these fields.
  public init(
    number: Int64, first: Int64, last: Int64, madeAt: Instant, digest: String, root: String, chain: String, stampedAt: Int64? = nil,
    authority: String? = nil
  ) {
    self.number = number
    self.first = first
    self.last = last
    self.madeAt = madeAt
    self.digest = digest
    self.root = root
    self.chain = chain
    self.stampedAt = stampedAt
    self.authority = authority
  }
}

/// A request for an extract of the log (`pec-rules` 9.5), from its arrival to its answer.
public struct LogRequestRecord: Sendable, Equatable {
  /// How far a request is.
  public enum State: String, Sendable, Codable, CaseIterable {
    /// It came, and is being worked on.
    case open
    /// The operator has it: it could not be answered by itself.
    case waiting
    /// The extract was sent.
    case answered
    /// It could not be understood, or asks for what its sender may not see: the form was sent.
    case returned
    /// It was refused by the operator.
    case refused

    /// True when nothing comes after it.
    public var isFinal: Bool { self == .answered || self == .returned || self == .refused }
  }

  /// Derived from the message that brought it.
  public var id: String
  /// PEC id of the message that brought it.
  public var pecID: String
  /// Who asks: the certified sender of that message.
  public var asker: String
  public var openedAt: Instant
  public var state: State
  /// Unix seconds of the last change of state.
  public var changedAt: Int64
  /// What was asked, as it was understood: `field: value` lines; empty when nothing was.
  public var question: String
  /// What came of it, for people.
  public var outcome: String
  /// PEC id of the message that answered it.
  public var answerID: String?

  /// A record of these fields.
  public init(
    id: String, pecID: String, asker: String, openedAt: Instant, state: State = .open, changedAt: Int64, question: String = "",
    outcome: String = "", answerID: String? = nil
  ) {
    self.id = id
    self.pecID = pecID
    self.asker = asker
    self.openedAt = openedAt
    self.state = state
    self.changedAt = changedAt
    self.question = question
    self.outcome = outcome
    self.answerID = answerID
  }
}

/// Days of the log that must not be purged, for a case at law.
public struct LogHold: Sendable, Equatable {
  public var id: String
  /// First and last day, both included.
  public var from: LegalDay
  public var to: LegalDay
  /// Why, and who said so.
  public var reason: String
  /// Unix seconds.
  public var madeAt: Int64

  /// A hold over these days.
  public init(id: String, from: LegalDay, to: LegalDay, reason: String, madeAt: Int64) {
    self.id = id
    self.from = from
    self.to = to
    self.reason = reason
    self.madeAt = madeAt
  }
}
