import Configuration
import Foundation
import Testing

@testable import Operations

/// What `check` says about the certified log and the clock.
@Suite struct LogInspectionTests {
  private final class Place {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("log-inspection-\(UUID().uuidString)").path
    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// An authority's certificate, made by openssl.
    func certificate() throws -> String {
      let openssl = Process()
      openssl.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
      openssl.arguments = [
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=TSA", "-days", "30", "-keyout",
        "\(path)/ca.key", "-out", "\(path)/ca.pem",
      ]
      openssl.standardError = FileHandle.nullDevice
      try openssl.run()
      openssl.waitUntilExit()
      return "\(path)/ca.pem"
    }
  }

  private static let kept = (offset: Int64(0), maximum: Int64(20_000))

  private func look(
    _ log: CertifiedLogSettings, clock: ClockSettings = ClockSettings(), mailboxes: MailboxStore = .maildir(root: "/m"), first: Int? = nil,
    kernel: (offset: Int64, maximum: Int64) = kept
  ) -> Inspection {
    var configuration = GatewayConfiguration(
      hostname: "mx.alfa.test",
      provider: ProviderSettings(name: "Alfa", serviceAddress: "p@alfa.test", node: "n", domains: ["alfa.test"]), dataDirectory: "/data",
      index: IndexSettings(file: "/i"), signer: SignerSettings(certificate: "/c", key: "/k"), tls: nil, usersFile: "/u",
      mailboxes: mailboxes, listeners: [], routes: [], scanner: nil, certifiedLog: log, clock: clock)
    if let first { configuration.limits.deadlines.firstSeconds = first }
    var inspection = Inspection(now: 1_800_000_000)
    inspection.lookAtLog(
      configuration,
      clock: .init(
        realtimeMicroseconds: 0, boottimeMicroseconds: 0, offsetMicroseconds: kernel.offset, maximumErrorMicroseconds: kernel.maximum))
    return inspection
  }

  @Test func allIsWell() throws {
    let place = try Place()
    let ca = try place.certificate()
    try "secret\n".write(toFile: place.path + "/password", atomically: true, encoding: .utf8)
    let authorities = [
      TimeStampAuthoritySettings(url: "https://tsa.test:8443/x", caFile: ca, user: "alfa", passwordFile: place.path + "/password"),
      TimeStampAuthoritySettings(url: "http://other.test", caFile: ca),
    ]
    let found = look(
      CertifiedLogSettings(extractAddress: "registro@alfa.test", timeStamps: TimeStampSettings(authorities: authorities)))
    #expect(found.errors == [])
    #expect(found.warnings == [])
    #expect(
      found.facts == [
        "certified log: rows are kept for 30 months and 31 days",
        "certified log: sealed each day at 00:10, and whenever 100000 rows wait",
        "time stamps: https://tsa.test:8443/x, vouched for by 1 certificate in \(ca)",
        "time stamps: http://other.test, vouched for by 1 certificate in \(ca)",
        "certified log: holders ask for extracts at registro@alfa.test",
        "clock: synchronized, offset 0.000 ms, within 20.000 ms of UTC; the limit is 1000 ms",
      ])
  }

  @Test func authoritiesThatAreTooFew() throws {
    let none = look(CertifiedLogSettings())
    #expect(none.warnings.count == 1 && none.warnings[0].hasPrefix("time stamps: NO AUTHORITY IS NAMED"))
    #expect(none.facts.contains { $0.hasPrefix("certified log: no certifiedLog.extractAddress") })

    let ca = try Place()
    let path = try ca.certificate()
    func stamps(_ urls: [String]) -> CertifiedLogSettings {
      CertifiedLogSettings(
        timeStamps: TimeStampSettings(authorities: urls.map { TimeStampAuthoritySettings(url: $0, caFile: path) }))
    }
    #expect(
      look(stamps(["https://tsa.test"])).warnings == [
        "time stamps: only one authority is named, and seals wait while it fails: name a second one"
      ])
    #expect(
      look(stamps(["https://TSA.test/a", "http://tsa.test:80/b"])).warnings
        == ["time stamps: all authorities are at tsa.test, and fail together: name one elsewhere"])
    #expect(Inspection.host(of: "HTTPS://[2001:db8::1]:8443/x?y=z") == "2001:db8::1")
  }

  @Test func whatCannotBeReadIsAnError() throws {
    let place = try Place()
    let authority = TimeStampAuthoritySettings(
      url: "https://tsa.test", caFile: place.path + "/none.pem", user: "alfa", passwordFile: place.path + "/none")
    let found = look(CertifiedLogSettings(timeStamps: TimeStampSettings(authorities: [authority])))
    #expect(found.errors.count == 2 && found.errors.allSatisfy { $0.hasPrefix("time stamps: https://tsa.test: \(place.path)/none") })
  }

  @Test func aMailboxThatAnotherServerHasToHave() throws {
    let server = MailboxStore.lmtp(.unix(path: "/run/lmtp"))
    let found = look(CertifiedLogSettings(extractAddress: "registro@alfa.test"), mailboxes: server)
    #expect(found.warnings.contains { $0.hasPrefix("certified log: the mailboxes' server has to have a mailbox registro@alfa.test") })
  }

  @Test func deadlinesThatAreNotTheRules() {
    #expect(
      look(CertifiedLogSettings(), first: 60).warnings.contains { $0.hasPrefix("deadlines: notices of silence after 60 and 85500 seconds") }
    )
  }

  @Test func clocks() {
    func clock(_ synchronization: ClockSettings.Synchronization, _ offset: Int64, _ maximum: Int64) -> String? {
      look(CertifiedLogSettings(), clock: ClockSettings(synchronization: synchronization), kernel: (offset, maximum))
        .warnings.first { $0.hasPrefix("clock: ") }
    }
    #expect(clock(.required, 0, 16_000_000)?.contains("NOTHING IS CERTIFIED until it can be trusted; run chronyd, or") == true)
    #expect(clock(.warn, 0, 16_000_000)?.contains("may bear a wrong time") == true)
    #expect(
      clock(.required, 1_000_001, 0)
        == "clock: the clock may be 1000.001 ms off UTC, more than 1000 ms: NOTHING IS CERTIFIED until it can be trusted; mend it")
    #expect(clock(.warn, 1_000_001, 16_000_000)?.contains("NOTHING IS CERTIFIED") == true)
    #expect(clock(.required, 0, 1000) == nil)
  }
}
