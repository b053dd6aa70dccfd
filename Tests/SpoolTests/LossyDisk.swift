import Foundation
import Glibc
import Synchronization

@testable import Spool

/// A disk that forgets what was not synced: after a crash a file holds what its last sync covered and any part of what was written
/// since, in pieces and in any order; the folder holds the names of its last sync and some of the changes since, in order.
///
/// The real folder is written as well, so that mappings work; `crash` writes what is left into another.
final class LossyDisk: Disk {
  final class File: Sendable {
    struct State: Sendable {
      var durable: [UInt8] = []
      var pending: [(offset: Int, bytes: [UInt8])] = []
    }
    let state = Mutex(State())
  }

  enum NameChange: Sendable {
    case made(String, File)
    case renamed(String, String)
    case removed(String)
  }

  struct World: Sendable {
    var open: [Int32: File] = [:]
    var names: [String: File] = [:]
    var durableNames: [String: File] = [:]
    var changes: [NameChange] = []
  }

  private let world = Mutex(World())
  private let real = SystemDisk()

  /// - Parameter folder: what an earlier crash left; it is as durable as anything.
  init(_ folder: Folder? = nil) {
    guard let folder else { return }
    world.withLock { world in
      for name in folder.segments {
        let file = File()
        let bytes = (try? Data(contentsOf: URL(fileURLWithPath: folder.path + "/" + name))).map { [UInt8]($0) } ?? []
        file.state.withLock { $0.durable = bytes }
        world.names[folder.path + "/" + name] = file
      }
      world.durableNames = world.names
    }
  }

  func open(_ path: String, creating: Bool) -> Int32 {
    let descriptor = real.open(path, creating: creating)
    if descriptor < 0 { return descriptor }
    world.withLock { world in
      let file = world.names[path] ?? File()
      if world.names[path] == nil { world.changes.append(.made(path, file)) }
      world.names[path] = file
      world.open[descriptor] = file
    }
    return descriptor
  }

  func close(_ descriptor: Int32) {
    world.withLock { _ = $0.open.removeValue(forKey: descriptor) }
    real.close(descriptor)
  }

  func allocate(_ descriptor: Int32, bytes: Int) -> Int32 { real.allocate(descriptor, bytes: bytes) }

  func write(_ descriptor: Int32, _ pieces: UnsafeBufferPointer<iovec>, offset: Int) -> Int {
    let written = real.write(descriptor, pieces, offset: offset)
    guard written > 0, let file = world.withLock({ $0.open[descriptor] }) else { return written }
    let bytes = pieces.flatMap { Array(UnsafeRawBufferPointer(start: $0.iov_base, count: $0.iov_len)) }
    file.state.withLock { $0.pending.append((offset, Array(bytes.prefix(written)))) }
    return written
  }

  func sync(_ descriptor: Int32, metadata: Bool) -> Int32 {
    world.withLock { $0.open[descriptor] }?.state.withLock { state in
      for (offset, bytes) in state.pending { LossyDisk.put(bytes, at: offset, into: &state.durable) }
      state.pending = []
    }
    return 0
  }

  func syncDirectory(_ path: String) -> Int32 {
    world.withLock { world in
      world.durableNames = world.names
      world.changes = []
    }
    return 0
  }

  func rename(_ from: String, to path: String) -> Int32 {
    let result = real.rename(from, to: path)
    if result >= 0 {
      world.withLock { world in
        world.names[path] = world.names.removeValue(forKey: from)
        world.changes.append(.renamed(from, path))
      }
    }
    return result
  }

  func remove(_ path: String) -> Int32 {
    world.withLock { world in
      world.names[path] = nil
      world.changes.append(.removed(path))
    }
    return real.remove(path)
  }

  /// What a power cut at this moment leaves, as a folder of its own.
  func crash(_ dice: inout Dice) -> Folder {
    let (durable, changes) = world.withLock { ($0.durableNames, $0.changes) }
    var names = durable
    for change in changes.prefix(Int.random(in: 0...changes.count, using: &dice)) {
      switch change {
      case .made(let path, let file): names[path] = file
      case .renamed(let from, let to): names[to] = names.removeValue(forKey: from)
      case .removed(let path): names[path] = nil
      }
    }
    let left = Folder()
    for (path, file) in names.sorted(by: { $0.key < $1.key }) {
      var (bytes, pending) = file.state.withLock { ($0.durable, $0.pending) }
      for write in pending where Bool.random(using: &dice) {
        // A piece of it, from anywhere to anywhere.
        let lower = Int.random(in: 0...write.bytes.count, using: &dice)
        let upper = Int.random(in: lower...write.bytes.count, using: &dice)
        LossyDisk.put(Array(write.bytes[lower..<upper]), at: write.offset + lower, into: &bytes)
      }
      // The blocks that the first sync of a file made durable reach to its end.
      if let size = try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int, bytes.count < size, !bytes.isEmpty {
        bytes.append(contentsOf: [UInt8](repeating: 0, count: size - bytes.count))
      }
      _ = FileManager.default.createFile(atPath: left.path + "/" + (path as NSString).lastPathComponent, contents: Data(bytes))
    }
    return left
  }

  private static func put(_ bytes: [UInt8], at offset: Int, into file: inout [UInt8]) {
    if bytes.isEmpty { return }
    if file.count < offset + bytes.count { file.append(contentsOf: [UInt8](repeating: 0, count: offset + bytes.count - file.count)) }
    file.replaceSubrange(offset..<offset + bytes.count, with: bytes)
  }
}
