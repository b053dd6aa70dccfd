import Channels
import Octets
import ScanWire
import Testing

@testable import Scanning

/// A slot's thread alone: the test stands for the keeper, and for the workers.
@Suite struct SlotTests {
  private final class Bench {
    let desk: ScanDesk
    let lineage = Lineage(number: 1, version: PartTests.version, options: ScanOptions())
    private var pid: Int32 = 100

    init() {
      let plan = ScannerPlan(
        executable: "",
        settings: ScannerSettings(database: "", temporary: "", user: nil, options: ScanOptions(), workerMemoryBytes: 0), workers: 1,
        answerSeconds: 60, cachedVerdicts: 0, databaseCheckSeconds: 0)
      desk = ScanDesk(plan, slots: 1, clock: { 0 }, notice: { _ in })
      desk.board.state.change { [lineage] in $0.phase = .up(lineage) }
    }

    /// Puts a worker into the slot; its end of the channel.
    func seat() throws -> Channel {
      let (ours, theirs) = try Channel.pair()
      pid += 1
      let seat = Seat(lineage: lineage, pid: pid, channel: ours)
      desk.board.state.change { $0.slots[0].seat = seat }
      return theirs
    }

    /// Puts a worker into the slot that may have one message only.
    func shortLivedSeat() throws -> Channel {
      let (ours, theirs) = try Channel.pair()
      pid += 1
      let seat = Seat(lineage: lineage, pid: pid, channel: ours, maximumJobs: 1)
      desk.board.state.change { $0.slots[0].seat = seat }
      return theirs
    }

    /// Puts a worker into the slot that is gone already.
    func goneSeat() throws {
      let (ours, theirs) = try Channel.pair()
      theirs.shutDown()
      pid += 1
      let seat = Seat(lineage: lineage, pid: pid, channel: ours)
      desk.board.state.change { $0.slots[0].seat = seat }
    }

    /// Waits until the slot says that its worker is broken.
    func isBroken() -> Bool {
      // Requests wake nobody here: the bell does.
      guard case .success(let bell) = desk.bell else { return false }
      while let ring = try? bell.receive(waitingMilliseconds: 60_000), !ring.packet.isEmpty {
        let requests = desk.board.state.alter { state in
          defer { state.requests = [] }
          return state.requests
        }
        for case .broken in requests { return true }
      }
      return false
    }

    /// Scans one message on the slot's thread, with `keeper` beside it.
    func outcome(_ keeper: () throws -> Void) rethrows -> ScanOutcome? {
      let held = Monitor<ScanOutcome?>(nil)
      let content = ScanContent(pieces: [Chunk("x")])
      _ = desk.board.submit(WaitingJob(content: content) { outcome in held.change { $0 = outcome } })
      let thread = TestThread { [desk] in SlotThread(desk, slot: 0).run() }
      try keeper()
      let outcome = held.wait(seconds: 60) { $0 }
      desk.board.state.change { $0.isStopping = true }
      thread.join()
      return outcome
    }
  }

  /// Answers the next job with what it is given.
  private func answer(_ channel: Channel, _ finding: ScanVerdict.Finding) throws {
    let packet = try #require(try channel.receive(waitingMilliseconds: 60_000))
    try channel.send(WorkerReport.verdict(id: ScanJob(decoding: packet.packet).id, finding: finding, views: 2).encoded)
  }

  /// Whoever has taken a worker over has it for so many messages only.
  @Test func aWornWorkerIsReplaced() throws {
    let bench = Bench()
    let worker = try bench.shortLivedSeat()
    let outcome = try bench.outcome {
      try answer(worker, .clean)
      #expect(bench.isBroken())
    }
    #expect(outcome?.verdict?.finding == .clean)
    #expect(bench.desk.board.status.workers.isEmpty)
    #expect(bench.desk.board.status.figures.retried == 0)
  }

  @Test func workersThatWereGoneBeforeTheyHadTheMessageAreNoAttempts() throws {
    let bench = Bench()
    try bench.goneSeat()
    let outcome = try bench.outcome {
      for _ in 0..<5 {
        #expect(bench.isBroken())
        try bench.goneSeat()
      }
      #expect(bench.isBroken())
      try answer(try bench.seat(), .infected("A"))
    }
    #expect(outcome?.verdict?.finding == .infected("A") && outcome?.verdict?.views == 2)
    #expect(bench.desk.board.status.figures.retried == 0)
  }

  @Test func thereIsAnEndToWorkersThatAreGone() throws {
    let bench = Bench()
    try bench.goneSeat()
    let outcome = try bench.outcome {
      for _ in 0..<16 {
        #expect(bench.isBroken())
        try bench.goneSeat()
      }
    }
    #expect(outcome?.reason == "workers of the virus scanner end before they are asked")
  }

  @Test func whatALostProcessDidToItsWorkersIsNoAttempt() throws {
    let bench = Bench()
    let first = try bench.seat()
    let outcome = try bench.outcome {
      _ = try #require(try first.receive(waitingMilliseconds: 60_000))
      bench.lineage.isLost.store(true, ordering: .relaxed)
      first.shutDown()
      #expect(bench.isBroken())
      let second = try bench.seat()
      _ = try #require(try second.receive(waitingMilliseconds: 60_000))
      second.shutDown()
      #expect(bench.isBroken())
      try answer(try bench.seat(), .clean)
    }
    #expect(outcome?.verdict?.finding == .clean)
    #expect(bench.desk.board.status.figures.faults == 0)
  }
}
