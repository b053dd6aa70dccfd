/// Writes DER (X.690), in the shortest forms.
enum DERWriter {
  static let integer: UInt8 = 0x02
  static let bitString: UInt8 = 0x03
  static let octetString: UInt8 = 0x04
  static let objectIdentifier: UInt8 = 0x06
  static let utf8String: UInt8 = 0x0C
  static let generalizedTime: UInt8 = 0x18
  static let boolean: UInt8 = 0x01
  static let sequence: UInt8 = 0x30
  static let null: [UInt8] = [0x05, 0x00]
  static let yes: [UInt8] = [0x01, 0x01, 0xFF]

  /// Tag of a context-specific, constructed element.
  static func context(_ number: UInt8) -> UInt8 { 0xA0 | number }

  /// Tag and length of an element with `count` octets of content.
  static func header(_ tag: UInt8, count: Int) -> [UInt8] {
    if count < 128 { return [tag, UInt8(count)] }
    var octets: [UInt8] = []
    var rest = count
    while rest > 0 {
      octets.insert(UInt8(rest & 255), at: 0)
      rest >>= 8
    }
    return [tag, 0x80 | UInt8(octets.count)] + octets
  }

  /// A whole element.
  static func element(_ tag: UInt8, _ parts: [UInt8]...) -> [UInt8] { element(tag, joining: parts) }

  /// A whole element of parts laid end to end.
  static func element(_ tag: UInt8, joining parts: [[UInt8]]) -> [UInt8] {
    header(tag, count: parts.reduce(0) { $0 + $1.count }) + parts.joined()
  }

  /// A number that is not negative.
  static func number(_ value: UInt64) -> [UInt8] {
    var octets: [UInt8] = (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * UInt64($0))) }
    while octets.count > 1, octets[0] == 0, octets[1] < 128 { octets.removeFirst() }
    return element(integer, octets[0] >= 128 ? [0] + octets : octets)
  }
}

/// Reads DER element by element. Lengths must be definite and in their shortest form; what is inside an element is read only when
/// it is asked for, so nothing recurses.
struct DERReader {
  /// An element: where it begins, and what is in it.
  struct Element {
    let tag: UInt8
    let start: Int
    let content: Range<Int>
    var whole: Range<Int> { start..<content.upperBound }
  }

  let octets: [UInt8]
  private var at: Int
  private let end: Int
  /// What is read, for the words of an error.
  private let name: String

  init(_ octets: [UInt8], _ name: String) {
    self.init(octets, 0..<octets.count, name)
  }

  private init(_ octets: [UInt8], _ range: Range<Int>, _ name: String) {
    self.octets = octets
    at = range.lowerBound
    end = range.upperBound
    self.name = name
  }

  var isAtEnd: Bool { at == end }
  /// The tag that comes next; nil at the end.
  var nextTag: UInt8? { at < end ? octets[at] : nil }

  /// A reader of what is inside an element.
  func inside(_ element: Element, _ name: String? = nil) -> DERReader { DERReader(octets, element.content, name ?? self.name) }
  /// The octets of an element's content.
  func content(_ element: Element) -> [UInt8] { Array(octets[element.content]) }
  /// The octets of an element with its tag and length.
  func whole(_ element: Element) -> [UInt8] { Array(octets[element.whole]) }

  /// The next element, which must have this tag.
  mutating func next(_ tag: UInt8) throws(TimeStampError) -> Element {
    guard at < end else { throw fault("ends too early") }
    guard octets[at] == tag else { throw fault("has the tag \(octets[at]) where \(tag) belongs") }
    return try any()
  }

  /// The next element if it has this tag.
  mutating func optional(_ tag: UInt8) throws(TimeStampError) -> Element? { nextTag == tag ? try any() : nil }

  /// The next element, whatever it is.
  mutating func any() throws(TimeStampError) -> Element {
    let start = at
    guard end - at >= 2, octets[at] & 0x1F != 0x1F else { throw fault("ends too early") }
    let first = octets[at + 1]
    var length = Int(first)
    var content = at + 2
    if first >= 0x80 {
      let count = Int(first & 0x7F)
      guard (1...4).contains(count), end - content >= count else { throw fault("has a length that is not DER") }
      length = octets[content..<content + count].reduce(0) { $0 << 8 | Int($1) }
      guard length >= 128, octets[content] != 0 else { throw fault("has a length that is not DER") }
      content += count
    }
    guard length <= end - content else { throw fault("ends too early") }
    at = content + length
    return Element(tag: octets[start], start: start, content: content..<at)
  }

  /// Nothing may be left.
  func finish() throws(TimeStampError) {
    if at != end { throw fault("has octets left over") }
  }

  func fault(_ what: String) -> TimeStampError { .malformed("\(name) \(what)") }

  // MARK: Values

  /// A number that is not negative and fits 64 bits.
  mutating func number() throws(TimeStampError) -> UInt64 {
    let octets = try integerOctets()
    guard octets[0] < 128, octets.count <= 9, octets.count < 9 || octets[0] == 0 else { throw fault("has a number that is out of range") }
    return octets.reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// The octets of an INTEGER, at least one.
  mutating func integerOctets() throws(TimeStampError) -> [UInt8] {
    let octets = content(try next(DERWriter.integer))
    guard !octets.isEmpty, octets.count == 1 || octets[0] != 0 || octets[1] >= 128 else { throw fault("has a number that is not DER") }
    return octets
  }

  /// An object identifier as `1.2.840.113549`.
  mutating func objectIdentifier() throws(TimeStampError) -> String {
    guard let text = ObjectIdentifier.text(content(try next(DERWriter.objectIdentifier))) else {
      throw fault("has an object identifier that cannot be read")
    }
    return text
  }

  /// A digest's AlgorithmIdentifier; the parameters are absent or NULL (RFC 5754 §2).
  mutating func digestAlgorithm() throws(TimeStampError) -> TimeStampDigest {
    try inside(next(DERWriter.sequence)).digestContent()
  }

  /// The same, of which this is the content.
  func digestContent() throws(TimeStampError) -> TimeStampDigest {
    var reader = self
    let identifier = try reader.objectIdentifier()
    if !reader.isAtEnd {
      let parameters = try reader.any()
      guard reader.whole(parameters) == DERWriter.null else { throw fault("has a digest algorithm with parameters") }
    }
    try reader.finish()
    guard let digest = TimeStampDigest(objectIdentifier: identifier) else {
      throw .weakAlgorithm("the digest algorithm \(ObjectIdentifier.name(identifier)) of the imprint")
    }
    return digest
  }
}

/// Object identifiers between their octets and their digits.
enum ObjectIdentifier {
  /// `1.2.840.113549` of the octets of an element's content; nil when they are none.
  static func text(_ octets: [UInt8]) -> String? {
    guard let last = octets.last, last < 128, octets.count <= 64 else { return nil }
    var arcs: [UInt64] = []
    var value: UInt64 = 0
    var isFirst = true
    for octet in octets {
      if isFirst, octet == 0x80 { return nil }
      guard value >> 56 == 0 else { return nil }
      value = value << 7 | UInt64(octet & 0x7F)
      isFirst = octet < 128
      guard isFirst else { continue }
      if arcs.isEmpty {
        let root = min(value / 40, 2)
        arcs = [root, value - root * 40]
      } else {
        arcs.append(value)
      }
      value = 0
    }
    return arcs.map { String($0) }.joined(separator: ".")
  }

  /// The element; nil when the digits are not an object identifier.
  static func element(_ text: String) -> [UInt8]? {
    guard text.utf8.count <= 128 else { return nil }
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    let arcs = parts.compactMap { part -> UInt64? in
      guard part.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }), let arc = UInt64(part), arc < 1 << 55, String(arc) == part else { return nil }
      return arc
    }
    guard arcs.count == parts.count, arcs.count >= 2, arcs[0] <= 2, arcs[0] == 2 || arcs[1] < 40 else { return nil }
    var octets: [UInt8] = []
    for arc in [arcs[0] * 40 + arcs[1]] + arcs.dropFirst(2) {
      var groups = [UInt8(arc & 0x7F)]
      var rest = arc >> 7
      while rest > 0 {
        groups.append(UInt8(rest & 0x7F) | 0x80)
        rest >>= 7
      }
      octets += groups.reversed()
    }
    return octets.count <= 64 ? DERWriter.element(DERWriter.objectIdentifier, octets) : nil
  }

  /// Words for the algorithms that are refused most often.
  static func name(_ identifier: String) -> String {
    ["1.3.14.3.2.26": "SHA-1", "1.2.840.113549.2.5": "MD5", "2.16.840.1.101.3.4.2.4": "SHA-224"][identifier] ?? identifier
  }
}
