import Foundation
import Glibc
import Octets
import Testing

@testable import Spool

@Suite struct SpoolFaultTests {
  @Test func shortWritesAreContinued() throws {
    let folder = Folder()
    let disk = FaultyDisk()
    disk.plan.withLock { $0.mostBytes = 7 }
    let spool = try open(folder, disk: disk)
    var dice = Dice(3)
    let body = dice.bytes(1000)
    let range = try spool.append([Chunk(Array(body[..<333])), Chunk(Array(body[333...]))])
    #expect(spool.check(range) == nil)
    #expect(try spool.chunk(range).array == body)
  }

  /// The write of the record fails at once, or after a part of it: the spool has stopped.
  @Test(arguments: [(ENOSPC, 0), (EIO, 0), (EIO, 20), (ENOSPC, 35)] as [(Int32, Int)])
  func aFailedWriteStopsTheSpool(code: Int32, short: Int) throws {
    let folder = Folder()
    let disk = FaultyDisk()
    let spool = try open(folder, disk: disk)
    let kept = try spool.append([Chunk("kept")])
    try spool.sync()
    disk.plan.withLock {
      $0.writeError = code
      $0.shortBytes = short
    }
    let failure = try #require(throws: SpoolError.self) { try spool.append([Chunk("lost")]) }
    guard case .failed(_, _, let said) = failure else {
      Issue.record("not fatal: \(failure)")
      return
    }
    #expect(said == code)
    #expect(failure.description.contains("stopped"))
    disk.plan.withLock { $0.writeError = 0 }
    #expect(throws: failure) { try spool.append([Chunk("again")]) }
    #expect(throws: failure) { try spool.sync() }
    #expect(throws: failure) { try spool.chunk(kept) }
    let copy = folder.copy()
    let reopened = try open(copy, [kept])
    #expect(reopened.verify(kept) == nil)
    #expect(try reopened.chunk(kept).array == Array("kept".utf8))
  }

  /// A file made ahead of need is a convenience: that it cannot be had stops nothing and leaves nothing behind.
  @Test func aSpareThatCannotBeMadeDoesNoHarm() throws {
    let folder = Folder()
    let disk = FaultyDisk()
    let spool = try open(folder, disk: disk)
    _ = try spool.keep([UInt8](repeating: 1, count: 9000))
    for fault in [\FaultyDisk.Plan.writeError, \.syncError, \.allocateError, \.openError] {
      disk.plan.withLock { $0[keyPath: fault] = ENOSPC }
      #expect(throws: SpoolError.self) { try spool.prepareSpare() }
      disk.plan.withLock { $0[keyPath: fault] = 0 }
      #expect(folder.segments.count == 1)
      #expect(spool.usage.spares == 0)
    }
    #expect(try spool.prepareSpare())
    _ = try spool.keep([UInt8](repeating: 2, count: 9000))
    try spool.sync()
  }

  @Test func aFailedSyncStopsTheSpool() throws {
    let folder = Folder()
    let disk = FaultyDisk()
    let spool = try open(folder, disk: disk)
    _ = try spool.append([Chunk("x")])
    disk.plan.withLock { $0.syncError = EIO }
    #expect(throws: SpoolError.failed(operation: "sync", path: folder.path + "/segment-00000001.spool", code: EIO)) { try spool.sync() }
    // The disk is well again; nobody knows what it dropped.
    disk.plan.withLock { $0.syncError = 0 }
    #expect(throws: SpoolError.self) { try spool.sync() }
    #expect(throws: SpoolError.self) { try spool.append([Chunk("x")]) }
  }

  @Test func aFailedSyncOfTheFolderStopsTheSpool() throws {
    let folder = Folder()
    let disk = FaultyDisk()
    let spool = try open(folder, disk: disk)
    _ = try spool.append([Chunk("x")])
    disk.plan.withLock { $0.directorySyncError = EIO }
    #expect(throws: SpoolError.failed(operation: "sync the folder", path: folder.path, code: EIO)) { try spool.sync() }
    #expect(throws: SpoolError.self) { try spool.append([Chunk("x")]) }
  }

  @Test func syncCostsWhatWasWritten() throws {
    let folder = Folder()
    let disk = FaultyDisk()
    let spool = try open(folder, segmentBytes: 4096, disk: disk)
    try spool.sync()
    #expect(disk.plan.withLock { $0.syncs } == 0)
    for _ in 0..<3 { _ = try spool.append([Chunk("x")]) }
    try spool.sync()
    try spool.sync()
    #expect(disk.counts == [1, 1, 1])
    #expect(disk.plan.withLock { $0.writes } == 4)
    _ = try spool.append([Chunk("y")])
    try spool.sync()
    #expect(disk.counts == [2, 1, 1])
    // Across three segments: each of them, and the folder once.
    for _ in 0..<3 { _ = try spool.append([Chunk([UInt8](repeating: 1, count: 3000))]) }
    try spool.sync()
    #expect(disk.counts == [5, 3, 2])
  }

  /// No room for a new segment is no catastrophe: nothing was written, and it is tried again.
  @Test func aFullDiskAtANewSegmentIsSurvived() throws {
    let folder = Folder()
    let disk = FaultyDisk()
    disk.plan.withLock { $0.allocateError = ENOSPC }
    let spool = try open(folder, disk: disk)
    #expect(throws: SpoolError.full(operation: "allocate", path: folder.path + "/segment-00000001.spool")) {
      try spool.append([Chunk("x")])
    }
    #expect(folder.segments.isEmpty)
    disk.plan.withLock {
      $0.allocateError = 0
      $0.openError = EMFILE
    }
    #expect(throws: SpoolError.refused(operation: "make", path: folder.path + "/segment-00000001.spool", code: EMFILE)) {
      try spool.append([Chunk("x")])
    }
    disk.plan.withLock {
      $0.openError = 0
      $0.writeError = ENOSPC
    }
    #expect(throws: SpoolError.full(operation: "write the header of", path: folder.path + "/segment-00000001.spool")) {
      try spool.append([Chunk("x")])
    }
    #expect(folder.segments.isEmpty)
    disk.plan.withLock { $0.writeError = 0 }
    let range = try spool.append([Chunk("x")])
    try spool.sync()
    #expect(try spool.chunk(range).array == [UInt8(ascii: "x")])
  }

  @Test func aSpareThatCannotBeHadIsReplaced() throws {
    let folder = Folder()
    let disk = FaultyDisk()
    let spool = try open(folder, segmentBytes: 4096, disk: disk)
    let first = try spool.keep([UInt8](repeating: 1, count: 3000))
    let second = try spool.keep([UInt8](repeating: 2, count: 3000))
    try spool.sync()
    spool.release([first])
    disk.plan.withLock { $0.renameError = EACCES }
    let third = try spool.append([Chunk([UInt8](repeating: 3, count: 3000))])
    try spool.sync()
    #expect(folder.segments.count == 2)
    #expect(try spool.chunk(second).array[0] == 2)
    #expect(try spool.chunk(third).array[0] == 3)
  }

  @Test func aMissingSegmentIsReported() throws {
    let folder = Folder()
    let spool = try open(folder)
    let range = try spool.append([Chunk("x")])
    try spool.sync()
    let gone = StoredRange(segment: 77, offset: 96, length: 5)
    let highest = StoredRange(segment: .max, offset: .max, length: .max)
    let copy = folder.copy()
    let reopened = try open(copy, [gone, range, highest, gone])
    for range in [gone, highest] { #expect(reopened.verify(range) == .missingSegment) }
    #expect(throws: SpoolError.damaged(gone, .missingSegment)) { try reopened.chunk(gone) }
    #expect(try reopened.chunk(range).array == [UInt8(ascii: "x")])
    // Its number is taken all the same, and it is released like any other.
    let next = try reopened.append([Chunk("y")])
    #expect(![0, 77, .max, range.segment].contains(next.segment))
    reopened.release([gone, gone, highest])
    #expect(reopened.usage.mismatches == 0)
    #expect(reopened.usage.segments == 2)
  }

  /// Where in the record of a live range an octet changes, and what is said of it.
  @Test(arguments: [
    (-32, SpoolFault.noRecord), (-31, .noRecord), (-24, .noRecord), (-16, .noRecord), (-1, .noRecord), (0, .checksum), (7, .checksum),
    (12, .checksum), (15, .checksum), (16, .endMark), (19, .endMark),
  ])
  func aChangedOctetIsReported(distance: Int, fault: SpoolFault) throws {
    let folder = Folder()
    let spool = try open(folder)
    let before = try spool.append([Chunk("before")])
    let range = try spool.append([Chunk("twelve bytes")])
    try spool.sync()
    let copy = folder.copy()
    copy.flip(copy.segments[0], at: Int(range.offset) + distance)
    let reopened = try open(copy, [before, range, range[3..<5]])
    // Each time, and before and after its neighbour was read.
    for _ in 0..<2 {
      for part in [range, range[3..<5]] {
        #expect(throws: SpoolError.damaged(part, fault)) { try reopened.chunk(part) }
        #expect(reopened.verify(part) == fault)
      }
      #expect(try reopened.chunk(before).array == Array("before".utf8))
    }
    #expect(reopened.check(range) == fault)
    #expect(reopened.usage.mismatches == 0)
  }

  @Test func aForeignOrUnknownFileIsReported() throws {
    let folder = Folder()
    let spool = try open(folder)
    let range = try spool.append([Chunk("x")])
    try spool.sync()
    for (offset, fault) in [
      (0, SpoolFault.foreignSegment), (12, .foreignSegment), (24, .foreignSegment), (28, .foreignSegment), (8, .unknownVersion(65)),
    ] {
      let copy = folder.copy()
      copy.flip(copy.segments[0], at: offset)
      #expect(try open(copy, [range]).verify(range) == fault)
      // Named by the ledger, so it stays, whatever is in it.
      #expect(copy.segments.count == 1)
    }
    let copy = folder.copy()
    try Data([1, 2, 3]).write(to: URL(fileURLWithPath: copy.path + "/" + copy.segments[0]))
    #expect(try open(copy, [range]).verify(range) == .foreignSegment)
  }

  @Test func anUnknownRecordCodeIsRefused() throws {
    let folder = Folder()
    let spool = try open(folder)
    let range = try spool.append([Chunk("from the future")])
    try spool.sync()
    let copy = folder.copy()
    let path = copy.path + "/" + copy.segments[0]
    var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    let header = Int(range.offset) - SegmentFormat.recordHeaderBytes
    bytes[header + 5] = 9
    // A sound header of a code that this version does not know, as a later one would write it.
    var crc = CRC32C()
    crc.update(Array(bytes[header..<header + 28]).span)
    for index in 0..<4 { bytes[header + 28 + index] = UInt8(truncatingIfNeeded: crc.value >> (8 * UInt32(index))) }
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    let reopened = try open(copy, [range])
    #expect(reopened.verify(range) == .unknownRecord(version: 1, code: 9))
    #expect(throws: SpoolError.damaged(range, .unknownRecord(version: 1, code: 9))) { try reopened.chunk(range) }
  }

  @Test func rangesThatNobodyMadeAreRefused() throws {
    let folder = Folder()
    let spool = try open(folder)
    let range = try spool.append([Chunk("octets")])
    for (offset, length) in [(0, 5), (63, 1), (UInt64.max, 1), (UInt64.max, UInt64.max), (range.offset, 1 << 40), (range.offset + 100, 8)] {
      let odd = StoredRange(segment: range.segment, offset: offset, length: length)
      #expect(throws: SpoolError.damaged(odd, .outOfBounds)) { try spool.chunk(odd) }
      #expect(spool.check(odd) == .outOfBounds)
    }
    // Across the record's end: within what was written, and no record's.
    let across = StoredRange(segment: range.segment, offset: range.offset + 2, length: range.length)
    #expect(spool.check(across) == .noRecord)
  }

  /// What a file held in an earlier life is no record of its present one, by its number and by its salt.
  @Test func recordsOfAnotherLifeAreNotRead() {
    let file = [UInt8](repeating: 0, count: SegmentFormat.fileHeaderBytes)
    let record = SegmentFormat.recordHeader(segment: 5, salt: 6, length: 3) + [1, 2, 3] + SegmentFormat.trailer(checksum: 0, length: 3)
    let bytes = file + record
    #expect(SegmentFormat.record(in: bytes.span, at: 64, segment: 5, salt: 6)?.length == 3)
    #expect(SegmentFormat.record(in: bytes.span, at: 64, segment: 4, salt: 6) == nil)
    #expect(SegmentFormat.record(in: bytes.span, at: 64, segment: 5, salt: 7) == nil)
    for offset in [-1, 0, 63, 65, 96, bytes.count, .max - 7] {
      #expect(SegmentFormat.record(in: bytes.span, at: offset, segment: 5, salt: 6) == nil, "\(offset)")
    }
    // A length that reaches beyond the file.
    let long =
      file + SegmentFormat.recordHeader(segment: 5, salt: 6, length: 4) + [1, 2, 3] + SegmentFormat.trailer(checksum: 0, length: 8)
    #expect(SegmentFormat.record(in: long.span, at: 64, segment: 5, salt: 6) == nil)
  }

  /// The form on disk is for ever: these octets were written by version 1.
  @Test func theFormOnDisk() {
    #expect(
      Hex.encode(SegmentFormat.fileHeader(segment: 0x0102_0304, fileBytes: 4096, salt: 0xA0B0_C0D0).prefix(28))
        == "43455253504f4f4c" + "01000000" + "04030201" + "0010000000000000" + "d0c0b0a0")
    #expect(SegmentFormat.fileHeader(segment: 1, fileBytes: 4096, salt: 0).count == 64)
    #expect(
      Hex.encode(SegmentFormat.recordHeader(segment: 5, salt: 6, length: 0x1122).prefix(28))
        == "43524543" + "01010000" + "05000000" + "06000000" + "2211000000000000" + "00000000")
    #expect(Hex.encode(SegmentFormat.trailer(checksum: 0x0102_0304, length: 5)) == "04030201" + "43454e44" + "000000")
    #expect(SegmentFormat.trailer(checksum: 0, length: 8).count == 8)
    #expect(SegmentFormat.recordBytes(.max) == nil)
    #expect(SegmentFormat.recordBytes(-1) == nil)
  }
}
