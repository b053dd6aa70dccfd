public import Octets

/// Counting of what an earlier run left: who holds its segments is not known at the opening, and nothing waits until it is.
///
/// Until counting ended, a count says only how much was added and taken since: it may be below zero, because a range may be let go before
/// its row was counted. So of what was there at the opening nothing is removed and nothing is written again until then.
extension Spool {
  /// Whether the references to the segments that were there at the opening are known: `endCounting` was called, or there were none.
  public var isCounted: Bool { table.withLock { $0.isCounted } }

  /// Counts ranges that the caller's rows named when the spool was opened: all of them, in any number of batches, each as often as a row
  /// named it then, even if it was let go meanwhile. What rows name that were made since is retained, not counted.
  ///
  /// From any thread, beside all other calls. A range in a segment without a file is counted too, and its number stays taken.
  public func count(_ ranges: [StoredRange]) {
    // Added up before the lock is taken: a lane may wait for it.
    var sums: [UInt32: SegmentTable.Sum] = [:]
    for range in ranges { sums[range.segment, default: SegmentTable.Sum()].add(range) }
    table.withLock { $0.count(sums) }
  }

  /// Says that all was counted. Segments of earlier runs of which nothing is held are removed now, or kept to be written again; a file
  /// for which more was let go than counted stays, and is one of the `mismatches`.
  ///
  /// From any thread, beside all other calls; it returns when the files are removed. A second call does nothing.
  public func endCounting() {
    for number in table.withLock({ $0.endCounting() }) { remove(number) }
  }
}
