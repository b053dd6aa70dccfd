import Limits
import MIMEStream
import Octets
import PEC

@testable import Journey

/// A whole gateway's life in simulation: submissions, signatures, commits, deliveries, crashes and restarts, interleaved by dice.
/// The machines are the real ones; the disk, the clock, the peers and the signatures are simulated.
struct SimulatedLife {
  private enum Owner: Hashable {
    case submission(Int)
    case delivery(String)
  }

  /// A step that the world still owes somebody.
  private enum Step {
    case sign(Owner, [Draft])
    case write(Owner, CommitPlan)
    case sync(Owner, SimulatedDisk.Written)
    case commit(Owner, SimulatedDisk.Written)
    case attempt(String)
  }

  /// A client with one message, who tries until he has his 250.
  struct Client {
    var message: [UInt8]
    var sender: String
    var recipients: [String]
    var isSound: Bool
    /// PEC ids that were answered 250.
    var answered: [String] = []
    var isWaiting = false
  }

  private let point: AccessPoint
  private let directory: ProviderDirectory
  private var dice: Dice
  private(set) var clock: Int64 = 1_773_130_500
  private(set) var disk = SimulatedDisk()
  private(set) var peer = SimulatedPeer()
  private(set) var clients: [Client]
  /// The sender's mailbox, which survives crashes: message by Message-ID and mailbox. A name that is there already is not stored
  /// again, as in a Maildir; a receipt made twice under two names would stand here twice.
  private(set) var mailbox: [String: [UInt8]] = [:]
  private(set) var crashes = 0

  // What a crash loses.
  private var steps: [Step] = []
  private var submissions: [Int: SubmissionJourney] = [:]
  private var deliveries: [String: DeliveryJourney] = [:]
  private var known: [String: QueueEntry] = [:]
  private var sequence: UInt64 = 0

  init(seed: UInt64, point: AccessPoint, directory: ProviderDirectory, clients: [Client], impossible: Set<String>) {
    self.point = point
    self.directory = directory
    self.clients = clients
    dice = Dice(seed: seed)
    peer.impossible = impossible
  }

  private func instant() -> Instant { Instant(unixSeconds: clock, utcOffsetSeconds: 3600) }

  /// Lives until every client has been answered and the queue is empty. Crashes and unfair peers come in the first part only.
  /// Returns false when that does not happen within a generous number of steps.
  mutating func run(trouble: Int) -> Bool {
    for turn in 0..<20_000 {
      let isFair = turn > trouble
      if !isFair, dice.chance(3) { crash() }
      for index in clients.indices where !clients[index].isWaiting && clients[index].answered.isEmpty && dice.chance(20) { submit(index) }
      if steps.isEmpty {
        clock += Int64(dice.below(isFair ? 3600 : 60)) + 1
        wake()
        if steps.isEmpty, clients.allSatisfy({ !$0.answered.isEmpty }), known.isEmpty { return true }
        continue
      }
      let index = dice.below(steps.count)
      let step = steps.remove(at: index)
      perform(step, isFair: isFair)
    }
    return false
  }

  /// The process dies: memory is gone, and so is what was not synced. Then it starts again.
  private mutating func crash() {
    crashes += 1
    steps = []
    submissions = [:]
    deliveries = [:]
    disk.crash()
    for index in clients.indices { clients[index].isWaiting = false }
    known = disk.queue
  }

  private mutating func wake() {
    for (id, entry) in known.sorted(by: { $0.key < $1.key }) where entry.dueAt <= clock && deliveries[id] == nil {
      guard let transaction = disk.transactions[entry.pecID] else { preconditionFailure("an entry without its transaction") }
      deliveries[id] = DeliveryJourney(entry, of: transaction, at: point)
      steps.append(.attempt(id))
    }
  }

  private mutating func submit(_ index: Int) {
    sequence += 1
    clients[index].isWaiting = true
    var walker = MessageWalker(limits: point.limits.message, watchedBoundaryPrefix: Composer.boundaryPrefix)
    let message = clients[index].message
    walker.feed(message.span)
    var journey = SubmissionJourney(at: point)
    let effects = journey.handle(
      .received(
        Arrival(
          submission: Submission(
            reversePath: clients[index].sender, forwardPaths: clients[index].recipients, facts: walker.finish()),
          instant: instant(), sequence: sequence, random: (dice.word(), dice.word()), directory: directory)))
    submissions[index] = journey
    take(effects, .submission(index))
  }

  private mutating func take(_ effects: [Effect], _ owner: Owner) {
    for effect in effects {
      switch effect {
      case .sign(let drafts, _): steps.append(.sign(owner, drafts))
      case .commit(let plan): steps.append(.write(owner, plan))
      case .reply(let verdict):
        guard case .submission(let index) = owner else { preconditionFailure("only clients are answered") }
        clients[index].isWaiting = false
        if verdict.code == 250, let id = verdict.text.split(separator: " ").last { clients[index].answered.append(String(id)) }
      case .releaseOriginal: break
      case .finished:
        if case .delivery(let id) = owner, let journey = deliveries.removeValue(forKey: id) {
          known[id] = journey.entry.recipients.isEmpty ? nil : journey.entry
        }
      }
    }
  }

  private mutating func tell(_ owner: Owner, submission: SubmissionJourney.Event, delivery: DeliveryJourney.Event) {
    switch owner {
    case .submission(let index):
      guard var journey = submissions[index] else { return }
      let effects = journey.handle(submission)
      submissions[index] = journey
      take(effects, owner)
    case .delivery(let id):
      guard var journey = deliveries[id] else { return }
      let effects = journey.handle(delivery)
      deliveries[id] = journey
      take(effects, owner)
    }
  }

  private mutating func perform(_ step: Step, isFair: Bool) {
    switch step {
    case .sign(let owner, let drafts):
      if !isFair, dice.chance(3) { return tell(owner, submission: .signingFailed("simulated"), delivery: .signingFailed("simulated")) }
      let signatures = drafts.map { _ in [UInt8](repeating: 0x30, count: 16) }
      tell(owner, submission: .signed(signatures), delivery: .signed(signatures))
    case .write(let owner, let plan):
      if !isFair, dice.chance(3) { return tell(owner, submission: .commitFailed("simulated"), delivery: .commitFailed("simulated")) }
      let original: [UInt8] = if case .submission(let index) = owner { clients[index].message } else { [] }
      steps.append(.sync(owner, disk.write(plan, original: original)))
    case .sync(let owner, let written):
      disk.sync()
      steps.append(.commit(owner, written))
    case .commit(let owner, let written):
      disk.commit(written.changes)
      for entry in written.entries { known[entry.id] = entry }
      tell(owner, submission: .committed, delivery: .committed)
    case .attempt(let id): attempt(id, isFair: isFair)
    }
  }

  private mutating func attempt(_ id: String, isFair: Bool) {
    guard let entry = known[id] else { return }
    let fates: [RecipientFate]
    switch entry.route {
    case .mailbox:
      fates = entry.recipients.map { recipient in
        let key = "\(entry.messageID) \(recipient)"
        // The mailbox finds a message that is there already by its name, as the Maildir does.
        if mailbox[key] == nil { mailbox[key] = disk.octets(of: entry) }
        return RecipientFate(recipient: recipient, outcome: .delivered("stored"))
      }
    case .relay: fates = peer.attempt(entry, &dice, isFair: isFair)
    }
    tell(
      .delivery(id), submission: .commitFailed("never"),
      delivery: .attempted(fates, at: instant(), random: dice.word()))
  }
}
