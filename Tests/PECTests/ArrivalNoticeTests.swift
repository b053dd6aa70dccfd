import MIMEStream
import Octets
import Testing

@testable import PEC

/// The word by ordinary mail that a message has arrived.
@Suite struct ArrivalNoticeTests {
  private let composer = Composer(provider: beta)

  private func made(
    sender: String = "anna.rossi@pec.alfa.example", subject: String? = "Domanda di iscrizione", isAnomaly: Bool = false,
    mailbox: String = "ufficio@pec.beta.example"
  ) -> (messageID: String, facts: MessageFacts, text: String) {
    let made = composer.arrivalNotice(
      ArrivalFacts(mailbox: mailbox, sender: sender, subject: subject, instant: exampleInstant, isAnomaly: isAnomaly),
      to: "ufficio@posta.example", reception: receptionID)
    let facts = MessageWalker.facts(of: made.octets)
    let body = TransferDecoder.decode(Array(made.octets[facts.parts[0].bodyRange]), encoding: facts.parts[0].transferEncoding)
    return (made.messageID, facts, text(body))
  }

  private func value(_ name: String, _ facts: MessageFacts) -> String? {
    let fields = facts.header.fields(named: name)
    return fields.count == 1 ? EncodedWord.decode(facts.header.value(of: fields[0])) : nil
  }

  @Test func header() {
    let made = made()
    #expect(made.facts.flags == [] && made.facts.parts.count == 1 && made.facts.parts[0].type == "text/plain")
    #expect(value("From", made.facts) == beta.serviceAddress && value("To", made.facts) == "<ufficio@posta.example>")
    #expect(value("Auto-Submitted", made.facts) == "auto-generated" && value("Message-ID", made.facts) == "<\(made.messageID)>")
    #expect(value("Subject", made.facts) == "Avviso di arrivo di posta certificata: Domanda di iscrizione")
    #expect(value("Date", made.facts) == exampleInstant.headerDate)
    // Nothing in it claims to be of the certified channel.
    #expect(PECMessage(made.facts).nature == .ordinary)
    #expect(!made.facts.header.fields.contains { text(made.facts.header.bytes[$0.name]).hasPrefix("X-") })
  }

  @Test func words() {
    let text = made().text
    for words in [
      "Il giorno 10/03/2026 alle ore 09:15:00 (+0100) nella casella\r\nufficio@pec.beta.example\r\n",
      "Mittente: anna.rossi@pec.alfa.example",
      "Oggetto: Domanda di iscrizione", "posta ordinaria", "Sender: anna.rossi@pec.alfa.example", "proves nothing",
    ] { #expect(text.contains(words), "\(words)") }
    let nothing = made(sender: "", subject: nil, isAnomaly: true)
    #expect(nothing.text.contains("Mittente: nessuno") && nothing.text.contains("Oggetto: nessuno"))
    #expect(nothing.text.contains("busta di anomalia") && nothing.text.contains("Subject: none"))
    #expect(value("Subject", nothing.facts) == "Avviso di arrivo di una busta di anomalia")
  }

  /// One for each mailbox, and the same one when it is made again.
  @Test func identifiers() {
    let id = made().messageID
    #expect(id == made(subject: "altro").messageID && id == made(mailbox: "Ufficio@pec.beta.example").messageID)
    #expect(id == composer.arrivalNoticeID(reception: receptionID, mailbox: "ufficio@pec.beta.example"))
    #expect(id != made(mailbox: "altri@pec.beta.example").messageID)
    #expect(id != composer.arrivalNoticeID(reception: "x" + receptionID, mailbox: "ufficio@pec.beta.example"))
  }

  /// Whatever a sender writes stays what he wrote, on one line, and visible.
  @Test(arguments: [
    "uno\r\nBcc: altri@x.test\r\n\r\ncorpo", "perché \u{202E}fdp.exe", "\u{0}\u{7F}\u{85}", String(repeating: "è😀", count: 3000),
    "=?x?q?y?=",
    ".\r\n.", "   ",
  ])
  func hostile(subject: String) {
    let made = made(sender: subject, subject: subject)
    #expect(
      made.facts.flags.isDisjoint(with: [.lineTooLong, .nulOctet, .eightBitHeader, .eightBitBody, .bareCarriageReturn, .bareLineFeed]))
    #expect(
      made.facts.header.fields.map { text(made.facts.header.bytes[$0.name]) } == [
        "Date", "From", "To", "Subject", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
      ])
    #expect(!made.text.unicodeScalars.contains { [0, 0x7F, 0x85, 0x202E].contains($0.value) })
    #expect(made.text.split(separator: "\r\n").filter { $0.hasPrefix("Oggetto: ") }.count == 1)
    #expect(made.text.utf8.count < 4000)
  }

  /// Who has chosen a kind of receipt once for all has it asked for in the envelope, and his original is as he wrote it.
  @Test(arguments: [(ReceiptType.brief, "breve" as String?), (.concise, "sintetica"), (.complete, nil)])
  func aChosenReceipt(type: ReceiptType, asked: String?) throws {
    let original = wire(exampleText.replacing("X-TipoRicevuta: completa\n", with: ""))
    var (submission, facts) = submit(original)
    #expect(!submission.asksForReceiptType)
    facts.receiptType = type
    let draft = Composer(provider: alfa).envelope(facts, original: submission.facts, boundarySeed: 1)
    let octets = assemble(draft, original: original)
    let walked = MessageWalker.facts(of: octets)
    #expect(walked.header.first(named: "X-TipoRicevuta").map { text(walked.header.value(of: $0)) } == asked)
    let claim = PECMessage(walked)
    let part = try #require(claim.certificationPart)
    let data = try CertificationData.read(xml: TransferDecoder.decode(Array(octets[part.bodyRange]), encoding: part.transferEncoding))
    #expect(data.receiptType == type)
    #expect(!text(octets[try #require(claim.originalPart).bodyRange]).contains("X-TipoRicevuta"))
  }
}
