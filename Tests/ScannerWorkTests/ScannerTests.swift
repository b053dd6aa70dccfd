import Channels
import Foundation
import ScanWire
import Testing

@Suite struct ScannerTests {
  private static let eicar = ScanVerdict.Finding.infected("Eicar-Test-Signature.UNOFFICIAL")

  @Test func aMessageIsScanned() throws {
    let session = try Session()
    let version = try session.begin()
    #expect(version.signatures == 1)
    #expect(version.database.hasPrefix("laboratory.ndb "))
    let worker = try session.fork()
    #expect(try session.finding(in: Session.mail("harmless"), by: worker) == .clean)
    #expect(try session.finding(in: Session.mail(Session.eicar), by: worker) == Self.eicar)
    // Without any header that libclamav would take for a mail's, the line before it makes it one.
    let odd = "X-Whatever: 1\r\n" + Session.mail(Session.eicar)
    #expect(try session.finding(in: odd, by: worker) == Self.eicar)
    #expect(try session.finding(in: "", by: worker) == .clean)
  }

  @Test func aLargeFileThatHasNoRoomIsNotCalledClean() throws {
    let session = try Session()
    try session.begin()
    let worker = try session.fork()
    let large = Session.mail(String(repeating: "0123456789\n", count: 40_000) + Session.eicar)
    #expect(try session.finding(in: large, by: worker) == Self.eicar)
    try FileManager.default.removeItem(atPath: session.temporary + "/worker-1")
    // Small ones need no folder.
    #expect(try session.finding(in: Session.mail(Session.eicar), by: worker) == Self.eicar)
    #expect(try session.finding(in: Session.mail("harmless"), by: worker) == .clean)
    guard case .failed = try session.scan(large, by: worker) else {
      Issue.record("half of it was looked at")
      return
    }
  }

  @Test func whatLibclamavDoesNotSeeIsSeenInAView() throws {
    let session = try Session()
    try session.begin()
    let worker = try session.fork()
    // Padding in the middle: libclamav stops there, some mail clients go on.
    let octets = Array(Session.eicar.utf8)
    let pieces = stride(from: 0, to: octets.count, by: 10).map { Data(octets[$0..<min($0 + 10, octets.count)]).base64EncodedString() }
    let trick =
      "From: a@b.it\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
      + pieces.joined(separator: "\r\n") + "\r\n"
    guard case .verdict(2, let finding, let views) = try session.scan(trick, by: worker) else {
      Issue.record("no verdict")
      return
    }
    #expect(finding == Self.eicar)
    #expect(views > 0)
  }

  @Test func aLimitIsAVerdictOfItsOwn() throws {
    let session = try Session()
    try session.begin(ScanOptions(maximumFileBytes: 1000))
    let worker = try session.fork()
    guard case .verdict(2, .limits, _) = try session.scan(Session.mail(String(repeating: "x", count: 5000)), by: worker) else {
      Issue.record("no limit")
      return
    }
  }

  @Test func tooDeepAStructureIsALimit() throws {
    let session = try Session()
    try session.begin()
    let worker = try session.fork()
    var message = "From: a@b.it\r\nMIME-Version: 1.0\r\n"
    for depth in 0..<80 { message += "Content-Type: multipart/mixed; boundary=b\(depth)x\r\n\r\n--b\(depth)x\r\n" }
    message += "Content-Type: text/plain\r\n\r\nHello.\r\n"
    guard case .verdict(2, .limits, _) = try session.scan(message, by: worker) else {
      Issue.record("no limit")
      return
    }
  }

  @Test func severalWorkersShareOneParent() throws {
    let session = try Session()
    try session.begin()
    let workers = [try session.fork(), try session.fork(), try session.fork()]
    #expect(Set(workers.map(\.pid)).count == 3)
    for worker in workers { try session.send(Session.mail(Session.eicar), to: worker) }
    for worker in workers {
      guard case .verdict(_, Self.eicar, _) = try session.answer(of: worker) else {
        Issue.record("not found")
        return
      }
    }
    #expect(session.workerFolders.count == 3)
    // Whoever closes a worker's channel sends it home.
    workers[0].channel.shutDown()
    #expect(try session.report() == .died(pid: workers[0].pid, how: "exit code 0"))
    #expect(session.workerFolders.count == 2)
  }

  @Test func aWorkerThatDiesIsReported() throws {
    let session = try Session()
    try session.begin()
    let worker = try session.fork()
    kill(worker.pid, SIGSEGV)
    #expect(Session.ends(worker.channel))
    #expect(try session.report() == .died(pid: worker.pid, how: "killed by signal 11 (Segmentation fault)"))
    #expect(session.workerFolders.isEmpty)
    let next = try session.fork()
    #expect(try session.finding(in: Session.mail(Session.eicar), by: next) == Self.eicar)
  }

  @Test func aWorkerThatHangsIsKilledByOrder() throws {
    let session = try Session()
    try session.begin()
    let worker = try session.fork()
    kill(worker.pid, SIGSTOP)
    try session.send(Session.mail("harmless"), to: worker)
    // Somebody else's process is not killed by order.
    try session.order(.kill(pid: getpid()))
    try session.order(.kill(pid: worker.pid))
    #expect(try session.report() == .died(pid: worker.pid, how: "killed by signal 9 (Killed)"))
    #expect(Session.ends(worker.channel))
    #expect(session.workerFolders.isEmpty)
  }

  @Test func workersEndWithTheirParent() throws {
    let session = try Session()
    try session.begin()
    let workers = [try session.fork(), try session.fork()]
    // Even one that does nothing any more.
    kill(workers[1].pid, SIGSTOP)
    session.process.kill()
    #expect(Session.ends(workers[0].channel))
    #expect(Session.ends(workers[1].channel))
  }

  @Test func theParentEndsWithItsChannel() throws {
    let session = try Session()
    try session.begin()
    let worker = try session.fork()
    kill(worker.pid, SIGSTOP)
    session.control.shutDown()
    #expect(session.process.wait() == "exit code 0")
    #expect(Session.ends(worker.channel))
    #expect(session.workerFolders.isEmpty)
  }

  @Test func aBrokenDatabaseIsReported() throws {
    let session = try Session(signatures: "Broken:0:*:58354f2\n")
    try session.order(.settings(session.settings()))
    guard case .failed(let why) = try session.report() else {
      Issue.record("not refused")
      return
    }
    #expect(why.contains("laboratory.ndb"))
    #expect(session.process.wait() == "exit code 1")
  }

  @Test func aSwapLeavesTheOldOneAtWork() throws {
    let old = try Session()
    try old.begin()
    let before = try old.fork()
    let new = try Session(signatures: "Invented:0:*:\("a later pattern".utf8.map { String(format: "%02x", $0) }.joined())\n")
    try new.begin()
    let after = try new.fork()
    #expect(try old.finding(in: Session.mail("a later pattern"), by: before) == .clean)
    #expect(try new.finding(in: Session.mail("a later pattern"), by: after) == .infected("Invented.UNOFFICIAL"))
    old.control.shutDown()
    #expect(old.process.wait() == "exit code 0")
    #expect(try new.finding(in: Session.mail("harmless"), by: after) == .clean)
  }

  @Test func whatIsNoOrderEndsIt() throws {
    for isBegun in [false, true] {
      let session = try Session()
      if isBegun { try session.begin() }
      try session.control.send([255, 1, 2, 3])
      guard case .failed = try session.report() else {
        Issue.record("not refused")
        return
      }
      #expect(session.process.wait() == "exit code 1")
    }
  }

  @Test func whatIsNoJobIsNotScanned() throws {
    let session = try Session()
    try session.begin()
    let worker = try session.fork()
    // A length that the memory does not have.
    let memory = try SharedMemory.make(name: "message", pieces: [])
    try worker.channel.send(ScanJob(id: 7, bytes: 10, prefixBytes: 0).encoded, passing: memory)
    guard case .failed(7, _) = try session.answer(of: worker) else {
      Issue.record("taken")
      return
    }
    try worker.channel.send([255, 1, 2, 3])
    #expect(Session.ends(worker.channel))
    #expect(try session.report() == .died(pid: worker.pid, how: "exit code 2"))
  }

  @Test func aWorkerCannotReachAnything() throws {
    let session = try Session()
    try session.begin()
    let worker = try session.fork()
    for pid in [session.process.id, worker.pid] {
      let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
      let facts = status.split(separator: "\n").map { $0.split(whereSeparator: \.isWhitespace).map(String.init) }
      #expect(facts.contains(["NoNewPrivs:", "1"]))
      #expect(facts.contains(["Seccomp:", "2"]))
      #expect(facts.contains(["Threads:", "1"]))
      #expect(facts.contains(["CapEff:", "0000000000000000"]))
      #expect(!facts.contains { $0.first == "Uid:" && $0.contains("0") })
    }
  }
}
