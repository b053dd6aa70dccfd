import Foundation
import Glibc
import Octets
import Testing

@testable import Spool

/// What earlier runs left, from the opening until all of it is counted.
@Suite struct SpoolCountingTests {
  /// Some segments of an earlier run, one range each.
  private func earlier(_ count: Int, in folder: Folder) throws -> [StoredRange] {
    let spool = try open(folder, segmentBytes: 4096)
    let ranges = try (0..<count).map { try spool.keep([UInt8](repeating: UInt8($0), count: 3000)) }
    try spool.sync()
    return ranges
  }

  @Test func anEmptyFolderIsCountedFromTheStart() throws {
    #expect(try openUncounted(Folder()).isCounted)
    // Its files are lost, its rows are not.
    let spool = try openUncounted(Folder(), [StoredRange(segment: 1, offset: 96, length: 1)])
    #expect(!spool.isCounted)
    spool.endCounting()
    #expect(spool.isCounted)
  }

  @Test func noOldFileGoesBeforeAllIsCounted() throws {
    let folder = Folder()
    let old = try earlier(6, in: folder)
    let files = folder.segments
    let spool = try openUncounted(folder, old, segmentBytes: 4096, spares: 2)
    #expect(!spool.isCounted)
    // Let go before it is counted, counted before it is let go, and read either way.
    spool.release([old[0]])
    #expect(spool.usage.references == -1)
    #expect(try spool.chunk(old[0]).array == [UInt8](repeating: 0, count: 3000))
    spool.count([old[1]])
    spool.release([old[1]])
    spool.count(Array(old[2...4]))
    spool.release([old[2]])
    // What this run makes is removed as ever, beside them.
    let new = try (0..<3).map { try spool.keep([UInt8](repeating: UInt8($0), count: 3000)) }
    try spool.sync()
    spool.release(Array(new[..<2]))
    #expect(spool.usage.spares == 2)
    #expect(Set(files).isSubset(of: folder.segments))
    spool.count([old[0], old[5]])
    #expect(spool.usage.segments == 7)
    #expect(Set(files).isSubset(of: folder.segments))
    spool.endCounting()
    #expect(spool.usage.segments == 4)
    #expect(spool.usage.references == 4)
    #expect(spool.usage.mismatches == 0)
    #expect(Set(folder.segments).intersection(files) == Set(files[3...]))
    for (index, range) in old.enumerated() where index > 2 {
      #expect(try spool.chunk(range).array == [UInt8](repeating: UInt8(index), count: 3000))
    }
    #expect(throws: SpoolError.damaged(old[0], .missingSegment)) { try spool.chunk(old[0]) }
    spool.endCounting()
    #expect(spool.usage.references == 4)
  }

  /// Files of no use before the end of counting are spares after it, and written again then.
  @Test func oldFilesAreWrittenAgainOnlyWhenAllIsCounted() throws {
    let folder = Folder()
    let old = try earlier(3, in: folder)
    let spool = try openUncounted(folder, old, segmentBytes: 4096, spares: 2)
    spool.count(old)
    spool.release(old)
    let kept = [try spool.keep([UInt8](repeating: 9, count: 3000))]
    #expect(folder.segments.count == 4)
    #expect(spool.usage.spares == 0)
    spool.endCounting()
    #expect(spool.usage.spares == 2)
    #expect(folder.segments.count == 3)
    let next = try spool.keep([UInt8](repeating: 8, count: 3000))
    #expect(spool.usage.spares == 1)
    #expect(folder.segments.count == 3)
    #expect(next.segment > kept[0].segment)
    #expect(try spool.chunk(next).array == [UInt8](repeating: 8, count: 3000))
  }

  /// An entry that somebody made since the opening holds octets of an earlier run.
  @Test func oldOctetsCanBeHeldBeforeTheyAreCounted() throws {
    let folder = Folder()
    let old = try earlier(2, in: folder)
    let spool = try openUncounted(folder, old, segmentBytes: 4096, spares: 0)
    spool.retain([old[0][5..<9]])
    spool.release([old[0], old[1]])
    spool.count(old)
    spool.endCounting()
    #expect(folder.segments.count == 1)
    #expect(try spool.chunk(old[0][5..<9]).count == 4)
    spool.release([old[0][5..<9]])
    #expect(folder.segments.isEmpty)
    #expect(spool.usage.mismatches == 0)
  }

  @Test func moreLetGoThanCountedKeepsTheFile() throws {
    let folder = Folder()
    let old = try earlier(3, in: folder)
    let spool = try openUncounted(folder, old, segmentBytes: 4096, spares: 0)
    spool.release([old[0], old[0], old[1][0..<7]])
    #expect(spool.usage.mismatches == 0)
    spool.count(old)
    spool.release([old[2]])
    spool.endCounting()
    // One by its references, one by its octets.
    #expect(spool.usage.mismatches == 2)
    #expect(folder.segments.count == 2)
    #expect(try spool.chunk(old[0]).count == 3000)
    // It stays, whatever is held and let go later.
    spool.retain([old[0], old[0]])
    spool.release([old[0]])
    #expect(folder.segments.count == 2)
    spool.release([old[0]])
    #expect(spool.usage.mismatches == 3)
    #expect(try spool.chunk(old[0]).count == 3000)
  }

  /// With its file a segment loses its octets, not its number: a row must not come to name another message's.
  @Test func theNumberOfALostFileIsNotGivenAgain() throws {
    let folder = Folder()
    let old = try earlier(3, in: folder)
    for range in old[1...] { try FileManager.default.removeItem(atPath: SegmentName.path(folder.path, range.segment)) }
    let spool = try openUncounted(folder, old, segmentBytes: 4096, spares: 0)
    let new = try spool.keep([UInt8](repeating: 7, count: 3000))
    #expect(new.segment == old[2].segment + 4097)
    // Let go before it is counted, held before it is counted, and neither.
    spool.release([old[1]])
    spool.retain([old[2]])
    #expect(spool.verify(old[2]) == .missingSegment)
    spool.count(old)
    spool.endCounting()
    #expect(spool.usage.mismatches == 0)
    #expect(spool.usage.references == 4)
    #expect(throws: SpoolError.damaged(old[2], .missingSegment)) { try spool.chunk(old[2]) }
    spool.release([old[0], old[2], old[2], new])
    #expect(spool.usage.mismatches == 0)
    #expect(spool.usage.segments == 1)
  }

  @Test(
    arguments: [
      (0, 0, 1), (5, 0, 6), (5, 5, 4102), (5, 4, 4102), (5, 6, 4103), (0, 1, 4098), (.max, 0, 0), (.max, 5, 4096),
      (.max - 1, .max, 4095),
      (7, .max - 4096, 4104), (7, .max - 4097, .max),
    ] as [(UInt32, UInt32, UInt32)])
  func theFirstNumber(file: UInt32, row: UInt32, first: UInt32) {
    #expect(SpoolOpening.firstNumber(afterFiles: file, afterSegment: row) == first)
  }

  /// The caller said too little about how far its rows go. What they name is held all the same, so that nothing is let go too often.
  @Test func countedRangesOfThisRunAreMismatches() throws {
    let folder = Folder()
    let old = try earlier(1, in: folder)
    let spool = try openUncounted(folder, segmentBytes: 4096, spares: 0)
    let new = try spool.keep([UInt8](repeating: 7, count: 3000))
    let gone = try spool.keep([UInt8](repeating: 8, count: 3000))
    _ = try spool.keep([UInt8](repeating: 9, count: 3000))
    try spool.sync()
    spool.release([gone])
    // Of this run and gone: no lost segment of an earlier one.
    spool.release([gone])
    spool.retain([gone])
    #expect(spool.usage.mismatches == 2)
    spool.count(old + [new])
    spool.endCounting()
    #expect(spool.usage.mismatches == 3)
    spool.release([new])
    #expect(try spool.chunk(new).count == 3000)
  }

  @Test func aCrashBeforeAllIsCountedLosesNothing() throws {
    var folder = Folder()
    let old = try earlier(4, in: folder)
    var rows = old
    for round in 0..<3 {
      let spool = try openUncounted(folder, rows, segmentBytes: 4096)
      spool.count(Array(rows.prefix(round)))
      spool.release([rows.removeFirst()])
      rows.append(try spool.keep([UInt8](repeating: 9, count: 3000)))
      try spool.sync()
      folder = folder.copy()
    }
    // No file went in all that time.
    #expect(folder.segments.count == 7)
    let spool = try open(folder, rows, segmentBytes: 4096, spares: 0)
    #expect(folder.segments.count == 4)
    #expect(spool.faults(rows).isEmpty)
    #expect(spool.usage.mismatches == 0)
  }

  /// A start takes the time of a list of files, however much they hold: no octet of them comes into memory.
  @Test func openingReadsNoFile() throws {
    let folder = Folder()
    // What is read of these is damage; and each has a hole where its octets would be, so that to read it would leave its pages in memory.
    for number in 1...2000 as ClosedRange<UInt32> {
      let descriptor = Glibc.open(SegmentName.path(folder.path, number), O_RDWR | O_CREAT, 0o600)
      ftruncate(descriptor, 1 << 16)
      close(descriptor)
    }
    let disk = FaultyDisk()
    let rows = (1...2000).map { StoredRange(segment: $0, offset: 96, length: 1000) }
    let spool = try openUncounted(folder, rows, segmentBytes: 1 << 16, disk: disk)
    spool.count(rows)
    spool.release(Array(rows[1000...]))
    spool.endCounting()
    #expect(spool.usage.segments == 1000)
    #expect(spool.usage.mappings == 0)
    #expect(disk.plan.withLock { $0.opened + $0.writes } == 0)
    #expect((1...1000).allSatisfy { resident(SegmentName.path(folder.path, $0)) == 0 })
    #expect(spool.verify(rows[0]) == .foreignSegment)
    #expect(resident(SegmentName.path(folder.path, 1)) > 0, "otherwise the test proves nothing")
  }

  /// How many pages of a file are in memory.
  private func resident(_ path: String) -> Int {
    let descriptor = Glibc.open(path, O_RDONLY)
    defer { close(descriptor) }
    let bytes = 1 << 16
    guard let memory = mmap(nil, bytes, PROT_READ, MAP_SHARED, descriptor, 0), memory != MAP_FAILED else { return .max }
    defer { munmap(memory, bytes) }
    var pages = [UInt8](repeating: 0, count: bytes / Int(getpagesize()))
    guard mincore(memory, bytes, &pages) == 0 else { return .max }
    return pages.count { $0 & 1 == 1 }
  }
}
