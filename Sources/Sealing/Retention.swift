public import Journey
public import Ledger
public import PEC

/// Which rows' time is over: a rule without a clock of its own.
public enum Retention {
  /// Days that may go, oldest first, each with the last row that goes with it.
  ///
  /// Rows of several days may lie between each other, far apart where a clock was wrong: nothing goes that stands behind a row which stays,
  /// and nothing that is not sealed.
  /// - Parameters:
  ///   - days: the days of the log in order.
  ///   - limit: the first day whose rows stay.
  ///   - sealed: the last row that a seal covers.
  public static func purgeable(_ days: [LogDay], holds: [LogHold], before limit: LegalDay, sealed: Int64) -> [(day: LegalDay, last: Int64)]
  {
    func stays(_ day: LegalDay) -> Bool { day >= limit || holds.contains { $0.from <= day && day <= $0.to } }
    let first = days.filter { stays($0.day) }.map(\.first).min() ?? .max
    var purgeable: [(day: LegalDay, last: Int64)] = []
    for day in days {
      let last = min(day.last, first - 1)
      guard !stays(day.day), last <= sealed else { break }
      if last >= day.first { purgeable.append((day.day, last)) }
    }
    return purgeable
  }
}
