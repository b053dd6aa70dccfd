import PEC

/// What is known of a message that is put away for good: infected, or one that the scanner could not look at (RFC 6109 §2.2.4; the law's
/// 30 months).
public struct QuarantineRecord: Sendable, Equatable, Codable {
  /// What the message was taken for.
  public enum Kind: String, Sendable, Codable, CaseIterable {
    /// A submission of one of our holders.
    case submission
    /// A valid transport envelope of another provider.
    case envelope
    /// A receipt, notice or malformed message of the certified channel.
    case certified
    /// Ordinary mail.
    case ordinary
    /// Not infected for all we know: every worker that looked at it died, or did not come to an end. The sender was answered 451.
    case unscanned
  }

  /// Our own identifier of the submission or reception; the quarantine's key.
  public var id: String
  /// PEC id of the transaction that it belongs to: what the certified log is asked for.
  public var pecID: String
  public var kind: Kind
  /// Time of arrival.
  public var instant: Instant
  /// MAIL FROM.
  public var sender: String
  /// RCPT TO.
  public var recipients: [String]
  /// Name of the provider that signed it; empty where none did.
  public var provider: String
  /// Message-ID as the message says, without brackets; nil when there is none.
  public var messageID: String?
  public var subject: String?
  /// What was found, or why nothing could be.
  public var threat: String
  /// Engine and signature database that found it.
  public var scanner: String
  /// SHA-256 of the octets, in lower-case hexadecimal.
  public var digest: String
  /// Size in octets.
  public var bytes: Int

  /// A record of these fields.
  public init(
    id: String, pecID: String, kind: Kind, instant: Instant, sender: String, recipients: [String], provider: String = "",
    messageID: String? = nil, subject: String? = nil, threat: String, scanner: String, digest: String, bytes: Int
  ) {
    self.id = id
    self.pecID = pecID
    self.kind = kind
    self.instant = instant
    self.sender = sender
    self.recipients = recipients
    self.provider = provider
    self.messageID = messageID
    self.subject = subject
    self.threat = threat
    self.scanner = scanner
    self.digest = digest
    self.bytes = bytes
  }
}
