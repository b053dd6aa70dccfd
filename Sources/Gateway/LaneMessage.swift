import EventLoop
import Journey
import Octets
import PEC
import Reception
import ScanWire

/// What comes back to a lane from the threads it handed work to.
enum Completion: Sendable {
  /// The password was right, or not.
  case authentication(Bool)
  /// A piece of a body lies in the spool (not yet synced).
  case stored(StoredRange)
  /// A CMS signature in DER.
  case signature([UInt8])
  /// A commit is durable; these wait for delivery.
  case committed([PendingDelivery])
  /// A mailbox took, or refused, a message.
  case mailbox([RecipientFate])
  /// What was found out about a message from outside.
  case examined(Examination)
  /// The brief form of an original; nil where it is the original itself.
  case brief(EnclosedOriginal?)
  /// What the virus scanner says of a message.
  case scanned(ScanOutcome)
  /// A message is in quarantine, durably.
  case kept
  /// The work failed; the text says why.
  case failed(String)
}

/// What a lane is told by other threads.
enum LaneMessage: Sendable {
  /// Work that this lane handed out is done.
  case completed(token: UInt64, Completion)
  /// Deliver these: found in the ledger at start.
  case dispatch([PendingDelivery])
  /// An operator's word about queue entries.
  case operate(QueueOperation, ControlReply)
  /// A delivery report came in, on whichever lane: the entry that it proves may be here.
  case report(ReceivedDeliveryReport, ControlReply)
  /// A deadline has come; told is whether what followed is durable.
  case deadline(DueDeadline, @Sendable (Bool) -> Void)
  /// A message of our own to a holder, through the access point like anybody's.
  case submit(OwnMessage, @Sendable (Verdict) -> Void)
  /// Take no new connections; finish what is here.
  case drain
  /// End now.
  case stop
}

/// A queue entry with what it is about.
struct PendingDelivery: Sendable {
  var entry: QueueEntry
  var matter: Matter
  /// True when an earlier attempt, perhaps of an earlier process, may have succeeded without being remembered.
  var recovered = false
}

/// Where the answer to a piece of work goes: a lane, and a token that the lane knows.
struct ReturnAddress: Sendable {
  let lane: Mailbox<LaneMessage>
  let token: UInt64

  func send(_ completion: Completion) { lane.send(.completed(token: token, completion)) }
}
