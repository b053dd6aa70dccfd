import Configuration
import Limits
import Logging
import MailRouting
import NameResolution
import Octets
import SMTPWire
import Synchronization
import TLSPipe
import Threading

/// A route to mail exchangers, with everything resolved.
struct ExchangeRoute: Sendable {
  var name: String
  /// True when a host without a certificate that names it gets nothing.
  var requiresVerification: Bool
  var caFile: String?
  var heloName: String
  /// Where mail exchangers listen (RFC 5321 §4.5.4.2).
  static let port = 25

  private var unverified: TLSContext
  private var verified: TLSContext
  private var dane: TLSContext

  init(_ settings: RouteSettings, name: String, heloName: String) throws {
    self.name = name
    requiresVerification = settings.tls == .required
    caFile = settings.caFile
    self.heloName = heloName
    unverified = try TLSContext.client(caFile: nil, verify: false)
    verified = try TLSContext.client(caFile: settings.caFile, verify: true)
    dane = try TLSContext.daneClient()
  }

  /// A mail exchanger as a next hop.
  func hop(to exchanger: MailExchanger) -> NextHop {
    var hop = NextHop(
      name: name, endpoint: .addresses(exchanger.addresses, port: ExchangeRoute.port, host: exchanger.host), serverName: exchanger.host,
      tls: unverified,
      profile: .init(kind: .smtp, heloName: heloName, tls: exchanger.demand.isMandatory ? .required : .opportunistic))
    hop.protection = exchanger.demand.word
    switch exchanger.demand {
    case .opportunistic, .encrypted: break
    case .policy, .verified: hop.tls = verified
    case .dane(let associations, let base, let names):
      hop.tls = dane
      hop.identity = TLSIdentity(
        associations: associations.map { .init(usage: $0.usage, selector: $0.selector, matching: $0.matching, data: $0.data) },
        base: base, names: names)
    }
    return hop
  }
}

/// Where our incoming listeners stand for the world: an exchanger there is ourselves.
struct OwnAddresses: Sendable {
  private let addresses: Set<String>

  init(_ listeners: [ListenerSettings]) {
    let incoming = listeners.filter { $0.kind == .incoming && $0.port == ExchangeRoute.port }
    addresses = Set(incoming.map { OwnAddresses.spelled($0.address) })
  }

  /// Whether an address is among them, however it is spelled.
  func contains(_ address: String) -> Bool { addresses.contains(OwnAddresses.spelled(address)) }

  private static func spelled(_ address: String) -> String { IPText.canonical(address) ?? address }
}

/// Finds the ways to mail exchangers, on a thread of its own, and remembers them for as long as the DNS lets it.
///
/// Lanes ask `remembered`, and `find` when nothing is; neither blocks. What is asked about one domain at once is found out once.
final class MailPlanner: Sendable {
  /// The plan for a domain by a route, and by what the route demands: after a reload that demands more, no plan of before holds.
  private struct Key: Hashable, Sendable {
    var route: String
    var requiresVerification: Bool
    var caFile: String?
    var domain: String

    init(_ domain: String, _ route: ExchangeRoute) {
      self.route = route.name
      requiresVerification = route.requiresVerification
      caFile = route.caFile
      self.domain = domain
    }
  }

  private enum Event: Sendable {
    case wanted(Key, ExchangeRoute, @Sendable (MailPlan) -> Void)
    case answered(Key, DNSQuestion, DNSAnswer)
    case policyFound(Key, TransportPolicy?)
  }

  private let resolver: NameResolver
  private let policies: PolicyKeeper
  private let limits: ExchangeLimits
  private let ownNames: Set<String>
  private let ownAddresses: OwnAddresses
  private let allows: @Sendable (String) -> Bool
  private let logger: Logger
  private let events = Handoff<Event>()
  private let memory = Mutex<[Key: (plan: MailPlan, until: Int64)]>([:])
  private let thread = Mutex<WorkerThread?>(nil)

  /// - Throws: when the name servers' file, the trust anchor or the folder of policies cannot be used.
  init(_ configuration: GatewayConfiguration, logger: Logger) throws {
    let dns = configuration.dns
    limits = configuration.limits.exchange
    let networks = dns.privateNetworks
    allows = { networks.contains(address: $0) }
    resolver = try NameResolver(ResolverSettings(dns, openQuestions: limits.openQuestions))
    policies = try PolicyKeeper(
      folder: "\(configuration.dataDirectory)/mta-sts", resolver: resolver, limits: limits, allows: allows, logger: logger)
    ownNames = [ASCII.lowercased(configuration.hostname)]
    ownAddresses = OwnAddresses(configuration.listeners)
    self.logger = logger
    thread.withLock { $0 = WorkerThread(name: "mail routes") { self.work() } }
  }

  /// A way that was found before and still holds.
  func remembered(_ domain: String, by route: ExchangeRoute) -> MailPlan? {
    let now = Clock.now().unixSeconds
    return memory.withLock { memory in
      guard let known = memory[Key(domain, route)], now < known.until else { return nil }
      return known.plan
    }
  }

  /// Finds the way; `then` is told it once, on a thread of ours.
  func find(_ domain: String, by route: ExchangeRoute, then: @escaping @Sendable (MailPlan) -> Void) {
    if !events.send(.wanted(Key(domain, route), route, then)) { then(MailPlanner.stopping) }
  }

  /// What was found does not work: it is looked up again at the next attempt.
  func forget(_ domain: String, by route: ExchangeRoute) { memory.withLock { $0[Key(domain, route)] = nil } }

  private static let stopping = MailPlan(.later("the gateway is stopping"), lifetimeSeconds: 0)

  /// Ends the threads; who still waits is told to try later.
  func finish() {
    events.close()
    thread.withLock { $0.take() }?.join()
    // Policies ask the resolver, which answers them before it ends.
    policies.finish()
    resolver.finish()
  }

  // MARK: The thread

  private struct Work {
    var machine: PlanWork
    var route: ExchangeRoute
    var waiting: [@Sendable (MailPlan) -> Void]
  }

  private func work() {
    var open: [Key: Work] = [:]
    var line: [(Key, ExchangeRoute, @Sendable (MailPlan) -> Void)] = []
    while let taken = events.take() {
      for event in taken {
        switch event {
        case .wanted(let key, let route, let then):
          if open[key] != nil {
            open[key]?.waiting.append(then)
          } else if open.count < limits.lookupsAtOnce {
            begin(key, route, then, &open)
          } else {
            line.append((key, route, then))
          }
        case .answered(let key, let question, let answer):
          if let effects = open[key]?.machine.answered(question, answer) { perform(effects, key, &open) }
        case .policyFound(let key, let policy):
          if let effects = open[key]?.machine.policyFound(policy) { perform(effects, key, &open) }
        }
      }
      while !line.isEmpty, open.count < limits.lookupsAtOnce {
        let (key, route, then) = line.removeFirst()
        if open[key] != nil { open[key]?.waiting.append(then) } else { begin(key, route, then, &open) }
      }
    }
    for work in open.values { for tell in work.waiting { tell(MailPlanner.stopping) } }
    for (_, _, tell) in line { tell(MailPlanner.stopping) }
  }

  private func begin(
    _ key: Key, _ route: ExchangeRoute, _ then: @escaping @Sendable (MailPlan) -> Void, _ open: inout [Key: Work]
  ) {
    // While it stood in line another may have asked the same.
    if let plan = remembered(key.domain, by: route) { return then(plan) }
    let settings = PlanWork.Settings(
      requiresVerification: route.requiresVerification, ownNames: ownNames, limits: limits,
      isOwn: { [ownAddresses] in ownAddresses.contains($0) }, allows: allows)
    var machine = PlanWork(domain: key.domain, settings: settings, random: .random(in: 0 ... .max))
    let effects = machine.start()
    open[key] = Work(machine: machine, route: route, waiting: [then])
    perform(effects, key, &open)
  }

  private func perform(_ effects: [PlanWork.Effect], _ key: Key, _ open: inout [Key: Work]) {
    for effect in effects {
      switch effect {
      case .ask(let question):
        resolver.ask(question) { [events] answer in events.send(.answered(key, question, answer)) }
      case .findPolicy(let id):
        policies.find(key.domain, id: id, caFile: open[key]?.route.caFile) { [events] policy in events.send(.policyFound(key, policy)) }
      case .finished(let plan):
        remember(plan, key)
        let work = open.removeValue(forKey: key)
        for tell in work?.waiting ?? [] { tell(plan) }
      }
    }
  }

  private func remember(_ plan: MailPlan, _ key: Key) {
    for warning in plan.warnings { logger.warning("\(warning)") }
    let now = Clock.now().unixSeconds
    switch plan.way {
    case .hosts(let hosts):
      let words = hosts.map { "\($0.host) (\($0.demand.word))" }.joined(separator: ", ")
      logger.debug("mail exchangers", metadata: ["domain": "\(key.domain)", "hosts": "\(words)"])
    case .refused(let refusal): logger.info("no mail exchanger", metadata: ["domain": "\(key.domain)", "reason": "\(refusal)"])
    case .later(let reason): logger.warning("no mail exchanger now", metadata: ["domain": "\(key.domain)", "reason": "\(reason)"])
    }
    memory.withLock { memory in
      if memory.count >= limits.rememberedDomains {
        memory = memory.filter { now < $0.value.until }
        if memory.count >= limits.rememberedDomains { memory = [:] }
      }
      memory[key] = (plan, now + Int64(plan.lifetimeSeconds))
    }
  }
}
