import EventLoop
import Journey
import Ledger
import Octets
import PEC

/// A page of entries that an operator speaks of.
struct QueuePageRequest: Sendable {
  /// What is to be done with entries of these ids.
  enum Action: Sendable {
    case retry, bounce
  }

  /// Which entries.
  enum Source: Sendable {
    case selection(QueueFilter, after: Int64?, upTo: Int64?)
    /// They left their lane while they were read: those that are still queued are asked for once more.
    case again([String], tries: Int, QueuePageAnswer)
  }

  var action: Action
  var scope: QueueScope
  var source: Source
  var person: Operator

  func operation(_ ids: [String]) -> QueueOperation {
    switch action {
    case .retry: .retry(ids)
    case .bounce: .bounce(ids, QueueRemoval(scope: scope, person: person))
    }
  }
}

/// What became of a page.
struct QueuePageAnswer: Sendable {
  var tally = QueueTally()
  var next: Int64?
  var end: Int64 = 0
}

/// What operators say of the queue: in a lane, under way, or in the ledger alone, an entry hears of it once.
///
/// Entries that are spoken of are brought to their lanes like any page, and the word follows. So a lane decides about them, who knows what
/// is under way; and whatever leaves it in between, it says so and is asked for again. A page is small, and the operator's command asks for
/// the next one when it is durable: nobody who commits waits for more than a page.
extension QueuePager {
  /// Entries of a page: each of their recipients may become a signed notice.
  private static let wordsPageSize = 100
  /// Rows that are looked at for a page.
  private static let wordsPageRows = 20_000
  /// Kinds of messages whose sender is told when they are given up.
  private static let answered: [MessageKind] = [.envelope, .ordinary]

  /// Does what an operator says.
  func perform(_ request: QueueRequest?, by person: Operator, _ answer: @escaping @Sendable (ControlAnswer) -> Void) {
    guard let request, let scope = request.scope else { return answer(ControlAnswer(ok: false, message: "what of the queue is meant?")) }
    switch request.word {
    case .retry:
      if case .entry(let id) = scope { return retry(id, by: person, answer) }
      retryAll(scope, answer)
    case .bounce:
      var filter = QueueFilter(scope)
      if case .entry = scope {} else if request.withReceipts != true { filter.kinds = QueuePager.answered }
      let source = QueuePageRequest.Source.selection(filter, after: request.after, upTo: request.end)
      send(
        .words(QueuePageRequest(action: .bounce, scope: scope, source: source, person: person), then: { answer(ControlAnswer($0)) }), answer
      )
    case .hold, .release, .sendNotices, .dropNotices: send(.hold(request, scope, person, then: answer), answer)
    case .underWay:
      let reply = QueueReply(lanes: inboxes.count) { tally in
        answer(
          ControlAnswer(ok: true, message: "\(tally.underWay.count) under way", queue: QueueAnswer(underWay: tally.underWay.count)))
      }
      for inbox in inboxes { inbox.send(.operate(.underWay(scope), reply)) }
    }
  }

  private func send(_ work: Work, _ answer: @Sendable (ControlAnswer) -> Void) {
    if !arriving.send(work) { answer(ControlAnswer(ok: false, message: "the gateway is stopping")) }
  }

  private func retry(_ id: String, by person: Operator, _ answer: @escaping @Sendable (ControlAnswer) -> Void) {
    let source = QueuePageRequest.Source.selection(QueueFilter(.entry(id)), after: nil, upTo: nil)
    let request = QueuePageRequest(action: .retry, scope: .entry(id), source: source, person: person)
    send(
      .words(
        request,
        then: { result in
          guard case .success(let told) = result else { return answer(ControlAnswer(result)) }
          let tally = told.tally
          let words =
            if let hold = tally.failed.first {
              "entry \(id) is held with \(hold): release that first"
            } else if tally.done.isEmpty {
              tally.underWay.isEmpty ? "no entry \(id) is waiting (it may be done, or wait for reports alone)" : "entry \(id) is under way"
            } else {
              "1 entries"
            }
          answer(ControlAnswer(ok: !tally.done.isEmpty || !tally.underWay.isEmpty, message: words, entries: tally.done))
        }), answer)
  }

  private func retryAll(_ scope: QueueScope, _ answer: @escaping @Sendable (ControlAnswer) -> Void) {
    let reply = QueueReply(lanes: inboxes.count) { [self] tally in
      // What is not due for long no lane has.
      let then: @Sendable (Int) -> Void = { further in
        let count = tally.done.count + further
        answer(ControlAnswer(ok: true, message: "\(count) entries", queue: QueueAnswer(done: count, underWay: tally.underWay.count)))
      }
      if !arriving.send(.hurry(scope, then: then)) { then(0) }
    }
    for inbox in inboxes { inbox.send(.operate(.retryAll(scope), reply)) }
  }

  // MARK: On the pager's thread

  /// Brings the lanes the entries of a page, and then the word about them.
  func bring(_ request: QueuePageRequest, _ then: @escaping @Sendable (Result<QueuePageAnswer, any Error>) -> Void) {
    announce(nil)
    var told = QueuePageAnswer()
    var tries = 3
    var found: [PendingDelivery] = []
    do {
      let entries: [QueueEntry]
      switch request.source {
      case .selection(let filter, let after, let end):
        if let end { told.end = end } else { told.end = try ledger.queueEnd() }
        let selection = try ledger.queueSelection(
          filter, after: after, upTo: told.end, limit: QueuePager.wordsPageSize, looking: QueuePager.wordsPageRows)
        (entries, told.next) = (selection.entries, selection.next)
      case .again(let ids, let left, let before):
        (told, tries) = (before, left)
        var again: [QueueEntry] = []
        for id in ids { if let entry = try ledger.entry(id) { again.append(entry) } }
        entries = again
      }
      found = try pending(entries)
    } catch {
      shared.logger.error("the queue cannot be read: \(error)")
      distribute([])
      return then(.failure(error))
    }
    distribute(found, isAsked: true)
    let reply = QueueReply(lanes: inboxes.count) { [self, told, tries] tally in
      var told = told
      var all = told.tally + tally
      let missing = all.missing
      all.missing = []
      told.tally = all
      if missing.isEmpty || tries == 0 {
        // Still coming and going: it is told as what it is, not done.
        told.tally.failed += tries == 0 ? missing : []
        return then(.success(told))
      }
      var again = request
      again.source = .again(missing, tries: tries - 1, told)
      if !arriving.send(.words(again, then: then)) { then(.success(told)) }
    }
    for (inbox, share) in zip(inboxes, Lane.shares(found, of: inboxes.count)) {
      inbox.send(.operate(request.operation(share.map(\.entry.id)), reply))
    }
  }

  /// Makes a hold, or its end, durable, and then has the lanes know.
  func hold(
    _ request: QueueRequest, _ scope: QueueScope, by person: Operator, _ answer: @escaping @Sendable (ControlAnswer) -> Void
  ) {
    let refuse = { (words: String) in answer(ControlAnswer(ok: false, message: words)) }
    let now = shared.now()
    let decided: (changes: [LedgerChange], words: String)
    do {
      let holds = try ledger.queueHolds()
      switch request.word {
      case .sendNotices, .dropNotices:
        guard let hold = holds.notices else { return refuse("no notices wait: no backup was restored, or it was decided already") }
        decided = notices(of: hold, areSent: request.word == .sendNotices, at: now.unixSeconds)
      case .hold:
        if let fault = try faultOfHold(scope, holds) { return refuse(fault) }
        decided = ([.holdQueue(QueueHold(scope: scope, reason: request.reason ?? "", heldAt: now.unixSeconds))], scope.words)
      case .release, .retry, .bounce, .underWay:
        if let fault = try faultOfRelease(scope, holds) { return refuse(fault) }
        decided = (release(scope, holds, at: now.unixSeconds), scope.words)
      }
    } catch { return refuse("the ledger cannot be read: \(error)") }
    let words = decided.words + (request.reason.map { $0.isEmpty ? "" : ": \($0)" } ?? "")
    let kind: EventKind = request.word == .hold ? .deliveryHeld : .deliveryReleased
    let row = EventRecord(aboutTheLog: kind, "by \(person): \(words)", by: shared.points.provider.name, at: now)
    shared.committer.perform(
      .record(decided.changes + [.event(row)]) { [self] failure in
        if let failure { return answer(ControlAnswer(ok: false, message: failure)) }
        shared.logger.notice("\(request.word == .hold ? "held" : "released") by \(person): \(words)")
        send(.holdsChanged(then: { answer(ControlAnswer(ok: true, message: words)) }), answer)
      })
  }

  private func notices(of hold: QueueHold, areSent: Bool, at now: Int64) -> (changes: [LedgerChange], words: String) {
    areSent
      ? ([.releaseQueue(hold.scope, at: now)], hold.scope.words)
      : ([.dropRestoredDeadlines(at: now)], "\(hold.scope.words): none is made")
  }

  /// What a release changes. A part of what was restored is released by a hold that began with the other's and has ended.
  private func release(_ scope: QueueScope, _ holds: QueueHolds, at now: Int64) -> [LedgerChange] {
    if scope == .all { return [.releaseWholeQueue(at: now)] }
    var changes: [LedgerChange] = []
    if holds.hold(of: scope) != nil { changes.append(.releaseQueue(scope, at: now)) }
    if let restored = holds.restored, scope != restored.scope, !holds.isFree(scope, of: restored) {
      changes.append(.holdQueue(QueueHold(scope: scope, reason: "restored", heldAt: restored.heldAt, releasedAt: now)))
    }
    return changes
  }

  private func faultOfHold(_ scope: QueueScope, _ holds: QueueHolds) throws(LedgerError) -> String? {
    if holds.hold(of: scope) != nil { return "\(scope.words) is held already" }
    if holds.count >= shared.limits.delivery.queueHolds {
      return "there are \(holds.count) holds already: release some, or hold their route or domain at once"
    }
    switch scope {
    case .entry(let id): return try ledger.entry(id) == nil ? "no entry \(id) is in the queue" : nil
    case .route(.relay(let name)):
      // Entries may have a route that the configuration has no more.
      let known = shared.measures.routes
      if known.contains("relay:\(name)") { return nil }
      if try ledger.queueHasRoute(.relay(name)) { return nil }
      let names = known.compactMap { $0.hasPrefix("relay:") ? String($0.dropFirst(6)) : nil }
      return "the configuration has no route '\(name)'; it has mailbox, \(names.joined(separator: ", "))"
    case .all, .route(.mailbox), .domain: return nil
    case .restored, .notices: return "what was restored is held by the restore alone"
    }
  }

  private func faultOfRelease(_ scope: QueueScope, _ holds: QueueHolds) throws(LedgerError) -> String? {
    if scope == .all {
      if holds.open.contains(where: { $0.scope != holds.notices?.scope }) { return nil }
      return "nothing is held"
        + (holds.notices == nil ? "" : "; notices of silence wait for a word of their own, `ceralacca queue notices`")
    }
    if holds.hold(of: scope) != nil { return nil }
    let limit = shared.limits.delivery.queueHolds
    if case .entry(let id) = scope {
      guard let entry = try ledger.entry(id) else { return "no entry \(id) is in the queue" }
      if let restored = holds.restored, restored.scope.covers(entry), holds.hold(on: entry)?.scope == restored.scope {
        return holds.count < limit ? nil : "so many parts were released already that the rest goes by domain, or at once"
      }
      if let hold = holds.hold(on: entry) { return "entry \(id) is held with \(hold.scope.words): release that" }
    }
    if let restored = holds.restored, !holds.isFree(scope, of: restored), holds.count < limit {
      var part = QueueFilter(scope, restored.scope)
      part.isHeld = true
      if try !ledger.queueSelection(part, limit: 1).entries.isEmpty { return nil }
    }
    let open = holds.open.prefix(10).map(\.scope.words).joined(separator: ", ")
    return "\(scope.words) is not held\(open.isEmpty ? "" : "; held is \(open)")"
  }

  /// Tells the lanes what is held by now, and reads again what is due: some of it was passed over.
  func takeHolds(_ place: inout Place, _ then: @escaping @Sendable () -> Void) {
    do {
      let holds = try ledger.queueHolds()
      let reply = QueueReply(lanes: inboxes.count) { _ in then() }
      for inbox in inboxes { inbox.send(.holds(holds) { reply.add(QueueTally()) }) }
      place.cursor = .before(.min)
      place.hasMore = true
      place.holdsAreOld = false
    } catch {
      // It holds already, in the ledger: at the next look it is read again.
      place.holdsAreOld = true
      shared.logger.error("what is held cannot be read: \(error)")
      then()
    }
  }
}

extension ControlAnswer {
  /// What became of a page of entries, for the operator's command.
  init(_ result: Result<QueuePageAnswer, any Error>) {
    switch result {
    case .success(let told):
      let tally = told.tally
      self.init(
        ok: true, message: "\(tally.done.count) entries", entries: tally.done,
        queue: QueueAnswer(
          done: tally.done.count, underWay: tally.underWay.count, failed: tally.failed.count, next: told.next, end: told.end))
    case .failure(let error): self.init(ok: false, message: "the ledger cannot be read: \(error)")
    }
  }
}
