internal import CLibuv

/// A timer with millisecond steps. For the many deadlines of sessions use `Loop.deadline`, which costs less.
@safe
public final class LoopTimer: HandleOwner {
  // Owned from the making to the close callback; nil once closing began.
  private var handle: UnsafeMutablePointer<uv_timer_t>?
  private let loop: Loop
  private var body: () -> Void
  private let repeats: Bool

  fileprivate init(loop: Loop, after milliseconds: UInt64, repeat interval: UInt64, body: @escaping () -> Void) {
    self.loop = loop
    self.body = body
    repeats = interval > 0
    unsafe handle = nil
    guard loop.isOpen else { return }
    let timer = UnsafeMutablePointer<uv_timer_t>.allocate(capacity: 1)
    unsafe uv_timer_init(loop.raw, timer)
    unsafe timer.pointee.data = unsafe Unmanaged.passRetained(self).toOpaque()
    unsafe handle = timer
    unsafe uv_timer_start(
      timer,
      { handle in
        guard let data = unsafe handle?.pointee.data else { return }
        unsafe Unmanaged<LoopTimer>.fromOpaque(data)._withUnsafeGuaranteedRef { $0.fire() }
      }, milliseconds, interval)
  }

  /// True until it fired for the last time or was cancelled.
  public var isPending: Bool { unsafe handle != nil }

  /// Stops it for good. Its body will not run again and is released.
  public func cancel() {
    guard let timer = unsafe handle else { return }
    loop.assertOnThread()
    unsafe handle = nil
    let released = body
    body = {}
    defer { withExtendedLifetime(released) {} }
    unsafe uv_close(UnsafeMutableRawPointer(timer).assumingMemoryBound(to: uv_handle_t.self)) { closing in
      guard let closing = unsafe closing, let data = unsafe uv_handle_get_data(closing) else { return }
      unsafe UnsafeMutableRawPointer(closing).assumingMemoryBound(to: uv_timer_t.self).deallocate()
      unsafe Unmanaged<LoopTimer>.fromOpaque(data).release()
    }
  }

  func closeForStop() { cancel() }

  private func fire() {
    let body = self.body
    if !repeats { cancel() }
    body()
  }
}

@available(*, unavailable)
extension LoopTimer: Sendable {}

/// Watches for one signal on behalf of a loop. It lasts until cancelled or until the loop stops.
@safe
public final class SignalWatch: HandleOwner {
  // Owned from the making to the close callback; nil once closing began.
  private var handle: UnsafeMutablePointer<uv_signal_t>?
  private let loop: Loop
  private var body: () -> Void

  fileprivate init(loop: Loop, number: Int32, body: @escaping () -> Void) throws(LoopError) {
    self.loop = loop
    self.body = body
    unsafe handle = nil
    guard loop.isOpen else { throw LoopError(kind: .closed, "watch for signal \(number)") }
    let signal = UnsafeMutablePointer<uv_signal_t>.allocate(capacity: 1)
    let unmade = unsafe uv_signal_init(loop.raw, signal)
    guard unmade == 0 else {
      unsafe signal.deallocate()
      throw LoopError(unmade, "watch for signal \(number)")
    }
    unsafe signal.pointee.data = unsafe Unmanaged.passRetained(self).toOpaque()
    unsafe handle = signal
    let failure = unsafe uv_signal_start(
      signal,
      { handle, _ in
        guard let data = unsafe handle?.pointee.data else { return }
        unsafe Unmanaged<SignalWatch>.fromOpaque(data)._withUnsafeGuaranteedRef { watch in
          let body = watch.body
          body()
        }
      }, number)
    guard failure == 0 else {
      cancel()
      throw LoopError(failure, "watch for signal \(number)")
    }
  }

  /// Watches no longer; the signal does again what it does by itself when nobody else watches.
  public func cancel() {
    guard let signal = unsafe handle else { return }
    loop.assertOnThread()
    unsafe handle = nil
    let released = body
    body = {}
    defer { withExtendedLifetime(released) {} }
    unsafe uv_close(UnsafeMutableRawPointer(signal).assumingMemoryBound(to: uv_handle_t.self)) { closing in
      guard let closing = unsafe closing, let data = unsafe uv_handle_get_data(closing) else { return }
      unsafe UnsafeMutableRawPointer(closing).assumingMemoryBound(to: uv_signal_t.self).deallocate()
      unsafe Unmanaged<SignalWatch>.fromOpaque(data).release()
    }
  }

  func closeForStop() { cancel() }
}

@available(*, unavailable)
extension SignalWatch: Sendable {}

extension Loop {
  /// Runs `body` after `milliseconds`, and then every `interval` milliseconds when that is not 0. It lasts until it fired, or is
  /// cancelled, or the loop stops; nobody has to keep the timer.
  @discardableResult
  public func timer(after milliseconds: UInt64, repeat interval: UInt64 = 0, _ body: @escaping () -> Void) -> LoopTimer {
    assertOnThread()
    return LoopTimer(loop: self, after: milliseconds, repeat: interval, body: body)
  }

  /// Runs `body` on the loop's thread each time the process gets the signal. Several loops may watch for the same one.
  @discardableResult
  public func onSignal(_ number: Int32, _ body: @escaping () -> Void) throws(LoopError) -> SignalWatch {
    assertOnThread()
    return try SignalWatch(loop: self, number: number, body: body)
  }
}
