import Limits
import MIMEStream
import Testing

/// Flags that the walker does not promise when it does not look at lines.
private let lineFlags: MessageFlags = [.lineTooLong, .bareCarriageReturn, .bareLineFeed]

@Suite("Any pieces give the same facts")
struct ChunkingTests {
  static let corpus: [[UInt8]] =
    treeCases.map { crlf($0.message) } + rawTreeCases.map { Array($0.message.utf8) } + treeCases.map { Array($0.message.utf8) }

  @Test("octet by octet", arguments: [true, false])
  func singly(_ checksLines: Bool) {
    for message in Self.corpus {
      let whole = facts(of: message, watched: "b", checksLines: checksLines) { message.count }
      let single = facts(of: message, watched: "b", checksLines: checksLines) { 1 }
      #expect(single == whole, "\(text(message))")
    }
  }

  @Test("cut once, anywhere", arguments: [true, false])
  func cutOnce(_ checksLines: Bool) {
    for message in Self.corpus where message.count < 260 {
      let whole = facts(of: message, watched: "", checksLines: checksLines) { message.count }
      for cut in 0..<message.count {
        var sizes = [cut, message.count]
        let two = facts(of: message, watched: "", checksLines: checksLines) { sizes.removeFirst() }
        #expect(two == whole, "cut at \(cut): \(text(message))")
      }
    }
  }

  @Test("random pieces of random messages", arguments: 0..<40)
  func random(_ seed: Int) {
    var random = SeededRandom(UInt64(seed))
    for _ in 0..<12 {
      let message = Self.message(&random)
      let whole = facts(of: message, watched: "a", checksLines: true) { message.count }
      for checks in [true, false] {
        var unchecked = facts(of: message, watched: "a", checksLines: checks) { Int.random(in: 0...9, using: &random) }
        var expected = whole
        if !checks {
          unchecked.flags.subtract(lineFlags)
          expected.flags.subtract(lineFlags)
        }
        #expect(unchecked == expected, "seed \(seed): \(text(message).debugDescription)")
      }
    }
  }

  @Test("a checked and an unchecked walk see the same tree")
  func uncheckedTree() {
    for message in Self.corpus {
      var checked = facts(of: message, watched: "b") { message.count }
      var unchecked = facts(of: message, watched: "b", checksLines: false) { message.count }
      checked.flags.subtract(lineFlags)
      unchecked.flags.subtract(lineFlags)
      #expect(checked == unchecked, "\(text(message))")
    }
  }

  @Test("every part lies inside of its parent and behind its elder")
  func containment() {
    var random = SeededRandom(99)
    for message in Self.corpus + (0..<300).map({ _ in Self.message(&random) }) {
      let parts = MessageWalker.facts(of: message).parts
      for (index, part) in parts.enumerated() {
        #expect(part.headerRange.upperBound <= part.bodyRange.lowerBound)
        #expect(part.bodyRange.upperBound <= message.count)
        guard let parent = part.parent else { continue }
        #expect(parent < index)
        #expect(parts[parent].bodyRange.lowerBound <= part.headerRange.lowerBound)
        #expect(part.bodyRange.upperBound <= parts[parent].bodyRange.upperBound || part.bodyRange.isEmpty)
        if let elder = parts[..<index].last(where: { $0.parent == parent }) {
          #expect(elder.bodyRange.upperBound <= part.headerRange.lowerBound)
        }
      }
    }
  }

  /// A message put together from the pieces that boundaries, headers and line ends are made of.
  private static func message(_ random: inout SeededRandom) -> [UInt8] {
    let scraps = [
      "\r\n", "\r\n", "\r\n", "\n", "\r", "--", "-", "a", "b", "--a", "--a--", "--b\r\n", "--b--\r\n", "\r\n--a\r\n", "\r\n--ab\r\n\r\n",
      " ", "\t",
      "Content-Type: multipart/mixed; boundary=a\r\n", "Content-Type: multipart/mixed; boundary=b\r\n\r\n",
      "Content-Type: multipart/digest; boundary=\"ab\"\r\n", "Content-Type: message/rfc822\r\n\r\n", "Content-Type: text/html;", "x: y\r\n",
      "\0",
      "è", "\r\n\r\n", String(repeating: "z", count: 1001),
    ]
    var out = Bool.random(using: &random) ? "Content-Type: multipart/mixed; boundary=a\r\n\r\n" : ""
    for _ in 0..<Int.random(in: 0...60, using: &random) { out += scraps.randomElement(using: &random) ?? "" }
    return Array(out.utf8)
  }
}
