import Foundation
import Gateway
import Logging
import Octets
import ScanWire
import Scanning
import Synchronization

/// `ceralacca scan`: the configured scanner, started for this alone, on message files; with what it costs.
public enum ScanCommand {
  /// What is scanned, and how.
  public struct Request: Sendable {
    /// Files, and folders with files at any depth.
    public var paths: [String]
    /// Messages that are with the scanner at the same time; nil for one for each worker.
    public var jobs: Int?
    /// Times that all of it is scanned. No verdict is taken from memory.
    public var rounds: Int
    /// Only the totals are said.
    public var isSummary: Bool

    /// A request; once through unless said otherwise.
    public init(paths: [String], jobs: Int? = nil, rounds: Int = 1, isSummary: Bool = false) {
      self.paths = paths
      self.jobs = jobs
      self.rounds = rounds
      self.isSummary = isSummary
    }
  }

  /// Exit codes, as scanners have them.
  static let somethingFound: Int32 = 1
  static let notScanned: Int32 = 2

  /// Reads the files into memory, scans them, and says what was found. Only the scanning is timed.
  /// - Throws: `CommandFailure` with code 1 when anything but clean messages was found, 2 when something could not be scanned.
  public static func run(_ request: Request, configurationFile: String, json: Bool, say: (String) -> Void) throws {
    let configuration = try Service.load(configurationFile)
    guard var plan = ScannerPlan(configuration) else {
      throw CommandFailure("the configuration says `scanner: off`: there is nothing to scan with", exitCode: notScanned)
    }
    plan.cachedVerdicts = 0
    let messages = try read(request.paths)
    let format: LogOutput.Format = configuration.log.format == .json ? .json : .text
    let logger = Logger(label: "ceralacca") { LogOutput(label: $0, format: format, level: .warning) }
    let scanner = VirusScanner(plan) { notice in
      switch notice.level {
      case .info: logger.info("scanner: \(notice.text)")
      case .warning: logger.warning("scanner: \(notice.text)")
      case .error: logger.error("scanner: \(notice.text)")
      case .critical: logger.critical("scanner: \(notice.text)")
      }
    }
    defer { scanner.stop() }
    if let reason = scanner.waitUntilReady(seconds: 900) {
      throw CommandFailure("the scanner cannot be started: \(reason)", exitCode: notScanned)
    }
    let version = scanner.status.version?.text ?? "unknown"
    let jobs = max(1, request.jobs ?? plan.workers)
    let tally = ScanTally(messages.count)
    let seconds = scan(messages, rounds: max(1, request.rounds), jobs: jobs, by: scanner, tally)
    var summary = tally.summary(sizes: messages.map(\.content.count), seconds: seconds, version: version)
    summary.jobs = jobs
    summary.workers = plan.workers
    for (message, outcome) in zip(messages, tally.outcomes) where !request.isSummary {
      guard let outcome else { continue }
      let row = ScanRow(file: message.name, outcome: outcome)
      say(json ? try Output.json(row) : row.text)
    }
    say(json ? try Output.json(summary) : summary.text)
    if summary.notScanned > 0 {
      throw CommandFailure("\(summary.notScanned) scans did not come to a verdict", exitCode: notScanned)
    }
    if summary.clean < summary.scans { throw CommandFailure("", exitCode: somethingFound) }
  }

  /// A message in memory.
  private struct Message {
    var name: String
    var content: Chunk
  }

  private static func read(_ paths: [String]) throws -> [Message] {
    let files = FileManager.default
    var messages: [Message] = []
    func add(_ path: String) throws {
      guard let data = files.contents(atPath: path) else { throw CommandFailure("\(path) cannot be read", exitCode: notScanned) }
      messages.append(Message(name: path, content: Chunk([UInt8](data))))
    }
    func type(of path: String) -> FileAttributeType? { (try? files.attributesOfItem(atPath: path))?[.type] as? FileAttributeType }
    for path in paths {
      guard let kind = type(of: URL(fileURLWithPath: path).resolvingSymlinksInPath().path) else {
        throw CommandFailure("\(path) is not there", exitCode: notScanned)
      }
      guard kind == .typeDirectory else {
        try add(path)
        continue
      }
      guard let below = try? files.subpathsOfDirectory(atPath: path) else {
        throw CommandFailure("\(path) cannot be read", exitCode: notScanned)
      }
      for name in below.sorted() {
        let file = "\(path)/\(name)"
        if type(of: file) == .typeRegular { try add(file) }
      }
    }
    guard !messages.isEmpty else { throw CommandFailure("there are no files to scan", exitCode: notScanned) }
    return messages
  }

  /// Scans with never more than `jobs` messages under way. Seconds from the first message to the last answer.
  private static func scan(_ messages: [Message], rounds: Int, jobs: Int, by scanner: VirusScanner, _ tally: ScanTally) -> Double {
    let places = DispatchSemaphore(value: jobs)
    let begin = ContinuousClock.now
    for _ in 0..<rounds {
      for (index, message) in messages.enumerated() {
        places.wait()
        let started = ContinuousClock.now
        scanner.scan([message.content]) { outcome in
          tally.add(index, outcome, milliseconds: ScanTally.milliseconds(since: started))
          places.signal()
        }
      }
    }
    for _ in 0..<jobs { places.wait() }
    let seconds = ScanTally.milliseconds(since: begin) / 1000
    // A semaphore must not go with fewer places than it came with.
    for _ in 0..<jobs { places.signal() }
    return seconds
  }
}

/// What came of a file, for machines.
struct ScanRow: Encodable {
  var file: String
  /// clean, infected, encrypted, limits, or not scanned.
  var verdict: String
  /// Name of the threat, kind of encryption or limit; or why there is no verdict.
  var detail: String?
  /// Decoded views that were scanned besides the whole message.
  var views: Int?
  var sha256: String?
  var version: String?

  init(file: String, outcome: ScanOutcome) {
    self.file = file
    verdict = ScanRow.word(outcome)
    switch outcome {
    case .verdict(let found):
      detail = found.finding.name
      views = found.views
      sha256 = found.digest
      version = found.version.text
    case .unavailable(let reason): detail = reason
    case .fault(let reason, let by, let digest):
      detail = reason
      sha256 = digest
      version = by?.text
    case .off: break
    }
  }

  static func word(_ outcome: ScanOutcome) -> String {
    guard case .verdict(let found) = outcome else { return "not scanned" }
    switch found.finding {
    case .clean: return "clean"
    case .infected: return "infected"
    case .encrypted: return "encrypted"
    case .limits: return "limits"
    }
  }

  var text: String {
    let what = detail.map { "\(verdict): \($0)" } ?? verdict
    let also = views.map { $0 == 0 ? "" : " (and \($0) \($0 == 1 ? "view" : "views"))" } ?? ""
    return ASCII.escaped("\(file): \(what)\(also)")
  }
}

/// Totals, for machines.
struct ScanSummary: Encodable {
  var messages: Int
  /// Messages times rounds.
  var scans: Int
  /// Octets of all scans.
  var bytes: Int
  var clean = 0
  var infected = 0
  var encrypted = 0
  var limits = 0
  var notScanned = 0
  var views = 0
  var jobs = 0
  var workers = 0
  var seconds: Double
  var messagesPerSecond: Double
  /// Of 1,000,000 octets.
  var megabytesPerSecond: Double
  var medianMilliseconds: Double
  var slowestMilliseconds: Double
  var version: String

  var text: String {
    func number(_ value: Double) -> String { String(format: value < 10 ? "%.3f" : "%.1f", value) }
    return """
      \(ASCII.escaped(version))
      \(clean) clean, \(infected) infected, \(encrypted) encrypted, \(limits) beyond limits, \(notScanned) not scanned; \(views) views
      \(scans) messages, \(number(Double(bytes) / 1_000_000)) MB, \(jobs) under way at a time, \(workers) workers: \(number(seconds)) s, \
      \(number(messagesPerSecond)) messages/s, \(number(megabytesPerSecond)) MB/s; half within \(number(medianMilliseconds)) ms, \
      all within \(number(slowestMilliseconds)) ms
      """
  }
}

/// What the scanner answered so far, told by threads of its own.
final class ScanTally: Sendable {
  private struct State {
    /// Of each message the first answer, or the first that is not clean.
    var outcomes: [ScanOutcome?]
    /// Of each answer, which message it is about and how long it took.
    var indices: [Int] = []
    var milliseconds: [Double] = []
    var counts: [String: Int] = [:]
    var views = 0
  }

  private let state: Mutex<State>

  init(_ messages: Int) { state = Mutex(State(outcomes: Array(repeating: nil, count: messages))) }

  static func milliseconds(since start: ContinuousClock.Instant) -> Double {
    let parts = start.duration(to: .now).components
    return Double(parts.seconds) * 1000 + Double(parts.attoseconds) / 1e15
  }

  func add(_ index: Int, _ outcome: ScanOutcome, milliseconds: Double) {
    state.withLock { state in
      if state.outcomes[index].map({ ScanRow.word($0) == "clean" }) ?? true { state.outcomes[index] = outcome }
      state.counts[ScanRow.word(outcome), default: 0] += 1
      if case .verdict(let found) = outcome { state.views += found.views }
      state.milliseconds.append(milliseconds)
      state.indices.append(index)
    }
  }

  var outcomes: [ScanOutcome?] { state.withLock { $0.outcomes } }

  func summary(sizes: [Int], seconds: Double, version: String) -> ScanSummary {
    state.withLock { state in
      let times = state.milliseconds.sorted()
      let bytes = state.indices.reduce(0) { $0 + sizes[$1] }
      let span = max(seconds, 1e-9)
      return ScanSummary(
        messages: sizes.count, scans: times.count, bytes: bytes, clean: state.counts["clean"] ?? 0,
        infected: state.counts["infected"] ?? 0, encrypted: state.counts["encrypted"] ?? 0, limits: state.counts["limits"] ?? 0,
        notScanned: state.counts["not scanned"] ?? 0, views: state.views, seconds: seconds,
        messagesPerSecond: Double(times.count) / span, megabytesPerSecond: Double(bytes) / 1_000_000 / span,
        medianMilliseconds: times.isEmpty ? 0 : times[times.count / 2], slowestMilliseconds: times.last ?? 0, version: version)
    }
  }
}
