/// Times of tokens and certificates, always in UTC.
enum Times {
  /// Seconds since 1970 of `20260310091500Z` or `20260310091500.25Z` (X.690 §11.7, RFC 3161 §2.4.2); the fraction is dropped, and a leap
  /// second is the one after it. Nil when it is something else.
  static func seconds(_ octets: [UInt8]) -> Int64? {
    guard octets.count >= 15, octets.last == UInt8(ascii: "Z") else { return nil }
    let digits = octets.prefix(14)
    guard digits.allSatisfy({ $0 >= 48 && $0 <= 57 }) else { return nil }
    if octets.count > 15 {
      let fraction = octets[15..<octets.count - 1]
      guard octets[14] == UInt8(ascii: "."), !fraction.isEmpty, fraction.allSatisfy({ $0 >= 48 && $0 <= 57 }) else { return nil }
    }
    func value(_ from: Int, _ count: Int) -> Int64 { octets[from..<from + count].reduce(0) { $0 * 10 + Int64($1 - 48) } }
    let (year, month, day) = (value(0, 4), value(4, 2), value(6, 2))
    let (hour, minute, second) = (value(8, 2), value(10, 2), value(12, 2))
    guard year >= 1, (1...12).contains(month), day >= 1, day <= days(in: month, of: year), hour < 24, minute < 60, second <= 60 else {
      return nil
    }
    return dayNumber(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
  }

  /// `2026-03-10 09:15:00 UTC`.
  static func text(_ unixSeconds: Int64) -> String {
    guard unixSeconds > -62_135_596_800, unixSeconds <= 253_402_300_799 else { return "\(unixSeconds) seconds since 1970" }
    let day = (unixSeconds >= 0 ? unixSeconds : unixSeconds - 86_399) / 86_400
    let second = unixSeconds - day * 86_400
    let date = date(ofDay: day)
    return "\(padded(date.year, 4))-\(padded(date.month, 2))-\(padded(date.day, 2)) "
      + "\(padded(second / 3600, 2)):\(padded(second / 60 % 60, 2)):\(padded(second % 60, 2)) UTC"
  }

  private static func padded(_ number: Int64, _ width: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, width - text.utf8.count)) + text
  }

  private static func days(in month: Int64, of year: Int64) -> Int64 {
    if month == 2 { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28 }
    return [4, 6, 9, 11].contains(month) ? 30 : 31
  }

  /// Days since 1970; years are counted from March, so that the leap day is a year's last.
  private static func dayNumber(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
    let year = month <= 2 ? year - 1 : year
    let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
    return year * 365 + year / 4 - year / 100 + year / 400 + dayOfYear - 719_468
  }

  private static func date(ofDay day: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let shifted = day + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let index = (5 * dayOfYear + 2) / 153
    let month = index < 10 ? index + 3 : index - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * index + 2) / 5 + 1)
  }
}
