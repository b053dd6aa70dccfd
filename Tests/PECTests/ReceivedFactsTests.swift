import MIMEStream
import Octets
import Testing

@testable import PEC

/// What is read in messages of other providers: facts, and who is a copy.
@Suite struct ReceivedFactsTests {
  private func header(_ lines: String) -> HeaderFacts { MessageWalker.facts(of: wire(lines + "\n")).header }

  private func facts(_ lines: String, subject: String? = "oggetto", asked: ReceiptType? = nil, msgid: String? = "<a@b>") -> TransactionFacts
  {
    TransactionFacts(
      CertificationData(
        type: .envelope, error: .none, sender: "anna@pec.alfa.example",
        recipients: [Recipient(address: "u@pec.beta.example", recipientClass: .certified)], replyTo: "r@pec.alfa.example",
        subject: subject, provider: "Alfa", instant: exampleInstant, pecID: exampleID, clientMessageID: msgid, receiptType: asked),
      outer: header(lines), bytes: 4711)
  }

  /// Outer subject, and what of it is the original's (pec-rules 2.0 item 5).
  @Test(
    arguments: [
      ("POSTA CERTIFICATA: ciao", "ciao"), ("posta certificata:  ciao ", "ciao"), ("POSTA CERTIFICATA:ciao", "ciao"),
      ("POSTA CERTIFICATA:", "oggetto"), ("POSTA CERTIFICATA", "POSTA CERTIFICATA"), ("ciao", "ciao"), ("", "oggetto"),
      ("POSTA CERTIFICATA: POSTA CERTIFICATA: x", "POSTA CERTIFICATA: x"), ("POSTA CERTIFICATA: CONSEGNA: x", "CONSEGNA: x"),
      ("CONSEGNA: x", "x"), ("ACCETTAZIONE: x", "x"), ("AVVISO DI MANCATA CONSEGNA: x", "x"), ("PRESA IN CARICO: x", "x"),
      ("AVVISO DI MANCATA CONSEGNA PER VIRUS: x", "x"), ("AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: x", "x"),
      ("PROBLEMA DI SICUREZZA: x", "x"), ("AVVISO DI NON ACCETTAZIONE PER VIRUS: x", "x"),
      ("POSTA CERTIFICATA: =?iso-8859-1?q?perch=E9?=", "=?iso-8859-1?q?perch=E9?="),
      ("=?utf-8?q?POSTA_CERTIFICATA:_perch=C3=A9?=", "=?UTF-8?Q?perch=C3=A9?="), ("=?utf-8?q?perch=C3=A9?=", "=?utf-8?q?perch=C3=A9?="),
      ("=?utf-8?q?POSTA_CERTIFICATA:_?=", "oggetto"), ("POSTA\n CERTIFICATA:\n folded\n  twice", "folded  twice"),
    ])
  func subjects(outer: String, raw: String) {
    let facts = facts("Subject: \(outer)\n")
    #expect(facts.rawSubject.map { text($0) } == raw)
    #expect(facts.subject == "oggetto")
  }

  @Test func subjectOfTheData() {
    #expect(facts("").rawSubject.map { text($0) } == "oggetto")
    #expect(facts("", subject: "perché").rawSubject.map { text($0) } == "=?UTF-8?Q?perch=C3=A9?=")
    #expect(facts("", subject: nil).rawSubject == nil)
    #expect(facts("", subject: "a\nX-Ricevuta: falsa").subject == "a X-Ricevuta: falsa")
    #expect(facts("", subject: "").subject == nil)
  }

  @Test(
    arguments: [
      ("X-TipoRicevuta: breve\n", nil, .brief), ("x-tiporicevuta: SINTETICA\n", .complete, .concise), ("", .brief, .brief),
      ("", nil, .complete), ("X-TipoRicevuta: complet\n", .brief, .complete),
    ] as [(String, ReceiptType?, ReceiptType)])
  func receiptTypes(lines: String, data: ReceiptType?, expected: ReceiptType) {
    #expect(facts(lines, asked: data).receiptType == expected)
  }

  @Test func otherFacts() {
    let facts = facts("Subject: x\n")
    #expect(facts.pecID == exampleID && facts.instant == exampleInstant && facts.sender == "anna@pec.alfa.example" && facts.bytes == 4711)
    #expect(facts.recipients.map(\.address) == ["u@pec.beta.example"] && facts.replyTo == "r@pec.alfa.example")
    #expect(facts.clientMessageID == "<a@b>")
  }

  /// The data are another provider's: an identifier in them may be anything.
  @Test func untrustedMessageID() {
    #expect(facts("", msgid: nil).clientMessageID == nil)
    #expect(facts("", msgid: "").clientMessageID == nil)
    #expect(facts("", msgid: "<a@b>\r\nX-Ricevuta: x").clientMessageID == "<a@b>X-Ricevuta: x")
    #expect(facts("", msgid: String(repeating: "x", count: 5000)).clientMessageID?.utf8.count == TransactionFacts.clientMessageIDBytes)
  }

  // MARK: Primary or copy (pec-rules 7.2)

  @Test(
    arguments: [
      ("To: a@x\nCc: b@x\n", ["b@x"]), ("To: a@x, b@x\n", []), ("Cc: a@x, b@x\n", ["a@x", "b@x"]), ("To: b@x\nCc: a@x, b@x\n", ["a@x"]),
      ("To: z@x\nCc: A@X\n", ["a@x"]), ("To: z@x\nCc: \"a\"@x, Uno <b@x>\n", ["a@x", "b@x"]),
      ("To: z@x\nCc: g: a@x, b@x;\n", ["a@x", "b@x"]),
      ("To: undisclosed-recipients:;\nCc: b@x\n", ["b@x"]), ("", []), ("To: a@x\nCc: \n", []), ("To: a@x\nCc: (b@x)\n", []),
      // A field that does not parse decides nothing.
      ("To: a@x, <<\nCc: b@x\n", []), ("To: a@x\nCc: b@x, <<\n", []), ("To: 1@x, 2@x, 3@x, 4@x\nCc: b@x\n", []),
      ("To: a@x\nCc: c@x, d@x\nCc: b@x\n", ["b@x"]), ("To: \"b@x\" <z@x>\nCc: b@x\n", ["b@x"]), ("To: z@x\nCc: \"b@x\" <z@x>\n", []),
    ] as [(String, [String])])
  func copies(lines: String, expected: [String]) {
    #expect(PrimaryOrCopy.copyRecipients(of: ["a@x", "b@x"], header: header(lines), limit: 3) == expected)
  }

  @Test func copyKeepsSpelling() {
    #expect(PrimaryOrCopy.copyRecipients(of: ["Uno@X", "nonsense", ""], header: header("Cc: uno@x\n"), limit: 3) == ["Uno@X"])
  }
}
