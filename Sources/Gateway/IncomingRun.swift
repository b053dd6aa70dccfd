import EventLoop
import Journey
import Logging
import Octets
import PEC
import Reception
import ScanWire

/// Performs the effects of one incoming message's journey: examination, signatures, the commit, the answer. It lives until the journey
/// ends, whether the sending server is still there or not.
final class IncomingRun {
  private let lane: Lane
  private let content: BodyContent
  private let client: MailClient
  private let sender: String
  private let recipients: Int
  private let answer: (Verdict) -> Void
  private var journey: IncomingJourney
  private var claim: String?
  /// What the scanner said; nil until it did.
  private var scan: ScanOutcome?
  /// What waits for the scanner, once the message is examined.
  private var afterScan: ((ScanOutcome) -> Void)?
  private var waits = 0
  private var timer: LoopTimer?

  /// - Parameters:
  ///   - sender: the reverse path.
  ///   - recipients: how many forward paths.
  init(lane: Lane, content: BodyContent, client: MailClient, sender: String, recipients: Int, answer: @escaping (Verdict) -> Void) {
    self.lane = lane
    self.content = content
    self.client = client
    self.sender = sender
    self.recipients = recipients
    self.answer = answer
    journey = IncomingJourney(at: lane.shared.points)
  }

  /// Rights are judged by the peer, whoever the message came from before.
  private var peer: String { client.peer }

  /// The scanner looks at the message while it is examined.
  func start(_ job: ExaminerJob) {
    lane.scan(content) { [self] outcome in
      scan = outcome
      afterScan?(outcome)
      afterScan = nil
    }
    examine(job)
  }

  private func examine(_ job: ExaminerJob) {
    let instant = lane.shared.now()
    let address = lane.returnAddress { [self] completion in
      switch completion {
      case .examined(let examination): examined(examination, at: instant)
      case .failed(let reason): giveUp("it could not be examined: \(reason)")
      default: preconditionFailure("an examiner's answer of another kind")
      }
    }
    lane.shared.examiner.examine(job, address)
  }

  /// The same envelope is being taken on another connection (an envelope may come in several transactions at once): a moment later
  /// it is durable, and this one is judged beside it.
  private func wait(for examination: Examination) {
    guard waits < 8 else {
      return perform([
        .reply(Verdict(code: 451, enhanced: "4.3.2", text: "The same message is being taken at this moment, try again later")),
        .releaseOriginal, .finished,
      ])
    }
    waits += 1
    let message = examination.message
    let job = ExaminerJob(
      facts: message.facts, content: content, reversePath: message.reversePath, forwardPaths: message.forwardPaths,
      isOverTLS: message.isOverTLS, arrivedAt: lane.shared.now().unixSeconds)
    timer = lane.loop.timer(after: UInt64(20 << waits), repeat: 0) { [self] in
      timer = nil
      examine(job)
    }
  }

  private func giveUp(_ reason: String) {
    lane.shared.logger.error("an incoming message was answered 451, \(reason)", metadata: ["peer": "\(peer)"])
    perform([.reply(Verdict(code: 451, enhanced: "4.3.0", text: "Message not taken, try again later")), .releaseOriginal, .finished])
  }

  private func examined(_ examination: Examination, at instant: Instant) {
    if examination.isBusy { return wait(for: examination) }
    claim = examination.claim
    if let report = examination.report, lane.shared.mayReport(peer) {
      return pass(report, of: examination, at: instant)
    }
    if let scan { return judge(examination, scan, at: instant) }
    afterScan = { [self] outcome in judge(examination, outcome, at: instant) }
  }

  /// A report may be the proof of a delivery that some lane waits for, or that waits in the ledger. Where neither has the entry that it
  /// names, that was settled this very moment, and the report is to come again.
  private func pass(_ report: ReceivedDeliveryReport, of examination: Examination, at instant: Instant) {
    let address = lane.returnAddress { [self] completion in
      switch completion {
      case .mailbox(let fates) where fates.isEmpty: giveUp("no lane knows yet what the delivery report is about")
      case .mailbox:
        perform([.reply(Verdict(code: 250, enhanced: "2.0.0", text: "Ok: the report is noted")), .releaseOriginal, .finished])
      default: giveUp("a delivery report could not be noted")
      }
    }
    lane.shared.tell(report) { entries in
      if entries.contains(Deliveries.unsettled) {
        address.send(.failed("not durable"))
      } else {
        address.send(.mailbox(entries.map { RecipientFate(recipient: $0, outcome: .later("")) }))
      }
    }
  }

  private func judge(_ examination: Examination, _ scan: ScanOutcome, at instant: Instant) {
    let shared = lane.shared
    if case .unavailable(let reason) = scan {
      shared.logger.error("an incoming message was answered 451, it could not be scanned: \(reason)", metadata: ["peer": "\(peer)"])
    }
    let unknown = examination.message.forwardPaths.filter { shared.mailboxIsUnknown($0) }
    perform(
      journey.handle(
        .examined(
          IncomingArrival(
            message: examination.message, scan: scan, instant: instant, sequence: shared.counters.nextSequence(), random: .drawn(),
            directory: shared.index.snapshot, peer: client.address, peerName: client.name,
            helo: client.helo, progress: examination.progress, transaction: examination.transaction,
            unknownMailboxes: Set(unknown.map(ASCII.lowercased)), choices: shared.choices.snapshot))))
  }

  private func perform(_ effects: [Effect]) {
    for effect in effects {
      switch effect {
      case .scan: preconditionFailure("an incoming message is scanned while it is examined")
      case .askQuota(let mailboxes, let bytes):
        guard let quota = lane.quota else { preconditionFailure("quotas are asked for where the configuration says of whom") }
        quota.ask(mailboxes, from: sender, bytes: bytes) { [self] answers in perform(journey.handle(.quotas(answers))) }
      case .sign(let drafts, let instant):
        lane.sign(drafts, at: instant, original: content, .takeCharge) { [self] result in
          switch result {
          case .success(let signatures): perform(journey.handle(.signed(signatures)))
          case .failure(let failure):
            lane.shared.logger.error("an incoming message was answered 451, it could not be signed for: \(failure.reason)")
            perform(journey.handle(.signingFailed(failure.reason)))
          }
        }
      case .commit(let plan):
        lane.commit(plan, content) { [self] completion in committed(completion) }
      case .reply(let verdict):
        log(verdict)
        answer(verdict)
      case .releaseOriginal:
        let ranges = content.storedRanges
        if !ranges.isEmpty { lane.shared.committer.perform(.release(ranges)) }
      case .finished:
        lane.shared.examiner.release(claim)
        claim = nil
      }
    }
  }

  private func committed(_ completion: Completion) {
    switch completion {
    case .committed:
      perform(journey.handle(.committed))
    case .failed(let reason):
      lane.shared.logger.error("an incoming message was answered 451, it could not be stored: \(reason)")
      perform(journey.handle(.commitFailed(reason)))
    default: preconditionFailure("a commit's answer of another kind")
    }
  }

  private func log(_ verdict: Verdict) {
    let lines =
      verdict.code == 250
      ? MailLines.arrival(
        id: journey.id ?? "", client: client, messageID: journey.judgement?.treatment.pecID, sender: sender, bytes: content.count,
        recipients: recipients)
      : MailLines.rejection(
        stage: "END-OF-MESSAGE", client: client, reply: "\(verdict.code) \(verdict.enhanced) \(verdict.text)", sender: sender,
        recipient: nil)
    guard let judgement = journey.judgement else {
      let word = verdict.code == 250 ? "delivery report" : "not taken"
      return lane.shared.logger.info(
        "\(word)",
        metadata: ["peer": "\(peer)", "reply": "\(verdict.code) \(verdict.enhanced) \(verdict.text)", MailLines.key: lines.value])
    }
    var metadata: Logger.Metadata = [
      "from": "\(sender)", "bytes": "\(content.count)", MailLines.key: lines.value,
      "peer": "\(peer)", "reply": "\(verdict.code) \(verdict.enhanced) \(verdict.text)",
      "to": "\((judgement.recipients + judgement.strangers + judgement.duplicates).joined(separator: " "))",
    ]
    let word: String
    switch judgement.treatment {
    case .envelope(let data, let record): word = note("envelope", data, record, &metadata)
    case .notification(let data, let record), .serviceNotice(let data, let record): word = note(data.type.rawValue, data, record, &metadata)
    case .anomaly(let record):
      word = "anomaly"
      metadata["provider"] = "\(record.providerName)"
    case .ordinary(let isForged): word = isForged ? "forged mail" : "ordinary mail"
    }
    if client.address != peer { metadata["client"] = "\(client.address)" }
    let reasons = judgement.reasons.map(\.english) + judgement.remarks
    if !reasons.isEmpty { metadata["because"] = "\(reasons.joined(separator: "; "))" }
    if !judgement.duplicates.isEmpty { metadata["duplicates"] = "\(judgement.duplicates.count)" }
    lane.shared.logger.info("\(word)", metadata: metadata)
  }

  private func note(_ word: String, _ data: CertificationData, _ record: ProviderRecord, _ metadata: inout Logger.Metadata) -> String {
    metadata["id"] = "\(data.pecID)"
    metadata["provider"] = "\(record.providerName)"
    return word
  }
}

extension Judgement.Treatment {
  /// Identifier and Message-ID of a message of the certified channel.
  fileprivate var pecID: String? {
    switch self {
    case .envelope(let data, _), .notification(let data, _), .serviceNotice(let data, _): data.pecID
    case .anomaly, .ordinary: nil
    }
  }
}

extension RandomBits {
  /// Bits of the system's source.
  static func drawn() -> RandomBits {
    RandomBits(identifier: Entropy.word(), boundary: Entropy.word(), secret: (Entropy.word(), Entropy.word()))
  }
}
