/// Bounds of deliveries to the mail exchangers of a domain: what the domain's DNS and its policy host may cost us.
public struct ExchangeLimits: Sendable, Equatable {
  /// Hosts of an MX list that are looked up and tried; the rest of a longer list is passed over.
  public let hosts = 10
  /// Addresses of a host that are tried.
  public let addressesPerHost = 4
  /// TLSA records of a host that are looked at.
  public let associations = 20
  /// Domains whose exchangers are looked up at once; others wait in line.
  public let lookupsAtOnce = 64
  /// Questions to the DNS that are open at once.
  public let openQuestions = 2048
  /// Domains whose exchangers are remembered.
  public let rememberedDomains = 10_000
  /// An answer is believed so long at the least and at the most, in seconds, whatever its time to live says.
  public let shortestMemorySeconds = 30
  public let longestMemorySeconds = 1800
  /// A host that could not be reached goes behind the others for so long.
  public let restSeconds = 60
  /// A policy of MTA-STS, in octets (RFC 8461 §3.3).
  public let policyBytes = 64 * 1024
  /// A policy must be through by then (RFC 8461 §3.3 suggests a minute; the domain's mail waits for it).
  public let policyTimeoutSeconds = 20
  /// A policy that could not be had is asked for again after so long.
  public let policyRetrySeconds = 300
  /// A policy is looked at anew after so long, though its id is the same.
  public let policyRefreshSeconds = 86_400
  /// Policies that are kept.
  public let policies = 10_000
  /// Patterns in a policy.
  public let policyPatterns = 100
  public init() {}
}
