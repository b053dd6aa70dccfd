import MIMEStream
import Octets

extension Composer {
  /// Anomaly envelope (busta di anomalia), RFC 6109 §3.2.2: the whole received message inside a message that says why it is not certified.
  /// It has no certification data.
  ///
  /// The Message-ID is inherited: it is whatever a stranger wrote, and names nothing of ours.
  ///
  /// - Parameters:
  ///   - received: facts of the message as it came; its octets are `.original(0..<totalBytes)`.
  ///   - id: the Message-ID where the message has none.
  ///   - reversePath: MAIL FROM as it came; empty for the null path.
  ///   - recipients: RCPT TO as they came.
  ///   - reasons: Italian, short; joined by commas as providers do.
  ///   - trace: whole header lines that go on top, such as our Received line.
  ///   - instant: time of arrival.
  public func anomaly(
    _ received: MessageFacts, id: String, reversePath: String, recipients: [String], reasons: [String], trace: [UInt8],
    at instant: Instant, boundarySeed: UInt64
  ) -> Draft {
    let header = received.header
    let boundaries = Boundaries(seed: boundarySeed, kind: .anomaly, avoiding: received.boundaryLines)
    let label = received.flags.isDisjoint(with: [.eightBitHeader, .eightBitBody]) ? "7bit" : "8bit"
    let rawSubject = header.first(named: "Subject").map { header.value(of: $0) }
    let author = Composer.author(of: header) ?? (reversePath.isEmpty ? nil : reversePath)
    var signed = FragmentList(reserving: 4096 + recipients.count * 64)
    appendText(
      .anomaly,
      TextTemplate.Values(
        instant: instant, subject: rawSubject.map { oneLine(EncodedWord.decode($0)) } ?? "", sender: author ?? Composer.noAuthor,
        recipients: recipients.map { Recipient(address: $0, recipientClass: .certified) },
        description: reasons.map(oneLine).joined(separator: ", "), pecID: ""), boundaries, labelled: label, to: &signed)
    appendOriginalPart(labelled: label, boundaries, to: &signed)
    signed.append(original: 0..<max(0, received.totalBytes))
    close(boundaries, &signed)

    let field = header.first(named: "Message-ID").flatMap { TransactionFacts.identifierLine(header.value(of: $0)) }
    var messageID = field ?? id
    if messageID.hasPrefix("<"), messageID.hasSuffix(">"), messageID.utf8.count > 2 { messageID = String(messageID.dropFirst().dropLast()) }

    var head = trace
    for name in ["Return-Path", "Received"] { copyWellFormed(name, of: header, to: &head) }
    for mark in MessageKind.anomaly.traits.marks { head.appendField(mark.name, mark.value) }
    appendDate(instant, &head)
    appendSubject(.anomaly, rawSubject, &head)
    appendFrom(onBehalfOf: author ?? Composer.noAuthor, &head)
    if TransactionFacts.replyTo(header, limit: 1) != nil {
      copyWellFormed("Reply-To", of: header, to: &head)
    } else if let author {
      head.appendField("Reply-To", author)
    }
    for name in ["To", "Cc"] { copyWellFormed(name, of: header, to: &head) }
    // As it stood, brackets or not.
    head.appendField("Message-ID", field ?? "<\(id)>")
    appendEnd(boundaries, labelled: label, &head)
    return Draft(
      kind: .anomaly, messageID: messageID, sender: reversePath, recipients: recipients, head: head, signed: signed.finish(),
      boundary: boundaries.signed)
  }

  /// What stands for a sender where there is neither From nor reverse path.
  private static let noAuthor = "mittente sconosciuto"

  /// The address that a reader would take for the sender: the one in From, when there is exactly one.
  private static func author(of header: HeaderFacts) -> String? {
    let mailboxes = AddressFields.gather("From", of: header, limit: 10).mailboxes
    return mailboxes.count == 1 ? mailboxes.first?.address : nil
  }

  /// Copies fields as received. Ordinary mail may hold anything: a field that no header should have (octets above 127, control
  /// characters, a line above 998) is written anew, so that our own message is well-formed whatever it brings.
  private func copyWellFormed(_ name: String, of header: HeaderFacts, to head: inout [UInt8]) {
    for field in header.fields(named: name) {
      let raw = header.raw(field)
      if Composer.isWellFormed(raw) {
        head.append(contentsOf: raw)
        if raw.last != 10 { head.appendLineEnd() }
      } else {
        var writer = HeaderWriter()
        writer.unstructured(name, prefix: "", rawValue: header.value(of: field))
        head.append(contentsOf: writer.bytes)
      }
    }
  }

  private static func isWellFormed(_ raw: ArraySlice<UInt8>) -> Bool {
    var length = 0
    var last: UInt8 = 0
    for byte in raw {
      if byte == 10 {
        guard last == 13, length - 1 <= 998 else { return false }
        length = 0
      } else {
        guard last != 13, byte == 13 || byte == 9 || (byte >= 32 && byte < 127) else { return false }
        length += 1
      }
      last = byte
    }
    return length <= 998 && last != 13
  }
}
