import Channels
import Octets
import ScanWire
import Synchronization

/// A message's octets as they lie.
struct ScanContent: Sendable {
  var pieces: [Chunk]
  var bytes: Int { pieces.reduce(0) { $0 + $1.count } }
}

/// One of the threads that hand messages to workers. Used by its own thread only.
final class SlotThread {
  /// With this line before it libclamav takes every message for mail, whatever the message's first header is.
  static let prefix = Chunk("Received: by localhost\r\n")
  /// A message goes to so many workers; when all of them fail it is a fault.
  private static let attempts = 2
  /// Workers that were gone before they had the message do not count as attempts, but there is an end to that too.
  private static let maximumUngiven = 16

  private let desk: ScanDesk
  private let number: Int
  private let hash = ContentHash()

  private var board: Board { desk.board }

  init(_ desk: ScanDesk, slot number: Int) {
    self.desk = desk
    self.number = number
  }

  /// A message that only a worker can say something about.
  private struct Prepared {
    var job: WaitingJob
    var digest: String
    /// The message behind its prefix, sealed.
    var memory: Descriptor
    var bytes: Int { SlotThread.prefix.count + job.content.bytes }
  }

  /// While a message of this size or less is looked at, the next one is got ready; behind a larger one nobody shall have to wait.
  private static let maximumBytesAhead = 4 << 20

  /// A message that is ready waits so long behind another, and then for whichever slot is free first.
  private static let patienceAheadMilliseconds: Int32 = 100

  /// What is ready to be looked at next.
  private var ahead: Prepared?

  /// Works until the scanner is stopped and nothing waits any more.
  func run() {
    while let work = board.next(slot: number, holding: ahead?.job) {
      let held = ahead
      ahead = nil
      switch work {
      case .refuse(let job, let reason): job.then(.unavailable(reason))
      case .look(let job, let seat):
        if let held {
          job.then(outcome(of: held, seat))
        } else {
          switch prepare(job, seat.lineage) {
          case .success(let prepared): job.then(outcome(of: prepared, seat))
          case .failure(let settled): job.then(free(settled.outcome))
          }
        }
      }
    }
  }

  /// What is known of a message without a worker.
  private struct Settled: Error {
    var outcome: ScanOutcome
  }

  private func prepare(_ job: WaitingJob, _ lineage: Lineage) -> Result<Prepared, Settled> {
    guard let digest = hash.sha256(job.content.pieces) else {
      return .failure(Settled(outcome: .unavailable("OpenSSL cannot make a digest")))
    }
    if let known = known(digest, lineage) { return .failure(Settled(outcome: known)) }
    do {
      let memory = try SharedMemory.make(name: "ceralacca-message", pieces: [SlotThread.prefix] + job.content.pieces)
      return .success(Prepared(job: job, digest: digest, memory: memory))
    } catch {
      return .failure(Settled(outcome: .unavailable("no memory for a message to be scanned in: \(error)")))
    }
  }

  /// While the worker works: the next message is hashed, looked up and put into its memory.
  private func prepareAhead(behind bytes: Int, _ lineage: Lineage) {
    guard bytes <= SlotThread.maximumBytesAhead else { return }
    while ahead == nil, let job = board.takeAhead() {
      switch prepare(job, lineage) {
      case .success(let prepared): ahead = prepared
      case .failure(let settled): job.then(settled.outcome)
      }
    }
  }

  /// Looks at a message; the slot is free again after.
  private func outcome(of message: Prepared, _ seat: Seat) -> ScanOutcome {
    let digest = message.digest
    var seat = seat
    var failures: [String] = []
    var ungiven = 0
    while true {
      let given = seat.give(message.memory, bytes: message.bytes, prefixBytes: SlotThread.prefix.count)
      prepareAhead(behind: message.bytes, seat.lineage)
      if let held = ahead, case .job = given, !seat.hasSpoken(withinMilliseconds: SlotThread.patienceAheadMilliseconds) {
        // This one takes its time, or hangs: another slot may be free for the next.
        board.putBack(held.job)
        ahead = nil
      }
      let failure: String
      let wasGiven: Bool
      switch seat.hear(given, milliseconds: desk.answerMilliseconds) {
      case .finding(let finding, let views): return free(verdict(finding, views: views, digest, seat.lineage))
      case .broken(let why, let given): (failure, wasGiven) = (why, given)
      }
      let before = seat
      switch board.replace(seat, slot: number) {
      case .down(let reason): return .unavailable(reason)
      case .seat(let fresh, let obituary):
        seat = fresh
        // Judged now that there is a fresh worker: by now it is known whether the whole process was lost, which is not the message's doing.
        if wasGiven, !before.lineage.isLost.load(ordering: .relaxed) {
          failures.append(failure == Seat.died ? obituary.map { "\(failure): \($0)" } ?? failure : failure)
        } else {
          ungiven += 1
        }
      }
      if failures.count == SlotThread.attempts { return free(fault(failures, digest, before.lineage)) }
      if ungiven == SlotThread.maximumUngiven { return free(.unavailable("workers of the virus scanner end before they are asked")) }
      retry(failures, digest, wasGiven: wasGiven)
    }
  }

  private func free(_ outcome: ScanOutcome) -> ScanOutcome {
    board.release(slot: number)
    return outcome
  }

  private func known(_ digest: String, _ lineage: Lineage) -> ScanOutcome? {
    let now = desk.clock()
    guard let entry = desk.cache.alter({ $0.find(digest, basis: lineage.basis, now: now) }) else { return nil }
    board.count { $0.cacheHits += 1 }
    switch entry {
    case .verdict(var verdict):
      verdict.isCached = true
      return .verdict(verdict)
    // It was held and told once. Whoever brings it again is put off, and leaves no second copy and no second row.
    case .fault(let why): return .unavailable("this very message was given up a short while ago and is not tried again yet: \(why)")
    }
  }

  private func remember(_ entry: VerdictCache.Entry, _ digest: String, _ lineage: Lineage) {
    let now = desk.clock()
    desk.cache.alter { $0.store(entry, digest, basis: lineage.basis, now: now) }
  }

  private func verdict(_ finding: ScanVerdict.Finding, views: Int, _ digest: String, _ lineage: Lineage) -> ScanOutcome {
    let verdict = ScanVerdict(finding: finding, version: lineage.version, views: views, digest: digest, isCached: false)
    remember(.verdict(verdict), digest, lineage)
    board.count { figures in
      figures.scanned += 1
      if case .infected = finding { figures.infected += 1 }
    }
    return .verdict(verdict)
  }

  private func fault(_ failures: [String], _ digest: String, _ lineage: Lineage) -> ScanOutcome {
    let why = failures.joined(separator: "; then: ")
    remember(.fault(why), digest, lineage)
    board.count { $0.faults += 1 }
    desk.notice(ScannerNotice(.error, "\(failures.count) workers failed over one message, SHA-256 \(digest): \(why)"))
    return .fault(why, version: lineage.version, digest: digest)
  }

  private func retry(_ failures: [String], _ digest: String, wasGiven: Bool) {
    guard wasGiven, let why = failures.last else { return }
    board.count { $0.retried += 1 }
    desk.notice(ScannerNotice(.warning, "a worker failed over a message, SHA-256 \(digest), which goes to another one: \(why)"))
  }
}
