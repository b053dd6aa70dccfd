import Configuration
import Foundation
import Gateway
import Journey
import Ledger
import Octets
import PEC
import Spool

/// `ceralacca backup`: a copy of all that a gateway holds, as it was at one moment, made while it runs or while it is stopped.
///
/// First the gateway is asked to let no segment of its spool go. Then the ledger is copied, in one reading of one state: whatever was
/// answered 250 before that is in it, and the octets that it names were synced before it was. Then come the segments that this state names.
/// A running gateway waits for none of it; should this process die, its end is the end of the hold.
public struct BackupCommand {
  /// What is wanted.
  public struct Wanted: Sendable {
    var folder: String
    var since: String?
    var withKeys: Bool

    /// - Parameters:
    ///   - folder: the backup, which must not be there yet.
    ///   - since: an earlier backup whose files may be linked where they have not changed.
    ///   - withKeys: private keys and passwords too.
    public init(folder: String, since: String? = nil, withKeys: Bool = false) {
      self.folder = folder.count > 1 && folder.hasSuffix("/") ? String(folder.dropLast()) : folder
      self.since = since
      self.withKeys = withKeys
    }
  }

  /// Octets that are left free on the backup's disk, and that the ledger may grow by while it is copied.
  private static let marginBytes = 64 << 20
  /// How often a seal's folder is listed again of which something went while it was copied.
  private static let mostListings = 5

  private let wanted: Wanted
  private let configuration: GatewayConfiguration
  private let configurationFile: String
  private let staging: String
  private let say: (String) -> Void
  private let progress: (String) -> Void
  private let earlier: [String: BackupManifest.File]

  /// A backup that was made, for machines.
  private struct Report: Encodable {
    var folder: String
    /// RFC 3339.
    var madeAt: String
    var files: Int
    var bytes: Int
    var lastRow: Int64
    var lastSeal: Int64
    var queued: Int
    var hasKeys: Bool
    /// Stored parts of queued messages that cannot be read, and could not be before.
    var damaged: [String]
    /// What else is wrong with ledger and log, and was before, in words.
    var faults: [String]
    /// What is not in it, in words.
    var leftOut: [String]

    init(_ folder: String, _ manifest: BackupManifest) {
      (self.folder, madeAt, files, bytes) = (folder, manifest.madeAt, manifest.files.count, manifest.bytes)
      (lastRow, lastSeal, queued) = (manifest.lastRow, manifest.lastSeal, manifest.queued)
      (hasKeys, damaged, leftOut) = (manifest.hasKeys, manifest.damaged, manifest.leftOut)
      faults = manifest.faults ?? []
    }
  }

  /// Makes a backup.
  /// - Parameter progress: hears how far it is.
  /// - Throws: `CommandFailure` with code 73 when it cannot be made there, 74 when the disk is full or fails, 75 when it is to be tried again.
  public static func run(
    _ wanted: Wanted, configurationFile: String, json: Bool, say: @escaping (String) -> Void,
    progress: @escaping (String) -> Void = { _ in }
  ) throws {
    let configuration = try Service.load(configurationFile)
    let manifest = try BackupCommand(wanted, configuration, configurationFile, json ? { _ in } : say, progress).make()
    if json { say(try Output.json(Report(wanted.folder, manifest))) }
  }

  private init(
    _ wanted: Wanted, _ configuration: GatewayConfiguration, _ file: String, _ say: @escaping (String) -> Void,
    _ progress: @escaping (String) -> Void
  ) throws {
    (self.wanted, self.configuration, configurationFile) = (wanted, configuration, file)
    (self.say, self.progress) = (say, progress)
    staging = wanted.folder + ".partial"
    var earlier: [String: BackupManifest.File] = [:]
    if let since = wanted.since {
      for file in try BackupManifest.read(since).manifest.files { earlier[file.path] = file }
    }
    self.earlier = earlier
  }

  private func make() throws -> BackupManifest {
    let data = configuration.dataDirectory
    guard FileFacts(Gateway.ledgerPath(data)) != nil else {
      throw CommandFailure("\(data) has no ledger: the gateway has not run with this configuration yet", exitCode: CommandFailure.noInput)
    }
    let place = URL(fileURLWithPath: wanted.folder).standardizedFileURL.path
    guard !place.hasPrefix(URL(fileURLWithPath: data).standardizedFileURL.path + "/") else {
      throw CommandFailure(
        "\(wanted.folder) is inside the data directory: a backup belongs on another disk", exitCode: CommandFailure.usage)
    }
    guard FileFacts(wanted.folder) == nil else {
      throw CommandFailure("\(wanted.folder) is there already: name a new folder", exitCode: CommandFailure.cannotCreate)
    }
    let lock = try prepare()
    do {
      let manifest = try fill()
      try finish(manifest, lock)
      return manifest
    } catch {
      try? BackupFiles.removeTree(staging)
      throw error
    }
  }

  /// The folder in which the backup grows, taken for this process. What an earlier one left there when it was killed goes.
  private func prepare() throws -> SpoolLock {
    let parent = BackupFiles.parent(of: staging)
    guard FileFacts(parent.isEmpty ? "." : parent)?.kind == .folder else {
      throw CommandFailure("\(parent) is no folder", exitCode: CommandFailure.cannotCreate)
    }
    do {
      if FileFacts(staging) != nil {
        let known: Set = ["spool.lock", BackupManifest.name, BackupManifest.dataFolder, BackupManifest.configurationFolder]
        let found = try FileManager.default.contentsOfDirectory(atPath: staging)
        guard found.allSatisfy({ known.contains($0) }) else {
          throw CommandFailure("\(staging) is there, and no backup left it: remove it", exitCode: CommandFailure.cannotCreate)
        }
        // Not while another works there.
        _ = try SpoolLock(directory: staging)
        try BackupFiles.removeTree(staging)
      }
      try BackupFiles.makeFolder(staging)
      return try SpoolLock(directory: staging)
    } catch SpoolError.inUse {
      throw CommandFailure("another backup to \(wanted.folder) is being made", exitCode: CommandFailure.tryAgain)
    } catch let error as SpoolError { throw CommandFailure("\(error)", exitCode: CommandFailure.cannotCreate) }
  }

  // MARK: What goes in

  private func fill() throws -> BackupManifest {
    let data = configuration.dataDirectory
    var (lock, hold): (SpoolLock?, SpoolHold?) = (nil, nil)
    do { lock = try SpoolLock(directory: Gateway.spoolPath(data)) } catch SpoolError.inUse {
      hold = try SpoolHold(dataDirectory: data)
    } catch { throw CommandFailure("\(error)", exitCode: CommandFailure.noPermission) }
    defer { withExtendedLifetime(lock) { hold?.end() } }
    say(hold == nil ? "no gateway runs, and none can start until the backup is made" : "the gateway runs on; it keeps its spool meanwhile")
    var sources = BackupSources(configuration, withKeys: wanted.withKeys)
    sources.addConfiguration(configurationFile)
    var measured = sources
    try measured.addData(lastSeal: .max)
    let needed = try checkRoom(measured)
    let pace = BackupPace(isGentle: hold != nil, all: needed, progress: progress) { try hold?.check() }
    var files = BackupFiles()
    files.copied = { try pace.step($0) }
    try BackupFiles.makeFolder("\(staging)/\(BackupManifest.dataFolder)/spool")
    var manifest = try copyLedger(pace)
    manifest.hasKeys = wanted.withKeys
    let ledger = try reader()
    let ranges = try copySegments(ledger, files, &manifest)
    try sources.addData(lastSeal: manifest.lastSeal)
    manifest.leftOut = sources.leftOut
    try copy(sources, files, &manifest)
    // What was copied is what counts: nothing that happened meanwhile can have spoiled it unseen.
    try checkBodies(ranges, &manifest)
    try hold?.check()
    try checkLog(&manifest)
    return manifest
  }

  private func checkRoom(_ sources: BackupSources) throws -> Int {
    let data = configuration.dataDirectory
    let ledger = Gateway.ledgerPath(data)
    var needed = BackupCommand.marginBytes
    for path in [ledger, ledger + "-wal"] { needed += FileFacts(path)?.bytes ?? 0 }
    do { for segment in try SpoolReader(directory: Gateway.spoolPath(data)).segments() { needed += segment.fileBytes } } catch {
      throw CommandFailure("\(error)", exitCode: CommandFailure.inputOutput)
    }
    for file in sources.files where !isLinked(file) { needed += file.facts.bytes }
    let free = BackupFiles.freeBytes(staging)
    guard free >= needed else {
      throw CommandFailure(
        "a backup takes up to \(needed >> 20) MiB, and \(free >> 20) MiB are free at \(wanted.folder): make room, or name another disk",
        exitCode: CommandFailure.inputOutput)
    }
    return needed
  }

  private func copyLedger(_ pace: BackupPace) throws -> BackupManifest {
    let target = "\(staging)/\(BackupManifest.ledgerPath)"
    let now = Clock.now()
    var last = 0
    do {
      try Ledger.copy(Gateway.ledgerPath(configuration.dataDirectory), to: target) { done, _ in
        try pace.step(max(0, done - last))
        last = done
      }
      let ledger = try Ledger.openCopy(path: target)
      return BackupManifest(
        program: Service.version, ledgerSchema: try ledger.schema, madeAt: now.rfc3339, snapshotAt: now.unixSeconds,
        hostname: configuration.hostname, provider: configuration.provider.name, dataDirectory: configuration.dataDirectory,
        lastRow: try ledger.lastEventNumber(), lastSeal: try ledger.schema < 3 ? 0 : try ledger.lastSeal()?.number ?? 0,
        queued: try ledger.queueLength(), hasKeys: false, leftOut: [])
    } catch let error as LedgerError { throw CommandFailure("\(error)", exitCode: CommandFailure.inputOutput) }
  }

  private func reader() throws -> LedgerReader {
    do { return try Ledger.openCopy(path: "\(staging)/\(BackupManifest.ledgerPath)") } catch {
      throw CommandFailure("\(error)", exitCode: CommandFailure.inputOutput)
    }
  }

  /// Copies the segments in which something of the queue lies, and adds them and the ledger to the manifest.
  private func copySegments(_ ledger: LedgerReader, _ files: BackupFiles, _ manifest: inout BackupManifest) throws -> [StoredRange] {
    var ranges: Set<StoredRange> = []
    var place: Int64?
    do {
      repeat {
        let page = try ledger.queueContents(after: place, limit: 1000)
        for entry in page.entries { ranges.formUnion(entry.content) }
        place = page.next
      } while place != nil
    } catch { throw CommandFailure("\(error)", exitCode: CommandFailure.inputOutput) }
    manifest.folders.append(BackupManifest.Folder(path: "\(BackupManifest.dataFolder)/spool", mode: 0o700))
    for number in Set(ranges.map(\.segment)).sorted() {
      let name = SpoolReader.fileName(number)
      let path = "\(BackupManifest.dataFolder)/spool/\(name)"
      let original = "\(Gateway.spoolPath(configuration.dataDirectory))/\(name)"
      // One that is missing was lost before: it is held.
      let data = configuration.dataDirectory
      guard let facts = FileFacts(original),
        let copied = try files.copy(original, below: data, to: "\(staging)/\(path)", mode: 0o600, isSparse: true, passesOver: true)
      else { continue }
      manifest.files.append(
        BackupManifest.File(path: path, bytes: copied.bytes, sha256: copied.sha256, mode: facts.mode, modifiedAt: facts.modifiedAt))
    }
    let path = "\(staging)/\(BackupManifest.ledgerPath)"
    guard let facts = FileFacts(path), let digest = try files.digest(path) else {
      throw CommandFailure("\(path) cannot be read", exitCode: CommandFailure.inputOutput)
    }
    manifest.files.append(
      BackupManifest.File(
        path: BackupManifest.ledgerPath, bytes: digest.bytes, sha256: digest.sha256, mode: 0o600, modifiedAt: facts.modifiedAt))
    return Array(ranges)
  }

  /// Reads everything that the queue names, as it was copied. What cannot be read where it came from either was damaged before: that must
  /// not keep all else from being saved.
  private func checkBodies(_ ranges: [StoredRange], _ manifest: inout BackupManifest) throws {
    let copied = SpoolReader(directory: "\(staging)/\(BackupManifest.dataFolder)/spool").verify(ranges)
    if copied.isEmpty { return }
    let original = SpoolReader(directory: Gateway.spoolPath(configuration.dataDirectory)).verify(Array(copied.keys))
    guard let spoiled = copied.first(where: { original[$0.key] == nil }) else {
      manifest.damaged = copied.keys.map(BackupManifest.name).sorted()
      say("\(copied.count) STORED PARTS OF QUEUED MESSAGES CANNOT BE READ, here or where they were; the gateway's log names the messages")
      return
    }
    throw CommandFailure(
      "the copy of segment \(spoiled.key.segment) is not as it should be: \(spoiled.value). Look at the disk, and make the backup again",
      exitCode: CommandFailure.inputOutput)
  }

  /// Looks at ledger and log as a verification does. What is wrong with them is said now, while somebody may still have an older backup, and
  /// noted: it must not keep a restore from bringing back all else.
  private func checkLog(_ manifest: inout BackupManifest) throws {
    let faults = try BackupVerification.faults(staging, manifest, progress)
    manifest.faults = faults
    if faults.isEmpty { return }
    say("THE LEDGER IS NOT AS IT SHOULD BE, HERE AND WHERE IT WAS. Keep all earlier backups, and see `ceralacca log verify`:")
    for fault in faults.prefix(BackupVerification.mostNamed) { say("FAULT   \(ASCII.escaped(fault))") }
  }

  private func isLinked(_ source: BackupSources.Source) -> Bool { unchanged(source) != nil }

  /// The same file in the earlier backup: of what is written once, and never changed.
  private func unchanged(_ source: BackupSources.Source) -> BackupManifest.File? {
    guard ["data/seals/", "data/quarantine/"].contains(where: { source.path.hasPrefix($0) }), source.facts.mode & 0o222 == 0,
      let known = earlier[source.path], known.bytes == source.facts.bytes, known.mode == source.facts.mode,
      known.modifiedAt == source.facts.modifiedAt
    else { return nil }
    return known
  }

  private func copy(_ sources: BackupSources, _ files: BackupFiles, _ manifest: inout BackupManifest) throws {
    for folder in sources.folders { try BackupFiles.makeFolder("\(staging)/\(folder.path)") }
    manifest.folders += sources.folders
    var gone: Set<String> = []
    for source in sources.files where try !copy(source, files, &manifest) {
      // What went meanwhile (an old list, a policy) is not missed; but of a seal something has come instead.
      if let seal = BackupSources.sealFolder(source.path) { gone.insert(seal) }
    }
    for _ in 0..<BackupCommand.mostListings where !gone.isEmpty {
      let (again, known) = (gone.sorted(), Set(manifest.files.map(\.path)))
      gone = []
      for seal in again {
        var listed = BackupSources(configuration, withKeys: wanted.withKeys)
        try listed.addSeal(seal)
        for source in listed.files where !known.contains(source.path) {
          if try !copy(source, files, &manifest) { gone.insert(seal) }
        }
      }
    }
  }

  /// False when it is gone.
  private func copy(_ source: BackupSources.Source, _ files: BackupFiles, _ manifest: inout BackupManifest) throws -> Bool {
    let target = "\(staging)/\(source.path)"
    // What it lends is read first: it may have been spoiled since, and this backup would hold nothing else.
    if let known = unchanged(source), let since = wanted.since,
      let lent = try files.digest("\(since)/\(source.path)"), lent.bytes == known.bytes, lent.sha256 == known.sha256,
      (try? FileManager.default.linkItem(atPath: "\(since)/\(source.path)", toPath: target)) != nil
    {
      manifest.files.append(known)
      return true
    }
    guard let copied = try files.copy(source.from, below: source.top, to: target, mode: source.facts.mode & 0o600) else { return false }
    manifest.files.append(
      BackupManifest.File(
        path: source.path, bytes: copied.bytes, sha256: copied.sha256, mode: source.facts.mode, modifiedAt: source.facts.modifiedAt,
        origin: source.origin, owner: source.origin == nil ? nil : source.facts.owner,
        group: source.origin == nil ? nil : source.facts.group))
    return true
  }

  // MARK: Its end

  private func finish(_ manifest: BackupManifest, _ lock: SpoolLock) throws {
    for folder in manifest.folders.map(\.path).sorted().reversed() { try BackupFiles.syncFolder("\(staging)/\(folder)") }
    try BackupFiles.write(try manifest.encoded(), to: "\(staging)/\(BackupManifest.name)")
    try withExtendedLifetime(lock) {
      try? FileManager.default.removeItem(atPath: "\(staging)/spool.lock")
      try BackupFiles.syncFolder(staging)
      try BackupFiles.rename(staging, to: wanted.folder)
    }
    say(
      "\(wanted.folder): \(manifest.files.count) files, \(manifest.bytes >> 20) MiB; the certified log up to row \(manifest.lastRow), "
        + "\(manifest.queued) messages in the queue, as of \(manifest.madeAt)")
    if manifest.hasKeys { say("PRIVATE KEYS ARE IN IT: whoever reads it can sign in the provider's name") }
    for words in manifest.leftOut { say("not in it: \(words)") }
  }
}
