internal import MIMEStream
internal import Octets

/// Mail that nobody wrote: receipts, replies of machines, lists, reports. Answering it begins a loop (RFC 3834 §2).
enum AutomaticMail {
  /// Why a mail is never answered; nil for one that somebody wrote.
  static func reason(_ facts: MessageFacts, asker: String, mailbox: String) -> String? {
    if ASCII.equal(asker, mailbox) { return "it comes from the log mailbox itself" }
    if asker.isEmpty { return "it has no sender" }
    let local = ASCII.lowercased(String(asker.prefix { $0 != "@" }))
    if ["mailer-daemon", "postmaster", "posta-certificata"].contains(local) { return "its sender is \(local)" }
    let header = facts.header
    func value(_ name: String) -> String? {
      header.first(named: name).map { ASCII.lowercased(String(decoding: header.value(of: $0), as: UTF8.self)) }
    }
    if let word = value("Auto-Submitted"), word.prefix(while: { $0 != ";" && $0 != " " }) != "no" {
      return "it is automatic (Auto-Submitted: \(word.prefix(40)))"
    }
    if let word = value("Precedence"), ["bulk", "junk", "list", "auto_reply"].contains(word) { return "its precedence is \(word)" }
    for name in ["X-Ricevuta", "List-Id", "List-Unsubscribe", "X-Autoreply", "X-Autorespond"] where value(name) != nil {
      return "it has the field \(name)"
    }
    if let word = value("X-Trasporto"), word == "errore" { return "it is an anomaly envelope" }
    if facts.parts.first?.type == "multipart/report" { return "it is a report" }
    return nil
  }
}
