internal import CLibclamav

#if canImport(Glibc)
  import Glibc
#endif

/// The files of a database as they are at one instant.
struct DatabaseFiles {
  /// What changes when a file is written or another takes its name.
  struct Stamp: Equatable {
    var name: String
    var device: UInt
    var inode: UInt
    var bytes: Int
    var changed: [Int]
  }

  let path: String
  let isFolder: Bool
  private(set) var stamps: [Stamp] = []

  /// Endings of what libclamav loads from a folder (CLI_DBEXT).
  private static let endings: Set<String> = [
    "db", "hdb", "hdu", "fp", "mdb", "mdu", "hsb", "hsu", "sfp", "msb", "msu", "ndb", "ndu", "ldb", "ldu", "sdb", "zmd", "rmd", "pdb",
    "gdb", "wdb", "cbc", "ftm", "cfg", "cvd", "cld", "cud", "cat", "crb", "idb", "ioc", "yar", "yara", "pwdb", "ign", "ign2", "imp", "cdb",
  ]
  /// Those with a header that names a version.
  private static let headed: Set<String> = ["cvd", "cld", "cud"]
  private static let maximumFiles = 10_000
  /// More files without a version than these are named by one digest.
  private static let maximumNamed = 6

  /// Looks at a folder or file.
  init(_ path: String) throws(ScanEngineError) {
    self.path = path
    var status = stat()
    if unsafe stat(path, &status) != 0 { throw Self.unreadable(path) }
    isFolder = status.st_mode & S_IFMT == S_IFDIR
    if !isFolder {
      stamps = [Self.stamp(path.split(separator: "/").last.map(String.init) ?? path, status)]
      return
    }
    for name in try Self.names(path) {
      // A file that went away since is one that does not count.
      if unsafe stat("\(path)/\(name)", &status) == 0, status.st_mode & S_IFMT == S_IFREG { stamps.append(Self.stamp(name, status)) }
    }
    if stamps.isEmpty { throw .empty(path: path) }
  }

  private static func names(_ path: String) throws(ScanEngineError) -> [String] {
    guard let folder = unsafe opendir(path) else { throw unreadable(path) }
    defer { unsafe closedir(folder) }
    var names: [String] = []
    while let entry = unsafe readdir(folder) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { raw in
        unsafe raw.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: raw.pointee)) { unsafe String(cString: $0) }
      }
      if let ending = ending(name), endings.contains(ending) { names.append(name) }
      if names.count > maximumFiles { throw .unreadable(path: path, "more than \(maximumFiles) files") }
    }
    return names.sorted()
  }

  private static func ending(_ name: String) -> String? {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count > 1 ? parts.last?.lowercased() : nil
  }

  private static func stamp(_ name: String, _ status: stat) -> Stamp {
    Stamp(
      name: name, device: UInt(status.st_dev), inode: UInt(status.st_ino), bytes: Int(status.st_size),
      changed: [status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec])
  }

  static func unreadable(_ path: String) -> ScanEngineError {
    .unreadable(path: path, unsafe String(cString: strerror(errno)))
  }

  // MARK: A name for it

  /// "daily 27801, main 62, local.ndb 1a2b3c4d".
  func version() throws(ScanEngineError) -> String {
    var headed: [String: UInt32] = [:]
    var others: [(name: String, digest: String)] = []
    for stamp in stamps {
      let file = isFolder ? "\(path)/\(stamp.name)" : path
      if let ending = Self.ending(stamp.name), Self.headed.contains(ending), let number = Self.headerVersion(file) {
        // Of daily.cvd and daily.cld libclamav takes the newer.
        let name = String(stamp.name.dropLast(ending.utf8.count + 1))
        headed[name] = max(headed[name] ?? 0, number)
      } else {
        others.append((stamp.name, try Self.digest(file)))
      }
    }
    var words = headed.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
    if others.count <= Self.maximumNamed {
      words += others.map { "\($0.name) \($0.digest.prefix(8))" }
    } else {
      let list = others.map { "\($0.name) \($0.digest)\n" }.joined()
      words.append("\(others.count) files \(Self.digest(of: Array(list.utf8)).prefix(8))")
    }
    return words.joined(separator: ", ")
  }

  private static func headerVersion(_ file: String) -> UInt32? {
    guard let header = unsafe cl_cvdhead(file) else { return nil }
    defer { unsafe cl_cvdfree(header) }
    return unsafe header.pointee.version
  }

  private static func digest(_ file: String) throws(ScanEngineError) -> String {
    let descriptor = unsafe open(file, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { throw unreadable(file) }
    defer { close(descriptor) }
    var digest = [UInt8](repeating: 0, count: 32)
    if unsafe ceralacca_clam_digest(descriptor, &digest) != 0 { throw .unreadable(path: file, "its digest cannot be computed") }
    return hexadecimal(digest)
  }

  private static func digest(of octets: [UInt8]) -> String {
    var digest = [UInt8](repeating: 0, count: 32)
    var length: UInt32 = 0
    unsafe octets.withUnsafeBytes { source in _ = unsafe cl_sha256(source.baseAddress, source.count, &digest, &length) }
    return hexadecimal(digest)
  }

  private static func hexadecimal(_ octets: [UInt8]) -> String {
    octets.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
