import Testing

@testable import ScanWire

/// A packet of each kind, with all its choices, and what reads it.
struct Sample: Sendable, CustomTestStringConvertible {
  var name: String
  var octets: [UInt8]
  /// Reads and writes it again: the octets, or the error.
  var reread: @Sendable ([UInt8]) -> Result<[UInt8], ScanWireError>
  var testDescription: String { name }

  private static func order(_ name: String, _ value: ParentOrder) -> Sample {
    Sample(name: name, octets: value.encoded) { octets in
      Result { () throws(ScanWireError) in try ParentOrder(decoding: octets).encoded }
    }
  }
  private static func parent(_ name: String, _ value: ParentReport) -> Sample {
    Sample(name: name, octets: value.encoded) { octets in
      Result { () throws(ScanWireError) in try ParentReport(decoding: octets).encoded }
    }
  }
  private static func worker(_ name: String, _ value: WorkerReport) -> Sample {
    Sample(name: name, octets: value.encoded) { octets in
      Result { () throws(ScanWireError) in try WorkerReport(decoding: octets).encoded }
    }
  }

  static let options = ScanOptions(
    maximumScanBytes: 1, maximumFileBytes: 2, maximumRecursion: 3, maximumFiles: 4, scanSeconds: 5, alertsEncrypted: true,
    detectsPUA: false,
    heuristics: true)
  static let version = ScanVersion(engine: "ClamAV 1.4.6", database: "laboratory.ndb 1a2b3c4d", signatures: 3)

  static let all: [Sample] = [
    order("settings", .settings(ScannerSettings(database: "/db", temporary: "/t", user: "u", options: options, workerMemoryBytes: 6))),
    order(
      "settings without a user",
      .settings(ScannerSettings(database: "/città", temporary: "/t", user: nil, options: ScanOptions(), workerMemoryBytes: .max))),
    order("fork", .fork(number: 0x0102_0304)),
    order("kill", .kill(pid: 4_194_304)),
    parent("loaded", .loaded(version, warnings: ["one", ""])),
    parent("loaded without warnings", .loaded(ScanVersion(engine: "", database: "", signatures: 0), warnings: [])),
    parent("failed", .failed("la città.ndb: Malformed database")),
    parent("forked", .forked(number: .max, pid: 2)),
    parent("died", .died(pid: .max, how: "exit code 3")),
    Sample(name: "job", octets: ScanJob(id: 1, bytes: 300, prefixBytes: 24).encoded) { octets in
      Result { () throws(ScanWireError) in try ScanJob(decoding: octets).encoded }
    },
    worker("clean", .verdict(id: 1, finding: .clean, views: 0)),
    worker("infected", .verdict(id: .max, finding: .infected("Eicar-Test-Signature.UNOFFICIAL"), views: .max)),
    worker("encrypted", .verdict(id: 2, finding: .encrypted("Heuristics.Encrypted.Zip"), views: 1)),
    worker("limits", .verdict(id: 3, finding: .limits("Heuristics.Limits.Exceeded.MaxScanSize"), views: 2)),
    worker("not scanned", .failed(id: 4, "cannot map the message")),
  ]

  static let readers: [@Sendable ([UInt8]) -> Result<[UInt8], ScanWireError>] = [0, 4, 9, 10].map { all[$0].reread }
}

extension Result where Failure == ScanWireError {
  init(_ body: () throws(ScanWireError) -> Success) {
    do { self = .success(try body()) } catch { self = .failure(error) }
  }
  var failure: ScanWireError? {
    if case .failure(let error) = self { error } else { nil }
  }
}

@Suite struct PacketTests {
  @Test(arguments: Sample.all) func whatWasWrittenIsRead(sample: Sample) {
    #expect(sample.reread(sample.octets) == .success(sample.octets))
    #expect(sample.octets.count < 65_536)
  }

  @Test func valuesComeBackAsTheyWere() throws {
    let settings = ScannerSettings(database: "/db", temporary: "/t", user: nil, options: Sample.options, workerMemoryBytes: 1 << 30)
    #expect(try ParentOrder(decoding: ParentOrder.settings(settings).encoded) == .settings(settings))
    let loaded = ParentReport.loaded(Sample.version, warnings: ["a", "b"])
    #expect(try ParentReport(decoding: loaded.encoded) == loaded)
    let job = ScanJob(id: 1 << 60, bytes: 5 << 32, prefixBytes: 24)
    #expect(try ScanJob(decoding: job.encoded) == job)
    for finding in [ScanVerdict.Finding.clean, .infected("a"), .encrypted("b"), .limits("c")] {
      let report = WorkerReport.verdict(id: 9, finding: finding, views: 7)
      #expect(try WorkerReport(decoding: report.encoded) == report)
    }
    #expect(try WorkerReport(decoding: WorkerReport.failed(id: 5, "x").encoded) == .failed(id: 5, "x"))
  }

  // The wire's form, octet by octet: another process speaks it, maybe one of another version.
  @Test func theFormIsFixed() {
    let text: [UInt8] = [0, 2, 0x61, 0x62]
    #expect(ParentOrder.fork(number: 258).encoded == [1, 2, 0, 0, 1, 2])
    #expect(ParentOrder.kill(pid: 258).encoded == [1, 3, 0, 0, 1, 2])
    let numbers = [1, 2, 3, 4, 5, 6].flatMap { [0, 0, 0, 0, 0, 0, 0, $0] as [UInt8] }
    let settings = ScannerSettings(database: "ab", temporary: "ab", user: "ab", options: Sample.options, workerMemoryBytes: 6)
    #expect(ParentOrder.settings(settings).encoded == [1, 1] + text + text + [1] + text + numbers + [1, 0, 1])
    let version = ScanVersion(engine: "ab", database: "ab", signatures: 3)
    #expect(ParentReport.loaded(version, warnings: ["ab"]).encoded == [1, 17] + text + text + [0, 0, 0, 0, 0, 0, 0, 3, 1] + text)
    #expect(ParentReport.failed("ab").encoded == [1, 18] + text)
    #expect(ParentReport.forked(number: 1, pid: 2).encoded == [1, 19, 0, 0, 0, 1, 0, 0, 0, 2])
    #expect(ParentReport.died(pid: 2, how: "ab").encoded == [1, 20, 0, 0, 0, 2] + text)
    #expect(ScanJob(id: 1, bytes: 2, prefixBytes: 2).encoded == [1, 33, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2])
    let head: [UInt8] = [1, 49, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2]
    #expect(WorkerReport.verdict(id: 1, finding: .clean, views: 2).encoded == head + [0])
    #expect(WorkerReport.verdict(id: 1, finding: .infected("ab"), views: 2).encoded == head + [1] + text)
    #expect(WorkerReport.verdict(id: 1, finding: .encrypted("ab"), views: 2).encoded == head + [2] + text)
    #expect(WorkerReport.verdict(id: 1, finding: .limits("ab"), views: 2).encoded == head + [3] + text)
    #expect(WorkerReport.failed(id: 1, "ab").encoded == [1, 50, 0, 0, 0, 0, 0, 0, 0, 1] + text)
  }

  @Test(arguments: Sample.all) func everyTruncationIsRefused(sample: Sample) {
    for length in 0..<sample.octets.count {
      #expect(sample.reread(Array(sample.octets[..<length])).failure == .truncated)
    }
  }

  @Test(arguments: Sample.all) func nothingMayFollow(sample: Sample) {
    #expect(sample.reread(sample.octets + [0]).failure == .trailing(1))
    #expect(sample.reread(sample.octets + sample.octets).failure == .trailing(sample.octets.count))
  }

  @Test(arguments: Sample.all) func anotherFormatIsRefused(sample: Sample) {
    #expect(sample.reread([2] + sample.octets[1...]).failure == .format(2))
    #expect(sample.reread([1, 200] + sample.octets[2...]).failure == .kind(200))
  }

  @Test(arguments: Sample.all) func onlyItsOwnReaderTakesAPacket(sample: Sample) {
    let takers = Sample.readers.map { $0(sample.octets) }
    #expect(takers.filter { $0 == .success(sample.octets) }.count == 1)
    #expect(takers.filter { $0.failure == .kind(sample.octets[1]) }.count == 3)
  }

  // What is taken at all must be in its final form: written and read once more it stays the same.
  @Test(arguments: Sample.all) func everyChangedOctetIsRefusedOrHarmless(sample: Sample) {
    for at in sample.octets.indices {
      for change in UInt8.min...UInt8.max {
        var octets = sample.octets
        octets[at] = change
        for reader in Sample.readers {
          guard case .success(let written) = reader(octets) else { continue }
          if reader(written) != .success(written) { Issue.record("octet \(at) as \(change)") }
        }
      }
    }
  }

  @Test func randomOctetsAreRefusedOrHarmless() {
    var random = SplitMix(state: 1)
    let kinds: [UInt8] = [1, 2, 3, 17, 18, 19, 20, 33, 49, 50]
    var taken = 0
    for round in 0..<60_000 {
      var octets = (0..<Int(random.next() % 80)).map { _ in UInt8(truncatingIfNeeded: random.next() >> (round % 2 == 0 ? 0 : 62)) }
      if octets.count > 1, round % 8 != 0 { octets.replaceSubrange(..<2, with: [1, kinds[Int(random.next() % 10)]]) }
      for reader in Sample.readers {
        guard case .success(let written) = reader(octets) else { continue }
        taken += 1
        if reader(written) != .success(written) { Issue.record("\(octets)") }
      }
    }
    // Otherwise nothing was tried but the refusals.
    #expect(taken > 100)
  }
}

/// The same numbers every time.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}

@Suite struct HostilePacketTests {
  private func text(_ octets: [UInt8]) -> [UInt8] { [UInt8(octets.count >> 8), UInt8(octets.count & 255)] + octets }
  private let head: [UInt8] = [1, 49, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2]

  @Test(arguments: [
    ("Eicar\r\nBcc: x@example.org", "Eicar??Bcc: x@example.org"), ("", "unnamed"), ("   ", "unnamed"), ("a\u{0}b", "a?b"),
    ("virus-città", "virus-citt??"), ("\u{202E}x", "???x"),
  ])
  func namesBecomePrintable(name: String, expected: String) throws {
    let report = try WorkerReport(decoding: head + [1] + text(Array(name.utf8)))
    #expect(report == .verdict(id: 1, finding: .infected(expected), views: 2))
    #expect(
      try WorkerReport(decoding: WorkerReport.verdict(id: 1, finding: .limits(name), views: 2).encoded)
        == .verdict(id: 1, finding: .limits(expected), views: 2))
  }

  @Test func namesAreCut() throws {
    let long = String(repeating: "a", count: 4096)
    let report = try WorkerReport(decoding: head + [1] + text(Array(long.utf8)))
    #expect(report == .verdict(id: 1, finding: .infected(String(long.prefix(256))), views: 2))
  }

  @Test func reasonsStayOnOneLine() throws {
    let report = try WorkerReport(decoding: [1, 50, 0, 0, 0, 0, 0, 0, 0, 1] + text(Array("è\r\n\u{1B}[2J\u{2028}\u{202E}!".utf8)))
    #expect(report == .failed(id: 1, "è???[2J??!"))
    #expect(try ParentReport(decoding: ParentReport.failed("a\nb").encoded) == .failed("a?b"))
  }

  @Test func impossibleValuesAreRefused() {
    let zero8 = [UInt8](repeating: 0, count: 8)
    let minus8 = [UInt8](repeating: 255, count: 8)
    func worker(_ octets: [UInt8]) -> ScanWireError? { Sample.readers[3](octets).failure }
    func parent(_ octets: [UInt8]) -> ScanWireError? { Sample.readers[1](octets).failure }
    func order(_ octets: [UInt8]) -> ScanWireError? { Sample.readers[0](octets).failure }
    func job(_ octets: [UInt8]) -> ScanWireError? { Sample.readers[2](octets).failure }
    #expect(worker(head + [4] + text([65])) == .value("finding"))
    #expect(worker(head + [1] + text([0xFF])) == .value("text"))
    #expect(worker(head + [1] + text([UInt8](repeating: 65, count: 4097))) == .value("text"))
    #expect(worker(head + [1, 255, 255]) == .value("text"))
    for pid: [UInt8] in [[0, 0, 0, 0], [0, 0, 0, 1], [255, 255, 255, 255], [128, 0, 0, 0]] {
      #expect(order([1, 3] + pid) == .value("process id"))
      #expect(parent([1, 19, 0, 0, 0, 1] + pid) == .value("process id"))
      #expect(parent([1, 20] + pid + text([65])) == .value("process id"))
    }
    #expect(parent([1, 17] + text([65]) + text([65]) + minus8 + [0]) == .value("number of signatures"))
    #expect(parent([1, 17] + text([65]) + text([65]) + zero8 + [13]) == .value("number of warnings"))
    #expect(job([1, 33] + zero8 + minus8 + [0, 0, 0, 0]) == .value("length"))
    #expect(job([1, 33] + zero8 + zero8 + [0, 0, 0, 1]) == .value("length"))
    #expect(order([1, 1] + text([])) == .value("name"))
    #expect(order([1, 1] + text([65, 0])) == .value("name"))
    #expect(order([1, 1] + text([65]) + text([65]) + [2]) == .value("flag"))
    #expect(order([1, 1] + text([65]) + text([65]) + [0] + minus8) == .value("limit"))
  }

  @Test func longTextsAreCutBetweenCharacters() throws {
    let long = "a" + String(repeating: "è", count: 3000)
    guard case .failed(let cut) = try ParentReport(decoding: ParentReport.failed(long).encoded) else {
      Issue.record("another report")
      return
    }
    #expect(cut == "a" + String(repeating: "è", count: 2047))
  }

  @Test func theLongestPacketFits() throws {
    let long = String(repeating: "a", count: 100_000)
    let loaded = ParentReport.loaded(
      ScanVersion(engine: long, database: long, signatures: 1), warnings: [String](repeating: long, count: 100))
    #expect(loaded.encoded.count < 65_536)
    guard case .loaded(_, let warnings) = try ParentReport(decoding: loaded.encoded) else {
      Issue.record("another report")
      return
    }
    #expect(warnings == [String](repeating: String(long.prefix(4096)), count: 12))
  }
}

@Suite struct ValueTests {
  @Test func aVersionHasALine() {
    #expect(Sample.version.text == "ClamAV 1.4.6, database laboratory.ndb 1a2b3c4d (3 signatures)")
    #expect(ScanVersion(engine: "e", database: "d", signatures: 1).text == "e, database d (1 signature)")
  }

  @Test func eachOptionChangesTheText() {
    let plain = ScanOptions()
    let changes: [(inout ScanOptions) -> Void] = [
      { $0.maximumScanBytes += 1 }, { $0.maximumFileBytes += 1 }, { $0.maximumRecursion += 1 }, { $0.maximumFiles += 1 },
      { $0.scanSeconds += 1 }, { $0.alertsEncrypted.toggle() }, { $0.detectsPUA.toggle() }, { $0.heuristics.toggle() },
    ]
    #expect(changes.count == Mirror(reflecting: plain).children.count)
    var texts: Set<String> = [plain.text]
    for change in changes {
      var other = plain
      change(&other)
      texts.insert(other.text)
    }
    #expect(texts.count == changes.count + 1)
    #expect(plain.text == ScanOptions().text)
  }

  @Test func theGravestFindingCounts() {
    let rising: [ScanVerdict.Finding] = [.clean, .encrypted("e"), .limits("l"), .infected("i")]
    for (low, one) in rising.enumerated() {
      for (high, other) in rising.enumerated() { #expect(one.graver(other) == rising[max(low, high)]) }
    }
    #expect(ScanVerdict.Finding.infected("first").graver(.infected("second")) == .infected("first"))
    #expect(rising.map(\.name) == [nil, "e", "l", "i"])
  }
}
