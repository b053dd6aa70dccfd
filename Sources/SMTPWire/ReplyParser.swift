import Octets

/// Reads a server's replies in any chunking (RFC 5321 §4.2), strictly: what is no reply is a fault, and a connection that
/// says such things is given up.
public struct ReplyParser: Sendable {
  /// What came of the octets that were read.
  public enum Outcome: Sendable, Equatable {
    /// They are used up, and no reply is whole yet.
    case more
    case reply(Reply)
    /// What was wrong.
    case fault(String)
  }

  /// A reply line with its CRLF (RFC 5321 §4.5.3.1.5 allows 512; servers are known to say more).
  static let lineBytes = 4096
  /// Lines of one reply.
  static let replyLines = 200

  /// A parser that has read nothing.
  public init() {}

  private var reader = LineReader(limit: ReplyParser.lineBytes)
  private var code = 0
  private var lines: [String] = []

  /// Reads on at `at`, up to the end of one reply.
  public mutating func read(_ input: Span<UInt8>, at: inout Int) -> Outcome {
    while true {
      switch reader.read(input, at: &at) {
      case .more: return .more
      case .bareLineFeed: return .fault("bare LF in a reply")
      case .tooLong: return .fault("reply line over \(ReplyParser.lineBytes) octets")
      case .line:
        let outcome = take(reader.line)
        reader.reset()
        if outcome != .more { return outcome }
      }
    }
  }

  /// Takes one line: three digits, then nothing, or a space or hyphen and the text (RFC 5321 §4.2: `Reply-line`).
  private mutating func take(_ line: [UInt8]) -> Outcome {
    guard line.count >= 3, (50...53).contains(line[0]), (48...53).contains(line[1]), (48...57).contains(line[2]),
      let number = Command.number(line[0..<3])
    else { return .fault("no reply code") }
    let separator = line.count > 3 ? line[3] : 32
    guard separator == 32 || separator == UInt8(ascii: "-") else { return .fault("no reply code") }
    // RFC 5321 §4.2.1: the code is the same on every line.
    guard lines.isEmpty || number == code else { return .fault("reply code changes within a reply") }
    code = number
    lines.append(ReplyParser.text(line.dropFirst(4)))
    if separator == UInt8(ascii: "-") {
      return lines.count < ReplyParser.replyLines ? .more : .fault("reply over \(ReplyParser.replyLines) lines")
    }
    defer { lines = [] }
    return .reply(ReplyParser.reply(code, lines))
  }

  /// Text that may go into a log or a notice: printable, whatever the server sent.
  private static func text(_ octets: ArraySlice<UInt8>) -> String {
    String(decoding: octets.map { $0 < 32 || $0 == 127 ? UInt8(ascii: " ") : $0 }, as: UTF8.self)
  }

  /// Takes the enhanced code off the text (RFC 2034 §4), when it is one and of the class of the code.
  private static func reply(_ code: Int, _ lines: [String]) -> Reply {
    guard let enhanced = enhancedCode(lines[0]), enhanced.utf8.first == UInt8(48 + code / 100) else {
      return Reply(code: code, enhanced: nil, lines: lines)
    }
    let stripped = lines.map { line in
      enhancedCode(line) == enhanced ? String(line.dropFirst(enhanced.count).drop { $0 == " " }) : line
    }
    return Reply(code: code, enhanced: enhanced, lines: stripped)
  }

  /// `class "." subject "." detail` at the begin of `text` (RFC 3463 §2).
  private static func enhancedCode(_ text: String) -> String? {
    let word = text.utf8.prefix { $0 != 32 }
    let fields = word.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard fields.count == 3, fields[0].count == 1, [50, 52, 53].contains(fields[0].first),
      fields.dropFirst().allSatisfy({ (1...3).contains($0.count) && $0.allSatisfy { $0 >= 48 && $0 <= 57 } })
    else { return nil }
    return String(word)
  }
}
