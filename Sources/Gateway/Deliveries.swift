import Journey
import Octets
import PEC

/// The queue of one lane: entries that wait, are due, or are under way; one attempt for each entry at a time.
///
/// Entries were made durable before they come here; what happens to them becomes durable by their `DeliveryJourney` before anybody
/// forgets them. A crash at any moment leaves the entry in the ledger, and the next start tries it again.
final class Deliveries {
  private unowned let lane: Lane
  private var waiting: [String: PendingDelivery] = [:]
  private var due = DueHeap()
  private var underway: [String: PendingDelivery] = [:]
  /// Fates that were heard and could not be made durable yet: they are told again, the message is not sent again.
  private var unrecorded: [String: [RecipientFate]] = [:]
  private var relays: [String: RelayPool] = [:]
  private var draining = false
  private var stopped = false

  init(lane: Lane) { self.lane = lane }

  /// Entries of this lane, waiting and under way.
  var count: Int { waiting.count + underway.count }

  /// True when no attempt is under way.
  var isResting: Bool { underway.isEmpty }

  /// Begins no more attempts; those under way may finish. What waits is in the ledger, for the next start.
  func drain() { draining = true }

  /// Takes entries that are durable.
  func dispatch(_ pending: [PendingDelivery]) {
    if draining { return }
    let now = lane.shared.now().unixSeconds
    for delivery in pending {
      if delivery.entry.dueAt <= now { attempt(delivery) } else { wait(delivery) }
    }
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
    for pool in relays.values { pool.close() }
    relays = [:]
  }

  private func wait(_ delivery: PendingDelivery) {
    waiting[delivery.entry.id] = delivery
    due.insert(delivery.entry.id, at: delivery.entry.dueAt)
  }

  private func attempt(_ delivery: PendingDelivery) {
    guard !stopped else { return }
    if lane.shared.committer.brokenBecause != nil {
      // Nothing can be settled, so nothing is sent: a delivery that cannot be remembered would be made again and again.
      return hold(delivery)
    }
    if let fates = unrecorded.removeValue(forKey: delivery.entry.id) {
      underway[delivery.entry.id] = delivery
      return attempted(delivery.entry.id, fates)
    }
    let content: [Chunk]
    do { content = try delivery.entry.content.map { try lane.shared.spool.chunk($0) } } catch {
      lane.shared.logger.critical("a queued message cannot be read", metadata: ["entry": "\(delivery.entry.id)", "error": "\(error)"])
      // It counts as an attempt, so that the sender has a final word after 24 hours (RFC 6109 §2.2.2).
      underway[delivery.entry.id] = delivery
      let reason = "the stored message cannot be read: \(error)"
      return attempted(delivery.entry.id, delivery.entry.recipients.map { RecipientFate(recipient: $0, outcome: .later(reason)) })
    }
    underway[delivery.entry.id] = delivery
    switch delivery.entry.route {
    case .mailbox:
      if let pool = pool(named: SharedState.lmtpRoute) { pool.enqueue(job(delivery, content)) } else { store(delivery, content) }
    case .relay(let name):
      if let pool = pool(named: name) ?? reroutedPool(delivery.entry) {
        pool.enqueue(job(delivery, content))
      } else {
        let fates = delivery.entry.recipients.map {
          RecipientFate(recipient: $0, outcome: .later("the configuration has no route '\(name)'"))
        }
        attempted(delivery.entry.id, fates)
      }
    }
  }

  private func hold(_ delivery: PendingDelivery) {
    var later = delivery
    later.entry.dueAt = lane.shared.now().unixSeconds + Int64(lane.shared.limits.delivery.firstRetrySeconds)
    wait(later)
  }

  // MARK: Ways out

  private func pool(named name: String) -> RelayPool? {
    if let pool = relays[name] { return pool }
    guard let hop = lane.shared.nextHops[name] else { return nil }
    let pool = RelayPool(lane: lane, hop: hop)
    relays[name] = pool
    return pool
  }

  /// The way of an entry whose route an operator has since taken out of the configuration.
  private func reroutedPool(_ entry: QueueEntry) -> RelayPool? {
    guard let first = entry.recipients.first, case .relay(let name) = lane.shared.accessPoint.routing.route(for: first) else { return nil }
    return pool(named: name)
  }

  private func job(_ delivery: PendingDelivery, _ content: [Chunk]) -> RelayJob {
    RelayJob(sender: delivery.entry.sender, recipients: delivery.entry.recipients, content: content, bytes: delivery.entry.bytes) {
      [weak self] fates in self?.attempted(delivery.entry.id, fates)
    }
  }

  /// Into a mailbox of our own, by the mailbox thread.
  private func store(_ delivery: PendingDelivery, _ content: [Chunk]) {
    let entry = delivery.entry
    let address = lane.returnAddress { [weak self] completion in
      switch completion {
      case .mailbox(let fates): self?.attempted(entry.id, fates)
      case .failed(let reason):
        self?.attempted(entry.id, entry.recipients.map { RecipientFate(recipient: $0, outcome: .later(reason)) })
      case .authentication, .stored, .signature, .committed: preconditionFailure("a mailbox's answer of another kind")
      }
    }
    lane.shared.mailboxes?.deliver(
      MailboxJob(
        recipients: entry.recipients, sender: entry.sender, uniqueName: entry.messageID, content: content,
        // What was tried before may have been stored without our remembering it: then the mailbox is looked at first.
        mayBeThere: entry.attempts > 0 || delivery.recovered, address: address))
  }

  /// An attempt is over: its journey says what is settled and what follows.
  private func attempted(_ id: String, _ fates: [RecipientFate]) {
    // An attempt that was cut off by the end of the process is no attempt: the entry stays as it is, due.
    guard !stopped, let delivery = underway[id] else { return }
    let run = DeliveryRun(lane: lane, delivery: delivery) { [weak self] entry in
      self?.finished(delivery, entry, fates)
    }
    run.start(fates)
  }

  private func finished(_ delivery: PendingDelivery, _ entry: QueueEntry, _ fates: [RecipientFate]) {
    underway[entry.id] = nil
    defer { lane.checkDrained() }
    if entry.recipients.isEmpty {
      lane.shared.counters.delivered.add(1, ordering: .relaxed)
      lane.shared.committer.perform(.release(delivery.entry.content))
      return
    }
    // The entry as it was: signing or the commit failed, nothing of this attempt is durable.
    if entry.attempts == delivery.entry.attempts, fates.contains(where: \.isFinal) { unrecorded[entry.id] = fates }
    wait(PendingDelivery(entry: entry, transaction: delivery.transaction, recovered: true))
  }

  // MARK: The operator

  /// Performs an operator's word on the entries of this lane and says how many it met.
  func operate(_ operation: QueueOperation, _ reply: ControlReply) {
    var met: [String] = []
    switch operation {
    case .retry(let id):
      for key in waiting.keys.sorted() where id == nil || key == id {
        waiting[key]?.entry.dueAt = 0
        due.insert(key, at: 0)
        met.append(key)
      }
      tick()
    case .drop(let id):
      if let delivery = waiting.removeValue(forKey: id) {
        met.append(id)
        underway[id] = delivery
        // What a next hop has said already goes before the operator's word.
        let heard = (unrecorded.removeValue(forKey: id) ?? []).filter(\.isFinal)
        let removed = RecipientFate.Outcome.failed(.removed, text: "removed from the queue by the operator")
        attempted(
          id,
          delivery.entry.recipients.map { recipient in
            heard.first { $0.recipient == recipient } ?? RecipientFate(recipient: recipient, outcome: removed)
          })
      }
    }
    reply.add(met)
  }
}

/// Entries by due time: a binary heap with stale items allowed.
struct DueHeap {
  private var items: [(at: Int64, id: String)] = []

  mutating func insert(_ id: String, at: Int64) {
    items.append((at, id))
    var child = items.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      if items[parent].at <= items[child].at { break }
      items.swapAt(parent, child)
      child = parent
    }
  }

  /// The next item whose time has come, or nil.
  mutating func popDue(at now: Int64) -> String? {
    guard let first = items.first, first.at <= now else { return nil }
    let last = items.removeLast()
    if items.isEmpty { return first.id }
    items[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < items.count && items[child].at < items[least].at { least = child }
      if least == parent { break }
      items.swapAt(parent, least)
      parent = least
    }
    return first.id
  }
}
