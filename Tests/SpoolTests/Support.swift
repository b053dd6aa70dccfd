import Foundation
import Glibc
import Octets
import Synchronization

@testable import Spool

/// A folder that goes with the test.
final class Folder: Sendable {
  let path: String

  init() {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("spool-test-\(UUID().uuidString)").path
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }
  var segments: [String] { names.filter { $0.hasSuffix(".spool") } }

  /// A copy of the segment files as they are now: what a process killed at this moment leaves behind.
  func copy() -> Folder {
    let copy = Folder()
    for name in segments { try? FileManager.default.copyItem(atPath: path + "/" + name, toPath: copy.path + "/" + name) }
    return copy
  }

  /// Changes one octet of a file.
  func flip(_ name: String, at offset: Int) {
    let descriptor = open(path + "/" + name, O_RDWR)
    defer { close(descriptor) }
    var byte: UInt8 = 0
    pread(descriptor, &byte, 1, offset)
    byte ^= 0x40
    pwrite(descriptor, &byte, 1, offset)
  }
}

/// The same numbers for the same seed, on every machine.
struct Dice: RandomNumberGenerator {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state &* 0x2545_F491_4F6C_DD1D
  }

  mutating func bytes(_ count: Int) -> [UInt8] {
    let start = UInt8(truncatingIfNeeded: next())
    let step = UInt8(truncatingIfNeeded: next()) | 1
    return (0..<count).map { start &+ UInt8(truncatingIfNeeded: $0) &* step }
  }
}

/// A spool whose old segments are counted: `live` is what rows name.
func open(
  _ folder: Folder, _ live: [StoredRange] = [], segmentBytes: Int = 16384, spares: Int = 4, disk: any Disk = SystemDisk()
) throws -> Spool {
  let spool = try openUncounted(folder, live, segmentBytes: segmentBytes, spares: spares, disk: disk)
  spool.count(live)
  spool.endCounting()
  return spool
}

/// A spool as it is just opened: of `live` it knows the highest segment only.
func openUncounted(
  _ folder: Folder, _ live: [StoredRange] = [], segmentBytes: Int = 16384, spares: Int = 4, disk: any Disk = SystemDisk()
) throws -> Spool {
  try Spool(
    directory: folder.path, segmentBytes: segmentBytes, afterSegment: live.map(\.segment).max() ?? 0, maximumSpares: spares, disk: disk)
}

/// How many seeds a random test runs with: `CERALACCA_SEEDS`, or what it asks for.
func seeds(_ usual: UInt64) -> ClosedRange<UInt64> {
  1...max(1, ProcessInfo.processInfo.environment["CERALACCA_SEEDS"].flatMap { UInt64($0) } ?? usual)
}

extension Spool {
  /// Appends a record of one piece and holds it.
  func keep(_ bytes: [UInt8]) throws -> StoredRange {
    let range = try append([Chunk(bytes)])
    retain([range])
    return range
  }

  /// What is wrong with those of the ranges that cannot be read.
  func faults(_ ranges: [StoredRange]) -> [SpoolFault] { ranges.compactMap { verify($0) } }
}

/// A disk that fails on command, and counts.
final class FaultyDisk: Disk {
  struct Plan: Sendable {
    /// errno of the next write, after `writesBefore` good ones and `shortBytes` octets of the failing one.
    var writeError: Int32 = 0
    var writesBefore = 0
    var shortBytes = 0
    /// Every write writes at the most this much, without an error.
    var mostBytes = Int.max
    var syncError: Int32 = 0
    var directorySyncError: Int32 = 0
    var openError: Int32 = 0
    var allocateError: Int32 = 0
    var renameError: Int32 = 0
    var opened = 0
    var writes = 0
    var syncs = 0
    var fullSyncs = 0
    var directorySyncs = 0
  }

  let plan = Mutex(Plan())

  /// Syncs of files, those among them with metadata, and syncs of the folder.
  var counts: [Int] { plan.withLock { [$0.syncs, $0.fullSyncs, $0.directorySyncs] } }

  private let real = SystemDisk()

  func open(_ path: String, creating: Bool) -> Int32 {
    let error = plan.withLock { plan in
      plan.opened += 1
      return plan.openError
    }
    return error != 0 ? -error : real.open(path, creating: creating)
  }

  func close(_ descriptor: Int32) { real.close(descriptor) }

  func allocate(_ descriptor: Int32, bytes: Int) -> Int32 {
    let error = plan.withLock { $0.allocateError }
    return error != 0 ? -error : real.allocate(descriptor, bytes: bytes)
  }

  func write(_ descriptor: Int32, _ pieces: UnsafeBufferPointer<iovec>, offset: Int) -> Int {
    let (most, error) = plan.withLock { plan -> (Int, Int32) in
      plan.writes += 1
      if plan.writeError != 0 {
        if plan.writesBefore > 0 {
          plan.writesBefore -= 1
        } else {
          defer { plan.shortBytes = 0 }
          return plan.shortBytes > 0 ? (plan.shortBytes, 0) : (0, plan.writeError)
        }
      }
      return (plan.mostBytes, 0)
    }
    if error != 0 { return -Int(error) }
    var cut: [iovec] = []
    var room = most
    for piece in pieces where room > 0 {
      cut.append(iovec(iov_base: piece.iov_base, iov_len: min(room, piece.iov_len)))
      room -= min(room, piece.iov_len)
    }
    return cut.withUnsafeBufferPointer { real.write(descriptor, $0, offset: offset) }
  }

  func sync(_ descriptor: Int32, metadata: Bool) -> Int32 {
    let error = plan.withLock { plan in
      plan.syncs += 1
      plan.fullSyncs += metadata ? 1 : 0
      return plan.syncError
    }
    return error != 0 ? -error : real.sync(descriptor, metadata: metadata)
  }

  func syncDirectory(_ path: String) -> Int32 {
    let error = plan.withLock { plan in
      plan.directorySyncs += 1
      return plan.directorySyncError
    }
    return error != 0 ? -error : real.syncDirectory(path)
  }

  func rename(_ from: String, to path: String) -> Int32 {
    let error = plan.withLock { $0.renameError }
    return error != 0 ? -error : real.rename(from, to: path)
  }

  func remove(_ path: String) -> Int32 { real.remove(path) }
}
