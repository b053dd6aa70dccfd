import MIMEStream
import Octets

/// Whether an envelope is addressed to a recipient or comes to it as a copy (RFC 6109 §3.3.2.1, pec-rules 7.2).
public enum PrimaryOrCopy {
  /// The recipients that stand in the envelope's Cc and not in its To: theirs is the concise receipt. Whoever cannot be decided about
  /// (in both, in neither, a field that does not parse, an address with another spelling) is primary.
  ///
  /// - Parameters:
  ///   - recipients: as RCPT gave them.
  ///   - header: the outer header of the envelope.
  ///   - limit: mailboxes of a field that are read; a field with more is one that does not parse.
  /// - Returns: some of `recipients`, in their order and spelling.
  public static func copyRecipients(of recipients: [String], header: HeaderFacts, limit: Int) -> [String] {
    guard header.first(named: "Cc") != nil else { return [] }
    let copies = AddressFields.gather("Cc", of: header, limit: limit)
    let primary = AddressFields.gather("To", of: header, limit: limit)
    guard copies.fault == nil, primary.fault == nil, !copies.mailboxes.isEmpty else { return [] }
    let inCopy = Set(copies.mailboxes.map(Key.init))
    let inPrimary = Set(primary.mailboxes.map(Key.init))
    return recipients.filter { recipient in
      guard let key = Mailbox.parsePath(recipient).map(Key.init) else { return false }
      return inCopy.contains(key) && !inPrimary.contains(key)
    }
  }

  /// What two mailboxes have in common when they are the same (`Mailbox.matches`).
  private struct Key: Hashable {
    let localPart: String
    let domain: String

    init(_ mailbox: Mailbox) {
      localPart = ASCII.lowercased(mailbox.localPart)
      domain = ASCII.lowercased(mailbox.domain)
    }
  }
}
