internal import GRDB
internal import Octets
internal import PEC
public import Reception

/// What is chosen for one mailbox or domain.
public struct StoredChoice: Sendable, Equatable {
  /// Address or domain in lower case.
  public var holder: String
  public var choice: HolderChoice
  /// Unix seconds of the last change.
  public var changedAt: Int64
}

extension LedgerReading {
  /// All choices, by the names of their mailboxes and domains.
  public func choices() throws(LedgerError) -> [StoredChoice] {
    try access.all(
      "SELECT holder, ordinary, notice, notice_of_anomalies, receipt, changed_at FROM choices ORDER BY holder", [],
      { stored, _ in
        var row = StoredRow(stored, of: "choices", path: access.path)
        func word<Value>(_ read: (String) -> Value?) throws -> Value? {
          guard let text = try row.optional(String.self) else { return nil }
          guard let value = read(text) else {
            throw LedgerError.damaged(path: access.path, detail: "table choices, column \(row.column) of a row cannot be read")
          }
          return value
        }
        let holder = try row.next(String.self)
        let ordinary = try word { OrdinaryAction(word: $0) }
        let notice = try word { ArrivalNoticeChoice(word: $0) }
        let ofAnomalies = try row.optional(Bool.self)
        let receipt = try word { ReceiptType(rawValue: $0) }
        return StoredChoice(
          holder: holder, choice: HolderChoice(ordinary: ordinary, notice: notice, noticeOfAnomalies: ofAnomalies, receipt: receipt),
          changedAt: try row.next())
      })
  }
}

extension LedgerCommit {
  /// Puts a choice in the place of what was chosen before.
  func store(_ choice: HolderChoice, of holder: String, changedAt: Int64) throws {
    let holder = ASCII.lowercased(text(holder))
    try db.execute(sql: "DELETE FROM choices WHERE holder = ?", arguments: [holder])
    if choice.isEmpty { return }
    try db.execute(
      sql: "INSERT INTO choices (holder, ordinary, notice, notice_of_anomalies, receipt, changed_at) VALUES (?, ?, ?, ?, ?, ?)",
      arguments: [
        holder, text(choice.ordinary?.word), text(choice.notice?.word), choice.noticeOfAnomalies, choice.receipt?.rawValue, changedAt,
      ])
  }
}
