import Octets
import SMTPWire

/// How far a probe came.
enum ProbeStage: Sendable, Equatable { case connecting, greeting, hello, security }

/// What a server said to a probe.
struct ProbeHeard: Sendable, Equatable {
  /// Its first reply.
  var greeting: Reply?
  /// What it announced last, keywords in upper case with what stands behind them; nil where it knows no EHLO.
  var keywords: [String: String]?
  /// Whether STARTTLS was among what it announced in clear.
  var offersTLS = false
  /// "TLSv1.3"; nil in clear.
  var protocolVersion: String?
  /// Its certificate in DER.
  var certificate: [UInt8]?
  /// Where it ended before its time, and why.
  var stage: ProbeStage?
  var fault = ""

  /// The name that a server gives itself in its greeting.
  var name: String { greeting?.lines.first.map { String($0.prefix { $0 != " " }) } ?? "" }
}

/// A talk with a mail server that says who we are, asks what it can, begins TLS, and takes its leave: no message, no user, no octets in, no
/// octets out.
struct ProbeDialogue: Sendable {
  /// What is wanted of TLS.
  enum Security: Sendable { case never, offered, demanded, implicit }

  enum Event: Sendable {
    case connected
    case secured(version: String?, certificate: [UInt8]?)
    case reply(Reply)
    /// The connection broke, or the time is over: why.
    case broken(String)
  }

  enum Action: Sendable, Equatable {
    case wait
    case send(String)
    case secure
    case finished
  }

  private enum Phase { case connecting, implicitHandshake, greeting, hello, startTLS, handshake, securedHello, done }

  private let hello: String
  private let security: Security
  private var phase = Phase.connecting
  private(set) var heard = ProbeHeard()

  /// - Parameter hello: the command that begins, such as `EHLO mx.example.org`.
  init(hello: String, security: Security) { (self.hello, self.security) = (hello, security) }

  mutating func take(_ event: Event) -> Action {
    switch (phase, event) {
    case (.done, _): return .wait
    case (_, .broken(let reason)): return fail(stage, reason)
    case (.connecting, .connected):
      phase = security == .implicit ? .implicitHandshake : .greeting
      return security == .implicit ? .secure : .wait
    case (.implicitHandshake, .secured(let version, let certificate)):
      (heard.protocolVersion, heard.certificate) = (version, certificate)
      phase = .greeting
      return .wait
    case (.handshake, .secured(let version, let certificate)):
      (heard.protocolVersion, heard.certificate) = (version, certificate)
      phase = .securedHello
      return .send(hello + "\r\n")
    case (.greeting, .reply(let reply)):
      heard.greeting = reply
      guard reply.code == 220 else { return fail(.greeting, "it said: \(reply.summary)") }
      phase = .hello
      return .send(hello + "\r\n")
    case (.hello, .reply(let reply)): return announced(reply)
    case (.startTLS, .reply(let reply)):
      guard reply.code == 220 else { return fail(.security, "STARTTLS was answered: \(reply.summary)") }
      phase = .handshake
      return .secure
    case (.securedHello, .reply(let reply)):
      guard reply.isPositive else { return fail(.hello, "after TLS it said: \(reply.summary)") }
      heard.keywords = ProbeDialogue.keywords(reply)
      return end()
    case (.connecting, .reply), (.implicitHandshake, .reply), (.handshake, .reply): return fail(stage, "it talks before its turn")
    case (.connecting, .secured), (.greeting, .secured), (.hello, .secured), (.startTLS, .secured), (.securedHello, .secured),
      (.implicitHandshake, .connected), (.greeting, .connected), (.hello, .connected), (.startTLS, .connected), (.handshake, .connected),
      (.securedHello, .connected):
      preconditionFailure("a connection is made once, and secured when it is asked for")
    }
  }

  private mutating func announced(_ reply: Reply) -> Action {
    if reply.isTransient { return fail(.hello, "it said: \(reply.summary)") }
    heard.keywords = reply.isPositive ? ProbeDialogue.keywords(reply) : nil
    heard.offersTLS = heard.keywords?["STARTTLS"] != nil
    switch (security, heard.offersTLS) {
    case (.offered, true), (.demanded, true):
      phase = .startTLS
      return .send("STARTTLS\r\n")
    case (.demanded, false): return fail(.security, "it does not offer STARTTLS")
    case (.never, _), (.implicit, _), (.offered, false): return end()
    }
  }

  private mutating func end() -> Action {
    phase = .done
    return .finished
  }

  private mutating func fail(_ stage: ProbeStage, _ why: String) -> Action {
    (heard.stage, heard.fault) = (stage, why)
    return end()
  }

  private var stage: ProbeStage {
    switch phase {
    case .connecting: .connecting
    case .greeting: .greeting
    case .hello, .securedHello, .done: .hello
    case .implicitHandshake, .startTLS, .handshake: .security
    }
  }

  /// The keywords of an answer to EHLO, the first line being the name (RFC 5321 §4.1.1.1).
  static func keywords(_ reply: Reply) -> [String: String] {
    var found: [String: String] = [:]
    for line in reply.lines.dropFirst() {
      let words = line.split(separator: " ", maxSplits: 1)
      if let keyword = words.first { found[keyword.uppercased()] = words.count > 1 ? String(words[1]) : "" }
    }
    return found
  }
}
