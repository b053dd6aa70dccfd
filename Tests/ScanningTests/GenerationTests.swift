import Foundation
import Octets
import ScanWire
import Testing

@testable import Scanning

/// Processes that come and go while messages are looked at.
@Suite(.serialized) struct GenerationTests {
  @Test func aNewDatabaseTakesOverBetweenMessages() throws {
    let world = try ScannerWorld()
    let scanner = try world.running()
    defer { scanner.stop() }
    let gate = try world.gate("message")
    let outcomes = Outcomes()
    let parent = try #require(scanner.status.parent)
    scanner.scan([Chunk("gate \(gate.path)\n")], then: outcomes.completion(0))
    gate.wait()
    try world.write("version 2\n", to: "database")
    let reloaded = try #require(scanner.reloaded())
    #expect(reloaded.isTaken && reloaded.words == "the virus scanner is up: Scripted 1.0, database version 2 (7 signatures), 2 workers")
    // The slot that is free has changed over, the other one is still with its message; the old process stays for it.
    #expect(scanner.outcome("clean\n")?.verdict?.version.database == "version 2")
    #expect(scanner.status.version?.database == "version 2" && scanner.status.parent != parent)
    #expect(!isGone(parent) && outcomes.now == [:] && world.temporaries.count == 2)
    gate.lift()
    #expect(outcomes.of(0).compactMap { $0.verdict?.version.database } == ["version 1"])
    for number in 0..<10 { #expect(scanner.outcome("clean\n\(number)")?.verdict?.version.database == "version 2") }
    scanner.stop()
    #expect(isGone(parent) && world.temporaries == [] && scanner.status.figures.generations == 2)
  }

  @Test func theProcessBeforeEndsWhenItsLastMessageIsDone() throws {
    let world = try ScannerWorld()
    let scanner = try world.running()
    defer { scanner.stop() }
    let parent = try #require(scanner.status.parent)
    #expect(scanner.reloaded()?.isTaken == true)
    // A second reload is answered by the keeper after it has seen to the first one's end, or a moment later.
    while !isGone(parent) { #expect(scanner.reloaded()?.isTaken == true) }
    #expect(scanner.finding("clean\n") == .clean)
  }

  @Test func aMessageWhoseWorkerDiesInAChangeGoesToTheNewDatabase() throws {
    let world = try ScannerWorld()
    let scanner = try world.running(world.plan(workers: 1))
    defer { scanner.stop() }
    let gate = try world.gate("message")
    let outcomes = Outcomes()
    scanner.scan([Chunk("gate \(gate.path)\n")], then: outcomes.completion(0))
    gate.wait()
    let worker = try #require(scanner.status.workers.first)
    try world.write("version 2\n", to: "database")
    #expect(scanner.reloaded()?.isTaken == true)
    #expect(kill(worker, SIGKILL) == 0)
    gate.wait()
    gate.lift()
    #expect(outcomes.of(0).compactMap { $0.verdict?.version.database } == ["version 2"])
    #expect(scanner.status.figures.retried == 1)
  }

  @Test func aBrokenDatabaseLeavesTheOldOneRunning() throws {
    let world = try ScannerWorld()
    let scanner = try world.running()
    defer { scanner.stop() }
    let status = scanner.status
    for (text, words) in [
      ("say it is broken\n", "it is broken"), ("exit 9\n", "its process ended before the database was loaded: exit code 9"),
      ("version 2\nstillborn\n", "its workers end before they are given a message, the last one: exit code 6"),
      ("version 2\ntrial virus Everything\n", "in a harmless message it finds Everything"),
      ("version 2\ntrial fail\n", "a harmless message is too much for it: the engine failed: out of tea"),
      ("version 2\ntrial lie\n", "a harmless message is too much for it: it answered a question that was not asked"),
      ("version 2\ntrial garbage\n", "a harmless message is too much for it: "),
      ("version 2\ntrial die\n", "its workers end before they are given a message, the last one: signal 11"),
    ] {
      try world.write(text, to: "database")
      let reloaded = try #require(scanner.reloaded())
      #expect(!reloaded.isTaken)
      #expect(
        reloaded.words.hasPrefix("the signature database \(world.path("database")) was not taken: \(words)")
          && reloaded.words.hasSuffix("; Scripted 1.0, database version 1 (7 signatures) goes on"), "\(reloaded.words)")
      #expect(world.notice(words) == .error)
      #expect(scanner.finding("virus A\n\(words)") == .infected("A"))
    }
    #expect(scanner.status.parent == status.parent && scanner.status.workers == status.workers)
    #expect(scanner.status.figures.generations == 1)
  }

  @Test func reloadsThatAreAskedDuringALoadShareTheNextOne() throws {
    let world = try ScannerWorld()
    let scanner = try world.running()
    defer { scanner.stop() }
    let gate = try world.gate("load")
    try world.write("version 2\ngate \(gate.path)\n", to: "database")
    let answers = Monitor<[String]>([])
    func ask(_ name: String) {
      scanner.reload { _, isTaken in
        answers.change { $0.append("\(name) \(isTaken) \(scanner.status.version?.database ?? "")") }
      }
    }
    ask("a")
    gate.wait()
    // What is there now is another database than the one that is being loaded.
    try world.write("version 3\n", to: "database")
    ask("b")
    ask("c")
    #expect(scanner.outcome("clean\n")?.verdict?.version.database == "version 1")
    gate.lift()
    let all = answers.wait(seconds: 60) { $0.count == 3 ? $0 : nil }
    #expect(all == ["a true version 2", "b true version 3", "c true version 3"])
    #expect(scanner.status.figures.generations == 3)
  }

  @Test func aDatabaseThatChangesIsLoadedByItself() throws {
    let world = try ScannerWorld()
    let scanner = try world.running(world.plan(checkSeconds: 1))
    defer { scanner.stop() }
    try world.write("version 22\n", to: "database")
    #expect(world.notice("the signature database \(world.path("database")) is another") == .info)
    #expect(scanner.isReached { if case .up(let lineage) = $0.phase { lineage.version.database == "version 22" } else { false } })
    try world.write("say this one is broken\n", to: "database")
    #expect(world.notice("this one is broken; Scripted 1.0, database version 22") == .error)
    #expect(scanner.outcome("clean\n")?.verdict?.version.database == "version 22")
  }

  // MARK: Lost processes

  @Test func aLostProcessIsReplacedAndItsMessagesAreToldToComeAgain() throws {
    let world = try ScannerWorld()
    let load = try world.gate("load")
    let scanner = try world.running(patience: ScannerWorld.patience(pause: 1))
    defer { scanner.stop() }
    try world.write("version 1\ngate \(load.path)\n", to: "database")
    let gate = try world.gate("message")
    let outcomes = Outcomes()
    scanner.scan([Chunk("gate \(gate.path)\n")], then: outcomes.completion(0))
    gate.wait()
    let parent = try #require(scanner.status.parent)
    #expect(kill(parent, SIGKILL) == 0)
    let lost = outcomes.of(0)
    #expect(lost.count == 1 && lost[0].reason?.hasPrefix("the virus scanner is down: its process ended") == true, "\(lost)")
    load.wait()
    #expect(scanner.outcome("clean\n")?.reason?.hasPrefix("the virus scanner is down: its process ended") == true)
    #expect(world.notice("the virus scanner is down: its process ended: killed by signal 9 (Killed); ") == .critical)
    #expect(!scanner.status.isUp && scanner.status.parent == nil && scanner.status.workers == [])
    load.lift()
    #expect(scanner.isReached { if case .up = $0.phase { true } else { false } })
    #expect(scanner.finding("clean\n") == .clean)
    // Nothing of it was the message's doing.
    #expect(scanner.status.figures.retried == 0 && scanner.status.figures.faults == 0 && outcomes.now.count == 1)
  }

  @Test func aProcessLostWhileTheNextOneLoadsIsReplacedByThat() throws {
    let world = try ScannerWorld()
    let scanner = try world.running(patience: ScannerWorld.patience(pause: 60_000))
    defer { scanner.stop() }
    let gate = try world.gate("load")
    try world.write("version 2\ngate \(gate.path)\n", to: "database")
    let answers = Monitor<[Bool]>([])
    scanner.reload { _, isTaken in answers.change { $0.append(isTaken) } }
    gate.wait()
    #expect(kill(try #require(scanner.status.parent), SIGKILL) == 0)
    #expect(world.notice("killed by signal 9 (Killed); another one is being loaded") == .critical)
    #expect(scanner.outcome("clean\n")?.reason?.hasPrefix("the virus scanner is down") == true)
    gate.lift()
    #expect(answers.wait(seconds: 60) { $0.isEmpty ? nil : $0 } == [true])
    #expect(scanner.outcome("clean\n")?.verdict?.version.database == "version 2")
  }

  @Test func aProcessLostWhileItLoadsAnswersItsReload() throws {
    let world = try ScannerWorld()
    let scanner = try world.running()
    defer { scanner.stop() }
    let gate = try world.gate("load")
    try world.write("version 2\ngate \(gate.path)\n", to: "database")
    let answers = Monitor<[String]>([])
    scanner.reload { words, _ in answers.change { $0.append(words) } }
    gate.wait()
    let processes = Set(try children(of: world).map(\.pid))
    for pid in processes where pid != scanner.status.parent { #expect(kill(pid, SIGKILL) == 0) }
    let words = answers.wait(seconds: 60) { $0.first }
    #expect(words?.contains("its process ended before the database was loaded: killed by signal 9 (Killed)") == true, "\(words ?? "")")
    #expect(scanner.finding("clean\n") == .clean)
  }

  /// Processes that this one started from the world's folder.
  private func children(of world: ScannerWorld) throws -> [(pid: Int32, state: String)] {
    try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap { name in
      guard let pid = Int32(name), let stat = try? String(contentsOfFile: "/proc/\(name)/stat", encoding: .utf8) else { return nil }
      let fields = stat.split(separator: ")").last?.split(separator: " ") ?? []
      let command = (try? String(contentsOfFile: "/proc/\(name)/cmdline", encoding: .utf8)) ?? ""
      return fields.count > 1 && fields[1] == "\(getpid())" && command.contains(world.folder) ? (pid, String(fields[0])) : nil
    }
  }

  // MARK: Stopping

  @Test func stoppingAnswersWhatRunsAndWhatWaitsOnce() throws {
    let world = try ScannerWorld()
    let scanner = try world.running()
    let outcomes = Outcomes()
    let gates = [try world.gate("a"), try world.gate("b")]
    for (number, gate) in gates.enumerated() { scanner.scan([Chunk("gate \(gate.path)\n")], then: outcomes.completion(number)) }
    for gate in gates { gate.wait() }
    for number in 2..<50 { scanner.scan([Chunk("clean\n\(number)")], then: outcomes.completion(number)) }
    let status = scanner.status
    // Each of the two seats may have taken one to prepare it meanwhile.
    #expect((46...48).contains(status.waiting))
    scanner.stop()
    let all = outcomes.now
    #expect(all.count == 50 && all.values.allSatisfy { $0 == [.unavailable(Board.stopped)] })
    for pid in status.workers + [try #require(status.parent)] { #expect(isGone(pid)) }
    #expect(world.temporaries == [])
    #expect(scanner.outcome("clean\n") == .unavailable(Board.stopped))
    #expect(scanner.waitUntilReady(seconds: 0) == Board.stopped && scanner.status.reason == Board.stopped)
    let reloaded = scanner.reloaded()
    #expect(reloaded?.isTaken == false && reloaded?.words == Board.stopped)
    scanner.stop()
  }

  @Test func stoppingDuringALoadAnswersWhoWaitsForIt() throws {
    let world = try ScannerWorld()
    let gate = try world.gate("load")
    try world.write("version 1\ngate \(gate.path)\n", to: "database")
    let scanner = world.scanner()
    let answers = Monitor<[Bool]>([])
    scanner.reload { _, isTaken in answers.change { $0.append(isTaken) } }
    gate.wait()
    scanner.stop()
    #expect(answers.read { $0 } == [false])
    #expect(world.temporaries == [] && scanner.status.figures.generations == 0)
  }

  @Test func stoppingAtOnceIsFine() throws {
    let world = try ScannerWorld()
    for _ in 0..<10 { world.scanner().stop() }
    #expect(world.temporaries == [])
  }

  @Test func aProcessThatDoesNotEndIsKilled() throws {
    let world = try ScannerWorld()
    try world.write("version 1\nimmortal\n", to: "database")
    let scanner = try world.running(patience: ScannerWorld.patience(ending: 50))
    let parent = try #require(scanner.status.parent)
    scanner.stop()
    #expect(isGone(parent))
  }

  @Test func aScannerThatIsDroppedEnds() throws {
    let world = try ScannerWorld()
    let outcomes = Outcomes()
    var scanner: VirusScanner? = try world.running()
    let status = try #require(scanner?.status)
    let state = try #require(scanner?.desk.board.state)
    scanner?.scan([Chunk("hang\n")], then: outcomes.completion(0))
    scanner = nil
    #expect(outcomes.of(0) == [.unavailable(Board.stopped)])
    #expect(state.wait(seconds: 60) { $0.hasKeeper ? nil : true } == true)
    for pid in status.workers + [try #require(status.parent)] { #expect(isGone(pid)) }
  }
}
