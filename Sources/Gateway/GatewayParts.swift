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
import Reception
import SMTPWire
import Scanning
import Signing
import Spool
import TLSPipe

/// The parts of a gateway, made one by one from its configuration: each failure says what could not be made, and why.
final class GatewayParts {
  let configuration: GatewayConfiguration
  let logger: Logger
  let credentials: SignerCredentials
  let accounts: Accounts
  let index: ProviderIndex
  let trust: TrustStore
  let serverTLS: TLSContext?
  let ledger: Ledger
  let spool: Spool
  let stocktaking: Stocktaking
  /// Messages of the queue that were made up to this time (Unix seconds) may lie in a mailbox, by an earlier run that did not end in order.
  let doubtfulUntil: Int64
  let scanner: VirusScanner?
  let points: ProviderPoints
  let nextHops: [String: NextHop]
  let exchangeRoutes: [String: ExchangeRoute]
  let planner: MailPlanner?

  /// - Parameters:
  ///   - writesLog: false leaves the rows of the certified log out, to measure what they cost; on loopback only.
  ///   - beforeStorage: called once everything is ready but ledger and spool, which one process alone may have.
  ///   - mayLast: told of seconds that the next step of bringing the ledger forward may take.
  init(
    _ configuration: GatewayConfiguration, writesLog: Bool, beforeStorage: (() throws -> Void)?,
    mayLast: @escaping @Sendable (_ seconds: Int) -> Void, logger: Logger
  ) throws {
    self.configuration = configuration
    self.logger = logger
    if !writesLog { try GatewayParts.checkMeasuring(configuration, logger) }
    let provider = configuration.provider
    credentials = try SignerCredentials(
      keyPath: configuration.signer.key, certificatePath: configuration.signer.certificate, serviceAddress: provider.serviceAddress,
      now: Clock.now().unixSeconds)
    for warning in credentials.warnings { logger.warning("signer: \(warning)") }
    logger.info("signer: \(credentials.backend)")
    accounts = try Accounts(path: configuration.usersFile)
    for problem in accounts.problems { logger.warning("users: \(problem)") }
    try FileManager.default.createDirectory(
      atPath: configuration.dataDirectory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    // Here too, while a gateway that is to be followed still runs and can go on.
    try GatewayParts.check(dataDirectory: configuration.dataDirectory)
    index = try ProviderIndex(configuration)
    try GatewayParts.load(index, configuration, logger)
    trust = try TrustStore(
      configuration.trust, configuration.limits.fetch, cache: "\(configuration.dataDirectory)/revocation", logger: logger)
    let settings = try ChangeableSettings(configuration)
    (serverTLS, nextHops, points) = (settings.serverTLS, settings.nextHops, settings.points)
    exchangeRoutes = settings.exchangeRoutes
    planner = exchangeRoutes.isEmpty ? nil : try MailPlanner(configuration, logger: logger)
    for fault in serverTLS?.certificates.compactMap({ $0.fault(at: Clock.now().unixSeconds) }) ?? [] {
      logger.critical("TLS: \(fault): clients will refuse to connect")
    }
    scanner = GatewayParts.scanner(configuration, logger)
    do {
      if let beforeStorage {
        // Who has storage now goes on until this process could take it: signatures take the longest to load.
        if let reason = scanner?.waitUntilReady(seconds: 120) { logger.critical("the virus scanner: \(reason)") }
        try beforeStorage()
      }
      (ledger, spool, stocktaking) = try GatewayParts.storage(configuration, writesLog: writesLog, mayLast, logger)
      // Before anything is handed over, and after the spool's lock is ours.
      doubtfulUntil = try ledger.beginRun(at: Clock.now().unixSeconds)
    } catch {
      scanner?.stop()
      throw error
    }
  }

  /// Throws when what lies in the data directory is not for this program.
  private static func check(dataDirectory: String) throws {
    try checkRestore(dataDirectory)
    try Ledger.checkUpgrade(path: Gateway.ledgerPath(dataDirectory))
  }

  private static func checkRestore(_ dataDirectory: String) throws {
    if FileManager.default.fileExists(atPath: Gateway.restoringPath(dataDirectory)) {
      throw StartError("\(dataDirectory): a restore was begun here and has not ended: run `ceralacca restore` again")
    }
  }

  private static func storage(
    _ configuration: GatewayConfiguration, writesLog: Bool, _ mayLast: @escaping @Sendable (Int) -> Void, _ logger: Logger
  ) throws -> (Ledger, Spool, Stocktaking) {
    // Before the ledger: a program that is newer than the one that runs must not bring its ledger forward under it.
    let lock = try Spool.lock(directory: Gateway.spoolPath(configuration.dataDirectory))
    // Once more: a restore that began since the first look saw an empty folder. It makes its mark and then looks whether there is a spool,
    // and here it is the other way round, so one of the two sees the other.
    try checkRestore(configuration.dataDirectory)
    let path = Gateway.ledgerPath(configuration.dataDirectory)
    if let found = try Ledger.olderSchema(path: path) {
      logger.notice("the ledger has schema \(found): it is copied to \(Ledger.copyPath(path)) and brought forward")
    }
    let ledger = try Ledger(path: path, checkpointsAside: true, writesLog: writesLog, mayLast: mayLast)
    let spool = try Spool(
      directory: Gateway.spoolPath(configuration.dataDirectory), segmentBytes: configuration.limits.storage.segmentBytes,
      afterSegment: try ledger.highestSegment(), lock: lock)
    // Before anything is committed: what is counted must be what the spool was opened with.
    let stocktaking = Stocktaking(spool: spool, ledger: ledger, snapshot: try ledger.queueSnapshot(), logger: logger)
    let waiting = try ledger.queueLength()
    if waiting > 0 { logger.notice("\(waiting) messages of an earlier run are in the queue") }
    return (ledger, spool, stocktaking)
  }

  /// Without its log a gateway must not be reached by anybody: what it then says has no proof.
  private static func checkMeasuring(_ configuration: GatewayConfiguration, _ logger: Logger) throws {
    for listener in configuration.listeners where !["127.0.0.1", "::1"].contains(listener.address) {
      throw StartError("without its log a gateway listens on loopback only, and not on \(listener.address)")
    }
    logger.critical("the certified log is NOT written: this gateway is for measuring, and nothing that it says has a proof")
  }

  /// The scanner, which loads its signatures while the rest starts. Without signatures nothing is taken, and deliveries go on.
  private static func scanner(_ configuration: GatewayConfiguration, _ logger: Logger) -> VirusScanner? {
    guard let plan = ScannerPlan(configuration) else {
      logger.critical("the virus scanner is OFF by configuration: messages pass that nobody has looked at")
      return nil
    }
    return VirusScanner(plan) { notice in logger.log(level: Logger.Level(notice.level), "scanner: \(notice.text)") }
  }

  /// An index from the file, or the last good copy. Where one is to be fetched, an empty one will do for the first moment.
  private static func load(_ index: ProviderIndex, _ configuration: GatewayConfiguration, _ logger: Logger) throws {
    var report = index.reload()
    for line in report.lines { logger.log(level: report.isLoaded ? .info : .warning, "provider index: \(line)") }
    if index.snapshot.isEmpty, configuration.index.fetch != nil {
      let fetched = IndexFetch.fetch(configuration.index, configuration.limits.fetch, into: index, allowsLosses: false)
      for line in fetched.lines { logger.log(level: fetched.isLoaded ? .info : .warning, "provider index: \(line)") }
      report = fetched.isLoaded ? index.reload() : report
    }
    if index.snapshot.isEmpty {
      throw StartError(
        "\(configuration.indexFile): no provider index could be loaded, and there is no last good copy: \(report.lines.joined(separator: "; "))"
      )
    }
  }

  static func points(_ configuration: GatewayConfiguration) -> ProviderPoints {
    let provider = configuration.provider
    var relays: [String: String] = [:]
    for route in configuration.routes {
      for domain in route.domains where domain != "*" { relays[domain] = name(of: route) }
    }
    let fallback = configuration.routes.first { $0.domains.contains("*") }.map(name(of:)) ?? "default"
    var provesByReport = false
    if case .smtp = configuration.mailboxes { provesByReport = true }
    let ordinary = configuration.ordinaryMail
    return ProviderPoints(
      provider: ProviderIdentity(
        name: provider.name, serviceAddress: provider.serviceAddress, mailDomain: provider.mailDomain, nodeName: provider.node),
      serviceMailbox: provider.serviceMailbox, limits: configuration.limits,
      routing: RoutingTable(
        localDomains: provider.domains, relays: relays, fallback: fallback, localAddresses: [provider.serviceMailbox]),
      ordinaryMail: OrdinaryMailPolicy(
        standard: OrdinaryAction(ordinary.standard), forged: OrdinaryAction(ordinary.forged),
        domains: ordinary.domains.mapValues(OrdinaryAction.init), mailboxes: ordinary.mailboxes.mapValues(OrdinaryAction.init)),
      security: SecurityPolicy(configuration.scanner), hostname: configuration.hostname,
      extractMailbox: configuration.certifiedLog.extractAddress, provesDeliveryByReport: provesByReport,
      asksQuota: configuration.quota != nil)
  }

  /// Name of a route: its first domain, or "default".
  private static func name(of route: RouteSettings) -> String {
    route.domains.contains("*") ? "default" : route.domains.first ?? "default"
  }

  static func nextHops(_ configuration: GatewayConfiguration) throws -> [String: NextHop] {
    var hops: [String: NextHop] = [:]
    for route in configuration.routes {
      guard let place = route.nextHop else { continue }
      let credentials = try route.credentials.map { ClientProfile.Credentials(login: $0.user, password: try $0.password()) }
      let name = name(of: route)
      let required = route.tls == .required
      hops[name] = NextHop(
        name: name, endpoint: .tcp(host: place.host, port: place.port),
        serverName: required ? place.host : nil,
        tls: route.tls == .never ? nil : try TLSContext.client(caFile: route.caFile, verify: required),
        profile: ClientProfile(
          kind: .smtp, heloName: configuration.hostname, tls: clientPolicy(route.tls), credentials: credentials))
    }
    if let hop = mailboxHop(configuration) { hops[SharedState.mailboxRoute] = hop }
    return hops
  }

  static func exchangeRoutes(_ configuration: GatewayConfiguration) throws -> [String: ExchangeRoute] {
    var routes: [String: ExchangeRoute] = [:]
    for route in configuration.routes where route.nextHop == nil {
      routes[name(of: route)] = try ExchangeRoute(route, name: name(of: route), heloName: configuration.hostname)
    }
    return routes
  }

  private static func mailboxHop(_ configuration: GatewayConfiguration) -> NextHop? {
    let place: NextHop.Place
    var kind = ClientProfile.Kind.lmtp
    switch configuration.mailboxes {
    case .maildir: return nil
    case .lmtp(let target): place = NextHop.Place(target)
    case .smtp(let server):
      place = .tcp(host: server.nextHop.host, port: server.nextHop.port)
      kind = .smtp
    }
    return NextHop(
      name: SharedState.mailboxRoute, endpoint: place, serverName: nil, tls: nil,
      profile: ClientProfile(kind: kind, heloName: configuration.hostname, tls: .never, credentials: nil))
  }

  private static func clientPolicy(_ tls: RouteTLS) -> ClientProfile.TLSPolicy {
    switch tls {
    case .never: .never
    case .opportunistic: .opportunistic
    case .required: .required
    }
  }

  /// An envelope is larger than the message in it.
  static let envelopeRoomBytes = 1 << 20

  /// Listeners as the lanes want them.
  static func listenerPlans(_ configuration: GatewayConfiguration, hasTLS: Bool) -> [ListenerPlan] {
    configuration.listeners.map { settings in
      let trust: ServerProfile.Trust
      var mayConnect: (@Sendable (String) -> Bool)?
      var implicit = false
      switch settings.kind {
      case .submission: trust = .submission(implicitTLS: false)
      case .submissions:
        trust = .submission(implicitTLS: true)
        implicit = true
      case .incoming: trust = .incoming
      case .trusted(let peers, let user):
        trust = .trustedPeer(userFromMailFrom: user == .mailFrom)
        mayConnect = { peers.contains(address: $0) }
      }
      let isIncoming = settings.kind == .incoming
      let room = isIncoming ? GatewayParts.envelopeRoomBytes : 0
      let profile = ServerProfile(
        hostname: configuration.hostname, trust: trust, sizeLimitBytes: configuration.limits.message.maximumBytes + room,
        limits: configuration.limits.command,
        startTLSAvailable: (settings.kind == .submission || isIncoming) && hasTLS)
      let whenDown = configuration.scanner.map { isIncoming ? $0.whenDown.incoming : $0.whenDown.submission } ?? .message
      var isProxy: (@Sendable (String) -> Bool)?
      if let proxies = settings.proxies { isProxy = { proxies.contains(address: $0) } }
      var mayForward: @Sendable (String) -> Bool = mayConnect ?? { _ in false }
      if let forwarders = settings.forwarders { mayForward = { forwarders.contains(address: $0) } }
      return ListenerPlan(
        address: settings.address, port: settings.port, profile: profile, implicitTLS: implicit, mayConnect: mayConnect,
        isProxy: isProxy, mayForward: mayForward, closesWithoutScanner: whenDown == .connection)
    }
  }
}

extension OrdinaryAction {
  init(_ treatment: OrdinaryTreatment) {
    switch treatment {
    case .refuse: self = .refuse
    case .discard: self = .discard
    case .anomaly: self = .anomaly
    case .forward(let address): self = .forward(address)
    }
  }
}

extension ProviderIndex {
  /// The provider index as a configuration has it: where it is, who must have signed it, where the last good copy is kept. It lists
  /// nobody until it was loaded. Throws when the signers' certificates cannot be read.
  public convenience init(_ configuration: GatewayConfiguration) throws {
    let settings = configuration.index
    let signers = try settings.signers.map { try TrustAnchors(paths: [$0]) }
    let data = configuration.dataDirectory
    self.init(
      path: settings.file, copyPath: "\(data)/index.last-good.ldif", historyPath: "\(data)/index-history",
      maximumLossPercent: settings.maximumLossPercent,
      // What a directory server gives is vouched for by the connection.
      requiresSignature: signers != nil && settings.fetch?.usesLDAP != true,
      digest: { Hex.encode(ContentDigest.sha1([Chunk($0)])) },
      // At the signer's own time: a copy must not become useless because the operator's certificate has expired since.
      opening: signers.map(ProviderIndex.opening))
  }

  private static func opening(_ anchors: TrustAnchors) -> IndexReading.Opening {
    { octets in try SignedContent.open(octets, signers: [], anchors: anchors, at: nil).content }
  }
}
