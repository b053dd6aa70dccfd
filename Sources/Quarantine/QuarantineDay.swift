/// A day of legal time (RFC 6109 §4.2), in the Gregorian calendar. Folders of the quarantine are days, and what must be kept is counted
/// in them.
public struct QuarantineDay: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// 1 to 9999.
  public let year: Int
  /// 1 to 12.
  public let month: Int
  /// 1 to 31.
  public let day: Int

  /// A day by its numbers; nil when the calendar has none.
  public init?(year: Int, month: Int, day: Int) {
    guard (1...9999).contains(year), (1...12).contains(month), day >= 1, day <= QuarantineDay.length(year, month) else { return nil }
    self.year = year
    self.month = month
    self.day = day
  }

  /// The day that `YYYY-MM-DD` names, in exactly that form.
  public init?(_ text: String) {
    let digits = Array(text.utf8)
    guard digits.count == 10, digits[4] == UInt8(ascii: "-"), digits[7] == UInt8(ascii: "-"),
      let year = QuarantineDay.number(digits[0..<4]), let month = QuarantineDay.number(digits[5..<7]),
      let day = QuarantineDay.number(digits[8..<10])
    else { return nil }
    self.init(year: year, month: month, day: day)
  }

  /// The day of a moment; nil before 1970 and after 9998.
  /// - Parameters:
  ///   - unixSeconds: seconds since 1970-01-01T00:00:00Z.
  ///   - utcOffsetSeconds: legal time minus UTC at that moment.
  public init?(unixSeconds: Int64, utcOffsetSeconds: Int) {
    guard (0..<253_370_764_800).contains(unixSeconds), (-86_400...86_400).contains(utcOffsetSeconds) else { return nil }
    var days = Int((unixSeconds + Int64(utcOffsetSeconds) + 86_400) / 86_400) - 1
    guard days >= 0 else { return nil }
    var year = 1970 + days / 146_097 * 400
    days %= 146_097
    while days >= QuarantineDay.length(year) {
      days -= QuarantineDay.length(year)
      year += 1
    }
    var month = 1
    while days >= QuarantineDay.length(year, month) {
      days -= QuarantineDay.length(year, month)
      month += 1
    }
    self.init(year: year, month: month, day: days + 1)
  }

  /// The day on which a term of months ends: the one of the same number, or the last of the month where it has none (Italian civil code,
  /// art. 2963). Nil after the year 9999.
  public func adding(months: Int) -> QuarantineDay? {
    let (sum, isOver) = (year * 12 + month - 1).addingReportingOverflow(months)
    guard !isOver, sum >= 12, sum < 120_000 else { return nil }
    return QuarantineDay(year: sum / 12, month: sum % 12 + 1, day: min(day, QuarantineDay.length(sum / 12, sum % 12 + 1)))
  }

  /// `YYYY-MM-DD`.
  public var description: String { "\(QuarantineDay.padded(year, 4))-\(QuarantineDay.padded(month, 2))-\(QuarantineDay.padded(day, 2))" }

  /// Earlier or later.
  public static func < (one: QuarantineDay, other: QuarantineDay) -> Bool {
    (one.year, one.month, one.day) < (other.year, other.month, other.day)
  }

  /// Digits only, as many as there are; nil when one is none.
  static func number(_ digits: some Collection<UInt8>) -> Int? {
    guard !digits.isEmpty, digits.count <= 9, digits.allSatisfy({ $0 &- 48 < 10 }) else { return nil }
    return digits.reduce(0) { $0 * 10 + Int($1 - 48) }
  }

  static func padded(_ number: Int, _ width: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, width - text.utf8.count)) + text
  }

  private static func isLeap(_ year: Int) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }
  private static func length(_ year: Int) -> Int { isLeap(year) ? 366 : 365 }
  private static func length(_ year: Int, _ month: Int) -> Int {
    switch month {
    case 2: isLeap(year) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }
}
