import MIMEStream

/// A readable part's fixed Italian wording with its gaps (pec-rules 2.3), taken apart once.
struct TextTemplate: Sendable {
  /// What is put into a gap.
  struct Values {
    var instant: Instant
    var subject: String
    var sender: String
    var recipients: [Recipient]
    var recipient = ""
    var description = ""
    var pecID: String
  }

  private enum Gap: String, CaseIterable {
    case day = "[data]"
    case time = "[ora]"
    case zone = "[zona]"
    case subject = "[oggetto]"
    case sender = "[mittente]"
    case recipients = "[destinatari]"
    case classedRecipients = "[destinatari e tipo]"
    case recipient = "[destinatario]"
    case description = "[descrizione]"
    case pecID = "[id]"
  }

  private enum Piece {
    /// Latin-1, lines ended by LF.
    case literal([UInt8])
    case gap(Gap)
  }

  private let pieces: [Piece]

  init(_ text: String) {
    var pieces: [Piece] = []
    var literal: [UInt8] = []
    var rest = Substring(text)
    while let scalar = rest.unicodeScalars.first {
      if scalar == "[", let gap = Gap.allCases.first(where: { rest.hasPrefix($0.rawValue) }) {
        pieces.append(.literal(literal))
        pieces.append(.gap(gap))
        literal = []
        rest = rest.dropFirst(gap.rawValue.count)
      } else {
        // The wording is ours: all of it is Latin-1.
        literal.append(UInt8(truncatingIfNeeded: scalar.value))
        rest = Substring(rest.unicodeScalars.dropFirst())
      }
    }
    literal.append(10)
    pieces.append(.literal(literal))
    self.pieces = pieces
  }

  /// The text in ISO-8859-1, lines ended by LF.
  func render(_ values: Values) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(512 + values.recipients.count * 64)
    for piece in pieces {
      switch piece {
      case .literal(let bytes): out.append(contentsOf: bytes)
      case .gap(let gap): TextTemplate.fill(gap, values, &out)
      }
    }
    return out
  }

  private static func fill(_ gap: Gap, _ values: Values, _ out: inout [UInt8]) {
    switch gap {
    case .day: out.appendDay(values.instant)
    case .time: out.appendTime(values.instant)
    case .zone: out.appendZone(values.instant)
    case .subject: append(values.subject, to: &out)
    case .sender: out.appendOneLine(ascii: values.sender)
    case .recipients: append(values.recipients, classed: false, to: &out)
    case .classedRecipients: append(values.recipients, classed: true, to: &out)
    case .recipient: out.appendOneLine(ascii: values.recipient)
    case .description: append(values.description, to: &out)
    case .pecID: out.appendOneLine(ascii: values.pecID)
    }
  }

  /// One line for each.
  private static func append(_ recipients: [Recipient], classed: Bool, to out: inout [UInt8]) {
    for (index, recipient) in recipients.enumerated() {
      if index > 0 { out.append(10) }
      out.appendOneLine(ascii: recipient.address)
      if classed {
        out.append(recipient.recipientClass == .certified ? " (\"posta certificata\")" : " (\"posta ordinaria\")")
      }
    }
  }

  /// Free text: what Latin-1 lacks is replaced by what comes nearest. A line feed is a line end of ours; other controls become spaces.
  private static func append(_ text: String, to out: inout [UInt8]) {
    let start = out.count
    out.append(contentsOf: Latin1.encode(text))
    for index in start..<out.count where out[index] & 0x60 == 0 || out[index] == 127 {
      if out[index] != 10 { out[index] = 32 }
    }
  }
}
