import Limits
import Octets

@testable import SMTPWire

/// A small seeded generator: a failing seed can be run again.
struct Seeded: RandomNumberGenerator {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}

/// How input is cut up before it is fed.
enum Splitting: CustomStringConvertible {
  case whole
  case bytes
  case random(UInt64)

  var description: String {
    switch self {
    case .whole: "in one piece"
    case .bytes: "octet by octet"
    case .random(let seed): "in random pieces, seed \(seed)"
    }
  }

  static let all: [Splitting] = [.whole, .bytes, .random(1), .random(2), .random(3)]

  func pieces(_ bytes: [UInt8]) -> [[UInt8]] {
    switch self {
    case .whole: return [bytes]
    case .bytes: return bytes.map { [$0] }
    case .random(let seed):
      var random = Seeded(seed &+ UInt64(bytes.count))
      var pieces: [[UInt8]] = []
      var rest = bytes[...]
      while !rest.isEmpty {
        let longest = [1, 2, 3, 7, 40, 1000].randomElement(using: &random) ?? 1
        let piece = rest.prefix(Int.random(in: 1...longest, using: &random))
        pieces.append(Array(piece))
        rest = rest.dropFirst(piece.count)
      }
      return pieces
    }
  }
}

/// A session around the server machine: users, recipients and a mailbox that tests can look into.
struct ServerHarness {
  struct Message: Equatable {
    var sender: String
    var recipients: [String]
    var body: [UInt8]
    var user: String?
  }

  var machine: SMTPServer
  /// Replies, as sent.
  var output: [UInt8] = []
  /// Events other than `needInput`, `awaiting` and `body`.
  var events: [ServerEvent] = []
  var messages: [Message] = []
  /// How many `body` events there were.
  var bodyEvents = 0
  var isClosed = false
  /// What is answered to `bodyEnds`.
  var verdict = Reply(250, "2.0.0", "Taken")
  /// A body that grows over this is given up by the session.
  var patienceBytes = Int.max

  private var current = Message(sender: "", recipients: [], body: [], user: nil)
  private var isInTLS = false

  init(_ profile: ServerProfile, greets: Bool = true) {
    machine = SMTPServer(profile: profile)
    if greets { machine.greet() }
    output += machine.takeOutput()
  }

  /// Feeds one segment: what the client sends before it begins TLS, or to the end. What follows a STARTTLS in it is lost.
  mutating func feed(_ text: [UInt8], _ splitting: Splitting = .whole) {
    isInTLS = false
    for piece in splitting.pieces(text) where !isInTLS && !isClosed { feedPiece(piece) }
    if isInTLS { machine.tlsStarted() }
  }

  mutating func feed(_ text: String, _ splitting: Splitting = .whole) { feed(Array(text.utf8), splitting) }

  private mutating func feedPiece(_ piece: [UInt8]) {
    var rest = piece[...]
    while true {
      let bytes = Array(rest)
      let (consumed, event) = machine.step(bytes.span)
      precondition(consumed <= bytes.count)
      rest = rest.dropFirst(consumed)
      if case .body(let range) = event {
        precondition(range.upperBound <= consumed && !range.isEmpty)
        current.body += bytes[range]
        bodyEvents += 1
        if current.body.count > patienceBytes {
          machine.refuseBody(Reply(451, "4.3.1", "No room"))
          current.body = []
        }
        continue
      }
      if case .needInput = event {
        precondition(rest.isEmpty)
        break
      }
      if case .awaiting = event { break }
      events.append(event)
      react(to: event)
      if case .startTLS = event {
        precondition(rest.isEmpty)
        isInTLS = true
        break
      }
      if case .hangUp = event {
        isClosed = true
        break
      }
    }
    output += machine.takeOutput()
  }

  private mutating func react(to event: ServerEvent) {
    switch event {
    case .authenticate(let login, let password, _):
      if login == "broken@pec.alfa.test" {
        machine.answerAuthentication(.temporaryFailure)
      } else {
        machine.answerAuthentication(password == "anna-secret" && login == "anna@pec.alfa.test" ? .accepted(user: login) : .rejected)
      }
    case .mail(let command):
      if command.path == "other@pec.alfa.test" {
        machine.answer(Reply(553, "5.7.1", "Not yours"))
      } else if command.path == "closing@pec.alfa.test" {
        machine.answer(Reply(421, "4.3.0", "Closing"))
      } else {
        current = Message(sender: command.path, recipients: [], body: [], user: command.user)
        machine.answer(.ok)
      }
    case .recipient(let command):
      if command.path.hasPrefix("nobody@") {
        machine.answer(Reply(550, "5.1.1", "No such user"))
      } else if command.path.hasPrefix("later@") {
        machine.answer(Reply(451, "4.3.0", "Later"))
      } else {
        current.recipients.append(command.path)
        machine.answer(Reply(250, "2.1.5", "OK"))
      }
    case .bodyBegins:
      machine.answer(current.sender == "full@pec.alfa.test" ? Reply(452, "4.3.1", "Full") : .startInput)
    case .bodyEnds:
      if verdict.isPositive { messages.append(current) }
      current.body = []
      machine.answer(verdict)
    case .bodyFault, .transactionReset: current = Message(sender: "", recipients: [], body: [], user: nil)
    case .needInput, .awaiting, .body, .startTLS, .forwarded, .hangUp: break
    }
  }

  var transcript: String { String(decoding: output, as: UTF8.self) }

  /// The replies as `code enhanced`, one for each.
  var codes: [String] { ServerHarness.codes(output) }

  static func codes(_ output: [UInt8]) -> [String] {
    String(decoding: output, as: UTF8.self).split(separator: "\r\n", omittingEmptySubsequences: false).compactMap { line in
      guard line.utf8.count >= 4, Array(line.utf8)[3] == 32 else { return nil }
      let words = line.split(separator: " ", omittingEmptySubsequences: false)
      let isEnhanced =
        words.count > 1 && words[1].split(separator: ".").count == 3 && words[1].utf8.allSatisfy { $0 == 46 || ($0 >= 48 && $0 <= 57) }
      return isEnhanced ? "\(words[0]) \(words[1])" : String(words[0])
    }
  }
}

extension ServerProfile {
  /// Small limits, so that tests reach them.
  static func test(_ trust: Trust, sizeLimit: Int = 5000, change: (inout CommandLimits) -> Void = { _ in }) -> ServerProfile {
    var limits = CommandLimits()
    limits.maximumRecipients = 5
    change(&limits)
    return ServerProfile(hostname: "mx.test", trust: trust, sizeLimitBytes: sizeLimit, limits: limits)
  }

  static let submission = test(.submission(implicitTLS: false))
  static let implicit = test(.submission(implicitTLS: true))
  static let incoming = test(.incoming)
  static let trusted = test(.trustedPeer(userFromMailFrom: true))
  static let xclient = test(.trustedPeer(userFromMailFrom: false))
}

/// `AUTH PLAIN` of a name and password.
func plain(_ login: String, _ password: String, identity: String = "") -> String {
  base64("\(identity)\u{0}\(login)\u{0}\(password)")
}

func base64(_ text: String) -> String { String(decoding: Base64.encode(Array(text.utf8)), as: UTF8.self) }

/// The right credentials.
let annaPlain = plain("anna@pec.alfa.test", "anna-secret")

extension MailCommand {
  static func expected(
    _ path: String, user: String? = nil, size: Int? = nil, body: Body = .sevenBit, parameters: [(String, String)] = []
  ) -> MailCommand {
    MailCommand(
      path: path, user: user, declaredBytes: size, body: body,
      parameters: parameters.map { ESMTPParameter(keyword: $0.0, value: $0.1) })
  }
}

extension RecipientCommand {
  static func expected(_ path: String, isBarePostmaster: Bool = false) -> RecipientCommand {
    RecipientCommand(path: path, isBarePostmaster: isBarePostmaster)
  }
}
