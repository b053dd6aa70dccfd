internal import CLibuv
import Glibc

/// Messages from any thread to a loop's thread, in order for each sender, delivered in batches.
///
/// A burst wakes the loop once. What is sent after the loop stopped is dropped.
@safe
public final class Mailbox<Message: Sendable>: @unchecked Sendable {
  // `queue` is guarded by the wake's lock; `spare`, `handler` and `life` are touched on the loop's thread alone.
  private let wake: AsyncWake
  private var queue: [Message] = []
  private var spare: [Message] = []
  private var handler: (Message) -> Void
  private let life: LoopLife

  fileprivate init(loop: Loop, handler: @escaping (Message) -> Void) {
    life = loop.life
    wake = AsyncWake(loop: loop)
    self.handler = handler
    guard loop.isOpen else { return }
    // The loop keeps the mailbox until it is closed; the cycle ends in `AsyncWake.close`.
    wake.onWake = { [self] in deliver() }
    wake.onClose = { [self] in discard() }
  }

  /// Adds a message and wakes the loop. False when the loop has stopped: the message was dropped.
  @discardableResult
  public func send(_ message: Message) -> Bool {
    wake.ring { queue.append(message) }
  }

  /// Takes no more messages and drops those that wait. On the loop's thread.
  public func close() { wake.close() }

  private func deliver() {
    wake.settle { swap(&queue, &spare) }
    let handler = handler
    for message in spare where life.isOpen { handler(message) }
    // The memory of an ordinary burst is kept for the next, that of an extraordinary one is not.
    spare.removeAll(keepingCapacity: spare.capacity <= 1024)
  }

  private func discard() {
    var dropped: [Message] = []
    wake.settle { swap(&queue, &dropped) }
    // Released here, outside the lock: a message may own something that sends. The handler may own the mailbox itself.
    dropped.removeAll()
    let released = handler
    handler = { _ in }
    withExtendedLifetime(released) {}
  }
}

extension Loop {
  /// A way for other threads to hand something to this loop. `handler` runs on the loop's thread.
  public func mailbox<Message: Sendable>(_ handler: @escaping (Message) -> Void) -> Mailbox<Message> {
    assertOnThread()
    return Mailbox(loop: self, handler: handler)
  }
}

/// The handle behind a mailbox: wakes the loop from any thread, and knows when it no longer may.
@safe
final class AsyncWake: HandleOwner, @unchecked Sendable {
  // Owned by this object: made in init, destroyed in deinit, never moved. Guards `handle`, `isRung` and the mailbox's queue.
  private let lock: UnsafeMutablePointer<pthread_mutex_t>
  // Owned from the making to the close callback; nil once closing began, so that no sender touches it after.
  private var handle: UnsafeMutablePointer<uv_async_t>?
  private var isRung = false
  // The loop's thread alone.
  fileprivate var onWake: () -> Void = {}
  fileprivate var onClose: () -> Void = {}

  init(loop: Loop) {
    unsafe lock = .allocate(capacity: 1)
    unsafe pthread_mutex_init(lock, nil)
    unsafe handle = nil
    guard loop.isOpen else { return }
    let made = UnsafeMutablePointer<uv_async_t>.allocate(capacity: 1)
    let failure = unsafe uv_async_init(loop.raw, made) { handle in
      guard let data = unsafe handle?.pointee.data else { return }
      unsafe Unmanaged<AsyncWake>.fromOpaque(data)._withUnsafeGuaranteedRef { wake in
        let body = wake.onWake
        body()
      }
    }
    // Only the first handle of a loop needs a descriptor, and that one is made with the loop.
    precondition(failure == 0, "uv_async_init failed: \(failure)")
    unsafe made.pointee.data = unsafe Unmanaged.passRetained(self).toOpaque()
    unsafe handle = made
  }

  deinit {
    unsafe pthread_mutex_destroy(lock)
    unsafe lock.deallocate()
  }

  /// Runs `body` under the lock and wakes the loop, once for a burst. False when closed: `body` did not run.
  func ring(_ body: () -> Void) -> Bool {
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    guard let handle = unsafe handle else { return false }
    body()
    if !isRung {
      isRung = true
      unsafe uv_async_send(handle)
    }
    return true
  }

  /// Runs `body` under the lock; the next `ring` wakes the loop again.
  func settle(_ body: () -> Void) {
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    isRung = false
    body()
  }

  func close() {
    unsafe pthread_mutex_lock(lock)
    let closing = unsafe handle
    unsafe handle = nil
    unsafe pthread_mutex_unlock(lock)
    guard let closing = unsafe closing else { return }
    let discard = onClose
    onWake = {}
    onClose = {}
    unsafe uv_close(UnsafeMutableRawPointer(closing).assumingMemoryBound(to: uv_handle_t.self)) { closed in
      guard let closed = unsafe closed, let data = unsafe uv_handle_get_data(closed) else { return }
      unsafe UnsafeMutableRawPointer(closed).assumingMemoryBound(to: uv_async_t.self).deallocate()
      unsafe Unmanaged<AsyncWake>.fromOpaque(data).release()
    }
    discard()
  }

  func closeForStop() { close() }
}
