import Limits
import Testing

@testable import Configuration

@Suite struct WriterTests {
  @Test(
    arguments: ["good/smallest.yaml", "good/full.yaml", "good/incoming.yaml", "good/ldap.yaml"],
    ["/etc/ceralacca", "/srv/Città del mare", "/a: b #c"])
  func whatIsWrittenIsReadBack(name: String, folder: String) throws {
    let it = try GatewayConfiguration.parse(Fixtures.text(name), named: name, folder: folder)
    #expect(try GatewayConfiguration.parse(it.yaml, named: "again.yaml", folder: "/elsewhere") == it)
    let relative = it.yaml(in: folder)
    #expect(try GatewayConfiguration.parse(relative, named: "again.yaml", folder: folder) == it)
    #expect(!relative.contains(folder))
  }

  @Test func furtherCertificatesAndTheUserAreReadBack() throws {
    var it = try GatewayConfiguration.parse(Fixtures.text("good/full.yaml"), named: "full.yaml", folder: "/etc/ceralacca")
    #expect(it.tls?.names == [])
    #expect(it.user == nil)
    it.tls?.names = [
      TLSIdentitySettings(certificate: "/etc/ceralacca/a b.pem", key: "/run/b.key"),
      TLSIdentitySettings(certificate: "/c.pem", key: "/d.key"),
    ]
    it.user = "ceralacca"
    it.mailboxSearch = MailboxSearchSettings(
      url: "imaps://mail.alfa.test", caFile: "/ca.pem", user: "ceralacca", passwordFile: "/etc/ceralacca/master.password")
    #expect(try GatewayConfiguration.parse(it.yaml, named: "again.yaml", folder: "/elsewhere") == it)
    var behindSMTP = try GatewayConfiguration.parse(Fixtures.text("good/incoming.yaml"), named: "incoming.yaml", folder: "/etc/ceralacca")
    behindSMTP.mailboxSearch = it.mailboxSearch
    #expect(try GatewayConfiguration.parse(behindSMTP.yaml, named: "again.yaml", folder: "/elsewhere") == behindSMTP)
    let wrong = it.yaml.replacing("\nuser: ceralacca", with: "\nuser: \"a b\"").replacing("/d.key }", with: "/d.key, kye: 1 }")
    let found = Fixtures.problems(wrong)
    #expect(found.count == 2, "\(found)")
    #expect(found.contains { $0.contains("tls.names[1].kye") }, "\(found)")
    #expect(found.contains { $0.contains("not the name of a system user") }, "\(found)")
  }

  @Test func theFormIsCanonical() throws {
    var it = try GatewayConfiguration.parse(Fixtures.text("good/full.yaml"), named: "full.yaml", folder: "/etc/ceralacca")
    it.limits = Limits()
    it.limits.message.maximumBytes += 524_288
    it.limits.message.maximumBytesTimesRecipients = nil
    it.limits.deadlines.firstSeconds = 2
    it.dovecot = .unix(path: "/run/dovecot/auth-ceralacca")
    it.quota = .tcp(Endpoint(host: "127.0.0.1", port: 12340))
    #expect(
      it.yaml(in: "/etc/ceralacca") == """
        hostname: mx.alfa.test
        provider:
          name: "Alfa «PEC» S.p.A."
          serviceAddress: posta-certificata@pec.alfa.test
          node: alfa1
          domains: [pec.alfa.test, pec.alfa.example]
          serviceMailbox: posta-certificata@pec.alfa.test
        dataDirectory: /var/lib/ceralacca
        index: { file: index.ldif }
        signer: { certificate: signer.pem, key: signer.key, threads: 2 }
        tls: { certificate: tls.pem, key: tls.key }
        users: { passwdFile: users, dovecot: "unix:/run/dovecot/auth-ceralacca" }
        mailboxes: { lmtp: "unix:/run/dovecot/lmtp", quota: "127.0.0.1:12340" }
        listeners:
          - { kind: submission, address: 127.0.0.1, port: 0 }
          - { kind: submissions, address: "::", port: 465 }
          - { kind: trusted, address: 127.0.0.1, port: 10025, peers: [127.0.0.1, "::1", 10.0.0.0/8], user: mailFrom }
        routes:
          - { domains: [pec.beta.test], nextHop: "mx.beta.test:25", tls: required, caFile: ca.pem }
          - { domains: [pec.gamma.test, pec.delta.test], nextHop: "[2001:db8::1]:2525", tls: never }
          - { domains: ["*"], nextHop: "127.0.0.1:10026", tls: required, user: x, passwordFile: "y" }
        ordinaryMail:
          policy: anomaly
          forged: refuse
        scanner:
          database: /var/lib/clamav
          workers: 2
          user: ceralacca-scan
          temporary: scan
          executable: /usr/libexec/ceralacca-scanner
          encrypted: refuse
          beyondLimits: accept
          infectedOrdinaryMail: discard
          whenDown: { submission: connection, incoming: message }
          seconds: 60
          memory: 2G
          scanBytes: 500M
          fileBytes: 204801K
          depth: 20
          files: 1000
          databaseCheckSeconds: 5
          cachedVerdicts: 0
        certifiedLog:
          retentionMonths: 36
          marginDays: 0
          sealEveryRows: 5000
          sealDailyAt: "23:59"
          extractAddress: Registro@pec.alfa.test
          timeStamps:
            authorities:
              - { url: "https://tsa.example.org:8443/tsr?x=1", caFile: tsa-ca.pem, user: alfa, passwordFile: tsa.password, policy: 1.3.76.36.1.1.40 }
              - { url: "HTTP://tsa.example.com", caFile: /etc/ssl/tsa.pem, policy: "2.16" }
            timeoutSeconds: 5
            toleranceSeconds: 1
            renewalDays: 30
        clock: { limitMilliseconds: 500, synchronization: warn }
        limits:
          maximumMessageMegabytes: 100.5
          sizeTimesRecipientsMegabytes: none
          deadlines: { firstSeconds: 2 }
        lanes: 3
        log: { format: json, level: debug }

        """)
  }

  @Test func theFormOfTheIncomingSideIsCanonical() throws {
    let it = try GatewayConfiguration.parse(Fixtures.text("good/incoming.yaml"), named: "incoming.yaml", folder: "/etc/ceralacca")
    #expect(try it.yaml(in: "/etc/ceralacca") == Fixtures.text("good/incoming.canonical.yaml"))
    let ldap = try GatewayConfiguration.parse(Fixtures.text("good/ldap.yaml"), named: "ldap.yaml", folder: "/etc/ceralacca")
    #expect(try ldap.yaml(in: "/etc/ceralacca") == Fixtures.text("good/ldap.canonical.yaml"))
  }

  /// Every bound, at odd values: octets are not rounded on the way.
  @Test func boundsSurviveToTheOctet() throws {
    var it = try GatewayConfiguration.parse(Fixtures.text("good/smallest.yaml"), named: "smallest.yaml", folder: "/etc/ceralacca")
    for (index, key) in LimitKey.all.enumerated() {
      // Kept in the order that the cross-checks ask for.
      let least = Int(key.range.lowerBound * Double(key.unit.rawValue))
      let most = Int(key.range.upperBound * Double(key.unit.rawValue))
      it.limits[keyPath: key.bound] = min(most, max(least, it.limits[keyPath: key.bound] + (index % 2 == 0 ? 1 : -1) * (index % 7)))
    }
    it.limits.message.maximumBytesTimesRecipients = 31 * 1_048_576 + 3
    it.limits.deadlines.firstSeconds = 43_199
    it.limits.deadlines.secondSeconds = 86_399
    var scanner = ScannerConfiguration(database: "/db")
    for (index, key) in ScanKey.all.enumerated() {
      let value = scanner.limits[keyPath: key.bound] + index + 1
      #expect(key.range.contains(value))
      scanner.limits[keyPath: key.bound] = value
    }
    it.scanner = scanner
    #expect(try GatewayConfiguration.parse(it.yaml, named: "again.yaml", folder: "/") == it)
  }

  @Test func namesOfEveryShapeSurvive() throws {
    var it = try GatewayConfiguration.parse(Fixtures.text("good/smallest.yaml"), named: "smallest.yaml", folder: "/etc/ceralacca")
    for name in [
      "no", "1.5", "1e3", "- x", "a: b", "a #b", "\"quoted\\", "'", "{", "~", "null", " x", "x ", "é€😀", ".5", "0x1F", "<<", "=", "%x",
      "@x", "a,b",
    ] {
      it.provider.name = name
      #expect(try GatewayConfiguration.parse(it.yaml, named: "again.yaml", folder: "/") == it)
    }
  }

  @Test func everyTreatmentOfTheScannerSurvives() throws {
    var it = try GatewayConfiguration.parse(Fixtures.text("good/smallest.yaml"), named: "smallest.yaml", folder: "/etc/ceralacca")
    for encrypted in EncryptedTreatment.allCases {
      for answer in ScannerOutage.Answer.allCases {
        it.scanner = ScannerConfiguration(
          database: "/off", encrypted: encrypted, beyondLimits: encrypted == .accept ? .accept : .refuse,
          infectedOrdinaryMail: answer == .message ? .discard : .refuse,
          whenDown: ScannerOutage(submission: answer, incoming: answer == .message ? .connection : .message))
        #expect(try GatewayConfiguration.parse(it.yaml, named: "again.yaml", folder: "/") == it)
      }
    }
  }

  @Test(
    arguments: [
      (1, "1"), (1023, "1023"), (1024, "1K"), (1025, "1025"), (1 << 20, "1M"), (1536 << 10, "1536K"), (1 << 30, "1G"), (5 << 29, "2560M"),
      (64 << 30, "64G"), (0, "0"),
    ])
  func sizes(octets: Int, text: String) { #expect(Section.sizeText(octets) == text) }

  /// A new bound is either in the table or kept out of the file on purpose.
  @Test func theTableNamesEachBoundOnce() {
    #expect(Set(LimitKey.all.map(\.name)).count == LimitKey.all.count)
    #expect(Set(LimitKey.all.map { $0.bound as WritableKeyPath<Limits, Int> }).count == LimitKey.all.count)
    let usual = Limits()
    for key in LimitKey.all + LimitKey.ofDeadlines {
      let value = Double(usual[keyPath: key.bound]) / Double(key.unit.rawValue)
      #expect(key.range.contains(value), "the default of \(key.name) is out of its range")
    }
    #expect(Mirror(reflecting: DeadlineLimits()).children.count == LimitKey.ofDeadlines.count)
    #expect(Set(ScanKey.all.map(\.name)).count == ScanKey.all.count)
    #expect(Set(ScanKey.all.map { $0.bound as WritableKeyPath<ScanLimits, Int> }).count == ScanKey.all.count)
    #expect(ScanKey.all.allSatisfy { $0.range.contains(ScanLimits()[keyPath: $0.bound]) })
    #expect(Mirror(reflecting: ScanLimits()).children.count == ScanKey.all.count)
  }
}
