import Octets

/// What a body looks like to those who decode base64.
struct Base64Form {
  /// Enough of the alphabet to decode to anything.
  var hasLetters = false
  /// Padding with more of the alphabet behind it.
  var hasInnerPadding = false
  var hasEquals = false
  /// Lines of nothing but base64, and others that are not empty.
  var hasLines = false
  var hasOtherLines = false
  /// A line of base64, not the last, that is no whole number of groups; or one that has the marks of the web's alphabet.
  var hasUnevenLines = false

  /// Nothing but whole groups of base64, which nobody reads in another way.
  var isClean: Bool { hasLetters && hasLines && !hasOtherLines && !hasInnerPadding && !hasUnevenLines }

  static func of(_ bytes: Span<UInt8>) -> Base64Form {
    var form = Base64Form()
    var letters = 0
    var sawPadding = false
    var wasUneven = false
    Base64View.eachLine(bytes) { line in
      if line.isBase64 {
        if wasUneven { form.hasUnevenLines = true }
        if line.letters % 4 != 0 { wasUneven = true }
        form.hasLines = true
        if line.hasWebMarks { form.hasOtherLines = true }
      } else if line.isFilled {
        form.hasOtherLines = true
      }
      if sawPadding && line.letters > 0 { form.hasInnerPadding = true }
      if line.hasPaddingInside { form.hasInnerPadding = true }
      if line.hasPadding {
        sawPadding = true
        form.hasEquals = true
      }
      letters += line.letters
    }
    form.hasLetters = letters >= 16
    return form
  }
}

/// Base64 as tolerant decoders read it.
enum Base64View {
  /// How the lines of a body are put together.
  enum Joining {
    /// As one stream.
    case joined
    /// Each line for itself.
    case each
    /// Each run of lines for itself.
    case byRun
    /// As one stream in which padding is junk.
    case pastPadding
  }

  /// A line, as far as it matters.
  struct Line {
    var range: Range<Int>
    /// Octets of the alphabet.
    var letters = 0
    var hasPadding = false
    var hasPaddingInside = false
    var hasWebMarks = false
    /// True when it has anything but white space.
    var isFilled = false
    /// True when it has nothing but the alphabet, padding, and white space at its ends.
    var isBase64 = false
  }

  private static let other: UInt8 = 255
  private static let padding: UInt8 = 254
  private static let space: UInt8 = 253
  private static let plusMark: UInt8 = 252
  private static let slashMark: UInt8 = 251

  /// Values of the alphabet; above 63 what else an octet is.
  private static let table: [UInt8] = {
    var table = [UInt8](repeating: other, count: 256)
    for (value, byte) in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8.enumerated() {
      table[Int(byte)] = UInt8(value)
    }
    table[61] = padding
    for byte in [9, 10, 11, 12, 13, 32] { table[byte] = space }
    table[45] = plusMark
    table[95] = slashMark
    return table
  }()

  /// Calls `body` with each line.
  static func eachLine(_ bytes: Span<UInt8>, _ body: (Line) -> Void) {
    let values = table
    var at = 0
    while at < bytes.count {
      let feed = Scan.first(10, in: bytes, from: at) ?? bytes.count
      body(line(bytes, at, feed, values.span))
      at = feed + 1
    }
  }

  private static func line(_ bytes: Span<UInt8>, _ start: Int, _ end: Int, _ values: Span<UInt8>) -> Line {
    var low = start
    var high = end
    while high > low, bytes[high - 1] <= 32 { high -= 1 }
    while low < high, bytes[low] <= 32 { low += 1 }
    var line = Line(range: low..<high)
    line.isFilled = high > low
    var others = 0
    for at in low..<high {
      switch values[Int(bytes[at])] {
      case 0...63:
        line.letters += 1
        if line.hasPadding { line.hasPaddingInside = true }
      case padding: line.hasPadding = true
      case plusMark, slashMark: line.hasWebMarks = true
      default: others += 1
      }
    }
    // "--" begins a boundary or a signature, in whatever alphabet.
    let isRule = high - low >= 2 && bytes[low] == 45 && bytes[low + 1] == 45
    line.isBase64 = line.isFilled && others == 0 && line.letters > 0 && !isRule
    return line
  }

  /// Everything in `bytes`; what is not of the alphabet is passed over (RFC 2045 §6.8).
  ///
  /// - Parameters:
  ///   - endsAtPadding: padding ends its group, and decoding begins anew behind it; else it is passed over like junk.
  ///   - isWeb: "-" and "_" count too (RFC 4648 §5).
  static func all(_ bytes: Span<UInt8>, endsAtPadding: Bool, isWeb: Bool = false) -> Chunk {
    var sink = Base64Sink(capacity: bytes.count / 4 * 3 + 3)
    sink.take(bytes, table.span, endsAtPadding: endsAtPadding, isWeb: isWeb)
    return sink.finish()
  }

  /// The lines that are base64, put together; all others are passed over.
  static func lines(_ bytes: Span<UInt8>, _ joining: Joining) -> Chunk {
    var sink = Base64Sink(capacity: bytes.count / 4 * 3 + 3)
    let values = table
    var at = 0
    while at < bytes.count {
      let feed = Scan.first(10, in: bytes, from: at) ?? bytes.count
      let line = line(bytes, at, feed, values.span)
      if line.isBase64 {
        sink.take(bytes.extracting(line.range), values.span, endsAtPadding: joining != .pastPadding, isWeb: true)
        if joining == .each { sink.flush() }
      } else if joining == .byRun {
        sink.flush()
      }
      at = feed + 1
    }
    return sink.finish()
  }

  /// Maximal runs of lines that are base64, of so many octets of the alphabet.
  static func runs(_ bytes: Span<UInt8>, atLeast: Int, atMost: Int) -> (ranges: [Range<Int>], isCut: Bool) {
    var ranges: [Range<Int>] = []
    var run: Range<Int>?
    var letters = 0
    func close() {
      if let range = run, letters >= atLeast { ranges.append(range) }
      run = nil
      letters = 0
    }
    eachLine(bytes) { line in
      guard line.isBase64, ranges.count <= atMost else { return close() }
      run = (run?.lowerBound ?? line.range.lowerBound)..<line.range.upperBound
      letters += line.letters
    }
    close()
    return (Array(ranges.prefix(atMost)), ranges.count > atMost)
  }

  /// Gathers groups of four; kept apart so that all ways of reading share it.
  private struct Base64Sink: ~Copyable {
    private var out: ChunkBuilder
    private var piece: [UInt8] = []
    private var word: UInt32 = 0
    private var held = 0

    init(capacity: Int) {
      out = ChunkBuilder(capacity: capacity)
      piece.reserveCapacity(Base64Sink.pieceBytes + 4)
    }
    private static let pieceBytes = 12 * 1024

    mutating func take(_ bytes: Span<UInt8>, _ values: Span<UInt8>, endsAtPadding: Bool, isWeb: Bool) {
      for at in 0..<bytes.count {
        var value = values[Int(bytes[at])]
        if value > 63 {
          if value == Base64View.padding && endsAtPadding { flush() }
          guard isWeb, value == Base64View.plusMark || value == Base64View.slashMark else { continue }
          value = value == Base64View.plusMark ? 62 : 63
        }
        word = word << 6 | UInt32(value)
        held += 1
        guard held == 4 else { continue }
        piece.append(UInt8(truncatingIfNeeded: word >> 16))
        piece.append(UInt8(truncatingIfNeeded: word >> 8))
        piece.append(UInt8(truncatingIfNeeded: word))
        held = 0
        if piece.count >= Base64Sink.pieceBytes { move() }
      }
    }

    /// Ends a group that is not whole.
    mutating func flush() {
      if held == 2 { piece.append(UInt8(truncatingIfNeeded: word >> 4)) }
      if held == 3 {
        piece.append(UInt8(truncatingIfNeeded: word >> 10))
        piece.append(UInt8(truncatingIfNeeded: word >> 2))
      }
      held = 0
    }

    private mutating func move() {
      out.append(piece)
      piece.removeAll(keepingCapacity: true)
    }

    mutating func finish() -> Chunk {
      flush()
      move()
      return out.freeze()
    }
  }
}
