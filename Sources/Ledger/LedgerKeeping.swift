internal import Evidence
internal import Foundation
internal import GRDB
internal import Journey
internal import Octets
internal import PEC

/// Seals, holds, purges, requests and counts of mailboxes.
extension LedgerCommit {
  // MARK: - Seals

  /// A seal follows the last one, and covers rows that are there.
  func add(_ seal: SealRecord) throws {
    let last = try Row.fetchOne(db, sql: "SELECT number, last FROM seals ORDER BY number DESC LIMIT 1")
    var (number, covered): (Int64, Int64) = (0, 0)
    if let last {
      var row = StoredRow(last, of: "seals", path: path)
      (number, covered) = (try row.next(), try row.next())
    }
    guard seal.number == number + 1, seal.first == covered + 1, seal.first <= seal.last else {
      throw LedgerError.conflict(
        "seal \(seal.number) over rows \(seal.first)–\(seal.last) does not follow seal \(number), which ends with \(covered)")
    }
    let chain = try Data.fetchOne(db, sql: "SELECT chain FROM events WHERE number = ?", arguments: [seal.last])
    guard let chain, Hex.encode(chain) == seal.chain else {
      throw LedgerError.conflict("seal \(seal.number) does not end with the chain value of row \(seal.last)")
    }
    try db.execute(
      sql: """
        INSERT INTO seals (number, first, last, at, utc_offset, digest, root, chain, stamped_at, authority)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
      arguments: [
        seal.number, seal.first, seal.last, seal.madeAt.unixSeconds, seal.madeAt.utcOffsetSeconds, text(seal.digest), text(seal.root),
        text(seal.chain), seal.stampedAt, text(seal.authority),
      ])
  }

  func stamp(_ seal: Int64, _ at: Int64, _ authority: String) throws {
    try db.execute(sql: "UPDATE seals SET stamped_at = ?, authority = ? WHERE number = ?", arguments: [at, text(authority), seal])
    guard db.changesCount == 1 else { throw LedgerError.conflict("there is no seal \(seal) to be stamped") }
  }

  // MARK: - Holds and purges

  func add(_ hold: LogHold) throws {
    guard hold.from <= hold.to else { throw LedgerError.conflict("the hold \(hold.id) ends before it begins") }
    try db.execute(
      sql: "INSERT INTO holds (id, from_day, to_day, reason, made_at) VALUES (?, ?, ?, ?, ?)",
      arguments: [text(hold.id), hold.from.number, hold.to.number, text(hold.reason), hold.madeAt])
  }

  func liftHold(_ id: String) throws {
    try db.execute(sql: "DELETE FROM holds WHERE id = ?", arguments: [text(id)])
    guard db.changesCount == 1 else { throw LedgerError.conflict("there is no hold \(id)") }
  }

  /// Removes the oldest rows, with what is left of the messages before the first row that stays. The table `purges` refuses what must
  /// not go.
  func purge(_ first: Int64, _ last: Int64) throws {
    guard last < first || first < 1 || last - first < Ledger.purgedRows else {
      throw LedgerError.conflict("a purge takes \(Ledger.purgedRows) rows at the most")
    }
    let bounds: StatementArguments = [first, last]
    let chain = try Data.fetchOne(db, sql: "SELECT chain FROM events WHERE number = ?", arguments: [last])
    try db.execute(
      sql: "INSERT INTO purges (first, last, at, chain) VALUES (?, ?, ?, ?)", arguments: [first, last, now, chain ?? Data()])
    let days = try Row.fetchAll(
      db,
      sql: """
        SELECT purged.day, purged.count,
          (SELECT number FROM events WHERE number > ?2 AND number <= log_days.last AND day = purged.day ORDER BY number LIMIT 1)
        FROM (SELECT day, count(*) AS count FROM events WHERE number BETWEEN ?1 AND ?2 GROUP BY day) AS purged
          JOIN log_days ON log_days.day = purged.day
        """, arguments: bounds)
    for stored in days {
      var row = StoredRow(stored, of: "log_days", path: path)
      let (day, count) = (try row.next(Int64.self), try row.next(Int.self))
      if let next = try row.optional(Int64.self) {
        try db.execute(sql: "UPDATE log_days SET first = ?, events = events - ? WHERE day = ?", arguments: [next, count, day])
      } else {
        try db.execute(sql: "DELETE FROM log_days WHERE day = ?", arguments: [day])
      }
    }
    try db.execute(sql: "DELETE FROM events WHERE number BETWEEN ? AND ?", arguments: bounds)
    // Terms go with the last row of their block; until then they name rows that are not there, which is passed over.
    let blocks = LogPostings.block(of: last + 1)
    try db.execute(sql: "DELETE FROM term_parts WHERE place < ?", arguments: [blocks * LogPostings.parts])
    try db.execute(sql: "DELETE FROM term_sets WHERE place < ?", arguments: [LogPostings.place(of: 0, in: blocks)])
    try db.execute(sql: "DELETE FROM term_runs WHERE first < ?", arguments: [blocks << LogPostings.blockBits])
    purged(before: blocks)
    try purgeMessages()
  }

  /// Removes the oldest transactions and receptions, a bounded number of them, as far as they are older than the first row that stays
  /// and nothing is under way for them.
  private func purgeMessages() throws {
    let at = try Int64.fetchOne(db, sql: "SELECT at FROM events ORDER BY number LIMIT 1")
    guard let at else { return }
    let bounds: StatementArguments = [Ledger.purgedMessages, at]
    let transactions = try Int64.fetchAll(
      db,
      sql: """
        SELECT id FROM (SELECT id, pec_id, at FROM transactions ORDER BY id LIMIT ?)
        WHERE at < ? AND pec_id NOT IN (SELECT pec_id FROM queue) AND id NOT IN (SELECT transaction_id FROM deadlines)
        """, arguments: bounds)
    for id in transactions {
      try remove("DELETE FROM recipients WHERE transaction_id = ?", [id])
      try remove("DELETE FROM transactions WHERE id = ?", [id])
    }
    let receptions = try Row.fetchAll(
      db,
      sql: """
        SELECT id, reception, fingerprint FROM (SELECT id, reception, fingerprint, at FROM receptions ORDER BY id LIMIT ?)
        WHERE at < ? AND reception NOT IN (SELECT reception FROM queue WHERE reception IS NOT NULL)
        """, arguments: bounds)
    for stored in receptions {
      var row = StoredRow(stored, of: "receptions", path: path)
      let (id, reception, fingerprint): (Int64, String, String) = (try row.next(), try row.next(), try row.next())
      let message = LedgerColumns.message(fingerprint: fingerprint, reception: reception)
      try remove("DELETE FROM reception_recipients WHERE message = ? AND reception_id = ?", [message, id])
      try remove("DELETE FROM receptions WHERE id = ?", [id])
    }
  }

  private func remove(_ sql: String, _ values: StatementArguments) throws { try db.cachedStatement(sql: sql).execute(arguments: values) }

  // MARK: - Requests and counts

  /// A new request, or the next state of one. What came to its end stays as it is, and so does what was asked by whom.
  func store(_ request: LogRequestRecord) throws {
    let found = try Row.fetchOne(
      db, sql: "SELECT row, state, pec_id = ? AND asker = ? FROM requests WHERE id = ?",
      arguments: [text(request.pecID), text(request.asker), text(request.id)])
    let id: Int64
    if let found {
      var row = StoredRow(found, of: "requests", path: path)
      id = try row.next()
      let state = try row.next { LogRequestRecord.State(rawValue: $0) }
      guard try row.next(Bool.self) else { throw LedgerError.conflict("the request \(request.id) is somebody else's") }
      guard !state.isFinal else { throw LedgerError.conflict("the request \(request.id) has come to its end already: \(state.rawValue)") }
      try db.execute(
        sql: "UPDATE requests SET state = ?, changed_at = ?, question = ?, outcome = ?, answer_id = ? WHERE row = ?",
        arguments: [request.state.rawValue, request.changedAt, text(request.question), text(request.outcome), text(request.answerID), id])
    } else {
      try db.execute(
        sql: """
          INSERT INTO requests (id, pec_id, asker, opened_at, opened_utc_offset, state, changed_at, question, outcome, answer_id)
          VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
          """,
        arguments: [
          text(request.id), text(request.pecID), text(request.asker), request.openedAt.unixSeconds, request.openedAt.utcOffsetSeconds,
          request.state.rawValue, request.changedAt, text(request.question), text(request.outcome), text(request.answerID),
        ])
      id = db.lastInsertedRowID
    }
    try db.execute(
      sql: """
        INSERT INTO request_history (request, step, state, at, outcome)
        SELECT ?1, 1 + ifnull((SELECT max(step) FROM request_history WHERE request = ?1), 0), ?2, ?3, ?4
        """, arguments: [id, request.state.rawValue, request.changedAt, text(request.outcome)])
  }

  func store(_ counts: [String: Int], on day: LegalDay) throws {
    try db.execute(sql: "DELETE FROM mailbox_counts WHERE day = ?", arguments: [day.number])
    for (domain, count) in counts {
      try db.execute(
        sql: "INSERT INTO mailbox_counts (day, domain, count) VALUES (?, ?, ?)", arguments: [day.number, text(domain), count])
    }
  }
}
