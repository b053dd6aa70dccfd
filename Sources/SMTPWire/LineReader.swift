import Octets

/// Gathers command lines from input in any chunking. Only CR LF ends a line (RFC 5321 §2.3.8).
struct LineReader: Sendable {
  enum Outcome: Equatable {
    /// The input is used up.
    case more
    /// `line` holds a line without its CRLF.
    case line
    /// A whole line went by that is longer than any may be; what was kept of its beginning is in `line`.
    case tooLong
    /// A LF without a CR. The line it stands in is refused, and the rest of it will be passed over in silence.
    case bareLineFeed
  }

  /// The line, or what has come of it. One buffer for all lines of a session.
  private(set) var line: [UInt8] = []
  /// Octets of a line with its CRLF above which it is not kept.
  private let limit: Int
  private var state = State.keeping

  private enum State: Sendable {
    /// Nothing is wrong with the line so far.
    case keeping
    /// The line is over the limit; whether its last octet so far is a CR.
    case tooLong(endsInCR: Bool)
    /// The line had a bare LF; whether its last octet so far is a CR.
    case refused(endsInCR: Bool)
  }

  init(limit: Int) { self.limit = limit }

  /// Forgets what came of a line; its memory too when it had grown beyond the usual.
  mutating func reset() {
    if line.capacity > 4096 { line = [] } else { line.removeAll(keepingCapacity: true) }
    state = .keeping
  }

  /// Reads on at `at`. After `.line` and `.tooLong`, call `reset` when the line has been dealt with.
  mutating func read(_ input: Span<UInt8>, at: inout Int) -> Outcome {
    while at < input.count {
      guard let feed = Scan.first(10, in: input, from: at) else {
        keep(input, at..<input.count)
        at = input.count
        return .more
      }
      keep(input, at..<feed)
      at = feed + 1
      switch state {
      case .keeping:
        guard line.last == 13 else {
          line.removeAll(keepingCapacity: true)
          state = .refused(endsInCR: false)
          return .bareLineFeed
        }
        line.removeLast()
        return .line
      case .tooLong(endsInCR: true): return .tooLong
      case .tooLong(endsInCR: false), .refused(endsInCR: false):
        state = .refused(endsInCR: false)
        return .bareLineFeed
      case .refused(endsInCR: true): reset()
      }
    }
    return .more
  }

  private mutating func keep(_ input: Span<UInt8>, _ range: Range<Int>) {
    guard !range.isEmpty else { return }
    let endsInCR = input[range.upperBound - 1] == 13
    switch state {
    case .keeping:
      // One octet of the limit is the LF, which is never kept.
      let room = limit - 1 - line.count
      if range.count <= room {
        line.append(copying: input.extracting(range))
      } else {
        line.append(copying: input.extracting(range.lowerBound..<range.lowerBound + max(0, room)))
        state = .tooLong(endsInCR: endsInCR)
      }
    case .tooLong: state = .tooLong(endsInCR: endsInCR)
    case .refused: state = .refused(endsInCR: endsInCR)
    }
  }
}
