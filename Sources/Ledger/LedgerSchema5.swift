internal import GRDB

/// Version 5 of the tables: what holders have chosen.
enum LedgerSchema5 {
  static func migrate(_ db: Database) throws { try db.execute(sql: choices) }

  /// A row for each mailbox or domain that has a choice, by its name in lower case. A column that is NULL leaves the setting to whoever
  /// decides next. `ordinary`: refuse, discard, anomaly or forward:ADDRESS; `notice`: none, or an address.
  private static let choices = """
    CREATE TABLE choices (
      holder TEXT NOT NULL PRIMARY KEY CHECK (holder = lower(holder)),
      ordinary TEXT,
      notice TEXT,
      notice_of_anomalies INTEGER CHECK (notice_of_anomalies BETWEEN 0 AND 1),
      receipt TEXT,
      changed_at INTEGER NOT NULL,
      CHECK (coalesce(ordinary, notice, notice_of_anomalies, receipt) IS NOT NULL)
    ) STRICT, WITHOUT ROWID;
    """
}
