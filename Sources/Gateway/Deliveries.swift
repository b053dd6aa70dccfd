import Journey
import Octets
import PEC
import Reception

/// What one lane has of the queue: entries that are due soon or under way; one attempt for each entry at a time.
///
/// Entries were made durable before they come here; what happens to them becomes durable by their `DeliveryJourney` before anybody
/// forgets them. A crash at any moment leaves the entry in the ledger, and the next start tries it again. What is not due for long is
/// left to the ledger too, and the pager brings it when it is (`QueuePager`).
final class Deliveries {
  unowned let lane: Lane
  var waiting: [String: PendingDelivery] = [:]
  var due = DueHeap()
  var underway: [String: PendingDelivery] = [:]
  /// Fates that were heard and could not be made durable yet: they are told again, the message is not sent again.
  var unrecorded: [String: [RecipientFate]] = [:]
  /// Fates of recipients that the attempt under way leaves out, since their mailboxes have no room: told with those of the others.
  var leftOut: [String: [RecipientFate]] = [:]
  /// Entries whose delivery a report may have to prove, by the token that it must name.
  private var tokens: [String: String] = [:]
  /// Reports that came while their entry was under way.
  private var early: [String: [Report]] = [:]
  var relays: [String: RelayPool] = [:]
  private let exchange: ExchangeRelays?
  /// Those of earlier settings, until their last message is out.
  private var retired: [RelayPool] = []
  /// Entries of up to this time (Unix seconds) are kept: the pager has been there.
  private var bound = Int64.min
  /// Entries that left while a page is being read; nil when none is.
  private var left: Set<String>?
  /// Entries that this lane has at the most, unless they are under way.
  private let capacity: Int
  /// What the operator holds: nothing of it is attempted.
  var holds: QueueHolds
  /// Entries under way that the operator gives up when their attempt has ended, and what of them.
  var asked: [String: QueueRemoval] = [:]
  private var draining = false
  private(set) var stopped = false
  /// What a mailbox may have already without our knowing it.
  var doubts: HandOverDoubts

  /// What a delivery report said about an entry, and whom to tell when it is durable.
  struct Report {
    var fates: [RecipientFate]
    var reply: ControlReply
  }

  /// What a report's teller hears when an entry was there and could not be settled.
  static let unsettled = ":unsettled"

  init(lane: Lane) {
    self.lane = lane
    exchange = lane.shared.planner.map { ExchangeRelays(lane: lane, planner: $0) }
    holds = lane.shared.holdsAtStart
    doubts = lane.shared.doubtsAtStart
    capacity = max(1, lane.shared.limits.delivery.activeEntries / max(1, lane.shared.laneCount))
  }

  /// Entries of this lane, waiting and under way.
  var count: Int { waiting.count + underway.count }

  /// True when no attempt is under way.
  var isResting: Bool { underway.isEmpty }

  /// Begins no more attempts; those under way may finish. What waits is in the ledger, for the next start.
  func drain() { draining = true }

  /// The settings have changed: the next attempts take the ways that hold now. What is on its way goes on as it began.
  func settle() {
    exchange?.settle()
    let old = relays
    relays = [:]
    retired.removeAll { $0.isResting }
    for (name, pool) in old {
      retired.append(pool)
      for job in pool.giveAway() {
        if let next = self.pool(named: name) {
          next.enqueue(job)
        } else {
          job.postpone("the configuration has no route '\(name)' any more")
        }
      }
    }
  }

  /// Takes entries that are durable.
  func dispatch(_ pending: [PendingDelivery]) {
    if draining { return }
    let now = lane.shared.now().unixSeconds
    // What a page has brought already is not taken twice.
    for delivery in pending where waiting[delivery.entry.id] == nil && underway[delivery.entry.id] == nil {
      if delivery.entry.dueAt > now || count >= capacity { wait(delivery) } else { attempt(delivery) }
    }
  }

  /// A page of the queue is about to be read, up to a time (Unix seconds; nil: one entry). For how many entries there is room.
  func expectPage(upTo time: Int64?) -> Int {
    if let time { bound = max(bound, time) }
    left = []
    return draining || stopped ? 0 : max(0, capacity - count)
  }

  /// Takes of a page what is not here and has not left since the page was announced: what it says of the rest is out of date.
  func take(_ share: QueueShare) {
    let gone = left ?? []
    left = nil
    if draining || stopped { return }
    let now = lane.shared.now().unixSeconds
    for var delivery in share.entries {
      let id = delivery.entry.id
      guard underway[id] == nil, !gone.contains(id) else { continue }
      if waiting[id] != nil {
        if share.isHurried { hurry(id) }
        continue
      }
      // Reports that waited for us while we were down come before the last word.
      if delivery.entry.recipients.isEmpty { delivery.entry.dueAt = max(delivery.entry.dueAt, lane.shared.startedAt + 3600) }
      if share.isHurried { delivery.entry.dueAt = min(delivery.entry.dueAt, now) }
      if share.isAsked {
        keep(delivery)
      } else if delivery.entry.dueAt <= now {
        attempt(delivery)
      } else {
        wait(delivery)
      }
    }
    if share.isHurried { tick() }
  }

  /// Once a second: tries what is due.
  func tick() {
    guard !stopped, !draining else { return }
    let now = lane.shared.now().unixSeconds
    while let id = due.popDue(at: now) {
      // An entry may stand in the heap more than once when an operator hurried it; only the waiting one counts.
      guard let delivery = waiting[id], delivery.entry.dueAt <= now else { continue }
      waiting[id] = nil
      attempt(delivery)
    }
  }

  func stop() {
    stopped = true
    // What was heard and is not recorded is forgotten now, like what was not heard.
    if doubts.isOpen || !underway.isEmpty || !unrecorded.isEmpty { lane.shared.endsInDoubt() }
    for pool in retired + relays.values { pool.close() }
    retired = []
    relays = [:]
    exchange?.close()
  }

  /// Keeps an entry until it is due, or leaves it to the ledger, which knows all about it.
  func wait(_ delivery: PendingDelivery) {
    let entry = delivery.entry
    guard entry.dueAt == delivery.storedDueAt, unrecorded[entry.id] == nil else { return keep(delivery) }
    if entry.dueAt <= bound {
      // While others wait for room, who was tried stands in line again.
      if count < capacity, !lane.shared.queueHasMore { return keep(delivery) }
      lane.shared.missed(dueAt: entry.dueAt)
    }
    forget(entry)
  }

  func keep(_ delivery: PendingDelivery) {
    waiting[delivery.entry.id] = delivery
    if let token = delivery.entry.proofToken { tokens[token] = delivery.entry.id }
    due.insert(delivery.entry.id, at: delivery.entry.dueAt)
  }

  /// An entry is no longer of this lane's business: it is settled, or the ledger has it for later.
  func forget(_ entry: QueueEntry) {
    if let token = entry.proofToken { tokens[token] = nil }
    left?.insert(entry.id)
    if count <= capacity / 2 { lane.shared.roomInQueue() }
  }

  func attempt(_ delivery: PendingDelivery) {
    guard !stopped else { return }
    if lane.shared.committer.brokenBecause != nil {
      // Nothing can be settled, so nothing is sent: a delivery that cannot be remembered would be made again and again.
      return hold(delivery)
    }
    // Receipts and notices about it would bear a time that nobody can vouch for.
    if lane.shared.clock.distrust != nil { return hold(delivery) }
    if let fates = unrecorded.removeValue(forKey: delivery.entry.id) {
      underway[delivery.entry.id] = delivery
      return attempted(delivery.entry.id, fates)
    }
    if let removal = asked.removeValue(forKey: delivery.entry.id) { return giveUp(delivery, removal) }
    let byNow = reroute(delivery.entry)
    if holds.hold(on: delivery.entry, by: byNow) != nil { return setAside(delivery) }
    underway[delivery.entry.id] = delivery
    if let token = delivery.entry.proofToken { tokens[token] = delivery.entry.id }
    let now = lane.shared.now().unixSeconds
    let end = delivery.entry.createdAt + Int64(lane.shared.limits.delivery.giveUpSeconds) + holds.heldSeconds(delivery.entry, until: now)
    if delivery.entry.recipients.isEmpty, now < end {
      underway[delivery.entry.id] = nil
      var later = delivery
      later.entry.dueAt = end
      return wait(later)
    }
    if delivery.entry.recipients.isEmpty {
      // Its time is over, and of those that it still waits for nothing was heard.
      let hours = lane.shared.limits.delivery.giveUpSeconds / 3600
      let unproven = RecipientFate.Outcome.failed(.unproven(hours: hours), text: "no delivery report within \(hours) hours")
      return attempted(delivery.entry.id, delivery.entry.awaiting.map { RecipientFate(recipient: $0, outcome: unproven) }, isReport: true)
    }
    let strangers = closedMailboxes(delivery)
    // No attempt was made: the others stay due, and theirs is the next one.
    if !strangers.isEmpty { return attempted(delivery.entry.id, strangers, isReport: true) }
    askRoom(delivery, for: holds.free(of: delivery.entry, by: byNow))
  }

  /// Makes the attempt for these of the recipients: the others are held, or left out.
  /// - Parameter full: those whose mailboxes have no room, and that an earlier attempt may have reached all the same.
  func send(_ delivery: PendingDelivery, to recipients: [String], full: [RecipientFate] = []) {
    let later = { (reason: String) in recipients.map { RecipientFate(recipient: $0, outcome: .later(reason)) } }
    let content: [Chunk]
    do { content = try delivery.entry.content.map { try lane.shared.spool.chunk($0) } } catch {
      lane.shared.logger.critical("a queued message cannot be read", metadata: ["entry": "\(delivery.entry.id)", "error": "\(error)"])
      // It counts as an attempt, so that the sender has a final word after 24 hours (RFC 6109 §2.2.2).
      return attempted(delivery.entry.id, later("the stored message cannot be read: \(error)"))
    }
    switch delivery.entry.route {
    case .mailbox:
      if let pool = pool(named: SharedState.mailboxRoute) {
        handOver(delivery, recipients, content, by: pool)
      } else {
        store(delivery, recipients, content, full)
      }
    case .relay(let name):
      if let pool = pool(named: name) {
        pool.enqueue(job(delivery, recipients, content))
      } else if let route = exchangeRoute(of: delivery.entry, named: name), let exchange {
        exchange.deliver(
          to: recipients, by: route, job: { self.job(delivery, $0, content, recalled: {}, then: $1) },
          then: { [weak self] fates in self?.attempted(delivery.entry.id, fates) })
      } else if let pool = reroutedPool(delivery.entry) {
        pool.enqueue(job(delivery, recipients, content))
      } else {
        attempted(delivery.entry.id, later("the configuration has no route '\(name)'"))
      }
    }
  }

  /// The service mailbox takes take-charge receipts and virus detection notices only (RFC 6109 §2.2.5), and what another provider meant
  /// to be one in its anomaly envelope, which must be delivered (§2.2.2). Nobody has the service address as his mailbox. For anything
  /// else there is no such mailbox.
  private func closedMailboxes(_ delivery: PendingDelivery) -> [RecipientFate] {
    guard delivery.entry.route == .mailbox else { return [] }
    let points = lane.shared.points
    let received = delivery.matter.reception?.kind
    let isForService =
      switch delivery.entry.kind {
      case .takeCharge, .virusDetection: true
      case .anomaly: received == .anomaly
      default: received == .serviceNotice
      }
    return delivery.entry.recipients.compactMap { recipient in
      let isService = ASCII.equal(recipient, points.serviceMailbox)
      let isClosed = isService ? !isForService : ASCII.equal(recipient, points.provider.serviceAddress)
      return isClosed ? RecipientFate(recipient: recipient, outcome: .failed(.noMailbox, text: "nobody's mailbox")) : nil
    }
  }

  private func hold(_ delivery: PendingDelivery) {
    var later = delivery
    later.entry.dueAt = lane.shared.now().unixSeconds + Int64(lane.shared.limits.delivery.firstRetrySeconds)
    wait(later)
  }

  // MARK: Ways out

  func pool(named name: String) -> RelayPool? {
    if let pool = relays[name] { return pool }
    guard let hop = lane.shared.nextHops[name] else { return nil }
    let pool = RelayPool(lane: lane, hop: hop)
    relays[name] = pool
    return pool
  }

  /// The way of an entry whose route an operator has since taken out of the configuration.
  private func reroutedPool(_ entry: QueueEntry) -> RelayPool? {
    guard case .relay(let name) = reroute(entry) else { return nil }
    return pool(named: name)
  }

  /// The route to mail exchangers of that name, or, when an operator has since taken it out of the configuration, the recipients' own.
  private func exchangeRoute(of entry: QueueEntry, named name: String) -> ExchangeRoute? {
    if let route = lane.shared.exchangeRoutes[name] { return route }
    guard case .relay(let other) = reroute(entry) else { return nil }
    return lane.shared.exchangeRoutes[other]
  }

  /// Where an entry goes whose own route is in the configuration no more; nil where it is.
  private func reroute(_ entry: QueueEntry) -> Route? {
    guard case .relay(let name) = entry.route, lane.shared.nextHops[name] == nil, lane.shared.exchangeRoutes[name] == nil,
      let first = entry.recipients.first
    else { return nil }
    return lane.shared.points.routing.route(for: first)
  }

  func job(_ delivery: PendingDelivery, _ recipients: [String], _ content: [Chunk]) -> RelayJob {
    let id = delivery.entry.id
    return job(
      delivery, recipients, content, recalled: { [weak self] in self?.recalled(id) },
      then: { [weak self] fates in self?.attempted(id, fates) })
  }

  func job(
    _ delivery: PendingDelivery, _ recipients: [String], _ content: [Chunk], recalled: @escaping () -> Void,
    then: @escaping ([RecipientFate]) -> Void
  ) -> RelayJob {
    let entry = delivery.entry
    let points = lane.shared.points
    // As `DeliveryJourney` judges the answer: only a server that proves by reports is asked for them.
    let token = points.provesDeliveryByReport ? entry.proofToken : nil
    // Reports go to the sender of the transaction: that must be us, not the sender of the envelope (`pec-rules` 13.8).
    return RelayJob(
      sender: token == nil ? entry.sender : points.provider.serviceAddress, recipients: recipients, content: content,
      bytes: entry.bytes, hasEightBit: entry.hasEightBit, envelopeID: token, recalled: recalled
    ) { [weak self] fates, relay in
      self?.underway[entry.id]?.relay = relay
      then(fates)
    }
  }

  /// Into a mailbox of our own, by the mailbox thread.
  private func store(_ delivery: PendingDelivery, _ recipients: [String], _ content: [Chunk], _ full: [RecipientFate]) {
    let entry = delivery.entry
    let address = lane.returnAddress { [weak self] completion in
      switch completion {
      case .mailbox(let fates): self?.attempted(entry.id, fates)
      case .failed(let reason):
        self?.attempted(entry.id, recipients.map { RecipientFate(recipient: $0, outcome: .later(reason)) })
      default: preconditionFailure("a mailbox's answer of another kind")
      }
    }
    lane.shared.mailboxes?.deliver(
      MailboxJob(
        recipients: recipients, sender: entry.sender, uniqueName: entry.reception == nil ? entry.messageID : entry.id,
        content: content,
        // What was tried before may have been stored without our remembering it: then the mailbox is looked at first.
        mayBeThere: delivery.mayHaveArrived, full: full, address: address))
  }

  /// An attempt is over, or a report has come: the journey says what is settled and what follows.
  func attempted(_ id: String, _ fates: [RecipientFate], isReport: Bool = false, _ reply: ControlReply? = nil) {
    // An attempt that was cut off by the end of the process is no attempt: the entry stays as it is, due.
    guard !stopped, let delivery = underway[id] else {
      reply?.add([Deliveries.unsettled])
      return
    }
    // What a mailbox's server said; what a quota service said, or a report says, is of nobody in doubt.
    if delivery.entry.route == .mailbox { noteDoubts(id, fates) }
    // What a report says is about an attempt of before.
    let fates = inDoubt(delivery.entry, isReport ? fates : fates + (leftOut.removeValue(forKey: id) ?? []))
    doubtWhatWasPutOff(id, fates)
    // Receipts and rows of now would bear a time that cannot be believed: what was heard is kept until it can.
    if lane.shared.clock.distrust != nil, fates.contains(where: \.isFinal) {
      underway[id] = nil
      defer { lane.checkDrained() }
      if !isReport { unrecorded[id] = fates }
      reply?.add([Deliveries.unsettled])
      for report in early.removeValue(forKey: id) ?? [] { report.reply.add([Deliveries.unsettled]) }
      return hold(delivery)
    }
    let run = DeliveryRun(lane: lane, delivery: delivery) { [weak self] entry in
      self?.finished(delivery, entry, fates, isReport: isReport, reply)
    }
    run.start(fates, isReport: isReport)
  }

  private func finished(
    _ delivery: PendingDelivery, _ entry: QueueEntry, _ fates: [RecipientFate], isReport: Bool, _ reply: ControlReply?
  ) {
    underway[entry.id] = nil
    defer { lane.checkDrained() }
    let before = delivery.entry
    let isDurable = entry.recipients != before.recipients || entry.awaiting != before.awaiting || entry.attempts != before.attempts
    doubts.remain(entry.recipients, of: entry.id)
    reply?.add([isDurable ? entry.id : Deliveries.unsettled])
    if entry.recipients.isEmpty, entry.awaiting.isEmpty {
      lane.shared.counters.delivered.add(1, ordering: .relaxed)
      forget(entry)
      (asked[entry.id], unrecorded[entry.id]) = (nil, nil)
      for report in early.removeValue(forKey: entry.id) ?? [] { report.reply.add([entry.id]) }
      lane.shared.committer.perform(.release(before.content))
      return
    }
    // The entry as it was: signing or the commit failed, nothing of this attempt is durable.
    if !isDurable, !isReport, fates.contains(where: \.isFinal) { unrecorded[entry.id] = fates }
    var next = PendingDelivery(entry: entry, matter: delivery.matter, recovered: true)
    if !isDurable { next.storedDueAt = delivery.storedDueAt }
    if isDurable, let report = nextEarly(entry.id) {
      underway[entry.id] = next
      return attempted(entry.id, report.fates, isReport: true, report.reply)
    }
    for report in early.removeValue(forKey: entry.id) ?? [] { report.reply.add([Deliveries.unsettled]) }
    // What was heard and could not be made durable is told before the operator's word.
    if isDurable, let removal = asked.removeValue(forKey: entry.id) { return giveUp(next, removal) }
    wait(next)
  }

  // MARK: Delivery reports

  /// Notes what the mailboxes' server reports (RFC 3464), if the entry is one of this lane's. Only "delivered" proves delivery, and only
  /// "failed" its failure: "relayed", "expanded" and "delayed" leave the question open.
  func note(_ report: ReceivedDeliveryReport, _ reply: ControlReply) {
    guard let token = report.envelopeID, let id = tokens[token], let delivery = waiting[id] ?? underway[id] else { return reply.add([]) }
    let known = delivery.entry.recipients + delivery.entry.awaiting
    // An alias brings several lines for one recipient: it is there when one of them says so.
    let lines = report.recipients.filter { $0.action == .delivered } + report.recipients.filter { $0.action != .delivered }
    let opens = report.recipients.filter { $0.action == .relayed || $0.action == .expanded || $0.action == .delayed }.compactMap(\.original)
    let fates = lines.compactMap { line -> RecipientFate? in
      let named = [line.original, line.final].compactMap { $0 }
      guard let recipient = known.first(where: { address in named.contains { ASCII.equal($0, address) } }) else { return nil }
      let words = [line.status, line.diagnostic ?? ""].filter { !$0.isEmpty }.joined(separator: " ")
      switch line.action {
      case .delivered: return RecipientFate(recipient: recipient, outcome: .delivered("delivery report: \(words)"))
      case .failed where opens.contains(where: { ASCII.equal($0, recipient) }): return nil
      case .failed:
        // A report says "failed" of what it tried for too long as well, with the status of the last try.
        let status = line.status.hasPrefix("4.") ? "5" + line.status.dropFirst() : line.status
        let cause = DeliveryFailure.refused(code: 554, enhanced: status, text: line.diagnostic ?? "")
        return RecipientFate(recipient: recipient, outcome: .failed(cause, text: "delivery report: \(words)"))
      case .delayed, .relayed, .expanded:
        lane.shared.logger.notice("a delivery report proves nothing", metadata: ["entry": "\(id)", "action": "\(line.action.rawValue)"])
        return nil
      }
    }
    if fates.isEmpty {
      if let delivery = waiting.removeValue(forKey: id) { wait(delivery) }
      return reply.add([id])
    }
    // What was heard of the others still waits to be told.
    unrecorded[id]?.removeAll { heard in fates.contains { ASCII.equal($0.recipient, heard.recipient) } }
    if unrecorded[id]?.isEmpty == true { unrecorded[id] = nil }
    if waiting.removeValue(forKey: id) != nil {
      underway[id] = delivery
      attempted(id, fates, isReport: true, reply)
    } else {
      early[id, default: []].append(Report(fates: fates, reply: reply))
    }
  }

  func nextEarly(_ id: String) -> Report? {
    guard var reports = early[id], !reports.isEmpty else { return nil }
    let first = reports.removeFirst()
    early[id] = reports.isEmpty ? nil : reports
    return first
  }
}
