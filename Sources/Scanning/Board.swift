import Channels
import ScanWire
import Synchronization

/// A message that waits for its outcome.
struct WaitingJob: Sendable {
  var content: ScanContent
  var then: @Sendable (ScanOutcome) -> Void
}

/// Jobs in the order of their arrival.
struct JobQueue {
  private var jobs: [WaitingJob?] = []
  private var head = 0

  var count: Int { jobs.count - head }

  mutating func append(_ job: WaitingJob) { jobs.append(job) }

  /// Puts a message before all others.
  mutating func prepend(_ job: WaitingJob) {
    guard head > 0 else { return jobs.insert(job, at: 0) }
    head -= 1
    jobs[head] = job
  }

  mutating func popFirst() -> WaitingJob? {
    guard head < jobs.count else { return nil }
    defer {
      jobs[head] = nil
      head += 1
      // The empty front is cut off when it is half of the whole, so that a job costs the same however many wait.
      if head * 2 > jobs.count {
        jobs.removeFirst(head)
        head = 0
      }
    }
    return jobs[head]
  }
}

/// What the slots' threads, the keeper's thread and the callers have in common.
///
/// Who may do what: a slot takes its seat (becomes busy) and gives it back; only the keeper puts seats in. The seat of a busy slot is the
/// slot's alone, until the slot gives it back or says that it is broken. Every seat that a slot gives up for good is told to the keeper,
/// once.
final class Board: Sendable {
  /// Whether messages are looked at.
  enum Phase {
    /// The first database is being loaded.
    case starting
    case up(Lineage)
    case down(String)
  }

  /// A worker's place.
  struct Slot {
    /// The worker; nil while there is none.
    var seat: Seat?
    /// True while the slot's thread has a message.
    var isBusy = false
    /// A worker with a newer database: takes over when the message is done.
    var next: Seat?
    /// How the worker before this one ended, as far as the keeper has heard.
    var obituary: String?
  }

  /// What the keeper is asked to do.
  enum Request {
    /// This worker does not do; give the slot another one.
    case broken(Seat, slot: Int)
    /// This worker is not needed any more: a newer one has taken over.
    case returned(Seat)
    case reload(@Sendable (String, Bool) -> Void)
    case stop
  }

  struct State {
    var waiting = JobQueue()
    var phase = Phase.starting
    var isStopping = false
    var slots: [Slot]
    var requests: [Request] = []
    /// False once the keeper takes no more requests.
    var hasKeeper = true
    var parent: Int32?
    var figures = ScannerFigures()
  }

  /// What a slot's thread does next.
  enum Work {
    case look(WaitingJob, Seat)
    case refuse(WaitingJob, String)
  }

  /// What a slot gets for a worker that is broken.
  enum Replacement {
    /// A fresh worker; and how the one before ended, if that was heard.
    case seat(Seat, obituary: String?)
    /// There is none to be had, for this reason.
    case down(String)
  }

  static let stopped = "the virus scanner is stopped"
  static let starting = "the signature database is still being loaded"
  /// Messages that may wait; more are told to come again.
  static let maximumWaiting = 65_536

  let state: Monitor<State>
  /// Wakes the keeper; the other end is the keeper's.
  private let bell: Channel?

  init(slots: Int, bell: Channel?) {
    state = Monitor(State(slots: Array(repeating: Slot(), count: slots)))
    self.bell = bell
  }

  // MARK: Callers

  /// Takes a message in; nil when it is taken, or why not.
  func submit(_ job: WaitingJob) -> String? {
    state.change { state in
      if state.isStopping { return Board.stopped }
      if state.waiting.count >= Board.maximumWaiting { return "too many messages wait for the virus scanner" }
      state.waiting.append(job)
      return nil
    }
  }

  /// Tells the keeper. False when there is none any more.
  @discardableResult
  func ask(_ request: Request) -> Bool {
    let (isTaken, isFirst) = state.alter { state in
      guard state.hasKeeper else { return (false, false) }
      state.requests.append(request)
      return (true, state.requests.count == 1)
    }
    // One ring is enough: the keeper takes all requests there are.
    if isFirst { ring() }
    return isTaken
  }

  private func ring() {
    // It cannot be full, because one packet goes for each time that the keeper took the requests.
    try? bell?.send([1], waitingMilliseconds: 0)
  }

  // MARK: Slots

  /// Takes a message for a slot that is busy, to be got ready meanwhile; nil when slots without work will see to all that wait.
  func takeAhead() -> WaitingJob? {
    state.alter { state in
      guard !state.isStopping, case .up = state.phase else { return nil }
      let idle = state.slots.count { $0.seat != nil && !$0.isBusy }
      return state.waiting.count > idle ? state.waiting.popFirst() : nil
    }
  }

  /// Gives a message back that was taken ahead: it goes before all that wait.
  func putBack(_ job: WaitingJob) { state.change { $0.waiting.prepend(job) } }

  /// Sleeps until the slot has something to do; nil when it is to end.
  /// - Parameter held: a message that the slot has already; it goes before those that wait.
  func next(slot number: Int, holding held: WaitingJob? = nil) -> Work? {
    state.wait { state -> Work?? in
      guard held != nil || state.waiting.count > 0 else { return state.isStopping ? .some(nil) : nil }
      let refusal: String
      switch (state.isStopping, state.phase) {
      case (true, _): refusal = Board.stopped
      case (false, .starting): refusal = Board.starting
      case (false, .down(let reason)): refusal = reason
      case (false, .up):
        // Others may have a worker; if none has, the keeper is about to bring one, or to say that it is down.
        guard let seat = state.slots[number].seat, let job = held ?? state.waiting.popFirst() else { return nil }
        state.slots[number].isBusy = true
        return .look(job, seat)
      }
      return (held ?? state.waiting.popFirst()).map { .refuse($0, refusal) }
    }
  }

  /// The slot is done with its message.
  func release(slot number: Int) {
    let request = state.alter { state -> Request? in
      state.slots[number].isBusy = false
      guard let seat = state.slots[number].seat else { return nil }
      if let next = state.slots[number].next {
        state.slots[number].seat = next
        state.slots[number].next = nil
        return .returned(seat)
      }
      // Its end came while the slot had it, and the keeper left it to the slot.
      let isLost = seat.lineage.isLost.load(ordering: .relaxed)
      guard isLost || seat.isDead.load(ordering: .relaxed) || seat.isWorn else { return nil }
      state.slots[number].seat = nil
      return .broken(seat, slot: number)
    }
    if let request { ask(request) }
  }

  /// The slot's worker is broken, and the slot still has its message: waits for a fresh worker. After `.down` the slot is free.
  func replace(_ seat: Seat, slot number: Int) -> Replacement {
    state.alter { state in
      state.slots[number].seat = state.slots[number].next
      state.slots[number].next = nil
      state.slots[number].obituary = nil
    }
    ask(.broken(seat, slot: number))
    return state.wait { state in
      let reason: String
      switch (state.isStopping, state.phase) {
      case (true, _): reason = Board.stopped
      case (false, .starting): reason = Board.starting
      case (false, .down(let why)): reason = why
      case (false, .up):
        return state.slots[number].seat.map { .seat($0, obituary: state.slots[number].obituary) }
      }
      state.slots[number].isBusy = false
      if state.slots[number].seat?.lineage.isLost.load(ordering: .relaxed) == true { state.slots[number].seat = nil }
      return .down(reason)
    }
  }

  /// Counts.
  func count(_ body: (inout ScannerFigures) -> Void) { state.alter { body(&$0.figures) } }

  /// How things are.
  var status: ScannerStatus {
    state.read { state in
      var status = ScannerStatus(
        isUp: false, reason: "", version: nil, parent: state.parent, workers: state.slots.compactMap { $0.seat?.pid },
        waiting: state.waiting.count, figures: state.figures)
      switch (state.isStopping, state.phase) {
      case (true, _): status.reason = Board.stopped
      case (false, .starting): status.reason = Board.starting
      case (false, .down(let reason)): status.reason = reason
      case (false, .up(let lineage)):
        status.isUp = true
        status.version = lineage.version
      }
      return status
    }
  }
}
