internal import Evidence
internal import Foundation
internal import GRDB
internal import Journey
internal import PEC

/// Version 3 of the tables: each row of the log is chained to the one before, and what the log is found, counted, sealed and kept by.
///
/// Whatever grows with the log is added to at its end only, or within the last block, so that a row costs the same in a log of any
/// length: an index whose keys come in no order would touch another page for each row, and write all of them.
enum LedgerSchema3 {
  static func migrate(_ db: Database, now: Int64) throws {
    try db.execute(sql: log)
    try db.execute(sql: terms)
    try chainOldRows(db)
    try db.execute(sql: logInPlace)
    try db.execute(sql: keeping)
    try db.execute(sql: receptionRecipients)
    // Nobody asks a transaction by what its client called it; the log is.
    try db.execute(sql: "DROP INDEX transactions_by_client_message_id")
    try db.execute(sql: deadlines)
    try db.execute(
      sql: oldDeadlines, arguments: ["now": now, "first": 12 * 3600, "second": 24 * 3600 - 900, "end": 24 * 3600])
  }

  /// The log (pec-rules 9.1). `number` is the row's place: the next is always one more than the last. `chain` is the chain value after
  /// the row, over its canonical octets. `day` counts days of legal time since 1970, for searches (9.5). Columns that may be long come
  /// last, so that a look at the others does not read them.
  private static let log = """
    CREATE TABLE events_3 (
      number INTEGER PRIMARY KEY,
      at INTEGER NOT NULL,
      utc_offset INTEGER NOT NULL,
      day INTEGER NOT NULL,
      kind TEXT NOT NULL,
      pec_id TEXT NOT NULL,
      sender TEXT NOT NULL,
      provider TEXT NOT NULL,
      recipient TEXT,
      error TEXT,
      bytes INTEGER NOT NULL,
      chain BLOB NOT NULL CHECK (length(chain) = 32),
      client_message_id TEXT,
      subject TEXT,
      related_ids TEXT NOT NULL,
      detail TEXT,
      recipients TEXT NOT NULL
    ) STRICT;
    """

  /// What rows are found and counted by. `term_runs`: postings of a block that is not full yet, one row for each commit, by the number
  /// of its first row. `term_parts`: those of full blocks in order (`LogPostings`, `LogBlocks`); place = block × 512 + part. `term_sets`: the rows of
  /// a full block of which a frequent term holds, a bit for each; place = block × 2³² + term. `log_days`: where the rows of a day are
  /// that are there. `day_counts`: rows of a day by type; it keeps what is purged.
  private static let terms = """
    CREATE TABLE term_runs (first INTEGER PRIMARY KEY, postings BLOB NOT NULL) STRICT;
    CREATE TABLE term_parts (place INTEGER PRIMARY KEY, postings BLOB NOT NULL) STRICT;
    CREATE TABLE term_sets (place INTEGER PRIMARY KEY, rows BLOB NOT NULL) STRICT;
    CREATE TABLE log_days (day INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, events INTEGER NOT NULL) STRICT;
    CREATE TABLE day_counts (
      day INTEGER NOT NULL,
      kind TEXT NOT NULL,
      count INTEGER NOT NULL,
      PRIMARY KEY (day, kind)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE mailbox_counts (
      day INTEGER NOT NULL,
      domain TEXT NOT NULL,
      count INTEGER NOT NULL,
      PRIMARY KEY (day, domain)
    ) STRICT, WITHOUT ROWID;
    """

  private static func chainOldRows(_ db: Database) throws {
    var chain = EventChain.beginning
    var index = LogIndex(closesBlocks: true)
    let add = try db.makeStatement(
      sql: """
        INSERT INTO events_3 (number, at, utc_offset, day, kind, pec_id, sender, provider, recipient, error, bytes, chain,
          client_message_id, subject, related_ids, detail, recipients)
        SELECT number, at, utc_offset, day, kind, pec_id, sender, provider, recipient, error, bytes, ?, client_message_id, subject,
          related_ids, detail, recipients
        FROM events WHERE number = ?
        """)
    let rows = try Row.fetchCursor(
      db,
      sql: """
        SELECT \(LedgerRecords.eventColumns) FROM events ORDER BY number
        """)
    while let row = try rows.next() {
      let event = try LedgerRecords.event(row, path: "of version 2")
      guard let number = event.number else { continue }
      chain = EventChain.next(chain, leaf: EventChain.leaf(CanonicalEvent.octets(event)))
      try add.execute(arguments: [Data(chain), number])
      if index.add(event, number: number) { try index.store(db) }
    }
    try index.store(db)
  }

  /// The ids that a provider gives ascend with time, so what the index adds lies close together. INSERT OR REPLACE meets the second
  /// trigger because connections have `recursive_triggers`; a trigger on INSERT would cost more than the row.
  private static let logInPlace = """
    DROP TABLE events;
    ALTER TABLE events_3 RENAME TO events;
    CREATE INDEX events_by_pec_id ON events(pec_id);
    CREATE TABLE purges (
      first INTEGER PRIMARY KEY,
      last INTEGER NOT NULL,
      at INTEGER NOT NULL,
      chain BLOB NOT NULL
    ) STRICT;
    CREATE TRIGGER events_never_change BEFORE UPDATE ON events
      BEGIN SELECT RAISE(ABORT, 'the certified log is never changed'); END;
    CREATE TRIGGER events_never_go BEFORE DELETE ON events
      WHEN NOT EXISTS (
        SELECT 1 FROM (SELECT last FROM purges WHERE first <= OLD.number ORDER BY first DESC LIMIT 1) WHERE last >= OLD.number)
      BEGIN SELECT RAISE(ABORT, 'the certified log is never changed'); END;
    """

  /// Seals, what was purged, holds and requests. What must not be purged is decided by the table itself.
  private static let keeping = """
    CREATE TABLE seals (
      number INTEGER PRIMARY KEY,
      first INTEGER NOT NULL,
      last INTEGER NOT NULL CHECK (first <= last),
      at INTEGER NOT NULL,
      utc_offset INTEGER NOT NULL,
      digest TEXT NOT NULL,
      root TEXT NOT NULL,
      chain TEXT NOT NULL,
      stamped_at INTEGER,
      authority TEXT
    ) STRICT;
    CREATE UNIQUE INDEX seals_by_last ON seals(last);
    CREATE INDEX seals_without_stamp ON seals(number) WHERE stamped_at IS NULL;
    CREATE TRIGGER seals_never_change BEFORE UPDATE OF number, first, last, at, utc_offset, digest, root, chain ON seals
      BEGIN SELECT RAISE(ABORT, 'a seal is never changed'); END;
    CREATE TRIGGER seals_never_go BEFORE DELETE ON seals BEGIN SELECT RAISE(ABORT, 'a seal is never removed'); END;
    CREATE TABLE holds (
      id TEXT NOT NULL PRIMARY KEY,
      from_day INTEGER NOT NULL,
      to_day INTEGER NOT NULL,
      reason TEXT NOT NULL,
      made_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER purges_never_change BEFORE UPDATE ON purges
      BEGIN SELECT RAISE(ABORT, 'what was purged is never changed'); END;
    CREATE TRIGGER purges_never_go BEFORE DELETE ON purges BEGIN SELECT RAISE(ABORT, 'what was purged is never changed'); END;
    CREATE TRIGGER purges_oldest BEFORE INSERT ON purges
      WHEN NEW.first > NEW.last OR NEW.first IS NOT (SELECT min(number) FROM events) OR NEW.last > (SELECT max(number) FROM events)
      BEGIN SELECT RAISE(ABORT, 'only the oldest rows of the log can be purged'); END;
    CREATE TRIGGER purges_sealed BEFORE INSERT ON purges
      WHEN NEW.last > ifnull((SELECT max(last) FROM seals), 0)
      BEGIN SELECT RAISE(ABORT, 'rows that are not sealed cannot be purged'); END;
    CREATE TRIGGER purges_free BEFORE INSERT ON purges
      WHEN EXISTS (
        SELECT 1 FROM holds JOIN log_days ON log_days.day BETWEEN from_day AND to_day
          JOIN events ON events.number BETWEEN max(log_days.first, NEW.first) AND min(log_days.last, NEW.last)
            AND events.day = log_days.day
        WHERE log_days.first <= NEW.last AND log_days.last >= NEW.first)
      BEGIN SELECT RAISE(ABORT, 'rows of days under a hold cannot be purged'); END;
    CREATE TABLE requests (
      row INTEGER PRIMARY KEY,
      id TEXT NOT NULL UNIQUE,
      pec_id TEXT NOT NULL,
      asker TEXT NOT NULL,
      opened_at INTEGER NOT NULL,
      opened_utc_offset INTEGER NOT NULL,
      state TEXT NOT NULL,
      changed_at INTEGER NOT NULL,
      question TEXT NOT NULL,
      outcome TEXT NOT NULL,
      answer_id TEXT
    ) STRICT;
    CREATE INDEX requests_by_state ON requests(state, row);
    CREATE TABLE request_history (
      request INTEGER NOT NULL,
      step INTEGER NOT NULL,
      state TEXT NOT NULL,
      at INTEGER NOT NULL,
      outcome TEXT NOT NULL,
      PRIMARY KEY (request, step)
    ) STRICT, WITHOUT ROWID;
    """

  /// Receptions go when their time is over. A reference from here would be looked for in the whole table for each of them, because the
  /// tree's order is another; a row never moves to another reception instead.
  private static let receptionRecipients = """
    CREATE TABLE reception_recipients_3 (
      message TEXT NOT NULL,
      address TEXT NOT NULL COLLATE NOCASE,
      reception_id INTEGER NOT NULL,
      position INTEGER NOT NULL,
      is_copy INTEGER NOT NULL,
      state TEXT NOT NULL CHECK (state IN ('open', 'relayed', 'taken-in-charge', 'delivered', 'failed')),
      changed_at INTEGER NOT NULL,
      PRIMARY KEY (message, address)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO reception_recipients_3 (message, address, reception_id, position, is_copy, state, changed_at)
      SELECT message, address, reception_id, position, is_copy, state, changed_at FROM reception_recipients ORDER BY message, address;
    DROP TABLE reception_recipients;
    ALTER TABLE reception_recipients_3 RENAME TO reception_recipients;
    CREATE TRIGGER reception_recipients_stay BEFORE UPDATE OF reception_id ON reception_recipients
      BEGIN SELECT RAISE(ABORT, 'a recipient stays with his reception'); END;
    """

  /// One deadline at a time runs for a transaction.
  private static let deadlines = """
    CREATE TABLE deadlines (
      due_at INTEGER NOT NULL,
      transaction_id INTEGER NOT NULL,
      stage INTEGER NOT NULL CHECK (stage IN (1, 2)),
      PRIMARY KEY (due_at, transaction_id)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX deadlines_by_transaction ON deadlines(transaction_id);
    """

  /// Messages that are on their way while this version comes into use: their deadlines run from when they were accepted (RFC 6109
  /// §3.1.6).
  private static let oldDeadlines = """
    INSERT INTO deadlines (due_at, transaction_id, stage)
      SELECT CASE WHEN at > :now - :first THEN at + :first ELSE at + :second END, id, CASE WHEN at > :now - :first THEN 1 ELSE 2 END
      FROM transactions
      WHERE accepted AND at > :now - :end AND EXISTS (
        SELECT 1 FROM recipients
        WHERE transaction_id = transactions.id AND class = 'certificato' AND state IN ('open', 'relayed', 'taken-in-charge'))
      ORDER BY 1, id;
    """
}
