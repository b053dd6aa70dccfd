import Octets

/// A recipient of a message, as a policy service is asked about him.
public struct PolicyQuestion: Sendable, Equatable {
  /// MAIL FROM, without angle brackets; empty for the null reverse path.
  public var sender: String
  /// RCPT TO.
  public var recipient: String
  /// Octets of the message.
  public var bytes: Int

  /// A question about this recipient.
  public init(sender: String, recipient: String, bytes: Int) {
    self.sender = sender
    self.recipient = recipient
    self.bytes = bytes
  }
}

/// What a policy service says of a recipient.
public enum PolicyVerdict: Sendable, Equatable {
  /// `DUNNO` and `OK`: nothing speaks against it.
  case allowed
  /// `REJECT` or 5NN: an SMTP reply for good.
  case refused(code: Int, enhanced: String, text: String)
  /// `DEFER` or 4NN: an SMTP reply for now.
  case deferred(code: Int, enhanced: String, text: String)
  /// An action that no question about a mailbox has for an answer (`DISCARD`, `HOLD`, …).
  case unclear(String)
}

/// The client's side of Postfix's policy delegation (SMTPD_POLICY_README), which Dovecot's `quota-status` speaks: octets in, octets and
/// verdicts out.
///
/// Questions may be sent ahead of their answers, which come in their order. After `.broken` the connection is to be closed, and what was
/// asked has no verdict.
public struct PolicyClient: Sendable {
  /// What came of octets that were received.
  public enum Event: Sendable, Equatable {
    /// The verdict on the oldest question without one.
    case verdict(PolicyVerdict)
    /// The peer does not speak the protocol as we know it: what it said.
    case broken(String)
  }

  /// Octets of a line, and lines of an answer: Postfix itself takes 2048 octets, and one line is what answers have.
  private static let maximumLine = 4096
  private static let maximumLines = 32
  /// Characters of an answer's text that are told further.
  private static let maximumText = 200

  private var buffer = LineBuffer(limit: PolicyClient.maximumLine)
  private var output: [UInt8] = []
  private var action: String?
  private var lines = 0
  private var isBroken = false
  /// Questions without a verdict.
  public private(set) var count = 0

  /// A connection that was just made.
  public init() {}

  /// What is to be sent; empty when nothing is.
  public mutating func takeOutput() -> [UInt8] {
    defer { output = [] }
    return output
  }

  /// Asks. False, and nothing is asked, where a value has a character that would end its line.
  public mutating func ask(_ question: PolicyQuestion) -> Bool {
    guard PolicyClient.isPlain(question.sender), PolicyClient.isPlain(question.recipient) else { return false }
    output += Array(
      """
      request=smtpd_access_policy
      protocol_state=RCPT
      protocol_name=ESMTP
      sender=\(question.sender)
      recipient=\(question.recipient)
      size=\(max(0, question.bytes))


      """.utf8)
    count += 1
    return true
  }

  private static func isPlain(_ value: String) -> Bool { value.utf8.allSatisfy { $0 >= 32 && $0 != 127 } }

  /// Takes octets from the service.
  public mutating func receive(_ octets: Span<UInt8>) -> [Event] {
    if isBroken { return [] }
    let (lines, isTooLong) = buffer.take(octets)
    var events: [Event] = []
    for line in lines {
      guard let event = take(line) else { continue }
      events.append(event)
      if case .broken = event {
        isBroken = true
        return events
      }
    }
    if isTooLong {
      isBroken = true
      events.append(.broken("a line of more than \(PolicyClient.maximumLine) octets"))
    }
    return events
  }

  private mutating func take(_ line: [UInt8]) -> Event? {
    guard count > 0 else { return .broken("it speaks without being asked") }
    if line.isEmpty {
      guard let said = action else { return .broken("an answer without an action") }
      (action, lines) = (nil, 0)
      count -= 1
      return .verdict(PolicyClient.verdict(said))
    }
    lines += 1
    guard lines <= PolicyClient.maximumLines else { return .broken("an answer of more than \(PolicyClient.maximumLines) lines") }
    guard let equals = line.firstIndex(of: UInt8(ascii: "=")), equals > 0 else {
      let shown = String(decoding: line.prefix(60), as: UTF8.self)
      return .broken("this is no policy service: it says \"\(ASCII.escaped(shown))\"")
    }
    // Other names are for other servers.
    guard line[..<equals].elementsEqual("action".utf8) else { return nil }
    guard action == nil else { return .broken("an answer with two actions") }
    action = String(decoding: line[(equals + 1)...], as: UTF8.self)
    return nil
  }

  // MARK: Actions (access(5))

  static func verdict(_ action: String) -> PolicyVerdict {
    let words = action.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true).map(String.init)
    let text = words.count > 1 ? words[1] : ""
    let word = (words.first ?? "").uppercased()
    switch word {
    case "DUNNO", "OK": return .allowed
    case "REJECT":
      let (enhanced, rest) = PolicyClient.parts(text, class: "5", orElse: "5.7.1")
      return .refused(code: 554, enhanced: enhanced, text: rest)
    case "DEFER", "DEFER_IF_PERMIT", "DEFER_IF_REJECT":
      let (enhanced, rest) = PolicyClient.parts(text, class: "4", orElse: "4.7.1")
      return .deferred(code: 450, enhanced: enhanced, text: rest)
    default:
      guard word.utf8.count == 3, word.utf8.allSatisfy({ $0 &- 48 < 10 }), let code = Int(word) else {
        return .unclear(ASCII.escaped(String(action.prefix(60))))
      }
      switch code {
      case 400...499:
        let (enhanced, rest) = PolicyClient.parts(text, class: "4", orElse: code == 452 ? "4.2.2" : "4.7.1")
        return .deferred(code: code, enhanced: enhanced, text: rest)
      case 500...599:
        let (enhanced, rest) = PolicyClient.parts(text, class: "5", orElse: code == 552 ? "5.2.2" : "5.7.1")
        return .refused(code: code, enhanced: enhanced, text: rest)
      default: return .unclear(ASCII.escaped(String(action.prefix(60))))
      }
    }
  }

  /// The enhanced status that a text begins with (RFC 3463 §2), and the rest of it as a line that may be told further.
  private static func parts(_ text: String, class digit: String, orElse other: String) -> (String, String) {
    let words = text.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true).map(String.init)
    let numbers = (words.first ?? "").split(separator: ".", omittingEmptySubsequences: false)
    let isStatus =
      numbers.count == 3 && numbers[0] == digit
      && numbers.allSatisfy { (1...3).contains($0.utf8.count) && $0.utf8.allSatisfy { $0 &- 48 < 10 } }
    let rest = isStatus ? (words.count > 1 ? words[1] : "") : text
    let plain = ASCII.escaped(String(rest.prefix(maximumText)))
    return (isStatus ? words[0] : other, plain.isEmpty ? "Refused by policy" : plain)
  }
}
