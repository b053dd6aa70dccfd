/// Revocation lists in numbers.
public struct RevocationFigures: Sendable, Equatable {
  /// Lists that are held, with those that wait for their issuer's certificate.
  public var lists: Int
  /// Those whose next edition should have been there.
  public var outdated: Int
  /// Unix seconds of the issue of the oldest; nil without lists.
  public var oldestIssued: Int64?
  /// Unix seconds at which the first of them should have a next edition; nil without lists.
  public var nextDue: Int64?
}

extension RevocationLists {
  /// The lists in numbers at `at` (seconds since 1970).
  public func figures(at: Int64) -> RevocationFigures {
    let all = times
    return RevocationFigures(
      lists: all.count, outdated: all.count { $0.next < at }, oldestIssued: all.map(\.issued).min(),
      nextDue: all.map(\.next).min())
  }
}
