import Limits
import Octets
import PEC
import Reception

/// What the three points of a provider (access, incoming and delivery point) know while they work: who we are, what is allowed, which
/// way mail goes.
public struct ProviderPoints: Sendable {
  public var composer: Composer
  public var provider: ProviderIdentity
  /// Where take-charge receipts and virus detection notices for us go (`mailReceipt` of our index record).
  public var serviceMailbox: String
  public var limits: Limits
  public var routing: RoutingTable
  /// What is done with ordinary mail.
  public var ordinaryMail: OrdinaryMailPolicy
  /// What is done with what the virus scanner cannot vouch for.
  public var security: SecurityPolicy
  /// Our name in trace lines and delivery reports.
  public var hostname: String
  /// Where holders ask for extracts of the log; nil where they cannot by mail.
  public var extractMailbox: String?
  /// True when the mailboxes' server proves delivery by a delivery report and not by its answer (RFC 3461).
  public var provesDeliveryByReport: Bool
  /// True when a service is asked whether a mailbox has room before anything goes there.
  public var asksQuota: Bool

  /// The points of this provider, with these bounds and ways.
  public init(
    provider: ProviderIdentity, serviceMailbox: String, limits: Limits, routing: RoutingTable,
    ordinaryMail: OrdinaryMailPolicy = OrdinaryMailPolicy(standard: .anomaly, forged: .refuse, domains: [:], mailboxes: [:]),
    security: SecurityPolicy = SecurityPolicy(), hostname: String, extractMailbox: String? = nil,
    provesDeliveryByReport: Bool = false, asksQuota: Bool = false
  ) {
    composer = Composer(provider: provider)
    self.provider = provider
    self.serviceMailbox = serviceMailbox
    self.limits = limits
    self.routing = routing
    self.ordinaryMail = ordinaryMail
    self.security = security
    self.hostname = hostname
    self.extractMailbox = extractMailbox
    self.provesDeliveryByReport = provesDeliveryByReport
    self.asksQuota = asksQuota
  }

  /// True for the mailbox in which requests for extracts of the log arrive.
  public func isExtractMailbox(_ address: String) -> Bool { extractMailbox.map { ASCII.equal($0, address) } ?? false }
}

/// Randomness that comes with an event: the machines have no dice of their own.
public struct RandomBits: Sendable, Equatable {
  /// Shown to everybody in the PEC id.
  public var identifier: UInt64
  /// For boundaries nobody can foresee.
  public var boundary: UInt64
  /// For what must stay between us and the mailboxes' server.
  public var secret: (UInt64, UInt64)

  /// Bits drawn by whoever has a source of them.
  public init(identifier: UInt64, boundary: UInt64, secret: (UInt64, UInt64)) {
    self.identifier = identifier
    self.boundary = boundary
    self.secret = secret
  }

  /// Compares all of them.
  public static func == (left: RandomBits, right: RandomBits) -> Bool {
    left.identifier == right.identifier && left.boundary == right.boundary && left.secret == right.secret
  }

  /// Another seed for the number-th message of the same event.
  func boundary(_ number: UInt64) -> UInt64 { boundary ^ (number &* 0x9E37_79B9_7F4A_7C15) }

  /// Letters and digits nobody can guess, for an ENVID.
  var secretToken: String {
    let digits = [secret.0, secret.1].map { word in
      let text = String(word, radix: 16)
      return String(repeating: "0", count: 16 - text.count) + text
    }
    return digits.joined()
  }
}
