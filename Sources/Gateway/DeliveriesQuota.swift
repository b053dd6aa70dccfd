import Journey

/// Whether mailboxes have room is asked before anything goes there, whichever way they are reached.
extension Deliveries {
  /// Makes the attempt for those of the recipients whose mailboxes have room. The fates of the others are as if the mailbox itself had
  /// refused them, or put them off; nobody is lost, or given up, because the service cannot say.
  func askRoom(_ delivery: PendingDelivery, for recipients: [String]) {
    // An attempt of before may have been put off between the answer and the hand-over.
    leftOut[delivery.entry.id] = nil
    guard let quota = lane.quota, delivery.entry.route == .mailbox else { return send(delivery, to: recipients) }
    let asked = recipients.filter { lane.shared.points.hasQuota($0) }
    if asked.isEmpty { return send(delivery, to: recipients) }
    quota.ask(asked, from: delivery.entry.sender, bytes: delivery.entry.bytes) { [weak self, name = quota.name] answers in
      let fates = zip(asked, answers).compactMap { mailbox, answer in answer.fate(of: mailbox, by: name) }
      self?.heard(fates, of: delivery, to: recipients)
    }
  }

  private func heard(_ fates: [RecipientFate], of delivery: PendingDelivery, to recipients: [String]) {
    let id = delivery.entry.id
    // A mailbox may be full of this very message. Who may have it is not told that he has not: the mailbox, or its server, says so itself.
    let full = delivery.mayHaveArrived ? fates.filter(\.isFinal) : []
    let fates = delivery.mayHaveArrived ? fates.filter { !$0.isFinal } : fates
    let without = Set(fates.map(\.recipient))
    let rest = recipients.filter { !without.contains($0) }
    if rest.isEmpty { return attempted(id, fates) }
    if !fates.isEmpty { leftOut[id] = fates }
    send(delivery, to: rest, full: full)
  }
}
