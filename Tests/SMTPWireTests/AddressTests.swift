import Testing

@testable import SMTPWire

@Suite struct AddressTests {
  @Test(arguments: [
    "a@b", "anna@pec.alfa.test", "a.b.c@d.test", "!#$%&'*+-/=?^_`{|}~@d.test", "\"a b\"@d.test", "\"a\\\"b\\\\\"@d.test", "\"\"@d.test",
    "\"a@b\"@d.test", "\">\"@d.test", "a@1.2.test", "a@xn--caff-8oa.test", "a@b-c.test", "a@[127.0.0.1]", "a@[IPv6:::1]", "a@[IPv6:::]",
    "a@[ipv6:2001:db8::192.0.2.1]", "a@[IPv6:1:2:3:4:5:6:7:8]", "a@[IPv6:1:2:3:4:5:6:1.2.3.4]", "a@[IPv6:1::8]", "a@[IPv6:1:2:3:4:5:6:7::]",
  ])
  func good(_ address: String) {
    var parser = AddressParser(Array("<\(address)> SIZE=1".utf8))
    #expect(parser.path() == .mailbox(address))
    #expect(parser.at == address.utf8.count + 2)
    #expect(AddressParser.isMailbox(address))
  }

  @Test(arguments: [
    "", "a", "@b", "a@", "a@b@c", "a b@c", "a@b c", "a@b>", "<a@b", "a@b\r\nRCPT TO:<x@y>", "è@b", "a@è", "\"a@b", "\"a\rb\"@c",
    "a@[1.2.3.4",
    "a@[IPv6:1:2:3:4:5:6:7]", "a@[IPv6:1:2:3:4:5:6:7:8:9]", "a@[IPv6:1::2::3]", "a@[IPv6::1]", "a@[IPv6:1:2:3:4:5:6:7:1.2.3.4]",
    "a@[IPv6:g::]",
    "a@[IPv6:1:]", "a@[1.2.3.256]", "a@[1.2.3.4.5]", "a@[1.2.3.]", "@x:a@b",
  ])
  func bad(_ address: String) { #expect(!AddressParser.isMailbox(address)) }

  @Test func routesAreStripped() {
    var parser = AddressParser(Array("<@a.test,@b.test:c@d.test>".utf8))
    #expect(parser.path() == .mailbox("c@d.test"))
  }

  @Test func limits() {
    let local = String(repeating: "l", count: 64)
    // A path of 256 octets with its brackets.
    let domain = String(repeating: String(repeating: "d", count: 46) + ".", count: 4) + "t"
    #expect("<\(local)@\(domain)>".utf8.count == 256)
    #expect(AddressParser.isMailbox("\(local)@\(domain)"))
    #expect(!AddressParser.isMailbox("\(local)@\(domain)t"))
    #expect(!AddressParser.isMailbox("\(local)l@d.test"))
    #expect(AddressParser.isMailbox("a@" + String(repeating: "d", count: 63) + ".test"))
    #expect(!AddressParser.isMailbox("a@" + String(repeating: "d", count: 64) + ".test"))
    var eightBit = AddressParser(Array("<a@b\u{e8}>".utf8))
    #expect(eightBit.path() == .fault(.eightBit))
  }

  @Test func xtext() {
    #expect(XText.decode("a+40b".utf8) == Array("a@b".utf8))
    #expect(XText.decode("+2B+3d".utf8) == Array("+=".utf8))
    #expect(XText.decode("".utf8) == [])
    for bad in ["a+4", "a+", "+G0", "a=b", "a b", "è"] { #expect(XText.decode(bad.utf8) == nil) }
  }

  @Test func xtextIsWrittenAsItIsRead() {
    #expect(XText.encode("a@b".utf8) == "a@b")
    #expect(XText.encode("a+b=c d\u{7f}è".utf8) == "a+2Bb+3Dc+20d+7F+C3+A8")
    for seed in 0..<100 {
      var random = Seeded(UInt64(seed))
      let octets = (0..<Int.random(in: 0...40, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      #expect(XText.decode(XText.encode(octets).utf8) == octets, "seed \(seed)")
    }
  }

  @Test func numbers() {
    #expect(Command.number("0".utf8) == 0)
    #expect(Command.number("9223372036854775807".utf8) == Int.max)
    for bad in ["", "9223372036854775808", "99999999999999999999", "-1", "+1", " 1", "1 ", "0x1", "000000000000000000001"] {
      #expect(Command.number(bad.utf8) == nil)
    }
  }
}
