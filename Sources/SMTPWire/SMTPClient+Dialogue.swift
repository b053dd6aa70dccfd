import Octets

extension SMTPClient {
  /// Replies by what they mean to a client (RFC 5321 §4.2.1).
  private enum Meaning {
    /// 421: the next hop closes.
    case closing
    /// 2yz.
    case positive
    /// 3yz.
    case intermediate
    /// 4yz and 5yz.
    case negative
  }

  private static func meaning(_ reply: Reply) -> Meaning {
    switch reply.code {
    case 421: .closing
    case 200..<300: .positive
    case 300..<400: .intermediate
    default: .negative
    }
  }

  /// The switch of the machine: every reply in every state.
  mutating func handle(_ reply: Reply) {
    switch (state, SMTPClient.meaning(reply)) {
    case (.closed, _): break
    case (.quitting, _): close(.quit)
    case (_, .closing): close(.closedByPeer(reply))
    case (.greeting, .positive):
      if reply.code == 220 { hello() } else { close(.violation("greeting \(reply.code)")) }
    case (.greeting, .negative): close(.refused(reply))
    case (.ehlo, .positive):
      extensions = Extensions(announcedBy: reply)
      secureOrAuthenticate()
    // RFC 5321 §3.2: whoever knows no EHLO is greeted by HELO.
    case (.ehlo, .negative): profile.kind == .smtp && reply.isPermanent ? helloWithoutExtensions() : close(.refused(reply))
    case (.helo, .positive): secureOrAuthenticate()
    case (.helo, .negative), (.auth, .negative), (.resetting, .negative): close(.refused(reply))
    case (.startTLS, .positive):
      state = .handshake
      emit(.startTLS)
    case (.startTLS, .negative): profile.tls == .required ? close(.tlsUnavailable) : authenticate()
    case (.auth, .positive), (.resetting, .positive), (.discarding, .positive), (.discarding, .negative): ready()
    case (.envelope, .positive), (.envelope, .intermediate), (.envelope, .negative): answerStep(reply)
    case (.body(let framing), .positive), (.body(let framing), .negative): keepEarly(reply, framing)
    case (.verdict(let framing), .positive), (.verdict(let framing), .negative): decide(reply, framing)
    case (.idle, _), (.handshake, _): close(.violation("reply \(reply.code) out of turn"))
    case (.greeting, .intermediate), (.ehlo, .intermediate), (.helo, .intermediate), (.startTLS, .intermediate), (.auth, .intermediate),
      (.body, .intermediate), (.verdict, .intermediate), (.discarding, .intermediate), (.resetting, .intermediate):
      close(.violation("reply \(reply.code) out of turn"))
    }
  }

  // MARK: To the first message

  mutating func hello() {
    send("\(profile.kind == .lmtp ? "LHLO" : "EHLO") \(profile.heloName)\r\n")
    state = .ehlo
  }

  private mutating func helloWithoutExtensions() {
    send("HELO \(profile.heloName)\r\n")
    state = .helo
    extensions = Extensions()
  }

  private mutating func secureOrAuthenticate() {
    if isSecure { return authenticate() }
    switch (profile.tls, extensions.startTLS) {
    case (.opportunistic, true), (.required, true):
      send("STARTTLS\r\n")
      state = .startTLS
    case (.required, false): close(.tlsUnavailable)
    case (.never, _), (.opportunistic, false): authenticate()
    }
  }

  private mutating func authenticate() {
    guard let credentials = profile.credentials else { return ready() }
    // RFC 4954 §4, RFC 4616 §6: the password goes through TLS or nowhere.
    guard isSecure, extensions.plain else { return close(.authenticationUnavailable) }
    let message = [0] + Array(credentials.login.utf8) + [0] + Array(credentials.password.utf8)
    send("AUTH PLAIN \(String(decoding: Base64.encode(message), as: UTF8.self))\r\n")
    state = .auth
  }

  private mutating func ready() {
    state = .idle
    if job != nil { begin() }
  }

  // MARK: The envelope

  /// Begins the transaction of the job, as far as anything of it can be delivered at all.
  mutating func begin() {
    guard let job else { return }
    if let refusal = refusal(of: job) { return finish(rest: .permanent(refusal)) }
    if job.notification != nil, !extensions.notifications {
      // RFC 3461 §5: without DSN nobody would ever say that the message arrived. An operator can mend that.
      return finish(rest: .transient(Reply(451, "4.3.3", "The mailbox server does not announce DSN")))
    }
    envelope = Envelope()
    envelope.steps = [.mail]
    for (index, recipient) in job.recipients.enumerated() {
      if AddressParser.isMailbox(recipient) {
        envelope.steps.append(.recipient(index))
      } else {
        verdicts[index] = .permanent(Reply(553, "5.1.3", "Recipient address cannot be said in SMTP"))
      }
    }
    guard envelope.steps.count > 1 else { return finish(rest: .permanent(Reply(554, "5.5.1", "No valid recipients"))) }
    let pipelines = extensions.pipelining && profile.usesPipelining
    if !usesChunking, pipelines { envelope.steps.append(.data) }
    state = .envelope
    // RFC 2920 §3.1: MAIL, RCPTs and DATA in one group; without PIPELINING one after the other.
    repeat { sendStep(job) } while pipelines && envelope.sent < envelope.steps.count
  }

  private var usesChunking: Bool { extensions.chunking && profile.usesChunking }

  /// Why the next hop need not be asked, or nil.
  private func refusal(of job: DeliveryJob) -> Reply? {
    if !job.sender.isEmpty, !AddressParser.isMailbox(job.sender) { return Reply(553, "5.1.7", "Sender address cannot be said in SMTP") }
    // RFC 1870 §6.1: what is over the announced size would be refused.
    if extensions.size, extensions.sizeLimit > 0, job.bodyBytes > extensions.sizeLimit {
      return Reply(552, "5.3.4", "Message size exceeds the limit of \(extensions.sizeLimit) octets of the next hop")
    }
    // RFC 3461 §4.4.
    if let id = job.notification?.envelopeID,
      !(1...100).contains(XText.encode(id.utf8).utf8.count) || !id.utf8.allSatisfy({ (32...126).contains($0) })
    {
      return Reply(554, "5.5.4", "Envelope id cannot be said in SMTP")
    }
    return nil
  }

  private mutating func sendStep(_ job: DeliveryJob) {
    switch envelope.steps[envelope.sent] {
    case .mail:
      // RFC 1870 §6; RFC 6152 §2.
      let size = extensions.size ? " SIZE=\(job.bodyBytes)" : ""
      let body = job.hasEightBit && extensions.eightBit ? " BODY=8BITMIME" : ""
      // RFC 3461 §4.3, §4.4: the header suffices, the reader of the reports has the message.
      let report = job.notification.map { " RET=HDRS ENVID=\(XText.encode($0.envelopeID.utf8))" } ?? ""
      send("MAIL FROM:<\(job.sender)>\(size)\(body)\(report)\r\n")
    case .recipient(let index):
      let recipient = job.recipients[index]
      // RFC 3461 §4.1, §4.2.
      let report = job.notification == nil ? "" : " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;\(XText.encode(recipient.utf8))"
      send("RCPT TO:<\(recipient)>\(report)\r\n")
    case .data: send("DATA\r\n")
    }
    envelope.sent += 1
  }

  /// Takes the reply to the first step that is not answered.
  private mutating func answerStep(_ reply: Reply) {
    guard let job, envelope.answered < envelope.sent else { return close(.violation("reply \(reply.code) out of turn")) }
    let step = envelope.steps[envelope.answered]
    envelope.answered += 1
    switch step {
    case .mail:
      if reply.code >= 300, reply.code < 400 { return close(.violation("reply \(reply.code) to MAIL")) }
      if !reply.isPositive { settle(unsettled: SMTPClient.verdict(reply)) }
    case .recipient(let index):
      if reply.code >= 300, reply.code < 400 { return close(.violation("reply \(reply.code) to RCPT")) }
      if verdicts[index] != nil { break }  // MAIL was refused: this says nothing new
      if reply.isPositive {
        envelope.accepted.append(index)
      } else {
        // RFC 5321 §4.5.3.1.10: 552 for "too many recipients" is an old 452.
        let isTooMany = reply.code == 552 && reply.enhanced.map { $0 == "5.5.3" } ?? true
        verdicts[index] = isTooMany ? .transient(reply) : SMTPClient.verdict(reply)
      }
    case .data: return answerData(reply)
    }
    if envelope.sent < envelope.steps.count {
      // One by one: a refused MAIL makes the rest idle.
      if step == .mail, !reply.isPositive { return finishAndReset() }
      if envelope.answered == envelope.sent { sendStep(job) }
    } else if envelope.answered == envelope.steps.count {
      openBody(job)
    }
  }

  /// All recipients are answered, and DATA was not sent with them.
  private mutating func openBody(_ job: DeliveryJob) {
    guard !envelope.accepted.isEmpty else { return finishAndReset() }
    if usesChunking {
      // RFC 3030 §2: one chunk, the whole message.
      send("BDAT \(job.bodyBytes) LAST\r\n")
      state = .body(.chunk)
      emit(.sendBody(.chunk))
    } else {
      envelope.steps.append(.data)
      sendStep(job)
    }
  }

  private mutating func answerData(_ reply: Reply) {
    switch (reply.code, envelope.accepted.isEmpty) {
    case (354, false):
      state = .body(.dotStuffed)
      emit(.sendBody(.dotStuffed))
    case (354, true) where profile.kind == .lmtp:
      // RFC 2033 §4.2: it must have refused; after a dot there would be no reply at all.
      close(.violation("reply 354 without recipients"))
    case (354, true):
      // RFC 2920 §3.1: the next hop wants a message that has nobody to go to; it gets an empty one.
      send(".\r\n")
      state = .discarding
      finish(rest: .transient(reply))
    case (400..., _):
      settle(unsettled: SMTPClient.verdict(reply))
      finishAndReset()
    default: close(.violation("reply \(reply.code) to DATA"))
    }
  }

  /// Gives `verdict` to all recipients that have none.
  private mutating func settle(unsettled verdict: RecipientOutcome.Verdict) {
    for index in verdicts.indices where verdicts[index] == nil { verdicts[index] = verdict }
  }

  /// The job is over before its body; the next one begins with a clean slate (RFC 5321 §4.1.1.5).
  private mutating func finishAndReset() {
    finish(rest: .transient(ClientClosure.violation("recipient without a reply").reply))
    send("RSET\r\n")
    state = .resetting
  }

  private static func verdict(_ reply: Reply) -> RecipientOutcome.Verdict {
    if reply.isPositive { return .delivered(reply) }
    return reply.isPermanent ? .permanent(reply) : .transient(reply)
  }

  // MARK: The message

  /// The next hop has its say before it has the whole message.
  private mutating func keepEarly(_ reply: Reply, _ framing: BodyFraming) {
    let due = profile.kind == .lmtp ? envelope.accepted.count : 1
    guard earlyReplies.count < due, !reply.isPositive else { return close(.violation("reply \(reply.code) within the message")) }
    earlyReplies.append(reply)
  }

  /// A reply to the message: the only one, or that of the next recipient (RFC 2033 §4.2).
  private mutating func decide(_ reply: Reply, _ framing: BodyFraming) {
    let verdict = SMTPClient.verdict(reply)
    switch profile.kind {
    case .smtp:
      for index in envelope.accepted { verdicts[index] = verdict }
    case .lmtp:
      verdicts[envelope.accepted[envelope.answeredRecipients]] = verdict
      envelope.answeredRecipients += 1
      if envelope.answeredRecipients < envelope.accepted.count { return }
    }
    finish(rest: .transient(ClientClosure.violation("recipient without a reply").reply))
    // RFC 3030 §2: after a BDAT that failed, RSET.
    if framing == .chunk, !reply.isPositive {
      send("RSET\r\n")
      state = .resetting
    } else {
      ready()
    }
  }
}

extension SMTPClient.Extensions {
  /// What the lines of an answer to EHLO announce, the first of them being the name (RFC 5321 §4.1.1.1).
  init(announcedBy reply: Reply) {
    self.init()
    for line in reply.lines.dropFirst() {
      let words = line.uppercased().split(separator: " ")
      switch words.first {
      case "PIPELINING": pipelining = true
      case "CHUNKING": chunking = true
      case "8BITMIME": eightBit = true
      case "DSN": notifications = true
      case "STARTTLS": startTLS = true
      case "SIZE":
        size = true
        sizeLimit = words.dropFirst().first.flatMap { Command.number($0.utf8) } ?? 0
      case "AUTH": plain = plain || words.contains("PLAIN")
      case .none, .some: break
      }
    }
  }
}
