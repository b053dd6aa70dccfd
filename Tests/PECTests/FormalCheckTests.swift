import Limits
import Testing

@testable import PEC

@Suite struct FormalCheckTests {
  private func codes(
    _ message: [UInt8], from sender: String = "anna.rossi@pec.alfa.example",
    to recipients: [String] = ["ufficio@pec.beta.example", "archivio@pec.gamma.example"], limits: MessageLimits = MessageLimits()
  ) -> [String] {
    FormalCheck.faults(of: submit(message, from: sender, to: recipients, limits: limits).submission, limits: limits).map(\.code.rawValue)
  }

  private func change(_ line: String, _ other: String) -> [UInt8] {
    #expect(exampleText.contains(line))
    return wire(exampleText.replacing(line, with: other))
  }

  private static let from = "From: \"Anna Rossi\" <anna.rossi@pec.alfa.example>\n"
  private static let to = "To: ufficio@pec.beta.example\n"
  private static let cc = "Cc: archivio@pec.gamma.example\n"

  @Test func example() {
    #expect(codes(wire(exampleText)) == [])
  }

  /// Header fields that are out of the ordinary and yet in order.
  @Test(arguments: [
    (from, "From: anna.rossi@pec.alfa.example\n"),
    (from, "From: =?utf-8?q?Ann=C3=A0?= (a (nested) comment)\n\t<ANNA.Rossi@PEC.alfa.EXAMPLE>\n"),
    (from, "From: <\"anna.rossi\"@pec.alfa.example>\n"), (from, "FROM : anna.rossi@pec.alfa.example\n"),
    (from, from + "Sender: altro@pec.alfa.example\n"), (from, from + "Reply-To: uno@x.example, due@y.example\n"),
    (from, from + "Reply-To:\n"), (from, from + "Bcc:\n"), (from, from + "Bcc: \n \n"),
    (to, "To: UFFICIO@pec.beta.example, altro@x.example\n"), (to, "To: Gruppo: ufficio@pec.beta.example, b@x.example;\n"),
    (to, "To: \"Rossi, Anna\" <a@x.example>,\n ufficio@pec.beta.example\n"), (to, "to: ufficio@pec.beta.example\n"),
    (cc, "Cc: x@x.example,archivio@pec.gamma.example\n"), (to, "To: ufficio@pec.beta.example, archivio@pec.gamma.example\n"),
    ("Date: Tue, 10 Mar 2026 09:14:58 +0100\n", ""), ("Subject: Domanda di iscrizione\n", ""),
    ("Message-ID: <c1f0a7@mua.alfa.example>\n", ""),
    ("X-Mailer: prova\n", "X-Ricevuta: accettazione\nX-Trasporto: errore\nX-Riferimento-Message-ID: <x@y>\n"),
    ("\nBuongiorno,\nallego la domanda.\n", ""), ("Buongiorno,\nallego la domanda.\n", ""),
  ])
  func inOrder(line: String, other: String) {
    #expect(codes(change(line, other)) == [])
  }

  @Test(arguments: [
    ("X-Mailer: prova\n", "questa riga non ha due punti\n"), ("X-Mailer: prova\n", "X Mailer: prova\n"),
    ("Received: from pc", "From anna Tue Mar 10\nReceived: from pc"),
    (from, from + "From: anna.rossi@pec.alfa.example\n"), (to, to + "To: ufficio@pec.beta.example\n"),
    ("Subject: Domanda di iscrizione\n", "Subject: a\nSubject: b\n"),
    ("Message-ID: <c1f0a7@mua.alfa.example>\n", "Message-ID: <a@b>\nMessage-ID: <c@d>\n"),
    (cc, "Cc: archivio@pec.gamma.example\nCC: x@y.example\n"),
    ("Date: Tue", "Date: Mon, 9 Mar 2026 09:14:58 +0100\nDate: Tue"),
    ("Subject: Domanda", "Subject: è"), ("Buongiorno", "Perché"), ("prova", String(repeating: "x", count: 1000)),
    ("Buongiorno", String(repeating: "x", count: 1000)), ("Buongiorno", "a\u{0}b"), ("X-Mailer: prova", "X-Mailer: a\u{0}b"),
    (cc, "Cc: archivio@pec.gamma.example, non un indirizzo\n"), (from, from + "Reply-To: @@\n"),
  ])
  func f1(line: String, other: String) {
    #expect(codes(change(line, other)) == ["F1"])
  }

  @Test func f1LineEnds() {
    #expect(codes(Array(exampleText.replacing("prova\n", with: "prova\r\n").utf8)).contains("F1"))
    #expect(codes(change("Buongiorno,", "Buon\rgiorno")) == ["F1"])
    let bare = wire(exampleText).filter { $0 != 13 }
    #expect(codes(bare).contains("F1"))
  }

  @Test func f1Limits() {
    #expect(codes(change("X-Mailer: prova\n", String(repeating: "X-A: b\n", count: MessageLimits().headerFields + 1))) == ["F1"])
    let long = String(repeating: "X-A: " + String(repeating: "b", count: 900) + "\n", count: 1 + MessageLimits().headerBytes / 900)
    #expect(codes(change("X-Mailer: prova\n", long)).contains("F1"))
  }

  @Test func f1NamesWhatIsDoubled() throws {
    let message = change("Subject: Domanda di iscrizione\n", "Subject: a\nSubject: b\nTo: x@y.example\n")
    let fault = try #require(FormalCheck.faults(of: submit(message).submission, limits: MessageLimits()).first)
    #expect(fault.italian == "i campi To, Subject sono ripetuti")
    #expect(fault.english == "header fields To, Subject stand more than once")
  }

  @Test func noHeader() {
    #expect(Set(codes(Array("\r\ntesto\r\n".utf8))) == ["F1", "F2", "F3", "F5"])
    #expect(Set(codes([])) == ["F1", "F2", "F3", "F5"])
  }

  @Test(arguments: [
    (from, ""), (from, "From:\n"), (from, "From: Anna Rossi\n"), (from, "From: <>\n"), (from, "From: anna.rossi@\n"),
    (from, "From: anna.rossi@pec.alfa.example, b@c.example\n"), (from, "From: Gruppo: anna.rossi@pec.alfa.example;\n"),
  ])
  func f2(line: String, other: String) {
    #expect(codes(change(line, other)) == ["F2"])
  }

  @Test(arguments: [
    (to, ""), (to, "To:\n"), (to, "To: undisclosed-recipients:;\n"), (to, "To: Ufficio\n"), (to, "To: @@, archivio@pec.gamma.example\n"),
  ])
  func f3(line: String, other: String) {
    // The Cc names the one recipient, so that F5 has nothing to say.
    #expect(codes(change(line, other), to: ["archivio@pec.gamma.example"]) == ["F3"])
  }

  @Test(arguments: [
    "aldo@pec.alfa.example", "anna.rossi@altro.example", "", "anna.rossi", "anna.rossi@pec.alfa.example.", "rossi@pec.alfa.example",
  ])
  func f4(sender: String) {
    #expect(codes(wire(exampleText), from: sender) == ["F4"])
  }

  @Test(arguments: ["ANNA.ROSSI@PEC.ALFA.EXAMPLE", "\"anna.rossi\"@pec.alfa.example"])
  func sameSender(sender: String) {
    #expect(codes(wire(exampleText), from: sender) == [])
  }

  @Test func f5() {
    #expect(codes(wire(exampleText), to: ["ufficio@pec.beta.example", "nascosto@x.example"]) == ["F5"])
    #expect(codes(wire(exampleText), to: ["uno@x.example", "due@x.example", "postmaster"]) == ["F5", "F5", "F5"])
    #expect(codes(wire(exampleText), to: ["Ufficio@PEC.Beta.example"]) == [])
    #expect(codes(wire(exampleText), to: (0..<20).map { "u\($0)@x.example" } + ["ufficio@pec.beta.example"]).count == 20)
  }

  @Test(arguments: ["Bcc: nascosto@x.example\n", "bcc:x\n", "Bcc: g:;\n"])
  func f6(line: String) {
    #expect(codes(change("X-Mailer: prova\n", line)) == ["F6"])
  }

  @Test func f7AndF8() {
    var limits = MessageLimits()
    let size = wire(exampleText).count
    limits.maximumBytesTimesRecipients = size * 2
    #expect(codes(wire(exampleText), limits: limits) == [])
    limits.maximumBytesTimesRecipients = size * 2 - 1
    #expect(codes(wire(exampleText), limits: limits) == ["F7"])
    // The same recipient twice counts once.
    #expect(codes(wire(exampleText), to: ["ufficio@pec.beta.example", "UFFICIO@pec.beta.example"], limits: limits) == [])
    limits.maximumBytesTimesRecipients = nil
    #expect(codes(wire(exampleText), limits: limits) == [])
    limits.formalBytes = size
    #expect(codes(wire(exampleText), limits: limits) == [])
    limits.formalBytes = size - 1
    #expect(codes(wire(exampleText), limits: limits) == ["F8"])
    limits.maximumBytesTimesRecipients = 1
    #expect(codes(wire(exampleText), limits: limits) == ["F7", "F8"])
  }

  @Test func productDoesNotOverflow() {
    var submission = submit(wire(exampleText)).submission
    submission.facts.totalBytes = .max
    #expect(FormalCheck.faults(of: submission, limits: MessageLimits()).map(\.code.rawValue) == ["F7", "F8"])
  }

  /// Every subset of the eight, made together: all of them are named, in order, and no other.
  @Test func combinations() {
    for subset in 0..<256 {
      func has(_ number: Int) -> Bool { subset & 1 << (number - 1) != 0 }
      var message = exampleText
      if has(1) { message = message.replacing("X-Mailer: prova\n", with: "X-Mailer prova\n") }
      if has(2) { message = message.replacing(Self.from, with: has(4) ? "" : "From: Anna\n") }
      if has(3) { message = message.replacing(Self.to, with: "To: Gruppo:;\n") }
      if has(6) { message = message.replacing(Self.cc, with: Self.cc + "Bcc: x@y.example\n") }
      var limits = MessageLimits()
      let size = wire(message).count
      let recipients = ["archivio@pec.gamma.example"] + (has(5) ? ["altro@x.example"] : [])
      if has(7) { limits.maximumBytesTimesRecipients = size * recipients.count - 1 }
      if has(8) { limits.formalBytes = size - 1 }
      // Without an address in From only the empty path is F4.
      let sender = has(4) ? (has(2) ? "" : "aldo@pec.alfa.example") : "anna.rossi@pec.alfa.example"
      let expected = (1...8).filter(has).map { "F\($0)" }
      #expect(codes(wire(message), from: sender, to: recipients, limits: limits) == expected, "subset \(subset)")
    }
  }

  @Test(arguments: [1, 50, 500, 1000])
  func recipientCounts(count: Int) {
    let addresses = (0..<count).map { "utente\($0)@pec.beta.example" }
    let message = change(Self.to, "To: " + addresses.joined(separator: ",\n ") + "\n")
    #expect(codes(message, to: addresses) == [])
    #expect(codes(message, to: addresses + ["altro@x.example"]) == ["F5"])
  }

  @Test func sentences() throws {
    let message = wire(
      exampleText.replacing(Self.to, with: "").replacing(Self.from, with: "From: aldo@pec.alfa.example\n")
        .replacing("X-Mailer: prova\n", with: "Bcc: b@x.example\n"))
    var limits = MessageLimits()
    limits.formalBytes = 100
    limits.maximumBytesTimesRecipients = 150
    let faults = FormalCheck.faults(of: submit(message, limits: limits).submission, limits: limits)
    #expect(
      faults.map(\.italian) == [
        "manca il campo To",
        "l'indirizzo email nel campo From (aldo@pec.alfa.example) è diverso dal mittente della trasmissione (anna.rossi@pec.alfa.example)",
        "l'indirizzo email ufficio@pec.beta.example non appare nei campi To o Cc",
        "il campo Bcc (Ccn) contiene destinatari, che non sono ammessi",
        "la dimensione del messaggio (\(message.count) byte) moltiplicata per il numero dei destinatari (2) supera il limite di 150 byte",
        "la dimensione del messaggio (\(message.count) byte) supera il limite di 100 byte",
      ])
    #expect(faults.allSatisfy { !$0.english.isEmpty && $0.english.utf8.allSatisfy { $0 < 128 } || $0.code == .f7 })
  }
}
