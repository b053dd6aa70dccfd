import Configuration
import Foundation
import Gateway
import Journey
import Ledger
import Octets
import PEC

/// `ceralacca queue`: what waits for delivery, read from the ledger; retry and drop are asked of the running gateway.
public enum QueueCommands {
  /// An entry, for machines.
  struct Row: Encodable {
    var id: String
    var pecID: String
    var kind: String
    var route: String
    var sender: String
    var recipients: [String]
    /// Recipients whom the mailbox server has taken and of whom its report has not come yet.
    var awaiting: [String]
    /// The reception that brought the message; nil for what was made here.
    var reception: String?
    var bytes: Int
    var attempts: Int
    var createdAt: String
    var dueAt: String
    var lastError: String?

    init(_ entry: QueueEntry) {
      id = entry.id
      pecID = entry.pecID
      kind = entry.kind.rawValue
      route = entry.route.text
      sender = entry.sender
      recipients = entry.recipients
      awaiting = entry.awaiting
      reception = entry.reception
      bytes = entry.bytes
      attempts = entry.attempts
      createdAt = QueueCommands.time(entry.createdAt)
      dueAt = QueueCommands.time(entry.dueAt)
      lastError = entry.lastError
    }
  }

  static func time(_ seconds: Int64) -> String {
    Instant(unixSeconds: seconds, utcOffsetSeconds: LocalTime.utcOffsetSeconds(at: seconds)).rfc3339
  }

  /// The ledger of a configuration, read only.
  static func ledger(_ configurationFile: String) throws -> LedgerReader {
    let path = Gateway.ledgerPath(try Service.load(configurationFile).dataDirectory)
    guard FileManager.default.fileExists(atPath: path) else {
      throw CommandFailure("\(path) is not there: the gateway has not run with this configuration yet", exitCode: CommandFailure.noInput)
    }
    do { return try Ledger.openReadOnly(path: path) } catch {
      throw CommandFailure("\(path): \(error)", exitCode: CommandFailure.inputOutput)
    }
  }

  /// Lists the queue, oldest first.
  public static func list(configurationFile: String, json: Bool, say: (String) -> Void) throws {
    let entries = try ledger(configurationFile).allEntries()
    if json {
      for entry in entries { say(try Output.json(Row(entry))) }
      return
    }
    if entries.isEmpty { return say("The queue is empty.") }
    let now = Clock.now().unixSeconds
    say(line("ID", "KIND", "ROUTE", "RCPT", "SIZE", "TRIES", "AGE", "NEXT"))
    for entry in entries {
      say(
        line(
          entry.id, entry.kind.rawValue, entry.route.text, "\(entry.recipients.count)", size(entry.bytes), "\(entry.attempts)",
          span(now - entry.createdAt), next(entry, now)))
      if let error = entry.lastError { say("    \(ASCII.escaped(error))") }
    }
    let waiting = entries.reduce(0) { $0 + $1.awaiting.count }
    say(
      "\(entries.count) entries, \(entries.reduce(0) { $0 + $1.recipients.count }) recipients"
        + (waiting == 0 ? "" : ", and \(waiting) of whom the mailbox server has yet to report"))
  }

  /// When something happens to an entry: nothing but its report is waited for when every recipient was taken.
  private static func next(_ entry: QueueEntry, _ now: Int64) -> String {
    if entry.recipients.isEmpty, !entry.awaiting.isEmpty { return "report" }
    return entry.dueAt <= now ? "now" : "in \(span(entry.dueAt - now))"
  }

  private static func line(_ fields: String...) -> String {
    let widths = [46, 14, 18, 5, 8, 5, 8, 10]
    return zip(fields, widths).map { $0.padding(toLength: max($1, $0.count), withPad: " ", startingAt: 0) }.joined(separator: " ")
  }

  private static func size(_ bytes: Int) -> String {
    bytes < 10_000 ? "\(bytes)" : bytes < 10_000_000 ? "\(bytes / 1000)k" : "\(bytes / 1_000_000)M"
  }

  private static func span(_ seconds: Int64) -> String {
    seconds < 120 ? "\(seconds)s" : seconds < 7200 ? "\(seconds / 60)m" : "\(seconds / 3600)h"
  }

  /// Shows one entry.
  public static func show(_ id: String, configurationFile: String, json: Bool, say: (String) -> Void) throws {
    guard let entry = try ledger(configurationFile).entry(id) else {
      throw CommandFailure("no entry \(id) is in the queue", exitCode: CommandFailure.noInput)
    }
    let row = Row(entry)
    if json { return say(try Output.json(row)) }
    say("entry       \(row.id)")
    say("PEC id      \(row.pecID)")
    say("kind        \(row.kind)")
    say("route       \(row.route)")
    say("sender      \(row.sender)")
    say("recipients  \(row.recipients.isEmpty ? "none" : row.recipients.joined(separator: "\n            "))")
    if !row.awaiting.isEmpty { say("reports     to come of \(row.awaiting.joined(separator: "\n                        "))") }
    if let reception = row.reception { say("reception   \(reception)") }
    say("size        \(row.bytes) octets")
    say("since       \(row.createdAt)")
    say("next try    \(row.dueAt)")
    say("attempts    \(row.attempts)")
    if let error = row.lastError { say("last error  \(ASCII.escaped(error))") }
  }

  /// Has an entry, or all, tried now.
  public static func retry(_ id: String?, configurationFile: String, json: Bool, say: (String) -> Void) throws {
    try ask(ControlRequest(verb: "retry", entry: id), configurationFile, json, say) { answer in
      // Of all that is tried the answer names what was in memory, and counts the rest.
      let named = (answer.entries ?? []).joined(separator: ", ")
      return id == nil ? "tried as soon as there is room: \(answer.message)" : "tried now: \(named)"
    }
  }

  /// Gives an entry up.
  public static func drop(_ id: String, configurationFile: String, json: Bool, say: (String) -> Void) throws {
    try ask(ControlRequest(verb: "drop", entry: id), configurationFile, json, say) { answer in
      "dropped: \((answer.entries ?? []).joined(separator: ", "))"
    }
  }

  private static func ask(
    _ request: ControlRequest, _ configurationFile: String, _ json: Bool, _ say: (String) -> Void, words: (ControlAnswer) -> String
  ) throws {
    let answer = try ControlClient.ask(request, of: try Service.load(configurationFile).dataDirectory)
    if json { say(try Output.json(answer)) } else if answer.ok { say(words(answer)) }
    if !answer.ok { throw CommandFailure(json ? "" : answer.message, exitCode: CommandFailure.noInput) }
  }
}
