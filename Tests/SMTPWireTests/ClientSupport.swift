import Octets
import Testing

@testable import SMTPWire

/// A session around the client machine, against a server that says what a script says.
///
/// The script is a list of what the client must have sent and what the server then says. A body is sent as its own text.
struct ClientHarness {
  struct Exchange {
    var expected: String
    var reply: String
  }

  var machine: SMTPClient
  /// All that was sent.
  var sent: [UInt8] = []
  var outcomes: [[RecipientOutcome]] = []
  var closure: ClientClosure?
  var becameIdle = false
  /// Bodies, in the order of the jobs.
  var bodies: [[UInt8]]
  private var jobs: [DeliveryJob]
  private var pending: [UInt8] = []
  private var script: [Exchange]
  private let splitting: Splitting
  /// What was sent and not expected.
  var surprise: String?
  /// What the server still had to say.
  var unsaid: Int { script.count }

  init(_ profile: ClientProfile, jobs: [DeliveryJob], bodies: [[UInt8]], script: [Exchange], splitting: Splitting) {
    machine = SMTPClient(profile: profile)
    self.jobs = jobs
    self.bodies = bodies
    self.script = script
    self.splitting = splitting
  }

  mutating func run() {
    startNext()
    pull()
    while closure == nil, surprise == nil, let exchange = script.first,
      exchange.expected.isEmpty || !pending.isEmpty || exchange.expected == "-"
    {
      let expected = Array(exchange.expected.utf8)
      if exchange.expected != "-" {
        guard pending.starts(with: expected) else {
          surprise = "sent \(String(decoding: pending, as: UTF8.self).debugDescription), expected \(exchange.expected.debugDescription)"
          return
        }
        pending.removeFirst(expected.count)
      }
      script.removeFirst()
      for piece in splitting.pieces(Array(exchange.reply.utf8)) {
        machine.receive(piece.span)
        pull()
      }
    }
    if !pending.isEmpty, closure == nil { surprise = "sent \(String(decoding: pending, as: UTF8.self).debugDescription) at the end" }
  }

  private mutating func startNext() {
    guard !jobs.isEmpty, machine.isFree else { return }
    machine.start(jobs.removeFirst())
  }

  private mutating func pull() {
    while true {
      switch machine.next() {
      case .needInput: return
      case .send(let bytes):
        sent += bytes
        pending += bytes
      case .startTLS: machine.tlsEstablished()
      case .sendBody(let framing):
        let body = bodies.removeFirst()
        var atLineStart = true
        let octets = framing == .chunk ? body : ClientHarness.stuffed(body, atLineStart: &atLineStart)
        sent += octets
        pending += octets
        machine.bodySent(atLineStart: atLineStart)
      case .finished(let done):
        outcomes.append(done)
        startNext()
      case .idle:
        becameIdle = true
        return
      case .closed(let why):
        closure = why
        return
      }
    }
  }

  static func stuffed(_ body: [UInt8], atLineStart: inout Bool) -> [UInt8] {
    var out: [UInt8] = []
    var from = 0
    for cut in DotStuffing.cuts(in: body.span, atLineStart: &atLineStart) {
      out += body[from..<cut] + [46]
      from = cut
    }
    return out + body[from...]
  }
}

/// One dialogue of a client, and what must come of it.
struct Dialogue: CustomTestStringConvertible {
  var name: String
  var profile = ClientProfile(heloName: "me.test", tls: .never)
  var jobs: [DeliveryJob]
  var bodies: [String]
  var script: [ClientHarness.Exchange]
  /// For each job the verdicts: `+` delivered, `~` transient, `-` permanent, with the code.
  var verdicts: [[String]]
  /// nil: the connection is ready for more.
  var closure: ClientClosure?

  var testDescription: String { name }

  /// - Parameters:
  ///   - recipients: `r1@x.test`, `r2@x.test`… so many.
  ///   - script: what is expected and what is said, in turn.
  init(
    _ name: String, _ profile: ClientProfile? = nil, recipients: [Int] = [1], body: String = "hi\r\n", eightBit: Bool = false,
    notification: DeliveryNotification? = nil, script: [(String, String)], verdicts: [[String]], closure: ClientClosure? = nil
  ) {
    self.name = name
    if let profile { self.profile = profile }
    jobs = recipients.map { count in
      DeliveryJob(
        sender: "s@y.test", recipients: (0..<count).map { "r\($0 + 1)@x.test" }, bodyBytes: body.utf8.count, hasEightBit: eightBit,
        notification: notification)
    }
    bodies = recipients.map { _ in body }
    self.script = script.map { ClientHarness.Exchange(expected: $0.0, reply: $0.1) }
    self.verdicts = verdicts
    self.closure = closure
  }

  static func symbol(_ outcome: RecipientOutcome) -> String {
    switch outcome.verdict {
    case .delivered(let reply): "+\(reply.code)"
    case .transient(let reply): "~\(reply.code)"
    case .permanent(let reply): "-\(reply.code)"
    case .unanswered(let reply): "?\(reply.code)"
    }
  }
}
