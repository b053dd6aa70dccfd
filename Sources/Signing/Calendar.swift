import Glibc

/// Times of certificates and signatures in words, always in UTC.
enum Calendar {
  /// The last second of the year 9999: later times cannot be written in DER.
  static let lastSecond: Int64 = 253_402_300_799

  /// Calendar fields in UTC; nil outside of the years 1 to 9999.
  static func fields(_ unixSeconds: Int64) -> tm? {
    var at = time_t(unixSeconds)
    var parts = unsafe tm()
    guard unixSeconds > -62_135_596_800, unixSeconds <= lastSecond, unsafe gmtime_r(&at, &parts) != nil else { return nil }
    return unsafe parts
  }

  /// `2026-03-10 09:15:00 UTC`.
  static func text(_ unixSeconds: Int64) -> String {
    guard let parts = unsafe fields(unixSeconds) else { return "\(unixSeconds) seconds since 1970" }
    return unsafe digits(Int(parts.tm_year) + 1900, 4) + "-" + digits(Int(parts.tm_mon) + 1, 2) + "-" + digits(Int(parts.tm_mday), 2) + " "
      + digits(Int(parts.tm_hour), 2) + ":" + digits(Int(parts.tm_min), 2) + ":" + digits(Int(parts.tm_sec), 2) + " UTC"
  }

  /// `20260310091500Z`, the digits of a GeneralizedTime; a UTCTime is the same without the century.
  static func generalized(_ unixSeconds: Int64) -> [UInt8]? {
    guard let parts = unsafe fields(unixSeconds) else { return nil }
    let text =
      unsafe digits(Int(parts.tm_year) + 1900, 4) + digits(Int(parts.tm_mon) + 1, 2) + digits(Int(parts.tm_mday), 2)
      + digits(Int(parts.tm_hour), 2) + digits(Int(parts.tm_min), 2) + digits(Int(parts.tm_sec), 2) + "Z"
    return Array(text.utf8)
  }

  private static func digits(_ number: Int, _ width: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, width - text.utf8.count)) + text
  }
}
