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

  /// What it was before; nil when it was not there.
  let found: FileFacts?
  private let data: String
  private let mailboxes: String?
  private let say: (String) -> Void
  private let held: HeldFolder
  /// Names that the backup has at the top of the data directory.
  private let ours: Set<String>

  private var restoring: String { Gateway.restoringPath(data) }
  private var markName: String { (restoring as NSString).lastPathComponent }

  /// Makes the folder if it is not there, and holds it until this value goes.
  /// - Throws: `CommandFailure` with code 73 when another restore holds it, or it cannot be had.
  init(_ data: String, _ manifest: BackupManifest, mailboxes: MailboxStore, _ say: @escaping (String) -> Void) throws {
    (self.data, self.say) = (data, say)
    if case .maildir(let root) = mailboxes { self.mailboxes = BackupSources.plain(root) } else { self.mailboxes = nil }
    let places = (manifest.files.map(\.path) + manifest.folders.map(\.path)).compactMap(BackupManifest.placeInData)
    ours = Set(places.compactMap { $0.split(separator: "/").first.map(String.init) })
    found = FileFacts(data)
    if found == nil { try BackupFiles.makeFolder(data) }
    do {
      guard let held = try HeldFolder.lock(data) else {
        throw CommandFailure("another restore into \(data) is at work: let it end", exitCode: CommandFailure.cannotCreate)
      }
      self.held = held
    } catch let error as FileCallError { throw CommandFailure("\(error)", exitCode: CommandFailure.cannotCreate) }
  }

  /// Looks what is there, and removes what a restore left that did not end: its mark, and what the backup has. Nothing else ever goes.
  /// Then marks the folder.
  func clear() throws {
    let names = try self.names()
    let strangers = try clear(names)
    // A gateway makes its spool and then looks for the mark, and here it is the other way round: one sees the other.
    try BackupFiles.makeFolder(restoring)
    try sync()
    guard let new = try self.names().first(where: { $0 != markName && !strangers.contains($0) }) else { return }
    try removeMark()
    throw CommandFailure(
      "\(data)/\(ASCII.escaped(new)) appeared just now: is a gateway being started there? Stop it, and restore again",
      exitCode: CommandFailure.cannotCreate)
  }

  /// Returns what stays.
  private func clear(_ names: [String]) throws -> Set<String> {
    guard names.contains(markName) else {
      guard let first = names.first else { return [] }
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
    say("\(data) has what a restore left that did not end: it is begun anew")
    for name in names where name != markName {
      if ours.contains(name) {
        try BackupFiles.removeTree("\(data)/\(name)")
      } else {
        say("\(data)/\(ASCII.escaped(name)) is not the backup's, and stays")
      }
    }
    // The mark is the last to go.
    try BackupFiles.removeTree(restoring)
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

  /// Puts everything where it belongs, the ledger last; then the mark that keeps gateways away goes.
  func fill() throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: restoring).sorted()
    for name in names where name != RestoreFolder.ledger { try place(name) }
    if names.contains(RestoreFolder.ledger) { try place(RestoreFolder.ledger) }
    try removeMark()
    try BackupFiles.syncFolder(BackupFiles.parent(of: data))
  }

  private func place(_ name: String) throws {
    guard FileFacts("\(data)/\(name)") == nil else {
      throw CommandFailure(
        "\(data)/\(ASCII.escaped(name)) appeared while the backup was copied: is a gateway being started there? Stop it, and restore again",
        exitCode: CommandFailure.cannotCreate)
    }
    try BackupFiles.rename("\(restoring)/\(name)", to: "\(data)/\(name)")
  }

  /// Takes the mark away, which must be empty.
  func removeMark() throws {
    do {
      try held.removeFolder(markName)
      try held.sync()
    } catch let error { throw CommandFailure("\(error)", exitCode: CommandFailure.inputOutput) }
  }

  private func sync() throws {
    do { try held.sync() } catch { throw CommandFailure("\(error)", exitCode: CommandFailure.inputOutput) }
  }

  private func names() throws -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: data).filter { $0 != RestoreFolder.lostAndFound }.sorted()
    } catch { throw BackupFiles.failed("read", data, error) }
  }
}
