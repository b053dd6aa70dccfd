import Octets

/// What decoded octets are, when mail clients take them apart in their turn.
enum Nested {
  enum Kind { case none, mail, base64, cms }

  private static let lookBytes = 8192
  private static let encodingName = Array("content-transfer-encoding".utf8)
  private static let contentWord = Array("content-".utf8)
  private static let versionWord = Array("mime-version".utf8)

  /// A strict look, for what was decoded already.
  static func kind(of bytes: Span<UInt8>) -> Kind {
    guard bytes.count >= 12 else { return .none }
    if bytes[0] == 0x30, bytes[1] >= 0x80 { return .cms }
    if looksEncoded(bytes) { return .base64 }
    guard beginsWithField(bytes) else { return .none }
    let head = (0..<min(bytes.count, lookBytes)).map { ASCII.lower(bytes[$0]) }
    let isMail = Scan.first(contentWord, in: head.span) != nil || Scan.first(versionWord, in: head.span) != nil
    return isMail ? .mail : .none
  }

  /// A generous look at the first octets of what would be decoded.
  static func isSuspected(_ bytes: Span<UInt8>) -> Bool {
    guard bytes.count >= 2 else { return false }
    return (bytes[0] == 0x30 && bytes[1] >= 0x80) || looksEncoded(bytes) || beginsWithField(bytes)
  }

  /// CMS in base64, with PEM's lines around it or without.
  private static func looksEncoded(_ bytes: Span<UInt8>) -> Bool {
    guard bytes.count >= 5 else { return false }
    if bytes[0] == UInt8(ascii: "M"), bytes[1] == UInt8(ascii: "I") { return true }
    for at in 0..<5 where bytes[at] != UInt8(ascii: "-") { return false }
    return true
  }

  /// A field's name and its colon, or the line that begins a message in a mailbox file, perhaps behind empty lines.
  private static func beginsWithField(_ bytes: Span<UInt8>) -> Bool {
    var at = 0
    // A byte order mark, which editors put before what they save.
    if bytes.count >= 3, bytes[0] == 0xEF, bytes[1] == 0xBB, bytes[2] == 0xBF { at = 3 }
    while at < bytes.count, at < 64, bytes[at] == 13 || bytes[at] == 10 || bytes[at] == 32 || bytes[at] == 9 { at += 1 }
    let start = at
    // Nothing but white space: what follows cannot be told.
    if at == bytes.count || at == 64 { return true }
    while at < bytes.count, at - start < 60 {
      let byte = bytes[at]
      if byte == UInt8(ascii: ":") { return at > start }
      if byte == 32 { return at - start == 4 && PlainBase64.begins(bytes, start, at, with: fromWord) }
      guard (byte | 32) &- 97 < 26 || byte == UInt8(ascii: "-") || byte &- 48 < 10 else { return false }
      at += 1
    }
    return at == bytes.count && at > start
  }
  private static let fromWord = Array("from".utf8)

  /// A header without Content-Transfer-Encoding, whatever stands around that name.
  static func withoutEncoding(_ header: Span<UInt8>) -> [UInt8] {
    var out: [UInt8] = []
    var isDropped = false
    var at = 0
    while at < header.count {
      let next = Scan.first(10, in: header, from: at).map { $0 + 1 } ?? header.count
      if header[at] != 32 && header[at] != 9 { isDropped = PlainBase64.begins(header, at, next, with: encodingName) }
      if !isDropped { out.append(copying: header.extracting(at..<next)) }
      at = next
    }
    return out
  }
}

/// Where bodies may begin and end, by lines alone.
enum Segments {
  /// Everything between lines that begin with "--".
  static func cuts(_ bytes: Span<UInt8>, atMost: Int) -> (ranges: [Range<Int>], isCut: Bool) {
    var ranges: [Range<Int>] = []
    var start = 0
    var at = 0
    while at < bytes.count {
      let feed = Scan.first(10, in: bytes, from: at) ?? bytes.count
      if at + 1 < bytes.count, bytes[at] == 45, bytes[at + 1] == 45 {
        var end = at
        if end > start, bytes[end - 1] == 10 { end -= 1 }
        if end > start, bytes[end - 1] == 13 { end -= 1 }
        if end > start { ranges.append(start..<end) }
        if ranges.count >= atMost { return (ranges, true) }
        start = min(feed + 1, bytes.count)
      }
      at = feed + 1
    }
    if start < bytes.count { ranges.append(start..<bytes.count) }
    return (ranges, false)
  }

  /// Where the body of a segment may begin: where its lines stop to be a header's, behind its first empty line, behind the first one
  /// that is blank to the eye, and behind the second when a header seems to go on after the first; at its start when there is nothing.
  static func bodyStarts(_ bytes: Span<UInt8>, _ range: Range<Int>) -> [Int] {
    var starts: [Int] = []
    var at = range.lowerBound
    var lines = 0
    var isHeader = true
    while at < range.upperBound, lines < maximumHeaderLines, starts.count < 4 {
      let feed = Scan.first(10, in: bytes, from: at).map { min($0, range.upperBound) } ?? range.upperBound
      let isBlank = PlainCheck.isBlank(bytes, at, feed)
      if isHeader && !isBlank && !isHeaderLine(bytes, at, feed) {
        isHeader = false
        starts.append(at)
      }
      at = feed + 1
      lines += 1
      guard isBlank, at < range.upperBound else { continue }
      isHeader = false
      starts.append(at)
      let next = Scan.first(10, in: bytes, from: at).map { min($0, range.upperBound) } ?? range.upperBound
      if !PlainCheck.isBlank(bytes, at, next) && !isHeaderLine(bytes, at, next) { break }
    }
    return starts.isEmpty ? [range.lowerBound] : starts
  }
  private static let maximumHeaderLines = 5000

  /// A range without the line ends around it.
  static func trimmed(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Range<Int> {
    var low = range.lowerBound
    var high = range.upperBound
    while low < high, bytes[low] == 13 || bytes[low] == 10 { low += 1 }
    while high > low, bytes[high - 1] == 13 || bytes[high - 1] == 10 { high -= 1 }
    return low..<high
  }

  /// A field's name and its colon, or a line that goes on with a field.
  private static func isHeaderLine(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Bool {
    var at = start
    if bytes[at] == 32 || bytes[at] == 9 { return true }
    while at < end, bytes[at] > 32, bytes[at] != UInt8(ascii: ":") { at += 1 }
    return at < end && at > start && bytes[at] == UInt8(ascii: ":")
  }
}
