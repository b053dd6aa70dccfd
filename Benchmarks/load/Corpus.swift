import Octets
import SMTPWire

/// What makes a message unique: sixteen letters and digits, the first six of this run, the rest a number.
struct Token {
  /// What stands for a token in the header of a file, any number of times.
  static let placeholder = "%%%%%%%%%%%%%%%%"
  static let octets = Array(utf8: placeholder)
  private static let digits = Array("0123456789abcdefghijklmnopqrstuvwxyz".utf8)

  private var text: [UInt8]

  init() {
    text = Entropy.bytes(6).map { Token.digits[Int($0) % Token.digits.count] } + Array(repeating: 48, count: Token.octets.count - 6)
  }

  /// Writes the token of a message over each of `places`.
  mutating func write(_ number: Int, over head: inout [UInt8], at places: [Int]) {
    var left = number
    for place in stride(from: text.count - 1, through: 6, by: -1) {
      text[place] = Token.digits[left % 10]
      left /= 10
    }
    for place in places {
      for index in text.indices { head[place + index] = text[index] }
    }
  }
}

/// A message that is ready to go: made once, sent any number of times.
final class PreparedMessage {
  /// The part that changes from one sending to the next; short, and copied each time.
  private var head: [UInt8]
  private let places: [Int]
  /// Everything behind it, never copied. With DATA the dots are stuffed and the final dot is part of it.
  private let rest: Chunk
  /// Octets of the message itself: what SIZE and BDAT say.
  let messageBytes: Int
  let hasEightBit: Bool

  /// - Parameter text: the message with CRLF line ends.
  init(_ text: [UInt8], isDotStuffed: Bool) {
    messageBytes = text.count
    hasEightBit = Scan.hasHighBit(text.span)
    let wire = isDotStuffed ? PreparedMessage.stuffed(text) : text
    let headerEnd = Scan.first(Array(utf8: "\r\n\r\n"), in: wire.span) ?? wire.count
    var places: [Int] = []
    var at = 0
    while let hit = Scan.first(Token.octets, in: wire.span, from: at), hit < headerEnd {
      places.append(hit)
      at = hit + Token.octets.count
    }
    self.places = places
    head = Array(wire[..<at])
    rest = Chunk(Array(wire[at...]))
  }

  /// The octets to send, as the message with this number.
  func chunks(_ number: Int, _ token: inout Token) -> [Chunk] {
    if places.isEmpty { return [rest] }
    token.write(number, over: &head, at: places)
    return [Chunk(head), rest]
  }

  /// RFC 5321 §4.5.2: dots doubled, and the lone one at the end.
  private static func stuffed(_ text: [UInt8]) -> [UInt8] {
    var atLineStart = true
    let cuts = DotStuffing.cuts(in: text.span, atLineStart: &atLineStart)
    var out: [UInt8] = []
    out.reserveCapacity(text.count + cuts.count + 3)
    var from = 0
    for cut in cuts {
      out += text[from..<cut]
      out.append(UInt8(ascii: "."))
      from = cut
    }
    out += text[from...]
    return out + Array(utf8: ".\r\n")
  }
}

/// The messages of a run.
struct Corpus {
  let messages: [PreparedMessage]

  /// - Parameters:
  ///   - path: a file, or a folder of files; `size` otherwise says how large a message to make.
  ///   - keepsMessages: no token is put where none was provided for, and those that were are left alone.
  init(path: String?, size: Int?, keepsMessages: Bool, isDotStuffed: Bool) throws {
    let texts: [(name: String, octets: [UInt8])]
    switch (path, size) {
    case (let path?, nil): texts = try Files.read(path)
    case (nil, let size): texts = [("", Corpus.made(try Check.number(size ?? 5000, 300...1_000_000_000, "--size")))]
    case (.some, .some): throw Fault("--message and --size: one of them")
    }
    guard !texts.isEmpty else { throw Fault("\(path ?? ""): no files in it") }
    messages = try texts.map { name, octets in
      guard !octets.isEmpty else { throw Fault("\(name): empty") }
      let text = Corpus.withNetworkLineEnds(octets)
      return PreparedMessage(keepsMessages ? text : Corpus.withPlaceholder(text), isDotStuffed: isDotStuffed)
    }
  }

  subscript(number: Int) -> PreparedMessage { messages[number % messages.count] }

  /// Every line end as CRLF, the last one included.
  private static func withNetworkLineEnds(_ octets: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(octets.count + octets.count / 40 + 2)
    var from = 0
    while let feed = Scan.first(10, in: octets.span, from: from) {
      out += octets[from..<feed]
      if feed == 0 || octets[feed - 1] != 13 { out.append(13) }
      out.append(10)
      from = feed + 1
    }
    guard from < octets.count else { return out }
    out += octets[from...]
    return out + [13, 10]
  }

  /// A message without a placeholder in its header gets one at the beginning of its Message-ID, or a Message-ID.
  private static func withPlaceholder(_ text: [UInt8]) -> [UInt8] {
    let headerEnd = Scan.first(Array(utf8: "\r\n\r\n"), in: text.span) ?? text.count
    if let hit = Scan.first(Token.octets, in: text.span), hit < headerEnd { return text }
    let name = Array(utf8: "message-id:")
    var line = 0
    while line < headerEnd {
      let end = Scan.first(10, in: text.span, from: line) ?? text.count
      if ASCII.equal(text[line..<min(line + name.count, text.count)], name),
        let bracket = Scan.first(UInt8(ascii: "<"), in: text.span, from: line), bracket < end
      {
        var out = text
        out.insert(contentsOf: Token.octets + [UInt8(ascii: ".")], at: bracket + 1)
        return out
      }
      line = end + 1
    }
    return Array(utf8: "Message-ID: <\(Token.placeholder)@load.example.test>\r\n") + text
  }

  /// A message of about `size` octets, its attachment in base64.
  private static func made(_ size: Int) -> [UInt8] {
    let head = Array(
      utf8: """
        Date: Tue, 10 Mar 2026 09:14:58 +0100\r
        From: <sender@load.example.test>\r
        To: <recipient@load.example.test>\r
        Subject: Load \(Token.placeholder)\r
        Message-ID: <\(Token.placeholder)@load.example.test>\r
        MIME-Version: 1.0\r
        Content-Type: application/octet-stream\r
        Content-Transfer-Encoding: base64\r
        \r

        """)
    let line = Array(utf8: String(repeating: "QmVuY2htYXJr", count: 6) + "bG9h\r\n")
    var text = head
    text.reserveCapacity(size + line.count)
    while text.count + line.count <= size { text += line }
    return text
  }
}
