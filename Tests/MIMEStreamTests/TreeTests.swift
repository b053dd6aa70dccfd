import Limits
import MIMEStream
import Testing

@Suite("MIME tree")
struct TreeTests {
  @Test("a message gives its tree and its flags", arguments: treeCases)
  func tree(_ example: TreeCase) {
    let message = crlf(example.message)
    let facts = MessageWalker.facts(of: message)
    #expect(outline(facts, message) == example.tree)
    #expect(Set(facts.flags.names) == Set(example.flags))
  }

  @Test("odd line ends", arguments: rawTreeCases)
  func rawTree(_ example: TreeCase) {
    let message = Array(example.message.utf8)
    let facts = MessageWalker.facts(of: message)
    #expect(outline(facts, message) == example.tree)
    #expect(Set(facts.flags.names) == Set(example.flags))
  }

  @Test("offsets of the message and of its parts")
  func offsets() {
    let message = crlf("From: a@b.it\nContent-Type: multipart/mixed; boundary=b\n\npre\n--b\nContent-Type: text/html\n\nuno\n--b--\nepi\n")
    let facts = MessageWalker.facts(of: message)
    #expect(text(message[..<facts.headerEnd]) == "From: a@b.it\r\nContent-Type: multipart/mixed; boundary=b\r\n")
    #expect(facts.bodyStart == facts.headerEnd + 2)
    #expect(facts.totalBytes == message.count)
    #expect(facts.parts.map(\.parent) == [nil, 0])
    #expect(facts.parts[0].headerRange == 0..<facts.headerEnd)
    #expect(facts.parts[0].bodyRange == facts.bodyStart..<message.count)
    #expect(text(message[facts.parts[1].headerRange]) == "Content-Type: text/html\r\n")
    #expect(text(message[facts.parts[1].bodyRange]) == "uno")
    #expect(facts.parts[1].depth == 1)
    #expect(facts.parts[0].boundary == "b")
  }

  @Test("a header-only message ends where its body would begin")
  func headerOnly() {
    for source in ["From: a@b.it\r\n", "From: a@b.it"] {
      let facts = MessageWalker.facts(of: Array(source.utf8))
      #expect(facts.headerEnd == source.utf8.count)
      #expect(facts.bodyStart == source.utf8.count)
      #expect(facts.header.fields.count == 1)
      #expect(facts.header.value(of: facts.header.fields[0]) == Array("a@b.it".utf8))
    }
  }

  @Test("parts of an attached message are marked")
  func attached() {
    let message = crlf(
      "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b\nContent-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\ny\n--c--\n--b--"
    )
    let parts = MessageWalker.facts(of: message).parts
    #expect(parts.map(\.messageLevel) == [0, 0, 0, 1, 1])
    #expect(parts.map(\.isMessageRoot) == [true, false, false, true, false])
    #expect(parts.map(\.isInsideAttachedMessage) == [false, false, false, true, true])
    #expect(parts.map(\.depth) == [0, 1, 1, 2, 3])
    #expect(parts.map(\.parent) == [nil, 0, 0, 2, 3])
  }

  @Test("what a part says of itself")
  func description() {
    let message = crlf(
      "Content-Type: Application/PDF; Name=\"a b.pdf\"; charset=UTF-8\nContent-Disposition: ATTACHMENT; filename=c.pdf; size=12\nContent-Transfer-Encoding: BASE64\nContent-ID: <x@y>\n\nQQ=="
    )
    let part = MessageWalker.facts(of: message).parts[0]
    #expect(part.type == "application/pdf")
    #expect(part.name == "a b.pdf")
    #expect(part.charset == "UTF-8")
    #expect(part.disposition == "attachment")
    #expect(part.filename == "c.pdf")
    #expect(part.transferEncoding == "base64")
    #expect(part.contentID == "x@y")
    #expect(!part.isMultipart)
  }

  @Test("the name stands in when the disposition has none, and an empty one is none")
  func names() {
    func filename(_ header: String) -> String? { MessageWalker.facts(of: crlf(header + "\n\nx")).parts[0].filename }
    #expect(filename("Content-Type: text/plain; name=a.txt\nContent-Disposition: attachment") == "a.txt")
    #expect(filename("Content-Type: text/plain; name=a.txt\nContent-Disposition: attachment; filename=\"\"") == "a.txt")
    #expect(filename("Content-Type: text/plain; name=\"\"\nContent-Disposition: attachment; filename=\"\"") == nil)
    #expect(filename("Content-Disposition: attachment; filename=\"=?UTF-8?Q?perch=C3=A9.txt?=\"") == "perché.txt")
    #expect(filename("Content-Disposition: filename=b.txt") == "b.txt")
  }

  @Test("lines with the watched prefix are noted, in header and body")
  func watched() {
    let message = crlf("--Cera: x\nFrom: a@b.it\n\n--Cera1\nx--Cera2\n--cera3\n--Cera4 \n --Cera5\n-- Cera\n--Cera\n--Ceralast")
    let facts = MessageWalker.facts(of: message, watchedBoundaryPrefix: Array("Cera".utf8))
    #expect(facts.boundaryLines.map(text) == ["Cera: x", "Cera1", "Cera4 ", "Cera", "Ceralast"])
    #expect(MessageWalker.facts(of: message).boundaryLines.isEmpty)
  }

  @Test("a watched line that is too long is cut")
  func longWatched() {
    for length in [990, 998, 999, 1000, 1001, 1002, 1003, 5000] {
      let message = crlf("A: b\n\n--" + String(repeating: "x", count: length) + "\nz\n")
      for checks in [true, false] {
        for piece in [message.count, 7, 1] {
          let found = facts(of: message, watched: "x", checksLines: checks) { piece }
          #expect(found.boundaryLines.map(\.count) == [min(length, 1000)])
        }
      }
    }
  }
}

@Suite("Bounds of the walker")
struct BoundsTests {
  @Test("nesting beyond the depth is a leaf")
  func depth() {
    let limits = MessageLimits()
    var source = ""
    for level in 0...limits.depth { source += "Content-Type: multipart/mixed; boundary=b\(level)x\n\n--b\(level)x\n" }
    source += "\ndeep\n"
    let facts = MessageWalker.facts(of: crlf(source))
    #expect(facts.flags.contains(.tooDeep))
    #expect(facts.parts.map(\.depth).max() == limits.depth)
    #expect(facts.parts.count == limits.depth + 1)
  }

  @Test("attached messages beyond the depth are leaves")
  func attachedDepth() {
    let source = String(repeating: "Content-Type: message/rfc822\r\n\r\n", count: 3000)
    let facts = MessageWalker.facts(of: Array(source.utf8))
    #expect(facts.flags.contains(.tooDeep))
    #expect(facts.parts.count == MessageLimits().depth + 1)
    #expect(facts.parts.last?.bodyRange.upperBound == source.utf8.count)
  }

  @Test("parts beyond the number are not in the table, and the tree stands")
  func parts() {
    let limits = MessageLimits()
    let many = String(repeating: "--b\n\nx\n", count: limits.parts + 100)
    let message = crlf("Content-Type: multipart/mixed; boundary=b\n\n" + many + "--b--\n")
    let facts = MessageWalker.facts(of: message)
    #expect(facts.flags.contains(.tooManyParts))
    #expect(facts.parts.count == limits.parts)
    #expect(facts.parts[0].isClosed)
    #expect(facts.parts.dropFirst().allSatisfy { text(message[$0.bodyRange]) == "x" })
  }

  @Test("a header beyond the limit is copied up to it, and the offsets stay true")
  func header() {
    let limits = MessageLimits()
    let field = "X-Filler: " + String(repeating: "x", count: 88) + "\r\n"
    let source =
      "From: a@b.it\r\n" + String(repeating: field, count: 1999) + "Y: " + String(repeating: "y\r\n ", count: 40_000) + "\r\n\r\nbody"
    let message = Array(source.utf8)
    for piece in [message.count, 4096, 777] {
      let found = facts(of: message) { piece }
      #expect(found.flags.contains(.headerTooLarge))
      #expect(found.header.bytes.count <= limits.headerBytes)
      #expect(found.header.bytes.last == 10)
      #expect(text(message[found.bodyStart...]) == "body")
      #expect(found.headerEnd == found.bodyStart - 2)
    }
  }

  @Test("fields beyond the number are not read")
  func fields() {
    let limits = MessageLimits()
    let source = String(repeating: "A: b\r\n", count: limits.headerFields + 1) + "\r\n"
    let facts = MessageWalker.facts(of: Array(source.utf8))
    #expect(facts.flags == .tooManyFields)
    #expect(facts.header.fields.count == limits.headerFields)
  }

  @Test("lines of 998 pass and of 999 are noted, with and without their end", arguments: ["\r\n", "\n", ""])
  func lines(_ end: String) {
    for (length, isLong) in [(998, false), (999, true)] {
      let body = "A: b\r\n\r\n" + String(repeating: "x", count: length) + end
      #expect(MessageWalker.facts(of: Array(body.utf8)).flags.contains(.lineTooLong) == isLong)
      let header = "A: " + String(repeating: "x", count: length - 3) + end
      #expect(MessageWalker.facts(of: Array(header.utf8)).flags.contains(.lineTooLong) == isLong)
    }
  }

  @Test("eight-bit octets are told apart by where they stand")
  func eightBit() {
    #expect(MessageWalker.facts(of: Array("A: è\r\n\r\nx".utf8)).flags == .eightBitHeader)
    #expect(MessageWalker.facts(of: Array("A: e\r\n\r\nè".utf8)).flags == .eightBitBody)
    let part = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: è\r\n\r\n--b--"
    #expect(MessageWalker.facts(of: Array(part.utf8)).flags == .eightBitBody)
  }

  @Test("parameters beyond what the table keeps are left out and noted")
  func parameters() {
    let many = (0..<100).map { "; p\($0)=v" }.joined()
    let facts = MessageWalker.facts(of: crlf("Content-Type: text/plain\(many)\n\n"))
    #expect(facts.flags == .parametersDropped)
    #expect(facts.parts[0].parameters.count == 32)
    let long = MessageWalker.facts(of: crlf("Content-Type: text/plain; name=\"\(String(repeating: "a\n ", count: 2000))\"\n\n"))
    #expect(long.flags == .parametersDropped)
    #expect(long.parts[0].name == nil)
  }

  @Test("the table's text is bounded whatever the number of parts")
  func textBudget() {
    let name = String(repeating: "n", count: 900)
    let part = "--b\nContent-Type: text/plain; name=\(name)\n\nx\n"
    let facts = MessageWalker.facts(
      of: crlf("Content-Type: multipart/mixed; boundary=b\n\n" + String(repeating: part, count: 2000) + "--b--"))
    #expect(facts.flags == .parametersDropped)
    #expect(facts.parts.count == 2001)
    #expect(facts.parts.reduce(0) { $0 + ($1.name?.utf8.count ?? 0) + ($1.filename?.utf8.count ?? 0) } <= 1 << 20)
  }

  @Test("watched lines beyond 1000 are noted as such")
  func watchedLines() {
    let message = crlf("A: b\n\n" + String(repeating: "--x\n", count: 1001))
    let facts = MessageWalker.facts(of: message, watchedBoundaryPrefix: Array("x".utf8))
    #expect(facts.boundaryLines.count == 1000)
    #expect(facts.flags == .tooManyBoundaryLines)
  }
}
