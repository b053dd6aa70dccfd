import Foundation
import Journey
import Ledger
import Octets
import PEC

/// Form of a search's answer.
public enum LogSearchForm: Sendable {
  /// For people.
  case table
  /// One JSON object on each line.
  case jsonLines
  /// RFC 4180, with a line of names.
  case csv
}

/// What `ceralacca log search` is asked, as it was typed.
public struct LogSearchWords: Sendable {
  public var sender: String?
  public var recipient: String?
  /// Sender or recipient.
  public var address: String?
  public var day: String?
  public var from: String?
  public var to: String?
  public var subject: [String] = []
  public var id: String?
  public var messageID: String?
  public var related: String?
  public var events: [String] = []
  public var provider: String?
  public var error: String?
  public var newestFirst = false
  public var limit = 1000

  /// Nothing asked yet.
  public init() {}

  /// The query of these words.
  /// - Throws: `CommandFailure` with code 64 for a day or an event that is none.
  func query() throws -> LogQuery {
    let single = try LogSearchWords.day(day, of: "--day")
    var kinds: Set<EventKind> = []
    for event in events {
      guard let kind = EventKind(rawValue: event) ?? EventKind.allCases.first(where: { "\($0)" == event }) else {
        let known = EventKind.allCases.map(\.rawValue).joined(separator: ", ")
        throw CommandFailure("--event \(event): there is no such event; known are: \(known)", exitCode: CommandFailure.usage)
      }
      kinds.insert(kind)
    }
    let bracketed = messageID.map { $0.hasPrefix("<") ? $0 : "<\($0)>" }
    return LogQuery(
      sender: sender, recipient: recipient, party: address, words: subject, pecID: id, clientMessageID: bracketed, relatedID: related,
      kinds: kinds, provider: provider, error: error, from: try single ?? LogSearchWords.day(from, of: "--from"),
      to: try single ?? LogSearchWords.day(to, of: "--to"), newestFirst: newestFirst, limit: min(limit, 10_000))
  }

  /// The day that an option names.
  static func day(_ text: String?, of option: String) throws -> LegalDay? {
    guard let text else { return nil }
    guard let day = LegalDay(text) else {
      throw CommandFailure("\(option) \(text): write a day as 2026-03-10 or 10/03/2026", exitCode: CommandFailure.usage)
    }
    return day
  }
}

extension LogCommands {
  /// Searches the certified log (`pec-rules` 9.5). All that is asked must hold.
  /// - Throws: `CommandFailure` with code 64 for what cannot be asked, 66 when nothing is found.
  public static func search(
    _ words: LogSearchWords, form: LogSearchForm, configurationFile: String, say: (String) -> Void, remark: (String) -> Void
  ) throws {
    var query = try words.query()
    let ledger = try QueueCommands.ledger(configurationFile)
    if form == .csv { say(csvNames) }
    var count = 0
    do {
      pages: while true {
        let page = try ledger.search(query)
        for event in page.rows {
          guard count < words.limit else { break pages }
          if form == .table, count == 0 { say(tableNames) }
          count += 1
          switch form {
          case .table: for line in tableLines(event) { say(line) }
          case .jsonLines: say(try Output.json(Row(event)))
          case .csv: say(csv(event))
          }
        }
        guard let next = page.next, count < words.limit else {
          if page.next != nil { remark("the first \(count) rows; --limit shows more") }
          break
        }
        query.cursor = next
      }
    } catch let error as LedgerError { throw CommandFailure("the log cannot be read: \(error)", exitCode: CommandFailure.inputOutput) }
    if count == 0 { throw CommandFailure("nothing in the log fits", exitCode: CommandFailure.noInput) }
    if form == .table { remark("\(count) rows") }
  }

  // MARK: A table for people

  private static let tableNames = column(["ROW", "TIME", "EVENT", "FROM", "TO", "SUBJECT"])

  private static func column(_ fields: [String]) -> String {
    fields.map(ASCII.escaped).columns([9, 25, 28, 32, 32, 0])
  }

  private static func tableLines(_ event: EventRecord) -> [String] {
    let others = event.recipients.map(\.address)
    let to = event.recipient ?? (others.count > 1 ? "\(others[0]) and \(others.count - 1) more" : others.first ?? "")
    let first = column(["\(event.number ?? 0)", event.instant.rfc3339, event.kind.rawValue, event.sender, to, event.subject ?? ""])
    var more: [String] = []
    if !event.pecID.isEmpty { more.append("id \(event.pecID)") }
    if let error = event.error, error != "nessuno" { more.append("error \(error)") }
    if let detail = event.detail, !detail.isEmpty { more.append(detail) }
    let indent = String(repeating: " ", count: 10)
    return [first.trimmingCharacters(in: .whitespaces)] + (more.isEmpty ? [] : [indent + ASCII.escaped(more.joined(separator: "; "))])
  }

  // MARK: CSV

  private static let csvNames = "row,time,event,id,sender,recipients,recipient,subject,msgid,related,provider,error,detail,bytes"

  private static func csv(_ event: EventRecord) -> String {
    [
      "\(event.number ?? 0)", event.instant.rfc3339, event.kind.rawValue, event.pecID, event.sender,
      event.recipients.map(\.address).joined(separator: " "), event.recipient ?? "", event.subject ?? "", event.clientMessageID ?? "",
      event.relatedIDs.joined(separator: " "), event.provider, event.error ?? "", event.detail ?? "", "\(event.bytes)",
    ].map(CommaSeparated.field).joined(separator: ",")
  }
}

/// Fields of comma-separated values (RFC 4180).
enum CommaSeparated {
  /// A field, quoted where it must be. What a spreadsheet would take for a formula gets an apostrophe before it: subjects come from anybody.
  static func field(_ text: String) -> String {
    let isFormula = text.first.map { "=+-@\t\r".contains($0) } ?? false
    let safe = isFormula ? "'" + text : text
    guard safe.utf8.contains(where: { $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "\"") || $0 == 10 || $0 == 13 }) else { return safe }
    return "\"" + safe.replacingOccurrences(of: "\"", with: "\"\"") + "\""
  }
}
