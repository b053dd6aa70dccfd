import ArgumentParser
import Octets

/// What a server announced with EHLO, as far as it matters here.
struct Extensions: Equatable {
  var pipelining = false
  var chunking = false
  var size = false
  var eightBit = false
  var startTLS = false
  var plain = false
  var xclient = false

  /// Takes one line of the answer, without its code.
  mutating func note(_ line: String) {
    let words = line.uppercased().split(separator: " ")
    switch words.first {
    case "PIPELINING": pipelining = true
    case "CHUNKING": chunking = true
    case "SIZE": size = true
    case "8BITMIME": eightBit = true
    case "STARTTLS": startTLS = true
    case "AUTH": plain = plain || words.contains("PLAIN")
    case "XCLIENT": xclient = words.contains("LOGIN")
    case .none, .some: break
    }
  }
}

/// Who the messages go to.
struct RecipientSource {
  /// RCPT commands of all recipients there are.
  let commands: [[UInt8]]
  /// How many of them a message has.
  let perMessage: Int

  init(_ texts: [String], templateCount: Int, perMessage: Int?) throws {
    let hasTemplate = texts.contains { $0.contains("{n}") }
    guard hasTemplate || templateCount == 1 else { throw ValidationError("--to-count needs a --to with {n}") }
    let count = try Check.number(templateCount, 1...1_000_000, "--to-count")
    let addresses = texts.flatMap { text in
      text.contains("{n}") ? (0..<count).map { RecipientSource.fill(text, $0) } : [text]
    }
    commands = try addresses.map { Array(utf8: "RCPT TO:<\(try Check.address($0, "--to"))>\r\n") }
    guard !addresses.contains("") else { throw ValidationError("--to: an empty address") }
    self.perMessage = try Check.number(perMessage ?? (hasTemplate ? 1 : addresses.count), 1...500, "--rcpts")
    guard self.perMessage <= commands.count else {
      throw ValidationError("--rcpts \(self.perMessage), but there are \(commands.count) recipients")
    }
  }

  private static func fill(_ template: String, _ number: Int) -> String {
    var parts = template.split(separator: "{n}", maxSplits: 1, omittingEmptySubsequences: false).map { String($0) }
    parts.insert("\(number)", at: 1)
    return parts.joined()
  }

  /// True when each message has the same ones.
  var isConstant: Bool { perMessage == commands.count }

  /// The command for one of the recipients of a message.
  func command(_ message: Int, _ index: Int) -> [UInt8] { commands[(message * perMessage + index) % commands.count] }
}

/// The commands before a message, composed once where they are always the same.
final class Envelopes {
  let source: RecipientSource
  private let sender: [UInt8]
  private let corpus: Corpus
  private let usesBDAT: Bool
  // Whole groups for each message of the corpus; void when a server announces something else than the last.
  private var groups: [Chunk?]
  private var groupsAreFor = Extensions()

  init(sender: String, recipients: RecipientSource, corpus: Corpus, usesBDAT: Bool) throws {
    source = recipients
    self.sender = Array(utf8: "MAIL FROM:<\(try Check.address(sender, "--from"))>")
    self.corpus = corpus
    self.usesBDAT = usesBDAT
    groups = Array(repeating: nil, count: corpus.messages.count)
  }

  /// MAIL, each RCPT, and DATA or BDAT in one piece (RFC 2920 §3.1; RFC 3030 §4.2 lets BDAT stand in a group).
  func group(_ number: Int, _ extensions: Extensions) -> Chunk {
    if extensions != groupsAreFor {
      groups = Array(repeating: nil, count: groups.count)
      groupsAreFor = extensions
    }
    let place = number % groups.count
    if let known = groups[place] { return known }
    var octets = mail(number, extensions)
    for index in 0..<source.perMessage { octets += source.command(number, index) }
    octets += body(number)
    let made = Chunk(octets)
    if source.isConstant { groups[place] = made }
    return made
  }

  /// RFC 1870 §6; RFC 6152 §2.
  func mail(_ number: Int, _ extensions: Extensions) -> [UInt8] {
    let message = corpus[number]
    let size = extensions.size ? " SIZE=\(message.messageBytes)" : ""
    let eightBit = message.hasEightBit && extensions.eightBit ? " BODY=8BITMIME" : ""
    return sender + Array(utf8: "\(size)\(eightBit)\r\n")
  }

  /// The command that the message follows.
  func body(_ number: Int) -> [UInt8] {
    usesBDAT ? Array(utf8: "BDAT \(corpus[number].messageBytes) LAST\r\n") : Array(utf8: "DATA\r\n")
  }
}
