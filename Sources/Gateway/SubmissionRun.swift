import Journey
import Octets
import PEC
import Spool

/// Performs the effects of one submission's journey: signatures, the commit, the answer. It lives until the journey ends, whether
/// the client is still there or not.
final class SubmissionRun {
  private let lane: Lane
  private let content: BodyContent
  private let answer: (Verdict) -> Void
  private var journey: SubmissionJourney
  private var transaction: TransactionRecord?

  init(lane: Lane, content: BodyContent, answer: @escaping (Verdict) -> Void) {
    self.lane = lane
    self.content = content
    self.answer = answer
    journey = SubmissionJourney(at: lane.shared.accessPoint)
  }

  func start(_ arrival: Arrival) { perform(journey.handle(.received(arrival))) }

  private func perform(_ effects: [Effect]) {
    for effect in effects {
      switch effect {
      case .sign(let drafts, let instant):
        lane.sign(drafts, at: instant, original: content) { [self] result in
          switch result {
          case .success(let signatures): perform(journey.handle(.signed(signatures)))
          case .failure(let failure):
            lane.shared.logger.error("a message was answered 451, it could not be signed: \(failure.reason)")
            perform(journey.handle(.signingFailed(failure.reason)))
          }
        }
      case .commit(let plan):
        transaction = plan.transaction
        let address = lane.returnAddress { [self] completion in committed(completion) }
        lane.shared.committer.perform(.commit(plan, content, address))
      case .reply(let verdict): answer(verdict)
      case .releaseOriginal:
        let ranges = content.storedRanges
        if !ranges.isEmpty { lane.shared.committer.perform(.release(ranges)) }
      case .finished: break
      }
    }
  }

  private func committed(_ completion: Completion) {
    switch completion {
    case .committed(let entries):
      perform(journey.handle(.committed))
      guard let transaction else { return }
      log(transaction)
      lane.deliveries.dispatch(entries.map { PendingDelivery(entry: $0, transaction: transaction) })
    case .failed(let reason):
      lane.shared.logger.error("a message was answered 451, it could not be stored: \(reason)")
      perform(journey.handle(.commitFailed(reason)))
    case .authentication, .stored, .signature, .mailbox: preconditionFailure("a commit's answer of another kind")
    }
  }

  private func log(_ transaction: TransactionRecord) {
    lane.shared.logger.info(
      transaction.accepted ? "accepted" : "not accepted",
      metadata: [
        "id": "\(transaction.pecID)", "from": "\(transaction.sender)", "recipients": "\(transaction.recipients.count)",
        "bytes": "\(transaction.bytes)", "msgid": "\(transaction.clientMessageID ?? "-")",
      ])
  }
}

/// Why signatures could not be made.
struct SigningFailure: Error {
  var reason: String
}

extension Lane {
  /// Has these drafts signed by the pool; `then` is called once, on this lane, with the signatures in order.
  func sign(_ drafts: [Draft], at instant: Instant, original: BodyContent, then: @escaping (Result<[[UInt8]], SigningFailure>) -> Void) {
    var signatures = [[UInt8]](repeating: [], count: drafts.count)
    var missing = drafts.count
    var failure: SigningFailure?
    for (index, draft) in drafts.enumerated() {
      let content: [Chunk]
      do { content = try octets(of: draft.signed, original: original) } catch {
        then(.failure(SigningFailure(reason: "\(error)")))
        return
      }
      let address = returnAddress { completion in
        switch completion {
        case .signature(let der): signatures[index] = der
        case .failed(let reason): failure = SigningFailure(reason: reason)
        case .authentication, .stored, .committed, .mailbox: preconditionFailure("a signature's answer of another kind")
        }
        missing -= 1
        if missing == 0 { then(failure.map { .failure($0) } ?? .success(signatures)) }
      }
      shared.sign(content, at: instant, address)
    }
  }

  /// The octets of fragments, pointing into the body where they can.
  private func octets(of fragments: [Fragment], original: BodyContent) throws -> [Chunk] {
    var chunks: [Chunk] = []
    for fragment in fragments {
      switch fragment {
      case .composed(let bytes): chunks.append(Chunk(bytes))
      case .original(let range):
        var start = 0
        for piece in original.pieces {
          let end = start + piece.count
          let low = max(start, range.lowerBound)
          let high = min(end, range.upperBound)
          if low < high {
            switch piece {
            case .memory(let chunk): chunks.append(chunk[low - start..<high - start])
            case .stored(let stored):
              chunks.append(try shared.spool.chunk(stored[UInt64(low - start)..<UInt64(high - start)]))
            }
          }
          start = end
        }
      }
    }
    return chunks
  }
}
