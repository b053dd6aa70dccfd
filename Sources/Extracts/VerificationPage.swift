import Evidence
import PEC

/// How a bundle is checked, for people: `VERIFICA.txt` and `verifica.html`. Each step is a command of common tools and what it must say.
enum VerificationPage {
  static func make(_ matter: ExtractMatter) -> ExtractPage {
    var blocks: [ExtractBlock] = [.heading("Come si verifica questo estratto", level: 1)]
    blocks += opening
    blocks += contents(matter)
    if let seal = matter.seals.first {
      blocks += seals(matter, seal)
      blocks += stamps(seal)
    }
    if let row = matter.rows.first, let proof = matter.proofs.first { blocks += rows(row, proof) }
    blocks += trust
    return ExtractPage(title: "Come si verifica questo estratto", blocks: blocks)
  }

  private static let opening: [ExtractBlock] = [
    .paragraph(
      "Servono un terminale (Linux, macOS, o Windows con WSL o Git Bash) e due strumenti comuni: openssl e sha256sum. Non servono né il "
        + "gestore né i suoi programmi, né un collegamento a Internet. I comandi si danno nella cartella in cui sta questo file."),
    .heading("Tutto in una volta", level: 2),
    .paragraph("La procedura verifica.sh fa tutti i passi che seguono, e si può leggere con un editor di testi. Si avvia così:"),
    .commands("sh verifica.sh"),
    .paragraph(
      "Alla fine deve comparire VERIFICA RIUSCITA. Altrimenti dice quale file o quale riga non è in ordine. Chi ha avuto da altra fonte i "
        + "certificati delle autorità, per esempio dagli elenchi pubblicati da AgID, li dà così:"),
    .commands("sh verifica.sh -c CA-del-gestore.pem -t CA-delle-marche.pem"),
    .paragraph("Chi preferisce fare da sé trova qui gli stessi passi."),
  ]

  private static func contents(_ matter: ExtractMatter) -> [ExtractBlock] {
    [
      .heading("Passo 1. L'elenco dei file e la sua firma", level: 2),
      .paragraph(
        "Il gestore ha firmato l'elenco dei file dell'estratto con le loro impronte. Questo comando verifica la firma e scrive l'elenco "
          + "firmato:"),
      .commands(
        "openssl cms -verify -binary -inform DER -in contenuto.p7m \\\n  -CAfile certificati/gestore.pem -partial_chain -purpose any \\\n"
          + "  -attime \(matter.instant.unixSeconds) -out elenco-firmato.txt"),
      .paragraph("Deve comparire «CMS Verification successful». L'elenco firmato deve essere uguale a contenuto.txt:"),
      .commands("cmp elenco-firmato.txt contenuto.txt && rm elenco-firmato.txt"),
      .paragraph("Se non compare nulla, è uguale. Ora si controlla che ogni file sia quello dell'elenco:"),
      .commands("sha256sum -c contenuto.txt"),
      .paragraph(
        "Accanto a ogni file deve comparire OK. Nella cartella non devono esserci altri file oltre a quelli elencati, a contenuto.txt e a "
          + "contenuto.p7m."),
    ]
  }

  private static func seals(_ matter: ExtractMatter, _ seal: SealFiles) -> [ExtractBlock] {
    let folder = "sigilli/\(seal.number)"
    let moment = seal.stamps.first?.unixSeconds ?? (try? SealManifest(reading: seal.manifest))?.madeAt.unixSeconds ?? 0
    var blocks: [ExtractBlock] = [
      .heading("Passo 2. La firma dei sigilli", level: 2),
      .paragraph(
        "Un sigillo è un breve documento (manifesto.json) che dice quali righe copre e quale ne è l'impronta comune (root). Il gestore lo "
          + "ha firmato:"),
      .commands(
        "openssl cms -verify -binary -inform DER -in \(folder)/sigillo.p7m \\\n  -CAfile \(folder)/certificati.pem -partial_chain "
          + "-purpose any \\\n  -attime \(moment) -out manifesto-firmato.json\n"
          + "cmp manifesto-firmato.json \(folder)/manifesto.json && rm manifesto-firmato.json"),
      .paragraph("Deve comparire «CMS Verification successful», e dal secondo comando nulla."),
    ]
    if matter.seals.count > 1 {
      let others = matter.seals.dropFirst().map { "sigilli/\($0.number)" }.joined(separator: ", ")
      blocks.append(
        .paragraph(
          "Lo stesso, come il passo 3, va fatto per: \(others). Il numero dopo -attime è l'ora della marca temporale, che sta in dati.txt.")
      )
    }
    return blocks
  }

  private static func stamps(_ seal: SealFiles) -> [ExtractBlock] {
    let folder = "sigilli/\(seal.number)"
    let heading = ExtractBlock.heading("Passo 3. La marca temporale dei sigilli", level: 2)
    guard let last = seal.stamps.last else {
      return [
        heading,
        .paragraph(
          "Il sigillo \(seal.number) non aveva ancora una marca temporale quando l'estratto è stato fatto: la sua data è solo quella che "
            + "dichiara il gestore. Un estratto chiesto più tardi la porterà."),
      ]
    }
    var commands: [String] = []
    for (index, stamp) in seal.stamps.enumerated() {
      let next = index + 1 < seal.stamps.count ? " -attime \(seal.stamps[index + 1].unixSeconds)" : ""
      commands.append(
        "openssl ts -verify -token_in -in \(folder)/\(stamp.name) \\\n  -data \(folder)/\(stamp.covers) -CAfile \(folder)/marche.pem "
          + "-partial_chain\(next)")
    }
    var blocks: [ExtractBlock] = [
      heading,
      .paragraph("Un'autorità estranea al gestore attesta che il sigillo firmato esisteva a una certa ora, e da allora non è cambiato:"),
      .commands(commands.joined(separator: "\n")),
      .paragraph("Deve comparire «Verification: OK». L'ora, e chi la attesta, si leggono così (righe Time stamp e TSA):"),
      .commands("openssl ts -reply -token_in -in \(folder)/\(last.name) -text"),
      .paragraph(
        "Se il certificato dell'autorità è scaduto, il primo comando lo dice; con -attime e l'ora della marca (in dati.txt) si verifica che "
          + "allora valeva."),
    ]
    if seal.evidenceRecord != nil {
      blocks.append(
        .paragraph(
          "Il file evidenza.er contiene le marche, e i loro rinnovi, nella forma di RFC 4998: lo leggono i programmi di conservazione a "
            + "norma."))
    }
    return blocks
  }

  private static func rows(_ row: ExtractRow, _ proof: InclusionProof) -> [ExtractBlock] {
    let number = proof.row
    var commands = [
      "n() { printf \"\\\\001$(printf '%s' \"$1\" | sed 's/../\\\\x&/g')\" | sha256sum | cut -c1-64; }",
      "h=$( { printf '\\000'; cat eventi/\(number).json; } | sha256sum | cut -c1-64 )",
    ]
    for step in proof.path {
      let digest = step.text.dropFirst(2)
      commands.append(step.side == .left ? "h=$(n \"\(digest)${h}\")" : "h=$(n \"${h}\(digest)\")")
    }
    commands += ["echo \"$h\"", "grep -o '\"root\":\"[0-9a-f]*\"' sigilli/\(proof.seal)/manifesto.json"]
    return [
      .heading("Passo 4. Le righe", level: 2),
      .paragraph(
        "La cartella eventi contiene le righe del registro, una per file, e prove.txt il cammino di ciascuna fino all'impronta del suo "
          + "sigillo. Si comincia dall'impronta della riga preceduta da un byte 0 (RFC 6962). Poi, per ogni gradino, si mettono "
          + "l'impronta avuta fin lì e quella del gradino una dopo l'altra, precedute da un byte 1, e se ne fa l'impronta: quella del "
          + "gradino sta a sinistra se la riga comincia con L, a destra se comincia con R. In bash, per la riga \(number):"),
      .commands(commands.joined(separator: "\n")),
      .paragraph(
        "I due valori alla fine devono essere uguali. Per ogni altra riga N si fa lo stesso con eventi/N.json e i gradini che in prove.txt "
          + "seguono «row N». In quel titolo index è il posto della riga nel sigillo, cioè il suo numero meno il primo (first) del "
          + "manifesto, e of quante righe il sigillo copre."),
      .paragraph("Il file eventi.jsonl contiene le stesse righe, una sotto l'altra; la pagina estratto.html le spiega in italiano."),
    ]
  }

  private static let trust: [ExtractBlock] = [
    .heading("Passo 5. Di chi ci si fida", level: 2),
    .paragraph(
      "I certificati dentro l'estratto mostrano che tutto torna; che appartengano davvero al gestore e all'autorità di marcatura lo dice "
        + "un'altra fonte: gli elenchi pubblicati da AgID (indice dei gestori PEC, elenco dei prestatori di servizi fiduciari). Le impronte "
        + "da confrontare si leggono così:"),
    .commands("openssl x509 -in certificati/gestore.pem -noout -subject -fingerprint -sha256"),
    .paragraph("Le liste di revoca di allora sono nelle cartelle revoche: verifica.sh controlla che il certificato non fosse revocato."),
  ]
}
