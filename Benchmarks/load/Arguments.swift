import ArgumentParser

/// What is checked of arguments in more than one place.
enum Check {
  static func number(_ value: Int, _ range: ClosedRange<Int>, _ name: String) throws -> Int {
    guard range.contains(value) else { throw ValidationError("\(name) must be between \(range.lowerBound) and \(range.upperBound)") }
    return value
  }

  static func optional(_ value: Int?, _ range: ClosedRange<Int>, _ name: String) throws -> Int? {
    try value.map { try number($0, range, name) }
  }

  /// A text that is one word of a command line: nothing in it can end the line or begin another word.
  static func word(_ text: String, _ name: String) throws -> String {
    guard !text.isEmpty, text.utf8.count <= 255, text.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else {
      throw ValidationError("\(name) must be 1 to 255 printable characters without spaces")
    }
    return text
  }

  /// An address as it stands between angle brackets.
  static func address(_ text: String, _ name: String) throws -> String {
    guard text.utf8.count <= 320, text.utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "<") && $0 != UInt8(ascii: ">") })
    else { throw ValidationError("\(name): not an address: \(text)") }
    return text
  }
}

/// Where to send, or to listen: on this machine only. A load generator that could reach others would be a weapon.
struct Endpoint: Sendable {
  /// A numeric loopback address.
  let host: String
  let port: Int

  /// `HOST:PORT`, `[::1]:PORT`.
  init(_ text: String) throws {
    guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]) else {
      throw ValidationError("\(text): expected HOST:PORT")
    }
    var host = String(text[..<colon])
    if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
    try self.init(host: host, port: port, portsFrom: 1)
  }

  init(host: String, port: Int, portsFrom first: Int) throws {
    // A name is never looked up: what it means is decided elsewhere.
    let numeric = host == "localhost" ? "127.0.0.1" : host
    guard Endpoint.isLoopback(numeric) else {
      throw ValidationError("\(host) is not a loopback address: only 127.0.0.0/8, ::1 and localhost are allowed")
    }
    guard (first...65_535).contains(port) else { throw ValidationError("\(port) is not a port") }
    (self.host, self.port) = (numeric, port)
  }

  private static func isLoopback(_ host: String) -> Bool {
    if host == "::1" { return true }
    let fields = host.split(separator: ".", omittingEmptySubsequences: false)
    // Leading zeros mean octal to some: they are no number here.
    return fields.count == 4 && fields[0] == "127"
      && fields.allSatisfy { field in
        UInt8(field).map { "\($0)" == field } ?? false
      }
  }
}

/// LOGIN:PASSWORD.
struct Credentials: Sendable {
  let login: String
  let password: String

  init(_ text: String) throws {
    let fields = text.split(separator: ":", maxSplits: 1)
    guard fields.count == 2, !text.utf8.contains(0), text.utf8.count <= 1000 else {
      throw ValidationError("--auth: expected LOGIN:PASSWORD")
    }
    (login, password) = (String(fields[0]), String(fields[1]))
  }
}

/// SHARE:CODE: what share is refused, and how.
struct Refusal: Sendable {
  private let share: Double
  let code: Int
  private var owed = 0.0

  init(_ text: String, _ name: String) throws {
    let fields = text.split(separator: ":")
    guard fields.count == 2, let share = Double(fields[0]), (0...1).contains(share), let code = Int(fields[1]), (400...599).contains(code)
    else { throw ValidationError("\(name): expected SHARE:CODE, such as 0.1:451") }
    (self.share, self.code) = (share, code)
  }

  /// Whether the next is refused. By turns, not by dice: two runs refuse the same.
  mutating func isNext() -> Bool {
    owed += share
    // What is short of a whole by less than this is rounding.
    guard owed >= 1 - 1e-9 else { return false }
    owed -= 1
    return true
  }

  /// The reply, with its line end.
  var reply: String { "\(code) \(code / 100).7.0 Refused by smtp-load\r\n" }
}
