import Octets

/// `tipo` of certification data (RFC 6109 §4.4); the values of `X-Ricevuta`, and `posta-certificata` of the transport envelope.
public enum CertificationType: String, Sendable, CaseIterable {
  case acceptance = "accettazione"
  case nonAcceptance = "non-accettazione"
  case takeCharge = "presa-in-carico"
  case delivery = "avvenuta-consegna"
  case envelope = "posta-certificata"
  case deliveryError = "errore-consegna"
  case timeout = "preavviso-errore-consegna"
  case virusDetection = "rilevazione-virus"
}

/// `errore` of certification data (RFC 6109 §4.4).
public enum CertificationError: String, Sendable, CaseIterable {
  case none = "nessuno"
  /// Wrong recipient.
  case noRecipient = "no-dest"
  /// Wrong domain.
  case noDomain = "no-dominio"
  case virus
  case other = "altro"
}

/// Certification data (dati di certificazione): the part of a certified message that machines read (RFC 6109 §4.4).
public struct CertificationData: Sendable, Equatable {
  public var type: CertificationType
  public var error: CertificationError
  /// `mittente`: sender of the original.
  public var sender: String
  /// `destinatari`.
  public var recipients: [Recipient]
  /// `risposte`: where answers to the original go.
  public var replyTo: String
  /// `oggetto`, decoded.
  public var subject: String?
  /// `gestore-emittente`: name of the provider that certifies these data.
  public var provider: String
  /// `data`: time of this event.
  public var instant: Instant
  /// `identificativo`: PEC id, without brackets.
  public var pecID: String
  /// `msgid`: the client's Message-ID, with its brackets.
  public var clientMessageID: String?
  /// `ricevuta`: kind of delivery receipt that the sender asked for.
  public var receiptType: ReceiptType?
  /// `consegna`: the recipient for whom delivery was made or tried.
  public var delivery: String?
  /// `ricezione`: recipients taken in charge.
  public var receptions: [String]
  /// `errore-esteso`.
  public var extendedError: String?

  /// Data as they are given.
  public init(
    type: CertificationType, error: CertificationError, sender: String, recipients: [Recipient], replyTo: String, subject: String?,
    provider: String, instant: Instant, pecID: String, clientMessageID: String?, receiptType: ReceiptType? = nil, delivery: String? = nil,
    receptions: [String] = [], extendedError: String? = nil
  ) {
    self.type = type
    self.error = error
    self.sender = sender
    self.recipients = recipients
    self.replyTo = replyTo
    self.subject = subject
    self.provider = provider
    self.instant = instant
    self.pecID = pecID
    self.clientMessageID = clientMessageID
    self.receiptType = receiptType
    self.delivery = delivery
    self.receptions = receptions
    self.extendedError = extendedError
  }

  /// The sentence of `errore-esteso`: what follows an enhanced status code (RFC 3463) and the provider's name, with hyphens or commas
  /// between the three (pec-rules 5.2); the whole where it has another form, nil where there is none.
  public var errorSentence: String? {
    guard let extendedError, !extendedError.isEmpty else { return nil }
    let octets = Array(extendedError.utf8)
    let status = octets.prefix { $0 == UInt8(ascii: ".") || $0 &- 48 < 10 }
    let numbers = status.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard numbers.count == 3, numbers.allSatisfy({ (1...3).contains($0.count) }) else { return extendedError }
    let rest = octets.dropFirst(status.count)
    for separator in [" - ", ", "] {
      let opening = separator + provider + separator
      // Providers spell their own name with other capitals here than there.
      guard rest.count > opening.utf8.count, ASCII.equal(rest.prefix(opening.utf8.count), opening.utf8) else { continue }
      return String(decoding: rest.dropFirst(opening.utf8.count), as: UTF8.self)
    }
    return extendedError
  }

  /// The document `daticert.xml`: UTF-8, LF line ends, four spaces for each level, children in the order of the DTD.
  public func xml() -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(1024 + recipients.count * 96 + (subject?.utf8.count ?? 0))
    out.append("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<postacert tipo=\"")
    out.append(type.rawValue)
    out.append("\" errore=\"")
    out.append(error.rawValue)
    out.append("\">\n    <intestazione>\n")
    out.appendElement("mittente", sender)
    for recipient in recipients {
      out.append("        <destinatari tipo=\"")
      out.append(recipient.recipientClass.rawValue)
      out.append("\">")
      out.appendXML(recipient.address)
      out.append("</destinatari>\n")
    }
    out.appendElement("risposte", replyTo)
    if let subject { out.appendElement("oggetto", subject) }
    out.append("    </intestazione>\n    <dati>\n")
    out.appendElement("gestore-emittente", provider)
    out.append("        <data zona=\"")
    out.appendZone(instant)
    out.append("\">\n            <giorno>")
    out.appendDay(instant)
    out.append("</giorno>\n            <ora>")
    out.appendTime(instant)
    out.append("</ora>\n        </data>\n")
    out.appendElement("identificativo", pecID)
    if let clientMessageID { out.appendElement("msgid", clientMessageID) }
    if let receiptType {
      out.append("        <ricevuta tipo=\"")
      out.append(receiptType.rawValue)
      out.append("\" />\n")
    }
    if let delivery { out.appendElement("consegna", delivery) }
    for reception in receptions { out.appendElement("ricezione", reception) }
    if let extendedError { out.appendElement("errore-esteso", extendedError) }
    out.append("    </dati>\n</postacert>\n")
    return out
  }
}

extension Array where Element == UInt8 {
  /// An element of text on the second level.
  fileprivate mutating func appendElement(_ name: String, _ text: String) {
    append("        <")
    append(name)
    append(">")
    appendXML(text)
    append("</")
    append(name)
    append(">\n")
  }

  /// Character data: markup escaped; what XML 1.0 §2.2 does not allow becomes U+FFFD; a carriage return is written as a reference,
  /// because a parser would make a line feed of it (XML 1.0 §2.11).
  mutating func appendXML(_ text: String) {
    let bytes = text.utf8.span
    var written = 0
    var index = 0
    while index < bytes.count {
      let byte = bytes[index]
      var length = 1
      let replacement: String
      switch byte {
      case UInt8(ascii: "&"): replacement = "&amp;"
      case UInt8(ascii: "<"): replacement = "&lt;"
      case UInt8(ascii: ">"): replacement = "&gt;"
      case 13: replacement = "&#13;"
      case 0...8, 11, 12, 14...31: replacement = "\u{FFFD}"
      case 0xEF where index + 2 < bytes.count && bytes[index + 1] == 0xBF && bytes[index + 2] >= 0xBE:
        // U+FFFE and U+FFFF
        replacement = "\u{FFFD}"
        length = 3
      default:
        index += 1
        continue
      }
      append(copying: bytes.extracting(written..<index))
      append(replacement)
      index += length
      written = index
    }
    append(copying: bytes.extracting(written..<index))
  }
}
