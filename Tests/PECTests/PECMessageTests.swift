import MIMEStream
import Testing

@testable import PEC

@Suite struct PECMessageTests {
  private func read(_ text: String) -> PECMessage { PECMessage(MessageWalker.facts(of: wire(text))) }

  @Test(arguments: [
    ("X-Ricevuta: accettazione\n", PECMessage.Nature.notification(.acceptance)),
    ("x-ricevuta:  NON-accettazione \n", .notification(.nonAcceptance)),
    ("X-Ricevuta: presa-in-carico\n", .notification(.takeCharge)), ("X-Ricevuta: rilevazione-virus\n", .notification(.virusDetection)),
    ("X-Ricevuta: preavviso-errore-consegna\n", .notification(.timeout)), ("X-Trasporto: posta-certificata\n", .envelope),
    ("X-TRASPORTO: Errore\n", .anomalyEnvelope), ("X-Riferimento-Message-ID: <a@b>\n", .ordinary),
    ("Subject: ACCETTAZIONE: x\n", .ordinary),
    ("", .ordinary),
  ])
  func natures(line: String, nature: PECMessage.Nature) {
    #expect(read("From: a@b.example\n" + line + "\n").nature == nature)
  }

  @Test(arguments: [
    "X-Ricevuta: posta-certificata\n", "X-Ricevuta: mancata-consegna\n", "X-Ricevuta:\n", "X-Trasporto: x\u{1B}\n",
    "X-Ricevuta: accettazione\nX-Trasporto: errore\n", "X-Ricevuta: accettazione\nX-Ricevuta: accettazione\n",
  ])
  func malformed(line: String) {
    guard case .malformed(let reason) = read(line + "\n").nature else {
      Issue.record("taken as well formed")
      return
    }
    #expect(reason.utf8.allSatisfy { $0 >= 32 })
  }

  /// A message with these parts in its signed multipart, and these outer fields.
  private func message(_ parts: [String], outer: String = "X-Trasporto: posta-certificata\nMessage-ID: <i@g>\n", signature: Bool = true)
    -> String
  {
    outer + "From: \"Per conto di: a@b\" <posta-certificata@g.example>\nMIME-Version: 1.0\n"
      + "Content-Type: multipart/signed; boundary=\"s\"\n\nfirma\n--s\nContent-Type: multipart/mixed; boundary=\"m\"\n\n"
      + parts.map { "--m\n\($0)" }.joined() + "--m--\n\n--s\n"
      + (signature ? "Content-Type: application/x-pkcs7-signature; name=smime.p7s\n\nx\n" : "\nx\n") + "--s--\n"
  }

  private let xml = "Content-Type: application/xml; name=\"DATICERT.xml\"\n\n<a/>\n"
  private let mail = "Content-Type: message/rfc822; name=\"postacert.eml\"\n\nSubject: x\n\ny\n"

  @Test func parts() throws {
    let whole = message(["Content-Type: text/plain\n\nT\n", xml, mail])
    let read = read(whole)
    let octets = wire(whole)
    #expect(read.messageID == "i@g" && read.from?.address == "posta-certificata@g.example" && !read.isSecurityNotice)
    let signed = try #require(read.signedRange)
    #expect(text(octets[signed]).hasPrefix("Content-Type: multipart/mixed") && text(octets[signed]).hasSuffix("--m--\r\n"))
    #expect(text(octets[try #require(read.certificationPart).bodyRange]) == "<a/>")
    #expect(text(octets[try #require(read.originalPart).bodyRange]) == "Subject: x\r\n\r\ny")
    #expect(text(octets[try #require(read.originalHeaderRange)]) == "Subject: x\r\n")
    #expect(read.signature != nil)
  }

  /// The original's own header, and not that of a message in it or beside it; nothing where the walker saw none.
  @Test(arguments: [
    ("Message-ID: <a@b>\nSubject: x\n\n", "Message-ID: <a@b>\r\nSubject: x\r\n"),
    ("Content-Type: message/rfc822\n\nSubject: inner\n\n", "Content-Type: message/rfc822\r\n"), ("Subject: x\n", "Subject: x\r\n"),
    ("\n", ""),
  ])
  func originalsHeader(header: String, expected: String) throws {
    let attached = "Content-Type: message/rfc822; name=\"altro.eml\"\n\nSubject: other\n\nz\n"
    let original = "Content-Type: message/rfc822; name=\"postacert.eml\"\n\n" + header + String(repeating: "y\n", count: 1000)
    let whole = message([attached, xml, header == "Subject: x\n" ? String(original.dropLast(2000)) : original])
    #expect(text(wire(whole)[try #require(read(whole).originalHeaderRange)]) == expected)
  }

  @Test(arguments: ["base64", "quoted-printable"])
  func encodedOriginalsHaveNoHeaderRange(encoding: String) throws {
    let encoded = mail.replacing("\n\nSubject", with: "\nContent-Transfer-Encoding: \(encoding)\n\nSubject")
    let read = read(message([xml, encoded]))
    #expect(read.originalPart?.transferEncoding == encoding && read.originalHeaderRange == nil)
    #expect(self.read("Subject: x\n\n").originalHeaderRange == nil)
  }

  @Test func ambiguousPartsAreNone() {
    #expect(read(message([xml, xml, mail])).certificationPart == nil)
    #expect(read(message([xml, mail, mail])).originalPart == nil)
    // Without the name the only one of its type is taken.
    #expect(read(message(["Content-Type: text/xml\n\n<a/>\n", "Content-Type: message/rfc822\n\nSubject: x\n\ny\n"])).originalPart != nil)
    // Certification data inside of an attached message are that message's.
    let inner = message([xml]).split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\n")
    let nested = read(
      message([
        "Content-Type: message/rfc822; name=postacert.eml\n\n"
          + inner.replacing("\"s\"", with: "\"t\"").replacing("--s", with: "--t").replacing("\"m\"", with: "\"n\"").replacing(
            "--m", with: "--n")
      ]))
    #expect(nested.certificationPart == nil && nested.originalPart != nil)
    #expect(read(message([xml], signature: false)).signature == nil)
    #expect(read("X-Ricevuta: accettazione\n\ntesto\n").signedRange == nil)
  }

  @Test func contradictions() {
    var data = CertificationDataTests.envelope
    data.pecID = "i@g"
    let envelope = read(message([xml, mail]))
    #expect(envelope.contradictions(with: data) == [])
    #expect(read(message([xml])).contradictions(with: data).count == 1)
    data.pecID = "other@g"
    #expect(envelope.contradictions(with: data).count == 1)
    #expect(envelope.contradictions(with: CertificationDataTests.acceptance).count == 2)
    var error = CertificationDataTests.deliveryError
    let notice = read(message([xml], outer: "X-Ricevuta: errore-consegna\nX-VerificaSicurezza: errore\n"))
    #expect(notice.isSecurityNotice)
    #expect(notice.contradictions(with: error) == [])
    error.delivery = nil
    #expect(notice.contradictions(with: error) == ["consegna is missing"])
    #expect(read("\nx\n").contradictions(with: data).count == 1)
    // An envelope without Message-ID, or with two, has none that is the identificativo.
    for outer in ["X-Trasporto: posta-certificata\n", "X-Trasporto: posta-certificata\nMessage-ID: <i@g>\nMessage-ID: <i@g>\n"] {
      let unnamed = read(message([xml, mail], outer: outer))
      data.pecID = "i@g"
      #expect(unnamed.messageID == nil && unnamed.contradictions(with: data).count == 1)
    }
    var failed = CertificationDataTests.acceptance
    failed.error = .other
    let receipt = read(message([xml], outer: "X-Ricevuta: accettazione\n"))
    #expect(receipt.contradictions(with: CertificationDataTests.acceptance) == [])
    #expect(receipt.disagreements(with: failed).map(\.italian) == ["errore altro non ammesso per il tipo accettazione"])
  }

  /// An author who can be read in two ways is none.
  @Test(arguments: [
    ("From: a@b.example\n", String?("a@b.example")), ("From: \"Per conto di: x@y\" <a@b.example>\n", "a@b.example"), ("", nil),
    ("From: a@b.example\nFrom: a@b.example\n", nil), ("From: a@b.example\nFROM : c@d.example\n", nil),
    ("From: a@b.example, c@d.example\n", nil), ("From: x: a@b.example;\n", nil), ("From: c@d.example <a@b.example>\n", nil),
    ("From: <a@b.example><c@d.example>\n", nil), ("From: Anna\n", nil),
  ])
  func authors(line: String, expected: String?) { #expect(read("Subject: x\n" + line + "\n").from?.address == expected) }

  /// A second part of the name makes both doubtful, whatever its type, however deep in the message; one of an attached message does not.
  @Test(arguments: [
    ("Content-Type: application/octet-stream; name=daticert.xml\n\nx\n", false),
    ("Content-Type: text/plain\nContent-Disposition: attachment; filename=DATICERT.XML\n\nx\n", false),
    ("Content-Type: multipart/mixed; boundary=deep\n\n--deep\nContent-Type: text/xml; name=daticert.xml\n\nx\n--deep--\n", false),
    ("Content-Type: application/xml; name=altro.xml\n\nx\n", true),
    ("Content-Type: message/rfc822\n\nContent-Type: application/xml; name=daticert.xml\n\nx\n", true),
  ])
  func secondCertificationParts(second: String, isFound: Bool) {
    #expect((read(message([xml, second])).certificationPart != nil) == isFound)
  }

  @Test func signedPartMustBeMixed() {
    let other = message([xml, mail]).replacing("multipart/mixed", with: "multipart/alternative")
    let claim = read(other)
    #expect(claim.certificationPart == nil && claim.originalPart == nil && claim.signedRange != nil)
  }
}
