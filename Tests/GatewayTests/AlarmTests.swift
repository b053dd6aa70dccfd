import Journey
import Metering
import SMTPWire
import Testing

@testable import Gateway

/// A report is changed in one place, and the alarms that come of it are told.
@Suite struct AlarmTests {
  private static let now: Int64 = 1_800_000_000

  private static func report() -> StatusReport {
    StatusReport(
      version: "1", hostname: "a", provider: "A", process: 1, startedAt: now - 1000, at: now, lookAgeSeconds: 1, listeners: [],
      isDraining: false,
      sessions: .init(
        open: 0, maximum: 10, connections: [:], refusedConnections: [:], bounds: [:], authenticated: 0, authenticationsRejected: 0),
      intake: [], queued: [:], deliveries: [], queue: .init(routes: []),
      signer: .init(
        backend: "b", subject: "s", notAfter: now + 86_400 * 365, threads: 1, signatures: 0, failures: 0, faulty: 0, batches: 0, waiting: 0,
        busySeconds: 0),
      certificates: [.signer, .tls, .tls, .stamp].enumerated().map { at, use in
        .init(use: use, name: "n\(at)", key: "RSA", notBefore: now - 1000, notAfter: now + 86_400 * 365)
      },
      scanner: .init(
        isUp: true, reason: "", workers: 2, workersWanted: 2, waiting: 0, scanned: 0, infected: 0, retried: 0, faults: 0, cacheHits: 0,
        engine: "", database: "", databaseAt: now),
      clock: .init(isTrusted: true, isSynchronized: true, offsetSeconds: 0),
      index: .init(records: 1, domains: 1, confirmedAt: now, isFetched: true, revocationLists: 1, revocationListsOutdated: 0),
      storage: .init(
        refusingSeconds: 0, freeBytes: 1 << 40, minimumFreeBytes: 1 << 29, liveBytes: 0, fileBytes: 0, segments: 0, spareSegments: 0,
        intakeBytes: 0, intakeLimitBytes: 1, commits: 0, commitFailures: 0, quarantined: 0),
      deadlines: .init(pending: 0), log: .init(rows: 1, unsealedRows: 0, seals: 0), laneSilenceSeconds: [0.1, 0.9], memoryBytes: 0,
      processorSeconds: 0, openDescriptors: 0, alarms: [])
  }

  private struct Case: Sendable, CustomStringConvertible {
    var name: String
    var stops: Bool
    var change: @Sendable (inout StatusReport) -> Void
    var description: String { name }
    init(_ name: String, stops: Bool = false, _ change: @escaping @Sendable (inout StatusReport) -> Void) {
      (self.name, self.stops, self.change) = (name, stops, change)
    }
  }

  private static let cases = [
    Case("storage-broken", stops: true) { $0.storage.brokenBecause = "sync" },
    Case("ledger-refuses", stops: true) { $0.storage.refusingSeconds = 2 },
    Case("disk-full", stops: true) { $0.storage.freeBytes = 1 << 28 }, Case("disk-low") { $0.storage.freeBytes = 1 << 30 },
    Case("lane-hangs", stops: true) { $0.laneSilenceSeconds[1] = 31 }, Case("look-late") { $0.lookAgeSeconds = 121 },
    Case("clock-untrusted", stops: true) { $0.clock.reason = "stepped" },
    Case("scanner-down", stops: true) { $0.scanner?.isUp = false }, Case("scanner-down", stops: true) { $0.scanner?.workers = 0 },
    Case("scanner-workers") { $0.scanner?.workers = 1 }, Case("signatures-old") { $0.scanner?.databaseAt = now - 86_400 * 4 },
    Case("signer-certificate", stops: true) { $0.certificates[0].notAfter = now - 1 },
    Case("signer-certificate") { $0.certificates[0].notAfter = now + 86_400 * 29 },
    Case("tls-certificate") { $0.certificates[2].notAfter = now - 1 },
    Case("stamp-certificate") { $0.certificates[3].notAfter = now + 86_400 * 29 },
    Case("signer-faulty") { $0.signer.faulty = 1 }, Case("index-stale") { $0.index.confirmedAt = now - 49 * 3600 },
    Case("index-empty") { $0.index.records = 0 }, Case("revocation-outdated") { $0.index.revocationListsOutdated = 1 },
    Case("queue-old") {
      $0.queue.routes = [.init(route: "mailbox", entries: 1, recipients: 1, awaiting: 0, oldestAt: now - 5 * 3600, held: 0)]
    },
    Case("queue-held") {
      $0.queue = .init(
        routes: [.init(route: "mailbox", entries: 2, recipients: 1, awaiting: 0, oldestAt: now, held: 1)], heldSince: now - 9 * 3600)
    },
    Case("restored") { $0.restored = .init(held: 2, notices: 0, reason: "as of then") },
    Case("restored") { $0.restored = .init(held: 0, notices: 1, reason: "as of then") },
    Case("quota-silent") { $0.quotaSilenceSeconds = 61 },
    Case("deadlines-late") { $0.deadlines.nextAt = now - 301 },
    Case("seal-late") {
      $0.log.lastSealAt = now - 27 * 3600
      $0.log.unsealedRows = 1
    },
    Case("stamp-missing") { $0.log.unstampedSeals = 1 }, Case("draining", stops: true) { $0.isDraining = true },
  ]

  @Test func whatIsWellRaisesNothing() {
    #expect(Alarms.judge(Self.report()).isEmpty)
    var quiet = Self.report()
    // A file that an operator looks after may be old; a clock that is not trusted lets no deadline fire.
    quiet.index.isFetched = false
    quiet.index.confirmedAt = 0
    #expect(Alarms.judge(quiet).isEmpty)
  }

  @Test(arguments: cases.indices) func oneThingIsWrong(_ at: Int) {
    let one = Self.cases[at]
    var report = Self.report()
    one.change(&report)
    let alarms = Alarms.judge(report)
    #expect(alarms.map(\.name) == [one.name])
    #expect(alarms.first?.stopsMail == one.stops)
    #expect(Alarms.names.contains(one.name))
    report.alarms = alarms
    #expect(Readiness.ready(report).isEmpty == !one.stops)
    #expect(Readiness.health(report).isEmpty == !["storage-broken", "lane-hangs"].contains(one.name))
  }

  @Test func everyNameIsRaisedByOne() { #expect(Set(Self.cases.map(\.name)) == Set(Alarms.names)) }

  @Test func whatWasRestoredIsCounted() {
    var report = Self.report()
    report.restored = .init(held: 2, notices: 3, reason: "as of then")
    #expect(
      Alarms.judge(report).map(\.words) == [
        "a backup was restored: 2 messages are held, as of then (`ceralacca queue release`); the notices of silence about 3 messages wait "
          + "(`ceralacca queue notices`)"
      ])
  }

  @Test func theGravestComesFirst() {
    var report = Self.report()
    report.storage.freeBytes = 1 << 30
    report.certificates[0].notAfter = Self.now + 86_400 * 6
    #expect(Alarms.judge(report).map(\.name) == ["signer-certificate", "disk-low"])
  }
}

@Suite struct MeasuresTests {
  private static let access = ServerProfile.Trust.submission(implicitTLS: true)

  @Test func outcomesOfMessages() {
    let measures = Measures(lanes: 1, routes: ["mailbox"])
    measures.replied(Verdict(code: 250, enhanced: "2.0.0", text: ""), Self.access, since: 0, isNotice: false)
    measures.replied(Verdict(code: 250, enhanced: "2.0.0", text: ""), Self.access, since: 0, isNotice: true)
    measures.replied(Verdict(code: 451, enhanced: "4.3.0", text: ""), Self.access, since: 0, isNotice: false)
    measures.replied(Verdict(code: 554, enhanced: "5.7.1", text: ""), .incoming, since: 0, isNotice: false)
    #expect(
      measures.messages.all.filter { $0.value > 0 }.map { "\($0.key.first) \($0.key.second) \($0.value)" } == [
        "access accepted 1", "access notAccepted 1", "access deferred 1", "incoming refused 1",
      ])
    #expect(measures.refusals[Refusal(point: .access, phase: .message, isFinal: false, reason: .system)] == 1)
    #expect(measures.refusals[Refusal(point: .incoming, phase: .message, isFinal: true, reason: .policy)] == 1)
    #expect(measures.replySeconds[.access]?.reading.count == 3)
  }

  @Test(arguments: [
    ("4.3.1", RefusalReason.system), ("5.1.1", .address), ("5.7.1", .policy), ("", .other), ("5", .other), ("5.9.1", .other),
    ("5.-1.1", .other), ("5.99999999999999999999.1", .other),
  ])
  func reasons(_ status: String, _ reason: RefusalReason) { #expect(RefusalReason(status) == reason) }

  @Test func routesOfTheirOwnMakeNoLabels() {
    let measures = Measures(lanes: 1, routes: ["mailbox"])
    measures.delivered("relay:gone", .later("no"))
    measures.delivered("mailbox", .delivered("ok"))
    #expect(measures.deliveries[Pair("other", .deferred)] == 1)
    #expect(measures.deliveries[Pair("mailbox", .sent)] == 1)
    #expect(measures.deliveries.all.count == 6)
  }

  @Test func otherRoutesAfterAReload() {
    let measures = Measures(lanes: 1, routes: ["mailbox", "relay:old", "relay:kept"])
    for route in ["relay:old", "relay:kept", "mailbox"] { measures.delivered(route, .delivered("ok")) }
    measures.adopt(routes: ["mailbox", "relay:kept", "relay:new"])
    for route in ["relay:old", "relay:kept", "relay:new"] { measures.delivered(route, .delivered("ok")) }
    #expect(measures.routes == ["mailbox", "relay:kept", "relay:new", "other"])
    #expect(
      measures.deliveries.all.filter { $0.value > 0 }.map { "\($0.key.first) \($0.value)" } == [
        "mailbox 1", "relay:kept 2", "relay:new 1", "other 1",
      ])
  }

  @Test func aCommitEndsARowOfFailures() {
    let measures = Measures(lanes: 1, routes: [])
    measures.commitFailed()
    #expect(measures.commitsFailSince.value != 0)
    measures.committed(rows: 3, kinds: [.acceptance, .envelope], since: 0)
    #expect(measures.commitsFailSince.value == 0)
    #expect(measures.emitted[.acceptance] == 1)
    #expect(measures.commitRows.reading.sum == 3)
  }
}
