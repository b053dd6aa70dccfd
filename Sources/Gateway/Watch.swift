import Configuration
import Foundation
import Ledger
import Metering
import PEC
import ProviderIndex
import Scanning
import Sealing
import Signing
import Spool
import Synchronization
import Threading

/// Looks at what takes a moment to look at (ledger, spool, files) on a thread of its own, so that whoever asks reads memory only: neither
/// a scrape nor `status` ever waits for a disk, and no lane for either of them.
final class Watch: Sendable {
  /// What the last look found.
  struct Look: Sendable {
    var at = MonotonicClock.nanoseconds()
    var queue: [RouteFigures] = []
    var held = HeldFigures()
    var restored = RestoredFigures()
    var deadlines = 0
    var nextDeadline: Int64?
    var rows: Int64 = 0
    var unsealedRows: Int64 = 0
    var lastSealAt: Int64?
    var seals: Int64 = 0
    var unstampedSeals = 0
    /// Of the newest seal that has a stamp, and whose seal that is.
    var stampCertificate: CertificateFacts?
    var stampedSeal: Int64?
    var usage: SpoolUsage?
    var freeBytes = 0
    var quarantined = 0
    var databaseAt: Int64?
    var process = ProcessFigures()
  }

  /// What is told of; a reload brings another.
  struct Subject: Sendable {
    let shared: SharedState
    let configuration: GatewayConfiguration
    /// Listeners with the ports that the system gave.
    let listeners: [StatusReport.Listener]
  }

  private let held: Mutex<Subject>
  private let ledger: Ledger
  private let seals: SealStore
  private let last = Mutex(Look())
  private let metricsAt = Mutex<String?>(nil)
  private let ending = Handoff<Void>()
  private let thread = Mutex<WorkerThread?>(nil)
  /// Folders of the quarantine are counted so seldom, in nanoseconds.
  private static let slowNanoseconds = 60_000_000_000

  init(_ shared: SharedState, _ parts: GatewayParts, _ doors: Doors) {
    held = Mutex(Subject(shared: shared, configuration: parts.configuration, listeners: Watch.listeners(doors)))
    ledger = parts.ledger
    seals = SealStore(path: Gateway.sealsPath(parts.configuration.dataDirectory))
    look(isSlow: true)
    thread.withLock { $0 = WorkerThread(name: "watch", niceness: 5) { [self] in work() } }
  }

  func finish() {
    ending.close()
    thread.withLock { $0.take() }?.join()
  }

  /// What holds now.
  var subject: Subject { held.withLock { $0 } }

  /// Tells of other settings from now on.
  func adopt(_ shared: SharedState, _ configuration: GatewayConfiguration, _ doors: Doors) {
    shared.measures.adopt(routes: Measures.routes(shared))
    held.withLock { $0 = Subject(shared: shared, configuration: configuration, listeners: Watch.listeners(doors)) }
  }

  /// Tells of other listeners from now on.
  func adopt(_ doors: Doors) {
    held.withLock { $0 = Subject(shared: $0.shared, configuration: $0.configuration, listeners: Watch.listeners(doors)) }
  }

  private static func listeners(_ doors: Doors) -> [StatusReport.Listener] {
    zip(doors.doors, doors.addresses).map { StatusReport.Listener(kind: $0.settings.kind.name, address: $1) }
  }

  var look: Look { last.withLock { $0 } }

  /// Where metrics are told.
  var metricsAddress: String? {
    get { metricsAt.withLock { $0 } }
    set { metricsAt.withLock { $0 = newValue } }
  }

  private func work() {
    var slowAt = MonotonicClock.nanoseconds()
    while !ending.isClosed {
      let began = MonotonicClock.nanoseconds()
      let isSlow = began - slowAt > Watch.slowNanoseconds
      if isSlow { slowAt = began }
      look(isSlow: isSlow)
      // A long queue takes long to count: looking must not take more than a twentieth of a processor.
      let cost = MonotonicClock.nanoseconds() - began
      ending.wait(forSeconds: max(1, min(600, cost * 20 / 1_000_000_000)))
    }
  }

  private func look(isSlow: Bool) {
    let subject = self.subject
    let (shared, configuration) = (subject.shared, subject.configuration)
    var next = look
    // A ledger that cannot be read says so where it is used; here the numbers grow old, and their age is told.
    do {
      next.queue = try ledger.routeFigures()
      next.held = try ledger.heldFigures()
      next.restored = try ledger.restoredFigures()
      next.deadlines = try ledger.deadlineCount()
      next.nextDeadline = try ledger.nextDeadline()
      let lastRow = try ledger.lastEventNumber()
      let seal = try ledger.lastSeal()
      next.rows = try ledger.firstEventNumber().map { lastRow - $0 + 1 } ?? 0
      next.unsealedRows = lastRow - (seal?.last ?? 0)
      next.lastSealAt = seal?.madeAt.unixSeconds
      next.seals = seal?.number ?? 0
      next.unstampedSeals = try ledger.unstampedSeals().count
      lookAtStamp(&next, try ledger.lastStampedSeal()?.number)
      next.at = MonotonicClock.nanoseconds()
    } catch {
      shared.logger.debug("the ledger cannot be looked at: \(error)")
    }
    next.usage = shared.spool.usage
    next.freeBytes = shared.spool.freeBytes
    next.process = ProcessFigures.now()
    if isSlow {
      next.quarantined = Watch.countQuarantine(Gateway.quarantinePath(configuration.dataDirectory))
      next.databaseAt = configuration.scanner.flatMap { SignatureDatabase.newestUnixSeconds(of: $0.database) }
    }
    let found = next
    last.withLock { $0 = found }
  }

  /// Reads the stamp of a seal once: it does not change. One that cannot be read is found by those who verify the log.
  private func lookAtStamp(_ look: inout Look, _ seal: Int64?) {
    guard let seal, look.stampedSeal != seal else { return }
    look.stampedSeal = seal
    do { look.stampCertificate = CertificateFacts(der: try seals.stampCertificate(seal)) } catch {
      subject.shared.logger.warning("the time stamp of seal \(seal) cannot be looked at: \(error)")
    }
  }

  /// Messages in quarantine: folders of folders by year, month and day.
  private static func countQuarantine(_ path: String) -> Int {
    func names(_ path: String) -> [String] {
      ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).filter { $0.first?.isNumber == true }
    }
    var count = 0
    for year in names(path) {
      for month in names("\(path)/\(year)") {
        for day in names("\(path)/\(year)/\(month)") {
          let folder = "\(path)/\(year)/\(month)/\(day)"
          count += ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).count { !$0.hasPrefix(".") }
        }
      }
    }
    return count
  }
}

extension Measures {
  /// The counts of a gateway with these parts.
  convenience init(_ parts: GatewayParts) {
    self.init(lanes: parts.configuration.lanes, routes: Measures.routes(parts.nextHops, parts.exchangeRoutes))
  }

  /// The ways out that a configuration has, as `Route.text` has them.
  static func routes(_ shared: SharedState) -> [String] { routes(shared.nextHops, shared.exchangeRoutes) }

  private static func routes(_ nextHops: [String: NextHop], _ exchangeRoutes: [String: ExchangeRoute]) -> [String] {
    let names = nextHops.keys.filter { $0 != SharedState.mailboxRoute } + exchangeRoutes.keys
    return ["mailbox"] + names.sorted().map { "relay:\($0)" }
  }
}
