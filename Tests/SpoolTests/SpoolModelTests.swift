import Foundation
import Octets
import Testing

@testable import Spool

/// Random work on a spool beside a model that remembers what must be there.
@Suite struct SpoolModelTests {
  /// What the ledger would name, with the octets it stands for.
  struct Row {
    let range: StoredRange
    let bytes: [UInt8]
  }

  struct Model {
    var rows: [Row] = []
    /// Appended since the last sync: no row names them yet, and they are held only from now on, or already.
    var unsynced: [Row] = []
    var held: [Row] = []
  }

  private func append(_ spool: Spool, _ model: inout Model, _ dice: inout Dice) throws {
    let length = [0, 1, 7, 40, 500, 3000, 3993, 9000].randomElement(using: &dice) ?? 1
    let body = dice.bytes(length)
    let cut = Int.random(in: 0...length, using: &dice)
    let range = try spool.append([Chunk(Array(body[..<cut])), Chunk(Array(body[cut...]))])
    // Held at once or not before the sync, as it comes; or it was garbage all along.
    switch Int.random(in: 0..<5, using: &dice) {
    case 0: break
    case 1, 2: model.unsynced.append(Row(range: range, bytes: body))
    default:
      spool.retain([range])
      model.held.append(Row(range: range, bytes: body))
    }
  }

  /// Sync, "commit" all rows; now and then an entry names a part of a body as well.
  private func sync(_ spool: Spool, _ model: inout Model, _ dice: inout Dice) throws {
    spool.retain(model.unsynced.map(\.range))
    try spool.sync()
    for row in model.unsynced + model.held {
      model.rows.append(row)
      guard row.bytes.count > 10, Bool.random(using: &dice) else { continue }
      let part = row.range[3..<9]
      spool.retain([part])
      model.rows.append(Row(range: part, bytes: Array(row.bytes[3..<9])))
    }
    model.unsynced = []
    model.held = []
  }

  private func release(_ spool: Spool, _ model: inout Model, _ dice: inout Dice) {
    for _ in 0..<Int.random(in: 1...6, using: &dice) where !model.rows.isEmpty {
      let row = model.rows.remove(at: Int.random(in: 0..<model.rows.count, using: &dice))
      spool.release([row.range])
    }
  }

  private func compare(_ spool: Spool, _ model: Model, _ hint: String) throws {
    #expect(spool.problems.isEmpty, "\(hint)")
    for row in model.rows + model.held + model.unsynced {
      let read = try spool.chunk(row.range).array
      #expect(read == row.bytes, "\(hint) \(row.range)")
      #expect(spool.check(row.range) == nil, "\(hint) \(row.range)")
    }
    #expect(spool.usage.mismatches == 0, "\(hint)")
    #expect(spool.usage.references == model.rows.count + model.held.count, "\(hint)")
  }

  @Test(arguments: 1...6 as ClosedRange<UInt64>)
  func randomWorkWithKills(seed: UInt64) throws {
    var dice = Dice(seed)
    var folder = Folder()
    var model = Model()
    var spool: Spool? = try open(folder, segmentBytes: 4096)
    var held: [(Chunk, [UInt8])] = []
    for step in 0..<200 {
      guard let current = spool else { break }
      switch Int.random(in: 0..<10, using: &dice) {
      case 0..<4: try append(current, &model, &dice)
      case 4..<6: try sync(current, &model, &dice)
      case 6..<8: release(current, &model, &dice)
      case 8:
        if let row = model.rows.randomElement(using: &dice) { held.append((try current.chunk(row.range), row.bytes)) }
        if held.count > 8 { held.removeFirst(Int.random(in: 1...8, using: &dice)) }
      default:
        // Killed: another process finds the folder as it is, and names only what was committed.
        let left = folder.copy()
        spool = nil
        folder = left
        model.unsynced = []
        model.held = []
        spool = try open(folder, model.rows.map(\.range), segmentBytes: 4096, spares: 2)
      }
      if step % 10 == 0, let spool { try compare(spool, model, "seed \(seed) step \(step)") }
      for (chunk, bytes) in held { #expect(chunk.array == bytes, "seed \(seed) step \(step): a chunk changed under its reader") }
    }
    if let spool { try compare(spool, model, "seed \(seed) end") }
  }

  @Test(arguments: 1...24 as ClosedRange<UInt64>)
  func randomWorkWithPowerCuts(seed: UInt64) throws {
    var dice = Dice(seed &+ 1000)
    let folder = Folder()
    let disk = LossyDisk()
    let spool = try open(folder, segmentBytes: 4096, disk: disk)
    var model = Model()
    for step in 0..<80 {
      switch Int.random(in: 0..<9, using: &dice) {
      case 0..<4: try append(spool, &model, &dice)
      case 4..<6: try sync(spool, &model, &dice)
      case 6..<8: release(spool, &model, &dice)
      default:
        let left = disk.crash(&dice)
        let after = try open(left, model.rows.map(\.range), segmentBytes: 4096)
        var survived = model
        survived.unsynced = []
        survived.held = []
        try compare(after, survived, "seed \(seed) step \(step)")
      }
    }
  }

  @Test func everythingReleasedLeavesOnlySpares() throws {
    var dice = Dice(99)
    let folder = Folder()
    let spool = try open(folder, segmentBytes: 4096, spares: 3)
    var model = Model()
    for _ in 0..<60 { try append(spool, &model, &dice) }
    try sync(spool, &model, &dice)
    while !model.rows.isEmpty { release(spool, &model, &dice) }
    // The segment in use stays; of the others, three are kept to be written again.
    #expect(spool.usage.segments <= 1)
    #expect(spool.usage.references == 0)
    #expect(spool.usage.liveBytes == 0)
    #expect(folder.segments.count == spool.usage.segments + spool.usage.spares)
    #expect(spool.usage.spares <= 3)
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
}
