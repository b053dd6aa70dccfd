import Octets

/// What becomes of ordinary mail at the incoming point.
public enum OrdinaryAction: Sendable, Equatable {
  /// Refused in SMTP.
  case refuse
  /// Taken and dropped.
  case discard
  /// Delivered in an anomaly envelope (busta di anomalia).
  case anomaly
  /// Sent on to an ordinary address of the holder's choice.
  case forward(String)
}

/// The provider's choice for ordinary mail, by domain and by mailbox (RFC 6109 §2.2.2, `pec-rules` 6.3).
public struct OrdinaryMailPolicy: Sendable, Equatable {
  private let standard: OrdinaryAction
  private let forged: OrdinaryAction
  private let domains: [String: OrdinaryAction]
  private let mailboxes: [String: OrdinaryAction]

  /// A policy; keys without regard to ASCII case.
  ///
  /// - Parameters:
  ///   - standard: for whatever is not named.
  ///   - forged: for mail that says to come from the certified channel and does not (`pec-rules` 13.10).
  ///   - domains: by the recipient's domain.
  ///   - mailboxes: by the recipient's address; these go before domains.
  public init(standard: OrdinaryAction, forged: OrdinaryAction, domains: [String: OrdinaryAction], mailboxes: [String: OrdinaryAction]) {
    self.standard = standard
    self.forged = forged
    self.domains = OrdinaryMailPolicy.lowered(domains)
    self.mailboxes = OrdinaryMailPolicy.lowered(mailboxes)
  }

  /// What becomes of a message for that recipient. A forged one follows `forged`, unless its mailbox or domain turns ordinary mail away
  /// in any case: nobody gets forged mail who gets no ordinary mail.
  ///
  /// - Parameter choices: holders' choices at this moment, which go before the configuration.
  public func action(for recipient: String, isForged: Bool, choices: HolderChoices = HolderChoices()) -> OrdinaryAction {
    let (chosen, isOwnWord) = word(for: recipient, choices)
    guard isForged else { return chosen.value }
    if isOwnWord, chosen.value == .refuse || chosen.value == .discard { return chosen.value }
    return forged
  }

  /// What becomes of ordinary mail for an address, or for a domain, and who decided it.
  public func decided(for holder: String, choices: HolderChoices) -> Decided<OrdinaryAction> { word(for: holder, choices).decided }

  /// The word that holds, and whether it is one about this mailbox or its domain.
  private func word(for holder: String, _ choices: HolderChoices) -> (decided: Decided<OrdinaryAction>, isOwn: Bool) {
    if let chosen = choices.ordinary(for: holder) { return (chosen, true) }
    let name = ASCII.lowercased(holder)
    let domain = name.utf8.lastIndex(of: UInt8(ascii: "@")).map { String(name[name.utf8.index(after: $0)...]) } ?? name
    if let configured = mailboxes[name] ?? domains[domain] { return (Decided(configured, by: .configuration), true) }
    return (Decided(standard, by: .configuration), false)
  }

  /// Of keys that differ in case alone the one that sorts first holds, so that the choice does not depend on the run.
  private static func lowered(_ table: [String: OrdinaryAction]) -> [String: OrdinaryAction] {
    Dictionary(table.sorted { $0.key < $1.key }.map { (ASCII.lowercased($0.key), $0.value) }) { first, _ in first }
  }
}
