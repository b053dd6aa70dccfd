import Journey

/// What an event is in the words of a person who reads Italian: the receipts' own names (RFC 6109 §2.1) and what each means.
enum EventWords {
  /// Its name, as a heading.
  static func title(_ kind: EventKind) -> String { words(kind).title }

  /// What it means, in a sentence.
  static func meaning(_ kind: EventKind) -> String { words(kind).meaning }

  /// What `errore` of the certification data says (RFC 6109 §4.4); nil when there is nothing to say.
  static func error(_ error: String?) -> String? {
    switch error {
    case nil, "nessuno", "": nil
    case "no-dest": "Errore: l'indirizzo del destinatario non esiste."
    case "no-dominio": "Errore: il dominio del destinatario non esiste."
    case "virus": "Errore: il messaggio contiene un virus."
    case "altro": "Errore: altra causa."
    case .some(let other): "Errore: \(other)."
    }
  }

  private static func words(_ kind: EventKind) -> (title: String, meaning: String) {
    sending(kind) ?? receiving(kind) ?? aboutTheLog(kind)
  }

  /// What happens at the sender's side.
  private static func sending(_ kind: EventKind) -> (title: String, meaning: String)? {
    switch kind {
    case .acceptance:
      (
        "Accettazione",
        "Il gestore ha accettato il messaggio e ne ha dato al mittente la ricevuta di accettazione: il messaggio è spedito."
      )
    case .nonAcceptance:
      (
        "Non accettazione",
        "Il gestore non ha accettato il messaggio per difetti di forma e ne ha avvisato il mittente: il messaggio non è stato spedito."
      )
    case .nonAcceptanceVirus:
      (
        "Non accettazione per virus",
        "Il gestore ha trovato un virus nel messaggio, non lo ha accettato e ne ha avvisato il mittente: il messaggio non è stato spedito."
      )
    case .envelopeMade: ("Busta di trasporto", "Il gestore ha racchiuso il messaggio in una busta firmata, per inviarlo ai destinatari.")
    case .envelopeSent: ("Inoltro", "La busta con il messaggio è stata presa dal sistema di posta del destinatario.")
    case .nonDelivery: ("Mancata consegna", "Il messaggio non è stato consegnato al destinatario; il mittente ne è stato avvisato.")
    case .dropped: ("Rimozione dalla coda", "Il gestore ha tolto il messaggio dalla coda di invio per questo destinatario.")
    case .timeoutFirst:
      (
        "Avviso dopo dodici ore",
        "Nelle dodici ore dopo l'invio non è giunta né la presa in carico né la consegna; il mittente ne è stato avvisato."
      )
    case .timeoutSecond:
      (
        "Avviso entro ventiquattro ore",
        "Nelle ventiquattro ore dopo l'invio non è giunta la ricevuta di avvenuta consegna; il mittente ne è stato avvisato."
      )
    case .takeChargeReceived:
      ("Ricezione della presa in carico", "Il gestore del destinatario ha attestato di avere preso in carico il messaggio.")
    case .notificationReceived:
      ("Ricezione di una ricevuta", "È giunta una ricevuta o un avviso di un altro gestore, destinato al mittente.")
    case .virusDetectionReceived:
      ("Ricezione di una rilevazione di virus", "Il gestore del destinatario ha comunicato di avere trovato un virus nel messaggio.")
    case .virusNonDelivery:
      ("Mancata consegna per virus", "Il messaggio non è stato consegnato perché contiene un virus; il mittente ne è stato avvisato.")
    default: nil
    }
  }

  /// What happens at the recipient's side, and to receipts.
  private static func receiving(_ kind: EventKind) -> (title: String, meaning: String)? {
    switch kind {
    case .envelopeReceived: ("Ricezione della busta", "Il gestore del destinatario ha ricevuto una busta di trasporto valida.")
    case .takeCharge:
      ("Presa in carico", "Il gestore del destinatario ha preso in carico il messaggio e lo ha attestato al gestore del mittente.")
    case .delivery:
      (
        "Avvenuta consegna",
        "Il messaggio è stato messo nella casella del destinatario, che lo abbia letto o no; al mittente ne è stata inviata la ricevuta."
      )
    case .awaitingProof:
      ("Attesa di conferma", "Il server delle caselle ha preso il messaggio; la ricevuta di consegna attende la sua conferma.")
    case .noticeDelivered: ("Recapito di una ricevuta", "Una ricevuta o un avviso è giunto al suo destinatario.")
    case .noticeDropped: ("Ricevuta non recapitata", "Una ricevuta o un avviso non ha potuto essere recapitato.")
    case .anomaly:
      ("Busta di anomalia", "È giunto un messaggio che non è posta certificata valida: è stato consegnato in una busta di anomalia.")
    case .ordinaryRefused: ("Posta ordinaria rifiutata", "È giunto un messaggio di posta ordinaria, che non è stato accettato.")
    case .ordinaryDiscarded: ("Posta ordinaria scartata", "È giunto un messaggio di posta ordinaria, che è stato scartato.")
    case .ordinaryForwarded:
      ("Posta ordinaria inoltrata", "È giunto un messaggio di posta ordinaria, inoltrato dove il titolare ha chiesto.")
    case .arrivalNoticeSent:
      ("Avviso di arrivo", "Il titolare è stato avvisato con posta ordinaria, dove ha chiesto, che un messaggio è nella sua casella.")
    case .arrivalNoticeDropped:
      ("Avviso di arrivo non inviato", "L'avviso con posta ordinaria che un messaggio è nella casella non ha potuto essere inviato.")
    case .ordinaryInfected: ("Posta ordinaria infetta", "È giunto un messaggio di posta ordinaria con un virus: non è stato consegnato.")
    case .duplicate: ("Messaggio ripetuto", "È giunta un'altra copia di un messaggio già ricevuto: non è stata consegnata di nuovo.")
    case .virusDetection:
      (
        "Rilevazione di un virus",
        "Nel messaggio è stato trovato un virus: non è stato consegnato, e il gestore del mittente è stato avvisato."
      )
    case .infectedCertified:
      ("Messaggio certificato infetto", "È giunta una ricevuta o una busta irregolare con un virus: non è stata consegnata.")
    case .scanFault:
      (
        "Verifica di sicurezza non riuscita",
        "Non si è potuto stabilire se il messaggio contiene un virus: per il momento non è stato preso."
      )
    default: nil
    }
  }

  private static func aboutTheLog(_ kind: EventKind) -> (title: String, meaning: String) {
    switch kind {
    case .logOpened: ("Apertura del registro", "Il sistema ha cominciato a scrivere nel registro.")
    case .logClosed: ("Chiusura del registro", "Il sistema ha finito in ordine di scrivere nel registro.")
    case .indexUpdated: ("Indice dei gestori", "L'indice dei gestori è stato aggiornato, o l'aggiornamento non è riuscito.")
    case .clockAlarm: ("Allarme orologio", "L'orologio non è affidabile: non si certifica nulla.")
    case .clockTrusted: ("Orologio affidabile", "L'orologio è di nuovo affidabile.")
    case .sealed: ("Sigillo", "Righe del registro sono state sigillate.")
    case .stamped: ("Marca temporale", "Un sigillo ha ricevuto la sua marca temporale.")
    case .stampMissing: ("Marca temporale mancante", "Un sigillo non ha ancora la sua marca temporale.")
    case .purged: ("Scarto", "Un giorno del registro è stato tolto al termine della conservazione.")
    case .held: ("Vincolo", "Giorni del registro sono stati vincolati.")
    case .holdLifted: ("Vincolo rimosso", "Un vincolo è stato tolto.")
    case .extractRequest: ("Richiesta di estratto", "Una richiesta di estratto è giunta, o è andata avanti.")
    case .extractMade: ("Estratto", "È stato fatto un estratto del registro.")
    case .deliveryHeld: ("Recapito sospeso", "Il gestore ha sospeso il recapito di messaggi che restano in coda.")
    case .deliveryReleased: ("Recapito ripreso", "Il gestore ha ripreso un recapito che aveva sospeso.")
    case .choiceChanged: ("Scelta del titolare", "È cambiato ciò che il titolare di una casella o di un dominio ha scelto.")
    case .restored: ("Ripristino", "Il sistema è stato ripristinato da una copia di riserva: il registro continua da quella.")
    default: (kind.rawValue, "Evento del registro.")
    }
  }
}
