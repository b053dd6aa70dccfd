import PEC
public import Reception

/// How a holder is told of an arrival.
public enum ArrivalVoice: Sendable {
  case usual
  /// And that more may come untold.
  case last
  case silent
}

// Words by ordinary mail that a message has arrived, where a holder wants them. They are made when delivery is proved and committed with
// its outcome, so there is one for each message in a mailbox: no sooner, and not again after a crash.
extension ProviderPoints {
  /// The word about a message that is in a mailbox now; nil where nobody wants one.
  func arrivalNotice(of entry: QueueEntry, in mailbox: String, _ matter: Matter, _ attempt: DeliveryJourney.Attempt) -> OutgoingMessage? {
    let voice = attempt.voices[mailbox] ?? .usual
    guard voice != .silent, let reception = matter.reception,
      let (address, hop) = placeTold(of: entry, in: mailbox, attempt.choices, isAutomatic: attempt.isAutomatic)
    else { return nil }
    let arrival = ArrivalFacts(
      mailbox: mailbox, sender: matter.transaction.sender, subject: matter.transaction.subject, instant: attempt.instant,
      isAnomaly: entry.kind == .anomaly, isLast: voice == .last)
    let message = composer.arrivalNotice(arrival, to: address, reception: reception.id)
    let notice = QueueEntry(
      id: QueueEntry.identifier(of: message.messageID, part: 0), pecID: matter.transaction.pecID, messageID: message.messageID,
      // The null reverse path: nothing comes back of it, and nothing answers it.
      kind: .arrivalNotice, sender: "", recipients: [address], route: .relay(hop), content: [],
      createdAt: attempt.instant.unixSeconds, dueAt: attempt.instant.unixSeconds, reception: reception.id)
    return OutgoingMessage(content: [.composed(message.octets)], entries: [notice], matter: matter)
  }

  /// True when somebody wants to be told that an entry is in a mailbox.
  public func isTold(of entry: QueueEntry, in mailbox: String, _ matter: Matter, _ choices: HolderChoices, isAutomatic: Bool) -> Bool {
    matter.reception != nil && placeTold(of: entry, in: mailbox, choices, isAutomatic: isAutomatic) != nil
  }

  /// Where the word goes, and by which route; nil where nobody wants one.
  private func placeTold(
    of entry: QueueEntry, in mailbox: String, _ choices: HolderChoices, isAutomatic: Bool
  ) -> (address: String, hop: String)? {
    guard entry.route == .mailbox, isToldOf(entry, in: mailbox, choices, isAutomatic: isAutomatic),
      case .to(let address) = choices.notice(for: mailbox).value,
      // Nothing unsigned goes into a mailbox of ours: its domain may have become one since.
      case .relay(let hop) = routing.route(for: address)
    else { return nil }
    return (address, hop)
  }

  /// Envelopes are told of, anomaly envelopes where that is wanted, receipts and notices never. What a machine sent in the ordinary way is
  /// not told of either: it may be such a word of ours that somebody sends back (RFC 3834 §2).
  private func isToldOf(_ entry: QueueEntry, in mailbox: String, _ choices: HolderChoices, isAutomatic: Bool) -> Bool {
    switch entry.kind {
    case .envelope: true
    case .anomaly: choices.noticeOfAnomalies(for: mailbox).value && !entry.sender.isEmpty && !isAutomatic
    case .acceptance, .nonAcceptance, .nonAcceptanceVirus, .nonDelivery, .timeoutFirst, .timeoutSecond, .takeCharge, .deliveryComplete,
      .deliveryBrief, .deliveryConcise, .virusDetection, .virusNonDelivery, .notification, .ordinary, .deliveryReport, .arrivalNotice:
      false
    }
  }

  /// The mailbox that a word is about. Rows name it and not the address that the word goes to: that is the holder's own affair.
  func mailbox(toldOfBy notice: QueueEntry, _ matter: Matter) -> String? {
    guard let reception = matter.reception else { return nil }
    return reception.recipients.first { composer.arrivalNoticeID(reception: reception.id, mailbox: $0) == notice.messageID }
  }
}
