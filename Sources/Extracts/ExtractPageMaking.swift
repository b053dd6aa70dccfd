import Evidence
import Journey
import Octets
import PEC

// The page of an extract, for people: what was asked, what happened, what proves it.
extension ExtractMatter {
  /// The page that `estratto.html` shows; the caller prints the same blocks as PDF.
  /// - Throws: what `ExtractBundle` throws, for the same faults.
  public func page() throws(ExtractError) -> ExtractPage {
    let manifests = try checkedManifests()
    let data = ExtractData(self)
    var blocks: [ExtractBlock] = [.heading("Estratto del registro di posta elettronica certificata", level: 1)]
    blocks += opening(data)
    blocks.append(.heading("Messaggi ed eventi", level: 2))
    blocks += messages()
    blocks += proof(manifests)
    return ExtractPage(title: "Estratto del registro PEC — \(data.holder) — \(instant.day)", blocks: blocks)
  }

  private func opening(_ data: ExtractData) -> [ExtractBlock] {
    let messages = Set(rows.map { MessageKey($0.event) }).count
    var facts = [
      ExtractFact("Gestore", data.provider), ExtractFact("Estratto per", data.holder), ExtractFact("Motivo", data.order),
      ExtractFact("Emesso il", instant.shown),
    ]
    facts += data.question.map { ExtractFact("Chiesto: \($0.name)", $0.value) }
    facts += [ExtractFact("Messaggi", String(messages)), ExtractFact("Eventi", String(rows.count))]
    var blocks: [ExtractBlock] = [
      .facts(facts),
      .paragraph(
        "Questo documento riporta gli eventi che il gestore ha scritto nel suo registro (log dei messaggi) sui messaggi richiesti, e "
          + "nessun altro. Le ore sono quelle dell'ora legale italiana del momento, con la differenza dal tempo universale. Il registro "
          + "non contiene il testo dei messaggi né i loro allegati."),
    ]
    if rows.isEmpty { blocks.append(.paragraph("Nel registro non c'è alcun evento che corrisponda alla richiesta.")) }
    if withheld > 0 {
      blocks.append(
        .paragraph(
          "Righe non riportate: \(withheld). Nominano anche altre persone, che il richiedente potrebbe non conoscere; una riga sigillata "
            + "non si può oscurare in parte. Il gestore le dà all'autorità giudiziaria."))
    }
    return blocks
  }

  // MARK: Messages

  /// What makes rows belong together. Not the identifier alone: that may come from outside.
  private struct MessageKey: Hashable {
    var id: String
    var sender: String
    var subject: String?
    var clientMessageID: String?

    init(_ event: EventRecord) {
      id = event.pecID
      sender = ASCII.lowercased(event.sender)
      subject = event.subject
      clientMessageID = event.clientMessageID
    }
  }

  private func messages() -> [ExtractBlock] {
    var order: [MessageKey] = []
    var groups: [MessageKey: [Int]] = [:]
    for (index, row) in rows.enumerated() {
      let key = MessageKey(row.event)
      if groups[key] == nil { order.append(key) }
      groups[key, default: []].append(index)
    }
    return order.enumerated().flatMap { index, key in message(index + 1, groups[key] ?? []) }
  }

  private func message(_ number: Int, _ indexes: [Int]) -> [ExtractBlock] {
    guard let first = indexes.first.map({ rows[$0].event }) else { return [] }
    let subject = first.subject.map { Shown.text($0) } ?? "(senza oggetto)"
    var facts: [ExtractFact] = []
    if !first.pecID.isEmpty {
      facts = [
        ExtractFact("Mittente", first.sender.isEmpty ? "(nessuno)" : Shown.text(first.sender)),
        ExtractFact("Destinatari", recipients(indexes)), ExtractFact("Oggetto", subject),
        ExtractFact("Identificativo", Shown.text(first.pecID)),
      ]
      if let id = first.clientMessageID { facts.append(ExtractFact("Message-ID del mittente", Shown.text(id))) }
      facts.append(ExtractFact("Gestore mittente", first.provider.isEmpty ? "(nessuno: posta ordinaria)" : Shown.text(first.provider)))
      if first.bytes > 0 { facts.append(ExtractFact("Dimensione", "\(first.bytes) byte")) }
    }
    let title = first.pecID.isEmpty ? "Eventi del registro" : "Messaggio \(number): \(subject)"
    return [
      .heading(title, level: 3), .facts(facts),
      .table(
        ExtractTable(
          caption: first.pecID.isEmpty ? "Eventi del registro" : "Eventi del messaggio \(number)",
          columns: [
            .init("Riga", share: 1.1), .init("Data e ora", share: 1.9), .init("Evento", share: 6.4), .init("Destinatario", share: 2.7),
            .init("Identificativi collegati", share: 3.4), .init("Sigillo", share: 1.1),
          ],
          rows: indexes.map { cells(rows[$0].event, seal: proofs[$0].seal) })),
    ]
  }

  private func recipients(_ indexes: [Int]) -> String {
    var seen: Set<String> = []
    let lines = indexes.flatMap { rows[$0].event.recipients }.compactMap { recipient -> String? in
      guard seen.insert(ASCII.lowercased(recipient.address)).inserted else { return nil }
      return "\(Shown.text(recipient.address)) (\(recipient.recipientClass == .certified ? "posta certificata" : "posta ordinaria"))"
    }
    return lines.isEmpty ? "(nessuno)" : lines.joined(separator: "\n")
  }

  private func cells(_ event: EventRecord, seal: Int64) -> [String] {
    var words = "\(EventWords.title(event.kind)). \(EventWords.meaning(event.kind))"
    if let error = EventWords.error(event.error) { words += "\n\(Shown.text(error))" }
    if let detail = event.detail, !detail.isEmpty { words += "\nNota tecnica: \(Shown.text(detail))" }
    return [
      String(event.number ?? 0), event.instant.shown, words, event.recipient.map { Shown.text($0) } ?? "",
      event.relatedIDs.map { Shown.text($0) }.joined(separator: "\n"), String(seal),
    ]
  }

  // MARK: What it proves

  private func proof(_ manifests: [Int64: SealManifest]) -> [ExtractBlock] {
    [
      .heading("Che cosa prova questo estratto", level: 2),
      .paragraph(
        "Ogni riga del registro è scritta una volta sola e non si cambia più. A intervalli di non più di un giorno il gestore raccoglie le "
          + "righe nuove in un sigillo: ne calcola un'impronta comune (radice di un albero di Merkle, RFC 6962), la firma con la sua chiave "
          + "di gestore e la fa marcare da un'autorità di marcatura temporale (RFC 3161), estranea al gestore. Ogni sigillo porta anche "
          + "l'impronta di quello precedente."),
      .paragraph(
        "Per ogni riga riportata qui, il file prove.txt contiene il cammino che dalla riga porta all'impronta del suo sigillo. Se anche una "
          + "sola lettera della riga fosse stata cambiata dopo il sigillo, il cammino non porterebbe più a quell'impronta, che è firmata e "
          + "ha data certa. Le righe di altri non servono alla prova, e non sono comprese."),
      .paragraph(
        "La prova riguarda ciò che il gestore ha registrato e quando; le spiegazioni in italiano di questa pagina servono a leggere le righe "
          + "(eventi.jsonl), che fanno fede."),
      .heading("Sigilli", level: 2), seals(manifests), .heading("Come si verifica", level: 2),
      .paragraph(
        "Chiunque può verificare l'estratto da sé, senza il gestore e senza i suoi programmi: le istruzioni, passo per passo, sono in "
          + "VERIFICA.txt e verifica.html. Chi ha un terminale con openssl può farle fare tutte a una piccola procedura leggibile:"),
      .commands("sh verifica.sh"),
    ]
  }

  private func seals(_ manifests: [Int64: SealManifest]) -> ExtractBlock {
    if seals.isEmpty { return .paragraph("Nessun sigillo: non ci sono righe.") }
    return .table(
      ExtractTable(
        caption: "Sigilli che coprono le righe riportate",
        columns: [
          .init("Sigillo", share: 1.1), .init("Righe", share: 1.9), .init("Firmato il", share: 2.2), .init("Marca temporale", share: 4.5),
          .init("Impronta (radice)", share: 5),
        ],
        rows: seals.map { seal in
          guard let manifest = manifests[seal.number] else { return [String(seal.number)] }
          let stamps = seal.stamps.map { stamp in
            "\(Instant(unixSeconds: stamp.unixSeconds, utcOffsetSeconds: 0).shownUniversal), \(Shown.text(stamp.authority))"
          }
          return [
            String(seal.number), "\(manifest.first)–\(manifest.last)", manifest.madeAt.shown,
            stamps.isEmpty ? "Non ancora apposta" : stamps.joined(separator: "\n"), manifest.root,
          ]
        }))
  }
}

extension Instant {
  /// `21/11/2026 10:44:26 (+0100)`.
  var shown: String { "\(day) \(time) (\(zone))" }
  /// `21/11/2026 09:44:26 UTC`; for instants without an offset.
  var shownUniversal: String { "\(day) \(time) UTC" }
}
