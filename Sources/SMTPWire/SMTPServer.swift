import Limits
import Octets

/// The server's side of one SMTP connection: octets and answers in, replies and events out. It does no IO and reads no clock.
///
/// The session drives it by calling `step` with what is left of its input, again and again, until the event is `needInput`,
/// `awaiting`, `startTLS` or `hangUp`; also when nothing is left, because a step may owe a second event. After each round it sends
/// `takeOutput()`. An answer (`answer`, `answerAuthentication`, `tlsStarted`) is followed by the next round, with the same rest of
/// the input. An unfinished command is kept inside; octets of a body never are.
///
/// What a client does wrong gets its reply and the session goes on in step; what the owner does wrong (an answer that nobody asked
/// for) is a trap. After `hangUp` answers are ignored, because they may have been under way.
public struct SMTPServer: Sendable {
  public let profile: ServerProfile
  /// True behind TLS, from the beginning or by STARTTLS.
  public internal(set) var isSecure: Bool
  /// The user, by AUTH or by a trusted peer's LOGIN; nil before that.
  public internal(set) var user: String?
  /// The name given with EHLO or HELO, letters, digits and `-.:[]_` only; nil before that. Nobody has checked it.
  public internal(set) var heloName: String?
  /// True when the client said EHLO, false after HELO.
  public internal(set) var isExtended = false
  /// What a trusted peer said about its client.
  public internal(set) var forwarded = ForwardedClient()
  /// What a listed peer said about the client of the transaction that comes, or is under way; nil when it said nothing.
  public internal(set) var origin: OriginalClient?
  /// Messages that were answered with 2xx.
  public internal(set) var acceptedMessages = 0

  var phase = Phase.command
  var stage = Stage.connected {
    // What was said about one message's client says nothing about the next one's.
    didSet { if origin != nil, SMTPServer.isTransaction(oldValue), !SMTPServer.isTransaction(stage) { origin = nil } }
  }
  var reader: LineReader
  var decoder: BodyDecoder
  var output: [UInt8] = []
  /// Recipients that were answered with 2xx in this transaction.
  var acceptedRecipients = 0
  /// SIZE= of this transaction.
  var declaredBytes: Int?
  /// Bodies that came to an end in this session.
  var messages = 0
  var faults = 0
  var authenticationFailures = 0
  /// The session gave up a body between two of its chunks: the next one is answered with this.
  var chunkRefusal: Reply?
  /// `shutdown` was called while an answer was due.
  var isShutdownDue = false

  /// How far the dialogue is. Commands are judged by it.
  enum Stage: Sendable {
    /// No EHLO or HELO yet.
    case connected
    /// Between transactions.
    case greeted
    /// MAIL was accepted.
    case mail
    /// At least one recipient was accepted.
    case recipients
    /// At least one BDAT was accepted.
    case chunking
    /// A BDAT was refused: nothing but the end of the transaction is accepted (RFC 3030 §2).
    case broken
  }

  /// What the next octets are.
  enum Phase: Sendable {
    case command
    /// A line of an AUTH exchange.
    case sasl(SASLExchange)
    /// None: an answer is due.
    case awaiting(Question)
    /// A body after DATA.
    case data
    /// Octets of a BDAT.
    case chunk(Command.Chunk, remaining: Int)
    /// The rest of a refused DATA, and the reply to it.
    case swallowingData(Swallower, Refusal)
    /// The rest of a refused BDAT, the reply to it, and what follows.
    case swallowingChunk(remaining: Int, Refusal, next: Stage)
    /// Nothing for us: whatever came in the clear after STARTTLS is thrown away.
    case startingTLS
    /// TLS's.
    case handshake
    /// Nobody's.
    case ended
  }

  /// What an answer is due to.
  enum Question: Sendable {
    case authentication, mail, recipient, data, verdict
    case chunk(Command.Chunk)
  }

  /// A reply held back until the refused octets are through, and whether the client is to blame.
  struct Refusal: Sendable {
    var reply: Reply
    var isFault: Bool
  }

  /// A machine for a new connection. Nothing is said before `greet`.
  public init(profile: ServerProfile) {
    self.profile = profile
    isSecure = profile.trust == .submission(implicitTLS: true)
    reader = LineReader(limit: max(profile.limits.commandLineBytes, profile.limits.authLineBytes))
    decoder = BodyDecoder(profile: profile, isDotStuffed: true)
  }

  // MARK: Output

  /// True when there is something to send.
  public var hasOutput: Bool { !output.isEmpty }

  /// The replies to send, all of them in one piece (RFC 2920 §3.2: replies to a group go together).
  public mutating func takeOutput() -> [UInt8] {
    defer { output = [] }
    return output
  }

  /// Puts the greeting into the output (RFC 5321 §3.1).
  public mutating func greet() { say(Reply(220, nil, "\(profile.hostname) ESMTP ready")) }

  // MARK: Input

  /// Goes on with `input`: what came and was not consumed yet.
  /// - Returns: how many octets of `input` are done with, and what happened. A range in the event is an offset into `input`.
  public mutating func step(_ input: Span<UInt8>) -> (consumed: Int, event: ServerEvent) {
    var at = 0
    while true {
      let event: ServerEvent?
      switch phase {
      case .command: event = readCommand(input, &at)
      case .sasl(let exchange): event = readResponse(input, &at, exchange)
      case .awaiting: event = .awaiting
      case .data: event = readData(input, &at)
      case .chunk(let chunk, let remaining): event = readChunk(input, &at, chunk, remaining)
      case .swallowingData(let swallower, let refusal): event = swallowData(input, &at, swallower, refusal)
      case .swallowingChunk(let remaining, let refusal, let next): event = swallowChunk(input, &at, remaining, refusal, next)
      case .startingTLS:
        // RFC 3207 §4: nothing that came in the clear may be taken for what comes under TLS.
        at = input.count
        phase = .handshake
        event = .startTLS
      case .handshake: event = .awaiting
      case .ended:
        at = input.count
        event = .hangUp
      }
      if let event { return (at, event) }
    }
  }

  /// What the session waits for.
  public var waiting: ServerWait {
    switch phase {
    case .command, .sasl, .startingTLS: .command
    case .awaiting: .answer
    case .data, .chunk, .swallowingData, .swallowingChunk: .body
    case .handshake: .handshake
    case .ended: .nothing
    }
  }

  /// True from the first accepted MAIL to the end of its transaction.
  public var isInTransaction: Bool { SMTPServer.isTransaction(stage) }

  private static func isTransaction(_ stage: Stage) -> Bool {
    switch stage {
    case .connected, .greeted: false
    case .mail, .recipients, .chunking, .broken: true
    }
  }

  /// The protocol for a trace field (RFC 3848): `ESMTPSA` and its like.
  public var protocolName: String {
    guard isExtended else { return "SMTP" }
    return "ESMTP" + (isSecure ? "S" : "") + (user != nil && profile.asksForAuthentication ? "A" : "")
  }

  // MARK: Answers

  /// The session's answer to `mail`, `recipient`, `bodyBegins` and `bodyEnds`. A 421 ends the session.
  public mutating func answer(_ reply: Reply) {
    guard let question = takeQuestion() else { return }
    if reply.code == 421 || isShutdownDue && question.opensBody { return end(reply.code == 421 ? reply : shutdownReply) }
    switch question {
    case .mail:
      say(reply)
      guard reply.isPositive else { break }
      stage = .mail
      acceptedRecipients = 0
      chunkRefusal = nil
    case .recipient:
      say(reply)
      guard reply.isPositive else { break }
      stage = .recipients
      acceptedRecipients += 1
    case .data:
      guard reply.code < 400 else {
        say(reply)
        stage = .greeted
        break
      }
      say(.startInput)
      decoder = BodyDecoder(profile: profile, isDotStuffed: true)
      phase = .data
    case .chunk(let chunk):
      guard reply.code < 400 else {
        refuse(chunk, with: Refusal(reply: reply, isFault: false))
        break
      }
      decoder = BodyDecoder(profile: profile, isDotStuffed: false)
      stage = .chunking
      phase = .chunk(chunk, remaining: chunk.size)
    case .verdict:
      say(reply)
      stage = .greeted
      messages += 1
      if reply.isPositive {
        acceptedMessages += 1
        faults = 0
      }
    case .authentication: preconditionFailure("authenticate is answered by answerAuthentication")
    }
    if isShutdownDue { end(shutdownReply) }
  }

  /// The session's answer to `authenticate` (RFC 4954 §6).
  public mutating func answerAuthentication(_ answer: AuthenticationAnswer) {
    guard let question = takeQuestion() else { return }
    guard case .authentication = question else { preconditionFailure("no AUTH is under way") }
    switch answer {
    case .accepted(let user):
      self.user = user
      say(Reply(235, "2.7.0", "Authentication succeeded"))
    case .rejected: rejectAuthentication()
    case .temporaryFailure: say(Reply(454, "4.7.0", "Temporary authentication failure"))
    }
    if isShutdownDue { end(shutdownReply) }
  }

  /// The TLS handshake is through: the session begins anew, and what the client said before is forgotten (RFC 3207 §4.2).
  public mutating func tlsStarted() {
    switch phase {
    case .handshake:
      isSecure = true
      user = nil
      heloName = nil
      origin = nil
      isExtended = false
      stage = .connected
      reader.reset()
      phase = .command
    case .ended: break
    case .command, .sasl, .awaiting, .data, .chunk, .swallowingData, .swallowingChunk, .startingTLS:
      preconditionFailure("no STARTTLS is under way")
    }
  }

  /// The session cannot take the rest of the body it is in (no room, too slow): the rest is swallowed and `reply` sent after it.
  /// Between two chunks of a message the next one meets the same fate.
  public mutating func refuseBody(_ reply: Reply) {
    switch phase {
    case .data: phase = .swallowingData(Swallower(matched: decoder.matchedTerminator), Refusal(reply: reply, isFault: false))
    case .chunk(let chunk, let remaining):
      phase = .swallowingChunk(remaining: remaining, Refusal(reply: reply, isFault: false), next: chunk.isLast ? .greeted : .broken)
    case .command where stage == .chunking: chunkRefusal = reply
    case .command, .sasl, .swallowingData, .swallowingChunk, .startingTLS, .handshake, .ended: break
    case .awaiting: preconditionFailure("the answer that is due says it")
    }
  }

  // MARK: The end

  /// The client is silent, or too slow: 421 and the end (RFC 5321 §4.5.3.2).
  public mutating func timeout() { end(Reply(421, "4.4.2", "\(profile.hostname) Timeout exceeded, closing connection")) }

  /// The gateway stops: 421 and the end; at once, or after the answer that is due (RFC 5321 §3.8).
  public mutating func shutdown() {
    switch phase {
    case .awaiting: isShutdownDue = true
    case .command, .sasl, .data, .chunk, .swallowingData, .swallowingChunk, .startingTLS, .handshake, .ended: end(shutdownReply)
    }
  }

  /// Ends the session with `reply`; in place of `greet`, it turns a connection away.
  public mutating func end(_ reply: Reply) {
    switch phase {
    case .ended: break
    // Nothing can be said in the midst of a handshake.
    case .handshake: phase = .ended
    case .command, .sasl, .awaiting, .data, .chunk, .swallowingData, .swallowingChunk, .startingTLS:
      say(reply)
      phase = .ended
    }
  }

  private var shutdownReply: Reply { Reply(421, "4.3.2", "\(profile.hostname) Service shutting down, closing connection") }

  private mutating func takeQuestion() -> Question? {
    switch phase {
    case .awaiting(let question):
      phase = .command
      return question
    case .ended: return nil
    case .command, .sasl, .data, .chunk, .swallowingData, .swallowingChunk, .startingTLS, .handshake:
      preconditionFailure("no answer is due")
    }
  }

  mutating func say(_ reply: Reply) { reply.write(to: &output) }

  /// Replies to something wrong, and counts it. `phase` must be set before: the count may end the session.
  mutating func fault(_ reply: Reply) {
    say(reply)
    faults += 1
    if faults >= profile.limits.maximumFaults { end(Reply(421, "4.7.0", "\(profile.hostname) Too many errors, closing connection")) }
  }

  mutating func rejectAuthentication() {
    // RFC 4954 §6; the same words whatever was wrong, so that names cannot be tried out.
    say(Reply(535, "5.7.8", "Authentication credentials invalid"))
    authenticationFailures += 1
    if authenticationFailures >= profile.limits.maximumAuthFailures {
      end(Reply(421, "4.7.0", "\(profile.hostname) Too many failed authentications, closing connection"))
    }
  }
}

extension SMTPServer.Question {
  /// True when a positive answer would let a body come.
  fileprivate var opensBody: Bool {
    switch self {
    case .data, .chunk: true
    case .authentication, .mail, .recipient, .verdict: false
    }
  }
}
