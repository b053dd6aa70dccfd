import Journey
import Octets
import PEC

/// Hand-overs to the mailboxes' server that may have succeeded without our knowing it: the mailbox is asked before they are repeated.
extension Deliveries {
  /// Hands an entry over to these recipients, those of whom nothing is certain after their mailboxes were asked. Where none can be asked,
  /// a delivery report is waited for; where none will come, what is in doubt is handed over again, as there is no other way.
  func handOver(_ delivery: PendingDelivery, _ recipients: [String], _ content: [Chunk], by pool: RelayPool) {
    let desk = lane.shared.mailboxSearch
    guard desk != nil || isReported(delivery.entry) else { return pool.enqueue(job(delivery, recipients, content)) }
    switch doubts.standing(of: delivery.entry, for: recipients, at: lane.shared.now().unixSeconds) {
    case .certain: pool.enqueue(job(delivery, recipients, content))
    case .tooEarly(let time):
      if serverQueues { pool.greet() }
      putOff(delivery, until: time)
    case .doubtful(let doubtful):
      if serverQueues, !hasHadTime(delivery, doubtful, pool) { return }
      guard let desk else { return pool.enqueue(job(delivery, recipients, content)) }
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

  /// True when the mailboxes' server keeps what it took in a queue of its own, until it is in the mailbox: SMTP, and not LMTP.
  private var serverQueues: Bool { lane.shared.points.provesDeliveryByReport }

  /// True when the mailboxes' server speaks by itself of an entry that it took (RFC 3461).
  private func isReported(_ entry: QueueEntry) -> Bool { serverQueues && entry.proofToken != nil }

  /// What a server took and was not heard to take goes on into the mailbox, or its report comes, but not while that server is down. Only
  /// what did not come for as long as that after it answered again is handed over again: it may never have arrived.
  /// - Returns: false when the entry was put off.
  private func hasHadTime(_ delivery: PendingDelivery, _ doubtful: [String], _ pool: RelayPool) -> Bool {
    let now = lane.shared.now().unixSeconds
    let grace = Int64(lane.shared.limits.delivery.uncertainSeconds)
    switch pool.contact {
    case .answering(let since) where since + grace <= now: return true
    case .answering(let since): putOff(delivery, until: since + grace)
    case .unknown:
      pool.greet()
      putOff(delivery, until: now + grace)
    case .absent(let reason):
      pool.greet()
      let words = "it may have it already: \(reason)"
      attempted(delivery.entry.id, doubtful.map { RecipientFate(recipient: $0, outcome: .later(words), isInDoubt: true) })
    }
    return false
  }

  private func putOff(_ delivery: PendingDelivery, until time: Int64) {
    let now = lane.shared.now().unixSeconds
    let end = delivery.entry.createdAt + Int64(lane.shared.limits.delivery.giveUpSeconds) + holds.heldSeconds(delivery.entry, until: now)
    if now >= end {
      // No rest goes beyond the time in which the sender hears a final word.
      let words = "it may have it already, which was not found out in time"
      let fates = delivery.entry.recipients.map { RecipientFate(recipient: $0, outcome: .later(words), isInDoubt: true) }
      return attempted(delivery.entry.id, fates)
    }
    leftOut[delivery.entry.id] = nil
    // Its report came while the quota was being asked.
    if let report = nextEarly(delivery.entry.id) { return attempted(delivery.entry.id, report.fates, isReport: true, report.reply) }
    lane.shared.logger.info("a hand-over that was not confirmed rests before it is made again (entry: \(delivery.entry.id))")
    underway[delivery.entry.id] = nil
    var later = delivery
    later.entry.dueAt = max(now + 1, min(time, end))
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
        lane.shared.logger.notice("a hand-over that was not confirmed had succeeded (\(known)): it is in the folder \(folder)")
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
    // As a report is heard: it proves the delivery. The others come after it.
    let proven = isReported(delivery.entry) ? fates.filter { if case .delivered = $0.outcome { true } else { false } } : []
    if !proven.isEmpty { return attempted(id, proven, isReport: true) }
    // What a server with a queue does not have there yet may come all the same: it is asked about again.
    if !serverQueues { doubts.isAbsent(id, for: absent) }
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

  /// Marks those who may have the message from an attempt of before, so that nobody is said to be without it.
  func inDoubt(_ entry: QueueEntry, _ fates: [RecipientFate]) -> [RecipientFate] {
    guard entry.route == .mailbox else { return fates }
    let isAsked = lane.shared.mailboxSearch != nil
    return fates.map { fate in
      guard case .later = fate.outcome, doubts.mayHave(entry, fate.recipient, isAsked: isAsked) else { return fate }
      var doubtful = fate
      doubtful.isInDoubt = true
      return doubtful
    }
  }

  /// Remembers for whom the answer did not come.
  func noteDoubts(_ id: String, _ fates: [RecipientFate]) {
    doubts.cutOff(id, for: fates.filter(\.isInDoubt).map(\.recipient), at: lane.shared.now().unixSeconds)
  }

  /// Has mailboxes asked, where they can be, before what their server put off is handed over again: it may be there. The sender is told
  /// nothing of it: what a server says last holds.
  func doubtWhatWasPutOff(_ id: String, _ fates: [RecipientFate]) {
    guard lane.shared.mailboxSearch != nil else { return }
    doubts.cutOff(id, for: fates.filter(\.wasGiven).map(\.recipient), at: lane.shared.now().unixSeconds, isOver: true)
  }
}
