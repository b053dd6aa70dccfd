import Journey
import Octets
import Quarantine

/// A message in quarantine, for machines.
struct QuarantineRow: Encodable {
  var id: String
  var pecID: String
  var kind: String
  var time: String
  var sender: String
  var recipients: [String]
  var provider: String?
  var messageID: String?
  var subject: String?
  var threat: String
  var scanner: String
  var sha256: String
  var bytes: Int
  /// Last day on which it must be there.
  var keepUntil: String
  var path: String

  init(_ entry: QuarantineEntry) {
    let record = entry.record
    id = record.id
    pecID = record.pecID
    kind = record.kind.rawValue
    time = record.instant.rfc3339
    sender = record.sender
    recipients = record.recipients
    provider = record.provider.isEmpty ? nil : record.provider
    messageID = record.messageID
    subject = record.subject
    threat = record.threat
    scanner = record.scanner
    sha256 = record.digest
    bytes = record.bytes
    keepUntil = "\(entry.keepUntil)"
    path = entry.path
  }

  /// One line of the table.
  var line: String {
    let more = recipients.count > 1 ? ",… \(recipients.count) in all" : ""
    return QuarantineRow.line(time, id, kind, threat, sender, "\(bytes)", (recipients.first ?? "nobody") + more)
  }

  static let heading = line("WHEN", "ID", "KIND", "THREAT", "SENDER", "OCTETS", "RECIPIENTS")

  private static func line(_ fields: String...) -> String {
    fields.map(ASCII.escaped).columns([25, 46, 10, 28, 28, 9, 0])
  }

  /// All fields, one on each line, for people.
  var fields: [String] {
    var lines = ["entry       \(id)", "PEC id      \(pecID)", "kind        \(kind): \(QuarantineRow.words(kind))", "arrived     \(time)"]
    lines.append("sender      \(sender.isEmpty ? "<> (none)" : sender)")
    lines += recipients.enumerated().map { ($0 == 0 ? "recipients  " : "            ") + $1 }
    if let provider { lines.append("provider    \(provider)") }
    if let subject { lines.append("subject     \(subject)") }
    if let messageID { lines.append("Message-ID  <\(messageID)>") }
    lines += ["threat      \(threat)", "scanner     \(scanner)", "size        \(bytes) octets", "SHA-256     \(sha256)"]
    lines += ["keep until  \(keepUntil), that day included", "stored in   \(path)"]
    return lines.map(ASCII.escaped)
  }

  private static func words(_ kind: String) -> String {
    switch QuarantineRecord.Kind(rawValue: kind) {
    case .submission: "sent by one of our holders"
    case .envelope: "a transport envelope of another provider"
    case .certified: "a receipt, notice or malformed message of the certified channel"
    case .ordinary: "ordinary mail"
    case .unscanned, nil: "not known to be infected, but no scanner came to an end with it"
    }
  }
}

/// Something damaged, for machines.
struct QuarantineDamage: Encodable {
  var path: String
  var damaged: String
}
