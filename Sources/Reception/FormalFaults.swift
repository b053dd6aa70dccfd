import MIMEStream
import Octets
import PEC

/// Gathers what is wrong, in order.
struct FaultList {
  private(set) var reasons: [Reason] = []

  mutating func note(_ english: String, _ italian: String) { reasons.append(Reason(english: english, italian: italian)) }
}

extension IncomingCheck {
  /// Longest identifier: a line's length without its name (RFC 5322 §2.1.1), and the room of every log.
  private static let identifierBytes = 512
  /// Longest name of a provider.
  private static let nameBytes = 1000
  /// Fields of the outer header that decide, or that a mail client shows: a second one is a second message for somebody.
  private static let onceOnly = [
    "X-Trasporto", "X-Ricevuta", "X-TipoRicevuta", "X-VerificaSicurezza", "X-Riferimento-Message-ID", "X-Mittente", "Message-ID", "From",
    "Sender", "Subject", "Date", "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition",
  ]

  /// C4 (`pec-rules` 6.2): what about a provider's message is not as the rules make it; empty when all is.
  func formalFaults(of message: ReceivedMessage, by record: ProviderRecord) -> [Reason] {
    var faults = FaultList()
    headerFaults(message.facts, &faults)
    structureFaults(message, &faults)
    switch message.claim.nature {
    case .envelope, .notification: break
    case .anomalyEnvelope:
      faults.note("an anomaly envelope of another provider is not for us", "busta di anomalia proveniente da un altro gestore")
    case .ordinary:
      faults.note("signed, with neither X-Trasporto nor X-Ricevuta", "intestazioni X-Trasporto e X-Ricevuta assenti")
    case .malformed(let words): faults.note(words, "X-Ricevuta o X-Trasporto non ammessi")
    }
    authorFaults(message, &faults)
    switch message.certification {
    case nil:
      if message.claim.nature != .anomalyEnvelope {
        faults.note("daticert.xml is missing, or there are several", "daticert.xml assente o ripetuto")
      }
    case .failure(let fault)?: faults.note("daticert.xml cannot be read: \(excerpt(fault.description))", "daticert.xml non leggibile")
    case .success(let data)?:
      dataFaults(data, &faults)
      agreementFaults(data, message, record, &faults)
    }
    return faults.reasons
  }

  /// The header itself: what two programs could read in two ways.
  private func headerFaults(_ facts: MessageFacts, _ faults: inout FaultList) {
    let header = facts.header
    if header.bytes.count < facts.headerEnd || facts.flags.contains(.tooManyFields) {
      faults.note("the header is too long to be checked", "intestazione troppo lunga")
    }
    if facts.flags.contains(.malformedHeaderLine) {
      faults.note("the header has a line that is no field", "riga dell'intestazione non valida")
    }
    if IncomingCheck.hasStrayLineEnd(header.bytes) {
      faults.note("the header has a NUL or a stray line end", "caratteri non ammessi nell'intestazione")
    }
    let doubled = IncomingCheck.onceOnly.filter { header.fields(named: $0).count > 1 }
    for name in doubled { faults.note("\(name) stands more than once", "intestazione \(name) ripetuta") }
  }

  /// True for a NUL, a CR without LF, or an LF without CR.
  private static func hasStrayLineEnd(_ bytes: [UInt8]) -> Bool {
    var previous: UInt8 = 0x20
    for byte in bytes {
      if byte == 0 || (previous == 13) != (byte == 10) { return true }
      previous = byte
    }
    return false
  }

  /// The MIME tree down to the parts that matter. What is inside of postacert.eml is its sender's affair.
  private func structureFaults(_ message: ReceivedMessage, _ faults: inout FaultList) {
    let parts = message.facts.parts
    if message.facts.flags.contains(.tooManyParts) { faults.note("more parts than are read", "troppe parti MIME") }
    guard let root = parts.first, let signed = parts.firstIndex(where: { $0.parent == 0 }) else { return }
    guard parts[signed].type == "multipart/mixed" else {
      return faults.note("the signed part is not a multipart/mixed", "la parte firmata non è multipart/mixed")
    }
    for part in [root, parts[signed]] where !["7bit", "8bit", "binary"].contains(part.transferEncoding) {
      faults.note("a multipart with an encoding of its own", "codifica non ammessa per una parte multipart")
    }
    if !root.isClosed || !parts[signed].isClosed {
      faults.note("a multipart without its closing boundary", "parte MIME non terminata")
    }
    if root.boundary == parts[signed].boundary {
      faults.note("two multiparts with the same boundary", "delimitatori MIME ripetuti")
    }
    // Parts behind the closing boundary are seen by some clients and not by others; the walker says that there are delimiters like
    // that somewhere, and what stands behind the last part here says whether it is here.
    if message.facts.flags.contains(.ambiguousBoundary), hasEpilogue(0, parts) || hasEpilogue(signed, parts) {
      faults.note("parts behind the closing boundary", "parti MIME oltre il delimitatore di chiusura")
    }
  }

  /// True when more than the closing boundary line and some empty lines stand behind the last part of a multipart.
  private func hasEpilogue(_ index: Int, _ parts: [MIMEPart]) -> Bool {
    guard let last = parts.last(where: { $0.parent == index }) else { return false }
    let closing = 2 + 2 + (parts[index].boundary?.utf8.count ?? 0) + 2 + 2
    return parts[index].bodyRange.upperBound - last.bodyRange.upperBound > closing + 8
  }

  /// From, its name that is shown, Sender (RFC 6109 §2.1).
  private func authorFaults(_ message: ReceivedMessage, _ faults: inout FaultList) {
    guard let from = message.claim.from else {
      return faults.note("From does not name exactly one address for certain", "campo From assente, ripetuto o ambiguo")
    }
    let certified = message.signature?.mailAddresses ?? []
    if !certified.contains(where: { AddressKey.equal($0, from.address) }) {
      faults.note(
        "From is \(excerpt(from.address)), which is not the address in the certificate",
        "indirizzo del campo From diverso da quello del certificato")
    }
    let senders = message.facts.header.fields(named: "Sender")
    if senders.count == 1 {
      // Nobody sends it; who does must not be somebody else.
      let list = AddressList.parse(message.facts.header.value(of: senders[0]), limit: 2)
      if list.fault != nil || list.mailboxes.count != 1 || !AddressKey.equal(list.mailboxes[0].address, from.address) {
        faults.note("Sender is not From", "campo Sender diverso dal campo From")
      }
    }
    guard let name = from.displayName else { return }
    var isHonest = ShownName.namesNobodyElse(name, than: from.address)
    if message.claim.nature == .envelope, case .success(let data)? = message.certification {
      isHonest = ShownName.isOnBehalf(name, of: data.sender)
    }
    if !isHonest {
      faults.note("the name shown in From is of somebody else: \(excerpt(name))", "nome visualizzato nel campo From non corrispondente")
    }
  }

  /// The certification data for themselves.
  private func dataFaults(_ data: CertificationData, _ faults: inout FaultList) {
    if !IncomingCheck.isPlain(data.sender) { faults.note("mittente is not a plain address", "elemento mittente non valido") }
    if let delivery = data.delivery, !IncomingCheck.isPlain(delivery) {
      faults.note("consegna is not a plain address", "elemento consegna non valido")
    }
    if !data.receptions.allSatisfy(IncomingCheck.isPlain) {
      faults.note("ricezione is not a plain address", "elemento ricezione non valido")
    }
    if !data.recipients.allSatisfy({ IncomingCheck.isAddressLike($0.address) }) {
      faults.note("destinatari is not a plain address", "elemento destinatari non valido")
    }
    if data.provider.isEmpty || data.provider.utf8.count > IncomingCheck.nameBytes || IncomingCheck.hasControls(data.provider) {
      faults.note("gestore-emittente is empty or not a name", "elemento gestore-emittente non valido")
    }
    let id = data.pecID.utf8
    let angles = [UInt8(ascii: "<"), UInt8(ascii: ">")]
    if id.isEmpty || id.count > IncomingCheck.identifierBytes || !id.allSatisfy({ $0 >= 32 && $0 < 127 && !angles.contains($0) }) {
      faults.note("identificativo is not an identifier", "elemento identificativo non valido")
    }
    if let client = data.clientMessageID, client.utf8.count > 2 * IncomingCheck.identifierBytes || IncomingCheck.hasControls(client) {
      faults.note("msgid is not an identifier", "elemento msgid non valido")
    }
  }

  /// The certification data against header, original, SMTP and what came before.
  private func agreementFaults(
    _ data: CertificationData, _ message: ReceivedMessage, _ record: ProviderRecord, _ faults: inout FaultList
  ) {
    switch message.claim.nature {
    case .envelope, .notification:
      for found in message.claim.disagreements(with: data) { faults.note(excerpt(found.english), excerpt(found.italian)) }
    case .anomalyEnvelope, .ordinary, .malformed: return
    }
    guard message.claim.nature == .envelope, data.type == .envelope else { return }
    if !AddressKey.equal(message.reversePath, data.sender) {
      faults.note(
        "MAIL FROM is \(message.reversePath.isEmpty ? "empty" : excerpt(message.reversePath)), mittente is \(excerpt(data.sender))",
        "mittente SMTP diverso dal mittente certificato")
    }
    if message.claim.originalPart != nil, message.original?.messageID.map({ $0.utf8.elementsEqual(data.pecID.utf8) }) != true {
      faults.note("postacert.eml has not the identificativo as its Message-ID", "Message-ID di postacert.eml diverso dall'identificativo")
    }
    // `pec-rules` 6.6: an identificativo names one message.
    let others = message.known.contains {
      $0.isEnvelope && ASCII.equal($0.provider, record.providerName) && !IncomingCheck.isSame($0, message, record)
    }
    if others { faults.note("a different message had this identificativo before", "identificativo già usato da un messaggio diverso") }
  }

  /// An address that may stand in SMTP as it is (RFC 5321 §4.1.2), without a source route.
  static func isPlain(_ address: String) -> Bool {
    address.utf8.count <= 320 && address.utf8.first != UInt8(ascii: "@") && Mailbox.parsePath(address) != nil
  }

  /// Less is asked of other people's addresses: ordinary mail has stranger ones than the rules, and they get nothing from here.
  static func isAddressLike(_ address: String) -> Bool {
    if isPlain(address) { return true }
    let bytes = address.utf8
    return bytes.count <= 320 && bytes.contains(UInt8(ascii: "@"))
      && bytes.allSatisfy { $0 > 32 && $0 != 127 && $0 != UInt8(ascii: "<") && $0 != UInt8(ascii: ">") }
  }

  /// C0, DEL, C1, and the marks that turn a line of text around.
  static func hasControls(_ text: String) -> Bool {
    text.unicodeScalars.contains { scalar in
      switch scalar.value {
      case 0..<32, 127..<160, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069: true
      default: false
      }
    }
  }
}
