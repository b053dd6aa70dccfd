import Foundation
import Octets
import Testing

@testable import Spool

/// One run of a spool, from its opening to a crash, beside a model of what must be there.
struct Life {
  /// What the ledger would name, with the record that holds it and the octets it stands for.
  struct Row {
    let range: StoredRange
    let record: StoredRange
    let bytes: [UInt8]
  }

  let folder: Folder
  let spool: Spool
  /// Where in a test we are.
  var hint: String
  var rows: [Row] = []
  /// Appended since the last sync: no row names them yet, and they are held only from now on, or already.
  private var unsynced: [Row] = []
  private var held: [Row] = []
  /// What rows named at the opening and was not counted yet.
  private var uncounted: [StoredRange] = []
  /// The files of the opening; their numbers and those of its rows are not given again.
  private var files: Set<String> = []
  private var taken: Set<UInt32> = []
  /// Segments without a file, and records of which an octet was changed.
  private var lost: Set<UInt32> = []
  private var damaged: Set<StoredRange> = []

  /// The first life, in an empty folder.
  init(_ folder: Folder, spares: Int, hint: String, disk: any Disk = SystemDisk()) throws {
    self.folder = folder
    self.hint = hint
    spool = try openUncounted(folder, segmentBytes: 4096, spares: spares, disk: disk)
    #expect(spool.isCounted)
  }

  private init(_ folder: Folder, rows: [Row], lost: Set<UInt32>, damaged: Set<StoredRange>, hint: String, disk: any Disk) throws {
    self.folder = folder
    self.hint = hint
    self.rows = rows
    self.lost = lost
    self.damaged = damaged
    files = Set(folder.segments)
    uncounted = rows.map(\.range)
    taken = Set(uncounted.map(\.segment) + files.compactMap { SegmentName.number($0) })
    spool = try openUncounted(folder, uncounted, segmentBytes: 4096, spares: 2, disk: disk)
    #expect(spool.isCounted == taken.isEmpty, "\(hint)")
  }

  /// What a crash leaves in `left`, where a file or an octet may be lost too, opened again. Nothing is counted yet.
  func next(in left: Folder, _ dice: inout Dice, disk: (Folder) -> any Disk = { _ in SystemDisk() }) throws -> Life {
    var lost = lost.intersection(rows.map(\.range.segment))
    var damaged = damaged.intersection(rows.map(\.record))
    if Int.random(in: 0..<4, using: &dice) == 0, let row = rows.randomElement(using: &dice), lost.insert(row.range.segment).inserted {
      try FileManager.default.removeItem(atPath: SegmentName.path(left.path, row.range.segment))
    }
    if Bool.random(using: &dice), let row = rows.randomElement(using: &dice), row.record.length > 0, !lost.contains(row.range.segment),
      damaged.insert(row.record).inserted
    {
      let inside = Int.random(in: 0..<Int(row.record.length), using: &dice)
      left.flip("segment-" + SegmentName.path("", row.range.segment).dropFirst(9), at: Int(row.record.offset) + inside)
    }
    var life = try Life(left, rows: rows, lost: lost, damaged: damaged, hint: hint, disk: disk(left))
    life.uncounted.shuffle(using: &dice)
    return life
  }

  /// One step of what a gateway does; `kind` from 0 to 7.
  mutating func work(_ kind: Int, _ dice: inout Dice) throws {
    switch kind {
    case 0..<3: try append(&dice)
    case 3..<5: try sync(&dice)
    case 5: count(&dice)
    case 6: forward(&dice)
    default: release(&dice)
    }
  }

  mutating func append(_ dice: inout Dice) throws {
    let length = [0, 1, 7, 40, 500, 3000, 3993, 9000].randomElement(using: &dice) ?? 1
    let body = dice.bytes(length)
    let cut = Int.random(in: 0...length, using: &dice)
    let range = try spool.append([Chunk(Array(body[..<cut])), Chunk(Array(body[cut...]))])
    #expect(!taken.contains(range.segment), "\(hint): a number was used again")
    let row = Row(range: range, record: range, bytes: body)
    // Held at once or not before the sync, as it comes; or it was garbage all along.
    switch Int.random(in: 0..<5, using: &dice) {
    case 0: break
    case 1, 2: unsynced.append(row)
    default:
      spool.retain([range])
      held.append(row)
    }
  }

  /// Sync, "commit" all rows; now and then an entry names a part of a body as well.
  private mutating func sync(_ dice: inout Dice) throws {
    spool.retain(unsynced.map(\.range))
    try spool.sync()
    for row in unsynced + held {
      rows.append(row)
      if Bool.random(using: &dice) { hold(partOf: row) }
    }
    unsynced = []
    held = []
  }

  /// Somebody else gets a part of what an entry names: of this run or an earlier one, counted or not.
  private mutating func forward(_ dice: inout Dice) {
    if let row = rows.randomElement(using: &dice) { hold(partOf: row) }
  }

  private mutating func hold(partOf row: Row) {
    guard row.bytes.count > 10 else { return }
    let part = row.range[3..<9]
    spool.retain([part])
    rows.append(Row(range: part, record: row.record, bytes: Array(row.bytes[3..<9])))
  }

  private mutating func release(_ dice: inout Dice) {
    for _ in 0..<Int.random(in: 1...6, using: &dice) where !rows.isEmpty {
      let row = rows.remove(at: Int.random(in: 0..<rows.count, using: &dice))
      spool.release([row.range])
    }
  }

  /// A batch, or the end.
  private mutating func count(_ dice: inout Dice) {
    if uncounted.isEmpty {
      spool.endCounting()
      #expect(spool.isCounted)
      return
    }
    let batch = Int.random(in: 0...min(12, uncounted.count), using: &dice)
    spool.count(Array(uncounted.suffix(batch)))
    uncounted.removeLast(batch)
  }

  /// What must be said of a row.
  func fault(_ row: Row) -> SpoolFault? {
    if lost.contains(row.range.segment) { return .missingSegment }
    return damaged.contains(row.record) ? .checksum : nil
  }

  /// Compares all that is there with what must be.
  func compare(_ dice: inout Dice) throws {
    for row in rows + held + unsynced {
      let fault = fault(row)
      if Bool.random(using: &dice) { #expect(spool.verify(row.range) == fault, "\(hint) \(row.range)") }
      let read = Result { try spool.chunk(row.range).array }
      switch (read, fault) {
      case (.success(let bytes), nil): #expect(bytes == row.bytes, "\(hint) \(row.range)")
      case (.failure(let error), let fault?): #expect(error as? SpoolError == .damaged(row.range, fault), "\(hint)")
      default: Issue.record("\(hint) \(row.range): \(read), expected \(fault.map { "\($0)" } ?? "to be read")")
      }
      if Bool.random(using: &dice) { #expect(spool.verify(row.range) == fault, "\(hint) \(row.range)") }
      #expect(spool.check(row.range) == fault, "\(hint) \(row.range)")
    }
    let usage = spool.usage
    #expect(usage.mismatches == 0, "\(hint)")
    #expect(usage.references == rows.count + held.count - uncounted.count, "\(hint)")
    if !spool.isCounted { #expect(files.isSubset(of: folder.segments), "\(hint): a file went before all was counted") }
  }

  /// Counts the rest, lets everything go and looks at what is left.
  mutating func end(_ dice: inout Dice) throws {
    while !uncounted.isEmpty { count(&dice) }
    count(&dice)
    try sync(&dice)
    while !rows.isEmpty { release(&dice) }
    let usage = spool.usage
    #expect(usage.segments <= 1, "\(hint)")
    #expect(usage.references == 0, "\(hint)")
    #expect(usage.liveBytes == 0, "\(hint)")
    #expect(usage.mismatches == 0, "\(hint)")
    #expect(folder.segments.count == usage.segments + usage.spares, "\(hint)")
  }
}
