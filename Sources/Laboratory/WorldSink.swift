import EventLoop
import Foundation
import Limits
import Octets
import SMTPWire

/// The world: a plain SMTP server that takes everything and keeps it, for the laboratory. Not part of any gateway.
///
/// A message becomes a file in `new/`: a line `X-Envelope-From:`, a line `X-Envelope-To:` for each recipient, then the message
/// untouched.
final class WorldSink {
  private let loop: Loop
  private let folder: String
  private let hostname: String
  private var listener: Listener?
  private var sessions: [ObjectIdentifier: Session] = [:]
  private var written = 0

  /// Makes the folders `tmp/` and `new/` in `folder`.
  init(loop: Loop, folder: String, hostname: String) throws {
    self.loop = loop
    self.folder = folder
    self.hostname = hostname
    for part in ["tmp", "new"] {
      try FileManager.default.createDirectory(atPath: "\(folder)/\(part)", withIntermediateDirectories: true)
    }
  }

  /// Listens on loopback. Returns the port.
  func listen(port: Int) throws -> Int {
    let listener = try loop.listen(host: "127.0.0.1", port: port, reusePort: false, backlog: 256) { [unowned self] stream in
      let session = Session(stream, self)
      sessions[ObjectIdentifier(session)] = session
      session.begin()
    }
    self.listener = listener
    return listener.boundPort
  }

  private func keep(sender: String, recipients: [String], message: [UInt8]) -> Bool {
    written += 1
    let name = "\(UInt64(Date().timeIntervalSince1970 * 1_000_000)).\(written).world"
    var file = Array("X-Envelope-From: \(sender)\r\n".utf8)
    for recipient in recipients { file += Array("X-Envelope-To: \(recipient)\r\n".utf8) }
    file += message
    do {
      try Data(file).write(to: URL(fileURLWithPath: "\(folder)/tmp/\(name)"))
      try FileManager.default.moveItem(atPath: "\(folder)/tmp/\(name)", toPath: "\(folder)/new/\(name)")
      return true
    } catch { return false }
  }

  private func ended(_ session: Session) { sessions[ObjectIdentifier(session)] = nil }

  /// One connection to the world.
  private final class Session {
    private let stream: EventLoop.Stream
    private unowned let sink: WorldSink
    private var smtp: SMTPServer
    private var sender = ""
    private var recipients: [String] = []
    private var message: [UInt8] = []
    private var backlog: [UInt8] = []

    init(_ stream: EventLoop.Stream, _ sink: WorldSink) {
      self.stream = stream
      self.sink = sink
      smtp = SMTPServer(
        profile: ServerProfile(
          hostname: sink.hostname, trust: .incoming, sizeLimitBytes: 1 << 30, limits: CommandLimits(), startTLSAvailable: false))
    }

    func begin() {
      stream.onRead = { [unowned self] in arrived($0) }
      stream.onEnd = { [unowned self] in end() }
      stream.onFailure = { [unowned self] _ in end() }
      smtp.greet()
      flush()
      stream.startReading()
    }

    private func flush() { if smtp.hasOutput { stream.write([Chunk(smtp.takeOutput())], completion: nil) } }

    private func end() {
      stream.close()
      sink.ended(self)
    }

    private func arrived(_ octets: Span<UInt8>) {
      backlog.append(copying: octets)
      let taken = backlog
      backlog = []
      let used = process(taken.span)
      if used < taken.count { backlog = Array(taken[used...]) }
      flush()
    }

    private func process(_ octets: Span<UInt8>) -> Int {
      var at = 0
      while true {
        let input = octets.extracting(at..<octets.count)
        let (consumed, event) = smtp.step(input)
        at += consumed
        switch event {
        case .needInput, .awaiting: return at
        case .mail(let command):
          sender = command.path
          recipients = []
          smtp.answer(Reply(250, "2.1.0", "Ok"))
        case .recipient(let command):
          recipients.append(command.path)
          smtp.answer(Reply(250, "2.1.5", "Ok"))
        case .bodyBegins:
          message = []
          smtp.answer(.startInput)
        case .body(let range): message.append(copying: input.extracting(range))
        case .bodyEnds:
          let kept = sink.keep(sender: sender, recipients: recipients, message: message)
          message = []
          smtp.answer(kept ? Reply(250, "2.0.0", "Ok: kept by the world") : Reply(452, "4.3.1", "The world is full"))
        case .bodyFault, .transactionReset: message = []
        case .forwarded: break
        case .authenticate: smtp.answerAuthentication(.rejected)
        case .startTLS, .hangUp:
          flush()
          stream.closeAfterWrites()
          sink.ended(self)
          return octets.count
        }
      }
    }
  }
}
