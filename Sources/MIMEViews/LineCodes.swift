import Octets

/// Encodings that are older than MIME and stand in plain text: uuencode and yEnc, found by their lines alone.
enum LineCodes {
  private static let maximumBlocks = 500
  private static let leastBytes = 24

  /// Runs of lines of uuencode, with or without a line that begins them; blank lines and what follows a block end a run.
  static func uuencodedBlocks(_ bytes: Span<UInt8>) -> [Range<Int>] {
    var blocks: [Range<Int>] = []
    var start: Int?
    var end = 0
    var decoded = 0
    func close() {
      if let start, decoded >= leastBytes { blocks.append(start..<end) }
      start = nil
      decoded = 0
    }
    eachLine(bytes) { low, high in
      guard blocks.count < maximumBlocks, let count = uuencodedCount(bytes, low, high) else { return close() }
      start = start ?? low
      end = high
      decoded += count
    }
    close()
    return blocks
  }

  /// The lines of uuencode decoded, all others passed over.
  ///
  /// - Parameter isJoined: only lines that can hardly be anything else count: full ones, and others right behind such a line.
  static func uuencoded(_ bytes: Span<UInt8>, isJoined: Bool) -> Chunk {
    var out = ChunkBuilder(capacity: 4096)
    var isInside = !isJoined
    eachLine(bytes) { low, high in
      guard let count = uuencodedCount(bytes, low, high) else { return }
      if count == 45 { isInside = true }
      if isInside { decodeUU(bytes, low, high, count, &out) }
      if isJoined && count < 45 { isInside = false }
    }
    return out.freeze()
  }

  /// How many octets a line says that it holds; nil when it is no line of uuencode.
  private static func uuencodedCount(_ bytes: Span<UInt8>, _ low: Int, _ high: Int) -> Int? {
    guard high - low >= 2, bytes[low] > 32, bytes[low] <= 96 else { return nil }
    let count = Int(bytes[low] - 32) & 63
    guard count > 0 else { return nil }
    let letters = high - low - 1
    // Trailing spaces may be lost, or were never written; a check sum or some padding may stand at the end.
    let least = (count * 8 + 5) / 6
    guard letters >= min(least, count + 1), letters <= (count + 2) / 3 * 4 + 2 else { return nil }
    for at in (low + 1)..<high where bytes[at] < 32 || bytes[at] > 96 { return nil }
    return count
  }

  private static func decodeUU(_ bytes: Span<UInt8>, _ low: Int, _ high: Int, _ count: Int, _ out: inout ChunkBuilder) {
    var line: [UInt8] = []
    var at = low + 1
    while line.count < count {
      var word: UInt32 = 0
      for step in 0..<4 {
        let value = at + step < high ? (bytes[at + step] &- 32) & 63 : 0
        word = word << 6 | UInt32(value)
      }
      line.append(UInt8(truncatingIfNeeded: word >> 16))
      line.append(UInt8(truncatingIfNeeded: word >> 8))
      line.append(UInt8(truncatingIfNeeded: word))
      at += 4
    }
    line.removeLast(line.count - count)
    out.append(line)
  }

  /// From each line that begins with "=ybegin" up to one with "=yend", or to the end.
  static func yEncBlocks(_ bytes: Span<UInt8>) -> [Range<Int>] {
    var blocks: [Range<Int>] = []
    var start: Int?
    eachLine(bytes) { low, high in
      guard high - low >= 5, bytes[low] == UInt8(ascii: "="), bytes[low + 1] | 32 == UInt8(ascii: "y"), blocks.count < maximumBlocks
      else { return }
      switch bytes[low + 2] | 32 {
      case UInt8(ascii: "b"): start = high
      case UInt8(ascii: "e"):
        if let begin = start { blocks.append(begin..<low) }
        start = nil
      default: break
      }
    }
    if let start { blocks.append(start..<bytes.count) }
    return blocks
  }

  /// yEnc: 42 is taken off each octet, and 64 more behind "="; line ends and the format's own lines go.
  static func yEnc(_ bytes: Span<UInt8>) -> Chunk {
    var out = ChunkBuilder(capacity: bytes.count)
    eachLine(bytes) { low, high in
      if high - low >= 2, bytes[low] == UInt8(ascii: "="), bytes[low + 1] == UInt8(ascii: "y") { return }
      var line: [UInt8] = []
      line.reserveCapacity(high - low)
      var isEscaped = false
      for at in low..<high {
        let byte = bytes[at]
        if !isEscaped && byte == UInt8(ascii: "=") {
          isEscaped = true
        } else {
          line.append(byte &- 42 &- (isEscaped ? 64 : 0))
          isEscaped = false
        }
      }
      out.append(line)
    }
    return out.freeze()
  }

  private static func eachLine(_ bytes: Span<UInt8>, _ body: (Int, Int) -> Void) {
    var at = 0
    while at < bytes.count {
      let feed = Scan.first(10, in: bytes, from: at) ?? bytes.count
      body(at, feed > at && bytes[feed - 1] == 13 ? feed - 1 : feed)
      at = feed + 1
    }
  }
}

/// BinHex 4.0 (RFC 1741).
enum BinHex {
  private static let maximumStarts = 8
  private static let leastLine = 32

  private static let values: [UInt8] = {
    var table = [UInt8](repeating: 255, count: 256)
    for (value, byte) in "!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr".utf8.enumerated() {
      table[Int(byte)] = UInt8(value)
    }
    return table
  }()

  /// Lines that begin with a colon and hold nothing but the alphabet.
  static func starts(_ bytes: Span<UInt8>) -> [Int] {
    var starts: [Int] = []
    var at = 0
    while at < bytes.count, starts.count < maximumStarts {
      let feed = Scan.first(10, in: bytes, from: at) ?? bytes.count
      if bytes[at] == UInt8(ascii: ":"), feed - at >= leastLine {
        var look = at + 1
        while look < feed, values[Int(bytes[look])] != 255 { look += 1 }
        // What ends it: the line's end, or the colon that ends the data.
        if look >= feed - 2 { starts.append(at) }
      }
      at = feed + 1
    }
    return starts
  }

  /// The two forks of the file that begins with the colon at `start`; when its header makes no sense, all of it.
  static func forks(_ bytes: Span<UInt8>, from start: Int) -> [Chunk] {
    let data = expanded(bytes, from: start)
    guard let name = data.first, data.count >= Int(name) + 22 else { return [Chunk(data)] }
    func number(_ at: Int) -> Int { (0..<4).reduce(0) { $0 << 8 | Int(data[at + $1]) } }
    // Length and name, version, type, creator, flags.
    let lengths = 1 + Int(name) + 1 + 4 + 4 + 2
    let first = lengths + 8 + 2
    let second = first + number(lengths) + 2
    var forks = [Chunk(data)]
    if first + number(lengths) <= data.count { forks.append(Chunk(Array(data[first..<(first + number(lengths))]))) }
    if second + number(lengths + 4) <= data.count { forks.append(Chunk(Array(data[second..<(second + number(lengths + 4))]))) }
    return forks
  }

  /// The data with its runs written out: 0x90 and a count repeat the octet before; a count of 0 is 0x90 itself.
  private static func expanded(_ bytes: Span<UInt8>, from start: Int) -> [UInt8] {
    let limit = (bytes.count - start) * 4
    var out: [UInt8] = []
    var word: UInt32 = 0
    var held = 0
    var isRun = false
    var at = start + 1
    func put(_ byte: UInt8) {
      if isRun {
        isRun = false
        if byte == 0 {
          out.append(0x90)
        } else if let last = out.last, byte > 1, out.count < limit {
          out.append(contentsOf: repeatElement(last, count: Int(byte) - 1))
        }
      } else if byte == 0x90 {
        isRun = true
      } else {
        out.append(byte)
      }
    }
    while at < bytes.count, bytes[at] != UInt8(ascii: ":") {
      let value = values[Int(bytes[at])]
      at += 1
      guard value != 255 else { continue }
      word = word << 6 | UInt32(value)
      held += 1
      guard held == 4 else { continue }
      put(UInt8(truncatingIfNeeded: word >> 16))
      put(UInt8(truncatingIfNeeded: word >> 8))
      put(UInt8(truncatingIfNeeded: word))
      held = 0
    }
    if held >= 2 { put(UInt8(truncatingIfNeeded: (word << UInt32((4 - held) * 6)) >> 16)) }
    if held == 3 { put(UInt8(truncatingIfNeeded: (word << 6) >> 8)) }
    return out
  }
}
