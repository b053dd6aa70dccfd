/// Many coarse deadlines at the price of one timer: a wheel of one-second slots.
///
/// Its clock is given to it. Renewing a deadline to a later time only stores the new time; the entry moves when its old slot comes
/// round. Confined to one thread, like the loop that turns it. Whoever gives it up calls `removeAll`: deadlines keep their wheel.
public final class DeadlineWheel {
  private static let slotCount = 512

  private var slots: [[Deadline]] = Array(repeating: [], count: slotCount)
  private let clock: () -> UInt64
  // The last second that was served.
  private var tick: UInt64
  /// Deadlines that are neither past nor cancelled.
  public private(set) var count = 0

  /// - Parameter clock: milliseconds that never go back.
  public init(clock: @escaping () -> UInt64) {
    self.clock = clock
    tick = clock() / 1000
  }

  /// Calls `body` once, on the first `turn` that is at least `afterSeconds` from now.
  public func deadline(afterSeconds: Int, _ body: @escaping () -> Void) -> Deadline {
    let deadline = Deadline(wheel: self, body: body)
    deadline.dueTick = dueTick(afterSeconds)
    insert(deadline)
    count += 1
    return deadline
  }

  /// One that never fires, for a loop that has stopped and whose clock cannot be read any more.
  func spentDeadline() -> Deadline { Deadline(wheel: self, body: nil) }

  /// Looks at the clock and calls the bodies of all deadlines that are due.
  public func turn() {
    let last = clock() / 1000
    guard last > tick else { return }
    var due: [Deadline] = []
    // After a long sleep each slot is visited once, not once for every second that passed.
    let first = last - tick > UInt64(Self.slotCount) ? last - UInt64(Self.slotCount) + 1 : tick + 1
    tick = last
    for passing in first...last {
      let index = Int(passing % UInt64(Self.slotCount))
      if slots[index].isEmpty { continue }
      let entries = slots[index]
      slots[index] = []
      for deadline in entries {
        deadline.slot = Deadline.nowhere
        if deadline.dueTick <= last { due.append(deadline) } else { insert(deadline) }
      }
    }
    // All are out of the wheel before the first body runs: a body may cancel or renew any of them.
    for deadline in due { deadline.fire() }
  }

  /// Forgets every deadline without calling anybody.
  public func removeAll() {
    let entries = slots.flatMap { $0 }
    slots = Array(repeating: [], count: Self.slotCount)
    // All are out before the first body is released: what a body owned may cancel any of them.
    for deadline in entries { deadline.slot = Deadline.nowhere }
    for deadline in entries { deadline.cancel() }
  }

  fileprivate func dueTick(_ afterSeconds: Int) -> UInt64 {
    let waiting = UInt64(max(0, min(afterSeconds, 1_000_000_000))) * 1000
    // Rounded up to a full second, and never a second that was served already.
    return max((clock() + waiting + 999) / 1000, tick + 1)
  }

  fileprivate func insert(_ deadline: Deadline) {
    let index = Int(deadline.dueTick % UInt64(Self.slotCount))
    deadline.slot = Int32(index)
    deadline.place = Int32(truncatingIfNeeded: slots[index].count)
    slots[index].append(deadline)
  }

  fileprivate func remove(_ deadline: Deadline) {
    guard deadline.slot != Deadline.nowhere else { return }
    let index = Int(deadline.slot)
    let place = Int(deadline.place)
    // The last entry of the slot takes the place that becomes free.
    let moved = slots[index].removeLast()
    if moved !== deadline {
      slots[index][place] = moved
      moved.place = Int32(truncatingIfNeeded: place)
    }
    deadline.slot = Deadline.nowhere
  }

  fileprivate func ended() { count -= 1 }
}

/// One deadline of a wheel. It fires once. Forgetting it does not cancel it: call `cancel`.
public final class Deadline {
  fileprivate static let nowhere: Int32 = -1

  private let wheel: DeadlineWheel
  private var body: (() -> Void)?
  fileprivate var dueTick: UInt64 = 0
  fileprivate var slot = Deadline.nowhere
  fileprivate var place: Int32 = 0

  fileprivate init(wheel: DeadlineWheel, body: (() -> Void)?) {
    self.wheel = wheel
    self.body = body
  }

  /// True until it fires or is cancelled.
  public var isPending: Bool { body != nil }

  /// Counts from now again. After it fired or was cancelled nothing happens.
  public func renew(afterSeconds: Int) {
    guard body != nil else { return }
    let due = wheel.dueTick(afterSeconds)
    if due < dueTick || slot == Deadline.nowhere {
      // Earlier than where it waits (or it is between two slots just now): it has to move.
      wheel.remove(self)
      dueTick = due
      wheel.insert(self)
    } else {
      dueTick = due
    }
  }

  /// Takes it back; its body is released and will not run.
  public func cancel() {
    guard let released = body else { return }
    body = nil
    wheel.remove(self)
    wheel.ended()
    // What the body owned goes last, when everything here is in order again.
    withExtendedLifetime(released) {}
  }

  fileprivate func fire() {
    // In the wheel again, or without a body: another body of this round renewed or cancelled it.
    guard slot == Deadline.nowhere, let body else { return }
    self.body = nil
    wheel.ended()
    body()
  }
}
