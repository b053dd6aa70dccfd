import Octets

/// The client's side of one SMTP or LMTP connection, for many messages one after another. It does no IO and reads no clock.
///
/// The session gives it jobs (`start`, at any time when none is open) and what the next hop sends (`receive`), and after each call
/// pulls `next` until it is `needInput`, `idle`, `startTLS` or `closed`. A body is sent between `sendBody` and `bodySent`, with
/// `next` pulled after each `receive` as ever: the next hop may end it all.
///
/// A next hop may say anything: what is no reply, or comes out of turn, ends the connection and leaves the recipients to a later
/// attempt. What the owner does wrong (two jobs at once) is a trap; after the end, calls are ignored.
public struct SMTPClient: Sendable {
  public let profile: ClientProfile
  /// True inside TLS.
  public internal(set) var isSecure: Bool
  /// True when a job may be started: none is open, and the connection has not ended.
  public var isFree: Bool { job == nil && !isClosed }

  var state = State.greeting
  var parser = ReplyParser()
  var extensions = Extensions()
  var job: DeliveryJob?
  /// Verdicts so far, in the order of the job's recipients.
  var verdicts: [RecipientOutcome.Verdict?] = []
  /// What is wrong with no regard to the next hop is known before it is asked: such recipients are not sent.
  var envelope = Envelope()
  /// Replies that came while the body was being sent.
  var earlyReplies: [Reply] = []
  private var events: [ClientEvent] = []
  /// Events given out; the list is emptied when all are.
  private var given = 0

  enum State: Sendable {
    /// The connection is new: 220 is due.
    case greeting
    /// EHLO or LHLO was sent.
    case ehlo
    /// HELO was sent: the next hop knows no EHLO.
    case helo
    /// STARTTLS was sent.
    case startTLS
    /// The session makes TLS.
    case handshake
    /// AUTH was sent.
    case auth
    /// Between messages.
    case idle
    /// Replies to MAIL, RCPT and perhaps DATA are due.
    case envelope
    /// DATA or BDAT was sent: the session sends the body.
    case body(BodyFraming)
    /// The message was sent: replies to it are due.
    case verdict(BodyFraming)
    /// 354 came with no recipient left: a lone dot was sent.
    case discarding
    /// RSET was sent.
    case resetting
    /// QUIT was sent.
    case quitting
    case closed
  }

  /// What EHLO said.
  struct Extensions: Sendable, Equatable {
    var pipelining = false
    var chunking = false
    var eightBit = false
    var notifications = false
    var startTLS = false
    var size = false
    /// RFC 1870 §4: 0 for no fixed limit.
    var sizeLimit = 0
    var plain = false
  }

  /// The commands of a transaction before its body, and how far they got.
  struct Envelope: Sendable {
    enum Step: Sendable, Equatable {
      case mail
      /// Index of the recipient in the job.
      case recipient(Int)
      case data
    }
    var steps: [Step] = []
    /// Steps sent.
    var sent = 0
    /// Steps answered.
    var answered = 0
    /// Indices of recipients that the next hop took.
    var accepted: [Int] = []
    /// Recipients that were given their final reply (LMTP).
    var answeredRecipients = 0
  }

  /// A machine for a new connection.
  public init(profile: ClientProfile) {
    self.profile = profile
    isSecure = profile.startsSecure
  }

  // MARK: The session's side

  /// Begins a job, at once or when the connection is ready for it.
  public mutating func start(_ job: DeliveryJob) {
    precondition(self.job == nil, "a job is open")
    self.job = job
    verdicts = Array(repeating: nil, count: job.recipients.count)
    switch state {
    case .idle: begin()
    // Too late for it: it may have crossed with the end.
    case .closed: finish(rest: .transient(ClientClosure.connectionLost.reply))
    case .greeting, .ehlo, .helo, .startTLS, .handshake, .auth, .envelope, .body, .verdict, .discarding, .resetting, .quitting: break
    }
  }

  /// Takes what the next hop sent.
  public mutating func receive(_ bytes: Span<UInt8>) {
    var at = 0
    while at < bytes.count {
      if case .closed = state { return }
      // Octets behind the answer to STARTTLS would pass for what came under TLS: somebody put them there.
      if case .handshake = state { return close(.violation("octets in the clear after STARTTLS")) }
      switch parser.read(bytes, at: &at) {
      case .more: return
      case .fault(let what): return close(.violation(what))
      case .reply(let reply): handle(reply)
      }
    }
  }

  /// The next thing to do.
  public mutating func next() -> ClientEvent {
    if given < events.count {
      defer { given += 1 }
      return events[given]
    }
    events.removeAll(keepingCapacity: true)
    given = 0
    switch state {
    case .idle: return .idle
    case .greeting, .ehlo, .helo, .startTLS, .handshake, .auth, .envelope, .body, .verdict, .discarding, .resetting, .quitting, .closed:
      return .needInput
    }
  }

  /// TLS is made, and the next hop's certificate is what it has to be: the dialogue begins anew (RFC 3207 §4.2).
  public mutating func tlsEstablished() {
    switch state {
    case .handshake:
      isSecure = true
      extensions = Extensions()
      hello()
    case .closed: break
    case .greeting, .ehlo, .helo, .startTLS, .auth, .idle, .envelope, .body, .verdict, .discarding, .resetting, .quitting:
      preconditionFailure("no STARTTLS is under way")
    }
  }

  /// All octets of the body have been handed to the transport.
  /// - Parameter atLineStart: what `DotStuffing.cuts` left: whether the body ended in a line end. Of no account for `.chunk`.
  public mutating func bodySent(atLineStart: Bool = true) {
    switch state {
    case .body(let framing):
      // RFC 5321 §4.1.1.4: a body that ends in no line end is given one; DATA cannot carry it otherwise.
      if framing == .dotStuffed { send(atLineStart ? ".\r\n" : "\r\n.\r\n") }
      state = .verdict(framing)
      let early = earlyReplies
      earlyReplies = []
      for reply in early { handle(reply) }
    case .closed: break
    case .greeting, .ehlo, .helo, .startTLS, .handshake, .auth, .idle, .envelope, .verdict, .discarding, .resetting, .quitting:
      preconditionFailure("no body is under way")
    }
  }

  /// Ends the connection: by QUIT between messages, at once otherwise (RFC 5321 §4.1.1.10).
  public mutating func quit() {
    switch state {
    case .idle:
      send("QUIT\r\n")
      state = .quitting
    case .quitting, .closed: break
    case .greeting, .ehlo, .helo, .startTLS, .handshake, .auth, .envelope, .body, .verdict, .discarding, .resetting: close(.quit)
    }
  }

  /// The connection is of no more use: it broke, the next hop is silent, the body cannot be read…
  /// Recipients without a verdict are to be tried again. A `.closed` event follows the outcomes.
  public mutating func disconnect(_ why: ClientClosure) {
    switch state {
    case .quitting: close(.quit)
    case .closed: break
    case .greeting, .ehlo, .helo, .startTLS, .handshake, .auth, .idle, .envelope, .body, .verdict, .discarding, .resetting: close(why)
    }
  }

  // MARK: Inside

  var isClosed: Bool {
    if case .closed = state { return true }
    return false
  }

  /// True when the next hop may have the whole message, and has not said what became of it.
  private func isUnanswered(_ why: ClientClosure) -> Bool {
    guard case .verdict = state else { return false }
    // In SMTP 421 is the word on all recipients; in LMTP it can be on one at the most (RFC 2033 §4.2).
    if profile.kind == .smtp, case .closedByPeer = why { return false }
    return true
  }

  /// Octets to send. What is sent in one go goes in one piece.
  mutating func send(_ text: String) {
    if given < events.count, case .send(var bytes)? = events.last {
      events.removeLast()
      bytes.append(contentsOf: text.utf8)
      events.append(.send(bytes))
    } else {
      events.append(.send(Array(text.utf8)))
    }
  }

  mutating func emit(_ event: ClientEvent) { events.append(event) }

  mutating func close(_ why: ClientClosure) {
    // Recipients that were given no word are tried again, whatever the code: no reply was about them. Behind the last octet of the message
    // that does not mean that they do not have it.
    if job != nil { finish(rest: isUnanswered(why) ? .unanswered(why.reply) : .transient(why.reply)) }
    state = .closed
    // What was still to be done is void; what became of recipients is not.
    events.removeSubrange(..<given)
    given = 0
    events.removeAll { event in
      if case .finished = event { return false }
      return true
    }
    emit(.closed(why))
  }

  /// Gives the outcomes of the job; `rest` to recipients without a verdict.
  mutating func finish(rest: RecipientOutcome.Verdict) {
    guard let done = job else { return }
    job = nil
    let outcomes = zip(done.recipients, verdicts).map { RecipientOutcome(recipient: $0, verdict: $1 ?? rest) }
    verdicts = []
    emit(.finished(outcomes))
  }
}
