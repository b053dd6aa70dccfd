internal import Foundation
internal import GRDB

extension Ledger {
  /// Opens a ledger for reading only, so that nothing is written into its folder either: a reader of a file at rest would leave the files
  /// behind by which SQLite's processes speak with each other. Where a write-ahead log is there, somebody has them already.
  ///
  /// - Parameter isOwned: whether a gateway runs on it.
  /// - Throws: as `openReadOnly`.
  public static func openLeavingNoTrace(path: String, isOwned: Bool) throws(LedgerError) -> LedgerReader {
    try LedgerReader(path: path, isAtRest: !isOwned && !FileManager.default.fileExists(atPath: path + "-wal"))
  }
}

extension LedgerOpening {
  /// The address by which SQLite takes a file for one that nobody changes (sqlite.org/uri.html).
  static func addressAtRest(_ path: String) -> String {
    "file:\(path.addingPercentEncoding(withAllowedCharacters: .urlPathAllowed) ?? path)?immutable=1"
  }
}

extension LedgerReading {
  /// What SQLite finds wrong with the file at a look that leaves indices aside, `limit` at the most.
  public func quickFaults(limit: Int) throws(LedgerError) -> [String] {
    do {
      return try access.reader.read { db in try String.fetchAll(db, sql: "PRAGMA quick_check(\(max(1, limit)))") }.filter { $0 != "ok" }
    } catch { throw LedgerError(error, path: access.path) }
  }

  /// Ends a reading that is under way on another thread, which throws then.
  public func interrupt() { access.reader.interrupt() }
}
