import Journey
import PEC

/// What an operator says of the entries of a lane.
extension Deliveries {
  /// Does it with the entries that are here, and says of each what became of it. Those under way are given up when their attempt has ended.
  func operate(_ operation: QueueOperation, _ reply: QueueReply) {
    switch operation {
    case .retry(let ids):
      var tally = QueueTally()
      for id in ids {
        if underway[id] != nil {
          tally.underWay.append(id)
        } else if let delivery = waiting[id], !delivery.entry.recipients.isEmpty {
          // Why it is not tried stands where an id would.
          if let hold = holds.hold(on: delivery.entry) { tally.failed.append(hold.scope.words) } else { tally.done.append(id) }
          hurry(id)
        } else if waiting[id] == nil {
          tally.missing.append(id)
        }
      }
      tick()
      reply.add(tally)
    case .retryAll(let scope):
      var tally = QueueTally()
      for (id, delivery) in waiting where !delivery.entry.recipients.isEmpty && scope.covers(delivery.entry) {
        if holds.hold(on: delivery.entry) == nil { tally.done.append(id) }
      }
      for id in tally.done.sorted() { hurry(id) }
      tally.underWay = underWay(scope)
      tick()
      reply.add(tally)
    case .bounce(let ids, let removal): bounce(ids, removal, reply)
    case .underWay(let scope): reply.add(QueueTally(underWay: underWay(scope)))
    }
  }

  private func underWay(_ scope: QueueScope) -> [String] {
    underway.values.filter { scope.covers($0.entry) }.map(\.entry.id)
  }

  func hurry(_ id: String) {
    waiting[id]?.entry.dueAt = 0
    due.insert(id, at: 0)
  }

  // MARK: Giving up

  private func bounce(_ ids: [String], _ removal: QueueRemoval, _ reply: QueueReply) {
    var tally = QueueTally()
    var begun: [PendingDelivery] = []
    for id in ids {
      if let delivery = waiting.removeValue(forKey: id) {
        if let heard = unrecorded.removeValue(forKey: id) {
          // What a next hop has said already goes before the operator's word.
          underway[id] = delivery
          asked[id] = removal
          tally.underWay.append(id)
          attempted(id, heard)
        } else {
          begun.append(delivery)
        }
      } else if underway[id] != nil {
        asked[id] = removal
        tally.underWay.append(id)
      } else {
        tally.missing.append(id)
      }
    }
    if begun.isEmpty { return reply.add(tally) }
    let all = begun.map(\.entry.id)
    let each = ControlReply(lanes: begun.count) { [tally] met in
      var tally = tally
      let done = Set(met)
      tally.done = all.filter { done.contains($0) }
      tally.failed = all.filter { !done.contains($0) }
      reply.add(tally)
    }
    for delivery in begun { giveUp(delivery, removal, each) }
  }

  /// Gives an entry up for the recipients that the scope is about: no attempt, and for the others everything stays as it is.
  func giveUp(_ delivery: PendingDelivery, _ removal: QueueRemoval, _ reply: ControlReply? = nil) {
    let id = delivery.entry.id
    let named = removal.scope.recipients(of: delivery.entry)
    if named.isEmpty {
      wait(delivery)
      reply?.add([id])
      return
    }
    underway[id] = delivery
    let removed = RecipientFate.Outcome.failed(.removed, text: "removed from the queue by \(removal.person)")
    attempted(id, named.map { RecipientFate(recipient: $0, outcome: removed) }, isReport: true, reply)
  }

  // MARK: Holding

  /// What is held by now. Attempts that have begun go on; those in line for a connection are taken back, and connections that nothing more
  /// goes over are ended.
  func hold(_ holds: QueueHolds) {
    self.holds = holds
    if holds.open.isEmpty { return }
    for (name, pool) in relays {
      pool.recall()
      let route: Route = name == SharedState.mailboxRoute ? .mailbox : .relay(name)
      if holds.hold(of: .all) != nil || holds.hold(of: .route(route)) != nil { pool.retire() }
    }
  }

  /// The attempt for an entry was taken back before it began.
  func recalled(_ id: String) {
    guard let delivery = underway[id] else { return }
    leftOut[id] = nil
    if let report = nextEarly(id) { return attempted(id, report.fates, isReport: true, report.reply) }
    underway[id] = nil
    attempt(delivery)
    lane.checkDrained()
  }

  /// Leaves an entry to the ledger, as it stands there: a release has all that is due read again.
  func setAside(_ delivery: PendingDelivery) {
    var entry = delivery.entry
    entry.dueAt = delivery.storedDueAt
    forget(entry)
  }
}
