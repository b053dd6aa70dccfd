/// Why a document is not accepted as certification data.
public struct CertificationFault: Error, Sendable, Equatable, CustomStringConvertible {
  /// Offset of the octet where it was noticed.
  public var offset: Int
  public var reason: String

  /// A fault at an octet of the document.
  public init(offset: Int, reason: String) {
    self.offset = offset
    self.reason = reason
  }

  /// One line, in English.
  public var description: String { "octet \(offset): \(reason)" }
}

/// Reads XML 1.0 as far as certification data need it, and nothing that could reach outside the document: a DOCTYPE and entities other
/// than the five predefined and the numeric ones are refused. Comments and processing instructions are passed over.
struct XMLScanner {
  enum Token: Equatable {
    case open(name: String, attributes: [String: String], isEmpty: Bool)
    case close(name: String)
    case text(String)
  }

  /// Octets of a document at the most: 1000 recipients and a subject as long as a header may be are well below.
  static let maximumBytes = 4 * 1024 * 1024
  private static let maximumAttributes = 16

  private let bytes: [UInt8]
  private(set) var offset = 0

  init(_ document: [UInt8]) throws(CertificationFault) {
    guard document.count <= XMLScanner.maximumBytes else { throw CertificationFault(offset: 0, reason: "the document is too large") }
    guard String(validating: document, as: UTF8.self) != nil else {
      throw CertificationFault(offset: 0, reason: "the document is not UTF-8")
    }
    bytes = document
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { offset = 3 }
    try readDeclaration()
  }

  /// The next token; nil at the end of the document.
  mutating func next() throws(CertificationFault) -> Token? {
    while offset < bytes.count {
      if bytes[offset] != UInt8(ascii: "<") { return .text(try characters()) }
      if skip("<!--") {
        try pass(over: "-->", "a comment that does not end")
      } else if skip("<![CDATA[") {
        let start = offset
        try pass(over: "]]>", "a CDATA section that does not end")
        let content = bytes[start..<(offset - 3)]
        try checkCharacters(content, at: start)
        return .text(String(decoding: content, as: UTF8.self))
      } else if skip("<?") {
        try pass(over: "?>", "a processing instruction that does not end")
      } else if skip("<!") {
        throw fault("declarations (DOCTYPE, ENTITY) are not accepted")
      } else if skip("</") {
        let name = try self.name()
        skipSpace()
        guard skip(">") else { throw fault("an end tag that does not end") }
        return .close(name: name)
      } else {
        offset += 1
        return try startTag()
      }
    }
    return nil
  }

  /// XML 1.0 §2.8; an encoding other than UTF-8 (or ASCII, which is UTF-8) is refused.
  private mutating func readDeclaration() throws(CertificationFault) {
    guard bytes[offset...].starts(with: "<?xml".utf8), offset + 5 < bytes.count, XMLScanner.isSpace(bytes[offset + 5]) else { return }
    offset += 5
    let declared = try attributes(until: "?>")
    if let version = declared["version"], !version.hasPrefix("1.") { throw fault("not XML 1") }
    if let encoding = declared["encoding"]?.lowercased(), encoding != "utf-8", encoding != "us-ascii" {
      throw fault("the document's encoding is not UTF-8")
    }
  }

  private mutating func startTag() throws(CertificationFault) -> Token {
    let name = try self.name()
    let found = try attributes(until: ">")
    return .open(name: name, attributes: found, isEmpty: bytes[offset - 2] == UInt8(ascii: "/"))
  }

  /// Attributes up to and with `end`; before ">" a "/" may stand.
  private mutating func attributes(until end: String) throws(CertificationFault) -> [String: String] {
    var found: [String: String] = [:]
    while true {
      let before = offset
      skipSpace()
      if skip(end) { return found }
      if end == ">", skip("/>") { return found }
      guard offset > before else { throw fault("a tag that is not well formed") }
      let name = try self.name()
      skipSpace()
      guard skip("=") else { throw fault("an attribute without a value") }
      skipSpace()
      let value = try attributeValue()
      guard found.updateValue(value, forKey: name) == nil else { throw fault("attribute \(name) twice") }
      guard found.count <= XMLScanner.maximumAttributes else { throw fault("too many attributes") }
    }
  }

  private mutating func attributeValue() throws(CertificationFault) -> String {
    guard offset < bytes.count, bytes[offset] == UInt8(ascii: "\"") || bytes[offset] == UInt8(ascii: "'") else {
      throw fault("an attribute value without quotes")
    }
    let quote = bytes[offset]
    offset += 1
    let value = try decoded { $0 == quote }
    guard offset < bytes.count else { throw fault("an attribute value that does not end") }
    offset += 1
    return value
  }

  private mutating func characters() throws(CertificationFault) -> String {
    try decoded { $0 == UInt8(ascii: "<") }
  }

  /// Text up to an octet that ends it, references replaced. "<" ends it in every case.
  private mutating func decoded(until ends: (UInt8) -> Bool) throws(CertificationFault) -> String {
    var out: [UInt8] = []
    let start = offset
    while offset < bytes.count, !ends(bytes[offset]) {
      switch bytes[offset] {
      case UInt8(ascii: "&"):
        out.append(contentsOf: String(try reference()).utf8)
        continue
      case UInt8(ascii: "<"): throw fault("\"<\" in an attribute value")
      case 13:
        // Line ends are line feeds to whoever reads (XML 1.0 §2.11).
        if offset + 1 >= bytes.count || bytes[offset + 1] != 10 { out.append(10) }
      default: out.append(bytes[offset])
      }
      offset += 1
    }
    try checkCharacters(out[...], at: start)
    return String(decoding: out, as: UTF8.self)
  }

  /// A reference: one of the five predefined entities, or a number (XML 1.0 §4.1, §4.6).
  private mutating func reference() throws(CertificationFault) -> Character {
    let start = offset
    guard let end = bytes[start...].prefix(12).firstIndex(of: UInt8(ascii: ";")) else { throw fault("\"&\" that begins no reference") }
    let name = String(decoding: bytes[(start + 1)..<end], as: UTF8.self)
    offset = end + 1
    switch name {
    case "amp": return "&"
    case "lt": return "<"
    case "gt": return ">"
    case "quot": return "\""
    case "apos": return "'"
    default: break
    }
    let isHexadecimal = name.hasPrefix("#x")
    let digits = name.dropFirst(isHexadecimal ? 2 : 1)
    guard name.hasPrefix("#"), let first = digits.utf8.first, first != UInt8(ascii: "+"), first != UInt8(ascii: "-"),
      let value = UInt32(digits, radix: isHexadecimal ? 16 : 10), let scalar = Unicode.Scalar(value), XMLScanner.isAllowed(value)
    else { throw CertificationFault(offset: start, reason: "entity &\(name); is not accepted") }
    return Character(scalar)
  }

  private mutating func name() throws(CertificationFault) -> String {
    let start = offset
    while offset < bytes.count, XMLScanner.isNameCharacter(bytes[offset]) { offset += 1 }
    guard offset > start, offset - start <= 128, !XMLScanner.isDigit(bytes[start]) else { throw fault("a name is missing or not a name") }
    return String(decoding: bytes[start..<offset], as: UTF8.self)
  }

  /// XML 1.0 §2.2: control characters but for tab and line ends, and U+FFFE and U+FFFF, may not stand in a document.
  private func checkCharacters(_ text: ArraySlice<UInt8>, at start: Int) throws(CertificationFault) {
    for byte in text where byte < 32 && byte != 9 && byte != 10 && byte != 13 {
      throw CertificationFault(offset: start, reason: "a control character in the text")
    }
  }

  private static func isAllowed(_ value: UInt32) -> Bool {
    switch value {
    case 9, 10, 13, 0x20...0xD7FF, 0xE000...0xFFFD, 0x10000...0x10FFFF: true
    default: false
    }
  }

  private static func isNameCharacter(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
      UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: ":"), 0x80...0xFF:
      true
    default: false
    }
  }

  private static func isDigit(_ byte: UInt8) -> Bool { byte &- 48 < 10 || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".") }
  private static func isSpace(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 || byte == 10 || byte == 13 }

  private mutating func skipSpace() {
    while offset < bytes.count, XMLScanner.isSpace(bytes[offset]) { offset += 1 }
  }

  private mutating func skip(_ text: String) -> Bool {
    guard bytes[offset...].starts(with: text.utf8) else { return false }
    offset += text.utf8.count
    return true
  }

  private mutating func pass(over end: String, _ reason: String) throws(CertificationFault) {
    let start = offset
    while offset < bytes.count {
      if skip(end) { return }
      offset += 1
    }
    throw CertificationFault(offset: start, reason: reason)
  }

  private func fault(_ reason: String) -> CertificationFault { CertificationFault(offset: offset, reason: reason) }
}
