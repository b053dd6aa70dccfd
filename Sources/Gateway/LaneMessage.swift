import EventLoop
import Journey
import MailRouting
import Octets
import PEC
import Reception
import ScanWire

/// What comes back to a lane from the threads it handed work to. It changes hands several times for each piece of a body, so what is
/// large stands elsewhere.
enum Completion: Sendable {
  /// The password was right, or not.
  case authentication(Bool)
  /// A piece of a body lies in the spool (not yet synced).
  case stored(StoredRange)
  /// A CMS signature in DER.
  case signature([UInt8])
  /// A commit is durable, and what it puts into the queue is on its way to the lanes.
  case committed
  /// Nothing was committed: the same was handed over before, and became that transaction.
  case repeated(String)
  /// A mailbox took, or refused, a message.
  case mailbox([RecipientFate])
  /// What was found out about a message from outside.
  indirect case examined(Examination)
  /// The brief form of an original; nil where it is the original itself.
  indirect case brief(EnclosedOriginal?)
  /// What the virus scanner says of a message.
  indirect case scanned(ScanOutcome)
  /// A message is in quarantine, durably.
  case kept
  /// The way to a domain's mail exchangers.
  indirect case planned(MailPlan)
  /// What mailboxes were asked about a message.
  indirect case searched([MailboxFinding])
  /// The work failed; the text says why.
  case failed(String)
}

/// What a lane is told by other threads.
enum LaneMessage: Sendable {
  /// Work that this lane handed out is done.
  case completed(token: UInt64, Completion)
  /// Deliver these, which were committed just now.
  case dispatch([PendingDelivery])
  /// A page of the queue is about to be read, up to this time (Unix seconds); nil for a single entry. Told is for how many entries there
  /// is room.
  case pageComes(bound: Int64?, @Sendable (Int) -> Void)
  /// This lane's share of the page.
  case page(QueueShare)
  /// An operator's word about queue entries.
  case operate(QueueOperation, QueueReply)
  /// The operator holds this from now on, and nothing else; told is when the lane knows.
  case holds(QueueHolds, @Sendable () -> Void)
  /// A delivery report came in, on whichever lane: the entry that it proves may be here.
  indirect case report(ReceivedDeliveryReport, ControlReply)
  /// A deadline has come; told is whether what followed is durable.
  indirect case deadline(DueDeadline, @Sendable (Bool) -> Void)
  /// A message of our own to a holder, through the access point like anybody's.
  indirect case submit(OwnMessage, @Sendable (Verdict) -> Void)
  /// Other settings hold for what begins from now on, and other listeners where they are given; told is when.
  indirect case settle(SharedState, [LaneDoor]?, @Sendable () -> Void)
  /// Take no new connections, and let sessions end by themselves. `refusing`: sockets that stay open are answered 421. Told is when.
  case rest(refusing: Bool, @Sendable () -> Void)
  /// Tell all sessions 421 that have nothing under way.
  case expel
  /// Give a sign of life.
  case pulse(@Sendable () -> Void)
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
  /// Unix seconds of the next attempt, as the ledger has it.
  var storedDueAt: Int64
  /// Whom the last attempt reached, for log lines; empty for nobody.
  var relay = ""

  /// True when what was tried before may be in mailboxes without our remembering it.
  var mayHaveArrived: Bool { recovered || entry.attempts > 0 }

  /// An entry as the ledger has it now.
  init(entry: QueueEntry, matter: Matter, recovered: Bool = false) {
    self.entry = entry
    self.matter = matter
    self.recovered = recovered
    storedDueAt = entry.dueAt
  }
}

/// Where the answer to a piece of work goes: a lane, and a token that the lane knows.
struct ReturnAddress: Sendable {
  let lane: Mailbox<LaneMessage>
  let token: UInt64

  func send(_ completion: Completion) { lane.send(.completed(token: token, completion)) }
}
