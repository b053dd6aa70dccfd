import Journey
import Ledger
import Logging
import Octets
import PEC
import Spool
import Synchronization
import Threading

/// Work for the committer.
enum CommitterWork: Sendable {
  /// Append a piece of a body that is still arriving. It is held until it is released.
  case store([Chunk], ReturnAddress)
  /// Make a plan durable, with the body it may point at.
  indirect case commit(CommitPlan, BodyContent, ReturnAddress)
  /// These octets are needed no longer by whoever held them.
  case release([StoredRange])
  /// Make rows durable that come from no message; told is why not, nil when they are.
  case record([LedgerChange], @Sendable (String?) -> Void)
  /// Both threads are to give a sign of life.
  case pulse(@Sendable () -> Void)
}

/// The two threads that write, one behind the other. The first appends what the lanes handed over since last time to the spool and
/// syncs it once; the second commits all that is in the spool by then in one transaction of the ledger, and wakes the lanes (group
/// commit: the disk's latency is shared). While one batch commits the next is being written, so that neither waits for the other's
/// sync. What has no octets goes to the second at once, or with what it commits next when nobody waits for it.
///
/// The order is what makes a 250 true: octets are synced before the rows that name them commit. A body no row names is garbage; a
/// row never names a body that is not there.
final class Committer: Sendable {
  private let arriving = Handoff<CommitterWork>()
  private let written = Handoff<[PreparedPlan]>()
  private let breakage = Breakage()
  private let threads: Mutex<[WorkerThread]>

  /// - Parameter dispatch: hands what was put into the queue to the lanes that deliver it. Called as soon as it is durable, and before
  ///   anything else that is committed later becomes so: an entry is never with its lane after it was settled.
  init(
    spool: Spool, ledger: Ledger, counters: Counters, measures: Measures = Measures(lanes: 0, routes: []), logger: Logger,
    dispatch: @escaping @Sendable ([PendingDelivery]) -> Void = { _ in }
  ) {
    threads = Mutex([])
    let spooler = SpoolDesk(spool: spool, logger: logger)
    let committer = LedgerDesk(
      spool: spool, ledger: ledger, counters: counters, measures: measures, logger: logger, dispatch: dispatch)
    let first = WorkerThread(name: "spooler") { [arriving, written, breakage] in
      while let batch = arriving.take(atMost: 512) {
        let plans = spooler.perform(batch, breakage)
        if !plans.isEmpty { written.send(plans) }
      }
      written.close()
    }
    let second = WorkerThread(name: "committer") { [written, breakage] in
      while let groups = written.take(atMost: 512) { committer.perform(groups.flatMap { $0 }, breakage) }
    }
    threads.withLock { $0 = [first, second] }
  }

  /// Why nothing can be stored any more; nil while all is well. A failed write or sync is final until a restart (house rule 5).
  var brokenBecause: String? { breakage.reason }

  /// Hands over work. After `finish` it is answered as failed.
  func perform(_ work: CommitterWork) {
    switch work {
    case .commit(let plan, _, let address) where Committer.isRowsAlone(plan):
      let rows = PreparedPlan(changes: plan.changes) { address.send($0.map { .failed($0) } ?? .committed) }
      if !written.send([rows]) { rows.then(Committer.stopping) }
    case .record(let changes, let then):
      if !written.send([PreparedPlan(changes: changes, then: then)]) { then(Committer.stopping) }
    case .store(_, let address), .commit(_, _, let address):
      if !arriving.send(work) { address.send(.failed(Committer.stopping)) }
    case .pulse: arriving.send(work)
    case .release:
      // Nobody waits for room: it is made when the first thread has something to write anyway, or by the next `tick`.
      arriving.leave(work)
    }
  }

  /// True of a plan that puts nothing into the spool.
  static func isRowsAlone(_ plan: CommitPlan) -> Bool { plan.messages.isEmpty && !plan.needsOriginal }

  /// Hands over rows that no peer waits for: they go with the next commit, or after `wake`. A commit of their own would cost a sync, and
  /// whoever waits for a 250 would wait for that too.
  func performLater(_ plan: CommitPlan, _ address: ReturnAddress) {
    let rows = PreparedPlan(changes: plan.changes) { address.send($0.map { .failed($0) } ?? .committed) }
    if !written.leave([rows]) { rows.then(Committer.stopping) }
  }

  /// Has the rows committed that were handed over for later.
  func wake() { written.wake() }

  /// Has done what nobody waits for. For once a second.
  func tick() {
    arriving.wake()
    written.wake()
  }

  private static let stopping = "the gateway is stopping"

  /// Does what was handed over, then ends the threads.
  func finish() {
    arriving.close()
    let running = threads.withLock { held in
      defer { held = [] }
      return held
    }
    for thread in running { thread.join() }
  }
}

/// Why storage broke, for all threads to see.
private final class Breakage: Sendable {
  private let first = Mutex<String?>(nil)

  var reason: String? { first.withLock { $0 } }

  func note(_ reason: String) { first.withLock { $0 = $0 ?? reason } }
}

/// A plan whose octets are durable in the spool, waiting for its transaction.
private struct PreparedPlan: Sendable {
  var changes: [LedgerChange]
  var deliveries: [PendingDelivery] = []
  /// Of each message that it makes or passes on.
  var kinds: [MessageKind] = []
  /// Told why it failed; nil when it is durable.
  var then: @Sendable (String?) -> Void
  /// Told instead which transaction the same message became, when a trusted peer hands it over again.
  var repeated: (@Sendable (String) -> Void)?
}

extension [LedgerChange] {
  /// What tells that the same is handed over again, and the time (Unix seconds).
  var handOver: (key: HandOverKey, at: Int64)? {
    if case .handedOver(let key, _, let at)? = first { (key, at) } else { nil }
  }
}

/// The work table of the thread that commits.
private struct LedgerDesk: Sendable {
  let spool: Spool
  let ledger: Ledger
  let counters: Counters
  let measures: Measures
  let logger: Logger
  let dispatch: @Sendable ([PendingDelivery]) -> Void

  /// One transaction for all of them, and the wake-up.
  func perform(_ plans: [PreparedPlan], _ breakage: Breakage) {
    let plans = first(of: plans)
    if plans.isEmpty { return }
    guard let reason = commit(plans) else { return }
    breakage.note(reason)
    logger.critical("storage failed; nothing is accepted until a restart: \(reason)")
  }

  /// Without what a trusted peer hands over again: nothing else writes, so what is not known now is not known when it is committed.
  private func first(of plans: [PreparedPlan]) -> [PreparedPlan] {
    guard plans.contains(where: { $0.changes.handOver != nil }) else { return plans }
    var seen: Set<HandOverKey> = []
    return plans.filter { plan in
      guard let (key, at) = plan.changes.handOver else { return true }
      do {
        if let known = try ledger.transaction(handedOverAs: key, at: at) {
          spool.release(plan.deliveries.flatMap(\.entry.content))
          plan.repeated?(known)
          return false
        }
      } catch {
        fail([plan], "\(error)", spool)
        return false
      }
      if seen.insert(key).inserted { return true }
      fail([plan], "the same message is being taken at this moment", spool)
      return false
    }
  }

  /// Returns the reason when storage broke for good.
  private func commit(_ plans: [PreparedPlan]) -> String? {
    let changes = plans.flatMap(\.changes)
    let since = MonotonicClock.nanoseconds()
    do { try ledger.commit(changes) } catch {
      // What is at odds with the ledger says nothing about its health.
      if case .conflict = error {} else { measures.commitFailed() }
      logger.critical("the ledger refused a commit: \(error)")
      if error.isFinal {
        // The disk failed in the middle: the transaction may be durable all the same. Its octets stay, nothing more is promised, and
        // the next start sees what is true.
        for plan in plans { plan.then("\(error)") }
        return "\(error)"
      }
      if case .conflict = error, plans.count > 1 {
        // One of them is at odds with what is there; the others must not suffer for it.
        for (index, plan) in plans.enumerated() {
          guard let reason = commit([plan]) else { continue }
          // Storage is gone, and whoever was not tried any more waits for an answer all the same.
          fail(plans.dropFirst(index + 1), reason, spool)
          return reason
        }
        return nil
      }
      // The transaction was rolled back and the octets are garbage: nothing was promised, and the next one may succeed.
      fail(plans, "\(error)", spool)
      return nil
    }
    measures.committed(rows: changes.count, kinds: plans.lazy.flatMap(\.kinds), since: since)
    counters.commits.add(1, ordering: .relaxed)
    counters.committedPlans.add(plans.count, ordering: .relaxed)
    dispatch(plans.flatMap(\.deliveries))
    for plan in plans { plan.then(nil) }
    return nil
  }
}

private func fail(_ plans: some Sequence<PreparedPlan>, _ reason: String, _ spool: Spool) {
  for plan in plans {
    spool.release(plan.deliveries.flatMap(\.entry.content))
    plan.then(reason)
  }
}

/// The work table of the thread that writes into the spool.
private struct SpoolDesk: Sendable {
  let spool: Spool
  let logger: Logger

  /// Performs a batch; the plans that are durable now.
  func perform(_ batch: [CommitterWork], _ breakage: Breakage) -> [PreparedPlan] {
    var prepared: [PreparedPlan] = []
    var broken: String?
    for work in batch {
      switch work {
      case .store(let chunks, let address):
        do {
          let range = try spool.append(chunks)
          spool.retain([range])
          address.send(.stored(range))
        } catch {
          if error.isFinal { broken = "\(error)" }
          address.send(.failed("\(error)"))
        }
      case .commit(let plan, let body, let address):
        do { prepared.append(try prepare(plan, body, address)) } catch {
          if error.isFinal { broken = "\(error)" }
          address.send(.failed("\(error)"))
        }
      case .release(let ranges): spool.release(ranges)
      case .record(let changes, let then): prepared.append(PreparedPlan(changes: changes, then: then))
      case .pulse(let then): prepared.append(PreparedPlan(changes: []) { _ in then() })
      }
    }
    if !prepared.isEmpty {
      do { try spool.sync() } catch {
        fail(prepared, "\(error)", spool)
        prepared = []
        broken = "\(error)"
      }
    }
    if let broken {
      breakage.note(broken)
      logger.critical("storage failed; nothing is accepted until a restart: \(broken)")
    }
    return prepared
  }

  /// Writes a plan's octets: the rest of the body, and what was composed, one record for each message.
  private func prepare(_ plan: CommitPlan, _ body: BodyContent, _ address: ReturnAddress) throws(SpoolError) -> PreparedPlan {
    let original = plan.needsOriginal ? try store(body) : []
    var changes = plan.changes
    var deliveries: [PendingDelivery] = []
    for message in plan.messages {
      let content: [StoredRange]
      do { content = try place(message.content, original: original) } catch {
        spool.release(deliveries.flatMap(\.entry.content))
        throw error
      }
      for var entry in message.entries {
        entry.content = content
        spool.retain(content)
        deliveries.append(PendingDelivery(entry: entry, matter: message.matter))
        changes.append(.enqueue(entry))
      }
    }
    let kinds = plan.messages.compactMap(\.entries.first?.kind)
    return PreparedPlan(
      changes: changes, deliveries: deliveries, kinds: kinds, then: { address.send($0.map { .failed($0) } ?? .committed) },
      repeated: { address.send(.repeated($0)) })
  }

  private func store(_ body: BodyContent) throws(SpoolError) -> [StoredRange] {
    var ranges: [StoredRange] = []
    var inMemory: [Chunk] = []
    for piece in body.pieces {
      switch piece {
      case .stored(let range): ranges.append(range)
      case .memory(let chunk): inMemory.append(chunk)
      }
    }
    // What is still in memory is the end of the body: one record.
    if !inMemory.isEmpty { ranges.append(try spool.append(inMemory)) }
    return ranges
  }

  /// Where a message's octets lie: its composed fragments in one new record, the original's where they are.
  private func place(_ fragments: [Fragment], original: [StoredRange]) throws(SpoolError) -> [StoredRange] {
    let composed: [Chunk] = fragments.compactMap { if case .composed(let bytes) = $0 { Chunk(bytes) } else { nil } }
    let record = try spool.append(composed)
    var used: UInt64 = 0
    var ranges: [StoredRange] = []
    for fragment in fragments {
      switch fragment {
      case .composed(let bytes):
        if bytes.isEmpty { continue }
        ranges.append(record[used..<used + UInt64(bytes.count)])
        used += UInt64(bytes.count)
      case .original(let range):
        ranges.append(contentsOf: slice(original, range))
      }
    }
    return ranges
  }

  /// The parts of `pieces`, laid end to end, that `range` covers.
  private func slice(_ pieces: [StoredRange], _ range: Range<Int>) -> [StoredRange] {
    var found: [StoredRange] = []
    var start = 0
    for piece in pieces {
      let end = start + Int(piece.length)
      let low = max(start, range.lowerBound)
      let high = min(end, range.upperBound)
      if low < high { found.append(piece[UInt64(low - start)..<UInt64(high - start)]) }
      start = end
    }
    return found
  }
}
