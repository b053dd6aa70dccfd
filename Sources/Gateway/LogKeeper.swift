import Accounts
import Configuration
import EventLoop
import Journey
import Ledger
import Limits
import LogRequests
import Logging
import PEC
import Sealing
import Synchronization
import Threading

/// What an operator asks of the certified log while the gateway runs.
enum LogOrder: Sendable {
  /// Seal what waits, and ask for stamps.
  case seal(by: Operator)
  /// Answer a request for an extract that waits for the operator: with the extract, or with a refusal and its reason.
  case answer(request: String, refusal: String?, by: Operator)
}

/// The thread that looks after the certified log: seals, stamps and their renewal, retention, the day's statistics, and the holders'
/// requests for extracts. All it decides is committed by the committer like everything else; nothing on a message's way waits for it.
final class LogKeeper: Sendable {
  private struct Asked: Sendable {
    var order: LogOrder
    var then: @Sendable (String, Bool) -> Void
  }

  let shared: SharedState
  let ledger: Ledger
  let sealer: Sealer
  let maker: ExtractMaker
  let store: SealStore
  let configuration: GatewayConfiguration
  let inboxes: [Mailbox<LaneMessage>]
  private let asked = Handoff<Asked>()
  /// Requests for extracts that failed; touched by the keeper's thread alone.
  let requestRetries = Mutex(RequestRetries())
  /// What the lanes say of mails of our own, one at a time.
  private let verdicts = Handoff<Verdict>()
  private let thread = Mutex<WorkerThread?>(nil)

  private static let pauseSeconds = 5
  /// Between two tries to get a stamp: from the first to the last.
  private static let firstRetrySeconds: Int64 = 60
  private static let lastRetrySeconds: Int64 = 3600
  /// Rows that one commit purges: senders wait behind it.
  private static let purgedRows: Int64 = 2000

  init(_ shared: SharedState, _ parts: GatewayParts, inboxes: [Mailbox<LaneMessage>]) {
    self.shared = shared
    self.inboxes = inboxes
    ledger = parts.ledger
    configuration = parts.configuration
    store = SealStore(path: Gateway.sealsPath(parts.configuration.dataDirectory))
    let keep: @Sendable () -> KeptFiles = {
      let credentials = shared.credentials
      return KeptFiles(
        certificates: CertificateText.pem([credentials.certificate.der] + credentials.chain.map(\.der)),
        revocationLists: shared.trust.copies())
    }
    sealer = Sealer(
      ledger: parts.ledger, store: store, credentials: shared.credentials, settings: parts.configuration.certifiedLog,
      provider: parts.points.provider.name, keep: keep)
    maker = ExtractMaker(
      ledger: parts.ledger, store: store, credentials: shared.credentials, provider: parts.points.provider.name, keep: keep)
    thread.withLock { $0 = WorkerThread(name: "log keeper") { [self] in work() } }
  }

  /// Has something done soon; `then` is told what came of it, and whether it went well.
  func perform(_ order: LogOrder, then: @escaping @Sendable (String, Bool) -> Void) {
    if !asked.send(Asked(order: order, then: then)) { then("the gateway is stopping", false) }
  }

  func finish() {
    asked.close()
    verdicts.close()
    thread.withLock { $0.take() }?.join()
  }

  // MARK: The round

  /// What is to be done when; touched by the keeper's thread alone.
  private struct Round {
    var nextStamp: Int64 = 0
    var retrySeconds = LogKeeper.firstRetrySeconds
    var day: LegalDay?
    /// Seals that nothing more can be said of than was.
    var complaint: String?
  }

  private func work() {
    var round = Round()
    while !asked.isClosed {
      let now = shared.now()
      // What is sealed and stamped bears a time too.
      if shared.clock.distrust == nil, shared.committer.brokenBecause == nil {
        sealWhatIsDue(&round, at: now)
        stamp(&round, at: now)
        if LegalDay(now) != round.day, keepDay(now) { round.day = LegalDay(now) }
        answerRequests()
      }
      asked.wait(forSeconds: LogKeeper.pauseSeconds)
      guard asked.count > 0, let orders = asked.take() else { continue }
      for asked in orders { carryOut(asked, &round) }
    }
  }

  private func carryOut(_ asked: Asked, _ round: inout Round) {
    if let reason = shared.clock.distrust { return asked.then("the clock cannot be trusted: \(reason)", false) }
    switch asked.order {
    case .seal(let person):
      do {
        let seals = try sealAll(.asked, by: person)
        round.nextStamp = 0
        stamp(&round, at: shared.now())
        let words = seals.map { "seal \($0.number) over rows \($0.first) to \($0.last)" }
        let missing = try ledger.unstampedSeals().count
        asked.then(
          (words.isEmpty ? "no row waits for a seal" : words.joined(separator: "; "))
            + (missing == 0 ? "" : "; \(missing) seals without a time stamp"), true)
      } catch { asked.then("not sealed: \(error)", false) }
    case .answer(let id, let refusal, let person):
      do { asked.then(try answer(request: id, refusal: refusal, by: person), true) } catch { asked.then("\(error)", false) }
    }
  }

  /// Commits rows of this thread's own, and waits. The reason when they are not durable.
  func commit(_ changes: [LedgerChange]) -> String? {
    let done = Handoff<String?>()
    shared.committer.perform(.record(changes) { done.send($0) })
    return done.take()?.first ?? "the gateway is stopping"
  }

  /// Sends a mail of our own and waits for the access point's answer; nil when the gateway stops.
  func submit(_ message: OwnMessage) -> Verdict? {
    inboxes[Lane.number(for: message.request.id, of: inboxes.count)].send(.submit(message) { [verdicts] in verdicts.send($0) })
    return verdicts.take(atMost: 1)?.first
  }

  // MARK: Seals

  private func sealWhatIsDue(_ round: inout Round, at now: Instant) {
    do {
      while !asked.isClosed, let reason = try sealer.due(at: now) {
        guard let seal = try sealNext(reason) else { break }
        shared.logger.notice("the log is sealed", metadata: ["seal": "\(seal.number)", "rows": "\(seal.first)-\(seal.last)"])
        round.nextStamp = 0
      }
      round.complaint = nil
    } catch {
      let words = "\(error)"
      // Once, not every few seconds.
      if round.complaint != words { shared.logger.critical("the log cannot be sealed: \(words)") }
      round.complaint = words
    }
  }

  /// Makes one seal durable; nil when no row waits.
  private func sealNext(_ reason: SealReason, by person: Operator? = nil) throws -> SealRecord? {
    guard let (seal, changes) = try sealer.make(reason: reason, at: shared.now(), by: person?.description) else { return nil }
    if let failure = commit(changes) { throw LogKeeperError("the ledger did not take seal \(seal.number): \(failure)") }
    return seal
  }

  /// Seals everything up to the last row that is there now.
  /// - Parameter person: who asked for it; nil where it is a step of something else.
  func sealAll(_ reason: SealReason, by person: Operator? = nil) throws -> [SealRecord] {
    let last = try ledger.lastEventNumber()
    var seals: [SealRecord] = []
    while (try ledger.lastSeal()?.last ?? 0) < last, let seal = try sealNext(reason, by: person) { seals.append(seal) }
    return seals
  }

  private func stamp(_ round: inout Round, at now: Instant) {
    guard now.unixSeconds >= round.nextStamp else { return }
    let outcome = sealer.stamp(at: now)
    report(outcome)
    if outcome.alarms.isEmpty {
      round.retrySeconds = LogKeeper.firstRetrySeconds
      // A round stamps so many; after a long silence of the authorities more wait.
      round.nextStamp = outcome.changes.isEmpty ? .max : now.unixSeconds
    } else {
      round.nextStamp = now.unixSeconds + round.retrySeconds
      round.retrySeconds = min(round.retrySeconds * 2, LogKeeper.lastRetrySeconds)
    }
  }

  func report(_ outcome: SealingOutcome) {
    for line in outcome.lines { shared.logger.info("time stamps: \(line)") }
    for line in outcome.alarms { shared.logger.error("time stamps: \(line)") }
    guard !outcome.changes.isEmpty, let failure = commit(outcome.changes) else { return }
    shared.logger.error("what became of time stamps could not be recorded: \(failure)")
  }

  // MARK: The day

  /// What is done once a day: the mailboxes are counted, old stamps renewed, and what is older than the law wants goes.
  private func keepDay(_ now: Instant) -> Bool {
    // What Dovecot has is not known here, and a count without it would be wrong.
    if configuration.dovecot == nil {
      var counts: [String: Int] = [:]
      for domain in shared.points.routing.ownDomains { counts[domain] = 0 }
      for address in shared.accounts.snapshot.names {
        let domain = address.split(separator: "@").last.map { $0.lowercased() } ?? ""
        counts[domain, default: 0] += 1
      }
      if let failure = commit([.mailboxes(day: LegalDay(now), counts: counts)]) {
        shared.logger.error("the day's mailboxes could not be counted: \(failure)")
        return false
      }
    }
    report(sealer.renew(at: now))
    do { try purge(now) } catch { shared.logger.error("what is too old could not be purged: \(error)") }
    return true
  }

  /// Removes whole days that are older than retention and margin, oldest first, up to the first that is held or not yet sealed.
  private func purge(_ now: Instant) throws {
    let settings = configuration.certifiedLog
    let limit = LegalDay(now).before(months: settings.retentionMonths).advanced(by: -Int64(settings.marginDays))
    let over = Retention.purgeable(
      try ledger.logDays(), holds: try ledger.holds(), before: limit, sealed: try ledger.lastSeal()?.last ?? 0)
    for (day, end) in over {
      guard var next = try ledger.firstEventNumber(), next <= end else { continue }
      let first = next
      while next <= end {
        if asked.isClosed || shared.clock.distrust != nil { return }
        let last = min(end, next + LogKeeper.purgedRows - 1)
        let words = "of \(day.text) and before, kept for \(settings.retentionMonths) months and longer"
        if let failure = commit(sealer.purge(next...last, at: shared.now(), words)) { throw LogKeeperError(failure) }
        next = last + 1
      }
      _ = try store.removeRows(through: end)
      shared.logger.notice("a day of the log is purged", metadata: ["day": "\(day.text)", "rows": "\(first)-\(end)"])
    }
  }
}

/// Why something about the log could not be done.
struct LogKeeperError: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}
