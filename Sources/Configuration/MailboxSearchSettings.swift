/// How the mailboxes behind a server (LMTP or SMTP) are looked into, when it is not known whether one has a message already: by IMAP
/// (RFC 9051), in each holder's name as a user who may (RFC 4616 §2), such as a master user of Dovecot's.
public struct MailboxSearchSettings: Sendable, Equatable {
  /// `imap://host:port` or `imaps://host:port`.
  public var url: String
  /// TLS is begun on a connection in the clear, or nothing is asked.
  public var startTLS: Bool
  /// PEM file of the authorities that may vouch for the server; nil for the system's.
  public var caFile: String?
  /// Who asks.
  public var user: String
  /// A file whose first line is his password.
  public var passwordFile: String

  /// A server, and who asks it.
  public init(url: String, startTLS: Bool = false, caFile: String? = nil, user: String, passwordFile: String) {
    self.url = url
    self.startTLS = startTLS
    self.caFile = caFile
    self.user = user
    self.passwordFile = passwordFile
  }
}
