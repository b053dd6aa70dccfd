import DovecotWire
import EventLoop
import Octets
import SMTPWire

/// A lane's connection to Dovecot's authentication socket, made when the first client logs in and kept. Confined to its lane.
///
/// Attempts share it, and none waits for another: Dovecot delays its refusals. Whatever keeps Dovecot from a verdict is 454, and nobody
/// is let in or refused for good by it.
final class DovecotLogin {
  private struct Waiting {
    var deadline: Deadline
    var then: (AuthenticationAnswer) -> Void
  }

  private unowned let lane: Lane
  private let place: NextHop.Place
  private var client: AuthClient?
  private var stream: EventLoop.Stream?
  private var attempt: ConnectAttempt?
  private var waiting: [UInt32: Waiting] = [:]

  init(lane: Lane, at place: NextHop.Place) {
    self.lane = lane
    self.place = place
  }

  /// Asks whether name and password hold. `then` is called once, not within this call unless nothing can be asked.
  func check(_ attempt: AuthAttempt, then: @escaping (AuthenticationAnswer) -> Void) {
    let limits = lane.shared.limits.authentication
    guard waiting.count < limits.maximumUnderWay else {
      lane.shared.logger.error("AUTH answered 454: \(waiting.count) attempts wait for Dovecot already")
      return then(.temporaryFailure)
    }
    if client == nil { connect() }
    guard let id = client?.begin(attempt) else { return then(.temporaryFailure) }
    let deadline = lane.loop.deadline(afterSeconds: limits.answerSeconds) { [unowned self] in
      client?.forget(id)
      answer(id, .unavailable("no answer within \(limits.answerSeconds) s"))
    }
    waiting[id] = Waiting(deadline: deadline, then: then)
    flush()
  }

  /// Ends the connection; who waits is put off.
  func close() { broken("the gateway is stopping") }

  // MARK: The connection

  private func connect() {
    // The number only has to differ from those of Dovecot's other clients.
    client = AuthClient(processID: UInt32.random(in: 1...UInt32(Int32.max)))
    let connected: (Result<EventLoop.Stream, LoopError>) -> Void = { [unowned self] result in
      attempt = nil
      switch result {
      case .success(let stream): begin(stream)
      case .failure(let error): broken("\(error)")
      }
    }
    attempt = lane.connect(to: place, completion: connected)
  }

  private func begin(_ stream: EventLoop.Stream) {
    self.stream = stream
    stream.onRead = { [unowned self] octets in
      for event in client?.receive(octets) ?? [] {
        switch event {
        case .verdict(let id, let verdict): answer(id, verdict)
        case .broken(let reason): return broken(reason)
        }
      }
      flush()
    }
    stream.onEnd = { [unowned self] in broken("Dovecot closed the connection") }
    stream.onFailure = { [unowned self] in broken("\($0)") }
    stream.startReading()
    flush()
  }

  private func flush() {
    guard let stream, let octets = client?.takeOutput(), !octets.isEmpty else { return }
    stream.write([Chunk(octets)], completion: nil)
  }

  private func broken(_ reason: String) {
    attempt?.cancel()
    attempt = nil
    client = nil
    if let stream {
      stream.onRead = { _ in }
      stream.onEnd = {}
      stream.onFailure = { _ in }
      stream.close()
    }
    stream = nil
    // Whoever is answered may ask again at once, over a connection whose numbers begin anew.
    let left = waiting
    waiting = [:]
    for asked in left.values { tell(asked, .unavailable(reason)) }
  }

  private func answer(_ id: UInt32, _ verdict: AuthVerdict) {
    if let asked = waiting.removeValue(forKey: id) { tell(asked, verdict) }
  }

  private func tell(_ asked: Waiting, _ verdict: AuthVerdict) {
    asked.deadline.cancel()
    switch verdict {
    case .accepted(let user): asked.then(.accepted(user: user))
    case .rejected: asked.then(.rejected)
    case .unavailable(let reason):
      lane.shared.logger.error("AUTH answered 454: Dovecot cannot say who may log in: \(reason)")
      asked.then(.temporaryFailure)
    }
  }
}
