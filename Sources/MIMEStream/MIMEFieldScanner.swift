import Octets

/// Cuts the value of a Content-Type or Content-Disposition field into its main value and its parameters.
///
/// Every octet is looked at a bounded number of times, whatever is written: nothing is searched for and then searched for again.
struct MIMEFieldScanner {
  private let bytes: [UInt8]
  private var at = 0
  private(set) var main = ""
  private(set) var parameters: [RawParameter] = []
  private(set) var malformed = false
  private(set) var dropped = false

  init(_ value: [UInt8]) { bytes = value }

  mutating func run() {
    skipComments()
    let begin = at
    var value = token()
    skipComments()
    if peek == UInt8(ascii: "/") {
      at += 1
      skipComments()
      value += [UInt8(ascii: "/")] + token()
      skipComments()
    }
    if peek == UInt8(ascii: "=") {
      // `Content-Disposition: filename=x`: the main value was forgotten.
      malformed = true
      at = begin
    } else {
      main = String(decoding: value.map(ASCII.lower), as: UTF8.self)
    }
    if peek != nil && peek != UInt8(ascii: ";") { malformed = true }
    while at < bytes.count { parameter() }
  }

  private var peek: UInt8? { at < bytes.count ? bytes[at] : nil }

  /// One parameter, or what stands in its place; moves on by one octet at least.
  private mutating func parameter() {
    let begin = at
    skipComments()
    while peek == UInt8(ascii: ";") {
      at += 1
      skipComments()
    }
    guard at < bytes.count else { return }
    let name = token()
    skipComments()
    guard !name.isEmpty, peek == UInt8(ascii: "=") else {
      malformed = true
      skipToSemicolon()
      if at == begin { at += 1 }
      return
    }
    at += 1
    skipComments()
    let key = String(decoding: name.map(ASCII.lower), as: UTF8.self)
    let value = peek == UInt8(ascii: "\"") ? quoted() : unquoted(spacesEnd: key == "boundary")
    skipComments()
    if parameters.count < MIMEFieldValue.maximumParameters {
      parameters.append(RawParameter(name: key, value: value))
    } else {
      dropped = true
    }
    // A missing semicolon: the next turn reads on from here, and it is noted.
    if let next = peek, next != UInt8(ascii: ";") { malformed = true }
  }

  /// RFC 2045 §5.1 token, generous: everything but what separates here. A slash belongs to it in "text/plain".
  private mutating func token() -> [UInt8] {
    let begin = at
    while let byte = peek, byte > 32, byte != 127, !MIMEFieldScanner.separators.contains(byte) { at += 1 }
    return Array(bytes[begin..<at])
  }

  private static let separators: Set<UInt8> = Set("();=\"".utf8)

  /// A quoted string (RFC 5322 §3.2.4), the cursor on its first quote; one without an end goes to the end of the value.
  private mutating func quoted() -> [UInt8] {
    var out: [UInt8] = []
    at += 1
    while let byte = peek {
      at += 1
      switch byte {
      case UInt8(ascii: "\""): return out
      case UInt8(ascii: "\\"):
        if let next = peek {
          out.append(next)
          at += 1
        }
      case 13, 10: continue
      default: out.append(byte)
      }
    }
    malformed = true
    return out
  }

  /// An unquoted value: up to a semicolon. White space ends a boundary; of a file's name it may be a part.
  private mutating func unquoted(spacesEnd: Bool) -> [UInt8] {
    var out: [UInt8] = []
    var pending: [UInt8] = []
    while let byte = peek, byte != UInt8(ascii: ";") {
      if HeaderText.isSpace(byte) {
        if spacesEnd { break }
        let before = at
        skipSpaces()
        // A comment, or the next parameter whose semicolon was forgotten, ends the value.
        if peek == UInt8(ascii: "(") || startsParameter() { break }
        if byte != 13 && byte != 10 { pending.append(byte) }
        pending += bytes[(before + 1)..<at].filter { $0 != 13 && $0 != 10 }
        if let next = peek, next != UInt8(ascii: ";") { malformed = true }
        continue
      }
      out += pending
      pending = []
      out.append(byte)
      at += 1
    }
    return out
  }

  /// True when `token=` stands at the cursor; looks at 40 octets at the most.
  private func startsParameter() -> Bool {
    var look = at
    while look < bytes.count, look - at < 40, bytes[look] > 32, !MIMEFieldScanner.separators.contains(bytes[look]) { look += 1 }
    // "=?" begins an encoded word, not a value.
    return look > at && look + 1 < bytes.count && bytes[look] == UInt8(ascii: "=") && bytes[look + 1] != UInt8(ascii: "?")
  }

  private mutating func skipSpaces() {
    while let byte = peek, HeaderText.isSpace(byte) { at += 1 }
  }

  /// White space and comments, nested ones counted and not recursed into (RFC 5322 §3.2.2).
  private mutating func skipComments() {
    skipSpaces()
    while peek == UInt8(ascii: "(") {
      var depth = 0
      while let byte = peek {
        at += 1
        if byte == UInt8(ascii: "\\") {
          at = min(at + 1, bytes.count)
        } else if byte == UInt8(ascii: "(") {
          depth += 1
        } else if byte == UInt8(ascii: ")") {
          depth -= 1
          if depth == 0 { break }
        }
      }
      if depth > 0 { malformed = true }
      skipSpaces()
    }
  }

  private mutating func skipToSemicolon() {
    while let byte = peek, byte != UInt8(ascii: ";") {
      if byte == UInt8(ascii: "\"") {
        _ = quoted()
      } else {
        at += 1
      }
    }
  }
}
