import EventLoop
import Gateway
import Octets
import SMTPWire
import TLSPipe

/// A mail client for the laboratory: hands over one message, as a user's program would with STARTTLS and AUTH, or as any server of the
/// world with neither.
final class LabClient {
  private let loop: Loop
  private var connection: Connection?
  private var smtp: SMTPClient
  private let tls: TLSContext?
  private let message: [UInt8]
  private let job: DeliveryJob
  private let then: (Result<[RecipientOutcome], LabFailure>) -> Void
  private var done = false
  private var started = false

  /// What came of it when there is no answer of the server.
  struct LabFailure: Error {
    var reason: String
  }

  /// - Parameters:
  ///   - tls: nil to speak in the clear.
  ///   - password: of the sender; nil to send without AUTH.
  init(
    loop: Loop, tls: TLSContext?, sender: String, password: String?, recipients: [String], message: [UInt8],
    then: @escaping (Result<[RecipientOutcome], LabFailure>) -> Void
  ) {
    self.loop = loop
    self.tls = tls
    self.message = message
    self.then = then
    smtp = SMTPClient(
      profile: ClientProfile(
        kind: .smtp, heloName: password == nil ? "mx.mondo.test" : "mua.pec.alfa.test", tls: tls == nil ? .never : .required,
        credentials: password.map { ClientProfile.Credentials(login: sender, password: $0) }))
    job = DeliveryJob(sender: sender, recipients: recipients, bodyBytes: message.count)
  }

  func submit(host: String, port: Int) {
    _ = loop.connect(host: host, port: port, timeout: 10_000) { [self] result in
      switch result {
      case .success(let stream): begin(Connection(stream))
      case .failure(let error): finish(.failure(LabFailure(reason: "\(error)")))
      }
    }
  }

  private func begin(_ connection: Connection) {
    self.connection = connection
    connection.onOctets = { [self] in
      smtp.receive($0)
      drive()
    }
    connection.onSecure = { [self] in
      smtp.tlsEstablished()
      drive()
    }
    connection.onEnd = { [self] reason in finish(.failure(LabFailure(reason: reason))) }
    connection.begin()
    drive()
  }

  private func drive() {
    while !done {
      switch smtp.next() {
      case .needInput: return
      case .send(let bytes): connection?.send([Chunk(bytes)])
      case .startTLS:
        guard let tls else { return finish(.failure(LabFailure(reason: "TLS was begun without keys"))) }
        do { connection?.secure(with: try TLSPipe(context: tls, serverName: "localhost"), asClient: true) } catch {
          finish(.failure(LabFailure(reason: "\(error)")))
        }
      case .sendBody(let framing):
        var atLineStart = true
        let chunk = Chunk(message)
        var from = 0
        var batch: [Chunk] = []
        let cuts = framing == .dotStuffed ? chunk.withSpan { DotStuffing.cuts(in: $0, atLineStart: &atLineStart) } : []
        for cut in cuts {
          batch.append(chunk[from..<cut])
          batch.append(Chunk([UInt8(ascii: ".")]))
          from = cut
        }
        batch.append(chunk[from..<chunk.count])
        connection?.send(batch)
        smtp.bodySent()
      case .idle:
        if started { return }
        started = true
        smtp.start(job)
      case .finished(let outcomes): finish(.success(outcomes))
      case .closed(let reason): finish(.failure(LabFailure(reason: reason.reply.summary)))
      }
    }
  }

  private func finish(_ result: Result<[RecipientOutcome], LabFailure>) {
    guard !done else { return }
    done = true
    connection?.closeAfterWrites()
    then(result)
  }
}
