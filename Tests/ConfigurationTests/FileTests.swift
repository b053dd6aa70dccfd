import Foundation
import Limits
import Testing

@testable import Configuration

/// The files beside these tests: good ones, and bad ones each with what has to be said about it in a file of the same name.
enum Fixtures {
  static func path(_ name: String) throws -> String {
    try #require(Bundle.module.resourceURL).appendingPathComponent("Fixtures/\(name)").path
  }

  static func text(_ name: String) throws -> String { try String(contentsOfFile: path(name), encoding: .utf8) }

  static func problems(_ text: String, named name: String = "f.yaml") -> [String] {
    do {
      _ = try GatewayConfiguration.parse(text, named: name, folder: "/etc/ceralacca")
      return []
    } catch {
      return error.problems.map(\.description)
    }
  }
}

@Suite struct FileTests {
  @Test(arguments: ["empty", "list", "tab", "bracket", "star", "address", "two-documents", "everything", "duplicates"])
  func badFilesAreExplained(name: String) throws {
    let expected = try Fixtures.text("bad/\(name).expected")
    let found = Fixtures.problems(try Fixtures.text("bad/\(name).yaml"), named: "\(name).yaml").map { $0 + "\n" }.joined()
    #expect(found == expected, "\(found)")
  }

  @Test func theSmallestFileTakesDefaults() throws {
    let it = try GatewayConfiguration.parse(Fixtures.text("good/smallest.yaml"), named: "smallest.yaml", folder: "/etc/ceralacca")
    #expect(it.hostname == "mx.alfa.test")
    #expect(
      it.provider
        == ProviderSettings(
          name: "Alfa PEC S.p.A.", serviceAddress: "posta-certificata@pec.alfa.test", node: "alfa1", domains: ["pec.alfa.test"]))
    #expect(it.provider.mailDomain == "pec.alfa.test")
    #expect(it.dataDirectory == "/etc/ceralacca/data")
    #expect(it.index == IndexSettings(file: "/etc/ceralacca/../index.ldif"))
    #expect(it.indexFile == "/etc/ceralacca/../index.ldif")
    #expect(it.provider.serviceMailbox == "posta-certificata@pec.alfa.test")
    #expect(it.ordinaryMail == OrdinaryMailSettings(standard: .anomaly, forged: .refuse))
    #expect(it.trust == TrustSettings())
    #expect(it.scanner == nil)
    #expect(it.certifiedLog == CertifiedLogSettings())
    #expect(it.certifiedLog.retentionMonths == 30)
    #expect(it.certifiedLog.extractAddress == nil)
    #expect(it.certifiedLog.timeStamps.authorities.isEmpty)
    #expect(it.clock == ClockSettings(limitMilliseconds: 1000, synchronization: .required))
    #expect(it.limits.deadlines == DeadlineLimits())
    #expect(it.signer.certificate == "/etc/ceralacca/signer.pem")
    #expect(it.signer.threads >= 1)
    #expect(it.tls == nil)
    #expect(it.usersFile == "/etc/ceralacca/users")
    #expect(it.mailboxes == .maildir(root: "/etc/ceralacca/mail"))
    let peers = try #require(PeerList(["127.0.0.1"]))
    #expect(it.listeners == [ListenerSettings(kind: .trusted(peers: peers, user: .xclient), address: "127.0.0.1", port: 10025)])
    #expect(it.routes == [RouteSettings(domains: ["*"], nextHop: Endpoint(host: "127.0.0.1", port: 10026))])
    #expect(it.limits == Limits())
    #expect(it.lanes == GatewayConfiguration.processors)
    #expect(it.log == LogSettings(format: .text, level: .info))
  }

  @Test func everyKeyIsRead() throws {
    let it = try GatewayConfiguration.parse(Fixtures.text("good/full.yaml"), named: "full.yaml", folder: "/etc/ceralacca")
    #expect(it.hostname == "mx.alfa.test")
    #expect(it.provider.name == "Alfa «PEC» S.p.A.")
    #expect(it.provider.serviceAddress == "posta-certificata@pec.alfa.test")
    #expect(it.provider.domains == ["pec.alfa.test", "pec.alfa.example"])
    #expect(it.dataDirectory == "/var/lib/ceralacca")
    #expect(it.indexFile == "/etc/ceralacca/index.ldif")
    #expect(it.signer == SignerSettings(certificate: "/etc/ceralacca/signer.pem", key: "/etc/ceralacca/signer.key", threads: 2))
    #expect(it.tls == TLSSettings(certificate: "/etc/ceralacca/tls.pem", key: "/etc/ceralacca/tls.key"))
    #expect(it.mailboxes == .lmtp(.unix(path: "/run/dovecot/lmtp")))
    #expect(it.quota == nil)
    let peers = try #require(PeerList(["127.0.0.1", "::1", "10.0.0.0/8"]))
    #expect(
      it.listeners == [
        ListenerSettings(kind: .submission, address: "127.0.0.1", port: 0),
        ListenerSettings(kind: .submissions, address: "::", port: 465),
        ListenerSettings(kind: .trusted(peers: peers, user: .mailFrom), address: "127.0.0.1", port: 10025),
      ])
    #expect(it.route(for: "PEC.beta.test")?.nextHop == Endpoint(host: "mx.beta.test", port: 25))
    #expect(it.route(for: "pec.beta.test")?.caFile == "/etc/ceralacca/ca.pem")
    #expect(it.route(for: "pec.delta.test")?.nextHop?.description == "[2001:db8::1]:2525")
    #expect(it.route(for: "pec.delta.test")?.tls == .never)
    #expect(it.route(for: "elsewhere.test")?.credentials == RouteCredentials(user: "x", passwordFile: "/etc/ceralacca/y"))
    var limits = Limits()
    limits.message.maximumBytes = 50 * 1_048_576
    limits.message.formalBytes = 81 * 524_288
    limits.message.maximumBytesTimesRecipients = nil
    limits.command.maximumRecipients = 500
    limits.connection.maximumConnections = 200
    limits.connection.maximumConnectionsPerPeer = 20
    limits.connection.commandTimeoutSeconds = 30
    limits.connection.bodyTimeoutSeconds = 31
    limits.delivery.giveUpSeconds = 1800
    limits.delivery.firstRetrySeconds = 1
    limits.delivery.lastRetrySeconds = 8
    limits.delivery.recipientsPerTransaction = 50
    limits.delivery.activeEntries = 500
    limits.delivery.connectionsPerDestination = 4
    limits.storage.segmentBytes = 16 * 1_048_576
    limits.storage.intakeMemoryBytes = 64 * 1_048_576
    limits.storage.minimumFreeBytes = 0
    limits.deadlines.firstSeconds = 2
    limits.deadlines.secondSeconds = 5
    #expect(it.limits == limits)
    var bounds = ScanLimits()
    bounds.scanSeconds = 60
    bounds.workerMemoryBytes = 2 << 30
    bounds.maximumScanBytes = 500 << 20
    bounds.maximumFileBytes = 204_801 << 10
    bounds.depth = 20
    bounds.files = 1000
    bounds.databaseCheckSeconds = 5
    bounds.cachedVerdicts = 0
    #expect(
      it.scanner
        == ScannerConfiguration(
          database: "/var/lib/clamav", workers: 2, user: "ceralacca-scan", temporary: "/etc/ceralacca/scan",
          executable: "/usr/libexec/ceralacca-scanner", encrypted: .refuse, beyondLimits: .accept, infectedOrdinaryMail: .discard,
          whenDown: ScannerOutage(submission: .connection, incoming: .message), limits: bounds))
    #expect(
      it.certifiedLog
        == CertifiedLogSettings(
          retentionMonths: 36, marginDays: 0, sealEveryRows: 5000, sealDailyAt: TimeOfDay(hour: 23, minute: 59),
          extractAddress: "Registro@pec.alfa.test",
          timeStamps: TimeStampSettings(
            authorities: [
              TimeStampAuthoritySettings(
                url: "https://tsa.example.org:8443/tsr?x=1", caFile: "/etc/ceralacca/tsa-ca.pem", user: "alfa",
                passwordFile: "/etc/ceralacca/tsa.password", policy: "1.3.76.36.1.1.40"),
              TimeStampAuthoritySettings(url: "HTTP://tsa.example.com", caFile: "/etc/ssl/tsa.pem", policy: "2.16"),
            ], timeoutSeconds: 5, toleranceSeconds: 1, renewalDays: 30)))
    #expect(it.clock == ClockSettings(limitMilliseconds: 500, synchronization: .warn))
    #expect(it.lanes == 3)
    #expect(it.log == LogSettings(format: .json, level: .debug))
  }

  @Test func everyKeyOfTheIncomingSideIsRead() throws {
    let it = try GatewayConfiguration.parse(Fixtures.text("good/incoming.yaml"), named: "incoming.yaml", folder: "/etc/ceralacca")
    #expect(it.provider.serviceMailbox == "Servizio@pec.alfa.example")
    #expect(
      it.index
        == IndexSettings(
          file: "/etc/ceralacca/index.ldif.p7m", signers: "/etc/ceralacca/index-operator.pem",
          fetch: IndexFetchSettings(
            url: "https://index.example.org:8443/gestori/index.ldif.p7m?all", caFile: "/etc/ceralacca/web-ca.pem",
            certificate: "/etc/client.pem", key: "/etc/ceralacca/client.key", everyMinutes: 60), maximumLossPercent: 10))
    #expect(it.index.fetch?.usesLDAP == false)
    let peers = try #require(PeerList(["127.0.0.1", "2001:db8::/32"]))
    #expect(it.mailboxes == .smtp(SMTPMailboxes(nextHop: Endpoint(host: "mail.alfa.test", port: 2525), reportsFrom: peers)))
    let proxies = try #require(PeerList(["192.0.2.0/24", "2001:db8::/32"]))
    #expect(
      it.listeners == [
        ListenerSettings(kind: .incoming, address: "::", port: 25, proxies: proxies, forwarders: PeerList(["127.0.0.1"]))
      ])
    var rates = RateLimits()
    (rates.recipientsPerUserPerHour, rates.messagesPerPeerPerMinute) = (500, 60)
    #expect(it.limits.rates == rates)
    #expect(
      it.ordinaryMail
        == OrdinaryMailSettings(
          standard: .discard, forged: .anomaly,
          domains: ["pec.alfa.example": .refuse, "pec.alfa.test": .forward(to: "archive@example.org")],
          mailboxes: ["anna@pec.alfa.test": .forward(to: "Anna.Rossi@example.org"), "aldo@pec.alfa.test": .anomaly]))
    #expect(
      it.trust
        == TrustSettings(
          authorities: ["/etc/ceralacca/ca.pem", "/etc/ssl/other-ca.pem"],
          revocationLists: ["/etc/ceralacca/ca.crl", "http://crl.example.org/ca.crl", "HTTPS://[2001:db8::1]:8443/x?y=z"],
          usesDistributionPoints: true, refreshMinutes: 5))
    #expect(it.scanner == ScannerConfiguration(database: "/etc/ceralacca/signatures/provider.ndb", workers: 1))
    #expect(it.trust.revocationLists.map(TrustSettings.isAddress) == [false, true, true])

    let ldap = try GatewayConfiguration.parse(Fixtures.text("good/ldap.yaml"), named: "ldap.yaml", folder: "/etc/ceralacca")
    #expect(
      ldap.index.fetch
        == IndexFetchSettings(
          url: "LDAP://ldap.example.org/", startTLS: true, caFile: "/etc/ceralacca/ca.pem", bindDN: "cn=reader,o=postacert",
          passwordFile: "/etc/ceralacca/ldap.password", everyMinutes: 720))
    #expect(ldap.index.fetch?.usesLDAP == true)
    #expect(ldap.trust == TrustSettings(authorities: ["/etc/ceralacca/ca.pem"]))
    #expect(!ldap.trust.usesDistributionPoints)

    let plain = try Fixtures.text("good/smallest.yaml").replacingOccurrences(of: "{ file: ../index.ldif }", with: "/srv/index.ldif")
    #expect(try GatewayConfiguration.parse(plain, named: "f.yaml", folder: "/etc").index == IndexSettings(file: "/srv/index.ldif"))
  }

  /// A slip anywhere in a good file is reported or harmless, and never ends the process.
  @Test func everyTruncationAndEveryMissingLineIsSurvived() throws {
    for name in ["good/full.yaml", "good/incoming.yaml", "good/ldap.yaml"] {
      let text = try Fixtures.text(name)
      for length in stride(from: 0, to: text.count, by: 7) { _ = Fixtures.problems(String(text.prefix(length))) }
      let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
      for index in lines.indices {
        var fewer = lines
        fewer.remove(at: index)
        _ = Fixtures.problems(fewer.joined(separator: "\n"))
        var doubled = lines
        doubled.insert(lines[index], at: index)
        _ = Fixtures.problems(doubled.joined(separator: "\n"))
      }
    }
    let text = try Fixtures.text("good/full.yaml")
    // Without its last route the file has no route for every other domain.
    #expect(!Fixtures.problems(text.replacingOccurrences(of: "domains: [\"*\"]", with: "domains: [x.test]")).isEmpty)
  }

  @Test func loadLooksAtTheFilesThatAreNamed() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("configuration-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder.appendingPathComponent("users"), withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = folder.appendingPathComponent("gateway.yaml").path
    // The provider index is not there either, and need not be: the gateway keeps a last good copy.
    try Fixtures.text("good/smallest.yaml").write(toFile: file, atomically: true, encoding: .utf8)
    try "x".write(toFile: folder.path + "/signer.pem", atomically: true, encoding: .utf8)
    let error = try #require(throws: ConfigurationErrors.self) { try GatewayConfiguration.load(path: file) }
    let remedy = "mend the name, or the file's place and permissions"
    #expect(
      error.description == """
        \(file):9:41: key 'signer.key': names the file '\(folder.path)/signer.key', which does not exist; \(remedy)
        \(file):10:22: key 'users.passwdFile': names the file '\(folder.path)/users', which is a folder; \(remedy)
        """)
    try FileManager.default.removeItem(atPath: folder.path + "/users")
    for name in ["signer.key", "users"] { try "secret\n".write(toFile: folder.path + "/" + name, atomically: true, encoding: .utf8) }
    #expect(try GatewayConfiguration.load(path: file).usersFile == folder.path + "/users")
    #expect(try RouteCredentials(user: "x", passwordFile: folder.path + "/users").password() == "secret")
    #expect(throws: ConfigurationErrors.self) { try RouteCredentials(user: "x", passwordFile: folder.path + "/none").password() }
  }

  @Test func thePasswordForTheIndexIsTheFirstLineOfItsFile() throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("password-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: file) }
    var fetch = IndexFetchSettings(url: "ldaps://ldap.example.org")
    #expect(try fetch.password() == nil)
    fetch.bindDN = "cn=reader"
    fetch.passwordFile = file
    for (octets, password) in [(Data("secret\r\nmore\n".utf8), "secret"), (Data("secret".utf8), "secret")] {
      try octets.write(to: URL(fileURLWithPath: file))
      #expect(try fetch.password() == password)
    }
    for octets in [Data(), Data("\nsecret\n".utf8), Data([0xFF, 0x0A])] {
      try octets.write(to: URL(fileURLWithPath: file))
      let error = try #require(throws: ConfigurationErrors.self) { try fetch.password() }
      #expect(
        error.description == "\(file): cannot be read or has no password; write the password of user 'cn=reader' as its first line")
    }
    try FileManager.default.removeItem(atPath: file)
    #expect(throws: ConfigurationErrors.self) { try fetch.password() }
  }

  /// Authorities, signers and keys must be there; the index and revocation lists may be away for a while.
  @Test func loadLooksAtTheFilesOfTheIncomingSide() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("configuration-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = folder.appendingPathComponent("gateway.yaml").path
    let text = try Fixtures.text("good/incoming.yaml").replacingOccurrences(of: "/etc/", with: "etc-")
    try text.replacingOccurrences(of: "etc-ssl/", with: "").write(toFile: file, atomically: true, encoding: .utf8)
    for name in ["signer.pem", "signer.key", "tls.pem", "tls.key", "users"] {
      try "x".write(toFile: folder.path + "/" + name, atomically: true, encoding: .utf8)
    }
    let error = try #require(throws: ConfigurationErrors.self) { try GatewayConfiguration.load(path: file) }
    #expect(
      error.problems.map(\.key) == [
        "index.signers", "index.fetch.caFile", "index.fetch.certificate", "index.fetch.key", "trust.authorities[0]", "trust.authorities[1]",
      ])
    #expect(error.problems.allSatisfy { $0.what.hasSuffix("which does not exist") })
    for name in ["index-operator.pem", "web-ca.pem", "etc-client.pem", "client.key", "ca.pem", "other-ca.pem"] {
      try "x".write(toFile: folder.path + "/" + name, atomically: true, encoding: .utf8)
    }
    #expect(try GatewayConfiguration.load(path: file).trust.revocationLists.first == folder.path + "/ca.crl")
  }

  /// Where the scanner is and where it works, with and without a word about it.
  @Test func theScannersPlacesHaveDefaults() throws {
    let text = try Fixtures.text("good/smallest.yaml").replacingOccurrences(of: "scanner: off", with: "scanner: { database: /db }")
    var it = try #require(try GatewayConfiguration.parse(text, named: "f.yaml", folder: "/etc").scanner)
    #expect(it == ScannerConfiguration(database: "/db") && it.user == "nobody" && (1...64).contains(it.workers))
    #expect(it.limits == ScanLimits())
    let hasMemory = FileManager.default.fileExists(atPath: "/dev/shm/.")
    #expect(it.temporaryFolder(dataDirectory: "/data") == (hasMemory ? "/dev/shm" : "/data/scan"))
    it.temporary = "/t"
    #expect(it.temporaryFolder(dataDirectory: "/data") == "/t")
    #expect(it.executablePath.hasPrefix("/") && it.executablePath.hasSuffix("/ceralacca-scanner"))
    it.executable = "/opt/s"
    #expect(it.executablePath == "/opt/s")
  }

  @Test func filesThatAreNoTextAreNamed() throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("configuration-\(UUID().uuidString).yaml").path
    defer { try? FileManager.default.removeItem(atPath: file) }
    let missing = try #require(throws: ConfigurationErrors.self) { try GatewayConfiguration.load(path: file) }
    #expect(missing.description == "\(file): does not exist; name a configuration file that this user may read")
    try Data([0x68, 0xff, 0xfe]).write(to: URL(fileURLWithPath: file))
    let binary = try #require(throws: ConfigurationErrors.self) { try GatewayConfiguration.load(path: file) }
    #expect(binary.description == "\(file): is not UTF-8; save it as UTF-8, or name another file")
    try Data(count: GatewayConfiguration.mostFileBytes + 1).write(to: URL(fileURLWithPath: file))
    let large = try #require(throws: ConfigurationErrors.self) { try GatewayConfiguration.load(path: file) }
    #expect(large.description == "\(file): has 1048577 octets, too many for a configuration; name a YAML file")
  }
}
