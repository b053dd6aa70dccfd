import Foundation
import ScanEngine
import ScanWire
import Testing

@testable import ScannerWork

/// A limit of time is the message's only when the worker did use its time.
@Suite struct TimeTests {
  @Test(arguments: ["Limits.Time", "Heuristics.Limits.Exceeded.MaxScanTime"])
  func timeThatWasNotHadIsNoVerdict(_ name: String) {
    #expect(ScanWorker.starvation(.limits(name), processorMilliseconds: 4_999, scanSeconds: 10) != nil)
    #expect(ScanWorker.starvation(.limits(name), processorMilliseconds: 5_000, scanSeconds: 10) == nil)
    #expect(ScanWorker.starvation(.limits("Limits.Size"), processorMilliseconds: 0, scanSeconds: 10) == nil)
    #expect(ScanWorker.starvation(.infected(name), processorMilliseconds: 0, scanSeconds: 10) == nil)
    #expect(ScanWorker.starvation(.clean, processorMilliseconds: 0, scanSeconds: 10) == nil)
  }

  @Test func aWorkerThatWasPausedSaysSo() throws {
    let session = try Session()
    try session.begin(ScanOptions(scanSeconds: 2))
    let worker = try session.fork()
    let line = String(repeating: "words of no harm and of no end ", count: 30)
    let message = Session.mail(String(repeating: line + "\r\n", count: 4_000))
    try session.send(message, to: worker)
    // A few milliseconds of work in every half second.
    for _ in 0..<8 {
      usleep(3000)
      kill(worker.pid, SIGSTOP)
      usleep(500_000)
      kill(worker.pid, SIGCONT)
    }
    let answer = try session.answer(of: worker)
    guard case .failed(_, let words) = answer else {
      Issue.record("\(answer)")
      return
    }
    #expect(words.contains("could work for"), "\(words)")
    #expect(try session.finding(in: Session.mail("harmless"), by: worker) == .clean)
  }
}
