import Foundation
import Octets
import ScanWire
import Testing

@testable import Scanning

/// The gateway's side with scripted processes. One after the other: each starts processes of its own.
@Suite(.serialized) struct VirusScannerTests {
  @Test func everyFindingComesBackAsTheWorkerSaidIt() throws {
    let world = try ScannerWorld()
    let scanner = try world.running()
    defer { scanner.stop() }
    let version = ScanVersion(engine: "Scripted 1.0", database: "version 1", signatures: 7)
    let clean = try #require(scanner.outcome("clean\nabc")?.verdict)
    #expect(clean.finding == .clean && clean.version == version && !clean.isCached && clean.views == 0)
    // sha256sum of the message without the line that is laid before it.
    #expect(clean.digest == "67a2e31cf2f28edaab6d72d6847dfeeff8cee6d0bb39bad57d2d3c65d1103cc3")
    let infected = try #require(scanner.outcome("virus Eicar-Test\n")?.verdict)
    #expect(infected.finding == .infected("Eicar-Test") && infected.views == 3)
    #expect(scanner.finding("encrypted Heuristics.Encrypted.Zip\n") == .encrypted("Heuristics.Encrypted.Zip"))
    #expect(scanner.finding("limits too-deep\n") == .limits("too-deep"))
    let pieces = Monitor<ScanOutcome?>(nil)
    scanner.scan([Chunk("cle"), .empty, Chunk("an\na"), Chunk("bc")]) { outcome in pieces.change { $0 = outcome } }
    var expected = clean
    expected.isCached = true
    #expect(pieces.wait(seconds: 60) { $0 } == .verdict(expected))
    #expect(scanner.finding("") == .clean)
    let figures = scanner.status.figures
    #expect(figures.scanned == 5 && figures.infected == 1 && figures.cacheHits == 1 && figures.generations == 1 && figures.faults == 0)
  }

  @Test func aProcessIsGivenWhatItNeedsAndNothingElse() throws {
    let world = try ScannerWorld()
    let other = open(world.path("database"), O_RDONLY)
    defer { close(other) }
    let scanner = try world.running()
    let owner = geteuid() == 0 ? Int(getpwnam("nobody").pointee.pw_uid) : Int(geteuid())
    #expect(scanner.finding("settings\n") == .infected("ceralacca-scan 700 \(owner)"))
    // Standard input, output and error, and its channel under whatever number.
    guard case .infected(let open)? = scanner.finding("descriptors\n") else { return #expect(Bool(false)) }
    #expect(open.split(separator: ",").count == 4 && open.hasPrefix("0,1,2,"), "\(open)")
    #expect(world.temporaries.count == 1)
    let status = scanner.status
    #expect(status.workers.count == 2 && status.parent != nil && status.isUp && status.reason == "" && status.waiting == 0)
    scanner.stop()
    for pid in status.workers + [try #require(status.parent)] { #expect(isGone(pid)) }
    #expect(world.temporaries == [])
  }

  @Test func nothingIsLookedAtBeforeTheDatabaseIsLoaded() throws {
    let world = try ScannerWorld()
    let gate = try world.gate("load")
    try world.write("version 1\ngate \(gate.path)\nwarning line 3 is odd\n", to: "database")
    let scanner = world.scanner()
    defer { scanner.stop() }
    gate.wait()
    #expect(scanner.waitUntilReady(seconds: 0) == Board.starting)
    #expect(scanner.outcome("clean\n") == .unavailable(Board.starting))
    #expect(!scanner.status.isUp && scanner.status.reason == Board.starting)
    gate.lift()
    #expect(scanner.waitUntilReady(seconds: 60) == nil)
    #expect(scanner.finding("clean\n") == .clean)
    #expect(world.notice("signature database: line 3 is odd") == .warning)
    #expect(world.notice("the virus scanner is up: Scripted 1.0, database version 1 (7 signatures), 2 workers") == .info)
  }

  @Test func aDatabaseThatCannotBeLoadedIsTriedAgain() throws {
    let world = try ScannerWorld()
    try world.write("say line 1 is broken\n", to: "database")
    let scanner = world.scanner()
    defer { scanner.stop() }
    #expect(scanner.waitUntilReady(seconds: 60) == "the virus scanner is not up: line 1 is broken")
    #expect(scanner.outcome("clean\n") == .unavailable("the virus scanner is not up: line 1 is broken"))
    #expect(world.notice("line 1 is broken; the next attempt is due in") == .critical)
    try world.write("version 2\n", to: "database")
    #expect(scanner.isReached { if case .up = $0.phase { true } else { false } })
    #expect(scanner.outcome("clean\n")?.verdict?.version.database == "version 2")
  }

  @Test func aProcessThatFailsToStartSaysWhy() throws {
    let world = try ScannerWorld()
    func reason(_ change: (inout ScannerPlan) throws -> Void) throws -> String {
      var plan = world.plan()
      try change(&plan)
      let scanner = world.scanner(plan, patience: ScannerWorld.patience(pause: 60_000))
      defer { scanner.stop() }
      return scanner.waitUntilReady(seconds: 60) ?? "it is up"
    }
    let said = "the virus scanner is not up: "
    try world.write("exit 7\n", to: "database")
    #expect(try reason { _ in } == said + "its process ended before the database was loaded: exit code 7")
    try world.write("version 1\nnonsense\n", to: "database")
    #expect(try reason { _ in }.hasPrefix(said + "its process does not do what it should"))
    try world.write("version 1\nstillborn\n", to: "database")
    #expect(try reason { _ in } == said + "its workers end before they are given a message, the last one: exit code 6")
    try world.write("version 1\n", to: "database")
    let missing = world.path("nowhere")
    #expect(try reason { $0.executable = missing } == said + "cannot find the virus scanner \(missing): No such file or directory")
    let folder = world.folder
    #expect(try reason { $0.executable = folder } == said + "the virus scanner \(folder) is not a file")
    for (mode, words) in [
      (0o644, "cannot execute the virus scanner \(world.path("scanner")): Permission denied"),
      (0o757, "anybody may write to the virus scanner \(world.path("scanner"))"),
    ] as [(mode_t, String)] {
      #expect(chmod(world.path("scanner"), mode) == 0)
      #expect(try reason { _ in } == said + words)
    }
    #expect(chmod(world.path("scanner"), 0o755) == 0)
    if geteuid() == 0 {
      #expect(try reason { $0.settings.user = "no-such-user" } == said + "there is no user 'no-such-user' for the scanner")
      #expect(try reason { $0.settings.user = "root" } == said + "the scanner may not run as 'root', who is root")
      #expect(chown(world.path("scanner"), 12345, 0) == 0)
      #expect(try reason { _ in }.contains("belongs to user 12345, who is neither root nor the gateway's"))
      #expect(chown(world.path("scanner"), 0, 0) == 0)
    }
    try world.write("file", to: "file")
    let file = world.path("file")
    #expect(try reason { $0.settings.temporary = file }.hasPrefix(said + "cannot make the folder \(file)/ceralacca-scan-"))
    #expect(world.temporaries == [])
    #expect(try reason { _ in } == "it is up")
  }

  @Test func aParentThatForksNothingIsGivenUp() throws {
    let world = try ScannerWorld()
    try world.write("version 1\ndeaf\n", to: "database")
    let scanner = world.scanner(patience: ScannerWorld.patience(order: 50, pause: 60_000))
    defer { scanner.stop() }
    #expect(scanner.waitUntilReady(seconds: 60) == "the virus scanner is not up: its process does not answer any more")
  }

  // MARK: Workers that fail

  @Test func aMessageWhoseWorkerDiesGoesToAnotherOnce() throws {
    let world = try ScannerWorld()
    let scanner = try world.running()
    defer { scanner.stop() }
    try world.write("", to: "once")
    #expect(scanner.finding("die-once \(world.path("once"))\n") == .clean)
    #expect(!world.exists("once"))
    #expect(scanner.status.figures.retried == 1 && scanner.status.figures.faults == 0)
    #expect(world.notice("which goes to another one: it died: signal 11") == .warning)
    let fault = scanner.outcome("die\n")
    #expect(fault?.fault == "it died: signal 11; then: it died: signal 11")
    if case .fault(_, let version, let digest)? = fault {
      #expect(version?.database == "version 1" && digest.count == 64)
    }
    #expect(world.notice("2 workers failed over one message") == .error)
    #expect(scanner.finding("clean\n") == .clean)
    #expect(scanner.isReached { state in state.slots.allSatisfy { $0.seat != nil } })
  }

  @Test func aMessageWhoseWorkerHangsGoesToAnotherOnce() throws {
    let world = try ScannerWorld()
    let scanner = try world.running(world.plan(workers: 1, answerSeconds: 1))
    defer { scanner.stop() }
    let hung = try #require(scanner.status.workers.first)
    try world.write("", to: "once")
    #expect(scanner.finding("hang-once \(world.path("once"))\n") == .clean)
    #expect(isGone(hung))
    #expect(scanner.outcome("hang\n")?.fault == "no answer in 1 seconds; then: no answer in 1 seconds")
    #expect(scanner.finding("clean\n") == .clean)
  }

  @Test(
    arguments: [
      ("fail", "the engine failed: out of tea"),
      ("lie", "it answered a question that was not asked"),
      ("garbage", "it answered nonsense: "),
      ("pass", "it answered nonsense: a packet with descriptors that may not pass"),
      ("long", "it answered nonsense: a packet of more than 65536 octets"),
    ]) func whatAWorkerSaysWrongIsNeverAVerdict(word: String, words: String) throws
  {
    let world = try ScannerWorld()
    let scanner = try world.running()
    defer { scanner.stop() }
    let workers = Set(scanner.status.workers)
    let fault = try #require(scanner.outcome("\(word)\n")?.fault)
    let attempts = fault.components(separatedBy: "; then: ")
    #expect(attempts.count == 2 && attempts.allSatisfy { $0.hasPrefix(words) }, "\(fault)")
    // Those that did so are gone, and others have their places.
    #expect(scanner.isReached { state in state.slots.allSatisfy { $0.seat != nil } })
    #expect(workers.subtracting(scanner.status.workers).count >= 1)
    #expect(scanner.finding("clean\n") == .clean && scanner.finding("virus A\n") == .infected("A"))
  }

  @Test func whatAWorkerSaysUnaskedIsNoAnswerToTheNextMessage() throws {
    let world = try ScannerWorld()
    let scanner = try world.running(world.plan(workers: 1))
    defer { scanner.stop() }
    for number in 0..<10 {
      #expect(scanner.finding("early\n\(number)") == .clean)
      #expect(scanner.finding("virus A\n\(number)") == .infected("A"))
    }
    #expect(scanner.status.figures.faults == 0)
  }

  @Test func aWorkerKilledBetweenMessagesCostsNoAttempt() throws {
    let world = try ScannerWorld()
    let scanner = try world.running(world.plan(workers: 1))
    defer { scanner.stop() }
    for number in 0..<30 {
      let worker = try #require(scanner.status.workers.first)
      #expect(kill(worker, SIGKILL) == 0)
      // With odd numbers the keeper has heard of it before the message comes.
      if number % 2 == 1 { #expect(scanner.isReached { $0.slots[0].seat.map { $0.pid != worker } ?? false }) }
      #expect(scanner.finding("virus A\n\(number)") == .infected("A"))
      #expect(scanner.isReached { $0.slots[0].seat != nil })
    }
    #expect(scanner.status.figures.faults == 0 && scanner.status.figures.generations == 1)
  }

  // MARK: Memory

  @Test func faultsAreRememberedForAWhileAndVerdictsForGood() throws {
    let world = try ScannerWorld()
    let scanner = try world.running()
    defer { scanner.stop() }
    let marks = world.path("marks")
    #expect(scanner.finding("mark \(marks)\n") == .clean)
    #expect(scanner.outcome("fail\n")?.fault != nil)
    // Told once: the second time it is put off, so that nobody keeps a second copy.
    #expect(scanner.outcome("fail\n")?.reason?.hasSuffix("the engine failed: out of tea; then: the engine failed: out of tea") == true)
    #expect(scanner.status.figures.faults == 1 && scanner.status.figures.cacheHits == 1)
    world.clock.change { $0 += 15 * 60 * 1000 }
    #expect(scanner.outcome("fail\n")?.fault != nil)
    #expect(scanner.status.figures.faults == 2 && scanner.status.figures.cacheHits == 1)
    #expect(scanner.outcome("mark \(marks)\n")?.verdict?.isCached == true)
    #expect(try String(contentsOfFile: marks, encoding: .utf8) == "x")
    // Another database: everything is looked at again.
    try world.write("version 2\n", to: "database")
    #expect(scanner.reloaded()?.isTaken == true)
    #expect(scanner.outcome("mark \(marks)\n")?.verdict?.isCached == false)
    #expect(try String(contentsOfFile: marks, encoding: .utf8) == "xx")
    #expect(scanner.outcome("fail\n")?.fault != nil)
    #expect(scanner.status.figures.faults == 3)
  }

  @Test func withoutAMemoryEverythingIsLookedAt() throws {
    let world = try ScannerWorld()
    let scanner = try world.running(world.plan(cached: 0))
    defer { scanner.stop() }
    for _ in 0..<3 { #expect(scanner.outcome("clean\n")?.verdict?.isCached == false) }
    #expect(scanner.status.figures.scanned == 3)
  }
}
