internal import Foundation
internal import GRDB

/// Copies of a ledger: of one that a gateway writes meanwhile, and of one that is about to be brought forward.
extension Ledger {
  /// Octets that a copy leaves free for who else writes there.
  static let copyMarginBytes = 64 << 20

  /// The schema that this program writes.
  public static var schema: Int { LedgerSchema.version }

  /// Where a ledger is copied to before this program brings it forward.
  public static func copyPath(_ path: String) -> String { "\(path).before-\(LedgerSchema.version)" }

  /// The schema of a ledger that is older than this program's; nil when it is not, or there is none yet.
  ///
  /// - Throws: `notALedger`, `newerSchema` when this program must not touch it, `cannotOpen`.
  public static func olderSchema(path: String) throws(LedgerError) -> Int? {
    guard FileManager.default.fileExists(atPath: path) else { return nil }
    do {
      let queue = try DatabaseQueue(path: path, configuration: LedgerCopying.readOnly)
      let found = try queue.read { db in
        try LedgerSchema.check(db, path: path)
        return try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
      }
      try queue.close()
      return found > 0 && found < LedgerSchema.version ? found : nil
    } catch { throw LedgerError(error, path: path) }
  }

  /// Looks whether this program may open the ledger, and bring it forward if it is older, without touching it.
  ///
  /// - Throws: as `olderSchema`; `noRoomToCopy` when the copy that is made first would not fit.
  public static func checkUpgrade(path: String) throws(LedgerError) {
    if try olderSchema(path: path) != nil { try LedgerCopying.checkRoom(path) }
  }

  /// Copies a ledger to a new file, as it is at one moment, while another process may commit to it: none waits for that.
  ///
  /// The copy is one file for its owner alone, without a write-ahead log beside it, and on the disk when this returns. Meanwhile the
  /// write-ahead log of the original grows by what is committed.
  /// - Parameters:
  ///   - path: the ledger, of any schema that this program knows.
  ///   - destination: the copy; what is there goes.
  ///   - step: told of octets after each step, those copied and all; it may take its time, or throw to end it.
  /// - Throws: `cannotOpen`, `notALedger`, `newerSchema`, `diskFull`, `failed`; or what `step` throws.
  public static func copy(_ path: String, to destination: String, step: @escaping (_ done: Int, _ all: Int) throws -> Void = { _, _ in })
    throws
  {
    do {
      try LedgerCopying.copy(path, to: destination, step)
    } catch let error as DatabaseError { throw LedgerError(error, path: error.resultCode == .SQLITE_FULL ? destination : path) }
  }

  /// Opens a copy for reading, whatever its schema is among those that this program knows. Of an older one not everything can be read.
  public static func openCopy(path: String) throws(LedgerError) -> LedgerReader { try LedgerReader(path: path, acceptsOlder: true) }
}

extension LedgerReader {
  /// The schema of the file.
  public var schema: Int {
    get throws(LedgerError) { try access.read { try Int.fetchOne($0, sql: "PRAGMA user_version") ?? 0 } }
  }
}

/// How a ledger is copied.
enum LedgerCopying {
  /// Pages that are copied in one step: 4 MiB.
  static let pagesPerStep: CInt = 1024
  /// The copy is synced so often, in steps: what it has in the kernel's hands must not grow beyond what others' syncs can bear.
  private static let stepsPerSync = 16

  /// A step may take so many seconds, with a sync of what was copied before.
  private static let stepSeconds = 120

  /// What one statement of a migration may take, in seconds: some go through the whole file, on a slow disk by 4 MiB in a second.
  static func statementSeconds(_ path: String) -> Int { 300 + (bytes(path) + bytes(path + "-wal")) >> 22 }

  static var readOnly: Configuration {
    var configuration = LedgerOpening.configuration(busySeconds: 5)
    configuration.readonly = true
    return configuration
  }

  static func copy(
    _ path: String, to destination: String, pagesPerStep: CInt = LedgerCopying.pagesPerStep, _ step: @escaping (Int, Int) throws -> Void
  ) throws {
    for end in ["", "-journal", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: destination + end) }
    try LedgerOpening.makeFile(destination)
    let source = try DatabaseQueue(path: path, configuration: readOnly)
    let copy = try DatabaseQueue(path: destination)
    let written = try FileHandle(forReadingFrom: URL(fileURLWithPath: destination))
    try copy.writeWithoutTransaction { to in
      // It counts when it is synced, and not before.
      try to.execute(sql: "PRAGMA synchronous = OFF")
      try source.read { from in
        // The first reading takes the snapshot. All steps are of this one: it lasts as long as the transaction, and so nothing that is
        // committed meanwhile has the copying begin anew.
        try LedgerSchema.check(from, path: path)
        let pageBytes = try Int.fetchOne(from, sql: "PRAGMA page_size") ?? 4096
        var steps = 0
        try from.backup(to: to, pagesPerStep: pagesPerStep) { progress in
          steps += 1
          if steps % stepsPerSync == 0 { try written.synchronize() }
          try step(progress.completedPageCount * pageBytes, progress.totalPageCount * pageBytes)
        }
      }
      // So that who reads it leaves nothing beside it.
      try to.execute(sql: "PRAGMA journal_mode = DELETE")
    }
    try copy.close()
    try source.close()
    try written.synchronize()
    try written.close()
    try LedgerOpening.syncFolder(of: destination)
  }

  /// Keeps what is there before a migration, under a name of its own that appears when it is whole.
  static func keep(_ path: String, _ mayLast: @escaping (_ seconds: Int) -> Void) throws {
    let (new, kept) = (Ledger.copyPath(path) + ".new", Ledger.copyPath(path))
    // Of a start that was cut off: its room is wanted for the next.
    try? FileManager.default.removeItem(atPath: new)
    try checkRoom(path)
    try copy(path, to: new) { _, _ in mayLast(stepSeconds) }
    try? FileManager.default.removeItem(atPath: kept)
    try FileManager.default.moveItem(atPath: new, toPath: kept)
    try LedgerOpening.syncFolder(of: kept)
  }

  static func checkRoom(_ path: String, free: (String) -> Int = LedgerCopying.freeBytes) throws(LedgerError) {
    let needed = [path, path + "-wal"].reduce(Ledger.copyMarginBytes) { $0 + bytes($1) }
    // What a start that was cut off left of a copy goes before the next is made.
    let free = free((path as NSString).deletingLastPathComponent) + bytes(Ledger.copyPath(path) + ".new")
    guard free >= needed else { throw .noRoomToCopy(path: path, neededBytes: needed, freeBytes: free) }
  }

  private static func bytes(_ path: String) -> Int {
    (try? FileManager.default.attributesOfItem(atPath: path))?[.size].flatMap { ($0 as? NSNumber)?.intValue } ?? 0
  }

  static func freeBytes(_ folder: String) -> Int {
    let facts = try? FileManager.default.attributesOfFileSystem(forPath: folder.isEmpty ? "." : folder)
    return (facts?[.systemFreeSize] as? NSNumber)?.intValue ?? 0
  }
}
