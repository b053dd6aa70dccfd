/// Things that wait, a line for each priority. Adding and taking cost the same however many wait.
///
/// Taken by priority, oldest first within one; what has waited for longer than `patience` goes before everything else, the longest wait
/// first, so that nothing waits for ever behind what is more urgent.
struct SigningLines<Item> {
  /// One priority's, oldest first. What was taken leaves a hole at the front; the holes are closed when they are half of the array, so
  /// that an item is moved once at the most, on the average.
  private struct Line {
    private var places: [(item: Item, since: UInt64)?] = []
    private var head = 0

    var count: Int { places.count - head }
    /// When the oldest came; nil when there is none.
    var oldest: UInt64? { head < places.count ? places[head]?.since : nil }

    mutating func add(_ item: Item, _ now: UInt64) { places.append((item, now)) }

    mutating func take() -> Item? {
      guard head < places.count else { return nil }
      let item = places[head]?.item
      places[head] = nil
      head += 1
      if head == places.count {
        places.removeAll(keepingCapacity: places.capacity <= 1024)
        head = 0
      } else if head >= 64, head * 2 >= places.count {
        places.removeFirst(head)
        head = 0
      }
      return item
    }
  }

  private var lines: [Line]
  private let patience: UInt64
  private(set) var count = 0

  /// - Parameters:
  ///   - priorities: how many lines; the first is the most urgent.
  ///   - patience: how long something may be overtaken, in the unit of `now`.
  init(priorities: Int, patience: UInt64) {
    lines = (0..<max(1, priorities)).map { _ in Line() }
    self.patience = patience
  }

  var isEmpty: Bool { count == 0 }

  /// When the one that has waited longest came.
  var oldest: UInt64? { lines.compactMap(\.oldest).min() }

  /// - Parameter now: never less than before.
  mutating func add(_ item: Item, priority: Int, now: UInt64) {
    lines[min(max(0, priority), lines.count - 1)].add(item, now)
    count += 1
  }

  /// Up to `most`, in the order in which they are to be signed.
  mutating func take(atMost most: Int, now: UInt64) -> [Item] {
    var taken: [Item] = []
    taken.reserveCapacity(min(most, count))
    while taken.count < most, let line = next(now), let item = lines[line].take() {
      count -= 1
      taken.append(item)
    }
    return taken
  }

  /// The line whose first goes next.
  private func next(_ now: UInt64) -> Int? {
    var longest: (line: Int, since: UInt64)?
    var urgent: Int?
    for (number, line) in lines.enumerated() {
      guard let since = line.oldest else { continue }
      if urgent == nil { urgent = number }
      if now &- since > patience, now >= since, since < longest?.since ?? .max { longest = (number, since) }
    }
    return longest?.line ?? urgent
  }
}
