import Testing

@testable import PEC

@Suite struct CertificationDataTests {
  private static let instant = exampleInstant

  /// The samples of pec-rules 5.3–5.5.
  static let acceptance = CertificationData(
    type: .acceptance, error: .none, sender: "anna.rossi@pec.alfa.example",
    recipients: [
      Recipient(address: "ufficio@pec.beta.example", recipientClass: .certified),
      Recipient(address: "giulia@posta.example", recipientClass: .ordinary),
    ], replyTo: "anna.rossi@pec.alfa.example", subject: "Domanda di iscrizione – anno 2026", provider: "Alfa PEC S.p.A.", instant: instant,
    pecID: exampleID, clientMessageID: "<c1f0a7@mua.alfa.example>")

  static var envelope: CertificationData {
    var data = acceptance
    data.type = .envelope
    data.receiptType = .brief
    return data
  }

  static let deliveryError = CertificationData(
    type: .deliveryError, error: .noRecipient, sender: "anna.rossi@pec.alfa.example",
    recipients: [
      Recipient(address: "ufficio@pec.beta.example", recipientClass: .certified),
      Recipient(address: "archivio@pec.gamma.example", recipientClass: .certified),
    ], replyTo: "anna.rossi@pec.alfa.example", subject: "Domanda di iscrizione", provider: "Gamma S.r.l.",
    instant: Instant(unixSeconds: 1_773_130_507, utcOffsetSeconds: 3600), pecID: exampleID, clientMessageID: "<c1f0a7@mua.alfa.example>",
    delivery: "archivio@pec.gamma.example", extendedError: "5.1.1 - Gamma S.r.l. - casella inesistente")

  @Test func samples() throws {
    for (data, file) in [
      (Self.acceptance, "daticert-acceptance.xml"), (Self.envelope, "daticert-envelope.xml"), (Self.deliveryError, "daticert-error.xml"),
    ] {
      let expected = try fixture(file)
      expectEqual(data.xml(), expected, file)
      #expect(try CertificationData.read(xml: expected) == data)
    }
  }

  /// The sentence behind status and provider, as they are written in the wild (pec-rules 5.2).
  @Test(
    arguments: [
      ("5.1.1 - Gamma S.r.l. - casella inesistente", "casella inesistente"), ("5.1.1 - GAMMA S.R.L. - a - b", "a - b"),
      ("5.5.1, Gamma S.r.l., presenza di un virus nel messaggio", "presenza di un virus nel messaggio"),
      ("5.1.1 - Delta S.r.l. - casella inesistente", "5.1.1 - Delta S.r.l. - casella inesistente"),
      ("5.1.1 - Gamma S.r.l. - ", "5.1.1 - Gamma S.r.l. - "), ("5.1 - Gamma S.r.l. - x", "5.1 - Gamma S.r.l. - x"),
      ("5.1.1111 - Gamma S.r.l. - x", "5.1.1111 - Gamma S.r.l. - x"), ("5..1 - Gamma S.r.l. - x", "5..1 - Gamma S.r.l. - x"),
      ("Gamma S.r.l. - x", "Gamma S.r.l. - x"), ("Casella del destinatario inesistente", "Casella del destinatario inesistente"),
      ("5.5.1, Gamma S.r.l. - x", "5.5.1, Gamma S.r.l. - x"), ("Eicar", "Eicar"), ("", nil), (nil, nil),
    ] as [(String?, String?)])
  func errorSentence(said: String?, sentence: String?) {
    var data = Self.deliveryError
    data.extendedError = said
    #expect(data.errorSentence == sentence)
  }

  /// Markup, control characters and what XML does not allow, in every place that comes from outside.
  @Test func hostileValues() throws {
    let evil = "a<b>&\"'\u{0}\u{1B}\u{FFFE}\u{FFFF}]]>\u{E000}\u{1F512}\ttab\u{7F}</oggetto>"
    let tame = "a<b>&\"'\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}]]>\u{E000}\u{1F512}\ttab\u{7F}</oggetto>"
    var data = Self.deliveryError
    data.subject = evil
    data.sender = evil
    data.replyTo = evil
    data.provider = evil
    data.pecID = evil
    data.clientMessageID = evil
    data.delivery = evil
    data.receptions = [evil, "b"]
    data.extendedError = evil
    data.recipients = [Recipient(address: evil, recipientClass: .ordinary)]
    let read = try CertificationData.read(xml: data.xml())
    #expect(read.subject == tame && read.sender == tame && read.replyTo == tame && read.provider == tame && read.pecID == tame)
    #expect(read.clientMessageID == tame && read.delivery == tame && read.extendedError == tame && read.receptions == [tame, "b"])
    #expect(read.recipients == [Recipient(address: tame, recipientClass: .ordinary)])
  }

  @Test func lineEndsSurvive() throws {
    var data = Self.acceptance
    data.subject = "a\r\nb\rc\nd"
    #expect(try CertificationData.read(xml: data.xml()).subject == "a\r\nb\rc\nd")
    #expect(text(data.xml()).contains("<oggetto>a&#13;\nb&#13;c\nd</oggetto>"))
  }

  @Test(arguments: [1, 50, 500, 1000])
  func recipientCounts(count: Int) throws {
    var data = Self.envelope
    data.recipients = (0..<count).map { Recipient(address: "u\($0)@d\($0).example", recipientClass: $0 % 2 == 0 ? .certified : .ordinary) }
    #expect(try CertificationData.read(xml: data.xml()) == data)
  }

  @Test func everyTypeAndError() throws {
    for type in CertificationType.allCases {
      for error in CertificationError.allCases {
        var data = Self.acceptance
        data.type = type
        data.error = error
        #expect(try CertificationData.read(xml: data.xml()) == data)
      }
    }
  }

  private static let minimal = """
    <postacert tipo="accettazione"><intestazione><mittente>a@b</mittente><destinatari>c@d</destinatari><risposte>a@b</risposte></intestazione>\
    <dati><gestore-emittente>G</gestore-emittente><data zona="+0100"><giorno>10/03/2026</giorno><ora>09:15:00</ora></data>\
    <identificativo>i@g</identificativo></dati></postacert>
    """

  /// What others write, and is accepted (pec-rules 5.1).
  @Test(arguments: [
    minimal,
    "\u{FEFF}<?xml version='1.0' encoding='utf-8' standalone='yes'?>\r\n" + minimal + "\r\n<!-- fine -->\n",
    minimal.replacing("><", with: ">\r\n\t <"),
    minimal.replacing("><", with: "> . <"),
    minimal.replacing("<mittente>a@b", with: "<mittente ><![CDATA[a@]]>b"),
    minimal.replacing("<mittente>a@b", with: "<mittente>\n   a&#64;&#x62;\n"),
    minimal.replacing("<dati>", with: "<!-- x <dati> --><?cosa?><dati>"),
    minimal.replacing("<dati>", with: "<dati><ignoto a='1'><altro/>x</ignoto>"),
    minimal.replacing("<destinatari>", with: "<destinatari tipo = \"certificato\">"),
    minimal.replacing("</identificativo>", with: "</identificativo ><msgid/><ricevuta tipo=\"complet\"></ricevuta>")
      .replacing("<msgid/><ricevuta tipo=\"complet\"></ricevuta>", with: ""),
  ])
  func accepted(document: String) throws {
    let data = try CertificationData.read(xml: Array(document.utf8))
    #expect(data.sender == "a@b" && data.error == .none && data.pecID == "i@g" && data.provider == "G" && data.subject == nil)
    #expect(data.recipients == [Recipient(address: "c@d", recipientClass: .certified)])
    #expect(data.instant == exampleInstant)
  }

  @Test func unknownReceiptTypeIsComplete() throws {
    let document = Self.minimal.replacing("</identificativo>", with: "</identificativo><ricevuta tipo=\"complet\"/>")
    #expect(try CertificationData.read(xml: Array(document.utf8)).receiptType == .complete)
  }

  /// What is refused, with a word of the reason.
  @Test(arguments: [
    ("", "no element"), ("<postacert", "well formed"), ("<a/>", "root"), ("testo", "outside"),
    ("<!DOCTYPE postacert SYSTEM \"http://x/y.dtd\">" + minimal, "DOCTYPE"),
    ("<!DOCTYPE a [<!ENTITY x \"y\">]>" + minimal, "DOCTYPE"),
    (minimal.replacing("a@b", with: "&x;"), "entity &x;"), (minimal.replacing("a@b", with: "&#0;"), "entity"),
    (minimal.replacing("a@b", with: "&#xD800;"), "entity"), (minimal.replacing("a@b", with: "&#-1;"), "entity"),
    (minimal.replacing("a@b", with: "&#;"), "entity"), (minimal.replacing("a@b", with: "&#99999999;"), "entity"),
    (minimal.replacing("a@b", with: "a & b"), "begins no reference"), (minimal.replacing("a@b", with: "a\u{1}"), "control"),
    (minimal.replacing("a@b", with: "<![CDATA[x"), "CDATA"), (minimal.replacing("a@b", with: "<!-- x"), "comment"),
    (minimal.replacing("a@b", with: "<? x"), "instruction"),
    ("<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>" + minimal, "not UTF-8"), ("<?xml version=\"2.0\"?>" + minimal, "not XML 1"),
    (minimal.replacing("accettazione", with: "mancata-consegna"), "tipo"),
    (minimal.replacing("tipo=\"accettazione\"", with: ""), "tipo"),
    (minimal.replacing("tipo=\"accettazione\"", with: "tipo=\"accettazione\" tipo=\"accettazione\""), "twice"),
    (minimal.replacing("tipo=\"accettazione\"", with: "tipo=accettazione"), "quotes"),
    (minimal.replacing("tipo=\"accettazione\"", with: "tipo"), "without a value"),
    (minimal.replacing("tipo=\"accettazione\"", with: "tipo=\"<\""), "in an attribute"),
    (minimal.replacing("tipo=\"accettazione\"", with: "tipo=\"accettazione\" errore=\"superamento-tempi-massimi\""), "errore"),
    (minimal.replacing("<destinatari>", with: "<destinatari tipo=\"x\">"), "destinatari"),
    (minimal.replacing("<destinatari>c@d</destinatari>", with: ""), "destinatari is missing"),
    (minimal.replacing("<risposte>a@b</risposte>", with: ""), "risposte is missing"),
    (minimal.replacing("<risposte>", with: "<mittente>x</mittente><risposte>"), "twice"),
    (minimal.replacing("10/03/2026", with: "10-03-2026"), "moment"), (minimal.replacing(" zona=\"+0100\"", with: ""), "zona"),
    (minimal.replacing("<ora>09:15:00</ora>", with: ""), "ora is missing"),
    (minimal.replacing("</dati>", with: "</dato>"), "ends nothing"), (minimal.replacing("</postacert>", with: ""), "ends in"),
    (minimal + minimal, "second root"), (minimal + "x", "outside"),
    (String(repeating: "<postacert tipo=\"accettazione\">", count: 100), "deeply"),
    (minimal.replacing("<mittente>", with: "<1>"), "name"),
  ])
  func refused(document: String, reason: String) {
    do {
      let data = try CertificationData.read(xml: Array(document.utf8))
      Issue.record("accepted as \(data)")
    } catch {
      #expect(error.reason.contains(reason), "\(error)")
    }
  }

  @Test func refusedOctets() {
    #expect(throws: CertificationFault.self) { try CertificationData.read(xml: [0xC3, 0x28]) }
    #expect(throws: CertificationFault.self) {
      try CertificationData.read(xml: Array(repeating: 32, count: XMLScanner.maximumBytes + 1))
    }
  }

  /// Cut at every octet, and every octet replaced: a fault or data, never a trap.
  @Test func damaged() throws {
    let whole = Self.envelope.xml()
    for end in whole.indices.dropLast() {
      #expect(throws: CertificationFault.self) { try CertificationData.read(xml: Array(whole[..<end])) }
    }
    for index in whole.indices {
      for byte in Array("<>&\"'/! ;".utf8) + [0, 255] {
        var damaged = whole
        damaged[index] = byte
        _ = try? CertificationData.read(xml: damaged)
      }
    }
  }
}
