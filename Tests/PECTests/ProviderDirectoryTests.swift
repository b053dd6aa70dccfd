import Testing

@testable import PEC

@Suite struct ProviderDirectoryTests {
  private func parse(_ text: String) -> (directory: ProviderDirectory, problems: [IndexProblem]) {
    ProviderDirectory.parse(ldif: Array(text.utf8))
  }

  /// A record that is right, with lines changed or added by the test.
  private static func record(
    _ name: String = "Alfa", domains: [String] = ["pec.alfa.example"], hash: String = String(repeating: "a", count: 40),
    receipt: String = "mailReceipt: r@alfa.example", extra: [String] = []
  ) -> String {
    ([
      "dn: providerName=\(name),o=postacert", "objectClass: top", "objectClass: provider", "providerName: \(name)",
      "providerCertificateHash: \(hash)", "providerCertificate;binary:: MIIDqDCCApA=", receipt,
    ]
      + domains.map { "managedDomains: \($0)" } + extra).joined(separator: "\n") + "\n\n"
  }

  @Test(arguments: ["index.ldif", "index-crlf.ldif"])
  func index(name: String) throws {
    let (directory, problems) = ProviderDirectory.parse(ldif: try fixture(name))
    #expect(problems == [])
    #expect(directory.records.count == 3)
    #expect(directory.domainCount == 6)
    #expect(directory.ldifURL == "https://indice.example/igpec.ldif.p7m")
    let alfa = try #require(directory.record(managing: "PEC.Alfa.Example"))
    #expect(alfa.providerName == "Alfa PEC S.p.A.")
    #expect(alfa.unit == nil)
    #expect(alfa.mailReceipt == "ricevute@gestore-alfa.example")
    #expect(alfa.certificates.count == 2)
    #expect(alfa.certificates[0].prefix(4) == [0x30, 0x82, 0x03, 0xA8])
    #expect(alfa.certificateHashes == ["3f786850e387550fdab836ed7e6dc881de23001b", "89e6c98d92887913cadf06b2adb97f26cde4849b"])
    #expect(alfa.ldifURL == "https://gestore-alfa.example/alfa.ldif.p7m")
    #expect(alfa.managedDomains == ["gestore-alfa.example", "pec.alfa.example", "pec.comune-esempio.example"])
    let inner = try #require(directory.record(managing: "interno.pec.alfa.example"))
    #expect(inner.unit == "Ambiente interno" && inner.providerName == "Alfa PEC S.p.A." && inner.ldifURL == nil)
    let beta = try #require(directory.record(certificateHash: "7e7aef1059ae0f454f2643a95f69ec3556009239"))
    #expect(beta.providerName == "Gestore Beta, S.r.l. à")
    #expect(directory.record(certificateHash: "7E7AEF1059AE0F454F2643A95F69EC3556009239") == beta)
    #expect(directory.record(certificateHash: String(repeating: "0", count: 40)) == nil)
    #expect(directory.record(managing: "sub.pec.beta.example") == nil)
  }

  @Test(arguments: [
    ("a@pec.alfa.example", RecipientClass.certified), ("A@PEC.ALFA.EXAMPLE", .certified), ("\"x@y\"@pec.alfa.example", .certified),
    ("a@sub.pec.alfa.example", .ordinary), ("a@alfa.example", .ordinary), ("pec.alfa.example", .ordinary), ("", .ordinary),
    ("@", .ordinary),
    ("pec.alfa.example@posta.example", .ordinary),
  ])
  func classes(address: String, expected: RecipientClass) {
    let directory = parse(ProviderDirectoryTests.record()).directory
    #expect(directory.recipientClass(of: address) == expected)
    #expect(ProviderDirectory.empty.recipientClass(of: address) == .ordinary)
  }

  /// Faulty records between two good ones: each named with line and reason, and left out.
  @Test(arguments: [
    ("no dn", "objectClass: provider\n\n", 11, "must begin with dn"),
    ("bad dn", record("Bad").replacing("dn: providerName=Bad,o=postacert", with: "dn: nonsense"), 11, "not a distinguished name"),
    ("elsewhere", record("Bad").replacing(",o=postacert", with: ",o=altrove"), 11, "not under o=postacert"),
    ("too deep", record("Bad").replacing("dn: ", with: "dn: x=1,y=2,"), 11, "neither a provider"),
    ("no class", record("Bad").replacing("objectClass: provider\n", with: ""), 11, "no objectClass provider"),
    ("no hash", record("Bad").replacing("providerCertificateHash", with: "x"), 11, "no usable providerCertificateHash"),
    ("no certificate", record("Bad").replacing("providerCertificate;binary", with: "x"), 11, "no usable providerCertificate"),
    ("no name", record("Bad").replacing("\nproviderName", with: "\nx"), 11, "no providerName"),
    ("two names", record("Bad", extra: ["providerName: B2"]), 11, "several values of providerName"),
    ("no receipt", record("Bad", receipt: "x: y"), 11, "no mailReceipt"),
    ("bad receipt", record("Bad", receipt: "mailReceipt: <r@alfa.example>"), 11, "not a plain mail address"),
    ("bad receipt 2", record("Bad", receipt: "mailReceipt: r r@alfa.example"), 11, "not a plain mail address"),
    ("bad receipt 3", record("Bad", receipt: "mailReceipt: .r@alfa.example"), 11, "not a plain mail address"),
    ("no domains", record("Bad", domains: []), 11, "no usable managedDomains"),
    ("unit in main", record("Bad", extra: ["providerUnit: u"]), 11, "a main record with a providerUnit"),
    (
      "two URLs", record("Bad", extra: ["LDIFLocationURL: https://a", "LDIFLocationURL: https://b"]), 11,
      "several values of LDIFLocationURL"
    ),
    ("twice", record("alfa"), 11, "already has a record"),
    ("bad base64", record("Bad").replacing("MIIDqDCCApA=", with: "M!I"), 16, "not valid base64"),
    ("no colon", record("Bad", extra: ["what is this"]), 19, "without an attribute name"),
    ("colon first", record("Bad", extra: [": value"]), 19, "without an attribute name"),
    ("bad name", record("Bad", extra: ["a b: c"]), 19, "characters that none may have"),
    ("URL value", record("Bad", extra: ["description:< file:///etc/passwd"]), 19, "fetches a value from elsewhere"),
    ("change", record("Bad").replacing("objectClass: top", with: "changetype: add"), 12, "change records"),
    ("control", record("Bad").replacing("objectClass: top", with: "control: 1.2.3 true"), 12, "change records"),
    ("NUL", record("Bad", extra: ["description: a\u{0}b"]), 19, "NUL"),
    ("second dn", record("Bad", extra: ["dn: providerName=X,o=postacert"]), 19, "a second dn"),
    ("fold at start", " folded\n" + record("Bad"), 11, "without an attribute name"),
  ])
  func faultyRecords(label: String, bad: String, line: Int, reason: String) throws {
    // A comment, eight lines of the good record and an empty one: the bad one begins on line 11.
    let (directory, problems) = parse("# indice\n" + ProviderDirectoryTests.record() + bad + ProviderDirectoryTests.good2)
    #expect(directory.records.map(\.providerName) == ["Alfa", "Beta"], "\(label)")
    let problem = try #require(problems.first, "\(label)")
    #expect(problems.count == 1, "\(label): \(problems)")
    #expect(problem.reason.contains(reason), "\(label): \(problem)")
    #expect(problem.line == line, "\(label): \(problem)")
    #expect(problem.effect == .recordSkipped)
  }

  private static let good2 = record("Beta", domains: ["pec.beta.example"], hash: String(repeating: "B", count: 40))

  /// Values that are wrong in a record that is otherwise of use.
  @Test(arguments: [
    ("managedDomains: not a domain", "not a domain"), ("managedDomains: x..y", "not a domain"), ("managedDomains: -x.y", "not a domain"),
    ("managedDomains: x-.y", "not a domain"), ("managedDomains: pec.alfa.example.", "not a domain"),
    ("managedDomains: città.example", "not a domain"),
    ("managedDomains:", "not a domain"), ("managedDomains: " + String(repeating: "a", count: 64) + ".it", "not a domain"),
    ("providerCertificateHash: 12", "40 hexadecimal"), ("providerCertificateHash: " + String(repeating: "g", count: 40), "40 hexadecimal"),
    ("providerCertificate;binary: testo", "not DER"),
  ])
  func faultyValues(line: String, reason: String) throws {
    let (directory, problems) = parse(ProviderDirectoryTests.record(extra: [line]))
    #expect(directory.domainCount == 1 && directory.records.count == 1)
    let problem = try #require(problems.first)
    #expect(problems.count == 1 && problem.effect == .valueSkipped && problem.line == 9)
    #expect(problem.reason.contains(reason))
    #expect(problem.dn == "providerName=Alfa,o=postacert")
  }

  @Test func duplicates() throws {
    let (directory, problems) = parse(
      ProviderDirectoryTests.record("Alfa", domains: ["a.example", "both.example", "A.example"])
        + ProviderDirectoryTests.record("Beta", domains: ["Both.Example", "b.example"]))
    #expect(directory.record(managing: "both.example")?.providerName == "Alfa")
    #expect(directory.record(managing: "b.example")?.providerName == "Beta")
    #expect(directory.domainCount == 3)
    #expect(problems.count == 2)
    #expect(problems.contains { $0.reason.contains("domain both.example already belongs to providerName=Alfa") && $0.line == 12 })
    #expect(problems.contains { $0.reason.contains("certificate hash") })
    #expect(problems.allSatisfy { $0.effect == .valueSkipped })
  }

  /// Certificates and hashes that do not belong together are left out; the digest here is the octets' count, which is enough.
  @Test func hashesAgainstCertificates() throws {
    func digest(_ octets: [UInt8]) -> String { String(repeating: "0", count: 38) + (octets.count < 10 ? "0" : "") + String(octets.count) }
    let three = String(repeating: "0", count: 39) + "3"
    let four = String(repeating: "0", count: 39) + "4"
    let five = String(repeating: "0", count: 39) + "5"
    let certificates = ["providerCertificate;binary:: MAEA", "providerCertificate;binary:: MAIAAA=="]
    // Three octets and four are there, of eight the hash is missing; five is a hash without certificate.
    let mixed = ProviderDirectoryTests.record(
      hash: three, extra: certificates + ["providerCertificateHash: " + four, "providerCertificateHash: " + five])
    let (directory, problems) = ProviderDirectory.parse(ldif: Array(mixed.utf8), digest: digest)
    let record = try #require(directory.records.first)
    #expect(record.certificateHashes == [three, four])
    #expect(record.certificates == [[0x30, 1, 0], [0x30, 2, 0, 0]])
    #expect(problems.map(\.effect) == [.valueSkipped, .valueSkipped])
    #expect(problems.contains { $0.reason.contains("SHA-1 \(digest([UInt8](repeating: 0, count: 8))) is not in") })
    #expect(problems.contains { $0.reason.contains("\(five) is of no certificate") })
    // Nothing fits: the record goes.
    let none = ProviderDirectory.parse(ldif: Array(ProviderDirectoryTests.record(hash: five).utf8), digest: digest)
    #expect(none.directory.isEmpty && none.problems.contains { $0.effect == .recordSkipped })
    // A record cannot claim another's certificate by its hash.
    let thief = ProviderDirectoryTests.record("Thief", domains: ["thief.example"], hash: three, extra: ["providerCertificateHash: " + four])
      .replacing("MIIDqDCCApA=", with: "MAEA")
    let owner = ProviderDirectoryTests.record("Owner", domains: ["owner.example"], hash: four).replacing("MIIDqDCCApA=", with: "MAIAAA==")
    let both = ProviderDirectory.parse(ldif: Array((thief + owner).utf8), digest: digest)
    #expect(both.directory.record(certificateHash: four)?.providerName == "Owner")
    #expect(ProviderDirectory.parse(ldif: Array((thief + owner).utf8)).directory.record(certificateHash: four)?.providerName == "Thief")
  }

  @Test func environments() {
    let environment = ProviderDirectoryTests.record(
      "Gamma", domains: ["g.example"], extra: ["providerUnit: Interno", "LDIFLocationURL: https://x"]
    )
    .replacing("dn: ", with: "dn: providerUnit=Interno,")
    let (directory, problems) = parse(environment)
    #expect(directory.records.first?.unit == "Interno")
    #expect(directory.records.first?.ldifURL == nil)
    #expect(problems.map(\.effect) == [.valueSkipped, .kept])
    let whole = parse(environment + ProviderDirectoryTests.record("GAMMA", domains: ["m.example"], hash: String(repeating: "c", count: 40)))
    #expect(whole.directory.records.count == 2)
    #expect(whole.problems.map(\.effect) == [.valueSkipped])
  }

  @Test func version() {
    #expect(parse("version: 1\n\n" + ProviderDirectoryTests.record()).directory.records.count == 1)
    #expect(parse("version: 1\n" + ProviderDirectoryTests.record()).problems == [])
    #expect(parse("\u{FEFF}# c\nversion:1 \r\n" + ProviderDirectoryTests.record()).directory.records.count == 1)
    let other = parse("version: 2\n" + ProviderDirectoryTests.record())
    #expect(other.directory.isEmpty)
    #expect(other.problems.map(\.effect) == [.fileRefused])
    #expect(parse(ProviderDirectoryTests.record() + "version: 1\n\n").problems.count == 1)
  }

  /// The file cut at every octet, octets behind the version replaced: nothing traps, and what is good stays good.
  @Test func damagedFiles() throws {
    let whole = try fixture("index.ldif")
    for end in whole.indices {
      #expect(ProviderDirectory.parse(ldif: Array(whole[..<end])).directory.records.count <= 3)
    }
    for (step, index) in stride(from: 11, to: whole.count, by: 3).enumerated() {
      var damaged = whole
      damaged[index] = [0, 10, 13, 32, 58, 60, 92, 255][step % 8]
      #expect(ProviderDirectory.parse(ldif: damaged).directory.records.count >= 1)
    }
    #expect(ProviderDirectory.parse(ldif: []).problems == [])
  }

  @Test func manyProblemsAreCounted() {
    let (directory, problems) = parse(ProviderDirectoryTests.record(extra: Array(repeating: "managedDomains: !", count: 3000)))
    #expect(directory.records.count == 1)
    #expect(problems.count == ProblemList.most + 1)
    #expect(problems.last?.reason == "and 2000 problems more, not listed")
  }

  @Test func largeIndex() {
    var file = "version: 1\n"
    for provider in 0..<100 {
      let digits = String(provider)
      file += ProviderDirectoryTests.record(
        "P\(provider)", domains: (0..<50).map { "d\($0).p\(provider).example" },
        hash: String(repeating: "0", count: 40 - digits.count) + digits)
    }
    let (directory, problems) = parse(file)
    #expect(problems == [])
    #expect(directory.records.count == 100 && directory.domainCount == 5000)
    #expect(directory.record(managing: "d49.p99.example")?.providerName == "P99")
    #expect(directory.record(certificateHash: String(repeating: "0", count: 38) + "77")?.providerName == "P77")
  }

  @Test(arguments: [
    ("providerName=A,o=postacert", ["A", "postacert"]), ("providerName = A B , O = PostaCert", ["A B", "PostaCert"]),
    ("providerName=A\\, B,o=postacert", ["A, B", "postacert"]), ("providerName=A\\2C B\\C3\\A0,o=x", ["A, Bà", "x"]),
    ("providerName=\"A, B\" ,o=x", ["A, B", "x"]), ("o=a\\ ", ["a "]), ("2.5.4.10=x", ["x"]),
  ])
  func distinguishedNames(text: String, values: [String]) {
    #expect(DistinguishedName(text)?.levels.map(\.value) == values)
  }

  @Test(arguments: ["", "x", "=a", "o=", "o=a,", "o=a+b=c", "o=\"a", "o=\"a\"b", "o=a\\", "o=a\\C", "o=\\FF", "o=a;b=c", "o o=\u{1}=,"])
  func notDistinguishedNames(text: String) {
    #expect(DistinguishedName(text) == nil)
  }

  @Test func descriptionsAreSafe() {
    let problem = IndexProblem(line: 3, dn: "a\r\nb", reason: "c\u{1B}", effect: .recordSkipped)
    #expect(problem.description == "line 3 (a\\x0d\\x0ab): c\\x1b; record skipped")
  }
}
