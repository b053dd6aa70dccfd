import Channels
import Foundation
import Octets
import ScanWire

/// Why the tests cannot be run, or what went otherwise than it must.
struct Unfit: Error, CustomStringConvertible {
  var description: String
}

/// A scanner process of a test's own, spoken to as the gateway does.
final class Session {
  /// EICAR's test string, in two halves so that no scanner takes this file.
  static let eicar = #"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-"# + "STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
  static let patience = 60_000
  static let prefix = "Received: by localhost\r\n"
  /// Beside the test's own program.
  static let executable: String = {
    let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
    return URL(filePath: own).deletingLastPathComponent().path + "/ceralacca-scanner"
  }()

  let folder: String
  let process: ChildProcess
  let control: Channel
  private var forks: UInt32 = 0
  private var jobs: UInt64 = 0

  var database: String { folder + "/signatures" }
  var temporary: String { folder + "/temporary" }

  /// A worker, and the gateway's end of its channel.
  struct Worker {
    var pid: Int32
    var channel: Channel
  }

  /// Starts a scanner; nothing is said to it yet.
  init(signatures: String? = nil) throws {
    folder = FileManager.default.temporaryDirectory.path + "/ceralacca-worker-\(UUID().uuidString)"
    let (near, far) = try Channel.pair()
    control = near
    process = try ChildProcess.spawn(path: Self.executable, descriptors: [far.descriptor])
    for path in [folder, database, temporary] { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    let hexadecimal = Self.eicar.utf8.map { String(format: "%02x", $0) }.joined()
    let lines = signatures ?? "Eicar-Test-Signature:0:*:\(hexadecimal)\n"
    try Data(lines.utf8).write(to: URL(filePath: "\(database)/laboratory.ndb"))
    // Started as root it becomes nobody, whose folder this must be.
    if getuid() == 0, let nobody = getpwnam("nobody") { chown(temporary, nobody.pointee.pw_uid, nobody.pointee.pw_gid) }
  }

  deinit {
    process.kill()
    _ = process.wait()
    try? FileManager.default.removeItem(atPath: folder)
  }

  func settings(_ options: ScanOptions = ScanOptions()) -> ScannerSettings {
    ScannerSettings(database: database, temporary: temporary, user: nil, options: options, workerMemoryBytes: 1 << 30)
  }

  func order(_ order: ParentOrder, passing descriptor: Descriptor? = nil) throws { try control.send(order.encoded, passing: descriptor) }

  func report() throws -> ParentReport {
    guard let (packet, _) = try control.receive(waitingMilliseconds: Self.patience, takingDescriptor: false) else {
      throw Unfit(description: "the scanner says nothing")
    }
    return try ParentReport(decoding: packet)
  }

  /// Settings, and the answer to them.
  @discardableResult
  func begin(_ options: ScanOptions = ScanOptions()) throws -> ScanVersion {
    try order(.settings(settings(options)))
    switch try report() {
    case .loaded(let version, _): return version
    case let other: throw Unfit(description: "\(other)")
    }
  }

  func fork() throws -> Worker {
    forks += 1
    let (near, far) = try Channel.pair()
    try order(.fork(number: forks), passing: far.descriptor)
    switch try report() {
    case .forked(forks, let pid):
      let worker = Worker(pid: pid, channel: near)
      // It answers, so it is confined and bound to its parent's life by now.
      _ = try finding(in: "Subject: x\r\n\r\n", by: worker)
      return worker
    case let other: throw Unfit(description: "\(other)")
    }
  }

  /// Sends a message to a worker; its number.
  @discardableResult
  func send(_ message: String, to worker: Worker, prefix: String = prefix) throws -> UInt64 {
    jobs += 1
    let memory = try SharedMemory.make(name: "message", pieces: [Chunk(prefix), Chunk(message)])
    let job = ScanJob(id: jobs, bytes: UInt64(prefix.utf8.count + message.utf8.count), prefixBytes: UInt32(prefix.utf8.count))
    try worker.channel.send(job.encoded, passing: memory)
    return jobs
  }

  func answer(of worker: Worker) throws -> WorkerReport {
    guard let (packet, _) = try worker.channel.receive(waitingMilliseconds: Self.patience, takingDescriptor: false) else {
      throw Unfit(description: "the worker says nothing")
    }
    return try WorkerReport(decoding: packet)
  }

  func scan(_ message: String, by worker: Worker) throws -> WorkerReport {
    try send(message, to: worker)
    return try answer(of: worker)
  }

  /// What is found in a message.
  func finding(in message: String, by worker: Worker) throws -> ScanVerdict.Finding {
    let number = try send(message, to: worker)
    switch try answer(of: worker) {
    case .verdict(number, let finding, _): return finding
    case let other: throw Unfit(description: "\(other)")
    }
  }

  /// True when a channel ends without another word.
  static func ends(_ channel: Channel) -> Bool {
    do {
      _ = try channel.receive(waitingMilliseconds: patience, takingDescriptor: false)
      return false
    } catch {
      return error == .closed
    }
  }

  /// Folders of workers that are there.
  var workerFolders: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: temporary)) ?? []).sorted() }

  /// A message with one attachment in base64.
  static func mail(_ attachment: String) -> String {
    let lines = Data(attachment.utf8).base64EncodedString(options: [
      .lineLength76Characters, .endLineWithCarriageReturn, .endLineWithLineFeed,
    ])
    return "From: a@b.it\r\nTo: c@d.it\r\nSubject: x\r\nMessage-ID: <1@b.it>\r\nMIME-Version: 1.0\r\n"
      + "Content-Type: multipart/mixed; boundary=\"xyz\"\r\n\r\n--xyz\r\nContent-Type: text/plain\r\n\r\nHello.\r\n"
      + "--xyz\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n\(lines)\r\n--xyz--\r\n"
  }
}
