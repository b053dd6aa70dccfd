import Limits
import MIMEStream
import Octets
import PEC
import Reception
import ScanWire

@testable import Journey

/// The life of two whole providers in simulation: submissions, signatures, commits, deliveries to each other and to the world, receipts
/// and notices on their way back, crashes and restarts of either, interleaved by dice. The machines are the real ones; disks, clock,
/// network, mailboxes and signatures are simulated.
struct SimulatedLife {
  private enum Owner: Hashable {
    case submission(Int)
    case delivery(Int, String)
    case incoming(Int, Int)
    case deadline(Int, String)

    /// Which provider's memory it lives in.
    func provider(_ clients: [Client]) -> Int {
      switch self {
      case .submission(let client): clients[client].provider
      case .delivery(let provider, _), .incoming(let provider, _), .deadline(let provider, _): provider
      }
    }
  }

  /// A step that the world still owes somebody.
  private enum Step {
    case sign(Owner, [Draft])
    case scan(Int)
    case write(Owner, CommitPlan)
    case sync(Owner, SimulatedDisk.Written)
    case commit(Owner, SimulatedDisk.Written)
    case attempt(Int, String)
    /// What a delivery hears of its attempt.
    case hear(Int, String, [RecipientFate])
  }

  /// A client with one message, who tries until he has his 250.
  struct Client {
    var message: [UInt8]
    var sender: String
    var recipients: [String]
    var isSound: Bool
    var provider = 0
    /// Providers whose scanners find a virus in the message.
    var infectedFor: Set<Int> = []
    /// PEC ids that were answered 250.
    var answered: [String] = []
    var isWaiting = false
  }

  /// A message on its way between the providers.
  private struct Transfer {
    var from: Int
    var entry: QueueEntry
    var octets: [UInt8]
  }

  /// What a mailbox server will report, and reports until it is heard.
  private struct Report {
    var provider: Int
    var entry: String
    var recipient: String
  }

  let directory: ProviderDirectory
  /// What holders of both providers have chosen.
  let choices: HolderChoices
  private var dice: Dice
  private(set) var clock: Int64 = 1_773_130_500
  private(set) var providers: [SimulatedProvider]
  private(set) var world = SimulatedPeer()
  private(set) var clients: [Client]
  private(set) var crashes = 0
  /// While the clock is in it the two providers do not reach each other.
  private let outage: Range<Int64>
  /// While the clock is in it no mailbox takes an envelope.
  private let fullMailboxes: Range<Int64>
  /// Crashes, failures and steps of the clock that still come to deadlines at work.
  private var lateTrouble: Int
  private var steps: [Step] = []
  private var transfers: [Int: Transfer] = [:]
  private var reports: [Report] = []
  private var nextTransfer = 0
  private var isFair = false

  init(
    seed: UInt64, points: [ProviderPoints], directory: ProviderDirectory, clients: [Client], impossible: Set<String>,
    outageSeconds: Range<Int64> = 0..<0,
    fullSeconds: Range<Int64> = 0..<0, lateTrouble: Int = 0, choices: HolderChoices = HolderChoices()
  ) {
    self.directory = directory
    self.choices = choices
    self.clients = clients
    outage = clock + outageSeconds.lowerBound..<clock + outageSeconds.upperBound
    fullMailboxes = clock + fullSeconds.lowerBound..<clock + fullSeconds.upperBound
    self.lateTrouble = lateTrouble
    providers = points.map(SimulatedProvider.init)
    dice = Dice(seed: seed)
    world.impossible = impossible
  }

  private func instant() -> Instant { Instant(unixSeconds: clock, utcOffsetSeconds: 3600) }
  private mutating func random() -> RandomBits {
    RandomBits(identifier: dice.word(), boundary: dice.word(), secret: (dice.word(), dice.word()))
  }

  /// Lives until every client has been answered and the queues are empty. Crashes and unfair peers come in the first part only.
  /// Returns false when that does not happen within a generous number of steps.
  mutating func run(trouble: Int) -> Bool {
    for turn in 0..<40_000 {
      isFair = turn > trouble
      if !isFair, dice.chance(3) { crash(dice.below(providers.count)) }
      for index in clients.indices where !clients[index].isWaiting && clients[index].answered.isEmpty && dice.chance(20) { submit(index) }
      if !reports.isEmpty, dice.chance(30) { report() }
      if !isFair, dice.chance(2) { stepClock() }
      if steps.isEmpty {
        pass(isFair: isFair)
        wake()
        let isQuiet =
          steps.isEmpty && reports.isEmpty && providers.allSatisfy { $0.known.isEmpty && $0.disk.watches.isEmpty }
        if isQuiet, clients.allSatisfy({ !$0.answered.isEmpty }) { return true }
        continue
      }
      perform(steps.remove(at: dice.below(steps.count)), isFair: isFair)
    }
    return false
  }

  /// Time passes: little while anything can happen by itself, then to the next moment that something waits for.
  private mutating func pass(isFair: Bool) {
    clock += Int64(dice.below(60)) + 1
    guard isFair, reports.isEmpty, clients.allSatisfy({ !$0.answered.isEmpty }) else { return }
    let moments = providers.flatMap { provider in
      provider.known.values.map(\.entry.dueAt) + provider.disk.watches.values.map(\.dueAt)
    }
    if let next = moments.min(), next > clock { clock = next + Int64(dice.below(300)) }
  }

  /// The clock is set: back by up to an hour, or forward by little, since a clock that goes far ahead is not believed.
  private mutating func stepClock() { clock += dice.chance(70) ? -Int64(dice.below(3600)) : Int64(dice.below(120)) }

  private enum Trouble {
    case none
    /// The step fails.
    case fails
    /// The process is gone, and the step with it.
    case dies
  }

  /// Trouble for a deadline at work, until there was enough of it.
  private mutating func trouble(for step: Step) -> Trouble {
    let owner: Owner
    switch step {
    case .sign(let who, _), .write(let who, _), .sync(let who, _), .commit(let who, _): owner = who
    case .scan, .attempt, .hear: return .none
    }
    guard case .deadline(let provider, _) = owner, lateTrouble > 0, dice.chance(40) else { return .none }
    lateTrouble -= 1
    switch dice.below(3) {
    case 0:
      crash(provider)
      return .dies
    case 1:
      stepClock()
      return .none
    default: return .fails
    }
  }

  /// A process dies: its memory is gone, and so is what was not synced. Then it starts again. Who spoke to it hears nothing.
  private mutating func crash(_ index: Int) {
    crashes += 1
    steps.removeAll { step in
      switch step {
      case .sign(let owner, _), .write(let owner, _), .sync(let owner, _), .commit(let owner, _): owner.provider(clients) == index
      case .scan(let client): clients[client].provider == index
      case .attempt(let provider, _), .hear(let provider, _, _): provider == index
      }
    }
    for key in providers[index].incoming.keys.sorted() { answer(key, at: index, nil) }
    providers[index].crash()
    for client in clients.indices where clients[client].provider == index { clients[client].isWaiting = false }
  }

  private mutating func wake() {
    for index in providers.indices {
      let isDue = providers[index].known.filter { $0.value.entry.dueAt <= clock && providers[index].deliveries[$0.key] == nil }
      for (id, delivery) in isDue.sorted(by: { $0.key < $1.key }) {
        providers[index].deliveries[id] = DeliveryJourney(delivery.entry, of: delivery.matter, at: providers[index].points)
        steps.append(.attempt(index, id))
      }
      for due in providers[index].disk.due(at: clock) where providers[index].deadlines[due.watch.pecID] == nil {
        var journey = DeadlineJourney(at: providers[index].points)
        let effects = journey.handle(.due(due, at: instant(), random: random()))
        providers[index].deadlines[due.watch.pecID] = journey
        take(effects, .deadline(index, due.watch.pecID))
      }
    }
  }

  private mutating func submit(_ index: Int) {
    let at = clients[index].provider
    let points = providers[at].points
    clients[index].isWaiting = true
    var walker = MessageWalker(limits: points.limits.message, watchedBoundaryPrefix: Composer.boundaryPrefix)
    let message = clients[index].message
    walker.feed(message.span)
    var journey = SubmissionJourney(at: points)
    let effects = journey.handle(
      .received(
        Arrival(
          submission: Submission(
            reversePath: clients[index].sender, forwardPaths: clients[index].recipients, facts: walker.finish()),
          instant: instant(), sequence: providers[at].nextSequence(), random: random(), directory: directory, choices: choices)))
    providers[at].submissions[index] = journey
    take(effects, .submission(index))
  }

  // MARK: Effects

  private mutating func take(_ effects: [Effect], _ owner: Owner) {
    for effect in effects {
      switch effect {
      case .sign(let drafts, _): steps.append(.sign(owner, drafts))
      case .scan:
        guard case .submission(let client) = owner else { preconditionFailure("who comes from outside is scanned before his journey") }
        steps.append(.scan(client))
      case .askQuota: preconditionFailure("nobody has a quota here")
      case .commit(let plan): steps.append(.write(owner, plan))
      case .reply(let verdict): reply(verdict, owner)
      case .releaseOriginal: break
      case .finished: finish(owner)
      }
    }
  }

  private mutating func reply(_ verdict: Verdict, _ owner: Owner) {
    switch owner {
    case .submission(let index):
      clients[index].isWaiting = false
      if verdict.code == 250, let id = verdict.text.split(separator: " ").last { clients[index].answered.append(String(id)) }
    case .incoming(let provider, let key): answer(key, at: provider, verdict)
    case .delivery, .deadline: preconditionFailure("nobody waits for its answer")
    }
  }

  private mutating func finish(_ owner: Owner) {
    switch owner {
    case .submission: break
    case .deadline(let provider, let id): providers[provider].deadlines[id] = nil
    case .incoming(let provider, let key):
      providers[provider].incoming[key] = nil
      providers[provider].claims[key] = nil
    case .delivery(let provider, let id):
      guard let journey = providers[provider].deliveries.removeValue(forKey: id) else { return }
      let isDone = journey.entry.recipients.isEmpty && journey.entry.awaiting.isEmpty
      if isDone { providers[provider].known[id] = nil } else { providers[provider].known[id]?.entry = journey.entry }
    }
  }

  /// The sending provider hears what became of its transfer, unless it died meanwhile, or the answer got lost.
  private mutating func answer(_ key: Int, at provider: Int, _ verdict: Verdict?) {
    guard let transfer = transfers.removeValue(forKey: key) else { return }
    let isLost = verdict == nil || (!isFair && dice.chance(5))
    let fates = transfer.entry.recipients.map { recipient -> RecipientFate in
      guard let verdict, !isLost else { return RecipientFate(recipient: recipient, outcome: .later("connection reset")) }
      switch verdict.code {
      case 250: return RecipientFate(recipient: recipient, outcome: .delivered("250"))
      case 400..<500: return RecipientFate(recipient: recipient, outcome: .later(verdict.text))
      default:
        let cause = DeliveryFailure.refused(code: verdict.code, enhanced: verdict.enhanced, text: verdict.text)
        return RecipientFate(recipient: recipient, outcome: .failed(cause, text: verdict.text))
      }
    }
    steps.append(.hear(transfer.from, transfer.entry.id, fates))
  }

  /// What any of the machines is told of what it asked for.
  private enum Answer {
    case signed([[UInt8]])
    case signingFailed
    case committed
    case commitFailed
  }

  private mutating func tell(_ owner: Owner, _ answer: Answer) {
    let why = "simulated"
    switch owner {
    case .submission(let index):
      let at = clients[index].provider
      guard var journey = providers[at].submissions[index] else { return }
      let effects =
        switch answer {
        case .signed(let signatures): journey.handle(.signed(signatures))
        case .signingFailed: journey.handle(.signingFailed(why))
        case .committed: journey.handle(.committed)
        case .commitFailed: journey.handle(.commitFailed(why))
        }
      providers[at].submissions[index] = journey
      take(effects, owner)
    case .delivery(let at, let id):
      switch answer {
      case .signed(let signatures): tell(at, id, .signed(signatures))
      case .signingFailed: tell(at, id, .signingFailed(why))
      case .committed: tell(at, id, .committed)
      case .commitFailed: tell(at, id, .commitFailed(why))
      }
    case .incoming(let at, let key):
      guard var journey = providers[at].incoming[key] else { return }
      let effects =
        switch answer {
        case .signed(let signatures): journey.handle(.signed(signatures))
        case .signingFailed: journey.handle(.signingFailed(why))
        case .committed: journey.handle(.committed)
        case .commitFailed: journey.handle(.commitFailed(why))
        }
      providers[at].incoming[key] = journey
      take(effects, owner)
    case .deadline(let at, let id):
      guard var journey = providers[at].deadlines[id] else { return }
      let effects =
        switch answer {
        case .signed(let signatures): journey.handle(.signed(signatures))
        case .signingFailed: journey.handle(.signingFailed(why))
        case .committed: journey.handle(.committed)
        case .commitFailed: journey.handle(.commitFailed(why))
        }
      providers[at].deadlines[id] = journey
      take(effects, owner)
    }
  }

  private mutating func tell(_ provider: Int, _ id: String, _ event: DeliveryJourney.Event) {
    guard var journey = providers[provider].deliveries[id] else { return }
    let effects = journey.handle(event)
    providers[provider].deliveries[id] = journey
    take(effects, .delivery(provider, id))
  }

  // MARK: Steps

  private mutating func perform(_ step: Step, isFair: Bool) {
    var fails = !isFair && dice.chance(3)
    switch trouble(for: step) {
    case .none: break
    case .fails: fails = true
    case .dies: return
    }
    switch step {
    case .sign(let owner, let drafts):
      if fails { return tell(owner, .signingFailed) }
      tell(owner, .signed(drafts.map { _ in [UInt8](repeating: 0x30, count: 16) }))
    case .scan(let client):
      let at = clients[client].provider
      guard var journey = providers[at].submissions[client] else { return }
      let effects = journey.handle(.scanned(scan(clients[client].message, at: at, isFair: isFair)))
      providers[at].submissions[client] = journey
      take(effects, .submission(client))
    case .write(let owner, let plan):
      if fails { return tell(owner, .commitFailed) }
      steps.append(.sync(owner, providers[owner.provider(clients)].write(plan, original: original(of: owner))))
    case .sync(let owner, let written):
      providers[owner.provider(clients)].sync()
      steps.append(.commit(owner, written))
    case .commit(let owner, let written):
      tell(owner, providers[owner.provider(clients)].commit(written) ? .committed : .commitFailed)
    case .attempt(let provider, let id): attempt(provider, id, isFair: isFair)
    case .hear(let provider, let id, let fates): attempted(provider, id, fates, isReport: false)
    }
  }

  /// The octets that a plan's fragments point into.
  private func original(of owner: Owner) -> [UInt8] {
    switch owner {
    case .submission(let index): clients[index].message
    case .incoming(_, let key): transfers[key]?.octets ?? []
    case .delivery(let provider, let id): providers[provider].known[id].map { providers[provider].disk.octets(of: $0.entry) } ?? []
    case .deadline: []
    }
  }

  private mutating func attempted(_ provider: Int, _ id: String, _ fates: [RecipientFate], isReport: Bool) {
    tell(
      provider, id,
      .attempted(DeliveryJourney.Attempt(fates, at: instant(), random: random(), isReport: isReport, choices: choices)))
  }

  private mutating func attempt(_ provider: Int, _ id: String, isFair: Bool) {
    guard let delivery = providers[provider].known[id] else { return }
    let entry = delivery.entry
    if entry.recipients.isEmpty {
      let unproven = RecipientFate.Outcome.failed(.unproven(hours: 24), text: "no report")
      return attempted(provider, id, entry.awaiting.map { RecipientFate(recipient: $0, outcome: unproven) }, isReport: true)
    }
    switch entry.route {
    case .mailbox: attempted(provider, id, store(entry, at: provider, isFair: isFair), isReport: false)
    case .relay("default"): attempted(provider, id, world.attempt(entry, &dice, isFair: isFair), isReport: false)
    case .relay: transfer(entry, from: provider, to: 1 - provider, isFair: isFair)
    }
  }

  /// Into mailboxes: at once and for certain, or through a server that answers now and reports later.
  private mutating func store(_ entry: QueueEntry, at provider: Int, isFair: Bool) -> [RecipientFate] {
    let isReported = providers[provider].points.provesDeliveryByReport && entry.proofToken != nil
    return entry.recipients.map { recipient in
      if recipient.hasPrefix("nessuno@") {
        return RecipientFate(recipient: recipient, outcome: .failed(.noMailbox, text: "no such mailbox"))
      }
      let isFull = fullMailboxes.contains(clock) && entry.kind == .envelope
      if isFull || (!isFair && dice.chance(10)) { return RecipientFate(recipient: recipient, outcome: .later("452 4.2.2 full")) }
      providers[provider].store(entry, recipient, isIdempotent: !isReported)
      if isReported { reports.append(Report(provider: provider, entry: entry.id, recipient: recipient)) }
      return RecipientFate(recipient: recipient, outcome: .delivered("stored"))
    }
  }

  /// A mailbox server's report is noted, or is sent again later.
  private mutating func report() {
    let report = reports.remove(at: dice.below(reports.count))
    let provider = report.provider
    guard let delivery = providers[provider].known[report.entry] else { return }  // settled before
    guard providers[provider].deliveries[report.entry] == nil else { return reports.append(report) }
    // Until the journey has made it durable the server has no answer, and reports again.
    reports.append(report)
    providers[provider].deliveries[report.entry] = DeliveryJourney(delivery.entry, of: delivery.matter, at: providers[provider].points)
    let fate = RecipientFate(recipient: report.recipient, outcome: .delivered("delivery report"))
    attempted(provider, report.entry, [fate], isReport: true)
  }

  /// A scanner that finds what its own database knows, and that is not always there.
  private mutating func scan(_ octets: [UInt8], at provider: Int, isFair: Bool) -> ScanOutcome {
    if !isFair, dice.chance(5) { return .unavailable("simulated") }
    let version = ScanVersion(engine: "Simulated", database: "\(provider)", signatures: 1)
    if !isFair, dice.chance(3) { return .fault("every worker died", version: version, digest: "") }
    let isInfected = Chunk(octets).withSpan { Scan.first(SimulatedLife.virus(provider), in: $0) } != nil
    return .verdict(
      ScanVerdict(
        finding: isInfected ? .infected("Simulated-\(provider)") : .clean, version: version, views: 0, digest: "", isCached: false))
  }

  /// What a provider's scanner looks for.
  static func virus(_ provider: Int) -> [UInt8] { Array("virus for \(provider)".utf8) }

  private mutating func transfer(_ entry: QueueEntry, from: Int, to: Int, isFair: Bool) {
    if outage.contains(clock) || (!isFair && dice.chance(20)) {
      return steps.append(.hear(from, entry.id, entry.recipients.map { RecipientFate(recipient: $0, outcome: .later("451 busy")) }))
    }
    nextTransfer += 1
    let octets = providers[from].disk.octets(of: entry)
    transfers[nextTransfer] = Transfer(from: from, entry: entry, octets: octets)
    let message = providers[to].examine(
      octets, from: entry.sender, to: entry.recipients, directory: directory, instant: instant())
    let claim = "\(message.claim.messageID ?? "") \(entry.kind)"
    guard !providers[to].claims.values.contains(claim) else {
      return answer(nextTransfer, at: to, Verdict(code: 451, enhanced: "4.3.2", text: "busy"))
    }
    providers[to].claims[nextTransfer] = claim
    let scan = scan(octets, at: to, isFair: isFair)
    var progress: [String: RecipientEnd?] = [:]
    var transaction: TransactionRecord?
    if case .success(let data)? = message.certification {
      transaction = providers[to].disk.transactions[data.pecID]
      for recipient in transaction?.recipients ?? [] {
        progress[ASCII.lowercased(recipient.address)] = .some(providers[to].disk.progress["\(data.pecID) \(recipient.address)"])
      }
    }
    var journey = IncomingJourney(at: providers[to].points)
    let effects = journey.handle(
      .examined(
        IncomingArrival(
          message: message, scan: scan, instant: instant(), sequence: providers[to].nextSequence(), random: random(),
          directory: directory, peer: "192.0.2.1", helo: "mx.test", progress: progress, transaction: transaction)))
    providers[to].incoming[nextTransfer] = journey
    take(effects, .incoming(to, nextTransfer))
  }
}
