import Digests
import Foundation
import Octets
import Supervision

/// What is known of something in a folder.
struct FileFacts {
  enum Kind { case file, folder, link, other }
  var kind: Kind
  var bytes: Int
  var mode: Int
  /// Microseconds since 1970.
  var modifiedAt: Int64
  var owner: String?
  var group: String?

  /// Nil when nothing of that name is there.
  /// - Parameter followsLinks: a link counts as what it leads to.
  init?(_ path: String, followsLinks: Bool = true) {
    let place = followsLinks ? URL(fileURLWithPath: path).resolvingSymlinksInPath().path : path
    guard let found = try? FileManager.default.attributesOfItem(atPath: place) else { return nil }
    switch found[.type] as? FileAttributeType {
    case .typeRegular: kind = .file
    case .typeDirectory: kind = .folder
    case .typeSymbolicLink: kind = .link
    default: kind = .other
    }
    bytes = (found[.size] as? NSNumber)?.intValue ?? 0
    mode = (found[.posixPermissions] as? NSNumber)?.intValue ?? 0o600
    modifiedAt = Int64(((found[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0) * 1_000_000)
    owner = found[.ownerAccountName] as? String
    group = found[.groupOwnerAccountName] as? String
  }
}

/// Files that are copied, and are on the disk when the call returns.
struct BackupFiles {
  /// Octets read at once.
  private static let pieceBytes = 1 << 20
  /// Octets between two syncs of a file: what it has in the kernel's hands must not grow beyond what others' syncs can bear.
  private static let syncBytes = 64 << 20

  /// Octets of which all are given up when one cannot be read.
  private static let sectorBytes = 4096

  /// How a file is read; for tests.
  var read: (FileHandle, Int) throws -> Data? = { try $0.read(upToCount: $1) }
  /// Told of every piece that was copied.
  var copied: (Int) throws -> Void = { _ in }

  /// Copies a file to a new one and returns its octets and their digest; nil when it is gone.
  ///
  /// - Parameters:
  ///   - below: a folder above the file of which nothing beneath is trusted to be no link.
  ///   - mode: permissions of the copy.
  ///   - passesOver: what the disk does not give back becomes zeros, and all else is saved: for what has checksums of its own.
  ///   - isSparse: leaves out what is zeros: segments are made at their full length.
  func copy(
    _ path: String, below: String? = nil, to destination: String, mode: Int, isSparse: Bool = false, passesOver: Bool = false
  ) throws -> (bytes: Int, sha256: String)? {
    let source: FileHandle
    do { source = try BackupFiles.open(path, below: below) } catch {
      if FileFacts(path) == nil { return nil }
      throw BackupFiles.failed("read", path, error)
    }
    defer { try? source.close() }
    do {
      let target = try BackupFiles.create(destination)
      defer { try? target.close() }
      let digest = SHA256Stream()
      var (bytes, unsynced) = (0, 0)
      let end = passesOver ? Int(try source.seekToEnd()) : 0
      if passesOver { try source.seek(toOffset: 0) }
      while let piece = try self.piece(of: source, at: bytes, end: end), !piece.isEmpty {
        digest.update([UInt8](piece))
        bytes += piece.count
        if isSparse, piece.allSatisfy({ $0 == 0 }) {
          try target.seek(toOffset: UInt64(bytes))
        } else {
          try target.write(contentsOf: piece)
          unsynced += piece.count
        }
        if unsynced >= BackupFiles.syncBytes {
          try target.synchronize()
          unsynced = 0
        }
        try copied(piece.count)
      }
      try target.truncate(atOffset: UInt64(bytes))
      try GuardedFiles.setMode(target.fileDescriptor, mode, path: destination)
      try target.synchronize()
      return (bytes, Hex.encode(digest.finish()))
    } catch { throw BackupFiles.failed("copy", "\(path) to \(destination)", error) }
  }

  /// - Parameter end: up to where unreadable sectors become zeros; 0 for nowhere.
  private func piece(of source: FileHandle, at place: Int, end: Int) throws -> Data? {
    do { return try read(source, BackupFiles.pieceBytes) } catch {
      if place >= end { throw error }
      let last = min(place + BackupFiles.pieceBytes, end)
      var piece = Data()
      for start in stride(from: place, to: last, by: BackupFiles.sectorBytes) {
        let count = min(BackupFiles.sectorBytes, last - start)
        try source.seek(toOffset: UInt64(start))
        let found = (try? read(source, count)) ?? Data()
        piece += found + Data(count: count - found.count)
      }
      try source.seek(toOffset: UInt64(last))
      return piece
    }
  }

  /// The digest of a file; nil when it cannot be read whole.
  func digest(_ path: String) throws -> (bytes: Int, sha256: String)? {
    guard let source = try? FileHandle(forReadingFrom: URL(fileURLWithPath: path)) else { return nil }
    defer { try? source.close() }
    let digest = SHA256Stream()
    var bytes = 0
    while true {
      guard let piece = try? source.read(upToCount: BackupFiles.pieceBytes) ?? Data() else { return nil }
      if piece.isEmpty { return (bytes, Hex.encode(digest.finish())) }
      digest.update([UInt8](piece))
      bytes += piece.count
      try copied(piece.count)
    }
  }

  private static func open(_ path: String, below: String?) throws -> FileHandle {
    guard let below, path.hasPrefix(below + "/") else { return try FileHandle(forReadingFrom: URL(fileURLWithPath: path)) }
    return FileHandle(
      fileDescriptor: try GuardedFiles.open(String(path.dropFirst(below.count + 1)), below: below), closeOnDealloc: true)
  }

  /// A new file for its owner alone, from its first moment: it may become a key.
  private static func create(_ path: String) throws -> FileHandle {
    do { return FileHandle(fileDescriptor: try GuardedFiles.create(path), closeOnDealloc: true) } catch {
      throw CommandFailure("\(error)", exitCode: CommandFailure.cannotCreate)
    }
  }

  /// Writes a small file, durably.
  static func write(_ data: Data, to path: String) throws {
    do {
      let file = try create(path)
      try file.write(contentsOf: data)
      try file.synchronize()
      try file.close()
    } catch { throw failed("write", path, error) }
  }

  static func makeFolder(_ path: String, mode: Int = 0o700) throws {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: mode])
    } catch {
      throw CommandFailure("\(path) cannot be made: \(error.localizedDescription)", exitCode: CommandFailure.cannotCreate)
    }
  }

  static func setMode(_ path: String, _ mode: Int) throws {
    do { try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path) } catch {
      throw failed("set permissions of", path, error)
    }
  }

  /// Makes the names in a folder durable.
  static func syncFolder(_ path: String) throws {
    do {
      let folder = try FileHandle(forReadingFrom: URL(fileURLWithPath: path.isEmpty ? "." : path))
      try folder.synchronize()
      try folder.close()
    } catch { throw failed("sync", path, error) }
  }

  static func rename(_ path: String, to new: String) throws {
    do { try FileManager.default.moveItem(atPath: path, toPath: new) } catch { throw failed("rename", "\(path) to \(new)", error) }
    try syncFolder(parent(of: new))
  }

  /// Removes a folder with all that is in it, folders that may not be written to as well. From above each becomes this process's alone
  /// before it is looked into: so nobody puts a link where a folder was.
  static func removeTree(_ path: String) throws {
    do {
      guard FileFacts(path, followsLinks: false)?.kind == .folder else { return try GuardedFiles.remove(path, isFolder: false) }
      try GuardedFiles.takeFolder(path)
      for name in try FileManager.default.contentsOfDirectory(atPath: path) { try removeTree("\(path)/\(name)") }
      try GuardedFiles.remove(path, isFolder: true)
    } catch { throw failed("remove", path, error) }
  }

  /// Gives a folder and all that is in it to somebody. Nobody else may have a way into it.
  static func giveTree(_ path: String, to owner: FileOwner) throws {
    if FileFacts(path, followsLinks: false)?.kind == .folder {
      for name in try FileManager.default.contentsOfDirectory(atPath: path) { try giveTree("\(path)/\(name)", to: owner) }
    }
    try GuardedFiles.give(path, to: owner)
  }

  static func parent(of path: String) -> String { (path as NSString).deletingLastPathComponent }

  /// Free octets where a folder is.
  static func freeBytes(_ folder: String) -> Int {
    let facts = try? FileManager.default.attributesOfFileSystem(forPath: folder.isEmpty ? "." : folder)
    return (facts?[.systemFreeSize] as? NSNumber)?.intValue ?? 0
  }

  static func failed(_ operation: String, _ path: String, _ error: any Error) -> CommandFailure {
    if let own = error as? CommandFailure { return own }
    if let refused = error as? FileCallError { return CommandFailure("\(refused)", exitCode: CommandFailure.inputOutput) }
    let system = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError ?? error as NSError
    return CommandFailure("cannot \(operation) \(path): \(system.localizedDescription)", exitCode: CommandFailure.inputOutput)
  }
}

/// Rests as long as it works, so that half of the disk's time is others'; and says how far it is.
final class BackupPace {
  private let isGentle: Bool
  private let all: Int
  private let progress: (String) -> Void
  private let look: () throws -> Void
  private var done = 0
  private var worked = ContinuousClock.now
  private var said = ContinuousClock.now

  /// - Parameters:
  ///   - isGentle: false works without rest: nobody else wants the disk.
  ///   - all: octets that are to be copied, about.
  ///   - look: asked at each step whether it may go on.
  init(isGentle: Bool, all: Int, progress: @escaping (String) -> Void, look: @escaping () throws -> Void = {}) {
    (self.isGentle, self.all, self.progress, self.look) = (isGentle, all, progress, look)
  }

  /// Some octets were copied.
  func step(_ bytes: Int) throws {
    done += bytes
    let now = ContinuousClock.now
    if now - said > .seconds(1) {
      said = now
      progress("\(done >> 20) of about \(all >> 20) MiB")
    }
    try look()
    guard isGentle, now - worked > .seconds(1) else { return }
    LifeCommands.pause.wait(forSeconds: Int(min(10, (now - worked).components.seconds)))
    worked = ContinuousClock.now
  }
}
