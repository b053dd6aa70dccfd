extension CertificationData {
  /// Reads `daticert.xml` as others write it: white space, self-closing or not, CDATA, comments, stray text between elements, elements
  /// we do not know, and children in any order are put up with; a missing or doubled element, a value that the DTD does not list, a
  /// DOCTYPE and any entity of the document's own are not.
  ///
  /// - Throws: what is wrong and where.
  public static func read(xml document: [UInt8]) throws(CertificationFault) -> CertificationData {
    var scanner = try XMLScanner(document)
    var reader = CertificationReader()
    while let token = try scanner.next() {
      do {
        try reader.take(token)
      } catch let problem {
        throw CertificationFault(offset: scanner.offset, reason: problem.reason)
      }
    }
    do {
      return try reader.finish()
    } catch let problem {
      throw CertificationFault(offset: scanner.offset, reason: problem.reason)
    }
  }
}

/// Gathers certification data from the tokens of a document.
private struct CertificationReader {
  struct Problem: Error {
    var reason: String
  }

  private static let maximumDepth = 16
  private static let maximumRecipients = 10_000

  /// Names of the open elements, from the root.
  private var path: [String] = []
  private var text = ""
  private var attributes: [String: String] = [:]
  private var sawRoot = false
  private var type: CertificationType?
  private var error = CertificationError.none
  private var recipients: [Recipient] = []
  private var receptions: [String] = []
  private var receiptType: ReceiptType?
  private var zone: String?
  /// Elements of text that may stand once, by their path below the root.
  private var single: [String: String] = [:]

  mutating func take(_ token: XMLScanner.Token) throws(Problem) {
    switch token {
    case .open(let name, let attributes, let isEmpty):
      try open(name, attributes)
      if isEmpty { try close(name) }
    case .close(let name): try close(name)
    case .text(let piece):
      if path.isEmpty {
        guard piece.utf8.allSatisfy({ $0 <= 32 }) else { throw Problem(reason: "text outside of the root element") }
      } else {
        text += piece
      }
    }
  }

  private mutating func open(_ name: String, _ attributes: [String: String]) throws(Problem) {
    guard path.count < CertificationReader.maximumDepth else { throw Problem(reason: "nested too deeply") }
    if path.isEmpty {
      guard !sawRoot, name == "postacert" else { throw Problem(reason: sawRoot ? "a second root element" : "the root is not postacert") }
      sawRoot = true
      guard let type = CertificationType(rawValue: attributes["tipo"] ?? "") else {
        throw Problem(reason: "postacert without a known tipo")
      }
      guard let error = CertificationError(rawValue: attributes["errore"] ?? "nessuno") else { throw Problem(reason: "an unknown errore") }
      self.type = type
      self.error = error
    }
    path.append(name)
    self.attributes = attributes
    text = ""
    if key == "dati/data" {
      guard zone == nil, let given = attributes["zona"] else { throw Problem(reason: "data twice or without zona") }
      zone = given
    }
  }

  private var key: String { path.dropFirst().joined(separator: "/") }

  private mutating func close(_ name: String) throws(Problem) {
    guard path.last == name else { throw Problem(reason: "an end tag </\(name)> that ends nothing") }
    let content = CertificationReader.trimmed(text)
    switch key {
    case "intestazione/mittente", "intestazione/risposte", "intestazione/oggetto", "dati/gestore-emittente", "dati/data/giorno",
      "dati/data/ora", "dati/identificativo", "dati/msgid", "dati/consegna", "dati/errore-esteso":
      guard single.updateValue(content, forKey: key) == nil else { throw Problem(reason: "\(name) twice") }
    case "intestazione/destinatari":
      guard let known = RecipientClass(rawValue: attributes["tipo"] ?? "certificato") else {
        throw Problem(reason: "destinatari of an unknown tipo")
      }
      guard recipients.count < CertificationReader.maximumRecipients else { throw Problem(reason: "too many destinatari") }
      recipients.append(Recipient(address: content, recipientClass: known))
    case "dati/ricezione":
      guard receptions.count < CertificationReader.maximumRecipients else { throw Problem(reason: "too many ricezione") }
      receptions.append(content)
    case "dati/ricevuta":
      guard receiptType == nil, let tipo = attributes["tipo"] else { throw Problem(reason: "ricevuta twice or without tipo") }
      // A value "complet" exists in the wild; whatever is unknown means the complete receipt (pec-rules 7.2).
      receiptType = ReceiptType(headerValue: tipo)
    default: break
    }
    path.removeLast()
    text = ""
    attributes = [:]
  }

  func finish() throws(Problem) -> CertificationData {
    guard path.isEmpty, let type else { throw Problem(reason: path.isEmpty ? "there is no element" : "the document ends in \(key)") }
    func required(_ key: String) throws(Problem) -> String {
      guard let value = single[key] else { throw Problem(reason: "\(key) is missing") }
      return value
    }
    guard !recipients.isEmpty else { throw Problem(reason: "intestazione/destinatari is missing") }
    guard let zone else { throw Problem(reason: "dati/data is missing") }
    guard let instant = Instant(day: try required("dati/data/giorno"), time: try required("dati/data/ora"), zone: zone) else {
      throw Problem(reason: "dati/data is not a moment")
    }
    return CertificationData(
      type: type, error: error, sender: try required("intestazione/mittente"), recipients: recipients,
      replyTo: try required("intestazione/risposte"), subject: single["intestazione/oggetto"],
      provider: try required("dati/gestore-emittente"), instant: instant, pecID: try required("dati/identificativo"),
      clientMessageID: single["dati/msgid"], receiptType: receiptType, delivery: single["dati/consegna"], receptions: receptions,
      extendedError: single["dati/errore-esteso"])
  }

  private static func trimmed(_ text: String) -> String {
    var view = text.unicodeScalars[...]
    while let first = view.first, first.value <= 32 { view.removeFirst() }
    while let last = view.last, last.value <= 32 { view.removeLast() }
    return String(view)
  }
}
