import Octets

/// What an address list is made of (RFC 5322 §3.2).
enum AddressToken: Equatable {
  case atom([UInt8])
  case quoted([UInt8])
  case dot, at, comma, colon, semicolon, open
  case other(UInt8)
  case end
}

/// Cuts the value of an address field into tokens; comments and white space fall between them.
struct AddressLexer {
  private let bytes: [UInt8]
  private var cursor = 0
  /// Where the last token began.
  private(set) var tokenStart = 0
  /// True when white space or a comment stood before the last token.
  private(set) var spaceBefore = false
  /// The first fault of spelling.
  private(set) var fault: AddressFault?
  private var comment: [UInt8]?
  // Once one of them has no end, no other can have one: the rest are ordinary characters, and time stays linear.
  private var quotesAreLiteral = false
  private var commentsAreLiteral = false

  /// Comments nested deeper are a fault.
  private static let commentDepth = 64

  init(_ value: [UInt8]) { bytes = value }

  private var peek: UInt8? { cursor < bytes.count ? bytes[cursor] : nil }

  private mutating func note(_ text: String, at offset: Int) {
    if fault == nil { fault = AddressFault(text: text, at: offset) }
  }

  /// The last comment since the last token that took or forgot it.
  mutating func takeComment() -> [UInt8]? {
    defer { comment = nil }
    return comment
  }

  mutating func forgetComment() { comment = nil }

  /// The next token of a list.
  mutating func next() -> AddressToken {
    let before = cursor
    skipComments()
    spaceBefore = cursor > before
    tokenStart = cursor
    guard let byte = peek else { return .end }
    switch byte {
    case UInt8(ascii: "."): return single(.dot)
    case UInt8(ascii: "@"): return single(.at)
    case UInt8(ascii: ","): return single(.comma)
    case UInt8(ascii: ":"): return single(.colon)
    case UInt8(ascii: ";"): return single(.semicolon)
    case UInt8(ascii: "<"): return single(.open)
    case UInt8(ascii: "\"") where !quotesAreLiteral:
      if let text = quotedString() { return .quoted(text) }
      quotesAreLiteral = true
      note("a quote without its end", at: cursor)
      return single(.atom([byte]))
    case UInt8(ascii: ">"), UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: ")"), UInt8(ascii: "\\"), UInt8(ascii: "("),
      UInt8(ascii: "\""):
      return single(.other(byte))
    default: return .atom(atom())
    }
  }

  /// The next token between angle brackets. A ">" comes as `other` and stays where it is, a separator too.
  mutating func nextInAngle() -> AddressToken {
    let before = cursor
    let token = next()
    switch token {
    case .comma, .semicolon, .other(UInt8(ascii: ">")): cursor = max(before, tokenStart)
    case .atom, .quoted, .dot, .at, .colon, .open, .other, .end: break
    }
    return token
  }

  private mutating func single(_ token: AddressToken) -> AddressToken {
    cursor += 1
    return token
  }

  /// RFC 5322 §3.2.3 atext, and with a fault whatever is neither special nor white space.
  private mutating func atom() -> [UInt8] {
    let start = cursor
    while let byte = peek, !AddressLexer.endsAtom(byte) {
      if byte > 127 { note("octets above 127", at: cursor) }
      if byte < 32 || byte == 127 { note("a control character", at: cursor) }
      cursor += 1
    }
    return Array(bytes[start..<cursor])
  }

  private static func endsAtom(_ byte: UInt8) -> Bool {
    switch byte {
    case 9, 10, 13, 32, UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "["),
      UInt8(ascii: "]"), UInt8(ascii: ":"), UInt8(ascii: ";"), UInt8(ascii: "@"), UInt8(ascii: "\\"), UInt8(ascii: ","),
      UInt8(ascii: "."), UInt8(ascii: "\""):
      true
    default: false
    }
  }

  /// RFC 5322 §3.2.4, unescaped; nil, and the cursor where it was, when there is no end.
  private mutating func quotedString() -> [UInt8]? {
    var out: [UInt8] = []
    var at = cursor + 1
    while at < bytes.count {
      var byte = bytes[at]
      at += 1
      switch byte {
      case UInt8(ascii: "\""):
        cursor = at
        return out
      case 13, 10: continue
      case UInt8(ascii: "\\"):
        guard at < bytes.count else { return nil }
        byte = bytes[at]
        at += 1
      default: break
      }
      if byte > 127 { note("octets above 127", at: at - 1) }
      if (byte < 32 && byte != 9) || byte == 127 { note("a control character", at: at - 1) }
      out.append(byte)
    }
    return nil
  }

  /// White space and comments (RFC 5322 §3.2.2); the content of the last comment is kept.
  private mutating func skipComments() {
    while let byte = peek {
      if HeaderText.isSpace(byte) {
        cursor += 1
      } else if byte == UInt8(ascii: "("), !commentsAreLiteral {
        if !skipComment() {
          commentsAreLiteral = true
          note("a comment without its end", at: cursor)
        }
      } else {
        return
      }
    }
  }

  private mutating func skipComment() -> Bool {
    var depth = 0
    var text: [UInt8] = []
    var at = cursor
    while at < bytes.count {
      var byte = bytes[at]
      at += 1
      switch byte {
      case UInt8(ascii: "("):
        depth += 1
        if depth > AddressLexer.commentDepth { note("comments nested too deep", at: at - 1) }
        if depth == 1 { continue }
      case UInt8(ascii: ")"):
        depth -= 1
        if depth == 0 {
          cursor = at
          comment = text
          return true
        }
      case UInt8(ascii: "\\"):
        guard at < bytes.count else { return false }
        byte = bytes[at]
        at += 1
      default: break
      }
      if byte > 127 { note("octets above 127", at: at - 1) }
      text.append(byte)
    }
    return false
  }

  /// A domain behind an "@": atoms joined by dots, or a literal (RFC 5322 §3.4.1, §4.4). Nil when there is none.
  mutating func domain() -> [UInt8]? {
    skipComments()
    tokenStart = cursor
    if peek == UInt8(ascii: "[") { return literal() }
    var out: [UInt8] = []
    var afterDot = true
    while let byte = peek {
      if byte == UInt8(ascii: ".") {
        if afterDot { note("a misplaced dot in a domain", at: cursor) }
        cursor += 1
        out.append(byte)
        afterDot = true
      } else if AddressLexer.endsAtom(byte) || !afterDot {
        break
      } else {
        out += atom()
        afterDot = false
      }
      let before = cursor
      skipComments()
      // White space only ends a domain when no dot follows it.
      if cursor > before, !afterDot, peek != UInt8(ascii: ".") { break }
    }
    if out.last == UInt8(ascii: ".") {
      note("a dot at the end of a domain", at: cursor)
      while out.last == UInt8(ascii: ".") { out.removeLast() }
    }
    return out.isEmpty ? nil : out
  }

  /// RFC 5322 §3.4.1 domain-literal with its brackets, white space left out.
  private mutating func literal() -> [UInt8]? {
    var out: [UInt8] = [UInt8(ascii: "[")]
    cursor += 1
    while let byte = peek {
      switch byte {
      case UInt8(ascii: "]"):
        cursor += 1
        out.append(byte)
        if out.count == 2 { note("an empty domain literal", at: cursor) }
        skipComments()
        return out
      case UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: "["), UInt8(ascii: "\\"):
        note("a domain literal without its end", at: tokenStart)
        return nil
      case 9, 10, 13, 32: cursor += 1
      default:
        if byte > 127 { note("octets above 127", at: cursor) }
        if byte < 32 || byte == 127 { note("a control character", at: cursor) }
        out.append(byte)
        cursor += 1
      }
    }
    note("a domain literal without its end", at: tokenStart)
    return nil
  }

  /// Passes over `@one,@two:` before an address in angle brackets (RFC 5322 §4.4 obs-route).
  mutating func skipRoute() {
    skipComments()
    guard peek == UInt8(ascii: "@") || peek == UInt8(ascii: ",") else { return }
    let start = cursor
    while let byte = peek {
      if byte == UInt8(ascii: ",") {
        cursor += 1
      } else if byte == UInt8(ascii: "@") {
        cursor += 1
        if domain() == nil { note("an empty domain in a route", at: cursor) }
      } else {
        break
      }
      skipComments()
    }
    if peek == UInt8(ascii: ":") {
      cursor += 1
    } else {
      note("a route without its colon", at: start)
    }
  }

  /// True, without moving on, when a "<" comes next.
  mutating func opensAngle() -> Bool { peek == UInt8(ascii: "<") }

  /// Takes the ">" that must come now. Without it: moves to the next separator, or behind the next ">".
  mutating func closesAngle() -> Bool {
    skipComments()
    if peek == UInt8(ascii: ">") {
      cursor += 1
      return true
    }
    tokenStart = cursor
    leaveAngle()
    return false
  }

  /// Moves behind the next ">", or to the next separator if that comes first.
  mutating func leaveAngle() {
    while let byte = peek, byte != UInt8(ascii: ","), byte != UInt8(ascii: ";") {
      cursor += 1
      if byte == UInt8(ascii: ">") { return }
    }
  }
}
