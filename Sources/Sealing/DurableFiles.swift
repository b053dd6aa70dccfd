import Foundation

/// Files that are on the disk when a call returns. Paths are the operator's and ours, never a peer's.
enum DurableFiles {
  /// Writes a new file that nobody may change any more.
  static func write(_ octets: [UInt8], to path: String) throws(SealingError) {
    let handle = try create(path)
    do {
      try handle.write(contentsOf: Data(octets))
      try finish(handle, path: path)
    } catch {
      throw failed("write", path, error)
    }
  }

  /// Makes a file appear whole under its name. One that is there goes first, so this is for what does not count yet.
  static func replace(_ path: String, with octets: [UInt8]) throws(SealingError) {
    let new = path + ".new"
    // What an interrupted call left behind.
    try remove(new)
    try write(octets, to: new)
    try remove(path)
    try rename(new, to: path)
  }

  /// A new file for its owner alone, open for writing.
  static func create(_ path: String) throws(SealingError) -> FileHandle {
    do {
      // Not by `createFile`, which makes it under another name first: a process that is killed leaves that behind.
      try Data().write(to: URL(fileURLWithPath: path), options: .withoutOverwriting)
      try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
      return try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    } catch {
      throw failed("open", path, error)
    }
  }

  /// Makes what was written durable and unchangeable, and closes.
  static func finish(_ handle: FileHandle, path: String) throws(SealingError) {
    do {
      try FileManager.default.setAttributes([.posixPermissions: 0o400], ofItemAtPath: path)
      try handle.synchronize()
      try handle.close()
    } catch {
      throw failed("sync", path, error)
    }
  }

  /// Makes a folder for its owner alone, and those above it; nothing when it is there.
  static func makeFolder(_ path: String) throws(SealingError) {
    if isFolder(path) { return }
    do {
      try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch {
      throw failed("make", path, error)
    }
    try syncFolder((path as NSString).deletingLastPathComponent)
  }

  /// Makes the names in a folder durable.
  static func syncFolder(_ path: String) throws(SealingError) {
    do {
      let folder = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
      try folder.synchronize()
      try folder.close()
    } catch {
      throw failed("sync", path, error)
    }
  }

  /// Renames durably within a folder, to a name that is free.
  static func rename(_ path: String, to new: String) throws(SealingError) {
    do { try FileManager.default.moveItem(atPath: path, toPath: new) } catch { throw failed("rename", path, error) }
    try syncFolder(URL(fileURLWithPath: new).deletingLastPathComponent().path)
  }

  /// Removes a file, or a folder with all that is in it; nothing when it is not there.
  static func remove(_ path: String) throws(SealingError) {
    guard exists(path) else { return }
    do { try FileManager.default.removeItem(atPath: path) } catch { throw failed("remove", path, error) }
  }

  /// Whether anything of that name is there, a dangling link included.
  static func exists(_ path: String) -> Bool { (try? FileManager.default.attributesOfItem(atPath: path)) != nil }

  /// Whether it is a folder itself, not a link to one.
  static func isFolder(_ path: String) -> Bool {
    (try? FileManager.default.attributesOfItem(atPath: path))?[.type] as? FileAttributeType == .typeDirectory
  }

  /// Names in a folder, sorted by their octets.
  static func names(in folder: String) throws(SealingError) -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: folder).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    } catch {
      throw failed("read", folder, error)
    }
  }

  /// A regular file whole.
  static func read(_ path: String, maximumBytes: Int) throws(SealingError) -> [UInt8] {
    var octets: [UInt8] = []
    try pieces(of: path) { piece throws(SealingError) in
      guard octets.count + piece.count <= maximumBytes else { throw SealingError.tooLarge(path: path, maximumBytes: maximumBytes) }
      octets += piece
    }
    return octets
  }

  /// A regular file in pieces of at most 256 KB.
  static func pieces(of path: String, _ body: ([UInt8]) throws(SealingError) -> Void) throws(SealingError) {
    let handle: FileHandle
    do {
      let facts = try FileManager.default.attributesOfItem(atPath: path)
      guard facts[.type] as? FileAttributeType == .typeRegular else {
        throw SealingError.file(operation: "read", path: path, reason: "it is not a file")
      }
      handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
    } catch {
      throw failed("read", path, error)
    }
    defer { try? handle.close() }
    while true {
      let piece: [UInt8]
      do { piece = [UInt8](try handle.read(upToCount: 1 << 18) ?? Data()) } catch { throw failed("read", path, error) }
      if piece.isEmpty { return }
      try body(piece)
    }
  }

  /// The lines of a file without their newlines. `body` says whether it wants more; what comes after the last newline is handed on as a
  /// line of its own, unless it is empty.
  static func lines(
    of path: String, maximumBytes: Int = 16 << 20, _ body: ([UInt8]) throws(SealingError) -> Bool
  ) throws(SealingError) {
    var rest: [UInt8] = []
    var isDone = false
    try pieces(of: path) { piece throws(SealingError) in
      if isDone { return }
      var start = piece.startIndex
      while let end = piece[start...].firstIndex(of: 10) {
        let line = rest + piece[start..<end]
        rest = []
        start = end + 1
        guard try body(line) else {
          isDone = true
          return
        }
      }
      rest += piece[start...]
      guard rest.count <= maximumBytes else { throw SealingError.tooLarge(path: path, maximumBytes: maximumBytes) }
    }
    if !isDone, !rest.isEmpty { _ = try body(rest) }
  }

  private static func failed(_ operation: String, _ path: String, _ error: any Error) -> SealingError {
    if let own = error as? SealingError { return own }
    let system = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError ?? error as NSError
    return .file(operation: operation, path: path, reason: system.localizedDescription)
  }
}
