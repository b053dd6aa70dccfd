import EventLoop
import Foundation
import Gateway
import Logging
import Supervision
import Synchronization
import Threading

/// A gateway as a service: signals, word to the service manager, and the handing over to another process.
final class ServiceRun: Sendable {
  /// Sessions may go on for so long, in seconds, when this process stops; and when another takes over, before they are told 421.
  private static let stopSeconds = 30
  private static let handoverSeconds = 20
  /// What is left after that, deliveries that are under way above all, may take so long.
  private static let handoverStopSeconds = 10
  /// A process that takes over must be ready within so many seconds: it loads the scanner's signatures.
  private static let successorSeconds = 240

  private let gateway: Gateway
  private let manager: ServiceManager
  private let file: String
  private let logger: Logger
  private let successor = Mutex<Successor?>(nil)
  private let isHandingOver = Atomic<Bool>(false)
  private let origin: ProcessOrigin
  /// True while a sign of life was asked for and has not come.
  private let isAwaitingPulse = Atomic<Bool>(false)

  init(_ gateway: Gateway, _ manager: ServiceManager, _ origin: ProcessOrigin, _ file: String, _ logger: Logger) {
    (self.gateway, self.manager, self.origin, self.file, self.logger) = (gateway, manager, origin, file, logger)
  }

  /// Lets SIGINT and SIGTERM end the loop, one that does not run yet as soon as it does. From the first greeting on a session is owed an
  /// end in order; what was only being made may go as the signal wants it.
  static func endings(_ loop: Loop) throws -> [SignalWatch] {
    try [SIGINT, SIGTERM].map { try loop.onSignal($0) { loop.stop() } }
  }

  /// Runs until the end that a signal or another process brings.
  func untilTheEnd(_ loop: Loop) throws {
    var watches: [SignalWatch] = []
    // Not on the loop: a large index, or a token, takes seconds.
    watches.append(try loop.onSignal(SIGHUP) { [self] in WorkerThread(name: "reload") { [self] in reload() }.detach() })
    let remote = loop.remote
    let restart: @Sendable (@escaping @Sendable (String, Bool) -> Void) -> Void = { [self] answer in
      WorkerThread(name: "restart") { [self] in handOver(answer) { remote.stop() } }.detach()
    }
    gateway.onRestart(restart)
    watches.append(try loop.onSignal(SIGUSR2) { restart { _, _ in } })
    HeldSignals.release()
    let alive = manager.watchdogMicroseconds.map { interval in
      loop.timer(after: 0, repeat: UInt64(max(1, interval / 3000))) { [self] in proveLife() }
    }
    manager.notify("READY=1", "STATUS=running")
    loop.run()
    try finish(successor.withLock { $0 })
    _ = (watches, alive)
  }

  /// Finishes what is under way. With a process that takes over, the manager hears no STOPPING=1: systemd then ends all that is left of the
  /// service, the new process too, and takes no MAINPID= any more, which counts only for a service that runs.
  /// - Throws: a `CommandFailure` when nobody takes over after all: the manager is to see a failure, and to begin anew.
  private func finish(_ heir: Successor?) throws {
    let seconds = heir == nil ? ServiceRun.stopSeconds : ServiceRun.handoverStopSeconds
    if let heir {
      // The lanes' last sign of life: the loop that asked for them has ended, and the next one comes with MAINPID=.
      manager.notify("STATUS=handing over to process \(heir.id)", "WATCHDOG=1")
    } else {
      manager.notify("STOPPING=1", "STATUS=finishing what is under way")
    }
    logger.notice("stopping: what is under way may finish for \(seconds) seconds")
    gateway.stop(drainingForSeconds: seconds)
    logger.notice("stopped")
    guard let heir else { return }
    if let words = heir.ending { throw failure("process \(heir.id), which was to take over, has ended (\(words))") }
    // The manager looks at the new process from now on; this one's end is the word for it to begin. Only the main process is heard.
    if let words = manager.notify("MAINPID=\(heir.id)", "WATCHDOG=1", "STATUS=process \(heir.id) opens ledger and spool") {
      throw failure("the service manager was not told of process \(heir.id), which was to take over: \(words)")
    }
    heir.disown()
  }

  private func failure(_ words: String) -> CommandFailure {
    logger.critical("\(words)")
    return CommandFailure(words, exitCode: CommandFailure.unavailable)
  }

  private func reload() {
    manager.notify("RELOADING=1", "MONOTONIC_USEC=\(ServiceManager.monotonicMicroseconds)", "STATUS=reloading")
    let (words, isDone) = gateway.reload()
    manager.notify("READY=1", "STATUS=\(isDone ? "running" : "running; the last reload failed: \(words)")")
  }

  /// Tells the manager of life only when lanes, committer and signers have given a sign of it since last time.
  private func proveLife() {
    guard !isAwaitingPulse.exchange(true, ordering: .relaxed) else { return }
    gateway.askForPulse { [self] in
      isAwaitingPulse.store(false, ordering: .relaxed)
      manager.proveLife()
    }
  }

  /// Has another process take over; `answer` is told once it could, or why not, and `end` called once this one is to end.
  private func handOver(_ answer: @Sendable (String, Bool) -> Void, end: @Sendable () -> Void) {
    guard !isHandingOver.exchange(true, ordering: .relaxed) else { return answer("a restart is under way already", false) }
    do {
      if let words = origin.endOfContainer { throw CommandFailure(words, exitCode: CommandFailure.unavailable) }
      // A bad configuration is seen here, and not by the process that is to work with it.
      _ = try Service.load(file)
      let heir = try Successor(executable: ServiceRun.executable, arguments: ServiceRun.arguments, sockets: gateway.listeningSockets)
      logger.notice("restart: process \(heir.id) gets ready to take over")
      try heir.waitUntilReady(seconds: ServiceRun.successorSeconds)
      successor.withLock { $0 = heir }
      logger.notice("restart: process \(heir.id) is ready; this one takes nothing new and ends")
      answer("process \(heir.id) takes over", true)
      gateway.rest(forSeconds: ServiceRun.handoverSeconds, closes: false)
      end()
    } catch {
      let words = "no restart, this process goes on: \((error as? CommandFailure)?.message ?? "\(error)")"
      logger.error("\(words)")
      isHandingOver.store(false, ordering: .relaxed)
      answer(words, false)
    }
  }

  /// Where this program was when it was started: what lies there by now is what starts.
  private static let executable: String = {
    let link = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
    return link.hasSuffix(" (deleted)") ? String(link.dropLast(" (deleted)".count)) : link
  }()

  private static var arguments: [String] { CommandLine.arguments.dropFirst().filter { $0 != "--takes-over" } + ["--takes-over"] }
}
