import Foundation
import Journey
import Ledger
import Octets
import PEC

/// The queue on a terminal.
enum QueueTable {
  /// Columns to write for: the terminal's, the environment's where the output goes elsewhere, or 120.
  static var columns: Int {
    let found = Terminal.columns ?? ProcessInfo.processInfo.environment["COLUMNS"].flatMap { Int($0) } ?? 120
    return max(60, min(found, 250))
  }

  /// A number in at most five columns.
  static func count(_ number: Int) -> String {
    number < 100_000 ? "\(number)" : number < 10_000_000 ? "\(number / 1000)k" : "\(number / 1_000_000)M"
  }

  /// Octets in at most five columns.
  static func size(_ bytes: Int) -> String {
    switch bytes {
    case ..<10_000: "\(bytes)"
    case ..<10_000_000: "\(bytes / 1000)k"
    case ..<10_000_000_000: "\(bytes / 1_000_000)M"
    default: "\(bytes / 1_000_000_000)G"
    }
  }

  /// Seconds in at most four columns: `59s`, `90m`, `47h`, `12d`.
  static func span(_ seconds: Int64) -> String {
    let seconds = max(0, seconds)
    if seconds < 120 { return "\(seconds)s" }
    if seconds < 7200 { return "\(seconds / 60)m" }
    return seconds < 172_800 ? "\(seconds / 3600)h" : "\(seconds / 86_400)d"
  }

  /// When something happens to an entry: nothing but its report is waited for when every recipient was taken.
  static func next(_ entry: QueueEntry, _ holds: QueueHolds, _ now: Int64) -> String {
    if entry.recipients.isEmpty, !entry.awaiting.isEmpty { return "report" }
    if holds.hold(on: entry) != nil { return "held" }
    return entry.dueAt <= now ? "now" : "in \(span(entry.dueAt - now))"
  }

  // MARK: The list

  /// Whether an entry has one line, or two.
  static func isWide(_ columns: Int) -> Bool { columns >= 110 }

  /// Columns of the longest kind, and of an identifier beside it.
  private static let kind = MessageKind.allCases.map(\.rawValue.count).max() ?? 0
  private static func identifier(_ columns: Int) -> Int { min(44, columns - kind - 1) }

  static func head(_ columns: Int) -> String {
    let title = "ID".left(identifier(columns)) + " "
    guard isWide(columns) else { return "\(title)KIND\n  " + row("ROUTE", "RCPT", "SIZE", "TRIES", "AGE", "NEXT", columns - 2) }
    return title + "KIND".left(kind) + " " + row("ROUTE", "RCPT", "SIZE", "TRIES", "AGE", "NEXT", columns - 46 - kind)
  }

  static func lines(_ entry: QueueEntry, _ holds: QueueHolds, _ now: Int64, _ columns: Int) -> [String] {
    let fields = { (width: Int) in
      row(
        entry.route.text, count(entry.recipients.count), size(entry.bytes), "\(entry.attempts)", span(now - entry.createdAt),
        next(entry, holds, now), width)
    }
    var lines =
      isWide(columns)
      ? ["\(entry.id.left(44)) \(entry.kind.rawValue.left(kind)) \(fields(columns - 46 - kind))"]
      : ["\(entry.id.left(identifier(columns))) \(entry.kind.rawValue)", "  " + fields(columns - 2)]
    if let first = (entry.recipients + entry.awaiting).first {
      let others = entry.recipients.count + entry.awaiting.count - 1
      lines.append("    to \(ASCII.escaped(first))\(others == 0 ? "" : " and \(others) more")".cut(columns))
    }
    if let error = entry.lastError { lines.append("    \(ASCII.escaped(error))".cut(columns)) }
    return lines
  }

  private static func row(
    _ route: String, _ recipients: String, _ size: String, _ tries: String, _ age: String, _ next: String, _ width: Int
  ) -> String {
    let name = min(30, max(12, width - 33))
    return route.cut(name).left(name) + recipients.right(5) + size.right(7) + tries.right(6) + age.right(6) + "  " + next
  }

  // MARK: The summary

  static func destinations(_ rows: [QueueDestination], _ now: Int64, _ columns: Int) -> [String] {
    let name = min(52, max(24, columns - 47))
    var lines = ["DESTINATION".left(name) + heads(["ENTRIES", "RCPTS", "SIZE", "OLDEST", "NEXT", "HELD"], [8, 8, 7, 8, 8, 8])]
    for row in rows {
      let next = row.nextDueAt.map { $0 <= now ? "now" : span($0 - now) } ?? "-"
      let fields = [
        count(row.entries), count(row.recipients), size(row.bytes), span(now - row.oldestCreatedAt), next,
        row.held == 0 ? "-" : count(row.held),
      ]
      lines.append(title(row).cut(name - 1).left(name) + heads(fields, [8, 8, 7, 8, 8, 8]))
      if row.domain != nil, let error = row.lastError {
        lines.append("    \(count(error.entries)) × \(ASCII.escaped(error.text))".cut(columns))
      }
    }
    return lines
  }

  /// Entries by age, as qshape(1) shows them.
  static func ages(_ rows: [QueueDestination], _ bounds: [Int64], _ columns: Int) -> [String] {
    let names = ["TOTAL"] + bounds.map { "\($0 / 60)" } + ["\((bounds.last ?? 0) / 60)+"]
    let widths = [6] + Array(repeating: 5, count: bounds.count) + [6]
    let name = min(40, max(18, columns - widths.reduce(0, +)))
    return ["AGE IN MINUTES".left(name) + heads(names, widths)]
      + rows.map { row in
        title(row).cut(name - 1).left(name) + heads(([row.entries] + row.ages).map { $0 == 0 ? "·" : short($0) }, widths)
      }
  }

  /// A number in at most four columns.
  private static func short(_ number: Int) -> String {
    number < 10_000 ? "\(number)" : number < 1_000_000 ? "\(number / 1000)k" : "\(number / 1_000_000)M"
  }

  private static func heads(_ texts: [String], _ widths: [Int]) -> String { zip(texts, widths).map { $0.right($1) }.joined() }

  private static func title(_ row: QueueDestination) -> String {
    guard let domain = row.domain else { return row.route.text }
    return "  " + (domain.isEmpty ? "(other domains)" : ASCII.escaped(domain))
  }
}
