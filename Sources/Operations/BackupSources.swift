import Configuration
import Foundation
import Gateway
import Sealing
import Signing
import Supervision

/// What belongs into a backup beside ledger and spool.
struct BackupSources {
  /// A file that is to be copied.
  struct Source {
    var from: String
    /// Below the backup's folder.
    var path: String
    var facts: FileFacts
    /// The folder above it of which nothing beneath is trusted to be no link; nil for what the configuration names.
    var top: String?
    /// Where a file from outside the data directory is.
    var origin: String?
  }

  private(set) var files: [Source] = []
  private(set) var folders: [BackupManifest.Folder] = []
  private(set) var leftOut: [String] = []
  private let configuration: GatewayConfiguration
  /// Folders below the data directory that are others' business.
  private let strangers: Set<String>
  /// Files that are secret and stay where they are, by the paths that the configuration has and by those that these lead to.
  private let secrets: Set<String>

  /// What the gateway keeps in the data directory, by the names at its top.
  private static let own: Set = ["seals", "quarantine", "revocation", "index.last-good.ldif", "index-history", "mta-sts"]

  private static func isOwn(_ path: String) -> Bool {
    let parts = path.split(separator: "/")
    return parts.count > 1 && own.contains(String(parts[1]))
  }

  /// Folders deeper than this are somebody else's.
  private static let deepest = 12

  /// - Parameter withKeys: private keys and passwords too.
  init(_ configuration: GatewayConfiguration, withKeys: Bool) {
    self.configuration = configuration
    let named = BackupSources.named(by: configuration).secrets.map { BackupSources.plain($0) }
    secrets = withKeys ? [] : Set(named + named.map(BackupSources.real))
    var strangers: Set<String> = []
    if let scanner = configuration.scanner { strangers.insert(scanner.temporaryFolder(dataDirectory: configuration.dataDirectory)) }
    if case .maildir(let root) = configuration.mailboxes {
      strangers.insert(root)
      leftOut.append("the mailboxes in \(root)")
    } else {
      leftOut.append("the mailboxes, which another server keeps")
    }
    self.strangers = Set(strangers.map { BackupSources.plain($0) })
  }

  private static func real(_ path: String) -> String { URL(fileURLWithPath: path).resolvingSymlinksInPath().path }

  static func plain(_ path: String) -> String { URL(fileURLWithPath: path).standardizedFileURL.path }

  /// What the data directory holds: seals up to the last that the ledger knows, quarantine, index, lists, policies; and whatever else.
  mutating func addData(lastSeal: Int64) throws {
    let root = configuration.dataDirectory
    folders.append(BackupManifest.Folder(path: BackupManifest.dataFolder, mode: FileFacts(root)?.mode ?? 0o700))
    for name in try BackupSources.names(root) {
      // Ledger and spool are copied by others, who see to it that the two fit together. Copies of before an upgrade are backups themselves.
      if name == "spool" || name.hasPrefix("ledger.sqlite") || name == "control.sock" || name == "restoring" { continue }
      // The file system's, and root's alone.
      if name == RestoreFolder.lostAndFound { continue }
      try add(name, below: root, as: "\(BackupManifest.dataFolder)/\(name)", depth: 1) { path in
        guard let number = BackupSources.seal(path) else { return true }
        return number <= lastSeal
      }
    }
  }

  /// The folder of the seal, below the backup's, in which that file lies; nil for other files.
  static func sealFolder(_ path: String) -> String? {
    let parts = path.split(separator: "/")
    return parts.count > 3 && parts[1] == "seals" ? parts.prefix(3).joined(separator: "/") : nil
  }

  /// What a seal's folder has now.
  mutating func addSeal(_ path: String) throws {
    let name = String(path.dropFirst(BackupManifest.dataFolder.count + 1))
    try add(name, below: configuration.dataDirectory, as: path, depth: 2) { _ in true }
  }

  /// The number of the seal whose folder that is.
  private static func seal(_ path: String) -> Int64? {
    let parts = path.split(separator: "/")
    return parts.count == 3 && parts[1] == "seals" ? Int64(parts[2]) : nil
  }

  private mutating func add(
    _ name: String, below top: String, as path: String, depth: Int, where isWanted: (String) -> Bool
  ) throws {
    let from = "\(top)/\(name)"
    guard depth <= BackupSources.deepest, !strangers.contains(BackupSources.plain(from)), isWanted(path),
      let facts = FileFacts(from, followsLinks: false)
    else { return }
    // One of the gateway's own must be read, or there is no backup.
    if !BackupSources.isOwn(path), facts.kind == .file || facts.kind == .folder, !FileManager.default.isReadableFile(atPath: from) {
      return leftOut.append("\(from), which is not the gateway's and cannot be read")
    }
    switch facts.kind {
    // The configuration names it, and so it is told of there.
    case .file where isSecret(from): break
    case .file: files.append(Source(from: from, path: path, facts: facts, top: top))
    case .folder:
      folders.append(BackupManifest.Folder(path: path, mode: facts.mode))
      for inner in try BackupSources.names(from) {
        try add("\(name)/\(inner)", below: top, as: "\(path)/\(inner)", depth: depth + 1, where: isWanted)
      }
    case .link:
      // Root reads everything: where the service's user leads it, it does not go.
      guard !SystemUser.isRoot || FileOwner(of: from)?.user == 0 else {
        return leftOut.append("\(from), a link that is not root's")
      }
      let real = BackupSources.real(from) as NSString
      guard FileFacts(real as String) != nil else { return leftOut.append("\(from), a link that leads nowhere") }
      try add(real.lastPathComponent, below: real.deletingLastPathComponent, as: path, depth: depth + 1, where: isWanted)
    case .other: leftOut.append("\(from), which is neither a file nor a folder")
    }
  }

  private static func names(_ folder: String) throws -> [String] {
    do { return try FileManager.default.contentsOfDirectory(atPath: folder).sorted() } catch {
      // It went since its name was read.
      if FileFacts(folder) == nil { return [] }
      throw BackupFiles.failed("read", folder, error)
    }
  }

  /// The configuration, and the files that it names.
  mutating func addConfiguration(_ file: String) {
    folders.append(BackupManifest.Folder(path: BackupManifest.configurationFolder, mode: 0o700))
    if configuration.signer.isInToken { leftOut.append("the signing key, which is in a token") }
    let named = BackupSources.named(by: configuration)
    var seen: Set<String> = []
    for path in [file] + named.others + named.secrets {
      let origin = BackupSources.plain(path)
      guard seen.insert(origin).inserted else { continue }
      if isSecret(origin) {
        leftOut.append("\(origin), which is secret (--with-keys takes it along)")
        continue
      }
      // What is in the data directory is in the backup already.
      if origin.hasPrefix(BackupSources.plain(configuration.dataDirectory) + "/") { continue }
      guard let facts = FileFacts(origin), facts.kind == .file else {
        leftOut.append("\(origin), which is not there")
        continue
      }
      let name = "\(BackupManifest.configurationFolder)/\(seen.count)-\((origin as NSString).lastPathComponent)"
      files.append(Source(from: origin, path: name, facts: facts, origin: origin))
    }
  }

  /// Whether a file holds a private key or a password and stays where it is, under whatever name it is met. Key and certificate may be one
  /// file: then it is a key.
  private func isSecret(_ path: String) -> Bool { !secrets.isDisjoint(with: [path, BackupSources.real(path)]) }

  /// The files that a configuration names.
  private static func named(by configuration: GatewayConfiguration) -> (others: [String], secrets: [String]) {
    var keys: [String] = []
    var others: [String] = [configuration.signer.certificate, configuration.index.file] + configuration.trust.authorities
    others += configuration.trust.revocationLists.filter { !$0.contains("://") }
    others += [configuration.usersFile, configuration.index.signers, configuration.dns.trustAnchor].compactMap { $0 }
    if !configuration.signer.isInToken {
      keys.append(configuration.signer.key)
    } else if case .file(let pin) = try? PKCS11URI(configuration.signer.key).pinSource {
      keys.append(pin)
    }
    if let search = configuration.mailboxSearch {
      others += [search.caFile].compactMap { $0 }
      keys.append(search.passwordFile)
    }
    if let tls = configuration.tls {
      others += [tls.certificate] + tls.names.map(\.certificate)
      keys += [tls.key] + tls.names.map(\.key)
    }
    for route in configuration.routes {
      others += [route.caFile].compactMap { $0 }
      keys += [route.credentials?.passwordFile].compactMap { $0 }
    }
    for authority in configuration.certifiedLog.timeStamps.authorities {
      others.append(authority.caFile)
      keys += [authority.passwordFile].compactMap { $0 }
    }
    if let fetch = configuration.index.fetch {
      others += [fetch.caFile, fetch.certificate].compactMap { $0 }
      keys += [fetch.key, fetch.passwordFile].compactMap { $0 }
    }
    return (others, keys)
  }
}
