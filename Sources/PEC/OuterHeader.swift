import MIMEStream
import Octets

// Outer headers: exactly the fields of pec-rules 2.0, 2.2 and 4.1, in the order of its skeletons. Nothing else of the original's
// header reaches the outside, however it is named.
extension Composer {
  /// Header of a receipt or notice (RFC 6109 §2.1, §3).
  func noticeHead(
    _ kind: MessageKind, _ facts: TransactionFacts, to addressee: String, _ instant: Instant, _ messageID: String,
    _ boundaries: Boundaries, labelled label: String
  ) -> [UInt8] {
    var head: [UInt8] = []
    head.reserveCapacity(1024 + (facts.rawSubject?.count ?? 0))
    appendMarks(kind, facts, &head)
    appendDate(instant, &head)
    appendSubject(kind, facts.rawSubject, &head)
    head.appendField("From", provider.serviceAddress)
    head.appendField("To", addressee)
    appendMessageID(messageID, &head)
    appendEnd(boundaries, labelled: label, &head)
    return head
  }

  /// Header of the transport envelope (RFC 6109 §3.1.5): trace and address fields are the original's, octet by octet.
  func envelopeHead(_ facts: TransactionFacts, _ original: MessageFacts, _ boundaries: Boundaries) -> [UInt8] {
    let header = original.header
    var head: [UInt8] = []
    head.reserveCapacity(2048 + (facts.rawSubject?.count ?? 0) + facts.recipients.count * 64)
    copy("Return-Path", of: header, to: &head)
    copy("Received", of: header, to: &head)
    appendMarks(.envelope, facts, &head)
    // Only where the original asks for a type, or its sender has chosen one once for all; otherwise it is "completa", which the
    // certification data say.
    if header.first(named: "X-TipoRicevuta") != nil || facts.receiptType != .complete {
      head.appendField("X-TipoRicevuta", facts.receiptType.rawValue)
    }
    appendDate(facts.instant, &head)
    appendSubject(.envelope, facts.rawSubject, &head)
    appendFrom(onBehalfOf: facts.sender, &head)
    if TransactionFacts.replyTo(header, limit: 1) != nil {
      copy("Reply-To", of: header, to: &head)
    } else {
      head.appendField("Reply-To", facts.replyTo)
    }
    copy("To", of: header, to: &head)
    copy("Cc", of: header, to: &head)
    appendMessageID(facts.pecID, &head)
    appendEnd(boundaries, labelled: "7bit", &head)
    return head
  }

  /// From of the two envelopes: the address in the certificate, with the sender's beside it.
  func appendFrom(onBehalfOf sender: String, _ head: inout [UInt8]) {
    head.append("From: \"Per conto di: ")
    head.appendOneLine(ascii: quoted(sender))
    head.append("\" <")
    head.appendOneLine(ascii: provider.serviceAddress)
    head.append(">\r\n")
  }

  func appendDate(_ instant: Instant, _ head: inout [UInt8]) {
    head.append("Date: ")
    head.appendHeaderDate(instant)
    head.appendLineEnd()
  }

  private func appendMarks(_ kind: MessageKind, _ facts: TransactionFacts, _ head: inout [UInt8]) {
    for mark in kind.traits.marks { head.appendField(mark.name, mark.value) }
    if kind.traits.namesSender { head.appendField("X-Mittente", facts.sender) }
    if let id = facts.clientMessageID { head.appendField("X-Riferimento-Message-ID", id) }
  }

  /// The fixed prefix before the subject as received, its encoded words unchanged; the prefix alone where there is none.
  func appendSubject(_ kind: MessageKind, _ rawSubject: [UInt8]?, _ head: inout [UInt8]) {
    let prefix = kind.traits.subjectPrefix
    guard let rawSubject, !rawSubject.isEmpty else {
      head.appendField("Subject", String(prefix.dropLast()))
      return
    }
    var writer = HeaderWriter()
    writer.unstructured("Subject", prefix: prefix, rawValue: rawSubject)
    head.append(contentsOf: writer.bytes)
  }

  private func appendMessageID(_ messageID: String, _ head: inout [UInt8]) {
    head.append("Message-ID: <")
    head.appendOneLine(ascii: messageID)
    head.append(">\r\n")
  }

  /// What follows the Message-ID, up to the first boundary line.
  func appendEnd(_ boundaries: Boundaries, labelled label: String, _ head: inout [UInt8]) {
    head.append("MIME-Version: 1.0\r\nContent-Type: multipart/signed; protocol=\"application/pkcs7-signature\";\r\n")
    head.append(" micalg=\"sha-256\"; boundary=\"")
    head.append(contentsOf: boundaries.signed)
    head.append("\"\r\n")
    if label == "8bit" { head.append("Content-Transfer-Encoding: 8bit\r\n") }
    head.append("\r\nThis is an S/MIME signed message\r\n\r\n--")
    head.append(contentsOf: boundaries.signed)
    head.appendLineEnd()
  }

  func copy(_ name: String, of header: HeaderFacts, to head: inout [UInt8]) {
    for field in header.fields(named: name) {
      let raw = header.raw(field)
      head.append(contentsOf: raw)
      if raw.last != 10 { head.appendLineEnd() }  // the last line of an original that is header only may lack its end
    }
  }

  /// Inside of a quoted string (RFC 5322 §3.2.4).
  private func quoted(_ text: String) -> String {
    guard text.utf8.contains(where: { $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") }) else { return text }
    var out: [UInt8] = []
    for byte in text.utf8 {
      if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { out.append(UInt8(ascii: "\\")) }
      out.append(byte)
    }
    return String(decoding: out, as: UTF8.self)
  }
}

/// The original as it stands in the envelope (`postacert.eml`).
enum OriginalMessage {
  /// Appends the original with its identifier replaced and nothing else touched (pec-rules 3.5): every Message-ID and
  /// X-Riferimento-Message-ID line is left out, ours are the last lines of the header.
  static func append(_ original: MessageFacts, _ facts: TransactionFacts, to fragments: inout FragmentList) {
    var kept = 0
    var endsOpen = false
    for field in original.header.fields where isIdentifier(field, original.header) {
      fragments.append(original: kept..<max(kept, field.line.lowerBound))
      kept = max(kept, field.line.upperBound)
    }
    if kept < original.headerEnd {
      fragments.append(original: kept..<original.headerEnd)
      // A message of a header only, sent by BDAT, may end within its last line.
      endsOpen = original.headerEnd == original.totalBytes && original.header.bytes.last != 10
    }
    var lines: [UInt8] = []
    if endsOpen { lines.appendLineEnd() }
    lines.append("Message-ID: <")
    lines.appendOneLine(ascii: facts.pecID)
    lines.append(">\r\n")
    if let id = facts.clientMessageID { lines.appendField("X-Riferimento-Message-ID", id) }
    fragments.append(lines)
    fragments.append(original: original.headerEnd..<max(original.headerEnd, original.totalBytes))
  }

  private static func isIdentifier(_ field: HeaderField, _ header: HeaderFacts) -> Bool {
    switch field.name.count {
    case 10: ASCII.equal(header.bytes[field.name], "Message-ID".utf8)
    case 24: ASCII.equal(header.bytes[field.name], "X-Riferimento-Message-ID".utf8)
    default: false
    }
  }
}
