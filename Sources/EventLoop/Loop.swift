internal import CLibuv
import Glibc

/// An event loop on one thread: sockets, timers, signals, and messages from other threads.
///
/// The loop and everything made from it (streams, listeners, timers, deadlines) belong to the thread that made the loop; every call
/// checks it in debug builds. Only `Mailbox` and `LoopRemote` may be used from other threads. What happens is told by callbacks on
/// the loop's thread, one at a time, each running to its end.
///
/// Ownership: a handle's memory belongs to its Swift object, which libuv keeps alive through the handle's `data` from the handle's
/// making until its close callback. There the memory is freed and the reference given back, and nowhere else.
@safe
public final class Loop {
  // Owned: freed at the end of `tearDown`, once libuv has let go of every handle.
  let raw: UnsafeMutablePointer<uv_loop_t>
  // Lent to libuv for one read at a time: a read's octets are used up before the next read asks, or the slab is given away with them.
  private var slab: ReadSlab
  private var slabIsGiven = false
  private let idle: UnsafeMutablePointer<uv_idle_t>
  private let thread = pthread_self()
  let life = LoopLife()
  private var phase: LoopLife.Phase {
    get { life.phase }
    set { life.phase = newValue }
  }
  private var deferred: [() -> Void] = []
  private var wheelTimer: LoopTimer?
  /// The deadlines of this loop's sessions, moved on once a second.
  let wheel: DeadlineWheel

  /// Reaches this loop from other threads.
  public private(set) lazy var remote = LoopRemote(mailbox { [unowned self] (body: @Sendable (Loop) -> Void) in body(self) })

  /// - Parameter readSlabBytes: octets read from a socket at once; one slab serves the whole loop.
  /// - Throws: when the system has no descriptor for an event queue.
  public init(readSlabBytes: Int = 256 * 1024) throws(LoopError) {
    precondition(readSlabBytes > 0, "a read slab of no octets")
    ceralacca_uv_ignore_sigpipe()
    let loop = UnsafeMutablePointer<uv_loop_t>.allocate(capacity: 1)
    let failure = unsafe uv_loop_init(loop)
    guard failure == 0 else {
      unsafe loop.deallocate()
      throw LoopError(failure, "make an event loop")
    }
    unsafe raw = loop
    unsafe idle = .allocate(capacity: 1)
    slab = ReadSlab(readSlabBytes)
    // The clock is read while the loop is open only: at its end every deadline is cancelled.
    wheel = DeadlineWheel { unsafe uv_now(loop) }
    unsafe uv_idle_init(loop, idle)
    unsafe idle.pointee.data = unsafe Unmanaged.passUnretained(self).toOpaque()
    _ = remote
  }

  deinit {
    // A loop that was never run, or never stopped, still has its handles.
    if phase != .closed { tearDown() }
  }

  /// Memory for the next read, in which nobody has an interest.
  func slabForReading() -> ReadSlab {
    if slabIsGiven {
      slab = ReadSlab(slab.count)
      slabIsGiven = false
    }
    return slab
  }

  var slabBytes: Int { slab.count }

  /// The memory of the read that is being told of, for who keeps some of it: the loop does not write into it any more.
  func giveSlab() -> ReadSlab {
    slabIsGiven = true
    return slab
  }

  /// Milliseconds of a monotonic clock, read once for each round of the loop.
  public var now: UInt64 { phase == .closed ? 0 : unsafe uv_now(raw) }

  /// True on the thread that this loop belongs to.
  public var isOnThread: Bool { pthread_equal(thread, pthread_self()) != 0 }

  /// Traps in debug builds when called from another thread than the loop's.
  public func assertOnThread() {
    assert(isOnThread, "an event loop's object was used from another thread")
  }

  /// True until `stop`.
  public var isOpen: Bool { life.isOpen }

  /// Runs until `stop`, then closes everything that is still open (without further callbacks) and returns. A loop that was stopped
  /// before does not run.
  public func run() {
    assertOnThread()
    guard phase != .closed else { return }
    precondition(phase == .ready, "an event loop within itself")
    phase = .running
    while phase == .running { unsafe uv_run(raw, UV_RUN_DEFAULT) }
    tearDown()
  }

  /// Ends the loop after the callback that is running now. Streams, listeners, timers and mailboxes are closed; nobody is called back.
  public func stop() {
    assertOnThread()
    switch phase {
    case .ready: tearDown()
    case .running:
      phase = .stopping
      unsafe uv_stop(raw)
    case .stopping, .closed: break
    }
  }

  /// Runs `body` right after the callbacks of this round, before the loop sleeps. In the order of the calls.
  public func soon(_ body: @escaping () -> Void) {
    assertOnThread()
    guard isOpen else { return }
    deferred.append(body)
    if deferred.count == 1 {
      unsafe uv_idle_start(idle) { handle in
        guard let handle = unsafe handle, let data = unsafe handle.pointee.data else { return }
        unsafe uv_idle_stop(handle)
        unsafe Unmanaged<Loop>.fromOpaque(data)._withUnsafeGuaranteedRef { $0.runDeferred() }
      }
    }
  }

  private func runDeferred() {
    let bodies = deferred
    deferred = []
    for body in bodies where isOpen { body() }
  }

  /// Runs `body` after about `afterSeconds` (never before, up to two seconds late), unless the deadline is renewed or cancelled.
  /// Cheap: renewing is a store, and ten thousand deadlines share one timer.
  public func deadline(afterSeconds: Int, _ body: @escaping () -> Void) -> Deadline {
    assertOnThread()
    guard isOpen else { return wheel.spentDeadline() }
    if wheelTimer == nil {
      // The tick falls on the wheel's own full seconds, so that a deadline is seen in the second in which it is due.
      wheelTimer = timer(after: 1001 - now % 1000, repeat: 1000) { [unowned self] in turnWheel() }
    }
    return wheel.deadline(afterSeconds: afterSeconds, body)
  }

  private func turnWheel() {
    wheel.turn()
    if wheel.count == 0 {
      // An idle lane sleeps without ticking.
      wheelTimer?.cancel()
      wheelTimer = nil
    }
  }

  /// Closes every handle, waits for libuv's close callbacks, frees the loop.
  private func tearDown() {
    phase = .stopping
    deferred = []
    wheelTimer = nil
    wheel.removeAll()
    unsafe uv_walk(
      raw,
      { handle, _ in
        guard let handle = unsafe handle, unsafe uv_is_closing(handle) == 0 else { return }
        // Every handle but the loop's own idle handle belongs to a HandleOwner, which is alive until the close callback.
        guard unsafe uv_handle_get_type(handle) != UV_IDLE, let data = unsafe uv_handle_get_data(handle) else { return }
        let owner = unsafe Unmanaged<AnyObject>.fromOpaque(data).takeUnretainedValue()
        (owner as? any HandleOwner)?.closeForStop()
      }, nil)
    unsafe uv_handle_set_data(UnsafeMutableRawPointer(idle).assumingMemoryBound(to: uv_handle_t.self), nil)
    unsafe uv_close(UnsafeMutableRawPointer(idle).assumingMemoryBound(to: uv_handle_t.self), nil)
    // Close callbacks come in the next round. A name that the resolver is still looking up keeps the loop alive: it gets two seconds,
    // then the loop's memory is left to it, because its thread will still write there.
    var naps = 0
    while unsafe uv_run(raw, UV_RUN_NOWAIT) != 0, naps < 2000 {
      uv_sleep(1)
      naps += 1
    }
    phase = .closed
    guard unsafe uv_loop_close(raw) == 0 else { return }
    unsafe idle.deallocate()
    unsafe raw.deallocate()
  }
}

@available(*, unavailable)
extension Loop: Sendable {}

/// How far a loop has come; a thing of its own so that a mailbox can ask without keeping the loop.
final class LoopLife {
  enum Phase { case ready, running, stopping, closed }
  var phase = Phase.ready
  var isOpen: Bool { phase == .ready || phase == .running }
}

/// An object that a libuv handle keeps alive, and that closes the handle when the loop stops.
protocol HandleOwner: AnyObject {
  /// Closes the handle without calling anybody back.
  func closeForStop()
}

/// Reaches a loop from any thread.
public final class LoopRemote: Sendable {
  private let mailbox: Mailbox<@Sendable (Loop) -> Void>

  init(_ mailbox: Mailbox<@Sendable (Loop) -> Void>) { self.mailbox = mailbox }

  /// Runs `body` on the loop's thread. False when the loop has stopped: `body` will not run.
  @discardableResult
  public func perform(_ body: @escaping @Sendable (Loop) -> Void) -> Bool { mailbox.send(body) }

  /// Ends the loop, from any thread.
  public func stop() { perform { $0.stop() } }
}

/// Memory that sockets are read into.
@safe
final class ReadSlab: @unchecked Sendable {
  // Owned, freed in deinit. Written by the loop alone, and by nobody once it was given away: then it may cross threads.
  let base: UnsafeMutableRawPointer
  let count: Int

  init(_ count: Int) {
    unsafe base = .allocate(byteCount: count, alignment: 64)
    self.count = count
  }

  deinit { unsafe base.deallocate() }
}
