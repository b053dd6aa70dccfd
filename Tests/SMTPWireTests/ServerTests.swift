import Limits
import Octets
import Testing

@testable import SMTPWire

/// Dialogues that go well, word for word.
@Suite struct ServerTests {
  /// Runs segments (each but the last ending in STARTTLS) in every splitting; returns the whole run and expects the others to equal it.
  @discardableResult
  private func run(_ profile: ServerProfile, _ segments: String..., prepare: (inout ServerHarness) -> Void = { _ in }) -> ServerHarness {
    var whole: ServerHarness?
    for splitting in Splitting.all {
      var harness = ServerHarness(profile)
      prepare(&harness)
      for segment in segments { harness.feed(segment, splitting) }
      if let whole {
        #expect(harness.output == whole.output, "\(splitting)")
        #expect(harness.events == whole.events, "\(splitting)")
        #expect(harness.messages == whole.messages, "\(splitting)")
      } else {
        whole = harness
      }
    }
    return whole ?? ServerHarness(profile)
  }

  @Test func submissionByStartTLS() {
    let seen = run(
      .submission, "EHLO me.test\r\nSTARTTLS\r\nMAIL FROM:<injected@x.test>\r\n",
      "EHLO me.test\r\nAUTH PLAIN \(annaPlain)\r\nMAIL FROM:<anna@pec.alfa.test> SIZE=20\r\nRCPT TO:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n"
        + "DATA\r\nhello\r\n.\r\nQUIT\r\n")
    #expect(
      seen.transcript
        == """
        220 mx.test ESMTP ready
        250-mx.test
        250-PIPELINING
        250-SIZE 5000
        250-STARTTLS
        250-ENHANCEDSTATUSCODES
        250 CHUNKING
        220 2.0.0 Ready to start TLS
        250-mx.test
        250-PIPELINING
        250-SIZE 5000
        250-AUTH PLAIN LOGIN
        250-ENHANCEDSTATUSCODES
        250 CHUNKING
        235 2.7.0 Authentication succeeded
        250 2.0.0 OK
        250 2.1.5 OK
        250 2.1.5 OK
        354 End data with <CR><LF>.<CR><LF>
        250 2.0.0 Taken
        221 2.0.0 mx.test closing connection

        """.wire)
    #expect(
      seen.messages == [
        .init(
          sender: "anna@pec.alfa.test", recipients: ["a@b.test", "c@d.test"], body: Array("hello\r\n".utf8), user: "anna@pec.alfa.test")
      ])
    #expect(
      seen.events == [
        .startTLS, .authenticate(login: "anna@pec.alfa.test", password: "anna-secret", mechanism: .plain),
        .mail(
          MailCommand.expected(
            "anna@pec.alfa.test", user: "anna@pec.alfa.test", size: 20, parameters: [("SIZE", "20")])),
        .recipient(.expected("a@b.test")), .recipient(.expected("c@d.test")), .bodyBegins(expectedBytes: 20), .bodyEnds, .hangUp,
      ])
    #expect(seen.machine.protocolName == "ESMTPSA")
    #expect(seen.machine.user == "anna@pec.alfa.test")
    #expect(seen.machine.waiting == .nothing)
  }

  @Test func implicitTLSAndAuthLogin() {
    let seen = run(
      .implicit,
      "EHLO me.test\r\nAUTH LOGIN\r\n\(base64("anna@pec.alfa.test"))\r\n\(base64("anna-secret"))\r\n"
        + "MAIL FROM:<anna@pec.alfa.test> AUTH=anna+40pec.alfa.test\r\nRCPT TO:<a@b.test>\r\nDATA\r\n.\r\n")
    #expect(seen.codes == ["220", "250", "334", "334", "235 2.7.0", "250 2.0.0", "250 2.1.5", "354", "250 2.0.0"])
    #expect(seen.transcript.contains("334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n"))
    #expect(!seen.transcript.contains("STARTTLS"))
    #expect(seen.messages.map(\.body) == [[]])
    #expect(seen.machine.isSecure)
  }

  @Test(arguments: [
    "AUTH PLAIN\r\n\(annaPlain)\r\n", "auth plain \(annaPlain)\r\n",
    "AUTH PLAIN \(plain("anna@pec.alfa.test", "anna-secret", identity: "anna@pec.alfa.test"))\r\n",
    "AUTH LOGIN \(base64("anna@pec.alfa.test"))\r\n\(base64("anna-secret"))\r\n",
  ])
  func authenticationIn(_ words: String) {
    let seen = run(.implicit, "EHLO me.test\r\n" + words)
    #expect(seen.codes.last == "235 2.7.0")
    #expect(seen.machine.user == "anna@pec.alfa.test")
  }

  @Test func theNameBeforeTLSIsForgotten() {
    let seen = run(.submission, "EHLO before.test\r\nSTARTTLS\r\n", "MAIL FROM:<anna@pec.alfa.test>\r\n")
    #expect(seen.codes.last == "503 5.5.1")
    #expect(seen.machine.heloName == nil)
  }

  @Test func startTLSInMidTransactionDropsIt() {
    var profile = ServerProfile.incoming
    profile.offersStartTLS = true
    let seen = run(profile, "EHLO me.test\r\nMAIL FROM:<a@b.test>\r\nSTARTTLS\r\n", "EHLO me.test\r\nRCPT TO:<a@b.test>\r\n")
    #expect(seen.codes == ["220", "250", "250 2.0.0", "220 2.0.0", "250", "503 5.5.1"])
    #expect(seen.events.suffix(2) == [.transactionReset, .startTLS])
    #expect(seen.machine.protocolName == "ESMTPS")
  }

  /// Port 25 as the world sees it: STARTTLS at choice, no AUTH, no XCLIENT, no DSN; who says what of itself is kept for the trace.
  @Test func incomingAnnouncesWhatItTakes() {
    var profile = ServerProfile.incoming
    profile.offersStartTLS = true
    let seen = run(
      profile, "EHLO [192.0.2.1]\r\nAUTH PLAIN \(annaPlain)\r\nXCLIENT NAME=x\r\nSTARTTLS\r\n",
      "EHLO mx.beta.test\r\nMAIL FROM:<> SIZE=10 BODY=8BITMIME\r\nRCPT TO:<a@b.test> NOTIFY=SUCCESS\r\nRCPT TO:<a@b.test>\r\n"
        + "DATA\r\n\u{e8}\r\n.\r\n")
    #expect(
      seen.transcript
        == """
        220 mx.test ESMTP ready
        250-mx.test
        250-PIPELINING
        250-SIZE 5000
        250-STARTTLS
        250-ENHANCEDSTATUSCODES
        250-8BITMIME
        250 CHUNKING
        502 5.5.1 AUTH is not available
        502 5.5.1 Command not implemented
        220 2.0.0 Ready to start TLS
        250-mx.test
        250-PIPELINING
        250-SIZE 5000
        250-ENHANCEDSTATUSCODES
        250-8BITMIME
        250 CHUNKING
        250 2.0.0 OK
        555 5.5.4 RCPT parameter NOTIFY not recognized or not implemented
        250 2.1.5 OK
        354 End data with <CR><LF>.<CR><LF>
        250 2.0.0 Taken

        """.wire)
    #expect(seen.messages == [.init(sender: "", recipients: ["a@b.test"], body: Array("\u{e8}\r\n".utf8), user: nil)])
    #expect(seen.machine.heloName == "mx.beta.test")
    #expect(seen.machine.isExtended)
    #expect(seen.machine.protocolName == "ESMTPS")
    #expect(run(.incoming, "HELO old.test\r\n").machine.heloName == "old.test")
    #expect(!run(.incoming, "HELO old.test\r\n").machine.isExtended)
  }

  @Test func incomingWithoutExtensions() {
    let seen = run(
      .incoming,
      "helo me.test  \r\nmail from:<>\r\nrcpt to:<Postmaster>\r\nRcpt To: <@relay.test,@other.test:\"odd name\"@[IPv6:2001:db8::1]>\r\n"
        + "data\t \r\nhi\r\n.\r\nquit \r\n")
    #expect(
      seen.transcript
        == """
        220 mx.test ESMTP ready
        250 mx.test
        250 2.0.0 OK
        250 2.1.5 OK
        250 2.1.5 OK
        354 End data with <CR><LF>.<CR><LF>
        250 2.0.0 Taken
        221 2.0.0 mx.test closing connection

        """.wire)
    #expect(seen.messages.map(\.recipients) == [["Postmaster", "\"odd name\"@[IPv6:2001:db8::1]"]])
    #expect(seen.machine.protocolName == "SMTP")
    #expect(seen.events.contains(.recipient(.expected("Postmaster", isBarePostmaster: true))))
  }

  @Test func eightBitWhereItIsOffered() {
    let seen = run(.incoming, "EHLO me.test\r\nMAIL FROM:<a@b.test> body=8bitmime\r\nRSET\r\nMAIL FROM:<a@b.test> BODY=7BIT\r\n")
    #expect(seen.codes == ["220", "250", "250 2.0.0", "250 2.0.0", "250 2.0.0"])
    #expect(seen.transcript.contains("250-8BITMIME\r\n"))
    #expect(seen.events.contains(.mail(.expected("a@b.test", body: .eightBitMIME, parameters: [("BODY", "8bitmime")]))))
  }

  @Test func chunks() {
    let seen = run(
      .trusted,
      "EHLO me.test\r\nMAIL FROM:<anna@pec.alfa.test>\r\nRCPT TO:<a@b.test>\r\nBDAT 9\r\nhello\r\n.\rBDAT 7 last\r\n\n..\r\n.x"
        + "MAIL FROM:<anna@pec.alfa.test>\r\nRCPT TO:<a@b.test>\r\nBDAT 0 LAST\r\n"
        + "MAIL FROM:<anna@pec.alfa.test>\r\nRCPT TO:<a@b.test>\r\nBDAT 0\r\nBDAT 5000\r\n" + String(repeating: "x\r\n\r\n", count: 1000)
        + "BDAT 0 LAST\r\nNOOP\r\n")
    #expect(
      seen.codes == [
        "220", "250", "250 2.0.0", "250 2.1.5", "250 2.0.0", "250 2.0.0", "250 2.0.0", "250 2.1.5", "250 2.0.0", "250 2.0.0", "250 2.1.5",
        "250 2.0.0", "250 2.0.0", "250 2.0.0", "250 2.0.0",
      ])
    #expect(seen.transcript.contains("250 2.0.0 9 octets received\r\n"))
    #expect(
      seen.messages.map(\.body) == [
        Array("hello\r\n.\r\n..\r\n.x".utf8), [], Array(String(repeating: "x\r\n\r\n", count: 1000).utf8),
      ])
    #expect(seen.events.filter { $0 == .bodyBegins(expectedBytes: 0) }.count == 1)
  }

  @Test func forwardedClients() {
    let seen = run(
      .xclient,
      "EHLO relay.test\r\n"
        + "XCLIENT NAME=[UNAVAILABLE] ADDR=IPv6:2001:db8::7 PORT=40000 proto=esmtp HELO=+5Bpc+5D\r\n"
        + "XCLIENT LOGIN=anna+40pec.alfa.test DESTADDR=192.0.2.1 DESTPORT=587\r\n"
        + "EHLO relay.test\r\nMAIL FROM:<anna@pec.alfa.test>\r\nRCPT TO:<a@b.test>\r\nDATA\r\nhi\r\n.\r\n")
    #expect(seen.codes == ["220", "250", "220", "220", "250", "250 2.0.0", "250 2.1.5", "354", "250 2.0.0"])
    #expect(seen.transcript.contains("250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\r\n"))
    #expect(seen.messages.map(\.user) == ["anna@pec.alfa.test"])
    let client = seen.machine.forwarded
    #expect(client.name == nil)
    #expect(client.address == "2001:db8::7")
    #expect(client.port == 40_000)
    #expect(client.proto == "ESMTP")
    #expect(client.helo == "[pc]")
    #expect(client.login == "anna@pec.alfa.test")
    #expect(client.destinationAddress == "192.0.2.1")
    #expect(client.destinationPort == 587)
  }

  @Test func aTrustedPeersUserIsTheReversePathWhereSoConfigured() {
    let transaction = "RCPT TO:<a@b.test>\r\nDATA\r\n.\r\n"
    let seen = run(
      .trusted,
      "EHLO r.test\r\nMAIL FROM:<anna@pec.alfa.test>\r\n" + transaction + "MAIL FROM:<>\r\n" + transaction
        + "XCLIENT LOGIN=aldo@pec.alfa.test\r\nEHLO r.test\r\nMAIL FROM:<anna@pec.alfa.test>\r\n" + transaction)
    #expect(seen.messages.map(\.user) == ["anna@pec.alfa.test", nil, "aldo@pec.alfa.test"])
  }

  @Test func whoHasNoLoginSpeaksInNobodysName() {
    let transaction = "EHLO r.test\r\nMAIL FROM:<anna@pec.alfa.test>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n.\r\n"
    let seen = run(
      .trusted,
      "XCLIENT LOGIN=[UNAVAILABLE]\r\n" + transaction + "XCLIENT NAME=x\r\n" + transaction + "XCLIENT LOGIN=aldo@pec.alfa.test\r\n"
        + transaction)
    #expect(seen.messages.map(\.user) == [nil, nil, "aldo@pec.alfa.test"])
    #expect(!seen.machine.forwarded.saysNoLogin)
  }

  @Test func resetsAreTold() {
    let open = "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n"
    let seen = run(
      .incoming, "EHLO a.test\r\nRSET\r\n\(open)RSET\r\n\(open)EHLO a.test\r\n\(open)HELO a.test\r\n\(open)BDAT 3\r\nabcQUIT\r\n")
    #expect(seen.events.filter { $0 == .transactionReset }.count == 4)
    #expect(seen.events.suffix(2) == [.transactionReset, .hangUp])
  }

  @Test func tooManyMessages() {
    let one = "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n.\r\n"
    let profile = ServerProfile.test(.incoming) { $0.maximumMessagesPerSession = 2 }
    let seen = run(profile, "EHLO a.test\r\n" + one + one + one)
    #expect(seen.messages.count == 2)
    #expect(seen.codes.last == "421 4.7.0")
    #expect(seen.isClosed)
  }

  @Test func aGoodMessageForgivesFaults() {
    let faults = String(repeating: "FOO\r\n", count: 15)
    let one = "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n.\r\n"
    let seen = run(.incoming, "EHLO a.test\r\n" + faults + one + faults + one)
    #expect(seen.messages.count == 2)
    #expect(!seen.isClosed)
  }

  @Test func aVerdictOf4xxLeavesTheSessionInStep() {
    let one = "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nx\r\n.\r\n"
    let seen = run(.incoming, "EHLO a.test\r\n" + one + one) { $0.verdict = Reply(451, "4.3.0", "Not now") }
    #expect(seen.codes.suffix(8) == ["250 2.0.0", "250 2.1.5", "354", "451 4.3.0", "250 2.0.0", "250 2.1.5", "354", "451 4.3.0"])
    #expect(seen.machine.acceptedMessages == 0)
  }

  @Test func aBodyThatTheSessionGivesUpIsSwallowed() {
    let open = "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n"
    for splitting in Splitting.all {
      var seen = ServerHarness(.incoming)
      seen.patienceBytes = 10
      seen.feed("EHLO a.test\r\n" + open + "DATA\r\n0123456789\r\n..\r\n0123456789\r\nQUIT\r\n.\r\nNOOP\r\n", splitting)
      #expect(seen.codes.suffix(3) == ["354", "451 4.3.1", "250 2.0.0"], "\(splitting)")
      seen.feed(open + "BDAT 18\r\n0123456789\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nRSET\r\n", splitting)
      #expect(seen.codes.suffix(3) == ["451 4.3.1", "503 5.5.1", "250 2.0.0"], "\(splitting)")
      #expect(seen.messages.isEmpty)
    }
  }

  @Test func aBodyMayBeGivenUpAtAnyOctet() {
    let open = "EHLO a.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n"
    let data = Array("\r\n..\r\nx\r\n.y\r\n.\r\n".utf8)
    for offset in 0..<data.count {
      var seen = ServerHarness(.incoming)
      seen.feed(open + "DATA\r\n")
      seen.feed(Array(data[..<offset]))
      seen.machine.refuseBody(Reply(451, "4.3.1", "No room"))
      seen.feed(data[offset...] + Array("NOOP\r\n".utf8))
      #expect(seen.codes.suffix(3) == ["354", "451 4.3.1", "250 2.0.0"], "DATA at \(offset)")

      var chunk = ServerHarness(.incoming)
      chunk.feed(open + "BDAT \(data.count) LAST\r\n")
      chunk.feed(Array(data[..<offset]))
      chunk.machine.refuseBody(Reply(451, "4.3.1", "No room"))
      chunk.feed(data[offset...] + Array("NOOP\r\n".utf8))
      #expect(chunk.codes.suffix(2) == ["451 4.3.1", "250 2.0.0"], "BDAT at \(offset)")
    }
  }

  @Test func aBodyGivenUpBetweenChunksRefusesTheNext() {
    var seen = ServerHarness(.incoming)
    seen.feed("EHLO a.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 3\r\nabc")
    seen.machine.refuseBody(Reply(451, "4.3.1", "No room"))
    seen.feed("BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nRSET\r\nMAIL FROM:<a@b.test>\r\n")
    #expect(seen.codes.suffix(5) == ["250 2.0.0", "451 4.3.1", "503 5.5.1", "250 2.0.0", "250 2.0.0"])
  }

  @Test func nothingIsConsumedWhileAnAnswerIsDue() {
    var machine = SMTPServer(profile: .incoming)
    machine.greet()
    let input = Array("EHLO a.test\r\nMAIL FROM:<a@b.test>\r\nNOOP\r\n".utf8)
    let (consumed, event) = machine.step(input.span)
    #expect(event == .mail(.expected("a@b.test")))
    #expect(machine.waiting == .answer)
    let rest = Array(input[consumed...])
    let again = machine.step(rest.span)
    #expect(again.consumed == 0)
    #expect(again.event == .awaiting)
    _ = machine.takeOutput()
    machine.answer(.ok)
    #expect(machine.step(rest.span).consumed == rest.count)
    #expect(String(decoding: machine.takeOutput(), as: UTF8.self) == "250 2.0.0 OK\r\n250 2.0.0 OK\r\n")
    #expect(!machine.hasOutput)
  }

  @Test func timeoutsAndShutdown() {
    var idle = ServerHarness(.incoming)
    idle.feed("EHLO a.test\r\n")
    #expect(idle.machine.waiting == .command)
    idle.machine.timeout()
    idle.feed("NOOP\r\n")
    #expect(idle.codes.suffix(1) == ["421 4.4.2"])
    #expect(idle.isClosed)

    var waiting = ServerHarness(.incoming, greets: false)
    let input = Array("EHLO a.test\r\nMAIL FROM:<a@b.test>\r\n".utf8)
    #expect(waiting.machine.step(input.span).event == .mail(.expected("a@b.test")))
    waiting.machine.shutdown()
    #expect(waiting.machine.waiting == .answer)
    waiting.machine.answer(.ok)
    waiting.feed("")
    waiting.feed("NOOP\r\n")
    #expect(waiting.codes.suffix(2) == ["250 2.0.0", "421 4.3.2"])
    #expect(waiting.isClosed)
    // An answer that was under way when it ended does no harm.
    waiting.machine.answer(.ok)
    waiting.machine.answerAuthentication(.rejected)
    #expect(waiting.machine.takeOutput().isEmpty)

    var away = ServerHarness(.incoming, greets: false)
    away.machine.end(Reply(554, "5.7.1", "No"))
    away.feed("EHLO a.test\r\n")
    #expect(away.codes == ["554 5.7.1"])
    #expect(away.isClosed)

    var body = ServerHarness(.incoming)
    body.feed("EHLO a.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nhalf")
    #expect(body.machine.waiting == .body)
    body.machine.timeout()
    body.feed(" a line\r\n.\r\n")
    #expect(body.codes.suffix(2) == ["354", "421 4.4.2"])
    #expect(body.messages.isEmpty)
  }

  @Test func repliesCannotBeBrokenOutOf() {
    let reply = Reply(code: 550, enhanced: "5.1.1", lines: ["no\r\n250 yes", "caffè", String(repeating: "x", count: 600)])
    let lines = String(decoding: reply.bytes, as: UTF8.self).split(separator: "\r\n", omittingEmptySubsequences: false)
    #expect(lines.count == 4)
    #expect(lines[0] == "550-5.1.1 no??250 yes")
    #expect(lines[1] == "550-5.1.1 caff??")
    #expect(lines[2].utf8.count == 510)
    #expect(reply.summary.hasPrefix("550 5.1.1 no"))
  }
}

extension String {
  /// Lines as the wire has them.
  var wire: String { split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r\n") }
}
