import Foundation
import Octets
import ScanWire
import Testing

@testable import Scanning

/// A folder with a scripted scanner, its database and its gates.
final class ScannerWorld: Sendable {
  let folder: String
  let notices = Monitor<[ScannerNotice]>([])
  let clock = Monitor(1_000_000)

  init() throws {
    folder = NSTemporaryDirectory() + "scanning-\(Hex.encode(Entropy.bytes(6)))"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try write(ScriptedScanner.text(python: ScannerWorld.python), to: "script")
    // The copy is made by another process: had this one the file open for writing while another test starts a process, that process would
    // have it open too for a moment, and it could not be executed.
    let copy = try Process.run(URL(fileURLWithPath: "/bin/sh"), arguments: ["-c", "cat script > scanner && chmod 755 scanner"], in: folder)
    try #require(copy == 0)
    try write("version 1\n", to: "database")
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  /// The interpreter itself: the scanner has no PATH to look for one.
  private static let python: String = {
    let folders =
      ["/usr/bin", "/usr/local/bin"] + (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
    return folders.map { "\($0)/python3" }.first { FileManager.default.isExecutableFile(atPath: $0) } ?? "/usr/bin/python3"
  }()

  func path(_ name: String) -> String { "\(folder)/\(name)" }

  /// Writes a file as freshclam does: beside, then renamed.
  func write(_ text: String, to name: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path(name)), options: .atomic)
  }

  func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path(name)) }

  func plan(workers: Int = 2, answerSeconds: Int = 60, cached: Int = 1000, checkSeconds: Int = 0) -> ScannerPlan {
    ScannerPlan(
      executable: path("scanner"),
      settings: ScannerSettings(
        database: path("database"), temporary: path("temporary"), user: nil, options: ScanOptions(), workerMemoryBytes: 1 << 30),
      workers: workers, answerSeconds: answerSeconds, cachedVerdicts: cached, databaseCheckSeconds: checkSeconds)
  }

  /// Attempts follow each other at once unless `pause` says otherwise.
  static func patience(order: Int = 30_000, ending: Int = 5000, pause: Int = 1) -> Patience {
    Patience(order: order, ending: ending, firstPause: pause, longestPause: max(pause, 50))
  }

  func scanner(_ plan: ScannerPlan? = nil, patience: Patience = ScannerWorld.patience()) -> VirusScanner {
    VirusScanner(plan ?? self.plan(), patience: patience, clock: { [clock] in clock.read { $0 } }) { [notices] notice in
      notices.change { $0.append(notice) }
    }
  }

  /// A scanner that is up.
  func running(_ plan: ScannerPlan? = nil, patience: Patience = ScannerWorld.patience()) throws -> VirusScanner {
    let scanner = scanner(plan, patience: patience)
    try #require(scanner.waitUntilReady(seconds: 60) == nil)
    return scanner
  }

  /// Waits for a notice with these words; its level.
  func notice(_ words: String) -> ScannerNotice.Level? {
    notices.wait(seconds: 60) { notices in notices.first { $0.text.contains(words) }?.level }
  }

  func gate(_ name: String) throws -> Gate { try Gate(path(name)) }

  /// What lies in the folder for temporary files.
  var temporaries: [String] { (try? FileManager.default.contentsOfDirectory(atPath: path("temporary"))) ?? [] }
}

/// A place where a process waits until it is let through. Both sides meet in opening a named pipe.
struct Gate {
  let path: String

  init(_ path: String) throws {
    self.path = path
    try #require(mkfifo(path + ".arrived", 0o666) == 0)
    try #require(mkfifo(path + ".go", 0o666) == 0)
  }

  /// Waits until somebody stands before it.
  func wait() { close(open(path + ".arrived", O_RDONLY)) }

  /// Lets him through.
  func lift() { close(open(path + ".go", O_WRONLY)) }
}

/// Outcomes as they come, by number; one that comes twice is seen.
final class Outcomes: Sendable {
  private let held = Monitor<[Int: [ScanOutcome]]>([:])

  func completion(_ number: Int) -> @Sendable (ScanOutcome) -> Void {
    { [held] outcome in held.change { $0[number, default: []].append(outcome) } }
  }

  /// All outcomes of a number once there is one.
  func of(_ number: Int) -> [ScanOutcome] { held.wait(seconds: 60) { $0[number] } ?? [] }

  /// All, once so many numbers have one.
  func all(_ count: Int) -> [Int: [ScanOutcome]] { held.wait(seconds: 120) { $0.count >= count ? $0 : nil } ?? held.read { $0 } }

  var now: [Int: [ScanOutcome]] { held.read { $0 } }
}

extension VirusScanner {
  /// Scans and waits.
  func outcome(_ text: String) -> ScanOutcome? {
    let held = Monitor<ScanOutcome?>(nil)
    scan([Chunk(text)]) { outcome in held.change { $0 = outcome } }
    return held.wait(seconds: 60) { $0 }
  }

  /// Scans, waits, and tells what was found.
  func finding(_ text: String) -> ScanVerdict.Finding? {
    if case .verdict(let verdict)? = outcome(text) { verdict.finding } else { nil }
  }

  /// Reloads and waits.
  func reloaded() -> (words: String, isTaken: Bool)? {
    let held = Monitor<(String, Bool)?>(nil)
    reload { words, isTaken in held.change { $0 = (words, isTaken) } }
    return held.wait(seconds: 60) { $0 }
  }

  /// Waits until the board is so.
  func isReached(_ condition: (Board.State) -> Bool) -> Bool {
    desk.board.state.wait(seconds: 60) { condition($0) ? true : nil } ?? false
  }
}

extension ScanOutcome {
  var reason: String? { if case .unavailable(let reason) = self { reason } else { nil } }
  var fault: String? { if case .fault(let why, _, _) = self { why } else { nil } }
  var verdict: ScanVerdict? { if case .verdict(let verdict) = self { verdict } else { nil } }
}

/// True when there is no such process any more, not even as a zombie.
func isGone(_ pid: Int32) -> Bool { kill(pid, 0) == -1 && errno == ESRCH }

extension Process {
  /// Runs a program in a folder; its exit code.
  static func run(_ program: URL, arguments: [String], in folder: String) throws -> Int32 {
    let process = Process()
    process.executableURL = program
    process.arguments = arguments
    process.currentDirectoryURL = URL(fileURLWithPath: folder)
    try process.run()
    process.waitUntilExit()
    return process.terminationStatus
  }
}

/// A thread that can be waited for.
final class TestThread: Sendable {
  private let isOver = Monitor(false)

  init(_ body: @escaping @Sendable () -> Void) {
    Thread { [isOver] in
      body()
      isOver.change { $0 = true }
    }.start()
  }

  func join() { _ = isOver.wait { $0 ? true : nil } }
}
