public import Journey
internal import MIMEStream
internal import Octets
public import PEC

/// What is written to somebody who asked for an extract of the log: each change of his request's state, and the extract.
public struct LogAnswer: Sendable, Equatable {
  /// What is said.
  public enum Content: Sendable, Equatable {
    /// The request came and is worked on.
    case opened
    /// The extract, as an archive with this name, and how many rows are in it.
    case extract(fileName: String, archive: [UInt8], rows: Int)
    /// The log has nothing that is asked for and his.
    case nothingFound
    /// The request could not be understood: the form is sent, with what was understood.
    case unclear(missing: [LogRequestField], problems: [String])
    /// Sender and recipient are both somebody else.
    case notYours
    /// An operator has it.
    case waiting(reason: String)
    /// An operator refused it.
    case refused(reason: String)

    /// The state of a request of which this was said.
    public var state: LogRequestRecord.State {
      switch self {
      case .opened: .open
      case .waiting: .waiting
      case .extract, .nothingFound: .answered
      case .unclear, .notYours: .returned
      case .refused: .refused
      }
    }
  }

  public var content: Content
  /// What was asked, as far as it was understood.
  public var question: LogRequestQuestion
  /// Number of the request, by which it may be asked after.
  public var requestID: String
  /// When the request came.
  public var askedAt: Instant

  /// An answer.
  public init(_ content: Content, question: LogRequestQuestion, requestID: String, askedAt: Instant) {
    self.content = content
    self.question = question
    self.requestID = requestID
    self.askedAt = askedAt
  }

  /// An answer to the request of this record.
  public init(_ content: Content, to record: LogRequestRecord) {
    self.init(content, question: LogRequestQuestion(text: record.question), requestID: record.id, askedAt: record.openedAt)
  }

  /// Header values of an answer's mail.
  public struct Frame: Sendable, Equatable {
    /// Address of the log mailbox.
    public var mailbox: String
    /// Who asked.
    public var asker: String
    public var providerName: String
    /// Message-ID of the answer, without brackets.
    public var messageID: String
    /// Message-ID of the request as its writer's mail program gave it, with brackets; nil when there is none.
    public var requestMessageID: String?
    public var instant: Instant

    /// Header values.
    public init(mailbox: String, asker: String, providerName: String, messageID: String, requestMessageID: String?, instant: Instant) {
      self.mailbox = mailbox
      self.asker = asker
      self.providerName = providerName
      self.messageID = messageID
      self.requestMessageID = requestMessageID
      self.instant = instant
    }
  }

  /// What an archive is called when its name has nothing usable.
  private static let usualName = "estratto.zip"
  /// In neither encoding that is used here does "=_" occur.
  private static let boundary = "=_ceralacca-estratto"

  /// The answer as a complete message (RFC 5322), with CRLF line ends, lines of 76 characters in the body, and nothing above ASCII.
  ///
  /// It says of itself that it is automatic (RFC 3834 §5), so that no machine answers it, and asks for the brief delivery receipt, which
  /// holds the archive's hash and not the archive.
  public func message(_ frame: Frame) -> [UInt8] {
    var header = HeaderWriter()
    header.field("From", frame.mailbox)
    header.field("To", frame.asker)
    header.unstructured("Subject", subject)
    header.field("Date", frame.instant.headerDate)
    header.field("Message-ID", "<\(frame.messageID)>")
    if let id = frame.requestMessageID, LogAnswer.isReference(id) {
      header.field("In-Reply-To", id)
      header.field("References", id)
    }
    header.field("Auto-Submitted", "auto-replied")
    header.field("X-TipoRicevuta", "breve")
    header.field("MIME-Version", "1.0")
    let text = QuotedPrintable.encode(Array(body(providerName: frame.providerName).utf8))
    let textHeader = "Content-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    guard case .extract(let fileName, let archive, _) = content else { return header.bytes + Array(textHeader.utf8) + text + [13, 10] }
    let name = LogAnswer.safeName(fileName)
    header.field("Content-Type", "multipart/mixed; boundary=\"\(LogAnswer.boundary)\"")
    var out = header.bytes
    out += Array("\r\n--\(LogAnswer.boundary)\r\n\(textHeader)".utf8)
    out += text
    out += Array("\r\n--\(LogAnswer.boundary)\r\nContent-Type: application/zip; name=\"\(name)\"\r\n".utf8)
    out += Array("Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"\(name)\"\r\n\r\n".utf8)
    out += Base64.encodeLines(archive)
    out += Array("\r\n--\(LogAnswer.boundary)--\r\n".utf8)
    return out
  }

  private static func isReference(_ id: String) -> Bool {
    id.utf8.count <= 900 && id.hasPrefix("<") && id.hasSuffix(">") && id.utf8.allSatisfy { $0 > 32 && $0 < 127 }
  }

  /// Letters, digits, dots, hyphens and underscores; nothing that a path or a header could misread.
  private static func safeName(_ name: String) -> String {
    let kept = name.utf8.map { byte -> UInt8 in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
        byte
      default: UInt8(ascii: "-")
      }
    }.drop { $0 == UInt8(ascii: ".") }
    return kept.isEmpty ? usualName : String(decoding: kept.prefix(100), as: UTF8.self)
  }
}
