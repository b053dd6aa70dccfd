import Limits
import Octets

/// Walks over a message once, in whatever pieces it arrives, and remembers where things lie.
///
/// Memory is the header up to its limit and the table of parts; the body passes by. The result does not depend on the pieces.
/// Lines are found by the C library, one call for a line at the most; only those that begin with "--" are looked into.
public struct MessageWalker: Sendable {
  /// What is known about the line at the cursor.
  private enum LineHead {
    /// So far it is a beginning of "--": empty, or one hyphen.
    case undecided
    /// It does not begin with "--".
    case plain
    /// It begins with "--"; its content is gathered.
    case dashes
  }

  private let limits: MessageLimits
  private let watched: [UInt8]
  private let checksLines: Bool
  private var tree: PartTree
  private var flags: MessageFlags = []
  private var boundaryLines: [[UInt8]] = []
  /// Octets that were fed before the piece at hand.
  private var position = 0
  /// The octet before the cursor's piece; 0 at the start.
  private var lastByte: UInt8 = 0
  private var head = LineHead.undecided
  private var lineStart = 0
  /// Length of the line end before the line at the cursor.
  private var previousBreak = 0
  /// What was gathered of a line that begins with hyphens.
  private var held: [UInt8] = []

  /// Octets kept of a line that begins with "--", and watched lines kept.
  private static let heldBytes = 1002
  private static let maximumBoundaryLines = 1000
  private static let hyphen = UInt8(ascii: "-")

  /// - Parameters:
  ///   - limits: the bounds; beyond one there is a flag, never a failure.
  ///   - watchedBoundaryPrefix: lines that begin with "--" and this are noted; empty to note none.
  ///   - checksLines: whether line length and bare CR or LF of the body are looked at. False is faster, for a body whose lines
  ///     were checked on the wire already; the header is checked always.
  public init(limits: MessageLimits, watchedBoundaryPrefix: [UInt8], checksLines: Bool = true) {
    self.limits = limits
    watched = watchedBoundaryPrefix
    self.checksLines = checksLines
    tree = PartTree(limits: limits)
  }

  /// The facts of a whole message that is in memory.
  public static func facts(
    of message: [UInt8], limits: MessageLimits = MessageLimits(), watchedBoundaryPrefix: [UInt8] = []
  ) -> MessageFacts {
    var walker = MessageWalker(limits: limits, watchedBoundaryPrefix: watchedBoundaryPrefix)
    walker.feed(message.span)
    return walker.finish()
  }

  /// Takes the next octets of the message; they are lent for the call.
  public mutating func feed(_ bytes: Span<UInt8>) {
    guard bytes.count > 0 else { return }
    let bodyBefore = tree.isPastRootHeader
    if lastByte == 13 && bytes[0] != 10 && (checksLines || tree.isInHeader) { flags.insert(.bareCarriageReturn) }
    var at = 0
    while at < bytes.count {
      if checksLines || tree.isInHeader {
        at = walkLines(bytes, from: at)
      } else if looksForDashes {
        at = seekDashes(bytes, from: at)
      } else {
        at = bytes.count
      }
    }
    checkOctets(bytes, bodyBefore: bodyBefore)
    position += bytes.count
    lastByte = bytes[bytes.count - 1]
  }

  /// The message is at its end: what was found. The walker is not to be used after.
  public mutating func finish() -> MessageFacts {
    if lastByte == 13 && (checksLines || tree.isInHeader) { flags.insert(.bareCarriageReturn) }
    if checksLines || tree.isInHeader { checkLength(to: position) }
    if head == .dashes { endDashLine(next: position) }
    tree.finish(total: position)
    return MessageFacts(
      header: tree.rootHeader, headerEnd: tree.rootHeaderEnd, bodyStart: tree.rootBodyStart, totalBytes: position,
      flags: flags.union(tree.flags), parts: tree.parts, boundaryLines: boundaryLines)
  }

  private var looksForDashes: Bool { tree.awaitsBoundary || !watched.isEmpty }

  /// NUL and octets above 127: one vectorised pass for each piece, until the flag is there.
  private mutating func checkOctets(_ bytes: Span<UInt8>, bodyBefore: Bool) {
    if !flags.contains(.nulOctet), Scan.first(0, in: bytes) != nil { flags.insert(.nulOctet) }
    let headerBytes = bodyBefore ? 0 : tree.isPastRootHeader ? min(max(0, tree.rootBodyStart - position), bytes.count) : bytes.count
    if headerBytes > 0, !flags.contains(.eightBitHeader), Scan.hasHighBit(bytes.extracting(first: headerBytes)) {
      flags.insert(.eightBitHeader)
    }
    if headerBytes < bytes.count, !flags.contains(.eightBitBody), Scan.hasHighBit(bytes.extracting(droppingFirst: headerBytes)) {
      flags.insert(.eightBitBody)
    }
  }
}

// Line by line: headers, and bodies whose lines are checked.
extension MessageWalker {
  /// Walks lines from `start` until the piece is used up, or the way of walking may have changed.
  private mutating func walkLines(_ bytes: Span<UInt8>, from start: Int) -> Int {
    var at = start
    let isHeader = tree.isInHeader
    while at < bytes.count {
      if !isHeader && head == .undecided && held.isEmpty {
        at = walkWholeLines(bytes, from: at)
        if at == bytes.count || tree.isInHeader { return at }
      }
      let feed = Scan.first(10, in: bytes, from: at)
      let next = feed.map { $0 + 1 } ?? bytes.count
      if isHeader { tree.appendHeader(bytes.extracting(at..<next)) }
      if head == .undecided && bytes[at] != MessageWalker.hyphen { head = .plain }
      if head != .plain { gather(bytes, at, feed ?? bytes.count) }
      checkCarriageReturn(bytes, at, feed ?? bytes.count)
      guard let feed else { return bytes.count }
      let length = lineBreak(bytes, at: feed)
      if length == 1 { flags.insert(.bareLineFeed) }
      let contentEnd = position + next - length
      checkLength(to: contentEnd)
      endLine(isHeader: isHeader, contentEnd: contentEnd, next: position + next, lineBreak: length)
      at = next
      if tree.isInHeader != isHeader { return at }
    }
    return at
  }

  /// Lines of a body that lie in the piece from end to end, which are nearly all: no state but where the line begins.
  /// Stops at the start of a line that goes on in the next piece, or behind a boundary.
  private mutating func walkWholeLines(_ bytes: Span<UInt8>, from start: Int) -> Int {
    var at = start
    var longest = 0
    while at < bytes.count, !tree.isInHeader {
      if at + 1 < bytes.count, bytes[at] == 13, bytes[at + 1] == 10 {
        previousBreak = 2
        at += 2
        continue
      }
      guard let feed = Scan.first(10, in: bytes, from: at) else { break }
      let length = lineBreak(bytes, at: feed)
      let end = feed + 1 - length
      checkCarriageReturn(bytes, at, feed)
      if length == 1 { flags.insert(.bareLineFeed) }
      longest = max(longest, end - at)
      if bytes[at] == MessageWalker.hyphen { wholeLine(bytes, at, end, next: feed + 1) }
      previousBreak = length
      at = feed + 1
    }
    if longest > limits.lineBytes { flags.insert(.lineTooLong) }
    lineStart = position + at
    return at
  }

  /// A line `start..<end` of the piece that begins with a hyphen, and perhaps with two.
  private mutating func wholeLine(_ bytes: Span<UInt8>, _ start: Int, _ end: Int, next: Int) {
    guard end - start >= 2, bytes[start + 1] == MessageWalker.hyphen else { return }
    let kept = min(end, start + MessageWalker.heldBytes)
    dashLine(bytes.extracting((start + 2)..<kept), isCut: kept < end, start: position + start, next: position + next)
  }

  private mutating func endLine(isHeader: Bool, contentEnd: Int, next: Int, lineBreak: Int) {
    if isHeader && contentEnd == lineStart {
      tree.headerEnds(at: lineStart, bodyStart: next)
    } else if head == .dashes {
      endDashLine(next: next)
    }
    beginLine(at: next, after: lineBreak)
  }

  private mutating func beginLine(at start: Int, after lineBreak: Int) {
    lineStart = start
    previousBreak = lineBreak
    head = .undecided
    if !held.isEmpty { held.removeAll(keepingCapacity: true) }
  }

  /// Looks at the piece `start..<end` of a line that begins with a hyphen, or that is known to begin with two.
  private mutating func gather(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) {
    var at = start
    while held.count < 2 && at < end && bytes[at] == MessageWalker.hyphen {
      held.append(MessageWalker.hyphen)
      at += 1
    }
    guard held.count >= 2 else {
      if at < end { head = .plain }
      return
    }
    head = .dashes
    // Two octets more than are kept tell, when the CR is off, whether the line is longer.
    let room = MessageWalker.heldBytes + 2 - held.count
    if room > 0 && at < end { held.append(copying: bytes.extracting(at..<min(end, at + room))) }
  }

  /// A CR in `start..<end` that is not its last octet; that one is judged by what comes next.
  private mutating func checkCarriageReturn(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) {
    guard !flags.contains(.bareCarriageReturn), start < end - 1 else { return }
    if Scan.first(13, in: bytes.extracting(start..<(end - 1))) != nil { flags.insert(.bareCarriageReturn) }
  }

  private mutating func checkLength(to end: Int) {
    if end - lineStart > limits.lineBytes { flags.insert(.lineTooLong) }
  }

  /// The gathered line that begins with "--" is complete.
  private mutating func endDashLine(next: Int) {
    // Its CR was gathered before it was known that an LF follows.
    if held.last == 13 { held.removeLast() }
    let isCut = held.count > MessageWalker.heldBytes
    let line = exchange(&held, with: [])
    dashLine(line.span.extracting(2..<min(line.count, MessageWalker.heldBytes)), isCut: isCut, start: lineStart, next: next)
    held = line
  }

  /// A line of which `content` stands behind "--".
  private mutating func dashLine(_ content: Span<UInt8>, isCut: Bool, start: Int, next: Int) {
    if !watched.isEmpty && MessageWalker.begins(content, with: watched) {
      if boundaryLines.count < MessageWalker.maximumBoundaryLines {
        boundaryLines.append([UInt8](copying: content))
      } else {
        flags.insert(.tooManyBoundaryLines)
      }
    }
    if tree.awaitsBoundary {
      tree.dashLine(content, isCut: isCut, start: start, previousBreak: previousBreak, next: next)
    }
  }

  private static func begins(_ content: Span<UInt8>, with prefix: [UInt8]) -> Bool {
    guard content.count >= prefix.count else { return false }
    for at in prefix.indices where content[at] != prefix[at] { return false }
    return true
  }
}

// Only lines that begin with "--": bodies whose lines were checked before.
extension MessageWalker {
  /// Goes from one line that begins with "--" to the next, until the piece is used up or a header begins.
  private mutating func seekDashes(_ bytes: Span<UInt8>, from start: Int) -> Int {
    var at = start
    while at < bytes.count {
      switch head {
      case .plain:
        guard let hit = nextLineOfDashes(bytes, from: at) else { return bytes.count }
        head = .dashes
        at = hit
      case .undecided:
        if bytes[at] != MessageWalker.hyphen {
          head = .plain
        } else if held.isEmpty && at + 1 < bytes.count {
          head = bytes[at + 1] == MessageWalker.hyphen ? .dashes : .plain
        } else {
          gather(bytes, at, at + 1)
          at += 1
        }
      case .dashes:
        let feed = Scan.first(10, in: bytes, from: at)
        if let feed, held.isEmpty {
          wholeLine(bytes, at, feed + 1 - lineBreak(bytes, at: feed), next: feed + 1)
        } else {
          gather(bytes, at, feed ?? bytes.count)
        }
        guard let feed else { return bytes.count }
        if !held.isEmpty { endDashLine(next: position + feed + 1) }
        beginLine(at: position + feed + 1, after: lineBreak(bytes, at: feed))
        at = feed + 1
        if tree.isInHeader { return at }
      }
    }
    return at
  }

  /// From the middle of a line: the start of the next one that begins with "--", with the line begun there; nil when the piece
  /// holds none, with a line begun when it ends in what may become one.
  private mutating func nextLineOfDashes(_ bytes: Span<UInt8>, from start: Int) -> Int? {
    if let hit = MessageWalker.dashes(in: bytes, from: start) {
      beginLine(at: position + hit, after: lineBreak(bytes, at: hit - 1))
      return hit
    }
    let last = bytes.count - 1
    let feed = bytes[last] == 10 ? last : last > start && bytes[last - 1] == 10 && bytes[last] == MessageWalker.hyphen ? last - 1 : nil
    guard let feed else { return nil }
    beginLine(at: position + feed + 1, after: lineBreak(bytes, at: feed))
    if feed < last { held.append(MessageWalker.hyphen) }
    return nil
  }

  /// Where the first line that begins with "--" begins, after the one at `start`.
  ///
  /// Base64 has no hyphen, so that hyphens are looked for as long as they are rare: one call may cover the whole piece. Where they are
  /// not, lines are walked. (A search for the three octets would be slower than either: the C library's goes octet by octet.)
  private static func dashes(in bytes: Span<UInt8>, from start: Int) -> Int? {
    var at = start
    var credit = 16
    while at < bytes.count && credit > 0 {
      guard let hit = Scan.first(hyphen, in: bytes, from: at) else { return nil }
      if hit > start, hit + 1 < bytes.count, bytes[hit - 1] == 10, bytes[hit + 1] == hyphen { return hit }
      credit = min(1 << 20, credit + (hit - at) / 64 - 1)
      at = hit + 1
    }
    // A line feed just before the cursor was looked at with its hyphen.
    while let feed = Scan.first(10, in: bytes, from: at) {
      if feed + 2 < bytes.count, bytes[feed + 1] == hyphen, bytes[feed + 2] == hyphen { return feed + 1 }
      at = feed + 1
    }
    return nil
  }

  /// Length of the line end whose LF is at `feed`.
  private func lineBreak(_ bytes: Span<UInt8>, at feed: Int) -> Int {
    (feed > 0 ? bytes[feed - 1] : lastByte) == 13 ? 2 : 1
  }
}
