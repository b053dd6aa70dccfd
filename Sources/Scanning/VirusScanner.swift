import Channels
import Octets
import ScanWire
import Synchronization
import Threading

/// The virus scanner as the gateway has it: processes of their own, away from the key, that look at messages one by one.
///
/// One process for each database loads the engine and forks the workers; here a thread for each worker hands messages out, and one, the
/// keeper, starts, renews and ends the processes. Nothing is ever taken for clean but by a worker's verdict about that very message.
public final class VirusScanner: Sendable {
  let desk: ScanDesk
  private let threads: Mutex<[WorkerThread]>

  /// Starts; returns at once. Until the first database is loaded every scan is `.unavailable`.
  ///
  /// - Parameter notice: is told what people should know, by threads of the scanner's own; it should only pass it on.
  public convenience init(_ plan: ScannerPlan, notice: @escaping @Sendable (ScannerNotice) -> Void) {
    self.init(plan, patience: Patience(), clock: { MonotonicClock.milliseconds() }, notice: notice)
  }

  /// - Parameter clock: milliseconds of a monotonic clock, for the age of what is remembered.
  init(
    _ plan: ScannerPlan, patience: Patience, clock: @escaping @Sendable () -> Int, notice: @escaping @Sendable (ScannerNotice) -> Void
  ) {
    let slots = max(1, plan.workers)
    let desk = ScanDesk(plan, slots: slots, clock: clock, notice: notice)
    self.desk = desk
    // The threads hold the desk, never the scanner: it can go while they finish.
    let keeper = WorkerThread(name: "scan-keeper") { Keeper(desk, plan, patience).run() }
    threads = Mutex(
      [keeper] + (0..<slots).map { number in WorkerThread(name: "scanner-\(number)") { SlotThread(desk, slot: number).run() } })
  }

  deinit {
    for thread in end() { thread.detach() }
  }

  /// Waits until the first database is loaded or could not be, for `seconds` at the most. Nil when messages are looked at now, or why not.
  public func waitUntilReady(seconds: Int) -> String? {
    let reason = desk.board.state.wait(seconds: seconds) { state -> String? in
      if state.isStopping { return Board.stopped }
      switch state.phase {
      case .starting: return nil
      case .up: return ""
      case .down(let reason): return reason
      }
    }
    return reason == "" ? nil : reason ?? Board.starting
  }

  /// Looks at a message.
  ///
  /// - Parameters:
  ///   - content: the octets as they came, in order; the pieces must stay as they are until the answer.
  ///   - then: is called once, by a thread of the scanner's own, and should only pass the outcome on. After `stop`, and when too many
  ///     messages wait, it is called before this returns.
  public func scan(_ content: [Chunk], then: @escaping @Sendable (ScanOutcome) -> Void) {
    if let refusal = desk.board.submit(WaitingJob(content: ScanContent(pieces: content), then: then)) { then(.unavailable(refusal)) }
  }

  /// Loads the database anew, beside the one that is in use; a load that is under way is waited for, since it may have read what was there
  /// before.
  ///
  /// - Parameter then: is called once, with words for people, and whether the database was taken; when not, the one before goes on.
  public func reload(then: @escaping @Sendable (String, Bool) -> Void) {
    if !desk.board.ask(.reload(then)) { then(Board.stopped, false) }
  }

  /// How it is doing.
  public var status: ScannerStatus { desk.board.status }

  /// Ends all processes and returns when all is over: what is being looked at, or waits, is answered `.unavailable`. Not to be called by
  /// a completion.
  public func stop() {
    for thread in end() { thread.join() }
  }

  /// Tells the threads to end, and gives them out, once.
  private func end() -> [WorkerThread] {
    desk.board.state.change { $0.isStopping = true }
    desk.board.ask(.stop)
    return threads.withLock { held in
      defer { held = [] }
      return held
    }
  }
}

/// What the scanner's threads share.
final class ScanDesk: Sendable {
  let board: Board
  let cache: Monitor<VerdictCache>
  let answerMilliseconds: Int
  let clock: @Sendable () -> Int
  let notice: @Sendable (ScannerNotice) -> Void
  /// The keeper's end of the bell.
  let bell: Result<Channel, ChannelError>

  init(_ plan: ScannerPlan, slots: Int, clock: @escaping @Sendable () -> Int, notice: @escaping @Sendable (ScannerNotice) -> Void) {
    do {
      let (rope, bell) = try Channel.pair()
      board = Board(slots: slots, bell: rope)
      self.bell = .success(bell)
    } catch {
      board = Board(slots: slots, bell: nil)
      bell = .failure(error)
    }
    cache = Monitor(VerdictCache(capacity: plan.cachedVerdicts))
    answerMilliseconds = max(1, plan.answerSeconds) * 1000
    self.clock = clock
    self.notice = notice
  }
}
