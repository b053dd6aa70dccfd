import Foundation
import PEC

/// Dates of header fields (RFC 5322 §3.3), read for the one purpose of judging a message without certification data at its own time.
enum HeaderDate {
  /// The instant a `Date:` value names; nil when it is none.
  static func parse(_ text: String) -> Instant? {
    let formatter = DateFormatter()
    formatter.locale = Locale(identifier: "en_US_POSIX")
    for form in ["EEE, d MMM yyyy HH:mm:ss Z", "d MMM yyyy HH:mm:ss Z", "EEE, d MMM yyyy HH:mm Z", "d MMM yyyy HH:mm Z"] {
      formatter.dateFormat = form
      let bare = text.split(separator: "(").first.map(String.init) ?? text
      if let date = formatter.date(from: bare.trimmingCharacters(in: .whitespaces)) {
        return Instant(unixSeconds: Int64(date.timeIntervalSince1970), utcOffsetSeconds: utcOffsetSeconds(bare))
      }
    }
    return nil
  }

  /// What the zone `+0100` at the end says; 0 for a zone by name, all of which but GMT are obsolete.
  private static func utcOffsetSeconds(_ text: String) -> Int {
    guard let zone = text.split(separator: " ").last, zone.utf8.count == 5, let sign = zone.first, sign == "+" || sign == "-",
      let number = Int(zone.dropFirst())
    else { return 0 }
    return (sign == "-" ? -1 : 1) * (number / 100 * 3600 + number % 100 * 60)
  }
}
