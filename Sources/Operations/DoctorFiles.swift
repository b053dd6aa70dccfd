import Configuration
import Foundation
import Gateway
import Supervision

/// Owners and rights of files, and room on disks.
struct DoctorFiles {
  let context: DoctorContext
  private var configuration: GatewayConfiguration { context.configuration }

  func look() -> [DoctorFinding] { user + configurationFile + secrets + folders + disks }

  private var user: [DoctorFinding] {
    if let name = configuration.user, SystemUser.identity(of: name) == nil {
      return [
        DoctorFinding(.wrong, "user", name, "there is no such user", "Say `adduser --system --group \(name)`, or name another with `user`.")
      ]
    }
    if context.identity.user == 0 {
      return [DoctorFinding(.note, "user", "root", "the gateway keeps root's rights", "Name a user with the key `user`.")]
    }
    return [.ok("user", context.user, "number \(context.identity.user)")]
  }

  private var configurationFile: [DoctorFinding] {
    guard let rights = DoctorContext.rights(context.configurationFile) else { return [] }
    return [DoctorAccess.settings("configuration file", rights, reader: context.identity)]
  }

  /// Every file with a secret in it that the configuration names, once each.
  private var secrets: [DoctorFinding] {
    var files: [(check: String, path: String)] = []
    func add(_ check: String, _ path: String?) {
      if let path, !files.contains(where: { $0.path == path }) { files.append((check, path)) }
    }
    if !configuration.signer.isInToken { add("signing key", configuration.signer.key) }
    add("TLS key", configuration.tls?.key)
    for further in configuration.tls?.names ?? [] { add("TLS key", further.key) }
    add("users file", configuration.usersFile)
    add("index key", configuration.index.fetch?.key)
    add("password file", configuration.index.fetch?.passwordFile)
    for route in configuration.routes { add("password file", route.credentials?.passwordFile) }
    // It opens every mailbox.
    add("password file", configuration.mailboxSearch?.passwordFile)
    for authority in configuration.certifiedLog.timeStamps.authorities { add("password file", authority.passwordFile) }
    return files.compactMap { file in
      guard let rights = DoctorContext.rights(file.path) else {
        return DoctorFinding(
          .wrong, file.check, file.path, "it is not there, or cannot be looked at by this user", "Name a file that is, or run this as root."
        )
      }
      return DoctorAccess.secret(
        file.check, rights, reader: context.identity, readerName: context.user, folders: DoctorContext.folders(above: file.path))
    }
  }

  private var folders: [DoctorFinding] {
    var findings = [folder("data directory", configuration.dataDirectory, isPrivate: true)]
    if case .maildir(let root) = configuration.mailboxes { findings.append(folder("mailboxes", root, isPrivate: false)) }
    if let socket = DoctorContext.rights(Gateway.controlPath(configuration.dataDirectory)), socket.mode & 0o006 != 0 {
      findings.append(
        DoctorFinding(
          .wrong, "control socket", socket.path, "mode \(DoctorAccess.octal(socket.mode)): everybody can give the gateway orders",
          "Say `chmod 600 \(socket.path)`."))
    }
    return findings
  }

  private func folder(_ check: String, _ path: String, isPrivate: Bool) -> DoctorFinding {
    let above = DoctorContext.folders(above: path)
    guard let rights = DoctorContext.rights(path) else {
      guard let parent = above.last, DoctorAccess.allows(.write, parent, context.identity),
        DoctorAccess.allows(.enter, parent, context.identity)
      else {
        return DoctorFinding(
          .wrong, check, path, "it is not there, and the user \(context.user) may not make it",
          "Say `install -d -m 700 -o \(context.user) \(path)`.")
      }
      return DoctorFinding(.note, check, path, "it is not there yet; the gateway makes it when it starts")
    }
    return DoctorAccess.folder(check, rights, writer: context.identity, writerName: context.user, folders: above, isPrivate: isPrivate)
  }

  // MARK: Room

  /// Each file system that is written to, once.
  private var disks: [DoctorFinding] {
    let data = configuration.dataDirectory
    var uses = [
      ("ledger and certified log", data), ("spool", Gateway.spoolPath(data)), ("seals", Gateway.sealsPath(data)),
      ("quarantine", Gateway.quarantinePath(data)),
    ]
    if case .maildir(let root) = configuration.mailboxes { uses.append(("mailboxes", root)) }
    var found: [(number: Int, disk: DiskFigures)] = []
    for (use, path) in uses {
      guard let (number, figures) = DoctorFiles.figures(path) else { continue }
      if let at = found.firstIndex(where: { $0.number == number }) {
        found[at].disk.uses.append(use)
      } else {
        found.append(
          (
            number,
            DiskFigures(uses: [use], path: figures.path, freeBytes: figures.free, freeNodes: figures.freeNodes, nodes: figures.nodes)
          ))
      }
    }
    return found.flatMap { DoctorJudge.disk($0.disk, minimumFreeBytes: Int64(configuration.limits.storage.minimumFreeBytes)) } + temporary
  }

  private var temporary: [DoctorFinding] {
    guard let scanner = configuration.scanner else { return [] }
    let path = scanner.temporaryFolder(dataDirectory: configuration.dataDirectory)
    guard let (_, figures) = DoctorFiles.figures(path) else {
      return [DoctorFinding(.wrong, "scanner's disk", path, "it is not there", "Make it, or name another with scanner.temporary.")]
    }
    let needed = Int64(scanner.limits.maximumFileBytes)
    let words = "\(figures.free >> 20) MiB free; a file that is unpacked there may have \(needed >> 20) MiB"
    if figures.free >= needed { return [.ok("scanner's disk", path, words)] }
    return [DoctorFinding(.warning, "scanner's disk", path, words, "Make room: such a message would be held.", runbook: "scan-faults")]
  }

  /// What the file system of a path says, or of the nearest folder above that is there.
  private static func figures(_ path: String) -> (Int, (path: String, free: Int64, freeNodes: Int64, nodes: Int64))? {
    var url = URL(fileURLWithPath: path).resolvingSymlinksInPath()
    while !FileManager.default.fileExists(atPath: url.path), url.path != "/" { url = url.deletingLastPathComponent() }
    guard let found = try? FileManager.default.attributesOfFileSystem(forPath: url.path) else { return nil }
    func number(_ key: FileAttributeKey) -> Int64 { (found[key] as? NSNumber)?.int64Value ?? 0 }
    return (
      Int(truncatingIfNeeded: number(.systemNumber)),
      (url.path, number(.systemFreeSize), number(.systemFreeNodes), number(.systemNodes))
    )
  }
}
