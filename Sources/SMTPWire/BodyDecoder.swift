import Octets

/// Follows the lines of one message body through any chunking: undoes dot-stuffing (RFC 5321 §4.5.2), finds the end of DATA,
/// and sees to it that no bare CR, no bare LF and no overlong line gets in. Chunks of BDAT (RFC 3030) go the same way without dots.
///
/// The work is done by two `memchr` for each line; nothing is looked at octet by octet but line ends.
struct BodyDecoder: Sendable {
  /// What is at the octet to come.
  enum Position: Sendable {
    /// First of a line.
    case lineStart
    /// After a dot that was first of a line. The dot is never part of the message.
    case afterDot
    /// After that dot and a CR: a LF ends the message.
    case afterDotCR
    /// Within a line.
    case inLine
    /// After a CR: a LF must come.
    case afterCR
  }

  enum Outcome: Equatable {
    /// Go on at `next`.
    case more
    /// CRLF.CRLF is through (RFC 5321 §4.1.1.4).
    case end
    case fault(BodyFault)
  }

  /// What one call found.
  struct Piece {
    /// Octets of the message.
    var range: Range<Int>
    /// Offset of the first octet not dealt with; for a fault, of the octet that shows it.
    var next: Int
    var outcome: Outcome
  }

  private(set) var position = Position.lineStart
  /// Octets of the present line so far.
  private var lineBytes = 0
  /// Octets of the message so far.
  private(set) var messageBytes = 0
  /// Octets of the message above which it is refused.
  private let sizeLimit: Int
  /// Octets of a line without its CRLF, the stuffed dot not counted, above which the message is refused; `Int.max` for none.
  private let lineLimit: Int
  /// DATA: dots are stuffed and a lone one ends. BDAT: dots are just dots.
  private let isDotStuffed: Bool

  init(profile: ServerProfile, isDotStuffed: Bool) {
    sizeLimit = profile.sizeLimitBytes
    lineLimit = profile.lineLimitBytes ?? Int.max
    self.isDotStuffed = isDotStuffed
  }

  /// Reads the next stretch of message octets: as long as it can be, cut before a stuffed dot.
  mutating func scan(_ input: Span<UInt8>, from start: Int, to end: Int) -> Piece {
    var piece = lines(input.extracting(0..<end), from: start)
    // Whatever else is wrong with the piece comes after the octet that is too much. (An end has no octets.)
    if piece.range.count > sizeLimit - messageBytes { piece.outcome = .fault(.tooLarge) }
    messageBytes += piece.range.count
    return piece
  }

  private mutating func lines(_ input: Span<UInt8>, from first: Int) -> Piece {
    var start = first
    var at = first
    while at < input.count {
      switch position {
      case .lineStart:
        guard isDotStuffed, input[at] == UInt8(ascii: ".") else {
          position = .inLine
          lineBytes = 0
          continue
        }
        position = .afterDot
        if at > start { return Piece(range: start..<at, next: at + 1, outcome: .more) }
        at += 1
        start = at
      case .afterDot:
        guard input[at] == 13 else {
          // RFC 5321 §4.5.2: the first octet was a dot and there are others on the line: it is deleted.
          position = .inLine
          lineBytes = 0
          continue
        }
        position = .afterDotCR
        at += 1
        start = at
      case .afterDotCR:
        guard input[at] == 10 else { return Piece(range: at..<at, next: at, outcome: .fault(.bareCarriageReturn)) }
        return Piece(range: at..<at, next: at + 1, outcome: .end)
      case .afterCR:
        guard input[at] == 10 else { return Piece(range: start..<at, next: at, outcome: .fault(.bareCarriageReturn)) }
        position = .lineStart
        at += 1
      case .inLine:
        if let fault = content(input, &at) { return Piece(range: start..<at, next: at, outcome: .fault(fault)) }
      }
    }
    return Piece(range: start..<at, next: at, outcome: .more)
  }

  /// Passes over whole lines, up to a line that begins with a dot, to the last octets of the input, or to a fault at `at`.
  private mutating func content(_ input: Span<UInt8>, _ at: inout Int) -> BodyFault? {
    var room = lineLimit - lineBytes
    while true {
      let lineEnd = Scan.first(13, in: input, from: at) ?? input.count
      let feed = Scan.first(10, in: input, from: at) ?? input.count
      let contentEnd = min(lineEnd, feed)
      if contentEnd - at > room {
        at += room
        return .lineTooLong
      }
      if feed < lineEnd {
        at = feed
        return .bareLineFeed
      }
      guard feed < input.count, feed == lineEnd + 1 else {
        // No CR at all, or one with no LF behind it: the end of the input, or a fault that the next octet shows.
        lineBytes = lineLimit - room + contentEnd - at
        at = min(lineEnd + 1, input.count)
        if lineEnd < input.count { position = .afterCR }
        return nil
      }
      at = feed + 1
      room = lineLimit
      if at == input.count || isDotStuffed && input[at] == UInt8(ascii: ".") {
        position = .lineStart
        return nil
      }
    }
  }

  /// How much of CR LF . CR LF lies immediately before the next octet: where `Swallower` takes over.
  var matchedTerminator: Int {
    switch position {
    case .inLine: 0
    case .afterCR: 1
    case .lineStart: 2
    case .afterDot: 3
    case .afterDotCR: 4
    }
  }
}

/// Passes over the rest of a refused DATA up to CR LF . CR LF, and nothing shorter.
struct Swallower: Sendable {
  /// How many octets of the terminator have just been seen.
  private var matched: Int
  private static let terminator: [UInt8] = [13, 10, UInt8(ascii: "."), 13, 10]

  init(matched: Int) { self.matched = matched }

  /// Reads on at `at`; true when the terminator is through, with `at` after it.
  mutating func swallow(_ input: Span<UInt8>, at: inout Int) -> Bool {
    while at < input.count {
      if matched == 0 {
        if let hit = Scan.first(Swallower.terminator, in: input, from: at) {
          at = hit + Swallower.terminator.count
          return true
        }
        // Only the last four octets can begin a terminator that ends in the next input.
        at = max(at, input.count - (Swallower.terminator.count - 1))
        while at < input.count { advance(input[at], &at) }
        return false
      }
      advance(input[at], &at)
      if matched == Swallower.terminator.count { return true }
    }
    return false
  }

  private mutating func advance(_ byte: UInt8, _ at: inout Int) {
    at += 1
    matched = byte == Swallower.terminator[matched] ? matched + 1 : byte == 13 ? 1 : 0
  }
}

/// Dot-stuffing for a client (RFC 5321 §4.5.2): where dots go in, so that a body is sent as ranges and never copied.
public enum DotStuffing {
  private static let needle: [UInt8] = [10, UInt8(ascii: ".")]

  /// Offsets in `body` before which a "." must be sent.
  ///
  /// Any LF counts as a line end here: a bare one cannot be in a body that came through this gateway, and if it were, a dot too
  /// many is harmless where a dot too few would end the message.
  /// - Parameter atLineStart: true at the begin of a message; carried from piece to piece, it says at the end whether the body
  ///   ended in a line end.
  public static func cuts(in body: Span<UInt8>, atLineStart: inout Bool) -> [Int] {
    guard body.count > 0 else { return [] }
    var cuts: [Int] = []
    if atLineStart, body[0] == UInt8(ascii: ".") { cuts.append(0) }
    var at = 0
    // A dot is rarer than a line end in most bodies, and in base64 it never occurs: memchr for it is several times faster than
    // memmem for LF and dot. In a body full of dots memmem is.
    var idle = 0
    while idle < 256 || idle * 32 < at, let hit = Scan.first(UInt8(ascii: "."), in: body, from: at) {
      if hit > 0, body[hit - 1] == 10 { cuts.append(hit) } else { idle += 1 }
      at = hit + 1
    }
    if idle >= 256, idle * 32 >= at {
      // The octet before may be the LF of a pair that begins there.
      at = max(0, at - 1)
      while let hit = Scan.first(needle, in: body, from: at) {
        cuts.append(hit + 1)
        at = hit + 2
      }
    }
    atLineStart = body[body.count - 1] == 10
    return cuts
  }
}
