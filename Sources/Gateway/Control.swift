import EventLoop
import Foundation
import Journey
import Octets
import Synchronization

/// A request on the control socket: one JSON object on a line.
public struct ControlRequest: Codable, Sendable {
  /// `queue`, `reload`, `drain`, `restart`, `index-fetch`, `status`, `seal`, `request-answer`, `request-refuse`, `hold`,
  /// `hold-lift`, `choose`, `extract-made` or `hold-spool`.
  public var verb: String
  /// Id of a queue entry, request or hold, where the verb wants one; `allow-losses` for `index-fetch`.
  public var entry: String?
  /// The reason of a hold or of a refusal; what an extract was made of.
  public var text: String?
  /// First and last day of a hold, `2026-11-21`.
  public var from: String?
  public var to: String?
  /// What `queue` is to do.
  public var queue: QueueRequest?
  /// What is to be set for a holder, for `choose`.
  public var choice: ChoiceChange?

  /// A request for a verb, and what it is about.
  public init(
    verb: String, entry: String? = nil, text: String? = nil, from: String? = nil, to: String? = nil, choice: ChoiceChange? = nil
  ) {
    self.choice = choice
    self.verb = verb
    self.entry = entry
    self.text = text
    self.from = from
    self.to = to
  }
}

/// The answer on the control socket: one JSON object on a line.
public struct ControlAnswer: Codable, Sendable {
  public var ok: Bool
  /// For people.
  public var message: String
  /// Queue entries that were met.
  public var entries: [String]?
  /// What became of a word about the queue.
  public var queue: QueueAnswer?
  /// Running numbers, for `status`.
  public var numbers: [String: Int]?
  /// How the gateway is doing, for `status`.
  public var status: StatusReport?

  init(
    ok: Bool, message: String, entries: [String]? = nil, numbers: [String: Int]? = nil, status: StatusReport? = nil,
    queue: QueueAnswer? = nil
  ) {
    self.status = status
    self.queue = queue
    self.ok = ok
    self.message = message
    self.entries = entries
    self.numbers = numbers
  }
}

/// Gathers what the lanes say to an operator's word, and passes it on when the last has spoken.
final class ControlReply: Sendable {
  private let state: Mutex<(missing: Int, entries: [String])>
  private let then: @Sendable ([String]) -> Void

  init(lanes: Int, then: @escaping @Sendable ([String]) -> Void) {
    state = Mutex((lanes, []))
    self.then = then
  }

  func add(_ entries: [String]) {
    let all: [String]? = state.withLock { state in
      state.missing -= 1
      state.entries += entries
      return state.missing == 0 ? state.entries : nil
    }
    if let all { then(all) }
  }
}

/// The control socket: a Unix socket in the data directory, for the owner alone. One request, one answer, one connection; after
/// `hold-spool` the connection stays, and its end is the hold's end.
final class ControlSocket {
  private let loop: Loop
  private var listener: Listener?
  private var sessions: [ObjectIdentifier: Session] = [:]
  private let perform: (ControlRequest, LocalUser?, @escaping @Sendable (ControlAnswer) -> Void) -> Void
  private let holdSpool: () -> (@Sendable () -> Void)?
  private var answers: Mailbox<Reply>!

  private struct Reply: Sendable {
    var session: ObjectIdentifier
    var answer: ControlAnswer
  }

  private final class Session {
    let stream: EventLoop.Stream
    let user: LocalUser?
    var line: [UInt8] = []
    /// What is taken back when the connection ends, however it ends.
    var hold: (@Sendable () -> Void)?
    init(_ stream: EventLoop.Stream) { (self.stream, user) = (stream, stream.peerUser) }
  }

  /// - Parameters:
  ///   - holdSpool: holds the spool's files for who copies them, and gives what takes the hold back; nil when there is no gateway yet.
  ///   - perform: does what is asked, by whom, and answers, on any thread.
  init(
    loop: Loop, path: String, holdSpool: @escaping () -> (@Sendable () -> Void)?,
    perform: @escaping (ControlRequest, LocalUser?, @escaping @Sendable (ControlAnswer) -> Void) -> Void
  ) throws {
    self.loop = loop
    self.holdSpool = holdSpool
    self.perform = perform
    answers = loop.mailbox { [unowned self] reply in self.send(reply.answer, to: reply.session) }
    listener = try loop.listenLocal(path: path, mode: 0o600) { [unowned self] stream in self.accept(stream) }
  }

  private func accept(_ stream: EventLoop.Stream) {
    let session = Session(stream)
    let key = ObjectIdentifier(session)
    sessions[key] = session
    stream.onRead = { [unowned self] octets in self.arrived(octets, key) }
    stream.onEnd = { [unowned self] in self.end(key) }
    stream.onFailure = { [unowned self] _ in self.end(key) }
    stream.startReading()
  }

  private func arrived(_ octets: Span<UInt8>, _ key: ObjectIdentifier) {
    guard let session = sessions[key], session.hold == nil else { return }
    session.line.append(copying: octets)
    guard let end = session.line.firstIndex(of: 10) else {
      if session.line.count > 65_536 { end(key) }
      return
    }
    session.stream.stopReading()
    guard let request = try? JSONDecoder().decode(ControlRequest.self, from: Data(session.line[..<end])) else {
      return send(ControlAnswer(ok: false, message: "the request is not a JSON object with a verb"), to: key)
    }
    if request.verb == "hold-spool" { return hold(session, key) }
    let answers = answers!
    perform(request, session.user) { answer in answers.send(Reply(session: key, answer: answer)) }
  }

  /// Answers, and reads on: that nobody is there any more is heard by it.
  private func hold(_ session: Session, _ key: ObjectIdentifier) {
    guard let release = holdSpool() else { return send(ControlAnswer(ok: false, message: "still starting"), to: key) }
    session.hold = release
    let data = (try? JSONEncoder().encode(ControlAnswer(ok: true, message: "held"))) ?? Data()
    session.stream.write([Chunk(Array(data) + [10])], completion: nil)
    session.stream.startReading()
  }

  private func send(_ answer: ControlAnswer, to key: ObjectIdentifier) {
    guard let session = sessions[key] else { return }
    let data = (try? JSONEncoder().encode(answer)) ?? Data("{\"ok\":false}".utf8)
    session.stream.write([Chunk(Array(data) + [10])], completion: nil)
    session.stream.closeAfterWrites()
    sessions[key] = nil
  }

  private func end(_ key: ObjectIdentifier) {
    guard let session = sessions.removeValue(forKey: key) else { return }
    session.hold?()
    session.stream.close()
  }
}
