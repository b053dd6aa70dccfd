import Journey
import Octets
import PEC

/// Performs the effects of one attempt's journey: notices signed and committed, the entry settled or postponed.
final class DeliveryRun {
  private let lane: Lane
  private let then: (QueueEntry) -> Void
  private var journey: DeliveryJourney
  private let transaction: TransactionRecord
  private let entry: QueueEntry

  init(lane: Lane, delivery: PendingDelivery, then: @escaping (QueueEntry) -> Void) {
    self.lane = lane
    self.then = then
    transaction = delivery.transaction
    entry = delivery.entry
    journey = DeliveryJourney(delivery.entry, of: delivery.transaction, at: lane.shared.accessPoint)
  }

  func start(_ fates: [RecipientFate]) {
    for fate in fates { log(fate) }
    perform(journey.handle(.attempted(fates, at: lane.shared.now(), random: Entropy.word())))
  }

  private func perform(_ effects: [Effect]) {
    for effect in effects {
      switch effect {
      case .sign(let drafts, let instant):
        lane.sign(drafts, at: instant, original: .none) { [self] result in
          switch result {
          case .success(let signatures): perform(journey.handle(.signed(signatures)))
          case .failure(let failure): perform(journey.handle(.signingFailed(failure.reason)))
          }
        }
      case .commit(let plan):
        let address = lane.returnAddress { [self] completion in committed(completion) }
        lane.shared.committer.perform(.commit(plan, .none, address))
      case .reply, .releaseOriginal: break
      case .finished: then(journey.entry)
      }
    }
  }

  private func committed(_ completion: Completion) {
    switch completion {
    case .committed(let entries):
      perform(journey.handle(.committed))
      lane.deliveries.dispatch(entries.map { PendingDelivery(entry: $0, transaction: transaction) })
    case .failed(let reason): perform(journey.handle(.commitFailed(reason)))
    case .authentication, .stored, .signature, .mailbox: preconditionFailure("a commit's answer of another kind")
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
