import Limits
import MIMEStream
import Octets

/// Makes the views of a message that is not plain.
///
/// What headers say decides nothing here but the name of a view: each body is decoded in every way. Only where bodies begin and end is
/// asked of them, and then of every line that looks like a boundary as well.
struct ViewMaker {
  private let limits: MessageLimits
  private var bytesLeft: Int
  private var viewsLeft = ViewMaker.maximumViews
  private var seen: Set<ViewDigest> = []
  /// Bodies of the message at hand that were done.
  private var done: Set<Range<Int>> = []
  private(set) var isBeyondLimits = false
  private var isStopped = false

  /// Views of one message, and how often decoded mail is taken apart again.
  private static let maximumViews = 10_000
  private static let maximumLevel = 5
  /// Less than this can do nothing.
  private static let leastBytes = 12
  private static let leastRunBytes = 48
  private static let maximumRuns = 2000

  init(limits: MessageLimits, maximumBytes: Int) {
    self.limits = limits
    bytesLeft = maximumBytes
  }

  /// Takes a message, or decoded mail, apart.
  mutating func examine(_ message: Chunk, _ prefix: String, level: Int, _ body: (MIMEView) -> Bool) {
    let outer = done
    done = []
    defer { done = outer }
    var walker = MessageWalker(limits: limits, watchedBoundaryPrefix: [], checksLines: false)
    message.withSpan { walker.feed($0) }
    let facts = walker.finish()
    if !facts.flags.isDisjoint(with: [.tooDeep, .tooManyParts]) { isBeyondLimits = true }
    let parents = Set(facts.parts.compactMap(\.parent))
    for (index, part) in facts.parts.enumerated() where !isStopped {
      let name = "\(prefix)part \(index)"
      // What stands around the parts of a multipart, the segments and the sweep reach.
      if !parents.contains(index) { bodyViews(message, part.bodyRange, name, level, body) }
      if part.isMultipart, part.bodyRange.lowerBound < part.bodyRange.upperBound, part.transferEncoding.utf8.count != 4 {
        encodedMultipart(message, part, name, level, body)
      }
    }
    segments(message, prefix, level, body)
    sweep(message, prefix, level, body)
  }

  /// Hands out a view and, when it is a calendar or a visiting card, the files inside; true when it was handed out.
  @discardableResult
  private mutating func give(_ octets: Chunk, _ name: @autoclosure () -> String, _ level: Int, _ body: (MIMEView) -> Bool) -> Bool {
    let said = name()
    guard handOut(octets, said, body) else { return false }
    guard !isStopped, octets.withSpan({ CardText.hasCard($0) }) else { return true }
    let files = octets.withSpan { CardText.files($0) }
    if !files.isEmpty && level >= ViewMaker.maximumLevel {
      isBeyondLimits = true
      return true
    }
    for (index, file) in files.enumerated() where !isStopped { giveDecoded(file, "\(said), file \(index)", level + 1, body) }
    return true
  }

  /// Hands out a view, unless it is too small or was handed out before; true when it was.
  private mutating func handOut(_ octets: Chunk, _ name: @autoclosure () -> String, _ body: (MIMEView) -> Bool) -> Bool {
    guard !isStopped, octets.count >= ViewMaker.leastBytes else { return false }
    guard seen.insert(octets.withSpan { ViewDigest($0) }).inserted else { return false }
    guard octets.count <= bytesLeft, viewsLeft > 0 else {
      isBeyondLimits = true
      isStopped = true
      return false
    }
    bytesLeft -= octets.count
    viewsLeft -= 1
    if !body(MIMEView(name: name(), octets: octets)) { isStopped = true }
    return true
  }

  /// Hands out what was decoded, and goes on with what is inside of it.
  private mutating func giveDecoded(_ octets: Chunk, _ name: @autoclosure () -> String, _ level: Int, _ body: (MIMEView) -> Bool) {
    let said = name()
    guard give(octets, said, level, body), !isStopped else { return }
    switch octets.withSpan({ Nested.kind(of: $0) }) {
    case .none: return
    case _ where level >= ViewMaker.maximumLevel: isBeyondLimits = true
    case .mail: examine(octets, "\(said): ", level: level + 1, body)
    case .base64:
      giveDecoded(octets.withSpan { Base64View.lines($0, .joined) }, "\(said), base64", level + 1, body)
    case .cms:
      for (index, content) in octets.withSpan({ SignedContents.of($0) }).enumerated() where !isStopped {
        giveDecoded(content, "\(said), CMS content \(index)", level + 1, body)
      }
    }
  }
}

// Bodies.
extension ViewMaker {
  /// All that a body can be decoded to.
  private mutating func bodyViews(
    _ message: Chunk, _ range: Range<Int>, _ name: String, _ level: Int, _ body: (MIMEView) -> Bool
  ) {
    let range = message.withSpan { Segments.trimmed($0, range) }
    guard range.count >= ViewMaker.leastBytes, !isStopped, done.insert(range).inserted else { return }
    let octets = message[range]
    let form = octets.withSpan { Base64Form.of($0) }
    if form.isClean {
      giveDecoded(octets.withSpan { Base64View.all($0, endsAtPadding: true) }, "\(name), base64", level, body)
      return
    }
    // What is inside of it as it stands, the parts and segments of the whole reach as well.
    if octets.withSpan({ Nested.kind(of: $0) }) == .cms {
      giveDecoded(octets, "\(name), raw", level, body)
    } else {
      give(octets, "\(name), raw", level, body)
    }
    if form.hasLetters {
      giveDecoded(octets.withSpan { Base64View.all($0, endsAtPadding: true) }, "\(name), base64", level, body)
      if form.hasInnerPadding {
        giveDecoded(octets.withSpan { Base64View.all($0, endsAtPadding: false) }, "\(name), base64 past padding", level, body)
      }
      if form.hasOtherLines && form.hasLines {
        giveDecoded(octets.withSpan { Base64View.lines($0, .joined) }, "\(name), base64 lines", level, body)
      }
      if form.hasLines && form.hasUnevenLines {
        giveDecoded(octets.withSpan { Base64View.lines($0, .each) }, "\(name), base64 line by line", level, body)
      }
      if form.hasLines && form.hasInnerPadding {
        giveDecoded(octets.withSpan { Base64View.lines($0, .pastPadding) }, "\(name), base64 lines past padding", level, body)
      }
    }
    if form.hasEquals {
      let decoded = octets.withSpan { QuotedView.decode($0, isLoose: false) }
      // Mail that only lost an "=" at its end is no new mail.
      if octets.withSpan({ QuotedView.isEncoded($0) }) {
        giveDecoded(decoded, "\(name), quoted-printable", level, body)
      } else {
        give(decoded, "\(name), quoted-printable", level, body)
      }
      give(octets.withSpan { QuotedView.decode($0, isLoose: true) }, "\(name), quoted-printable, loose", level, body)
    }
  }

  /// A multipart that says an encoding (RFC 2045 §6.4 forbids it): some clients decode it and then take it apart.
  private mutating func encodedMultipart(
    _ message: Chunk, _ part: MIMEPart, _ name: String, _ level: Int, _ body: (MIMEView) -> Bool
  ) {
    let header = message[part.headerRange].withSpan { Nested.withoutEncoding($0) }
    let octets = message[part.bodyRange]
    for isQuoted in [false, true] where !isStopped {
      let decoded = octets.withSpan { isQuoted ? QuotedView.decode($0, isLoose: false) : Base64View.all($0, endsAtPadding: true) }
      guard decoded.count >= ViewMaker.leastBytes, decoded.count <= bytesLeft else { continue }
      var builder = ChunkBuilder(capacity: header.count + decoded.count + 2)
      builder.append(header)
      builder.append([13, 10])
      decoded.withSpan { builder.append($0) }
      giveDecoded(builder.freeze(), "\(name), decoded \(isQuoted ? "quoted-printable" : "base64")", level, body)
    }
  }

  /// Whatever stands between two lines that begin with "--", so that it does not matter which of them are boundaries, nor to whom.
  private mutating func segments(_ message: Chunk, _ prefix: String, _ level: Int, _ body: (MIMEView) -> Bool) {
    let cuts = message.withSpan { Segments.cuts($0, atMost: limits.parts) }
    if cuts.isCut { isBeyondLimits = true }
    for (index, range) in cuts.ranges.enumerated() where !isStopped {
      for start in message.withSpan({ Segments.bodyStarts($0, range) }) {
        bodyViews(message, start..<range.upperBound, "\(prefix)segment \(index)", level, body)
      }
    }
  }

  /// Without any structure: runs of lines in base64, uuencode, yEnc and BinHex, and the whole as quoted-printable.
  private mutating func sweep(_ message: Chunk, _ prefix: String, _ level: Int, _ body: (MIMEView) -> Bool) {
    let runs = message.withSpan { Base64View.runs($0, atLeast: ViewMaker.leastRunBytes * 4 / 3, atMost: ViewMaker.maximumRuns) }
    if runs.isCut { isBeyondLimits = true }
    for run in runs.ranges where !isStopped && done.insert(run).inserted {
      let octets = message[run]
      giveDecoded(
        octets.withSpan { Base64View.all($0, endsAtPadding: true, isWeb: true) }, "\(prefix)sweep, base64 at \(run.lowerBound)", level, body
      )
    }
    giveDecoded(message.withSpan { Base64View.lines($0, .joined) }, "\(prefix)sweep, base64 joined", level, body)
    giveDecoded(message.withSpan { Base64View.lines($0, .byRun) }, "\(prefix)sweep, base64 by run", level, body)
    giveDecoded(message.withSpan { LineCodes.uuencoded($0, isJoined: true) }, "\(prefix)sweep, uuencode joined", level, body)
    for block in message.withSpan({ LineCodes.uuencodedBlocks($0) }) where !isStopped {
      let octets = message[block]
      giveDecoded(
        octets.withSpan { LineCodes.uuencoded($0, isJoined: false) }, "\(prefix)sweep, uuencode at \(block.lowerBound)", level, body)
    }
    for block in message.withSpan({ LineCodes.yEncBlocks($0) }) where !isStopped {
      let octets = message[block]
      giveDecoded(octets.withSpan { LineCodes.yEnc($0) }, "\(prefix)sweep, yEnc at \(block.lowerBound)", level, body)
    }
    for start in message.withSpan({ BinHex.starts($0) }) where !isStopped {
      for fork in message.withSpan({ BinHex.forks($0, from: start) }) {
        giveDecoded(fork, "\(prefix)sweep, BinHex at \(start)", level, body)
      }
    }
    guard message.withSpan({ QuotedView.isLikely($0) }) else { return }
    give(message.withSpan { QuotedView.decode($0, isLoose: false) }, "\(prefix)sweep, quoted-printable", level, body)
  }
}

/// A keyed digest of a view, to know it again. The key is random for each process, so that nobody can make two views meet.
struct ViewDigest: Hashable {
  private let low: Int
  private let high: Int
  private let count: Int

  init(_ bytes: Span<UInt8>) {
    // Two sums of words under two keys: the second hasher starts from the first one's end.
    var hasher = Hasher()
    var at = 0
    while at + 8 <= bytes.count {
      var word: UInt64 = 0
      for step in 0..<8 { word |= UInt64(bytes[at + step]) << UInt64(step * 8) }
      hasher.combine(word)
      at += 8
    }
    while at < bytes.count {
      hasher.combine(bytes[at])
      at += 1
    }
    var second = hasher
    second.combine(0x5eed)
    low = hasher.finalize()
    high = second.finalize()
    count = bytes.count
  }
}
