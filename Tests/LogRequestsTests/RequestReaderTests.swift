import MIMEStream
import Octets
import PEC
import Testing

@testable import LogRequests

/// Mails to the log mailbox, read as the gateway reads them.
enum Mails {
  static let anna = "anna@pec.alfa.test"
  static let bruno = "bruno@pec.beta.test"
  static let mailbox = "registro@pec.alfa.test"
  static let today = LegalDay("2026-11-21")!

  static func plain(_ body: String, header: String = "", type: String = "text/plain; charset=UTF-8", encoding: String = "8bit") -> String {
    "From: \(anna)\r\nTo: \(mailbox)\r\nSubject: Richiesta estratto log\r\n\(header)MIME-Version: 1.0\r\nContent-Type: \(type)\r\n"
      + "Content-Transfer-Encoding: \(encoding)\r\n\r\n" + body.replacing("\n", with: "\r\n")
  }

  static func read(_ octets: [UInt8], asker: String = anna) -> LogRequestReading {
    LogRequestReader.read(Chunk(octets), asker: asker, mailbox: mailbox, today: today)
  }

  static func read(_ message: String, asker: String = anna) -> LogRequestReading { read(Array(message.utf8), asker: asker) }

  static func question(_ body: String) -> LogRequestQuestion? {
    guard case .understood(let question) = read(plain(body)) else { return nil }
    return question
  }

  static let full = LogRequestQuestion(sender: anna, recipient: bruno, from: LegalDay("2026-03-12"), to: LegalDay("2026-03-12"))
}

@Suite struct RequestReaderTests {
  /// The same request as people write it.
  @Test(
    arguments: [
      "Mittente: anna@pec.alfa.test\nDestinatario: bruno@pec.beta.test\nData: 12/03/2026\n",
      "Buongiorno,\n\nchiedo l'estratto del registro.\n\nmittente: anna@pec.alfa.test\ndestinatario: bruno@pec.beta.test\ndata: 12/3/2026\n\nGrazie,\nAnna\n",
      "DATA : 12-03-2026\nDESTINATARIO : <bruno@pec.beta.test>\nMITTENTE : Anna Rossi <anna@pec.alfa.test>\n",
      "- Mittente - anna@pec.alfa.test\n- Destinatario – bruno@pec.beta.test\n- Data — 12.03.2026\n",
      "1. Indirizzo PEC del mittente: anna@pec.alfa.test\n2) Indirizzo PEC destinatario: bruno@pec.beta.test\n3. Data di invio (gg/mm/aaaa): 12/03/26\n",
      "*Mittente:* anna@pec.alfa.test\n*Destinatario:* bruno@pec.beta.test\n*Data:* 12 marzo 2026 alle ore 10:30\n",
      "Mittente:\n  anna@pec.alfa.test\n\nDestinatario:\n\n  bruno@pec.beta.test\nData:\n  giovedì 12 marzo 2026\n",
      "Mittente: anna@pec.alfa.test, Destinatario: bruno@pec.beta.test, Data: 12/03/2026\n",
      "From: anna@pec.alfa.test\nTo: bruno@pec.beta.test\nDate: March 12, 2026\n",
      "Sender = anna@pec.alfa.test\nRecipient = bruno@pec.beta.test\nDay = 2026-03-12\n",
      "Mittente\tanna@pec.alfa.test\nDestinatario\tbruno@pec.beta.test\nData\t12/03/2026 10.30\n",
      "Mittente anna@pec.alfa.test\nDestinatario bruno@pec.beta.test\nData 12/03/2026\n",
      "Mittente: anna@pec.alfa.test<mailto:anna@pec.alfa.test>\nDestinatario: bruno@pec.beta.test <mailto:bruno@pec.beta.test>\nData: 12/03/2026 (giovedì)\n",
      "Mittente: anna@pec.alfa.test\nDestinatario: bruno@pec.beta.test.\nDal: 12/03/2026\nAl: 12/03/2026\n",
      "Mittente:\u{a0}anna@pec.alfa.test\u{200b}\nDestinatario:\u{a0}bruno@pec.beta.test\nData:\u{a0}1\u{a0}2/03/2026\n".replacing(
        "1\u{a0}2/", with: "12/"),
      "Mittente: anna@pec.alfa.test\nDestinatario: bruno@pec.beta.test\nData: 12/03/2026\nOggetto:\nIdentificativo: ______\nNominativo: -\n",
      "Mittente: anna@pec.alfa.test\nDestinatario: bruno@pec.beta.test\nData: 12/03/2026\nOggetto: (facoltativo)\nIdentificativo: non noto\nNominativo: n/a\n",
    ])
  func theSameRequestInManyForms(body: String) {
    #expect(Mails.read(Mails.plain(body)) == .understood(Mails.full))
  }

  @Test func whateverElseIsSaidIsKept() {
    let question = Mails.question(
      """
      Nominativo: Anna Rossi
      Mittente: anna@pec.alfa.test
      Destinatario: bruno@pec.beta.test
      Data: dal 1 al 12 marzo 2026
      Oggetto: «Diffida: pagamento, data 3/3»
      Identificativo: <node1.20260312091500.000001.abcdefghijklm@pec.alfa.test>
      """)
    #expect(
      question
        == LogRequestQuestion(
          sender: Mails.anna, recipient: Mails.bruno, from: LegalDay("2026-03-01"), to: LegalDay("2026-03-12"),
          subject: "Diffida: pagamento, data 3/3", identifier: "node1.20260312091500.000001.abcdefghijklm@pec.alfa.test", name: "Anna Rossi"
        ))
  }

  @Test(
    arguments: [
      "Identificativo: node1.20260312091500.000001.abcdefghijklm@pec.alfa.test", "Message-ID: <a.b-c@host.example>",
      "Identificativo messaggio:\n<a.b-c@host.example>", "ID : a.b-c@host.example.", "id pec - opec293.20260312.1@pec.it",
    ])
  func anIdentifierIsEnough(body: String) {
    let question = Mails.question(body + "\nSaluti\n")
    #expect(question?.identifier?.contains("@") == true)
    #expect(question?.sender == nil)
    #expect(question?.isEnough == true)
  }

  @Test(
    arguments: [
      ("", [.sender, .recipient, .day]), ("Vorrei il log, grazie.\n", [.sender, .recipient, .day]),
      ("Mittente: anna@pec.alfa.test\n", [.recipient, .day]), ("Mittente: anna@pec.alfa.test\nDestinatario: b@c.test\n", [.day]),
      ("Destinatario: b@c.test\nData: 1/1/2026", [.sender]), ("Mittente: \nDestinatario: \nData: \n", [.sender, .recipient, .day]),
    ] as [(String, [LogRequestField])])
  func whatIsMissingIsNamed(body: String, missing: [LogRequestField]) {
    guard case .unclear(_, let named, let problems) = Mails.read(Mails.plain(body)) else {
      Issue.record("it was understood")
      return
    }
    #expect(named == missing)
    #expect(problems == [])
  }

  @Test(
    arguments: [
      ("Mittente: anna", "Mittente: «anna» non è un indirizzo di posta elettronica"),
      ("Mittente: a@b.test, c@d.test", "Mittente: sono indicati più indirizzi; serve una richiesta per ciascuno"),
      ("Mittente: a@b.test\nMittente: c@d.test", "Mittente: sono indicati più indirizzi; serve una richiesta per ciascuno"),
      ("Data: 31/02/2026", "Data: «31/02/2026» non è una data: scrivere per esempio 21/11/2026"),
      ("Data: la settimana scorsa", "Data: «la settimana scorsa» non è una data: scrivere per esempio 21/11/2026"),
      ("Data: 22/11/2026", "Data: «22/11/2026» è nel futuro"),
      ("Data: dal 12/03/2026 al 11/03/2026", "Data: «dal 12/03/2026 al 11/03/2026» finisce prima di cominciare"),
      ("Data: 1/3/2026\nData: 2/3/2026", "Data: sono indicati più giorni; si può indicare un periodo, dal … al …"),
      ("Identificativo: boh", "Identificativo: «boh» non è l'identificativo di un messaggio"),
      ("Identificativo: quello di ieri", "Identificativo: «quello di ieri» non è l'identificativo di un messaggio"),
    ])
  func whatCannotBeReadIsSaid(body: String, problem: String) {
    guard case .unclear(_, _, let problems) = Mails.read(Mails.plain(body)) else {
      Issue.record("it was understood")
      return
    }
    #expect(problems == [problem])
  }

  // MARK: Whose

  @Test func onlyWhoSentOrGotItMayAsk() {
    let body = Mails.plain("Mittente: anna@pec.alfa.test\nDestinatario: bruno@pec.beta.test\nData: 12/03/2026\n")
    #expect(Mails.read(body, asker: "ANNA@PEC.alfa.test") == .understood(Mails.full))
    #expect(Mails.read(body, asker: "Bruno@pec.beta.test") == .understood(Mails.full))
    #expect(Mails.read(body, asker: "carla@pec.alfa.test") == .notYours(Mails.full))
    #expect(Mails.read(body, asker: "anna@pec.alfa.test.evil.test") == .notYours(Mails.full))
    let both = Mails.plain("Mittente: x@y.test\nDestinatario: z@y.test\nIdentificativo: <a.b1@c.test>\n")
    guard case .notYours = Mails.read(both) else {
      Issue.record("it was let through")
      return
    }
  }

  // MARK: What mail programs do

  @Test func quotationsAreNotTheWriters() {
    let old = "Mittente: x@y.test\nDestinatario: z@y.test\nData: 1/1/2026\nOggetto: vecchio\n"
    let new = "Mittente: anna@pec.alfa.test\nDestinatario: bruno@pec.beta.test\nData: 12/03/2026\n"
    let quoted = old.split(separator: "\n").map { "> \($0)\n" }.joined()
    for body in [
      new + "\n" + quoted, new + "\nIl giorno 3 marzo 2026 alle 10:00 registro@pec.alfa.test ha scritto:\n" + quoted,
      new + "\n-----Messaggio originale-----\n" + old, new + "\n________________________________\nDa: x@y.test\n" + old,
      new + "\nDa: registro@pec.alfa.test\nInviato: lunedì 2 marzo 2026\nA: anna@pec.alfa.test\nOggetto: R: estratto\n\n" + old,
      new + "\n-- \nAnna Rossi\nMittente: firma@y.test\n", quoted + new, new + "\n On Mon, someone wrote:\n >> " + old,
    ] {
      #expect(Mails.read(Mails.plain(body)) == .understood(Mails.full), "\(body)")
    }
  }

  /// The form comes back as the mail program quoted it, filled in where it stands.
  @Test func aFormFilledInWithinTheQuotationCounts() {
    let form =
      "Mittente: anna@pec.alfa.test\nDestinatario: bruno@pec.beta.test\nData: 12/03/2026\nOggetto: \nIdentificativo: \nNominativo: \n"
    let quoted = form.split(separator: "\n").map { "> \($0)\n" }.joined()
    #expect(Mails.read(Mails.plain("Ecco.\n\nIl giorno 3/3/2026 registro ha scritto:\n" + quoted)) == .understood(Mails.full))
    let outlook = "Ecco.\n\nDa: registro@pec.alfa.test\nInviato: 3 marzo\nA: anna@pec.alfa.test\nOggetto: Estratto del registro\n\n"
    #expect(Mails.read(Mails.plain(outlook + form)) == .understood(Mails.full))
    // Half above, half in the quotation.
    let half = quoted.replacing("> Data: 12/03/2026\n", with: "> Data: \n")
    #expect(Mails.read(Mails.plain("Data: 12/03/2026\n\nregistro@pec.alfa.test ha scritto:\n" + half)) == .understood(Mails.full))
  }

  @Test func encodingsAndCharacterSets() {
    let body = "Mittente: anna@pec.alfa.test\nDestinatario: bruno@pec.beta.test\nData: 12/03/2026\nOggetto: perché così\n"
    var wanted = Mails.full
    wanted.subject = "perché così"
    let latin = body.unicodeScalars.map { UInt8($0.value) }
    let lines = Array(body.replacing("\n", with: "\r\n").utf8)
    let head = Mails.plain("", encoding: "base64")
    #expect(Mails.read(Array(head.utf8) + Base64.encodeLines(lines)) == .understood(wanted))
    let quoted = Mails.plain("", encoding: "quoted-printable")
    #expect(Mails.read(Array(quoted.utf8) + QuotedPrintable.encode(Array(body.utf8))) == .understood(wanted))
    for type in ["text/plain; charset=iso-8859-1", "text/plain; charset=windows-1252", "text/plain", "text/plain; charset=us-ascii"] {
      #expect(Mails.read(Array(Mails.plain("", type: type).utf8) + latin) == .understood(wanted), "\(type)")
    }
    #expect(Mails.read(Mails.plain(body, type: "text/plain; charset=x-unheard-of")) == .understood(wanted))
  }

  @Test func flowedLinesAreJoined() {
    let body =
      "Mittente: \nanna@pec.alfa.test\nDestinatario: bruno@pec.beta.test\nData: 12/03/2026\nOggetto: una riga molto \nlunga\n-- \nfine\n"
    var wanted = Mails.full
    wanted.subject = "una riga molto lunga"
    #expect(Mails.read(Mails.plain(body, type: "text/plain; charset=utf-8; format=flowed")) == .understood(wanted))
  }

  static let html = [
    "<html><head><style>p{Mittente: x@y.test}</style></head><body><p>Mittente: anna@pec.alfa.test</p><p>Destinatario: bruno@pec.beta.test</p><p>Data: 12/03/2026</p></body></html>",
    "<div>Mittente:&nbsp;<a href=\"mailto:anna@pec.alfa.test\">anna@pec.alfa.test</a><br>Destinatario: bruno&#64;pec.beta.test<br/>Data: 12&sol;03&sol;2026</div>",
    "<table><tr><td>Mittente</td><td>anna@pec.alfa.test</td></tr><tr><td>Destinatario</td><td>bruno@pec.beta.test</td></tr><tr><td>Data</td><td>12/03/2026</td></tr></table>",
    "<table><tr><td><p class=MsoNormal>Mittente</p></td><td><p>anna@pec.alfa.test</p></td></tr><tr><td><p>Destinatario</p></td><td><p>bruno@pec.beta.test</p></td></tr><tr><td><p>Data</p></td><td><p>12/03/2026</p></td></tr></table>",
    "<ul><li><b>Mittente:</b> anna@pec.alfa.test<li><b>Destinatario</b>: bruno@pec.beta.test<li><i>Data:</i>\n12/03/2026</ul>",
    "<p>Mittente: <anna@pec.alfa.test></p><!-- <p>Mittente: x@y.test --><p>Destinatario: bruno@pec.beta.test</p><p>Data: 12/03/2026</p><blockquote>Oggetto: vecchio<br>Mittente: x@y.test</blockquote>",
    "<script>Mittente: x@y.test</script>Mittente: anna@pec.alfa.test<BR>Destinatario: bruno@pec.beta.test<BR>Data: 12/03/2026",
  ]

  @Test(arguments: html)
  func formsInHTML(body: String) {
    #expect(Mails.read(Mails.plain(body, type: "text/html; charset=utf-8")) == .understood(Mails.full), "\(HTMLText.text(body))")
  }

  @Test func partsOfAMultipart() {
    let plain = "Mittente: anna@pec.alfa.test\r\nDestinatario: bruno@pec.beta.test\r\nData: 12/03/2026\r\n"
    func multipart(_ parts: [String]) -> String {
      Mails.plain("", type: "multipart/mixed; boundary=\"b\"", encoding: "7bit") + parts.map { "--b\r\n\($0)\r\n" }.joined() + "--b--\r\n"
    }
    let html = "Content-Type: text/html\r\n\r\n\(Self.html[0])"
    #expect(Mails.read(multipart(["Content-Type: text/plain\r\n\r\n\(plain)", html])) == .understood(Mails.full))
    // The plain part says nothing: the HTML does.
    #expect(Mails.read(multipart(["Content-Type: text/plain\r\n\r\nUsare un programma HTML.\r\n", html])) == .understood(Mails.full))
    // Attachments and attached messages are not read.
    let attached = "Content-Type: text/plain\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\n\(plain)"
    let message = "Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n\(plain)"
    for parts in [[attached], [message], []] {
      guard case .unclear = Mails.read(multipart(parts)) else {
        Issue.record("an attachment was read")
        return
      }
    }
  }

  // MARK: Machines

  @Test(
    arguments: [
      "Auto-Submitted: auto-replied\r\n", "Auto-Submitted: auto-generated; x\r\n", "Precedence: bulk\r\n", "List-Id: <x.test>\r\n",
      "X-Ricevuta: avvenuta-consegna\r\n", "X-Trasporto: errore\r\n", "X-Autoreply: yes\r\n",
    ])
  func machinesAreNotAnswered(header: String) {
    guard case .automatic = Mails.read(Mails.plain("Mittente: anna@pec.alfa.test", header: header)) else {
      Issue.record("it would be answered")
      return
    }
  }

  @Test func neitherOurselvesNorNobody() {
    for asker in [Mails.mailbox, "REGISTRO@pec.alfa.test", "", "MAILER-DAEMON@x.test", "posta-certificata@pec.beta.test"] {
      guard case .automatic = Mails.read(Mails.plain("Mittente: anna@pec.alfa.test"), asker: asker) else {
        Issue.record("\(asker) would be answered")
        continue
      }
    }
    #expect(Mails.question("Identificativo: <a.b1@c.test>") != nil)
    let no = Mails.read(Mails.plain("Identificativo: <a.b1@c.test>", header: "Auto-Submitted: no\r\nPrecedence: normal\r\n"))
    #expect(no == .understood(LogRequestQuestion(identifier: "a.b1@c.test")))
  }

  // MARK: Anything

  @Test func nothingEndsTheProcess() {
    var state: UInt64 = 0x5eed
    func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state >> 33
    }
    let pieces = [
      "Mittente", ":", "Destinatario", "Data", " ", "\n", "\r\n", "12", "/", "-", ".", "@", "<", ">", "&", ";", "&#x", "è", "\u{301}",
      "dal", "al",
      "marzo", "2026", "--", "<td>", "<blockquote>", "</", "<!--", "\0", "\u{202e}", "ore", "(", "[", "*", "=", "\t", "𝕏", "1°",
    ]
    for round in 0..<600 {
      var text = ""
      for _ in 0..<(next() % 60) { text += pieces[Int(next() % UInt64(pieces.count))] }
      let type = round % 2 == 0 ? "text/html" : "text/plain; format=flowed"
      _ = Mails.read(Mails.plain(text, type: type))
    }
    for octets in [[], [0], Array(repeating: 255, count: 3000), Array(Mails.plain("").utf8.prefix(30))] as [[UInt8]] {
      _ = Mails.read(octets)
    }
    let whole = Array(Mails.plain(Self.html[3], type: "text/html").utf8)
    for length in 0..<whole.count { _ = Mails.read(Array(whole[..<length])) }
  }

  /// Long lines of what the reader looks for: time grows with the length and no faster, so that this ends at once.
  @Test(
    arguments: [
      String(repeating: ":", count: 60_000), String(repeating: " ", count: 60_000), String(repeating: "> ", count: 30_000),
      String(repeating: "Mittente: ", count: 6_000), String(repeating: "Mittente:\n", count: 6_000),
      String(repeating: "<", count: 60_000),
      String(repeating: "&", count: 60_000), String(repeating: "<style>", count: 8_000), String(repeating: "da:\n", count: 14_000),
      String(repeating: "<a@", count: 20_000), String(repeating: "Data: 1 al ", count: 6_000), String(repeating: "(", count: 60_000),
    ])
  func longInputsAreBounded(text: String) {
    _ = Mails.read(Mails.plain(text))
    _ = Mails.read(Mails.plain(text, type: "text/html"))
  }
}

@Suite struct RequestDatesTests {
  @Test(
    arguments: [
      ("12/03/2026", "2026-03-12", "2026-03-12"), ("1/3/26", "2026-03-01", "2026-03-01"), ("2026-03-12", "2026-03-12", "2026-03-12"),
      ("2026-03-12T10:15:00+01:00", "2026-03-12", "2026-03-12"), ("1° marzo 2026", "2026-03-01", "2026-03-01"),
      ("il giorno 12 Marzo 2026 alle ore 10 e 30", "2026-03-12", "2026-03-12"), ("12 mar 2026", "2026-03-12", "2026-03-12"),
      ("mar 12/03/2026", "2026-03-12", "2026-03-12"), ("March 12th, 2026", "2026-03-12", "2026-03-12"),
      ("12 March 2026 at 10:30", "2026-03-12", "2026-03-12"), ("12/03/2026 ore 10.30", "2026-03-12", "2026-03-12"),
      ("dal 1/3/2026 al 5/3/2026", "2026-03-01", "2026-03-05"), ("dal 1 al 5 marzo 2026", "2026-03-01", "2026-03-05"),
      ("dal 28 febbraio al 5 marzo 2026", "2026-02-28", "2026-03-05"), ("1/3 - 5/3/2026", "2026-03-01", "2026-03-05"),
      ("01/03/2026-05/03/2026", "2026-03-01", "2026-03-05"), ("2026-03-01 – 2026-03-05", "2026-03-01", "2026-03-05"),
      ("from 2026-03-01 to 2026-03-05", "2026-03-01", "2026-03-05"), ("tra il 1 e il 5 marzo 2026", "2026-03-01", "2026-03-05"),
      ("marzo 2026", "2026-03-01", "2026-03-31"), ("febbraio 2028", "2028-02-01", "2028-02-29"),
      ("dicembre 2025", "2025-12-01", "2025-12-31"), ("02/2026", "2026-02-01", "2026-02-28"), ("oggi", "2026-11-21", "2026-11-21"),
      ("ieri", "2026-11-20", "2026-11-20"), ("01-03-2026-05-03-2026", "2026-03-01", "2026-03-05"),
    ])
  func days(text: String, from: String, to: String) throws {
    let days = RequestDates.days(text, today: Mails.today)
    #expect(days?.from.text == from)
    #expect(days?.to.text == to)
  }

  @Test(
    arguments: [
      "", "domani", "12", "12/03", "31/02/2026", "00/03/2026", "12/13/2026", "12/3/0026", "0026-03-12", "12/3/99999",
      "1/1/2026 2/1/2026 3/1/2026",
      "marzo",
      "32 marzo 2026", "10:30", "2026", "-", "99999999999999999999/1/2026", "12/03/1999",
    ])
  func noDays(text: String) { #expect(RequestDates.days(text, today: Mails.today) == nil) }
}

@Suite struct LogRequestQuestionTests {
  @Test func theRecordReadsBack() {
    let all = LogRequestQuestion(
      sender: "a@b.test", recipient: "c@d.test", from: LegalDay("2026-03-01"), to: LegalDay("2026-03-05"), subject: "x: y = z",
      identifier: "i@j", name: "Anna: Rossi")
    for question in [LogRequestQuestion(), all, LogRequestQuestion(identifier: "i@j"), Mails.full] {
      #expect(LogRequestQuestion(text: question.text) == question)
    }
    #expect(
      all.text
        == "sender: a@b.test\nrecipient: c@d.test\nfrom: 2026-03-01\nto: 2026-03-05\nsubject: x: y = z\nidentifier: i@j\nname: Anna: Rossi")
    #expect(LogRequestQuestion(text: "junk\n: \nother: x\nfrom: never") == LogRequestQuestion())
  }
}
