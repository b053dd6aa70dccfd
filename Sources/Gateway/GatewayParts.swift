import Accounts
import Configuration
import Foundation
import Journey
import Ledger
import Logging
import Mailstore
import Octets
import PEC
import ProviderIndex
import SMTPWire
import Signing
import Spool
import TLSPipe

/// The parts of a gateway, made one by one from its configuration: each failure says what could not be made, and why.
final class GatewayParts {
  private let configuration: GatewayConfiguration
  private let logger: Logger
  private let credentials: SignerCredentials
  private let accounts: Accounts
  private let index: ProviderIndex
  private let serverTLS: TLSContext?
  private let ledger: Ledger
  private let spool: Spool
  private let accessPoint: AccessPoint
  private let nextHops: [String: NextHop]

  init(_ configuration: GatewayConfiguration, logger: Logger) throws {
    self.configuration = configuration
    self.logger = logger
    let provider = configuration.provider
    credentials = try SignerCredentials(
      keyPath: configuration.signer.key, certificatePath: configuration.signer.certificate, serviceAddress: provider.serviceAddress,
      now: Clock.now().unixSeconds)
    for warning in credentials.warnings { logger.warning("signer: \(warning)") }
    accounts = try Accounts(path: configuration.usersFile)
    for problem in accounts.problems { logger.warning("users: \(problem)") }
    try FileManager.default.createDirectory(
      atPath: configuration.dataDirectory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    index = ProviderIndex(path: configuration.indexFile, copyPath: "\(configuration.dataDirectory)/index.last-good.ldif")
    let report = index.reload()
    for line in report.lines { logger.log(level: report.isLoaded ? .info : .warning, "provider index: \(line)") }
    if index.snapshot.isEmpty {
      throw StartError(
        "\(configuration.indexFile): no provider index could be loaded, and there is no last good copy: \(report.lines.joined(separator: "; "))"
      )
    }
    serverTLS = try configuration.tls.map { try TLSContext.server(certificatePEM: $0.certificate, keyPEM: $0.key) }
    nextHops = try GatewayParts.nextHops(configuration)
    var relays: [String: String] = [:]
    for route in configuration.routes {
      for domain in route.domains where domain != "*" { relays[domain] = GatewayParts.name(of: route) }
    }
    let fallback = configuration.routes.first { $0.domains.contains("*") }.map(GatewayParts.name(of:)) ?? "default"
    accessPoint = AccessPoint(
      provider: ProviderIdentity(
        name: provider.name, serviceAddress: provider.serviceAddress, mailDomain: provider.mailDomain, nodeName: provider.node),
      limits: configuration.limits,
      routing: RoutingTable(localDomains: provider.domains, relays: relays, fallback: fallback))
    ledger = try Ledger(path: Gateway.ledgerPath(configuration.dataDirectory))
    spool = try Spool(
      directory: Gateway.spoolPath(configuration.dataDirectory), segmentBytes: configuration.limits.storage.segmentBytes,
      liveRanges: try ledger.liveRanges())
    for problem in spool.problems { logger.critical("spool: \(problem)") }
  }

  /// Name of a route: its first domain, or "default".
  private static func name(of route: RouteSettings) -> String {
    route.domains.contains("*") ? "default" : route.domains.first ?? "default"
  }

  /// What an earlier run left to be delivered.
  func recover() throws -> [PendingDelivery] {
    var transactions: [String: TransactionRecord] = [:]
    var pending: [PendingDelivery] = []
    for entry in try ledger.allEntries() {
      let known = try transactions[entry.pecID] ?? ledger.transaction(pecID: entry.pecID)
      guard let known else {
        logger.critical("a queue entry without its transaction is left alone", metadata: ["entry": "\(entry.id)"])
        continue
      }
      transactions[entry.pecID] = known
      pending.append(PendingDelivery(entry: entry, transaction: known, recovered: true))
    }
    if !pending.isEmpty { logger.notice("\(pending.count) messages of an earlier run are on their way again") }
    return pending
  }

  /// All parts together, with their threads running.
  func assemble(onDrained: @escaping @Sendable () -> Void) throws -> SharedState {
    let counters = Counters()
    let mailboxes: MailboxWriter?
    switch configuration.mailboxes {
    case .maildir(let root): mailboxes = MailboxWriter(maildir: try Maildir(root: root), accounts: accounts)
    case .lmtp: mailboxes = nil
    }
    return SharedState(
      accessPoint: accessPoint, limits: configuration.limits, laneCount: configuration.lanes, spool: spool,
      committer: Committer(spool: spool, ledger: ledger, counters: counters, logger: logger),
      mailboxes: mailboxes, authenticator: Authenticator(accounts: accounts, threads: 2),
      accounts: accounts, index: index, serverTLS: serverTLS, nextHops: nextHops, counters: counters,
      signers: try SignerPool(
        credentials: credentials, threads: configuration.signer.threads, batch: configuration.limits.storage.signingBatch),
      logger: logger, onDrained: onDrained)
  }

  private static func nextHops(_ configuration: GatewayConfiguration) throws -> [String: NextHop] {
    var hops: [String: NextHop] = [:]
    for route in configuration.routes {
      let credentials = try route.credentials.map { ClientProfile.Credentials(login: $0.user, password: try $0.password()) }
      let name = name(of: route)
      let required = route.tls == .required
      hops[name] = NextHop(
        name: name, endpoint: .tcp(host: route.nextHop.host, port: route.nextHop.port),
        serverName: required ? route.nextHop.host : nil,
        tls: route.tls == .never ? nil : try TLSContext.client(caFile: route.caFile, verify: required),
        profile: ClientProfile(
          kind: .smtp, heloName: configuration.hostname, tls: clientPolicy(route.tls), credentials: credentials))
    }
    if case .lmtp(let target) = configuration.mailboxes {
      let place: NextHop.Place =
        switch target {
        case .tcp(let endpoint): .tcp(host: endpoint.host, port: endpoint.port)
        case .unix(let path): .local(path: path)
        }
      hops[SharedState.lmtpRoute] = NextHop(
        name: SharedState.lmtpRoute, endpoint: place, serverName: nil, tls: nil,
        profile: ClientProfile(kind: .lmtp, heloName: configuration.hostname, tls: .never, credentials: nil))
    }
    return hops
  }

  private static func clientPolicy(_ tls: RouteTLS) -> ClientProfile.TLSPolicy {
    switch tls {
    case .never: .never
    case .opportunistic: .opportunistic
    case .required: .required
    }
  }

  /// Listeners as the lanes want them.
  func listenerPlans() throws -> [ListenerPlan] {
    configuration.listeners.map { settings in
      let trust: ServerProfile.Trust
      var mayConnect: (@Sendable (String) -> Bool)?
      var implicit = false
      switch settings.kind {
      case .submission: trust = .submission(implicitTLS: false)
      case .submissions:
        trust = .submission(implicitTLS: true)
        implicit = true
      case .trusted(let peers, let user):
        trust = .trustedPeer(userFromMailFrom: user == .mailFrom)
        mayConnect = { peers.contains(address: $0) }
      }
      let profile = ServerProfile(
        hostname: configuration.hostname, trust: trust, sizeLimitBytes: configuration.limits.message.maximumBytes,
        limits: configuration.limits.command, startTLSAvailable: settings.kind == .submission && serverTLS != nil)
      return ListenerPlan(
        address: settings.address, port: settings.port, profile: profile, implicitTLS: implicit, mayConnect: mayConnect)
    }
  }
}
