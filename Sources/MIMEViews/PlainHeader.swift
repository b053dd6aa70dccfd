import Octets

/// How a body is encoded, when it is said in one of the five exact words (RFC 2045 §6.1).
enum PlainEncoding {
  case identity, quotedPrintable, base64
}

/// What a header says about its entity, every word of it in the one form that all readers agree on.
struct PlainHeader {
  /// Fields that may stand once in a header.
  struct Said: OptionSet {
    let rawValue: UInt8
    static let type = Said(rawValue: 1)
    static let encoding = Said(rawValue: 2)
    static let disposition = Said(rawValue: 4)
    static let version = Said(rawValue: 8)
  }

  /// Type and subtype in lower case.
  var type = "text/plain"
  var boundary: [UInt8] = []
  var encoding = PlainEncoding.identity
  /// What was said at all.
  var said: Said = []
  /// True when a file's name is given, in whatever parameter.
  var isNamed = false
  /// True when each name given is plain and ends as text does, so that nobody takes the body for anything else.
  var isNamedAsText = true
  /// True when a name ends as those of calendars and visiting cards do.
  private var isNamedAsCard = false
  /// True when type or name make a calendar or a visiting card of it.
  var isCard: Bool { isNamedAsCard || CardText.types.contains(type) }
  /// True when each name given is plain and ends in ".p7s" or ".asc".
  var isNamedAsSignature = true
  /// True when an empty line ended the header; false when the message did.
  var hasBody = false

  /// The field that a name means; suspicious is one that looks like MIME's to somebody and is none that is known.
  enum Field { case type, encoding, disposition, version, harmless, suspicious }

  /// What a field's name means for the structure.
  static func field(_ name: Span<UInt8>) -> Field {
    guard name.count >= 4 else { return .harmless }
    let first = ASCII.lower(name[0])
    guard first == UInt8(ascii: "c") || first == UInt8(ascii: "m") else { return .harmless }
    let text = String(decoding: (0..<min(name.count, 40)).map { ASCII.lower(name[$0]) }, as: UTF8.self)
    switch text {
    case "content-type": return .type
    case "content-transfer-encoding": return .encoding
    case "content-disposition": return .disposition
    case "mime-version": return .version
    case "content-id", "content-description", "content-language", "content-location", "content-md5", "content-class",
      "content-base", "content-duration", "content-features":
      return .harmless
    default: return text.hasPrefix("conten") || text.hasPrefix("mime") ? .suspicious : .harmless
    }
  }

  /// Takes the value of a field; false when it is not plain, or said twice.
  mutating func take(_ field: Field, _ value: [UInt8]) -> Bool {
    switch field {
    case .harmless: return true
    case .suspicious: return false
    case .type: return says(.type) && takeType(value)
    case .encoding: return says(.encoding) && takeEncoding(value)
    case .disposition: return says(.disposition) && takeDisposition(value)
    case .version: return says(.version) && PlainHeader.isVersion(value)
    }
  }

  private mutating func says(_ field: Said) -> Bool { said.insert(field).inserted }

  private mutating func takeEncoding(_ value: [UInt8]) -> Bool {
    switch String(decoding: PlainHeader.trimmed(value).map(ASCII.lower), as: UTF8.self) {
    case "7bit", "8bit", "binary": encoding = .identity
    case "base64": encoding = .base64
    case "quoted-printable": encoding = .quotedPrintable
    default: return false
    }
    return true
  }

  /// "1.0", and a comment after it as one well-known client has.
  private static func isVersion(_ value: [UInt8]) -> Bool {
    let text = trimmed(value)
    guard text.starts(with: "1.0".utf8) else { return false }
    let rest = trimmed(Array(text.dropFirst(3)))
    return rest.isEmpty || (rest.first == UInt8(ascii: "(") && rest.last == UInt8(ascii: ")"))
  }

  private mutating func takeType(_ value: [UInt8]) -> Bool {
    var scanner = PlainFieldScanner(value)
    guard let top = scanner.token(), scanner.skip(UInt8(ascii: "/")), let sub = scanner.token() else { return false }
    type = top + "/" + sub
    guard let parameters = scanner.parameters() else { return false }
    let isMultipart = top == "multipart"
    for parameter in parameters {
      if parameter.name == "boundary" { boundary = parameter.value }
      if isMultipart && parameter.name != "boundary" && !PlainHeader.isSimple(parameter.value) { return false }
      takeName(parameter, of: "name")
    }
    return !isMultipart || PlainHeader.isBoundary(boundary)
  }

  private mutating func takeDisposition(_ value: [UInt8]) -> Bool {
    var scanner = PlainFieldScanner(value)
    guard let word = scanner.token(), word == "attachment" || word == "inline" else { return false }
    guard let parameters = scanner.parameters() else { return false }
    for parameter in parameters { takeName(parameter, of: "filename") }
    return true
  }

  /// Notes how the file's name ends; one in an encoded form counts as any name at all.
  private mutating func takeName(_ parameter: PlainFieldScanner.Parameter, of name: String) {
    guard parameter.name.hasPrefix(name) else { return }
    isNamed = true
    let ending = parameter.value.suffix(6).map(ASCII.lower)
    let isEncoded = parameter.name != name || ending.suffix(2).elementsEqual("?=".utf8)
    let words = isEncoded ? [] : String(decoding: ending, as: UTF8.self).split(separator: ".", omittingEmptySubsequences: false)
    let last = words.count > 1 ? words[words.count - 1] : ""
    if !["txt", "text", "htm", "html", "csv", "ics", "log", "md", "vcf", "xml", "json"].contains(last) { isNamedAsText = false }
    if ["ics", "ical", "ifb", "vcs", "vcf", "vcard"].contains(last) { isNamedAsCard = true }
    if last != "p7s" && last != "asc" { isNamedAsSignature = false }
  }

  /// Nothing in it that one reader takes for the end of the value and another does not.
  private static func isSimple(_ value: [UInt8]) -> Bool {
    value.allSatisfy { $0 >= 32 && $0 < 127 && !separators.contains($0) }
  }
  private static let separators = Array(";()\\".utf8)

  /// RFC 2046 §5.1.1 without white space, parentheses and what looks like an encoded word; it does not end in a hyphen.
  private static func isBoundary(_ value: [UInt8]) -> Bool {
    guard !value.isEmpty, value.count <= 70, value.last != UInt8(ascii: "-") else { return false }
    var previous: UInt8 = 0
    for byte in value {
      let isWord = (byte | 32) &- 97 < 26 || byte &- 48 < 10
      guard isWord || boundaryMarks.contains(byte) else { return false }
      if byte == UInt8(ascii: "?") && previous == UInt8(ascii: "=") { return false }
      previous = byte
    }
    return true
  }
  private static let boundaryMarks = Array("'+_,./:=?-".utf8)

  static func trimmed(_ value: [UInt8]) -> [UInt8] {
    var low = 0
    var high = value.count
    while low < high, value[low] == 32 || value[low] == 9 { low += 1 }
    while high > low, value[high - 1] == 32 || value[high - 1] == 9 { high -= 1 }
    return Array(value[low..<high])
  }
}

/// Reads a value with parameters by the strict grammar of RFC 2045 §5.1, and nothing beside it.
struct PlainFieldScanner {
  struct Parameter {
    var name: String
    var value: [UInt8]
  }

  private let bytes: [UInt8]
  private var at = 0

  init(_ value: [UInt8]) {
    bytes = value
    skipSpaces()
  }

  mutating func skip(_ byte: UInt8) -> Bool {
    guard at < bytes.count, bytes[at] == byte else { return false }
    at += 1
    return true
  }

  /// A token in lower case; nil when none stands here.
  mutating func token() -> String? {
    let begin = at
    while at < bytes.count, PlainFieldScanner.isToken(bytes[at]) { at += 1 }
    return at == begin ? nil : String(decoding: bytes[begin..<at].map(ASCII.lower), as: UTF8.self)
  }

  /// All parameters up to the end of the value, each name once; nil when anything is not as it must be.
  mutating func parameters() -> [Parameter]? {
    var found: [Parameter] = []
    while true {
      skipSpaces()
      if at == bytes.count { return found }
      guard skip(UInt8(ascii: ";")) else { return nil }
      skipSpaces()
      guard found.count < 40, let name = token(), skip(UInt8(ascii: "=")), let value = value() else { return nil }
      // RFC 2231 is for the names of files; where it decides anything else, readers differ.
      if name.utf8.contains(UInt8(ascii: "*")), !name.hasPrefix("name*"), !name.hasPrefix("filename*") { return nil }
      if found.contains(where: { $0.name == name }) { return nil }
      found.append(Parameter(name: name, value: value))
    }
  }

  private mutating func value() -> [UInt8]? {
    let begin = at
    guard skip(UInt8(ascii: "\"")) else {
      while at < bytes.count, PlainFieldScanner.isToken(bytes[at]) { at += 1 }
      return at == begin ? nil : Array(bytes[begin..<at])
    }
    while at < bytes.count, bytes[at] != UInt8(ascii: "\"") {
      if bytes[at] == UInt8(ascii: "\\") || (bytes[at] < 32 && bytes[at] != 9) { return nil }
      at += 1
    }
    guard at < bytes.count else { return nil }
    at += 1
    return Array(bytes[(begin + 1)..<(at - 1)])
  }

  private mutating func skipSpaces() {
    while at < bytes.count, bytes[at] == 32 || bytes[at] == 9 { at += 1 }
  }

  /// RFC 2045 §5.1: printable ASCII without tspecials.
  private static func isToken(_ byte: UInt8) -> Bool {
    switch byte {
    case 0...32, 127...255: false
    case UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "@"), UInt8(ascii: ","),
      UInt8(ascii: ";"), UInt8(ascii: ":"), UInt8(ascii: "\\"), UInt8(ascii: "\""), UInt8(ascii: "/"), UInt8(ascii: "["),
      UInt8(ascii: "]"), UInt8(ascii: "?"), UInt8(ascii: "="):
      false
    default: true
    }
  }
}
