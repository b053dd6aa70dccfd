internal import CPlatform
import Glibc

/// An operating-system thread with a name, that runs one function to its end.
public struct WorkerThread: Sendable {
  // pthread_t is an opaque integer on Linux; join is called once, by whoever made the thread.
  private let handle: pthread_t

  /// Starts `body` on a thread of its own.
  /// - Parameters:
  ///   - name: shown by top and gdb, 15 octets at the most.
  ///   - niceness: how much it stands back for others when the processors are busy, 0 to 19 (`nice`(1)): for what calculates long,
  ///     so that those who feed it, and the disk, are not kept waiting.
  public init(name: String, niceness: Int32 = 0, _ body: @escaping @Sendable () -> Void) {
    final class Box: Sendable {
      let name: String
      let niceness: Int32
      let body: @Sendable () -> Void
      init(_ name: String, _ niceness: Int32, _ body: @escaping @Sendable () -> Void) {
        self.name = name
        self.niceness = niceness
        self.body = body
      }
    }
    var made = pthread_t()
    // The thread takes over the box's reference and releases it first thing.
    let box = unsafe Unmanaged.passRetained(Box(name, niceness, body)).toOpaque()
    let failure = unsafe pthread_create(
      &made, nil,
      { raw in
        let box = unsafe Unmanaged<Box>.fromOpaque(raw!).takeRetainedValue()
        unsafe ceralacca_name_thread(box.name)
        // For Linux a thread has a niceness of its own. Refused it changes nothing but the speed.
        if box.niceness > 0 { setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, box.niceness) }
        box.body()
        return nil
      }, box)
    precondition(failure == 0, "pthread_create failed: \(failure)")
    handle = made
  }

  /// Lets the thread end by itself; `join` must not be called then.
  public func detach() { pthread_detach(handle) }

  /// Waits for the thread to end. Call it once.
  public func join() { _ = pthread_join(handle, nil) }
}

/// A queue between threads: any number of senders, one or more takers who sleep while it is empty.
@safe
public final class Handoff<Item: Sendable>: @unchecked Sendable {
  // Both owned by this object: made in init, destroyed in deinit, never moved.
  private let lock: UnsafeMutablePointer<pthread_mutex_t>
  private let filled: UnsafeMutablePointer<pthread_cond_t>
  private var items: [Item] = []
  private var closed = false

  /// An empty queue.
  public init() {
    unsafe lock = .allocate(capacity: 1)
    unsafe filled = .allocate(capacity: 1)
    unsafe pthread_mutex_init(lock, nil)
    // Waits are counted by a clock that nobody sets.
    var attributes = pthread_condattr_t()
    unsafe pthread_condattr_init(&attributes)
    unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    unsafe pthread_cond_init(filled, &attributes)
    unsafe pthread_condattr_destroy(&attributes)
  }

  deinit {
    unsafe pthread_cond_destroy(filled)
    unsafe pthread_mutex_destroy(lock)
    unsafe filled.deallocate()
    unsafe lock.deallocate()
  }

  /// Adds an item and wakes a taker. False when the queue was closed: the item was not taken.
  @discardableResult
  public func send(_ item: Item) -> Bool {
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    if closed { return false }
    items.append(item)
    unsafe pthread_cond_signal(filled)
    return true
  }

  /// Adds an item without waking anybody: it is taken along with the next one that is sent, after `wake`, or at the end. False when the
  /// queue was closed.
  @discardableResult
  public func leave(_ item: Item) -> Bool {
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    if closed { return false }
    items.append(item)
    return true
  }

  /// Wakes a taker when there is something to take.
  public func wake() {
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    if !items.isEmpty { unsafe pthread_cond_signal(filled) }
  }

  /// Takes up to `most` items, oldest first; sleeps while there are none. Nil when the queue is closed and empty.
  public func take(atMost most: Int = .max) -> [Item]? {
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    while items.isEmpty {
      if closed { return nil }
      unsafe pthread_cond_wait(filled, lock)
    }
    if items.count <= most {
      defer { items = [] }
      return items
    }
    let taken = Array(items.prefix(most))
    items.removeFirst(most)
    return taken
  }

  /// Sleeps until there is an item, the queue is closed, or `seconds` have passed. Takes nothing.
  public func wait(forSeconds seconds: Int) {
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    var until = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &until)
    until.tv_sec += seconds
    while items.isEmpty, !closed {
      if unsafe pthread_cond_timedwait(filled, lock, &until) == ETIMEDOUT { return }
    }
  }

  /// Items waiting.
  public var count: Int {
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    return items.count
  }

  /// True once nothing more is taken.
  public var isClosed: Bool {
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    return closed
  }

  /// Takes no more; what is there is still given out.
  public func close() {
    unsafe pthread_mutex_lock(lock)
    closed = true
    unsafe pthread_cond_broadcast(filled)
    unsafe pthread_mutex_unlock(lock)
  }
}
