import EventLoop
import Journey
import Octets
import PEC
import SMTPWire
import TLSPipe

/// One SMTP or LMTP connection to a next hop: one message after another, bodies straight from the spool's mapping.
final class RelayConnection {
  private let lane: Lane
  private let pool: RelayPool
  private let hop: NextHop
  private var connection: Connection?
  private var smtp: SMTPClient
  private var job: RelayJob?
  private var deadline: Deadline?
  private var isReady = false
  private var ended = false
  /// True from STARTTLS until the handshake is through.
  private var isSecuring = false
  /// True when the next hop said something since the present job began.
  private var hasAnswered = false
  private var sending: BodySending?
  /// True when the next hop has the whole message of the job, and LMTP has it deliver that by itself.
  private var hasGiven = false
  /// The next hop as log lines name it: `host[address]:port`.
  private var relay = ""

  /// A body on its way out.
  private struct BodySending {
    var chunks: [Chunk]
    var next = 0
    var framing: BodyFraming
    var atLineStart = true
  }

  init(lane: Lane, pool: RelayPool) {
    self.lane = lane
    self.pool = pool
    hop = pool.hop
    var profile = pool.hop.profile
    // RFC 7435: opportunistic TLS that cannot be had is better none than no delivery.
    if pool.avoidsTLS { profile.tls = .never }
    smtp = SMTPClient(profile: profile)
  }

  func open() {
    let connected: (Result<EventLoop.Stream, LoopError>) -> Void = { [self] result in
      switch result {
      case .success(let stream):
        relay = relayName(stream.peerAddress)
        begin(Connection(stream))
      case .failure(let error): end("no connection to \(hop.display): \(error)")
      }
    }
    lane.connect(to: hop.endpoint, completion: connected)
  }

  private func begin(_ connection: Connection) {
    guard !ended else { return connection.close() }
    self.connection = connection
    connection.onOctets = { [unowned self] octets in
      self.renew()
      self.hasAnswered = true
      self.smtp.receive(octets)
      self.drive()
    }
    connection.onEnd = { [unowned self] reason in
      // One that is not needed is ended by us, long before a next hop that is well would do it.
      if self.isReady, self.job == nil, !self.pool.isRetired { self.pool.lost("\(self.named): \(reason)") }
      self.broken(reason)
    }
    connection.onSecure = { [unowned self] in
      self.isSecuring = false
      self.smtp.tlsEstablished()
      self.drive()
    }
    deadline = lane.loop.deadline(afterSeconds: lane.shared.limits.delivery.replyTimeoutSeconds) { [unowned self] in
      self.broken("silence of \(self.hop.display)", isSilence: true)
    }
    connection.begin()
    drive()
  }

  private func relayName(_ address: String) -> String {
    switch hop.endpoint {
    case .tcp(let host, let port), .addresses(_, let port, let host): "\(host)[\(address)]:\(port)"
    case .local(let path): "\(hop.profile.heloName)[\(path)]"
    }
  }

  private func renew() { deadline?.renew(afterSeconds: lane.shared.limits.delivery.replyTimeoutSeconds) }

  /// There is work again for this idle connection.
  func wake() {
    if !ended, job == nil, takeJob() { drive() }
  }

  /// Ends an idle connection as the next hop expects it (RFC 5321 §4.1.1.10).
  func quit() {
    guard !ended, job == nil else { return }
    renew()
    smtp.quit()
    drive()
  }

  func close() {
    guard !ended else { return }
    ended = true
    deadline?.cancel()
    connection?.close()
    job?.postpone("the gateway is stopping")
    job = nil
  }

  private func drive() {
    while !ended {
      switch smtp.next() {
      case .needInput: return
      case .send(let bytes): connection?.send([Chunk(bytes)])
      case .startTLS: beginTLS()
      case .sendBody(let framing):
        sending = BodySending(chunks: job?.content ?? [], framing: framing)
        pump()
        return
      case .finished(let outcomes):
        let done = job
        job = nil
        let fates = outcomes.map(fate)
        if fates.contains(where: \.isInDoubt) { pool.lost("\(named) gave no answer") } else { pool.reached() }
        done?.finish(fates)
      case .idle:
        if !isReady { pool.reached() }
        isReady = true
        guard job == nil else { return }
        if pool.isRetired {
          smtp.quit()
          renew()
        } else if !takeJob() {
          return
        }
      case .closed(let reason):
        broken(reason.reply.summary)
        return
      }
    }
  }

  private func takeJob() -> Bool {
    guard let next = pool.nextJob(for: self) else {
      deadline?.renew(afterSeconds: lane.shared.limits.delivery.idleConnectionSeconds)
      return false
    }
    renew()
    job = next
    next.relay = relay
    (hasAnswered, hasGiven) = (false, false)
    smtp.start(
      DeliveryJob(
        sender: next.sender, recipients: next.recipients, bodyBytes: next.bytes, hasEightBit: next.hasEightBit,
        notification: next.envelopeID.map { DeliveryNotification(envelopeID: $0) }))
    return true
  }

  private func beginTLS() {
    isSecuring = true
    guard let context = hop.tls, let connection else { return broken("TLS is wanted but not configured") }
    do {
      connection.secure(with: try TLSPipe(context: context, serverName: hop.serverName, identity: hop.identity), asClient: true)
    } catch { broken("TLS: \(error)") }
  }

  // MARK: The body

  /// Sends the body a piece at a time: the next one when the system has taken the last.
  private func pump() {
    guard var body = sending, let connection else { return }
    var batch: [Chunk] = []
    var bytes = 0
    while body.next < body.chunks.count, bytes < 1 << 20 {
      let chunk = body.chunks[body.next]
      body.next += 1
      bytes += chunk.count
      switch body.framing {
      case .chunk: batch.append(chunk)
      case .dotStuffed:
        // The octets are sent where they lie; a dot goes between two ranges (RFC 5321 §4.5.2).
        let cuts = chunk.withSpan { DotStuffing.cuts(in: $0, atLineStart: &body.atLineStart) }
        var from = 0
        for cut in cuts {
          if cut > from { batch.append(chunk[from..<cut]) }
          batch.append(RelayConnection.dot)
          from = cut
        }
        if from < chunk.count { batch.append(chunk[from..<chunk.count]) }
      }
    }
    let isLast = body.next == body.chunks.count
    sending = isLast ? nil : body
    renew()
    connection.send(batch) { [weak self] failure in
      guard let self, !ended else { return }
      if let failure { return broken(failure) }
      if !isLast { pump() }
    }
    guard isLast, !ended else { return }
    hasGiven = hop.profile.kind == .lmtp
    // Not when the system has taken it: by then a next hop that knows the length (BDAT) may have answered, and its answer be read, before
    // we hear that the last octets are gone.
    smtp.bodySent(atLineStart: body.atLineStart)
    // RFC 5321 §4.5.3.2.6: 10 minutes, or the next hop takes the message while we give it up and send it again.
    deadline?.renew(afterSeconds: max(600, lane.shared.limits.delivery.replyTimeoutSeconds))
    drive()
  }

  private static let dot = Chunk([UInt8(ascii: ".")])

  // MARK: Ends

  /// The next hop in words, for a mail exchanger with what protects the delivery.
  private var named: String {
    guard let protection = hop.protection else { return hop.display }
    if isSecuring { return "\(hop.display) (\(protection))" }
    let security = connection?.security.flatMap { $0.split(separator: " ").first.map(String.init) } ?? "no TLS"
    return "\(hop.display) (\(protection), \(security))"
  }

  private func fate(_ outcome: RecipientOutcome) -> RecipientFate {
    let reply = outcome.verdict.reply
    let words = "\(named) said: \(reply.summary)"
    switch outcome.verdict {
    case .delivered: return RecipientFate(recipient: outcome.recipient, outcome: .delivered(words))
    case .transient: return RecipientFate(recipient: outcome.recipient, outcome: .later(words), wasGiven: hasGiven)
    case .unanswered: return RecipientFate(recipient: outcome.recipient, outcome: .later(words), isInDoubt: true)
    case .permanent:
      let cause = DeliveryFailure.refused(code: reply.code, enhanced: reply.enhanced, text: reply.lines.joined(separator: " "))
      return RecipientFate(recipient: outcome.recipient, outcome: .failed(cause, text: words))
    }
  }

  private func broken(_ reason: String, isSilence: Bool = false) {
    guard !ended else { return }
    // RFC 3463 §3.8: what a mail exchanger had to prove, and could not.
    let status = isSecuring && hop.protection != nil && hop.profile.tls == .required ? "4.7.5 " : ""
    end("\(status)\(named): \(reason)", isSilence: isSilence)
  }

  private func end(_ reason: String, isSilence: Bool = false) {
    guard !ended else { return }
    ended = true
    // A next hop that says nothing to a message would say nothing to those in line: each would wait as long in vain, and all others with it.
    let isMute = isSilence && job != nil && !hasAnswered
    deadline?.cancel()
    connection?.close()
    if let open = job {
      job = nil
      // A kept connection that the next hop had closed meanwhile: nothing of this message was heard, so a new one is tried at once.
      if isReady, !hasAnswered, !isMute, open.mayTryAnew() {
        pool.putBack(open)
      } else {
        pool.lost(reason)
        settle(open, reason)
      }
    }
    // What waits goes without TLS then, on a connection that is opened now.
    let goesPlain = isSecuring && !pool.avoidsTLS && hop.profile.tls == .opportunistic && hop.profile.credentials == nil
    if goesPlain { pool.avoidsTLS = true }
    pool.ended(self, neverReady: (isReady && !isMute) || goesPlain ? nil : reason)
  }

  /// What the next hop has said about recipients holds, whatever broke after it (RFC 2033 §4.2); the rest is tried again.
  private func settle(_ open: RelayJob, _ reason: String) {
    smtp.disconnect(.abandoned(reason))
    while true {
      switch smtp.next() {
      case .finished(let outcomes):
        return open.finish(
          outcomes.map { outcome in
            switch outcome.verdict {
            case .transient: RecipientFate(recipient: outcome.recipient, outcome: .later(reason), wasGiven: hasGiven)
            case .unanswered: RecipientFate(recipient: outcome.recipient, outcome: .later(reason), isInDoubt: true)
            case .delivered, .permanent: fate(outcome)
            }
          })
      case .closed, .needInput, .idle: return open.postpone(reason)
      case .send, .startTLS, .sendBody: continue
      }
    }
  }
}
