import Foundation
import Octets
import Testing

@testable import Spool

/// Random work on a spool beside a model that remembers what must be there.
@Suite struct SpoolModelTests {
  @Test(arguments: seeds(8))
  func randomWorkWithKills(seed: UInt64) throws {
    var dice = Dice(seed)
    var life = try Life(Folder(), spares: 4, hint: "seed \(seed)")
    var held: [(Chunk, [UInt8])] = []
    for step in 0..<200 {
      life.hint = "seed \(seed) step \(step)"
      switch Int.random(in: 0..<10, using: &dice) {
      case 8:
        if let row = life.rows.randomElement(using: &dice), life.fault(row) == nil {
          held.append((try life.spool.chunk(row.range), row.bytes))
        }
        if held.count > 8 { held.removeFirst(Int.random(in: 1...8, using: &dice)) }
      case 9:
        // Killed: another process finds the folder as it is, and names only what was committed.
        life = try life.next(in: life.folder.copy(), &dice)
      case let other: try life.work(other, &dice)
      }
      if step % 10 == 0 { try life.compare(&dice) }
      for (chunk, bytes) in held { #expect(chunk.array == bytes, "\(life.hint): a chunk changed under its reader") }
    }
    held = []
    try life.end(&dice)
  }

  @Test(arguments: seeds(24))
  func randomWorkWithPowerCuts(seed: UInt64) throws {
    var dice = Dice(seed &+ 1000)
    let folder = Folder()
    var disk = LossyDisk()
    var life = try Life(folder, spares: 4, hint: "seed \(seed)", disk: disk)
    for step in 0..<120 {
      life.hint = "seed \(seed) step \(step)"
      switch Int.random(in: 0..<9, using: &dice) {
      case 8:
        // The next run goes on with what the cut left, and may be cut off before it has counted it.
        life = try life.next(in: disk.crash(&dice), &dice) { left in
          disk = LossyDisk(left)
          return disk
        }
        try life.compare(&dice)
      case let other: try life.work(other, &dice)
      }
    }
    try life.compare(&dice)
    try life.end(&dice)
  }

  @Test func everythingReleasedLeavesOnlySpares() throws {
    var dice = Dice(99)
    var life = try Life(Folder(), spares: 3, hint: "all released")
    for _ in 0..<60 { try life.append(&dice) }
    // The segment in use stays; of the others, three are kept to be written again.
    try life.end(&dice)
    #expect(life.spool.usage.spares <= 3)
  }

  @Test func readersBesideTheWriter() async throws {
    let folder = Folder()
    let spool = try open(folder, segmentBytes: 8192)
    let first = try spool.keep([UInt8](repeating: 9, count: 1000))
    await withTaskGroup(of: Int.self) { group in
      for _ in 0..<4 {
        group.addTask {
          var wrong = 0
          for _ in 0..<300 {
            let bytes = (try? spool.chunk(first).array) ?? []
            if bytes != [UInt8](repeating: 9, count: 1000) { wrong += 1 }
          }
          return wrong
        }
      }
      group.addTask {
        var wrong = 0
        for round in 0..<300 {
          let body = [UInt8](repeating: UInt8(truncatingIfNeeded: round), count: 700)
          guard let range = try? spool.keep(body), (try? spool.chunk(range).array) == body else {
            wrong += 1
            continue
          }
          spool.release([range])
        }
        return wrong
      }
      for await wrong in group { #expect(wrong == 0) }
    }
    #expect(spool.usage.references == 1)
  }

  /// All that may go on while another thread counts; at the end nothing is missing and nothing is left over.
  @Test func countingBesideTheLanes() async throws {
    let folder = Folder()
    let bodies = (0..<200).map { [UInt8](repeating: UInt8(truncatingIfNeeded: $0), count: 700) }
    var rows: [StoredRange] = []
    do {
      let spool = try open(folder, segmentBytes: 8192)
      rows = try bodies.map { try spool.keep($0) }
      try spool.sync()
    }
    let named = rows
    let spool = try openUncounted(folder, named, segmentBytes: 8192, spares: 0)
    let wrong = await withTaskGroup(of: Int.self) { group in
      // Every second row goes, each twice held meanwhile; each is read before.
      for lane in 0..<4 {
        group.addTask {
          var wrong = 0
          for index in stride(from: lane, to: named.count, by: 4) {
            spool.retain([named[index]])
            if (try? spool.chunk(named[index]).array) != bodies[index] { wrong += 1 }
            spool.release([named[index]])
            if index % 2 == 0 { spool.release([named[index]]) }
          }
          return wrong
        }
      }
      group.addTask {
        for start in stride(from: 0, to: named.count, by: 7) { spool.count(Array(named[start..<min(start + 7, named.count)])) }
        spool.endCounting()
        return 0
      }
      group.addTask { named.count { spool.verify($0) != nil && $0.segment == named[1].segment } }
      group.addTask {
        (0..<100).count { round in
          let body = [UInt8](repeating: UInt8(round), count: 900)
          guard let range = try? spool.append([Chunk(body)]), (try? spool.sync()) != nil else { return true }
          return (try? spool.chunk(range).array) == body && named.contains { $0.segment == range.segment }
        }
      }
      return await group.reduce(0, +)
    }
    #expect(wrong == 0)
    #expect(spool.usage.mismatches == 0)
    #expect(spool.usage.references == 100)
    for index in stride(from: 1, to: named.count, by: 2) { #expect(try spool.chunk(named[index]).array == bodies[index]) }
    spool.release(stride(from: 1, to: named.count, by: 2).map { named[$0] })
    #expect(spool.usage.references == 0)
    #expect(spool.usage.segments <= 1)
    #expect(folder.segments.count == spool.usage.segments)
  }
}
