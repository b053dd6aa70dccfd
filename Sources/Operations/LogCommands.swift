import EventLoop
import Foundation
import Journey
import Ledger
import Octets
import PEC

/// `ceralacca log`: the certified log, read from the ledger.
public enum LogCommands {
  /// An event, for machines.
  struct Row: Encodable {
    var number: Int64
    var time: String
    var event: String
    var pecID: String
    var sender: String
    var recipients: [[String: String]]
    var subject: String?
    var msgid: String?
    var related: [String]
    var provider: String
    var recipient: String?
    var error: String?
    var detail: String?
    var bytes: Int

    init(_ event: EventRecord) {
      number = event.number ?? 0
      time = event.instant.rfc3339
      self.event = event.kind.rawValue
      pecID = event.pecID
      sender = event.sender
      recipients = event.recipients.map { ["address": $0.address, "class": $0.recipientClass.rawValue] }
      subject = event.subject
      msgid = event.clientMessageID
      related = event.relatedIDs
      provider = event.provider
      recipient = event.recipient
      error = event.error
      detail = event.detail
      bytes = event.bytes
    }
  }

  /// Shows the last events, and goes on with new ones when asked to follow, until the process is stopped.
  public static func tail(
    lines: Int, follow: Bool, configurationFile: String, json: Bool, say: @escaping (String) -> Void
  ) throws {
    let ledger = try QueueCommands.ledger(configurationFile)
    var last: Int64 = 0
    func show(_ events: [EventRecord]) throws {
      for event in events {
        say(json ? try Output.json(Row(event)) : text(event))
        last = max(last, event.number ?? 0)
      }
    }
    try show(try ledger.events(last: max(1, lines)).suffix(lines))
    guard follow else { return }
    let loop = try Loop()
    var failure: (any Error)?
    let timer = loop.timer(after: 500, repeat: 500) {
      do { try show(try ledger.events(after: last, limit: 1000)) } catch {
        failure = error
        loop.stop()
      }
    }
    loop.run()
    timer.cancel()
    if let failure { throw CommandFailure("the log cannot be read: \(failure)", exitCode: CommandFailure.inputOutput) }
  }

  /// Events of what others made: their provider is worth a word.
  private static let received: Set<EventKind> = [
    .envelopeReceived, .notificationReceived, .takeChargeReceived, .virusDetectionReceived, .anomaly, .duplicate,
  ]

  static func text(_ event: EventRecord) -> String {
    var parts = ["\(event.number ?? 0)", event.instant.rfc3339, event.kind.rawValue, event.pecID, "from=\(event.sender)"]
    if let recipient = event.recipient {
      parts.append("to=\(recipient)")
    } else {
      let few = event.recipients.prefix(3).map { "\($0.address)(\($0.recipientClass.rawValue))" }.joined(separator: ",")
      parts.append("to=\(few)" + (event.recipients.count > 3 ? ",… \(event.recipients.count) in all" : ""))
    }
    if let subject = event.subject { parts.append("subject=\"\(subject)\"") }
    if let id = event.clientMessageID { parts.append("msgid=\(id)") }
    if !event.relatedIDs.isEmpty { parts.append("related=\(event.relatedIDs.joined(separator: ","))") }
    if LogCommands.received.contains(event.kind), !event.provider.isEmpty { parts.append("provider=\"\(event.provider)\"") }
    if let error = event.error { parts.append("error=\(error)") }
    if let detail = event.detail { parts.append("detail=\"\(detail)\"") }
    parts.append("bytes=\(event.bytes)")
    return ASCII.escaped(parts.joined(separator: " "))
  }
}
