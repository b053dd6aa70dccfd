import Octets

// Calendars and visiting cards with a file inside.
extension Tricks {
  private static let folded = wrapped(flat, 60).replacing("\n", with: "\n ").dropLast(2)
  private static let head = "BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nUID:1\n"
  private static let tail = "\nEND:VEVENT\nEND:VCALENDAR\n"
  private static let attach = "ATTACH;ENCODING=BASE64;VALUE=BINARY:"
  private static let percent = flat.replacing("=", with: "%3D").replacing("+", with: "%2B").replacing("/", with: "%2F")

  private static func card(_ lines: String) -> String { "BEGIN:VCARD\nVERSION:4.0\nFN:Anna\n\(lines)\nEND:VCARD\n" }

  private static let table: [(String, String, String)] = [
    ("calendar, folded", "text/calendar; method=REQUEST", "\(head)\(attach)\n \(folded)\(tail)"),
    ("calendar, not folded", "text/calendar", "\(head)\(attach)\(flat)\(tail)"),
    (
      "calendar, small letters", "text/calendar",
      "\(head)\(attach)\(folded)\(tail)".replacing(head, with: head.lowercased()).replacing(attach, with: attach.lowercased())
    ),
    ("calendar, words folded", "text/calendar", "BEGIN:VCA\n LENDAR\nATTACH;ENCO\n DING=BASE\n 64:\(folded)\nEND:VCALENDAR\n"),
    ("calendar, folded by tabs", "text/calendar", "\(head)\(attach)\(folded)\(tail)".replacing("\n ", with: "\n\t")),
    ("calendar, wide folds", "text/calendar", "\(head)\(attach)\(folded)\(tail)".replacing("\n ", with: "\n    ")),
    (
      "calendar, junk", "text/calendar",
      "\(head)\(attach)\(folded.map(String.init).joined(separator: "!"))\(tail)".replacing("!\n! !", with: "\n ")
    ),
    ("calendar, quoted", "text/calendar", "\(head)ATTACH;X=\"a:b\";ENCODING=\"BASE64\":\(folded)\(tail)"),
    ("calendar in text/plain", "text/plain", "\(head)\(attach)\(folded)\(tail)"),
    ("calendar behind lines", "text/plain", "Ecco.\n\n\(head)\(attach)\(folded)\(tail)"),
    ("calendar in text/x-vcalendar", "text/x-vcalendar", "\(head)\(attach)\(folded)\(tail)"),
    ("calendar in application/ics", "application/ics; name=conto.ics", "\(head)\(attach)\(folded)\(tail)"),
    ("calendar with a data URI", "text/calendar", "\(head)ATTACH:data:application/zip;base64,\(folded)\(tail)"),
    ("card, ENCODING=b", "text/vcard", card("PHOTO;ENCODING=b;TYPE=JPEG:\(folded)")),
    ("card, small letters", "text/x-vcard", card("photo;encoding=b:\(folded)").replacing("BEGIN:VCARD", with: "begin:vcard")),
    ("card, data URI", "text/directory", card("PHOTO:data:image/jpeg;base64,\(folded)")),
    ("card, data URI with escapes", "text/vcard", card("PHOTO:data:image/jpeg;base64,\(percent)")),
    ("card 2.1", "text/x-vcard", card("PHOTO;JPEG;BASE64:\n \(folded)\n")),
    ("card 2.1, not indented", "text/x-vcard", card("PHOTO;JPEG;BASE64:" + wrapped(flat, 40))),
  ]

  static let cards: [Trick] =
    table.flatMap { name, type, body in
      let field = "Content-Type: \(type)\n"
      let octets = Array(crlf(body).utf8)
      let wide: [UInt8] = octets.flatMap { [$0, 0] as [UInt8] }
      return [
        whole(name, field, body), parts("\(name), a part", [text, field + "\n" + body]),
        parts("\(name), quoted-printable", [text, field + qp + "\n" + escaped(body)]),
        parts("\(name), every octet quoted", [text, field + qp + "\n" + quoted(octets)]),
        whole("\(name), base64", field + b64, base64(octets)),
        parts("\(name), base64 of a part", [text, field + b64 + "\n" + base64(octets)]),
        parts("\(name), base64 of UTF-16", [text, field + b64 + "\n" + base64([0xff, 0xfe] + wide)]),
        parts("\(name), base64 behind blanks", [text, field + b64 + "\n" + base64([UInt8](repeating: 10, count: 90) + octets)]),
      ]
    } + [
      parts("calendar as a file", [text, Tricks.octets + b64 + "\n" + base64(Array(crlf(head + attach + folded + tail).utf8))]),
      parts(
        "calendar in a calendar",
        [
          text,
          "Content-Type: text/calendar\n\n\(head)\(attach)\(base64(Array((head + attach + folded + tail).utf8)).replacing("\n", with: "\n "))\(tail)",
        ]),
    ]

  /// Quoted-printable as clients write it.
  private static func escaped(_ body: String) -> String {
    var out = ""
    var column = 0
    for character in body {
      if character == "\n" {
        column = 0
      } else if column >= 70 {
        out += "=\n"
        column = 0
      }
      out += character == "=" ? "=3D" : String(character)
      if character != "\n" { column += character == "=" ? 3 : 1 }
    }
    return out
  }
}
