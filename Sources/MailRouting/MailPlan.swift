/// What a connection to a mail exchanger must be.
public enum TransportDemand: Sendable, Hashable {
  /// TLS where it is offered, with whatever certificate (RFC 7435).
  case opportunistic
  /// TLS, with whatever certificate: the host has TLSA records, and none that can be used (RFC 7672 §2.2).
  case encrypted
  /// TLS with a certificate that the TLSA records at `base` vouch for; authorities may vouch for one of `names` (RFC 7672 §3.2.2).
  case dane([TLSAssociation], base: String, names: [String])
  /// TLS with a certificate that names the host, vouched for by an authority: the domain's policy wants it (RFC 8461 §4).
  case policy
  /// The same, because the operator wants it.
  case verified

  /// The word for logs and error texts.
  public var word: String {
    switch self {
    case .opportunistic: "opportunistic"
    case .encrypted: "dane-unusable"
    case .dane: "dane"
    case .policy: "mta-sts"
    case .verified: "verified"
    }
  }

  /// True when there is no delivery without TLS.
  public var isMandatory: Bool { self != .opportunistic }
}

/// A mail exchanger, ready to be tried.
public struct MailExchanger: Sendable, Equatable {
  /// In lower case, without a last dot.
  public var host: String
  /// Lower ones go first (RFC 5321 §5.1).
  public var preference: Int
  /// Numeric, in the order in which they are tried.
  public var addresses: [String]
  public var demand: TransportDemand
}

/// The way to a domain's mail exchangers.
public struct MailPlan: Sendable, Equatable {
  /// Why mail for a domain will never be delivered.
  public enum Refusal: Sendable, Equatable {
    /// The domain does not exist, or has neither exchanger nor address.
    case noDomain
    /// The domain says that it takes no mail (null MX, RFC 7505).
    case nullMX
  }

  /// Where mail goes.
  public enum Way: Sendable, Equatable {
    /// At least one host, in the order of preferences.
    case hosts([MailExchanger])
    /// Nowhere, and there is nothing to wait for.
    case refused(Refusal)
    /// Nowhere now; the words begin with an enhanced status code (RFC 3463).
    case later(String)
  }

  public var way: Way
  /// How long it may be believed.
  public var lifetimeSeconds: Int
  /// What an operator should hear of: a policy in testing that would have refused hosts, or what DNSSEC says is forged.
  public var warnings: [String]

  /// A way that holds for so long.
  public init(_ way: Way, lifetimeSeconds: Int, warnings: [String] = []) {
    self.way = way
    self.lifetimeSeconds = lifetimeSeconds
    self.warnings = warnings
  }

  /// Hosts by preference, equal ones in an order that `random` decides, so that they share the load (RFC 5321 §5.1).
  public static func ordered(_ hosts: [MailExchanger], random: UInt64) -> [MailExchanger] {
    var state = random
    let lots = hosts.indices.map { _ in MailPlan.draw(&state) }
    let order = hosts.indices.sorted { (hosts[$0].preference, lots[$0], $0) < (hosts[$1].preference, lots[$1], $1) }
    return order.map { hosts[$0] }
  }

  /// SplitMix64: lots, not secrets.
  private static func draw(_ state: inout UInt64) -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
