import MIMEStream
import Octets
import PEC
import Reception

/// What is decided about a message at the incoming point, while signatures are being made.
struct IncomingWork: Sendable {
  /// A message to be signed, with the entries that carry it.
  struct Made: Sendable {
    var draft: Draft
    var entries: [QueueEntry]
    var matter: Matter
  }

  let arrival: IncomingArrival
  let judgement: Judgement
  let point: ProviderPoints
  /// Our identifier of this reception.
  let id: String
  /// Our Received line.
  let trace: [UInt8]
  var changes: [LedgerChange] = []
  var drafts: [Made] = []
  /// Messages that are passed on, and reports.
  var messages: [OutgoingMessage] = []
  var verdict: Verdict
  /// The message itself, where it is put away.
  var quarantine: QuarantineRecord?
  /// What the scanner said, for the log.
  var note = ""
  /// Whether mailboxes have room, by address in lower case, as far as it was asked.
  var quotas: [String: QuotaAnswer] = [:]
  private var seeds: UInt64 = 0
  private var receptions = 0

  init(_ arrival: IncomingArrival, _ judgement: Judgement, at point: ProviderPoints) {
    self.arrival = arrival
    self.judgement = judgement
    self.point = point
    id = PECIdentifier.make(
      node: point.provider.nodeName, instant: arrival.instant, sequence: arrival.sequence, random: arrival.random.identifier,
      domain: point.provider.mailDomain)
    trace = Composer.receivedLine(
      from: arrival.peer, name: arrival.peerName, helo: arrival.helo, by: point.hostname,
      protocolName: arrival.message.isOverTLS ? "ESMTPS" : "ESMTP", id: id,
      at: arrival.instant)
    verdict = Verdict(code: 250, enhanced: "2.0.0", text: "Ok: taken as \(id)")
  }

  /// True when nothing follows from the message but the answer.
  var isNothing: Bool { changes.isEmpty && drafts.isEmpty && messages.isEmpty }

  /// All that becomes durable.
  func plan(_ signatures: [[UInt8]]) -> CommitPlan {
    let signed = zip(drafts, signatures).map { made, signature in
      OutgoingMessage(draft: made.draft, signature: signature, entries: made.entries, matter: made.matter)
    }
    return CommitPlan(changes: changes, messages: signed + messages, quarantine: quarantine)
  }

  // MARK: The decision table (`pec-rules` 6.3)

  mutating func decide() {
    switch judgement.treatment {
    case .envelope(let data, let record): takeEnvelope(data, record)
    case .notification(let data, let record): takeNotification(data, record)
    case .serviceNotice(let data, let record): takeServiceNotice(data, record)
    case .anomaly(let record):
      takeAnomaly(judgement.recipients + judgement.strangers, from: record.providerName, id: id, kind: .anomaly)
    case .ordinary(let isForged): takeOrdinary(isForged: isForged)
    }
    if case .ordinary = judgement.treatment { return }
    takeDuplicates()
  }

  /// An identifier for what this transaction brings besides.
  mutating func nextID() -> String {
    receptions += 1
    let at = id.lastIndex(of: "@") ?? id.endIndex
    return "\(id[..<at]).\(receptions)\(id[at...])"
  }

  mutating func seed() -> UInt64 {
    seeds += 1
    return arrival.random.boundary(seeds)
  }

  /// A valid envelope: taken in charge, and on to the delivery point.
  private mutating func takeEnvelope(_ data: CertificationData, _ record: ProviderRecord) {
    if !judgement.recipients.isEmpty {
      let (reception, _) = takeInCharge(data, record)
      pass(.envelope, messageID: data.pecID, to: judgement.recipients, reception)
    }
    takeStrangers(record)
  }

  /// One take-charge receipt for this transaction (RFC 6109 §3.2.1).
  mutating func takeInCharge(_ data: CertificationData, _ record: ProviderRecord, end: RecipientEnd? = nil) -> (
    ReceptionRecord, TransactionFacts
  ) {
    let facts = TransactionFacts(data, outer: arrival.message.facts.header, bytes: arrival.message.facts.totalBytes)
    let part = arrival.message.claim.originalPart
    let original = part.map { $0.bodyRange.lowerBound + trace.count..<$0.bodyRange.upperBound + trace.count }
    let reception = reception(
      .envelope, TransactionRecord(facts, accepted: true), judgement.recipients, record,
      copies: PrimaryOrCopy.copyRecipients(
        of: judgement.recipients, header: arrival.message.facts.header, limit: point.limits.message.addresses),
      original: original, encoding: part?.transferEncoding ?? "7bit")
    let receipt = point.composer.takeCharge(
      facts, reception: id, receptions: judgement.recipients, serviceMailbox: record.mailReceipt, at: arrival.instant,
      boundarySeed: seed())
    changes += [
      .reception(reception, end: end), .event(event(.envelopeReceived, reception, made: [data.pecID])),
      .event(event(.takeCharge, reception, made: [receipt.messageID])),
    ]
    // An envelope of ours that comes back to us from outside is our own transaction as well; nobody else's moves it.
    if ASCII.equal(record.providerName, point.provider.name) {
      changes.append(.progress(pecID: data.pecID, recipients: judgement.recipients, to: .takenInCharge))
    }
    drafts.append(made(receipt, Matter(reception), hasEightBit: false))
    return (reception, facts)
  }

  /// A receipt or notice for a user: onward, and nothing comes back (RFC 6109 §2.2.3).
  private mutating func takeNotification(_ data: CertificationData, _ record: ProviderRecord) {
    if !judgement.recipients.isEmpty {
      let reception = notice(.notification, data, record)
      changes += [.reception(reception), .event(event(.notificationReceived, reception, made: messageIDs, about: data))]
      if let delivered = data.delivery, IncomingCheck.mayDecide(data, record, directory: arrival.directory) {
        if data.type == .delivery {
          changes.append(.progress(pecID: data.pecID, recipients: [delivered], to: .delivered))
        } else if data.type == .deliveryError {
          changes.append(.progress(pecID: data.pecID, recipients: [delivered], to: .failed))
        }
      }
      pass(.notification, messageID: arrival.message.claim.messageID ?? id, to: judgement.recipients, reception)
    }
    takeStrangers(record)
  }

  /// Take-charge receipts and virus detection notices: into the service mailbox, and into our transaction's state (RFC 6109 §3.5).
  private mutating func takeServiceNotice(_ data: CertificationData, _ record: ProviderRecord) {
    if !judgement.recipients.isEmpty {
      let reception = notice(.serviceNotice, data, record)
      let isVirus = data.type == .virusDetection
      let kind: EventKind = isVirus ? .virusDetectionReceived : .takeChargeReceived
      changes += [.reception(reception), .event(event(kind, reception, made: messageIDs, about: data))]
      if IncomingCheck.mayDecide(data, record, directory: arrival.directory) {
        if isVirus {
          reportVirus(data, reception)
        } else {
          changes.append(.progress(pecID: data.pecID, recipients: data.receptions, to: .takenInCharge))
        }
      }
      pass(.notification, messageID: arrival.message.claim.messageID ?? id, to: judgement.recipients, reception)
    }
    takeStrangers(record)
  }

  /// Our sender is told that a virus was found, once for each recipient, and only where nothing final was said before (§3.2.4).
  private mutating func reportVirus(_ data: CertificationData, _ reception: ReceptionRecord) {
    // Written from what we know of our own transaction: the notice proves what was found, not what our user sent.
    guard let own = arrival.transaction, own.accepted, ASCII.equal(own.sender, data.sender) else { return }
    var named: Set<String> = []
    for recipient in data.delivery.map({ [$0] }) ?? data.receptions where named.insert(ASCII.lowercased(recipient)).inserted {
      guard let state = arrival.progress[ASCII.lowercased(recipient)], state?.isFinal != true else { continue }
      let draft = point.composer.virusNonDelivery(
        TransactionFacts(own), reception: id, recipient: recipient,
        threat: data.errorSentence ?? "rilevato dal gestore del destinatario", at: arrival.instant, boundarySeed: seed())
      var event = event(.virusNonDelivery, reception, made: [draft.messageID])
      event.recipient = recipient
      event.error = CertificationError.virus.rawValue
      changes += [.event(event), .progress(pecID: data.pecID, recipients: [recipient], to: .failed)]
      drafts.append(made(draft, Matter(own, reception), hasEightBit: false))
    }
  }

  /// Recipients that a well-formed message is not meant for.
  private mutating func takeStrangers(_ record: ProviderRecord) {
    guard !judgement.strangers.isEmpty else { return }
    takeAnomaly(judgement.strangers, from: record.providerName, id: nextID(), kind: .anomaly)
  }

  /// Ordinary mail that its recipients want to see.
  mutating func envelop(_ recipients: [String]) { takeAnomaly(recipients, from: "", id: id, kind: .ordinary) }

  /// The whole message in an anomaly envelope (RFC 6109 §3.2.2): delivery must follow.
  private mutating func takeAnomaly(_ recipients: [String], from provider: String, id: String, kind: ReceptionKind) {
    guard !recipients.isEmpty else { return }
    let message = arrival.message
    let facts = uncertified(id: id, recipients: recipients)
    let reception = ReceptionRecord(
      id: id, instant: arrival.instant, kind: kind, facts: facts, recipients: recipients, provider: provider, fingerprint: "")
    var draft = point.composer.anomaly(
      message.facts, id: id, reversePath: message.reversePath, recipients: shown(recipients), reasons: judgement.reasons.map(\.italian),
      trace: trace, at: arrival.instant, boundarySeed: seed())
    draft.recipients = recipients
    var event = event(.anomaly, reception, made: [draft.messageID])
    event.detail = (judgement.reasons.map(\.english) + [note].filter { !$0.isEmpty }).joined(separator: "; ")
    changes += [.reception(reception), .event(event)]
    drafts.append(made(draft, Matter(reception), hasEightBit: message.facts.hasEightBit))
  }

  /// Recipients whom the envelope's text names: with several, only those that stand in To or Cc, so that nobody learns who else got a
  /// blind copy.
  private func shown(_ recipients: [String]) -> [String] {
    guard recipients.count > 1 else { return recipients }
    let header = arrival.message.facts.header
    let named = Set(
      ["To", "Cc"].flatMap { header.fields(named: $0) }.flatMap { field in
        AddressList.parse(header.value(of: field), limit: point.limits.message.addresses).mailboxes.map { ASCII.lowercased($0.address) }
      })
    return recipients.filter { named.contains(ASCII.lowercased($0)) }
  }

  mutating func takeDuplicates() {
    guard !judgement.duplicates.isEmpty else { return }
    let facts = uncertified(id: known?.facts ?? id, recipients: judgement.duplicates)
    var event = facts.event(.duplicate, at: arrival.instant, by: provider, made: messageIDs)
    event.detail = "came again for \(judgement.duplicates.joined(separator: ", "))"
    changes.append(.event(event))
  }
}

// MARK: - Pieces

extension IncomingWork {
  /// PEC id and reception of the copy that came before.
  private var known: (facts: String, id: String)? {
    switch judgement.treatment {
    case .envelope(let data, _), .notification(let data, _), .serviceNotice(let data, _):
      (data.pecID, arrival.message.known.first?.id ?? id)
    case .anomaly, .ordinary: nil
    }
  }

  var provider: String {
    switch judgement.treatment {
    case .envelope(_, let record), .notification(_, let record), .serviceNotice(_, let record), .anomaly(let record):
      record.providerName
    case .ordinary: ""
    }
  }

  var messageIDs: [String] { arrival.message.claim.messageID.map { [$0] } ?? [] }

  private func reception(
    _ kind: ReceptionKind, _ facts: TransactionRecord, _ recipients: [String], _ record: ProviderRecord, copies: [String] = [],
    original: Range<Int>? = nil, encoding: String = "7bit"
  ) -> ReceptionRecord {
    ReceptionRecord(
      id: id, instant: arrival.instant, kind: kind, facts: facts, recipients: recipients, copyRecipients: copies,
      provider: record.providerName, fingerprint: arrival.message.signature?.fingerprint ?? "", original: original,
      originalEncoding: encoding)
  }

  /// The reception of a receipt or notice: the facts are those of the original that it is about.
  func notice(_ kind: ReceptionKind, _ data: CertificationData, _ record: ProviderRecord) -> ReceptionRecord {
    let facts = TransactionFacts(data, outer: arrival.message.facts.header, bytes: arrival.message.facts.totalBytes)
    return reception(kind, TransactionRecord(facts, accepted: true), judgement.recipients, record)
  }

  private func event(
    _ kind: EventKind, _ reception: ReceptionRecord, made: [String], about data: CertificationData? = nil
  ) -> EventRecord {
    var event = reception.facts.event(kind, at: arrival.instant, by: reception.provider, made: made)
    var words = judgement.remarks
    if let data {
      event.recipient = data.delivery ?? data.receptions.first
      event.error = data.error.rawValue
      words = [data.type.rawValue, data.extendedError ?? ""] + words
    }
    // The scanner's word stands in the row that says what arrived, once.
    if kind.isArrival { words.append(note) }
    words.removeAll(where: \.isEmpty)
    if !words.isEmpty { event.detail = words.joined(separator: "; ") }
    return event
  }

  /// Facts of a message that certifies nothing: what its header says, for the log.
  func uncertified(id: String, recipients: [String]) -> TransactionRecord {
    let facts = TransactionFacts(
      Submission(reversePath: arrival.message.reversePath, forwardPaths: recipients, facts: arrival.message.facts), pecID: id,
      instant: arrival.instant, directory: arrival.directory, limits: point.limits.message)
    return TransactionRecord(facts, accepted: true)
  }

  /// A draft with the entries that carry it.
  func made(_ draft: Draft, _ matter: Matter, hasEightBit: Bool) -> Made {
    let groups = point.routing.grouped(draft.recipients, atMost: point.limits.delivery.recipientsPerTransaction)
    return Made(
      draft: draft,
      entries: groups.enumerated().map { index, group in
        var entry = QueueEntry(
          draft, part: index, to: group, of: matter.transaction.pecID, reception: matter.reception?.id, at: arrival.instant,
          hasEightBit: hasEightBit)
        // An inherited Message-ID is the sender's own and may come twice.
        if draft.kind == .anomaly, let reception = matter.reception { entry.id = QueueEntry.identifier(of: reception.id, part: index) }
        return entry
      }, matter: matter)
  }

  /// The message as it came, under our trace line.
  mutating func pass(
    _ kind: MessageKind, messageID: String, to recipients: [String], _ reception: ReceptionRecord, under lines: [UInt8] = []
  ) {
    let facts = arrival.message.facts
    let groups = point.routing.grouped(recipients, atMost: point.limits.delivery.recipientsPerTransaction)
    let already = messages.reduce(0) { $0 + $1.entries.count }
    let entries = groups.enumerated().map { index, group in
      let part = already + index
      return QueueEntry(
        // The reception's id, not the message's own, which a sender may give twice.
        id: QueueEntry.identifier(of: reception.id, part: part), pecID: reception.facts.pecID, messageID: messageID, kind: kind,
        sender: arrival.message.reversePath, recipients: group.addresses, route: group.route, content: [],
        createdAt: arrival.instant.unixSeconds, dueAt: arrival.instant.unixSeconds, reception: reception.id,
        hasEightBit: facts.hasEightBit,
        // Always: the mailboxes may have moved to a server that proves by reports when the entry is sent.
        proofToken: kind == .envelope && group.route == .mailbox ? "\(arrival.random.secretToken)\(part)" : nil)
    }
    messages.append(
      OutgoingMessage(
        content: [.composed(trace + lines), .original(0..<facts.totalBytes)], entries: entries, matter: Matter(reception)))
  }
}
