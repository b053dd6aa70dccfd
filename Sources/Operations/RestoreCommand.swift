import Configuration
import Foundation
import Gateway
import Journey
import Ledger
import Octets
import PEC
import Supervision

/// `ceralacca restore`: makes a data directory from a backup.
///
/// A backup is older than the world. What waited when it was made may have been delivered since, and answered; so nothing of that goes out,
/// and no notice says that nothing was heard, until an operator has decided. Both are holds in the ledger, which the restored gateway finds
/// at its start, and the restore itself is a row of the certified log.
public struct RestoreCommand {
  /// Octets that must be left.
  private static let marginBytes = 64 << 20

  private let folder: String
  private let manifest: BackupManifest
  private let digest: String
  private let configuration: GatewayConfiguration
  private let say: (String) -> Void
  private let progress: (String) -> Void
  /// Files outside the data directory that were put back.
  private let putBack: [String]
  private var data: String { configuration.dataDirectory }
  private var restoring: String { Gateway.restoringPath(configuration.dataDirectory) }

  /// A backup that was restored, for machines.
  private struct Report: Encodable {
    var dataDirectory: String
    /// The backup.
    var folder: String
    /// Of when it is, RFC 3339.
    var madeAt: String
    var lastRow: Int64
    /// Entries of the queue that are held.
    var held: Int
    /// Messages about which no notice of silence is made.
    var notices: Int
    /// Files outside the data directory that were not there, and are again.
    var putBack: [String]
  }

  /// Restores a backup into the data directory of a configuration, which must be empty. A configuration that is not there is taken from the
  /// backup, with the files that it names.
  /// - Throws: `CommandFailure` with code 65 when the backup is not as it was made, 66 when it is none, 73 when there is something where it
  ///   is to go, or a gateway that runs, 74 when the disk is full or fails.
  public static func run(
    from folder: String, configurationFile: String, json: Bool, say: @escaping (String) -> Void,
    progress: @escaping (String) -> Void = { _ in }
  ) throws {
    let report = try restore(folder, configurationFile, json ? { _ in } : say, progress)
    if json { say(try Output.json(report)) }
  }

  private static func restore(
    _ folder: String, _ configurationFile: String, _ say: @escaping (String) -> Void, _ progress: @escaping (String) -> Void
  ) throws -> Report {
    let manifest = try BackupVerification.verify(folder, say: say, progress: progress)
    if manifest.ledgerSchema > Ledger.schema {
      throw CommandFailure(
        "the backup's ledger has schema \(manifest.ledgerSchema), and this program knows up to \(Ledger.schema): restore it with the program "
          + "that made it, \(manifest.program), or a newer one", exitCode: CommandFailure.dataError)
    }
    var missing: RestoreConfiguration?
    if FileFacts(configurationFile) == nil {
      missing = try RestoreConfiguration(folder, manifest, named: configurationFile, say)
    }
    let command = RestoreCommand(
      folder: folder, manifest: manifest, digest: try BackupManifest.read(folder).sha256,
      configuration: try load(configurationFile, missing), say: say, progress: progress, putBack: missing?.putBack ?? [])
    return try command.restore()
  }

  private static func load(_ path: String, _ missing: RestoreConfiguration?) throws -> GatewayConfiguration {
    do { return try Service.load(path) } catch let failure as CommandFailure {
      let lines = missing?.lines ?? []
      if lines.isEmpty { throw failure }
      throw CommandFailure(([failure.message] + lines + ["then restore again"]).joined(separator: "\n"), exitCode: failure.exitCode)
    }
  }

  // MARK: Data

  private func restore() throws -> Report {
    let place = try RestoreFolder(configuration, manifest, say)
    if ControlClient.isRunning(data) {
      throw CommandFailure("a gateway runs on \(data): stop it first", exitCode: CommandFailure.cannotCreate)
    }
    try place.clear()
    let free = BackupFiles.freeBytes(data)
    let needed = manifest.files.reduce(RestoreCommand.marginBytes) { $0 + $1.bytes }
    guard free >= needed else {
      try? place.removeMark()
      throw CommandFailure(
        "the backup takes \(needed >> 20) MiB, and \(free >> 20) MiB are free at \(data): make room", exitCode: CommandFailure.inputOutput)
    }
    try copy()
    let (queued, deadlines) = try settle()
    try place.fill()
    say("\(data) is restored as of \(manifest.madeAt), \(manifest.lastRow) rows of the certified log")
    for line in next(queued, deadlines) { say(line) }
    return Report(
      dataDirectory: data, folder: folder, madeAt: manifest.madeAt, lastRow: manifest.lastRow, held: queued, notices: deadlines,
      putBack: putBack)
  }

  private func copy() throws {
    let pace = BackupPace(isGentle: false, all: manifest.bytes, progress: progress)
    var files = BackupFiles()
    files.copied = { try pace.step($0) }
    for folder in manifest.folders {
      guard let name = BackupManifest.placeInData(folder.path) else { continue }
      try BackupFiles.makeFolder("\(restoring)/\(name)")
    }
    for file in manifest.files {
      guard let name = BackupManifest.placeInData(file.path) else { continue }
      guard
        let copied = try files.copy(
          "\(folder)/\(file.path)", to: "\(restoring)/\(name)", mode: file.mode, isSparse: name.hasPrefix("spool/")),
        copied.sha256 == file.sha256
      else { throw CommandFailure("\(folder)/\(file.path) changed while it was copied", exitCode: CommandFailure.dataError) }
    }
    for folder in manifest.folders.sorted(by: { $0.path > $1.path }) {
      guard let name = BackupManifest.placeInData(folder.path) else { continue }
      let path = "\(restoring)/\(name)"
      try BackupFiles.syncFolder(path)
      try BackupFiles.setMode(path, folder.mode)
    }
    try BackupFiles.syncFolder(restoring)
  }

  /// Has the ledger hold what is in it, and say where it comes from. How many entries and deadlines it holds.
  private func settle() throws -> (queued: Int, deadlines: Int) {
    do {
      let ledger = try Ledger(path: "\(restoring)/ledger.sqlite", keepsCopy: false)
      let (point, holds, now) = (try ledger.restorePoint(), try ledger.queueHolds(), Clock.now())
      let (queued, deadlines) = (try ledger.queueLength(), try ledger.deadlineCount())
      // From the backup's moment on: what was known of these messages since then is lost, and none of it counts towards giving them up. No
      // other hold may have begun in this second: parts that are released are known by it.
      let heldAt = max(manifest.snapshotAt, point.createdAt, point.heldAt + 1)
      var changes: [LedgerChange] = []
      for old in [holds.restored, holds.notices].compactMap({ $0 }) { changes.append(.releaseQueue(old.scope, at: heldAt)) }
      let reason = "as of \(manifest.madeAt)"
      if queued > 0 { changes.append(.holdQueue(QueueHold(scope: .restored(until: heldAt), reason: reason, heldAt: heldAt))) }
      if deadlines > 0 {
        changes.append(.holdQueue(QueueHold(scope: .notices(through: point.transaction), reason: reason, heldAt: heldAt)))
      }
      changes.append(.event(EventRecord(aboutTheLog: .restored, words, by: configuration.provider.name, at: now)))
      try ledger.commit(changes)
      // Runs that came after the backup are not known here.
      try ledger.forgetRuns()
      try ledger.close()
      let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: "\(restoring)/ledger.sqlite"))
      try file.synchronize()
      try file.close()
      return (queued, deadlines)
    } catch let error as LedgerError { throw CommandFailure("\(error)", exitCode: CommandFailure.inputOutput) }
  }

  /// For the certified log: who, from what, and where the log goes on.
  private var words: String {
    let environment = ProcessInfo.processInfo.environment
    let who = environment["SUDO_USER"].map { "\($0) as \(SystemUser.name)" } ?? SystemUser.name
    return
      "by \(who) from the backup of \(manifest.madeAt) (SHA-256 of its list of contents \(digest)), whose last row is \(manifest.lastRow) and "
      + "last seal \(manifest.lastSeal); rows and seals that were made after it bear numbers that are given again from here on"
  }

  private func next(_ queued: Int, _ deadlines: Int) -> [String] {
    var lines: [String] = []
    if queued > 0 {
      lines.append(
        "\(queued) messages of the queue are held, because they may have been delivered since: look (`ceralacca queue list`), then "
          + "`queue release` or `queue bounce`, one, by --route or --domain, or --restored")
    }
    if deadlines > 0 {
      lines.append(
        "\(deadlines) messages have recipients of whom nothing is known here; receipts may have come since: no notice of silence goes out "
          + "before `ceralacca queue notices`")
    }
    return lines
  }
}
