internal import GRDB

/// Version 4 of the tables: what an operator has held of the queue.
///
/// A hold is one row, whatever it is about: entries do not know of it, so to hold a million or to release them changes none of their rows.
enum LedgerSchema4 {
  static func migrate(_ db: Database) throws { try db.execute(sql: holds) }

  private static let holds = """
    CREATE TABLE queue_holds (
      id INTEGER PRIMARY KEY,
      scope TEXT NOT NULL CHECK (scope IN ('all', 'route', 'domain', 'entry')),
      name TEXT NOT NULL,
      reason TEXT NOT NULL,
      held_at INTEGER NOT NULL,
      released_at INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX queue_holds_open ON queue_holds(scope, name) WHERE released_at IS NULL;
    """
}
