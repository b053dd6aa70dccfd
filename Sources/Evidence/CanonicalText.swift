import Octets
import PEC

// The writing half of the canonical form: JSON (RFC 8259) with exactly one way to write everything.
extension Array where Element == UInt8 {
  /// A string. Escaped are `"`, `\` and control characters, and nothing else; NUL is written as its symbol U+2400, which is how the
  /// ledger keeps it.
  mutating func appendQuoted(_ text: String) {
    append(UInt8(ascii: "\""))
    let octets = text.utf8.span
    if CanonicalText.isPlain(octets) {
      append(copying: octets)
    } else {
      appendEscaped(text)
    }
    append(UInt8(ascii: "\""))
  }

  private mutating func appendEscaped(_ text: String) {
    for octet in text.utf8 {
      switch octet {
      case 0: append(contentsOf: "\u{2400}".utf8)
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        append(UInt8(ascii: "\\"))
        append(octet)
      case 1..<32, 127:
        append(contentsOf: "\\u00".utf8)
        append(CanonicalText.digit(octet >> 4))
        append(CanonicalText.digit(octet & 15))
      default: append(octet)
      }
    }
  }

  /// A string, or `null`.
  mutating func appendQuoted(_ text: String?) {
    if let text { appendQuoted(text) } else { append(contentsOf: "null".utf8) }
  }

  /// Two lower-case hexadecimal digits for each octet.
  mutating func appendHexadecimal(_ octets: [UInt8]) {
    for octet in octets {
      append(CanonicalText.digit(octet >> 4))
      append(CanonicalText.digit(octet & 15))
    }
  }

  /// Decimal digits without a string in between.
  mutating func appendDecimal(_ value: Int64) {
    if value < 0 { append(UInt8(ascii: "-")) }
    var rest = value.magnitude
    let start = count
    repeat {
      append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
      rest /= 10
    } while rest > 0
    var (low, high) = (start, count - 1)
    while low < high {
      swapAt(low, high)
      low += 1
      high -= 1
    }
  }

  /// The instant for people (RFC 3339), quoted; `null` when it lies outside of the years that this form can name.
  mutating func appendTime(_ instant: Instant) {
    guard CanonicalText.namable.contains(instant.unixSeconds), (-86_399...86_399).contains(instant.utcOffsetSeconds) else {
      append(contentsOf: "null".utf8)
      return
    }
    append(UInt8(ascii: "\""))
    append(contentsOf: instant.rfc3339.utf8)
    append(UInt8(ascii: "\""))
  }
}

/// What writing and reading share.
enum CanonicalText {
  /// The years 1 to 9999 in any zone.
  static let namable: ClosedRange<Int64> = -62_135_510_400...253_402_214_399

  /// True when nothing needs an escape. Looks at every octet, without a branch, so that the compiler takes many at a time: for octets
  /// below 128, `(x - 1) & ~x` has its high bit when x is 0, and `(x - 32) & ~x` when x is below 32.
  static func isPlain(_ octets: Span<UInt8>) -> Bool {
    var odd: UInt8 = 0
    for at in 0..<octets.count {
      let octet = octets[at]
      let (quote, slash, delete) = (octet ^ UInt8(ascii: "\""), octet ^ UInt8(ascii: "\\"), octet ^ 127)
      odd |= ((octet &- 32) & ~octet) | ((quote &- 1) & ~quote) | ((slash &- 1) & ~slash) | ((delete &- 1) & ~delete)
    }
    return odd < 128
  }

  /// A lower-case hexadecimal digit.
  static func digit(_ value: UInt8) -> UInt8 { value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10 }

  /// Reads lower-case hexadecimal digits; nil for anything else.
  static func octets(hexadecimal text: some Collection<UInt8>) -> [UInt8]? {
    guard text.count % 2 == 0 else { return nil }
    var out: [UInt8] = []
    out.reserveCapacity(text.count / 2)
    var high: UInt8?
    for digit in text {
      let value: UInt8
      switch digit {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
      default: return nil
      }
      if let first = high {
        out.append(first << 4 | value)
        high = nil
      } else {
        high = value
      }
    }
    return out
  }

  /// Throws when `octets` are not what was written of them.
  static func compare(_ octets: [UInt8], with written: [UInt8]) throws(EvidenceError) {
    guard octets != written else { return }
    let same = zip(octets, written).prefix { $0 == $1 }.count
    throw .notCanonical(offset: same)
  }
}

/// Reads the canonical form from its beginning. What it lets through is compared with what would be written afterwards.
struct CanonicalReader {
  let octets: [UInt8]
  private(set) var at = 0

  init(_ octets: [UInt8]) { self.octets = octets }

  var isAtEnd: Bool { at == octets.count }

  /// True, and past it, when this stands here.
  mutating func skip(_ literal: String) -> Bool {
    let text = literal.utf8.span
    guard octets.count - at >= text.count else { return false }
    for index in 0..<text.count where octets[at + index] != text[index] { return false }
    at += text.count
    return true
  }

  mutating func expect(_ literal: String) throws(EvidenceError) {
    guard skip(literal) else { throw .malformed(offset: at, expected: literal) }
  }

  mutating func expectEnd() throws(EvidenceError) {
    guard isAtEnd else { throw .malformed(offset: at, expected: "the end") }
  }

  /// A decimal number.
  mutating func number() throws(EvidenceError) -> Int64 {
    let start = at
    let isNegative = at < octets.count && octets[at] == UInt8(ascii: "-")
    if isNegative { at += 1 }
    let digits = at
    var value: Int64 = 0
    while at < octets.count, octets[at] &- 48 < 10 {
      let digit = Int64(octets[at] &- 48)
      let (tens, over) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = isNegative ? tens.subtractingReportingOverflow(digit) : tens.addingReportingOverflow(digit)
      if over || carry { throw .malformed(offset: start, expected: "a number of 64 bits") }
      value = sum
      at += 1
    }
    if at == digits { throw .malformed(offset: start, expected: "a number") }
    return value
  }

  /// A quoted string.
  mutating func text() throws(EvidenceError) -> String {
    try expect("\"")
    let start = at
    while at < octets.count, octets[at] != UInt8(ascii: "\""), octets[at] != UInt8(ascii: "\\") { at += 1 }
    if at < octets.count, octets[at] == UInt8(ascii: "\"") {
      defer { at += 1 }
      return String(decoding: octets[start..<at], as: UTF8.self)
    }
    var out = Array(octets[start..<at])
    while at < octets.count {
      let octet = octets[at]
      at += 1
      switch octet {
      case UInt8(ascii: "\""): return String(decoding: out, as: UTF8.self)
      case UInt8(ascii: "\\"): out.append(try escaped())
      default: out.append(octet)
      }
    }
    throw .malformed(offset: start, expected: "a string with an end")
  }

  /// What stands after a backslash.
  private mutating func escaped() throws(EvidenceError) -> UInt8 {
    if skip("\"") { return UInt8(ascii: "\"") }
    if skip("\\") { return UInt8(ascii: "\\") }
    guard skip("u00"), octets.count - at >= 2, let octet = CanonicalText.octets(hexadecimal: octets[at..<at + 2])?.first else {
      throw .malformed(offset: at, expected: "an escape")
    }
    at += 2
    return octet
  }

  /// A quoted string, or nil for `null`.
  mutating func optionalText() throws(EvidenceError) -> String? {
    if skip("null") { return nil }
    return try text()
  }

  /// An instant in its three fields: seconds, offset and the form for people, which is left to the comparison afterwards. `names` are
  /// the three keys as they stand in the line.
  mutating func instant(_ seconds: String, _ offset: String, _ time: String) throws(EvidenceError) -> Instant {
    try expect(seconds)
    let unixSeconds = try number()
    try expect(offset)
    let utcOffset = try number()
    try expect(time)
    _ = try optionalText()
    return Instant(unixSeconds: unixSeconds, utcOffsetSeconds: Int(utcOffset))
  }
}
