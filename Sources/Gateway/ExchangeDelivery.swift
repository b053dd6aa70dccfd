import Journey
import MailRouting
import Octets
import PEC

/// The mail exchangers that one lane delivers to: a pool of connections for each host and what it must prove, shared by all domains that
/// have the host in their lists.
final class ExchangeRelays {
  /// What tells pools apart: a connection that was made without proof must not carry what demands it.
  private struct Key: Hashable {
    var route: String
    var host: String
    var demand: TransportDemand
  }

  private unowned let lane: Lane
  private let planner: MailPlanner
  private var pools: [Key: RelayPool] = [:]
  /// Pools of settings that hold no more, with what is still under way on their connections.
  private var retired: [RelayPool] = []
  /// Grows when the settings change: what was found out under others is no way any more.
  fileprivate private(set) var generation = 0
  /// Hosts that could not be reached, with the loop's time up to which they go behind the others.
  private var resting: [String: UInt64] = [:]

  init(lane: Lane, planner: MailPlanner) {
    self.lane = lane
    self.planner = planner
  }

  /// Delivers to the mail exchangers of the recipients' domains; `then` is told once what became of all of them.
  /// - Parameter job: makes the job of some of the recipients.
  func deliver(
    to recipients: [String], by route: ExchangeRoute, job: @escaping ([String], @escaping ([RecipientFate]) -> Void) -> RelayJob,
    then: @escaping ([RecipientFate]) -> Void
  ) {
    var groups: [String?: [String]] = [:]
    for recipient in recipients { groups[HostName.domain(of: recipient), default: []].append(recipient) }
    let gathering = Gathering(groups.count, then)
    for (domain, recipients) in groups {
      guard let domain else {
        let outcome = RecipientFate.Outcome.failed(.noDomain, text: "5.1.2 no domain that could be looked up")
        gathering.add(recipients.map { RecipientFate(recipient: $0, outcome: outcome) })
        continue
      }
      let attempt = ExchangeAttempt(
        relays: self, route: route, domain: domain, recipients: recipients, job: job, then: { gathering.add($0) })
      attempt.start()
    }
  }

  /// Finds the way to a domain; `then` is told it, at once when it is known.
  fileprivate func find(_ domain: String, by route: ExchangeRoute, then: @escaping (MailPlan) -> Void) {
    if let plan = planner.remembered(domain, by: route) { return then(plan) }
    let address = lane.returnAddress { completion in
      guard case .planned(let plan) = completion else { preconditionFailure("a planner's answer of another kind") }
      then(plan)
    }
    planner.find(domain, by: route) { address.send(.planned($0)) }
  }

  /// The route of that name, as it is now.
  fileprivate func route(named name: String) -> ExchangeRoute? { lane.shared.exchangeRoutes[name] }

  /// The settings have changed: a connection that met the old ones may not meet the new ones, so it takes nothing more. What waits is
  /// sent by the new ones.
  func settle() {
    generation += 1
    let old = Array(pools.values)
    pools = [:]
    retired.removeAll { $0.isResting }
    retired += old
    for job in old.flatMap({ $0.giveAway() }) { job.beginAnew() }
    for pool in old { pool.retire() }
  }

  /// The hosts of a plan in the order in which they are tried now.
  fileprivate func order(_ hosts: [MailExchanger]) -> [MailExchanger] {
    let now = lane.loop.now
    let ordered = MailPlan.ordered(hosts, random: .random(in: 0 ... .max))
    let isResting = { (host: MailExchanger) in self.resting[host.host].map { now < $0 } ?? false }
    return ordered.filter { !isResting($0) } + ordered.filter(isResting)
  }

  fileprivate func enqueue(_ job: RelayJob, for exchanger: MailExchanger, by route: ExchangeRoute) {
    let key = Key(route: route.name, host: exchanger.host, demand: exchanger.demand)
    let hop = route.hop(to: exchanger)
    if let pool = pools[key] {
      // Addresses may have changed since.
      pool.hop = hop
      return pool.enqueue(job)
    }
    let pool = RelayPool(lane: lane, hop: hop)
    pool.onEmpty = { [weak self, weak pool] in
      guard let self else { return }
      if self.pools[key] === pool { self.pools[key] = nil } else { self.retired.removeAll { $0 === pool } }
    }
    pools[key] = pool
    pool.enqueue(job)
  }

  /// A host could not be reached: others go before it for a while, and what is known of the domain is looked at again.
  fileprivate func rest(_ host: String, _ domain: String, by route: ExchangeRoute) {
    let now = lane.loop.now
    if resting.count >= 1000 { resting = resting.filter { now < $0.value } }
    if resting.count < 1000 { resting[host] = now + UInt64(lane.shared.limits.exchange.restSeconds) * 1000 }
    planner.forget(domain, by: route)
  }

  func close() {
    let closing = retired + pools.values
    (retired, pools) = ([], [:])
    for pool in closing { pool.close() }
  }
}

/// Fates of the recipients of several domains, until all are known.
private final class Gathering {
  private var missing: Int
  private var fates: [RecipientFate] = []
  private let then: ([RecipientFate]) -> Void

  init(_ count: Int, _ then: @escaping ([RecipientFate]) -> Void) {
    missing = count
    self.then = then
  }

  func add(_ more: [RecipientFate]) {
    fates += more
    missing -= 1
    if missing == 0 { then(fates) }
  }
}

/// One attempt to deliver to one domain: host after host, until one talks to us (RFC 5321 §5.1).
private final class ExchangeAttempt {
  private let relays: ExchangeRelays
  private var route: ExchangeRoute
  /// Of the settings that `route` is of.
  private var generation: Int
  private let domain: String
  private let recipients: [String]
  private let job: ([String], @escaping ([RecipientFate]) -> Void) -> RelayJob
  private let then: ([RecipientFate]) -> Void
  private var hosts: [MailExchanger] = []
  private var next = 0
  private var reasons: [String] = []

  init(
    relays: ExchangeRelays, route: ExchangeRoute, domain: String, recipients: [String],
    job: @escaping ([String], @escaping ([RecipientFate]) -> Void) -> RelayJob, then: @escaping ([RecipientFate]) -> Void
  ) {
    self.relays = relays
    self.route = route
    generation = relays.generation
    self.domain = domain
    self.recipients = recipients
    self.job = job
    self.then = then
  }

  func start() { relays.find(domain, by: route) { self.follow($0) } }

  /// Begins again with the settings that hold now.
  private func startAnew() {
    guard let now = relays.route(named: route.name) else {
      return tell(.later("the configuration has no route '\(route.name)' any more"))
    }
    (route, generation) = (now, relays.generation)
    (hosts, next, reasons) = ([], 0, [])
    start()
  }

  private func follow(_ plan: MailPlan) {
    guard generation == relays.generation else { return startAnew() }
    switch plan.way {
    case .refused(.noDomain):
      tell(.failed(.noDomain, text: "5.1.2 \(domain) does not exist, or has neither mail exchanger nor address"))
    case .refused(.nullMX): tell(.failed(.takesNoMail, text: "5.1.10 \(domain) takes no mail (null MX)"))
    case .later(let reason): tell(.later(reason))
    case .hosts(let found):
      hosts = relays.order(found)
      tryNext()
    }
  }

  private func tryNext() {
    guard generation == relays.generation else { return startAnew() }
    guard next < hosts.count else { return tell(.later(String(reasons.joined(separator: "; ").prefix(600)))) }
    let exchanger = hosts[next]
    next += 1
    let job = job(recipients, then)
    job.onUnreached = { [self] reason in
      reasons.append(reason)
      relays.rest(exchanger.host, domain, by: route)
      tryNext()
    }
    job.onChanged = { [self] in startAnew() }
    relays.enqueue(job, for: exchanger, by: route)
  }

  private func tell(_ outcome: RecipientFate.Outcome) { then(recipients.map { RecipientFate(recipient: $0, outcome: outcome) }) }
}
