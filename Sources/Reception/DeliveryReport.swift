import Limits
import MIMEStream
import Octets

/// A delivery report that a mailbox server sent (RFC 3464), as far as it decides anything.
public struct ReceivedDeliveryReport: Sendable, Equatable {
  /// What happened for a recipient (RFC 3464 §2.3.3).
  public enum Action: String, Sendable, Equatable, CaseIterable {
    case delivered, failed, delayed, relayed, expanded
  }

  /// What the report says of one recipient.
  public struct Recipient: Sendable, Equatable {
    /// Address that the server ended at (Final-Recipient).
    public var final: String
    /// Address that the client named by ORCPT (RFC 3461 §4.2); nil when not said.
    public var original: String?
    public var action: Action
    /// Enhanced status code, `5.1.1` (RFC 3463).
    public var status: String
    /// The words of the server that failed, without the type before them; nil when not said.
    public var diagnostic: String?

    /// A recipient as the report has it.
    public init(final: String, original: String?, action: Action, status: String, diagnostic: String?) {
      self.final = final
      self.original = original
      self.action = action
      self.status = status
      self.diagnostic = diagnostic
    }
  }

  /// ENVID of the transaction it is about (RFC 3461 §4.4); nil when not said.
  public var envelopeID: String?
  public var recipients: [Recipient]

  /// A report as it is given.
  public init(envelopeID: String?, recipients: [Recipient]) {
    self.envelopeID = envelopeID
    self.recipients = recipients
  }
}

/// Reads delivery reports.
public enum DeliveryReportReader {
  /// Octets of the machine-readable part that are read.
  static let maximumBytes = 1 << 20
  /// Recipients that are read.
  static let maximumRecipients = 1000

  /// Reads a message that is a delivery report: a multipart/report with a message/delivery-status in it (RFC 3462, RFC 3464 §2).
  ///
  /// - Parameters:
  ///   - facts: the walker's facts of the message.
  ///   - octets: gives the message's octets of a range.
  /// - Returns: nil when it is no delivery report, or one that says nothing of any recipient.
  public static func read(_ facts: MessageFacts, octets: (Range<Int>) -> [UInt8]) -> ReceivedDeliveryReport? {
    guard facts.parts.first?.type == "multipart/report" else { return nil }
    let status = facts.parts.first {
      $0.parent == 0 && ($0.type == "message/delivery-status" || $0.type == "message/global-delivery-status")
    }
    guard let status, status.bodyRange.count <= maximumBytes else { return nil }
    let groups = fieldGroups(TransferDecoder.decode(octets(status.bodyRange), encoding: status.transferEncoding))
    guard let first = groups.first else { return nil }
    var report = ReceivedDeliveryReport(envelopeID: value("Original-Envelope-Id", first).map(unescaped), recipients: [])
    // RFC 3464 §2.1: the fields of the message, then a group for each recipient. Who leaves out the first is understood all the same.
    let ofRecipients = value("Final-Recipient", first) == nil ? groups.dropFirst() : groups[...]
    report.recipients = ofRecipients.prefix(maximumRecipients).compactMap(recipient)
    return report.recipients.isEmpty ? nil : report
  }

  private static func recipient(_ fields: HeaderFacts) -> ReceivedDeliveryReport.Recipient? {
    guard let final = value("Final-Recipient", fields), let word = value("Action", fields),
      let action = ReceivedDeliveryReport.Action(rawValue: ASCII.lowercased(firstWord(word)))
    else { return nil }
    return ReceivedDeliveryReport.Recipient(
      final: unescaped(typed(final)), original: value("Original-Recipient", fields).map { unescaped(typed($0)) }, action: action,
      status: firstWord(value("Status", fields) ?? ""), diagnostic: value("Diagnostic-Code", fields).map(typed))
  }

  /// The part's groups of fields: empty lines stand between them.
  private static func fieldGroups(_ body: [UInt8]) -> [HeaderFacts] {
    var groups: [HeaderFacts] = []
    var group: [UInt8] = []
    func close() {
      let facts = HeaderFacts.parse(group, limits: MessageLimits()).header
      if !facts.fields.isEmpty { groups.append(facts) }
      group.removeAll(keepingCapacity: true)
    }
    for line in body.split(separator: 10, omittingEmptySubsequences: false) {
      if line.isEmpty || line.elementsEqual([13]) {
        close()
        if groups.count > maximumRecipients { return groups }
      } else {
        group += line
        group.append(10)
      }
    }
    close()
    return groups
  }

  /// The one field of that name, unfolded; nil when there is none, or several: two answers are none.
  private static func value(_ name: String, _ fields: HeaderFacts) -> String? {
    let found = fields.fields(named: name)
    guard found.count == 1 else { return nil }
    let text = String(decoding: fields.value(of: found[0]), as: UTF8.self)
    return text.isEmpty ? nil : text
  }

  /// What stands behind the type of an address or of a diagnostic: `rfc822; bruno@beta.example`.
  private static func typed(_ value: String) -> String {
    guard let mark = value.utf8.firstIndex(of: UInt8(ascii: ";")) else { return value }
    let rest = value[value.utf8.index(after: mark)...].drop { $0 == " " || $0 == "\t" }
    return String(rest)
  }

  private static func firstWord(_ value: String) -> String {
    String(value.split(maxSplits: 1) { $0 == " " || $0 == "\t" || $0 == "(" }.first ?? "")
  }

  /// Undoes what is left of xtext (RFC 3461 §4): "+2B" and "+3D", the two printable characters that must be written so. A server is to
  /// decode, and Postfix does; of one that does not, nothing else would be escaped, while decoding every "+41" a second time would make
  /// another address of `anna+41@…`.
  private static func unescaped(_ value: String) -> String {
    var out: [UInt8] = []
    var rest = Array(value.utf8)[...]
    while let byte = rest.popFirst() {
      let next = rest.prefix(2).map { $0 & 0xDF == 0x42 || $0 & 0xDF == 0x44 ? $0 & 0xDF : $0 }
      if byte == UInt8(ascii: "+"), next == [UInt8(ascii: "2"), UInt8(ascii: "B")] || next == [UInt8(ascii: "3"), UInt8(ascii: "D")] {
        out.append(next[0] == UInt8(ascii: "2") ? UInt8(ascii: "+") : UInt8(ascii: "="))
        rest = rest.dropFirst(2)
      } else {
        out.append(byte)
      }
    }
    return String(decoding: out, as: UTF8.self)
  }
}
