import Limits
import Octets
import Testing

@testable import SMTPWire

/// Our client against our server, over a wire that cuts everything into random pieces.
@Suite struct LoopbackTests {
  private struct Setting {
    var server: ServerProfile
    var client: ClientProfile
  }

  private static func setting(_ seed: Int) -> Setting {
    var server = [ServerProfile.test(.incoming, sizeLimit: 200_000), .test(.submission(implicitTLS: false), sizeLimit: 200_000)][seed % 2]
    var client = ClientProfile(heloName: "me.test")
    if seed % 2 == 1 {
      client.tls = .required
      client.credentials = ClientProfile.Credentials(login: "anna@pec.alfa.test", password: "anna-secret")
    }
    server.offersChunking = seed % 4 < 2
    server.offersPipelining = seed % 8 < 4
    client.usesChunking = seed % 3 != 0
    client.usesPipelining = seed % 5 != 0
    return Setting(server: server, client: client)
  }

  @Test(arguments: 0..<60)
  func messagesArriveAsTheyWereSent(seed: Int) {
    var random = Seeded(UInt64(seed))
    let setting = LoopbackTests.setting(seed)
    var server = ServerHarness(setting.server)
    var client = SMTPClient(profile: setting.client)
    let bodies = (0..<4).map { _ in BodyTests.goodBody(&random) }
    let jobs = bodies.enumerated().map { index, body in
      DeliveryJob(
        sender: index == 2 ? "other@pec.alfa.test" : "anna@pec.alfa.test",
        recipients: index == 3 ? ["nobody@x.test"] : ["a@x.test", "nobody@x.test", "later@x.test", "\"b c\"@x.test"], bodyBytes: body.count)
    }
    var waiting = Array(jobs.enumerated())
    var body: [UInt8] = []
    var outcomes: [[String]] = []
    var delivered = 0
    var isIdle = false
    client.start(waiting.removeFirst().element)
    while !isIdle {
      // What the server said, in pieces.
      for piece in Splitting.random(random.next()).pieces(server.output) { client.receive(piece.span) }
      server.output = []
      var toServer: [UInt8] = []
      var startsTLS = false
      loop: while true {
        switch client.next() {
        case .needInput: break loop
        case .send(let bytes): toServer += bytes
        case .startTLS: startsTLS = true
        case .sendBody(let framing):
          body = bodies[outcomes.count]
          var atLineStart = true
          toServer += framing == .chunk ? body : ClientHarness.stuffed(body, atLineStart: &atLineStart)
          client.bodySent(atLineStart: atLineStart)
        case .finished(let done):
          outcomes.append(done.map(Dialogue.symbol))
          delivered += done.contains { Dialogue.symbol($0).hasPrefix("+") } ? 1 : 0
          if !waiting.isEmpty { client.start(waiting.removeFirst().element) }
        case .idle:
          isIdle = true
          break loop
        case .closed(let why):
          Issue.record("closed: \(why), seed \(seed)")
          return
        }
      }
      if startsTLS { client.tlsEstablished() }
      server.feed(toServer, .random(random.next()))
      if server.output.isEmpty, toServer.isEmpty, !startsTLS, !isIdle {
        Issue.record("both wait, seed \(seed)")
        return
      }
    }
    let four = ["+250", "-550", "~451", "+250"]
    #expect(outcomes == [four, four, ["-553", "-553", "-553", "-553"], ["-550"]], "seed \(seed)")
    #expect(server.messages.map(\.body) == Array(bodies.prefix(2)), "seed \(seed)")
    #expect(server.messages.allSatisfy { $0.recipients == ["a@x.test", "\"b c\"@x.test"] })
    #expect(delivered == 2)
    client.quit()
    guard case .send(let bytes) = client.next() else {
      Issue.record("no QUIT")
      return
    }
    server.feed(bytes)
    #expect(server.isClosed)
    client.receive(server.output.span)
    #expect(client.next() == .closed(.quit))
  }
}
