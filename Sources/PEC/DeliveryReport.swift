import MIMEStream
import Octets

extension Composer {
  /// Octets of a failed message's header that a report returns at the most.
  private static let returnedHeaderBytes = 64 << 10

  /// Delivery report (RFC 3464) for the sender of ordinary mail that was taken and cannot be delivered. It certifies nothing, is not
  /// signed, and goes out with the null reverse path; its From is no address of the certified channel.
  ///
  /// - Parameters:
  ///   - hostname: name of the reporting server.
  ///   - sender: MAIL FROM of the mail; the caller sends nothing to the null path.
  ///   - id: our identifier of the event that the Message-ID derives from.
  ///   - failures: each recipient with an enhanced status code (RFC 3463) and the words or the reply that say why.
  ///   - original: header of the mail, returned; nil when it is not at hand.
  /// - Returns: the Message-ID without brackets, and the complete message.
  public func deliveryReport(
    reporting hostname: String, to sender: String, id: String, failures: [(recipient: String, status: String, diagnostic: String)],
    original: HeaderFacts?, at instant: Instant
  ) -> (messageID: String, octets: [UInt8]) {
    let whole = id.utf8.contains(UInt8(ascii: "@")) ? id : "\(id)@\(provider.mailDomain)"
    let messageID = Composer.dotAtom(PECIdentifier.extended(whole, by: "rap", about: failures.map(\.recipient)))
    let returned = original.map(Composer.returned) ?? []
    let boundary = Composer.boundary(messageID, avoiding: returned)
    var out = Composer.reportHeader(hostname, sender, messageID, boundary, instant)
    out.appendDelimiter(boundary)
    out.append("Content-Type: text/plain; charset=\"us-ascii\"\r\n\r\n")
    out.append("This is the mail server ")
    out.appendOneLine(ascii: Composer.cut(hostname, at: 255))
    out.append(".\r\n\r\nYour message could not be delivered to:\r\n")
    for failure in failures {
      out.append("  ")
      out.appendOneLine(ascii: Composer.cut(failure.recipient, at: 320))
      out.append(": ")
      out.appendOneLine(ascii: Composer.cut(failure.diagnostic, at: 500))
      out.appendLineEnd()
    }
    out.append("\r\nIt was ordinary mail: nothing about it is certified.\r\n")
    out.appendDelimiter(boundary)
    out.append("Content-Type: message/delivery-status\r\n\r\n")
    var server = HeaderWriter()
    server.field("Reporting-MTA", "dns; \(hostname)")
    server.field("Arrival-Date", instant.headerDate)
    out.append(contentsOf: server.bytes)
    for failure in failures {
      var fields = HeaderWriter()
      fields.field("Final-Recipient", "rfc822; \(failure.recipient)")
      fields.field("Action", "failed")
      fields.field("Status", Composer.status(failure.status))
      fields.field("Diagnostic-Code", Composer.diagnostic(failure.diagnostic))
      out.appendLineEnd()
      out.append(contentsOf: fields.bytes)
    }
    if !returned.isEmpty {
      out.appendDelimiter(boundary)
      out.append("Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
      out.append(contentsOf: QuotedPrintable.encode(returned))
    }
    out.append("\r\n--")
    out.append(contentsOf: boundary)
    out.append("--\r\n")
    return (messageID, out)
  }

  private static func reportHeader(
    _ hostname: String, _ sender: String, _ messageID: String, _ boundary: [UInt8], _ instant: Instant
  ) -> [UInt8] {
    var head: [UInt8] = []
    head.append("Date: ")
    head.appendHeaderDate(instant)
    head.appendLineEnd()
    var fields = HeaderWriter()
    fields.field("From", "Mail Delivery System <MAILER-DAEMON@\(hostname)>")
    fields.field("To", "<\(sender)>")
    fields.field("Subject", "Undelivered mail returned to sender")
    fields.field("Message-ID", "<\(messageID)>")
    // RFC 3834 §5: nothing answers to this by itself.
    fields.field("Auto-Submitted", "auto-replied")
    head.append(contentsOf: fields.bytes)
    head.append("MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"")
    head.append(contentsOf: boundary)
    head.append("\"\r\n\r\nThis is a delivery report.\r\n")
    return head
  }

  /// The fields of a header, as many whole ones as fit.
  private static func returned(_ header: HeaderFacts) -> [UInt8] {
    var out: [UInt8] = []
    for field in header.fields {
      let raw = header.raw(field)
      guard out.count + raw.count <= returnedHeaderBytes else { break }
      out.append(contentsOf: raw)
      if raw.last != 10 { out.appendLineEnd() }
    }
    return out
  }

  /// A boundary that differs from everything that is returned.
  private static func boundary(_ messageID: String, avoiding returned: [UInt8]) -> [UInt8] {
    var attempt: UInt64 = 0
    while true {
      var hash = KeyedHash(0x7261_7070_6f72_746f, attempt)
      hash.add(messageID.utf8)
      let boundary = boundaryPrefix + Array("R".utf8) + base32(hash.value())
      // The header is bounded, and each attempt gives a new boundary: this ends.
      if Scan.first(boundary, in: returned.span) == nil { return boundary }
      attempt += 1
    }
  }

  /// A permanent status in its form (RFC 3463 §2); "5.0.0" for anything else.
  private static func status(_ text: String) -> String {
    let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    let isStatus = parts.count == 3 && parts.allSatisfy { (1...3).contains($0.count) && $0.allSatisfy { $0 &- 48 < 10 } }
    return isStatus && parts[0].elementsEqual("5".utf8) ? text : "5.0.0"
  }

  /// The text's first characters; a letter may have any number of marks, and each counts.
  static func cut(_ text: String, at count: Int) -> String { String(text.unicodeScalars.prefix(count)) }

  /// The reply of a server as such, our own words as ours (RFC 3464 §2.3.6).
  private static func diagnostic(_ text: String) -> String {
    let text = cut(oneLine(text), at: 500)
    let isReply = text.utf8.count > 3 && text.utf8.prefix(3).allSatisfy { $0 &- 48 < 10 }
    return (isReply ? "smtp; " : "x-ceralacca; ") + text
  }

  /// An identifier of characters that need no quotes, short enough for a line.
  private static func dotAtom(_ id: String) -> String {
    let bytes = id.utf8.prefix(900).map { byte -> UInt8 in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "@"):
        byte
      default: UInt8(ascii: "-")
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

extension Array where Element == UInt8 {
  fileprivate mutating func appendDelimiter(_ boundary: [UInt8]) {
    append("\r\n--")
    append(contentsOf: boundary)
    appendLineEnd()
  }
}
