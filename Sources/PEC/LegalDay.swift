/// A day of legal time, by which the log is asked and kept (`pec-rules` 9.5): counted from 1970-01-01.
public struct LegalDay: Sendable, Hashable, Comparable, Codable {
  /// Days since 1970-01-01.
  public var number: Int64

  /// The day of that number.
  public init(number: Int64) { self.number = number }

  /// The day on which an instant falls in its own legal time.
  public init(_ instant: Instant) {
    let (local, overflow) = instant.unixSeconds.addingReportingOverflow(Int64(instant.utcOffsetSeconds))
    number = overflow ? 0 : local >= 0 ? local / 86_400 : -((-(local + 1)) / 86_400) - 1
  }

  /// Reads `2026-11-21`, or `21/11/2026` (also with `-` or `.` between the numbers). Nil for anything else, and for days that no
  /// calendar has.
  public init?(_ text: String) {
    let parts = text.utf8.split(omittingEmptySubsequences: false) {
      [UInt8(ascii: "-"), UInt8(ascii: "/"), UInt8(ascii: ".")].contains($0)
    }
    guard parts.count == 3, parts.allSatisfy({ (1...4).contains($0.count) && $0.allSatisfy { $0 &- 48 < 10 } }) else { return nil }
    let isYearFirst = parts[0].count == 4
    let (year, day) = isYearFirst ? (parts[0], parts[2]) : (parts[2], parts[0])
    guard year.count == 4, day.count <= 2, parts[1].count <= 2 else { return nil }
    func padded(_ digits: Substring.UTF8View) -> String { (digits.count < 2 ? "0" : "") + String(Substring(digits)) }
    guard let instant = Instant(day: "\(padded(day))/\(padded(parts[1]))/\(padded(year))", time: "12:00:00", zone: "+0000") else {
      return nil
    }
    self.init(instant)
  }

  /// `2026-11-21`.
  public var text: String { String(noon.rfc3339.prefix(10)) }

  /// `21/11/2026`.
  public var italian: String { noon.day }

  /// What a damaged file says is shown as the end of the calendar.
  private var noon: Instant {
    Instant(unixSeconds: min(max(number, LegalDay.first), LegalDay.last) * 86_400 + 43_200, utcOffsetSeconds: 0)
  }

  /// 0000-01-01 and 9999-12-31.
  private static let (first, last): (Int64, Int64) = (-719_528, 2_932_896)

  /// The day that comes so many days after.
  public func advanced(by days: Int64) -> LegalDay { LegalDay(number: number + days) }

  /// The day of the same date so many months before, or the last of that month where it has no such date.
  public func before(months: Int) -> LegalDay {
    let digits = text.split(separator: "-").compactMap { Int($0) }
    guard digits.count == 3, (0...120_000).contains(months) else { return self }
    let month = digits[0] * 12 + digits[1] - 1 - months
    let (year, inYear) = (month >= 0 ? month / 12 : -((11 - month) / 12), ((month % 12) + 12) % 12 + 1)
    for day in stride(from: digits[2], through: 28, by: -1) {
      if let found = LegalDay("\(year)-\(inYear)-\(day)") { return found }
    }
    return LegalDay("\(year)-\(inYear)-\(digits[2])") ?? self
  }

  /// Earlier days are less.
  public static func < (left: LegalDay, right: LegalDay) -> Bool { left.number < right.number }
}
