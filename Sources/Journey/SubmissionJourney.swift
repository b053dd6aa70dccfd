import Limits
import MIMEStream
import PEC
import Reception
import ScanWire

/// A message as it came in, with the instant and the randomness of its transaction: the machine itself has neither clock nor dice.
public struct Arrival: Sendable {
  public var submission: Submission
  /// The transaction's one time value (RFC 6109 §4.1).
  public var instant: Instant
  /// Running number of the message in this process.
  public var sequence: UInt64
  public var random: RandomBits
  /// The provider index at that instant.
  public var directory: ProviderDirectory
  /// A request for an extract that this message of our own answers: it moves on when the message is accepted, in the same commit.
  public var request: LogRequestRecord?
  /// What holders have chosen, at that instant.
  public var choices: HolderChoices
  /// What a trusted peer handed over, where it may hand it over again; nil elsewhere.
  public var handOver: HandOverKey?

  /// A message that came in at this instant.
  public init(
    submission: Submission, instant: Instant, sequence: UInt64, random: RandomBits, directory: ProviderDirectory,
    request: LogRequestRecord? = nil, choices: HolderChoices = HolderChoices(), handOver: HandOverKey? = nil
  ) {
    self.handOver = handOver
    self.choices = choices
    self.request = request
    self.submission = submission
    self.instant = instant
    self.sequence = sequence
    self.random = random
    self.directory = directory
  }
}

/// The life of a message at the access point, from its last octet to the client's 250: check, scan and sign, commit, answer.
///
/// RFC 6109 §3.1. The receipt and the envelope become durable in one commit, and only then is the client answered: a sender who
/// got 250 gets exactly one acceptance or non-acceptance, and neither ever exists without the other's half. The scanner looks at the
/// message while receipt and envelope are being signed; signatures of a message that turns out infected are thrown away unseen.
public struct SubmissionJourney: Sendable {
  /// What happened.
  public enum Event: Sendable {
    case received(Arrival)
    case scanned(ScanOutcome)
    case signed([[UInt8]])
    case signingFailed(String)
    case committed
    /// Nothing was committed: this very message was handed over before, and became that transaction.
    case repeated(of: String)
    case commitFailed(String)
  }

  /// How far the signatures are that are made beside the scan.
  private enum Signing: Sendable {
    case underway
    case made([[UInt8]])
    case failed
  }

  private enum State: Sendable {
    case expectingMessage
    case checking(Work, Signing, ScanOutcome?)
    /// A non-acceptance notice, which is all that comes of the message.
    case refusing(Work)
    case committing(Verdict)
    case done
  }

  /// Everything decided about a message while its signatures are being made.
  private struct Work: Sendable {
    var facts: TransactionFacts
    var random: RandomBits
    var faults: [FormalFault] = []
    var threat: Threat?
    /// The notice; or acceptance, envelope, and the take-charge receipt where some recipients are our own.
    var drafts: [Draft]
    /// Our own part as the recipients' provider (`pec-rules` 13.1).
    var reception: ReceptionRecord?
    var hasEightBit = false
    var proofToken = ""
    /// What the scanner said, for the log.
    var note = ""
    /// The request that the message answers.
    var request: LogRequestRecord?
    var handOver: HandOverKey?

    var isAccepted: Bool { faults.isEmpty && threat == nil }
  }

  private let point: ProviderPoints
  private var state = State.expectingMessage

  /// A journey that has not begun.
  public init(at point: ProviderPoints) { self.point = point }

  /// Moves on and says what to do. An event that cannot happen in a state is our own fault and traps.
  public mutating func handle(_ event: Event) -> [Effect] {
    switch (state, event) {
    case (.expectingMessage, .received(let arrival)):
      let work = decide(arrival)
      // What is refused for its form is not scanned: nothing of it goes anywhere (RFC 6109 §3.1.2).
      guard work.faults.isEmpty else { return refuse(work) }
      state = .checking(work, .underway, nil)
      return [.scan, .sign(work.drafts, at: arrival.instant)]
    case (.checking(let work, .underway, let scan), .signed(let signatures)):
      precondition(signatures.count == work.drafts.count, "as many signatures as drafts")
      return settle(work, .made(signatures), scan)
    case (.checking(let work, .underway, let scan), .signingFailed): return settle(work, .failed, scan)
    case (.checking(let work, let signing, nil), .scanned(let outcome)): return settle(work, signing, outcome)
    case (.refusing(let work), .signed(let signatures)):
      precondition(signatures.count == work.drafts.count, "as many signatures as drafts")
      state = .committing(Verdict(code: 250, enhanced: "2.0.0", text: "Ok: see the non-acceptance notice for \(work.facts.pecID)"))
      return [.commit(plan(work, signatures))]
    case (.refusing, .signingFailed): return fail()
    case (.committing(let verdict), .committed):
      state = .done
      // The envelope points at the original for as long as it is queued; a notice never does (RFC 6109 §3.1.2).
      return [.reply(verdict), .releaseOriginal, .finished]
    case (.committing, .repeated(let pecID)):
      state = .done
      // The first answer was lost; this is the same one, with nothing behind it.
      let same = Verdict(code: 250, enhanced: "2.0.0", text: "Ok: handed over before, as \(pecID)")
      return [.reply(same), .releaseOriginal, .finished]
    case (.committing, .commitFailed): return fail()
    case (.expectingMessage, .scanned), (.expectingMessage, .signed), (.expectingMessage, .signingFailed), (.expectingMessage, .committed),
      (.expectingMessage, .commitFailed), (.checking, .received), (.checking, .signed), (.checking, .signingFailed), (.checking, .scanned),
      (.checking, .committed), (.checking, .commitFailed), (.refusing, .received), (.refusing, .scanned), (.refusing, .committed),
      (.refusing, .commitFailed), (.committing, .received), (.committing, .scanned), (.committing, .signed), (.committing, .signingFailed),
      (.expectingMessage, .repeated), (.checking, .repeated), (.refusing, .repeated), (.done, .repeated),
      (.done, .received), (.done, .scanned), (.done, .signed), (.done, .signingFailed), (.done, .committed), (.done, .commitFailed):
      preconditionFailure("a submission's journey was told \(event) in the wrong state")
    }
  }

  /// Goes on when both the scanner and the signers have answered.
  private mutating func settle(_ work: Work, _ signing: Signing, _ scan: ScanOutcome?) -> [Effect] {
    state = .checking(work, signing, scan)
    if case .underway = signing { return [] }
    guard let scan else { return [] }
    switch point.security.decide(scan) {
    case .pass(let note):
      guard case .made(let signatures) = signing else { return fail() }
      var work = work
      work.note = note
      state = .committing(Verdict(code: 250, enhanced: "2.0.0", text: "Ok: accepted as \(work.facts.pecID)"))
      return [.commit(plan(work, signatures))]
    case .stop(let threat):
      let notice = point.composer.nonAcceptanceVirus(work.facts, threat: threat.name, boundarySeed: work.random.boundary(3))
      var refused = Work(facts: work.facts, random: work.random, threat: threat, drafts: [notice])
      refused.handOver = work.handOver
      return refuse(refused)
    case .retry:
      return fail(Verdict(code: 451, enhanced: "4.7.1", text: "The virus scanner is not available, try again later"))
    case .hold(let threat):
      state = .committing(Verdict(code: 451, enhanced: "4.7.1", text: "The message could not be checked for viruses, try again later"))
      return [.commit(holding(work, threat))]
    }
  }

  private mutating func refuse(_ work: Work) -> [Effect] {
    state = .refusing(work)
    return [.sign(work.drafts, at: work.facts.instant)]
  }

  /// Nothing is durable, so nothing was promised: the client keeps the message and tries again (RFC 5321 §4.2.5).
  private mutating func fail(
    _ verdict: Verdict = Verdict(code: 451, enhanced: "4.3.0", text: "Message not accepted, try again later")
  ) -> [Effect] {
    state = .done
    return [.reply(verdict), .releaseOriginal, .finished]
  }

  /// Formal checks, identifier, classes of the recipients, drafts: RFC 6109 §3.1.1–3.1.5.
  private func decide(_ arrival: Arrival) -> Work {
    let submission = arrival.submission
    let pecID = PECIdentifier.make(
      node: point.provider.nodeName, instant: arrival.instant, sequence: arrival.sequence, random: arrival.random.identifier,
      domain: point.provider.mailDomain)
    var facts = TransactionFacts(
      submission, pecID: pecID, instant: arrival.instant, directory: arrival.directory, limits: point.limits.message)
    // Who asks for a kind of receipt himself gets that one (RFC 6109 §3.3.2).
    if !submission.asksForReceiptType, let chosen = arrival.choices.receipt(for: submission.reversePath) {
      facts.receiptType = chosen.value
    }
    let faults = FormalCheck.faults(of: submission, limits: point.limits.message)
    guard faults.isEmpty else {
      let notice = point.composer.nonAcceptance(facts, faults: faults, boundarySeed: arrival.random.boundary)
      var refused = Work(facts: facts, random: arrival.random, faults: faults, drafts: [notice])
      refused.handOver = arrival.handOver
      return refused
    }
    let receipt = point.composer.acceptance(facts, boundarySeed: arrival.random.boundary)
    let envelope = point.composer.envelope(facts, original: submission.facts, boundarySeed: arrival.random.boundary(1))
    var work = Work(facts: facts, random: arrival.random, drafts: [receipt, envelope])
    work.hasEightBit = submission.facts.hasEightBit
    work.request = arrival.request
    work.handOver = arrival.handOver
    let own = facts.recipients.map(\.address).filter { point.routing.route(for: $0) == .mailbox }
    guard !own.isEmpty else { return work }
    // We are their provider too: the same steps, without a network between (RFC 6109 §3.4).
    work.drafts.append(
      point.composer.takeCharge(
        facts, reception: pecID, receptions: own, serviceMailbox: point.serviceMailbox, at: arrival.instant,
        boundarySeed: arrival.random.boundary(2)))
    work.proofToken = arrival.random.secretToken
    work.reception = ReceptionRecord(
      id: pecID, instant: arrival.instant, kind: .envelope, facts: TransactionRecord(facts, accepted: true), recipients: own,
      copyRecipients: PrimaryOrCopy.copyRecipients(
        of: own, header: submission.facts.header, limit: point.limits.message.addresses),
      provider: point.provider.name, fingerprint: "", original: envelope.originalRange)
    return work
  }

  /// Rows and messages of one commit.
  private func plan(_ work: Work, _ signatures: [[UInt8]]) -> CommitPlan {
    let accepted = work.isAccepted
    let record = TransactionRecord(work.facts, accepted: accepted)
    var messages: [OutgoingMessage] = []
    for (draft, signature) in zip(work.drafts, signatures) {
      let groups = point.routing.grouped(draft.recipients, atMost: point.limits.delivery.recipientsPerTransaction)
      let entries = groups.enumerated().map { index, group in
        let isReceived = draft.kind == .takeCharge || (draft.kind == .envelope && group.route == .mailbox)
        var entry = QueueEntry(
          draft, part: index, to: group, of: work.facts.pecID, reception: isReceived ? work.reception?.id : nil,
          at: work.facts.instant, hasEightBit: draft.kind == .envelope && work.hasEightBit)
        // Always: the mailboxes may have moved to a server that proves by reports when the entry is sent.
        if draft.kind == .envelope, group.route == .mailbox { entry.proofToken = "\(work.proofToken)\(index)" }
        return entry
      }
      messages.append(
        OutgoingMessage(draft: draft, signature: signature, entries: entries, matter: Matter(record, work.reception)))
    }
    let key = work.handOver.map { [LedgerChange.handedOver($0, pecID: record.pecID, at: record.instant.unixSeconds)] } ?? []
    return CommitPlan(
      changes: key + rows(work, record), messages: messages, quarantine: work.threat.map { quarantined(work, $0, .submission) })
  }

  /// The rows of the log, and of what is known of the transaction.
  private func rows(_ work: Work, _ record: TransactionRecord) -> [LedgerChange] {
    func event(_ kind: EventKind, _ made: Int) -> EventRecord {
      record.event(kind, at: work.facts.instant, by: point.provider.name, made: [work.drafts[made].messageID])
    }
    if work.isAccepted {
      var accepted = event(.acceptance, 0)
      accepted.detail = work.note
      var rows: [LedgerChange] = [.transaction(record), .event(accepted), .event(event(.envelopeMade, 1))]
      let certified = record.recipients.filter { $0.recipientClass == .certified }
      if !certified.isEmpty {
        // Whom we take in charge in this same commit the first stage has nothing to say of.
        let isTaken = certified.allSatisfy { point.routing.route(for: $0.address) == .mailbox }
        rows.append(.watch(record.deadline(isTaken ? .second : .first, point.limits)))
      }
      if let request = work.request { rows += answered(request, by: record) }
      guard let reception = work.reception else { return rows }
      return rows + [
        .reception(reception), .event(event(.takeCharge, 2)),
        .progress(pecID: record.pecID, recipients: reception.recipients, to: .takenInCharge),
      ]
    }
    var refused = event(work.threat == nil ? .nonAcceptance : .nonAcceptanceVirus, 0)
    refused.error = (work.threat == nil ? CertificationError.other : .virus).rawValue
    refused.detail = work.threat?.note ?? work.faults.map { "\($0.code.rawValue): \($0.english)" }.joined(separator: "; ")
    return [.transaction(record), .event(refused)]
  }

  /// A request moves on with the message that says so to its sender.
  private func answered(_ request: LogRequestRecord, by record: TransactionRecord) -> [LedgerChange] {
    var request = request
    request.answerID = record.pecID
    request.changedAt = record.instant.unixSeconds
    var row = EventRecord(
      aboutTheLog: .extractRequest, "\(request.state.rawValue): \(request.asker) is told", by: point.provider.name, at: record.instant)
    row.relatedIDs = [request.id, record.pecID]
    return [.request(request), .event(row)]
  }

  /// The message cannot be vouched for and is not taken: its client keeps it. What the analyst needs is kept beside.
  private func holding(_ work: Work, _ threat: Threat) -> CommitPlan {
    var event = TransactionRecord(work.facts, accepted: false).event(
      .scanFault, at: work.facts.instant, by: point.provider.name, made: [])
    event.detail = threat.note
    return CommitPlan(changes: [.event(event)], messages: [], quarantine: quarantined(work, threat, .unscanned))
  }

  private func quarantined(_ work: Work, _ threat: Threat, _ kind: QuarantineRecord.Kind) -> QuarantineRecord {
    QuarantineRecord(
      id: work.facts.pecID, pecID: work.facts.pecID, kind: kind, instant: work.facts.instant, sender: work.facts.sender,
      recipients: work.facts.recipients.map(\.address), provider: point.provider.name,
      messageID: work.facts.clientMessageID?.trimmingBrackets, subject: work.facts.subject, threat: threat.name, scanner: threat.scanner,
      digest: threat.digest, bytes: work.facts.bytes)
  }
}

extension String {
  /// An identifier without the angle brackets around it.
  fileprivate var trimmingBrackets: String {
    let inner = utf8.drop { $0 == UInt8(ascii: "<") }.prefix { $0 != UInt8(ascii: ">") }
    return String(inner) ?? self
  }
}
