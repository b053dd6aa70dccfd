import Ledger
import Logging
import Octets
import Spool
import Synchronization
import Threading

/// The thread that tells the spool, after a start, what of it is still named by the queue, and then reads all of that once.
///
/// Neither keeps the start waiting: until the count is done nothing old is removed, and a record is checked at the latest when it is read
/// to be delivered.
final class Stocktaking: Sendable {
  private let closing = Handoff<Void>()
  private let thread: Mutex<WorkerThread?>

  /// - Parameter snapshot: the queue as the spool was opened with it.
  init(spool: Spool, ledger: Ledger, snapshot: QueueSnapshot, logger: Logger) {
    thread = Mutex(nil)
    let desk = StockDesk(spool: spool, ledger: ledger, logger: logger, closing: closing)
    let held = Mutex<QueueSnapshot?>(snapshot)
    let worker = WorkerThread(name: "stocktaking", niceness: 5) {
      // The snapshot ends with the count: the write-ahead log cannot be begun anew before.
      let snapshot = held.withLock { held in
        defer { held = nil }
        return held
      }
      if let snapshot, desk.count(snapshot) { desk.readAll() }
    }
    thread.withLock { $0 = worker }
  }

  func finish() {
    closing.close()
    thread.withLock {
      $0?.join()
      $0 = nil
    }
  }
}

private struct StockDesk: Sendable {
  let spool: Spool
  let ledger: Ledger
  let logger: Logger
  let closing: Handoff<Void>

  /// True when the spool knows what is named.
  func count(_ snapshot: QueueSnapshot) -> Bool {
    do {
      var ended = true
      try snapshot.eachRanges { ranges in
        if closing.isClosed { ended = false } else { spool.count(ranges) }
      }
      guard ended else { return false }
      spool.endCounting()
      return true
    } catch {
      // Nothing is lost by it: no old segment is removed in this run.
      logger.error("what is stored could not be counted, old segments stay until the next start: \(error)")
      return false
    }
  }

  /// Reads every record that the queue names, and says what is damaged: somebody can then ask the sender, or the backup, in time.
  func readAll() {
    var place: Int64?
    repeat {
      do {
        let contents = try ledger.queueContents(after: place, limit: 500)
        place = contents.next
        if closing.isClosed { return }
        let faults = spool.verify(contents.entries.flatMap(\.content))
        for entry in contents.entries where !faults.isEmpty {
          guard let fault = entry.content.lazy.compactMap({ faults[$0] }).first else { continue }
          // What was delivered meanwhile may be gone from the spool.
          guard try ledger.entry(entry.id) != nil else { continue }
          logger.critical("a queued message cannot be read", metadata: ["entry": "\(entry.id)", "fault": "\(fault)"])
        }
      } catch {
        return logger.error("what is stored could not be read through: \(error)")
      }
    } while place != nil
  }
}
