internal import Foundation
internal import GRDB
public import Journey

extension LedgerReading {
  /// The transaction that the same hand-over of a trusted peer became before; nil when it is the first, or that is too long ago.
  /// - Parameter now: Unix seconds.
  public func transaction(handedOverAs key: HandOverKey, at now: Int64) throws(LedgerError) -> String? {
    let (first, last) = (HandOverDay.of(now - key.seconds), HandOverDay.of(now) + 1)
    return try access.read { db in
      for day in (first...last).reversed() {
        let statement = try db.cachedStatement(sql: "SELECT pec_id FROM resubmissions WHERE day = ? AND digest = ? AND at >= ?")
        if let found = try String.fetchOne(statement, arguments: [day, Data(key.digest), now - key.seconds]) { return found }
      }
      return nil
    }
  }
}

extension LedgerCommit {
  /// Notes a hand-over, and forgets some that are too old.
  func store(_ key: HandOverKey, pecID: String, at: Int64) throws {
    let statement = try db.cachedStatement(
      sql: "INSERT OR REPLACE INTO resubmissions (day, digest, pec_id, at) VALUES (?, ?, ?, ?)")
    try statement.execute(arguments: [HandOverDay.of(at), Data(key.digest), LedgerColumns.text(pecID), at])
    let old = try db.cachedStatement(
      sql: """
        DELETE FROM resubmissions WHERE (day, digest) IN (SELECT day, digest FROM resubmissions WHERE day < ? ORDER BY day, digest LIMIT ?)
        """)
    try old.execute(arguments: [HandOverDay.of(at - key.seconds), key.forgottenAtOnce])
  }
}

/// Days of UTC since 1970.
enum HandOverDay {
  static func of(_ unixSeconds: Int64) -> Int64 { max(0, unixSeconds) / 86_400 }
}
