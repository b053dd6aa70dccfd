import EventLoop
import Synchronization
import Threading

/// How far a gateway has come with taking nothing new.
final class DrainState: Sendable {
  private let since = Atomic<Int64>(0)

  /// True once nothing new is taken.
  var isDraining: Bool { since.load(ordering: .relaxed) != 0 }

  /// False when it was so already.
  func begin(at now: Int64) -> Bool { since.compareExchange(expected: 0, desired: now, ordering: .relaxed).exchanged }
}

extension Gateway {
  /// The listening sockets, for a process that takes over.
  public var listeningSockets: [ListeningSocket] { doors.withLock { $0.doors.flatMap(\.sockets) } }

  /// Takes no new connections and lets sessions under way end by themselves for up to `seconds`; those that are silent between two messages
  /// are told 421. Deliveries go on. Returns when there are no sessions any more, or the time is over. Blocks.
  /// - Parameter closes: whether the listening sockets are closed, so that nobody can connect; else what connects waits in the kernel's queue
  ///   for the process that takes over.
  public func rest(forSeconds seconds: Int, closes: Bool) {
    tellLanes { _, then in .rest(refusing: closes, then) }
    // Those that were handed in stay: who opened them keeps them open, and would let connections wait for nothing.
    if closes {
      let closing = doors.withLock { held in
        defer { held.doors.removeAll { !$0.isHandedIn } }
        return held.doors.filter { !$0.isHandedIn }
      }
      for socket in closing.flatMap(\.sockets) { socket.stop() }
      watch.adopt(doors.withLock { $0 })
    }
    let until = ContinuousClock.now + .seconds(seconds)
    while shared.counters.openConnections.load(ordering: .relaxed) > 0, ContinuousClock.now < until { shared.waitForRest() }
  }

  /// Finishes what is here and takes nothing new, for good: sessions may go on for `seconds`, then they are told 421; the queue is delivered
  /// for as long as the gateway runs. Returns at once with a line for people.
  func drain(seconds: Int) -> String {
    let open = shared.counters.openConnections.load(ordering: .relaxed)
    guard drainState.begin(at: shared.now().unixSeconds) else { return "draining already, \(open) sessions" }
    shared.measures.isDraining.set(1)
    shared.logger.notice("draining: nothing new is taken, \(open) sessions may end within \(seconds) seconds")
    WorkerThread(name: "drain") { [self] in
      rest(forSeconds: seconds, closes: true)
      for inbox in inboxes { inbox.send(.expel) }
      shared.logger.notice("drained: no new sessions; what is in the queue is being delivered")
    }.detach()
    return "draining: nothing new is taken, \(open) sessions may end within \(seconds) seconds"
  }

  /// Asks every part that mail depends on for a sign of life; `then` is called once all have given one, on any thread, and never when one does
  /// not.
  public func askForPulse(_ then: @escaping @Sendable () -> Void) {
    // What only a restart mends gives none, or a file system that the kernel shut to us would stay shut: it wants all its files closed.
    guard shared.committer.brokenBecause == nil else { return }
    let missing = PulseCount(inboxes.count + 2, then)
    for inbox in inboxes { inbox.send(.pulse { missing.heard() }) }
    shared.committer.perform(.pulse { missing.heard() })
    shared.askSignerForPulse { missing.heard() }
  }
}

/// Counts signs of life.
private final class PulseCount: Sendable {
  private let missing: Atomic<Int>
  private let then: @Sendable () -> Void

  init(_ count: Int, _ then: @escaping @Sendable () -> Void) {
    missing = Atomic(count)
    self.then = then
  }

  func heard() { if missing.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { then() } }
}
