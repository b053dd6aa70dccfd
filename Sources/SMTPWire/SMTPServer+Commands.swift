import Octets

extension SMTPServer {
  /// Reads and executes one command. nil to go on.
  mutating func readCommand(_ input: Span<UInt8>, _ at: inout Int) -> ServerEvent? {
    switch reader.read(input, at: &at) {
    case .more: return .needInput
    case .bareLineFeed:
      fault(Reply(500, "5.5.2", "Bare LF: lines end in CR LF (RFC 5321 section 2.3.8)"))
      return nil
    case .tooLong, .line:
      let event = execute(reader.line)
      reader.reset()
      return event
    }
  }

  private mutating func execute(_ line: [UInt8]) -> ServerEvent? {
    let trimmed = Command.trimmed(line)
    let verb = Verb(trimmed)
    if let reply = lineFault(line, verb) {
      fault(reply)
      return verb == .bdat ? breakTransaction() : nil
    }
    guard let verb else {
      fault(Reply(500, "5.5.2", "Command not recognized"))
      return nil
    }
    let command = Command(trimmed, limits: profile.limits)
    if let refusal = policyRefusal(of: verb) { return verb == .bdat ? refuseChunk(command, refusal) : refuse(refusal) }
    return perform(verb, command)
  }

  /// What is wrong with a line whatever it says, or nil.
  private func lineFault(_ line: [UInt8], _ verb: Verb?) -> Reply? {
    // RFC 4954 §4: the line of AUTH may be as long as its responses; all others have the limit of commands.
    let isAuthentication = verb == .auth
    let limit = isAuthentication ? profile.limits.authLineBytes : profile.limits.commandLineBytes
    // The reader stops keeping one octet before the limit, so a line that is too long for it is too long here.
    if line.count + 2 > limit { return Reply(500, isAuthentication ? "5.5.6" : "5.5.2", "Line too long") }
    return Command.octetFault(in: line, verb: verb)
  }

  /// The switch of the machine: every verb at every stage.
  private mutating func perform(_ verb: Verb, _ command: Command) -> ServerEvent? {
    switch (stage, verb) {
    case (_, .ehlo), (_, .helo): return hello(command, extended: verb == .ehlo)
    case (_, .noop): return done(.ok)  // RFC 5321 §4.1.1.9: a parameter is ignored
    case (_, .help): return done(Reply(214, "2.0.0", "See RFC 5321"))
    case (_, .rset): return reset(command)
    case (_, .quit): return quit(command)
    case (_, .vrfy): return verify(command)
    case (_, .expn), (_, .turn), (_, .etrn), (_, .atrn), (_, .send), (_, .soml), (_, .saml), (_, .burl):
      return refuse(Reply(502, "5.5.1", "Command not implemented"))
    case (.connected, .mail), (.connected, .rcpt), (.connected, .data), (.connected, .auth), (.connected, .starttls):
      return refuse(Reply(503, "5.5.1", "Send EHLO first"))
    case (.connected, .bdat): return refuseChunk(command, Reply(503, "5.5.1", "Send EHLO first"))
    case (.greeted, .mail): return mail(command)
    case (.mail, .mail), (.recipients, .mail), (.chunking, .mail), (.broken, .mail):
      return refuse(Reply(503, "5.5.1", "A transaction is under way: finish it or RSET"))
    case (.greeted, .rcpt), (.greeted, .data): return refuse(Reply(503, "5.5.1", "Send MAIL first"))
    case (.mail, .rcpt), (.recipients, .rcpt): return recipient(command)
    // RFC 5321 §3.3: DATA when no recipient was accepted.
    case (.mail, .data): return refuse(Reply(554, "5.5.1", "No valid recipients"))
    case (.recipients, .data): return data(command)
    // RFC 3030 §2: DATA and RCPT cannot follow BDAT.
    case (.chunking, .rcpt), (.chunking, .data): return refuse(Reply(503, "5.5.1", "BDAT is under way"))
    case (.broken, .rcpt), (.broken, .data): return refuse(Reply(503, "5.5.1", "A BDAT was refused: send RSET"))
    case (.greeted, .bdat): return refuseChunk(command, Reply(503, "5.5.1", "Send MAIL first"))
    case (.mail, .bdat): return refuseChunk(command, Reply(554, "5.5.1", "No valid recipients"))
    case (.recipients, .bdat), (.chunking, .bdat): return chunk(command)
    case (.broken, .bdat): return refuseChunk(command, Reply(503, "5.5.1", "A BDAT was refused: send RSET"))
    case (.greeted, .auth): return authenticate(command)
    // RFC 4954 §4: not permitted during a transaction.
    case (.mail, .auth), (.recipients, .auth), (.chunking, .auth), (.broken, .auth):
      return refuse(Reply(503, "5.5.1", "AUTH is not permitted during a mail transaction"))
    case (.greeted, .starttls), (.mail, .starttls), (.recipients, .starttls), (.chunking, .starttls), (.broken, .starttls):
      return startTLS(command)
    case (.connected, .xclient), (.greeted, .xclient): return forward(command)
    case (.connected, .xforward), (.greeted, .xforward): return noteOrigin(command)
    case (.mail, .xclient), (.recipients, .xclient), (.chunking, .xclient), (.broken, .xclient),
      (.mail, .xforward), (.recipients, .xforward), (.chunking, .xforward), (.broken, .xforward):
      return refuse(
        profile.believesPeer ? Reply(503, "5.5.1", "Mail transaction in progress") : Reply(502, "5.5.1", "Command not implemented"))
    }
  }

  /// What must come before a command, or nil when it may be heard.
  private func policyRefusal(of verb: Verb) -> Reply? {
    switch verb {
    case .mail, .rcpt, .data, .bdat: if stage == .connected { return nil }
    case .vrfy: break
    case .ehlo, .helo, .rset, .noop, .help, .quit, .auth, .starttls, .xclient: return nil
    case .expn, .turn, .etrn, .atrn, .send, .soml, .saml, .burl, .xforward: return nil
    }
    switch profile.trust {
    // RFC 3207 §4, RFC 8314 §3.3: no mail in the clear.
    case .submission where !isSecure: return Reply(530, "5.7.0", "Must issue a STARTTLS command first")
    // RFC 4954 §6, RFC 6409 §4.3.
    case .submission where user == nil: return Reply(530, "5.7.0", "Authentication required")
    case .trustedPeer(userFromMailFrom: false) where user == nil: return Reply(530, "5.7.0", "XCLIENT with LOGIN required")
    case .submission, .trustedPeer, .incoming: return nil
    }
  }

  // MARK: Small ends

  private mutating func done(_ reply: Reply) -> ServerEvent? {
    say(reply)
    return nil
  }

  private mutating func refuse(_ reply: Reply) -> ServerEvent? {
    fault(reply)
    return nil
  }

  /// Ends the transaction, if there is one, and says so.
  private mutating func clearTransaction() -> ServerEvent? {
    let event: ServerEvent? = isInTransaction ? .transactionReset : nil
    if stage != .connected { stage = .greeted }
    chunkRefusal = nil
    return event
  }

  /// A BDAT could not be understood: octets of the message may now be taken for commands, so no mail is taken before a RSET.
  private mutating func breakTransaction() -> ServerEvent? {
    switch stage {
    case .recipients, .chunking:
      stage = .broken
      return .transactionReset
    case .connected, .greeted, .mail, .broken: return nil
    }
  }

  // MARK: The commands

  private mutating func hello(_ command: Command, extended: Bool) -> ServerEvent? {
    switch command.clientName {
    case .refused(let reply): return refuse(reply)
    case .value(let name): heloName = name
    }
    // RFC 5321 §4.1.4: EHLO in mid transaction is a RSET.
    let event = clearTransaction()
    stage = .greeted
    origin = nil
    isExtended = extended
    // RFC 2034 §4: no enhanced code in the answers to EHLO and HELO.
    say(Reply(code: 250, enhanced: nil, lines: [profile.hostname] + (extended ? extensions : [])))
    return event
  }

  /// What EHLO announces at this moment.
  private var extensions: [String] {
    var lines: [String] = []
    if profile.offersPipelining { lines.append("PIPELINING") }  // RFC 2920
    lines.append("SIZE \(profile.sizeLimitBytes)")  // RFC 1870
    if profile.offersStartTLS, !isSecure { lines.append("STARTTLS") }  // RFC 3207
    if profile.asksForAuthentication, isSecure {
      // RFC 4954 §4: plain-text mechanisms only under TLS.
      lines.append("AUTH " + SASLMechanism.allCases.map(\.rawValue).joined(separator: " "))
    }
    lines.append("ENHANCEDSTATUSCODES")  // RFC 2034
    if profile.offersEightBit { lines.append("8BITMIME") }  // RFC 6152
    if profile.believesPeer {
      lines += [profile.trustsPeer ? XClient.announcement : XClient.announcementWithoutLogin, XForward.announcement]
    }
    if profile.offersChunking { lines.append("CHUNKING") }  // RFC 3030
    return lines
  }

  private mutating func reset(_ command: Command) -> ServerEvent? {
    guard command.isBare else { return refuse(Reply(501, "5.5.4", "Syntax: RSET")) }
    say(.ok)
    return clearTransaction()
  }

  private mutating func quit(_ command: Command) -> ServerEvent? {
    guard command.isBare else { return refuse(Reply(501, "5.5.4", "Syntax: QUIT")) }
    let event = clearTransaction()
    end(Reply(221, "2.0.0", "\(profile.hostname) closing connection"))
    return event
  }

  private mutating func verify(_ command: Command) -> ServerEvent? {
    if command.isBare { return refuse(Reply(501, "5.5.4", "Syntax: VRFY address")) }
    // RFC 5321 §3.5.3: who exists is nobody's business.
    return done(Reply(252, "2.0.0", "Cannot VRFY, but will accept the message and attempt delivery"))
  }

  private mutating func mail(_ command: Command) -> ServerEvent? {
    if messages >= profile.limits.maximumMessagesPerSession {
      end(Reply(421, "4.7.0", "\(profile.hostname) Too many messages in one session, closing connection"))
      return nil
    }
    switch command.mail(profile: profile) {
    case .refused(let reply): return refuse(reply)
    case .value(var mail):
      mail.user = user
      if user == nil, !forwarded.saysNoLogin, profile.trust == .trustedPeer(userFromMailFrom: true), !mail.path.isEmpty {
        mail.user = mail.path
      }
      declaredBytes = mail.declaredBytes
      phase = .awaiting(.mail)
      return .mail(mail)
    }
  }

  private mutating func recipient(_ command: Command) -> ServerEvent? {
    switch command.recipient {
    case .refused(let reply): return refuse(reply)
    case .value(let recipient):
      // RFC 5321 §4.5.3.1.10. No fault: the client goes on with the others.
      if acceptedRecipients >= profile.limits.maximumRecipients { return done(Reply(452, "4.5.3", "Too many recipients")) }
      phase = .awaiting(.recipient)
      return .recipient(recipient)
    }
  }

  private mutating func data(_ command: Command) -> ServerEvent? {
    guard command.isBare else { return refuse(Reply(501, "5.5.4", "Syntax: DATA")) }
    phase = .awaiting(.data)
    return .bodyBegins(expectedBytes: declaredBytes)
  }

  private mutating func startTLS(_ command: Command) -> ServerEvent? {
    if isSecure { return refuse(Reply(503, "5.5.1", "TLS is active already")) }
    guard profile.offersStartTLS else { return refuse(Reply(502, "5.5.1", "STARTTLS is not available")) }
    // RFC 3207 §4: no parameters.
    guard command.isBare else { return refuse(Reply(501, "5.5.4", "Syntax: STARTTLS")) }
    let event = clearTransaction()
    say(Reply(220, "2.0.0", "Ready to start TLS"))
    phase = .startingTLS
    return event
  }

  private mutating func forward(_ command: Command) -> ServerEvent? {
    guard profile.believesPeer else { return refuse(Reply(502, "5.5.1", "Command not implemented")) }
    guard XClient.apply(command.words, to: &forwarded, namesUsers: profile.trustsPeer) else {
      return refuse(Reply(501, "5.5.4", "Bad XCLIENT parameter syntax"))
    }
    // Postfix XCLIENT_README: as on a new connection, but what XCLIENT said stays.
    user = forwarded.login
    heloName = nil
    origin = nil
    isExtended = false
    stage = .connected
    greet()
    return .forwarded(forwarded)
  }

  /// XFORWARD: what it says holds up to the end of the next transaction.
  private mutating func noteOrigin(_ command: Command) -> ServerEvent? {
    guard profile.believesPeer else { return refuse(Reply(502, "5.5.1", "Command not implemented")) }
    var told = origin ?? OriginalClient()
    guard XForward.apply(command.words, to: &told) else { return refuse(Reply(501, "5.5.4", "Bad XFORWARD parameter syntax")) }
    origin = told
    return done(.ok)
  }

  // MARK: AUTH

  private mutating func authenticate(_ command: Command) -> ServerEvent? {
    guard profile.asksForAuthentication else { return refuse(Reply(502, "5.5.1", "AUTH is not available")) }
    // RFC 4954 §4, §6.
    guard isSecure else { return refuse(Reply(538, "5.7.11", "Encryption required: must issue a STARTTLS command first")) }
    guard isExtended else { return refuse(Reply(503, "5.5.1", "Send EHLO first")) }
    if user != nil { return refuse(Reply(503, "5.5.1", "Already authenticated")) }
    let words = command.words
    guard words.count == 1 || words.count == 2 else { return refuse(Reply(501, "5.5.4", "Syntax: AUTH mechanism [initial-response]")) }
    guard let mechanism = SASLMechanism(rawValue: String(decoding: words[0], as: UTF8.self).uppercased()) else {
      return refuse(Reply(504, "5.5.4", "Unrecognized authentication mechanism"))
    }
    var exchange = SASLExchange(mechanism)
    guard words.count == 2 else { return proceed(exchange, exchange.opening) }
    // RFC 4954 §4: "=" is the initial response that is empty.
    let isEmpty = words[1].elementsEqual([UInt8(ascii: "=")])
    let step = exchange.respond(isEmpty ? [] : words[1])
    return proceed(exchange, step)
  }

  /// Reads one line of an AUTH exchange. nil to go on.
  mutating func readResponse(_ input: Span<UInt8>, _ at: inout Int, _ exchange: SASLExchange) -> ServerEvent? {
    switch reader.read(input, at: &at) {
    case .more: return .needInput
    case .bareLineFeed:
      phase = .command
      return refuse(Reply(501, "5.5.2", "Bare LF: lines end in CR LF (RFC 5321 section 2.3.8)"))
    case .tooLong:
      reader.reset()
      phase = .command
      // RFC 4954 §4.
      return refuse(Reply(500, "5.5.6", "Authentication exchange line is too long"))
    case .line:
      var exchange = exchange
      if reader.line.elementsEqual([UInt8(ascii: "*")]) {
        reader.reset()
        phase = .command
        return refuse(Reply(501, "5.7.0", "Authentication cancelled"))  // RFC 4954 §4
      }
      let step = exchange.respond(reader.line)
      reader.reset()
      return proceed(exchange, step)
    }
  }

  private mutating func proceed(_ exchange: SASLExchange, _ step: SASLExchange.Step) -> ServerEvent? {
    phase = .command
    switch step {
    case .challenge(let text):
      say(Reply(334, nil, text))
      phase = .sasl(exchange)
      return nil
    case .credentials(let login, let password):
      phase = .awaiting(.authentication)
      return .authenticate(login: login, password: password, mechanism: exchange.mechanism)
    case .rejected:
      rejectAuthentication()
      return nil
    case .malformed: return refuse(Reply(501, "5.5.2", "Cannot decode authentication response"))  // RFC 4954 §4
    }
  }

  // MARK: BDAT

  /// BDAT in a transaction with recipients (RFC 3030 §2).
  private mutating func chunk(_ command: Command) -> ServerEvent? {
    guard profile.offersChunking else { return refuseChunk(command, Reply(502, "5.5.1", "BDAT is not available")) }
    guard let chunk = command.chunk else { return refuseChunkSyntax() }
    if let reply = chunkRefusal {
      chunkRefusal = nil
      refuse(chunk, with: Refusal(reply: reply, isFault: false))
      return nil
    }
    let taken = stage == .chunking ? decoder.messageBytes : 0
    if chunk.size > profile.sizeLimitBytes - taken {
      refuse(chunk, with: Refusal(reply: BodyFault.tooLarge.reply, isFault: true))
      return .bodyFault(.tooLarge)
    }
    if stage == .chunking {
      phase = .chunk(chunk, remaining: chunk.size)
      return nil
    }
    phase = .awaiting(.chunk(chunk))
    return .bodyBegins(expectedBytes: chunk.isLast ? chunk.size : declaredBytes)
  }

  /// Refuses a BDAT whose turn it is not. Its octets come all the same (RFC 3030 §2) and are swallowed before the reply.
  private mutating func refuseChunk(_ command: Command, _ reply: Reply) -> ServerEvent? {
    guard let chunk = command.chunk else { return refuseChunkSyntax() }
    phase = .swallowingChunk(remaining: chunk.size, Refusal(reply: reply, isFault: true), next: stage)
    return nil
  }

  private mutating func refuseChunkSyntax() -> ServerEvent? {
    fault(Reply(501, "5.5.4", "Syntax: BDAT size [LAST]"))
    return breakTransaction()
  }

  /// Refuses a BDAT, and with it the message.
  mutating func refuse(_ chunk: Command.Chunk, with refusal: Refusal) {
    phase = .swallowingChunk(remaining: chunk.size, refusal, next: chunk.isLast ? .greeted : .broken)
  }
}
