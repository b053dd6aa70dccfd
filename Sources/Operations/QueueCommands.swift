import Configuration
import Foundation
import Gateway
import Journey
import Ledger
import Octets
import PEC
import Spool

/// Which entries are to be listed.
public struct QueueListing: Sendable {
  let filter: QueueFilter
  let limit: Int

  /// Entries for which all of it holds; everything where nothing is said.
  /// - Throws: `CommandFailure` with code 64.
  public init(
    route: String? = nil, domain: String? = nil, sender: String? = nil, isHeld: Bool = false, limit: Int? = nil
  ) throws(CommandFailure) {
    var filter = QueueFilter()
    if let route { filter.scopes.append(.route(QueueChoice.route(route))) }
    if let domain { filter.scopes.append(try QueueChoice(domain: domain).scope) }
    filter.sender = sender
    filter.isHeld = isHeld
    self.filter = filter
    self.limit = limit ?? .max
  }
}

/// `ceralacca queue`: what waits for delivery, read from the ledger; what is to be done is asked of the running gateway.
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
    /// What holds it, and why; nil when nothing does.
    var heldWith: String?
    var heldSince: String?
    /// Where its octets lie; of `show` alone.
    var fragments: [Fragment]?
    /// What the certified log says of it; of `show` alone.
    var events: [Event]?

    struct Fragment: Encodable {
      var segment: UInt32
      var offset: UInt64
      var bytes: UInt64
    }

    struct Event: Encodable {
      var number: Int64
      var time: String
      var event: String
      var recipient: String?
      var detail: String?
    }

    init(_ entry: QueueEntry, _ holds: QueueHolds = QueueHolds()) {
      let hold = holds.hold(on: entry)
      heldWith = hold.map { $0.scope.words + ($0.reason.isEmpty ? "" : ": \($0.reason)") }
      heldSince = hold.map { QueueCommands.time($0.heldAt) }
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

  /// Lists the queue, oldest first, as it is read.
  public static func list(_ listing: QueueListing, configurationFile: String, json: Bool, say: (String) -> Void) throws {
    let ledger = try ledger(configurationFile)
    let (holds, columns) = (try ledger.queueHolds(), QueueTable.columns)
    let now = Clock.now().unixSeconds
    var (count, recipients, awaiting) = (0, 0, 0)
    var place: Int64?
    repeat {
      let page = try ledger.queueSelection(listing.filter, after: place, limit: min(500, listing.limit - count))
      if count == 0, !json, !page.entries.isEmpty { say(QueueTable.head(columns)) }
      for entry in page.entries {
        count += 1
        recipients += entry.recipients.count
        awaiting += entry.awaiting.count
        if json {
          say(try Output.json(Row(entry, holds)))
        } else {
          for line in QueueTable.lines(entry, holds, now, columns) { say(line) }
        }
      }
      place = page.next
    } while place != nil && count < listing.limit
    if json { return }
    for hold in holds.open { say("held since \(time(hold.heldAt)): \(words(hold))") }
    if count == 0 { return say(listing.isEverything ? "The queue is empty." : "Nothing of that is in the queue.") }
    say(
      "\(count) entries, \(recipients) recipients"
        + (awaiting == 0 ? "" : ", and \(awaiting) of whom the mailbox server has yet to report")
        + (place == nil ? "" : "; there are more"))
  }

  private static func words(_ hold: QueueHold) -> String {
    ASCII.escaped(hold.scope.words + (hold.reason.isEmpty ? "" : " (\(hold.reason))"))
  }

  /// Upper bounds of ages, in seconds, as qshape(1) has them.
  private static let ages: [Int64] = [5, 10, 20, 40, 80, 160, 320, 640, 1280].map { $0 * 60 }

  /// A destination, for machines.
  private struct Destination: Encodable {
    var route: String
    var domain: String?
    var entries: Int
    var recipients: Int
    var awaiting: Int
    var bytes: Int
    var held: Int
    var oldestSeconds: Int64
    var nextSeconds: Int64?
    var lastError: String?
    var lastErrorEntries: Int?
    /// Entries by age, by the upper bound in minutes.
    var ages: [String: Int]
  }

  /// The queue by destination and age.
  /// - Parameter limit: domains of each route that are shown.
  public static func summary(configurationFile: String, limit: Int, json: Bool, say: (String) -> Void) throws {
    let ledger = try ledger(configurationFile)
    let now = Clock.now().unixSeconds
    let rows = try ledger.queueDestinations(at: now, ageSeconds: ages)
    if json {
      let names = ages.map { "\($0 / 60)" } + ["more"]
      for row in rows {
        say(
          try Output.json(
            Destination(
              route: row.route.text, domain: row.domain, entries: row.entries, recipients: row.recipients, awaiting: row.awaiting,
              bytes: row.bytes, held: row.held, oldestSeconds: max(0, now - row.oldestCreatedAt),
              nextSeconds: row.nextDueAt.map { $0 - now }, lastError: row.lastError?.text, lastErrorEntries: row.lastError?.entries,
              ages: Dictionary(zip(names, row.ages), uniquingKeysWith: { first, _ in first }))))
      }
      return
    }
    if rows.isEmpty { return say("The queue is empty.") }
    var shown: [QueueDestination] = []
    var (left, hidden) = (0, 0)
    for row in rows {
      if row.domain == nil { left = limit } else { left -= 1 }
      if left >= 0 || row.domain == nil { shown.append(row) } else { hidden += 1 }
    }
    for line in QueueTable.destinations(shown, now, QueueTable.columns) { say(line) }
    say("")
    for line in QueueTable.ages(shown, ages, QueueTable.columns) { say(line) }
    for hold in try ledger.queueHolds().open { say("held since \(time(hold.heldAt)): \(words(hold))") }
    if hidden > 0 { say("\(hidden) further domains: --limit shows more") }
  }

  /// Shows one entry.
  public static func show(_ id: String, configurationFile: String, json: Bool, say: (String) -> Void) throws {
    let ledger = try ledger(configurationFile)
    let entry = try find(id, in: ledger)
    var row = Row(entry, try ledger.queueHolds())
    row.fragments = entry.content.map { Row.Fragment(segment: $0.segment, offset: $0.offset, bytes: $0.length) }
    row.events = try ledger.events(pecID: entry.pecID).filter { $0.relatedIDs.contains(entry.messageID) }.suffix(50).map { event in
      Row.Event(
        number: event.number ?? 0, time: event.instant.rfc3339, event: event.kind.rawValue, recipient: event.recipient, detail: event.detail
      )
    }
    if json { return say(try Output.json(row)) }
    for line in lines(row) { say(line) }
  }

  private static func find(_ id: String, in ledger: LedgerReader) throws -> QueueEntry {
    guard let entry = try ledger.entry(id) else {
      throw CommandFailure("no entry \(id) is in the queue", exitCode: CommandFailure.noInput)
    }
    return entry
  }

  private static func lines(_ row: Row) -> [String] {
    var lines = [
      "entry       \(row.id)", "PEC id      \(row.pecID)", "kind        \(row.kind)", "route       \(row.route)",
      "sender      \(row.sender.isEmpty ? "<>" : row.sender)",
      "recipients  \(row.recipients.isEmpty ? "none" : row.recipients.joined(separator: "\n            "))",
    ]
    if !row.awaiting.isEmpty { lines.append("reports     to come of \(row.awaiting.joined(separator: "\n                        "))") }
    if let reception = row.reception { lines.append("reception   \(reception)") }
    let fragments = row.fragments ?? []
    lines.append("size        \(row.bytes) octets in \(fragments.count) fragments")
    lines += fragments.prefix(20).map { "            \("\($0.bytes)".right(9)) of segment \($0.segment) from \($0.offset)" }
    if fragments.count > 20 { lines.append("            and \(fragments.count - 20) more") }
    lines += ["since       \(row.createdAt)", "attempts    \(row.attempts)"]
    if let held = row.heldWith {
      lines.append("held        since \(row.heldSince ?? "") with \(ASCII.escaped(held))")
    } else {
      lines.append("next try    \(row.dueAt)")
    }
    if let error = row.lastError { lines.append("last error  \(ASCII.escaped(error))") }
    for (index, event) in (row.events ?? []).enumerated() {
      let words = [event.recipient, event.detail].compactMap { $0 }.joined(separator: "; ")
      lines.append("\(index == 0 ? "log" : "   ")         \(event.time)  \(event.event)\(words.isEmpty ? "" : ": \(ASCII.escaped(words))")")
    }
    return lines
  }

  /// The octets of an entry's message as they would be sent, read from the spool beside a gateway that may be running.
  ///
  /// A range that a row names is not written again, and the row goes before its ranges do: when it is there after the reading as it was
  /// before, what was read is the message.
  public static func message(of id: String, configurationFile: String) throws -> [UInt8] {
    let ledger = try ledger(configurationFile)
    let spool = SpoolReader(directory: Gateway.spoolPath(try Service.load(configurationFile).dataDirectory))
    let entry = try find(id, in: ledger)
    var octets: [UInt8] = []
    octets.reserveCapacity(entry.bytes)
    do { for range in entry.content { octets += try spool.read(range) } } catch {
      _ = try find(id, in: ledger)
      throw CommandFailure("the message of \(id) cannot be read: \(error)", exitCode: CommandFailure.inputOutput)
    }
    guard try find(id, in: ledger).content == entry.content else {
      throw CommandFailure("the message of \(id) changed while it was read; try again", exitCode: CommandFailure.tryAgain)
    }
    return octets
  }
}

extension QueueListing {
  /// True when nothing was left out.
  fileprivate var isEverything: Bool { filter == QueueFilter() }
}
