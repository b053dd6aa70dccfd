import Limits
import Octets

/// Builds the MIME tree from what the walker meets: ends of headers and lines that begin with "--".
struct PartTree {
  /// An entity that is open, from the message itself down to the innermost.
  private struct Frame {
    var part: Int
    /// Nil when it is not a multipart that is taken apart.
    var boundary: [UInt8]?
    var isClosed = false
    var isDigest = false
  }

  /// What a line is compared with before octets are.
  private struct Mark {
    var level: Int
    var length: Int
    var hash: UInt64
  }

  private let limits: MessageLimits
  private(set) var parts: [MIMEPart]
  private(set) var flags: MessageFlags = []
  private(set) var rootHeader = HeaderFacts(bytes: [], fields: [])
  private(set) var rootHeaderEnd = 0
  private(set) var rootBodyStart = 0
  /// True while header lines are read: of the message, of a part, of an attached message.
  private(set) var isInHeader = true
  private var stack: [Frame]
  private var header: [UInt8] = []
  private var headerStart = 0
  /// The multiparts among the frames, outermost first, in a form that compares fast.
  private var marks: [Mark] = []
  /// Lengths of the shortest and the longest open boundary.
  private var shortest = 0
  private var longest = 0
  /// Octets of text that the table may still take: a header may be 256 KB and there may be thousands.
  private var textBudget = 1 << 20
  /// Hashes of the first 0, 1, 2 … octets of the line at hand; kept to spare the allocation.
  private var prefixHashes = [UInt64](repeating: 0, count: PartTree.boundaryBytes + 1)

  /// Parameters of one part, and octets of one value, that the table keeps.
  static let keptParameters = 32
  static let keptValueBytes = 1024
  /// A boundary longer than a line cannot stand in one.
  static let boundaryBytes = 990

  init(limits: MessageLimits) {
    self.limits = limits
    parts = [MIMEPart(parent: nil, depth: 0, messageLevel: 0, isMessageRoot: true, start: 0)]
    stack = [Frame(part: 0)]
  }

  /// True when a line that begins with "--" may mean something.
  var awaitsBoundary: Bool { !marks.isEmpty }
  /// True from the first octet of the message's body on.
  var isPastRootHeader: Bool { !isInHeader || stack.count > 1 }

  /// Takes octets of header lines, up to one more than the limit so that the header's parser sees it.
  mutating func appendHeader(_ bytes: Span<UInt8>) {
    let room = limits.headerBytes + 1 - header.count
    guard room > 0 else { return }
    header.append(copying: bytes.count <= room ? bytes : bytes.extracting(first: room))
  }

  /// The empty line after a header begins at `end`; the body begins at `bodyStart`.
  mutating func headerEnds(at end: Int, bodyStart: Int) {
    guard let frame = stack.last else { return }
    readHeader(end: end, bodyStart: bodyStart)
    let part = parts[frame.part]
    isInHeader = false
    if stack[stack.count - 1].boundary == nil, part.type == "message/rfc822" || part.type == "message/global" {
      descend(into: frame.part, at: bodyStart)
    }
  }

  /// Opens the attached message in the part `index` (RFC 2046 §5.2.1).
  private mutating func descend(into index: Int, at start: Int) {
    let holder = parts[index]
    guard ["7bit", "8bit", "binary"].contains(holder.transferEncoding) else {
      flags.insert(.malformedContentHeader)
      return
    }
    guard holder.depth < limits.depth else {
      flags.insert(.tooDeep)
      return
    }
    open(MIMEPart(parent: index, depth: holder.depth + 1, messageLevel: holder.messageLevel + 1, isMessageRoot: true, start: start))
  }

  private mutating func open(_ part: MIMEPart) {
    guard parts.count < limits.parts else {
      flags.insert(.tooManyParts)
      return
    }
    stack.append(Frame(part: parts.count))
    parts.append(part)
    isInHeader = true
    header.removeAll(keepingCapacity: true)
    headerStart = part.headerRange.lowerBound
  }

  /// A line that begins with "--" (RFC 2046 §5.1.1).
  ///
  /// - Parameters:
  ///   - content: what stands behind the two hyphens, without line end.
  ///   - isCut: true when the line is longer than what was kept of it.
  ///   - start: where the line begins.
  ///   - previousBreak: length of the line end before it, which belongs to the boundary.
  ///   - next: where the next line begins.
  mutating func dashLine(_ content: Span<UInt8>, isCut: Bool, start: Int, previousBreak: Int, next: Int) {
    guard let (level, isClosing) = match(content, isCut: isCut) else { return }
    unwind(to: level, lineStart: start, end: start - previousBreak)
    if isClosing {
      stack[level].isClosed = true
      isInHeader = false
    } else {
      let parent = parts[stack[level].part]
      isInHeader = false
      var child = MIMEPart(
        parent: stack[level].part, depth: parent.depth + 1, messageLevel: parent.messageLevel, isMessageRoot: false, start: next)
      // RFC 2046 §5.1.5.
      if stack[level].isDigest { child.type = "message/rfc822" }
      open(child)
    }
  }

  /// The innermost multipart whose delimiter the line is. Trailing white space is padding (RFC 2046 §5.1.1).
  ///
  /// Each prefix of the line is hashed once, so that fifty open boundaries that look alike cost fifty comparisons of numbers.
  private mutating func match(_ line: Span<UInt8>, isCut: Bool) -> (level: Int, isClosing: Bool)? {
    var count = line.count
    while count > 0, line[count - 1] == 32 || line[count - 1] == 9 { count -= 1 }
    guard count >= shortest else { return nil }
    hashPrefixes(of: line, upTo: min(count, longest))
    var found: (level: Int, isClosing: Bool)?
    var beginsOnly = false
    for mark in marks.reversed() {
      guard mark.length <= count, prefixHashes[mark.length] == mark.hash, isPrefix(mark, of: line) else { continue }
      let isDelimiter = count == mark.length && !isCut
      let isClosing = count == mark.length + 2 && !isCut && line[count - 1] == 45 && line[count - 2] == 45
      if !isDelimiter && !isClosing {
        beginsOnly = true
      } else if stack[mark.level].isClosed || found != nil {
        flags.insert(.ambiguousBoundary)
      } else {
        found = (mark.level, isClosing)
      }
    }
    // It only begins with a boundary: plain text here, a delimiter to somebody else, unless another boundary explains it.
    if beginsOnly && found == nil { flags.insert(.ambiguousBoundary) }
    return found
  }

  private func isPrefix(_ mark: Mark, of line: Span<UInt8>) -> Bool {
    guard let boundary = stack[mark.level].boundary else { return false }
    for at in boundary.indices where boundary[at] != line[at] { return false }
    return true
  }

  private mutating func hashPrefixes(of line: Span<UInt8>, upTo end: Int) {
    var hash = PartTree.hashStart
    prefixHashes[0] = hash
    for at in 0..<end {
      hash = PartTree.hash(hash, line[at])
      prefixHashes[at + 1] = hash
    }
  }

  private mutating func marksChanged() {
    shortest = marks.map(\.length).min() ?? 0
    longest = marks.map(\.length).max() ?? 0
  }

  /// FNV-1a: cheap and good enough, since every hit is compared.
  private static let hashStart: UInt64 = 0xcbf2_9ce4_8422_2325
  private static func hash(_ value: UInt64, _ byte: UInt8) -> UInt64 { (value ^ UInt64(byte)) &* 0x100_0000_01b3 }

  /// Ends everything inside of `level`; a boundary line begins at `lineStart`, and what it ends ends at `end`.
  private mutating func unwind(to level: Int, lineStart: Int, end: Int) {
    while stack.count > level + 1 { pop(lineStart: lineStart, end: end) }
  }

  private mutating func pop(lineStart: Int, end: Int) {
    guard let frame = stack.popLast() else { return }
    if isInHeader {
      // Only the innermost can be in its header: no empty line came.
      isInHeader = false
      readHeader(end: lineStart, bodyStart: lineStart, of: frame)
      if parts[frame.part].boundary != nil {
        parts[frame.part].isClosed = false
        flags.insert(.missingClosingBoundary)
      }
      return
    }
    let start = parts[frame.part].bodyRange.lowerBound
    parts[frame.part].bodyRange = start..<max(start, end)
    guard frame.boundary != nil else { return }
    marks.removeLast()
    marksChanged()
    if !frame.isClosed {
      parts[frame.part].isClosed = false
      flags.insert(.missingClosingBoundary)
    }
  }

  /// The message ends at `total`.
  mutating func finish(total: Int) {
    while !stack.isEmpty { pop(lineStart: total, end: total) }
  }
}

extension PartTree {
  private mutating func readHeader(end: Int, bodyStart: Int) {
    guard let frame = stack.last else { return }
    readHeader(end: end, bodyStart: bodyStart, of: frame)
  }

  /// Parses the header that was gathered and writes down what it says about its entity.
  private mutating func readHeader(end: Int, bodyStart: Int, of frame: Frame) {
    // The empty line, or the boundary line, was gathered as well.
    let length = end - headerStart
    if header.count > length { header.removeLast(header.count - length) }
    var (facts, found) = HeaderFacts.parse(header, limits: limits)
    if length > limits.headerBytes { found.insert(.headerTooLarge) }
    let index = frame.part
    if index == 0 {
      if facts.fields.isEmpty { found.insert(.noHeader) }
      rootHeader = facts
      rootHeaderEnd = end
      rootBodyStart = bodyStart
      header = []
    } else if found.contains(.malformedHeaderLine) {
      found.remove(.malformedHeaderLine)
      found.insert(.malformedPartHeader)
    }
    if index > 0 { found.subtract([.doubledStructuralHeader, .tooManyFields, .obsoleteHeaderSyntax]) }
    flags.formUnion(found)
    parts[index].headerRange = headerStart..<end
    parts[index].bodyRange = bodyStart..<bodyStart
    describe(index, facts)
  }

  private mutating func describe(_ index: Int, _ facts: HeaderFacts) {
    if let field = facts.first(named: "content-transfer-encoding") {
      let value = MIMEFieldValue.parse(facts.value(of: field))
      if value.value.isEmpty || value.value.utf8.count > 64 {
        flags.insert(.malformedContentHeader)
      } else {
        parts[index].transferEncoding = value.value
      }
    }
    if let field = facts.first(named: "content-type") { describeType(index, MIMEFieldValue.parse(facts.value(of: field))) }
    if let field = facts.first(named: "content-disposition") {
      let value = MIMEFieldValue.parse(facts.value(of: field))
      if value.isMalformed { flags.insert(.malformedContentHeader) }
      if !value.value.isEmpty, value.value.utf8.count <= 64 { parts[index].disposition = value.value }
      if let name = value["filename"], !name.isEmpty { parts[index].filename = kept(name) }
    }
    if parts[index].filename == nil, let name = parts[index].name, !name.isEmpty { parts[index].filename = kept(name) }
    if let field = facts.first(named: "content-id") {
      var value = HeaderText.printable(HeaderText.guessed(facts.value(of: field)))
      if value.hasPrefix("<"), value.hasSuffix(">") { value = String(value.dropFirst().dropLast()) }
      if !value.isEmpty { parts[index].contentID = kept(value) }
    }
  }

  private mutating func describeType(_ index: Int, _ value: MIMEFieldValue) {
    let halves = value.value.split(separator: "/", omittingEmptySubsequences: false)
    guard halves.count == 2, !halves[0].isEmpty, !halves[1].isEmpty, value.value.utf8.count <= 255 else {
      // RFC 2045 §5.2: the default holds.
      flags.insert(.malformedContentHeader)
      return
    }
    parts[index].type = value.value
    if value.isMalformed { flags.insert(.malformedContentHeader) }
    if value.dropped { flags.insert(.parametersDropped) }
    for parameter in value.parameters where parameter.name != "boundary" {
      guard parts[index].parameters.count < PartTree.keptParameters, parameter.name.utf8.count <= 64,
        let text = kept(parameter.value)
      else {
        flags.insert(.parametersDropped)
        continue
      }
      parts[index].parameters.append(MIMEParameter(name: parameter.name, value: text))
    }
    guard halves[0] == "multipart" else { return }
    describeMultipart(index, value)
  }

  /// Decides whether a multipart is taken apart, and by which boundary.
  private mutating func describeMultipart(_ index: Int, _ value: MIMEFieldValue) {
    if !["7bit", "8bit", "binary"].contains(parts[index].transferEncoding) { flags.insert(.malformedContentHeader) }
    guard let boundary = value.boundary, !boundary.isEmpty, boundary.count <= PartTree.boundaryBytes else {
      flags.insert(.missingBoundary)
      return
    }
    if value.boundaryIsAmbiguous { flags.insert(.ambiguousBoundary) }
    guard parts[index].depth < limits.depth else {
      flags.insert(.tooDeep)
      return
    }
    if stack.contains(where: { $0.boundary == boundary }) { flags.insert(.ambiguousBoundary) }
    parts[index].boundary = HeaderText.guessed(boundary)
    // When the header is ended by a boundary line its frame is gone already, and nothing can follow.
    guard let top = stack.indices.last, stack[top].part == index else { return }
    stack[top].boundary = boundary
    marks.append(Mark(level: top, length: boundary.count, hash: boundary.reduce(PartTree.hashStart, PartTree.hash)))
    marksChanged()
    stack[top].isDigest = parts[index].type == "multipart/digest"
  }

  /// The text if the table has room for it.
  private mutating func kept(_ text: String) -> String? {
    let count = text.utf8.count
    guard count <= PartTree.keptValueBytes, count <= textBudget else {
      flags.insert(.parametersDropped)
      return nil
    }
    textBudget -= count
    return text
  }
}
