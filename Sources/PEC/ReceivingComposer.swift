// What the incoming and the delivery point make. Message-IDs derive from our own identifier of the reception: the PEC id in the facts is
// another provider's.
extension Composer {
  /// Take-charge receipt (ricevuta di presa in carico), RFC 6109 §3.2.1: to the service mailbox of the provider that signed the envelope.
  /// - Parameters:
  ///   - facts: those of the envelope; all recipients of the original are listed.
  ///   - reception: our own identifier of the SMTP transaction.
  ///   - receptions: the recipients of that transaction, whom the receipt is about.
  ///   - serviceMailbox: `mailReceipt` of the provider's record.
  ///   - instant: time of arrival.
  public func takeCharge(
    _ facts: TransactionFacts, reception: String, receptions: [String], serviceMailbox: String, at instant: Instant, boundarySeed: UInt64
  ) -> Draft {
    var details = Details(instant: instant)
    details.receptions = receptions
    details.source = reception
    details.addressee = serviceMailbox
    return notice(.takeCharge, facts, details, seed: boundarySeed)
  }

  /// Delivery receipt (ricevuta di avvenuta consegna) for one recipient, RFC 6109 §3.3.2.
  /// - Parameters:
  ///   - kind: one of the three. The certification data say the type that the sender asked for, whichever is made (pec-rules 2.4).
  ///   - reception: our own identifier of the reception.
  ///   - recipient: as RCPT gave it.
  ///   - instant: when it was in the mailbox.
  ///   - original: what is enclosed, whole or brief; nil in the concise receipt, which encloses nothing.
  public func deliveryReceipt(
    _ kind: MessageKind, _ facts: TransactionFacts, reception: String, recipient: String, at instant: Instant,
    original: EnclosedOriginal?, boundarySeed: UInt64
  ) -> Draft {
    precondition(kind.traits.type == .delivery, "\(kind) is no delivery receipt")
    var details = Details(instant: instant, receiptType: facts.receiptType, recipient: recipient)
    details.source = reception
    details.enclosed = kind == .deliveryConcise ? nil : original
    return notice(kind, facts, details, seed: boundarySeed)
  }

  /// Virus detection notice (avviso di rilevazione virus informatico) for one recipient of an infected envelope, RFC 6109 §3.2.3: to the
  /// service mailbox of the provider that signed it. The original is not attached.
  /// - Parameters:
  ///   - facts: those of the envelope.
  ///   - reception: our own identifier of the reception.
  ///   - recipient: as RCPT gave it.
  ///   - threat: the scanner's name of what it found; cut at 500 characters.
  ///   - serviceMailbox: `mailReceipt` of the provider's record.
  ///   - instant: when it was found.
  public func virusDetection(
    _ facts: TransactionFacts, reception: String, recipient: String, threat: String, serviceMailbox: String, at instant: Instant,
    boundarySeed: UInt64
  ) -> Draft {
    let threat = Composer.cut(oneLine(threat), at: 500)
    var details = Details(instant: instant, recipient: recipient, description: threat, extended: ("5.7.0", threat))
    details.source = reception
    details.addressee = serviceMailbox
    return notice(.virusDetection, facts, details, seed: boundarySeed)
  }

  /// Virus non-delivery notice (avviso di mancata consegna per virus informatico) for one recipient, RFC 6109 §3.2.4: what we tell our
  /// sender when another provider reports a virus. The original is not attached.
  /// - Parameters:
  ///   - facts: those of the virus detection notice.
  ///   - reception: our own identifier of that notice's reception.
  ///   - threat: what the other provider says was found, see `CertificationData.errorSentence`; cut at 500 characters.
  public func virusNonDelivery(
    _ facts: TransactionFacts, reception: String, recipient: String, threat: String, at instant: Instant, boundarySeed: UInt64
  ) -> Draft {
    let threat = Composer.cut(oneLine(threat), at: 500)
    var details = Details(instant: instant, recipient: recipient, description: threat, extended: ("5.7.0", threat))
    details.source = reception
    return notice(.virusNonDelivery, facts, details, seed: boundarySeed)
  }
}
