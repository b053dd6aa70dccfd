/// A ledger as version 2 of the schema left it, octet for octet in its tables: released, and therefore never changed here either.
enum VersionTwo {
  static let tables =
    VersionOne.tables + """

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
      ALTER TABLE queue ADD COLUMN reception TEXT;
      ALTER TABLE queue ADD COLUMN has_eight_bit INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE queue ADD COLUMN proof_token TEXT;
      CREATE INDEX queue_by_proof_token ON queue(proof_token) WHERE proof_token IS NOT NULL;
      ALTER TABLE queue_recipients ADD COLUMN awaiting INTEGER NOT NULL DEFAULT 0;
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
      INSERT INTO grdb_migrations (identifier) VALUES ('2: receptions, proofs of delivery');
      PRAGMA user_version = 2;
      """

  /// Rows as version 2 wrote them, with characters that its form of recipients escaped and such that it did not.
  static let content = """
    INSERT INTO events VALUES
      (1, 'pec1', 1773140400, 3600, 20522, 'accettazione', 'Anna@pec.alfa.test', '[{"address":"r0@pec.beta.test","class":"certificato"}]',
        'Però una prova', '<1@client>', '["pec1.a"]', 'Alfa S.p.A.', NULL, NULL, NULL, 5000),
      (2, 'pec1', 1773140401, 3600, 20522, 'inoltro', 'Anna@pec.alfa.test', '[]', NULL, NULL, '[]', 'Alfa S.p.A.', 'r1@pec.beta.test',
        NULL, '250 ok', 5000),
      (3, 'pec2', 1773226800, 3600, 20523, 'busta-anomalia', '', '[{"address":"\\u0000\\u001f\\"' || char(127)
        || 'é@x","class":"esterno"},{"address":"b@x","class":"certificato"}]', '', NULL, '["a\\u0000\\"b",""]', '', NULL, 'altro',
        '␀', 0);
    INSERT INTO transactions VALUES
      (1, 'young', 1000000000, 3600, 'a@x', 'a@x', NULL, NULL, NULL, 'completa', 10, 1),
      (2, 'old', 999950000, 3600, 'a@x', 'a@x', NULL, NULL, NULL, 'completa', 10, 1),
      (3, 'older', 999913600, 3600, 'a@x', 'a@x', NULL, NULL, NULL, 'completa', 10, 1),
      (4, 'refused', 999999999, 3600, 'a@x', 'a@x', NULL, NULL, NULL, 'completa', 10, 0),
      (5, 'final', 999999999, 3600, 'a@x', 'a@x', NULL, NULL, NULL, 'completa', 10, 1),
      (6, 'ordinary', 999999999, 3600, 'a@x', 'a@x', NULL, NULL, NULL, 'completa', 10, 1),
      (7, 'nobody', 999999999, 3600, 'a@x', 'a@x', NULL, NULL, NULL, 'completa', 10, 1);
    INSERT INTO recipients VALUES
      (1, 'r@x', 0, 'certificato', 'delivered', 1), (1, 's@x', 1, 'certificato', 'open', 1),
      (2, 'r@x', 0, 'certificato', 'taken-in-charge', 1), (3, 'r@x', 0, 'certificato', 'open', 1),
      (4, 'r@x', 0, 'certificato', 'refused', 1), (5, 'r@x', 0, 'certificato', 'delivered', 1), (5, 's@x', 1, 'certificato', 'failed', 1),
      (6, 'r@x', 0, 'esterno', 'relayed', 1);
    INSERT INTO receptions VALUES
      (1, 'in1', 'opec1', 'envelope', 'Beta', 'f1', 1773140400, 3600, 10, 20, '7bit', 1773140400, 3600, 's@x', 's@x', 'completa', 7, 1,
        NULL, 'x', NULL, '[]');
    INSERT INTO reception_recipients VALUES ('f1', 'b@x', 1, 1, 0, 'open', 5), ('f1', 'A@x', 1, 0, 1, 'delivered', 6);
    """
}
