import Octets
import PEC

/// What a service for quotas says of a mailbox, and of a message of a certain size.
public enum QuotaAnswer: Sendable, Equatable {
  /// There is room, or it is nobody's mailbox whose room is bounded.
  case room
  /// There is not, and there will not be: an SMTP reply (RFC 5321 §4.2) with its enhanced status.
  case full(code: Int, enhanced: String, text: String)
  /// Not now, or nobody could say: the reason.
  case unknown(String)

  /// The fate of a recipient that it keeps from being tried, as if the mailbox itself had said so; nil where there is room.
  /// - Parameter service: who answered.
  public func fate(of recipient: String, by service: String) -> RecipientFate? {
    switch self {
    case .room: nil
    case .full(let code, let enhanced, let text):
      RecipientFate(
        recipient: recipient,
        outcome: .failed(.refused(code: code, enhanced: enhanced, text: text), text: "\(service) said: \(code) \(enhanced) \(text)"))
    case .unknown(let reason): RecipientFate(recipient: recipient, outcome: .later(reason))
    }
  }
}

extension ProviderPoints {
  /// Whether the quota of a mailbox is asked for. The provider's own, for service and requests, are no holders'.
  public func hasQuota(_ mailbox: String) -> Bool {
    asksQuota && !ASCII.equal(mailbox, serviceMailbox) && !ASCII.equal(mailbox, provider.serviceAddress) && !isExtractMailbox(mailbox)
  }
}
