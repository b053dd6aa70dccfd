import ClockWatch
import Configuration
import EventLoop
import Journey
import Ledger
import Limits
import Logging
import PEC
import Synchronization
import Threading

/// Whether the machine's clock may be believed: what everything that is certified rests on (DM 2 November 2005 art. 9).
final class ClockGuard: Sendable {
  private let monitor: ClockMonitor

  init(_ settings: ClockSettings) {
    monitor = ClockMonitor(policy: ClockPolicy(settings))
    _ = monitor.look()
  }

  /// Why nothing may be certified now; nil while the clock is good.
  var distrust: String? {
    guard case .untrusted(let reason) = monitor.last?.judgement else { return nil }
    return reason
  }

  /// What was seen last, for people.
  var words: String { monitor.last?.words ?? "" }

  /// What was seen last.
  var last: ClockLook? { monitor.last }

  /// Looks again. Returns what was seen when trust has changed into distrust or back.
  func look() -> ClockLook? {
    let look = monitor.look()
    return look.isChange ? look : nil
  }
}

extension ClockPolicy {
  /// The policy that a configuration asks for.
  public init(_ settings: ClockSettings) {
    self.init(limitMilliseconds: settings.limitMilliseconds, requiresSynchronization: settings.synchronization == .required)
  }
}

/// What comes by time alone: the look at the clock each second, and the deadlines after which silence must speak (RFC 6109 §3.1.6).
///
/// Each has a thread of its own: a backlog of deadlines, or a disk that is slow to take them, must not keep a step of the clock from
/// being seen.
///
/// The deadlines are in the ledger, in the order of their times: a million that run cost one look at the first of them each second. What
/// is due is read in pages, decided and signed on the lanes, and committed together with the watch's own move, so that a crash at any
/// moment leaves a deadline either to come or past, with its notices. Nothing is kept in memory that a step of the clock could spoil.
final class Timekeeper: Sendable {
  private let shared: SharedState
  private let ledger: Ledger
  private let inboxes: [Mailbox<LaneMessage>]
  private let asked = Handoff<Void>()
  private let answers = Handoff<Bool>()
  private let threads = Mutex<[WorkerThread]>([])

  /// Transactions that are decided at once …
  private static let pageSize = 64
  /// … as long as their notices fit in here: each names all recipients of its message, of which there may be a thousand.
  private static let noticeBytes = 64 << 20
  /// So many pages in a row of which nothing could be made durable …
  private static let fruitlessPages = 3
  /// … are a reason to wait.
  private static let pauseSeconds = 30

  init(_ shared: SharedState, _ ledger: Ledger, inboxes: [Mailbox<LaneMessage>]) {
    self.shared = shared
    self.ledger = ledger
    self.inboxes = inboxes
    threads.withLock {
      $0 = [WorkerThread(name: "clock") { [self] in watch() }, WorkerThread(name: "timekeeper") { [self] in work() }]
    }
  }

  func finish() {
    asked.close()
    answers.close()
    let ending = threads.withLock { threads in
      defer { threads = [] }
      return threads
    }
    for thread in ending { thread.join() }
  }

  private func watch() {
    while !asked.isClosed {
      lookAtClock()
      asked.wait(forSeconds: 1)
    }
  }

  private func work() {
    while !asked.isClosed {
      asked.wait(forSeconds: mayDecide && !fire(at: shared.now().unixSeconds) ? Timekeeper.pauseSeconds : 1)
    }
  }

  private var mayDecide: Bool { shared.clock.distrust == nil && shared.committer.brokenBecause == nil }

  private func lookAtClock() {
    guard let look = shared.clock.look() else { return }
    switch look.judgement {
    case .untrusted(let reason):
      shared.logger.critical("the clock cannot be trusted, nothing is certified: \(reason)")
      shared.note(.clockAlarm, reason)
    case .trusted:
      shared.logger.notice("the clock can be trusted again: \(look.words)")
      shared.note(.clockTrusted, look.words)
    }
  }

  /// Has everything decided that is due. False when it cannot be done at present.
  private func fire(at now: Int64) -> Bool {
    do {
      var fruitless = 0
      while !asked.isClosed, mayDecide {
        guard let next = try ledger.nextDeadline(), next <= now else { return true }
        let due = Timekeeper.fitting(try ledger.dueDeadlines(at: now, limit: Timekeeper.pageSize))
        if due.isEmpty { continue }
        // A recipient who was heard of meanwhile is no failure: the next look knows of him.
        fruitless = decide(due) ? 0 : fruitless + 1
        guard fruitless < Timekeeper.fruitlessPages else { return false }
      }
      return true
    } catch {
      shared.logger.error("the deadlines cannot be read: \(error)")
      return false
    }
  }

  /// The first of them, at least one, whose notices fit into memory together.
  private static func fitting(_ due: [DueDeadline]) -> [DueDeadline] {
    var bytes = 0
    let count = due.prefix { deadline in
      bytes += deadline.noticeBytes
      return bytes <= noticeBytes
    }.count
    return Array(due.prefix(max(1, count)))
  }

  /// Hands deadlines to the lanes and waits until each is durable or was given back. True when any is durable.
  private func decide(_ due: [DueDeadline]) -> Bool {
    for deadline in due {
      let inbox = inboxes[Lane.number(for: deadline.watch.pecID, of: inboxes.count)]
      inbox.send(.deadline(deadline) { [answers] isDurable in answers.send(isDurable) })
    }
    var isAnyDurable = false
    var missing = due.count
    while missing > 0 {
      guard let heard = answers.take() else { return false }
      missing -= heard.count
      if heard.contains(true) { isAnyDurable = true }
    }
    return isAnyDurable
  }
}

/// Performs the effects of one deadline's journey, on a lane. It lives until the journey ends.
final class DeadlineRun {
  private let lane: Lane
  private let due: DueDeadline
  private let then: @Sendable (Bool) -> Void
  private var journey: DeadlineJourney
  private var isDurable = false

  init(lane: Lane, due: DueDeadline, then: @escaping @Sendable (Bool) -> Void) {
    self.lane = lane
    self.due = due
    self.then = then
    journey = DeadlineJourney(at: lane.shared.points)
  }

  func start() { perform(journey.handle(.due(due, at: lane.shared.now(), random: .drawn()))) }

  private func perform(_ effects: [Effect]) {
    for effect in effects {
      switch effect {
      case .scan, .askQuota, .reply, .releaseOriginal: preconditionFailure("a deadline has no message of its own")
      case .sign(let drafts, let instant):
        lane.sign(drafts, at: instant, original: .none, .deliveryReceipt) { [self] result in
          switch result {
          case .success(let signatures): perform(journey.handle(.signed(signatures)))
          case .failure(let failure):
            lane.shared.logger.error("a notice of silence could not be signed: \(failure.reason)", metadata: ["id": "\(due.watch.pecID)"])
            perform(journey.handle(.signingFailed(failure.reason)))
          }
        }
      case .commit(let plan):
        lane.commit(plan, .none) { [self] completion in committed(completion, notices: plan.messages.count) }
      case .finished: then(isDurable)
      }
    }
  }

  private func committed(_ completion: Completion, notices: Int) {
    switch completion {
    case .committed:
      isDurable = true
      if notices > 0 {
        lane.shared.logger.info(
          "silence", metadata: ["id": "\(due.watch.pecID)", "stage": "\(due.watch.stage)", "notices": "\(notices)"])
      }
      perform(journey.handle(.committed))
    case .failed(let reason):
      // A receipt may have come in between: then the next look sees it.
      lane.shared.logger.notice("a deadline is looked at again: \(reason)", metadata: ["id": "\(due.watch.pecID)"])
      perform(journey.handle(.commitFailed(reason)))
    default: preconditionFailure("a commit's answer of another kind")
    }
  }
}
