/// What is fixed for a kind of message: a row of the master table (RFC 6109 §3). A new kind is a new row.
final class KindTraits: Sendable {
  /// Fixed Italian prefix of the subject, with its space.
  let subjectPrefix: String
  /// Header fields that mark the kind for machines, in order.
  let marks: [(name: String, value: String)]
  /// `tipo` of the certification data.
  let type: CertificationType
  /// `errore` where the kind alone decides it; nil where the event does.
  let error: CertificationError?
  /// Component that tells this kind's Message-ID from the PEC id; nil for the message that bears the PEC id itself.
  let identifierCode: String?
  /// The readable part.
  let text: TextTemplate

  init(
    subjectPrefix: String, marks: [(name: String, value: String)], type: CertificationType, error: CertificationError?,
    identifierCode: String?, text: TextTemplate
  ) {
    self.subjectPrefix = subjectPrefix
    self.marks = marks
    self.type = type
    self.error = error
    self.identifierCode = identifierCode
    self.text = text
  }
}

extension MessageKind {
  var traits: KindTraits {
    switch self {
    case .acceptance: KindTraits.acceptance
    case .nonAcceptance: KindTraits.nonAcceptance
    case .nonAcceptanceVirus: KindTraits.nonAcceptanceVirus
    case .envelope: KindTraits.envelope
    case .nonDelivery: KindTraits.nonDelivery
    }
  }
}

extension KindTraits {
  // RFC 6109 §3.1.4
  static let acceptance = KindTraits(
    subjectPrefix: "ACCETTAZIONE: ",
    marks: [("X-Ricevuta", "accettazione")],
    type: .acceptance, error: CertificationError.none, identifierCode: "acc",
    text: TextTemplate(
      """
      Ricevuta di accettazione
      Il giorno [data] alle ore [ora] ([zona]) il messaggio
      "[oggetto]" proveniente da "[mittente]"
      ed indirizzato a:
      [destinatari e tipo]
      è stato accettato dal sistema ed inoltrato.
      Identificativo messaggio: [id]
      """))

  // RFC 6109 §3.1.2
  static let nonAcceptance = KindTraits(
    subjectPrefix: "AVVISO DI NON ACCETTAZIONE: ",
    marks: [("X-Ricevuta", "non-accettazione")],
    type: .nonAcceptance, error: .other, identifierCode: "nac",
    text: TextTemplate(
      """
      Errore nell'accettazione del messaggio
      Il giorno [data] alle ore [ora] ([zona]) nel messaggio
      "[oggetto]" proveniente da "[mittente]"
      ed indirizzato a:
      [destinatari]
      è stato rilevato un problema che ne impedisce l'accettazione
      a causa di [descrizione].
      Il messaggio non è stato accettato.
      Identificativo messaggio: [id]
      """))

  // RFC 6109 §3.1.3
  static let nonAcceptanceVirus = KindTraits(
    subjectPrefix: "AVVISO DI NON ACCETTAZIONE PER VIRUS: ",
    marks: [("X-Ricevuta", "non-accettazione"), ("X-VerificaSicurezza", "errore")],
    type: .nonAcceptance, error: .virus, identifierCode: "nav",
    text: TextTemplate(
      """
      Errore nell'accettazione del messaggio per presenza di virus
      Il giorno [data] alle ore [ora] ([zona]) nel messaggio
      "[oggetto]" proveniente da "[mittente]"
      ed indirizzato a:
      [destinatari]
      è stato rilevato un problema di sicurezza [descrizione].
      Il messaggio non è stato accettato.
      Identificativo messaggio: [id]
      """))

  // RFC 6109 §3.1.5
  static let envelope = KindTraits(
    subjectPrefix: "POSTA CERTIFICATA: ",
    marks: [("X-Trasporto", "posta-certificata")],
    type: .envelope, error: CertificationError.none, identifierCode: nil,
    text: TextTemplate(
      """
      Messaggio di posta certificata
      Il giorno [data] alle ore [ora] ([zona]) il messaggio
      "[oggetto]" è stato inviato da "[mittente]"
      indirizzato a:
      [destinatari]
      Il messaggio originale è incluso in allegato.
      Identificativo messaggio: [id]
      """))

  // RFC 6109 §3.3.3
  static let nonDelivery = KindTraits(
    subjectPrefix: "AVVISO DI MANCATA CONSEGNA: ",
    marks: [("X-Ricevuta", "errore-consegna")],
    type: .deliveryError, error: nil, identifierCode: "man",
    text: TextTemplate(
      """
      Avviso di mancata consegna
      Il giorno [data] alle ore [ora] ([zona]) nel messaggio
      "[oggetto]" proveniente da "[mittente]"
      e destinato all'utente "[destinatario]"
      è stato rilevato un errore [descrizione].
      Il messaggio è stato rifiutato dal sistema.
      Identificativo messaggio: [id]
      """))
}
