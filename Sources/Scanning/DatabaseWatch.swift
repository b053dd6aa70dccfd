import Glibc

/// What can be seen of a signature database without reading it: names, sizes and times.
struct DatabaseTraces: Equatable {
  private struct File: Equatable {
    var name: String
    var node: UInt64
    var bytes: Int
    var seconds: Int
    var nanoseconds: Int

    init(_ name: String, _ facts: stat) {
      self.name = name
      node = UInt64(facts.st_ino)
      bytes = Int(facts.st_size)
      seconds = facts.st_mtim.tv_sec
      nanoseconds = facts.st_mtim.tv_nsec
    }
  }

  private var files: [File]

  /// Looks at a folder or a file; nil when it is not there.
  init?(of path: String) {
    var facts = stat()
    guard unsafe stat(path, &facts) == 0 else { return nil }
    if facts.st_mode & S_IFMT != S_IFDIR {
      files = [File("", facts)]
      return
    }
    files = []
    for name in ScanFolder.names(in: path).sorted() where !DatabaseTraces.isPassing(name) {
      if unsafe stat("\(path)/\(name)", &facts) == 0, facts.st_mode & S_IFMT == S_IFREG { files.append(File(name, facts)) }
    }
  }

  /// When the newest of the files was written, Unix seconds; nil without files.
  var newestUnixSeconds: Int? { files.map(\.seconds).max() }

  /// Files that freshclam keeps for itself, and those that are on their way in.
  private static func isPassing(_ name: String) -> Bool {
    name.hasPrefix(".") || name.hasPrefix("tmp") || name.hasSuffix(".tmp") || name == "freshclam.dat" || name == "mirrors.dat"
  }
}

/// When a database that changed is to be loaded: once two looks in a row saw the same, so that files which arrive together count as one
/// change. The same files are loaded once; when they were not taken, once more after a long pause.
struct DatabaseWatch {
  private let path: String
  private let periodMilliseconds: Int
  private var known: DatabaseTraces?
  private var suspect: DatabaseTraces?
  /// When to look next, milliseconds of the monotonic clock; nil when nobody looks.
  private(set) var dueAt: Int?

  /// A change must hold still for that long.
  private static let settlingMilliseconds = 2000
  /// A database that was not taken is left alone for that long.
  private static let repentanceMilliseconds = 600_000

  /// - Parameter seconds: between two looks; 0 for never.
  init(_ path: String, seconds: Int, now: Int) {
    self.path = path
    periodMilliseconds = seconds * 1000
    dueAt = seconds > 0 ? now + periodMilliseconds : nil
  }

  /// The database is about to be loaded as it is now.
  mutating func noteLoading() {
    known = DatabaseTraces(of: path)
    suspect = nil
  }

  /// It was not taken, perhaps for want of memory: the same files are tried again, though not at once.
  mutating func noteFailure(now: Int) {
    known = nil
    suspect = nil
    if dueAt != nil { dueAt = now + max(periodMilliseconds, DatabaseWatch.repentanceMilliseconds) }
  }

  /// Looks. True when the database is another than the one that was loaded last and has come to rest.
  mutating func look(now: Int) -> Bool {
    dueAt = now + periodMilliseconds
    guard let seen = DatabaseTraces(of: path), seen != known else {
      suspect = nil
      return false
    }
    if seen == suspect { return true }
    suspect = seen
    dueAt = now + min(periodMilliseconds, DatabaseWatch.settlingMilliseconds)
    return false
  }
}
