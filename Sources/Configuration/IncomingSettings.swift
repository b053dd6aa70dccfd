/// An SMTP server that keeps the mailboxes, such as Postfix, and proves each delivery by a delivery report (DSN, RFC 3461).
public struct SMTPMailboxes: Sendable, Equatable {
  /// The server; it must announce DSN.
  public var nextHop: Endpoint
  /// The peers whose delivery reports are believed, when they come in at a listener of kind incoming.
  public var reportsFrom: PeerList

  /// A mailbox server, and where its reports come from.
  public init(nextHop: Endpoint, reportsFrom: PeerList) {
    self.nextHop = nextHop
    self.reportsFrom = reportsFrom
  }
}

/// What becomes of mail that comes in from outside the certified channel.
public enum OrdinaryTreatment: Sendable, Equatable {
  /// Refused in SMTP.
  case refuse
  /// Taken and dropped.
  case discard
  /// Delivered in an anomaly envelope (busta di anomalia, RFC 6109 §3.2.2).
  case anomaly
  /// Sent on to an ordinary address outside the provider's domains.
  case forward(to: String)
}

/// What becomes of ordinary mail: a mailbox's word goes before its domain's, and that before the policy of the whole provider.
public struct OrdinaryMailSettings: Sendable, Equatable {
  /// For whatever is not named.
  public var standard: OrdinaryTreatment
  /// For mail that says to come from the certified channel and does not.
  public var forged: OrdinaryTreatment
  /// By domain, in lower case.
  public var domains: [String: OrdinaryTreatment]
  /// By address, in lower case.
  public var mailboxes: [String: OrdinaryTreatment]

  /// Anomaly envelopes, and forged mail refused, unless said otherwise.
  public init(
    standard: OrdinaryTreatment = .anomaly, forged: OrdinaryTreatment = .refuse, domains: [String: OrdinaryTreatment] = [:],
    mailboxes: [String: OrdinaryTreatment] = [:]
  ) {
    self.standard = standard
    self.forged = forged
    self.domains = domains
    self.mailboxes = mailboxes
  }
}

/// Which authorities may vouch for the signers of other providers, and who says which certificates are revoked.
public struct TrustSettings: Sendable, Equatable {
  /// PEM files of authorities; at least one where there is a listener of kind incoming.
  public var authorities: [String]
  /// Revocation lists (CRL, RFC 5280 §5), PEM or DER: paths of files, or URLs with http or https.
  public var revocationLists: [String]
  /// Whether the lists that certificates name themselves (CRL distribution points, RFC 5280 §4.2.1.13) are fetched too.
  public var usesDistributionPoints: Bool
  /// Minutes between two looks at the lists.
  public var refreshMinutes: Int

  /// Authorities and lists; distribution points are left alone unless said otherwise, and lists are looked at every hour.
  public init(
    authorities: [String] = [], revocationLists: [String] = [], usesDistributionPoints: Bool = false, refreshMinutes: Int = 60
  ) {
    self.authorities = authorities
    self.revocationLists = revocationLists
    self.usesDistributionPoints = usesDistributionPoints
    self.refreshMinutes = refreshMinutes
  }

  /// Whether an entry of `revocationLists` is fetched and no file.
  public static func isAddress(_ list: String) -> Bool {
    let list = list.lowercased()
    return list.hasPrefix("http://") || list.hasPrefix("https://")
  }
}

/// The provider index (indice dei gestori): where it is, who must have signed it, and where new ones come from.
public struct IndexSettings: Sendable, Equatable {
  /// The index as LDIF, or signed (`.p7m`).
  public var file: String
  /// PEM file of the certificates that must have signed it, or of authorities that vouch for such; nil: a plain LDIF file is taken.
  public var signers: String?
  /// Where new ones come from; nil: the operator puts them into `file`.
  public var fetch: IndexFetchSettings?
  /// An index that lost more than this percentage of the domains is refused until an operator allows it.
  public var maximumLossPercent: Int

  /// A file that nobody signs and nobody fetches, unless said otherwise.
  public init(file: String, signers: String? = nil, fetch: IndexFetchSettings? = nil, maximumLossPercent: Int = 5) {
    self.file = file
    self.signers = signers
    self.fetch = fetch
    self.maximumLossPercent = maximumLossPercent
  }
}

/// How the provider index is fetched: by HTTPS as a file, or by LDAP as entries (RFC 6109 §4.5).
public struct IndexFetchSettings: Sendable, Equatable {
  /// `https://…`, `ldap://…` or `ldaps://…`.
  public var url: String
  /// LDAP only: TLS is begun on a connection in the clear, or nothing is fetched.
  public var startTLS: Bool
  /// PEM file of the authorities that may vouch for the server; nil for the system's.
  public var caFile: String?
  /// HTTPS only: PEM files of our certificate and its key, where the server wants to know us.
  public var certificate: String?
  public var key: String?
  /// LDAP only: the name to bind as, and a file whose first line is its password; nil for anonymous.
  public var bindDN: String?
  public var passwordFile: String?
  /// Minutes between two fetches.
  public var everyMinutes: Int

  /// A fetch twice a day, without credentials, unless said otherwise.
  public init(
    url: String, startTLS: Bool = false, caFile: String? = nil, certificate: String? = nil, key: String? = nil, bindDN: String? = nil,
    passwordFile: String? = nil, everyMinutes: Int = 720
  ) {
    self.url = url
    self.startTLS = startTLS
    self.caFile = caFile
    self.certificate = certificate
    self.key = key
    self.bindDN = bindDN
    self.passwordFile = passwordFile
    self.everyMinutes = everyMinutes
  }

  /// Whether it is asked by LDAP, and not by HTTPS.
  public var usesLDAP: Bool { url.lowercased().hasPrefix("ldap") }
}
