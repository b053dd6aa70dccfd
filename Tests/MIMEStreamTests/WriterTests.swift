import MIMEStream
import Testing

private func lines(_ bytes: [UInt8]) -> [String] {
  text(bytes).replacing("\r\n", with: "\n").split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
}

/// The one field of `bytes`, unfolded and decoded, and its value as written.
private func reread(_ bytes: [UInt8]) throws -> (name: String, value: [UInt8], text: String) {
  let facts = MessageWalker.facts(of: bytes)
  #expect(facts.flags == [])
  let field = try #require(facts.header.fields.first)
  #expect(facts.header.fields.count == 1)
  let value = facts.header.value(of: field)
  return (facts.header.name(of: field), value, EncodedWord.decode(value))
}

@Suite("Header writer")
struct HeaderWriterTests {
  @Test("a short field stays on its line")
  func short() {
    var writer = HeaderWriter()
    writer.field("X-Trasporto", "posta-certificata")
    writer.field("To", "")
    #expect(text(writer.bytes) == "X-Trasporto: posta-certificata\r\nTo: \r\n")
  }

  @Test("a long field is folded at spaces")
  func folded() throws {
    var writer = HeaderWriter()
    let value = (0..<30).map { "utente\($0)@pec.alfa.example" }.joined(separator: ", ")
    writer.field("To", value)
    #expect(lines(writer.bytes).allSatisfy { $0.utf8.count <= 76 })
    #expect(try text(reread(writer.bytes).value) == value)
  }

  @Test("a value makes no second field and no line too long")
  func injection() throws {
    var writer = HeaderWriter()
    writer.field("X-A", "uno\r\nBcc: x\u{0}è")
    #expect(text(writer.bytes) == "X-A: uno  Bcc: x ?\r\n")
    writer = HeaderWriter()
    writer.field("To", String(repeating: "a@b.example,", count: 500) + String(repeating: "x", count: 3000))
    #expect(lines(writer.bytes).allSatisfy { $0.utf8.count <= 998 })
    #expect(
      try text(reread(writer.bytes).value).replacing(" ", with: "") == String(repeating: "a@b.example,", count: 500)
        + String(repeating: "x", count: 3000))
  }

  @Test(
    "a received subject behind a prefix",
    arguments: [
      ("Domanda", "Domanda", "Domanda"),
      ("  Domanda \r\n di iscrizione ", "Domanda  di iscrizione", "Domanda  di iscrizione"),
      ("=?utf-8?Q?perch=C3=A9?=", "=?utf-8?Q?perch=C3=A9?=", "perché"),
      ("=?iso-8859-1?Q?perch=E9?= no", "=?iso-8859-1?Q?perch=E9?= no", "perché no"),
      ("=?x-unknown?Q?a?=", "=?x-unknown?Q?a?=", "=?x-unknown?Q?a?="),
      ("a\u{0}b\u{7}c", "abc", "abc"),
      ("uno\tdue", "uno due", "uno due"),
      ("perché no", "=?UTF-8?Q?perch=C3=A9?= no", "perché no"),
      ("=?utf-8?Q?uno?= è", "=?utf-8?Q?uno?= =?UTF-8?B?IMOo?=", "uno è"),
      ("è =?utf-8?Q?uno?=", "=?UTF-8?B?w6gg?= =?utf-8?Q?uno?=", "è uno"),
      ("POSTA CERTIFICATA: x", "POSTA CERTIFICATA: x", "POSTA CERTIFICATA: x"),
    ])
  func subject(_ raw: String, _ value: String, _ read: String) throws {
    var writer = HeaderWriter()
    writer.unstructured("Subject", prefix: "POSTA CERTIFICATA: ", rawValue: Array(raw.utf8))
    let found = try reread(writer.bytes)
    #expect(found.name == "Subject")
    #expect(text(found.value) == "POSTA CERTIFICATA: " + value)
    #expect(found.text == "POSTA CERTIFICATA: " + read)
  }

  @Test("no subject gives the prefix alone")
  func noSubject() {
    var writer = HeaderWriter()
    writer.unstructured("Subject", prefix: "ACCETTAZIONE: ", rawValue: Array(" \r\n ".utf8))
    #expect(text(writer.bytes) == "Subject: ACCETTAZIONE:\r\n")
  }

  @Test("words too long for a line are encoded anew, and none is lost")
  func longWords() throws {
    let long = String(repeating: "parola", count: 400)
    let word = "=?utf-8?Q?" + String(repeating: "=C3=A8", count: 400) + "?="
    for raw in [long, "a " + long + " b", word, word + " " + long, long + " " + word, word + " " + word] {
      var writer = HeaderWriter()
      writer.unstructured("Subject", prefix: "CONSEGNA: ", rawValue: Array(raw.utf8))
      #expect(lines(writer.bytes).allSatisfy { $0.utf8.count <= 998 })
      #expect(try reread(writer.bytes).text == "CONSEGNA: " + EncodedWord.decode(Array(raw.utf8)))
    }
  }

  @Test("any received value can be read again behind the prefix", arguments: 0..<20)
  func anyValue(_ seed: Int) throws {
    var random = SeededRandom(UInt64(seed))
    let scraps = [
      "a", "parola", " ", "  ", "è", "€", "=?utf-8?Q?=C3=A8?=", "=?iso-8859-1?Q?=E8?=", "\r\n ", "😀", String(repeating: "z", count: 70),
    ]
    for _ in 0..<50 {
      let raw = (0..<Int.random(in: 1...20, using: &random)).map { _ in scraps.randomElement(using: &random) ?? "" }.joined()
      var writer = HeaderWriter()
      writer.unstructured("Subject", prefix: "P: ", rawValue: Array(raw.utf8))
      let found = try reread(writer.bytes)
      #expect(found.value.allSatisfy { $0 < 127 })
      #expect(
        squeezed(found.text) == squeezed("P: " + EncodedWord.decode(Array(raw.utf8))), "\(raw.debugDescription) \(text(writer.bytes))")
    }
  }

  @Test(
    "free text in any script", arguments: ["Ciao", "perché", "你好 世界", "  orlo  ", "uno – due", String(repeating: "così ", count: 60) + "."])
  func free(_ source: String) throws {
    var writer = HeaderWriter()
    writer.unstructured("Subject", source)
    let found = try reread(writer.bytes)
    #expect(found.text == source)
    #expect(lines(writer.bytes).allSatisfy { $0.utf8.count <= 76 })
  }

  @Test("a copied field is as it was")
  func copy() {
    var writer = HeaderWriter()
    writer.copy(Array("Received: from a\r\n\tby b; date\r\n".utf8)[...])
    writer.copy(Array("To: c".utf8)[...])
    writer.copy([])
    #expect(text(writer.bytes) == "Received: from a\r\n\tby b; date\r\nTo: c\r\n")
  }

  /// Spaces beside a scrap may run together differently; words may not.
  private func squeezed(_ source: String) -> String { source.split(separator: " ").joined(separator: " ") }
}

@Suite("Transfer encodings")
struct TransferTests {
  @Test(
    "quoted-printable",
    arguments: [
      ("", ""), ("Ciao\r\n", "Ciao\r\n"), ("Ciao\n", "Ciao\r\n"), ("è", "=C3=A8"), ("a=b", "a=3Db"), ("a \r\nb\t", "a=20\r\nb=09"),
      ("a b", "a b"),
      ("From x", "=46rom x"), (".\r\n", "=2E\r\n"), ("a\rb", "a=0Db"), ("\r\n\r\n", "\r\n\r\n"), ("\u{0}\u{7F}", "=00=7F"),
    ])
  func quotedPrintable(_ source: String, _ expected: String) {
    #expect(text(QuotedPrintable.encode(Array(source.utf8))) == expected)
  }

  @Test("lines of quoted-printable hold 76 characters and no more")
  func width() {
    #expect(lines(QuotedPrintable.encode(Array(String(repeating: "x", count: 76).utf8))).map(\.utf8.count) == [76])
    #expect(lines(QuotedPrintable.encode(Array(String(repeating: "x", count: 77).utf8))).map(\.utf8.count) == [76, 2])
    #expect(lines(QuotedPrintable.encode(Array(String(repeating: "è", count: 100).utf8))).allSatisfy { $0.utf8.count <= 76 })
    #expect(lines(QuotedPrintable.encode(Array(String(repeating: ".", count: 100).utf8))).allSatisfy { $0.utf8.count <= 76 })
  }

  @Test("quoted-printable of anything decodes to the same text", arguments: 0..<20)
  func quotedPrintableRoundTrip(_ seed: Int) {
    var random = SeededRandom(UInt64(seed))
    for _ in 0..<50 {
      let source = (0..<Int.random(in: 0...300, using: &random)).flatMap { _ in
        [[13, 10], [32], [46], [UInt8.random(in: 0...255, using: &random)], [120], [61]].randomElement(using: &random) ?? []
      }
      var expected: [UInt8] = []
      for byte in source {
        if byte == 10 && expected.last != 13 { expected.append(13) }
        expected.append(byte)
      }
      let encoded = QuotedPrintable.encode(source)
      #expect(TransferDecoder.quotedPrintable(encoded) == expected)
      #expect(lines(encoded).allSatisfy { $0.utf8.count <= 76 && $0.last != " " && $0.last != "\t" })
      #expect(encoded.allSatisfy { $0 < 127 })
    }
  }

  @Test(
    "quoted-printable as it arrives",
    arguments: [
      ("a=C3=A8=\r\nb", "aèb"), ("a=\nb", "ab"), ("a= \t\r\nb", "ab"), ("a  \r\nb", "a\r\nb"), ("a=", "a"), ("a=4", "a=4"),
      ("a=zz", "a=zz"), ("=c3=a8", "è"),
      ("a b", "a b"), ("a \t", "a"), ("=20\r\n", " \r\n"), ("==3D", "=="), ("a =3D", "a ="),
    ])
  func decodeQuotedPrintable(_ source: String, _ expected: String) {
    #expect(text(TransferDecoder.quotedPrintable(Array(source.utf8))) == expected)
  }

  @Test(
    "base64 as it arrives",
    arguments: [
      ("Q2lhbw==", "Ciao"), ("Q2lh\r\nbw==\r\n", "Ciao"), ("Q2lhbw", "Ciao"), ("Q2l!h-b*w=", "Ciao"), ("Q2lhbw==Q2lhbw==", "CiaoCiao"),
      ("", ""), ("=", ""), ("Q", ""),
      ("====", ""),
    ])
  func decodeBase64(_ source: String, _ expected: String) {
    #expect(text(TransferDecoder.base64(Array(source.utf8))) == expected)
  }

  @Test("the encoding by its name")
  func named() {
    let body = Array("Q2lhbw==".utf8)
    #expect(TransferDecoder.decode(body, encoding: "BASE64") == Array("Ciao".utf8))
    #expect(TransferDecoder.decode(body, encoding: "Quoted-Printable") == Array("Q2lhbw=\u{3D}".utf8.dropLast(1)))
    #expect(TransferDecoder.decode(body, encoding: "8bit") == body)
    #expect(TransferDecoder.decode(body, encoding: "x-uuencode") == body)
  }
}

@Suite("Latin-1")
struct Latin1Tests {
  @Test(
    "the nearest in ISO-8859-1",
    arguments: [
      ("Ciao", "Ciao"), ("è stato", "è stato"), ("e\u{300} a\u{300} n\u{303}", "è à ñ"), ("l’ora “x” – y — z…", "l'ora \"x\" - y - z..."),
      ("50 €", "50 EUR"), ("Łódź", "Lódz"), ("Š š Œ œ ẞ", "S s OE oe ß"), ("Tiếng Việt", "Tieng Viet"), ("Привет", "??????"), ("你好", "??"),
      ("😀", "?"), ("👩‍👩‍👧", "?"),
      ("👍🏽", "?"), ("a\u{200B}b", "ab"), ("a\u{A0}b", "a\u{A0}b"), ("fi: ﬁ", "fi: fi"), ("a\tb\r\nc\nd", "a\tb\r\nc\nd"),
      ("a\u{0}\u{85}b", "a??b"), ("x\u{328}", "x"),
      ("½ ² µ €™", "½ ² µ EUR(TM)"), ("", ""),
    ])
  func encode(_ source: String, _ expected: String) {
    #expect(Latin1.encode(source) == expected.unicodeScalars.map { UInt8($0.value) })
  }

  @Test("all of Latin-1 that is printable stays")
  func identity() {
    let all = (Array(UInt8(32)...126) + Array(UInt8(160)...255))
    let source = String(String.UnicodeScalarView(all.map { Unicode.Scalar($0) }))
    #expect(Latin1.encode(source) == all)
  }

  @Test("random text gives no control characters and no trap")
  func random() {
    var random = SeededRandom(3)
    for _ in 0..<500 {
      let scalars = (0..<40).compactMap { _ in Unicode.Scalar(UInt32.random(in: 32...0x1_FFFF, using: &random)) }
      let out = Latin1.encode(String(String.UnicodeScalarView(scalars)))
      #expect(out.allSatisfy { ($0 > 31 && $0 < 127) || $0 > 159 || $0 == 13 || $0 == 10 })
    }
  }
}
