public import Limits

/// Everything an operator decides about a gateway, read from one YAML file (`load(path:)`) and written back (`yaml`).
///
/// Paths are as the file gave them, joined to the file's folder when relative: another process finds the same files.
public struct GatewayConfiguration: Sendable, Equatable {
  /// The name in greetings and in EHLO, a host name.
  public var hostname: String
  /// Who the provider is.
  public var provider: ProviderSettings
  /// Folder of spool, ledger, control socket and the last good provider index.
  public var dataDirectory: String
  /// The provider index.
  public var index: IndexSettings
  /// What receipts and envelopes are signed with.
  public var signer: SignerSettings
  /// The server's certificate and key; nil where no listener speaks TLS.
  public var tls: TLSSettings?
  /// The passwd-file of the mailboxes' holders (Dovecot's format); nil where Dovecot alone knows them.
  public var usersFile: String?
  /// Dovecot's authentication socket, asked for who is not in the passwd-file.
  public var dovecot: LocalTarget?
  /// Where local mail is delivered.
  public var mailboxes: MailboxStore
  /// The policy service that is asked whether a mailbox has room before mail goes there; nil where none is.
  public var quota: LocalTarget?
  /// Where mailboxes behind LMTP are asked about hand-overs in doubt; nil: what is in doubt is handed over again.
  public var mailboxSearch: MailboxSearchSettings?
  /// Where mail comes in; at least one.
  public var listeners: [ListenerSettings]
  /// Where mail goes out; one of them is for every other domain.
  public var routes: [RouteSettings]
  /// What becomes of mail from outside the certified channel.
  public var ordinaryMail: OrdinaryMailSettings
  /// Whom signatures of other providers are checked against.
  public var trust: TrustSettings
  /// The virus scanner; nil where the file says that it is off.
  public var scanner: ScannerConfiguration?
  /// The certified log: retention, seals, time stamps, requests.
  public var certifiedLog: CertifiedLogSettings
  /// How well the machine's clock must keep time.
  public var clock: ClockSettings
  /// The bounds, those that the file does not name at their defaults.
  public var limits: Limits
  /// Event loops, each on a thread of its own.
  public var lanes: Int
  /// The log lines.
  public var log: LogSettings
  /// How mail exchangers are looked up.
  public var dns = DNSSettings()
  /// Where metrics and health are told; nil where they are not.
  public var metrics: MetricsSettings?
  /// The system's user that a gateway which was started as root becomes once it listens; nil: it stays who it is.
  public var user: String?

  /// A configuration with default bounds, one lane for each processor and text log lines.
  public init(
    hostname: String, provider: ProviderSettings, dataDirectory: String, index: IndexSettings, signer: SignerSettings,
    tls: TLSSettings?, usersFile: String?, mailboxes: MailboxStore, listeners: [ListenerSettings], routes: [RouteSettings],
    ordinaryMail: OrdinaryMailSettings = OrdinaryMailSettings(), trust: TrustSettings = TrustSettings(),
    scanner: ScannerConfiguration?, certifiedLog: CertifiedLogSettings = CertifiedLogSettings(), clock: ClockSettings = ClockSettings(),
    limits: Limits = Limits(), lanes: Int = GatewayConfiguration.processors, log: LogSettings = LogSettings(),
    dovecot: LocalTarget? = nil, user: String? = nil
  ) {
    self.hostname = hostname
    self.provider = provider
    self.dataDirectory = dataDirectory
    self.index = index
    self.signer = signer
    self.tls = tls
    self.usersFile = usersFile
    self.mailboxes = mailboxes
    self.listeners = listeners
    self.routes = routes
    self.ordinaryMail = ordinaryMail
    self.trust = trust
    self.scanner = scanner
    self.certifiedLog = certifiedLog
    self.clock = clock
    self.limits = limits
    self.lanes = lanes
    self.log = log
    self.dovecot = dovecot
    self.user = user
  }

  /// The file of the provider index.
  public var indexFile: String { index.file }

  /// The route of a domain: its own, or the one for every other domain. Nil only in a configuration put together without the latter.
  public func route(for domain: String) -> RouteSettings? {
    let domain = domain.lowercased()
    return routes.first { $0.domains.contains(domain) } ?? routes.first { $0.domains.contains("*") }
  }
}

/// The provider (gestore) whose access point this is.
public struct ProviderSettings: Sendable, Equatable {
  /// The name in certification data (gestore-emittente).
  public var name: String
  /// The address that receipts and envelopes come from, equal to the one in the signer's certificate (RFC 6109 §2.2.6).
  public var serviceAddress: String
  /// This machine's name in identifiers: letters, digits and hyphens.
  public var node: String
  /// The domains whose mailboxes are here, in lower case.
  public var domains: [String]
  /// The mailbox that other providers send take-charge receipts and virus notices to (casella di servizio, RFC 6109 §4.5 `mailReceipt`).
  public var serviceMailbox: String

  /// A provider; without a service mailbox of its own, the service address is one.
  public init(name: String, serviceAddress: String, node: String, domains: [String], serviceMailbox: String? = nil) {
    self.name = name
    self.serviceAddress = serviceAddress
    self.node = node
    self.domains = domains
    self.serviceMailbox = serviceMailbox ?? serviceAddress
  }

  /// The domain of the service address, used in identifiers.
  public var mailDomain: String {
    String(serviceAddress[serviceAddress.index(after: serviceAddress.lastIndex(of: "@") ?? serviceAddress.startIndex)...])
  }
}

/// The signing key.
public struct SignerSettings: Sendable, Equatable {
  /// PEM file: the certificate, then its chain.
  public var certificate: String
  /// PEM file: the private key; or the URI of one in a token (RFC 7512, `pkcs11:`).
  public var key: String
  /// Signing threads.
  public var threads: Int

  /// True when the key is in a token.
  public var isInToken: Bool { key.lowercased().hasPrefix("pkcs11:") }

  /// A signing key.
  public init(certificate: String, key: String, threads: Int = GatewayConfiguration.processors) {
    self.certificate = certificate
    self.key = key
    self.threads = threads
  }
}

/// A certificate of the server's, and its key.
public struct TLSIdentitySettings: Sendable, Equatable {
  /// PEM file: the certificate, then its chain.
  public var certificate: String
  /// PEM file: the private key.
  public var key: String

  /// A certificate and its key in PEM files.
  public init(certificate: String, key: String) {
    self.certificate = certificate
    self.key = key
  }
}

/// The server's TLS certificates.
public struct TLSSettings: Sendable, Equatable {
  /// PEM file: the certificate, then its chain.
  public var certificate: String
  /// PEM file: the private key.
  public var key: String
  /// Further certificates, which clients see that ask for one of the names in them (SNI, RFC 6066 §3), or that know their kind of key.
  public var names: [TLSIdentitySettings]

  /// A certificate and its key in PEM files, and further ones.
  public init(certificate: String, key: String, names: [TLSIdentitySettings] = []) {
    self.certificate = certificate
    self.key = key
    self.names = names
  }
}

/// A host and a port, as in `mx.example.org:25` or `[2001:db8::1]:25`.
public struct Endpoint: Sendable, Hashable, CustomStringConvertible {
  /// A host name in lower case, or an IP address without brackets.
  public var host: String
  /// 1 to 65535.
  public var port: Int

  /// A place to connect to.
  public init(host: String, port: Int) {
    self.host = host
    self.port = port
  }

  /// `host:port`, an IPv6 address in brackets.
  public var description: String { host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// Where a server beside us listens.
public enum LocalTarget: Sendable, Equatable, CustomStringConvertible {
  case tcp(Endpoint)
  /// The path of a Unix socket.
  case unix(path: String)

  /// `host:port` or `unix:/path`, as in the file.
  public var description: String {
    switch self {
    case .tcp(let endpoint): endpoint.description
    case .unix(let path): "unix:" + path
    }
  }
}

/// Where local mail is delivered.
public enum MailboxStore: Sendable, Equatable {
  /// Maildirs in this folder, one for each address.
  case maildir(root: String)
  /// An LMTP server (RFC 2033), such as Dovecot.
  case lmtp(LocalTarget)
  /// An SMTP server whose delivery reports prove what it delivered.
  case smtp(SMTPMailboxes)
}

/// How a trusted peer says on whose behalf it hands a message over.
public enum TrustedUser: String, Sendable, CaseIterable {
  /// `LOGIN=` of Postfix's XCLIENT command.
  case xclient
  /// The reverse path is the user.
  case mailFrom
}

/// What a listener speaks.
public enum ListenerKind: Sendable, Equatable {
  /// Message submission with STARTTLS and AUTH (RFC 6409, port 587).
  case submission
  /// Message submission with TLS from the first octet (RFC 8314, port 465).
  case submissions
  /// Plain SMTP from listed peers that have authenticated the user themselves; everybody else is refused at connect.
  case trusted(peers: PeerList, user: TrustedUser)
  /// Mail for the provider's domains from anybody, with STARTTLS at choice (RFC 5321, port 25): other providers, and the world.
  case incoming

  /// The word for it in the file.
  public var name: String {
    switch self {
    case .submission: "submission"
    case .submissions: "submissions"
    case .trusted: "trusted"
    case .incoming: "incoming"
    }
  }

  /// Whether it needs the server's certificate.
  public var needsTLS: Bool {
    switch self {
    case .submission, .submissions, .incoming: true
    case .trusted: false
    }
  }
}

/// Where mail comes in.
public struct ListenerSettings: Sendable, Equatable {
  public var kind: ListenerKind
  /// An IP address; `0.0.0.0` or `::` for all of the machine's.
  public var address: String
  /// 0 for any free port.
  public var port: Int
  /// Peers that must say first whom they speak for (PROXY protocol); nil for none.
  public var proxies: PeerList?
  /// Peers that may say who a message's client is (XCLIENT, XFORWARD); nil for none. At a trusted listener its peers may, without this.
  public var forwarders: PeerList?

  /// A listener.
  public init(kind: ListenerKind, address: String, port: Int, proxies: PeerList? = nil, forwarders: PeerList? = nil) {
    self.kind = kind
    self.address = address
    self.port = port
    self.proxies = proxies
    self.forwarders = forwarders
  }
}

/// Whether a route is encrypted.
public enum RouteTLS: String, Sendable, CaseIterable {
  /// STARTTLS is never asked for.
  case never
  /// STARTTLS where it is offered, with whatever certificate (RFC 7435); to mail exchangers what DANE and MTA-STS demand.
  case opportunistic
  /// STARTTLS with a certificate that names the host and is vouched for, or no delivery.
  case required
}

/// What a next hop is told with AUTH.
public struct RouteCredentials: Sendable, Equatable {
  public var user: String
  /// A file whose first line is the password.
  public var passwordFile: String

  /// A user and where the password is.
  public init(user: String, passwordFile: String) {
    self.user = user
    self.passwordFile = passwordFile
  }
}

/// Where mail for some domains goes.
public struct RouteSettings: Sendable, Equatable {
  /// Domains in lower case; `*` for every other domain.
  public var domains: [String]
  /// Where it goes; nil for the mail exchangers of each recipient's domain (`mx`, RFC 5321 §5.1).
  public var nextHop: Endpoint?
  public var tls: RouteTLS
  /// PEM file of the authorities that may vouch for the next hop; nil for the system's. Only where TLS is required, or where the next hop is
  /// `mx`: then for hosts and policies of MTA-STS.
  public var caFile: String?
  public var credentials: RouteCredentials?

  /// A route.
  public init(
    domains: [String], nextHop: Endpoint?, tls: RouteTLS = .opportunistic, caFile: String? = nil, credentials: RouteCredentials? = nil
  ) {
    self.domains = domains
    self.nextHop = nextHop
    self.tls = tls
    self.caFile = caFile
    self.credentials = credentials
  }
}

/// The form of log lines.
public enum LogFormat: String, Sendable, CaseIterable {
  case text, json
  /// As a file of syslog has them, what is about mail in Postfix's words.
  case syslog
}

/// How much is logged, the names of swift-log.
public enum LogLevel: String, Sendable, CaseIterable {
  case trace, debug, info, notice, warning, error, critical
}

/// The log lines.
public struct LogSettings: Sendable, Equatable {
  public var format: LogFormat
  public var level: LogLevel
  public var output: LogTarget

  /// Text from level info on standard error unless said otherwise.
  public init(format: LogFormat = .text, level: LogLevel = .info, output: LogTarget = .stderr) {
    self.format = format
    self.level = level
    self.output = output
  }
}
