import Octets

/// An attribute of an LDIF record.
struct LDIFAttribute {
  /// Attribute type in lower case, without its options.
  var name: String
  /// The value: as it stands, or decoded from base64.
  var value: [UInt8]
  /// Line of the file, counted from 1.
  var line: Int
}

/// A content record of an LDIF file.
struct LDIFRecord {
  var dn: String
  /// Line of its `dn:`.
  var line: Int
  var attributes: [LDIFAttribute]
}

/// Reads the content records of an LDIF file (RFC 2849) one by one. A faulty record costs itself, not the ones behind it.
///
/// Change records are refused: the index is a state, and a list of changes to some other state is a mistake. Values fetched from
/// elsewhere (`name:< URL`) are refused too. Beyond the RFC, UTF-8 is accepted where base64 ought to be.
struct LDIFReader {
  /// What the file has next.
  enum Entry {
    case record(LDIFRecord)
    case fault(line: Int, dn: String?, reason: String)
    /// Nothing of the file can be used.
    case unusable(line: Int, reason: String)
  }

  private struct Fault: Error {
    var line: Int
    var reason: String
  }

  private let bytes: [UInt8]
  private var offset = 0
  private var lineNumber = 1
  private var atStart = true

  init(_ bytes: [UInt8]) {
    self.bytes = bytes
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { offset = 3 }  // a byte order mark, as some editors leave it
  }

  /// The next record or fault; nil at the end.
  mutating func next() -> Entry? {
    guard let first = skipToRecord() else { return nil }
    if atStart {
      atStart = false
      if let version = value(of: "version", in: first.text) {
        guard version == [UInt8(ascii: "1")] else { return .unusable(line: first.line, reason: "LDIF version is not 1") }
        return next()
      }
    }
    return record(beginningWith: first)
  }

  private mutating func record(beginningWith first: (text: ArraySlice<UInt8>, line: Int)) -> Entry {
    var dn: String?
    do throws(Fault) {
      let opening = try attribute(first.text, line: first.line)
      guard opening.name == "dn" else { throw Fault(line: first.line, reason: "a record must begin with dn:") }
      guard let name = String(validating: opening.value, as: UTF8.self) else {
        throw Fault(line: first.line, reason: "the dn is not UTF-8")
      }
      dn = name
      var attributes: [LDIFAttribute] = []
      while let line = nextLine(), !line.text.isEmpty {
        if line.text.first == UInt8(ascii: "#") { continue }
        let attribute = try attribute(line.text, line: line.line)
        switch attribute.name {
        case "changetype", "control":
          throw Fault(line: line.line, reason: "change records are not accepted, only content records")
        case "dn":
          throw Fault(line: line.line, reason: "a second dn: without an empty line before it")
        default:
          attributes.append(attribute)
        }
      }
      return .record(LDIFRecord(dn: name, line: first.line, attributes: attributes))
    } catch let fault {
      while let line = nextLine(), !line.text.isEmpty {}
      return .fault(line: fault.line, dn: dn, reason: fault.reason)
    }
  }

  /// Passes over empty lines and comments; nil at the end of the file.
  private mutating func skipToRecord() -> (text: ArraySlice<UInt8>, line: Int)? {
    while let line = nextLine() {
      if !line.text.isEmpty, line.text.first != UInt8(ascii: "#") { return line }
    }
    return nil
  }

  /// The next logical line, unfolded; its number is that of its first physical line.
  private mutating func nextLine() -> (text: ArraySlice<UInt8>, line: Int)? {
    guard offset < bytes.count else { return nil }
    let number = lineNumber
    let first = physicalLine()
    guard offset < bytes.count, bytes[offset] == UInt8(ascii: " "), !first.isEmpty else { return (first, number) }
    var joined = Array(first)
    while offset < bytes.count, bytes[offset] == UInt8(ascii: " ") {
      joined.append(contentsOf: physicalLine().dropFirst())
    }
    return (joined[...], number)
  }

  /// The next physical line without its LF or CRLF.
  private mutating func physicalLine() -> ArraySlice<UInt8> {
    let start = offset
    var end = bytes.count
    if let feed = Scan.first(10, in: bytes.span, from: start) {
      end = feed
      offset = feed + 1
    } else {
      offset = end
    }
    lineNumber += 1
    if end > start, bytes[end - 1] == 13 { end -= 1 }
    return bytes[start..<end]
  }

  /// Splits `name[;option]: value`, `name:: base64` (RFC 2849, attrval-spec).
  private func attribute(_ text: ArraySlice<UInt8>, line: Int) throws(Fault) -> LDIFAttribute {
    guard let colon = text.firstIndex(of: UInt8(ascii: ":")), colon > text.startIndex else {
      throw Fault(line: line, reason: "a line without an attribute name and colon")
    }
    var name: [UInt8] = []
    var inOption = false
    for byte in text[..<colon] {
      switch byte {
      case UInt8(ascii: ";"): inOption = true
      case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "-"), UInt8(ascii: "."):
        if !inOption { name.append(ASCII.lower(byte)) }
      default:
        throw Fault(line: line, reason: "an attribute name with characters that none may have")
      }
    }
    guard !name.isEmpty else { throw Fault(line: line, reason: "a line without an attribute name and colon") }
    let label = String(decoding: name, as: UTF8.self)
    let rest = text[(colon + 1)...]
    if rest.first == UInt8(ascii: ":") {
      guard let value = Base64.decode(rest.dropFirst()) else { throw Fault(line: line, reason: "\(label): is not valid base64") }
      return LDIFAttribute(name: label, value: value, line: line)
    }
    if rest.first == UInt8(ascii: "<") {
      throw Fault(line: line, reason: "\(label):< fetches a value from elsewhere, which is not accepted")
    }
    let value = rest.drop { $0 == UInt8(ascii: " ") }
    guard !value.contains(0) else { throw Fault(line: line, reason: "\(label): holds a NUL octet") }
    return LDIFAttribute(name: label, value: Array(value), line: line)
  }

  private func value(of name: String, in text: ArraySlice<UInt8>) -> [UInt8]? {
    guard let attribute = try? attribute(text, line: 0), attribute.name == name else { return nil }
    var value = attribute.value
    while value.last == UInt8(ascii: " ") { value.removeLast() }
    return value
  }
}

/// A distinguished name taken apart (RFC 4514), as far as the provider index needs it: one type and value for each level.
struct DistinguishedName: Equatable {
  struct Level: Equatable {
    /// Attribute type in lower case.
    var type: String
    var value: String
  }

  /// From the leaf to the root.
  var levels: [Level]

  /// Nil when the text is no such name. Escapes (`\,` `\2C`) and the quoted form of RFC 2253 §4 are understood; levels with
  /// several attributes are not.
  init?(_ text: String) {
    levels = []
    var reader = text.utf8[...]
    while true {
      guard let equals = reader.firstIndex(of: UInt8(ascii: "=")) else { return nil }
      let type = reader[..<equals].filter { $0 != UInt8(ascii: " ") }
      guard !type.isEmpty, type.allSatisfy(DistinguishedName.isTypeCharacter) else { return nil }
      reader = reader[reader.index(after: equals)...]
      guard let value = DistinguishedName.takeValue(&reader) else { return nil }
      levels.append(Level(type: String(decoding: type.map(ASCII.lower), as: UTF8.self), value: value))
      guard let separator = reader.first else { return }
      guard separator == UInt8(ascii: ",") else { return nil }
      reader = reader.dropFirst()
    }
  }

  private static func isTypeCharacter(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
      UInt8(ascii: "-"), UInt8(ascii: "."):
      true
    default: false
    }
  }

  /// Takes a value up to the comma that ends it, which stays.
  private static func takeValue(_ reader: inout Substring.UTF8View) -> String? {
    var value: [UInt8] = []
    var kept = 0  // length up to the last octet that is not an unescaped space
    var quoted = false
    reader = reader.drop { $0 == UInt8(ascii: " ") }
    if reader.first == UInt8(ascii: "\"") {
      quoted = true
      reader = reader.dropFirst()
    }
    while let byte = reader.first {
      if byte == UInt8(ascii: "\\") {
        reader = reader.dropFirst()
        guard let escaped = takeEscape(&reader) else { return nil }
        value.append(escaped)
        kept = value.count
        continue
      }
      if quoted, byte == UInt8(ascii: "\"") {
        reader = reader.dropFirst().drop { $0 == UInt8(ascii: " ") }
        return reader.first == nil || reader.first == UInt8(ascii: ",") ? String(validating: value, as: UTF8.self) : nil
      }
      if !quoted {
        if byte == UInt8(ascii: ",") { break }
        if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: ";") { return nil }
      }
      value.append(byte)
      if byte != UInt8(ascii: " ") { kept = value.count }
      reader = reader.dropFirst()
    }
    if quoted { return nil }
    return kept == 0 ? nil : String(validating: value[..<kept], as: UTF8.self)
  }

  private static func takeEscape(_ reader: inout Substring.UTF8View) -> UInt8? {
    guard let first = reader.first else { return nil }
    reader = reader.dropFirst()
    guard let high = hexValue(first) else { return first }
    guard let second = reader.first, let low = hexValue(second) else { return nil }
    reader = reader.dropFirst()
    return high << 4 | low
  }

  private static func hexValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - 48
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - 55
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - 87
    default: nil
    }
  }
}
