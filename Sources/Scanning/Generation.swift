import Channels
import ScanWire

/// One scanner process with its workers, from its start to its last word. The keeper's thread alone uses it.
final class Generation {
  enum Stage {
    /// It loads the database.
    case loading
    /// The database is loaded, the first workers are being forked.
    case forking
    /// Messages go to its workers.
    case current
    /// A newer one has taken over; its workers finish what they have.
    case retiring
    /// It was told to end, or killed; its last word is awaited.
    case ending
  }

  /// How a process that was given up goes.
  enum Farewell {
    /// It is killed.
    case killed
    /// It closed its channel and is about to end by itself; how is worth knowing.
    case left
    /// It said why, and ends.
    case said
  }

  /// A worker that was ordered.
  struct Order {
    var slot: Int
    /// The gateway's end of its job channel.
    var channel: Channel
    /// When the parent is given up, milliseconds of the monotonic clock.
    var until: Int
  }

  /// A worker of a new generation that was given a harmless message: who takes over must have shown that it can.
  struct Trial {
    var seat: Seat
    var id: UInt64
    var until: Int
  }

  /// A worker that was killed.
  struct Killed {
    /// Who waits for another one.
    var slot: Int
    var until: Int
  }

  let number: UInt64
  let child: ChildProcess
  let control: Channel
  let folder: ScanFolder
  /// Who asked for the load.
  var requests: [@Sendable (String, Bool) -> Void]
  var stage = Stage.loading
  /// End of the patience with the stage.
  var until: Int
  var lineage: Lineage?
  /// Why it was given up, until that was told; and in which stage.
  var failure: String?
  var lostAs: Stage?
  var farewell = Farewell.killed
  /// When to leave its folder where it is.
  var folderUntil: Int?

  var orders: [UInt32: Order] = [:]
  private var orderNumber: UInt32 = 0
  /// Workers that live.
  var workers: [Int32: Seat] = [:]
  var killed: [Int32: Killed] = [:]
  /// Workers that ended while their slot was with them; the slot has not said so yet.
  var obituaries: [Int32: String] = [:]
  /// First workers whose trial is not over, by slot.
  var trials: [Int: Trial] = [:]
  /// Workers that wait for the others before all take over together, by slot.
  var ready: [Int: Seat] = [:]
  /// Workers that died before they were given anything, and how many verdicts there were then.
  var stillborn = 0
  var verdictsAtStillborn: UInt64 = 0
  /// Milliseconds of the monotonic clock when it took over.
  var upSince = 0

  init(
    number: UInt64, child: ChildProcess, control: Channel, folder: ScanFolder, requests: [@Sendable (String, Bool) -> Void], until: Int
  ) {
    self.number = number
    self.child = child
    self.control = control
    self.folder = folder
    self.requests = requests
    self.until = until
  }

  /// Sends an order; it must be taken at once, because the parent has nothing else to do than to read.
  func send(_ order: ParentOrder, passing descriptor: Descriptor? = nil) throws(ChannelError) {
    try control.send(order.encoded, passing: descriptor, waitingMilliseconds: 0)
  }

  /// Orders a worker for a slot.
  func fork(slot: Int, until: Int) throws(ChannelError) {
    let (ours, theirs) = try Channel.pair()
    orderNumber += 1
    try send(.fork(number: orderNumber), passing: theirs.descriptor)
    orders[orderNumber] = Order(slot: slot, channel: ours, until: until)
  }

  /// Ends the traffic with all workers; those who wait for one are told.
  func shutDownWorkers() {
    for seat in workers.values { seat.shutDown() }
    orders = [:]
    killed = [:]
    obituaries = [:]
    trials = [:]
    ready = [:]
  }

  /// When something is overdue, milliseconds of the monotonic clock; nil when nothing is awaited.
  var dueAt: Int? {
    let own: Int? =
      switch stage {
      case .loading, .ending: until
      case .forking, .current, .retiring: nil
      }
    let others = orders.values.map(\.until) + killed.values.map(\.until) + trials.values.map(\.until)
    return ([own].compactMap { $0 } + others).min()
  }
}
