import Synchronization

/// How often values fell into each of some ranges that stand from the start. Any thread may add; a reading takes no lock.
public final class Histogram: Sendable {
  /// Upper bounds in whole parts of the unit, ascending.
  private let bounds: [Int]
  private let cells: [Count]
  private let total = Count()
  private let parts: Int

  /// - Parameters:
  ///   - bounds: upper bounds, each in its range, ascending, in parts.
  ///   - parts: parts of a unit: 1_000_000_000 where nanoseconds are given and seconds shown, 1 where numbers are.
  public init(bounds: [Int], partsOfUnit parts: Int = 1) {
    precondition(parts > 0 && zip(bounds, bounds.dropFirst()).allSatisfy { $0 < $1 }, "a histogram's bounds must ascend")
    self.bounds = bounds
    self.parts = parts
    cells = (0...bounds.count).map { _ in Count() }
  }

  /// Adds a value, in parts. A value below nought is nought.
  public func observe(_ value: Int) {
    let value = max(0, value)
    var at = 0
    while at < bounds.count, value > bounds[at] { at += 1 }
    cells[at].add()
    total.add(value)
  }

  /// The ranges as they are now. What is added meanwhile may be in the sum and not yet in a range, or the other way round.
  public var reading: HistogramReading {
    HistogramReading(
      bounds: bounds.map { Double($0) / Double(parts) }, counts: cells.map(\.value), sum: Double(total.value) / Double(parts))
  }
}

/// A histogram at one moment.
public struct HistogramReading: Sendable, Equatable {
  /// Upper bounds in units.
  public var bounds: [Double]
  /// Values in each range, those above the last bound at the end: one more than there are bounds.
  public var counts: [Int]
  /// All values together, in units.
  public var sum: Double

  /// A reading of these.
  public init(bounds: [Double], counts: [Int], sum: Double) {
    self.bounds = bounds
    self.counts = counts
    self.sum = sum
  }

  /// How many values there were.
  public var count: Int { counts.reduce(0, +) }

  /// The bound under which this part (0…1) of the values lies; nil without values, infinite when it is above the last bound.
  public func quantile(_ part: Double) -> Double? {
    let all = count
    guard all > 0 else { return nil }
    var below = 0
    for (bound, count) in zip(bounds, counts) {
      below += count
      if Double(below) >= part * Double(all) { return bound }
    }
    return .infinity
  }
}
