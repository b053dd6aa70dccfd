/// The one time value of a transaction (RFC 6109 §4.1): seconds since 1970 in UTC, and the offset of legal time at that instant.
///
/// Text, certification data, headers and log of a transaction are all written from the same `Instant`.
public struct Instant: Sendable, Hashable, Codable {
  /// Seconds since 1970-01-01T00:00:00Z.
  public var unixSeconds: Int64
  /// Local (legal) time minus UTC, in seconds.
  public var utcOffsetSeconds: Int

  /// An instant with the offset of legal time.
  public init(unixSeconds: Int64, utcOffsetSeconds: Int) {
    self.unixSeconds = unixSeconds
    self.utcOffsetSeconds = utcOffsetSeconds
  }

  /// Calendar fields of local time (Gregorian, proleptic).
  private var local: (year: Int, month: Int, day: Int, weekday: Int, hour: Int, minute: Int, second: Int) {
    Instant.fields(of: unixSeconds + Int64(utcOffsetSeconds))
  }

  /// Days-to-date by counting eras of 400 years that begin on 1 March, so that the leap day is the last of its year.
  private static func fields(of seconds: Int64) -> (year: Int, month: Int, day: Int, weekday: Int, hour: Int, minute: Int, second: Int) {
    let days = Int((seconds >= 0 ? seconds : seconds - 86_399) / 86_400)
    let rest = Int(seconds - Int64(days) * 86_400)
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    let weekday = ((days % 7) + 11) % 7  // 1970-01-01 was a Thursday; Sunday is 0
    return (year, month, day, weekday, rest / 3600, rest / 60 % 60, rest % 60)
  }

  /// `dd/mm/yyyy` (RFC 6109 §4.2).
  public var day: String { written { $0.appendDay(self) } }

  /// `hh:mm:ss` in local time.
  public var time: String { written { $0.appendTime(self) } }

  /// `+0100`.
  public var zone: String { written { $0.appendZone(self) } }

  /// Value of a `Date:` field (RFC 5322 §3.3): `Tue, 10 Mar 2026 09:15:00 +0100`.
  public var headerDate: String { written { $0.appendHeaderDate(self) } }

  /// `yyyymmddhhmmss` in UTC, as it stands in identifiers.
  public var compactUTC: String {
    written { out in
      let parts = Instant.fields(of: unixSeconds)
      out.appendNumber(parts.year)
      for part in [parts.month, parts.day, parts.hour, parts.minute, parts.second] { out.appendTwo(part) }
    }
  }

  /// `2026-03-10T09:15:00+01:00` (RFC 3339), for log lines and machines.
  public var rfc3339: String {
    let parts = local
    return written { out in
      out.appendNumber(parts.year)
      out.append(UInt8(ascii: "-"))
      out.appendTwo(parts.month)
      out.append(UInt8(ascii: "-"))
      out.appendTwo(parts.day)
      out.append(UInt8(ascii: "T"))
      out.appendTime(self)
      out.appendZone(self)
      out.insert(UInt8(ascii: ":"), at: out.count - 2)
    }
  }

  private func written(_ write: (inout [UInt8]) -> Void) -> String {
    var out: [UInt8] = []
    out.reserveCapacity(32)
    write(&out)
    return String(decoding: out, as: UTF8.self)
  }

  private static let weekdays = Array("SunMonTueWedThuFriSat".utf8)
  private static let months = Array("JanFebMarAprMayJunJulAugSepOctNovDec".utf8)

  fileprivate func appendDay(to out: inout [UInt8]) {
    let parts = local
    out.appendTwo(parts.day)
    out.append(UInt8(ascii: "/"))
    out.appendTwo(parts.month)
    out.append(UInt8(ascii: "/"))
    out.appendNumber(parts.year)
  }

  fileprivate func appendTime(to out: inout [UInt8]) {
    let parts = local
    out.appendTwo(parts.hour)
    out.append(UInt8(ascii: ":"))
    out.appendTwo(parts.minute)
    out.append(UInt8(ascii: ":"))
    out.appendTwo(parts.second)
  }

  fileprivate func appendZone(to out: inout [UInt8]) {
    let minutes = abs(utcOffsetSeconds) / 60
    out.append(utcOffsetSeconds < 0 ? UInt8(ascii: "-") : UInt8(ascii: "+"))
    out.appendTwo(minutes / 60)
    out.appendTwo(minutes % 60)
  }

  fileprivate func appendHeaderDate(to out: inout [UInt8]) {
    let parts = local
    out.append(contentsOf: Instant.weekdays[parts.weekday * 3..<parts.weekday * 3 + 3])
    out.append(UInt8(ascii: ","))
    out.append(32)
    out.appendTwo(parts.day)
    out.append(32)
    out.append(contentsOf: Instant.months[parts.month * 3 - 3..<parts.month * 3])
    out.append(32)
    out.appendNumber(parts.year)
    out.append(32)
    appendTime(to: &out)
    out.append(32)
    appendZone(to: &out)
  }
}

// The octets of a moment's parts, for what is composed as octets.
extension Array where Element == UInt8 {
  /// `dd/mm/yyyy`.
  mutating func appendDay(_ instant: Instant) { instant.appendDay(to: &self) }
  /// `hh:mm:ss`.
  mutating func appendTime(_ instant: Instant) { instant.appendTime(to: &self) }
  /// `+0100`.
  mutating func appendZone(_ instant: Instant) { instant.appendZone(to: &self) }
  /// `Tue, 10 Mar 2026 09:15:00 +0100`.
  mutating func appendHeaderDate(_ instant: Instant) { instant.appendHeaderDate(to: &self) }

  /// A number below 100 in two digits.
  fileprivate mutating func appendTwo(_ number: Int) {
    append(48 + UInt8(truncatingIfNeeded: number / 10))
    append(48 + UInt8(truncatingIfNeeded: number % 10))
  }

  /// A number in four digits, or as many as it has.
  fileprivate mutating func appendNumber(_ number: Int) {
    guard (1000...9999).contains(number) else {
      append(contentsOf: String(number).utf8)
      return
    }
    appendTwo(number / 100)
    appendTwo(number % 100)
  }
}

extension Instant {
  /// The instant that certification data name (RFC 6109 §4.4): `dd/mm/yyyy`, `hh:mm:ss`, `+0100`. Nil when one of them is not of
  /// that form or no such moment exists. Second 60 of a leap second is read as the second after it.
  public init?(day: String, time: String, zone: String) {
    let date = Array(day.utf8)
    let clock = Array(time.utf8)
    let offset = Array(zone.utf8)
    guard date.count == 10, date[2] == UInt8(ascii: "/"), date[5] == UInt8(ascii: "/"), clock.count == 8,
      clock[2] == UInt8(ascii: ":"), clock[5] == UInt8(ascii: ":"), offset.count == 5,
      offset[0] == UInt8(ascii: "+") || offset[0] == UInt8(ascii: "-"),
      let dayOfMonth = Instant.number(date[0..<2]), let month = Instant.number(date[3..<5]), let year = Instant.number(date[6..<10]),
      let hour = Instant.number(clock[0..<2]), let minute = Instant.number(clock[3..<5]), let second = Instant.number(clock[6..<8]),
      let zoneHours = Instant.number(offset[1..<3]), let zoneMinutes = Instant.number(offset[3..<5]),
      (1...12).contains(month), (1...31).contains(dayOfMonth), hour < 24, minute < 60, second <= 60, zoneHours < 24, zoneMinutes < 60
    else { return nil }
    let days = Instant.days(year: year, month: month, day: dayOfMonth)
    let shift = (offset[0] == UInt8(ascii: "-") ? -1 : 1) * (zoneHours * 3600 + zoneMinutes * 60)
    self.init(unixSeconds: Int64(days * 86_400 + hour * 3600 + minute * 60 + second - shift), utcOffsetSeconds: shift)
    if self.day != day, second < 60 { return nil }  // 31 February
  }

  private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
    var value = 0
    for digit in digits {
      guard digit &- 48 < 10 else { return nil }
      value = value * 10 + Int(digit &- 48)
    }
    return value
  }

  /// Days since 1970-01-01, counted in the same eras as `fields(of:)`.
  private static func days(year: Int, month: Int, day: Int) -> Int {
    let shiftedYear = month <= 2 ? year - 1 : year
    let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
    let yearOfEra = shiftedYear - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }
}
