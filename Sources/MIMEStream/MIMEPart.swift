/// A parameter of a MIME field, decoded (RFC 2045 §5.1, RFC 2231; RFC 2047 words too, which do not belong there and are common).
public struct MIMEParameter: Sendable, Equatable {
  /// The name in lower case, without the marks of RFC 2231.
  public var name: String
  /// The value: unquoted, continuations joined, character set converted; control characters left out.
  public var value: String

  /// A parameter.
  public init(name: String, value: String) {
    self.name = name
    self.value = value
  }
}

/// One entity of the MIME tree: the message itself, a part of a multipart, or the message inside a message/rfc822 part.
public struct MIMEPart: Sendable, Equatable {
  /// Index of the entity that holds this one; nil for the message itself.
  public var parent: Int?
  /// Steps from the message itself, which is 0.
  public var depth: Int
  /// How many attached messages it is inside of; 0 in the message itself.
  public var messageLevel: Int
  /// True for the message itself and for each attached message: its header is a message's header.
  public var isMessageRoot: Bool
  /// The header's lines, without the empty line after them.
  public var headerRange: Range<Int>
  /// The body; the line end before a boundary line belongs to the boundary (RFC 2046 §5.1.1).
  public var bodyRange: Range<Int>
  /// Type and subtype in lower case; "text/plain" where nothing usable is said (RFC 2045 §5.2), "message/rfc822" in a digest.
  public var type: String
  /// Parameters of Content-Type but for the boundary, each name once.
  public var parameters: [MIMEParameter]
  /// The boundary of a multipart, nil for everything else and for one that was not taken apart.
  public var boundary: String?
  /// Content-Disposition in lower case, "inline" or "attachment" mostly; nil when not said (RFC 2183).
  public var disposition: String?
  /// The file's name by Content-Disposition, or by the name of Content-Type; nil when there is none or it is empty.
  /// As the sender wrote it: it may hold path separators, "..", anything.
  public var filename: String?
  /// Content-Transfer-Encoding in lower case; "7bit" when not said (RFC 2045 §6.1).
  public var transferEncoding: String
  /// Content-ID without its brackets; nil when not said.
  public var contentID: String?
  /// True when a multipart's closing boundary line was seen; true for everything else.
  public var isClosed: Bool

  /// True for a part inside of an attached message, and for the attached message itself.
  public var isInsideAttachedMessage: Bool { messageLevel > 0 }
  /// True when it is "multipart/…".
  public var isMultipart: Bool { type.hasPrefix("multipart/") }
  /// The character set that Content-Type says, or nil.
  public var charset: String? { parameter("charset") }
  /// The name that Content-Type says, or nil.
  public var name: String? { parameter("name") }

  /// A parameter of Content-Type by its lower-case name.
  public func parameter(_ name: String) -> String? { parameters.first { $0.name == name }?.value }

  /// An entity of which nothing is known yet but where it begins; all else stands at its default.
  init(parent: Int?, depth: Int, messageLevel: Int, isMessageRoot: Bool, start: Int) {
    self.parent = parent
    self.depth = depth
    self.messageLevel = messageLevel
    self.isMessageRoot = isMessageRoot
    headerRange = start..<start
    bodyRange = start..<start
    type = "text/plain"
    parameters = []
    transferEncoding = "7bit"
    isClosed = true
  }
}
