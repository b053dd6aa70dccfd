internal import GRDB
import Synchronization
internal import Threading

/// Moves what commits wrote into the write-ahead log on into the database file, on a thread and a connection of its own: a commit that
/// did it would keep all senders waiting for it, tens of milliseconds every few hundred messages.
final class LedgerCheckpoints: Sendable {
  /// At how many pages of the write-ahead log (4 KiB each) something is done.
  struct Marks: Sendable {
    /// A checkpoint is begun; 16 MiB.
    var begin = 4000
    /// Commits have to stand back until all pages are moved, so that the log begins anew; 64 MiB.
    var restart = 16_000
    /// The commit itself does it: the thread cannot keep up, or is held by a long search; 256 MiB.
    var lastResort = 64_000
  }

  let marks: Marks
  private let path: String
  private let busySeconds: Double
  /// Changes committed since the last checkpoint, and at how many the next is due: how many pages a change makes is known from the last.
  private let changes = Atomic<Int>(0)
  private let due = Atomic<Int>(100)
  /// Pages in the write-ahead log when this thread last looked.
  private let pages = Atomic<Int>(0)
  private let restarts = Atomic<Int>(0)
  private let calls = Handoff<Void>()
  private let thread = Mutex<WorkerThread?>(nil)

  init(path: String, busySeconds: Double, marks: Marks = Marks()) {
    self.marks = marks
    self.path = path
    self.busySeconds = busySeconds
  }

  /// Starts the thread.
  func start() throws {
    let queue = try DatabaseQueue(path: path, configuration: LedgerOpening.configuration(busySeconds: busySeconds))
    thread.withLock { $0 = WorkerThread(name: "checkpoints") { [self] in work(queue) } }
  }

  /// Ends the thread and closes its connection.
  func finish() {
    calls.close()
    thread.withLock { $0.take() }?.join()
  }

  /// Pages in the write-ahead log at the last checkpoint.
  var pagesSeen: Int { pages.load(ordering: .relaxed) }

  /// How often it was tried to begin the log anew.
  var restartsTried: Int { restarts.load(ordering: .relaxed) }

  /// Says that so many changes were committed.
  func committed(_ count: Int) {
    let sum = changes.add(count, ordering: .relaxed).newValue
    if sum >= due.load(ordering: .relaxed), calls.count == 0 { calls.send(()) }
  }

  /// To begin the log anew commits are shut out until nobody reads from its old pages. So long, in milliseconds, and no longer: a search
  /// may take minutes.
  private static let patienceMilliseconds = 10

  private func work(_ queue: DatabaseQueue) {
    try? queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA busy_timeout = \(LedgerCheckpoints.patienceMilliseconds)") }
    while calls.take() != nil {
      let moved = changes.exchange(0, ordering: .relaxed)
      // A failure costs nothing yet: the pages stay in the log, which commits read as well, and the next call tries again.
      let found = try? queue.writeWithoutTransaction { db in
        let found = try db.checkpoint(.passive)
        guard found.walFrameCount >= marks.restart else { return found }
        defer { restarts.add(1, ordering: .relaxed) }
        // What commits added meanwhile would be moved, and synced, while they are shut out. Once more, and hardly any is left.
        _ = try db.checkpoint(.passive)
        return (try? db.checkpoint(.restart)) ?? found
      }
      guard let found else { continue }
      let before = pages.exchange(found.walFrameCount, ordering: .relaxed)
      // A log that began anew in between makes the estimate too low, never too high: the next checkpoint then comes sooner.
      let added = found.walFrameCount > before ? found.walFrameCount - before : found.walFrameCount
      due.store(max(1, min(marks.begin, moved * marks.begin / max(1, added))), ordering: .relaxed)
    }
    try? queue.close()
  }
}
