import Synchronization

/// Looks at the machine's clock from whichever thread asks, and remembers the last look for all others.
public final class ClockMonitor: Sendable {
  private struct State: Sendable {
    var judge: ClockJudge
    var last: ClockLook?
  }

  private let state: Mutex<State>
  private let read: @Sendable () -> ClockReading

  /// - Parameter read: where readings come from; the kernel unless said otherwise.
  public init(policy: ClockPolicy, read: @escaping @Sendable () -> ClockReading = { ClockReading.now() }) {
    state = Mutex(State(judge: ClockJudge(policy: policy)))
    self.read = read
  }

  /// Looks now. Costs two or three system calls; once a second is often enough.
  @discardableResult
  public func look() -> ClockLook {
    state.withLock { state in
      // Read inside: two looks at once would otherwise be judged in the wrong order, and seem a step.
      let look = state.judge.judge(read())
      state.last = look
      return look
    }
  }

  /// What the last look found; nil before the first.
  public var last: ClockLook? { state.withLock { $0.last } }

  /// Holds the clock to other bounds from the next look on.
  public func change(_ policy: ClockPolicy) { state.withLock { $0.judge.change(policy) } }
}
