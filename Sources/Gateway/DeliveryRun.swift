import Journey
import Logging
import Octets
import PEC
import Reception

/// Performs the effects of one attempt's journey: receipts and notices signed and committed, the entry settled or postponed.
final class DeliveryRun {
  private let lane: Lane
  private let then: (QueueEntry) -> Void
  private var journey: DeliveryJourney
  private let delivery: PendingDelivery
  private var entry: QueueEntry { delivery.entry }
  /// What is told of the attempt.
  private var fates: [RecipientFate] = []

  init(lane: Lane, delivery: PendingDelivery, then: @escaping (QueueEntry) -> Void) {
    self.lane = lane
    self.then = then
    self.delivery = delivery
    journey = DeliveryJourney(delivery.entry, of: delivery.matter, at: lane.shared.points, holds: lane.deliveries.holds)
  }

  /// - Parameter isReport: true when the fates are what a delivery report said, or were certain without an attempt.
  func start(_ fates: [RecipientFate], isReport: Bool) {
    self.fates = fates
    for (number, fate) in fates.enumerated() { log(fate, opens: number == 0, isReport: isReport) }
    guard wantsBrief(fates), let reception = delivery.matter.reception else { return go(fates, isReport, nil) }
    let address = lane.returnAddress { [self] completion in
      switch completion {
      case .brief(let brief): go(fates, isReport, brief)
      case .failed(let reason):
        // The receipt is due all the same; the complete form proves more than was asked for.
        lane.shared.logger.error("a brief receipt becomes a complete one: \(reason)", metadata: ["entry": "\(entry.id)"])
        go(fates, isReport, nil)
      default: preconditionFailure("an examiner's answer of another kind")
      }
    }
    lane.shared.examiner.brief(entry, reception, address)
  }

  private func wantsBrief(_ fates: [RecipientFate]) -> Bool {
    guard DeliveryJourney.isDelivery(entry), delivery.matter.transaction.receiptType == .brief else { return false }
    return fates.contains { if case .delivered = $0.outcome { true } else { false } }
  }

  private func go(_ fates: [RecipientFate], _ isReport: Bool, _ brief: EnclosedOriginal?) {
    let choices = lane.shared.choices.snapshot
    let isAutomatic = DeliveryRun.isAutomatic(entry, fates, choices, on: lane)
    let attempt = DeliveryJourney.Attempt(
      fates, at: lane.shared.now(), random: .drawn(), isReport: isReport, brief: brief,
      question: question(entry, delivery.matter, fates, on: lane), choices: choices,
      isAutomatic: isAutomatic, voices: voices(fates, choices, isAutomatic: isAutomatic, isReport: isReport))
    perform(journey.handle(.attempted(attempt)))
  }

  /// Counts the words that holders want about what is in their mailboxes now. A flood to a mailbox must not become one to an address
  /// outside.
  private func voices(
    _ fates: [RecipientFate], _ choices: HolderChoices, isAutomatic: Bool, isReport: Bool
  ) -> [String: ArrivalVoice] {
    // Where a report is to prove it, nobody is told before that.
    guard entry.proofToken == nil || isReport else { return [:] }
    let shared = lane.shared
    var voices: [String: ArrivalVoice] = [:]
    for case (let mailbox, .delivered) in fates.map({ ($0.recipient, $0.outcome) })
    where shared.points.isTold(of: entry, in: mailbox, delivery.matter, choices, isAutomatic: isAutomatic) {
      voices[mailbox] = shared.rates.voice(of: mailbox, at: lane.loop.now)
    }
    return voices
  }

  private func perform(_ effects: [Effect]) {
    for effect in effects {
      switch effect {
      case .scan: preconditionFailure("what is delivered was scanned when it came")
      case .askQuota: preconditionFailure("mailboxes were asked for before the attempt")
      case .sign(let drafts, let instant):
        lane.sign(drafts, at: instant, original: .stored(entry.content), .deliveryReceipt) { [self] result in
          switch result {
          case .success(let signatures): perform(journey.handle(.signed(signatures)))
          case .failure(let failure): perform(journey.handle(.signingFailed(failure.reason)))
          }
        }
      case .commit(let plan):
        let address = lane.returnAddress { [self] completion in committed(completion) }
        if Committer.isRowsAlone(plan) {
          lane.commitSoon(plan, address)
        } else {
          lane.shared.committer.perform(.commit(plan, .stored(entry.content), address))
        }
      case .reply, .releaseOriginal: break
      case .finished:
        logGivenUp()
        then(journey.entry)
      }
    }
  }

  private func committed(_ completion: Completion) {
    switch completion {
    case .committed:
      perform(journey.handle(.committed))
    case .failed(let reason): perform(journey.handle(.commitFailed(reason)))
    default: preconditionFailure("a commit's answer of another kind")
    }
  }

  /// Who has waited for too long is settled though his attempt was only put off: a log line of its own says so.
  private func logGivenUp() {
    for fate in fates where !fate.isFinal && !journey.entry.recipients.contains(fate.recipient) {
      var facts = facts(fate)
      (facts.end, facts.status) = (.bounced, "5.4.7")
      lane.shared.logger.info(
        "given up",
        metadata: [
          "entry": "\(entry.id)", "kind": "\(entry.kind.rawValue)", "to": "\(fate.recipient)", "delay": "\(facts.delaySeconds)",
          "dsn": "\(facts.status)", "reply": "\(facts.words)", MailLines.key: MailLines.delivery(facts, opens: false).value,
        ])
    }
  }

  private func log(_ fate: RecipientFate, opens: Bool, isReport: Bool) {
    lane.shared.measures.delivered(entry.route.text, fate.outcome)
    let word: String
    let text: String
    switch fate.outcome {
    case .delivered(let reply): (word, text) = ("delivered", reply)
    case .later(let reason): (word, text) = ("deferred", reason)
    case .failed(let cause, let reason): (word, text) = ("failed", "\(cause.status) \(reason)")
    }
    let facts = facts(fate)
    var metadata: Logger.Metadata = [
      "entry": "\(entry.id)", "kind": "\(entry.kind.rawValue)", "from": "\(facts.sender)", "to": "\(fate.recipient)",
      "route": "\(entry.route.text)", "relay": "\(facts.relay)", "delay": "\(facts.delaySeconds)", "dsn": "\(facts.status)",
      "bytes": "\(facts.bytes)", "reply": "\(text)",
    ]
    if case .delivered = fate.outcome, isReport {
      // Log readers have counted it as sent when the mailboxes' server took it.
    } else {
      metadata[MailLines.key] = MailLines.delivery(facts, opens: opens && entry.attempts == 0 && !delivery.recovered).value
    }
    lane.shared.logger.info("\(word)", metadata: metadata)
  }

  private func facts(_ fate: RecipientFate) -> DeliveryFacts {
    let text =
      switch fate.outcome {
      case .delivered(let reply): reply
      case .later(let reason), .failed(_, text: let reason): reason
      }
    let said = text.utf8.firstRange(of: " said: ".utf8).map { text[$0.upperBound...] } ?? text[...]
    let code = DeliveryFacts.enhancedCode(in: said)
    var facts = DeliveryFacts(
      id: entry.id, sender: entry.sender, bytes: entry.bytes, recipients: entry.recipients.count, recipient: fate.recipient,
      program: "smtp", relay: delivery.relay.isEmpty ? "none" : delivery.relay,
      delaySeconds: max(0, lane.shared.now().unixSeconds - entry.createdAt), status: "", end: .sent, words: String(said))
    if entry.route == .mailbox {
      let hop = lane.shared.nextHops[SharedState.mailboxRoute]
      facts.program = hop.map { $0.profile.kind == .lmtp ? "lmtp" : "smtp" } ?? "virtual"
      if hop == nil { facts.relay = "virtual" }
    }
    switch fate.outcome {
    case .delivered: facts.status = code ?? "2.0.0"
    case .later:
      (facts.end, facts.status) = (.deferred, code ?? (delivery.relay.isEmpty ? "4.4.1" : "4.0.0"))
      if said.count < text.count { facts.words = "host \(text)" }
    case .failed(let cause, _):
      (facts.end, facts.status) = (.bounced, cause.status)
      if said.count < text.count { facts.words = "host \(text)" }
    }
    return facts
  }
}
