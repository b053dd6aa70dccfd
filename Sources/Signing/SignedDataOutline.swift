/// Where the certificates of a SignedData lie, found without decoding anything.
///
/// OpenSSL decodes the public key of every certificate it parses, which costs more than all the rest of a judgement. Therefore the
/// message is given to it without its certificates, and they are decoded once, by themselves, however many messages carry them.
struct SignedDataOutline {
  /// What octets turned out to be.
  enum Reading {
    case signedData(SignedDataOutline)
    /// CMS of another type: its object identifier, tag and length included.
    case other(type: [UInt8])
    case malformed(String)
  }

  /// The SignedData without certificates and revocation lists: BER whose outer lengths are indefinite.
  let bare: [UInt8]
  /// Each certificate in the octets as they came.
  let certificates: [[UInt8]]
  /// All of them with whatever stands between them: what is remembered of a sender.
  let certificateField: [UInt8]

  /// Providers send two or three certificates. Each costs nearly a millisecond, so that a forger must not send thousands.
  static let maximumCertificates = 16

  private static let set: UInt8 = 0x31
  private static let context1: UInt8 = 0xA1
  private static let integer: UInt8 = 0x02
  private static let objectIdentifier: UInt8 = 0x06

  /// Reads ContentInfo and SignedData (RFC 5652 §3, §5.1); octets after them are passed over.
  static func read(_ octets: [UInt8]) -> Reading {
    let reader = BERReader(octets)
    guard let outer = reader.open(0, DER.sequence, limit: octets.count), let type = reader.element(outer.content, limit: outer.limit),
      type.tag == objectIdentifier
    else { return .malformed("not a CMS message") }
    guard Array(octets[type.whole]) == DER.idSignedData else { return .other(type: Array(octets[type.whole])) }
    guard let wrapper = reader.open(type.whole.upperBound, DER.context0, limit: outer.limit),
      let data = reader.open(wrapper.content, DER.sequence, limit: wrapper.limit), let parts = reader.children(data)
    else { return .malformed("its lengths do not fit") }
    // Every element ends where the one around it does.
    guard reader.closes(wrapper, at: parts.end), let end = reader.end(wrapper, at: parts.end), reader.closes(outer, at: end) else {
      return .malformed("its lengths do not fit")
    }
    var kept: [Range<Int>] = []
    var field: Range<Int>?
    var rest = parts.elements[...]
    for tag in [integer, set, DER.sequence] {
      guard let next = rest.popFirst(), next.tag == tag else { return .malformed("its parts are not those of a SignedData") }
      kept.append(next.whole)
    }
    if let next = rest.first, next.tag == DER.context0 {
      field = next.content
      rest = rest.dropFirst()
    }
    if let next = rest.first, next.tag == context1 { rest = rest.dropFirst() }
    guard let signers = rest.popFirst(), signers.tag == set, rest.isEmpty else {
      return .malformed("its parts are not those of a SignedData")
    }
    kept.append(signers.whole)
    var certificates: [[UInt8]] = []
    if let field {
      guard let found = reader.elements(in: field, atMost: maximumCertificates) else {
        return .malformed("it has broken or more than \(maximumCertificates) certificates")
      }
      certificates = found.filter { $0.tag == DER.sequence }.map { Array(octets[$0.whole]) }
    }
    var bare: [UInt8] = []
    bare.reserveCapacity(octets.count + 32)
    bare += [DER.sequence, 0x80] + DER.idSignedData + [DER.context0, 0x80, DER.sequence, 0x80]
    for range in kept { bare += octets[range] }
    bare += [0, 0, 0, 0, 0, 0]
    return .signedData(
      SignedDataOutline(bare: bare, certificates: certificates, certificateField: field.map { Array(octets[$0]) } ?? []))
  }
}

/// Steps over the elements of BER (X.690 §8.1), definite lengths and indefinite ones.
struct BERReader {
  /// An element that was stepped over.
  struct Element {
    var tag: UInt8
    /// Tag, length and content, the end of an indefinite length included.
    var whole: Range<Int>
    var content: Range<Int>
  }

  /// An element that was entered.
  struct Opened {
    /// Where its content begins.
    var content: Int
    /// Where its content ends, if its length is definite; else where the octets around it end.
    var limit: Int
    var isIndefinite: Bool
  }

  /// Constructed strings inside one another; a real signature has no more than some.
  private static let maximumDepth = 24

  private let octets: [UInt8]

  init(_ octets: [UInt8]) { self.octets = octets }

  /// Enters the element with `tag` that begins at `at`.
  func open(_ at: Int, _ tag: UInt8, limit: Int) -> Opened? {
    guard let head = header(at, limit: limit), head.tag == tag else { return nil }
    return Opened(content: head.content, limit: head.content + (head.count ?? limit - head.content), isIndefinite: head.count == nil)
  }

  /// The elements of an entered one and where it ends.
  func children(_ opened: Opened) -> (elements: [Element], end: Int)? {
    var elements: [Element] = []
    var at = opened.content
    while at < opened.limit, !(opened.isIndefinite && isEnd(at, limit: opened.limit)) {
      // A SignedData has six parts at most.
      guard elements.count < 8, let next = element(at, limit: opened.limit) else { return nil }
      elements.append(next)
      at = next.whole.upperBound
    }
    guard let end = end(opened, at: at) else { return nil }
    return (elements, end)
  }

  /// The elements that fill a range; nil when they do not, or are too many.
  func elements(in range: Range<Int>, atMost most: Int) -> [Element]? {
    var elements: [Element] = []
    var at = range.lowerBound
    while at < range.upperBound {
      guard elements.count < most, let next = element(at, limit: range.upperBound) else { return nil }
      elements.append(next)
      at = next.whole.upperBound
    }
    return elements
  }

  /// Whether an entered element ends at `at`.
  func closes(_ opened: Opened, at: Int) -> Bool { end(opened, at: at) != nil }

  /// Where an entered element ends as a whole, when its content ends at `at`.
  func end(_ opened: Opened, at: Int) -> Int? {
    guard opened.isIndefinite else { return at == opened.limit ? at : nil }
    return isEnd(at, limit: opened.limit) ? at + 2 : nil
  }

  /// Steps over the element that begins at `at`.
  func element(_ at: Int, limit: Int, depth: Int = 0) -> Element? {
    guard depth < BERReader.maximumDepth, let head = header(at, limit: limit) else { return nil }
    if let count = head.count {
      let end = head.content + count
      return Element(tag: head.tag, whole: at..<end, content: head.content..<end)
    }
    var inside = head.content
    while !isEnd(inside, limit: limit) {
      guard let next = element(inside, limit: limit, depth: depth + 1) else { return nil }
      inside = next.whole.upperBound
    }
    return Element(tag: head.tag, whole: at..<(inside + 2), content: head.content..<inside)
  }

  private func isEnd(_ at: Int, limit: Int) -> Bool { at + 2 <= limit && octets[at] == 0 && octets[at + 1] == 0 }

  /// Tag and length; the count is nil for an indefinite length. Nil when the element does not fit.
  private func header(_ start: Int, limit: Int) -> (tag: UInt8, content: Int, count: Int?)? {
    guard start >= 0, start + 2 <= limit else { return nil }
    let tag = octets[start]
    var at = start + 1
    if tag & 0x1F == 0x1F {
      repeat {
        at += 1
        guard at < limit else { return nil }
      } while octets[at - 1] & 0x80 != 0
    }
    let first = octets[at]
    at += 1
    if first < 0x80 { return Int(first) <= limit - at ? (tag, at, Int(first)) : nil }
    if first == 0x80 { return tag & 0x20 != 0 ? (tag, at, nil) : nil }
    let width = Int(first & 0x7F)
    guard width <= 8, width <= limit - at else { return nil }
    var count: UInt64 = 0
    for digit in octets[at..<(at + width)] { count = count << 8 | UInt64(digit) }
    at += width
    return count <= UInt64(limit - at) ? (tag, at, Int(count)) : nil
  }
}
