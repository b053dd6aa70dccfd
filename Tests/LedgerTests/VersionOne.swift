/// A ledger as version 1 of the schema left it, octet for octet in its tables: released, and therefore never changed here either.
enum VersionOne {
  static let tables = """
    PRAGMA application_id = 1128616513;
    CREATE TABLE grdb_migrations (identifier TEXT NOT NULL PRIMARY KEY);
    INSERT INTO grdb_migrations (identifier) VALUES ('1: log, transactions, queue');
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
    PRAGMA user_version = 1;
    """

  /// Two events, a transaction with a recipient in each state, one that was refused, and a queue of two.
  static let content = """
    INSERT INTO events VALUES
      (1, 'pec1', 1773140400, 3600, 20522, 'accettazione', 'anna@pec.alfa.test', '[{"address":"r0@pec.beta.test","class":"certificato"}]',
        'prova', '<1@client>', '["pec1.a"]', 'Alfa S.p.A.', NULL, NULL, NULL, 5000),
      (2, 'pec1', 1773140401, 3600, 20522, 'inoltro', 'anna@pec.alfa.test', '[]', NULL, NULL, '[]', 'Alfa S.p.A.', 'r1@pec.beta.test',
        NULL, '250 ok', 5000);
    INSERT INTO transactions VALUES
      (1, 'pec1', 1773140400, 3600, 'anna@pec.alfa.test', 'anna@pec.alfa.test', 'prova', x'70726f7661', '<1@client>', 'completa', 5000, 1),
      (2, 'pec2', 1773140400, 3600, 'anna@pec.alfa.test', 'anna@pec.alfa.test', NULL, NULL, NULL, 'breve', 10, 0);
    INSERT INTO recipients VALUES
      (1, 'r0@pec.beta.test', 0, 'certificato', 'open', 1773140400), (1, 'r1@pec.beta.test', 1, 'certificato', 'delivered', 1773140401),
      (1, 'r2@pec.beta.test', 2, 'esterno', 'failed', 1773140402), (2, 'r0@pec.beta.test', 0, 'certificato', 'refused', 1773140400);
    INSERT INTO queue VALUES
      (3, 'e1', 'pec1', 'pec1.x', 'envelope', 'posta-certificata@pec.alfa.test', 'relay:default', '1:96:400 2:4096:5000', 90, 100, 2,
        'busy'),
      (4, 'e2', 'pec1', 'pec1.x', 'acceptance', 'posta-certificata@pec.alfa.test', 'mailbox', '1:96:400 2:4096:5000', 90, 200, 0, NULL);
    INSERT INTO queue_recipients VALUES
      (3, 'r0@pec.beta.test', 0), (4, 'anna@pec.alfa.test', 0);
    """
}
