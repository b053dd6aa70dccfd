import Journey
import Octets
import PEC

/// Performs the effects of one attempt's journey: receipts and notices signed and committed, the entry settled or postponed.
final class DeliveryRun {
  private let lane: Lane
  private let then: (QueueEntry) -> Void
  private var journey: DeliveryJourney
  private let delivery: PendingDelivery
  private var entry: QueueEntry { delivery.entry }

  init(lane: Lane, delivery: PendingDelivery, then: @escaping (QueueEntry) -> Void) {
    self.lane = lane
    self.then = then
    self.delivery = delivery
    journey = DeliveryJourney(delivery.entry, of: delivery.matter, at: lane.shared.points)
  }

  /// - Parameter isReport: true when the fates are what a delivery report said, or were certain without an attempt.
  func start(_ fates: [RecipientFate], isReport: Bool) {
    for fate in fates { log(fate) }
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
    let attempt = DeliveryJourney.Attempt(
      fates, at: lane.shared.now(), random: .drawn(), isReport: isReport, brief: brief,
      question: question(entry, delivery.matter, fates, on: lane))
    perform(journey.handle(.attempted(attempt)))
  }

  private func perform(_ effects: [Effect]) {
    for effect in effects {
      switch effect {
      case .scan: preconditionFailure("what is delivered was scanned when it came")
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
      case .finished: then(journey.entry)
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

  private func log(_ fate: RecipientFate) {
    let word: String
    let text: String
    switch fate.outcome {
    case .delivered(let reply): (word, text) = ("delivered", reply)
    case .later(let reason): (word, text) = ("deferred", reason)
    case .failed(let cause, let reason): (word, text) = ("failed", "\(cause.status) \(reason)")
    }
    lane.shared.logger.info(
      "\(word)",
      metadata: [
        "entry": "\(entry.id)", "kind": "\(entry.kind.rawValue)", "to": "\(fate.recipient)", "route": "\(entry.route.text)",
        "reply": "\(text)",
      ])
  }
}
