internal import GRDB

/// Version 6 of the tables: what guards against doubled messages.
enum LedgerSchema6 {
  static func migrate(_ db: Database) throws {
    try db.execute(sql: runs)
    try db.execute(sql: resubmissions)
  }

  /// One row: whether the last run came to an orderly end, and up to what time (Unix seconds) messages of the queue may lie in a mailbox
  /// without the queue knowing it. No row: nobody knows. `file` is the file's number in its file system when the run ended: a copy that is
  /// put in its place later has another, and what was delivered since is not in it.
  private static let runs = """
    CREATE TABLE runs (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      is_ended INTEGER NOT NULL CHECK (is_ended BETWEEN 0 AND 1),
      doubtful_until INTEGER NOT NULL,
      file INTEGER NOT NULL
    ) STRICT;
    """

  /// Submissions of peers that hand over what users gave them, by the digest of all that was handed over. `day` counts days of UTC since
  /// 1970: it comes first, so that new rows come together in the tree and old ones go together.
  private static let resubmissions = """
    CREATE TABLE resubmissions (
      day INTEGER NOT NULL,
      digest BLOB NOT NULL,
      pec_id TEXT NOT NULL,
      at INTEGER NOT NULL,
      PRIMARY KEY (day, digest)
    ) STRICT, WITHOUT ROWID;
    """
}
