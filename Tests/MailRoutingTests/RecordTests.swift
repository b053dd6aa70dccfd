import Testing

@testable import MailRouting

@Suite struct RecordTests {
  @Test func everyPrefixOfARecord() {
    let whole = Wire.mx(258, "Mx.Beta.example")
    #expect(MXRecord(whole)?.host == "mx.beta.example")
    #expect(MXRecord(whole)?.preference == 258)
    for count in whole.indices { #expect(MXRecord(Array(whole[..<count])) == nil) }
    #expect(MXRecord(whole + [0]) == nil)
    #expect(TLSAssociation([3, 1]) == nil)
  }

  @Test func namesThatAreNone() {
    // A dot within a label, a space, a slash, a pointer, a number.
    #expect(MXRecord([0, 1, 3, 97, 46, 98, 0])?.isUsable == false)
    #expect(MXRecord(Wire.mx(1, "mx beta.example"))?.host == nil)
    #expect(MXRecord(Wire.mx(1, "../../etc.example"))?.host == nil)
    #expect(MXRecord([0, 1, 0xc0, 0x0c]) == nil)
    #expect(MXRecord(Wire.mx(1, "192.0.2.1"))?.host == nil)
    #expect(MXRecord([0, 1] + [UInt8](repeating: 1, count: 600)) == nil)
  }

  @Test(arguments: [
    ("Anna@PEC.beta.example", "pec.beta.example"), ("a@b.example.", "b.example"), ("a@[192.0.2.1]", nil), ("a@192.0.2.1", nil),
    ("a@", nil), ("a", nil), ("\"a@b\"@c.example", "c.example"), ("a@b..example", nil), ("a@-b.example", nil), ("a@b/../c", nil),
  ])
  func domains(_ address: String, _ domain: String?) { #expect(HostName.domain(of: address) == domain) }

  @Test(arguments: [
    (["v=STSv1; id=20160831085700Z;"], "20160831085700Z"), (["v=STSv1;id=1"], "1"), (["v=STSv1 ; foo=bar; id=a1 ;"], "a1"),
    (["v=STSv1; id=;"], nil), (["v=STSv1; id=a-b;"], nil), (["v=STSv1"], nil), (["v=STSv2; id=1;"], nil), (["v=STSv10; id=1;"], nil),
    (["v=STSv1; id=1;", "v=STSv1; id=2;"], nil), (["v=spf1 -all", "v=STSv1; id=2;"], "2"), ([], nil),
    (["v=STSv1; id=123456789012345678901234567890123;"], nil),
  ])
  func identifiers(_ texts: [String], _ id: String?) {
    #expect(TransportPolicy.identifier(in: DNSAnswer(.records(texts.map { Wire.txt($0) }))) == id)
  }

  @Test func brokenText() {
    #expect(TextRecord.text([5, 97]) == nil)
    #expect(TransportPolicy.identifier(in: .bogus) == nil)
  }

  @Test func policy() throws {
    for end in ["\r\n", "\n"] {
      let lines = ["version: STSv1", "mode: enforce", "mx: Mail.Example.com", "mx: *.example.net", "x:", "mode: none", "max_age: 604800 "]
      for tail in ["", end, end + end] {
        let policy = try TransportPolicy(file: Array((lines.joined(separator: end) + tail).utf8), atMost: 5)
        #expect(policy == TransportPolicy(mode: .enforce, patterns: ["mail.example.com", "*.example.net"], maximumAgeSeconds: 604_800))
        #expect(policy.names("mail.example.com") && policy.names("a.example.net"))
        #expect(!policy.names("a.b.example.net") && !policy.names("example.net") && !policy.names("a.example.com") && !policy.names("net"))
      }
    }
    #expect(
      try TransportPolicy(file: Array("version:STSv1\nmode:none\nmax_age:99999999\n".utf8), atMost: 5).maximumAgeSeconds == 31_557_600)
  }

  @Test(arguments: [
    "", "mode: enforce\nmx: a.example\nmax_age: 1", "version: STSv1\nmode: enforce\nmax_age: 1",
    "version: STSv1\nmode: strict\nmx: a.example\nmax_age: 1", "version: STSv1\nmode: enforce\nmx: a.example",
    "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: -1", "version: STSv1\nmode: enforce\nmx: a b\nmax_age: 1",
    "version: STSv1\nmode: enforce\nmx: *.*.example\nmax_age: 1", "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 12345678901",
    "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 1\nnonsense", "version: STSv1\nmode: enforce\nmx: à.example\nmax_age: 1",
    "version: STSv1\nmode: enforce\nmx: a.example\nmx: b.example\nmx: c.example\nmax_age: 1", "<html>Not found</html>",
  ])
  func noPolicy(_ text: String) { #expect(throws: TransportPolicy.Fault.self) { try TransportPolicy(file: Array(text.utf8), atMost: 2) } }

  @Test func everyPolicyCutAnywhere() throws {
    let whole = Array("version: STSv1\r\nmode: enforce\r\nmx: a.example\r\nmax_age: 86400\r\n".utf8)
    for count in whole.indices {
      guard let policy = try? TransportPolicy(file: Array(whole[..<count]), atMost: 2) else { continue }
      #expect(count > whole.count - 7 && policy.patterns == ["a.example"])
    }
  }
}
