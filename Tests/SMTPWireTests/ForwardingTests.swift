import Octets
import Testing

@testable import SMTPWire

/// XCLIENT and XFORWARD from listed peers, beside those of trusted ones.
@Suite struct ForwardingTests {
  private static let transaction = "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nhi\r\n.\r\n"

  private static func listed(_ profile: ServerProfile) -> ServerProfile {
    var profile = profile
    profile.hearsForwarding = true
    return profile
  }

  private func run(_ profile: ServerProfile, _ text: String, _ splitting: Splitting = .whole) -> ServerHarness {
    var harness = ServerHarness(profile)
    harness.feed(text, splitting)
    return harness
  }

  @Test func onlyListedPeersHearOfThem() {
    for profile in [ServerProfile.incoming, .submission] {
      let others = run(profile, "EHLO x\r\nXFORWARD ADDR=192.0.2.7\r\nXCLIENT ADDR=192.0.2.7\r\n")
      #expect(others.codes == ["220", "250", "502 5.5.1", "502 5.5.1"])
      #expect(!others.transcript.contains("XFORWARD") && !others.transcript.contains("XCLIENT"))
      #expect(others.machine.origin == nil && others.machine.forwarded == ForwardedClient())
      let listed = run(Self.listed(profile), "EHLO x\r\n")
      #expect(listed.transcript.contains("250-XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT\r\n"))
      #expect(listed.transcript.contains("250-XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE\r\n"))
    }
    #expect(run(.trusted, "EHLO x\r\n").transcript.contains("250-XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE\r\n"))
  }

  @Test(arguments: Splitting.all)
  func whatIsSaidHoldsForOneTransaction(splitting: Splitting) {
    var harness = ServerHarness(Self.listed(.incoming))
    harness.feed(
      "EHLO x\r\nXFORWARD NAME=mail.example.test ADDR=IPv6:2001:DB8::7 PORT=40000\r\n"
        + "XFORWARD PROTO=ESMTP HELO=[192.0.2.1] IDENT=4ZabCD SOURCE=REMOTE\r\nMAIL FROM:<a@b.test>\r\n", splitting)
    var wanted = OriginalClient()
    (wanted.name, wanted.address, wanted.port, wanted.proto) = ("mail.example.test", "2001:db8::7", 40_000, "ESMTP")
    (wanted.helo, wanted.identifier, wanted.isLocal) = ("[192.0.2.1]", "4ZabCD", false)
    #expect(harness.machine.origin == wanted)
    harness.feed("RCPT TO:<c@d.test>\r\nDATA\r\nhi\r\n.\r\n", splitting)
    #expect(harness.machine.origin == nil)
    #expect(harness.messages.count == 1)
    // Nobody has another right by it, and it is no fault.
    #expect(harness.machine.user == nil && harness.machine.forwarded == ForwardedClient())
    #expect(harness.codes == ["220", "250", "250 2.0.0", "250 2.0.0", "250 2.0.0", "250 2.1.5", "354", "250 2.0.0"])
  }

  @Test func everyEndOfATransactionEndsIt() {
    let said = "EHLO x\r\nXFORWARD ADDR=192.0.2.7\r\n"
    for end in [
      "MAIL FROM:<a@b.test>\r\nRSET\r\n", "EHLO y\r\n", "MAIL FROM:<a@b.test>\r\nHELO y\r\n", "XCLIENT NAME=x\r\n", "STARTTLS\r\n",
    ] {
      var profile = Self.listed(.incoming)
      profile.offersStartTLS = true
      #expect(run(profile, said + end).machine.origin == nil, "\(end)")
    }
    #expect(run(Self.listed(.incoming), said + "RSET\r\nMAIL FROM:<other@pec.alfa.test>\r\n").machine.origin != nil)
  }

  @Test func unavailableIsNothing() {
    let seen = run(
      Self.listed(.incoming),
      "EHLO x\r\nXFORWARD NAME=a ADDR=1.2.3.4 PORT=1 PROTO=SMTP HELO=h IDENT=i SOURCE=LOCAL\r\n"
        + "XFORWARD NAME=[UNAVAILABLE] ADDR=[TEMPUNAVAIL] PORT=[unavailable] PROTO=[UNAVAILABLE] HELO=[UNAVAILABLE] IDENT=[UNAVAILABLE] "
        + "SOURCE=[UNAVAILABLE]\r\n")
    #expect(seen.machine.origin == OriginalClient())
  }

  @Test(arguments: [
    "XFORWARD", "XFORWARD ", "XFORWARD NAME", "XFORWARD FOO=x", "XFORWARD LOGIN=anna", "XFORWARD ADDR=300.1.1.1", "XFORWARD ADDR=::1",
    "XFORWARD ADDR=IPv6:1.2.3.4", "XFORWARD PORT=65536", "XFORWARD PORT=", "XFORWARD SOURCE=ELSEWHERE", "XFORWARD NAME=a+0D+0AMAIL",
    "XFORWARD NAME=a=b", "XFORWARD NAME=+FF", "XFORWARD HELO=+7F", "XFORWARD NAME=ok ADDR=no",
    "XFORWARD IDENT=" + String(repeating: "i", count: 256),
  ])
  func malformedOnesTakeNothing(line: String) {
    let seen = run(Self.listed(.incoming), "EHLO x\r\n\(line)\r\nNOOP\r\n")
    #expect(seen.codes == ["220", "250", "501 5.5.4", "250 2.0.0"])
    #expect(seen.machine.origin == nil)
  }

  @Test func notInATransaction() {
    let seen = run(Self.listed(.incoming), "EHLO x\r\nMAIL FROM:<a@b.test>\r\nXFORWARD ADDR=192.0.2.7\r\nXCLIENT ADDR=192.0.2.7\r\n")
    #expect(seen.codes == ["220", "250", "250 2.0.0", "503 5.5.1", "503 5.5.1"])
    #expect(seen.machine.origin == nil)
  }

  @Test func whoMayNameClientsMayNotNameUsers() {
    var harness = ServerHarness(Self.listed(.submission))
    harness.feed("EHLO x\r\nXCLIENT ADDR=192.0.2.7 LOGIN=anna@pec.alfa.test\r\nXCLIENT ADDR=IPv6:::1 NAME=pc\r\nEHLO y\r\nSTARTTLS\r\n")
    harness.feed("EHLO y\r\nMAIL FROM:<anna@pec.alfa.test>\r\n")
    #expect(harness.codes == ["220", "250", "501 5.5.4", "220", "250", "220 2.0.0", "250", "530 5.7.0"])
    // What the proxy said outlives TLS; it is about the connection.
    #expect(harness.machine.forwarded.address == "::1")
    #expect(harness.machine.forwarded.name == "pc")
    #expect(harness.machine.user == nil)
  }

  @Test func theyMayBePipelined() {
    let seen = run(Self.listed(.incoming), "EHLO x\r\nXFORWARD ADDR=192.0.2.7 HELO=h\r\n" + Self.transaction + "XFORWARD NAME=z\r\n")
    #expect(seen.codes == ["220", "250", "250 2.0.0", "250 2.0.0", "250 2.1.5", "354", "250 2.0.0", "250 2.0.0"])
    #expect(seen.machine.origin?.name == "z" && seen.machine.origin?.address == nil)
  }
}
