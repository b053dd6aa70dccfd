import Journey
import Octets
import Testing

@testable import Ledger

extension Ledger {
  /// Every range that the queue names, once for each time it is named.
  func liveRanges() throws -> [StoredRange] {
    var live: [StoredRange] = []
    try queueSnapshot().eachRanges { live += $0 }
    return live
  }
}

@Suite struct LedgerQueuePagingTests {
  @Test func aSnapshotStaysAsItWas() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.enqueue(entry("e1")), .enqueue(entry("e2"))])
    let snapshot = try ledger.queueSnapshot()
    try ledger.commit([.settle(entry: "e1", recipients: ["r0@pec.beta.test"], end: .delivered)])
    try ledger.commit([.enqueue(entry("e3")), .enqueue(entry("e4"))])
    var ranges: [StoredRange] = []
    try snapshot.eachRanges { ranges += $0 }
    #expect(ranges == entry("e1").content + entry("e2").content)
    #expect(try ledger.liveRanges().count == 6)
  }

  @Test func manyRangesComeInBatches() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    for first in stride(from: 0, to: 9000, by: 1000) {
      try ledger.commit((first..<first + 1000).map { .enqueue(entry("e\($0)")) })
    }
    var sizes: [Int] = []
    try ledger.queueSnapshot().eachRanges { sizes.append($0.count) }
    #expect(sizes.reduce(0, +) == 18_000)
    #expect(sizes.count == 3)
    #expect(sizes.allSatisfy { $0 <= 8193 })
  }

  @Test func theHighestSegment() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    #expect(try ledger.highestSegment() == 0)
    for (id, segment) in [("e1", UInt32(9)), ("e2", 4_294_967_295), ("e3", 80)] {
      var stored = entry(id)
      stored.content = [StoredRange(segment: segment, offset: 96, length: 10), StoredRange(segment: 3, offset: 96, length: 10)]
      try ledger.commit([.enqueue(stored)])
    }
    #expect(try ledger.highestSegment() == 4_294_967_295)
    try ledger.commit([.settle(entry: "e2", recipients: ["r0@pec.beta.test"], end: .delivered)])
    #expect(try ledger.highestSegment() == 80)
    #expect(try ledger.queueLength() == 2)
  }

  /// What is put off while the walk goes on is not met again, what comes meanwhile not at all, and what is gone is not there.
  @Test func aWalkMeetsEachEntryOnce() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit((0..<10).map { .enqueue(entry("e\($0)", due: 100 + Int64($0 % 5) * 100)) })
    var walk = try ledger.queueWalk(dueAfter: 100)
    #expect(walk.count == 8)
    #expect(try ledger.entries(of: &walk, limit: 3).map(\.id) == ["e1", "e2", "e3"])
    try ledger.commit([
      .postpone(entry: "e1", dueAt: 5000, attempts: 1, lastError: ""), .postpone(entry: "e4", dueAt: 90, attempts: 1, lastError: ""),
      .settle(entry: "e6", recipients: ["r0@pec.beta.test"], end: .delivered), .enqueue(entry("e10", due: 900)),
    ])
    #expect(try ledger.entries(of: &walk, limit: 3).map(\.id) == ["e7", "e8", "e9"])
    #expect(try ledger.entries(of: &walk, limit: 3).isEmpty)
    #expect(try ledger.entries(of: &walk, limit: 3).isEmpty)
  }

  @Test func contentsComeInTheOrderOfArrival() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit((0..<5).map { .enqueue(entry("e\($0)", due: 100 - Int64($0))) })
    var place: Int64?
    var found: [[String]] = []
    repeat {
      let contents = try ledger.queueContents(after: place, limit: 2)
      found.append(contents.entries.map(\.id))
      #expect(contents.entries.allSatisfy { $0.content == entry("e1").content })
      place = contents.next
    } while place != nil
    #expect(found == [["e0", "e1"], ["e2", "e3"], ["e4"]])
  }

  @Test func placesBeforeAndBehindATime() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([99, 100, 100, 101].enumerated().map { .enqueue(entry("e\($0.offset)", due: $0.element)) })
    #expect(try ledger.dueEntries(limit: 9, after: .before(100), dueBy: 100).entries.map(\.id) == ["e1", "e2"])
    #expect(try ledger.dueEntries(limit: 9, after: .behind(100)).entries.map(\.id) == ["e3"])
    #expect(QueueCursor.before(100).isBefore(.behind(100)))
    #expect(!QueueCursor.before(100).isBefore(.before(100)))
  }
}
