import DovecotWire
import EventLoop
import Journey
import Limits
import Logging
import MIMEStream
import Octets
import PEC
import SMTPWire
import TLSPipe
import Threading

/// One client's SMTP session, at the access point or the incoming point: octets between the connection and the protocol machine, bodies
/// into the spool, and the answers of the journey back to the client. Confined to its lane.
final class SMTPSession {
  private let lane: Lane
  private let shared: SharedState
  private let listener: ListenerPlan
  private let connection: Connection
  private let id: UInt64
  private let admitted: SessionPeer
  private var smtp: SMTPServer
  private var backlog: [UInt8] = []
  private var deadline: Deadline?
  private var sessionEnd: Deadline?
  /// Reasons for which nothing more is taken from the peer at the moment.
  private var holds: Set<Hold> = []
  /// Whom the transaction comes from.
  private var client: MailClient
  private var sender = ""
  private var recipients: [String] = []
  private var body: Body?
  private var finished = false
  private var passwordCheck: Authenticator.Ticket?
  /// When something was heard from the peer last, by the loop's clock.
  private var heardAt: UInt64

  private enum Hold { case answer, spool, output, handshake }

  /// A message that is arriving.
  private final class Body {
    let intake: BodyIntake
    var walker: MessageWalker
    var bytes = 0
    let beganAt: UInt64
    /// Of what a trusted peer hands over.
    let digest: HandOverDigest?
    init(intake: BodyIntake, walker: MessageWalker, beganAt: UInt64, digest: HandOverDigest?) {
      self.digest = digest
      self.intake = intake
      self.walker = walker
      self.beganAt = beganAt
    }
  }

  init(lane: Lane, id: UInt64, stream: EventLoop.Stream, listener: ListenerPlan, peer: SessionPeer) {
    self.lane = lane
    self.id = id
    shared = lane.shared
    self.listener = listener
    connection = Connection(stream)
    admitted = peer
    var profile = listener.profile
    profile.hearsForwarding = listener.mayForward(peer.address)
    smtp = SMTPServer(profile: profile)
    client = MailClient(peer, smtp)
    heardAt = lane.loop.now
  }

  // MARK: Life

  /// - Parameter rest: octets that came already, behind a proxy's header.
  func begin(with rest: [UInt8]) {
    connection.onOctets = { [unowned self] in self.arrived($0) }
    connection.onEnd = { [unowned self] reason in self.end(reason) }
    connection.onSecure = { [unowned self] in self.secured() }
    sessionEnd = lane.loop.deadline(afterSeconds: shared.limits.connection.sessionSeconds) { [unowned self] in
      // An answer that is due is given first: 421 in its place would have an accepted message sent again.
      if self.holds.contains(.answer) { self.smtp.shutdown() } else { self.timeOut() }
    }
    deadline = lane.loop.deadline(afterSeconds: shared.limits.connection.commandTimeoutSeconds) { [unowned self] in self.quiet() }
    connection.begin()
    if listener.implicitTLS { beginTLS() } else { smtp.greet() }
    flush()
    if shared.logger.logLevel <= .debug { tell("connect", .connection(client: client, begins: true), [:], at: .debug) }
    if !rest.isEmpty { connection.feed(rest) }
  }

  /// Whom rights are judged by.
  private var peer: String { client.peer }

  /// Ends the session politely: the gateway is stopping.
  func drain() {
    // 421 follows an answer that is due; a body that is arriving may end first.
    if holds.contains(.answer) { return smtp.shutdown() }
    guard body == nil else { return }
    smtp.shutdown()
    flush()
    connection.closeAfterWrites()
    end("draining")
  }

  /// True when nothing is under way and nothing was heard for so long.
  func isQuiet(forMilliseconds milliseconds: UInt64) -> Bool {
    body == nil && holds.isEmpty && lane.loop.now >= heardAt + milliseconds
  }

  private func end(_ reason: String) {
    guard !finished else { return }
    finished = true
    deadline?.cancel()
    sessionEnd?.cancel()
    passwordCheck?.drop()
    dropBody()
    connection.close()
    if shared.logger.logLevel <= .debug {
      tell("disconnect", .connection(client: client, begins: false), ["because": "\(reason)"], at: .debug)
    }
    lane.sessionEnded(id, admitted)
  }

  private func timeOut() {
    smtp.timeout()
    flush()
    connection.closeAfterWrites()
    end("timeout")
  }

  /// The deadline passed. A body that keeps coming, but too slowly, ends here as well.
  private func quiet() {
    if holds.contains(.answer) || holds.contains(.spool) {
      // A deadline fires once: the next one is a new one.
      let limits = shared.limits.connection
      deadline = lane.loop.deadline(afterSeconds: body == nil ? limits.commandTimeoutSeconds : limits.bodyTimeoutSeconds) {
        [unowned self] in self.quiet()
      }
      return
    }
    timeOut()
  }

  private func renewDeadline() {
    let limits = shared.limits.connection
    deadline?.renew(afterSeconds: body == nil ? limits.commandTimeoutSeconds : limits.bodyTimeoutSeconds)
  }

  // MARK: Octets in

  private func arrived(_ octets: Span<UInt8>) {
    guard !finished else { return }
    heardAt = lane.loop.now
    renewDeadline()
    if holds.isEmpty, backlog.isEmpty {
      let used = process(octets, isLent: true)
      if used < octets.count { backlog.append(copying: octets.extracting(used..<octets.count)) }
    } else {
      backlog.append(copying: octets)
      if holds.isEmpty { processBacklog() }
    }
    settle()
  }

  private func processBacklog() {
    let taken = backlog
    backlog = []
    let used = process(taken.span)
    if used < taken.count { backlog = Array(taken[used...]) + backlog }
  }

  /// Output out, and reading on or off as the holds say.
  private func settle() {
    flush()
    guard !finished else { return }
    if holds.isEmpty { connection.resume() } else { connection.pause() }
  }

  /// Something that held the session is over: go on with what waits, were it only the end of a BDAT whose octets are all taken.
  private func release(_ hold: Hold) {
    guard holds.remove(hold) != nil, !finished, holds.isEmpty else { return }
    renewDeadline()
    processBacklog()
    settle()
  }

  private func flush() {
    guard smtp.hasOutput, !finished else { return }
    connection.send([Chunk(smtp.takeOutput())]) { [weak self] _ in self?.release(.output) }
    if connection.bytesQueued > shared.limits.connection.writeHighWaterBytes { holds.insert(.output) }
  }

  /// Feeds the machine until it wants more octets or an answer. Returns how many octets it took.
  /// - Parameter isLent: true when the connection is lending just these octets.
  private func process(_ octets: Span<UInt8>, isLent: Bool = false) -> Int {
    var at = 0
    while !finished {
      let input = octets.extracting(at..<octets.count)
      let start = at
      let (consumed, event) = smtp.step(input)
      at += consumed
      switch event {
      case .needInput, .awaiting: return at
      case .authenticate(let login, let password, let mechanism): authenticate(login, password, mechanism)
      case .mail(let command):
        smtp.answer(told(shared.measures.answered(mail(command), .mail, listener.profile.trust), at: "MAIL", sender: command.path))
      case .recipient(let command):
        let reply = shared.measures.answered(recipient(command), .rcpt, listener.profile.trust)
        smtp.answer(told(reply, at: "RCPT", sender: sender, recipient: command.path))
      case .bodyBegins(let expectedBytes): beginBody(expectedBytes)
      case .body(let range):
        let place = start + range.lowerBound..<start + range.upperBound
        take(input.extracting(range), isLent ? connection.keep(place) : nil)
      case .bodyEnds: endBody()
      case .bodyFault, .transactionReset: dropBody()
      case .forwarded(let told):
        client = MailClient(admitted, smtp)
        shared.logger.debug(
          "XCLIENT", metadata: ["peer": "\(peer)", "login": "\(told.login ?? "-")", "address": "\(told.address ?? "-")"])
      case .startTLS:
        flush()
        beginTLS()
        return octets.count
      case .hangUp:
        flush()
        connection.closeAfterWrites()
        end("hang up")
        return octets.count
      }
      if !holds.isEmpty { return at }
    }
    return octets.count
  }

  // MARK: TLS and authentication

  private func beginTLS() {
    guard let context = shared.serverTLS else { return }
    backlog = []
    do {
      connection.secure(with: try TLSPipe(context: context), asClient: false)
      deadline?.renew(afterSeconds: shared.limits.connection.handshakeTimeoutSeconds)
    } catch {
      shared.logger.error("TLS cannot begin: \(error)")
      end("TLS")
    }
  }

  private func secured() {
    if listener.implicitTLS { smtp.greet() } else { smtp.tlsStarted() }
    renewDeadline()
    settle()
  }

  private func authenticate(_ login: String, _ password: String, _ mechanism: SASLMechanism) {
    holds.insert(.answer)
    let answered: (AuthenticationAnswer) -> Void = { [weak self] answer in
      guard let self else { return }
      shared.measures.authentications.add(Measures.word(answer))
      if answer == .rejected {
        client = MailClient(admitted, smtp)
        tell(
          "authentication failed", .authenticationFailed(client: client, mechanism: mechanism.rawValue, login: login),
          ["login": "\(login)"],
          at: .notice)
      }
      if !finished { smtp.answerAuthentication(answer) }
      release(.answer)
    }
    // A name that stands in the file is the file's to judge.
    if let dovecot = lane.dovecot, !shared.accounts.exists(login) {
      let attempt = AuthAttempt(login: login, password: password, remoteAddress: peer, isSecure: connection.isSecure)
      return dovecot.check(attempt, then: answered)
    }
    let address = lane.returnAddress { [weak self, shared] completion in
      switch completion {
      case .authentication(let holds): answered(holds ? .accepted(user: login) : .rejected)
      case .failed(let reason):
        if self?.finished == false { shared.logger.error("AUTH answered 454: \(reason)") }
        answered(.temporaryFailure)
      default: preconditionFailure("a password's answer of another kind")
      }
    }
    passwordCheck = shared.authenticator.check(login: login, password: password, address)
  }

  // MARK: The transaction

  /// True at the incoming point, false at the access point.
  private var isIncoming: Bool { listener.profile.trust == .incoming }

  private func mail(_ command: MailCommand) -> Reply {
    recipients = []
    sender = command.path
    client = MailClient(admitted, smtp)
    client.user = command.user ?? client.user
    if let reason = shared.committer.brokenBecause {
      shared.logger.error("MAIL answered 451: \(reason)")
      return Reply(451, "4.3.0", "Storage has failed, try again later")
    }
    if let reason = shared.clock.distrust {
      shared.logger.error("MAIL answered 451, the clock cannot be trusted: \(reason)")
      return Reply(451, "4.3.5", "This server's clock cannot be trusted at present, try again later")
    }
    if lane.freeBytes < shared.limits.storage.minimumFreeBytes {
      return Reply(452, "4.3.1", "Insufficient system storage, try again later")
    }
    if !isIncoming {
      let reply = entitled(command)
      guard reply.isPositive else { return reply }
    }
    return shared.rates.refusal(ofMessageBy: isIncoming ? nil : client.user, from: countedPeer, at: lane.loop.now)
      ?? Reply(250, "2.1.0", "Ok")
  }

  /// Whose messages are counted: the client's, wherever a peer that may do so names him; nobody's for what a peer of ours hands in itself.
  private var countedPeer: String? {
    guard shared.rates.countsMessagesOfPeers else { return nil }
    let isOurs = client.address == admitted.proxy || listener.isProxy?(client.address) == true || listener.mayForward(client.address)
    return isOurs ? nil : client.address
  }

  /// Says in the log what was refused; an answer to the client goes by unchanged.
  private func told(_ reply: Reply, at stage: String, sender: String, recipient: String? = nil) -> Reply {
    guard !reply.isPositive else { return reply }
    let lines = MailLines.rejection(stage: stage, client: client, reply: reply.summary, sender: sender, recipient: recipient)
    tell("refused", lines, ["stage": "\(stage)", "reply": "\(reply.summary)", "from": "\(sender)", "to": "\(recipient ?? "-")"], at: .info)
    return reply
  }

  private func tell(_ word: String, _ lines: MailLines, _ facts: Logger.Metadata, at level: Logger.Level) {
    var facts = facts
    facts["peer"] = "\(peer)"
    if client.address != peer { facts["client"] = "\(client.address)" }
    if let proxy = admitted.proxy { facts["proxy"] = "\(proxy)" }
    facts[MailLines.key] = lines.value
    shared.logger.log(level: level, "\(word)", metadata: facts)
  }

  /// The sender must be the authenticated user himself (RFC 6109 §5.2; RFC 6409 §6.1).
  private func entitled(_ command: MailCommand) -> Reply {
    // RFC 6109 §3.1.1: a null reverse path can never equal From, and a notice about it would have nowhere to go.
    if command.path.isEmpty { return Reply(553, "5.7.1", "The null sender cannot submit: certified mail has a sender") }
    guard let user = command.user ?? smtp.user else { return Reply(530, "5.7.0", "Authentication required") }
    guard ASCII.equal(user, command.path) else { return Reply(553, "5.7.1", "Sender address rejected: not owned by user") }
    guard shared.mayBeUser(command.path) else { return Reply(553, "5.7.1", "Sender address rejected: no such user here") }
    return Reply(250, "2.1.0", "Ok")
  }

  /// At the incoming point anybody in a domain of ours: whether he has a mailbox is told by a signed notice, not here (`pec-rules` 6.1).
  private func recipient(_ command: RecipientCommand) -> Reply {
    var path = command.path
    if isIncoming {
      if command.isBarePostmaster { path = "postmaster@\(shared.points.routing.ownDomains.first ?? shared.points.provider.mailDomain)" }
      // One spelling for a mailbox, whatever quotes a peer puts around it.
      path = MIMEStream.Mailbox.parsePath(path)?.address ?? path
      let isOurs = shared.points.routing.route(for: path) == .mailbox || ASCII.equal(path, shared.points.provider.serviceAddress)
      guard isOurs else { return Reply(550, "5.7.1", "Relay access denied: no mailbox of ours has this domain") }
      if recipients.contains(where: { ASCII.equal($0, path) }) { return Reply(250, "2.1.5", "Ok") }
    }
    if !isIncoming, let refusal = shared.rates.refusal(ofRecipientBy: client.user, at: lane.loop.now) { return refusal }
    recipients.append(path)
    return Reply(250, "2.1.5", "Ok")
  }

  private func beginBody(_ declaredBytes: Int?) {
    let limits = shared.limits
    let store: ([Chunk], @escaping (Completion) -> Void) -> Void = { [lane, shared] chunks, then in
      shared.committer.perform(.store(chunks, lane.returnAddress(then)))
    }
    let intake = BodyIntake(
      pieceBytes: limits.storage.bodyPieceBytes, expectedBytes: declaredBytes ?? 16_384, counters: shared.counters, store: store)
    intake.onProgress = { [weak self] in self?.spoolProgressed() }
    body = Body(
      intake: intake,
      // The protocol machine has refused bare CR and LF and long lines already.
      walker: MessageWalker(limits: limits.message, watchedBoundaryPrefix: Composer.boundaryPrefix, checksLines: false),
      beganAt: lane.loop.now, digest: HandOverDigest(for: listener.profile.trust))
    smtp.answer(.startInput)
  }

  private func take(_ octets: Span<UInt8>, _ kept: Chunk?) {
    guard let body else { return }
    body.bytes += octets.count
    body.walker.feed(octets)
    body.digest?.update(octets)
    if let kept { body.intake.append(kept) } else { body.intake.append(octets) }
    let limits = shared.limits
    let isShort = shared.counters.intakeBytesInMemory.load(ordering: .relaxed) > limits.storage.intakeMemoryBytes
    if isShort { body.intake.handOverEarly() }
    let underway = body.intake.bytesUnderway
    // Back-pressure: a sender is not read faster than the spool writes, and all bodies in memory together stay within their bound.
    if underway >= 2 * limits.storage.bodyPieceBytes || (isShort && underway > 0) {
      holds.insert(.spool)
    }
    let milliseconds = lane.loop.now - body.beganAt
    if milliseconds > UInt64(limits.connection.slowBodyGraceSeconds) * 1000,
      UInt64(body.bytes) < UInt64(limits.connection.slowestBodyBytesPerSecond) * milliseconds / 1000
    {
      shared.logger.notice("a body came too slowly", metadata: ["peer": "\(peer)", "bytes": "\(body.bytes)"])
      timeOut()
    }
  }

  private func spoolProgressed() {
    guard let body else { return }
    if holds.contains(.spool), body.intake.bytesUnderway <= shared.limits.storage.bodyPieceBytes { release(.spool) }
    if awaitsSpool, body.intake.isSettled { submit(body) }
  }

  /// True when the body is complete and only its last pieces are on their way to the spool.
  private var awaitsSpool = false
  /// When the last octet of the message came, monotonic nanoseconds.
  private var endedAt = 0

  private func endBody() {
    holds.insert(.answer)
    guard let body else { return }
    endedAt = MonotonicClock.nanoseconds()
    shared.measures.taken(listener.profile.trust, bytes: body.bytes, recipients: recipients.count)
    if body.intake.isSettled { submit(body) } else { awaitsSpool = true }
  }

  private func dropBody() {
    guard let body else { return }
    self.body = nil
    awaitsSpool = false
    discard(body)
  }

  /// Gives back what a body held, once no piece of it is under way.
  private func discard(_ body: Body) {
    let give = { [shared] in
      let content = body.intake.finish()
      body.intake.forget()
      let ranges = content.storedRanges
      if !ranges.isEmpty { shared.committer.perform(.release(ranges)) }
    }
    guard !body.intake.isSettled else { return give() }
    body.intake.onProgress = {
      guard body.intake.isSettled else { return }
      // The closure holds the body, and the body the closure.
      body.intake.onProgress = nil
      give()
    }
  }

  /// The message is complete: its journey begins.
  private func submit(_ body: Body) {
    awaitsSpool = false
    self.body = nil
    if let reason = body.intake.failure {
      discard(body)
      shared.logger.error("a body was answered 451: \(reason)", metadata: ["peer": "\(peer)"])
      answer(Verdict(code: 451, enhanced: "4.3.0", text: "Message not stored, try again later"), isTold: false)
      return
    }
    if let reason = shared.clock.distrust {
      discard(body)
      shared.logger.error("a message was answered 451, the clock cannot be trusted: \(reason)", metadata: ["peer": "\(peer)"])
      answer(
        Verdict(code: 451, enhanced: "4.3.5", text: "This server's clock cannot be trusted at present, try again later"),
        isTold: false)
      return
    }
    let facts = body.walker.finish()
    let content = body.intake.finish()
    let isIncoming = isIncoming
    let answer: (Verdict, Bool) -> Void = { [weak self] verdict, isNotice in
      body.intake.forget()
      // An incoming message's journey has told it, with what it made of the message.
      self?.answer(verdict, isTold: isIncoming, isNotice: isNotice)
    }
    if isIncoming {
      let heard: (Verdict) -> Void = { answer($0, false) }
      IncomingRun(lane: lane, content: content, client: client, sender: sender, recipients: recipients.count, answer: heard).start(
        ExaminerJob(
          facts: facts, content: content, reversePath: sender, forwardPaths: recipients, isOverTLS: connection.isSecure,
          arrivedAt: shared.now().unixSeconds))
    } else {
      SubmissionRun(lane: lane, content: content, client: client, answer: answer).start(
        Arrival(
          submission: Submission(reversePath: sender, forwardPaths: recipients, facts: facts), instant: shared.now(),
          sequence: shared.counters.nextSequence(), random: .drawn(), directory: shared.index.snapshot, choices: shared.choices.snapshot,
          handOver: body.digest?.key(sender, recipients, facts, shared.limits.storage)))
    }
  }

  private func answer(_ verdict: Verdict, isTold: Bool, isNotice: Bool = false) {
    shared.measures.replied(verdict, listener.profile.trust, since: endedAt, isNotice: isNotice)
    guard !finished else { return }
    if verdict.code == 250 {
      shared.counters.accepted.add(1, ordering: .relaxed)
    } else {
      shared.counters.failed.add(1, ordering: .relaxed)
    }
    let reply = Reply(verdict.code, verdict.enhanced, verdict.text)
    smtp.answer(isTold ? reply : told(reply, at: "END-OF-MESSAGE", sender: sender))
    if lane.isDraining { smtp.shutdown() }
    release(.answer)
  }
}
