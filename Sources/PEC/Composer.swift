import MIMEStream
import Octets

/// Makes the messages of a provider: receipts, notices and envelopes, all but their signatures.
///
/// Nothing is drawn or looked up here: the same input gives the same octets, so a journey replayed after a crash makes the very same
/// message again. What the receiving side makes is in files of its own.
public struct Composer: Sendable {
  /// Every boundary of ours begins so. The walker of an original watches for it, and a new boundary is chosen that differs from all
  /// lines found. "=_" can occur in neither quoted-printable nor base64, so the other parts need no look.
  public static let boundaryPrefix = Array("=_ceralacca_".utf8)

  /// In whose name.
  public let provider: ProviderIdentity

  /// A composer for one provider.
  public init(provider: ProviderIdentity) { self.provider = provider }

  /// Acceptance receipt (ricevuta di accettazione) for the sender, RFC 6109 §3.1.4.
  public func acceptance(_ facts: TransactionFacts, boundarySeed: UInt64) -> Draft {
    notice(.acceptance, facts, Details(), seed: boundarySeed)
  }

  /// Non-acceptance notice for formal faults (avviso di non accettazione per eccezioni formali), RFC 6109 §3.1.2. It names all of them.
  public func nonAcceptance(_ facts: TransactionFacts, faults: [FormalFault], boundarySeed: UInt64) -> Draft {
    let introduction = "Sono state riscontrate le seguenti anomalie:"
    let onlySize = !faults.isEmpty && faults.allSatisfy { $0.code == .f7 || $0.code == .f8 }
    let details = Details(
      description: introduction + faults.map { "\n  - " + oneLine($0.italian) }.joined(),
      extended: (onlySize ? "5.3.4" : "5.6.0", introduction + " " + faults.map(\.italian).joined(separator: "; ")))
    return notice(.nonAcceptance, facts, details, seed: boundarySeed)
  }

  /// Non-acceptance notice for a virus (avviso di non accettazione per virus informatico), RFC 6109 §3.1.3.
  /// - Parameter threat: the scanner's name of what it found; cut at 500 characters.
  public func nonAcceptanceVirus(_ facts: TransactionFacts, threat: String, boundarySeed: UInt64) -> Draft {
    let threat = Composer.cut(oneLine(threat), at: 500)
    return notice(.nonAcceptanceVirus, facts, Details(description: threat, extended: ("5.7.0", threat)), seed: boundarySeed)
  }

  /// Non-delivery notice (avviso di mancata consegna) for one recipient, RFC 6109 §3.3.3.
  /// - Parameters:
  ///   - reception: our own identifier of the reception that its Message-ID derives from; nil for a message that our sender submitted.
  ///   - instant: when the failure was certain; the notice's own one time value.
  public func nonDelivery(
    _ facts: TransactionFacts, reception: String? = nil, recipient: String, at instant: Instant, failure: DeliveryFailure,
    boundarySeed: UInt64
  ) -> Draft {
    var details = Details(error: failure.error, extended: (failure.status, failure.italian))
    details.instant = instant
    details.recipient = recipient
    details.source = reception
    details.description = extended(details)
    return notice(.nonDelivery, facts, details, seed: boundarySeed)
  }

  /// Timeout notice (avviso di mancata consegna per superamento dei tempi massimi previsti) for one recipient, RFC 6109 §3.1.6. The
  /// original is not attached.
  /// - Parameters:
  ///   - kind: one of the two, which differ in their text and in `errore-esteso` alone (pec-rules 8.2).
  ///   - recipient: who has been silent, as RCPT gave it.
  ///   - instant: when the time was over; the notice's own one time value.
  public func timeout(
    _ kind: MessageKind, _ facts: TransactionFacts, recipient: String, at instant: Instant, boundarySeed: UInt64
  ) -> Draft {
    precondition(kind.traits.type == .timeout, "\(kind) is no timeout notice")
    // Whoever reads these by machine tells the second from the first by this status alone.
    let (status, hours) = kind == .timeoutFirst ? ("4.4.1", "dodici") : ("5.4.1", "ventiquattro")
    let sentence = "il messaggio non è stato consegnato nelle prime \(hours) ore dal suo invio"
    return notice(kind, facts, Details(instant: instant, recipient: recipient, extended: (status, sentence)), seed: boundarySeed)
  }

  /// Transport envelope (busta di trasporto) for all recipients of the original, RFC 6109 §3.1.5.
  /// - Parameter original: the facts of the accepted original; the draft's fragments point into its octets.
  public func envelope(_ facts: TransactionFacts, original: MessageFacts, boundarySeed: UInt64) -> Draft {
    let boundaries = Boundaries(seed: boundarySeed, kind: .envelope, avoiding: original.boundaryLines)
    var details = Details()
    details.receiptType = facts.receiptType
    let head = envelopeHead(facts, original, boundaries)
    var signed = FragmentList(reserving: 4096 + facts.recipients.count * 256)
    append(.envelope, facts, details, boundaries, to: &signed)
    appendOriginalPart(labelled: "7bit", boundaries, to: &signed)
    let start = head.count + signed.count
    OriginalMessage.append(original, facts, to: &signed)
    let end = head.count + signed.count
    close(boundaries, &signed)
    return Draft(
      kind: .envelope, messageID: facts.pecID, sender: facts.sender, recipients: facts.recipients.map(\.address), head: head,
      signed: signed.finish(), boundary: boundaries.signed, originalRange: start..<end)
  }
}

// Pieces that the messages are put together from.
extension Composer {
  /// What a message says beyond its transaction.
  struct Details {
    var instant: Instant?
    var error: CertificationError?
    var receiptType: ReceiptType?
    /// The one recipient that it is about.
    var recipient: String?
    /// The recipients taken in charge: the readable part names them and not all.
    var receptions: [String] = []
    /// For the readable part.
    var description = ""
    /// Enhanced status code and sentence of `errore-esteso`.
    var extended: (status: String, sentence: String)?
    /// The id that the Message-ID derives from, where it is not the PEC id.
    var source: String?
    /// To whom it goes, where that is not the sender of the original.
    var addressee: String?
    var enclosed: EnclosedOriginal?
  }

  /// A receipt or notice.
  func notice(_ kind: MessageKind, _ facts: TransactionFacts, _ details: Details, seed: UInt64) -> Draft {
    let boundaries = Boundaries(seed: seed, kind: kind, avoiding: details.enclosed?.boundaryLines ?? [])
    let label = details.enclosed?.label ?? "7bit"
    var signed = FragmentList(reserving: 4096 + facts.recipients.count * 256)
    append(kind, facts, details, boundaries, labelled: label, to: &signed)
    if let enclosed = details.enclosed {
      appendOriginalPart(labelled: label, boundaries, to: &signed)
      signed.append(enclosed.fragments)
    }
    close(boundaries, &signed)
    let messageID = PECIdentifier.derived(from: details.source ?? facts.pecID, kind: kind, recipient: details.recipient)
    let addressee = details.addressee ?? facts.sender
    return Draft(
      kind: kind, messageID: messageID, sender: provider.serviceAddress, recipients: [addressee],
      head: noticeHead(
        kind, facts, to: addressee, details.instant ?? facts.instant, messageID, boundaries, labelled: label),
      signed: signed.finish(), boundary: boundaries.signed)
  }

  /// `5.1.1 - Provider - sentence` (pec-rules 5.2).
  func extended(_ details: Details) -> String {
    guard let extended = details.extended else { return "" }
    return "\(extended.status) - \(provider.name) - \(oneLine(extended.sentence))"
  }

  /// The inner multipart up to the end of the certification data (pec-rules 4.4).
  func append(
    _ kind: MessageKind, _ facts: TransactionFacts, _ details: Details, _ boundaries: Boundaries, labelled label: String = "7bit",
    to signed: inout FragmentList
  ) {
    let named = details.receptions.map { Recipient(address: $0, recipientClass: .certified) }
    appendText(
      kind,
      TextTemplate.Values(
        instant: details.instant ?? facts.instant, subject: facts.subject ?? "", sender: facts.sender,
        recipients: named.isEmpty ? facts.recipients : named, recipient: details.recipient ?? "", description: details.description,
        pecID: facts.pecID), boundaries, labelled: label, to: &signed)
    guard let type = kind.traits.type else { return }
    signed.append("\r\n--")
    signed.append(boundaries.mixed)
    signed.append(
      "\r\nContent-Type: application/xml; name=\"daticert.xml\"\r\n"
        + "Content-Transfer-Encoding: base64\r\n"
        + "Content-Disposition: inline; filename=\"daticert.xml\"\r\n\r\n")
    let error = details.error ?? kind.traits.error ?? .other
    signed.append(Base64.encodeLines(certificationData(type, error, facts, details).xml()))
  }

  /// The inner multipart up to the end of the readable part.
  func appendText(
    _ kind: MessageKind, _ values: TextTemplate.Values, _ boundaries: Boundaries, labelled label: String, to signed: inout FragmentList
  ) {
    signed.append("Content-Type: multipart/mixed; boundary=\"")
    signed.append(boundaries.mixed)
    // RFC 2045 §6.4: what holds an 8bit part is 8bit itself.
    signed.append(label == "8bit" ? "\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--" : "\"\r\n\r\n--")
    signed.append(boundaries.mixed)
    signed.append(
      "\r\nContent-Type: text/plain; charset=\"iso-8859-1\"\r\n"
        + "Content-Transfer-Encoding: quoted-printable\r\n"
        + "Content-Disposition: inline\r\n\r\n")
    signed.append(QuotedPrintable.encode(kind.traits.text.render(values)))
  }

  /// The header of postacert.eml's part; its content follows.
  func appendOriginalPart(labelled label: String, _ boundaries: Boundaries, to signed: inout FragmentList) {
    signed.append("\r\n--")
    signed.append(boundaries.mixed)
    signed.append("\r\nContent-Type: message/rfc822; name=\"postacert.eml\"\r\nContent-Transfer-Encoding: ")
    signed.append(label)
    signed.append("\r\nContent-Disposition: inline; filename=\"postacert.eml\"\r\n\r\n")
  }

  /// The end of the inner multipart.
  func close(_ boundaries: Boundaries, _ signed: inout FragmentList) {
    signed.append("\r\n--")
    signed.append(boundaries.mixed)
    signed.append("--\r\n")
  }

  private func certificationData(
    _ type: CertificationType, _ error: CertificationError, _ facts: TransactionFacts, _ details: Details
  ) -> CertificationData {
    CertificationData(
      type: type, error: error, sender: facts.sender, recipients: facts.recipients, replyTo: facts.replyTo, subject: facts.subject,
      provider: provider.name, instant: details.instant ?? facts.instant, pecID: facts.pecID, clientMessageID: facts.clientMessageID,
      receiptType: details.receiptType, delivery: details.recipient, receptions: details.receptions,
      extendedError: details.extended == nil ? nil : extended(details))
  }
}
