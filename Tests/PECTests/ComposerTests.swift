import Limits
import MIMEStream
import Octets
import Testing

@testable import PEC

/// Whole messages, compared octet by octet with files that were read against pec-rules 4.4 and 14.
@Suite struct ComposerTests {
  private let composer = Composer(provider: alfa)

  private static let seed: UInt64 = 0x0123_4567_89AB_CDEF

  private func check(_ draft: Draft, original: [UInt8] = [], _ file: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    expectEqual(assemble(draft, original: original), try fixture(file), file, sourceLocation: sourceLocation)
  }

  @Test func acceptance() throws {
    let draft = composer.acceptance(submit(wire(exampleText)).facts, boundarySeed: Self.seed)
    #expect(draft.kind == .acceptance)
    #expect(draft.messageID == "alfa1.20260310091500.000042.acc@gestore-alfa.example")
    #expect(draft.sender == "posta-certificata@gestore-alfa.example" && draft.recipients == ["anna.rossi@pec.alfa.example"])
    try check(draft, "acceptance.eml")
  }

  @Test func envelope() throws {
    let original = wire(exampleText)
    let (submission, facts) = submit(original)
    let draft = composer.envelope(facts, original: submission.facts, boundarySeed: Self.seed)
    #expect(draft.kind == .envelope && draft.messageID == exampleID)
    #expect(draft.sender == "anna.rossi@pec.alfa.example")
    #expect(draft.recipients == ["ufficio@pec.beta.example", "archivio@pec.gamma.example"])
    try check(draft, original: original, "envelope.eml")
  }

  /// A subject in encoded words, no Message-ID, no X-TipoRicevuta, a Reply-To, an ordinary recipient, headers of the channel inside.
  @Test func envelopeOfAnotherOriginal() throws {
    let original = wire(
      """
      Return-Path: <anna.rossi@pec.alfa.example>
      From: anna.rossi@pec.alfa.example
      to: giulia@posta.example,
      \tUfficio <ufficio@pec.beta.example>
      Reply-To: Segreteria <segreteria@pec.alfa.example>
      Subject: =?utf-8?q?Perch=C3=A9_=E2=80=9Cno=E2=80=9D_=E2=82=AC_5?=
      X-Ricevuta: accettazione
      X-Riferimento-Message-ID: <falso@x.example>
      References: <a@b>

      --=_ceralacca_falso
      .

      """)
    let (submission, facts) = submit(original, to: ["giulia@posta.example", "ufficio@pec.beta.example"])
    try check(composer.envelope(facts, original: submission.facts, boundarySeed: Self.seed), original: original, "envelope-other.eml")
  }

  @Test func nonAcceptance() throws {
    let message = wire(exampleText.replacing("To: ufficio@pec.beta.example\n", with: "Bcc: x@y.example\n"))
    let (submission, facts) = submit(message, to: ["ufficio@pec.beta.example", "giulia@posta.example"])
    let faults = FormalCheck.faults(of: submission, limits: MessageLimits())
    #expect(faults.map(\.code.rawValue) == ["F3", "F5", "F5", "F6"])
    let draft = composer.nonAcceptance(facts, faults: faults, boundarySeed: Self.seed)
    #expect(draft.recipients == ["anna.rossi@pec.alfa.example"] && draft.sender == "posta-certificata@gestore-alfa.example")
    try check(draft, "non-acceptance.eml")
  }

  @Test func nonAcceptanceVirus() throws {
    let draft = composer.nonAcceptanceVirus(submit(wire(exampleText)).facts, threat: "Eicar-Test-Signature", boundarySeed: Self.seed)
    try check(draft, "non-acceptance-virus.eml")
  }

  @Test func nonDelivery() throws {
    let draft = composer.nonDelivery(
      submit(wire(exampleText)).facts, recipient: "archivio@pec.gamma.example",
      at: Instant(unixSeconds: exampleInstant.unixSeconds + 7, utcOffsetSeconds: 3600),
      failure: .refused(code: 550, enhanced: "5.1.1", text: "<archivio@pec.gamma.example>: User unknown"), boundarySeed: Self.seed)
    #expect(draft.recipients == ["anna.rossi@pec.alfa.example"])
    try check(draft, "non-delivery.eml")
  }

  @Test(
    arguments: [
      (.timeoutFirst, 43_200, "timeout-first.eml", "4.4.1", "dodici"),
      (.timeoutSecond, 85_500, "timeout-second.eml", "5.4.1", "ventiquattro"),
    ] as [(MessageKind, Int64, String, String, String)])
  func timeouts(kind: MessageKind, seconds: Int64, file: String, status: String, hours: String) throws {
    let instant = Instant(unixSeconds: exampleInstant.unixSeconds + seconds, utcOffsetSeconds: 3600)
    let draft = composer.timeout(
      kind, submit(wire(exampleText)).facts, recipient: "archivio@pec.gamma.example", at: instant, boundarySeed: Self.seed)
    #expect(draft.kind == kind && draft.recipients == ["anna.rossi@pec.alfa.example"])
    #expect(draft.sender == "posta-certificata@gestore-alfa.example" && draft.originalRange == nil)
    let (read, data, _) = try reread(assemble(draft))
    #expect(read.nature == .notification(.timeout) && read.contradictions(with: data) == [] && read.originalPart == nil)
    #expect(data.type == .timeout && data.error == .other && data.delivery == "archivio@pec.gamma.example" && data.receptions == [])
    #expect(data.instant == instant && data.pecID == exampleID && data.receiptType == nil)
    #expect(
      data.extendedError == "\(status) - Alfa PEC S.p.A. - il messaggio non è stato consegnato nelle prime \(hours) ore dal suo invio")
    try check(draft, file)
  }

  // MARK: Properties

  /// Reads a message that was made, as somebody else would.
  private func reread(_ message: [UInt8]) throws -> (message: PECMessage, data: CertificationData, facts: MessageFacts) {
    let facts = MessageWalker.facts(of: message)
    #expect(facts.flags == [], "\(facts.flags.names)")
    let read = PECMessage(facts)
    let part = try #require(read.certificationPart)
    let xml = TransferDecoder.decode(Array(message[part.bodyRange]), encoding: part.transferEncoding)
    return (read, try CertificationData.read(xml: xml), facts)
  }

  @Test(arguments: [1, 50, 500, 1000])
  func recipientCounts(count: Int) throws {
    let addresses = (0..<count).map { "utente\($0)@" + ($0 % 3 == 0 ? "pec.beta.example" : "posta.example") }
    let original = wire(exampleText.replacing("To: ufficio@pec.beta.example\n", with: "To: " + addresses.joined(separator: ",\n ") + "\n"))
    let (submission, facts) = submit(original, to: addresses)
    #expect(facts.recipients.map(\.address) == addresses)
    for draft in [
      composer.acceptance(facts, boundarySeed: 1), composer.envelope(facts, original: submission.facts, boundarySeed: 1),
      composer.nonAcceptance(facts, faults: [], boundarySeed: 1),
      composer.nonDelivery(facts, recipient: addresses[0], at: exampleInstant, failure: .noMailbox, boundarySeed: 1),
      composer.timeout(.timeoutFirst, facts, recipient: addresses[0], at: exampleInstant, boundarySeed: 1),
    ] {
      let message = assemble(draft, original: original)
      let (read, data, _) = try reread(message)
      #expect(data.recipients == facts.recipients)
      #expect(data.recipients.map(\.recipientClass) == addresses.indices.map { $0 % 3 == 0 ? .certified : .ordinary })
      #expect(read.contradictions(with: data) == [])
      let signed = try #require(read.signedRange)
      expectEqual(Array(message[signed]), signedOctets(draft, original: original), "signed octets")
      #expect(draft.signedBytes == signed.count)
    }
  }

  @Test func sevenBitLinesAndLineEnds() throws {
    let subject = "=?utf-8?q?" + String(repeating: "=E2=82=AC", count: 20) + "?="
    let original = wire(
      exampleText.replacing("Domanda di iscrizione", with: Array(repeating: subject, count: 40).joined(separator: "\n "))
        .replacing("<c1f0a7@mua.alfa.example>", with: "<" + String(repeating: "x", count: 990 - 12) + ">"))
    let (submission, facts) = submit(original)
    #expect(FormalCheck.faults(of: submission, limits: MessageLimits()) == [])
    for draft in [
      composer.acceptance(facts, boundarySeed: 7), composer.envelope(facts, original: submission.facts, boundarySeed: 7),
      composer.nonDelivery(facts, recipient: "a@b", at: exampleInstant, failure: .noDomain, boundarySeed: 7),
      composer.timeout(.timeoutSecond, facts, recipient: "a@b", at: exampleInstant, boundarySeed: 7),
    ] {
      let (_, data, _) = try reread(assemble(draft, original: original))
      #expect(data.subject?.filter { $0 == "€" }.count == 800)
    }
  }

  @Test func sameInputSameOctets() {
    let original = wire(exampleText)
    let (submission, facts) = submit(original)
    let first = composer.envelope(facts, original: submission.facts, boundarySeed: 5)
    #expect(first == composer.envelope(facts, original: submission.facts, boundarySeed: 5))
    #expect(first != composer.envelope(facts, original: submission.facts, boundarySeed: 6))
    #expect(composer.acceptance(facts, boundarySeed: 5) == composer.acceptance(facts, boundarySeed: 5))
  }

  /// Subjects as they come, their encoded words unchanged behind the prefix (pec-rules 2.0 item 5).
  @Test(
    arguments: [
      ("Subject: ciao\n", "ACCETTAZIONE: ciao", "ciao"), ("", "ACCETTAZIONE:", nil), ("Subject:\n", "ACCETTAZIONE:", nil),
      ("Subject: =?iso-8859-1?q?perch=E9?=\n", "ACCETTAZIONE: =?iso-8859-1?q?perch=E9?=", "perché"),
      ("Subject: =?utf-8?b?cGVyY2jDqQ==?=\n", "ACCETTAZIONE: =?utf-8?b?cGVyY2jDqQ==?=", "perché"),
      ("Subject: =?windows-1252?q?=80_5?= e altro\n", "ACCETTAZIONE: =?windows-1252?q?=80_5?= e altro", "€ 5 e altro"),
      ("Subject: POSTA CERTIFICATA: x\n", "ACCETTAZIONE: POSTA CERTIFICATA: x", "POSTA CERTIFICATA: x"),
      ("Subject: =?utf-8?q?a=0D=0AX-Ricevuta:_falsa?=\n", "ACCETTAZIONE: =?utf-8?q?a=0D=0AX-Ricevuta:_falsa?=", "a  X-Ricevuta: falsa"),
    ] as [(String, String, String?)])
  func subjects(line: String, outer: String, inner: String?) throws {
    let message = wire(exampleText.replacing("Subject: Domanda di iscrizione\n", with: line))
    let made = assemble(composer.acceptance(submit(message).facts, boundarySeed: 3))
    let (_, data, facts) = try reread(made)
    let field = try #require(facts.header.first(named: "Subject"))
    #expect(text(facts.header.value(of: field)) == outer)
    #expect(data.subject == inner)
    #expect(facts.header.fields(named: "X-Ricevuta").count == 1)
  }

  /// Boundaries differ from every line of the original that begins like one.
  @Test func boundariesAvoidTheOriginal() {
    let free = Boundaries(seed: 9, kind: .envelope, avoiding: [])
    #expect(free.signed != free.mixed)
    #expect(free.signed.count <= 70 && free.signed.starts(with: Composer.boundaryPrefix))
    for taken in [free.signed, free.mixed, free.signed + Array("--".utf8), free.mixed + Array(" x".utf8)] {
      let other = Boundaries(seed: 9, kind: .envelope, avoiding: [taken])
      #expect(other.signed != free.signed && other.mixed != free.mixed)
    }
    let original = wire(exampleText) + Array("--".utf8) + free.mixed + Array("--\r\n".utf8)
    let (submission, facts) = submit(original)
    let draft = composer.envelope(facts, original: submission.facts, boundarySeed: 9)
    let message = assemble(draft, original: original)
    #expect(PECMessage(MessageWalker.facts(of: message)).originalPart != nil)
    #expect(!text(draft.head).contains(text(free.signed)))
  }

  @Test func senderWithQuotes() throws {
    let sender = "\"a \\\" b\"@pec.alfa.example"
    let message = wire(exampleText.replacing("\"Anna Rossi\" <anna.rossi@pec.alfa.example>", with: sender))
    let (submission, facts) = submit(message, from: sender)
    #expect(FormalCheck.faults(of: submission, limits: MessageLimits()) == [])
    let (read, data, _) = try reread(assemble(composer.envelope(facts, original: submission.facts, boundarySeed: 1), original: message))
    #expect(read.from?.displayName == "Per conto di: " + sender)
    #expect(read.from?.address == alfa.serviceAddress)
    #expect(data.sender == sender && data.replyTo == sender)
  }

  @Test(
    arguments: [
      ("X-TipoRicevuta: completa\n", ReceiptType.complete, "completa"), ("x-tiporicevuta:  BREVE \n", .brief, "breve"),
      ("X-TipoRicevuta: sintetica\n", .concise, "sintetica"), ("X-TipoRicevuta: complet\n", .complete, "completa"), ("", .complete, nil),
    ] as [(String, ReceiptType, String?)])
  func receiptTypes(line: String, type: ReceiptType, header: String?) throws {
    let original = wire(exampleText.replacing("X-TipoRicevuta: completa\n", with: line))
    let (submission, facts) = submit(original)
    let (_, data, made) = try reread(assemble(composer.envelope(facts, original: submission.facts, boundarySeed: 1), original: original))
    #expect(data.receiptType == type)
    #expect(made.header.first(named: "X-TipoRicevuta").map { text(made.header.value(of: $0)) } == header)
  }

  @Test(
    arguments: [
      (550, "5.1.1", CertificationError.noRecipient, "5.1.1"), (550, nil, .noRecipient, "5.1.1"), (550, "5.1.2", .noDomain, "5.1.2"),
      (552, "5.2.2", .other, "5.2.2"), (554, nil, .other, "5.0.0"), (550, "5.7.1", .other, "5.7.1"), (550, "4.2.2", .noRecipient, "5.1.1"),
      (550, "5.1", .noRecipient, "5.1.1"), (550, "5.1.x\r\n", .noRecipient, "5.1.1"), (553, nil, .noRecipient, "5.1.3"),
      (-7, "", .other, "5.0.0"),
    ] as [(Int, String?, CertificationError, String)])
  func refusals(code: Int, enhanced: String?, error: CertificationError, status: String) {
    let failure = DeliveryFailure.refused(code: code, enhanced: enhanced, text: "no\r\n" + String(repeating: "x", count: 5000))
    #expect(failure.error == error && failure.status == status)
    #expect(failure.italian.utf8.count < 400 && failure.italian.utf8.allSatisfy { $0 >= 32 })
  }
}
