import Octets

/// Recognises messages that everybody takes apart alike: libclamav, and each mail client there is.
///
/// A recogniser of a small language and not a parser of mail: whatever is not in the language is refused, so that a mistake here makes
/// work and no hole. Each rule is there because some reader is known, or feared, to go its own way without it.
struct PlainCheck {
  /// How a body ended: by a boundary line of the innermost open multipart, or with the message.
  enum End { case delimiter, closing, message }
  /// In which place an entity stands: a part of a multipart; what a multipart/signed signs, and the signature; the root
  /// of a multipart/related, and what belongs to that root; text.
  private enum Role { case message, part, signed, signature, root, inset, text }
  /// What a line that begins with a hyphen or a parenthesis is.
  private enum DashLine { case text, delimiter, closing, odd }

  private var open: [[UInt8]] = []
  /// All boundaries so far, closed ones too, as the most generous reader compares them.
  private var canonical: [[UInt8]] = []
  private var entities = 0

  static let lineBytes = 998
  private static let headerBytes = 64 * 1024
  private static let maximumEntities = 200
  private static let maximumDepth = 8
  private static let preambleLines = 20
  private static let signatureBytes = 64 * 1024
  private static let hyphen = UInt8(ascii: "-")

  /// True when the whole of `message` is plain.
  static func isPlain(_ message: Span<UInt8>) -> Bool {
    guard message.count > 0, hasCleanLines(message) else { return false }
    var check = PlainCheck()
    var at = 0
    return check.entity(message, &at, .message, depth: 0) == .message && at == message.count
  }

  /// An entity from its header on. Nil when it is not plain.
  private mutating func entity(_ bytes: Span<UInt8>, _ at: inout Int, _ role: Role, depth: Int) -> End? {
    entities += 1
    guard entities <= PlainCheck.maximumEntities, depth <= PlainCheck.maximumDepth else { return nil }
    guard let header = header(bytes, &at) else { return nil }
    guard header.hasBody else { return role == .message && open.isEmpty ? .message : nil }
    if header.encoding != .identity && !header.said.contains(.type) { return nil }
    let top = header.type.prefix { $0 != "/" }
    if role == .signature { return signature(header, bytes, &at) }
    // libclamav takes a multipart/related apart in its own order, and may lose a multipart or a message that stands inside of it.
    // A signed message that it finds nothing in makes it leave all that follows.
    if role == .signed && top == "message" { return nil }
    if role == .root && top != "text" && header.type != "multipart/alternative" { return nil }
    if role == .text && top != "text" { return nil }
    if role == .inset && header.encoding != .base64 { return nil }
    switch (top, header.encoding) {
    case ("multipart", .identity):
      if role == .message && !header.said.contains(.version) { return nil }
      return multipart(header, bytes, &at, role, depth: depth)
    case ("message", .identity):
      switch header.type {
      case "message/rfc822": return entity(bytes, &at, .message, depth: depth + 1)
      case "message/delivery-status", "message/disposition-notification": return text(bytes, &at, isQuoted: false)
      default: return nil
      }
    case ("text", .identity), ("text", .quotedPrintable):
      // libclamav writes line ends of its own: no harm to text, but to whatever else hides under such a type.
      guard header.isNamedAsText else { return nil }
      let start = at
      let isQuoted = header.encoding == .quotedPrintable
      guard let end = text(bytes, &at, isQuoted: isQuoted) else { return nil }
      let hasFiles = CardText.hasFiles(bytes.extracting(start..<at), isQuoted: isQuoted, isCard: header.isCard)
      return hasFiles ? nil : end
    case ("text", .base64), ("application", .base64), ("image", .base64), ("audio", .base64), ("video", .base64):
      if header.type.hasSuffix("pkcs7-mime") || header.type.hasSuffix("binhex40") || header.type.hasSuffix("applefile") { return nil }
      guard !header.isCard, PlainBase64.isOpaque(bytes, from: at) else { return nil }
      let start = at
      guard let end = base64(bytes, &at) else { return nil }
      if top == "text", Base64View.all(bytes.extracting(start..<at), endsAtPadding: true).withSpan({ CardText.hasCard($0) }) { return nil }
      return end
    default: return nil
    }
  }

  /// The second part of a multipart/signed (RFC 1847 §2.1), at which libclamav does not look.
  private mutating func signature(_ header: PlainHeader, _ bytes: Span<UInt8>, _ at: inout Int) -> End? {
    let start = at
    guard !header.isNamed || header.isNamedAsSignature else { return nil }
    let end: End?
    switch (header.type, header.encoding) {
    case ("application/pkcs7-signature", .base64), ("application/x-pkcs7-signature", .base64):
      // A DER SEQUENCE, which nothing but CMS opens.
      guard at + 1 < bytes.count, bytes[at] == UInt8(ascii: "M"), bytes[at + 1] == UInt8(ascii: "I") else { return nil }
      end = base64(bytes, &at)
    case ("application/pgp-signature", .identity): end = text(bytes, &at, isQuoted: false)
    default: return nil
    }
    return at - start <= PlainCheck.signatureBytes ? end : nil
  }

  /// A multipart from its preamble to the end of its epilogue.
  private mutating func multipart(
    _ header: PlainHeader, _ bytes: Span<UInt8>, _ at: inout Int, _ role: Role, depth: Int
  ) -> End? {
    switch header.type {
    case "multipart/mixed", "multipart/alternative", "multipart/related", "multipart/report", "multipart/signed": break
    default: return nil
    }
    guard push(header.boundary), preamble(bytes, &at) else { return nil }
    var children = 0
    var end = End.delimiter
    while end == .delimiter {
      children += 1
      let place = PlainCheck.place(of: children, in: header.type, within: role)
      guard let next = entity(bytes, &at, place, depth: depth + 1), next != .message else { return nil }
      end = next
    }
    if header.type == "multipart/signed" && children != 2 { return nil }
    open.removeLast()
    return epilogue(bytes, &at)
  }

  private static func place(of child: Int, in type: String, within role: Role) -> Role {
    // The alternatives that are the root of a multipart/related are text, each of them.
    if role == .root { return .text }
    switch type {
    case "multipart/related": return child == 1 ? .root : .inset
    case "multipart/signed": return child == 2 ? .signature : .signed
    default: return .part
    }
  }

  /// Opens a boundary, unless one that looks like it was there before.
  private mutating func push(_ boundary: [UInt8]) -> Bool {
    let form = Array(boundary.drop { $0 == PlainCheck.hyphen }.map(ASCII.lower))
    guard !form.isEmpty, !canonical.contains(where: { $0.starts(with: form) || form.starts(with: $0) }) else { return false }
    canonical.append(form)
    open.append(boundary)
    return true
  }

  private mutating func preamble(_ bytes: Span<UInt8>, _ at: inout Int) -> Bool {
    for _ in 0..<PlainCheck.preambleLines {
      guard let line = PlainCheck.line(bytes, at), line.isEnded else { return false }
      if line.end > at, PlainCheck.mayBeDelimiter(bytes[at]) {
        switch dashLine(bytes, at, line.end) {
        case .delimiter:
          at = line.next
          return true
        case .closing, .odd: return false
        case .text: break
        }
      }
      guard PlainCheck.isHarmless(bytes, at, line.end, isQuoted: false) else { return false }
      at = line.next
    }
    return false
  }

  /// Empty lines, up to the next boundary line of the multipart around or the end.
  private mutating func epilogue(_ bytes: Span<UInt8>, _ at: inout Int) -> End? {
    while at < bytes.count {
      guard let line = PlainCheck.line(bytes, at) else { return nil }
      let start = at
      at = line.next
      if line.end == start { continue }
      guard PlainCheck.mayBeDelimiter(bytes[start]) else { return nil }
      return PlainCheck.end(dashLine(bytes, start, line.end))
    }
    return open.isEmpty ? .message : nil
  }

  /// Text, raw or quoted-printable, up to the end of its part.
  private mutating func text(_ bytes: Span<UInt8>, _ at: inout Int, isQuoted: Bool) -> End? {
    while at < bytes.count {
      guard let line = PlainCheck.line(bytes, at) else { return nil }
      let start = at
      at = line.next
      guard line.end > start else { continue }
      if PlainCheck.mayBeDelimiter(bytes[start]) {
        let kind = dashLine(bytes, start, line.end)
        if kind != .text { return PlainCheck.end(kind) }
      }
      guard PlainCheck.isHarmless(bytes, start, line.end, isQuoted: isQuoted) else { return nil }
    }
    return open.isEmpty ? .message : nil
  }

  /// Strict base64 (RFC 2045 §6.8) up to the end of its part: whole groups of four in each line, padding at the very end.
  private mutating func base64(_ bytes: Span<UInt8>, _ at: inout Int) -> End? {
    var isOver = false
    while at < bytes.count {
      if !isOver { at = PlainBase64.skipEvenLines(bytes, from: at) }
      guard at < bytes.count, let line = PlainCheck.line(bytes, at) else { break }
      let start = at
      at = line.next
      if line.end == start {
        isOver = true
      } else if bytes[start] == PlainCheck.hyphen {
        let kind = dashLine(bytes, start, line.end)
        return kind == .text ? nil : PlainCheck.end(kind)
      } else {
        guard !isOver, let padding = PlainBase64.padding(bytes, start, line.end) else { return nil }
        isOver = padding > 0
      }
    }
    return open.isEmpty && at == bytes.count ? .message : nil
  }
}

// Header lines.
extension PlainCheck {
  private mutating func header(_ bytes: Span<UInt8>, _ at: inout Int) -> PlainHeader? {
    var result = PlainHeader()
    var field = PlainHeader.Field.harmless
    var value: [UInt8] = []
    var count = 0
    let start = at
    while at < bytes.count {
      guard let line = PlainCheck.line(bytes, at), line.isEnded, line.next - start <= PlainCheck.headerBytes else { return nil }
      let begin = at
      at = line.next
      if line.end == begin {
        result.hasBody = true
        return count > 0 && result.take(field, value) ? result : nil
      }
      var from = begin
      if bytes[begin] == 32 || bytes[begin] == 9 {
        guard count > 0, !PlainCheck.isBlank(bytes, begin, line.end) else { return nil }
      } else {
        guard result.take(field, value), let colon = PlainCheck.colon(bytes, begin, line.end) else { return nil }
        count += 1
        field = PlainHeader.field(bytes.extracting(begin..<colon))
        value.removeAll(keepingCapacity: true)
        from = colon + 1
      }
      switch field {
      case .harmless: continue
      case .suspicious: return nil
      case .type, .encoding, .disposition, .version: value.append(copying: bytes.extracting(from..<line.end))
      }
    }
    return count > 0 && result.take(field, value) ? result : nil
  }

  /// Where the colon of a field stands, right behind a name of printable characters (RFC 5322 §2.2).
  private static func colon(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Int? {
    var at = start
    while at < end, bytes[at] > 32, bytes[at] < 127 {
      if bytes[at] == UInt8(ascii: ":") { return at > start ? at : nil }
      at += 1
    }
    return nil
  }

  /// True when nothing in it is printed.
  static func isBlank(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Bool {
    for at in start..<end where bytes[at] > 32 { return false }
    return true
  }
}

// Lines.
extension PlainCheck {
  /// True when CR and LF stand in pairs only and there is no NUL. Without branches, so that the compiler makes vector instructions of it.
  private static func hasCleanLines(_ bytes: Span<UInt8>) -> Bool {
    var bad: UInt8 = 0
    var previous: UInt8 = 1
    for at in 0..<bytes.count {
      let byte = bytes[at]
      let isFeed: UInt8 = byte == 10 ? 1 : 0
      let isNUL: UInt8 = byte == 0 ? 1 : 0
      let isBehindReturn: UInt8 = previous == 13 ? 1 : 0
      bad |= (isFeed ^ isBehindReturn) | isNUL
      previous = byte
    }
    return bad == 0 && previous != 13
  }

  struct Line {
    /// The end of its content, and where the next one begins.
    var end: Int
    var next: Int
    /// False for the last one when no CRLF ends it.
    var isEnded: Bool
  }

  /// The line at `at`; nil when it is too long. That CR and LF stand in pairs was seen before.
  static func line(_ bytes: Span<UInt8>, _ at: Int) -> Line? {
    guard let feed = Scan.first(10, in: bytes, from: at) else {
      return bytes.count - at <= lineBytes ? Line(end: bytes.count, next: bytes.count, isEnded: false) : nil
    }
    guard feed > at, feed - 1 - at <= lineBytes else { return nil }
    return Line(end: feed - 1, next: feed + 1, isEnded: true)
  }

  private static func mayBeDelimiter(_ byte: UInt8) -> Bool { byte == hyphen || byte == UInt8(ascii: "(") }

  private static func end(_ kind: DashLine) -> End? {
    switch kind {
    case .delimiter: .delimiter
    case .closing: .closing
    case .text, .odd: nil
    }
  }

  /// What a line means to the multiparts; odd when a generous reader could take it for a boundary and a strict one does not.
  private func dashLine(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> DashLine {
    if let top = open.last, end - start >= top.count + 2, bytes[start] == PlainCheck.hyphen, bytes[start + 1] == PlainCheck.hyphen {
      if PlainCheck.matches(bytes, start + 2, top) {
        let rest = end - start - 2 - top.count
        if rest == 0 { return .delimiter }
        if rest == 2, bytes[end - 1] == PlainCheck.hyphen, bytes[end - 2] == PlainCheck.hyphen { return .closing }
        return .odd
      }
    }
    if canonical.isEmpty { return .text }
    // libclamav drops comments from such lines, and compares without regard to case and to how many hyphens there are.
    let forms = PlainCheck.forms(bytes, start, end)
    for boundary in canonical {
      for form in forms where Scan.first(boundary, in: form.span) != nil { return .odd }
    }
    return .text
  }

  private static func matches(_ bytes: Span<UInt8>, _ start: Int, _ word: [UInt8]) -> Bool {
    for at in word.indices where bytes[start + at] != word[at] { return false }
    return true
  }

  /// A line in lower case, and again without comments, white space, quotes and backslashes when it has any.
  private static func forms(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> [[UInt8]] {
    var plain: [UInt8] = []
    var bare: [UInt8] = []
    plain.reserveCapacity(end - start)
    var depth = 0
    for at in start..<end {
      let byte = ASCII.lower(bytes[at])
      plain.append(byte)
      switch byte {
      case UInt8(ascii: "("): depth += 1
      case UInt8(ascii: ")"): depth = max(0, depth - 1)
      case UInt8(ascii: "\\"), UInt8(ascii: "\""), 9, 32: break
      default: if depth == 0 { bare.append(byte) }
      }
    }
    return bare.count == plain.count ? [plain] : [plain, bare]
  }

  /// False for a line of text at which some reader starts decoding (uuencode, yEnc, BinHex) or sees a header, and, of
  /// quoted-printable, for one that is not strictly so (RFC 2045 §6.7).
  private static func isHarmless(_ bytes: Span<UInt8>, _ start: Int, _ end: Int, isQuoted: Bool) -> Bool {
    guard end > start else { return true }
    switch bytes[start] | 32 {
    case UInt8(ascii: "b"): if PlainBase64.beginsBlock(bytes, start, end) { return false }
    case UInt8(ascii: "c"): if PlainBase64.begins(bytes, start, end, with: contentWord) { return false }
    case UInt8(ascii: "m"): if end - start >= 60, end - start <= 63, PlainBase64.hasNoSmallLetter(bytes, start, end) { return false }
    case UInt8(ascii: "("): if Scan.first(binHexWord, in: bytes.extracting(start..<end)) != nil { return false }
    case UInt8(ascii: ":"): if end - start >= 32, Scan.first(32, in: bytes.extracting(start..<end)) == nil { return false }
    case UInt8(ascii: "="): if end - start >= 2, bytes[start + 1] == UInt8(ascii: "y") { return false }
    default: break
    }
    return !isQuoted || PlainBase64.isQuotedPrintable(bytes, start, end)
  }
  private static let contentWord = Array("content-".utf8)
  private static let binHexWord = Array("BinHex".utf8)
}
