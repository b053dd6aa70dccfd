import Octets
import Testing

@testable import SMTPWire

@Suite struct ClientTests {
  @Test(arguments: ClientDialogues.all)
  func goesAsWritten(_ dialogue: Dialogue) {
    for splitting in Splitting.all {
      var harness = ClientHarness(
        dialogue.profile, jobs: dialogue.jobs, bodies: dialogue.bodies.map { Array($0.utf8) }, script: dialogue.script, splitting: splitting
      )
      harness.run()
      #expect(harness.surprise == nil, "\(splitting)")
      #expect(harness.unsaid == 0, "\(splitting)")
      #expect(harness.outcomes.map { $0.map(Dialogue.symbol) } == dialogue.verdicts, "\(splitting)")
      #expect(harness.closure == dialogue.closure, "\(splitting)")
      #expect(harness.becameIdle || dialogue.closure != nil, "\(splitting)")
      for (job, outcomes) in zip(dialogue.jobs, harness.outcomes) { #expect(job.recipients == outcomes.map(\.recipient)) }
    }
  }

  /// Replies that are none: the connection is given up and the recipients are left for later.
  @Test(arguments: [
    "hello\r\n", "2\r\n", "22\r\n", "22x ok\r\n", "220ok\r\n", "620 ok\r\n", "120 wait\r\n", "270 odd\r\n", "\r\n", " 220 ok\r\n",
    "220 ok\n", "\n",
    "220-a\r\n221 b\r\n", "220-a\r\n\r\n", "220_ok\r\n", "\u{0}\u{0}\u{0}\r\n", "354 go\r\n", "250 ok\r\n", "SSH-2.0-OpenSSH_9.2\r\n",
    "220 " + String(repeating: "x", count: 4096) + "\r\n", String(repeating: "220-x\r\n", count: 200) + "220 x\r\n",
  ])
  func garbageEndsTheConnection(_ reply: String) {
    for splitting in Splitting.all {
      var harness = ClientHarness(
        ClientProfile(heloName: "me.test"), jobs: [DeliveryJob(sender: "s@y.test", recipients: ["r@x.test"], bodyBytes: 2)], bodies: [[]],
        script: [.init(expected: "", reply: reply)], splitting: splitting)
      harness.run()
      guard case .violation? = harness.closure else {
        Issue.record("\(reply.debugDescription) \(splitting): \(String(describing: harness.closure))")
        continue
      }
      #expect(harness.outcomes.map { $0.map(Dialogue.symbol) } == [["~451"]])
    }
  }

  @Test func longRepliesAreTakenUpToTheLimit() {
    let lines = String(repeating: "250-KEYWORD\r\n", count: 199) + "250 SIZE 9\r\n"
    var client = SMTPClient(profile: ClientProfile(heloName: "me.test"))
    client.receive(Array(("220 " + String(repeating: "x", count: 4090) + "\r\n" + lines).utf8).span)
    #expect(client.next() == .send(Array("EHLO me.test\r\n".utf8)))
    #expect(client.next() == .idle)
  }

  @Test func enhancedCodesAreTakenOff() {
    for (line, enhanced, text) in [
      ("550 5.1.1 no such user", "5.1.1", "no such user"), ("550 5.1.1", "5.1.1", ""), ("550 2.1.1 odd", nil, "2.1.1 odd"),
      ("550 5.1 odd", nil, "5.1 odd"), ("550 5.1.1000 odd", nil, "5.1.1000 odd"), ("550 5.1.1odd", nil, "5.1.1odd"), ("550", nil, ""),
    ] as [(String, String?, String)] {
      var parser = ReplyParser()
      var at = 0
      #expect(parser.read(Array((line + "\r\n").utf8).span, at: &at) == .reply(Reply(550, enhanced, text)))
    }
    var parser = ReplyParser()
    var at = 0
    let reply = Array("550-5.7.1 one\r\n550-5.7.1 two\r\n550 three\u{7}\r\n".utf8)
    #expect(parser.read(reply.span, at: &at) == .reply(Reply(code: 550, enhanced: "5.7.1", lines: ["one", "two", "three "])))
  }

  @Test func whatCannotBeSaidIsNotSaid() {
    var client = SMTPClient(profile: ClientProfile(heloName: "me.test"))
    client.receive(Array("220 hi\r\n250 hi\r\n".utf8).span)
    _ = client.next()
    let bad = ["a@b.test>\r\nRCPT TO:<c@d.test", "caffè@b.test", "", "a b@c.test"]
    client.start(DeliveryJob(sender: "s@y.test", recipients: bad, bodyBytes: 1))
    guard case .finished(let outcomes) = client.next() else {
      Issue.record("not finished")
      return
    }
    #expect(outcomes.map(Dialogue.symbol) == ["-553", "-553", "-553", "-553"])
    client.start(DeliveryJob(sender: "s@y.test\r\nDATA", recipients: ["a@b.test"], bodyBytes: 1))
    guard case .finished(let refused) = client.next() else {
      Issue.record("not finished")
      return
    }
    #expect(refused.map(Dialogue.symbol) == ["-553"])
    client.start(DeliveryJob(sender: "", recipients: ["bad", "\"q r\"@b.test"], bodyBytes: 1))
    #expect(client.next() == .send(Array("MAIL FROM:<>\r\n".utf8)))
    client.receive(Array("250 ok\r\n".utf8).span)
    #expect(client.next() == .send(Array("RCPT TO:<\"q r\"@b.test>\r\n".utf8)))
  }

  @Test func brokenConnections() {
    var client = SMTPClient(profile: ClientProfile(heloName: "me.test"))
    let job = DeliveryJob(sender: "s@y.test", recipients: ["a@b.test"], bodyBytes: 1)
    client.start(job)
    client.disconnect(.timeout)
    #expect(client.next() == .finished([RecipientOutcome(recipient: "a@b.test", verdict: .transient(ClientClosure.timeout.reply))]))
    #expect(client.next() == .closed(.timeout))
    #expect(client.next() == .needInput)
    // Whatever was under way does no harm.
    client.receive(Array("250 ok\r\n".utf8).span)
    client.tlsEstablished()
    client.bodySent()
    client.quit()
    client.disconnect(.connectionLost)
    #expect(client.next() == .needInput)
    #expect(!client.isFree)
    client.start(job)
    guard case .finished(let outcomes) = client.next() else {
      Issue.record("not finished")
      return
    }
    #expect(outcomes.map(Dialogue.symbol) == ["~451"])
  }

  /// From the last octet on the next hop may have delivered the message, for whomever it has not answered.
  @Test(arguments: [false, true], [false, true])
  func silenceAfterTheMessageIsNoAnswer(isLMTP: Bool, chunks: Bool) {
    for why in [ClientClosure.connectionLost, .timeout, .abandoned("x"), .violation("y")] {
      var client = SMTPClient(profile: ClientProfile(kind: isLMTP ? .lmtp : .smtp, heloName: "me.test"))
      client.start(DeliveryJob(sender: "", recipients: ["a@b.test", "c@b.test", "d@b.test"], bodyBytes: 3))
      let told = chunks ? "250-hi\r\n250 CHUNKING\r\n" : "250 hi\r\n"
      let go = chunks ? "" : "354 go\r\n"
      client.receive(Array("220 hi\r\n\(told)250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n\(go)".utf8).span)
      var before = client
      while client.next() != .sendBody(chunks ? .chunk : .dotStuffed) {}
      client.bodySent()
      if isLMTP { client.receive(Array("250 ok\r\n".utf8).span) }
      client.disconnect(why)
      #expect(Self.outcomes(&client) == (isLMTP ? ["+250", "-550", "?451"] : ["?451", "-550", "?451"]), "\(why)")
      // Before that it cannot have delivered anything.
      before.disconnect(why)
      #expect(Self.outcomes(&before) == ["~451", "-550", "~451"], "\(why)")
    }
  }

  private static func outcomes(_ client: inout SMTPClient) -> [String] {
    while true {
      switch client.next() {
      case .finished(let outcomes): return outcomes.map(Dialogue.symbol)
      case .needInput, .idle, .closed: return []
      case .send, .startTLS, .sendBody: continue
      }
    }
  }

  @Test func aBodyIsCalledOffByTheNextHop() {
    var client = SMTPClient(profile: ClientProfile(heloName: "me.test"))
    client.start(DeliveryJob(sender: "", recipients: ["a@b.test"], bodyBytes: 100))
    client.receive(Array("220 hi\r\n250-hi\r\n250 CHUNKING\r\n250 ok\r\n250 ok\r\n".utf8).span)
    var events: [ClientEvent] = []
    repeat { events.append(client.next()) } while events.last != .needInput
    #expect(events.suffix(2) == [.sendBody(.chunk), .needInput])
    client.receive(Array("421 bye\r\n".utf8).span)
    #expect(
      client.next() == .finished([RecipientOutcome(recipient: "a@b.test", verdict: .transient(Reply(421, nil, "bye")))]))
    #expect(client.next() == .closed(.closedByPeer(Reply(421, nil, "bye"))))
    client.bodySent()
    #expect(client.next() == .needInput)
  }

  @Test func anEarlyRefusalIsKeptUntilTheBodyIsOut() {
    var client = SMTPClient(profile: ClientProfile(heloName: "me.test"))
    client.start(DeliveryJob(sender: "", recipients: ["a@b.test"], bodyBytes: 100))
    client.receive(Array("220 hi\r\n250-hi\r\n250 PIPELINING\r\n250 ok\r\n250 ok\r\n354 go\r\n552 5.3.4 too large\r\n".utf8).span)
    var events: [ClientEvent] = []
    repeat { events.append(client.next()) } while events.last != .needInput
    #expect(events.suffix(2) == [.sendBody(.dotStuffed), .needInput])
    client.bodySent(atLineStart: false)
    #expect(client.next() == .send(Array("\r\n.\r\n".utf8)))
    #expect(
      client.next() == .finished([RecipientOutcome(recipient: "a@b.test", verdict: .permanent(Reply(552, "5.3.4", "too large")))]))
    #expect(client.next() == .idle)
  }

  @Test func quitting() {
    var client = SMTPClient(profile: ClientProfile(heloName: "me.test"))
    client.receive(Array("220 hi\r\n250 hi\r\n".utf8).span)
    _ = client.next()
    client.quit()
    #expect(client.next() == .send(Array("QUIT\r\n".utf8)))
    #expect(client.next() == .needInput)
    client.receive(Array("221 bye\r\n".utf8).span)
    #expect(client.next() == .closed(.quit))

    var early = SMTPClient(profile: ClientProfile(heloName: "me.test"))
    early.quit()
    #expect(early.next() == .closed(.quit))
  }

  @Test func repliesOutOfTurnEndTheConnection() {
    var client = SMTPClient(profile: ClientProfile(heloName: "me.test"))
    client.receive(Array("220 hi\r\n250 hi\r\n250 what\r\n".utf8).span)
    #expect(client.next() == .closed(.violation("reply 250 out of turn")))
  }

  @Test(arguments: [1, 3, 14])
  func octetsAfterStartTLSAreAnAttack(together: Int) {
    // As many of the injected octets come in one piece with the reply; the rest before TLS is made.
    let injected = Array("250 injected\r\n".utf8)
    var client = SMTPClient(profile: ClientProfile(heloName: "me.test", tls: .required))
    let atOnce = Array("220 hi\r\n250-hi\r\n250 STARTTLS\r\n220 go\r\n".utf8) + injected.prefix(together)
    client.receive(atOnce.span)
    #expect(client.next() == .closed(.violation("octets in the clear after STARTTLS")))

    var later = SMTPClient(profile: ClientProfile(heloName: "me.test", tls: .required))
    later.receive(Array("220 hi\r\n250-hi\r\n250 STARTTLS\r\n220 go\r\n".utf8).span)
    #expect(later.next() == .send(Array("EHLO me.test\r\nSTARTTLS\r\n".utf8)))
    #expect(later.next() == .startTLS)
    let early = Array(injected.prefix(together))
    later.receive(early.span)
    #expect(later.next() == .closed(.violation("octets in the clear after STARTTLS")))
  }

  @Test func randomServersNeverStopTheMachine() {
    let words = [
      "220 hi\r\n", "250 ok\r\n", "250 ok\r\n", "250 ok\r\n",
      "250-x\r\n250-PIPELINING\r\n250-STARTTLS\r\n250-CHUNKING\r\n250 AUTH PLAIN\r\n",
      "250-x\r\n250 SIZE 3\r\n", "354 go\r\n", "354 go\r\n", "421 bye\r\n", "450 later\r\n", "550 no\r\n", "235 ok\r\n", "334 \r\n",
      "xx\r\n", "250-",
    ]
    for seed in 0..<300 {
      var seen: ClientHarness?
      for splitting in [Splitting.whole, .bytes, .random(UInt64(seed))] {
        var random = Seeded(UInt64(seed))
        // Begin well, or nothing further is ever reached.
        let start = ["220 hi\r\n", words[[1, 4, 5].randomElement(using: &random) ?? 1]]
        let script = (start + (0..<40).map { _ in words.randomElement(using: &random) ?? "" })
          .map { ClientHarness.Exchange(expected: "-", reply: $0) }
        var profile = ClientProfile(
          kind: seed % 3 == 0 ? .lmtp : .smtp, heloName: "me.test", tls: [.never, .opportunistic, .required][seed % 4 % 3])
        if seed % 5 == 0 { profile.credentials = ClientProfile.Credentials(login: "u", password: "p") }
        let jobs = (0..<4).map { DeliveryJob(sender: "", recipients: (0...$0).map { "r\($0)@x.test" }, bodyBytes: 4) }
        var harness = ClientHarness(
          profile, jobs: jobs, bodies: Array(repeating: Array("hi\r\n".utf8), count: 4), script: script, splitting: splitting)
        harness.run()
        for (job, outcomes) in zip(jobs, harness.outcomes) { #expect(job.recipients == outcomes.map(\.recipient), "seed \(seed)") }
        if let seen {
          #expect(harness.sent == seen.sent, "seed \(seed) \(splitting)")
          #expect(harness.outcomes == seen.outcomes, "seed \(seed) \(splitting)")
          #expect(harness.closure == seen.closure, "seed \(seed) \(splitting)")
        } else {
          seen = harness
        }
      }
    }
  }
}
