public import PEC

/// What a holder may name in a request for an extract of the log (`pec-rules` 9.5).
public enum LogRequestField: String, Sendable, CaseIterable {
  case sender
  case recipient
  /// A day, or a range of days.
  case day
  case subject
  case identifier
  case name

  /// The word in the form that holders fill in.
  public var italian: String {
    switch self {
    case .sender: "Mittente"
    case .recipient: "Destinatario"
    case .day: "Data"
    case .subject: "Oggetto"
    case .identifier: "Identificativo"
    case .name: "Nominativo"
    }
  }
}

/// A request as it was understood: all that is given must hold for a message to be meant.
public struct LogRequestQuestion: Sendable, Equatable {
  /// Address of the sender, without brackets; compare without regard to ASCII case.
  public var sender: String?
  /// Address of the recipient, without brackets; compare without regard to ASCII case.
  public var recipient: String?
  /// First and last day, both included; both or neither.
  public var from: LegalDay?
  public var to: LegalDay?
  /// Words of the subject, on one line.
  public var subject: String?
  /// The message's PEC id or Message-ID, or the Message-ID of a receipt, without brackets: which of them, its writer need not know.
  public var identifier: String?
  /// Who asks, as he calls himself; nothing is looked up by it.
  public var name: String?

  /// A question of these parts.
  public init(
    sender: String? = nil, recipient: String? = nil, from: LegalDay? = nil, to: LegalDay? = nil, subject: String? = nil,
    identifier: String? = nil, name: String? = nil
  ) {
    self.sender = sender
    self.recipient = recipient
    self.from = from
    self.to = to
    self.subject = subject
    self.identifier = identifier
    self.name = name
  }

  /// True when it names a message well enough: sender, recipient and day, or an identifier.
  public var isEnough: Bool { identifier != nil || sender != nil && recipient != nil && from != nil && to != nil }

  /// What is missing of sender, recipient and day; nothing when there is an identifier.
  public var missing: [LogRequestField] {
    guard !isEnough else { return [] }
    var fields: [LogRequestField] = []
    if sender == nil { fields.append(.sender) }
    if recipient == nil { fields.append(.recipient) }
    if from == nil || to == nil { fields.append(.day) }
    return fields
  }

  // MARK: For the record

  private static let separator = ": "

  /// `field: value` lines, as the request's record keeps them; `init(text:)` reads them back.
  public var text: String {
    let days: [(String, String?)] = [("from", from?.text), ("to", to?.text)]
    let fields =
      [("sender", sender), ("recipient", recipient)] + days + [("subject", subject), ("identifier", identifier), ("name", name)]
    return fields.compactMap { key, value in value.map { key + LogRequestQuestion.separator + $0 } }.joined(separator: "\n")
  }

  /// Reads what `text` wrote; lines that it would not write are passed over.
  public init(text: String) {
    self.init()
    for line in text.split(separator: "\n") {
      guard let cut = line.firstRange(of: LogRequestQuestion.separator) else { continue }
      let value = String(line[cut.upperBound...])
      switch line[..<cut.lowerBound] {
      case "sender": sender = value
      case "recipient": recipient = value
      case "from": from = LegalDay(value)
      case "to": to = LegalDay(value)
      case "subject": subject = value
      case "identifier": identifier = value
      case "name": name = value
      default: break
      }
    }
  }

  // MARK: For the holder

  /// The day or the range, as the form has it.
  var italianDays: String? {
    guard let from, let to else { return nil }
    return from == to ? from.italian : "dal \(from.italian) al \(to.italian)"
  }

  /// The value of a field, as the form has it.
  public func italian(_ field: LogRequestField) -> String? {
    switch field {
    case .sender: sender
    case .recipient: recipient
    case .day: italianDays
    case .subject: subject
    case .identifier: identifier
    case .name: name
    }
  }
}

/// What a message to the log mailbox is.
public enum LogRequestReading: Sendable, Equatable {
  /// A request that can be answered.
  case understood(LogRequestQuestion)
  /// A request that names too little: what was understood of it, what is missing, and what was there and could not be read, in Italian.
  /// Nothing is missing from one that was not read at all.
  case unclear(LogRequestQuestion, missing: [LogRequestField], problems: [String])
  /// A request about a message whose sender and recipient are both somebody else.
  case notYours(LogRequestQuestion)
  /// Not written by anybody: it is never answered. Why, for the log.
  case automatic(String)
}
