/// Counts of durations in buckets whose width grows with them, as in HdrHistogram: 128 to each doubling, so that what is read out
/// is at the most 0.8 % above what was recorded. Nothing is sampled or forgotten.
struct Histogram {
  private static let bits = 7
  private static let perDoubling = 1 << bits
  /// About five hours; what is longer counts as that.
  private static let limitNanoseconds: UInt64 = 1 << 44

  private var counts = [Int](repeating: 0, count: Histogram.index(Histogram.limitNanoseconds) + 1)
  private(set) var count = 0
  private(set) var maxNanoseconds: UInt64 = 0
  private var sumNanoseconds = 0.0

  mutating func record(_ nanoseconds: UInt64) {
    counts[Histogram.index(min(nanoseconds, Histogram.limitNanoseconds))] += 1
    count += 1
    sumNanoseconds += Double(nanoseconds)
    maxNanoseconds = max(maxNanoseconds, nanoseconds)
  }

  var meanNanoseconds: Double { count == 0 ? 0 : sumNanoseconds / Double(count) }

  /// A duration that at least the share `quantile` of all did not exceed; 0 when there are none.
  func nanoseconds(at quantile: Double) -> UInt64 {
    let rank = max(1, Int((quantile * Double(count)).rounded(.up)))
    var seen = 0
    for (index, some) in counts.enumerated() where some > 0 {
      seen += some
      if seen >= rank { return min(Histogram.upperEdge(index), maxNanoseconds) }
    }
    return maxNanoseconds
  }

  /// Buckets that hold something, by their upper edges.
  var buckets: [(upToNanoseconds: UInt64, count: Int)] {
    counts.indices.filter { counts[$0] > 0 }.map { (Histogram.upperEdge($0), counts[$0]) }
  }

  // Below 128 each value has its bucket; above, a doubling's 128 are picked by the seven bits after the leading one.
  private static func index(_ value: UInt64) -> Int {
    guard value >= perDoubling else { return Int(value) }
    let shift = 63 - value.leadingZeroBitCount - bits
    return (shift << bits) + Int(value >> UInt64(shift))
  }

  private static func upperEdge(_ index: Int) -> UInt64 {
    guard index >= perDoubling else { return UInt64(index) }
    let shift = (index >> bits) - 1
    return (UInt64(index - (shift << bits) + 1) << UInt64(shift)) - 1
  }

  /// As a JSON object, in microseconds.
  func json(withBuckets: Bool) -> String {
    let quantiles = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)].map { name, quantile in
      "\"\(name)\": \(JSON.microseconds(Double(nanoseconds(at: quantile))))"
    }
    var fields =
      quantiles + [
        "\"max\": \(JSON.microseconds(Double(maxNanoseconds)))", "\"mean\": \(JSON.microseconds(meanNanoseconds))", "\"count\": \(count)",
      ]
    if withBuckets {
      let list = buckets.map { "[\(JSON.microseconds(Double($0.upToNanoseconds))), \($0.count)]" }
      fields.append("\"buckets\": [\(list.joined(separator: ", "))]")
    }
    return "{\(fields.joined(separator: ", "))}"
  }
}
