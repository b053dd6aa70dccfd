import Journey
import Synchronization

/// An operator's word about the delivery queue, on the control socket.
public struct QueueRequest: Codable, Sendable {
  /// What is to be done.
  public enum Word: String, Codable, Sendable {
    /// Try now.
    case retry
    /// Give up: senders get their notices. One page of entries for each request, from `after` up to `end`.
    case bounce
    /// Attempt nothing from now on, of what is there and of what comes.
    case hold
    /// Take a hold back; of everything: all holds.
    case release
    /// Say how many are under way.
    case underWay
    /// Let the notices of silence go out about what a backup brought back.
    case sendNotices
    /// Make none about it.
    case dropNotices
  }

  public var word: Word
  /// What it is about; none of them: everything.
  public var entry: String?
  public var route: String?
  public var domain: String?
  /// What a restore brought back: entries made up to this time (Unix seconds).
  public var restored: Int64?
  /// Why it is held.
  public var reason: String?
  /// True when receipts and notices are given up too, of which nobody is told.
  public var withReceipts: Bool?
  /// Where the page before ended, and what was the last entry when the first began.
  public var after: Int64?
  public var end: Int64?

  /// A word about everything; say of what else by its fields.
  public init(_ word: Word) { self.word = word }

  /// What it is about; nil when that cannot be read.
  var scope: QueueScope? {
    switch (entry, route, domain, restored) {
    case (nil, nil, nil, nil): .all
    case (let id?, nil, nil, nil): QueueScope(kind: "entry", name: id)
    case (nil, let route?, nil, nil): QueueScope(kind: "route", name: route)
    case (nil, nil, let domain?, nil): QueueScope(kind: "domain", name: domain)
    case (nil, nil, nil, let time?): .restored(until: time)
    default: nil
    }
  }
}

/// What became of an operator's word.
public struct QueueAnswer: Codable, Sendable {
  /// Entries for which it is done.
  public var done: Int
  /// Entries that are under way: they are given up when their attempt has ended without success; of `underWay`, all that are.
  public var underWay: Int
  /// Entries of which nothing could be made durable: they are as they were.
  public var failed: Int
  /// Where the next page goes on; nil when there is no more.
  public var next: Int64?
  /// The last entry when the first page began.
  public var end: Int64?

  /// An answer of these numbers.
  public init(done: Int = 0, underWay: Int = 0, failed: Int = 0, next: Int64? = nil, end: Int64? = nil) {
    self.done = done
    self.underWay = underWay
    self.failed = failed
    self.next = next
    self.end = end
  }
}

/// An operator's word on entries that a lane may have.
enum QueueOperation: Sendable {
  /// Try these now.
  case retry([String])
  /// Try now what is here of this.
  case retryAll(QueueScope)
  /// Give these up, for the recipients that the scope is about.
  case bounce([String], QueueRemoval)
  /// Say what is under way.
  case underWay(QueueScope)
}

/// What of an entry an operator gives up, and who he is.
struct QueueRemoval: Sendable {
  var scope: QueueScope
  var person: Operator
}

/// What a lane says of entries that an operator spoke of.
struct QueueTally: Sendable, Equatable {
  var done: [String] = []
  var underWay: [String] = []
  var failed: [String] = []
  /// They are not here: settled, or left to the ledger while it was read.
  var missing: [String] = []

  static func + (left: QueueTally, right: QueueTally) -> QueueTally {
    QueueTally(
      done: left.done + right.done, underWay: left.underWay + right.underWay, failed: left.failed + right.failed,
      missing: left.missing + right.missing)
  }
}

/// Gathers what the lanes say, and passes it on when the last has spoken.
final class QueueReply: Sendable {
  private let state: Mutex<(missing: Int, tally: QueueTally)>
  private let then: @Sendable (QueueTally) -> Void

  init(lanes: Int, then: @escaping @Sendable (QueueTally) -> Void) {
    state = Mutex((lanes, QueueTally()))
    self.then = then
  }

  func add(_ tally: QueueTally) {
    let all: QueueTally? = state.withLock { state in
      state.missing -= 1
      state.tally = state.tally + tally
      return state.missing == 0 ? state.tally : nil
    }
    if let all { then(all) }
  }
}
