/// When a request that failed is tried again: one that fails must neither hold up the others nor be tried for ever.
public struct RequestRetries: Sendable, Equatable {
  private struct Failure: Sendable, Equatable {
    var count: Int
    var dueAt: Int64
    var pauseSeconds: Int64
  }

  /// So often a request fails before a person has to look at it: some ten minutes after the first time.
  public static let mostFailures = 8
  private static let firstPauseSeconds: Int64 = 5
  private static let longestPauseSeconds: Int64 = 600

  private var failures: [String: Failure] = [:]

  /// Nothing failed yet.
  public init() {}

  /// How many requests failed and are to be tried again.
  public var count: Int { failures.count }

  /// Whether a request may be tried (Unix seconds). A clock that was put back delays nothing beyond the longest pause.
  public func isDue(_ id: String, at now: Int64) -> Bool {
    failures[id].map { $0.dueAt <= now || $0.dueAt - now > RequestRetries.longestPauseSeconds } ?? true
  }

  /// A request failed. How often it has by now, this time included.
  public mutating func fail(_ id: String, at now: Int64) -> Int {
    let pause = failures[id].map { min($0.pauseSeconds * 2, RequestRetries.longestPauseSeconds) } ?? RequestRetries.firstPauseSeconds
    let count = (failures[id]?.count ?? 0) + 1
    failures[id] = Failure(count: count, dueAt: now + pause, pauseSeconds: pause)
    return count
  }

  /// A request did not fail.
  public mutating func succeed(_ id: String) { failures[id] = nil }

  /// Forgets requests that are not among these: an operator answered them.
  public mutating func keep(only ids: [String]) {
    guard !failures.isEmpty else { return }
    let kept = Set(ids)
    failures = failures.filter { kept.contains($0.key) }
  }
}
