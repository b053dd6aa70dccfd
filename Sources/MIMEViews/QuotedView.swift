import Octets

/// Quoted-printable as tolerant decoders read it (RFC 2045 §6.7).
enum QuotedView {
  /// True when there is an escape, or a soft line break that is not the padding of a line of base64.
  static func isLikely(_ bytes: Span<UInt8>) -> Bool {
    var at = 0
    while let hit = Scan.first(UInt8(ascii: "="), in: bytes, from: at) {
      at = hit + 1
      if at + 1 < bytes.count, PlainBase64.digit(bytes[at]) != nil, PlainBase64.digit(bytes[at + 1]) != nil { return true }
      guard at < bytes.count, bytes[at] <= 32 else { continue }
      var start = hit
      while start > 0, hit - start < PlainCheck.lineBytes, bytes[start - 1] != 10 { start -= 1 }
      if PlainBase64.padding(bytes, start, at) == nil { return true }
    }
    return false
  }

  /// True when there is an escape, or a soft line break with more behind it.
  static func isEncoded(_ bytes: Span<UInt8>) -> Bool {
    var at = 0
    while let hit = Scan.first(UInt8(ascii: "="), in: bytes, from: at) {
      at = hit + 1
      if at + 1 < bytes.count, PlainBase64.digit(bytes[at]) != nil, PlainBase64.digit(bytes[at + 1]) != nil { return true }
      var look = at
      while look < bytes.count, look - at < PlainCheck.lineBytes, bytes[look] <= 32, bytes[look] != 10 { look += 1 }
      if look + 1 < bytes.count, bytes[look] == 10 { return true }
    }
    return false
  }

  /// Decodes; soft line breaks go.
  ///
  /// - Parameter isLoose: white space at line ends stays, and an "=" that begins no escape goes; the other way round when false.
  static func decode(_ bytes: Span<UInt8>, isLoose: Bool) -> Chunk {
    var out = ChunkBuilder(capacity: bytes.count)
    var at = 0
    while at < bytes.count {
      let feed = Scan.first(10, in: bytes, from: at)
      let next = feed.map { $0 + 1 } ?? bytes.count
      var end = feed ?? bytes.count
      if end > at, bytes[end - 1] == 13 { end -= 1 }
      var content = end
      while content > at, bytes[content - 1] == 32 || bytes[content - 1] == 9 { content -= 1 }
      // A soft break, white space behind it or none.
      let isSoft = content > at && bytes[content - 1] == UInt8(ascii: "=")
      let stop = isSoft ? content - 1 : isLoose ? end : content
      line(bytes.extracting(at..<stop), isLoose, &out)
      if !isSoft { out.append(bytes.extracting(end..<next)) }
      at = next
    }
    return out.freeze()
  }

  private static func line(_ line: Span<UInt8>, _ isLoose: Bool, _ out: inout ChunkBuilder) {
    var at = 0
    while let hit = Scan.first(UInt8(ascii: "="), in: line, from: at) {
      out.append(line.extracting(at..<hit))
      if hit + 2 < line.count, let high = PlainBase64.digit(line[hit + 1]), let low = PlainBase64.digit(line[hit + 2]) {
        out.append([high << 4 | low])
        at = hit + 3
      } else {
        if !isLoose { out.append(line.extracting(hit..<(hit + 1))) }
        at = hit + 1
      }
    }
    out.append(line.extracting(at..<line.count))
  }
}
