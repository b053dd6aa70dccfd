import Limits
import MIMEStream
import Testing

@Suite("Header fields")
struct HeaderTests {
  private func parse(_ source: String) -> (header: HeaderFacts, flags: MessageFlags) {
    HeaderFacts.parse(crlf(source), limits: MessageLimits())
  }

  @Test("ranges of name, value and line")
  func ranges() {
    let (header, flags) = parse("From: a@b.it\nSubject: uno\n due\n\ttre \nTo:c@d.it\n")
    #expect(flags == [])
    #expect(header.fields.map { header.name(of: $0) } == ["From", "Subject", "To"])
    #expect(header.fields.map { text(header.value(of: $0)) } == ["a@b.it", "uno due\ttre", "c@d.it"])
    #expect(text(header.raw(header.fields[1])) == "Subject: uno\r\n due\r\n\ttre \r\n")
    #expect(text(header.bytes[header.fields[1].value]) == " uno\r\n due\r\n\ttre ")
    #expect(text(header.bytes[header.fields[2].value]) == "c@d.it")
  }

  @Test("fields are found without regard to case")
  func named() {
    let (header, _) = parse("Received: one\nSUBJECT: x\nreceived: two\nReceived-SPF: three\n")
    #expect(header.fields(named: "RECEIVED").map { text(header.value(of: $0)) } == ["one", "two"])
    #expect(header.first(named: "subject").map { text(header.value(of: $0)) } == "x")
    #expect(header.first(named: "cc") == nil)
  }

  @Test(
    "what is odd",
    arguments: [
      ("A: b\n", []), ("A:\n", []), ("A:b\n", []), ("A: \n \n", ["obsoleteHeaderSyntax"]), ("A : b\n", ["obsoleteHeaderSyntax"]),
      ("no colon\n", ["malformedHeaderLine"]), ("A: b\nno colon\nC: d\n", ["malformedHeaderLine"]), (": b\n", ["malformedHeaderLine"]),
      (" fold\nA: b\n", ["malformedHeaderLine"]), ("From anna@x.it Mon Mar 10 09:15:00 2026\nA: b\n", ["malformedHeaderLine"]),
      (">From a: b\n", ["malformedHeaderLine"]), ("A b: c\n", ["malformedHeaderLine"]), ("Città: x\n", ["malformedHeaderLine"]),
      ("!#$%&'*+-./^_`{|}~: x\n", []), ("From: a\nFrom: b\n", ["doubledStructuralHeader"]), ("to: a\nTO: b\n", ["doubledStructuralHeader"]),
      ("Subject: a\nSubject: b\n", ["doubledStructuralHeader"]), ("Message-ID: a\nMessage-Id: b\n", ["doubledStructuralHeader"]),
      ("Received: a\nReceived: b\nX-A: c\nX-A: d\nComments: e\nComments: f\n", []),
      ("MIME-Version: 1.0\nMIME-Version: 1.0\n", ["doubledContentHeader"]),
    ] as [(String, [String])])
  func odd(_ source: String, _ flags: [String]) {
    #expect(parse(source).flags.names == flags)
  }

  @Test("what follows a malformed line is not its neighbour's")
  func afterMalformed() {
    let (header, flags) = parse("A: b\nno colon\n fold of it\nC: d\n")
    #expect(flags == .malformedHeaderLine)
    #expect(header.fields.map { text(header.raw($0)) } == ["A: b\r\n", "C: d\r\n"])
  }

  @Test("parsing stops at the empty line")
  func stops() {
    let (header, _) = parse("A: b\n\nC: d\n")
    #expect(text(header.bytes) == "A: b\r\n")
    #expect(header.fields.count == 1)
  }

  @Test("names of flags")
  func names() {
    let all = MessageFlags(rawValue: (1 << 22) - 1)
    #expect(all.names.count == 22)
    #expect(MessageFlags.tooManyBoundaryLines.names == ["tooManyBoundaryLines"])
    #expect(MessageFlags([.malformedHeaderLine, .nulOctet]).names == ["malformedHeaderLine", "nulOctet"])
  }
}

/// A value of Content-Type or Content-Disposition, its main value, its parameters as `name=value`.
struct ParameterCase: CustomStringConvertible {
  var value: String
  var main: String
  var parameters: [String]
  var isMalformed = false
  var description: String { value }

  init(_ value: String, _ main: String, _ parameters: [String], malformed: Bool = false) {
    self.value = value
    self.main = main
    self.parameters = parameters
    isMalformed = malformed
  }
}

let parameterCases: [ParameterCase] = [
  ParameterCase("text/plain", "text/plain", []),
  ParameterCase("Text/Plain; Charset=UTF-8", "text/plain", ["charset=UTF-8"]),
  ParameterCase("text/plain; charset=\"utf-8\"; format=flowed;", "text/plain", ["charset=utf-8", "format=flowed"]),
  ParameterCase("text/plain;;charset=a;; b=c", "text/plain", ["charset=a", "b=c"]),
  ParameterCase("a/b; x=\"q \\\"r\\\" ; s\"", "a/b", ["x=q \"r\" ; s"]),
  ParameterCase("a/b; x=\"uno\r\n due\"", "a/b", ["x=uno due"]),
  ParameterCase("a/b; x=(c) y (d)", "a/b", ["x=y"]),
  ParameterCase("attachment; filename=report.pdf", "attachment", ["filename=report.pdf"]),
  ParameterCase("attachment; filename=my report.pdf", "attachment", ["filename=my report.pdf"], malformed: true),
  ParameterCase("attachment; filename=my report.pdf; size=1", "attachment", ["filename=my report.pdf", "size=1"], malformed: true),
  ParameterCase("attachment; filename=\"a.pdf\" size=1", "attachment", ["filename=a.pdf", "size=1"], malformed: true),
  ParameterCase("attachment; filename=a.pdf size=1", "attachment", ["filename=a.pdf", "size=1"], malformed: true),
  ParameterCase("attachment; filename=\"a.pdf", "attachment", ["filename=a.pdf"], malformed: true),
  ParameterCase("attachment filename=a.pdf", "attachment", ["filename=a.pdf"], malformed: true),
  ParameterCase("filename=a.pdf", "", ["filename=a.pdf"], malformed: true),
  ParameterCase("attachment; filename=a.pdf; filename=b.pdf", "attachment", ["filename=a.pdf"]),
  ParameterCase("attachment; filename*=utf-8''perch%C3%A9.txt", "attachment", ["filename=perché.txt"]),
  ParameterCase("attachment; filename*=UTF-8'it'perch%c3%a9.txt", "attachment", ["filename=perché.txt"]),
  ParameterCase("attachment; filename*=iso-8859-1''perch%E9.txt", "attachment", ["filename=perché.txt"]),
  ParameterCase("attachment; filename=e.txt; filename*=utf-8''%C3%A8.txt", "attachment", ["filename=è.txt"]),
  ParameterCase("attachment; filename*0=uno; filename*1=due", "attachment", ["filename=unodue"]),
  ParameterCase("attachment; filename*1=due; filename*0=uno", "attachment", ["filename=unodue"]),
  ParameterCase(
    "attachment; filename*0*=utf-8''perch%C3; filename*1*=%A9; filename*2=\" no.txt\"", "attachment", ["filename=perché no.txt"]),
  ParameterCase("attachment; filename*0=uno; filename*2=tre", "attachment", ["filename=uno"]),
  ParameterCase("attachment; filename*1=due", "attachment", []),
  ParameterCase("attachment; filename*=x-nothing''%E8.txt", "attachment", ["filename=è.txt"]),
  ParameterCase("attachment; filename*=%E8.txt", "attachment", ["filename=è.txt"]),
  ParameterCase("attachment; filename*=utf-8''a%2", "attachment", ["filename=a%2"]),
  ParameterCase("attachment; filename*99999999999999999999=x", "attachment", [], malformed: true),
  ParameterCase("attachment; filename*-1=x", "attachment", [], malformed: true),
  ParameterCase("attachment; *=x", "attachment", [], malformed: true),
  ParameterCase("attachment; filename=\"=?utf-8?Q?perch=C3=A9?= =?utf-8?Q?.txt?=\"", "attachment", ["filename=perché.txt"]),
  ParameterCase("attachment; filename==?utf-8?B?cGVyY2jDqS50eHQ=?=", "attachment", ["filename=perché.txt"]),
  ParameterCase("attachment; filename=\"perché.txt\"", "attachment", ["filename=perché.txt"]),
  ParameterCase("attachment; filename=\"\"", "attachment", ["filename="]),
  ParameterCase("attachment; filename=", "attachment", ["filename="]),
  ParameterCase("attachment; filename=\"a\u{1}\u{7F}b\"", "attachment", ["filename=ab"]),
  ParameterCase("attachment; filename=\"../../etc/passwd\"", "attachment", ["filename=../../etc/passwd"]),
  ParameterCase("a/b; rubbish; c=d", "a/b", ["c=d"], malformed: true),
  ParameterCase("a/b; =x; c=d", "a/b", ["c=d"], malformed: true),
  ParameterCase("", "", []),
  ParameterCase("(only", "", [], malformed: true),
  ParameterCase("\"", "", [], malformed: true),
  ParameterCase("base64", "base64", []),
  ParameterCase("7bit (or so)", "7bit", []),
]

@Suite("Values with parameters")
struct ParameterTests {
  @Test("a value gives its parameters", arguments: parameterCases)
  func parse(_ example: ParameterCase) {
    let found = MIMEFieldValue.parse(Array(example.value.utf8))
    #expect(found.value == example.main)
    #expect(found.parameters.map { "\($0.name)=\($0.value)" } == example.parameters)
    #expect(found.isMalformed == example.isMalformed)
  }

  @Test("octets above 127 that are no UTF-8 are Latin-1")
  func latin() {
    let found = MIMEFieldValue.parse(Array("attachment; filename=\"perch".utf8) + [0xE9] + Array("\"".utf8))
    #expect(found["filename"] == "perché")
  }

  @Test(
    "64 KB of trouble is read in one pass",
    arguments: [";", "=", "\"", "(", ")", "a=", "a=b ", "a b ", ";a", "(\"", "\\", "a*0=b;", "a=b;", "x= ", "\"a\" ", "a=(", " "])
  func hostile(_ scrap: String) {
    let found = MIMEFieldValue.parse(Array("a/b; ".utf8) + Array(String(repeating: scrap, count: 65_536 / scrap.utf8.count).utf8))
    #expect(found.value == "a/b")
    #expect(found.parameters.count <= 200)
  }

  @Test("random octets never do harm")
  func random() {
    var random = SeededRandom(11)
    let scraps = [
      "a", "/", ";", "=", "\"", "(", ")", "\\", " ", "\r\n ", "*", "*0", "*1*", "'", "%", "%C3", "=?utf-8?q?x?=", "boundary", "è", "\0",
    ]
    for _ in 0..<3000 {
      let value = (0..<Int.random(in: 0...16, using: &random)).map { _ in scraps.randomElement(using: &random) ?? "" }.joined()
      let found = MIMEFieldValue.parse(Array(value.utf8))
      #expect(Set(found.parameters.map(\.name)).count == found.parameters.count)
    }
  }
}
