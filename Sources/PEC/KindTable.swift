/// What is fixed for a kind of message: a row of the master table (RFC 6109 §3). A new kind is a new row.
final class KindTraits: Sendable {
  /// Fixed Italian prefix of the subject, with its space.
  let subjectPrefix: String
  /// Header fields that mark the kind for machines, in order.
  let marks: [(name: String, value: String)]
  /// Whether X-Mittente says who sent the original: the notice goes to that sender's provider, and not to the sender.
  let namesSender: Bool
  /// `tipo` of the certification data; nil for the message that carries none.
  let type: CertificationType?
  /// `errore` where the kind alone decides it; nil where the event does.
  let error: CertificationError?
  /// Component that tells this kind's Message-ID from the id that it derives from; nil for a message that bears an id of its own.
  let identifierCode: String?
  /// The readable part.
  let text: TextTemplate

  init(
    subjectPrefix: String, marks: [(name: String, value: String)], namesSender: Bool = false, type: CertificationType?,
    error: CertificationError?, identifierCode: String?, text: TextTemplate
  ) {
    self.subjectPrefix = subjectPrefix
    self.marks = marks
    self.namesSender = namesSender
    self.type = type
    self.error = error
    self.identifierCode = identifierCode
    self.text = text
  }
}

extension MessageKind {
  /// The row of a kind that is composed here. What passes through has none, and neither has a report: to ask for it is our own fault.
  var traits: KindTraits {
    switch self {
    case .acceptance: KindTraits.acceptance
    case .nonAcceptance: KindTraits.nonAcceptance
    case .nonAcceptanceVirus: KindTraits.nonAcceptanceVirus
    case .envelope: KindTraits.envelope
    case .nonDelivery: KindTraits.nonDelivery
    case .timeoutFirst: KindTraits.timeoutFirst
    case .timeoutSecond: KindTraits.timeoutSecond
    case .takeCharge: KindTraits.takeCharge
    case .deliveryComplete: KindTraits.deliveryComplete
    case .deliveryBrief: KindTraits.deliveryBrief
    case .deliveryConcise: KindTraits.deliveryConcise
    case .virusDetection: KindTraits.virusDetection
    case .virusNonDelivery: KindTraits.virusNonDelivery
    case .anomaly: KindTraits.anomaly
    case .notification, .ordinary, .deliveryReport, .arrivalNotice: preconditionFailure("the table has no row for \(rawValue)")
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

  // RFC 6109 §3.1.6: the 12 hours. The wording of both is not confirmed beyond the sentences that users were shown (pec-rules 2.3).
  static let timeoutFirst = timeout(
    code: "t12",
    """
    non è stato consegnato nelle prime dodici ore dal suo invio. Non escludendo
    che questo possa avvenire in seguito, si ritiene utile considerare che
    l'invio potrebbe non andare a buon fine. Il sistema provvederà comunque ad
    inviare un ulteriore avviso di mancata consegna se nelle prossime dodici ore
    non vi sarà la conferma della ricezione da parte del destinatario.
    """)

  // RFC 6109 §3.1.6: the 24 hours
  static let timeoutSecond = timeout(
    code: "t24",
    """
    non è stato consegnato nelle ventiquattro ore successive al suo invio. Si ritiene
    che la spedizione debba considerarsi non andata a buon fine.
    """)

  /// The two timeout notices: same header, same `tipo`. `errore` is not settled; a notice of an error that says "nessuno" would not be
  /// one (pec-rules 2.4).
  private static func timeout(code: String, _ sentences: String) -> KindTraits {
    KindTraits(
      subjectPrefix: "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: ",
      marks: [("X-Ricevuta", "preavviso-errore-consegna")],
      type: .timeout, error: .other, identifierCode: code,
      text: TextTemplate(
        """
        Avviso di mancata consegna
        Il giorno [data] alle ore [ora] ([zona]) il messaggio
        "[oggetto]" proveniente da "[mittente]"
        e destinato all'utente "[destinatario]"
        \(sentences)
        Identificativo messaggio: [id]
        """))
  }

  // RFC 6109 §3.2.1
  static let takeCharge = KindTraits(
    subjectPrefix: "PRESA IN CARICO: ",
    marks: [("X-Ricevuta", "presa-in-carico")],
    type: .takeCharge, error: CertificationError.none, identifierCode: "pic",
    text: TextTemplate(
      """
      Ricevuta di presa in carico
      Il giorno [data] alle ore [ora] ([zona]) il messaggio
      "[oggetto]" proveniente da "[mittente]"
      ed indirizzato a:
      [destinatari]
      è stato accettato dal sistema.
      Identificativo messaggio: [id]
      """))

  // RFC 6109 §3.3.2.1
  static let deliveryComplete = delivery(title: "Ricevuta di avvenuta consegna")

  // RFC 6109 §3.3.2.2
  static let deliveryBrief = delivery(title: "Ricevuta breve di avvenuta consegna")

  // RFC 6109 §3.3.2.3
  static let deliveryConcise = delivery(title: "Ricevuta sintetica di avvenuta consegna")

  /// The three delivery receipts: they differ in their title and in what they enclose. A recipient has one of them, so that one code
  /// serves all.
  private static func delivery(title: String) -> KindTraits {
    KindTraits(
      subjectPrefix: "CONSEGNA: ",
      marks: [("X-Ricevuta", "avvenuta-consegna")],
      type: .delivery, error: CertificationError.none, identifierCode: "con",
      text: TextTemplate(
        """
        \(title)
        Il giorno [data] alle ore [ora] ([zona]) il messaggio
        "[oggetto]" proveniente da "[mittente]"
        ed indirizzato a "[destinatario]"
        è stato consegnato nella casella di destinazione.
        Identificativo messaggio: [id]
        """))
  }

  // RFC 6109 §3.2.3; `errore` as in the interoperability session of 2008 (pec-rules 2.4)
  static let virusDetection = KindTraits(
    subjectPrefix: "PROBLEMA DI SICUREZZA: ",
    marks: [("X-Ricevuta", "rilevazione-virus")], namesSender: true,
    type: .virusDetection, error: .other, identifierCode: "riv",
    text: TextTemplate(
      """
      Avviso di rilevazione virus
      Il giorno [data] alle ore [ora] ([zona]) nel messaggio
      "[oggetto]" proveniente da "[mittente]"
      e destinato all'utente "[destinatario]"
      è stato rilevato un problema di sicurezza [descrizione].
      Identificativo messaggio: [id]
      """))

  // RFC 6109 §3.2.4
  static let virusNonDelivery = KindTraits(
    subjectPrefix: "AVVISO DI MANCATA CONSEGNA PER VIRUS: ",
    marks: [("X-Ricevuta", "errore-consegna"), ("X-VerificaSicurezza", "errore")],
    type: .deliveryError, error: .virus, identifierCode: "mav",
    text: TextTemplate(
      """
      Avviso di mancata consegna per virus
      Il giorno [data] alle ore [ora] ([zona]) nel messaggio
      "[oggetto]" destinato all'utente "[destinatario]"
      è stato rilevato un problema di sicurezza [descrizione].
      Il messaggio non è stato consegnato.
      Identificativo messaggio: [id]
      """))

  // RFC 6109 §3.2.2, whose "X-Trasplorto" is a slip
  static let anomaly = KindTraits(
    subjectPrefix: "ANOMALIA MESSAGGIO: ",
    marks: [("X-Trasporto", "errore")],
    type: nil, error: nil, identifierCode: nil,
    text: TextTemplate(
      """
      Anomalia nel messaggio
      Il giorno [data] alle ore [ora] ([zona]) è stato ricevuto
      il messaggio "[oggetto]" proveniente da "[mittente]"
      ed indirizzato a:
      [destinatari]
      Tali dati non sono stati certificati per il seguente errore:
      [descrizione]
      Il messaggio originale è incluso in allegato.
      """))

  /// Prefixes that a received message's subject may begin with.
  static let subjectPrefixes: [String] =
    MessageKind.allCases.compactMap { kind in
      switch kind {
      case .notification, .ordinary, .deliveryReport, .arrivalNotice: nil
      default: kind.traits.subjectPrefix
      }
    }
}

extension MessageKind {
  /// What the subjects of envelopes, receipts and notices begin with (RFC 6109 §3), each with its colon and space.
  public static var subjectPrefixes: [String] { KindTraits.subjectPrefixes }
}
