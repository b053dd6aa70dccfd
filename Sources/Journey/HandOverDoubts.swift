/// Which messages of the queue a mailbox may have without our knowing it, since the word of its server (LMTP, RFC 2033) was not heard or
/// was heard and lost: those in hand when an earlier process came to no orderly end, those whose connection ended between the last octet
/// and the answer, and those that the server put off when it had all of them: Dovecot says 451 of a message whose file is there already,
/// when it is stopped while it waits for an index. What is in doubt is not handed over before the mailbox was asked: otherwise the holder
/// has it twice.
///
/// An earlier process cannot say what it had in hand (a durable word for each hand-over would cost a commit), so all that was in the queue
/// up to a time is in doubt for good; it is asked about before each attempt. For one lane.
public struct HandOverDoubts: Sendable {
  /// What has to be done before an attempt.
  public enum Standing: Sendable, Equatable {
    /// Nothing is in doubt: hand it over.
    case certain
    /// Too early to ask, up to this time (Unix seconds): the server may be storing it at this moment.
    case tooEarly(until: Int64)
    /// These recipients' mailboxes must be asked.
    case doubtful([String])
  }

  private struct Doubt: Sendable {
    var recipients: Set<String>
    var askableAt: Int64
  }

  private let graceSeconds: Int64
  private let capacity: Int
  /// Entries that were made up to then (Unix seconds) are in doubt, and when they may be asked about.
  private var horizon: (createdBy: Int64, askableAt: Int64)
  private var doubts: [String: Doubt] = [:]

  /// - Parameters:
  ///   - createdBy: entries that were made up to this time (Unix seconds) are in doubt; `.min` for none.
  ///   - now: Unix seconds.
  ///   - graceSeconds: how long a server may still be storing what it was given.
  ///   - capacity: entries that are remembered one by one.
  public init(createdBy: Int64, at now: Int64, graceSeconds: Int, capacity: Int) {
    self.graceSeconds = Int64(graceSeconds)
    self.capacity = capacity
    horizon = (createdBy, now + Int64(graceSeconds))
  }

  /// True when a doubt has come up in this run and is not cleared away.
  public private(set) var hasOverflowed = false
  public var isOpen: Bool { hasOverflowed || !doubts.isEmpty }

  /// What is to be done before `entry` is handed over to `recipients`.
  public func standing(of entry: QueueEntry, for recipients: [String], at now: Int64) -> Standing {
    let doubt = doubts[entry.id]
    let isEarlier = entry.createdAt <= horizon.createdBy
    let doubtful = isEarlier ? recipients : recipients.filter { doubt?.recipients.contains($0) ?? false }
    if doubtful.isEmpty { return .certain }
    let askableAt = max(isEarlier ? horizon.askableAt : .min, doubt?.askableAt ?? .min)
    return now < askableAt ? .tooEarly(until: askableAt) : .doubtful(doubtful)
  }

  /// True when a recipient may have an entry without our knowing it.
  /// - Parameter isAsked: true when mailboxes are asked before each attempt: of what an earlier process left, the answer says it.
  public func mayHave(_ entry: QueueEntry, _ recipient: String, isAsked: Bool) -> Bool {
    doubts[entry.id]?.recipients.contains(recipient) == true || (!isAsked && entry.createdAt <= horizon.createdBy)
  }

  /// The answer for these recipients of an entry did not come, or it is not to be relied on.
  /// - Parameter isOver: true when the server has answered: it is storing nothing at this moment, and its mailboxes may be asked at once.
  public mutating func cutOff(_ entry: String, for recipients: [String], at now: Int64, isOver: Bool = false) {
    if recipients.isEmpty { return }
    guard doubts[entry] != nil || doubts.count < capacity else {
      // More than can be remembered: all that there is by now is in doubt.
      hasOverflowed = true
      horizon = (max(horizon.createdBy, now), max(horizon.askableAt, now + graceSeconds))
      doubts = [:]
      return
    }
    var doubt = doubts[entry] ?? Doubt(recipients: [], askableAt: .min)
    doubt.recipients.formUnion(recipients)
    doubt.askableAt = max(doubt.askableAt, isOver ? now : now + graceSeconds)
    doubts[entry] = doubt
  }

  /// The mailboxes of these recipients were asked and do not have it.
  public mutating func isAbsent(_ entry: String, for recipients: [String]) {
    doubts[entry]?.recipients.subtract(recipients)
    if doubts[entry]?.recipients.isEmpty == true { doubts[entry] = nil }
  }

  /// Of an entry nobody but these recipients is left, durably.
  public mutating func remain(_ recipients: [String], of entry: String) {
    doubts[entry]?.recipients.formIntersection(recipients)
    if doubts[entry]?.recipients.isEmpty == true { doubts[entry] = nil }
  }
}
