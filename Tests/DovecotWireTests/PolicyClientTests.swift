import DovecotWire
import Octets
import Testing

@Suite struct PolicyClientTests {
  private static let question = PolicyQuestion(sender: "mario@pec.beta.test", recipient: "anna@pec.alfa.test", bytes: 4711)

  private static func asked(_ count: Int = 1) -> PolicyClient {
    var client = PolicyClient()
    for _ in 0..<count { _ = client.ask(question) }
    return client
  }

  private static func hear(_ client: inout PolicyClient, _ text: String) -> [PolicyClient.Event] {
    client.receive(Array(text.utf8).span)
  }

  @Test func asksInLinesUpToAnEmptyOne() {
    var client = PolicyClient()
    let first = client.ask(Self.question)
    let second = client.ask(PolicyQuestion(sender: "", recipient: "aldo@pec.alfa.test", bytes: 0))
    #expect(first && second && client.count == 2)
    let said = String(decoding: client.takeOutput(), as: UTF8.self)
    #expect(
      said
        == "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nsender=mario@pec.beta.test\n"
        + "recipient=anna@pec.alfa.test\nsize=4711\n\n"
        + "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nsender=\nrecipient=aldo@pec.alfa.test\nsize=0\n\n")
    #expect(client.takeOutput().isEmpty)
  }

  /// A name that ends its line could ask, or answer, something else.
  @Test(arguments: ["anna\n@pec.alfa.test", "anna\r@pec.alfa.test", "anna\u{0}@pec.alfa.test", "anna\u{7F}@pec.alfa.test"])
  func whatDoesNotFitIntoALineIsNotAsked(name: String) {
    var client = PolicyClient()
    let recipient = client.ask(PolicyQuestion(sender: "", recipient: name, bytes: 1))
    let sender = client.ask(PolicyQuestion(sender: name, recipient: "anna@pec.alfa.test", bytes: 1))
    #expect(!recipient && !sender && client.count == 0)
    #expect(client.takeOutput().isEmpty)
  }

  @Test(arguments: [
    ("DUNNO", PolicyVerdict.allowed), ("dunno", .allowed), ("OK", .allowed), ("OK some text", .allowed),
    ("552 5.2.2 Mailbox is full", .refused(code: 552, enhanced: "5.2.2", text: "Mailbox is full")),
    ("552 Mailbox is full", .refused(code: 552, enhanced: "5.2.2", text: "Mailbox is full")),
    ("552", .refused(code: 552, enhanced: "5.2.2", text: "Refused by policy")),
    ("550 5.1.1  No such user", .refused(code: 550, enhanced: "5.1.1", text: " No such user")),
    ("550 4.2.2 text", .refused(code: 550, enhanced: "5.7.1", text: "4.2.2 text")),
    ("554 5.2 text", .refused(code: 554, enhanced: "5.7.1", text: "5.2 text")),
    ("REJECT Unknown user", .refused(code: 554, enhanced: "5.7.1", text: "Unknown user")),
    ("reject 5.2.1 Closed", .refused(code: 554, enhanced: "5.2.1", text: "Closed")),
    ("REJECT", .refused(code: 554, enhanced: "5.7.1", text: "Refused by policy")),
    ("452 4.2.2 Full for now", .deferred(code: 452, enhanced: "4.2.2", text: "Full for now")),
    ("452 Full for now", .deferred(code: 452, enhanced: "4.2.2", text: "Full for now")),
    ("451 wait", .deferred(code: 451, enhanced: "4.7.1", text: "wait")),
    ("DEFER", .deferred(code: 450, enhanced: "4.7.1", text: "Refused by policy")),
    ("DEFER_IF_PERMIT 4.3.0 Internal error", .deferred(code: 450, enhanced: "4.3.0", text: "Internal error")),
    ("DEFER_IF_REJECT later", .deferred(code: 450, enhanced: "4.7.1", text: "later")),
    ("DISCARD gone", .unclear("DISCARD gone")), ("HOLD", .unclear("HOLD")), ("PREPEND X-A: b", .unclear("PREPEND X-A: b")),
    ("", .unclear("")), ("250 fine", .unclear("250 fine")), ("55 x", .unclear("55 x")), ("5522 x", .unclear("5522 x")),
    ("REDIRECT other@example.org", .unclear("REDIRECT other@example.org")),
  ])
  func actions(action: String, verdict: PolicyVerdict) {
    var client = Self.asked()
    #expect(Self.hear(&client, "action=\(action)\n\n") == [.verdict(verdict)])
    #expect(client.count == 0)
  }

  /// What a service says goes into replies, log lines and notices.
  @Test func aTextIsALineWithoutControlCharacters() {
    var client = Self.asked()
    let long = String(repeating: "x", count: 1000)
    let events = Self.hear(&client, "action=552 5.2.2 pieno\rRCPT \(long)\n\n")
    guard case .verdict(.refused(552, "5.2.2", let text))? = events.first else { return #expect(Bool(false), "\(events)") }
    #expect(!text.contains("\r") && text.utf8.count < 300 && text.hasPrefix("pieno"))
  }

  @Test func answersInTheirOrderInAnyPieces() {
    let words = "action=DUNNO\n\nother=name\naction=552 5.2.2 Mailbox is full\n\naction=DEFER\nmore=\n\n"
    let wanted: [PolicyClient.Event] = [
      .verdict(.allowed), .verdict(.refused(code: 552, enhanced: "5.2.2", text: "Mailbox is full")),
      .verdict(.deferred(code: 450, enhanced: "4.7.1", text: "Refused by policy")),
    ]
    let octets = Array(words.utf8)
    for first in 0...octets.count {
      for second in first...octets.count {
        var client = Self.asked(3)
        var events = client.receive(Array(octets[..<first]).span)
        events += client.receive(Array(octets[first..<second]).span)
        events += client.receive(Array(octets[second...]).span)
        #expect(events == wanted)
      }
    }
  }

  private static let slips: [(String, String)] = [
    ("\n", "without an action"), ("other=name\n\n", "without an action"), ("action=OK\naction=OK\n\n", "two actions"),
    ("220 mx.example.test ESMTP\n", "it says \"220 mx.example.test ESMTP\""), ("=OK\n\n", "no policy service"),
    ("action\n\n", "no policy service"), (String(repeating: "x", count: 5000), "more than 4096 octets"),
    (String(repeating: "a=b\n", count: 33), "more than 32 lines"), ("action=DUNNO\n\naction=DUNNO\n\n", "without being asked"),
  ]

  @Test(arguments: PolicyClientTests.slips)
  func whatIsNoAnswerBreaksInAnyPieces(words: String, part: String) {
    let octets = Array(words.utf8)
    var whole = Self.asked()
    let wanted = whole.receive(octets.span)
    guard case .broken(let reason)? = wanted.last else { return #expect(Bool(false), "\(wanted)") }
    #expect(reason.contains(part), "\(reason)")
    #expect(Self.hear(&whole, "action=DUNNO\n\n").isEmpty, "nothing is believed any more")
    for split in octets.indices {
      var client = Self.asked()
      let events = client.receive(Array(octets[..<split]).span) + client.receive(Array(octets[split...]).span)
      #expect(events == wanted, "\(split)")
    }
  }
}
