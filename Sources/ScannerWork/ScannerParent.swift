import Channels
import Confinement
import ScanEngine
import ScanWire

#if canImport(Glibc)
  import Glibc
#endif

/// The scanner's parent: loads the signatures once, and forks workers that share them. It meets no message.
///
/// Everything happens on one thread, since a fork takes no other thread along: the loader's has ended before the first order is read.
struct ScannerParent {
  private let control: Channel
  /// The running workers' folders, by process id.
  private var folders: [Int32: String] = [:]
  private var forks = 0

  init(_ control: Channel) { self.control = control }

  /// Why the parent ends: the gateway is told, if it is still there.
  private struct Fault: Error {
    var words: String
    init(_ words: String) { self.words = words }
  }

  mutating func run() -> Int32 {
    do {
      try serve()
      return 0
    } catch let fault as Fault {
      end()
      tell(.failed(fault.words))
      return 1
    } catch {
      end()
      // The channel is closed, or broken: there is nobody to tell.
      return 0
    }
  }

  /// Ends with an error in any case: the channel's end is the ordinary one.
  private mutating func serve() throws {
    guard let first = try control.receive(waitingMilliseconds: nil, takingDescriptor: false),
      case .settings(let settings)? = try? ParentOrder(decoding: first.packet)
    else { throw Fault("the first order holds no settings") }
    guard let watch = ScannerProcess.watchChildren() else { throw Fault("the ends of workers cannot be watched") }
    let engine = try load(settings)
    try control.send(ParentReport.loaded(engine.version, warnings: engine.warnings).encoded)
    while true {
      guard let news = ScannerProcess.wait(channel: control.descriptor.number, watch: watch) else { throw Fault("waiting failed") }
      if news.children { try bury() }
      if news.channel { try obey(settings, engine) }
    }
  }

  private func load(_ settings: ScannerSettings) throws -> ScanEngine {
    do {
      // What these load by themselves cannot be loaded any more after.
      try ScanEngine.initialize()
      try Confinement.confineParent(settings.confinement(settings.temporary, keeping: []))
      return try ScanEngine.load(database: settings.database, temporary: settings.temporary, options: settings.options)
    } catch {
      throw Fault("\(error)")
    }
  }

  private mutating func obey(_ settings: ScannerSettings, _ engine: ScanEngine) throws {
    guard let (packet, descriptor) = try control.receive(waitingMilliseconds: 0) else { return }
    guard let order = try? ParentOrder(decoding: packet) else { throw Fault("an order that cannot be read") }
    switch order {
    case .settings: throw Fault("settings for the second time")
    case .kill(let pid):
      // An id is nobody else's until its end was taken; it goes from the list in the same breath.
      if folders[pid] != nil { kill(pid, SIGKILL) }
    case .fork(let number):
      guard let descriptor else { throw Fault("a worker without a channel") }
      try fork(number, jobs: Channel(descriptor), settings, engine)
    }
  }

  private mutating func fork(_ number: UInt32, jobs: Channel, _ settings: ScannerSettings, _ engine: ScanEngine) throws {
    forks += 1
    let folder = "\(settings.temporary)/worker-\(forks)"
    if let words = ScannerProcess.makeFolder(folder) { throw Fault("\(folder): \(words)") }
    let pid: Int32
    do {
      pid = try Confinement.fork()
    } catch {
      ScannerProcess.removeFolder(folder)
      throw Fault("\(error)")
    }
    if pid == 0 { ScanWorker.live(jobs, engine, settings, folder: folder) }
    folders[pid] = folder
    // The parent's copy of the job channel closes with `jobs`: its end must be seen when the worker's goes.
    try control.send(ParentReport.forked(number: number, pid: pid).encoded)
  }

  /// Takes the workers that have ended off the list.
  private mutating func bury() throws {
    while let (pid, status) = ScannerProcess.reap() {
      if let folder = folders.removeValue(forKey: pid) { ScannerProcess.removeFolder(folder) }
      try control.send(ParentReport.died(pid: pid, how: ChildProcess.words(forStatus: status)).encoded)
    }
  }

  /// No worker outlives the parent.
  private mutating func end() {
    for pid in folders.keys { kill(pid, SIGKILL) }
    for (pid, folder) in folders {
      _ = ScannerProcess.wait(for: pid)
      ScannerProcess.removeFolder(folder)
    }
    folders = [:]
  }

  private func tell(_ report: ParentReport) {
    do {
      try control.send(report.encoded, waitingMilliseconds: 1000)
    } catch {
      ScannerProcess.complain("\(report)")
    }
  }
}

extension ScannerSettings {
  /// What a process with these settings may do, with `folder` for its temporary files.
  func confinement(_ folder: String, keeping descriptors: [Int32]) -> ConfinementPlan {
    ConfinementPlan(
      database: database, temporary: folder, user: user, memoryBytes: max(1, workerMemoryBytes),
      fileBytes: max(64 << 20, options.maximumScanBytes), descriptors: descriptors)
  }
}
