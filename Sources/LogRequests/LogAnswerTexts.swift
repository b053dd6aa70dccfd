internal import PEC

// The words of an answer: holders read them, so they are Italian.
extension LogAnswer {
  var subject: String {
    switch content {
    case .opened: "Estratto del registro: richiesta presa in carico"
    case .extract: "Estratto del registro dei messaggi"
    case .nothingFound: "Estratto del registro: nessun evento trovato"
    case .unclear: "Estratto del registro: richiesta da completare"
    case .notYours: "Estratto del registro: richiesta non ammessa"
    case .waiting: "Estratto del registro: richiesta in lavorazione"
    case .refused: "Estratto del registro: richiesta respinta"
    }
  }

  func body(providerName: String) -> String {
    var paragraphs = ["Gentile titolare,"]
    switch content {
    case .opened:
      paragraphs.append(
        """
        la Sua richiesta di estratto del registro dei messaggi è stata presa in
        carico. La risposta Le sarà inviata a questa casella.
        """)
      paragraphs.append(asked)
    case .extract(_, _, let rows): paragraphs += extract(rows)
    case .nothingFound: paragraphs += nothingFound
    case .unclear(let missing, let problems): paragraphs += unclear(missing, problems)
    case .notYours:
      paragraphs.append(
        """
        la Sua richiesta di estratto del registro riguarda un messaggio di cui Lei
        non risulta né mittente né destinatario. Il registro può essere esibito
        soltanto al titolare della casella che ha inviato o ricevuto il messaggio.
        """)
      paragraphs.append(asked)
      paragraphs.append(
        """
        Se il messaggio è Suo, scriva di nuovo dalla casella che lo ha inviato o
        ricevuto, compilando questo modulo:
        """)
      paragraphs.append(form)
    case .waiting(let reason):
      paragraphs.append(
        """
        la Sua richiesta di estratto del registro è all'esame di un operatore, che
        Le risponderà a questa casella.
        """)
      paragraphs += LogAnswer.given(reason, as: "Motivo")
      paragraphs.append(asked)
    case .refused(let reason):
      paragraphs.append("la Sua richiesta di estratto del registro è stata respinta.")
      paragraphs += LogAnswer.given(reason, as: "Motivo")
      paragraphs.append(asked)
    }
    paragraphs.append(
      """
      Richiesta numero: \(LogAnswer.oneLine(requestID))
      Ricevuta il giorno \(askedAt.day) alle ore \(askedAt.time) (\(askedAt.zone))
      """)
    paragraphs.append("\(LogAnswer.oneLine(providerName))\nGestore di posta elettronica certificata")
    return paragraphs.filter { !$0.isEmpty }.joined(separator: "\n\n") + "\n"
  }

  // MARK: Paragraphs

  private func extract(_ rows: Int) -> [String] {
    [
      """
      in allegato trova l'estratto del registro che ha chiesto: \(rows == 1 ? "un evento" : "\(rows) eventi") dei Suoi
      messaggi, e di nessun altro.
      """,
      asked,
      """
      L'archivio allegato contiene:
      - estratto.pdf ed estratto.html, lo stesso testo da leggere o stampare;
      - le righe del registro come sono conservate, con le prove che appartengono
        al registro sigillato: sigilli firmati, marche temporali, certificati;
      - VERIFICA.txt, che spiega come controllarle, anche senza il gestore.
      """,
      """
      L'estratto riporta gli eventi del messaggio e non il suo contenuto, che il
      gestore non conserva.
      """,
    ]
  }

  private var nothingFound: [String] {
    [
      """
      nel registro non risulta alcun evento di Suoi messaggi che corrisponda alla
      richiesta.
      """,
      asked,
      """
      Il registro conserva gli eventi degli ultimi 30 mesi. Un indirizzo, una data
      o un identificativo diversi da quelli del messaggio non permettono di
      trovarlo: se ha dubbi sulla data indichi un periodo, e lasci in bianco
      l'oggetto. Può rispondere a questo messaggio con il modulo corretto:
      """,
      form,
    ]
  }

  private func unclear(_ missing: [LogRequestField], _ problems: [String]) -> [String] {
    var paragraphs = [
      """
      non è stato possibile comprendere la Sua richiesta di estratto del registro
      dei messaggi.
      """
    ]
    if !problems.isEmpty { paragraphs.append(problems.map { "- \(LogAnswer.oneLine($0))" }.joined(separator: "\n")) }
    if !missing.isEmpty { paragraphs.append("Manca: \(missing.map(\.italian).joined(separator: ", ")).") }
    paragraphs.append(
      """
      Servono l'indirizzo del mittente, quello del destinatario e la data del
      messaggio, oppure il suo identificativo. Oggetto e nominativo sono
      facoltativi. Al posto di una data si può indicare un periodo, per esempio
      «dal \(LegalDay(askedAt).advanced(by: -7).italian) al \(LegalDay(askedAt).italian)».
      """)
    paragraphs.append("Risponda a questo messaggio compilando il modulo:")
    paragraphs.append(form)
    return paragraphs
  }

  /// The form, with what was understood filled in.
  private var form: String {
    LogRequestField.allCases.map { field in
      let value = question.italian(field).map(LogAnswer.oneLine)
      return "\(field.italian): \(value ?? "")"
    }.joined(separator: "\n")
  }

  /// What was asked, line by line; empty when nothing was understood.
  private var asked: String {
    let lines = LogRequestField.allCases.compactMap { field in
      question.italian(field).map { "  \(field.italian): \(LogAnswer.oneLine($0))" }
    }
    return lines.isEmpty ? "" : "La richiesta:\n" + lines.joined(separator: "\n")
  }

  private static func given(_ text: String, as word: String) -> [String] {
    let line = oneLine(text)
    return line.isEmpty ? [] : ["\(word): \(line)"]
  }

  /// What comes from outside stays on its line.
  private static func oneLine(_ text: String) -> String { Folding.tidied(text) }
}
