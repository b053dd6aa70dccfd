import Foundation
import Journey
import Ledger
import Octets
import PEC

extension LogCommands {
  /// How far a message has come for a recipient, for machines.
  private struct FateRow: Encodable {
    var address: String
    var state: String
    var since: String

    init(_ status: RecipientStatus) {
      address = status.recipient.address
      state = status.state.rawValue
      since = QueueCommands.time(status.changedAt)
    }
  }

  /// An arrival at our incoming point, for machines.
  private struct ReceptionRow: Encodable {
    var id: String
    var time: String
    var kind: String
    var provider: String
    var recipients: [FateRow]
  }

  /// All that is known of one PEC id, for machines.
  private struct Story: Encodable {
    var pecID: String
    /// Of our own sender's message; empty when it came from elsewhere.
    var recipients: [FateRow]
    var receptions: [ReceptionRow]
    var events: [Row]
  }

  /// Shows all that is known of a message: how far it has come for each recipient, where it arrived, and its events.
  /// - Parameter id: a PEC id, the id of a reception, or the client's Message-ID in angle brackets.
  public static func show(_ id: String, configurationFile: String, json: Bool, say: (String) -> Void) throws {
    let ledger = try QueueCommands.ledger(configurationFile)
    do {
      let ids = try pecIDs(id, in: ledger)
      if ids.isEmpty { throw CommandFailure("the log knows no message \(ASCII.escaped(id))", exitCode: CommandFailure.noInput) }
      for pecID in ids {
        let events = try ledger.events(pecID: pecID)
        let receptions = try ledger.receptions(pecID: pecID).map { reception in
          ReceptionRow(
            id: reception.id, time: reception.instant.rfc3339, kind: reception.kind.rawValue, provider: reception.provider,
            recipients: try ledger.receptionStates(id: reception.id).map(FateRow.init))
        }
        let story = Story(
          pecID: pecID, recipients: try ledger.recipientStates(pecID: pecID).map(FateRow.init), receptions: receptions,
          events: events.map(Row.init))
        if json { say(try Output.json(story)) } else { say(text(story, events)) }
      }
    } catch let error as LedgerError { throw CommandFailure("the log cannot be read: \(error)", exitCode: CommandFailure.inputOutput) }
  }

  /// The PEC ids that an operator may mean, oldest first.
  private static func pecIDs(_ id: String, in ledger: LedgerReader) throws -> [String] {
    let events = try id.hasPrefix("<") ? ledger.events(clientMessageID: id) : ledger.events(pecID: id)
    var found: [String] = []
    for event in events where !found.contains(event.pecID) { found.append(event.pecID) }
    if found.isEmpty, let reception = try ledger.reception(id: id) { found.append(reception.facts.pecID) }
    return found
  }

  private static func text(_ story: Story, _ events: [EventRecord]) -> String {
    func line(_ fate: FateRow) -> String { "  \(fate.address)  \(fate.state) since \(fate.since)" }
    var lines = ["message \(story.pecID)"]
    lines += story.recipients.map(line)
    for reception in story.receptions {
      let from = reception.provider.isEmpty ? "" : " from \(reception.provider)"
      lines.append("reception \(reception.id): \(reception.kind)\(from) at \(reception.time)")
      lines += reception.recipients.map(line)
    }
    return (lines.map(ASCII.escaped) + ["events"] + events.map { "  \(text($0))" }).joined(separator: "\n")
  }
}
