import Configuration
import Foundation
import PEC

// The virus scanner as `check` sees it: what it would work with, and what passes or is put off in each degraded mode.
extension Inspection {
  /// Looks at the scanner's parts without starting it.
  /// - Parameter isRoot: whether the gateway would be root, and the scanner become somebody else.
  mutating func lookAtScanner(_ configuration: GatewayConfiguration, isRoot: Bool = geteuid() == 0) {
    guard let scanner = configuration.scanner else {
      warnings.append(
        "scanner: off: NOTHING IS SCANNED FOR VIRUSES, and infected mail passes with a receipt (RFC 6109 §5.4 demands a scanner); "
          + "write 'scanner: { database: /var/lib/clamav }'")
      return
    }
    lookAtDatabase(scanner.database)
    let executable = scanner.executablePath
    if FileManager.default.isExecutableFile(atPath: executable), !isFolder(executable) {
      facts.append("scanner: \(executable)")
    } else {
      errors.append("scanner: \(executable) is not there or cannot be run: install it beside ceralacca, or name it with scanner.executable")
    }
    lookAtUser(scanner, isRoot: isRoot)
    lookAtTemporaryFolder(scanner, dataDirectory: configuration.dataDirectory)
    tellModes(scanner)
  }

  private func isFolder(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path + "/.") }

  // MARK: Signatures

  /// Names that libclamav loads end so.
  private static let databaseEndings: Set<String> = [
    "cvd", "cld", "cud", "hdb", "hsb", "hdu", "hsu", "mdb", "msb", "mdu", "msu", "ndb", "ndu", "ldb", "ldu", "cdb", "crb", "idb", "pdb",
    "wdb", "gdb", "rmd", "zmd", "db", "fp", "sfp", "ftm", "ign", "ign2", "cat", "cbc", "yar", "yara", "pwdb", "ioc", "imp",
  ]

  private static let staleDays: Int64 = 7

  private mutating func lookAtDatabase(_ path: String) {
    let names: [String]
    if isFolder(path) {
      guard let found = try? FileManager.default.contentsOfDirectory(atPath: path) else {
        return errors.append("scanner: the signature database \(path) cannot be read by this user")
      }
      names = found.filter { Inspection.databaseEndings.contains(($0 as NSString).pathExtension.lowercased()) }.sorted()
        .map { path + "/" + $0 }
    } else {
      names = FileManager.default.fileExists(atPath: path) ? [path] : []
    }
    let ages = names.compactMap { name -> (name: String, at: Int64)? in
      let attributes = try? FileManager.default.attributesOfItem(atPath: name)
      return (attributes?[.modificationDate] as? Date).map { (name, Int64($0.timeIntervalSince1970)) }
    }
    guard let newest = ages.max(by: { $0.at < $1.at }) else {
      return errors.append(
        "scanner: there are no signatures in \(path), and no mail would be taken: run freshclam, or name another place with "
          + "scanner.database"
      )
    }
    for name in names where !FileManager.default.isReadableFile(atPath: name) {
      warnings.append("scanner: \(name) cannot be read by this user")
    }
    let day = Instant(unixSeconds: newest.at, utcOffsetSeconds: 0).rfc3339.prefix(10)
    let count = names.count == 1 ? "1 file" : "\(names.count) files"
    facts.append("scanner: signatures in \(path): \(count), the newest \((newest.name as NSString).lastPathComponent) of \(day)")
    // Official signatures change every day; whoever writes his own knows when he did.
    let official = ages.filter { ["cvd", "cld"].contains(($0.name as NSString).pathExtension.lowercased()) }.map(\.at).max()
    if let official, now - official > Inspection.staleDays * 86_400 {
      warnings.append("scanner: the signatures in \(path) are \((now - official) / 86_400) days old: does freshclam run?")
    }
  }

  // MARK: Where it works

  private mutating func lookAtUser(_ scanner: ScannerConfiguration, isRoot: Bool) {
    let workers = scanner.workers == 1 ? "1 worker" : "\(scanner.workers) workers"
    let bounds = "\(Inspection.megabytes(scanner.limits.workerMemoryBytes)) of memory each, \(scanner.limits.scanSeconds) s a message"
    guard FileManager.default.homeDirectory(forUser: scanner.user) == nil else {
      return facts.append("scanner: \(workers), \(bounds), as user \(scanner.user)\(isRoot ? "" : " when started as root")")
    }
    facts.append("scanner: \(workers), \(bounds)")
    let what = "scanner: there is no user '\(scanner.user)': make one with 'adduser --system \(scanner.user)', or name another"
    if isRoot { errors.append(what) } else { warnings.append(what + "; it matters when the gateway is started as root") }
  }

  private mutating func lookAtTemporaryFolder(_ scanner: ScannerConfiguration, dataDirectory: String) {
    let path = scanner.temporaryFolder(dataDirectory: dataDirectory)
    guard isFolder(path) || scanner.temporary == nil else {
      return errors.append("scanner: the temporary folder \(path) is not there: make it, or name another with scanner.temporary")
    }
    let mounts = FileManager.default.contents(atPath: "/proc/self/mounts").map { String(decoding: $0, as: UTF8.self) } ?? ""
    let kind = Inspection.fileSystem(of: URL(fileURLWithPath: path).resolvingSymlinksInPath().path, mounts: mounts)
    if kind == "tmpfs" || kind == "ramfs" {
      facts.append("scanner: temporary files in \(path), which is memory (\(kind ?? ""))")
    } else {
      warnings.append(
        "scanner: temporary files in \(path), which is \(kind.map { "a disk (\($0))" } ?? "not known to be memory"): "
          + "what archives hold is written there, infected or not; name a folder on a tmpfs with scanner.temporary")
    }
    let free = (try? FileManager.default.attributesOfFileSystem(forPath: path))?[.systemFreeSize] as? NSNumber
    if let free, free.int64Value < Int64(scanner.limits.maximumFileBytes) {
      warnings.append(
        "scanner: \(path) has only \(Inspection.megabytes(free.intValue)) free, and a file that is unpacked there may have "
          + "\(Inspection.megabytes(scanner.limits.maximumFileBytes)): such a message would be held")
    }
  }

  private static func megabytes(_ octets: Int) -> String { "\(octets / 1_048_576) MB" }

  /// Kind of the file system that a path lies on, from the lines of proc(5) `mounts`; nil when none is named.
  static func fileSystem(of path: String, mounts: String) -> String? {
    var best: (length: Int, kind: String)?
    for line in mounts.split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count > 2 else { continue }
      let point = fields[1].replacing("\\040", with: " ").replacing("\\011", with: "\t").replacing("\\134", with: "\\")
      let holds = point == "/" || path == point || path.hasPrefix(point + "/")
      // Of two at the same place the later one lies on top.
      if holds, point.utf8.count >= best?.length ?? 0 { best = (point.utf8.count, String(fields[2])) }
    }
    return best?.kind
  }

  // MARK: Degraded modes

  private mutating func tellModes(_ scanner: ScannerConfiguration) {
    switch scanner.encrypted {
    case .accept: facts.append("scanner: encrypted archives and documents, which nobody can look into, pass; the log says so")
    case .refuse: facts.append("scanner: encrypted archives and documents are treated as infected")
    }
    switch scanner.beyondLimits {
    case .refuse: facts.append("scanner: what is too large, too deep, too many or too slow to scan is treated as infected")
    case .accept:
      warnings.append("scanner: what is too large, too deep, too many or too slow to scan PASSES without a full look (beyondLimits)")
    }
    switch scanner.infectedOrdinaryMail {
    case .refuse: facts.append("scanner: infected ordinary mail is refused in SMTP")
    case .discard: facts.append("scanner: infected ordinary mail is taken, kept in the quarantine and dropped")
    }
    func words(_ answer: ScannerOutage.Answer) -> String {
      switch answer {
      case .message: "451 after each message"
      case .connection: "421 at connect"
      }
    }
    let down = scanner.whenDown
    facts.append(
      "scanner: while it is down, submissions are answered \(words(down.submission)), port 25 \(words(down.incoming)); "
        + "nothing passes unscanned")
  }
}
