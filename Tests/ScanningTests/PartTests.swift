import Foundation
import Octets
import ScanWire
import Testing

@testable import Scanning

/// The pieces that need no process.
@Suite struct PartTests {
  static let version = ScanVersion(engine: "E", database: "d", signatures: 1)

  static func verdict(_ finding: ScanVerdict.Finding, _ digest: String) -> VerdictCache.Entry {
    .verdict(ScanVerdict(finding: finding, version: version, views: 0, digest: digest, isCached: false))
  }

  @Test func theLeastRecentlyUsedVerdictGoesFirst() {
    var cache = VerdictCache(capacity: 3)
    func find(_ name: String, _ basis: String) -> VerdictCache.Entry? { cache.find(name, basis: basis, now: 0) }
    for name in ["a", "b", "c"] { cache.store(.fault(name), name, basis: "x", now: 0) }
    #expect(find("a", "x") == .fault("a"))
    cache.store(.fault("d"), "d", basis: "x", now: 0)
    #expect(find("b", "x") == nil)
    #expect(["a", "c", "d"].allSatisfy { find($0, "x") == .fault($0) } && cache.count == 3)
    cache.store(.fault("again"), "a", basis: "x", now: 0)
    cache.store(.fault("e"), "e", basis: "x", now: 0)
    cache.store(.fault("f"), "f", basis: "x", now: 0)
    #expect(find("a", "x") == .fault("again") && find("d", "x") == nil)
    #expect(find("a", "y") == nil && find("A", "x") == nil)
  }

  /// Against a list that is searched from end to end.
  @Test func theCacheDoesAsAPlainListDoes() {
    var generator = SystemRandomNumberGenerator()
    for capacity in [1, 2, 5, 17] {
      var cache = VerdictCache(capacity: capacity)
      var list: [(String, VerdictCache.Entry)] = []
      for step in 0..<2000 {
        let name = "\(Int.random(in: 0..<capacity * 2 + 1, using: &generator))"
        if Bool.random(using: &generator) {
          let entry = Self.verdict(.infected("\(step)"), name)
          cache.store(entry, name, basis: "", now: 0)
          list.removeAll { $0.0 == name }
          list.append((name, entry))
          if list.count > capacity { list.removeFirst() }
        } else {
          let known = list.firstIndex { $0.0 == name }.map { list.remove(at: $0) }
          if let known { list.append(known) }
          let found = cache.find(name, basis: "", now: 0)
          #expect(found == known?.1)
        }
        #expect(cache.count == list.count)
      }
    }
  }

  @Test func whatMayComeOutOtherwiseIsBelievedForAWhileOnly() {
    var cache = VerdictCache(capacity: 10)
    let entries: [(VerdictCache.Entry, Bool)] = [
      (.fault("f"), false), (Self.verdict(.limits("time"), "l"), false), (Self.verdict(.clean, "c"), true),
      (Self.verdict(.infected("v"), "i"), true), (Self.verdict(.encrypted("z"), "e"), true),
    ]
    for (number, entry) in entries.enumerated() { cache.store(entry.0, "\(number)", basis: "", now: 500) }
    for (number, entry) in entries.enumerated() {
      let young = cache.find("\(number)", basis: "", now: 900_499)
      let old = cache.find("\(number)", basis: "", now: 900_500)
      #expect(young == entry.0 && old == (entry.1 ? entry.0 : nil))
    }
    var none = VerdictCache(capacity: 0)
    none.store(.fault("f"), "f", basis: "", now: 0)
    let nothing = none.find("f", basis: "", now: 0)
    #expect(nothing == nil && none.count == 0)
  }

  @Test func jobsLeaveInTheOrderOfTheirArrival() {
    var queue = JobQueue()
    var next = 0
    var added = 0
    for round in 0..<400 {
      for _ in 0..<(round % 7) {
        let number = added
        queue.append(WaitingJob(content: ScanContent(pieces: [Chunk("\(number)")]), then: { _ in }))
        added += 1
      }
      for _ in 0..<(round % 5) where queue.count > 0 {
        let job = queue.popFirst()
        #expect(job?.content.pieces[0].array == Array("\(next)".utf8))
        next += 1
      }
      #expect(queue.count == added - next)
    }
    while queue.popFirst() != nil { next += 1 }
    #expect(next == added && queue.count == 0)
  }

  @Test func aDatabaseIsLoadedOnceItHasComeToRest() throws {
    let folder = NSTemporaryDirectory() + "watch-\(Hex.encode(Entropy.bytes(6)))"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    func put(_ name: String, _ text: String) throws {
      try Data(text.utf8).write(to: URL(fileURLWithPath: "\(folder)/\(name)"), options: .atomic)
    }
    try put("main.ndb", "a")
    var watch = DatabaseWatch(folder, seconds: 60, now: 0)
    func look(_ now: Int) -> Bool { watch.look(now: now) }
    #expect(watch.dueAt == 60_000)
    watch.noteLoading()
    #expect(!look(60_000) && watch.dueAt == 120_000)
    // What freshclam keeps for itself is no signature.
    try put("freshclam.dat", "x")
    try put("tmp.123", "x")
    #expect(!look(120_000) && watch.dueAt == 180_000)
    try put("daily.ndb", "b")
    #expect(!look(180_000) && watch.dueAt == 182_000)
    try put("main.ndb", "c")
    #expect(!look(182_000) && watch.dueAt == 184_000)
    let rested = look(184_000)
    #expect(rested)
    watch.noteLoading()
    #expect(!look(244_000) && watch.dueAt == 304_000)
    try FileManager.default.removeItem(atPath: "\(folder)/daily.ndb")
    let first = look(304_000)
    let second = look(306_000)
    #expect(!first && second)
    // A file, and one that is not there.
    var file = DatabaseWatch("\(folder)/other.ndb", seconds: 1, now: 0)
    file.noteLoading()
    let before = file.look(now: 1000)
    try put("other.ndb", "d")
    let there = [file.look(now: 2000), file.look(now: 3000)]
    #expect(!before && there == [false, true])
    #expect(DatabaseWatch(folder, seconds: 0, now: 0).dueAt == nil)
  }

  @Test func foldersOfTheDeadAreClearedAwayAndOthersStay() throws {
    let base = NSTemporaryDirectory() + "folders-\(Hex.encode(Entropy.bytes(6)))"
    let outside = base + "-outside"
    for path in [base, outside] { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    defer { for path in [base, outside] { try? FileManager.default.removeItem(atPath: path) } }
    try Data("precious".utf8).write(to: URL(fileURLWithPath: outside + "/file"))
    let living = try ScanFolder.make(below: base, owner: nil, name: "living")
    var dead: ScanFolder? = try ScanFolder.make(below: base, owner: nil, name: "dead")
    let path = try #require(dead?.path)
    try FileManager.default.createDirectory(atPath: path + "/one/two", withIntermediateDirectories: true)
    try Data().write(to: URL(fileURLWithPath: path + "/one/two/three"))
    #expect(symlink(outside, path + "/one/link") == 0 && symlink(outside + "/file", path + "/file") == 0)
    #expect(mkfifo(path + "/pipe", 0o600) == 0)
    dead = nil
    // Named like ours, but a link, a file; and a folder of somebody else's name.
    #expect(symlink(outside, base + "/ceralacca-scan-link") == 0)
    try Data().write(to: URL(fileURLWithPath: base + "/ceralacca-scan-file"))
    try FileManager.default.createDirectory(atPath: base + "/other", withIntermediateDirectories: false)
    #expect(ScanFolder.removeLeftOvers(below: base) == 1)
    let left = try FileManager.default.contentsOfDirectory(atPath: base).sorted()
    #expect(left == ["ceralacca-scan-file", "ceralacca-scan-link", "ceralacca-scan-living", "other"])
    #expect(FileManager.default.fileExists(atPath: outside + "/file"))
    #expect(living.remove() && ScanFolder.removeLeftOvers(below: base) == 0)
    #expect(ScanFolder.removeLeftOvers(below: base + "/nowhere") == 0)
    #expect(throws: ScanFailure.self) { try ScanFolder.make(below: base, owner: nil, name: "file") }
  }

  @Test func aMonitorWakesWhoWaits() {
    let monitor = Monitor(0)
    let group = DispatchGroup()
    for _ in 0..<4 {
      DispatchQueue.global().async(group: group) {
        for _ in 0..<500 { monitor.change { $0 += 1 } }
      }
    }
    #expect(monitor.wait { $0 >= 2000 ? $0 : nil } == 2000)
    group.wait()
    #expect(monitor.wait(seconds: 0) { $0 > 2000 ? true : nil } == nil)
  }
}
