import Accounts
import Configuration
import EventLoop
import Foundation
import HTTPService
import Journey
import Ledger
import Limits
import Logging
import Mailstore
import Octets
import PEC
import ProviderIndex
import SMTPWire
import Signing
import Spool
import Synchronization
import TLSPipe
import Threading

/// Why a gateway could not start: what, where, and what to do.
public struct StartError: Error, CustomStringConvertible {
  public var description: String
  init(_ description: String) { self.description = description }
}

/// A running gateway: lanes, signers, committer, mailboxes, and the control socket.
///
/// Made whole by `start`, which returns when every port listens; the messages that an earlier run left are brought to the lanes from then
/// on, in the order in which they are due.
public final class Gateway: Sendable {
  let shared: SharedState
  /// What holds now.
  let configuration: Mutex<GatewayConfiguration>
  /// Where it came from, and is read again from; nil where it was put together.
  let configurationFile: String?
  let doors: Mutex<Doors>
  let drainState = DrainState()
  let levels: LogLevelSwitch?
  /// One at a time.
  let reloading = Mutex<Void>(())
  let restarting = Mutex<(@Sendable (@escaping @Sendable (String, Bool) -> Void) -> Void)?>(nil)
  let inboxes: [Mailbox<LaneMessage>]
  private let threads: Mutex<[WorkerThread]>
  private let drained: Handoff<Void>
  let upkeep: Upkeep
  private let timekeeper: Timekeeper
  let logKeeper: LogKeeper
  let pager: QueuePager
  private let stocktaking: Stocktaking
  let watch: Watch
  /// Metrics and health over HTTP, where they are told.
  private let watchService = Mutex<HTTPService?>(nil)
  /// Listening addresses, in the order of the configuration, with the ports the system gave.
  public var addresses: [String] { doors.withLock { $0.addresses } }

  private init(
    shared: SharedState, parts: GatewayParts, inboxes: [Mailbox<LaneMessage>], threads: [WorkerThread], drained: Handoff<Void>,
    doors: Doors, file: String?, levels: LogLevelSwitch?
  ) {
    configuration = Mutex(parts.configuration)
    configurationFile = file
    self.levels = levels
    self.doors = Mutex(doors)
    upkeep = Upkeep(parts.configuration, shared.index, shared.trust, logger: shared.logger) { shared.note(.indexUpdated, $0) }
    timekeeper = Timekeeper(shared, parts.ledger, inboxes: inboxes)
    logKeeper = LogKeeper(shared, parts, inboxes: inboxes)
    pager = QueuePager(shared, parts.ledger, inboxes: inboxes)
    stocktaking = parts.stocktaking
    watch = Watch(shared, parts, doors)
    self.shared = shared
    self.inboxes = inboxes
    self.threads = Mutex(threads)
    self.drained = drained
  }

  /// Path of the control socket of a data directory.
  public static func controlPath(_ dataDirectory: String) -> String { "\(dataDirectory)/control.sock" }
  /// Path of the ledger of a data directory.
  public static func ledgerPath(_ dataDirectory: String) -> String { "\(dataDirectory)/ledger.sqlite" }
  /// Path of the spool of a data directory.
  public static func spoolPath(_ dataDirectory: String) -> String { "\(dataDirectory)/spool" }

  /// Path of what a restore has not finished yet: while it is there, no gateway starts.
  public static func restoringPath(_ dataDirectory: String) -> String { "\(dataDirectory)/restoring" }

  /// Path of the seals of the certified log.
  public static func sealsPath(_ dataDirectory: String) -> String { "\(dataDirectory)/seals" }

  /// Path of the quarantine of a data directory (RFC 6109 §2.2.4).
  public static func quarantinePath(_ dataDirectory: String) -> String { "\(dataDirectory)/quarantine" }

  /// Starts a gateway. Throws a `StartError`, or the error of the part that could not start.
  /// - Parameters:
  ///   - file: where the configuration was read from, to be read again by `reload`; nil: what it names is read again, it itself is not.
  ///   - doors: its listening sockets; nil: they are opened here.
  ///   - levels: switch of the logger's level, for `reload`.
  ///   - writesLog: false leaves the rows of the certified log out, to measure what they cost; on loopback only.
  ///   - beforeStorage: called once everything is ready but ledger and spool.
  ///   - mayLast: told of seconds that the next step may take, again and again while an older ledger is copied and brought forward.
  ///   - beforeSessions: called on this thread before anybody is greeted.
  public static func start(
    _ configuration: GatewayConfiguration, file: String? = nil, doors: Doors? = nil, levels: LogLevelSwitch? = nil, writesLog: Bool = true,
    beforeStorage: (() throws -> Void)? = nil, mayLast: @escaping @Sendable (_ seconds: Int) -> Void = { _ in },
    beforeSessions: () throws -> Void = {}, logger: Logger
  ) throws -> Gateway {
    let descriptors = ProcessLimits.raiseOpenDescriptors()
    if descriptors < configuration.limits.connection.maximumConnections + 200 {
      logger.warning("only \(descriptors) descriptors may be open: fewer connections than limits.connections fit (raise LimitNOFILE)")
    }
    let doors = try doors ?? Doors(configuration)
    for stranger in doors.strangers { logger.warning("a socket that was handed in fits no listener, and is not used: \(stranger)") }
    let parts = try GatewayParts(configuration, writesLog: writesLog, beforeStorage: beforeStorage, mayLast: mayLast, logger: logger)
    // Who connects before the signatures are loaded would only hear 451. When they cannot be loaded deliveries begin all the same.
    if let reason = parts.scanner?.waitUntilReady(seconds: 120) {
      logger.critical("nothing is taken until the virus scanner works: \(reason)")
    }
    try beforeSessions()
    let drained = Handoff<Void>()
    let shared = try SharedState(parts) { drained.send(()) }
    let box = GatewayBox()
    let (inboxes, threads) = try startLanes(shared, doors, parts, box)
    shared.note(.logOpened, "on \(configuration.hostname); clock: \(shared.clock.words)")
    if let reason = shared.clock.distrust {
      logger.critical("the clock cannot be trusted, nothing is certified: \(reason)")
      shared.note(.clockAlarm, reason)
    } else {
      logger.info("clock: \(shared.clock.words)")
    }
    shared.setLanes(inboxes)
    let running = Gateway(
      shared: shared, parts: parts, inboxes: inboxes, threads: threads, drained: drained, doors: doors, file: file, levels: levels)
    shared.setPager(running.pager)
    try running.tellMetrics()
    box.set(running)
    return running
  }

  /// Where metrics and health are told, `address:port`; nil where they are not.
  public var metricsAddress: String? { watch.metricsAddress }

  /// Starts the HTTP service, if there is to be one; without it the gateway does not run.
  private func tellMetrics() throws {
    guard let settings = configuration.withLock({ $0.metrics }) else { return }
    do {
      let service = try WatchService.start(settings, watch)
      watchService.withLock { $0 = service }
    } catch {
      stop(drainingForSeconds: 0)
      throw error
    }
  }

  private static func startLanes(
    _ shared: SharedState, _ doors: Doors, _ parts: GatewayParts, _ box: GatewayBox
  ) throws -> ([Mailbox<LaneMessage>], [WorkerThread]) {
    let configuration = parts.configuration
    let plans = GatewayParts.listenerPlans(configuration, hasTLS: parts.serverTLS != nil)
    let started = Handoff<LaneStart>()
    var inboxes: [Mailbox<LaneMessage>] = []
    var threads: [WorkerThread] = []
    for number in 0..<configuration.lanes {
      let mine = doors.lane(number, of: configuration.lanes, plans)
      let thread = WorkerThread(name: "lane-\(number)") {
        runLane(number, shared, mine, controlAt: number == 0 ? controlPath(configuration.dataDirectory) : nil, box, started)
      }
      switch started.take(atMost: 1)?.first {
      case .running(let inbox):
        inboxes.append(inbox)
        threads.append(thread)
      case .failed(let reason):
        thread.join()
        for inbox in inboxes { inbox.send(.stop) }
        for thread in threads { thread.join() }
        shared.finish()
        throw StartError(reason)
      case nil: throw StartError("a lane ended before it began")
      }
    }
    return (inboxes, threads)
  }

  /// Waits until the virus scanner has loaded its signatures or could not; nil when messages are scanned, or not to be, else why not.
  public func waitForScanner(seconds: Int) -> String? { shared.scanner?.waitUntilReady(seconds: seconds) }

  /// Takes no new connections, lets what is under way finish for up to `seconds`, then stops. Everything durable is kept.
  public func stop(drainingForSeconds seconds: Int) {
    // What they hand to the lanes is to be finished like the rest.
    timekeeper.finish()
    pager.finish()
    stocktaking.finish()
    for inbox in inboxes { inbox.send(.drain) }
    drained.wait(forSeconds: seconds)
    for inbox in inboxes { inbox.send(.stop) }
    for thread in threads.withLock({ $0 }) { thread.join() }
    logKeeper.finish()
    upkeep.finish()
    watchService.withLock { $0 = nil }
    watch.finish()
    shared.note(.logClosed, "the gateway ends in order")
    shared.finish()
    endRun()
    // Who restarts us holds us: all parts are to end with the last who does.
    restarting.withLock { $0 = nil }
    // Its file is left whole, without a write-ahead log beside it.
    do { try logKeeper.ledger.close() } catch { shared.logger.error("the ledger could not be closed: \(error)") }
  }

  /// Says that this run ended in order, and what it leaves in doubt: nothing, when all that was in hand was answered and recorded.
  private func endRun() {
    let doubtful = shared.endedInDoubt || shared.committer.brokenBecause != nil ? shared.now().unixSeconds : nil
    do { try logKeeper.ledger.endRun(doubtfulUntil: doubtful) } catch {
      shared.logger.error("the next start takes this end for a disorderly one: \(error)")
    }
  }

  /// Who restarts this process when an operator asks for it: `begin` is given whom to tell what came of it.
  public func onRestart(_ begin: @escaping @Sendable (@escaping @Sendable (String, Bool) -> Void) -> Void) {
    restarting.withLock { $0 = begin }
  }
}

/// What a lane's thread says once it is up.
private enum LaneStart: Sendable {
  case running(Mailbox<LaneMessage>)
  case failed(String)
}

/// The gateway, for the control socket, which is there a moment before it.
private final class GatewayBox: Sendable {
  private let state = Mutex<(gateway: Gateway?, waiting: [@Sendable (Gateway) -> Void])>((nil, []))

  /// It runs: who asked before is heard now.
  func set(_ running: Gateway) {
    let waiting = state.withLock { state in
      state.gateway = running
      defer { state.waiting = [] }
      return state.waiting
    }
    for work in waiting { work(running) }
  }

  var running: Gateway? { state.withLock { $0.gateway } }

  /// Has this done by the gateway, at once or as soon as it runs.
  func whenRunning(_ work: @escaping @Sendable (Gateway) -> Void) {
    let running = state.withLock { state in
      if state.gateway == nil { state.waiting.append(work) }
      return state.gateway
    }
    if let running { work(running) }
  }
}

/// A lane's thread, from its making to its end.
private func runLane(
  _ number: Int, _ shared: SharedState, _ doors: [LaneDoor], controlAt controlPath: String?, _ box: GatewayBox,
  _ started: Handoff<LaneStart>
) {
  let lane: Lane
  var control: ControlSocket?
  do {
    lane = try Lane(number: number, shared: shared)
    do { try lane.open(doors) } catch { throw StartError("cannot listen: \(error)") }
    if let controlPath {
      let hold: () -> (@Sendable () -> Void)? = { box.running?.holdSpool() }
      control = try ControlSocket(loop: lane.loop, path: controlPath, holdSpool: hold) { request, user, answer in
        box.whenRunning { $0.perform(request, from: user, answer) }
      }
    }
    started.send(.running(lane.inbox))
  } catch {
    started.send(.failed("\(error)"))
    return
  }
  // Callbacks of the loop look at both.
  withExtendedLifetime((lane, control)) { lane.loop.run() }
}
