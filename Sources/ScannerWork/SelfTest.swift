import Channels
import Confinement
import Octets
import ScanEngine
import ScanWire

/// Shows on this very machine that a confined scanner can reach nothing that it must not.
public struct SelfTest: Sendable {
  /// What to print.
  public var text: String
  /// True when everything that was tried was denied, and the engine (where a database was named) still scans.
  public var isPassed: Bool

  /// Runs the scanner's parent and a worker, both confined as in earnest, and has both try what they must not do.
  ///
  /// - Parameters:
  ///   - keyFile: a file that exists and must not be readable: the signing key.
  ///   - database: signatures to load and to scan with as well; absolute.
  ///   - user: whom to become when this process is root; nobody when nil.
  public static func run(keyFile: String, database: String?, user: String? = nil) -> SelfTest {
    ScannerProcess.dieOfCrashes()
    do {
      return try make(keyFile, database, user)
    } catch {
      return SelfTest(text: "\(error)\n", isPassed: false)
    }
  }

  private static let temporaryParents = ["/dev/shm", "/tmp"]

  private static func make(_ keyFile: String, _ database: String?, _ user: String?) throws -> SelfTest {
    var made: String?
    for parent in temporaryParents where made == nil { made = ScannerProcess.makeFolder(below: parent, for: user) }
    guard let folder = made else {
      return SelfTest(text: "no folder for temporary files can be made below /dev/shm or /tmp\n", isPassed: false)
    }
    // A confined process cannot remove the folder that it is confined to.
    defer { ScannerProcess.removeFolder(folder) }
    let settings = ScannerSettings(
      database: database ?? folder, temporary: folder, user: user, options: ScanOptions(), workerMemoryBytes: 1 << 30)
    let (near, far) = try Channel.pair()
    try ScanEngine.initialize()
    let pid = try Confinement.fork()
    if pid == 0 { confineParent(settings, keyFile, hasDatabase: database != nil, far) }
    _ = ScannerProcess.wait(for: pid)
    far.shutDown()
    var test = SelfTest(text: "\(Confinement.support().text)\n", isPassed: true)
    var reports = 0
    while let (packet, _) = try? near.receive(waitingMilliseconds: 0, takingDescriptor: false) {
      reports += 1
      test.isPassed = test.isPassed && packet.first == 1
      test.text += String(decoding: packet.dropFirst(), as: UTF8.self)
    }
    // The parent and the worker report once each.
    test.isPassed = test.isPassed && reports == 2
    if reports != 2 { test.text += "the scanner's processes ended before they had tried everything\n" }
    test.text += test.isPassed ? "All of it is denied.\n" : "NOT CONFINED AS IT MUST BE.\n"
    return test
  }

  private static func confineParent(_ settings: ScannerSettings, _ keyFile: String, hasDatabase: Bool, _ reports: Channel) -> Never {
    do {
      try Confinement.confineParent(settings.confinement(settings.temporary, keeping: []))
      let engine =
        hasDatabase
        ? try ScanEngine.load(database: settings.database, temporary: settings.temporary, options: settings.options) : nil
      let folder = "\(settings.temporary)/worker-1"
      if let words = ScannerProcess.makeFolder(folder) { return say("\(folder): \(words)\n", false, reports) }
      let pid = try Confinement.fork()
      if pid == 0 { confineWorker(settings, folder, keyFile, engine, reports) }
      let status = ScannerProcess.wait(for: pid)
      let (table, isDenied) = table("The parent", Confinement.probe(keyFile: keyFile, as: .parent))
      let how = status.map { ChildProcess.words(forStatus: $0) } ?? "unknown"
      return say(status == 0 ? table : "\(table)the worker ended: \(how)\n", isDenied && status == 0, reports)
    } catch {
      return say("\(error)\n", false, reports)
    }
  }

  private static func confineWorker(
    _ settings: ScannerSettings, _ folder: String, _ keyFile: String, _ engine: ScanEngine?, _ reports: Channel
  ) -> Never {
    do {
      try Confinement.confineWorker(settings.confinement(folder, keeping: [reports.descriptor.number]))
    } catch {
      return say("\(error)\n", false, reports)
    }
    var (text, isPassed) = table("A worker", Confinement.probe(keyFile: keyFile, as: .worker))
    if let engine {
      let answer: ScanAnswer
      do {
        try engine.useTemporary(folder)
        answer = engine.scan(Chunk("Received: by localhost\r\nSubject: self-test\r\n\r\nHello.\r\n"), milliseconds: 10_000)
      } catch {
        answer = .failed("\(error)")
      }
      text += "  scans with \(engine.version.text): \(answer == .found(.clean) ? "clean" : "\(answer)")\n"
      isPassed = isPassed && answer == .found(.clean)
    }
    return say(text, isPassed, reports)
  }

  private static func table(_ who: String, _ probes: [ConfinementProbe]) -> (text: String, isDenied: Bool) {
    let width = probes.map(\.what.utf8.count).max() ?? 0
    let lines = probes.map { probe in
      "  \(probe.what)\(String(repeating: " ", count: width - probe.what.utf8.count))  \(probe.words)\n"
    }
    return ("\(who):\n\(lines.joined())", !probes.isEmpty && probes.allSatisfy(\.isDenied))
  }

  /// Reports and ends this process.
  private static func say(_ text: String, _ isPassed: Bool, _ reports: Channel) -> Never {
    do {
      try reports.send([isPassed ? 1 : 0] + Array(text.utf8.prefix(Channel.maximumPacketBytes - 1)))
    } catch {
      ScannerProcess.complain("\(error)")
    }
    ScannerProcess.leave(isPassed ? 0 : 1)
  }
}
