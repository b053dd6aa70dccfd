import Channels
import Confinement
import Limits
import MIMEViews
import Octets
import ScanEngine
import ScanWire

/// A worker: takes one job after the other until its channel ends. Whatever it meets, it can do nothing but answer.
struct ScanWorker {
  private let jobs: Channel
  private let engine: ScanEngine
  private let options: ScanOptions

  /// A worker's whole life, in the child of a fork.
  static func live(_ jobs: Channel, _ engine: ScanEngine, _ settings: ScannerSettings, folder: String) -> Never {
    ScannerProcess.unblockSignals()
    do {
      try Confinement.confineWorker(settings.confinement(folder, keeping: [jobs.descriptor.number]))
      try engine.useTemporary(folder)
    } catch {
      ScannerProcess.complain("\(error)")
      ScannerProcess.leave(3)
    }
    // Whoever takes a worker over shall not write into, cut or close what the gateway logs to.
    ScannerProcess.fallSilent()
    ScanWorker(jobs: jobs, engine: engine, options: settings.options).work()
  }

  /// Above this a message leaves so much free memory behind that it is given back.
  private static let largeBytes = 4 << 20

  private func work() -> Never {
    do {
      while true {
        guard let (packet, descriptor) = try jobs.receive(waitingMilliseconds: nil) else { continue }
        // The gateway writes no such orders: whatever this is, it is not obeyed.
        guard let job = try? ScanJob(decoding: packet), let descriptor else { ScannerProcess.leave(2) }
        try jobs.send(report(job, descriptor).encoded)
        if job.bytes >= UInt64(Self.largeBytes) { ScanEngine.releaseMemory() }
      }
    } catch {
      ScannerProcess.leave(error == .closed ? 0 : 4)
    }
  }

  private func report(_ job: ScanJob, _ descriptor: Descriptor) -> WorkerReport {
    let content: Chunk
    do {
      content = try SharedMemory.map(descriptor, bytes: Int(job.bytes))
    } catch {
      return .failed(id: job.id, "the message cannot be read: \(error)")
    }
    let used = ScannerProcess.processorMilliseconds
    var examination = Examination(engine: engine, deadline: .now + .seconds(max(1, options.scanSeconds)))
    // A large message of odd form is seen several times over, and is not to be beyond limits for its size alone.
    examination.examine(
      content, from: Int(job.prefixBytes), maximumViewBytes: max(options.maximumScanBytes, 5 * content.count))
    if let failure = examination.failure { return .failed(id: job.id, failure) }
    if let words = Self.starvation(
      examination.finding, processorMilliseconds: ScannerProcess.processorMilliseconds - used, scanSeconds: options.scanSeconds)
    {
      return .failed(id: job.id, words)
    }
    return .verdict(id: job.id, finding: examination.finding, views: examination.views)
  }

  /// Why a limit of time says nothing of the message: the machine was paused, or others had it. Nil when the worker did use its time.
  static func starvation(
    _ finding: ScanVerdict.Finding, processorMilliseconds: @autoclosure () -> Int, scanSeconds: Int
  ) -> String? {
    guard case .limits(let name) = finding, ScanEngine.timeLimits.contains(name) else { return nil }
    let seconds = max(1, scanSeconds)
    let processorMilliseconds = processorMilliseconds()
    if processorMilliseconds >= seconds * 500 { return nil }
    return "its \(seconds) s were over, of which the scanner could work for \(processorMilliseconds) ms"
  }
}

/// The scan of one message: the whole of it, then each view that could show something else.
struct Examination {
  let engine: ScanEngine
  /// For all scans of the message together.
  let deadline: ContinuousClock.Instant
  private(set) var finding: ScanVerdict.Finding = .clean
  private(set) var views: UInt32 = 0
  /// Why something was not scanned; then the finding counts for nothing.
  private(set) var failure: String?

  init(engine: ScanEngine, deadline: ContinuousClock.Instant) {
    self.engine = engine
    self.deadline = deadline
  }

  mutating func examine(_ content: Chunk, from start: Int, maximumViewBytes: Int) {
    guard scan(content) else { return }
    let plan = MIMEViews.each(of: content[start..<content.count], limits: MessageLimits(), maximumBytes: maximumViewBytes) { view in
      views += 1
      return scan(view.octets)
    }
    if plan.isBeyondLimits { finding = finding.graver(.limits("Limits.Structure")) }
  }

  /// Whether it makes sense to go on.
  private mutating func scan(_ octets: Chunk) -> Bool {
    let left = Int((deadline - .now) / .milliseconds(1))
    guard left > 0 else {
      finding = finding.graver(.limits(ScanEngine.outOfTime))
      return false
    }
    switch engine.scan(octets, milliseconds: left) {
    case .failed(let words):
      failure = words
      return false
    case .found(let found):
      finding = finding.graver(found)
      if case .infected = finding { return false }
      return true
    }
  }
}
