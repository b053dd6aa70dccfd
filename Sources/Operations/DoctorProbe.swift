import Configuration
import DovecotWire
import EventLoop
import Foundation
import Gateway
import Octets
import SMTPWire
import TLSPipe
import Threading

/// A server that is to be talked to.
struct ProbeTarget: Sendable {
  /// What it is expected to speak.
  enum Voice: Sendable {
    case smtp, lmtp, dovecot
    /// HTTP, asked for this path.
    case http(path: String)
  }

  var place: LocalTarget
  var voice: Voice
  var security = ProbeDialogue.Security.never
  /// Who we say we are.
  var ownName = "localhost"
  /// The name asked for by SNI, and looked for in the certificate where it is judged.
  var serverName: String?
  /// Whether the certificate must be vouched for, and by whose authorities; nil: the system's.
  var verifies = false
  var caFile: String?
  /// What goes before everything else: the line of a proxy.
  var opening = ""
}

/// Talks to many servers at the same time, and is through with all of them when its time is over.
enum Probes {
  /// Seconds for one server, its name and all of its addresses included.
  static let seconds = 5

  /// Asks all of them, and waits; the answers come in the same order.
  static func ask(_ targets: [ProbeTarget]) -> [ProbeHeard] {
    guard !targets.isEmpty else { return [] }
    let answers = Handoff<[ProbeHeard]>()
    // A thread of its own: a loop waits at its end for names that are still looked up, and nobody else is to.
    WorkerThread(name: "doctor-talks") { run(targets) { answers.send($0) } }.detach()
    return answers.take(atMost: 1)?.first ?? []
  }

  private static func run(_ targets: [ProbeTarget], tell: @escaping ([ProbeHeard]) -> Void) {
    guard let loop = try? Loop(readSlabBytes: 64 * 1024) else {
      return tell(targets.map { _ in ProbeHeard(stage: .connecting, fault: "no event loop can be made") })
    }
    var left = targets.count
    var probes: [Probe] = []
    probes = targets.map { target in
      Probe(loop, target) {
        left -= 1
        guard left == 0 else { return }
        tell(probes.map(\.heard))
        // What was said last goes out first.
        loop.soon { loop.stop() }
      }
    }
    probes.forEach { $0.begin() }
    loop.run()
  }
}

/// One talk. Confined to its loop's thread.
private final class Probe {
  private let loop: Loop
  private let target: ProbeTarget
  private let ended: () -> Void
  private var dialogue: ProbeDialogue
  private var replies = ReplyParser()
  private var dovecot = AuthClient(processID: UInt32(ProcessInfo.processInfo.processIdentifier))
  private var line: [UInt8] = []
  private var connection: Connection?
  private var pipe: TLSPipe?
  private var timer: LoopTimer?
  private var other: ProbeHeard?
  private var isDone = false

  /// What was heard; whole once `ended` was called.
  var heard: ProbeHeard { other ?? dialogue.heard }

  init(_ loop: Loop, _ target: ProbeTarget, ended: @escaping () -> Void) {
    (self.loop, self.target, self.ended) = (loop, target, ended)
    let verb: String
    switch target.voice {
    case .lmtp: verb = "LHLO"
    case .smtp, .dovecot, .http: verb = "EHLO"
    }
    dialogue = ProbeDialogue(hello: "\(verb) \(target.ownName)", security: target.security)
  }

  func begin() {
    timer = loop.timer(after: UInt64(Probes.seconds) * 1000) { [unowned self] in
      perform(.broken("no answer within \(Probes.seconds) seconds"))
    }
    let connected: (Result<EventLoop.Stream, LoopError>) -> Void = { [self] result in
      switch result {
      case .success(let stream): talk(Connection(stream))
      case .failure(let error): perform(.broken(error.reason))
      }
    }
    switch target.place {
    // A little less than for all of it, so that what is said is that there was no connection.
    case .tcp(let place): loop.connect(host: place.host, port: place.port, timeout: UInt64(Probes.seconds) * 900, completion: connected)
    case .unix(let path): loop.connectLocal(path: path, completion: connected)
    }
  }

  private func talk(_ connection: Connection) {
    guard !isDone else { return connection.close() }
    self.connection = connection
    connection.onOctets = { [unowned self] in arrived($0) }
    connection.onEnd = { [unowned self] in perform(.broken($0)) }
    connection.onSecure = { [unowned self] in perform(.secured(version: pipe?.protocolVersion, certificate: pipe?.peerCertificate)) }
    connection.begin()
    send(target.opening)
    switch target.voice {
    case .smtp, .lmtp: break
    case .dovecot: connection.send([Chunk(dovecot.takeOutput())])
    case .http(let path): send("GET \(path) HTTP/1.0\r\n\r\n")
    }
    perform(.connected)
  }

  private func arrived(_ octets: Span<UInt8>) {
    switch target.voice {
    case .smtp, .lmtp:
      var at = 0
      while !isDone {
        switch replies.read(octets, at: &at) {
        case .more: return
        case .reply(let reply): perform(.reply(reply))
        case .fault(let words): perform(.broken("it does not speak SMTP: \(words)"))
        }
      }
    case .dovecot:
      for case .broken(let words) in dovecot.receive(octets) { return perform(.broken(words)) }
      if dovecot.isReady { settle(ProbeHeard(greeting: Reply(220, nil, "PLAIN"))) }
    case .http:
      line.append(copying: octets)
      guard line.contains(10) || line.count > 4096 else { return }
      let words = String(decoding: line.prefix { $0 != 10 && $0 != 13 }, as: UTF8.self)
      if words.hasPrefix("HTTP/1.") {
        settle(ProbeHeard(greeting: Reply(220, nil, words)))
      } else {
        perform(.broken("it does not speak HTTP"))
      }
    }
  }

  private func perform(_ event: ProbeDialogue.Event) {
    guard !isDone else { return }
    switch dialogue.take(event) {
    case .wait: return
    case .send(let words): send(words)
    case .secure: secure()
    case .finished: finish()
    }
  }

  private func secure() {
    guard let connection else { return }
    do {
      let context = try TLSContext.client(caFile: target.caFile, verify: target.verifies)
      let pipe = try TLSPipe(context: context, serverName: target.serverName)
      self.pipe = pipe
      connection.secure(with: pipe, asClient: true)
    } catch { perform(.broken("TLS: \(error)")) }
  }

  private func send(_ words: String) {
    if !words.isEmpty { connection?.send([Chunk(Array(words.utf8))]) }
  }

  /// The answer of a server that speaks something else than SMTP.
  private func settle(_ heard: ProbeHeard) {
    guard !isDone else { return }
    other = heard
    finish()
  }

  private func finish() {
    isDone = true
    timer?.cancel()
    switch target.voice {
    case .smtp, .lmtp:
      // A server that still talks to us is told that this was all.
      if heard.greeting != nil, heard.stage != .security { send("QUIT\r\n") }
    case .dovecot, .http: break
    }
    connection?.closeAfterWrites()
    ended()
  }
}
