import Journey
import Logging
import Octets
import ScanWire

/// Performs the effects of one submission's journey: signatures, the commit, the answer. It lives until the journey ends, whether
/// the client is still there or not.
final class SubmissionRun {
  private let lane: Lane
  private let content: BodyContent
  /// Nil for a message of our own.
  private let client: MailClient?
  private let answer: (Verdict, Bool) -> Void
  private var journey: SubmissionJourney
  /// True when the sender gets a notice of non-acceptance.
  private var isRefusal = false
  /// The log line that the commit is worth.
  private var logged: (word: String, metadata: Logger.Metadata) = ("", [:])

  init(lane: Lane, content: BodyContent, client: MailClient? = nil, answer: @escaping (Verdict, Bool) -> Void) {
    self.client = client
    self.lane = lane
    self.content = content
    self.answer = answer
    journey = SubmissionJourney(at: lane.shared.points)
  }

  func start(_ arrival: Arrival) { perform(journey.handle(.received(arrival))) }

  private func perform(_ effects: [Effect]) {
    for effect in effects {
      switch effect {
      case .scan: lane.scan(content) { [self] outcome in scanned(outcome) }
      case .askQuota: preconditionFailure("mailboxes are asked for when their mail is delivered")
      case .sign(let drafts, let instant):
        lane.sign(drafts, at: instant, original: content, .acceptance) { [self] result in
          switch result {
          case .success(let signatures): perform(journey.handle(.signed(signatures)))
          case .failure(let failure):
            lane.shared.logger.error("a message was answered 451, it could not be signed: \(failure.reason)")
            perform(journey.handle(.signingFailed(failure.reason)))
          }
        }
      case .commit(let plan):
        log(plan)
        lane.commit(plan, content) { [self] completion in committed(completion) }
      case .reply(let verdict): answer(verdict, isRefusal)
      case .releaseOriginal:
        let ranges = content.storedRanges
        if !ranges.isEmpty { lane.shared.committer.perform(.release(ranges)) }
      case .finished: break
      }
    }
  }

  private func scanned(_ outcome: ScanOutcome) {
    if case .unavailable(let reason) = outcome {
      lane.shared.logger.error("a message was answered 451, it could not be scanned: \(reason)")
    }
    perform(journey.handle(.scanned(outcome)))
  }

  private func committed(_ completion: Completion) {
    switch completion {
    case .committed:
      perform(journey.handle(.committed))
      if !logged.word.isEmpty { lane.shared.logger.info("\(logged.word)", metadata: logged.metadata) }
    case .repeated(let pecID):
      lane.shared.logger.notice(
        "handed over again", metadata: ["id": "\(pecID)", "client": "\(client?.address ?? "-")", "from": "\(client?.user ?? "-")"])
      perform(journey.handle(.repeated(of: pecID)))
    case .failed(let reason):
      lane.shared.logger.error("a message was answered 451, it could not be stored: \(reason)")
      perform(journey.handle(.commitFailed(reason)))
    default: preconditionFailure("a commit's answer of another kind")
    }
  }

  private func log(_ plan: CommitPlan) {
    guard let transaction = plan.messages.first?.matter.transaction else { return }
    isRefusal = !transaction.accepted
    let lines = MailLines.arrival(
      id: transaction.pecID, client: client, messageID: transaction.clientMessageID, sender: transaction.sender, bytes: transaction.bytes,
      recipients: transaction.recipients.count)
    logged = (
      transaction.accepted ? "accepted" : "not accepted",
      [
        "client": "\(client?.address ?? "-")", MailLines.key: lines.value,
        "id": "\(transaction.pecID)", "from": "\(transaction.sender)", "recipients": "\(transaction.recipients.count)",
        "bytes": "\(transaction.bytes)", "msgid": "\(transaction.clientMessageID ?? "-")",
      ]
    )
  }
}
