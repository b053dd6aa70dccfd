import Configuration
import Foundation
import Gateway
import Octets
import Supervision

/// The data directory that a restore fills: held against other restores, marked against gateways, and never cleared of what is not the
/// backup's.
struct RestoreFolder {
  private static let ledger = "ledger.sqlite"
  /// What lies at the top of a file system of its own.
  static let lostAndFound = "lost+found"

  /// Whose all of it is to be, for root; nil for any other user, who owns what he makes.
  private let owner: FileOwner?
  /// Whose it was, and with which permissions.
  private let before: (owner: FileOwner, mode: Int)
  /// Its permissions in the backup.
  private let mode: Int
  private let data: String
  private let mailboxes: String?
  private let say: (String) -> Void
  private let held: HeldFolder
  /// Names that the backup has at the top of the data directory.
  private let ours: Set<String>

  private var restoring: String { Gateway.restoringPath(data) }
  /// What becomes the mark, and says whose the data directory is while it is root's.
  private var nextMark: String { "\(restoring).next" }
  private var nextMarkName: String { (nextMark as NSString).lastPathComponent }
  private var markName: String { (restoring as NSString).lastPathComponent }

  /// Makes the folder if it is not there, and holds it until this value goes.
  /// - Throws: `CommandFailure` with code 73 when another restore holds it, or it cannot be had.
  init(_ configuration: GatewayConfiguration, _ manifest: BackupManifest, _ say: @escaping (String) -> Void) throws {
    let data = configuration.dataDirectory
    (self.data, self.say) = (data, say)
    if case .maildir(let root) = configuration.mailboxes { self.mailboxes = BackupSources.plain(root) } else { self.mailboxes = nil }
    let places = (manifest.files.map(\.path) + manifest.folders.map(\.path)).compactMap(BackupManifest.placeInData)
    ours = Set(places.compactMap { $0.split(separator: "/").first.map(String.init) })
    mode = manifest.folders.first { $0.path == BackupManifest.dataFolder }?.mode ?? 0o700
    if FileFacts(data) == nil { try BackupFiles.makeFolder(data) }
    do {
      guard let held = try HeldFolder.lock(data) else {
        throw CommandFailure("another restore into \(data) is at work: let it end", exitCode: CommandFailure.cannotCreate)
      }
      self.held = held
      before = try held.facts()
    } catch let error as FileCallError { throw CommandFailure("\(error)", exitCode: CommandFailure.cannotCreate) }
    if SystemUser.isRoot {
      // After a restore that did not end the folder is root's, and its mark says whose it was.
      let marks = [Gateway.restoringPath(data), Gateway.restoringPath(data) + ".next"].compactMap { FileOwner(of: $0) }
      owner = configuration.user.flatMap(FileOwner.init(userNamed:)) ?? ([before.owner] + marks).first { $0 != .root } ?? .root
    } else {
      owner = nil
    }
  }

  /// Looks what is there, and removes what a restore left that did not end: its mark, and what the backup has. Nothing else ever goes.
  /// Then marks the folder.
  ///
  /// Root does all this in a folder that is its own alone: whose it was could lead it elsewhere by a link.
  func clear() throws {
    do {
      if SystemUser.isRoot { try held.give(to: .root, mode: 0o700) }
      try clearAndMark()
    } catch {
      if FileFacts(restoring, followsLinks: false) == nil { try? giveBack() }
      throw error is FileCallError ? CommandFailure("\(error)", exitCode: CommandFailure.inputOutput) : error
    }
  }

  private func clearAndMark() throws {
    let names = try self.names()
    do { try check(names) } catch {
      if SystemUser.isRoot { try? held.give(to: before.owner, mode: before.mode) }
      throw error
    }
    let strangers = try clear(names)
    try BackupFiles.makeFolder(nextMark)
    if let owner { try GuardedFiles.give(nextMark, to: owner) }
    if names.contains(markName) { try BackupFiles.removeTree(restoring) }
    // A gateway makes its spool and then looks for the mark, and here it is the other way round: one sees the other.
    try BackupFiles.rename(nextMark, to: restoring)
    guard let new = try self.names().first(where: { $0 != markName && !strangers.contains($0) }) else { return }
    try held.removeFolder(markName)
    throw CommandFailure(
      "\(data)/\(ASCII.escaped(new)) appeared just now: is a gateway being started there? Stop it, and restore again",
      exitCode: CommandFailure.cannotCreate)
  }

  private func giveBack() throws {
    if SystemUser.isRoot { try held.give(to: before.owner == .root ? owner ?? .root : before.owner, mode: before.mode) }
  }

  /// Whether what is there may go, or nothing is.
  private func check(_ names: [String]) throws {
    guard names.contains(markName) else {
      guard let first = names.first(where: { $0 != nextMarkName }) else { return }
      throw CommandFailure(
        "\(data) is not empty: it has \(ASCII.escaped(first)). Move it aside, and keep it: the certified log in it may be the only one",
        exitCode: CommandFailure.cannotCreate)
    }
    // A restore puts its ledger there last of all.
    if let ledger = ["", "-wal", "-shm", "-journal"].map({ RestoreFolder.ledger + $0 }).first(where: names.contains) {
      throw CommandFailure(
        "\(data) has \(ledger) beside the mark of a restore that did not end (\(markName)). Either a gateway ran here meanwhile, and the log "
          + "of what it took is in it; or a restore was cut off at its very end, and then \(markName) is empty. Nothing was touched: move all "
          + "of it aside and keep it, then restore again", exitCode: CommandFailure.cannotCreate)
    }
    for name in names where ours.contains(name) { try checkMailboxes(name) }
  }

  /// Removes what a restore left, but for its mark. Returns what stays.
  private func clear(_ names: [String]) throws -> Set<String> {
    if names.contains(nextMarkName) { try BackupFiles.removeTree(nextMark) }
    guard names.contains(markName) else { return [] }
    say("\(data) has what a restore left that did not end: it is begun anew")
    for name in names where name != markName && name != nextMarkName {
      if ours.contains(name) {
        try BackupFiles.removeTree("\(data)/\(name)")
      } else {
        say("\(data)/\(ASCII.escaped(name)) is not the backup's, and stays")
      }
    }
    return Set(names).subtracting(ours)
  }

  /// Mailboxes are their own: who has put them below a folder of the backup's moves them himself.
  private func checkMailboxes(_ name: String) throws {
    let place = BackupSources.plain("\(data)/\(name)")
    guard let mailboxes, mailboxes == place || mailboxes.hasPrefix(place + "/"), FileFacts(mailboxes) != nil else { return }
    throw CommandFailure(
      "the mailboxes lie in \(mailboxes), where the backup has files of its own: move them aside, and restore again",
      exitCode: CommandFailure.cannotCreate)
  }

  /// Puts everything where it belongs, the ledger last, and gives it to whose it is to be; then the mark that keeps gateways away goes.
  func fill() throws {
    if let owner {
      for name in try FileManager.default.contentsOfDirectory(atPath: restoring) {
        do { try BackupFiles.giveTree("\(restoring)/\(name)", to: owner) } catch { throw BackupFiles.failed("give away", restoring, error) }
      }
    }
    let names = try FileManager.default.contentsOfDirectory(atPath: restoring).sorted()
    for name in names where name != RestoreFolder.ledger { try place(name) }
    if names.contains(RestoreFolder.ledger) { try place(RestoreFolder.ledger) }
    try removeMark(mode: mode)
    try BackupFiles.syncFolder(BackupFiles.parent(of: data))
  }

  private func place(_ name: String) throws {
    guard FileFacts("\(data)/\(name)", followsLinks: false) == nil else {
      throw CommandFailure(
        "\(data)/\(ASCII.escaped(name)) appeared while the backup was copied: is a gateway being started there? Stop it, and restore again",
        exitCode: CommandFailure.cannotCreate)
    }
    try BackupFiles.rename("\(restoring)/\(name)", to: "\(data)/\(name)")
  }

  /// Takes the mark away, which must be empty, from a folder that is its owner's again.
  /// - Parameter mode: its permissions from now on; nil for those that it had.
  func removeMark(mode: Int? = nil) throws {
    do {
      if let mode { try held.give(to: owner ?? before.owner, mode: mode) } else { try giveBack() }
      // Of an open folder, and an empty one only: whatever its owner puts there.
      try held.removeFolder(markName)
      try held.sync()
    } catch { throw CommandFailure("\(error)", exitCode: CommandFailure.inputOutput) }
  }

  private func names() throws -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: data).filter { $0 != RestoreFolder.lostAndFound }.sorted()
    } catch { throw BackupFiles.failed("read", data, error) }
  }
}
