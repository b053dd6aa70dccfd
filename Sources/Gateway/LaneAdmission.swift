import EventLoop
import Logging
import Octets
import SMTPWire

/// From a socket that was accepted to a session: who it is, and whether he may come in.
extension Lane {
  func accept(_ stream: EventLoop.Stream, _ plan: ListenerPlan) {
    let address = stream.peerAddress
    if resting { return refuse(stream, plan, "421 4.3.2", "is going down, try again later", MailClient(address: address)) }
    guard let isProxy = plan.isProxy, isProxy(address) else { return admit(stream, plan, SessionPeer(address: address), rest: []) }
    // While a header is awaited only the bound on all connections holds: a proxy speaks for many.
    if shared.counters.openConnections.load(ordering: .relaxed) >= shared.limits.connection.maximumConnections {
      shared.measures.bounds.add(.connections)
      return refuse(stream, plan, "421 4.7.0", "too many connections, try again later", MailClient(address: address))
    }
    let token = newToken()
    let limits = shared.limits.connection
    let greeting = ProxyGreeting(stream, maximumBytes: limits.proxyHeaderBytes, seconds: limits.handshakeTimeoutSeconds) {
      [unowned self] end in
      self.greetings[token] = nil
      self.shared.counters.openConnections.subtract(1, ordering: .relaxed)
      self.introduced(stream, plan, by: address, end)
    }
    shared.counters.openConnections.add(1, ordering: .relaxed)
    greetings[token] = greeting
    greeting.begin()
  }

  /// A listed proxy has spoken, or has not.
  private func introduced(_ stream: EventLoop.Stream, _ plan: ListenerPlan, by proxy: String, _ end: ProxyGreeting.End) {
    switch end {
    case .header(.proxyItself, let rest): admit(stream, plan, SessionPeer(address: proxy, proxy: proxy), rest: rest)
    case .header(.client(let address, _), let rest): admit(stream, plan, SessionPeer(address: address, proxy: proxy), rest: rest)
    case .none(let words?):
      shared.logger.warning("refused: a listed proxy without a valid PROXY header: \(words)", metadata: listening(plan, proxy))
    case .none(nil): shared.logger.debug("a listed proxy connected and left", metadata: listening(plan, proxy))
    }
  }

  private func listening(_ plan: ListenerPlan, _ peer: String) -> Logger.Metadata {
    ["peer": "\(peer)", "listener": "\(plan.address):\(plan.port)"]
  }

  /// - Parameter rest: what came behind a proxy's header already.
  private func admit(_ stream: EventLoop.Stream, _ plan: ListenerPlan, _ peer: SessionPeer, rest: [UInt8]) {
    let client = MailClient(address: peer.address)
    if isDraining { return stream.close() }
    if let mayConnect = plan.mayConnect, !mayConnect(peer.address) {
      return refuse(stream, plan, "554 5.7.1", "you are not a listed peer", client)
    }
    if plan.closesWithoutScanner, let scanner = shared.scanner, !scanner.status.isUp {
      return refuse(stream, plan, "421 4.7.1", "the virus scanner is not available, try again later", client)
    }
    let isOurs = peer.isProxyItself || plan.mayForward(peer.address)
    if !isOurs, !shared.rates.allowsConnection(of: peer.address, at: loop.now) {
      return refuse(stream, plan, "421 4.7.0", "too many connections from your address within a minute, try again later", client)
    }
    let open = shared.counters.openConnections.load(ordering: .relaxed)
    if let reason = shared.admission.enter(peer.isProxyItself ? nil : peer.address, open: open) {
      return refuse(stream, plan, "421 4.7.0", "\(reason), try again later", client)
    }
    shared.counters.connections.add(1, ordering: .relaxed)
    shared.measures.connected(plan.profile)
    shared.counters.openConnections.add(1, ordering: .relaxed)
    let token = newToken()
    let session = SMTPSession(lane: self, id: token, stream: stream, listener: plan, peer: peer)
    sessions[token] = session
    session.begin(with: rest)
  }

  /// Says why and closes. Under implicit TLS the words cannot be read, and the close alone must do.
  private func refuse(_ stream: EventLoop.Stream, _ plan: ListenerPlan, _ code: String, _ words: String, _ client: MailClient) {
    shared.measures.refusedConnection(code)
    let lines = MailLines.rejection(stage: "CONNECT", client: client, reply: "\(code) \(words)", sender: nil, recipient: nil)
    shared.logger.notice(
      "refused: \(words)", metadata: listening(plan, client.peer).merging([MailLines.key: lines.value]) { one, _ in one })
    stream.write([Chunk("\(code) \(plan.profile.hostname) \(words)\r\n")], completion: nil)
    stream.closeAfterWrites()
  }

  func sessionEnded(_ id: UInt64, _ peer: SessionPeer) {
    sessions[id] = nil
    if !peer.isProxyItself { shared.admission.leave(peer.address) }
    shared.counters.openConnections.subtract(1, ordering: .relaxed)
    if resting, sessions.isEmpty { shared.laneRested() }
    checkDrained()
  }
}
