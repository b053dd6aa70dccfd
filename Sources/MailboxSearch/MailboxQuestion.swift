/// A server that keeps mailboxes, and who may look into all of them (RFC 9051, RFC 4616 §2).
public struct MailboxServer: Sendable, Equatable {
  /// `imap://host:port` or `imaps://host:port`.
  public var url: String
  /// TLS is begun on a connection in the clear, or nothing is asked.
  public var startTLS: Bool
  /// PEM file of the authorities that may vouch for the server; the system's when nil.
  public var caFile: String?
  /// Who asks, in the holder's name.
  public var user: String
  public var password: String
  /// Seconds for the whole of an answer.
  public var timeoutSeconds: Int
  /// Folders that are looked through at the most.
  public var maximumFolders: Int
  /// Octets that the server may say altogether.
  public var maximumBytes: Int

  /// A server; a minute, 2000 folders and 1 MB at the most.
  public init(
    url: String, startTLS: Bool = false, caFile: String? = nil, user: String, password: String, timeoutSeconds: Int = 60,
    maximumFolders: Int = 2000, maximumBytes: Int = 1 << 20
  ) {
    self.url = url
    self.startTLS = startTLS
    self.caFile = caFile
    self.user = user
    self.password = password
    self.timeoutSeconds = timeoutSeconds
    self.maximumFolders = maximumFolders
    self.maximumBytes = maximumBytes
  }
}

/// Whether a mailbox has a message.
public struct MailboxQuestion: Sendable, Equatable {
  /// A field of the message's header, and a text that stands in its value.
  public struct Mark: Sendable, Equatable {
    public var field: String
    public var text: String

    /// A text in a field.
    public init(field: String, text: String) {
      self.field = field
      self.text = text
    }
  }

  /// Whose mailbox.
  public var holder: String
  /// What only this message has, all of it.
  public var marks: [Mark]
  /// Unix seconds before which the message cannot have come there; two days of leeway are given for clocks and time zones.
  public var since: Int64

  /// A question; at least one mark.
  public init(holder: String, marks: [Mark], since: Int64) {
    self.holder = holder
    self.marks = marks
    self.since = since
  }

  /// The search for it (RFC 9051 §6.4.4), without what may not be said; nil when nothing would be left that tells the message.
  var search: String? {
    let keys = marks.compactMap { mark -> String? in
      guard let field = MailboxQuestion.quoted(mark.field), let text = MailboxQuestion.quoted(mark.text) else { return nil }
      return " HEADER \(field) \(text)"
    }
    guard !marks.isEmpty, keys.count == marks.count else { return nil }
    return "UID SEARCH SINCE \(MailboxQuestion.day(since - 2 * 86_400))" + keys.joined()
  }

  /// A quoted string (RFC 9051 §9) of printable ASCII; nil for another text, or an empty or long one.
  static func quoted(_ text: String) -> String? {
    guard (1...500).contains(text.utf8.count), text.utf8.allSatisfy({ $0 >= 32 && $0 < 127 }) else { return nil }
    return "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
  }

  /// A day as `22-Nov-2026` (RFC 9051 §9, `date`), of UTC.
  static func day(_ unixSeconds: Int64) -> String {
    // Days from 1 March of year 0, in eras of 400 years: leap days come last.
    let days = Int(max(0, unixSeconds) / 86_400) + 719_468
    let era = days / 146_097
    let ofEra = days % 146_097
    let yearOfEra = (ofEra - ofEra / 1460 + ofEra / 36_524 - ofEra / 146_096) / 365
    let ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let month = (5 * ofYear + 2) / 153
    let day = ofYear - (153 * month + 2) / 5 + 1
    let names = ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"]
    return "\(day)-\(names[month])-\(yearOfEra + era * 400 + (month >= 10 ? 1 : 0))"
  }
}

/// What the mailbox's server said.
public enum MailboxAnswer: Sendable, Equatable {
  /// It is there, in this folder, as the server names it.
  case found(folder: String)
  /// It is in no folder.
  case absent
}

/// Why a question has no answer.
public enum MailboxSearchError: Error, Equatable, CustomStringConvertible {
  /// The question cannot be asked: our own fault, or the configuration's.
  case badQuestion(String)
  /// The server does not let us in: there is no such mailbox, or we may not look into it.
  case refused(String)
  /// The time was over before the answer was there, or we are ending.
  case timedOut(String)
  /// More folders, or more words, than are looked at.
  case tooMuch(String)
  /// The connection failed, the server could not prove who it is, or it said no.
  case failed(String)

  /// One line for a log or terminal.
  public var description: String {
    switch self {
    case .badQuestion(let words), .timedOut(let words), .tooMuch(let words), .failed(let words): words
    case .refused(let words): "not let in: \(words)"
    }
  }
}
