import Foundation
import Octets
import ScanWire
import Testing

@testable import Scanning

/// Everything at once.
@Suite struct ScannerLoadTests {
  /// Senders, a killer of workers, a killer of parents, new databases; then the end while messages run. Each message is answered once; what
  /// is said of it is what a worker must say, or that it could not be looked at.
  @Test func noMessageIsLostAnsweredTwiceOrTakenForAnother() throws {
    let world = try ScannerWorld()
    let scanner = try world.running(world.plan(workers: 3, cached: 50))
    let outcomes = Outcomes()
    let (senders, each) = (6, 150)
    let final = Monitor<[Int: ScanOutcome]>([:])
    let submissions = Monitor(0)
    let group = DispatchGroup()
    DispatchQueue.global().async(group: group) {
      var round = 0
      while final.read({ $0.count }) < senders * each {
        round += 1
        let status = scanner.status
        if let worker = status.workers.randomElement() { kill(worker, round % 3 == 0 ? SIGSEGV : SIGKILL) }
        if round % 50 == 7, let parent = status.parent { kill(parent, SIGKILL) }
        if round % 15 == 2 {
          try? world.write(round % 2 == 0 ? "version \(round)\n" : "say broken\n", to: "database")
          _ = scanner.reloaded()
          try? world.write("version \(round)\n", to: "database")
        }
        // The killing keeps pace with the scanning.
        let before = final.read { $0.count }
        _ = final.wait(seconds: 60) { $0.count >= min(before + 4, senders * each) ? true : nil }
      }
    }
    for sender in 0..<senders {
      DispatchQueue.global().async(group: group) {
        for number in sender * each..<(sender + 1) * each {
          // As a client does that is told to come again.
          for _ in 0..<1000 {
            let submission = submissions.change { count in
              count += 1
              return count
            }
            scanner.scan([Chunk(Self.text(number))], then: outcomes.completion(submission))
            guard let outcome = outcomes.of(submission).first else { break }
            if outcome.reason == nil {
              final.change { $0[number] = outcome }
              break
            }
            _ = scanner.isReached { if case .up = $0.phase { true } else { false } }
          }
        }
      }
    }
    #expect(group.wait(timeout: .now() + 120) == .success)
    #expect(outcomes.now.count == submissions.read { $0 } && outcomes.now.values.allSatisfy { $0.count == 1 })
    #expect(final.read { $0.count } == senders * each)
    for (number, outcome) in final.read({ $0 }) {
      if let verdict = outcome.verdict { #expect(verdict.finding == Self.finding(number), "\(number): \(verdict)") }
    }
    let figures = scanner.status.figures
    #expect(figures.scanned > 500 && figures.retried > 0 && figures.generations > 3, "\(figures)")
    for number in 0..<100 { scanner.scan([Chunk(Self.text(number) + "again")], then: outcomes.completion(1_000_000 + number)) }
    scanner.stop()
    #expect(outcomes.now.count == submissions.read { $0 } + 100 && outcomes.now.values.allSatisfy { $0.count == 1 })
    #expect(world.temporaries == [])
  }

  private static func text(_ number: Int) -> String {
    switch number % 10 {
    case 0, 1: "virus Number-\(number)\n\(number)"
    case 2: "lie\n\(number)"
    case 3: "early\n\(number)"
    case 4 where number % 40 == 4: "die\n\(number)"
    default: "clean\n\(number)"
    }
  }

  /// What a worker must say; nil when it never may have said anything.
  private static func finding(_ number: Int) -> ScanVerdict.Finding? {
    switch number % 10 {
    case 0, 1: .infected("Number-\(number)")
    case 2: nil
    case 4 where number % 40 == 4: nil
    default: .clean
    }
  }
}
