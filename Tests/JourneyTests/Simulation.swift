import Limits
import MIMEStream
import Octets
import PEC

@testable import Journey

/// A seeded source of randomness (SplitMix64): the same seed, the same life.
struct Dice {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func word() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  mutating func below(_ bound: Int) -> Int { Int(word() % UInt64(bound)) }
  mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
}

/// A disk that loses, at a crash, what was not synced: octets of the spool, and transactions of the ledger. Simulated.
struct SimulatedDisk {
  /// Messages by the identity of their record; durable only after `sync`.
  private(set) var durableBlobs: [Int: [UInt8]] = [:]
  private var pendingBlobs: [Int: [UInt8]] = [:]
  private var nextBlob = 1
  private(set) var queue: [String: QueueEntry] = [:]
  /// Words about arrivals that were ever put into the queue.
  private(set) var notices: [QueueEntry] = []
  private(set) var transactions: [String: TransactionRecord] = [:]
  private(set) var events: [EventRecord] = []
  private(set) var receptions: [String: ReceptionRecord] = [:]
  /// How far recipients of our own transactions have come, by "PEC id recipient".
  private(set) var progress: [String: RecipientEnd] = [:]
  /// Deadlines that run, by PEC id.
  private(set) var watches: [String: DeadlineWatch] = [:]
  /// Deadlines that have passed, with how far every recipient was in that very moment, by address.
  private(set) var passed: [(watch: DeadlineWatch, progress: [String: RecipientEnd])] = []

  /// Originals in quarantine, by the records' ids: durable at once.
  private(set) var quarantine: [String: (record: QuarantineRecord, octets: [UInt8])] = [:]

  /// What a plan is when its octets are written but nothing is synced.
  struct Written {
    var changes: [LedgerChange]
    var deliveries: [(entry: QueueEntry, matter: Matter)]
  }

  mutating func write(_ plan: CommitPlan, original: [UInt8]) -> Written {
    var written = Written(changes: plan.changes, deliveries: [])
    if let record = plan.quarantine {
      precondition(record.bytes == original.count, "a quarantined message is not the one that came")
      quarantine[record.id] = (record, original)
    }
    for message in plan.messages {
      var octets: [UInt8] = []
      for fragment in message.content {
        switch fragment {
        case .composed(let bytes): octets += bytes
        case .original(let range): octets += original[range]
        }
      }
      let blob = nextBlob
      nextBlob += 1
      pendingBlobs[blob] = octets
      for var entry in message.entries {
        entry.content = [StoredRange(segment: UInt32(blob), offset: 0, length: UInt64(octets.count))]
        written.deliveries.append((entry, message.matter))
        written.changes.append(.enqueue(entry))
      }
    }
    return written
  }

  mutating func sync() {
    durableBlobs.merge(pendingBlobs) { _, new in new }
    pendingBlobs = [:]
  }

  /// Deadlines that have come, as the ledger would tell of them.
  func due(at clock: Int64) -> [DueDeadline] {
    watches.values.filter { $0.dueAt <= clock }.sorted { ($0.dueAt, $0.pecID) < ($1.dueAt, $1.pecID) }.map { watch in
      guard let transaction = transactions[watch.pecID] else { preconditionFailure("a deadline without its transaction") }
      return DueDeadline(
        watch: watch, transaction: transaction,
        progress: transaction.recipients.map {
          RecipientProgress(recipient: $0, end: progress["\(watch.pecID) \($0.address)"])
        })
    }
  }

  /// True when nothing contradicts what a decision rests on.
  private func stands(_ change: LedgerChange) -> Bool {
    guard case .deadlinePassed(let watch, let states, _) = change else { return true }
    return watches[watch.pecID] == watch && states.allSatisfy { progress["\(watch.pecID) \($0.recipient.address)"] == $0.end }
  }

  /// How far a recipient is; it never goes back.
  private mutating func move(_ pecID: String, _ recipient: String, to end: RecipientEnd) {
    guard transactions[pecID]?.recipients.contains(where: { $0.address == recipient }) == true else { return }
    func rank(_ end: RecipientEnd?) -> Int {
      switch end {
      case nil: 0
      case .relayed: 1
      case .takenInCharge: 2
      case .delivered, .failed: 3
      }
    }
    let key = "\(pecID) \(recipient)"
    if rank(end) > rank(progress[key]) { progress[key] = end }
  }

  /// One transaction of the ledger: all of it, or none (false: a conflict).
  mutating func commit(_ changes: [LedgerChange]) -> Bool {
    guard changes.allSatisfy(stands) else { return false }
    for change in changes { apply(change) }
    return true
  }

  private mutating func apply(_ change: LedgerChange) {
    switch change {
    case .event(let event): events.append(event)
    case .transaction(let record): transactions[record.pecID] = record
    case .enqueue(let entry):
      // A row never names octets that are not durable.
      precondition(entry.content.allSatisfy { durableBlobs[Int($0.segment)] != nil }, "a row names octets that were not synced")
      queue[entry.id] = entry
      if entry.kind == .arrivalNotice { notices.append(entry) }
    case .settle(let id, let recipients, let end):
      if let entry = queue[id], entry.kind == .envelope, entry.reception == nil {
        for recipient in recipients { move(entry.pecID, recipient, to: end) }
      }
      queue[id]?.recipients.removeAll { recipients.contains($0) }
      queue[id]?.awaiting.removeAll { recipients.contains($0) }
      if let left = queue[id], left.recipients.isEmpty, left.awaiting.isEmpty { queue[id] = nil }
    case .awaitProof(let id, let recipients):
      queue[id]?.recipients.removeAll { recipients.contains($0) }
      queue[id]?.awaiting += recipients
    case .reception(let record, _):
      let isTaken = receptions.values.contains { known in
        !record.fingerprint.isEmpty && known.fingerprint == record.fingerprint
          && !Set(known.recipients).isDisjoint(with: record.recipients)
      }
      precondition(!isTaken, "the same message was taken twice for a recipient")
      receptions[record.id] = record
    case .progress(let pecID, let recipients, let end):
      for recipient in recipients { move(pecID, recipient, to: end) }
    case .postpone(let id, let dueAt, let attempts, let lastError):
      queue[id]?.dueAt = dueAt
      queue[id]?.attempts = attempts
      queue[id]?.lastError = lastError
    case .watch(let watch):
      precondition(watches[watch.pecID] == nil && transactions[watch.pecID] != nil, "a watch over nothing, or a second one")
      watches[watch.pecID] = watch
    case .deadlinePassed(let watch, _, let next):
      let all = (transactions[watch.pecID]?.recipients ?? []).map { ($0.address, progress["\(watch.pecID) \($0.address)"]) }
      passed.append((watch, Dictionary(uniqueKeysWithValues: all).compactMapValues { $0 }))
      watches[watch.pecID] = next
    case .seal, .stamp, .request, .hold, .liftHold, .holdQueue, .releaseQueue, .releaseWholeQueue, .dropRestoredDeadlines, .purge,
      .mailboxes, .choice, .handedOver:
      break
    }
  }

  mutating func crash() { pendingBlobs = [:] }

  func octets(of entry: QueueEntry) -> [UInt8] { entry.content.flatMap { durableBlobs[Int($0.segment)] ?? [] } }
}

/// A next hop that refuses, delays, breaks off, and forgets to answer. Simulated.
struct SimulatedPeer {
  /// Envelopes taken, by (Message-ID, recipient): how often.
  var taken: [String: Int] = [:]
  /// Recipients that will never be taken.
  var impossible: Set<String> = []

  /// An attempt: what the peer took, and what the sender heard of it (nil: the answer got lost).
  mutating func attempt(_ entry: QueueEntry, _ dice: inout Dice, isFair: Bool) -> [RecipientFate] {
    entry.recipients.map { recipient in
      if impossible.contains(recipient) {
        return RecipientFate(recipient: recipient, outcome: .failed(.noMailbox, text: "no such user"))
      }
      if !isFair, dice.chance(30) { return RecipientFate(recipient: recipient, outcome: .later("451 4.3.2 later")) }
      taken["\(entry.messageID) \(recipient)", default: 0] += 1
      // Taken, but the connection broke before the answer came.
      if !isFair, dice.chance(10) { return RecipientFate(recipient: recipient, outcome: .later("connection reset")) }
      return RecipientFate(recipient: recipient, outcome: .delivered("250 ok"))
    }
  }
}
