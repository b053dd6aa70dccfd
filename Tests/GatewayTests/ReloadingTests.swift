import Configuration
import Testing

@testable import Gateway

@Suite("a configuration that is read again")
struct ReloadingTests {
  private let running = GatewayConfiguration.forDoors

  private func reload(_ change: (inout GatewayConfiguration) -> Void) -> (change: Reloading, fresh: GatewayConfiguration) {
    var fresh = running
    change(&fresh)
    return (Reloading(running: running, fresh: fresh), fresh)
  }

  @Test("what may change does")
  func changes() {
    let (change, fresh) = reload {
      $0.routes = [RouteSettings(domains: ["*"], nextHop: Endpoint(host: "mx", port: 25))]
      $0.limits.connection.maximumConnections = 7
      $0.limits.message.maximumBytes -= 1
      $0.ordinaryMail = OrdinaryMailSettings(standard: .refuse)
      $0.trust = TrustSettings(authorities: ["/ca.pem"])
      $0.index.fetch = IndexFetchSettings(url: "https://index.test/")
      $0.log.level = .debug
      $0.tls = TLSSettings(certificate: "/a", key: "/b")
      $0.listeners = [ListenerSettings(kind: .incoming, address: "::", port: 25)]
      $0.signer.certificate = "/elsewhere.pem"
      $0.scanner?.encrypted = .refuse
      $0.scanner?.whenDown = ScannerOutage(submission: .connection, incoming: .connection)
    }
    #expect(change.needsRestart == [])
    #expect(change.effective == fresh)
  }

  @Test("what may not keeps its value, and is named")
  func keeps() {
    let (change, _) = reload {
      $0.hostname = "other.alfa.test"
      $0.provider.node = "alfa2"
      $0.dataDirectory = "/elsewhere"
      $0.index.file = "/other.ldif"
      $0.signer.threads = 9
      $0.usersFile = "/others"
      $0.mailboxes = .maildir(root: "/elsewhere")
      $0.clock = ClockSettings(limitMilliseconds: 5)
      $0.limits.delivery.activeEntries = 11
      $0.lanes = 4
      $0.log.format = .json
      $0.user = "nobody"
      $0.scanner?.workers += 1
      $0.limits.message.maximumBytes += 1
    }
    #expect(
      change.needsRestart == [
        "hostname", "provider", "dataDirectory", "index.file", "signer.threads", "users", "mailboxes", "clock", "limits.activeEntries",
        "lanes", "log.format", "user", "scanner (its processes and bounds)",
        "limits.maximumMessageMegabytes (more than the scanner was started for)",
      ])
    #expect(change.effective == running)
  }

  @Test("a scanner that is switched on or off needs a restart")
  func scanner() {
    let (change, _) = reload { $0.scanner = nil }
    #expect(change.needsRestart == ["scanner"])
    #expect(change.effective == running)
  }
}
