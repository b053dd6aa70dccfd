import Foundation
import Journey
import PEC
import Spool
import Synchronization
import Testing

@testable import Gateway
@testable import Ledger

@Suite struct CommitterTests {
  /// A conflict has a batch tried one by one. When the ledger breaks in the middle of that, those that were not tried are told too: a
  /// thread that waits for its rows would wait for ever.
  @Test func everybodyIsToldWhenStorageBreaksAfterAConflict() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("committer-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder + "/spool", withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let ledger = try Ledger(path: folder + "/ledger.sqlite")
    try ledger.execute("DROP TABLE mailbox_counts")
    let committer = Committer(
      spool: try Spool(directory: folder + "/spool", segmentBytes: 1 << 20), ledger: ledger, counters: Counters(),
      logger: .init(label: "committer"))
    let told = Told()
    // Holds the committer until all the rest is there: it takes that as one batch.
    let (held, gate) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
    committer.perform(
      .record([]) { _ in
        held.signal()
        gate.wait()
      })
    held.wait()
    let conflict = LedgerChange.liftHold(id: "nobody's")
    let breakage = LedgerChange.mailboxes(day: LegalDay(Instant(unixSeconds: 1_773_130_500, utcOffsetSeconds: 3600)), counts: [:])
    for (name, changes) in [("conflict", [conflict]), ("breakage", [breakage]), ("third", []), ("fourth", [])] {
      committer.perform(.record(changes) { told.note(name, $0) })
    }
    gate.signal()
    committer.finish()

    let answers = told.answers
    #expect(answers.map(\.name) == ["conflict", "breakage", "third", "fourth"])
    #expect(answers.first?.failure?.contains("there is no hold") == true)
    let reason = try #require(committer.brokenBecause)
    #expect(answers.dropFirst().allSatisfy { $0.failure == reason })
  }

  private final class Told: Sendable {
    private let all = Mutex<[(name: String, failure: String?)]>([])

    var answers: [(name: String, failure: String?)] { all.withLock { $0 } }

    func note(_ name: String, _ failure: String?) { all.withLock { $0.append((name, failure)) } }
  }
}
