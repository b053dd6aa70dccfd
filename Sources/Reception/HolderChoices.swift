import Octets
import PEC

/// Whether a word about arrivals goes to an ordinary address.
public enum ArrivalNoticeChoice: Sendable, Equatable {
  /// Nobody is told.
  case nobody
  /// To this ordinary address.
  case to(String)
}

/// What the operator has set for one mailbox or one domain on behalf of its holder. Nil leaves it to whoever decides next.
public struct HolderChoice: Sendable, Equatable {
  /// What becomes of ordinary mail.
  public var ordinary: OrdinaryAction?
  /// Who is told by ordinary mail that certified mail has arrived.
  public var notice: ArrivalNoticeChoice?
  /// Whether he is told of anomaly envelopes too.
  public var noticeOfAnomalies: Bool?
  /// The kind of delivery receipt for messages of his that do not say it themselves (RFC 6109 §3.3.2).
  public var receipt: ReceiptType?

  /// A choice; nothing is chosen unless said.
  public init(
    ordinary: OrdinaryAction? = nil, notice: ArrivalNoticeChoice? = nil, noticeOfAnomalies: Bool? = nil, receipt: ReceiptType? = nil
  ) {
    self.ordinary = ordinary
    self.notice = notice
    self.noticeOfAnomalies = noticeOfAnomalies
    self.receipt = receipt
  }

  /// True when nothing is chosen.
  public var isEmpty: Bool { self == HolderChoice() }
}

/// Who decided.
public enum ChoiceOrigin: String, Sendable, Equatable, Codable {
  /// The mailbox's own choice.
  case mailbox
  /// That of its domain.
  case domain
  /// The configuration.
  case configuration
  /// Nobody: what holds where nothing is said.
  case standard = "default"
}

/// What holds, and who decided it.
public struct Decided<Value: Sendable & Equatable>: Sendable, Equatable {
  public var value: Value
  public var origin: ChoiceOrigin

  /// A value with its origin.
  public init(_ value: Value, by origin: ChoiceOrigin) {
    self.value = value
    self.origin = origin
  }
}

/// All holders' choices at one moment: an immutable snapshot, cheap to hand on.
///
/// A mailbox's choice goes before its domain's, each setting by itself, and both go before the configuration. Names are compared
/// without regard to ASCII case.
public struct HolderChoices: Sendable, Equatable {
  /// By address or domain in lower case.
  private var chosen: [String: HolderChoice] = [:]

  /// Choices by address or domain, none unless said.
  public init(_ chosen: [String: HolderChoice] = [:]) {
    for (holder, choice) in chosen { self[holder] = choice }
  }

  /// How many domains and mailboxes have a choice.
  public var count: Int { chosen.count }

  /// What is chosen for this very address or domain; setting an empty choice removes it.
  public subscript(holder: String) -> HolderChoice {
    get { chosen[ASCII.lowercased(holder)] ?? HolderChoice() }
    set { chosen[ASCII.lowercased(holder)] = newValue.isEmpty ? nil : newValue }
  }

  /// What becomes of ordinary mail for an address, where that is chosen.
  public func ordinary(for address: String) -> Decided<OrdinaryAction>? { decided(address, \.ordinary) }

  /// Whom an arrival is told to; nobody unless it is chosen.
  public func notice(for address: String) -> Decided<ArrivalNoticeChoice> { decided(address, \.notice) ?? Decided(.nobody, by: .standard) }

  /// Whether anomaly envelopes are told of too; no unless it is chosen.
  public func noticeOfAnomalies(for address: String) -> Decided<Bool> {
    decided(address, \.noticeOfAnomalies) ?? Decided(false, by: .standard)
  }

  /// The kind of delivery receipt for a sender who does not say it himself, where that is chosen.
  public func receipt(for sender: String) -> Decided<ReceiptType>? { decided(sender, \.receipt) }

  private func decided<Value>(_ name: String, _ setting: KeyPath<HolderChoice, Value?>) -> Decided<Value>? {
    // Most providers' holders choose nothing, and this is asked for every message.
    if chosen.isEmpty { return nil }
    let name = ASCII.lowercased(name)
    guard let at = name.utf8.lastIndex(of: UInt8(ascii: "@")) else {
      return chosen[name]?[keyPath: setting].map { Decided($0, by: .domain) }
    }
    if let own = chosen[name]?[keyPath: setting] { return Decided(own, by: .mailbox) }
    return chosen[String(name[name.utf8.index(after: at)...])]?[keyPath: setting].map { Decided($0, by: .domain) }
  }
}

// The words in which choices are given, stored and shown.
extension OrdinaryAction {
  /// `refuse`, `discard`, `anomaly` or `forward:ADDRESS`.
  public var word: String {
    switch self {
    case .refuse: "refuse"
    case .discard: "discard"
    case .anomaly: "anomaly"
    case .forward(let address): "forward:\(address)"
    }
  }

  /// Reads what `word` wrote; the address is not looked at.
  public init?(word: String) {
    switch word {
    case "refuse": self = .refuse
    case "discard": self = .discard
    case "anomaly": self = .anomaly
    default:
      guard word.hasPrefix("forward:"), word.utf8.count > 8 else { return nil }
      self = .forward(String(word.dropFirst(8)))
    }
  }
}

extension ArrivalNoticeChoice {
  /// `none`, or the address.
  public var word: String {
    switch self {
    case .nobody: "none"
    case .to(let address): address
    }
  }

  /// Reads what `word` wrote; the address is not looked at.
  public init?(word: String) {
    if word.isEmpty { return nil }
    self = word == "none" ? .nobody : .to(word)
  }
}

extension ReceiptType {
  /// `complete`, `brief` or `concise`.
  public var word: String {
    switch self {
    case .complete: "complete"
    case .brief: "brief"
    case .concise: "concise"
    }
  }

  /// Reads what `word` wrote.
  public init?(word: String) {
    switch word {
    case "complete": self = .complete
    case "brief": self = .brief
    case "concise": self = .concise
    default: return nil
    }
  }
}
