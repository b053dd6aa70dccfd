import MIMEStream
import Testing

@testable import PEC

@Suite struct TextTests {
  private func latin1(_ bytes: [UInt8]) -> String { String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) })) }

  private let values = TextTemplate.Values(
    instant: exampleInstant, subject: "Domanda di iscrizione", sender: "anna.rossi@pec.alfa.example",
    recipients: [
      Recipient(address: "ufficio@pec.beta.example", recipientClass: .certified),
      Recipient(address: "giulia@posta.example", recipientClass: .ordinary),
    ], recipient: "archivio@pec.gamma.example", description: "5.1.1 - Gamma S.r.l. - casella inesistente", pecID: exampleID)

  private func render(_ kind: MessageKind, _ values: TextTemplate.Values) -> String { latin1(kind.traits.text.render(values)) }

  /// The texts of pec-rules 2.3, letter by letter.
  @Test func acceptance() {
    #expect(
      render(.acceptance, values) == """
        Ricevuta di accettazione
        Il giorno 10/03/2026 alle ore 09:15:00 (+0100) il messaggio
        "Domanda di iscrizione" proveniente da "anna.rossi@pec.alfa.example"
        ed indirizzato a:
        ufficio@pec.beta.example ("posta certificata")
        giulia@posta.example ("posta ordinaria")
        è stato accettato dal sistema ed inoltrato.
        Identificativo messaggio: alfa1.20260310091500.000042@gestore-alfa.example

        """)
  }

  @Test func nonAcceptance() {
    var values = values
    values.description = "Sono state riscontrate le seguenti anomalie:\n  - uno\n  - due"
    #expect(
      render(.nonAcceptance, values) == """
        Errore nell'accettazione del messaggio
        Il giorno 10/03/2026 alle ore 09:15:00 (+0100) nel messaggio
        "Domanda di iscrizione" proveniente da "anna.rossi@pec.alfa.example"
        ed indirizzato a:
        ufficio@pec.beta.example
        giulia@posta.example
        è stato rilevato un problema che ne impedisce l'accettazione
        a causa di Sono state riscontrate le seguenti anomalie:
          - uno
          - due.
        Il messaggio non è stato accettato.
        Identificativo messaggio: alfa1.20260310091500.000042@gestore-alfa.example

        """)
  }

  @Test func nonAcceptanceVirus() {
    var values = values
    values.description = "Eicar-Test-Signature"
    #expect(
      render(.nonAcceptanceVirus, values) == """
        Errore nell'accettazione del messaggio per presenza di virus
        Il giorno 10/03/2026 alle ore 09:15:00 (+0100) nel messaggio
        "Domanda di iscrizione" proveniente da "anna.rossi@pec.alfa.example"
        ed indirizzato a:
        ufficio@pec.beta.example
        giulia@posta.example
        è stato rilevato un problema di sicurezza Eicar-Test-Signature.
        Il messaggio non è stato accettato.
        Identificativo messaggio: alfa1.20260310091500.000042@gestore-alfa.example

        """)
  }

  @Test func envelope() {
    #expect(
      render(.envelope, values) == """
        Messaggio di posta certificata
        Il giorno 10/03/2026 alle ore 09:15:00 (+0100) il messaggio
        "Domanda di iscrizione" è stato inviato da "anna.rossi@pec.alfa.example"
        indirizzato a:
        ufficio@pec.beta.example
        giulia@posta.example
        Il messaggio originale è incluso in allegato.
        Identificativo messaggio: alfa1.20260310091500.000042@gestore-alfa.example

        """)
  }

  @Test func nonDelivery() {
    #expect(
      render(.nonDelivery, values) == """
        Avviso di mancata consegna
        Il giorno 10/03/2026 alle ore 09:15:00 (+0100) nel messaggio
        "Domanda di iscrizione" proveniente da "anna.rossi@pec.alfa.example"
        e destinato all'utente "archivio@pec.gamma.example"
        è stato rilevato un errore 5.1.1 - Gamma S.r.l. - casella inesistente.
        Il messaggio è stato rifiutato dal sistema.
        Identificativo messaggio: alfa1.20260310091500.000042@gestore-alfa.example

        """)
  }

  @Test func timeouts() {
    #expect(
      render(.timeoutFirst, values) == """
        Avviso di mancata consegna
        Il giorno 10/03/2026 alle ore 09:15:00 (+0100) il messaggio
        "Domanda di iscrizione" proveniente da "anna.rossi@pec.alfa.example"
        e destinato all'utente "archivio@pec.gamma.example"
        non è stato consegnato nelle prime dodici ore dal suo invio. Non escludendo
        che questo possa avvenire in seguito, si ritiene utile considerare che
        l'invio potrebbe non andare a buon fine. Il sistema provvederà comunque ad
        inviare un ulteriore avviso di mancata consegna se nelle prossime dodici ore
        non vi sarà la conferma della ricezione da parte del destinatario.
        Identificativo messaggio: alfa1.20260310091500.000042@gestore-alfa.example

        """)
    #expect(
      render(.timeoutSecond, values) == """
        Avviso di mancata consegna
        Il giorno 10/03/2026 alle ore 09:15:00 (+0100) il messaggio
        "Domanda di iscrizione" proveniente da "anna.rossi@pec.alfa.example"
        e destinato all'utente "archivio@pec.gamma.example"
        non è stato consegnato nelle ventiquattro ore successive al suo invio. Si ritiene
        che la spedizione debba considerarsi non andata a buon fine.
        Identificativo messaggio: alfa1.20260310091500.000042@gestore-alfa.example

        """)
  }

  @Test func takeCharge() {
    #expect(
      render(.takeCharge, values) == """
        Ricevuta di presa in carico
        Il giorno 10/03/2026 alle ore 09:15:00 (+0100) il messaggio
        "Domanda di iscrizione" proveniente da "anna.rossi@pec.alfa.example"
        ed indirizzato a:
        ufficio@pec.beta.example
        giulia@posta.example
        è stato accettato dal sistema.
        Identificativo messaggio: alfa1.20260310091500.000042@gestore-alfa.example

        """)
  }

  @Test(
    arguments: [
      (.deliveryComplete, "Ricevuta di avvenuta consegna"), (.deliveryBrief, "Ricevuta breve di avvenuta consegna"),
      (.deliveryConcise, "Ricevuta sintetica di avvenuta consegna"),
    ] as [(MessageKind, String)])
  func delivery(kind: MessageKind, title: String) {
    #expect(
      render(kind, values) == """
        \(title)
        Il giorno 10/03/2026 alle ore 09:15:00 (+0100) il messaggio
        "Domanda di iscrizione" proveniente da "anna.rossi@pec.alfa.example"
        ed indirizzato a "archivio@pec.gamma.example"
        è stato consegnato nella casella di destinazione.
        Identificativo messaggio: alfa1.20260310091500.000042@gestore-alfa.example

        """)
  }

  @Test func virusDetection() {
    var values = values
    values.description = "Eicar-Test-Signature"
    #expect(
      render(.virusDetection, values) == """
        Avviso di rilevazione virus
        Il giorno 10/03/2026 alle ore 09:15:00 (+0100) nel messaggio
        "Domanda di iscrizione" proveniente da "anna.rossi@pec.alfa.example"
        e destinato all'utente "archivio@pec.gamma.example"
        è stato rilevato un problema di sicurezza Eicar-Test-Signature.
        Identificativo messaggio: alfa1.20260310091500.000042@gestore-alfa.example

        """)
  }

  @Test func virusNonDelivery() {
    var values = values
    values.description = "Eicar-Test-Signature"
    #expect(
      render(.virusNonDelivery, values) == """
        Avviso di mancata consegna per virus
        Il giorno 10/03/2026 alle ore 09:15:00 (+0100) nel messaggio
        "Domanda di iscrizione" destinato all'utente "archivio@pec.gamma.example"
        è stato rilevato un problema di sicurezza Eicar-Test-Signature.
        Il messaggio non è stato consegnato.
        Identificativo messaggio: alfa1.20260310091500.000042@gestore-alfa.example

        """)
  }

  @Test func anomaly() {
    var values = values
    values.description = "la firma digitale del messaggio non risulta attendibile"
    #expect(
      render(.anomaly, values) == """
        Anomalia nel messaggio
        Il giorno 10/03/2026 alle ore 09:15:00 (+0100) è stato ricevuto
        il messaggio "Domanda di iscrizione" proveniente da "anna.rossi@pec.alfa.example"
        ed indirizzato a:
        ufficio@pec.beta.example
        giulia@posta.example
        Tali dati non sono stati certificati per il seguente errore:
        la firma digitale del messaggio non risulta attendibile
        Il messaggio originale è incluso in allegato.

        """)
  }

  /// A subject cannot bring a line of its own, nor what Latin-1 lacks; nor can it fill another gap.
  @Test func hostileSubject() {
    var values = values
    values.subject = "a\u{0}b\tc [mittente] “è” – Ж\u{85}\u{1F512}"
    let rendered = kindText(values)
    #expect(rendered.allSatisfy { ($0 >= 32 && $0 < 127) || $0 >= 0xA0 || $0 == 10 })
    #expect(rendered.filter { $0 == 10 }.count == 8)
    #expect(latin1(rendered).contains("\"a?b c [mittente] \"è\" - "), "\(latin1(rendered).split(separator: "\n")[2])")
  }

  private func kindText(_ values: TextTemplate.Values) -> [UInt8] { MessageKind.acceptance.traits.text.render(values) }

  @Test func manyRecipients() {
    var values = values
    values.recipients = (0..<500).map { Recipient(address: "u\($0)@d.example", recipientClass: .certified) }
    let lines = render(.acceptance, values).split(separator: "\n")
    #expect(lines.count == 6 + 500)
    #expect(lines[4] == "u0@d.example (\"posta certificata\")" && lines[503] == "u499@d.example (\"posta certificata\")")
  }
}
