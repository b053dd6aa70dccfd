/// Bounds of the question whether a mailbox has a message.
public struct MailboxSearchLimits: Sendable, Equatable {
  /// Mailboxes that are asked at once.
  public let atOnce = 4
  /// An answer must be there by then, for all folders together.
  public let timeoutSeconds = 60
  /// Folders of a mailbox that are looked through; about one that has more nothing can be said.
  public let folders = 2000
  /// Octets that the server may say altogether.
  public let answerBytes = 1024 * 1024
  /// Octets of a stored message in which its header's beginning is looked for.
  public let headBytes = 64 * 1024
  public init() {}
}
