internal import GRDB

/// Why the ledger could not do what was asked. Each says what happened and what to do about it.
public enum LedgerError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The file cannot be opened or made.
  case cannotOpen(path: String, reason: String)
  /// The file is a database, but not of this program.
  case notALedger(path: String)
  /// A newer version of this program has written the file.
  case newerSchema(path: String, found: Int, known: Int)
  /// An older version has written the file, and it was opened for reading only.
  case olderSchema(path: String, found: Int, known: Int)
  /// An older version has written the file, and there is no room for the copy that is made before it is brought forward. It is as it was.
  case noRoomToCopy(path: String, neededBytes: Int, freeBytes: Int)
  /// The disk is full. Nothing of the commit was stored; it may be tried again when there is room.
  case diskFull(path: String)
  /// Another process held the ledger for longer than is waited. Nothing of the commit was stored; it may be tried again.
  case busy(path: String)
  /// A change contradicts what is stored (an entry or a transaction that is already there): the commit as a whole was refused.
  case conflict(String)
  /// What is in the file cannot be read.
  case damaged(path: String, detail: String)
  /// The disk failed: nobody knows what reached it, so this ledger takes no commit any more (house rule 5).
  case failed(path: String, reason: String)

  /// True when the ledger has stopped for good: only a restart helps.
  public var isFinal: Bool {
    switch self {
    case .damaged, .failed: true
    case .cannotOpen, .notALedger, .newerSchema, .olderSchema, .noRoomToCopy, .diskFull, .busy, .conflict: false
    }
  }

  public var description: String {
    switch self {
    case .cannotOpen(let path, let reason):
      "the ledger \(path) cannot be opened: \(reason): check that its folder exists and that its owner and permissions are right"
    case .notALedger(let path): "\(path) is a database, but not a ledger of this program: configure another file"
    case .newerSchema(let path, let found, let known):
      "the ledger \(path) has schema \(found), and this program knows up to \(known): use the newer program that wrote it"
    case .olderSchema(let path, let found, let known):
      "the ledger \(path) has schema \(found), and this program needs \(known): start the gateway once, which brings it up to date"
    case .noRoomToCopy(let path, let needed, let free):
      "the ledger \(path) is an older program's, and before it is brought forward it is copied to \(Ledger.copyPath(path)): that takes "
        + "\(needed >> 20) MiB, and \(free >> 20) MiB are free. Make room (older copies may go), or start the older program again"
    case .diskFull(let path): "no room left on the disk of the ledger \(path): free some space; intake goes on by itself then"
    case .busy(let path):
      "the ledger \(path) is held by another process: end it (a database shell, a backup that locks); the commit may be tried again"
    case .conflict(let detail): "the commit contradicts the ledger and was refused as a whole: \(detail)"
    case .damaged(let path, let detail):
      "the ledger \(path) is damaged: \(detail): stop the gateway, keep a copy of the file and of its -wal, and restore it from a backup "
        + "or with sqlite3's .recover"
    case .failed(let path, let reason):
      "the disk failed under the ledger \(path): \(reason): nothing more is stored. Check the disk and the kernel's log, then restart; "
        + "nothing answered 250 before this is lost"
    }
  }

  /// What an error of the database layer means here.
  init(_ error: any Error, path: String) {
    if let own = error as? LedgerError {
      self = own
      return
    }
    guard let error = error as? DatabaseError else {
      self = .failed(path: path, reason: "\(error)")
      return
    }
    // The error's own text may quote the values of the statement, which belong in no log line.
    let reason = "\(error.message ?? "no message") (SQLite \(error.extendedResultCode.rawValue))"
    switch error.resultCode {
    case .SQLITE_FULL: self = .diskFull(path: path)
    case .SQLITE_BUSY, .SQLITE_LOCKED: self = .busy(path: path)
    case .SQLITE_CONSTRAINT: self = .conflict(reason)
    case .SQLITE_CORRUPT, .SQLITE_NOTADB: self = .damaged(path: path, detail: reason)
    case .SQLITE_CANTOPEN, .SQLITE_READONLY, .SQLITE_PERM, .SQLITE_AUTH: self = .cannotOpen(path: path, reason: reason)
    default: self = .failed(path: path, reason: reason)
    }
  }
}
