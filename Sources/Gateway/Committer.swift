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
  case store(Chunk, ReturnAddress)
  /// Make a plan durable, with the body it may point at.
  case commit(CommitPlan, BodyContent, ReturnAddress)
  /// These octets are needed no longer by whoever held them.
  case release([StoredRange])
  /// Make rows durable that come from no message; told is why not, nil when they are.
  case record([LedgerChange], @Sendable (String?) -> Void)
}

/// The one thread that writes: all that the lanes handed it since last time goes into the spool, is synced once, and is committed to
/// the ledger in one transaction; then the lanes are woken (group commit: the disk's latency is shared).
///
/// The order is what makes a 250 true: octets are synced before the rows that name them commit. A body no row names is garbage; a
/// row never names a body that is not there.
final class Committer: Sendable {
  private let queue = Handoff<CommitterWork>()
  private let breakage = Breakage()
  private let thread: Mutex<WorkerThread?>
  private let counters: Counters

  init(spool: Spool, ledger: Ledger, counters: Counters, logger: Logger) {
    self.counters = counters
    thread = Mutex(nil)
    let desk = CommitterDesk(spool: spool, ledger: ledger, counters: counters, logger: logger)
    let worker = WorkerThread(name: "committer") { [queue, breakage] in
      while let batch = queue.take(atMost: 512) {
        if let reason = desk.perform(batch) { breakage.note(reason) }
      }
    }
    thread.withLock { $0 = worker }
  }

  /// Why nothing can be stored any more; nil while all is well. A failed write or sync is final until a restart (house rule 5).
  var brokenBecause: String? { breakage.reason }

  /// Hands over work. After `finish` it is answered as failed.
  func perform(_ work: CommitterWork) {
    if queue.send(work) { return }
    switch work {
    case .store(_, let address), .commit(_, _, let address): address.send(.failed("the gateway is stopping"))
    case .release: break
    case .record(_, let then): then("the gateway is stopping")
    }
  }

  /// Does what was handed over, then ends the thread.
  func finish() {
    queue.close()
    thread.withLock { $0.take() }?.join()
  }
}

/// Why storage broke, for all threads to see.
private final class Breakage: Sendable {
  private let first = Mutex<String?>(nil)

  var reason: String? { first.withLock { $0 } }

  func note(_ reason: String) { first.withLock { $0 = $0 ?? reason } }
}

/// The committer's work table; touched by its thread alone.
private final class CommitterDesk: Sendable {
  private let spool: Spool
  private let ledger: Ledger
  private let counters: Counters
  private let logger: Logger

  /// A plan whose octets are in the spool, waiting for the sync and the transaction.
  private struct Prepared {
    var changes: [LedgerChange]
    var deliveries: [PendingDelivery] = []
    /// Told why it failed; nil when it is durable.
    var then: (String?) -> Void
  }

  init(spool: Spool, ledger: Ledger, counters: Counters, logger: Logger) {
    self.spool = spool
    self.ledger = ledger
    self.counters = counters
    self.logger = logger
  }

  /// Performs a batch. Returns the reason when storage broke for good.
  func perform(_ batch: [CommitterWork]) -> String? {
    var prepared: [Prepared] = []
    var broken: String?
    for work in batch {
      switch work {
      case .store(let chunk, let address):
        do {
          let range = try spool.append([chunk])
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
      case .record(let changes, let then): prepared.append(Prepared(changes: changes, then: then))
      }
    }
    if !prepared.isEmpty, let reason = settle(prepared) { broken = reason }
    if let broken { logger.critical("storage failed; nothing is accepted until a restart: \(broken)") }
    return broken
  }

  /// Sync, transaction, wake-up: for all prepared plans at once.
  private func settle(_ prepared: [Prepared]) -> String? {
    do { try spool.sync() } catch {
      fail(prepared, "\(error)")
      return "\(error)"
    }
    do { try ledger.commit(prepared.flatMap(\.changes)) } catch {
      logger.critical("the ledger refused a commit: \(error)")
      if error.isFinal {
        // The disk failed in the middle: the transaction may be durable all the same. Its octets stay, nothing more is promised, and
        // the next start sees what is true.
        for plan in prepared { plan.then("\(error)") }
        return "\(error)"
      }
      if case .conflict = error, prepared.count > 1 {
        // One of them is at odds with what is there; the others must not suffer for it.
        for (index, plan) in prepared.enumerated() {
          guard let reason = settle([plan]) else { continue }
          // Storage is gone, and whoever was not tried any more waits for an answer all the same.
          fail(prepared.dropFirst(index + 1), reason)
          return reason
        }
        return nil
      }
      // The transaction was rolled back and the octets are garbage: nothing was promised, and the next one may succeed.
      fail(prepared, "\(error)")
      return nil
    }
    counters.commits.add(1, ordering: .relaxed)
    counters.committedPlans.add(prepared.count, ordering: .relaxed)
    for plan in prepared { plan.then(nil) }
    return nil
  }

  private func fail(_ prepared: some Sequence<Prepared>, _ reason: String) {
    for plan in prepared {
      spool.release(plan.deliveries.flatMap(\.entry.content))
      plan.then(reason)
    }
  }

  /// Writes a plan's octets: the rest of the body, and what was composed, one record for each message.
  private func prepare(_ plan: CommitPlan, _ body: BodyContent, _ address: ReturnAddress) throws(SpoolError) -> Prepared {
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
    let made = deliveries
    return Prepared(changes: changes, deliveries: made) { failure in
      address.send(failure.map { .failed($0) } ?? .committed(made))
    }
  }

  private func store(_ body: BodyContent) throws(SpoolError) -> [StoredRange] {
    var ranges: [StoredRange] = []
    for piece in body.pieces {
      switch piece {
      case .stored(let range): ranges.append(range)
      case .memory(let chunk): ranges.append(try spool.append([chunk]))
      }
    }
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
