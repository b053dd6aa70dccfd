import Octets

/// What CMS carries inside: the content of opaque SignedData (RFC 5652 §5.2), of a time-stamped file (RFC 5544), and of their kin.
///
/// Mail clients open such files and show what is in them; libclamav does not. The structure is not checked: every OCTET STRING that
/// stands high enough in it is a content.
enum SignedContents {
  private static let leastBytes = 24
  private static let maximumContents = 64
  private static let maximumPieces = 200_000
  /// Where a content can stand; the extensions of certificates stand lower.
  private static let maximumContentDepth = 7
  private static let maximumDepth = 12

  /// The contents, each in one piece, in their order.
  static func of(_ bytes: Span<UInt8>) -> [Chunk] {
    var found: [[Range<Int>]] = []
    var budget = maximumPieces
    var at = 0
    _ = walk(bytes, &at, bytes.count, depth: 0, &found, &budget)
    var chunks: [Chunk] = []
    for pieces in found.prefix(maximumContents) {
      let count = pieces.reduce(0) { $0 + $1.count }
      guard count >= leastBytes else { continue }
      var builder = ChunkBuilder(capacity: count)
      for piece in pieces { builder.append(bytes.extracting(piece)) }
      chunks.append(builder.freeze())
    }
    return chunks
  }

  private struct Head {
    var tag: UInt8
    var isConstructed: Bool
    /// Nil for the indefinite form.
    var length: Int?
  }

  /// Reads values up to `end`, or up to the end-of-contents octets; false when nothing more can be read.
  private static func walk(
    _ bytes: Span<UInt8>, _ at: inout Int, _ end: Int, depth: Int, _ found: inout [[Range<Int>]], _ budget: inout Int
  ) -> Bool {
    while at < end {
      budget -= 1
      guard budget > 0, found.count < maximumContents, let head = head(bytes, &at, end) else { return false }
      if head.tag == 0, head.length == 0 { return true }
      let stop = head.length.map { min(end, at + $0) } ?? end
      if head.tag & 0xDF == 0x04 {
        var pieces: [Range<Int>] = []
        let goesOn = gather(bytes, &at, stop, head, depth: depth, &pieces, &budget)
        if depth <= maximumContentDepth { found.append(pieces) }
        if !goesOn { return false }
      } else if head.isConstructed && depth < maximumDepth {
        if !walk(bytes, &at, stop, depth: depth + 1, &found, &budget) { return false }
        if head.length != nil { at = stop }
      } else {
        guard head.length != nil else { return false }
        at = stop
      }
    }
    return true
  }

  /// The pieces of an OCTET STRING, which may be made of others (X.690 §8.7.3).
  private static func gather(
    _ bytes: Span<UInt8>, _ at: inout Int, _ end: Int, _ head: Head, depth: Int, _ pieces: inout [Range<Int>], _ budget: inout Int
  ) -> Bool {
    guard head.isConstructed else {
      pieces.append(at..<end)
      at = end
      return head.length != nil
    }
    while at < end {
      budget -= 1
      guard budget > 0, depth < maximumDepth, let inner = SignedContents.head(bytes, &at, end) else { return false }
      if inner.tag == 0, inner.length == 0 { return true }
      let stop = inner.length.map { min(end, at + $0) } ?? end
      guard gather(bytes, &at, stop, inner, depth: depth + 1, &pieces, &budget) else { return false }
    }
    return true
  }

  private static func head(_ bytes: Span<UInt8>, _ at: inout Int, _ end: Int) -> Head? {
    guard at + 1 < end else { return nil }
    let tag = bytes[at]
    let first = bytes[at + 1]
    // Long tags do not occur in CMS.
    guard tag & 0x1F != 0x1F else { return nil }
    at += 2
    var head = Head(tag: tag, isConstructed: tag & 0x20 != 0, length: Int(first))
    if first == 0x80 {
      head.length = nil
    } else if first > 0x80 {
      let count = Int(first & 0x7F)
      guard count <= 4, at + count <= end else { return nil }
      var length = 0
      for step in 0..<count { length = length << 8 | Int(bytes[at + step]) }
      at += count
      head.length = length
    }
    return head
  }
}
