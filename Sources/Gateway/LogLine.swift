import Logging
import Octets
import PEC

/// The two forms of a log line. Both are built by appending: each message writes three, on the thread that serves its session.
enum LogLine {
  /// For people and for `grep`: time, level, words, fields by their names.
  static func text(_ now: Instant, _ level: Logger.Level, _ message: String, _ fields: Logger.Metadata) -> String {
    var line = ""
    line.reserveCapacity(400)
    line += now.rfc3339
    line += " "
    line += level.rawValue
    line += " "
    line += ASCII.escaped(message)
    for (key, value) in fields.sorted(by: { $0.key < $1.key }) {
      line += " "
      line += key
      line += "="
      line += ASCII.escaped(words(value))
    }
    line += "\n"
    return line
  }

  /// One JSON object: `time` (RFC 3339), `level`, `message`, and the fields beside them, all of them strings.
  static func json(_ now: Instant, _ level: Logger.Level, _ message: String, _ fields: Logger.Metadata) -> String {
    var line = "{"
    line.reserveCapacity(500)
    append("time", now.rfc3339, to: &line)
    line += ","
    append("level", level.rawValue, to: &line)
    line += ","
    append("message", message, to: &line)
    for (key, value) in fields.sorted(by: { $0.key < $1.key }) {
      line += ","
      // No object has a name twice.
      append(reserved.contains(key) ? "field.\(key)" : key, words(value), to: &line)
    }
    line += "}\n"
    return line
  }

  private static let reserved: Set<String> = ["time", "level", "message"]

  private static func words(_ value: Logger.MetadataValue) -> String {
    if case .string(let text) = value { text } else { value.description }
  }

  private static func append(_ name: String, _ value: String, to line: inout String) {
    quote(name, to: &line)
    line += ":"
    quote(value, to: &line)
  }

  /// RFC 8259 §7, and what a terminal would take for an order (C1 controls), or a reader for the end of a line, or for letters the other way
  /// round.
  private static func quote(_ text: String, to line: inout String) {
    line += "\""
    if text.utf8.allSatisfy({ $0 >= 32 && $0 < 127 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }) {
      line += text
    } else {
      for character in text.unicodeScalars {
        switch character.value {
        case 0x22: line += "\\\""
        case 0x5c: line += "\\\\"
        case 0x0a: line += "\\n"
        case 0x0d: line += "\\r"
        case 0x09: line += "\\t"
        case ..<0x20, 0x7f...0x9f, 0x2028...0x202e, 0x2066...0x2069:
          let hex = String(character.value, radix: 16)
          line += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
        default: line.unicodeScalars.append(character)
        }
      }
    }
    line += "\""
  }
}
