import Configuration
import Foundation
import Limits
import Metering
import PEC
import ProviderIndex
import Signing
import Threading

extension Watch {
  /// How things are: atomics of now, and what the last look found.
  func report() -> StatusReport { StatusMaker(subject: subject, look: look, metricsAddress: metricsAddress).report() }
}

/// Makes one report, of one set of settings and one look.
private struct StatusMaker {
  let subject: Watch.Subject
  let look: Watch.Look
  let metricsAddress: String?
  private var shared: SharedState { subject.shared }
  private var configuration: GatewayConfiguration { subject.configuration }

  func report() -> StatusReport {
    let now = shared.now().unixSeconds
    let age = Double(MonotonicClock.nanoseconds() - look.at) / 1e9
    var report = StatusReport(
      version: Gateway.version, hostname: configuration.hostname, provider: configuration.provider.name,
      process: Int(ProcessInfo.processInfo.processIdentifier), startedAt: shared.startedAt, at: now, lookAgeSeconds: age,
      listeners: subject.listeners, metricsAddress: metricsAddress, isDraining: shared.measures.isDraining.value != 0, sessions: sessions(),
      intake: IntakePoint.allCases.map(intake),
      queued: Dictionary(uniqueKeysWithValues: shared.measures.emitted.all.filter { $0.value > 0 }.map { ($0.key.rawValue, $0.value) }),
      deliveries: ways(), queue: queue(), signer: signer(), certificates: certificates(),
      scanner: scanner(), clock: clockState(), index: index(now), storage: storage(),
      deadlines: StatusReport.Deadlines(pending: look.deadlines, nextAt: look.nextDeadline), log: certifiedLog(),
      laneSilenceSeconds: shared.measures.silences.map { Double($0) / 1e9 }, memoryBytes: look.process.residentBytes,
      processorSeconds: look.process.processorSeconds, openDescriptors: look.process.openDescriptors, alarms: [])
    let restored = look.restored
    if restored.entries > 0 || restored.notices > 0 {
      report.restored = StatusReport.Restored(held: restored.entries, notices: restored.notices, reason: restored.reason)
    }
    report.quotaSilenceSeconds = shared.measures.quotaSilenceSeconds
    report.alarms = Alarms.judge(report)
    return report
  }

  private func sessions() -> StatusReport.Sessions {
    let measures = shared.measures
    func all(_ counts: Counts<String>) -> [String: Int] { Dictionary(uniqueKeysWithValues: counts.all.map { ($0.key, $0.value) }) }
    return StatusReport.Sessions(
      open: shared.counters.openConnections.load(ordering: .relaxed), maximum: shared.limits.connection.maximumConnections,
      connections: connections(), refusedConnections: all(measures.refusedConnections),
      bounds: Dictionary(uniqueKeysWithValues: measures.bounds.all.map { ($0.key.rawValue, $0.value) }),
      authenticated: measures.authentications["accepted"], authenticationsRejected: measures.authentications["rejected"])
  }

  /// By the kinds of listeners there are, and those that there were.
  private func connections() -> [String: Int] {
    let kinds = Set(subject.listeners.map(\.kind))
    let counts = shared.measures.connections.all.filter { $0.value > 0 || kinds.contains($0.key) }
    return Dictionary(uniqueKeysWithValues: counts.map { ($0.key, $0.value) })
  }

  private func intake(_ point: IntakePoint) -> StatusReport.Intake {
    let measures = shared.measures
    let times = measures.replySeconds[point]?.reading
    func bound(_ part: Double) -> Double? { times?.quantile(part).flatMap { $0.isFinite ? $0 : nil } }
    return StatusReport.Intake(
      point: point.rawValue, accepted: measures.messages[Pair(point, .accepted)], notAccepted: measures.messages[Pair(point, .notAccepted)],
      refused: measures.messages[Pair(point, .refused)], deferred: measures.messages[Pair(point, .deferred)],
      bytes: measures.messageBytes[point], recipients: measures.recipients[point], replySecondsHalf: bound(0.5),
      replySeconds99: bound(0.99))
  }

  private func ways() -> [StatusReport.Way] {
    let counts = shared.measures.deliveries
    return shared.measures.routes.map { route in
      StatusReport.Way(
        route: route, sent: counts[Pair(route, .sent)], deferred: counts[Pair(route, .deferred)], bounced: counts[Pair(route, .bounced)])
    }
  }

  /// Routes that the configuration has no more are one: what was queued years ago must not make labels for ever.
  private func queue() -> StatusReport.Queue {
    let known = Set(shared.measures.routes)
    var parts: [String: StatusReport.Queue.Part] = [:]
    for one in look.queue {
      let route = known.contains(one.route) ? one.route : Measures.otherRoute
      var part =
        parts[route]
        ?? StatusReport.Queue.Part(route: route, entries: 0, recipients: 0, awaiting: 0, oldestAt: one.oldestCreatedAt, held: 0)
      part.entries += one.entries
      part.recipients += one.recipients
      part.awaiting += one.awaiting
      part.oldestAt = min(part.oldestAt, one.oldestCreatedAt)
      // Counted a moment after the rest: what came meanwhile is in neither.
      part.held = min(part.entries, part.held + look.held.entries[one.route, default: 0])
      parts[route] = part
    }
    return StatusReport.Queue(routes: parts.values.sorted { $0.route < $1.route }, heldSince: look.held.since)
  }

  private func certificates() -> [StatusReport.Certificate] {
    let signer = shared.credentials.certificate
    var found = [
      StatusReport.Certificate(
        use: .signer, name: signer.subject, key: StatusMaker.kind(signer), file: configuration.signer.certificate,
        notBefore: signer.notBefore, notAfter: signer.notAfter)
    ]
    found += (shared.presentTLS?.certificates ?? []).map { one in
      StatusReport.Certificate(
        use: .tls, name: one.names.first ?? configuration.hostname, key: one.keyName, file: one.path, notBefore: one.notBefore,
        notAfter: one.notAfter)
    }
    if let stamp = look.stampCertificate, !configuration.certifiedLog.timeStamps.authorities.isEmpty {
      found.append(
        StatusReport.Certificate(
          use: .stamp, name: stamp.subject, key: StatusMaker.kind(stamp), notBefore: stamp.notBefore, notAfter: stamp.notAfter))
    }
    return found
  }

  private static func kind(_ certificate: CertificateFacts) -> String { String(certificate.publicKey.prefix { $0 != " " }) }

  private func signer() -> StatusReport.Signer {
    let (figures, waiting) = shared.signing
    let credentials = shared.credentials
    return StatusReport.Signer(
      backend: "\(credentials.backend)", subject: credentials.certificate.subject, notAfter: credentials.certificate.notAfter,
      threads: configuration.signer.threads, signatures: Int(clamping: figures.signatures), failures: Int(clamping: figures.failures),
      faulty: Int(clamping: figures.faultySignatures), batches: Int(clamping: figures.batches), waiting: waiting,
      busySeconds: Double(figures.busyNanoseconds) / 1e9)
  }

  private func scanner() -> StatusReport.Scanner? {
    guard let settings = configuration.scanner, let status = shared.scanner?.status else { return nil }
    let figures = status.figures
    return StatusReport.Scanner(
      isUp: status.isUp, reason: status.reason, workers: status.workers.count, workersWanted: settings.workers, waiting: status.waiting,
      scanned: Int(clamping: figures.scanned), infected: Int(clamping: figures.infected), retried: Int(clamping: figures.retried),
      faults: Int(clamping: figures.faults), cacheHits: Int(clamping: figures.cacheHits), engine: status.version?.engine ?? "",
      database: status.version?.database ?? "", databaseAt: look.databaseAt)
  }

  private func clockState() -> StatusReport.ClockState {
    let seen = shared.clock.last
    return StatusReport.ClockState(
      isTrusted: shared.clock.distrust == nil, reason: shared.clock.distrust, isSynchronized: seen?.reading.isSynchronized ?? false,
      offsetSeconds: Double(seen?.reading.offsetMicroseconds ?? 0) / 1e6, boundSeconds: seen?.errorMicroseconds.map { Double($0) / 1e6 })
  }

  private func index(_ now: Int64) -> StatusReport.Index {
    let directory = shared.index.snapshot
    let lists = shared.trust.figures(at: now)
    return StatusReport.Index(
      records: directory.records.count, domains: directory.domainCount, confirmedAt: shared.index.confirmedUnixSeconds,
      isFetched: configuration.index.fetch != nil, revocationLists: lists.lists, revocationListsOutdated: lists.outdated,
      revocationListOldestAt: lists.oldestIssued)
  }

  private func storage() -> StatusReport.Storage {
    let counters = shared.counters
    let measures = shared.measures
    let since = measures.commitsFailSince.value
    return StatusReport.Storage(
      brokenBecause: shared.committer.brokenBecause,
      refusingSeconds: since == 0 ? 0 : Double(MonotonicClock.nanoseconds() - since) / 1e9, freeBytes: look.freeBytes,
      minimumFreeBytes: shared.limits.storage.minimumFreeBytes, liveBytes: Int(clamping: Int64(bitPattern: look.usage?.liveBytes ?? 0)),
      fileBytes: look.usage?.fileBytes ?? 0, segments: look.usage?.segments ?? 0, spareSegments: look.usage?.spares ?? 0,
      intakeBytes: counters.intakeBytesInMemory.load(ordering: .relaxed), intakeLimitBytes: shared.limits.storage.intakeMemoryBytes,
      commits: counters.commits.load(ordering: .relaxed), commitFailures: measures.commitFailures.value, quarantined: look.quarantined)
  }

  private func certifiedLog() -> StatusReport.CertifiedLog {
    let stamps = !configuration.certifiedLog.timeStamps.authorities.isEmpty
    return StatusReport.CertifiedLog(
      rows: Int(clamping: look.rows), unsealedRows: Int(clamping: look.unsealedRows), lastSealAt: look.lastSealAt,
      seals: Int(clamping: look.seals), unstampedSeals: stamps ? look.unstampedSeals : nil)
  }
}

extension Gateway {
  /// The version of this program.
  public static let version = "0.1.0"
}
