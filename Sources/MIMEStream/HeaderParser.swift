import Limits
import Octets

extension HeaderFacts {
  /// Finds the fields of a header (RFC 5322 §2.2, with the obsolete forms of §4.5).
  ///
  /// - Parameters:
  ///   - bytes: the header; an empty line and what is behind it are left out.
  ///   - limits: how many fields at the most, how many octets.
  /// - Returns: the header, and what was odd about it.
  public static func parse(_ bytes: [UInt8], limits: MessageLimits) -> (header: HeaderFacts, flags: MessageFlags) {
    var parser = HeaderParser(limits: limits)
    let end = parser.run(bytes)
    let kept = end == bytes.count ? bytes : Array(bytes[..<end])
    return (HeaderFacts(bytes: kept, fields: parser.fields), parser.flags)
  }
}

/// Cuts a header into lines and its lines into fields.
struct HeaderParser {
  private let limits: MessageLimits
  private(set) var fields: [HeaderField] = []
  private(set) var flags: MessageFlags = []
  /// Start of the field that is open, its name and colon; nil between malformed lines.
  private var open: (start: Int, name: Range<Int>, valueStart: Int)?
  private var once = Set<String>()

  init(limits: MessageLimits) { self.limits = limits }

  /// Reads `bytes` up to an empty line, or the limit; returns where the header ends.
  mutating func run(_ bytes: [UInt8]) -> Int {
    let span = bytes.span
    var at = 0
    while at < bytes.count {
      let feed = Scan.first(10, in: span, from: at)
      let next = feed.map { $0 + 1 } ?? bytes.count
      let end = HeaderParser.contentEnd(bytes, at, next)
      if end == at && feed != nil { break }
      if next > limits.headerBytes {
        flags.insert(.headerTooLarge)
        break
      }
      line(bytes, at, end)
      at = next
    }
    close(bytes, at: at)
    return at
  }

  /// Where the content of the line `start..<next` ends: before its CRLF or LF.
  private static func contentEnd(_ bytes: [UInt8], _ start: Int, _ next: Int) -> Int {
    guard next > start, bytes[next - 1] == 10 else { return next }
    return next - 1 > start && bytes[next - 2] == 13 ? next - 2 : next - 1
  }

  private mutating func line(_ bytes: [UInt8], _ start: Int, _ end: Int) {
    guard start < end else { return }
    if bytes[start] == 32 || bytes[start] == 9 {
      if bytes[start..<end].allSatisfy({ $0 == 32 || $0 == 9 }) { flags.insert(.obsoleteHeaderSyntax) }
      // A fold with nothing before it; folds of a malformed line go with it.
      if open == nil && fields.isEmpty { flags.insert(.malformedHeaderLine) }
      return
    }
    close(bytes, at: start)
    // RFC 5322 §2.2: a name is printable ASCII but for the colon.
    var at = start
    while at < end, bytes[at] > 32, bytes[at] < 127, bytes[at] != UInt8(ascii: ":") { at += 1 }
    let nameEnd = at
    while at < end, bytes[at] == 32 || bytes[at] == 9 { at += 1 }
    guard nameEnd > start, at < end, bytes[at] == UInt8(ascii: ":") else {
      flags.insert(.malformedHeaderLine)
      return
    }
    if at > nameEnd { flags.insert(.obsoleteHeaderSyntax) }
    open = (start, start..<nameEnd, at + 1)
  }

  /// Ends the open field; the next line begins at `next`.
  private mutating func close(_ bytes: [UInt8], at next: Int) {
    guard let field = open else { return }
    open = nil
    guard fields.count < limits.headerFields else {
      flags.insert(.tooManyFields)
      return
    }
    let end = max(field.valueStart, HeaderParser.contentEnd(bytes, field.start, next))
    fields.append(HeaderField(name: field.name, value: field.valueStart..<end, line: field.start..<next))
    count(bytes[field.name])
  }

  /// RFC 5322 §3.6 and RFC 2045 §3: fields that stand once at the most.
  private mutating func count(_ name: ArraySlice<UInt8>) {
    guard name.count <= 25 else { return }
    let key = String(decoding: name.map(ASCII.lower), as: UTF8.self)
    let flag: MessageFlags
    switch key {
    case "date", "from", "sender", "reply-to", "to", "cc", "bcc", "message-id", "in-reply-to", "references", "subject":
      flag = .doubledStructuralHeader
    case "mime-version", "content-type", "content-transfer-encoding", "content-disposition", "content-id":
      flag = .doubledContentHeader
    default: return
    }
    if !once.insert(key).inserted { flags.insert(flag) }
  }
}
