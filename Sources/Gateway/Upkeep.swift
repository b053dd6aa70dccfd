import Configuration
import LDAPSearch
import Limits
import Logging
import PEC
import ProviderIndex
import Synchronization
import Threading
import WebFetch

/// What is looked after while the gateway runs: the provider index and the revocation lists, fetched on their schedules.
final class Upkeep: Sendable {
  private enum Request: Sendable {
    case index(allowsLosses: Bool, @Sendable (String, Bool) -> Void)
    case everything
    case settings(IndexSettings, listMinutes: Int)
  }

  private let limits: FetchLimits
  private let index: ProviderIndex
  private let trust: TrustStore
  private let logger: Logger
  private let first: (index: IndexSettings, listMinutes: Int)
  /// Told what came of each refresh of the index, for the certified log (`pec-rules` 9.1).
  private let note: @Sendable (String) -> Void
  private let requests = Handoff<Request>()
  private let thread = Mutex<WorkerThread?>(nil)

  init(
    _ configuration: GatewayConfiguration, _ index: ProviderIndex, _ trust: TrustStore, logger: Logger,
    note: @escaping @Sendable (String) -> Void
  ) {
    first = (configuration.index, max(1, configuration.trust.refreshMinutes))
    limits = configuration.limits.fetch
    self.index = index
    self.trust = trust
    self.logger = logger
    self.note = note
    thread.withLock { $0 = WorkerThread(name: "upkeep") { [self] in work() } }
  }

  /// Fetches the index now; `then` is told what came of it, and whether it holds.
  func fetchIndex(allowsLosses: Bool, then: @escaping @Sendable (String, Bool) -> Void) {
    if !requests.send(.index(allowsLosses: allowsLosses, then)) { then("the gateway is stopping", false) }
  }

  /// Reads lists and index again, soon.
  func refresh() { requests.send(.everything) }

  /// Takes other settings; the next fetches go by them.
  func adopt(_ configuration: GatewayConfiguration) {
    requests.send(.settings(configuration.index, listMinutes: max(1, configuration.trust.refreshMinutes)))
  }

  func finish() {
    requests.close()
    thread.withLock { $0.take() }?.join()
  }

  private func work() {
    var (settings, listMinutes) = first
    var nextLists: Int64 = 0
    var nextIndex: Int64 = settings.fetch == nil ? .max : 0
    while true {
      let now = Clock.now().unixSeconds
      // A clock that was ahead has been put right: nothing waits for a time that it told before.
      nextLists = min(nextLists, now + Int64(listMinutes) * 60)
      if let fetch = settings.fetch { nextIndex = min(nextIndex, now + Int64(fetch.everyMinutes) * 60) }
      if now >= nextLists {
        _ = trust.refresh(directory: index.snapshot, now: now)
        nextLists = now + Int64(listMinutes) * 60
      }
      if now >= nextIndex, let fetch = settings.fetch {
        let isLoaded = fetched(settings, allowsLosses: false).isLoaded
        // What could not be had is tried again sooner than the schedule says: the index is to be refreshed daily at the least.
        nextIndex = now + Int64(isLoaded ? fetch.everyMinutes : min(fetch.everyMinutes, 30)) * 60
      }
      if requests.count == 0 { requests.wait(forSeconds: Int(max(1, min(3600, min(nextLists, nextIndex) - Clock.now().unixSeconds)))) }
      if requests.isClosed { return }
      guard requests.count > 0, let asked = requests.take() else { continue }
      for request in asked {
        switch request {
        case .index(let allowsLosses, let then):
          let report = fetched(settings, allowsLosses: allowsLosses)
          then(report.lines.joined(separator: "\n"), report.isLoaded)
        case .everything: nextLists = 0
        case .settings(let index, let minutes):
          if index.fetch != settings.fetch { nextIndex = index.fetch == nil ? .max : 0 }
          (settings, listMinutes, nextLists) = (index, minutes, 0)
        }
      }
    }
  }

  private func fetched(_ settings: IndexSettings, allowsLosses: Bool) -> (isLoaded: Bool, lines: [String]) {
    let outcome = IndexFetch.fetch(settings, limits, into: index, allowsLosses: allowsLosses)
    for line in outcome.lines { logger.log(level: outcome.isLoaded ? .info : .warning, "provider index: \(line)") }
    note("\(outcome.isLoaded ? "loaded" : "not loaded"): \(outcome.lines.joined(separator: "; "))")
    return outcome
  }
}

/// Gets the provider index from where the configuration says (RFC 6109 §4.5): for the running gateway and for the operator's command.
public enum IndexFetch {
  /// Fetches and, when all is well with it, lets it hold. Blocks. Returns lines for people.
  public static func fetch(
    _ settings: IndexSettings, _ limits: FetchLimits, into index: ProviderIndex, allowsLosses: Bool
  ) -> (isLoaded: Bool, lines: [String]) {
    guard let fetch = settings.fetch else { return (false, ["the configuration names no place to fetch the provider index from"]) }
    do {
      let report: IndexReport
      if fetch.usesLDAP {
        report = index.accept(try search(fetch, limits), from: fetch.url, allowingLosses: allowsLosses)
      } else {
        let response = try WebFetch.get(
          WebRequest(
            url: fetch.url, caFile: fetch.caFile, clientCertificate: fetch.certificate, clientKey: fetch.key,
            maximumBytes: limits.indexBytes, timeoutSeconds: limits.indexTimeoutSeconds))
        report = index.accept(response.body, from: fetch.url, allowingLosses: allowsLosses)
      }
      return (report.isLoaded, report.lines)
    } catch {
      return (false, ["not fetched from \(fetch.url): \(error); the one in memory stays"])
    }
  }

  /// What a directory server has, as the LDIF file it stands for.
  private static func search(_ fetch: IndexFetchSettings, _ limits: FetchLimits) throws -> [UInt8] {
    let entries = try LDAPSearch.entries(
      LDAPRequest(
        url: fetch.url, caFile: fetch.caFile, startTLS: fetch.startTLS, bindDN: fetch.bindDN, password: try fetch.password(),
        timeoutSeconds: limits.indexTimeoutSeconds, maximumEntries: limits.directoryEntries, maximumBytes: limits.indexBytes))
    var writer = LDIFWriter()
    for entry in entries {
      writer.record(dn: entry.dn, attributes: entry.attributes.map { (name: $0.name, values: $0.values) })
    }
    return writer.octets
  }
}
