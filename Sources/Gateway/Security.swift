import Configuration
import Journey
import Ledger
import Logging
import Octets
import PEC
import Quarantine
import ScanWire
import Scanning
import Threading

/// The thread that puts messages into quarantine: a large one takes longer to write and sync than the committer may wait.
final class QuarantineKeeper: Sendable {
  private struct Work: Sendable {
    var record: QuarantineRecord
    var content: [Chunk]
    var handOver: (key: HandOverKey, at: Int64)?
    var address: ReturnAddress
  }

  private let queue = Handoff<Work>()
  private let thread: WorkerThread

  init(_ quarantine: Quarantine, _ ledger: Ledger) {
    thread = WorkerThread(name: "quarantine") { [queue] in
      quarantine.removeLeftOvers()
      while let works = queue.take(atMost: 1) {
        for work in works {
          do {
            if let (key, at) = work.handOver, let known = try ledger.transaction(handedOverAs: key, at: at) {
              work.address.send(.repeated(known))
              continue
            }
            try quarantine.keep(work.record, content: work.content)
            work.address.send(.kept)
          } catch {
            work.address.send(.failed("\(error)"))
          }
        }
      }
    }
  }

  /// Keeps a message; the answer is `.kept`, and then it is durable, or `.failed`. What a trusted peer hands over again is there under the
  /// identifier that it was given first: the answer is `.repeated`, and nothing is kept that no row of the log would name.
  func keep(_ record: QuarantineRecord, _ content: [Chunk], _ handOver: (key: HandOverKey, at: Int64)?, _ address: ReturnAddress) {
    let work = Work(record: record, content: content, handOver: handOver, address: address)
    if !queue.send(work) { address.send(.failed("the gateway is stopping")) }
  }

  func finish() {
    queue.close()
    thread.join()
  }
}

extension Lane {
  /// Has a message looked at by the virus scanner; `then` is called once, on this lane.
  func scan(_ content: BodyContent, then: @escaping (ScanOutcome) -> Void) {
    guard let scanner = shared.scanner else { return then(.off) }
    let chunks: [Chunk]
    do { chunks = try content.chunks(in: 0..<content.count, spool: shared.spool) } catch {
      return then(.unavailable("the message cannot be read again: \(error)"))
    }
    let since = MonotonicClock.nanoseconds()
    let address = returnAddress { [measures = shared.measures] completion in
      guard case .scanned(let outcome) = completion else { preconditionFailure("a scanner's answer of another kind") }
      measures.scanned(outcome, since: since)
      then(outcome)
    }
    scanner.scan(chunks) { address.send(.scanned($0)) }
  }

  /// Makes a plan durable: first the quarantined original where there is one, then the rows that speak of it.
  func commit(_ plan: CommitPlan, _ content: BodyContent, then: @escaping (Completion) -> Void) {
    guard let record = plan.quarantine else {
      return shared.committer.perform(.commit(plan, content, returnAddress(then)))
    }
    let chunks: [Chunk]
    do { chunks = try content.chunks(in: 0..<content.count, spool: shared.spool) } catch { return then(.failed("\(error)")) }
    let address = returnAddress { [shared, self] completion in
      switch completion {
      case .kept:
        report(record)
        shared.committer.perform(.commit(plan, content, returnAddress(then)))
      case .repeated: then(completion)
      case .failed(let reason):
        report(record)
        then(.failed("it cannot be put into quarantine: \(reason)"))
      default: preconditionFailure("a quarantine's answer of another kind")
      }
    }
    shared.quarantine.keep(record, chunks, plan.changes.handOver, address)
  }

  /// The operator is told: of an infected message of the certified channel loudly, since the rules say nothing of it (`pec-rules` 6.3).
  private func report(_ record: QuarantineRecord) {
    let level: Logger.Level =
      switch record.kind {
      case .certified: .critical
      case .unscanned: .error
      case .submission, .envelope, .ordinary: .warning
      }
    let words = record.kind == .unscanned ? "a message could not be scanned and was not taken" : "a virus was found"
    shared.logger.log(
      level: level, "\(words)",
      metadata: [
        "id": "\(record.id)", "pecID": "\(record.pecID)", "kind": "\(record.kind.rawValue)", "threat": "\(record.threat)",
        "scanner": "\(record.scanner)", "from": "\(record.sender)", "provider": "\(record.provider)",
      ])
  }
}

extension Logger.Level {
  /// The level of a scanner's notice.
  init(_ level: ScannerNotice.Level) {
    switch level {
    case .info: self = .info
    case .warning: self = .warning
    case .error: self = .error
    case .critical: self = .critical
    }
  }
}

extension SharedState {
  /// The scanner's running numbers, for `status`.
  var scannerNumbers: [String: Int] {
    guard let status = scanner?.status else { return [:] }
    let figures = status.figures
    return [
      "scannerUp": status.isUp ? 1 : 0, "scansWaiting": status.waiting, "scanned": Int(figures.scanned),
      "infected": Int(figures.infected), "scansRetried": Int(figures.retried), "scanFaults": Int(figures.faults),
      "scanCacheHits": Int(figures.cacheHits), "scannerGenerations": Int(figures.generations),
    ]
  }
}
