import Journey
import Octets
import PEC

/// Hand-overs to the mailboxes' server that may have succeeded without our knowing it: the mailbox is asked before they are repeated.
extension Deliveries {
  /// Hands an entry over to these recipients, those of whom nothing is certain after their mailboxes were asked. Where none can be asked,
  /// what is in doubt is handed over again, as LMTP leaves no other way.
  func handOver(_ delivery: PendingDelivery, _ recipients: [String], _ content: [Chunk], by pool: RelayPool) {
    guard let desk = lane.shared.mailboxSearch else { return handOverUnlessReported(delivery, recipients, content, by: pool) }
    switch doubts.standing(of: delivery.entry, for: recipients, at: lane.shared.now().unixSeconds) {
    case .certain: pool.enqueue(job(delivery, recipients, content))
    case .tooEarly(let time): putOff(delivery, until: time)
    case .doubtful(let doubtful):
      let address = lane.returnAddress { [weak self] completion in
        switch completion {
        case .searched(let findings): self?.searched(delivery, recipients, content, findings)
        case .failed(let reason): self?.searched(delivery, recipients, content, doubtful.map { MailboxFinding($0, .unknown(reason)) })
        default: preconditionFailure("a search's answer of another kind")
        }
      }
      desk.look(for: delivery.entry, of: doubtful, address)
    }
  }

  /// A server that proves delivery by reports (RFC 3461) speaks by itself of what it took: its word is waited for, for as long as a server
  /// may still be storing, and an entry that is reported meanwhile is not handed over again. Later it is: it may never have arrived.
  private func handOverUnlessReported(_ delivery: PendingDelivery, _ recipients: [String], _ content: [Chunk], by pool: RelayPool) {
    if lane.shared.points.provesDeliveryByReport, delivery.entry.proofToken != nil,
      case .tooEarly(let time) = doubts.standing(of: delivery.entry, for: recipients, at: lane.shared.now().unixSeconds)
    {
      return putOff(delivery, until: time)
    }
    pool.enqueue(job(delivery, recipients, content))
  }

  private func putOff(_ delivery: PendingDelivery, until time: Int64) {
    lane.shared.logger.info("a hand-over of which no answer was heard rests before it is made again (entry: \(delivery.entry.id))")
    underway[delivery.entry.id] = nil
    var later = delivery
    later.entry.dueAt = time
    wait(later)
    lane.checkDrained()
  }

  /// Mailboxes were asked: who has it has it; who does not gets it now, with those of whom nothing was in doubt; the rest waits.
  private func searched(_ delivery: PendingDelivery, _ recipients: [String], _ content: [Chunk], _ findings: [MailboxFinding]) {
    let id = delivery.entry.id
    guard !stopped, underway[id] != nil else { return }
    var fates: [RecipientFate] = []
    var absent: [String] = []
    for finding in findings {
      let known = "entry: \(id), to: \(finding.recipient)"
      switch finding.word {
      case .found(let folder):
        lane.shared.logger.notice("a hand-over of which no answer was heard had succeeded (\(known)): it is in the folder \(folder)")
        fates.append(RecipientFate(recipient: finding.recipient, outcome: .delivered("2.0.0 found in the mailbox, folder \(folder)")))
      case .absent:
        lane.shared.logger.info("a mailbox does not have what was in hand (\(known)): it is handed over")
        absent.append(finding.recipient)
      case .unknown(let reason):
        lane.shared.logger.warning("whether a mailbox has a message already could not be asked, so it waits (\(known)): \(reason)")
        let words = "it may be there already, and the mailbox could not be asked: \(reason)"
        fates.append(RecipientFate(recipient: finding.recipient, outcome: .later(words), isInDoubt: true))
      }
    }
    doubts.isAbsent(id, for: absent)
    let asked = Set(findings.map(\.recipient))
    let missing = recipients.filter { !asked.contains($0) || absent.contains($0) }
    guard !missing.isEmpty else { return attempted(id, fates) }
    // The settings may have changed meanwhile.
    guard let pool = pool(named: SharedState.mailboxRoute) else {
      return attempted(id, fates + missing.map { RecipientFate(recipient: $0, outcome: .later("the mailboxes' server is no more")) })
    }
    pool.enqueue(
      job(
        delivery, missing, content, recalled: { [weak self] in self?.recalled(id) },
        then: { [weak self] more in self?.attempted(id, fates + more) }))
  }

  /// Remembers for whom the answer did not come.
  func noteDoubts(_ id: String, _ fates: [RecipientFate]) {
    doubts.cutOff(id, for: fates.filter(\.isInDoubt).map(\.recipient), at: lane.shared.now().unixSeconds)
  }
}
