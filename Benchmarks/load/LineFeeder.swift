import Octets

/// Finds lines in input of any chunking. A line that lies in one piece is lent where it is; only one that is split is gathered.
///
/// It ends at LF and loses a CR before it: whether a peer's line ends are right is not what is measured.
struct LineFeeder {
  enum Outcome {
    /// The input is used up.
    case more
    /// A line is here in the input, without its end.
    case line(Range<Int>)
    /// A line is in `gathered`, without its end.
    case gathered
    case tooLong
  }

  /// Octets of a line that are kept (RFC 5321 §4.5.3.1.4 allows 512, with extensions more).
  private static let limit = 8192

  private(set) var gathered: [UInt8] = []
  private var isGiven = false

  /// Reads on at `at`. `gathered` holds until the next call.
  mutating func next(_ input: Span<UInt8>, _ at: inout Int) -> Outcome {
    if isGiven {
      gathered.removeAll(keepingCapacity: true)
      isGiven = false
    }
    guard at < input.count else { return .more }
    guard let feed = Scan.first(10, in: input, from: at) else {
      guard gathered.count + input.count - at <= LineFeeder.limit else { return .tooLong }
      gathered.append(copying: input.extracting(at..<input.count))
      at = input.count
      return .more
    }
    let from = at
    at = feed + 1
    guard feed - from + gathered.count <= LineFeeder.limit else { return .tooLong }
    if gathered.isEmpty { return .line(from..<(feed > from && input[feed - 1] == 13 ? feed - 1 : feed)) }
    gathered.append(copying: input.extracting(from..<feed))
    if gathered.last == 13 { gathered.removeLast() }
    isGiven = true
    return .gathered
  }
}

/// Finds the end of DATA, CRLF . CRLF, in input of any chunking (RFC 5321 §4.1.1.4).
struct BodyEnd {
  private static let terminator: [UInt8] = [13, 10, UInt8(ascii: "."), 13, 10]

  /// How much of the terminator lies immediately before the next octet. The line end of the DATA command counts.
  private var matched = 2

  /// Reads on at `at`; true when the end is through, with `at` behind it.
  mutating func find(_ input: Span<UInt8>, _ at: inout Int) -> Bool {
    // Octet by octet only for as long as a terminator may have begun in the piece before: five octets at the most, in mail.
    while matched > 0, at < input.count {
      let octet = input[at]
      at += 1
      matched = octet == BodyEnd.terminator[matched] ? matched + 1 : octet == 13 ? 1 : 0
      if matched == BodyEnd.terminator.count { return true }
    }
    guard at < input.count else { return false }
    if let end = BodyEnd.first(input, from: at) {
      at = end
      return true
    }
    // What the piece ends in may be the beginning of a terminator.
    matched = min(BodyEnd.terminator.count - 1, input.count - at)
    while matched > 0, !BodyEnd.ends(input, inFirst: matched) { matched -= 1 }
    at = input.count
    return false
  }

  private static func ends(_ input: Span<UInt8>, inFirst length: Int) -> Bool {
    for index in 0..<length where input[input.count - length + index] != terminator[index] { return false }
    return true
  }

  /// The offset behind the first terminator. A dot is rare in most bodies, and in base64 there is none: memchr for it is several times
  /// faster than memmem for the whole. Where dots are many, memmem goes on.
  private static func first(_ input: Span<UInt8>, from start: Int) -> Int? {
    var from = start
    var misses = 0
    while misses < 64 || misses * 256 < from - start {
      guard let dot = Scan.first(UInt8(ascii: "."), in: input, from: from) else { return nil }
      if dot - start >= 2, dot + 2 < input.count, input[dot - 1] == 10, input[dot - 2] == 13, input[dot + 1] == 13, input[dot + 2] == 10 {
        return dot + 3
      }
      misses += 1
      from = dot + 1
    }
    // A terminator may begin up to two octets before the dot that comes next.
    return Scan.first(terminator, in: input, from: max(start, from - 2)).map { $0 + terminator.count }
  }
}
