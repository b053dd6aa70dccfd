import MIMEStream
import Octets
import PEC

extension IncomingCheck {
  /// True when a message that no provider signed wears the marks of the certified channel, or says to come from one of its domains
  /// (`pec-rules` 13.10).
  func isForged(_ message: ReceivedMessage) -> Bool {
    let header = message.facts.header
    if ["X-Trasporto", "X-Ricevuta", "X-VerificaSicurezza"].contains(where: { header.first(named: $0) != nil }) { return true }
    if let sender = Mailbox.parsePath(message.reversePath), isCertified(sender.domain) { return true }
    // Of several authors one is enough: some client will show that one.
    for name in ["From", "Sender"] {
      for field in header.fields(named: name) {
        let mailboxes = AddressList.parse(header.value(of: field), limit: limits.addresses).mailboxes
        if mailboxes.contains(where: { isCertified($0.domain) || ShownName.pretendsProvider($0.displayName ?? "") }) { return true }
      }
    }
    return false
  }

  private func isCertified(_ domain: String) -> Bool {
    ownDomains.contains(ASCII.lowercased(domain)) || directory.record(managing: domain) != nil
  }
}
