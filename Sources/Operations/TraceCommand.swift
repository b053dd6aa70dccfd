import Foundation
import Gateway
import Journey
import Ledger
import Octets
import PEC

/// `ceralacca trace`: the whole life of a message, and why a receipt is not there.
public enum TraceCommand {
  /// Traces a message by its PEC id, by a receipt's Message-ID, or by the sender's own Message-ID in angle brackets; of a mail address,
  /// its latest messages.
  /// - Throws: `CommandFailure` with code 66 when nothing is known of it.
  public static func run(_ what: String, configurationFile: String, json: Bool, say: (String) -> Void) throws {
    let ledger = try QueueCommands.ledger(configurationFile)
    let now = Clock.now().unixSeconds
    do {
      let ids = try pecIDs(what, in: ledger)
      if !ids.isEmpty {
        for id in ids {
          let trace = try MessageTrace(id, in: ledger, now: now)
          if json { say(try Output.json(trace)) } else { for line in trace.lines { say(ASCII.escaped(line)) } }
        }
        return
      }
      let latest = try latestMessages(of: what, in: ledger)
      if latest.isEmpty { throw CommandFailure("the log knows no message \(ASCII.escaped(what))", exitCode: CommandFailure.noInput) }
      for id in latest {
        let trace = try MessageTrace(id, in: ledger, now: now)
        if json { say(try Output.json(trace)) } else { say(ASCII.escaped(trace.summary)) }
      }
      if !json { say("\(latest.count) messages of \(ASCII.escaped(what)), the latest first; `ceralacca trace ID` tells the whole of one") }
    } catch let error as LedgerError { throw CommandFailure("the log cannot be read: \(error)", exitCode: CommandFailure.inputOutput) }
  }

  /// Messages that an address's list names at the most.
  private static let most = 20

  /// The PEC ids that may be meant, oldest first.
  private static func pecIDs(_ what: String, in ledger: LedgerReader) throws(LedgerError) -> [String] {
    var found: [String] = []
    func add(_ events: [EventRecord]) {
      for event in events where !event.pecID.isEmpty && !found.contains(event.pecID) { found.append(event.pecID) }
    }
    if what.hasPrefix("<") {
      add(try ledger.events(clientMessageID: what))
      if found.isEmpty { add(try ledger.search(LogQuery(relatedID: String(what.dropFirst().prefix { $0 != ">" }))).rows) }
      return found
    }
    add(try ledger.events(pecID: what))
    if found.isEmpty, let reception = try ledger.reception(id: what) { found.append(reception.facts.pecID) }
    if found.isEmpty { add(try ledger.search(LogQuery(relatedID: what)).rows) }
    return found
  }

  private static func latestMessages(of address: String, in ledger: LedgerReader) throws(LedgerError) -> [String] {
    var query = LogQuery(party: address, newestFirst: true, limit: 500)
    var found: [String] = []
    while true {
      let page = try ledger.search(query)
      for row in page.rows where !row.pecID.isEmpty && !found.contains(row.pecID) {
        if found.count < most { found.append(row.pecID) }
      }
      guard found.count < most, let next = page.next else { return found }
      query.cursor = next
    }
  }
}

/// All that is known of one message, told in order.
struct MessageTrace: Encodable {
  /// Something that happened.
  struct Step: Encodable {
    var time: String
    /// Seconds since the first step.
    var after: Int64
    var event: String
    var words: String
  }

  /// A recipient, how far the message is for him, and why it is no further.
  struct Fate: Encodable {
    var address: String
    var recipientClass: String
    var state: String
    var since: String
    var why: String
  }

  var id: String
  var subject: String?
  var sender: String
  var steps: [Step] = []
  var recipients: [Fate] = []
  /// The deadline that runs, in words; nil when none does.
  var deadline: String?
  /// Our own queue entries about it, in words.
  var queue: [String] = []

  init(_ id: String, in ledger: LedgerReader, now: Int64) throws(LedgerError) {
    self.id = id
    let events = try ledger.events(pecID: id)
    let entries = try ledger.entries(pecID: id)
    sender = events.first?.sender ?? ""
    subject = events.first?.subject
    let start = events.first?.instant.unixSeconds ?? now
    steps = events.map { event in
      Step(
        time: event.instant.rfc3339, after: event.instant.unixSeconds - start, event: event.kind.rawValue, words: TraceWords.words(event))
    }
    let transaction = try ledger.transaction(pecID: id)
    let watch = try ledger.deadline(pecID: id)
    let holds = try ledger.queueHolds()
    let fates = TraceFates(events, entries, watch, isAccepted: transaction?.accepted ?? true, now: now, holds: holds)
    recipients = try ledger.recipientStates(pecID: id).map(fates.fate)
    let arrived = TraceFates(events, entries, nil, isAccepted: true, now: now, holds: holds)
    // Receipts about it arrived under its id too; they have no fate worth telling.
    let arrivals = try ledger.receptions(pecID: id).filter { $0.kind != .notification && $0.kind != .serviceNotice }
    for reception in arrivals where !recipients.contains(where: { reception.recipients.contains($0.address) }) {
      recipients += try ledger.receptionStates(id: reception.id).map(arrived.fate)
    }
    deadline = watch.map { TraceWords.words($0, now: now) }
    queue = entries.map { TraceWords.words($0, holds, now: now) }
  }

  /// One line for a list.
  var summary: String {
    let states = recipients.map { "\($0.address) \($0.state)" }.prefix(3).joined(separator: ", ")
    return "\(steps.first?.time ?? "")  \(id)  from \(sender)  \(subject.map { "\"\($0)\"" } ?? "without a subject")  "
      + (states.isEmpty ? steps.last?.event ?? "" : states) + (recipients.count > 3 ? " and \(recipients.count - 3) more" : "")
  }

  /// For people.
  var lines: [String] {
    var lines = ["message \(id)", "  from \(sender)\(subject.map { ", \"\($0)\"" } ?? "")", "timeline"]
    lines += steps.map { "  \($0.time)  \("+\(TraceWords.span($0.after))".left(8)) \($0.event): \($0.words)" }
    if !recipients.isEmpty { lines.append("recipients") }
    for fate in recipients {
      lines.append("  \(fate.address) (\(fate.recipientClass)): \(fate.state) since \(fate.since)")
      lines.append("    \(fate.why)")
    }
    if let deadline { lines += ["deadline", "  \(deadline)"] }
    if !queue.isEmpty { lines += ["in our queue"] + queue.map { "  \($0)" } }
    return lines
  }
}
