import Foundation
import Glibc
import Journey
import Octets
import Testing

@testable import Quarantine

/// A quarantine that goes with the test.
final class Store: Sendable {
  let folder: String
  let quarantine: Quarantine

  init() {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("quarantine-test-\(UUID().uuidString)").path
    try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    quarantine = Quarantine(path: "\(folder)/quarantine")
  }

  deinit {
    for path in (try? FileManager.default.subpathsOfDirectory(atPath: folder)) ?? [] {
      // Links point out of the folder, and chmod follows them.
      _ = fchmodat(AT_FDCWD, "\(folder)/\(path)", 0o700, AT_SYMLINK_NOFOLLOW)
    }
    try? FileManager.default.removeItem(atPath: folder)
  }

  var paths: [String] { ((try? FileManager.default.subpathsOfDirectory(atPath: quarantine.path)) ?? []).sorted() }

  func mode(_ below: String) -> UInt32 {
    var facts = stat()
    return lstat("\(quarantine.path)/\(below)", &facts) == 0 ? facts.st_mode & 0o777 : 0
  }

  func content(_ below: String) -> [UInt8]? { FileManager.default.contents(atPath: "\(quarantine.path)/\(below)").map { [UInt8]($0) } }

  /// Writes into a file that is there, as nobody should.
  func tamper(_ below: String, _ text: String) throws {
    let path = "\(quarantine.path)/\(below)"
    chmod(path, 0o600)
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
  }

  /// Entries by identifier, and what is damaged by the reason.
  func all(from: String? = nil, to: String? = nil) throws -> [String] {
    let walk = try quarantine.all(from: from.flatMap { QuarantineDay($0) }, to: to.flatMap { QuarantineDay($0) })
    return walk.map { item in
      switch item {
      case .entry(let entry): entry.record.id
      case .damaged(let path, let reason): "\(path.dropFirst(quarantine.path.utf8.count + 1)): \(reason)"
      }
    }
  }
}

/// 2026-03-10T09:15:00+01:00.
private let tenthOfMarch: Int64 = 1_773_130_500
private let text = "Subject: prova\r\n\r\nX5O!P%@AP\r\n"
private let entry = "2026/03/10/pec.20260310081500.000001.abc@alfa.test"

private func record(
  _ id: String = "pec.20260310081500.000001.abc@alfa.test", at seconds: Int64 = tenthOfMarch, offset: Int = 3600,
  bytes: Int = text.utf8.count
) -> QuarantineRecord {
  QuarantineRecord(
    id: id, pecID: "pec.1@alfa.test", kind: .submission, instant: .init(unixSeconds: seconds, utcOffsetSeconds: offset),
    sender: "anna@pec.alfa.test", recipients: ["bruno@pec.beta.test", "città@example.org"], messageID: "1@mua", subject: "prova",
    threat: "Eicar-Test-Signature", scanner: "ClamAV 1.4.6, database laboratory.ndb 1a2b3c4d (3 signatures)",
    digest: String(repeating: "0a", count: 32), bytes: bytes)
}

@Suite struct QuarantineTests {
  let store = Store()
  var quarantine: Quarantine { store.quarantine }
  private let content = [Chunk("Subject: prova\r\n"), Chunk(""), Chunk("\r\nX5O!P%@AP\r\n")]

  @Test func whatIsKeptIsThereWholeAndForItsOwnerAlone() throws {
    try quarantine.keep(record(), content: content)
    #expect(
      store.paths == ["2026", "2026/03", "2026/03/10", entry, "\(entry)/message.eml", "\(entry)/record.json", "tmp"])
    #expect(store.content("\(entry)/message.eml") == Array(text.utf8))
    for folder in ["", "2026", "2026/03", "2026/03/10", "tmp"] { #expect(store.mode(folder) == 0o700, "\(folder)") }
    #expect(store.mode(entry) == 0o500)
    #expect(store.mode("\(entry)/message.eml") == 0o400)
    #expect(store.mode("\(entry)/record.json") == 0o400)
    let json = String(decoding: try #require(store.content("\(entry)/record.json")), as: UTF8.self)
    for words in [
      #""keepUntil" : "2028-09-10""#, #""receivedAt" : "2026-03-10T09:15:00+01:00""#, #""format" : 1"#, #""kind" : "submission""#,
      #""threat" : "Eicar-Test-Signature""#, "città@example.org",
    ] {
      #expect(json.contains(words), "\(json)")
    }

    let found = try #require(try quarantine.find(record().id))
    #expect(found.record == record())
    #expect(found.path == "\(quarantine.path)/\(entry)")
    #expect(found.messagePath == "\(quarantine.path)/\(entry)/message.eml")
    #expect(found.keepUntil == QuarantineDay("2028-09-10"))
    #expect(try quarantine.content(of: found).array == Array(text.utf8))
    #expect(try quarantine.recordFile(of: found).array == store.content("\(entry)/record.json"))
    #expect(try Array(quarantine.all()) == [.entry(found)])
  }

  @Test func theSameAgainChangesNothingAndOtherContentIsRefused() throws {
    try quarantine.keep(record(), content: content)
    var facts = stat()
    #expect(lstat("\(quarantine.path)/\(entry)/message.eml", &facts) == 0)
    let inode = facts.st_ino
    // In other pieces, and judged anew by a later database.
    var again = record()
    again.scanner = "a later one"
    try quarantine.keep(again, content: [Chunk(text)])
    #expect(lstat("\(quarantine.path)/\(entry)/message.eml", &facts) == 0)
    #expect(facts.st_ino == inode)
    #expect(try quarantine.find(record().id)?.record == record())
    #expect(store.paths.filter { $0.hasPrefix("tmp/") }.isEmpty)

    let other = text.replacingOccurrences(of: "X5O", with: "Y5O")
    for words in [other, text + "x", String(text.dropLast(2))] {
      #expect(throws: QuarantineError.otherContent(path: "\(quarantine.path)/\(entry)")) {
        try quarantine.keep(record(bytes: words.utf8.count), content: [Chunk(words)])
      }
    }
    #expect(store.content("\(entry)/message.eml") == Array(text.utf8))
  }

  @Test func manyThreadsKeepTheSameAndOthers() async throws {
    let quarantine = quarantine
    let content = content
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in 0..<40 {
        group.addTask {
          // Two objects on one folder, as two processes would have.
          let mine = number % 2 == 0 ? quarantine : Quarantine(path: quarantine.path)
          try mine.keep(record("m\(number % 10)"), content: content)
        }
      }
      try await group.waitForAll()
    }
    #expect(try store.all() == (0..<10).map { "m\($0)" })
    #expect(store.paths.filter { $0.hasPrefix("tmp/") }.isEmpty)
  }

  @Test(arguments: [
    ("a.b_c-1+x=y@alfa.test", "a.b_c-1+x=y@alfa.test"), ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"), ("..", "%2E."), ("a/b", "a%2Fb"),
    ("a%2Fb", "a%252Fb"), ("a b\n", "a%20b%0A"), ("città", "citt%C3%A0"), ("a~b", "a%7Eb"), ("<x>", "%3Cx%3E"), (".", "%2E"),
  ])
  func identifiersBecomeNames(id: String, name: String) throws {
    #expect(EntryNames.folder(for: id) == name)
    try quarantine.keep(record(id), content: content)
    #expect(try quarantine.find(id)?.record.id == id)
    #expect(try store.all() == [id])
  }

  @Test func longIdentifiersAreCutAndStayApart() throws {
    let long = String(repeating: "x", count: 300)
    for id in [long + "1", long + "2", String(repeating: "/", count: 100)] {
      #expect(EntryNames.folder(for: id).utf8.count <= 200)
      try quarantine.keep(record(id), content: content)
      #expect(try quarantine.find(id)?.record.id == id)
    }
    #expect(EntryNames.folder(for: long + "1") != EntryNames.folder(for: long + "2"))
    #expect(try store.all().count == 3)
    #expect(try quarantine.find(long + "3") == nil)
  }

  @Test func daysAreLegalDaysAndTheWalkKeepsToThem() throws {
    // Half past midnight of 1 April in Rome is still March in UTC.
    try quarantine.keep(record("d", at: 1_774_996_200, offset: 7200), content: content)
    try quarantine.keep(record("b", at: tenthOfMarch + 60), content: content)
    try quarantine.keep(record("c", at: tenthOfMarch - 60), content: content)
    try quarantine.keep(record("a", at: tenthOfMarch - 86_400 * 365), content: content)
    #expect(FileManager.default.fileExists(atPath: "\(quarantine.path)/2026/04/01/d"))
    #expect(try store.all() == ["a", "c", "b", "d"])
    #expect(try store.all(from: "2026-03-10") == ["c", "b", "d"])
    #expect(try store.all(from: "2026-03-11") == ["d"])
    #expect(try store.all(to: "2026-03-10") == ["a", "c", "b"])
    #expect(try store.all(to: "2026-03-09") == ["a"])
    #expect(try store.all(from: "2026-04-02") == [])
    #expect(try store.all(from: "2025-03-10", to: "2025-03-10") == ["a"])
  }

  @Test func aQuarantineThatIsNotThereIsEmptyAndOneThatCannotBeReadIsAnError() throws {
    #expect(try store.all() == [])
    #expect(try quarantine.find("x") == nil)
    try quarantine.noteAccess("nobody looked at nothing")
    #expect(store.paths == [])
    try Data().write(to: URL(fileURLWithPath: quarantine.path))
    #expect(throws: QuarantineError.system(operation: "read the folder", path: quarantine.path, code: ENOTDIR)) { try quarantine.all() }
    #expect(throws: QuarantineError.self) { try quarantine.keep(record(), content: content) }
  }

  @Test func unusableRecordsAreRefused() throws {
    for bad in [
      record(""), record(at: -1), record(at: .max), record(at: .min), record(offset: .max), record(offset: .min), record(bytes: 1),
      record(at: 253_370_000_000),
    ] {
      #expect { try quarantine.keep(bad, content: content) } throws: {
        if case .unusableRecord = $0 as? QuarantineError { true } else { false }
      }
    }
    #expect(store.paths == [])
  }

  @Test func aFailedWriteLeavesNothingThatLooksKept() throws {
    // No folder can be made where a file stands in the way.
    try quarantine.keep(record("other", at: tenthOfMarch - 86_400 * 40), content: content)
    for name in ["2026/03", "tmp"] {
      try? FileManager.default.removeItem(atPath: "\(quarantine.path)/\(name)")
      try Data().write(to: URL(fileURLWithPath: "\(quarantine.path)/\(name)"))
      #expect(throws: QuarantineError.self) { try quarantine.keep(record(), content: content) }
      #expect(try quarantine.find(record().id) == nil)
      try FileManager.default.removeItem(atPath: "\(quarantine.path)/\(name)")
    }
    try quarantine.keep(record(), content: content)
    #expect(try store.all() == ["other", record().id])
  }
}

@Suite struct PurgeTests {
  let store = Store()
  var quarantine: Quarantine { store.quarantine }

  @Test func onlyWhatIsOlderThanTheLawAsksGoes() throws {
    for (id, day) in [("young", 1), ("last", 0), ("old", -1), ("older", -40)] {
      try quarantine.keep(record(id, at: tenthOfMarch + Int64(day) * 86_400), content: [Chunk(text)])
    }
    // 10 March 2026 and 30 months: kept through 10 September 2028.
    let trial = try quarantine.purge(before: #require(QuarantineDay("2028-09-10")), isTrial: true)
    #expect(trial.removed.map(\.record.id) == ["older", "old"])
    #expect(try store.all().count == 4)
    let early = try quarantine.purge(before: #require(QuarantineDay("2028-09-10")))
    #expect(early.removed.map(\.record.id) == ["older", "old"])
    #expect(early.failed.isEmpty)
    #expect(try store.all() == ["last", "young"])
    #expect(!FileManager.default.fileExists(atPath: "\(quarantine.path)/2026/01"))
    #expect(store.paths.filter { $0.hasPrefix("tmp/") || $0.hasPrefix("2026/03/09") }.isEmpty)

    let last = try #require(try quarantine.find("last"))
    #expect(throws: QuarantineError.mustBeKept(path: last.path, until: last.keepUntil)) {
      try quarantine.purge(last, before: #require(QuarantineDay("2028-09-10")))
    }
    #expect(try store.all() == ["last", "young"])
    #expect(try quarantine.purge(before: #require(QuarantineDay("2028-09-11"))).removed.map(\.record.id) == ["last"])
    #expect(try quarantine.purge(before: #require(QuarantineDay("9999-12-31"))).removed.map(\.record.id) == ["young"])
    #expect(store.paths == ["tmp"])
  }

  /// Month ends are where a term by months goes wrong: on each day of a long winter, purging takes exactly what has had its time.
  @Test func atTheEndsOfMonthsNothingGoesTooEarlyOrTooLate() throws {
    let first = Int64(1_787_997_600)  // 29 August 2026, noon in Rome
    for number in 0..<5 {
      try quarantine.keep(record("m\(number)", at: first + Int64(number) * 86_400, offset: 7200), content: [Chunk(text)])
    }
    func expired(_ day: String) throws -> [String] {
      try quarantine.purge(before: #require(QuarantineDay(day)), isTrial: true).removed.map(\.record.id)
    }
    // 29, 30 and 31 August end with February 2029; 1 and 2 September with those of March.
    #expect(try expired("2029-02-28") == [])
    #expect(try expired("2029-03-01") == ["m0", "m1", "m2"])
    #expect(try expired("2029-03-02") == ["m0", "m1", "m2", "m3"])
    #expect(try expired("2029-03-03") == ["m0", "m1", "m2", "m3", "m4"])
  }

  @Test func whatIsDamagedIsReportedAndStays() throws {
    for id in ["size", "gone", "torn", "form", "moved", "fine", "extra", "field"] {
      try quarantine.keep(record(id), content: [Chunk(text)])
      chmod("\(quarantine.path)/2026/03/10/\(id)", 0o700)
    }
    func json(_ id: String) throws -> String {
      String(decoding: try #require(store.content("2026/03/10/\(id)/record.json")), as: UTF8.self)
    }
    try store.tamper("2026/03/10/size/message.eml", "cut")
    #expect(unlink("\(quarantine.path)/2026/03/10/gone/message.eml") == 0)
    try store.tamper("2026/03/10/torn/record.json", #"{"format":1,"rec"#)
    try store.tamper("2026/03/10/form/record.json", try json("form").replacingOccurrences(of: #""format" : 1"#, with: #""format" : 2"#))
    try store.tamper("2026/03/10/field/record.json", try json("field").replacingOccurrences(of: #""threat""#, with: #""treat""#))
    try store.tamper(
      "2026/03/10/moved/record.json", try json("moved").replacingOccurrences(of: "\(tenthOfMarch)", with: "\(Int64.max)"))
    try Data().write(to: URL(fileURLWithPath: "\(quarantine.path)/2026/03/10/extra/notes"))
    try Data().write(to: URL(fileURLWithPath: "\(quarantine.path)/stray"))
    #expect(mkdir("\(quarantine.path)/2026/13", 0o700) == 0 && mkdir("\(quarantine.path)/2026/13/01", 0o700) == 0)
    #expect(mkdir("\(quarantine.path)/2026/13/01/x", 0o700) == 0)
    #expect(symlink("/etc", "\(quarantine.path)/2026/03/10/link") == 0)

    let expected = [
      "stray: nothing of this name belongs here", "fine", "2026/03/10/extra: notes does not belong here",
      "2026/03/10/field: a field of its record is missing or wrong",
      "2026/03/10/form: it has form 2, and this version knows form 1 only", "2026/03/10/gone: message.eml is missing",
      "2026/03/10/link: it is no folder", "2026/03/10/moved: its record is of another day",
      "2026/03/10/size: message.eml has not the \(text.utf8.count) octets that were put there", "2026/03/10/torn: it is no record",
      "2026/13/01/x: there is no such day",
    ]
    #expect(try store.all() == expected)
    #expect { try quarantine.find("size") } throws: { if case .damaged = $0 as? QuarantineError { true } else { false } }
    #expect(try quarantine.find("fine") != nil)

    let result = try quarantine.purge(before: #require(QuarantineDay("2040-01-01")))
    #expect(result.removed.map(\.record.id) == ["fine"])
    #expect(result.failed.count == expected.count - 1)
    #expect(try store.all() == expected.filter { $0 != "fine" })
  }

  @Test func leftOversOfADayAgoGoAndYoungOnesStay() throws {
    try quarantine.keep(record(), content: [Chunk(text)])
    for name in ["old", "new"] {
      let folder = "\(quarantine.path)/tmp/\(name)"
      #expect(mkdir(folder, 0o700) == 0)
      try Data().write(to: URL(fileURLWithPath: "\(folder)/message.eml"))
    }
    let old = [timeval(tv_sec: time(nil) - 90_000, tv_usec: 0), timeval(tv_sec: time(nil) - 90_000, tv_usec: 0)]
    #expect(utimes("\(quarantine.path)/tmp/old", old) == 0)
    #expect(try store.all() == [record().id])
    quarantine.removeLeftOvers()
    #expect(store.paths.filter { $0.hasPrefix("tmp/") } == ["tmp/new", "tmp/new/message.eml"])
  }

  @Test func whoLookedIsWrittenDown() throws {
    try quarantine.keep(record(), content: [Chunk(text)])
    try quarantine.noteAccess("anna show 1")
    try quarantine.noteAccess("bruno export 2\nforged line")
    let lines = String(decoding: try #require(store.content("access.log")), as: UTF8.self)
    #expect(lines == "anna show 1\nbruno export 2\\x0aforged line\n")
    #expect(store.mode("access.log") == 0o600)
    #expect(try store.all() == [record().id])
  }
}

@Suite struct QuarantineDayTests {
  @Test(arguments: [
    ("2026-03-10", "2028-09-10"), ("2026-08-31", "2029-02-28"), ("2025-08-31", "2028-02-29"), ("2024-02-29", "2026-08-29"),
    ("2026-07-01", "2029-01-01"), ("2026-12-31", "2029-06-30"), ("2026-06-30", "2028-12-30"),
  ])
  func thirtyMonths(from: String, until: String) {
    #expect(QuarantineDay(from)?.adding(months: 30)?.description == until)
  }

  @Test(arguments: [
    "2026-02-29", "2026-13-01", "2026-00-01", "2026-01-00", "2026-01-32", "0000-01-01", "2026-1-1", "26-01-01", "2026/01/01", "2026-01-011",
    "", "2026-01-0x", "+026-01-01", "1900-02-29",
  ])
  func nonsense(text: String) { #expect(QuarantineDay(text) == nil) }

  @Test func everyDayOfFourCenturiesHasItsNumber() {
    let calendar = { () -> Calendar in
      var calendar = Calendar(identifier: .gregorian)
      calendar.timeZone = TimeZone(secondsFromGMT: 0) ?? .current
      return calendar
    }()
    for number in stride(from: 0, to: 146_097 + 400, by: 97) {
      let parts = calendar.dateComponents([.year, .month, .day], from: Date(timeIntervalSince1970: Double(number) * 86_400))
      let expected = QuarantineDay(year: parts.year ?? 0, month: parts.month ?? 0, day: parts.day ?? 0)
      #expect(expected != nil)
      for seconds in [0, 86_399] {
        #expect(QuarantineDay(unixSeconds: Int64(number * 86_400 + seconds), utcOffsetSeconds: 0) == expected)
      }
    }
  }

  @Test func momentsBelongToTheirLegalDay() {
    #expect(QuarantineDay(unixSeconds: 1_774_996_200, utcOffsetSeconds: 7200)?.description == "2026-04-01")
    #expect(QuarantineDay(unixSeconds: 1_774_996_200, utcOffsetSeconds: 0)?.description == "2026-03-31")
    #expect(QuarantineDay(unixSeconds: 0, utcOffsetSeconds: -1) == nil)
    #expect(QuarantineDay(unixSeconds: 0, utcOffsetSeconds: 3600)?.description == "1970-01-01")
    #expect(QuarantineDay(unixSeconds: .max, utcOffsetSeconds: .max) == nil)
    #expect(QuarantineDay("9998-01-01")?.adding(months: 30) == nil)
    #expect(QuarantineDay("9998-01-01")?.adding(months: .max) == nil)
    #expect(QuarantineDay("0001-01-01")?.adding(months: -1) == nil)
  }
}
