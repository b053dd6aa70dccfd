import Foundation
import Glibc
import Journey
import Octets
import PEC
import Quarantine
import Signing
import Testing

@testable import Operations

/// 2026-03-10T09:15:00+01:00, and a day on which what came then has been kept for 30 months.
private let arrival = Instant(unixSeconds: 1_773_130_500, utcOffsetSeconds: 3600)
private let muchLater = Instant(unixSeconds: 1_773_130_500 + 930 * 86_400, utcOffsetSeconds: 7200)
private let sample = "Subject: prova\r\n\r\nX5O!P%@AP, a pattern of our own\r\n"

/// What a command says, and a quarantine that goes with the test.
private final class Bench {
  let folder: String
  let quarantine: Quarantine
  var said: [String] = []
  var noted: [String] = []
  var events: [EventRecord] = []

  init() {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("desk-test-\(UUID().uuidString)").path
    try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    quarantine = Quarantine(path: "\(folder)/quarantine")
  }

  deinit {
    for path in (try? FileManager.default.subpathsOfDirectory(atPath: folder)) ?? [] { chmod("\(folder)/\(path)", 0o700) }
    try? FileManager.default.removeItem(atPath: folder)
  }

  func desk(at now: Instant = arrival) -> QuarantineDesk {
    QuarantineDesk(
      quarantine: quarantine, now: now, user: "anna", events: { [unowned self] _ in events }, note: { [unowned self] in noted.append($0) })
  }

  func say(_ line: String) { said.append(line) }
  var text: String { said.joined(separator: "\n") }
  var accessLog: String { String(decoding: FileManager.default.contents(atPath: "\(quarantine.path)/access.log") ?? Data(), as: UTF8.self) }

  func keep(_ id: String, pecID: String = "pec.1@alfa.test", at seconds: Int64 = 0) throws {
    let content = Chunk(sample)
    try quarantine.keep(
      QuarantineRecord(
        id: id, pecID: pecID, kind: .envelope, instant: Instant(unixSeconds: arrival.unixSeconds + seconds, utcOffsetSeconds: 3600),
        sender: "anna@pec.alfa.test", recipients: ["bruno@pec.beta.test", "carla@pec.beta.test"], provider: "Gestore \u{1B}[31mAlfa",
        subject: "prova", threat: "Eicar-Test-Signature", scanner: "ClamAV 1.4.6, database laboratory.ndb 1a2b3c4d (3 signatures)",
        digest: Hex.encode(ContentDigest.sha256([content])), bytes: content.count), content: [content])
  }

  /// The exit code that `body` ends with.
  func code(_ body: () throws -> Void) -> Int32 {
    do {
      try body()
      return 0
    } catch let failure as CommandFailure {
      said.append(failure.message)
      return failure.exitCode
    } catch { return -1 }
  }

  func sevenZip(_ arguments: String...) throws -> Int32 {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["7z"] + arguments
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    process.standardInput = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    return process.terminationStatus
  }
}

@Suite struct QuarantineCommandTests {
  private let bench = Bench()

  @Test func theListHasWhatAnOperatorLooksFor() throws {
    try bench.desk().list(from: nil, to: nil, json: false, say: bench.say)
    #expect(bench.said == ["No message is in quarantine."])
    bench.said = []
    try bench.keep("a")
    try bench.keep("b", at: 86_400)
    try bench.desk().list(from: nil, to: QuarantineDay("2026-03-10"), json: false, say: bench.say)
    #expect(bench.said.count == 3)
    #expect(bench.said[0].hasPrefix("WHEN"))
    for word in [
      "2026-03-10T09:15:00+01:00", " a ", "envelope", "Eicar-Test-Signature", "anna@pec.alfa.test", "bruno@pec.beta.test,… 2 in all",
      "\(sample.utf8.count)",
    ] {
      #expect(bench.said[1].contains(word), "\(word) in \(bench.said[1])")
    }
    #expect(bench.said[2] == "1 message, \(sample.utf8.count) octets")
    bench.said = []
    try bench.desk().list(from: nil, to: nil, json: true, say: bench.say)
    #expect(bench.said.count == 2)
    #expect(bench.said[0].contains(#""id":"a","keepUntil":"2028-09-10","kind":"envelope""#))
  }

  @Test func damageIsListedAndEndsWithAnError() throws {
    try bench.keep("a")
    try bench.keep("b")
    let file = "\(bench.quarantine.path)/2026/03/10/a/message.eml"
    chmod(file, 0o600)
    try Data("cut".utf8).write(to: URL(fileURLWithPath: file))
    let code = bench.code { try bench.desk().list(from: nil, to: nil, json: false, say: bench.say) }
    #expect(code == 65)
    #expect(bench.text.contains("DAMAGED \(bench.quarantine.path)/2026/03/10/a: message.eml has not"))
    #expect(bench.text.contains("1 message, "))
  }

  @Test func oneMessageIsShownWithItsPlaceInTheLog() throws {
    try bench.keep("a")
    bench.events = [
      EventRecord(
        number: 12, pecID: "pec.1@alfa.test", instant: arrival, kind: .envelopeReceived, sender: "anna@pec.alfa.test", recipients: [],
        subject: nil, clientMessageID: nil, relatedIDs: [], provider: "Gestore Alfa", bytes: 1)
    ]
    for name in ["a", "pec.1@alfa.test", "<pec.1@alfa.test>"] {
      bench.said = []
      try bench.desk().show(name, json: false, say: bench.say)
      for words in [
        "entry       a", "kind        envelope: a transport envelope", "recipients  bruno@pec.beta.test\n            carla@pec.beta.test",
        "provider    Gestore \\x1b[31mAlfa", "keep until  2028-09-10, that day included", "octets      as they were put away",
        "and root only", "ceralacca log show pec.1@alfa.test", "\n  12 2026-03-10T09:15:00+01:00 ricezione-busta",
      ] {
        #expect(bench.text.contains(words), "\(words) in \(bench.text)")
      }
    }
    #expect(bench.accessLog == String(repeating: "2026-03-10T09:15:00+01:00 anna: show a\n", count: 3))
    #expect(bench.noted.first == "quarantine: anna: show a")
    chmod(bench.quarantine.path, 0o750)
    bench.said = []
    try bench.desk().show("a", json: false, say: bench.say)
    #expect(bench.text.contains("WARNING: by others"))
    bench.said = []
    try bench.desk().show("a", json: true, say: bench.say)
    #expect(bench.text.contains(#""isIntact":true"#) && bench.text.contains(#""number":12"#))
  }

  @Test func whatIsNotThereOrNotOneIsSaid() throws {
    #expect(bench.code { try bench.desk().show("nothing", json: false, say: bench.say) } == 66)
    try bench.keep("a")
    try bench.keep("b")
    #expect(bench.code { try bench.desk().show("pec.1@alfa.test", json: false, say: bench.say) } == 64)
    #expect(bench.text.contains("2 messages of this transaction are in quarantine; name one:\n  a\n  b"))
    #expect(bench.accessLog == "")
  }

  @Test func anExportOpensWithItsPasswordAndHoldsWhatTheAnalystNeeds() throws {
    try bench.keep("a")
    let zip = "\(bench.folder)/sample.zip"
    try bench.desk().export("a", to: zip, passwordFile: nil, json: false, say: bench.say)
    let password = String(try #require(bench.text.firstMatch(of: /password    (\S+)\n/)).1)
    var facts = stat()
    #expect(lstat(zip, &facts) == 0 && facts.st_mode & 0o777 == 0o600)
    #expect(try bench.sevenZip("t", "-pwrong-password", zip) != 0)
    #expect(try bench.sevenZip("x", "-p\(password)", "-o\(bench.folder)/out", zip) == 0)
    func out(_ name: String) throws -> String {
      String(decoding: try #require(FileManager.default.contents(atPath: "\(bench.folder)/out/\(name)")), as: UTF8.self)
    }
    #expect(try out("message.eml") == sample)
    #expect(try out("record.json").contains(#""keepUntil" : "2028-09-10""#))
    let readMe = try out("README.txt")
    for words in ["live sample", "threat      Eicar-Test-Signature", "until 2028-09-10", Hex.encode(ContentDigest.sha256([Chunk(sample)]))]
    {
      #expect(readMe.contains(words), "\(words) in \(readMe)")
    }
    #expect(!readMe.contains(bench.folder))
    #expect(try FileManager.default.contentsOfDirectory(atPath: "\(bench.folder)/out").count == 3)
    #expect(bench.accessLog == "2026-03-10T09:15:00+01:00 anna: export a to \(zip)\n")
    #expect(!bench.accessLog.contains(password) && !bench.noted.joined().contains(password))
    #expect(bench.code { try bench.desk().export("a", to: zip, passwordFile: nil, json: false, say: bench.say) } == 73)
  }

  @Test func aPasswordMayBeGivenInAFile() throws {
    try bench.keep("a")
    let file = "\(bench.folder)/password"
    try Data("una parola lunga\r\nand more\n".utf8).write(to: URL(fileURLWithPath: file))
    let zip = "\(bench.folder)/sample.zip"
    try bench.desk().export("a", to: zip, passwordFile: file, json: true, say: bench.say)
    #expect(!bench.text.contains("password"))
    #expect(try bench.sevenZip("t", "-puna parola lunga", zip) == 0)
    try Data("short\n".utf8).write(to: URL(fileURLWithPath: file))
    let other = "\(bench.folder)/other.zip"
    #expect(bench.code { try bench.desk().export("a", to: other, passwordFile: file, json: true, say: bench.say) } == 65)
    #expect(bench.code { try bench.desk().export("a", to: other, passwordFile: file + "x", json: true, say: bench.say) } == 66)
    #expect(!FileManager.default.fileExists(atPath: other))
  }

  @Test func anotherMessageOfTheSameSizeIsNeverExported() throws {
    try bench.keep("a")
    let file = "\(bench.quarantine.path)/2026/03/10/a/message.eml"
    chmod(file, 0o600)
    try Data(sample.replacingOccurrences(of: "X5O", with: "Y5O").utf8).write(to: URL(fileURLWithPath: file))
    let zip = "\(bench.folder)/sample.zip"
    #expect(bench.code { try bench.desk().export("a", to: zip, passwordFile: nil, json: false, say: bench.say) } == 65)
    #expect(!FileManager.default.fileExists(atPath: zip))
    #expect(bench.code { try bench.desk().show("a", json: false, say: bench.say) } == 65)
    #expect(bench.text.contains("DAMAGED: not those"))
  }

  @Test func nothingIsPurgedUnlessItIsOldAndSaid() throws {
    try bench.keep("old")
    try bench.keep("young", at: 60 * 86_400)
    try bench.desk().purge(isConfirmed: true, json: false, say: bench.say)
    #expect(bench.said == ["0 messages have been kept for 30 months."])
    bench.said = []
    try bench.desk(at: muchLater).purge(isConfirmed: false, json: false, say: bench.say)
    #expect(
      bench.said == [
        "would remove old, of 2026-03-10T09:15:00+01:00, to be kept until 2028-09-10",
        "1 message has been kept for 30 months; say --yes to remove them.",
      ])
    #expect(try bench.quarantine.find("old") != nil)
    #expect(bench.accessLog == "")
    bench.said = []
    try bench.desk(at: muchLater).purge(isConfirmed: true, json: true, say: bench.say)
    #expect(bench.said == [#"{"id":"old","isRemoved":true,"keepUntil":"2028-09-10","time":"2026-03-10T09:15:00+01:00"}"#])
    #expect(try bench.quarantine.find("old") == nil)
    #expect(try bench.quarantine.find("young") != nil)
    #expect(bench.accessLog.hasSuffix(" anna: purge old, kept until 2028-09-10\n"))
  }

  @Test(arguments: ["2026-3-1", "yesterday", "2026-02-30", ""])
  func daysMustBeDays(text: String) {
    #expect(throws: CommandFailure.self) { try QuarantineCommands.day(text, of: "--from") }
  }
}

@Suite struct ScanRowTests {
  @Test func outcomesAreTold() {
    #expect(ScanRow(file: "a.eml", outcome: .off).text == "a.eml: not scanned")
    #expect(ScanRow(file: "a\n.eml", outcome: .unavailable("no database")).text == "a\\x0a.eml: not scanned: no database")
  }

  @Test func totalsCountEveryScan() {
    let tally = ScanTally(2)
    for (index, milliseconds) in [(0, 1.0), (1, 3.0), (0, 9.0)] { tally.add(index, .off, milliseconds: milliseconds) }
    let summary = tally.summary(sizes: [1_000_000, 500_000], seconds: 0.5, version: "none")
    #expect(summary.scans == 3 && summary.messages == 2 && summary.notScanned == 3 && summary.bytes == 2_500_000)
    #expect(summary.messagesPerSecond == 6 && summary.megabytesPerSecond == 5)
    #expect(summary.medianMilliseconds == 3 && summary.slowestMilliseconds == 9)
    #expect(tally.outcomes.count == 2)
  }
}
