import Foundation
import Octets
import ScanWire
import Testing

@testable import Scanning

/// The program, where it was built: beside the tests.
enum RealScanner {
  static let path: String? = {
    let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    let beside = URL(fileURLWithPath: own).deletingLastPathComponent().appendingPathComponent("ceralacca-scanner").path
    return FileManager.default.isExecutableFile(atPath: beside) ? beside : nil
  }()
}

/// With the program itself.
@Suite(.serialized, .enabled(if: RealScanner.path != nil)) struct RealScannerTests {
  /// The test string of the anti-virus trade, in two pieces so that no scanner takes this file for it.
  static let eicar = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-" + "ANTIVIRUS-TEST-FILE!$H+H*"

  static func signature(_ name: String, _ text: String) -> String { "\(name):0:*:\(Hex.encode(Array(text.utf8)))\n" }

  static func mail(_ text: String) -> String {
    "From: a@b.example\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
      + "Content-Transfer-Encoding: base64\r\n\r\n\(String(decoding: Base64.encodeLines(Array(text.utf8)), as: UTF8.self))"
  }

  struct World {
    let world: ScannerWorld
    let scanner: VirusScanner

    init(answerSeconds: Int = 60) throws {
      world = try ScannerWorld()
      try FileManager.default.createDirectory(atPath: world.path("signatures"), withIntermediateDirectories: true)
      try world.write(signature("Eicar-Test-Signature", eicar), to: "signatures/laboratory.ndb")
      var plan = world.plan(answerSeconds: answerSeconds)
      plan.executable = try #require(RealScanner.path)
      plan.settings.database = world.path("signatures")
      scanner = world.scanner(plan)
      try #require(scanner.waitUntilReady(seconds: 60) == nil)
    }

    func write(_ text: String) throws { try world.write(text, to: "signatures/laboratory.ndb") }
  }

  @Test func threatsAreFoundAndWorkersReplaced() throws {
    let world = try World()
    let scanner = world.scanner
    let found = try #require(scanner.outcome(Self.mail(Self.eicar))?.verdict)
    #expect(found.finding == .infected("Eicar-Test-Signature.UNOFFICIAL"))
    #expect(found.version.engine.hasPrefix("ClamAV ") && found.version.signatures == 1)
    #expect(scanner.finding(Self.mail("nothing")) == .clean)
    for number in 0..<20 {
      let worker = try #require(scanner.status.workers.randomElement())
      // The one killed before may not have been missed yet.
      #expect(kill(worker, SIGKILL) == 0 || errno == ESRCH)
      #expect(scanner.finding(Self.mail("\(number)" + Self.eicar)) == .infected("Eicar-Test-Signature.UNOFFICIAL"))
      #expect(scanner.finding(Self.mail("\(number)")) == .clean)
      #expect(scanner.isReached { state in state.slots.allSatisfy { $0.seat != nil } })
    }
    let status = scanner.status
    #expect(status.figures.faults == 0)
    scanner.stop()
    for pid in status.workers + [try #require(status.parent)] { #expect(isGone(pid)) }
    #expect(world.world.temporaries == [])
  }

  @Test func aWorkerThatStandsStillIsReplaced() throws {
    let world = try World(answerSeconds: 1)
    defer { world.scanner.stop() }
    let stopped = world.scanner.status.workers
    for worker in stopped { #expect(kill(worker, SIGSTOP) == 0) }
    #expect(world.scanner.finding(Self.mail(Self.eicar)) == .infected("Eicar-Test-Signature.UNOFFICIAL"))
    #expect(stopped.filter(isGone).count == 1 && world.scanner.status.figures.retried == 1)
  }

  @Test func databasesAreSwappedAndBrokenOnesRefused() throws {
    let world = try World()
    let scanner = world.scanner
    defer { scanner.stop() }
    #expect(scanner.finding(Self.mail("an invented pattern")) == .clean)
    try world.write(Self.signature("Invented", "invented pattern"))
    #expect(scanner.reloaded()?.isTaken == true)
    #expect(scanner.finding(Self.mail("an invented pattern")) == .infected("Invented.UNOFFICIAL"))
    try world.write("this is no database\n")
    let refused = try #require(scanner.reloaded())
    #expect(!refused.isTaken && refused.words.contains("was not taken") && refused.words.hasSuffix("goes on"), "\(refused.words)")
    #expect(scanner.finding(Self.mail("another invented pattern")) == .infected("Invented.UNOFFICIAL"))
    // One that finds something in every message.
    try world.write(Self.signature("Everything", "Nothing is to be found"))
    #expect(scanner.reloaded()?.words.contains("in a harmless message it finds Everything.UNOFFICIAL") == true)
    #expect(scanner.status.figures.generations == 2)
  }

  @Test func aLostParentIsReplaced() throws {
    let world = try World()
    let scanner = world.scanner
    defer { scanner.stop() }
    let status = scanner.status
    #expect(kill(try #require(status.parent), SIGKILL) == 0)
    #expect(world.world.notice("its process ended: killed by signal 9 (Killed)") == .critical)
    #expect(scanner.isReached { if case .up = $0.phase { true } else { false } })
    #expect(scanner.finding(Self.mail(Self.eicar)) == .infected("Eicar-Test-Signature.UNOFFICIAL"))
    #expect(Set(scanner.status.workers).isDisjoint(with: status.workers))
  }
}
