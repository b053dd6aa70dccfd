import MIMEStream
import Octets
import PEC

extension IncomingCheck {
  /// What is odd about a well-formed message and changes nothing: for the log, in English.
  func oddities(of message: ReceivedMessage, _ data: CertificationData, _ record: ProviderRecord, at instant: Instant) -> [String] {
    var remarks: [String] = []
    let header = message.facts.header
    if message.claim.nature == .envelope, message.claim.from?.displayName == nil {
      remarks.append("From does not say on whose behalf it is")
    }
    // `pec-rules` 16, quirk 25: providers are known by their certificates, the spelling changes.
    if !ASCII.equal(data.provider, record.providerName) {
      remarks.append("gestore-emittente is \(excerpt(data.provider)), the index says \(excerpt(record.providerName))")
    }
    // The outer header is outside of the signature; these fields may have been changed on the way.
    if let field = header.first(named: "X-Riferimento-Message-ID"),
      !header.value(of: field).elementsEqual((data.clientMessageID ?? "").utf8)
    {
      remarks.append("X-Riferimento-Message-ID is not the msgid")
    }
    if let field = header.first(named: "X-TipoRicevuta"),
      ReceiptType(headerValue: String(decoding: header.value(of: field), as: UTF8.self)) != (data.receiptType ?? .complete),
      data.type == .envelope
    {
      remarks.append("X-TipoRicevuta is not the type in the certification data")
    }
    if let field = header.first(named: "X-Mittente"),
      !AddressKey.equal(String(decoding: header.value(of: field), as: UTF8.self), data.sender)
    {
      remarks.append("X-Mittente is not the mittente")
    }
    if !subjectAgrees(header, data) { remarks.append("the outer Subject does not end in the oggetto") }
    remarks += timeOddities(message, data, at: instant)
    remarks += standingOddities(data, record)
    return remarks
  }

  private func timeOddities(_ message: ReceivedMessage, _ data: CertificationData, at instant: Instant) -> [String] {
    var remarks: [String] = []
    let age = instant.unixSeconds - data.instant.unixSeconds
    if age < -60 { remarks.append("its own time is \(-age) seconds ahead of ours") }
    if age > IncomingCheck.transitSeconds { remarks.append("its own time is \(age / 3600) hours ago") }
    if let signed = message.signature?.signingTime {
      let (apart, overflow) = signed.subtractingReportingOverflow(data.instant.unixSeconds)
      if overflow || apart.magnitude > 300 { remarks.append("signingTime is not the time in the certification data") }
    }
    return remarks
  }

  /// Who speaks of whom.
  private func standingOddities(_ data: CertificationData, _ record: ProviderRecord) -> [String] {
    let senderDomain = Mailbox.parsePath(data.sender)?.domain ?? ""
    switch data.type {
    case .envelope, .acceptance, .nonAcceptance, .timeout:
      // What a sender's own provider makes.
      if IncomingCheck.manages(senderDomain, record, directory) { return [] }
      return ["\(excerpt(record.providerName)) does not manage the domain of mittente \(excerpt(data.sender))"]
    case .takeCharge, .virusDetection, .delivery, .deliveryError:
      var remarks: [String] = []
      if !ownDomains.contains(ASCII.lowercased(senderDomain)) {
        remarks.append("the message it is about is not ours: mittente \(excerpt(data.sender))")
      }
      if !IncomingCheck.mayDecide(data, record, directory: directory) {
        remarks.append("\(excerpt(record.providerName)) does not manage the recipient it speaks of; it moves no state")
      }
      let named = Set(data.recipients.map { AddressKey.of($0.address) })
      if !((data.delivery.map { [$0] } ?? []) + data.receptions).allSatisfy({ named.contains(AddressKey.of($0)) }) {
        remarks.append("it speaks of a recipient that is not among the destinatari")
      }
      return remarks
    }
  }

  /// The outer Subject is a prefix and the oggetto. White space aside: a fold is no difference.
  private func subjectAgrees(_ header: HeaderFacts, _ data: CertificationData) -> Bool {
    func squeezed(_ text: String) -> String { String(String.UnicodeScalarView(text.unicodeScalars.filter { !$0.properties.isWhitespace })) }
    guard let field = header.first(named: "Subject") else { return false }
    return squeezed(EncodedWord.decode(header.value(of: field))).hasSuffix(squeezed(data.subject ?? ""))
  }
}
