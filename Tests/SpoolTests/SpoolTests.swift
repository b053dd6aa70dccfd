import Foundation
import Octets
import Testing

@testable import Spool

@Suite struct SpoolTests {
  @Test func whatIsAppendedIsReadFromAnyThread() async throws {
    let folder = Folder()
    let spool = try open(folder)
    let body = [UInt8]("Oggetto: prova\r\n\r\nciao\r\n".utf8)
    let range = try spool.append([Chunk(Array(body[..<10])), .empty, Chunk(Array(body[10...]))])
    #expect(range.length == UInt64(body.count))
    #expect(try spool.chunk(range).array == body)
    try spool.sync()
    let read = await Task.detached { try? spool.chunk(range).array }.value
    #expect(read == body)
    #expect(spool.check(range) == nil)
    #expect(try spool.chunk(range[9..<15]).array == Array(body[9..<15]))
    #expect(spool.check(range[9..<15]) == nil)
    #expect(spool.freeBytes > 0)
  }

  @Test func anEmptyRecordIsARecord() throws {
    let folder = Folder()
    let spool = try open(folder)
    let range = try spool.append([])
    let other = try spool.keep(Array("x".utf8))
    #expect(try spool.chunk(range).isEmpty)
    #expect(spool.check(range) == nil)
    try spool.sync()
    let copy = folder.copy()
    let reopened = try open(copy, [range, other])
    #expect(reopened.faults([range, other]).isEmpty)
    #expect(try reopened.chunk(other).array == [UInt8(ascii: "x")])
  }

  /// A file made ahead of need is the next that is written to: no new one is made then, and nothing of it is lost.
  @Test func aSpareIsMadeAheadOfNeed() throws {
    let folder = Folder()
    let spool = try open(folder)
    #expect(try !spool.prepareSpare(), "nothing is being written")
    var kept = [try spool.keep([UInt8](repeating: 1, count: 1000))]
    #expect(try !spool.prepareSpare(), "the first has room")
    kept.append(try spool.keep([UInt8](repeating: 2, count: 8000)))
    #expect(try spool.prepareSpare())
    #expect(try !spool.prepareSpare(), "one is enough")
    #expect(spool.usage.spares == 1)
    #expect(folder.segments.count == 2)
    kept.append(try spool.keep([UInt8](repeating: 3, count: 8000)))
    #expect(spool.usage.spares == 0)
    #expect(folder.segments.count == 2)
    try spool.sync()
    let copy = folder.copy()
    let reopened = try open(copy, kept)
    #expect(reopened.faults(kept).isEmpty)
    for (number, range) in kept.enumerated() { #expect(try Set(reopened.chunk(range).array) == [UInt8(number + 1)]) }
  }

  /// While somebody copies, a file that nothing names any more neither goes nor is written again; afterwards it does.
  @Test func aHoldKeepsFilesAsTheyAre() throws {
    let folder = Folder()
    let spool = try open(folder)
    let bodies = (1...3).map { [UInt8](repeating: UInt8($0), count: 8000) }
    let ranges = try bodies.map { try spool.keep($0) }
    try spool.sync()
    spool.hold()
    spool.hold()
    spool.release(ranges)
    let later = try (4...6).map { try spool.keep([UInt8](repeating: UInt8($0), count: 8000)) }
    try spool.sync()
    let reader = SpoolReader(directory: spool.directory)
    #expect(reader.verify(ranges + later).isEmpty)
    for (range, body) in zip(ranges, bodies) { #expect(try reader.read(range) == body) }
    spool.endHold()
    #expect(spool.usage.spares == 0, "another holds it still")
    spool.endHold()
    // They may be written again now, and some go.
    #expect(spool.usage.spares > 0)
    #expect(reader.verify(later).isEmpty)
    #expect(spool.usage.references == 3)
    #expect(spool.usage.mismatches == 0)
  }

  @Test func aMappingShowsWhatWasAppendedAfterIt() throws {
    let folder = Folder()
    let spool = try open(folder)
    let first = try spool.keep(Array("first".utf8))
    let early = try spool.chunk(first)
    let second = try spool.keep(Array("second".utf8))
    #expect(spool.usage.mappings == 1)
    #expect(try spool.chunk(second).array == Array("second".utf8))
    #expect(early.array == Array("first".utf8))
    #expect(spool.usage.mappings == 1)
  }

  @Test func aMappingGoesWithItsLastChunk() throws {
    let folder = Folder()
    let spool = try open(folder)
    let range = try spool.keep(Array("abc".utf8))
    do {
      let chunk = try spool.chunk(range)
      let slice = chunk[1..<2]
      #expect(spool.usage.mappings == 1)
      #expect(slice.array == [UInt8(ascii: "b")])
      withExtendedLifetime(chunk) {}
    }
    #expect(spool.usage.mappings == 0)
  }

  @Test func aFullSegmentIsFollowedByAnother() throws {
    let folder = Folder()
    let spool = try open(folder, segmentBytes: 4096)
    var dice = Dice(1)
    let bodies = (0..<20).map { _ in dice.bytes(900) }
    let ranges = try bodies.map { try spool.keep($0) }
    try spool.sync()
    #expect(Set(ranges.map(\.segment)).count == 5)
    #expect(folder.segments.count == 5)
    for (range, body) in zip(ranges, bodies) { #expect(try spool.chunk(range).array == body) }
  }

  @Test func aRecordThatFillsASegmentExactlyFits() throws {
    let folder = Folder()
    let spool = try open(folder, segmentBytes: 4096)
    let room = 4096 - SegmentFormat.fileHeaderBytes - SegmentFormat.recordHeaderBytes - SegmentFormat.trailerBytes
    let exact = try spool.keep([UInt8](repeating: 7, count: room))
    let after = try spool.keep(Array("x".utf8))
    #expect(after.segment != exact.segment)
    try spool.sync()
    let copy = folder.copy()
    let reopened = try open(copy, [exact, after], segmentBytes: 4096)
    #expect(reopened.faults([exact, after]).isEmpty)
    #expect(try reopened.chunk(exact).count == room)
  }

  @Test func aLargeRecordGetsASegmentOfItsOwn() throws {
    let folder = Folder()
    let spool = try open(folder, segmentBytes: 4096)
    var dice = Dice(2)
    let small = try spool.keep(Array("small".utf8))
    let body = dice.bytes(100_000)
    let large = try spool.keep(body)
    let next = try spool.keep(Array("next".utf8))
    #expect(next.segment == small.segment)
    #expect(large.segment != small.segment)
    try spool.sync()
    #expect(try spool.chunk(large).array == body)
    let copy = folder.copy()
    let reopened = try open(copy, [small, large, next], segmentBytes: 4096)
    #expect(reopened.faults([small, large, next]).isEmpty)
    #expect(try reopened.chunk(large).array == body)
    spool.release([large])
    // Of another length than a segment: of no use as a spare.
    #expect(folder.segments.count == 1)
  }

  @Test func manyPiecesInOneRecord() throws {
    let folder = Folder()
    let spool = try open(folder, segmentBytes: 65536)
    let pieces = (0..<3000).map { Chunk([UInt8(truncatingIfNeeded: $0), 10]) }
    let range = try spool.append(pieces)
    #expect(try spool.chunk(range).array == pieces.flatMap(\.array))
    #expect(spool.check(range) == nil)
  }

  @Test func onlyOneOwner() throws {
    let folder = Folder()
    let first = try open(folder)
    do {
      _ = try open(folder)
      Issue.record("two owners of one spool")
    } catch let error as SpoolError {
      #expect(error == .inUse(directory: folder.path, holder: "process \(getpid())"))
      #expect(error.description.contains("in use"))
    }
    withExtendedLifetime(first) {}
  }

  @Test func theLockGoesWithTheSpool() throws {
    let folder = Folder()
    do { _ = try open(folder) }
    _ = try open(folder)
  }

  @Test func theFolderIsMade() throws {
    let folder = Folder()
    let spool = try Spool(directory: folder.path + "/spool", segmentBytes: 4096)
    _ = try spool.keep(Array("x".utf8))
    #expect(throws: SpoolError.self) { try Spool(directory: folder.path + "/no/such", segmentBytes: 4096) }
  }

  @Test func neverAppendsToAnOldSegment() throws {
    let folder = Folder()
    var live: [StoredRange] = []
    for round in 0..<4 {
      let spool = try open(folder, live)
      #expect(spool.faults(live).isEmpty)
      let range = try spool.append([Chunk("round \(round)")])
      #expect(!live.contains { $0.segment == range.segment })
      try spool.sync()
      live.append(range)
    }
    #expect(folder.segments.count == 4)
  }

  @Test func whatNothingNamesGoesWhenAllIsCounted() throws {
    let folder = Folder()
    var kept: StoredRange?
    do {
      let spool = try open(folder, segmentBytes: 4096)
      let ranges = try (0..<10).map { try spool.keep([UInt8](repeating: UInt8($0), count: 3000)) }
      try spool.sync()
      kept = ranges[3]
    }
    let named = try #require(kept)
    try Data("other".utf8).write(to: URL(fileURLWithPath: folder.path + "/notes.txt"))
    let spool = try open(folder, [named], segmentBytes: 4096, spares: 2)
    #expect(folder.segments.count == 3)
    #expect(spool.usage.spares == 2)
    #expect(folder.names.contains("notes.txt"))
    #expect(try spool.chunk(named).array == [UInt8](repeating: 3, count: 3000))
  }

  @Test func references() throws {
    let folder = Folder()
    let spool = try open(folder, segmentBytes: 4096, spares: 0)
    let body = try spool.keep([UInt8](repeating: 1, count: 3000))
    // Two queue entries name the body, one of them only a part; the intake lets it go.
    spool.retain([body, body[10..<20]])
    spool.release([body])
    _ = try spool.keep([UInt8](repeating: 2, count: 3000))
    try spool.sync()
    #expect(folder.segments.count == 2)
    spool.release([body])
    #expect(try spool.chunk(body[10..<20]).count == 10)
    spool.release([body[10..<20]])
    #expect(folder.segments.count == 1)
    #expect(throws: SpoolError.damaged(body, .missingSegment)) { try spool.chunk(body) }
    #expect(spool.check(body) == .missingSegment)
    #expect(spool.usage.mismatches == 0)
    spool.retain([body])
    spool.release([body])
    #expect(spool.usage.mismatches == 2)
  }

  @Test func whatNobodyHoldsGoesAtTheSyncAndNotBefore() throws {
    let folder = Folder()
    let spool = try open(folder, segmentBytes: 4096, spares: 0)
    let first = try spool.append([Chunk([UInt8](repeating: 1, count: 3000))])
    let second = try spool.append([Chunk([UInt8](repeating: 2, count: 3000))])
    let third = try spool.append([Chunk([UInt8](repeating: 3, count: 3000))])
    #expect(folder.segments.count == 3)
    // Held and let go again before the sync: still there.
    spool.retain([first])
    spool.release([first])
    #expect(try spool.chunk(first).count == 3000)
    spool.retain([second])
    try spool.sync()
    #expect(folder.segments.count == 2)
    #expect(throws: SpoolError.damaged(first, .missingSegment)) { try spool.chunk(first) }
    #expect(try spool.chunk(second).count == 3000)
    #expect(try spool.chunk(third).count == 3000)
  }

  @Test func theSegmentInUseIsNotRemoved() throws {
    let folder = Folder()
    let spool = try open(folder, spares: 0)
    let first = try spool.keep(Array("one".utf8))
    spool.release([first])
    let second = try spool.keep(Array("two".utf8))
    #expect(first.segment == second.segment)
    #expect(try spool.chunk(second).array == Array("two".utf8))
  }

  @Test func releasesThatDoNotMatchKeepTheSegment() throws {
    let folder = Folder()
    let spool = try open(folder, segmentBytes: 4096, spares: 0)
    let small = try spool.keep(Array("small".utf8))
    let large = try spool.keep([UInt8](repeating: 1, count: 3000))
    _ = try spool.keep([UInt8](repeating: 2, count: 3000))
    try spool.sync()
    spool.release([small, small])
    #expect(spool.usage.mismatches == 1)
    #expect(try spool.chunk(large).count == 3000)
    spool.release([large])
    #expect(spool.usage.mismatches == 2)
    #expect(folder.segments.count == 2)
  }

  @Test func aSpareIsWrittenAgainUnderANewNumber() throws {
    let folder = Folder()
    let spool = try open(folder, segmentBytes: 4096)
    let first = try spool.keep([UInt8](repeating: 1, count: 3000))
    let second = try spool.keep([UInt8](repeating: 2, count: 3000))
    try spool.sync()
    spool.release([first])
    #expect(spool.usage.spares == 1)
    let third = try spool.keep([UInt8](repeating: 3, count: 1000))
    try spool.sync()
    #expect(spool.usage.spares == 0)
    #expect(folder.segments.count == 2)
    #expect(Set([first.segment, second.segment, third.segment]).count == 3)
    #expect(try spool.chunk(third).array == [UInt8](repeating: 3, count: 1000))
    // The leavings of the first life of the file are no records of the second.
    let copy = folder.copy()
    let reopened = try open(copy, [third, second], segmentBytes: 4096)
    #expect(reopened.faults([third, second]).isEmpty)
    let stale = StoredRange(segment: third.segment, offset: first.offset, length: first.length)
    #expect(spool.check(stale) != nil)
  }

  @Test(arguments: [0, 2])
  func aNumberIsNotUsedTwice(spares: Int) throws {
    let folder = Folder()
    let spool = try open(folder, segmentBytes: 4096, spares: spares)
    var numbers: [UInt32] = []
    for round in 0..<8 {
      let range = try spool.keep([UInt8](repeating: UInt8(round), count: 3000))
      try spool.sync()
      numbers.append(range.segment)
      spool.release([range])
    }
    #expect(numbers == numbers.sorted())
    #expect(Set(numbers).count == 8)
  }

  @Test func aMappedFileIsNotWrittenAgain() throws {
    let folder = Folder()
    let spool = try open(folder, segmentBytes: 4096)
    let first = try spool.keep([UInt8](repeating: 1, count: 3000))
    let held = try spool.chunk(first)
    let second = try spool.keep([UInt8](repeating: 2, count: 3000))
    try spool.sync()
    spool.release([first])
    #expect(spool.usage.spares == 1)
    let third = try spool.keep([UInt8](repeating: 3, count: 3000))
    #expect(spool.usage.spares == 1)
    #expect(held.array == [UInt8](repeating: 1, count: 3000))
    spool.release([second, third])
    withExtendedLifetime(held) {}
  }

  @Test func chunksOutliveARemovedFile() throws {
    let folder = Folder()
    let spool = try open(folder, segmentBytes: 4096, spares: 0)
    let first = try spool.keep([UInt8](repeating: 1, count: 3000))
    let held = try spool.chunk(first)
    _ = try spool.keep([UInt8](repeating: 2, count: 3000))
    try spool.sync()
    spool.release([first])
    #expect(folder.segments.count == 1)
    #expect(held.array == [UInt8](repeating: 1, count: 3000))
  }

  @Test func chunksOutliveTheSpool() throws {
    let folder = Folder()
    var chunk = Chunk.empty
    do {
      let spool = try open(folder)
      chunk = try spool.chunk(try spool.append([Chunk("still here")]))
    }
    #expect(chunk.array == Array("still here".utf8))
  }

  @Test func anotherProcessReadsACopy() throws {
    let folder = Folder()
    let spool = try open(folder, segmentBytes: 4096)
    let range = try spool.append([Chunk("for the operator")])
    let reader = SpoolReader(directory: folder.path)
    #expect(try reader.read(range) == Array("for the operator".utf8))
    #expect(try reader.read(range[8..<16]) == Array("operator".utf8))
    #expect(throws: SpoolError.damaged(StoredRange(segment: 99, offset: 96, length: 1), .missingSegment)) {
      try reader.read(StoredRange(segment: 99, offset: 96, length: 1))
    }
    folder.flip(folder.segments[0], at: Int(range.offset) + 3)
    #expect(throws: SpoolError.damaged(range, .checksum)) { try reader.read(range) }
  }

  @Test func segmentNames() {
    #expect(SegmentName.path("d", 1) == "d/segment-00000001.spool")
    #expect(SegmentName.number("segment-0000001f.spool") == 31)
    #expect(SegmentName.number("segment-ffffffff.spool") == .max)
    for odd in [
      "segment-1f.spool", "segment-0000001F.spool", "segment-+0000001.spool", "segment-00000001.spool~", "Segment-00000001.spool", "",
    ] {
      #expect(SegmentName.number(odd) == nil, "\(odd)")
    }
  }
}
