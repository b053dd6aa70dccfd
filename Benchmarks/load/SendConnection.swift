import EventLoop
import Octets

/// One connection of the generator: what SMTP asks of a client, with as little work for each message as can be.
///
/// `SMTPWire`'s machine is the gateway's own client; measuring the gateway by it would hide what both misunderstand alike, and it
/// looks at far more than a generator needs.
final class SendConnection {
  private enum State {
    case closed
    case connecting
    /// 220 is due.
    case greeting
    case ehlo
    case startTLS
    case handshake
    case xclient
    case auth
    /// Ready for a message.
    case idle
    /// RSET was sent before the next message.
    case reset
    case mail
    /// The reply to this recipient is due.
    case recipient(Int)
    /// 354 is due.
    case data
    /// The message was sent: the reply to it is due.
    case body
    /// 354 came though every recipient was refused: a lone dot was sent (RFC 2920 §3.1).
    case discarding
  }

  /// Replies by what they mean to a client (RFC 5321 §4.2.1).
  private enum Meaning {
    /// 421: the server closes.
    case closing
    /// 2yz.
    case positive
    /// 3yz.
    case intermediate
    /// 4yz and 5yz.
    case negative

    init(_ code: Int) {
      switch code {
      case 421: self = .closing
      case 200..<300: self = .positive
      case 300..<400: self = .intermediate
      default: self = .negative
      }
    }
  }

  private unowned let run: SendRun
  private var wire: Wire?
  private var state = State.closed
  private var lines = LineFeeder()
  private var extensions = Extensions()
  private var isSecure = false
  private var isForwarded = false
  private var deadline: Deadline?
  /// Messages on this connection.
  private var count = 0
  private var failures: UInt64 = 0

  // The message under way.
  private var ticket = Ticket(number: 0, startNanoseconds: 0)
  private var accepted = 0
  /// The first code that refused something of it; 0 when nothing did.
  private var refusal = 0
  private var bodyDone: UInt64 = 0
  /// The server has a transaction that no message ended: the next one begins with RSET.
  private var isTransactionOpen = false

  private static let reset = Chunk("RSET\r\n")
  private static let dot = Chunk(".\r\n")

  init(_ run: SendRun) { self.run = run }

  // MARK: The connection

  func open() {
    let plan = run.plan
    state = .connecting
    // The attempt's owner may have quit meanwhile: the state says so.
    run.loop.connect(host: plan.target.host, port: plan.target.port, timeout: UInt64(plan.timeoutSeconds) * 1000) { [self] result in
      switch result {
      case .success(let stream): begin(Wire(stream))
      case .failure(let error): couldNotConnect("\(error)")
      }
    }
  }

  private func begin(_ made: Wire) {
    guard case .connecting = state else { return made.close() }
    run.tally.connectionsOpened += 1
    wire = made
    (lines, extensions, isSecure, isForwarded, isTransactionOpen, count) = (LineFeeder(), Extensions(), false, false, false, 0)
    made.onOctets = { [unowned self] octets in receive(octets) }
    made.onEnd = { [unowned self] reason in broken(reason) }
    made.onSecure = { [unowned self] in secured() }
    watchSilence()
    made.begin()
    if let security = run.plan.security, security.isImplicit {
      state = .handshake
      made.secure(security.context, serverName: security.serverName)
    } else {
      state = .greeting
    }
  }

  private func couldNotConnect(_ reason: String) {
    guard case .connecting = state else { return }
    state = .closed
    again(reason)
  }

  /// Opens the connection again, after a pause that grows while nothing comes of it.
  private func again(_ reason: String) {
    run.tally.connectionsFailed += 1
    run.lastTrouble = reason
    failures += 1
    // Nobody listens, and nobody ever did: there is no run.
    if run.tally.connectionsOpened == 0, failures > 3 { return run.fail(reason) }
    run.loop.timer(after: min(1000, 10 << min(failures, 7))) { [weak self] in
      if let self, case .closed = state { open() }
    }
  }

  private func drop() {
    deadline?.cancel()
    deadline = nil
    wire?.close()
    wire = nil
    state = .closed
  }

  /// Ends it for good, in the middle of whatever it does.
  func quit() {
    switch state {
    case .closed, .connecting: state = .closed
    case .idle: leave()
    case .greeting, .ehlo, .startTLS, .handshake, .xclient, .auth, .reset, .mail, .recipient, .data, .body, .discarding: drop()
    }
  }

  private func leave() {
    write(Chunk("QUIT\r\n"))
    deadline?.cancel()
    deadline = nil
    wire?.finish()
    wire = nil
    state = .closed
  }

  private func watchSilence() {
    deadline = run.loop.deadline(afterSeconds: run.plan.timeoutSeconds) { [unowned self] in
      // A connection without a message has nothing to wait for.
      if case .idle = state { watchSilence() } else { broken("no answer for \(run.plan.timeoutSeconds) seconds") }
    }
  }

  /// The connection is gone.
  private func broken(_ reason: String) {
    let was = state
    drop()
    switch was {
    case .closed, .connecting: break
    case .greeting, .ehlo, .startTLS, .handshake, .xclient, .auth: again(reason)
    case .idle:
      // A server may end what is idle.
      run.gone(self)
      open()
    case .reset, .mail, .recipient, .data, .body, .discarding:
      run.tally.lost += 1
      again(reason)
      run.settled(at: Clock.nanoseconds)
    }
  }

  private func write(_ chunk: Chunk) { write([chunk]) }

  private func write(_ chunks: [Chunk]) {
    for chunk in chunks { run.tally.octetsSent += chunk.count }
    wire?.send(chunks)
  }

  // MARK: Replies

  private func receive(_ input: Span<UInt8>) {
    var at = 0
    while wire != nil {
      switch lines.next(input, &at) {
      case .more: return
      case .line(let range): take(input.extracting(range))
      case .gathered:
        let line = lines.gathered
        take(line.span)
      case .tooLong: return broken("a reply line without an end")
      }
    }
  }

  /// One line: three digits, then nothing, or a space or hyphen and the text (RFC 5321 §4.2).
  private func take(_ line: Span<UInt8>) {
    guard line.count >= 3, (50...53).contains(line[0]), (48...57).contains(line[1]), (48...57).contains(line[2]) else {
      return broken("no SMTP reply: \(SendConnection.text(line))")
    }
    if case .ehlo = state, line.count > 4 { extensions.note(SendConnection.text(line.extracting(4..<line.count))) }
    // Of a reply in several lines the last one decides.
    if line.count > 3, line[3] == UInt8(ascii: "-") { return }
    let code = (Int(line[0]) - 48) * 100 + (Int(line[1]) - 48) * 10 + Int(line[2]) - 48
    run.tally.answers.add(code)
    if code >= 400, run.tally.examples[code] == nil { run.tally.examples[code] = SendConnection.text(line) }
    handle(code)
  }

  private static func text(_ line: Span<UInt8>) -> String {
    String(decoding: [UInt8](copying: line.extracting(0..<min(line.count, 300))), as: UTF8.self)
  }

  /// The switch of the machine: every reply in every state.
  private func handle(_ code: Int) {
    switch (state, Meaning(code)) {
    case (.closed, _), (.connecting, _): break
    case (.greeting, .positive): hello()
    case (.greeting, .negative), (.greeting, .closing): refusedConnection(code)
    case (.ehlo, .positive): introduced()
    case (.startTLS, .positive): beginTLS()
    case (.xclient, .positive):
      // Postfix XCLIENT_README: as on a new connection.
      isForwarded = true
      hello()
    case (.auth, .positive): becomeReady()
    case (.ehlo, .negative), (.startTLS, .negative), (.xclient, .negative), (.auth, .negative):
      if code < 500 { refusedConnection(code) } else { run.fail("refused: \(run.tally.examples[code] ?? "\(code)")") }
    case (.ehlo, .closing), (.startTLS, .closing), (.xclient, .closing), (.auth, .closing): refusedConnection(code)
    case (.idle, .closing):
      drop()
      run.gone(self)
      again("421")
    case (.reset, .positive):
      isTransactionOpen = false
      state = .mail
      if !extensions.pipelining { write(Chunk(run.envelopes.mail(ticket.number, extensions))) }
    case (.mail, .positive), (.mail, .negative), (.recipient, .positive), (.recipient, .negative): answerEnvelope(code)
    case (.data, .intermediate): openBody()
    case (.data, .negative): settle(code)
    case (.body, .positive), (.body, .negative), (.discarding, .positive), (.discarding, .negative): answerBody(code)
    case (.reset, .closing), (.mail, .closing), (.recipient, .closing), (.data, .closing), (.body, .closing), (.discarding, .closing):
      closedByPeer(code)
    case (.idle, _), (.handshake, _), (.greeting, .intermediate), (.ehlo, .intermediate), (.startTLS, .intermediate),
      (.xclient, .intermediate), (.auth, .intermediate), (.reset, .negative), (.reset, .intermediate), (.mail, .intermediate),
      (.recipient, .intermediate), (.data, .positive), (.body, .intermediate), (.discarding, .intermediate):
      broken("reply \(code) out of turn")
    }
  }

  // MARK: To the first message

  private func hello() {
    extensions = Extensions()
    state = .ehlo
    write(Chunk("EHLO \(run.plan.heloName)\r\n"))
  }

  /// EHLO was answered: what comes before the first message, one thing after the other.
  private func introduced() {
    let plan = run.plan
    if plan.security != nil, !isSecure {
      guard extensions.startTLS else { return run.fail("the server does not offer STARTTLS") }
      state = .startTLS
      return write(Chunk("STARTTLS\r\n"))
    }
    if let login = plan.forwardedLogin, !isForwarded {
      guard extensions.xclient else { return run.fail("the server does not offer XCLIENT LOGIN") }
      state = .xclient
      return write(Chunk("XCLIENT LOGIN=\(SendConnection.xtext(login))\r\n"))
    }
    if let credentials = plan.credentials {
      guard extensions.plain else { return run.fail("the server does not offer AUTH PLAIN") }
      state = .auth
      let message = [0] + Array(utf8: credentials.login) + [0] + Array(utf8: credentials.password)
      return write(Chunk(Array(utf8: "AUTH PLAIN ") + Base64.encode(message) + [13, 10]))
    }
    becomeReady()
  }

  private static func xtext(_ text: String) -> String {
    text.utf8.map { $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "=") ? "+\(Hex.encode([$0]).uppercased())" : String(UnicodeScalar($0)) }
      .joined()
  }

  private func beginTLS() {
    guard let security = run.plan.security else { return broken("TLS was not asked for") }
    state = .handshake
    wire?.secure(security.context, serverName: security.serverName)
  }

  private func secured() {
    guard case .handshake = state, let security = run.plan.security else { return broken("TLS out of turn") }
    isSecure = true
    if security.isImplicit { state = .greeting } else { hello() }
  }

  /// The server has no time for this connection: 421, or a greeting that refuses.
  private func refusedConnection(_ code: Int) {
    drop()
    again("the connection was refused: \(run.tally.examples[code] ?? "\(code)")")
  }

  private func becomeReady() {
    if run.plan.usesBDAT, !extensions.chunking { return run.fail("the server does not offer CHUNKING") }
    failures = 0
    state = .idle
    run.ready(self)
  }

  // MARK: A message

  /// Begins a message. Only when the connection is ready.
  func send(_ next: Ticket) {
    (ticket, accepted, refusal) = (next, 0, 0)
    deadline?.renew(afterSeconds: run.plan.timeoutSeconds)
    state = isTransactionOpen ? .reset : .mail
    guard extensions.pipelining else {
      return write(isTransactionOpen ? SendConnection.reset : Chunk(run.envelopes.mail(next.number, extensions)))
    }
    var octets = isTransactionOpen ? [SendConnection.reset] : []
    octets.append(run.envelopes.group(next.number, extensions))
    if run.plan.usesBDAT { octets += run.corpus[next.number].chunks(next.number, &run.token) }
    write(octets)
    bodyDone = run.plan.usesBDAT ? Clock.nanoseconds : 0
  }

  /// A reply to MAIL or to a recipient, and without PIPELINING the command after it.
  private func answerEnvelope(_ code: Int) {
    let isPositive = code < 300
    if !isPositive, refusal == 0 { refusal = code }
    let next: Int
    switch state {
    case .mail:
      isTransactionOpen = isPositive
      // Without PIPELINING a refused sender makes the rest idle.
      if !isPositive, !extensions.pipelining { return settle(code) }
      next = 0
    case .recipient(let index):
      if isPositive {
        accepted += 1
      } else if isTransactionOpen {
        run.tally.recipientsRefused[code, default: 0] += 1
      }
      next = index + 1
    case .closed, .connecting, .greeting, .ehlo, .startTLS, .handshake, .xclient, .auth, .idle, .reset, .data, .body, .discarding:
      preconditionFailure("a reply to an envelope that was not sent")
    }
    if next < run.envelopes.source.perMessage {
      state = .recipient(next)
      if !extensions.pipelining { write(Chunk(run.envelopes.source.command(ticket.number, next))) }
    } else {
      envelopeAnswered()
    }
  }

  private func envelopeAnswered() {
    if extensions.pipelining {
      state = run.plan.usesBDAT ? .body : .data
    } else if accepted == 0 {
      settle(refusal)
    } else {
      let command = Chunk(run.envelopes.body(ticket.number))
      state = run.plan.usesBDAT ? .body : .data
      if run.plan.usesBDAT { sendBody(after: [command]) } else { write(command) }
    }
  }

  private func openBody() {
    guard accepted > 0 else {
      state = .discarding
      return write(SendConnection.dot)
    }
    state = .body
    sendBody(after: [])
  }

  private func sendBody(after command: [Chunk]) {
    write(command + run.corpus[ticket.number].chunks(ticket.number, &run.token))
    bodyDone = Clock.nanoseconds
  }

  private func answerBody(_ code: Int) {
    // DATA ends a transaction in any case; after a BDAT that failed RSET must come (RFC 3030 §2).
    isTransactionOpen = run.plan.usesBDAT && code >= 300
    let isAccepted = code < 300 && accepted > 0
    settle(isAccepted ? code : refusal == 0 || accepted > 0 ? code : refusal)
  }

  private func closedByPeer(_ code: Int) {
    run.tally.refused[code, default: 0] += 1
    drop()
    again("421")
    run.settled(at: Clock.nanoseconds)
  }

  /// The message is decided by `code`.
  private func settle(_ code: Int) {
    let now = Clock.nanoseconds
    if code < 300 {
      run.tally.accepted += 1
      run.tally.recipientsAccepted += accepted
      run.tally.latency.record(now - min(now, ticket.startNanoseconds))
      run.tally.answer.record(now - min(now, bodyDone))
    } else {
      // What refused it first is the cause; what came after it followed from it.
      run.tally.refused[accepted == 0 && refusal != 0 ? refusal : code, default: 0] += 1
    }
    state = .idle
    count += 1
    if count >= run.plan.perConnection {
      leave()
      open()
      run.settled(at: now)
    } else {
      run.settled(at: now)
      // The run may have ended with it.
      if case .idle = state { run.ready(self) }
    }
  }
}
