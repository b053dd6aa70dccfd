internal import Foundation
internal import GRDB
public import Journey
import Synchronization

/// The certified log, transactions and recipients, and the delivery queue, in one SQLite file.
///
/// One process writes (the owner of the spool), from one thread at a time; any number read. Write-ahead log and `synchronous = FULL`:
/// when `commit` returns, its rows are on disk.
public final class Ledger: LedgerReading {
  /// Rows that one `purge` may name.
  public static let purgedRows: Int64 = 100_000
  /// Transactions, and receptions, that one `purge` removes with them.
  static let purgedMessages = 20_000

  /// The database file.
  public let path: String
  public var access: LedgerAccess { LedgerAccess(reader: pool, path: path) }
  private let pool: DatabasePool
  private let clock: @Sendable () -> Int64
  private let writesLog: Bool
  /// Who moves what was committed into the database file; nil where commits do it themselves.
  private let checkpoints: LedgerCheckpoints?
  private let failure = Mutex<LedgerError?>(nil)
  /// What is known of the log, as the last commit left it.
  private let log = Mutex<LogState?>(nil)

  /// Opens the ledger; makes it when there is none, and brings an older one up to date.
  ///
  /// - Parameters:
  ///   - path: the database file; its folder must be there. Beside it stand its `-wal` and `-shm`.
  ///   - checkingIntegrity: lets SQLite check the whole file first, which takes about a second for each gigabyte.
  ///   - busySeconds: how long to wait for another process that holds the ledger.
  ///   - checkpointsAside: moves what was committed into the database file on a thread of its own, so that no commit waits for it.
  ///   - keepsCopy: copies an older ledger beside itself before it is brought forward (`copyPath`).
  ///   - writesLog: false leaves out all rows of the certified log, to measure what they cost.
  ///   - clock: Unix seconds, for the time of change of recipients; nil for the system's.
  ///   - mayLast: told of seconds that the next step may take, while an older ledger is copied and brought forward: at each piece of the
  ///     copy and at each statement, so that its silence means that nothing moves.
  /// - Throws: `cannotOpen`, `notALedger`, `newerSchema`, `noRoomToCopy`, `damaged`, `diskFull`, `busy`, `failed`.
  public convenience init(
    path: String, checkingIntegrity: Bool = false, busySeconds: Double = 5, checkpointsAside: Bool = false, keepsCopy: Bool = true,
    writesLog: Bool = true, clock: (@Sendable () -> Int64)? = nil, mayLast: @escaping @Sendable (_ seconds: Int) -> Void = { _ in }
  ) throws(LedgerError) {
    try self.init(
      path: path, checkingIntegrity: checkingIntegrity, busySeconds: busySeconds,
      checkpoints: checkpointsAside ? LedgerCheckpoints(path: path, busySeconds: busySeconds) : nil, keepsCopy: keepsCopy,
      writesLog: writesLog, clock: clock, mayLast: mayLast)
  }

  init(
    path: String, checkingIntegrity: Bool = false, busySeconds: Double = 5, checkpoints: LedgerCheckpoints?, keepsCopy: Bool = true,
    writesLog: Bool = true, clock: (@Sendable () -> Int64)? = nil, mayLast: @escaping @Sendable (_ seconds: Int) -> Void = { _ in }
  ) throws(LedgerError) {
    self.path = path
    self.writesLog = writesLog
    self.checkpoints = checkpoints
    self.clock = clock ?? { Int64(Date().timeIntervalSince1970) }
    do {
      let isOlder = try Ledger.olderSchema(path: path) != nil
      if isOlder, keepsCopy { try LedgerCopying.keep(path, mayLast) }
      try LedgerOpening.makeFile(path)
      pool = try DatabasePool(path: path, configuration: LedgerOpening.configuration(busySeconds: busySeconds))
      try pool.writeWithoutTransaction { db in
        try LedgerSchema.check(db, path: path)
        if checkingIntegrity { try LedgerOpening.checkIntegrity(db, path: path) }
        // The database layer lowers this to NORMAL, which loses the last commits in a power cut.
        try db.execute(sql: "PRAGMA synchronous = FULL")
        try db.execute(sql: "PRAGMA wal_autocheckpoint = \(checkpoints?.marks.lastResort ?? 4000)")
        try db.execute(sql: "PRAGMA journal_size_limit = 67108864")
      }
      if isOlder {
        let seconds = LedgerCopying.statementSeconds(path)
        // Statements are told to have begun.
        pool.writeWithoutTransaction { db in db.trace { _ in mayLast(seconds) } }
      }
      try LedgerSchema.migrator(now: self.clock()).migrate(pool)
      if isOlder { pool.writeWithoutTransaction { db in db.trace(options: []) } }
      try pool.writeWithoutTransaction { db in
        let synchronous = try Int.fetchOne(db, sql: "PRAGMA synchronous")
        guard synchronous == 2 else { throw LedgerError.failed(path: path, reason: "synchronous = FULL was not taken over") }
        try LedgerOpening.trustCommits(db)
        // Here, because it may have to read the runs of two blocks. What it fails at the first commit fails at, and says so.
        log.withLock { log in _ = try? LogState.current(&log, db, path: path) }
      }
      try checkpoints?.start()
      try LedgerOpening.syncFolder(of: path)
    } catch {
      throw LedgerError(error, path: path)
    }
  }

  /// Opens a ledger for reading only, beside the gateway that owns it or without one.
  ///
  /// - Throws: `cannotOpen` when there is none or it may not be read; `olderSchema` and `newerSchema` when it is another version's.
  public static func openReadOnly(path: String) throws(LedgerError) -> LedgerReader { try LedgerReader(path: path) }

  /// Stores all of the changes durably, or none of them.
  ///
  /// - Throws: `diskFull`, `busy` and `conflict` leave everything as it was, and the next commit may succeed; after `failed` and
  ///   `damaged` every later commit throws the same.
  public func commit(_ changes: [LedgerChange]) throws(LedgerError) {
    if let failure = failure.withLock({ $0 }) { throw failure }
    if changes.isEmpty { return }
    do {
      try log.withLock { log in
        let progress = try pool.writeWithoutTransaction { db in
          try LedgerOpening.inTransaction(db) {
            let before = try LogState.current(&log, db, path: path)
            let commit = LedgerCommit(db: db, tail: before.tail, now: clock(), path: path)
            for change in changes {
              if !writesLog, case .event = change { continue }
              try commit.apply(change)
            }
            return try commit.finish(before.blocks)
          }
        }
        log?.apply(progress)
      }
      checkpoints?.committed(changes.count)
    } catch {
      let translated = LedgerError(error, path: path)
      if translated.isFinal { failure.withLock { $0 = $0 ?? translated } }
      throw translated
    }
  }

  /// Changes rows that are not of the log, durably, beside no commit.
  func alone<Value: Sendable>(_ body: (Database) throws -> Value) throws(LedgerError) -> Value {
    if let failure = failure.withLock({ $0 }) { throw failure }
    do {
      // Commits take the log first, too.
      return try log.withLock { _ in try pool.writeWithoutTransaction { db in try LedgerOpening.inTransaction(db) { try body(db) } } }
    } catch {
      throw LedgerError(error, path: path)
    }
  }

  /// Writes what is in the write-ahead log into the database file; for a quiet moment. Commits do it by themselves now and then.
  public func checkpoint() throws(LedgerError) {
    do { _ = try pool.writeWithoutTransaction { try $0.checkpoint(.passive) } } catch { throw LedgerError(error, path: path) }
  }

  deinit { checkpoints?.finish() }

  /// Ends all use of the file, and leaves it without its write-ahead log. Later calls fail.
  public func close() throws(LedgerError) {
    checkpoints?.finish()
    // A file that was closed in order has no full block that waits to be put in order.
    log.withLock { log in
      guard failure.withLock({ $0 == nil }), let known = log, !known.blocks.full.isEmpty else { return }
      try? pool.writeWithoutTransaction { db in
        let known = try LogState.current(&log, db, path: path)
        let step = try LedgerOpening.inTransaction(db) { try known.blocks.work(besides: .max / 2, db) }
        log?.apply(LogProgress(tail: known.tail, runs: [], step: step))
      }
    }
    // The last connection to end removes the write-ahead log, and one that only reads cannot.
    pool.invalidateReadOnlyConnections()
    do { try pool.close() } catch { throw LedgerError(error, path: path) }
  }

  /// What is committed now, for a reading that goes on beside later commits.
  func snapshot() throws -> DatabaseSnapshot { try pool.makeSnapshot() }

  /// Any statement; for tests.
  func execute(_ sql: String) throws(LedgerError) {
    log.withLock { $0 = nil }
    do { try pool.writeWithoutTransaction { try $0.execute(sql: sql) } } catch { throw LedgerError(error, path: path) }
  }

  /// Any statements on a file as it is, without bringing it up to date; for tests.
  static func execute(_ sql: String, at path: String) throws {
    let queue = try DatabaseQueue(path: path)
    try queue.writeWithoutTransaction { try $0.execute(sql: sql) }
    try queue.close()
  }

  /// The tables as they were made; for tests.
  func tables() throws -> [String] {
    try access.read { try String.fetchAll($0, sql: "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name") }
  }

  /// Holds the ledger against all other writers while `body` runs; for tests.
  func exclusively(_ body: () throws -> Void) throws {
    try pool.writeWithoutTransaction { db in
      try db.inTransaction(.immediate) {
        try body()
        return .rollback
      }
    }
  }
}

/// A ledger opened for reading only: for the operator's commands.
public final class LedgerReader: LedgerReading {
  /// The database file.
  public let path: String
  public let access: LedgerAccess

  init(path: String, acceptsOlder: Bool = false, isAtRest: Bool = false) throws(LedgerError) {
    self.path = path
    do {
      guard FileManager.default.fileExists(atPath: path) else {
        throw LedgerError.cannotOpen(path: path, reason: "there is no such file; the gateway makes it at its first start")
      }
      var configuration = LedgerOpening.configuration(busySeconds: 5)
      configuration.readonly = true
      let queue = try DatabaseQueue(path: isAtRest ? LedgerOpening.addressAtRest(path) : path, configuration: configuration)
      try queue.read { db in
        try LedgerSchema.check(db, path: path)
        let found = try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
        guard found == LedgerSchema.version || (acceptsOlder && found > 0) else {
          throw LedgerError.olderSchema(path: path, found: found, known: LedgerSchema.version)
        }
      }
      access = LedgerAccess(reader: queue, path: path)
    } catch {
      throw LedgerError(error, path: path)
    }
  }
}

/// What opening a ledger takes.
enum LedgerOpening {
  static func configuration(busySeconds: Double) -> Configuration {
    var configuration = Configuration()
    configuration.label = "ledger"
    configuration.busyMode = .timeout(busySeconds)
    configuration.maximumReaderCount = 2
    // Pages kept by each connection: the upper levels of all trees, 8 MiB.
    configuration.prepareDatabase { db in
      try db.execute(sql: "PRAGMA cache_size = -8192")
      // A row that is replaced is a row that is deleted: the log's trigger has to hear of it.
      try db.execute(sql: "PRAGMA recursive_triggers = ON")
    }
    return configuration
  }

  /// Spares the connection that commits what its code sees to already. Rows that refer to others are added and removed with them in one
  /// function, and states come from types that have no other values; for a list of them SQLite makes a table of its own each time it
  /// checks one, which costs as much as three rows. All other connections check, and so does the check of the whole file.
  static func trustCommits(_ db: Database) throws {
    try db.execute(sql: "PRAGMA foreign_keys = OFF")
    try db.execute(sql: "PRAGMA ignore_check_constraints = ON")
  }

  /// All of `body` or nothing of it, with statements that are prepared once.
  static func inTransaction<Value>(_ db: Database, _ body: () throws -> Value) throws -> Value {
    try db.cachedStatement(sql: "BEGIN IMMEDIATE").execute()
    do {
      let value = try body()
      try db.cachedStatement(sql: "COMMIT").execute()
      return value
    } catch {
      // Some errors have rolled it back already.
      if db.isInsideTransaction { try? db.rollback() }
      throw error
    }
  }

  /// Makes the file for its owner alone, before SQLite does it for everybody: the log names people.
  static func makeFile(_ path: String) throws {
    if FileManager.default.fileExists(atPath: path) { return }
    guard FileManager.default.createFile(atPath: path, contents: nil, attributes: [.posixPermissions: 0o600]) else {
      throw LedgerError.cannotOpen(path: path, reason: "it cannot be made")
    }
  }

  /// Makes the file's name durable. SQLite does that for its write-ahead log, not for the database.
  static func syncFolder(of path: String) throws {
    let folder = try FileHandle(forReadingFrom: URL(fileURLWithPath: path).deletingLastPathComponent())
    try folder.synchronize()
    try folder.close()
  }

  static func checkIntegrity(_ db: Database, path: String) throws {
    let verdict = try String.fetchAll(db, sql: "PRAGMA quick_check(5)")
    guard verdict == ["ok"] else { throw LedgerError.damaged(path: path, detail: verdict.joined(separator: "; ")) }
  }
}
