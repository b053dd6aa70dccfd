internal import Foundation
internal import GRDB

extension Ledger {
  /// Notes that a run begins, durably: until `endRun` this one has come to no orderly end.
  /// - Parameter now: Unix seconds.
  /// - Returns: the time (Unix seconds) up to which messages of the queue may have been delivered without the queue knowing it; `.min` when
  ///   none was.
  /// - Throws: as `commit`; then the run must not begin.
  public func beginRun(at now: Int64) throws(LedgerError) -> Int64 {
    try alone { db in
      let last = try Row.fetchOne(db, sql: "SELECT is_ended, doubtful_until, file FROM runs WHERE id = 1")
      var row = last.map { StoredRow($0, of: "runs", path: path) }
      var isEnded = try row?.next(Bool.self) ?? false
      var until = try row?.next(Int64.self) ?? .min
      isEnded = try isEnded && row?.next(Int64.self) == fileNumber
      if !isEnded {
        // The clock may have been set back since: what was put into the queue last counts too.
        let newest = "SELECT max(created_at) FROM (SELECT created_at FROM queue ORDER BY id DESC LIMIT 1000)"
        until = max(until, now, try Int64.fetchOne(db, sql: newest) ?? .min)
      }
      if try Int.fetchOne(db, sql: "SELECT 1 FROM queue LIMIT 1") == nil { until = .min }
      try note(db, isEnded: false, until)
      return until
    }
  }

  /// Notes that the run comes to an orderly end: nothing is committed behind it.
  /// - Parameter doubtfulUntil: messages that were made up to this time (Unix seconds) may have been delivered, and this run does not know
  ///   it; nil when it knows of all that it had in hand.
  public func endRun(doubtfulUntil: Int64?) throws(LedgerError) {
    try alone { db in
      let before = try Int64.fetchOne(db, sql: "SELECT doubtful_until FROM runs WHERE id = 1")
      try note(db, isEnded: true, max(before ?? .min, doubtfulUntil ?? .min))
    }
  }

  /// Forgets what is known of runs, durably: of a ledger that was restored no later run is known, and the file's number may be given again.
  /// The next run has all that waits in doubt.
  public func forgetRuns() throws(LedgerError) { try alone { try $0.execute(sql: "DELETE FROM runs") } }

  private func note(_ db: Database, isEnded: Bool, _ until: Int64) throws {
    try db.execute(
      sql: "INSERT OR REPLACE INTO runs (id, is_ended, doubtful_until, file) VALUES (1, ?, ?, ?)", arguments: [isEnded, until, fileNumber])
  }

  /// The file's number in its file system; 0 where it has none.
  private var fileNumber: Int64 {
    let attributes = try? FileManager.default.attributesOfItem(atPath: path)
    return (attributes?[.systemFileNumber] as? NSNumber)?.int64Value ?? 0
  }
}
