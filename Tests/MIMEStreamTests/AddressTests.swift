import MIMEStream
import Testing

/// An address field's value, the mailboxes as `name|local|domain` (no name: nothing before the first bar), and a part of the fault.
struct AddressCase: CustomStringConvertible {
  var value: String
  var mailboxes: [String]
  var fault: String?
  var groups = false
  var description: String { value }

  init(_ value: String, _ mailboxes: [String], fault: String? = nil, groups: Bool = false) {
    self.value = value
    self.mailboxes = mailboxes
    self.fault = fault
    self.groups = groups
  }
}

private func shown(_ mailbox: Mailbox) -> String { "\(mailbox.displayName ?? "")|\(mailbox.localPart)|\(mailbox.domain)" }

let addressCases: [AddressCase] = [
  // As clients send them.
  AddressCase("anna@alfa.example", ["|anna|alfa.example"]),
  AddressCase("<anna@alfa.example>", ["|anna|alfa.example"]),
  AddressCase("Anna Rossi <anna.rossi@alfa.example>", ["Anna Rossi|anna.rossi|alfa.example"]),
  AddressCase("\"Rossi, Anna\" <anna@alfa.example>", ["Rossi, Anna|anna|alfa.example"]),
  AddressCase("\"Anna \\\"la\\\" Rossi\" <anna@alfa.example>", ["Anna \"la\" Rossi|anna|alfa.example"]),
  AddressCase("\"'anna@alfa.example'\" <anna@alfa.example>", ["'anna@alfa.example'|anna|alfa.example"]),
  AddressCase("\"anna@alfa.example\" <anna@alfa.example>", ["anna@alfa.example|anna|alfa.example"]),
  AddressCase("\"\" <anna@alfa.example>", ["|anna|alfa.example"]),
  AddressCase("a@x.it, b@y.it", ["|a|x.it", "|b|y.it"]),
  AddressCase("a@x.it,b@y.it,\r\n c@z.it", ["|a|x.it", "|b|y.it", "|c|z.it"]),
  AddressCase("Anna\r\n\tRossi\r\n <a@x.it>", ["Anna Rossi|a|x.it"]),
  AddressCase("=?utf-8?Q?Niccol=C3=B2?= Neri <n@x.it>", ["Niccolò Neri|n|x.it"]),
  AddressCase("=?utf-8?Q?Rossi=2C_Anna?= <n@x.it>", ["Rossi, Anna|n|x.it"]),
  AddressCase("=?utf-8?B?TmljY29sw7I=?= =?utf-8?Q?_Neri?=\r\n =?utf-8?Q?_jr?= <n@x.it>", ["Niccolò Neri jr|n|x.it"]),
  AddressCase("\"=?utf-8?Q?Niccol=C3=B2?=\" <n@x.it>", ["Niccolò|n|x.it"]),
  AddressCase("=?iso-8859-1?Q?Niccol=F2?= <n@x.it>, m@y.it", ["Niccolò|n|x.it", "|m|y.it"]),
  AddressCase("Dr. A. B. Rossi Jr. <a@x.it>", ["Dr. A. B. Rossi Jr.|a|x.it"]),
  AddressCase("Alfa S.p.A. <info@x.it>", ["Alfa S.p.A.|info|x.it"]),
  AddressCase("O'Brien & figli <a@x.it>", ["O'Brien & figli|a|x.it"]),
  AddressCase("Anna \"la Rossa\" Rossi <a@x.it>", ["Anna la Rossa Rossi|a|x.it"]),
  AddressCase("Anna<a@x.it>", ["Anna|a|x.it"]),
  AddressCase("A+tag_-=.b!#$%&'*/?^`{|}~@x.it", ["|A+tag_-=.b!#$%&'*/?^`{|}~|x.it"]),
  AddressCase("a@sub_domain.x-y.it", ["|a|sub_domain.x-y.it"]),
  AddressCase("root@localhost", ["|root|localhost"]),
  AddressCase(" \t a@x.it \t ", ["|a|x.it"]),
  // Comments.
  AddressCase("anna@x.it (Anna Rossi)", ["Anna Rossi|anna|x.it"]),
  AddressCase("anna@x.it (Anna (la) Rossi), b@y.it", ["Anna (la) Rossi|anna|x.it", "|b|y.it"]),
  AddressCase("(c) Anna (d) <(e) anna (f) @ (g) x.it (h)> (i)", ["Anna|anna|x.it"]),
  AddressCase("anna@x.it (a \\) b)", ["a ) b|anna|x.it"]),
  AddressCase("a@x.it (=?utf-8?Q?=C3=A8?=)", ["è|a|x.it"]),
  AddressCase("(((((a))))) a@x.it", ["((((a))))|a|x.it"]),
  // Quoted local parts, literals.
  AddressCase("\"anna rossi\"@x.it", ["|anna rossi|x.it"]),
  AddressCase("\"a@b\"@x.it", ["|a@b|x.it"]),
  AddressCase("<\"a \\\"b\\\\ c\"@x.it>", ["|a \"b\\ c|x.it"]),
  AddressCase("a.\"b c\".d@x.it", ["|a.b c.d|x.it"]),
  AddressCase("a@[192.0.2.1]", ["|a|[192.0.2.1]"]),
  AddressCase("a@[IPv6:2001:db8::1]", ["|a|[IPv6:2001:db8::1]"]),
  AddressCase("<a@[ 192.0.2.1 ]>", ["|a|[192.0.2.1]"]),
  // Obsolete forms.
  AddressCase("<@one.it,@two.it:a@x.it>", ["|a|x.it"]),
  AddressCase("Anna <@one.it:a@x.it>", ["Anna|a|x.it"]),
  AddressCase("a . b @ x . it", ["|a.b|x.it"]),
  AddressCase(",a@x.it,,b@y.it,", ["|a|x.it", "|b|y.it"]),
  AddressCase("a@x.it, ", ["|a|x.it"]),
  // Groups.
  AddressCase("undisclosed-recipients:;", [], groups: true),
  AddressCase("Undisclosed recipients: ;", [], groups: true),
  AddressCase("Amici: a@x.it, Bea <b@y.it>;", ["|a|x.it", "Bea|b|y.it"], groups: true),
  AddressCase("Amici: a@x.it;, c@z.it", ["|a|x.it", "|c|z.it"], groups: true),
  AddressCase("c@z.it, \"A, b\": , a@x.it,;", ["|c|z.it", "|a|x.it"], groups: true),
  // Faults; what can be read is read.
  AddressCase("", [], fault: "no address"),
  AddressCase(" , ,", [], fault: "no address"),
  AddressCase("(only a comment)", [], fault: "no address"),
  AddressCase("anna", [], fault: "no domain after \"anna\" (octet 5)"),
  AddressCase("Anna Rossi", [], fault: "no domain after \"Anna Rossi\""),
  AddressCase("anna@", [], fault: "no domain after \"@\""),
  AddressCase("@x.it", [], fault: "no local part"),
  AddressCase("<>", [], fault: "an empty address"),
  AddressCase("Anna <>, b@y.it", ["|b|y.it"], fault: "an empty address"),
  AddressCase("Anna <anna>, b@y.it", ["|b|y.it"], fault: "without a domain"),
  AddressCase("Rossi, Anna <a@x.it>", ["Anna|a|x.it"], fault: "no domain after \"Rossi\" (octet 6)"),
  AddressCase("a@x.it; b@y.it", ["|a|x.it", "|b|y.it"], fault: "a semicolon between addresses (octet 7)"),
  AddressCase("a@x.it;b@y.it;", ["|a|x.it", "|b|y.it"], fault: "a semicolon"),
  AddressCase("a@x.it b@y.it, c@z.it", ["|a|x.it", "|c|z.it"], fault: "text after an address"),
  AddressCase("<a@x.it> Anna", ["|a|x.it"], fault: "text after an address"),
  AddressCase("<a@x.it><b@y.it>", ["|a|x.it"], fault: "text after an address"),
  AddressCase("Anna anna@x.it", ["|anna|x.it"], fault: "words before an address"),
  AddressCase("a@x.it <a@x.it>", ["a@x.it|a|x.it"], fault: "an unquoted \"@\" in a name"),
  AddressCase("Anna <a@x.it", ["Anna|a|x.it"], fault: "no \">\""),
  AddressCase("Anna <a@x.it, b@y.it", ["Anna|a|x.it", "|b|y.it"], fault: "no \">\""),
  AddressCase("Anna a@x.it>, b@y.it", ["|a|x.it", "|b|y.it"], fault: "words before"),
  AddressCase("<a b@x.it>", ["|b|x.it"], fault: "white space in a local part"),
  AddressCase("<a@x.it y>, b@y.it", ["|a|x.it", "|b|y.it"], fault: "no \">\""),
  AddressCase("a..b@x.it", ["|a..b|x.it"], fault: "a misplaced dot"),
  AddressCase(".a@x.it", ["|.a|x.it"], fault: "a misplaced dot"),
  AddressCase("a.@x.it", ["|a.|x.it"], fault: "a misplaced dot"),
  AddressCase("a@x..it", ["|a|x..it"], fault: "a misplaced dot"),
  AddressCase("a@.x.it", ["|a|.x.it"], fault: "a misplaced dot"),
  AddressCase("a@x.it.", ["|a|x.it"], fault: "a dot at the end"),
  AddressCase("a@x.it., b@y.it", ["|a|x.it", "|b|y.it"], fault: "a dot at the end of a domain (octet 8)"),
  AddressCase("a@[192.0.2.1, b@y.it", ["|b|y.it"], fault: "a domain literal without its end"),
  AddressCase("a@b@c.it, d@y.it", ["|a|b", "|d|y.it"], fault: "text after an address"),
  AddressCase("Anna \"Rossi <a@x.it>, b@y.it", ["Anna \"Rossi|a|x.it", "|b|y.it"], fault: "a quote without its end (octet 6)"),
  AddressCase("Anna (Rossi <a@x.it>, b@y.it", ["Anna (Rossi|a|x.it", "|b|y.it"], fault: "a comment without its end (octet 6)"),
  AddressCase("Niccolò <n@x.it>", ["Niccolò|n|x.it"], fault: "octets above 127 (octet 7)"),
  AddressCase("\"Niccolò\" <n@x.it>", ["Niccolò|n|x.it"], fault: "octets above 127"),
  AddressCase("niccolò@x.it, b@y.it", ["|niccolò|x.it", "|b|y.it"], fault: "octets above 127"),
  AddressCase("[Lista] Anna <a@x.it>", ["[Lista] Anna|a|x.it"], fault: "an unexpected \"[\""),
  AddressCase("Amici: a@x.it", ["|a|x.it"], fault: "a group without its closing semicolon", groups: true),
  AddressCase("A: B: a@x.it;", ["|a|x.it"], fault: "a group inside a group", groups: true),
  AddressCase(": a@x.it;", ["|a|x.it"], fault: "a group without a name", groups: true),
  AddressCase("A: a@x.it; b@y.it", ["|a|x.it", "|b|y.it"], fault: "no comma after a group", groups: true),
  AddressCase("<mailto:a@x.it>, b@y.it", ["|b|y.it"], fault: "without a domain"),
  AddressCase("<@one.it a@x.it>", ["|a|x.it"], fault: "a route without its colon"),
  AddressCase("a\u{1}b@x.it", ["|a\u{1}b|x.it"], fault: "a control character"),
  AddressCase("\\a@x.it", ["|a|x.it"], fault: "an unexpected \"\\\""),
  AddressCase("a@[]", ["|a|[]"], fault: "an empty domain literal"),
]

@Suite("Addresses")
struct AddressTests {
  @Test("a value gives its mailboxes and its fault", arguments: addressCases)
  func list(_ example: AddressCase) {
    let list = AddressList.parse(Array(example.value.utf8), limit: 100)
    #expect(list.mailboxes.map(shown) == example.mailboxes)
    #expect(list.hasGroups == example.groups)
    if let fault = example.fault {
      #expect(list.fault?.contains(fault) == true, "\(list.fault ?? "no fault")")
    } else {
      #expect(list.fault == nil)
    }
  }

  @Test("five thousand addresses on folded lines")
  func many() {
    let value = (0..<5000).map { "\"Utente, \($0)\" <utente.\($0)@pec.alfa.example>" }.joined(separator: ",\r\n ")
    let list = AddressList.parse(Array(value.utf8), limit: 5000)
    #expect(list.mailboxes.count == 5000)
    #expect(list.fault == nil)
    #expect(list.mailboxes.last?.address == "utente.4999@pec.alfa.example")
    let fewer = AddressList.parse(Array(value.utf8), limit: 4999)
    #expect(fewer.mailboxes.count == 4999)
    #expect(fewer.fault?.hasPrefix("more than 4999 addresses") == true)
  }

  /// Each would take hours if anything were looked for twice.
  @Test(
    "64 KB of trouble is read in one pass",
    arguments: [
      "(", ")", "\"", "\\", "<", ">", "[", "@", "a@[", ":", ";", ",", "\" (", "(\"", "a <", "@a,", "<@", "a ", ".", "=?a?q?", "=?x", "(\\",
      "a:", "<a@b", "(a) ",
    ])
  func hostile(_ scrap: String) {
    let value = Array(String(repeating: scrap, count: 65_536 / scrap.utf8.count).utf8)
    let rescued = AddressList.parse(Array("b@y.it, ".utf8) + value, limit: 5000)
    #expect(rescued.mailboxes.first?.address == "b@y.it")
    #expect(rescued.fault != nil || [",", "(a) "].contains(scrap))
  }

  @Test("random octets never do harm, and what was read can be read again")
  func random() {
    var random = SeededRandom(7)
    let scraps = [
      "a", "b.c", "@", "@x.it", "<", ">", ",", ";", ":", "\"", "\"q r\"", "(", ")", "(c)", "\\", ".", " ", "\r\n ", "[", "]", "è", "\0",
      "=?utf-8?q?=C3=A8?=",
    ]
    for _ in 0..<3000 {
      let value = (0..<Int.random(in: 0...14, using: &random)).map { _ in scraps.randomElement(using: &random) ?? "" }.joined()
      let list = AddressList.parse(Array(value.utf8), limit: 10)
      guard list.fault == nil else { continue }
      for mailbox in list.mailboxes {
        let again = AddressList.parse(Array(mailbox.address.utf8), limit: 1)
        #expect(again.fault == nil)
        #expect(again.mailboxes.first?.matches(mailbox) == true, "\(value.debugDescription)")
      }
    }
  }

  @Test("the address is quoted again where it must be")
  func address() {
    #expect(Mailbox(localPart: "anna", domain: "x.it").address == "anna@x.it")
    #expect(Mailbox(localPart: "anna rossi", domain: "x.it").address == "\"anna rossi\"@x.it")
    #expect(Mailbox(localPart: "a\"b\\c", domain: "x.it").address == "\"a\\\"b\\\\c\"@x.it")
    #expect(Mailbox(localPart: "a..b", domain: "x.it").address == "\"a..b\"@x.it")
    #expect(Mailbox(localPart: "", domain: "x.it").address == "\"\"@x.it")
  }

  @Test("matching is without regard to ASCII case and quotes")
  func matching() throws {
    let one = try #require(Mailbox.parsePath("Anna.Rossi@PEC.alfa.example"))
    let two = try #require(AddressList.parse(Array("\"ANNA.rossi\"@pec.ALFA.example".utf8), limit: 1).mailboxes.first)
    #expect(one.matches(two))
    #expect(!one.matches(Mailbox(localPart: "anna.rossi", domain: "alfa.example")))
    #expect(!one.matches(Mailbox(localPart: "anna", domain: "pec.alfa.example")))
  }

  @Test(
    "paths of SMTP",
    arguments: [
      ("anna@x.it", "anna|x.it"), ("a.b+c@x.it", "a.b+c|x.it"), ("\"a b\"@x.it", "a b|x.it"), ("\"a\\\"b\"@x.it", "a\"b|x.it"),
      ("a@[192.0.2.1]", "a|[192.0.2.1]"), ("a@[IPv6:::1]", "a|[IPv6:::1]"), ("@one.it,@two.it:a@x.it", "a|x.it"), ("a@x_y.it", "a|x_y.it"),
      ("", nil), ("anna", nil), ("postmaster", nil), ("anna@", nil), ("@x.it", nil), ("a@b@c", nil), ("a b@x.it", nil), ("a..b@x.it", nil),
      (".a@x.it", nil), ("a.@x.it", nil), ("a@x.it.", nil), ("a@.x.it", nil), ("a@x..it", nil), ("a@[", nil), ("a@[]", nil),
      ("a@[a]b]", nil),
      ("\"a@x.it", nil), ("\"a\"b@x.it", nil), ("<a@x.it>", nil), ("a@x.it,b@y.it", nil), ("è@x.it", nil), ("a@è.it", nil),
      ("a\u{0}@x.it", nil),
      ("a@x.it ", nil), (" a@x.it", nil), ("@one.it a@x.it", nil), ("one.it:a@x.it", nil), ("@one.it:", nil), ("\"a\\", nil),
      ("a(c)@x.it", nil),
    ] as [(String, String?)])
  func paths(_ path: String, _ expected: String?) {
    #expect(Mailbox.parsePath(path).map { "\($0.localPart)|\($0.domain)" } == expected)
  }
}
