import Octets

/// What an attempt to authenticate is about.
public struct AuthAttempt: Sendable, Equatable {
  public var login: String
  public var password: String
  /// The client's address, which Dovecot counts failures by; nil where it is unknown.
  public var remoteAddress: String?
  /// Whether the password came over TLS.
  public var isSecure: Bool

  /// An attempt of a client of ours.
  public init(login: String, password: String, remoteAddress: String? = nil, isSecure: Bool = true) {
    self.login = login
    self.password = password
    self.remoteAddress = remoteAddress
    self.isSecure = isSecure
  }
}

/// What Dovecot says of an attempt.
public enum AuthVerdict: Sendable, Equatable {
  /// Name and password hold; `user` is how Dovecot spells the name.
  case accepted(user: String)
  /// They do not; `reason` is Dovecot's own word, where it gave one.
  case rejected(reason: String?)
  /// Dovecot could not find out.
  case unavailable(String)
}

/// The client's side of Dovecot's authentication protocol, version 1 (auth-protocol.txt of Dovecot): octets in, octets and verdicts out.
///
/// Any number of attempts may be under way at once, so that one which Dovecot delays keeps nobody else waiting. After `.broken` the
/// connection is to be closed, and what was under way has no verdict.
public struct AuthClient: Sendable {
  /// What came of octets that were received.
  public enum Event: Sendable, Equatable {
    /// The verdict on the attempt of this number.
    case verdict(UInt32, AuthVerdict)
    /// The peer does not speak the protocol as we know it: what it said.
    case broken(String)
  }

  /// Octets of a line; Dovecot's own bound is 8192 with room for extra fields.
  private static let maximumLine = 16_384
  private static let tab = UInt8(ascii: "\t")

  private var buffer = LineBuffer(limit: AuthClient.maximumLine)
  private var output: [UInt8] = []
  /// Attempts that wait until both sides have said who they are.
  private var early: [UInt8] = []
  /// True once both sides have said who they are, and Dovecot offers PLAIN.
  public private(set) var isReady = false
  private var offersPlain = false
  private var hasVersion = false
  private var lastID: UInt32 = 0
  private var open: Set<UInt32> = []

  /// A connection that was just made.
  /// - Parameter processID: tells this client's connections from others', as Dovecot wants it.
  public init(processID: UInt32) {
    output = Array("VERSION\t1\t1\nCPID\t\(processID)\n".utf8)
  }

  /// Attempts without a verdict.
  public var count: Int { open.count }

  /// What is to be sent; empty when nothing is.
  public mutating func takeOutput() -> [UInt8] {
    defer { output = [] }
    return output
  }

  /// Begins an attempt by PLAIN (RFC 4616), and returns its number.
  public mutating func begin(_ attempt: AuthAttempt) -> UInt32 {
    lastID &+= 1
    if lastID == 0 { lastID = 1 }
    open.insert(lastID)
    var line = Array("AUTH\t\(lastID)\tPLAIN\tservice=smtp\tnologin".utf8)
    if attempt.isSecure { line += Array("\tsecured".utf8) }
    if let address = attempt.remoteAddress { line += Array("\trip=".utf8) + AuthClient.escaped(address) }
    line += Array("\tresp=".utf8) + Base64.encode([0] + Array(attempt.login.utf8) + [0] + Array(attempt.password.utf8)) + [10]
    if isReady { output += line } else { early += line }
    return lastID
  }

  /// Nobody waits for this attempt any more.
  public mutating func forget(_ id: UInt32) { open.remove(id) }

  /// Takes octets from Dovecot.
  public mutating func receive(_ octets: Span<UInt8>) -> [Event] {
    let (lines, isTooLong) = buffer.take(octets)
    var events: [Event] = []
    for line in lines {
      guard let event = take(line) else { continue }
      events.append(event)
      if case .broken = event { return events }
    }
    if isTooLong { events.append(.broken("a line of more than \(AuthClient.maximumLine) octets")) }
    return events
  }

  private mutating func take(_ line: [UInt8]) -> Event? {
    let fields = line.split(separator: AuthClient.tab, omittingEmptySubsequences: false).map { AuthClient.unescaped($0) }
    guard let word = fields.first else { return nil }
    if !isReady { return greet(word, fields) }
    switch word {
    case "OK", "FAIL", "CONT": return answer(word, fields)
    // Later versions may say more; what we do not know does not concern us.
    default: return nil
    }
  }

  private mutating func greet(_ word: String, _ fields: [String]) -> Event? {
    switch word {
    case "VERSION":
      guard fields.count >= 2, fields[1] == "1" else {
        return .broken("version \(fields.dropFirst().joined(separator: ".")) of the authentication protocol; this is version 1")
      }
      hasVersion = true
    case "MECH": if fields.count >= 2, fields[1].uppercased() == "PLAIN" { offersPlain = true }
    case "DONE":
      guard hasVersion else { return .broken("no VERSION before DONE: this is no authentication socket of Dovecot") }
      guard offersPlain else { return .broken("Dovecot's auth_mechanisms do not have 'plain'") }
      isReady = true
      output += early
      early = []
    default:
      // A wrong socket says something else at once.
      if !hasVersion { return .broken("no authentication socket of Dovecot: it says \"\(ASCII.escaped(String(word.prefix(60))))\"") }
    }
    return nil
  }

  private mutating func answer(_ word: String, _ fields: [String]) -> Event? {
    guard fields.count >= 2, let id = UInt32(fields[1]) else { return .broken("\(word) without a number") }
    guard open.remove(id) != nil else { return nil }
    func value(_ name: String) -> String? {
      fields.dropFirst(2).first { $0.hasPrefix(name + "=") }.map { String($0.dropFirst(name.count + 1)) }
    }
    switch word {
    case "OK":
      guard let user = value("user"), !user.isEmpty else { return .verdict(id, .unavailable("Dovecot's OK names no user")) }
      return .verdict(id, .accepted(user: user))
    case "FAIL":
      if fields.dropFirst(2).contains("temp") || value("code") == "temp_fail" {
        return .verdict(id, .unavailable(value("reason") ?? "Dovecot's temporary failure"))
      }
      return .verdict(id, .rejected(reason: value("reason") ?? value("code")))
    // PLAIN with its response has nothing to go on with.
    default: return .verdict(id, .unavailable("Dovecot asks for more than PLAIN has"))
    }
  }

  // MARK: The escapes of the protocol

  static func escaped(_ text: String) -> [UInt8] {
    var result: [UInt8] = []
    for octet in text.utf8 {
      switch octet {
      case 0: result += [1, UInt8(ascii: "0")]
      case 1: result += [1, UInt8(ascii: "1")]
      case 9: result += [1, UInt8(ascii: "t")]
      case 10: result += [1, UInt8(ascii: "n")]
      case 13: result += [1, UInt8(ascii: "r")]
      default: result.append(octet)
      }
    }
    return result
  }

  static func unescaped(_ field: some Sequence<UInt8>) -> String {
    var result: [UInt8] = []
    var isEscape = false
    for octet in field {
      if isEscape {
        isEscape = false
        switch octet {
        case UInt8(ascii: "0"): result.append(0)
        case UInt8(ascii: "1"): result.append(1)
        case UInt8(ascii: "t"): result.append(9)
        case UInt8(ascii: "n"): result.append(10)
        case UInt8(ascii: "r"): result.append(13)
        default: result.append(octet)
        }
      } else if octet == 1 {
        isEscape = true
      } else {
        result.append(octet)
      }
    }
    return String(decoding: result, as: UTF8.self)
  }
}
