import PEC

/// What the incoming point does with a message, and why (`pec-rules` 6.3).
public struct Judgement: Sendable, Equatable {
  /// A row of the decision table. The record is that of the provider that signed.
  public enum Treatment: Sendable, Equatable {
    /// A valid transport envelope: take-charge receipt, delivery, delivery receipt.
    case envelope(CertificationData, ProviderRecord)
    /// A valid receipt or notice for a user: delivered, no receipt.
    case notification(CertificationData, ProviderRecord)
    /// A valid take-charge receipt or virus detection notice, for the service mailbox.
    case serviceNotice(CertificationData, ProviderRecord)
    /// Signed by a provider, and malformed: delivered in an anomaly envelope.
    case anomaly(ProviderRecord)
    /// Everything else. Forged: it wears the marks of the certified channel, or says to come from it (`pec-rules` 13.10).
    case ordinary(isForged: Bool)
  }

  public var treatment: Treatment
  /// Forward paths that the treatment holds for and that have not had this very message, each once.
  public var recipients: [String]
  /// Forward paths that a well-formed message of the certified channel is not meant for: it goes to them in an anomaly envelope. The
  /// service mailbox and the service address are never among them. When nobody else is left, the treatment is `.anomaly` and they are
  /// its recipients.
  public var strangers: [String]
  /// Forward paths that had this very message before.
  public var duplicates: [String]
  /// Why it is not treated better: of an anomaly, of ordinary mail, of the strangers.
  public var reasons: [Reason]
  /// English, for the log: what is odd and changes nothing.
  public var remarks: [String]

  /// A judgement as it is given.
  public init(
    treatment: Treatment, recipients: [String], strangers: [String] = [], duplicates: [String] = [], reasons: [Reason] = [],
    remarks: [String] = []
  ) {
    self.treatment = treatment
    self.recipients = recipients
    self.strangers = strangers
    self.duplicates = duplicates
    self.reasons = reasons
    self.remarks = remarks
  }
}
