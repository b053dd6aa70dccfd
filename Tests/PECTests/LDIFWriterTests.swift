import Testing

@testable import PEC

@Suite struct LDIFWriterTests {
  private func text(_ writer: LDIFWriter) -> String { String(decoding: writer.octets, as: UTF8.self) }
  private func octets(_ text: String) -> [UInt8] { Array(text.utf8) }

  @Test func records() {
    var writer = LDIFWriter()
    #expect(text(writer) == "version: 1\n")
    writer.record(dn: "o=postacert", attributes: [("objectClass", [octets("top"), octets("organization")]), ("o", [octets("postacert")])])
    writer.record(dn: "providerName=Società,o=postacert", attributes: [("providerName", [octets("Società")])])
    #expect(
      text(writer) == """
        version: 1

        dn: o=postacert
        objectClass: top
        objectClass: organization
        o: postacert

        dn:: cHJvdmlkZXJOYW1lPVNvY2lldMOgLG89cG9zdGFjZXJ0
        providerName:: U29jaWV0w6A=

        """)
  }

  /// RFC 2849: what may stand as it is, and what goes in base64.
  @Test(arguments: [
    ("abc", "x: abc"), ("", "x:"), (" a", "x:: IGE="), ("a ", "x:: YSA="), (":a", "x:: OmE="), ("<a", "x:: PGE="), ("a:b<c", "x: a:b<c"),
    ("a\nb", "x:: YQpi"), ("a\rb", "x:: YQ1i"), ("a\u{0}b", "x:: YQBi"), ("à", "x:: w6A="), ("a\tb", "x: a\tb"), ("a\u{7F}", "x: a\u{7F}"),
    ("#a", "x: #a"), ("-", "x: -"),
  ])
  func values(value: String, line: String) {
    var writer = LDIFWriter()
    writer.record(dn: "o=x", attributes: [("x", [octets(value)])])
    #expect(text(writer) == "version: 1\n\ndn: o=x\n\(line)\n")
  }

  @Test func binaryOptionIsAlwaysBase64() {
    var writer = LDIFWriter()
    writer.record(
      dn: "o=x", attributes: [("a;binary", [octets("abc"), []]), ("b;lang-it;BINARY", [octets("abc")]), ("binary", [octets("abc")])])
    #expect(text(writer) == "version: 1\n\ndn: o=x\na;binary:: YWJj\na;binary:: \nb;lang-it;BINARY:: YWJj\nbinary: abc\n")
  }

  @Test(arguments: ["", ";binary", "a b", "a:", "a\nb", "é", "a\u{0}", String(repeating: "a", count: 256)])
  func namesThatNoneMayHaveAreLeftOut(name: String) {
    var writer = LDIFWriter()
    writer.record(dn: "o=x", attributes: [(name, [octets("v")]), ("ok", [octets("v")])])
    #expect(text(writer) == "version: 1\n\ndn: o=x\nok: v\n")
  }

  @Test(arguments: [0, 1, 72, 73, 74, 75, 76, 147, 148, 149, 150, 1000])
  func folding(length: Int) {
    var writer = LDIFWriter()
    writer.record(dn: "o=x", attributes: [("a", [[UInt8](repeating: 98, count: length)])])
    let lines = text(writer).split(separator: "\n", omittingEmptySubsequences: false).dropFirst(3).dropLast()
    #expect(lines.allSatisfy { $0.utf8.count <= 76 })
    #expect(lines.dropFirst().allSatisfy { $0.hasPrefix(" ") })
    let joined = lines.enumerated().map { $0.offset == 0 ? String($0.element) : String($0.element.dropFirst()) }.joined()
    #expect(joined == "a:" + (length == 0 ? "" : " ") + String(repeating: "b", count: length))
    #expect(lines.count == max(1, (joined.utf8.count + 73) / 75))
  }

  /// What the writer writes, the reader reads: the index of the fixtures comes back as it was.
  @Test func roundTrip() throws {
    let (directory, _) = ProviderDirectory.parse(ldif: try fixture("index.ldif"))
    let written = ProviderDirectory.ldif(of: directory.records, rootURL: directory.ldifURL)
    let (again, problems) = ProviderDirectory.parse(ldif: written)
    #expect(problems == [])
    #expect(again.ldifURL == "https://indice.example/igpec.ldif.p7m")
    func unplaced(_ records: [ProviderRecord]) -> [ProviderRecord] {
      records.map { record in
        var copy = record
        copy.line = 0
        return copy
      }
    }
    #expect(unplaced(again.records) == unplaced(directory.records))
    #expect(again.records.count == 3)
    #expect(ProviderDirectory.ldif(of: again.records, rootURL: again.ldifURL) == written)
  }

  @Test func aRecordAlone() {
    let record = ProviderRecord(
      dn: "", line: 0, providerName: "Alfa, S.p.A.", certificateHashes: [String(repeating: "a", count: 40)], certificates: [[0x30, 0x01]],
      mailReceipt: "r@alfa.example", managedDomains: ["pec.alfa.example", "b.example"], ldifURL: "https://alfa.example/alfa.ldif.p7m")
    #expect(
      String(decoding: record.ldif, as: UTF8.self) == """
        version: 1

        dn: providerName=Alfa\\, S.p.A.,o=postacert
        objectClass: top
        objectClass: provider
        providerName: Alfa, S.p.A.
        providerCertificateHash: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        providerCertificate;binary:: MAE=
        mailReceipt: r@alfa.example
        LDIFLocationURL: https://alfa.example/alfa.ldif.p7m
        managedDomains: pec.alfa.example
        managedDomains: b.example

        """)
    var unit = record
    unit.unit = "Interno"
    #expect(!String(decoding: unit.ldif, as: UTF8.self).contains("LDIFLocationURL"))
    let read = ProviderDirectory.parse(ldif: unit.ldif).directory.records.first
    #expect(read?.unit == "Interno" && read?.providerName == "Alfa, S.p.A.")
  }

  @Test(arguments: ["Alfa", "A, B", " A ", "#A", "A#", "a+b", "a\"b\\c", "<a>;", "è = é", "a\u{1}b"])
  func distinguishedNames(name: String) {
    let dn = ProviderRecord.distinguishedName(provider: name, unit: name)
    #expect(DistinguishedName(dn)?.levels.map(\.value) == [name, name, "postacert"])
    #expect(DistinguishedName(dn)?.levels.map(\.type) == ["providerunit", "providername", "o"])
  }
}
