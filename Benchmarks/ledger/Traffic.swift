import Journey
import PEC

/// Numbers that are the same in every run (SplitMix64).
struct Dice {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
  }

  /// From 0 up to `count`, all alike.
  mutating func any(_ count: Int) -> Int { Int(next() % UInt64(count)) }

  /// From 0 up to `count`, each octave of numbers alike: few come very often, most hardly ever, as with people who write.
  mutating func few(_ count: Int) -> Int {
    let octaves = Int.bitWidth - count.leadingZeroBitCount
    return any(1 << (1 + any(octaves))) % count
  }

  mutating func one(in count: Int) -> Bool { any(count) == 0 }
}

/// A message on its way, and what it is found by.
struct Letter {
  var id: String
  var instant: Instant
  var sender: String
  var recipients: [Recipient]
  var subject: String
  var clientMessageID: String
  var provider: String
  var bytes: Int
  var isOurs: Bool
  /// Its rows that were made so far, and what comes next for it.
  var rows = 0
  var stage = 0
  var isOver = false
  /// Message-ID of the last message that a row made or moved.
  var relatedID = ""

  func row(_ kind: EventKind, about recipient: String? = nil, made: [String], at now: Instant, detail: String? = nil) -> EventRecord {
    EventRecord(
      pecID: id, instant: now, kind: kind, sender: sender,
      recipients: recipient.map { one in recipients.filter { $0.address == one } } ?? recipients, subject: subject,
      clientMessageID: clientMessageID, relatedIDs: made, provider: provider, recipient: recipient, detail: detail, bytes: bytes)
  }
}

/// The rows of a provider's traffic, in the batches in which a busy gateway commits them: each batch has fifty new messages, and of those
/// of the batches before what came next. Days go by as in a log of ten million rows in thirty months.
struct Traffic {
  static let batchLetters = 50
  static let lastStage = 4
  private static let batchesPerKept = 7
  static let ourProvider = "Alfa Posta Certificata S.p.A."
  static let ourDomain = "pec.alfa.test"
  /// Words that few subjects have, and one that a third of them has.
  static let rareWord = "usucapione"
  static let commonWord = "comunicazione"
  /// The office that writes most, a word that is frequent and never its own, and one who never wrote.
  static let office = "protocollo@comune0.alfa.test"
  static let wordOfOthers = "fattura"
  static let nobody = "nessuno@pec.alfa.test"
  private static let secondsPerLetter: Int64 = 57
  private static let openingSeconds: Int64 = 1_714_543_200  // 1 May 2024

  /// Letters that are kept to be looked for, from all over the log.
  private(set) var kept: [Letter] = []
  private var dice = Dice(6)
  private var serial: UInt64 = 0
  /// The letters of the last batches, the newest first.
  private var underWay: [[Letter]] = []
  private var batches = 0

  /// The changes of the next batch.
  mutating func batch() -> [EventRecord] {
    var rows: [EventRecord] = []
    rows.reserveCapacity(420)
    underWay.insert((0..<Traffic.batchLetters).map { _ in letter() }, at: 0)
    let now = Instant(unixSeconds: at(serial), utcOffsetSeconds: 3600)
    for age in underWay.indices {
      var letters = exchange(&underWay[age], with: [])
      for place in letters.indices where !letters[place].isOver { advance(&letters[place], now, &rows) }
      underWay[age] = letters
    }
    if underWay.count > Traffic.lastStage {
      let done = underWay.removeLast()
      batches += 1
      if batches % Traffic.batchesPerKept == 0 { kept.append(done[batches % Traffic.batchLetters]) }
    }
    return rows
  }

  private func at(_ serial: UInt64) -> Int64 { Traffic.openingSeconds + Int64(serial) * Traffic.secondsPerLetter }

  // MARK: - Letters

  private mutating func letter() -> Letter {
    serial += 1
    let instant = Instant(unixSeconds: at(serial), utcOffsetSeconds: 3600)
    let isOurs = dice.any(100) < 60
    let other = dice.few(40)
    let domain = isOurs ? Traffic.ourDomain : "pec.gestore\(other).test"
    let id = PECIdentifier.make(
      node: isOurs ? "pec1" : "opec\(2000 + other)", instant: instant, sequence: serial, random: dice.next(), domain: domain)
    let isOffice = isOurs && dice.one(in: 20)
    let sender = isOffice ? Traffic.office : isOurs ? "utente\(dice.few(20_000))@pec.alfa.test" : "studio\(dice.few(100_000))@\(domain)"
    return Letter(
      id: id, instant: instant, sender: sender, recipients: recipients(isOurs), subject: subject(isOffice),
      clientMessageID: "<\(serial).\(String(dice.next(), radix: 16))@client\(dice.any(50)).test>",
      provider: isOurs ? Traffic.ourProvider : "Gestore \(other) S.p.A.", bytes: 4_000 + dice.few(20_000_000), isOurs: isOurs)
  }

  private mutating func recipients(_ isOurs: Bool) -> [Recipient] {
    let count = dice.any(100) < 80 ? 1 : dice.one(in: 200) ? 50 : 2 + dice.any(4)
    return (0..<(isOurs ? count : 1)).map { _ in
      guard isOurs else { return Recipient(address: "utente\(dice.few(20_000))@pec.alfa.test", recipientClass: .certified) }
      let isCertified = !dice.one(in: 10)
      return Recipient(
        address: isCertified ? "ufficio\(dice.few(200_000))@pec.gestore\(dice.few(40)).test" : "persona\(dice.few(50_000))@posta.test",
        recipientClass: isCertified ? .certified : .ordinary)
    }
  }

  private mutating func subject(_ isOffice: Bool) -> String {
    if dice.one(in: 50_000) { return "Ricorso per \(Traffic.rareWord) speciale n. \(dice.any(9_999))" }
    if isOffice { return "Comunicazione di avvio del procedimento - pratica \(serial) prot. \(dice.any(100_000))/2026" }
    return switch dice.any(6) {
    case 0: "Fattura n. \(dice.any(20_000)) del \(1 + dice.any(12))/2026"
    case 1: "Invio fattura elettronica e documenti di trasporto \(dice.any(1_000_000))"
    case 2: "Comunicazione di variazione dei dati della società"
    case 3: "Notificazione ai sensi della legge n. 53 del 1994 - R.G. \(dice.any(60_000))/2026"
    case 4: "R: Sollecito di pagamento, pratica \(dice.any(400_000)): comunicazione urgente"
    default: "Convocazione dell'assemblea dei soci: verbale \(dice.any(3_000)) e attività dell'esercizio"
    }
  }

  // MARK: - What becomes of them

  /// Adds the rows of a letter's next stage.
  private mutating func advance(_ letter: inout Letter, _ now: Instant, _ rows: inout [EventRecord]) {
    let before = rows.count
    if letter.isOurs { submitted(&letter, now, &rows) } else { arrived(&letter, now, &rows) }
    letter.rows += rows.count - before
    letter.relatedID = rows[before...].last?.relatedIDs.last ?? letter.relatedID
    letter.stage += 1
  }

  private static func made(_ kind: MessageKind, _ letter: Letter, _ recipient: String? = nil) -> [String] {
    [PECIdentifier.derived(from: letter.id, kind: kind, recipient: recipient)]
  }

  /// A message of one of our own: acceptance and envelope; sent; taken in charge; the delivery receipts; those delivered.
  private mutating func submitted(_ letter: inout Letter, _ now: Instant, _ rows: inout [EventRecord]) {
    switch letter.stage {
    case 0:
      if dice.one(in: 500) {
        var row = letter.row(.nonAcceptance, made: Traffic.made(.nonAcceptance, letter), at: letter.instant, detail: "from-missing")
        row.error = "altro"
        rows.append(row)
        letter.isOver = true
        return
      }
      rows.append(letter.row(.acceptance, made: Traffic.made(.acceptance, letter), at: letter.instant))
      rows.append(letter.row(.envelopeMade, made: [letter.id], at: letter.instant))
    case 1:
      for recipient in letter.recipients { rows.append(sent(letter, to: recipient.address, now)) }
      rows.append(delivered(letter, Traffic.made(.acceptance, letter), now))
    case 2:
      for recipient in letter.recipients where recipient.recipientClass == .certified {
        var row = letter.row(
          .takeChargeReceived, about: recipient.address, made: ["opec.\(String(dice.next(), radix: 36))@gestore.test"], at: now,
          detail: "presa-in-carico")
        row.error = "nessuno"
        rows.append(row)
      }
    case 3:
      for recipient in letter.recipients where recipient.recipientClass == .certified { rows.append(told(letter, recipient.address, now)) }
    default:
      for recipient in letter.recipients where recipient.recipientClass == .certified {
        rows.append(delivered(letter, Traffic.made(.deliveryComplete, letter, recipient.address), now))
      }
    }
  }

  private mutating func sent(_ letter: Letter, to recipient: String, _ now: Instant) -> EventRecord {
    letter.row(
      .envelopeSent, about: recipient, made: [letter.id], at: now, detail: "250 2.0.0 Ok: queued as \(String(dice.next(), radix: 36))")
  }

  private func delivered(_ letter: Letter, _ made: [String], _ now: Instant) -> EventRecord {
    letter.row(.noticeDelivered, about: letter.sender, made: made, at: now, detail: "stored")
  }

  /// The delivery receipt of a recipient comes, or that there is no such mailbox, or rarely that a virus was found.
  private mutating func told(_ letter: Letter, _ recipient: String, _ now: Instant) -> EventRecord {
    if dice.one(in: 20_000) {
      var row = letter.row(.virusDetectionReceived, about: recipient, made: Traffic.made(.virusDetection, letter, recipient), at: now)
      row.error = "virus"
      return row
    }
    let isLost = dice.one(in: 50)
    var row = letter.row(
      .notificationReceived, about: recipient, made: Traffic.made(.deliveryComplete, letter, recipient), at: now,
      detail: isLost ? "errore-consegna; 5.1.1 no such mailbox" : "avvenuta-consegna")
    row.error = isLost ? "no-dest" : "nessuno"
    return row
  }

  /// A message of another provider's: taken in charge; delivered; both receipts on their way.
  private mutating func arrived(_ letter: inout Letter, _ now: Instant, _ rows: inout [EventRecord]) {
    let recipient = letter.recipients.first?.address ?? ""
    switch letter.stage {
    case 0:
      if dice.one(in: 3_000) {
        rows.append(letter.row(.anomaly, made: Traffic.made(.anomaly, letter), at: letter.instant, detail: "signature-invalid"))
        letter.isOver = true
        return
      }
      rows.append(letter.row(.envelopeReceived, made: [letter.id], at: letter.instant))
      rows.append(letter.row(.takeCharge, made: Traffic.made(.takeCharge, letter), at: letter.instant))
    case 1:
      rows.append(
        letter.row(.delivery, about: recipient, made: Traffic.made(.deliveryComplete, letter, recipient), at: now, detail: "stored"))
      rows.append(delivered(letter, Traffic.made(.takeCharge, letter), now))
    case 2: rows.append(delivered(letter, Traffic.made(.deliveryComplete, letter, recipient), now))
    default: return
    }
  }
}
