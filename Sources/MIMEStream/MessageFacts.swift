/// What was found wrong, or out of bounds, in a message. A flag and never a failure: who reads the facts decides what it means.
public struct MessageFlags: OptionSet, Sendable {
  public let rawValue: UInt32

  /// Flags from their bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// A header line without a colon, with a name that RFC 5322 §2.2 does not allow, or a fold before the first field; an mbox "From " line too.
  public static let malformedHeaderLine = MessageFlags(rawValue: 1 << 0)
  /// A header (the message's or a part's) is larger than `MessageLimits.headerBytes`; what is above the limit was not read.
  public static let headerTooLarge = MessageFlags(rawValue: 1 << 1)
  /// More header fields than `MessageLimits.headerFields`; the rest were not read.
  public static let tooManyFields = MessageFlags(rawValue: 1 << 2)
  /// A line above `MessageLimits.lineBytes` without its CRLF (RFC 5322 §2.1.1).
  public static let lineTooLong = MessageFlags(rawValue: 1 << 3)
  /// A CR that no LF follows (RFC 5322 §2.3).
  public static let bareCarriageReturn = MessageFlags(rawValue: 1 << 4)
  /// An LF that no CR precedes (RFC 5322 §2.3).
  public static let bareLineFeed = MessageFlags(rawValue: 1 << 5)
  /// An octet 0 anywhere (RFC 5322 §4: obsolete, not to be made).
  public static let nulOctet = MessageFlags(rawValue: 1 << 6)
  /// An octet above 127 in the header of the message.
  public static let eightBitHeader = MessageFlags(rawValue: 1 << 7)
  /// An octet above 127 after the header of the message, headers of parts included.
  public static let eightBitBody = MessageFlags(rawValue: 1 << 8)
  /// Nested above `MessageLimits.depth`; what is deeper was not taken apart.
  public static let tooDeep = MessageFlags(rawValue: 1 << 9)
  /// More parts than `MessageLimits.parts`; the rest are not in the table.
  public static let tooManyParts = MessageFlags(rawValue: 1 << 10)
  /// No header field at all.
  public static let noHeader = MessageFlags(rawValue: 1 << 11)
  /// A boundary that can be read in more than one way: named twice, the same at two levels, a line that only begins with one,
  /// a delimiter after the closing one.
  public static let ambiguousBoundary = MessageFlags(rawValue: 1 << 12)
  /// A field of which RFC 5322 §3.6 allows one stands more than once (From, To, Subject, Date, Message-ID and so on).
  public static let doubledStructuralHeader = MessageFlags(rawValue: 1 << 13)
  /// Content-Type, Content-Transfer-Encoding, Content-Disposition or MIME-Version stands more than once in one header; the first holds.
  public static let doubledContentHeader = MessageFlags(rawValue: 1 << 14)
  /// A multipart that says no usable boundary (RFC 2046 §5.1.1); it was not taken apart.
  public static let missingBoundary = MessageFlags(rawValue: 1 << 15)
  /// A multipart that ended without its closing boundary line.
  public static let missingClosingBoundary = MessageFlags(rawValue: 1 << 16)
  /// What `malformedHeaderLine` is, in the header of a part or of an attached message.
  public static let malformedPartHeader = MessageFlags(rawValue: 1 << 17)
  /// White space before the colon of a field, or a fold of white space only (RFC 5322 §4.2, §4.5): obsolete, readable.
  public static let obsoleteHeaderSyntax = MessageFlags(rawValue: 1 << 18)
  /// A Content-Type, Content-Disposition or Content-Transfer-Encoding that does not parse; its default was taken.
  public static let malformedContentHeader = MessageFlags(rawValue: 1 << 19)
  /// More, or longer, parameters than the table keeps; some were left out.
  public static let parametersDropped = MessageFlags(rawValue: 1 << 20)
  /// More watched lines than `MessageFacts.boundaryLines` keeps.
  public static let tooManyBoundaryLines = MessageFlags(rawValue: 1 << 21)

  /// Names of the flags that are set, in the order of declaration; for log lines.
  public var names: [String] {
    MessageFlags.table.enumerated().compactMap { contains(MessageFlags(rawValue: 1 << UInt32($0.offset))) ? $0.element : nil }
  }

  private static let table = [
    "malformedHeaderLine", "headerTooLarge", "tooManyFields", "lineTooLong", "bareCarriageReturn", "bareLineFeed", "nulOctet",
    "eightBitHeader", "eightBitBody", "tooDeep", "tooManyParts", "noHeader", "ambiguousBoundary", "doubledStructuralHeader",
    "doubledContentHeader", "missingBoundary", "missingClosingBoundary", "malformedPartHeader", "obsoleteHeaderSyntax",
    "malformedContentHeader", "parametersDropped", "tooManyBoundaryLines",
  ]
}

/// What one pass over a message found out: its header, where things lie, and what is odd. Offsets are octets from the message's start.
public struct MessageFacts: Sendable, Equatable {
  /// The header of the message, copied up to the limit.
  public var header: HeaderFacts
  /// Where the empty line begins: end of the last header line with its CRLF; `totalBytes` when the message is header only.
  public var headerEnd: Int
  /// The first octet after the empty line; `totalBytes` when the message is header only.
  public var bodyStart: Int
  /// Length of the message.
  public var totalBytes: Int
  /// What was odd.
  public var flags: MessageFlags
  /// The MIME tree in preorder; index 0 is the message itself (RFC 2045, 2046).
  public var parts: [MIMEPart]
  /// Lines, of the header too, that begin with "--" and the watched prefix: what stands after "--", without line end; the first 1000,
  /// each cut at 1000 octets. A new boundary must differ from all of them.
  public var boundaryLines: [[UInt8]]

  /// Composes facts; the walker does it, and tests may.
  public init(
    header: HeaderFacts, headerEnd: Int, bodyStart: Int, totalBytes: Int, flags: MessageFlags, parts: [MIMEPart],
    boundaryLines: [[UInt8]]
  ) {
    self.header = header
    self.headerEnd = headerEnd
    self.bodyStart = bodyStart
    self.totalBytes = totalBytes
    self.flags = flags
    self.parts = parts
    self.boundaryLines = boundaryLines
  }
}
