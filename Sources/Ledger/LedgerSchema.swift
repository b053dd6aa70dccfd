internal import GRDB

/// The ledger's tables. A version, once released, is never changed: what comes later is another migration, and they go forward only.
enum LedgerSchema {
  /// The version this program writes: `PRAGMA user_version`, one for each migration.
  static let version = 6
  /// `PRAGMA application_id`: the letters "CERA".
  static let applicationID = 0x4345_5241

  /// - Parameter now: Unix seconds, for deadlines that a migration sets going.
  static func migrator(now: Int64) -> DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("1: log, transactions, queue") { db in
      try db.execute(sql: "PRAGMA application_id = \(applicationID)")
      try db.execute(sql: log)
      try db.execute(sql: transactions)
      try db.execute(sql: queue)
      try db.execute(sql: "PRAGMA user_version = 1")
    }
    migrator.registerMigration("2: receptions, proofs of delivery") { db in
      try db.execute(sql: states)
      try db.execute(sql: proofs)
      try db.execute(sql: receptions)
      try db.execute(sql: "PRAGMA user_version = 2")
    }
    migrator.registerMigration("3: chain, search terms, deadlines, seals") { db in
      try LedgerSchema3.migrate(db, now: now)
      try db.execute(sql: "PRAGMA user_version = 3")
    }
    migrator.registerMigration("4: holds of the queue") { db in
      try LedgerSchema4.migrate(db)
      try db.execute(sql: "PRAGMA user_version = 4")
    }
    migrator.registerMigration("5: choices") { db in
      try LedgerSchema5.migrate(db)
      try db.execute(sql: "PRAGMA user_version = 5")
    }
    migrator.registerMigration("6: ends of runs, submissions handed over") { db in
      try LedgerSchema6.migrate(db)
      try db.execute(sql: "PRAGMA user_version = 6")
    }
    return migrator
  }

  /// Whether the file may be used by this program. `found` 0 is a file without a ledger in it yet.
  static func check(_ db: Database, path: String) throws {
    let application = try Int.fetchOne(db, sql: "PRAGMA application_id") ?? 0
    let found = try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
    let tables = try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'grdb_%'") ?? 0
    guard application == applicationID || (application == 0 && tables == 0) else { throw LedgerError.notALedger(path: path) }
    let isSuperseded = try migrator(now: 0).hasBeenSuperseded(db)
    guard found <= version, !isSuperseded else { throw LedgerError.newerSchema(path: path, found: found, known: version) }
  }

  /// The certified log (pec-rules 9.1). `number` is the row's place in the log; rows are never changed and never removed, so the next
  /// number is always one more than the last. (INSERT OR REPLACE meets the second trigger because connections have `recursive_triggers`;
  /// a trigger on INSERT would cost more than the row and its indexes.) `day` counts days of legal time since 1970, for extracts (9.5).
  private static let log = """
    CREATE TABLE events (
      number INTEGER PRIMARY KEY,
      pec_id TEXT NOT NULL,
      at INTEGER NOT NULL,
      utc_offset INTEGER NOT NULL,
      day INTEGER NOT NULL,
      kind TEXT NOT NULL,
      sender TEXT NOT NULL,
      recipients TEXT NOT NULL,
      subject TEXT,
      client_message_id TEXT,
      related_ids TEXT NOT NULL,
      provider TEXT NOT NULL,
      recipient TEXT,
      error TEXT,
      detail TEXT,
      bytes INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX events_by_pec_id ON events(pec_id);
    CREATE INDEX events_by_sender_day ON events(sender COLLATE NOCASE, day);
    CREATE INDEX events_by_client_message_id ON events(client_message_id) WHERE client_message_id IS NOT NULL;
    CREATE TRIGGER events_never_change BEFORE UPDATE ON events
      BEGIN SELECT RAISE(ABORT, 'the certified log is never changed'); END;
    CREATE TRIGGER events_never_go BEFORE DELETE ON events
      BEGIN SELECT RAISE(ABORT, 'the certified log is never changed'); END;
    """

  /// Transactions and the fate of each of their recipients.
  private static let transactions = """
    CREATE TABLE transactions (
      id INTEGER PRIMARY KEY,
      pec_id TEXT NOT NULL UNIQUE,
      at INTEGER NOT NULL,
      utc_offset INTEGER NOT NULL,
      sender TEXT NOT NULL,
      reply_to TEXT NOT NULL,
      subject TEXT,
      raw_subject BLOB,
      client_message_id TEXT,
      receipt_type TEXT NOT NULL,
      bytes INTEGER NOT NULL,
      accepted INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX transactions_by_client_message_id ON transactions(client_message_id) WHERE client_message_id IS NOT NULL;
    CREATE TABLE recipients (
      transaction_id INTEGER NOT NULL REFERENCES transactions(id),
      address TEXT NOT NULL COLLATE NOCASE,
      position INTEGER NOT NULL,
      class TEXT NOT NULL,
      state TEXT NOT NULL CHECK (state IN ('open', 'delivered', 'failed', 'refused')),
      changed_at INTEGER NOT NULL,
      PRIMARY KEY (transaction_id, address, position)
    ) STRICT, WITHOUT ROWID;
    """

  /// The delivery queue.
  private static let queue = """
    CREATE TABLE queue (
      id INTEGER PRIMARY KEY,
      entry TEXT NOT NULL UNIQUE,
      pec_id TEXT NOT NULL,
      message_id TEXT NOT NULL,
      kind TEXT NOT NULL,
      sender TEXT NOT NULL,
      route TEXT NOT NULL,
      content TEXT NOT NULL,
      created_at INTEGER NOT NULL,
      due_at INTEGER NOT NULL,
      attempts INTEGER NOT NULL,
      last_error TEXT
    ) STRICT;
    CREATE INDEX queue_by_due ON queue(due_at, id);
    CREATE TABLE queue_recipients (
      queue_id INTEGER NOT NULL REFERENCES queue(id) ON DELETE CASCADE,
      address TEXT NOT NULL,
      position INTEGER NOT NULL,
      PRIMARY KEY (queue_id, address, position)
    ) STRICT, WITHOUT ROWID;
    """

  // MARK: - Version 2

  /// More states of a recipient: SQLite changes a check only with the whole table. To version 1 an envelope that the next hop took was
  /// `delivered`, which says too much and would be final; receipts that are still on their way may now carry it on.
  private static let states = """
    CREATE TABLE recipients_2 (
      transaction_id INTEGER NOT NULL REFERENCES transactions(id),
      address TEXT NOT NULL COLLATE NOCASE,
      position INTEGER NOT NULL,
      class TEXT NOT NULL,
      state TEXT NOT NULL CHECK (state IN ('open', 'relayed', 'taken-in-charge', 'delivered', 'failed', 'refused')),
      changed_at INTEGER NOT NULL,
      PRIMARY KEY (transaction_id, address, position)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO recipients_2 (transaction_id, address, position, class, state, changed_at)
      SELECT transaction_id, address, position, class, CASE state WHEN 'delivered' THEN 'relayed' ELSE state END, changed_at
      FROM recipients ORDER BY transaction_id, address, position;
    DROP TABLE recipients;
    ALTER TABLE recipients_2 RENAME TO recipients;
    """

  /// Entries of the incoming side, and recipients of whom a delivery report is awaited.
  private static let proofs = """
    ALTER TABLE queue ADD COLUMN reception TEXT;
    ALTER TABLE queue ADD COLUMN has_eight_bit INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE queue ADD COLUMN proof_token TEXT;
    CREATE INDEX queue_by_proof_token ON queue(proof_token) WHERE proof_token IS NOT NULL;
    ALTER TABLE queue_recipients ADD COLUMN awaiting INTEGER NOT NULL DEFAULT 0;
    """

  /// What the incoming point took. Columns that may be long come last, so that a look at the others does not read them.
  ///
  /// The recipients stand in one tree, which is at once the order they are read in and the rule that no recipient has the same message
  /// twice: `message` is the fingerprint, or `@` and the reception's id where there is none.
  private static let receptions = """
    CREATE TABLE receptions (
      id INTEGER PRIMARY KEY,
      reception TEXT NOT NULL UNIQUE,
      pec_id TEXT NOT NULL,
      kind TEXT NOT NULL,
      provider TEXT NOT NULL,
      fingerprint TEXT NOT NULL,
      at INTEGER NOT NULL,
      utc_offset INTEGER NOT NULL,
      original_start INTEGER,
      original_end INTEGER,
      original_encoding TEXT NOT NULL,
      sent_at INTEGER NOT NULL,
      sent_utc_offset INTEGER NOT NULL,
      sender TEXT NOT NULL,
      reply_to TEXT NOT NULL,
      receipt_type TEXT NOT NULL,
      bytes INTEGER NOT NULL,
      accepted INTEGER NOT NULL,
      client_message_id TEXT,
      subject TEXT,
      raw_subject BLOB,
      certified_recipients TEXT NOT NULL
    ) STRICT;
    CREATE INDEX receptions_by_pec_id ON receptions(pec_id);
    CREATE TABLE reception_recipients (
      message TEXT NOT NULL,
      address TEXT NOT NULL COLLATE NOCASE,
      reception_id INTEGER NOT NULL REFERENCES receptions(id),
      position INTEGER NOT NULL,
      is_copy INTEGER NOT NULL,
      state TEXT NOT NULL CHECK (state IN ('open', 'relayed', 'taken-in-charge', 'delivered', 'failed')),
      changed_at INTEGER NOT NULL,
      PRIMARY KEY (message, address)
    ) STRICT, WITHOUT ROWID;
    """
}
