import Foundation
import Octets
import Supervision

/// What a restore does about a configuration that is gone: it puts back the file and what this names, as far as it lies in the
/// configuration's own folder and is not there. A list of contents says where everything was, and comes from wherever the backup was kept:
/// it must not have root write anywhere else.
struct RestoreConfiguration {
  /// Permissions that a file of a configuration may have.
  private static let modes = 0o644
  /// What a file is called until all of it is there.
  private static let unfinished = ".restoring"

  /// Files that were put back, the configuration last.
  private(set) var putBack: [String] = []
  /// Where what belongs elsewhere lies in the backup, and where it was.
  private(set) var elsewhere: [(path: String, origin: String)] = []

  private let backup: String
  private let place: String
  private let say: (String) -> Void
  private var folder: String { BackupFiles.parent(of: place) }

  /// Puts back what is missing. Says what goes where before anything is written.
  /// - Throws: `CommandFailure` with code 66 when the backup has no configuration of that path.
  init(_ backup: String, _ manifest: BackupManifest, named path: String, _ say: @escaping (String) -> Void) throws {
    (self.backup, self.say, place) = (backup, say, BackupSources.plain(path))
    let files = manifest.files.filter { $0.origin != nil }
    guard files.contains(where: { $0.origin == place }) else {
      throw CommandFailure("\(path) is not there, and the backup has no configuration of that path", exitCode: CommandFailure.noInput)
    }
    // The configuration last: while it is missing, a restore that is begun again puts back the rest.
    let (own, others) = (files.filter { $0.origin == place }, files.filter { $0.origin != place })
    var wanted: [(file: BackupManifest.File, origin: String)] = []
    for file in others + own.prefix(1) {
      guard let origin = file.origin else { continue }
      if FileFacts(origin, followsLinks: false) != nil {
        say("\(ASCII.escaped(origin)) is there, and stays as it is")
      } else if isOwn(origin) {
        wanted.append((file, origin))
        say("\(ASCII.escaped(origin)) is put back")
      } else {
        elsewhere.append(("\(backup)/\(file.path)", origin))
      }
    }
    for line in lines { say(line) }
    for (file, origin) in wanted {
      try put(file, origin)
      putBack.append(origin)
    }
  }

  /// What an operator must put back himself, in words.
  var lines: [String] {
    elsewhere.map {
      "\(ASCII.escaped($0.origin)) is not in the configuration's folder, and is not put back: copy \(ASCII.escaped($0.path)) there"
    }
  }

  /// Below the configuration's folder, and by no way that leads out of it.
  private func isOwn(_ origin: String) -> Bool {
    guard BackupSources.plain(origin) == origin, origin.hasPrefix(folder + "/") else { return false }
    var parent = BackupFiles.parent(of: origin)
    while parent.count > folder.count {
      if let facts = FileFacts(parent, followsLinks: false), facts.kind != .folder { return false }
      parent = BackupFiles.parent(of: parent)
    }
    return true
  }

  /// A whole file appears at once.
  private func put(_ file: BackupManifest.File, _ origin: String) throws {
    let new = origin + RestoreConfiguration.unfinished
    do {
      try BackupFiles.makeFolder(BackupFiles.parent(of: origin), mode: 0o755)
      // Of a restore that did not end.
      if FileFacts(new, followsLinks: false) != nil { try GuardedFiles.remove(new, isFolder: false) }
      let copied = try BackupFiles().copy("\(backup)/\(file.path)", to: new, mode: file.mode & RestoreConfiguration.modes)
      guard copied?.sha256 == file.sha256 else {
        throw CommandFailure("\(backup)/\(file.path) changed while it was copied", exitCode: CommandFailure.dataError)
      }
      // Best as it can: users of another machine may have no names here, and `check` says what cannot be read.
      if SystemUser.isRoot, let name = file.owner, let owner = FileOwner(userNamed: name, groupNamed: file.group) {
        try? GuardedFiles.give(new, to: owner)
      }
      try BackupFiles.rename(new, to: origin)
    } catch { throw BackupFiles.failed("put back", origin, error) }
  }
}
