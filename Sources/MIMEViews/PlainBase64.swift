import Octets

/// The encodings by their strict grammar.
enum PlainBase64 {
  /// Goes over lines of one length that are base64 from end to end: the bulk of every attachment.
  static func skipEvenLines(_ bytes: Span<UInt8>, from start: Int) -> Int {
    guard let feed = Scan.first(10, in: bytes, from: start) else { return start }
    let length = feed - 1 - start
    guard length >= 4, length % 4 == 0, length <= PlainCheck.lineBytes else { return start }
    var at = start
    while at + length + 2 <= bytes.count, bytes[at + length] == 13, bytes[at + length + 1] == 10 {
      guard isAlphabet(bytes.extracting(at..<(at + length))) else { break }
      at += length + 2
    }
    return at
  }

  /// How much padding a line of whole groups has at its end; nil when it is not strictly base64.
  static func padding(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Int? {
    guard (end - start) % 4 == 0 else { return nil }
    var last = end
    while last > start, end - last < 2, bytes[last - 1] == UInt8(ascii: "=") { last -= 1 }
    return isAlphabet(bytes.extracting(start..<last)) ? end - last : nil
  }

  /// Without branches, so that the compiler makes vector instructions of it.
  @inline(__always)
  static func isAlphabet(_ bytes: Span<UInt8>) -> Bool {
    var bad: UInt8 = 0
    for at in 0..<bytes.count {
      let byte = bytes[at]
      let letter: UInt8 = (byte | 32) &- 97 < 26 ? 1 : 0
      let digit: UInt8 = byte &- 47 < 11 ? 1 : 0
      let plus: UInt8 = byte == 43 ? 1 : 0
      bad |= 1 &- (letter | digit | plus)
    }
    return bad == 0
  }

  /// False when what is decoded would itself be taken apart by somebody: a mail, CMS with its content inside, either in base64 again.
  static func isOpaque(_ bytes: Span<UInt8>, from start: Int) -> Bool {
    var decoded: [UInt8] = []
    decoded.reserveCapacity(lookedAtBytes)
    var word: UInt32 = 0
    for at in start..<min(bytes.count, start + lookedAtBytes / 3 * 4) {
      guard let value = value(bytes[at]) else { break }
      word = word << 6 | value
      if (at - start) % 4 == 3 {
        decoded.append(UInt8(truncatingIfNeeded: word >> 16))
        decoded.append(UInt8(truncatingIfNeeded: word >> 8))
        decoded.append(UInt8(truncatingIfNeeded: word))
      }
    }
    return !Nested.isSuspected(decoded.span)
  }

  private static let lookedAtBytes = 57

  private static func value(_ byte: UInt8) -> UInt32? {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(byte) - 65
    case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(byte) - 71
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte) + 4
    case UInt8(ascii: "+"): 62
    case UInt8(ascii: "/"): 63
    default: nil
    }
  }

  /// Each "=" is an escape or ends the line, and no white space does.
  static func isQuotedPrintable(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Bool {
    if bytes[end - 1] == 32 || bytes[end - 1] == 9 { return false }
    // A word that begins at the start of the line and that only decoding shows.
    if end - start <= 7, bytes[start] | 32 == UInt8(ascii: "b"), bytes[end - 1] == UInt8(ascii: "=") { return false }
    let line = bytes.extracting(start..<end)
    var at = 0
    while let hit = Scan.first(UInt8(ascii: "="), in: line, from: at) {
      if hit == line.count - 1 { return true }
      guard hit + 2 < line.count, let high = digit(line[hit + 1]), let low = digit(line[hit + 2]) else { return false }
      let byte = high << 4 | low
      // Only "F" is ever encoded there with good reason (RFC 4155: the "From " of a mailbox file).
      if hit == 0, (byte | 32) &- 97 < 26, byte != UInt8(ascii: "F") { return false }
      at = hit + 3
    }
    return true
  }

  static func begins(_ bytes: Span<UInt8>, _ start: Int, _ end: Int, with word: [UInt8]) -> Bool {
    guard end - start >= word.count else { return false }
    for at in word.indices where ASCII.lower(bytes[start + at]) != word[at] { return false }
    return true
  }

  /// "begin" and a mode, or "begin-base64": what uuencode begins with.
  static func beginsBlock(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Bool {
    guard begins(bytes, start, end, with: beginWord) else { return false }
    guard end - start > beginWord.count else { return true }
    let next = bytes[start + beginWord.count]
    return next <= 32 || next > 126 || next == UInt8(ascii: "-") || next == UInt8(ascii: "=")
  }
  private static let beginWord = Array("begin".utf8)

  /// True for what may be a full line of uuencode.
  static func hasNoSmallLetter(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Bool {
    for at in start..<end where bytes[at] > 96 { return false }
    return true
  }

  static func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - 48
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - 55
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - 87
    default: nil
    }
  }
}
