import DovecotWire
import Octets
import Testing

/// A client, and what a Dovecot says to it.
private struct Talk {
  var client = AuthClient(processID: 4711)

  static let greeting = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t15\nCUID\t1\nCOOKIE\tab\nDONE\n"

  mutating func hear(_ text: String) -> [AuthClient.Event] { client.receive(Array(text.utf8).span) }
  mutating func says() -> String { String(decoding: client.takeOutput(), as: UTF8.self) }
  mutating func greeted() -> Talk {
    _ = hear(Talk.greeting)
    _ = says()
    return self
  }
}

@Suite struct AuthClientTests {
  @Test func saysWhoItIsAtOnceAndAsksWhenBothHave() {
    var talk = Talk()
    #expect(talk.says() == "VERSION\t1\t1\nCPID\t4711\n")
    let id = talk.client.begin(AuthAttempt(login: "anna@pec.alfa.test", password: "pa ss", remoteAddress: "192.0.2.7"))
    #expect(talk.says().isEmpty)
    #expect(talk.hear(Talk.greeting).isEmpty)
    let response = String(decoding: Base64.encode(Array("\0anna@pec.alfa.test\0pa ss".utf8)), as: UTF8.self)
    #expect(talk.says() == "AUTH\t\(id)\tPLAIN\tservice=smtp\tnologin\tsecured\trip=192.0.2.7\tresp=\(response)\n")
  }

  @Test func verdictsInAnyOrderAndAnyPieces() {
    var talk = Talk()
    talk = talk.greeted()
    let first = talk.client.begin(AuthAttempt(login: "a", password: "1"))
    let second = talk.client.begin(AuthAttempt(login: "b", password: "2", isSecure: false))
    let third = talk.client.begin(AuthAttempt(login: "c", password: "3"))
    #expect(talk.client.count == 3)
    let words =
      "FAIL\t\(third)\tuser=c\ttemp\nOK\t\(first)\tuser=A@x\u{1}tz\textra=1\n" + "FAIL\t\(second)\tuser=b\treason=Account is disabled.\n"
    var events: [AuthClient.Event] = []
    for octet in words.utf8 { events += talk.client.receive([octet].span) }
    #expect(
      events == [
        .verdict(third, .unavailable("Dovecot's temporary failure")), .verdict(first, .accepted(user: "A@x\tz")),
        .verdict(second, .rejected(reason: "Account is disabled.")),
      ])
    #expect(talk.client.count == 0)
  }

  @Test func whatNobodyAskedForAndWhatIsForgottenIsNoVerdict() {
    var talk = Talk()
    talk = talk.greeted()
    let id = talk.client.begin(AuthAttempt(login: "a", password: "1"))
    talk.client.forget(id)
    #expect(talk.hear("OK\t\(id)\tuser=a\nOK\t99\tuser=b\nNEWS\t1\n").isEmpty)
  }

  @Test func neverAcceptedWithoutAName() {
    var talk = Talk()
    talk = talk.greeted()
    let id = talk.client.begin(AuthAttempt(login: "a", password: "1"))
    #expect(talk.hear("OK\t\(id)\n") == [.verdict(id, .unavailable("Dovecot's OK names no user"))])
    let next = talk.client.begin(AuthAttempt(login: "a", password: "1"))
    #expect(talk.hear("CONT\t\(next)\tAAAA\n") == [.verdict(next, .unavailable("Dovecot asks for more than PLAIN has"))])
  }

  @Test(arguments: [
    ("VERSION\t2\t0\nDONE\n", "version 2.0"),
    ("220 mx.example.test ESMTP\n", "it says \"220 mx.example.test ESMTP\""),
    ("VERSION\t1\t1\nMECH\tCRAM-MD5\nDONE\n", "do not have 'plain'"),
    ("DONE\n", "no VERSION before DONE"),
  ])
  func whoIsNoAuthenticationSocketIsNamed(words: String, part: String) {
    var talk = Talk()
    let events = talk.hear(words)
    guard case .broken(let reason)? = events.first else { return #expect(Bool(false), "\(events)") }
    #expect(reason.contains(part), "\(reason)")
    #expect(events.count == 1)
  }

  @Test func aLineWithoutEndEnds() {
    var talk = Talk()
    talk = talk.greeted()
    #expect(talk.hear(String(repeating: "x", count: 20_000)) == [.broken("a line of more than 16384 octets")])
  }

  @Test func aWordWithoutANumberBreaks() {
    var talk = Talk()
    talk = talk.greeted()
    #expect(talk.hear("OK\tmany\tuser=a\n") == [.broken("OK without a number")])
  }
}
