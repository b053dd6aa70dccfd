import PEC

/// What became of one recipient in one attempt.
public struct RecipientFate: Sendable, Equatable {
  /// The possible ends of an attempt.
  public enum Outcome: Sendable, Equatable {
    /// The next hop answered 2xx, or the mailbox holds the message.
    case delivered(String)
    /// Not now: 4xx, no connection, silence. The text says why.
    case later(String)
    /// Never: 5xx, no such mailbox, the operator's word. The text is what was heard.
    case failed(DeliveryFailure, text: String)
  }

  public var recipient: String
  public var outcome: Outcome
  /// True of `later` when the next hop had the whole message and its word did not come: the recipient may have it all the same.
  public var isInDoubt: Bool
  /// True of `later` when a server that delivers by itself (LMTP) had the whole message and put it off. One that fails, or is stopped,
  /// between the file and its word puts off what is there.
  public var wasGiven: Bool

  /// True when there is nothing to try again.
  public var isFinal: Bool {
    switch outcome {
    case .delivered, .failed: true
    case .later: false
    }
  }

  /// Says what became of a recipient.
  public init(recipient: String, outcome: Outcome, isInDoubt: Bool = false, wasGiven: Bool = false) {
    self.recipient = recipient
    self.outcome = outcome
    self.isInDoubt = isInDoubt
    self.wasGiven = wasGiven
  }
}
