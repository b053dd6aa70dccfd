import Synchronization
import TLSPipe
import Threading

/// What the lanes tell each other and the queue's thread: the same for all settings that come and go while the gateway runs.
final class LaneRegister: Sendable {
  /// True while the ledger has entries that are due and that no lane has had room for.
  let queueHasMore = Atomic<Bool>(false)
  /// True from when a lane has said that it has room again until the pager has looked.
  let queueIsAsked = Atomic<Bool>(false)
  let pager = Mutex<QueuePager?>(nil)
  let drained = Mutex<Set<Int>>([])
  /// A lane that rests has no sessions any more.
  let rested = Handoff<Void>()
  /// True when a lane ended with something in hand of which it does not know what became.
  let endedInDoubt = Atomic<Bool>(false)
  let onDrained: @Sendable () -> Void
  /// What holds now, for who looks at it from outside the lanes.
  let serverTLS: Mutex<TLSContext?>

  init(onDrained: @escaping @Sendable () -> Void, serverTLS: TLSContext?) {
    self.onDrained = onDrained
    self.serverTLS = Mutex(serverTLS)
  }
}
