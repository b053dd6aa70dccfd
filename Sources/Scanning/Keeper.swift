import Channels
import Glibc
import ScanWire

/// Keeps scanner processes: starts them, hears them, renews them when the database is another, replaces them when they are lost.
///
/// All of its state is its own thread's; with the others it speaks through the board only, and it never waits for any of them.
final class Keeper {
  let desk: ScanDesk
  let plan: ScannerPlan
  let patience: Patience
  let slots: Int

  /// All processes that run, or whose last word is awaited.
  var generations: [Generation] = []
  var current: Generation?
  private var started: UInt64 = 0
  private var watch: DatabaseWatch
  /// Loads that are asked for once the present one is over.
  private var requests: [@Sendable (String, Bool) -> Void] = []
  /// When to try again after a failure; nil when something runs.
  private var retryAt: Int?
  private var pause: Int
  private var isStopping = false

  /// A killed process, and one that was told to end, are looked after so often.
  private static let tickMilliseconds = 10

  init(_ desk: ScanDesk, _ plan: ScannerPlan, _ patience: Patience) {
    self.desk = desk
    self.plan = plan
    self.patience = patience
    slots = desk.board.state.read { $0.slots.count }
    pause = patience.firstPause
    watch = DatabaseWatch(plan.settings.database, seconds: plan.databaseCheckSeconds, now: MonotonicClock.milliseconds())
  }

  var now: Int { MonotonicClock.milliseconds() }

  func tell(_ level: ScannerNotice.Level, _ text: String) { desk.notice(ScannerNotice(level, text)) }

  /// Works until the scanner is stopped and every process is gone.
  func run() {
    switch desk.bell {
    case .success(let bell):
      let leftOvers = ScanFolder.removeLeftOvers(below: plan.settings.temporary)
      if leftOvers > 0 { tell(.info, "removed \(leftOvers) folders that an earlier scanner left in \(plan.settings.temporary)") }
      load([])
      while !(isStopping && generations.isEmpty) {
        rest(bell)
        for generation in generations {
          hear(generation)
          judgeTrials(generation)
        }
        for request in takeRequests() { perform(request) }
        tend()
      }
      finish(Board.stopped)
    case .failure(let error):
      let reason = "no descriptors for the virus scanner: \(error)"
      tell(.critical, reason)
      desk.board.state.change { $0.phase = .down(reason) }
      finish(reason)
    }
  }

  /// Answers what is still asked; from now on callers are answered at once.
  private func finish(_ reason: String) {
    let left = desk.board.state.change { state in
      defer { state.requests = [] }
      state.hasKeeper = false
      return state.requests
    }
    for case .reload(let then) in left { then(reason, false) }
    answer(&requests, reason, isTaken: false)
  }

  // MARK: Waiting

  /// Sleeps until somebody has something to say, or something is due.
  private func rest(_ bell: Channel) {
    var polled = [pollfd(fd: bell.descriptor.number, events: Int16(POLLIN), revents: 0)]
    for generation in generations where generation.stage != .ending {
      polled.append(pollfd(fd: generation.control.descriptor.number, events: Int16(POLLIN), revents: 0))
      for trial in generation.trials.values { polled.append(pollfd(fd: trial.seat.socket, events: Int16(POLLIN), revents: 0)) }
    }
    let due = ([retryAt, watch.dueAt] + generations.map(\.dueAt)).compactMap { $0 }.min()
    var milliseconds = due.map { max(0, min($0 - now, 3_600_000)) } ?? -1
    if generations.contains(where: { $0.stage == .ending }) {
      milliseconds = milliseconds < 0 ? Keeper.tickMilliseconds : min(milliseconds, Keeper.tickMilliseconds)
    }
    // A signal that ends it early does no harm: there is just nothing to hear.
    _ = unsafe poll(&polled, nfds_t(polled.count), Int32(milliseconds))
    // The rings say no more than that there are requests.
    while let ring = try? bell.receive(waitingMilliseconds: 0), !ring.packet.isEmpty {}
  }

  private func takeRequests() -> [Board.Request] {
    desk.board.state.alter { state in
      defer { state.requests = [] }
      return state.requests
    }
  }

  private func perform(_ request: Board.Request) {
    switch request {
    case .broken(let seat, let slot): replace(seat, slot: slot)
    case .returned(let seat): letGo(seat)
    case .reload(let then):
      if isStopping { return then(Board.stopped, false) }
      requests.append(then)
      if !isLoading { loadRequested() }
    case .stop: stop()
    }
  }

  /// Looks after what is due.
  private func tend() {
    for generation in generations { tend(generation) }
    if isStopping { return }
    if let due = watch.dueAt, now >= due, watch.look(now: now), !isLoading {
      tell(.info, "the signature database \(plan.settings.database) is another: it is being loaded")
      load([])
    }
    if let due = retryAt, now >= due, !isLoading { load([]) }
  }

  private func tend(_ generation: Generation) {
    switch generation.stage {
    case .loading where now >= generation.until:
      lose(generation, "the database was not loaded in \(patience.loading / 1000) seconds")
    case .ending:
      if let how = generation.child.poll() {
        bury(generation, how)
      } else if now >= generation.until {
        generation.child.kill()
        generation.until = .max
        conclude(generation, "it does not end by itself")
      }
    case .loading, .forking, .current, .retiring:
      if let due = generation.dueAt, now >= due, generation.stage != .loading { lose(generation, "its process does not answer any more") }
    }
  }

  // MARK: Loading

  var isLoading: Bool {
    generations.contains { generation in
      switch generation.stage {
      case .loading, .forking: true
      // Its failure is not told yet.
      case .ending: generation.failure != nil && (generation.lostAs == .loading || generation.lostAs == .forking)
      case .current, .retiring: false
      }
    }
  }

  /// Starts a load for those who wait for one.
  func loadRequested() {
    guard !requests.isEmpty, !isStopping else { return }
    let waiting = requests
    requests = []
    load(waiting)
  }

  /// Starts a process that loads the database, beside the one that is in use.
  func load(_ waiting: [@Sendable (String, Bool) -> Void]) {
    var waiting = waiting
    retryAt = nil
    watch.noteLoading()
    do {
      let generation = try start(waiting)
      generations.append(generation)
      do { try generation.send(.settings(settings(generation.folder))) } catch { lose(generation, "its process takes no orders: \(error)") }
    } catch {
      failed("\(error)", &waiting)
    }
  }

  private func settings(_ folder: ScanFolder) -> ScannerSettings {
    var settings = plan.settings
    settings.temporary = folder.path
    return settings
  }

  private func start(_ waiting: [@Sendable (String, Bool) -> Void]) throws -> Generation {
    try ScannerProgram.check(plan.executable)
    started += 1
    let owner = try ScanFolder.owner(user: plan.settings.user)
    let folder = try ScanFolder.make(below: plan.settings.temporary, owner: owner, name: ScannerProgram.name(started))
    do {
      let (ours, theirs) = try Channel.pair()
      let child = try ChildProcess.spawn(
        path: plan.executable, environment: ScannerProgram.environment(), descriptors: [theirs.descriptor])
      return Generation(
        number: started, child: child, control: ours, folder: folder, requests: waiting, until: now + patience.loading)
    } catch {
      _ = folder.remove()
      throw error
    }
  }

  /// A load came to nothing.
  func failed(_ reason: String, _ waiting: inout [@Sendable (String, Bool) -> Void]) {
    let words: String
    if let current, let version = current.lineage?.version {
      words = "the signature database \(plan.settings.database) was not taken: \(reason); \(version.text) goes on"
      tell(.error, words)
      watch.noteFailure(now: now)
    } else {
      words = "the virus scanner is not up: \(reason)"
      desk.board.state.change { $0.phase = .down(words) }
      if isStopping {
        retryAt = nil
      } else {
        scheduleRetry()
        tell(.critical, "\(words); \(nextWords)")
      }
    }
    answer(&waiting, isStopping ? Board.stopped : words, isTaken: false)
    loadRequested()
  }

  func answer(_ waiting: inout [@Sendable (String, Bool) -> Void], _ words: String, isTaken: Bool) {
    let asked = waiting
    waiting = []
    for then in asked { then(words, isTaken) }
  }

  // MARK: Trying again

  func scheduleRetry() {
    retryAt = now + pause
    pause = min(pause * 2, patience.longestPause)
  }

  /// What was up for long is tried again soon.
  func noteEnd(ofUpSince since: Int) {
    if now - since >= patience.longestPause { pause = patience.firstPause }
  }

  var nextWords: String {
    guard let retryAt else { return isLoading ? "another one is being loaded" : "no new attempt" }
    return "the next attempt is due in \(max(0, retryAt - now + 999) / 1000) s"
  }

  // MARK: Stopping

  private func stop() {
    guard !isStopping else { return }
    isStopping = true
    retryAt = nil
    for generation in generations { end(generation) }
    desk.board.state.change { state in
      state.parent = nil
      for number in state.slots.indices {
        state.slots[number].seat = nil
        state.slots[number].next = nil
      }
    }
    current = nil
  }
}
