import Accounts
import Configuration
import EventLoop
import Journey
import Limits
import Logging
import Mailstore
import Octets
import PEC
import ProviderIndex
import Quarantine
import Reception
import SMTPWire
import Scanning
import Signing
import Spool
import Synchronization
import TLSPipe
import Threading

/// Where mail for a route goes, with everything resolved.
struct NextHop: Sendable {
  enum Place: Sendable {
    case tcp(host: String, port: Int)
    /// A mail exchanger that was looked up.
    case addresses([String], port: Int, host: String)
    case local(path: String)

    init(_ target: LocalTarget) {
      switch target {
      case .tcp(let endpoint): self = .tcp(host: endpoint.host, port: endpoint.port)
      case .unix(let path): self = .local(path: path)
      }
    }

    /// For log lines and error texts.
    var display: String {
      switch self {
      case .tcp(let host, let port): "\(host):\(port)"
      case .addresses(_, let port, let host): "\(host):\(port)"
      case .local(let path): path
      }
    }
  }

  var name: String
  var endpoint: Place
  /// Name that the certificate must bear; nil where it is not looked at.
  var serverName: String?
  var tls: TLSContext?
  var profile: ClientProfile
  /// TLSA records that the server must match.
  var identity: TLSIdentity?
  /// What protects deliveries to a mail exchanger, in a word; nil where the operator has named the next hop.
  var protection: String?

  /// For log lines and error texts.
  var display: String { endpoint.display }
}

/// What all lanes look at: immutable, or made for many threads.
///
/// When the configuration is read again there is a new one, with the same parts and other settings. Lanes take it between two events;
/// whoever began under the old one keeps it to its end.
final class SharedState: Sendable {
  /// Name of the route that is our own mailboxes' server; no domain can be called that.
  static let mailboxRoute = ":mailboxes"

  let points: ProviderPoints
  let limits: Limits
  let laneCount: Int
  let spool: Spool
  let committer: Committer
  private let spareSegments: SpareSegments
  /// Nil where mailboxes are reached by LMTP or SMTP.
  let mailboxes: MailboxWriter?
  /// Asks mailboxes behind LMTP what they have; nil where they cannot be asked.
  let mailboxSearch: MailboxSearchDesk?
  /// What an earlier run left in doubt.
  let doubtsAtStart: HandOverDoubts
  let authenticator: Authenticator
  let accounts: Accounts
  /// Dovecot's authentication socket; nil where the file has all users.
  let dovecot: NextHop.Place?
  /// Who is asked whether a mailbox has room; nil where nobody is.
  let quota: NextHop.Place?
  let index: ProviderIndex
  let trust: TrustStore
  let choices: ChoiceDesk
  let examiner: Examiner
  /// Nil where the configuration says that nothing is scanned.
  let scanner: VirusScanner?
  let quarantine: QuarantineKeeper
  /// Whether the time that everything certified bears can be believed.
  let clock: ClockGuard
  /// Who may send delivery reports about mailboxes of ours.
  let mayReport: @Sendable (String) -> Bool
  let serverTLS: TLSContext?
  let nextHops: [String: NextHop]
  /// Routes to mail exchangers, and who finds the way; nil when there are none.
  let exchangeRoutes: [String: ExchangeRoute]
  let planner: MailPlanner?
  let admission: Admission
  let rates: Rates
  let counters: Counters
  let measures: Measures
  let logger: Logger
  private let signers: SignerPool
  /// True while the ledger has entries that are due and that no lane has had room for.
  var queueHasMore: Bool { register.queueHasMore.load(ordering: .relaxed) }
  /// Unix seconds.
  let startedAt: Int64
  /// What the operator held when this began; what he says since goes to the lanes.
  let holdsAtStart: QueueHolds
  private let lanes: LaneDirectory
  private let register: LaneRegister

  init(_ parts: GatewayParts, onDrained: @escaping @Sendable () -> Void) throws {
    let configuration = parts.configuration
    points = parts.points
    limits = configuration.limits
    laneCount = configuration.lanes
    spool = parts.spool
    logger = parts.logger
    accounts = parts.accounts
    dovecot = configuration.dovecot.map { NextHop.Place($0) }
    quota = configuration.quota.map { NextHop.Place($0) }
    index = parts.index
    trust = parts.trust
    choices = try ChoiceDesk(parts.ledger)
    serverTLS = parts.serverTLS
    nextHops = parts.nextHops
    exchangeRoutes = parts.exchangeRoutes
    planner = parts.planner
    let counters = Counters()
    self.counters = counters
    let measures = Measures(parts)
    self.measures = measures
    startedAt = Clock.now().unixSeconds
    holdsAtStart = try parts.ledger.queueHolds()
    for hold in holdsAtStart.open { parts.logger.notice("the operator holds \(hold.scope.words): nothing of it is attempted") }
    let lanes = LaneDirectory()
    self.lanes = lanes
    committer = Committer(
      spool: parts.spool, ledger: parts.ledger, counters: counters, measures: measures, logger: parts.logger,
      dispatch: { lanes.dispatch($0) })
    spareSegments = SpareSegments(spool: parts.spool, logger: parts.logger)
    switch configuration.mailboxes {
    case .maildir(let root):
      mailboxes = MailboxWriter(
        maildir: try Maildir(root: root), accounts: parts.accounts,
        own: [configuration.provider.serviceMailbox] + (parts.points.extractMailbox.map { [$0] } ?? []))
      mayReport = { _ in false }
    case .lmtp:
      mailboxes = nil
      mayReport = { _ in false }
    case .smtp(let mailboxServer):
      mailboxes = nil
      mayReport = { mailboxServer.reportsFrom.contains(address: $0) }
    }
    mailboxSearch = try configuration.mailboxSearch.map { try MailboxSearchDesk($0, configuration.limits, spool: parts.spool) }
    doubtsAtStart = HandOverDoubts(
      createdBy: parts.doubtfulUntil, at: startedAt, graceSeconds: limits.delivery.uncertainSeconds,
      capacity: max(1, limits.delivery.uncertainEntries / max(1, configuration.lanes)))
    authenticator = Authenticator(accounts: parts.accounts, limits.authentication, lanes: configuration.lanes, threads: 2)
    examiner = Examiner(
      spool: parts.spool, ledger: parts.ledger, trust: parts.trust, limits: configuration.limits.message,
      threads: configuration.signer.threads)
    scanner = parts.scanner
    clock = ClockGuard(configuration.clock)
    quarantine = QuarantineKeeper(Quarantine(path: Gateway.quarantinePath(configuration.dataDirectory)), parts.ledger)
    var signing = SignerPool.Settings(batch: configuration.limits.storage.signingBatch)
    signing.onBatch = { measures.signed($0) }
    signers = try SignerPool(credentials: parts.credentials, threads: configuration.signer.threads, settings: signing)
    register = LaneRegister(onDrained: onDrained, serverTLS: parts.serverTLS)
    rates = Rates(limits.rates, refused: measures.bounds)
    admission = Admission(
      maximum: limits.connection.maximumConnections, maximumPerPeer: limits.connection.maximumConnectionsPerPeer,
      refused: measures.bounds)
  }

  /// The same parts under other settings.
  init(_ old: SharedState, under settings: ChangeableSettings) {
    (points, limits, serverTLS, nextHops) = (settings.points, settings.limits, settings.serverTLS, settings.nextHops)
    (laneCount, startedAt, lanes, register) = (old.laneCount, old.startedAt, old.lanes, old.register)
    (spool, committer, spareSegments, mailboxes) = (old.spool, old.committer, old.spareSegments, old.mailboxes)
    (authenticator, accounts, index, trust) = (old.authenticator, old.accounts, old.index, old.trust)
    (examiner, scanner, quarantine, clock) = (old.examiner, old.scanner, old.quarantine, old.clock)
    (mayReport, admission, counters, logger, signers) = (old.mayReport, old.admission, old.counters, old.logger, old.signers)
    quota = old.quota
    (dovecot, choices, measures, holdsAtStart, planner) = (old.dovecot, old.choices, old.measures, old.holdsAtStart, old.planner)
    (mailboxSearch, doubtsAtStart) = (old.mailboxSearch, old.doubtsAtStart)
    exchangeRoutes = settings.exchangeRoutes
    // Who has come often lately is forgotten only with the bounds that he was counted by.
    rates = old.limits.rates == limits.rates ? old.rates : Rates(limits.rates, refused: measures.bounds)
    register.serverTLS.withLock { $0 = serverTLS }
  }

  /// The certificates that are shown at present, after any number of reloads.
  var presentTLS: TLSContext? { register.serverTLS.withLock { $0 } }

  // MARK: Lanes

  /// The lanes, once they run.
  func setLanes(_ inboxes: [Mailbox<LaneMessage>]) { lanes.set(inboxes) }

  /// Who brings the lanes the queue, once they can be told what is committed.
  func setPager(_ pager: QueuePager) {
    register.pager.withLock { $0 = pager }
    pager.start()
  }

  /// Tells every lane of a delivery report, and then the ledger, where the entry is that it is about when it is not due for long;
  /// `then` is called once with the entries that it was about.
  func tell(_ report: ReceivedDeliveryReport, then: @escaping @Sendable ([String]) -> Void) {
    let inboxes = lanes.inboxes
    // Before the lanes run nobody can say that nothing waits: the report comes again.
    guard !inboxes.isEmpty, let pager = register.pager.withLock({ $0 }) else { return then([Deliveries.unsettled]) }
    let reply = ControlReply(lanes: inboxes.count) { met in
      if met.isEmpty { pager.report(report, then: then) } else { then(met) }
    }
    for inbox in inboxes { inbox.send(.report(report, reply)) }
  }

  /// Has it looked whether the ledger has entries that are due and that no lane has.
  func lookAtQueue() { register.pager.withLock { $0 }?.look() }

  /// A lane has room again.
  func roomInQueue() {
    guard queueHasMore, !register.queueIsAsked.exchange(true, ordering: .relaxed) else { return }
    lookAtQueue()
  }

  /// The pager looks at the lanes' room now, or has seen the end of what is due.
  func queueIsLookedAt(hasMore: Bool? = nil) {
    register.queueIsAsked.store(false, ordering: .relaxed)
    if let hasMore { register.queueHasMore.store(hasMore, ordering: .relaxed) }
  }

  /// A lane had no room for an entry, which is due at this time (Unix seconds).
  func missed(dueAt: Int64) {
    register.queueHasMore.store(true, ordering: .relaxed)
    register.pager.withLock { $0 }?.missed(dueAt: dueAt)
  }

  /// True when it is certain that the recipient has no mailbox here; another server's mailboxes only it knows.
  func mailboxIsUnknown(_ recipient: String) -> Bool {
    mailboxes != nil && !accounts.exists(recipient) && !ASCII.equal(recipient, points.serviceMailbox) && !points.isExtractMailbox(recipient)
  }

  /// Whether a mailbox of that name may send: it stands in the file, or may be one of Dovecot's, who has vouched for it or a trusted peer.
  func mayBeUser(_ address: String) -> Bool {
    accounts.exists(address) || (dovecot != nil && points.routing.route(for: address) == .mailbox)
  }

  /// The present instant.
  func now() -> Instant { Clock.now() }

  /// Writes a row about the log itself, or about what it rests on (`pec-rules` 9.1). Nobody waits for it.
  func note(_ kind: EventKind, _ detail: String) {
    committer.perform(
      .record([.event(EventRecord(aboutTheLog: kind, detail, by: points.provider.name, at: now()))]) { [logger] failure in
        if let failure { logger.error("the certified log did not take a row (\(kind.rawValue)): \(failure)") }
      })
  }

  /// What is signed with at present.
  var credentials: SignerCredentials { signers.credentials }

  /// Exchanges key and certificate for what the configuration's files, or its token, hold by now. A line for people, and whether they
  /// hold. Takes a moment: not for a lane.
  func rollSigner(_ configuration: GatewayConfiguration) -> (words: String, isDone: Bool) {
    let now = self.now().unixSeconds
    do {
      let fresh = try SignerCredentials(
        keyPath: configuration.signer.key, certificatePath: configuration.signer.certificate,
        serviceAddress: points.provider.serviceAddress, now: now)
      let isAnother = fresh.certificate.der != credentials.certificate.der
      try signers.roll(to: fresh, now: now)
      let notes = fresh.warnings.map { ", \($0)" }.joined()
      return ("\(isAnother ? "another certificate holds now" : "the same certificate, read anew")\(notes)", true)
    } catch {
      return ("the old key and certificate stay: \(error)", false)
    }
  }

  /// What the signers did so far, and how many contents wait for them.
  var signing: (figures: SigningFigures, waiting: Int) { (signers.figures, signers.waiting) }

  /// Says that so many contents follow at once, so that a batch may wait for them.
  func expectSignatures(_ count: Int) { signers.expect(count) }

  /// Hands content to the signers; the answer is a `.signature` or `.failed`.
  func sign(_ content: [Chunk], at instant: Instant, _ priority: SigningPriority, _ address: ReturnAddress) {
    let since = MonotonicClock.nanoseconds()
    signers.submit(
      SigningJob(token: address.token, content: content, signingTime: instant.unixSeconds, priority: priority) { [measures] result in
        measures.signingSeconds.observe(MonotonicClock.nanoseconds() - since)
        switch result {
        case .success(let der): address.send(.signature(der))
        case .failure(let error): address.send(.failed("\(error)"))
        }
      })
  }

  /// Has a signing thread give a sign of life: something short is signed, and that it was tried is enough.
  func askSignerForPulse(_ then: @escaping @Sendable () -> Void) {
    signers.submit(
      SigningJob(token: 0, content: [Chunk("pulse")], signingTime: now().unixSeconds, priority: .deliveryReceipt) { _ in then() })
  }

  /// A lane that rests has no sessions any more.
  func laneRested() { register.rested.send(()) }

  /// Waits until a lane says that it rests, for a second at the most.
  func waitForRest() {
    register.rested.wait(forSeconds: 1)
    if register.rested.count > 0 { _ = register.rested.take() }
  }

  /// A lane has nothing more to finish.
  func laneDrained(_ number: Int) {
    let all = register.drained.withLock { lanes in
      lanes.insert(number)
      return lanes.count == laneCount
    }
    if all { register.onDrained() }
  }

  /// A lane ends, and does not know of all that it had in hand what became of it.
  func endsInDoubt() { register.endedInDoubt.store(true, ordering: .relaxed) }

  /// Whether a lane did, once they have ended.
  var endedInDoubt: Bool { register.endedInDoubt.load(ordering: .relaxed) }

  /// Ends the threads that serve the lanes, once the lanes have ended.
  func finish() {
    register.pager.withLock { $0 = nil }
    authenticator.finish()
    examiner.finish()
    scanner?.stop()
    planner?.finish()
    quarantine.finish()
    signers.stop()
    mailboxes?.finish()
    mailboxSearch?.finish()
    committer.finish()
    spareSegments.finish()
  }
}

/// Where the lanes are told what the queue has for them.
final class LaneDirectory: Sendable {
  private let known = Mutex<[Mailbox<LaneMessage>]>([])

  /// In the order of the lanes' numbers; none before they run.
  var inboxes: [Mailbox<LaneMessage>] { known.withLock { $0 } }

  func set(_ inboxes: [Mailbox<LaneMessage>]) { known.withLock { $0 = inboxes } }

  /// Hands entries, which are durable, to the lanes that deliver them. The entries of one transaction stay together.
  func dispatch(_ deliveries: [PendingDelivery]) {
    let inboxes = self.inboxes
    // The first lane takes messages before the last one runs. What is committed until then is in the pager's first pages.
    if deliveries.isEmpty || inboxes.isEmpty { return }
    for (inbox, share) in zip(inboxes, Lane.shares(deliveries, of: inboxes.count)) where !share.isEmpty { inbox.send(.dispatch(share)) }
  }
}
