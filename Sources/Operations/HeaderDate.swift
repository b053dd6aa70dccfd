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
        return Instant(unixSeconds: Int64(date.timeIntervalSince1970), utcOffsetSeconds: 0)
      }
    }
    return nil
  }
}
