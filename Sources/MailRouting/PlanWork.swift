import Limits

/// Finds out where mail for a domain goes, and what protects it on the way: MX (RFC 5321 §5.1, RFC 7505), addresses, TLSA records where
/// DNSSEC vouches for the way to them (RFC 7672), and the policy of MTA-STS (RFC 8461).
///
/// It asks, and is told; it does no IO and keeps no clock. Whatever the DNS says, it asks a bounded number of questions.
public struct PlanWork: Sendable {
  /// What the operator has decided.
  public struct Settings: Sendable {
    /// True when a host without a certificate that names it gets nothing.
    public var requiresVerification: Bool
    /// Our own names in lower case: mail that would come back to us goes nowhere (RFC 5321 §5.1).
    public var ownNames: Set<String>
    /// Whether we listen on an address, however it is spelled.
    public var isOwn: @Sendable (String) -> Bool
    /// Whether an address that is not of the public Internet may be connected to all the same.
    public var allows: @Sendable (String) -> Bool
    public var limits: ExchangeLimits

    /// Decisions for one route.
    public init(
      requiresVerification: Bool, ownNames: Set<String>, limits: ExchangeLimits, isOwn: @escaping @Sendable (String) -> Bool,
      allows: @escaping @Sendable (String) -> Bool
    ) {
      self.requiresVerification = requiresVerification
      self.ownNames = ownNames
      self.isOwn = isOwn
      self.limits = limits
      self.allows = allows
    }
  }

  /// What to do next.
  public enum Effect: Sendable, Equatable {
    /// Ask the DNS, and tell `answered`.
    case ask(DNSQuestion)
    /// Find the domain's policy under this id, or, without one, a policy of before that still holds; and tell `policyFound`.
    case findPolicy(id: String?)
    /// This is the way.
    case finished(MailPlan)
  }

  private enum State: Sendable {
    case idle
    /// The MX list is awaited.
    case exchangers
    /// Hosts are looked up.
    case hosts
    case done
  }

  private enum PolicyState: Sendable, Equatable {
    case asked
    case wanted
    case found(TransportPolicy?)
  }

  /// A host and what is known of it.
  private struct Host: Sendable {
    var name: String
    var preference: Int
    var answers: [DNSQuestion.Kind: DNSAnswer] = [:]
    /// Names whose TLSA records may count, the one that is asked about first.
    var bases: [String] = []
    /// The name at the end of the aliases, where DNSSEC vouches for the way there.
    var canonicalName: String?
    var finding: AssociationFinding?
    var isLookedUp: Bool { finding != nil }
  }

  private let domain: String
  private let settings: Settings
  private let random: UInt64
  private var state = State.idle
  private var policy = PolicyState.asked
  private var hosts: [Host] = []
  private var listIsSecure = false
  /// True when the domain has no list and stands in for it.
  private var listIsImplicit = false
  /// The preference from which on mail would come back to us.
  private var isOursBehind: Int?
  private var lifetime: Int

  /// - Parameters:
  ///   - domain: as `HostName.normalized` has it.
  ///   - random: decides which of equal hosts are looked up when there are too many.
  public init(domain: String, settings: Settings, random: UInt64) {
    self.domain = domain
    self.settings = settings
    self.random = random
    lifetime = settings.limits.longestMemorySeconds
  }

  private var policyName: String { "_mta-sts.\(domain)" }

  /// Begins; call it once.
  public mutating func start() -> [Effect] {
    precondition(PlanWork.isIdle(state), "the work was begun before")
    state = .exchangers
    return [.ask(DNSQuestion(domain, .mx)), .ask(DNSQuestion(policyName, .txt))]
  }

  private static func isIdle(_ state: State) -> Bool {
    if case .idle = state { return true }
    return false
  }

  /// An answer has come. Answers that nobody waits for are ignored.
  public mutating func answered(_ question: DNSQuestion, _ answer: DNSAnswer) -> [Effect] {
    switch (state, question.kind) {
    case (.idle, _), (.done, _): return []
    case (.exchangers, .txt), (.hosts, .txt):
      guard question.name == policyName, policy == .asked else { return [] }
      // Until then the id is the domain's word (RFC 8461 §3.1): a new one is seen when it ends.
      note(answer)
      policy = .wanted
      return [.findPolicy(id: TransportPolicy.identifier(in: answer))]
    case (.exchangers, .mx): return question.name == domain ? listed(answer) : []
    case (.hosts, .a), (.hosts, .aaaa), (.hosts, .tlsa): return lookedUp(question, answer)
    case (.exchangers, .a), (.exchangers, .aaaa), (.exchangers, .tlsa), (.hosts, .mx): return []
    }
  }

  /// The domain's policy, or nil when there is none that could be had.
  public mutating func policyFound(_ found: TransportPolicy?) -> [Effect] {
    guard policy == .wanted else { return [] }
    policy = .found(found)
    return finishIfComplete()
  }

  // MARK: The list

  private mutating func listed(_ answer: DNSAnswer) -> [Effect] {
    note(answer)
    listIsSecure = answer.isSecure
    switch answer.content {
    case .failed(let reason): return finish(.later("4.4.3 the mail exchangers of \(domain): \(reason)"))
    case .noName: return finish(.refused(.noDomain))
    // RFC 5321 §5.1: without a list the domain itself is the exchanger.
    case .noData:
      listIsImplicit = true
      hosts = [Host(name: domain, preference: 0)]
    case .records(let records):
      let list = records.compactMap(MXRecord.init)
      // RFC 7505 §3.
      if list.count == records.count, list.allSatisfy({ $0.host == nil && $0.isUsable }) { return finish(.refused(.nullMX)) }
      hosts = shortList(list)
    }
    if let own = hosts.filter({ settings.ownNames.contains($0.name) }).map(\.preference).min() { cut(from: own) }
    if hosts.isEmpty { return finish(nobody()) }
    state = .hosts
    return hosts.flatMap { [.ask(DNSQuestion($0.name, .a)), .ask(DNSQuestion($0.name, .aaaa))] }
  }

  /// Each host once, at its best, the best ones of a long list.
  private func shortList(_ records: [MXRecord]) -> [Host] {
    var best: [String: Int] = [:]
    for record in records {
      guard let host = record.host else { continue }
      best[host] = min(best[host] ?? record.preference, record.preference)
    }
    let all = best.sorted { $0.key < $1.key }.map {
      MailExchanger(host: $0.key, preference: $0.value, addresses: [], demand: .opportunistic)
    }
    let ordered = MailPlan.ordered(all, random: random)
    // We count however long the list is: behind us nobody is tried.
    let own = ordered.first { settings.ownNames.contains($0.host) }
    let short = ordered.prefix(settings.limits.hosts) + (own.map { [$0] } ?? [])
    var known: Set<String> = []
    return short.filter { known.insert($0.host).inserted }.map { Host(name: $0.host, preference: $0.preference) }
  }

  /// RFC 5321 §5.1: where we are an exchanger ourselves, only those before us count.
  private mutating func cut(from preference: Int) {
    isOursBehind = min(isOursBehind ?? preference, preference)
    hosts.removeAll { $0.preference >= preference }
  }

  private func nobody() -> MailPlan.Way {
    if isOursBehind != nil {
      return .later("4.4.6 mail for \(domain) would come back to this host: is the domain missing under provider.domains?")
    }
    return .later("4.4.4 no mail exchanger of \(domain) can be used: their names are no host names")
  }

  // MARK: Hosts

  private mutating func lookedUp(_ question: DNSQuestion, _ answer: DNSAnswer) -> [Effect] {
    if question.kind == .tlsa {
      guard
        let index = hosts.firstIndex(where: { !$0.isLookedUp && $0.bases.first.map { DNSQuestion.associations(of: $0) } == question })
      else { return [] }
      note(answer)
      return associated(index, answer)
    }
    guard let index = hosts.firstIndex(where: { $0.name == question.name && $0.answers[question.kind] == nil }) else { return [] }
    note(answer)
    hosts[index].answers[question.kind] = answer
    guard hosts[index].answers.count == 2 else { return [] }
    let answers = [hosts[index].answers[.a], hosts[index].answers[.aaaa]].compactMap { $0 }
    let heard = answers.filter { if case .failed = $0.content { false } else { true } }
    let canonical = heard.compactMap(\.canonicalName).compactMap(HostName.normalized).first { $0 != hosts[index].name }
    let isProven = heard.allSatisfy(\.isSecure)
    // RFC 7672 §3.2.2: what nobody signed may have been chosen by somebody between us and the host, who has a certificate for it.
    hosts[index].canonicalName = isProven ? canonical : nil
    // RFC 7672 §2.2: only what is proven up to here can be the way to TLSA records. Behind an alias that leads out of what is signed the
    // alias itself may still have some; whether it is signed says the answer.
    if listIsSecure, heard.contains(where: { !$0.records.isEmpty }) {
      if isProven {
        hosts[index].bases = [canonical, hosts[index].name].compactMap { $0 }
      } else if canonical != nil {
        hosts[index].bases = [hosts[index].name]
      }
    }
    if let base = hosts[index].bases.first { return [.ask(.associations(of: base))] }
    hosts[index].finding = AssociationFinding.absent
    return finishIfComplete()
  }

  private mutating func associated(_ index: Int, _ answer: DNSAnswer) -> [Effect] {
    let base = hosts[index].bases.removeFirst()
    let finding = AssociationFinding.of(answer, base: base, atMost: settings.limits.associations)
    // RFC 7672 §2.2.2: the expanded name first, then the one in the list.
    if finding == .absent, let next = hosts[index].bases.first { return [.ask(.associations(of: next))] }
    hosts[index].finding = finding
    return finishIfComplete()
  }

  private mutating func note(_ answer: DNSAnswer) { lifetime = min(lifetime, answer.lifetimeSeconds) }

  // MARK: The plan

  private mutating func finishIfComplete() -> [Effect] {
    guard case .hosts = state, case .found(let found) = policy, hosts.allSatisfy(\.isLookedUp) else { return [] }
    let own = hosts.filter { host in addressData(host).contains { AddressRecord.text($0).map(settings.isOwn) ?? false } }
    if let preference = own.map(\.preference).min() { cut(from: preference) }
    if hosts.isEmpty { return finish(nobody()) }
    var chosen: [MailExchanger] = []
    var refused: [String] = []
    var warnings: [String] = []
    for host in hosts {
      switch judge(host, found) {
      case .success(let exchanger): chosen.append(exchanger)
      case .failure(let reason): refused.append("\(host.name): \(reason.words)")
      }
      if let found, found.mode == .testing, !found.names(host.name) {
        warnings.append("\(domain): its MTA-STS policy, in testing, does not name its mail exchanger \(host.name)")
      }
    }
    guard chosen.isEmpty else { return finish(.hosts(MailPlan.ordered(chosen, random: random)), warnings) }
    // The domain itself stood in for a list, and has no address either.
    if listIsImplicit, let host = hosts.first, host.answers.values.allSatisfy({ $0.content == .noData || $0.content == .noName }) {
      return finish(.refused(.noDomain))
    }
    return finish(.later(refused.joined(separator: "; ")), warnings)
  }

  private func addressData(_ host: Host) -> [[UInt8]] { (host.answers[.a]?.records ?? []) + (host.answers[.aaaa]?.records ?? []) }

  private struct Unusable: Error { var words: String }

  /// The table: DANE goes before MTA-STS (RFC 8461 §2), and both before the route's own demand.
  private func judge(_ host: Host, _ found: TransportPolicy?) -> Result<MailExchanger, Unusable> {
    let data = addressData(host)
    let failures = host.answers.values.compactMap { if case .failed(let reason) = $0.content { reason } else { nil } }
    if data.isEmpty, let reason = failures.first { return .failure(Unusable(words: "4.4.3 its address: \(reason)")) }
    if data.isEmpty { return .failure(Unusable(words: "4.4.4 it has no address")) }
    let texts = data.compactMap { octets in
      AddressRecord.text(octets).flatMap { AddressRecord.isPublic(octets) || settings.allows($0) ? $0 : nil }
    }
    let addresses = Array(texts.prefix(settings.limits.addressesPerHost))
    if addresses.isEmpty {
      return .failure(Unusable(words: "4.4.4 its addresses are not of the public Internet (dns.privateNetworks may allow them)"))
    }
    let demand: TransportDemand
    switch host.finding ?? .absent {
    case .failed(let reason): return .failure(Unusable(words: "4.7.5 its TLSA records: \(reason)"))
    case .usable(let associations, let base):
      // Names count below an authority alone (RFC 7672 §3.1.1); without them domains share the connections to a host.
      var names: [String] = []
      for name in [base, host.name, host.canonicalName, domain].compactMap({ $0 }) where !names.contains(name) { names.append(name) }
      if !associations.contains(where: { $0.usage == 2 }) { names = [] }
      demand = .dane(associations, base: base, names: names)
    case .unusable, .absent:
      if let found, found.mode == .enforce {
        guard found.names(host.name) else { return .failure(Unusable(words: "4.7.5 the MTA-STS policy of \(domain) does not name it")) }
        demand = .policy
      } else if settings.requiresVerification {
        demand = .verified
      } else {
        demand = host.finding == .unusable ? .encrypted : .opportunistic
      }
    }
    return .success(MailExchanger(host: host.name, preference: host.preference, addresses: addresses, demand: demand))
  }

  private mutating func finish(_ way: MailPlan.Way, _ warnings: [String] = []) -> [Effect] {
    state = .done
    let limits = settings.limits
    // What may be another soon is asked for again soon.
    let longest =
      switch way {
      case .hosts: limits.longestMemorySeconds
      case .refused, .later: limits.shortestMemorySeconds
      }
    return [
      .finished(
        MailPlan(way, lifetimeSeconds: min(longest, max(limits.shortestMemorySeconds, lifetime)), warnings: Array(warnings.prefix(3))))
    ]
  }
}

extension DNSQuestion {
  /// Where the TLSA records of a mail server stand: those of port 25 (RFC 7672 §2.2.3).
  static func associations(of host: String) -> DNSQuestion { DNSQuestion("_25._tcp.\(host)", .tlsa) }
}
