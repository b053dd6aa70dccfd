internal import Evidence
internal import Foundation
internal import GRDB
internal import Journey
internal import Octets
internal import PEC

/// How values that are no plain texts or numbers stand in columns.
enum LedgerColumns {
  /// A text as it may stand in a column: SQLite ends a text at NUL, so NUL is shown by its symbol.
  static func text(_ text: String) -> String {
    guard Scan.first(0, in: text.utf8.span) != nil else { return text }
    return String(String.UnicodeScalarView(text.unicodeScalars.map { $0 == "\0" ? "\u{2400}" : $0 }))
  }

  static func text(_ text: String?) -> String? { text.map { LedgerColumns.text($0) } }

  /// `[{"address":"a@b","class":"certificato"}]`: written by hand, because it is written for every event.
  static func json(_ recipients: [Recipient]) -> String {
    var out: [UInt8] = [UInt8(ascii: "[")]
    for (index, recipient) in recipients.enumerated() {
      if index > 0 { out.append(UInt8(ascii: ",")) }
      out.append(contentsOf: #"{"address":"#.utf8)
      quote(recipient.address, into: &out)
      out.append(contentsOf: #","class":"#.utf8)
      quote(recipient.recipientClass.rawValue, into: &out)
      out.append(UInt8(ascii: "}"))
    }
    out.append(UInt8(ascii: "]"))
    return String(decoding: out, as: UTF8.self)
  }

  /// `["a","b"]`.
  static func json(_ texts: [String]) -> String {
    var out: [UInt8] = [UInt8(ascii: "[")]
    for (index, text) in texts.enumerated() {
      if index > 0 { out.append(UInt8(ascii: ",")) }
      quote(text, into: &out)
    }
    out.append(UInt8(ascii: "]"))
    return String(decoding: out, as: UTF8.self)
  }

  /// RFC 8259 §7.
  private static func quote(_ text: String, into out: inout [UInt8]) {
    out.append(UInt8(ascii: "\""))
    defer { out.append(UInt8(ascii: "\"")) }
    if isPlain(text.utf8.span) {
      out.append(contentsOf: text.utf8)
      return
    }
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        out.append(UInt8(ascii: "\\"))
        out.append(byte)
      case 0..<32:
        out.append(contentsOf: "\\u00".utf8)
        out.append(contentsOf: Hex.encode([byte]).utf8)
      default: out.append(byte)
      }
    }
  }

  private static func isPlain(_ octets: Span<UInt8>) -> Bool {
    for index in octets.indices {
      let byte = octets[index]
      if byte < 32 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { return false }
    }
    return true
  }

  private struct StoredRecipient: Decodable {
    let address: String
    let `class`: RecipientClass
  }

  /// Reads what `json` or the canonical form of a row wrote; nil for anything else, down to the last octet.
  static func recipients(_ json: String) -> [Recipient]? {
    if let canonical = try? CanonicalEvent.recipients(reading: Array(json.utf8)) { return canonical }
    guard let stored = try? JSONDecoder().decode([StoredRecipient].self, from: Data(json.utf8)) else { return nil }
    let recipients = stored.map { Recipient(address: $0.address, recipientClass: $0.class) }
    return LedgerColumns.json(recipients).utf8.elementsEqual(json.utf8) ? recipients : nil
  }

  /// Reads what `json` wrote; nil for anything else, down to the last octet.
  static func texts(_ json: String) -> [String]? {
    guard let texts = plainTexts(json.utf8) ?? (try? JSONDecoder().decode([String].self, from: Data(json.utf8))) else { return nil }
    return LedgerColumns.json(texts).utf8.elementsEqual(json.utf8) ? texts : nil
  }

  /// Texts without escapes, taken apart at their quotes: almost all are such. Whether that was right shows when they are written again.
  private static func plainTexts(_ json: String.UTF8View) -> [String]? {
    if json.elementsEqual("[]".utf8) { return [] }
    guard json.count >= 4, !json.contains(UInt8(ascii: "\\")) else { return nil }
    let parts = json.split(separator: UInt8(ascii: "\""), omittingEmptySubsequences: false)
    return stride(from: 1, to: parts.count - 1, by: 2).map { String(Substring(parts[$0])) }
  }

  /// `segment:offset:length` for each range, with spaces between.
  static func text(_ ranges: [StoredRange]) -> String {
    var out: [UInt8] = []
    out.reserveCapacity(ranges.count * 32)
    for range in ranges {
      if !out.isEmpty { out.append(UInt8(ascii: " ")) }
      write(UInt64(range.segment), into: &out)
      out.append(UInt8(ascii: ":"))
      write(range.offset, into: &out)
      out.append(UInt8(ascii: ":"))
      write(range.length, into: &out)
    }
    return String(decoding: out, as: UTF8.self)
  }

  /// Appends decimal digits: cheaper than a string for each number, and a large message has hundreds of them.
  private static func write(_ value: UInt64, into out: inout [UInt8]) {
    let start = out.count
    var rest = value
    repeat {
      out.append(UInt8(ascii: "0") + UInt8(rest % 10))
      rest /= 10
    } while rest > 0
    var (low, high) = (start, out.count - 1)
    while low < high {
      out.swapAt(low, high)
      low += 1
      high -= 1
    }
  }

  /// Reads what `text` wrote; nil for anything else.
  static func ranges(_ text: String) -> [StoredRange]? {
    var ranges: [StoredRange] = []
    for word in text.utf8.split(separator: UInt8(ascii: " ")) {
      let numbers = word.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
      guard numbers.count == 3, let segment = number(numbers[0]).flatMap({ UInt32(exactly: $0) }), let offset = number(numbers[1]),
        let length = number(numbers[2])
      else { return nil }
      ranges.append(StoredRange(segment: segment, offset: offset, length: length))
    }
    return ranges
  }

  private static func number(_ digits: Substring.UTF8View) -> UInt64? {
    guard !digits.isEmpty else { return nil }
    var value: UInt64 = 0
    for digit in digits {
      guard digit &- 48 < 10 else { return nil }
      let (tens, over) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tens.addingReportingOverflow(UInt64(digit &- 48))
      if over || carry { return nil }
      value = sum
    }
    return value
  }

  /// What the recipients of a message that arrived are kept under: the same message has the same fingerprint, and what has none is a
  /// message of its own. No fingerprint begins with `@`.
  static func message(fingerprint: String, reception: String) -> String { fingerprint.isEmpty ? "@\(reception)" : fingerprint }

  /// Days of legal time since 1970-01-01.
  static func day(_ instant: Instant) -> Int64 { LegalDay(instant).number }
}

/// A row of a result, read without ever trapping on what the file holds.
struct StoredRow {
  let row: Row
  /// What the row is, for the error.
  let table: String
  let path: String
  private(set) var column = 0

  init(_ row: Row, of table: String, path: String) {
    self.row = row
    self.table = table
    self.path = path
  }

  /// The next column.
  mutating func next<Value: DatabaseValueConvertible>(_ type: Value.Type = Value.self) throws -> Value {
    guard let value: Value = try optional() else { throw damaged }
    return value
  }

  /// The next column, which may be NULL.
  mutating func optional<Value: DatabaseValueConvertible>(_ type: Value.Type = Value.self) throws -> Value? {
    defer { column += 1 }
    let stored: DatabaseValue = row[column]
    if stored.isNull { return nil }
    guard let value = Value.fromDatabaseValue(stored) else { throw damaged }
    return value
  }

  /// The next column, in a form of its own.
  mutating func next<Value>(_ read: (String) -> Value?) throws -> Value {
    guard let value = read(try next(String.self)) else { throw damaged }
    return value
  }

  private var damaged: LedgerError { .damaged(path: path, detail: "table \(table), column \(column + 1) of a row cannot be read") }
}
