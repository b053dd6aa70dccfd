import EventLoop
import Octets

/// One connection of the sink: believes everything, keeps nothing. It is as strict as it must be to stay in step with its peer, and no
/// stricter: what is measured is the peer.
final class SinkSession {
  private enum State {
    /// A command is due.
    case command
    /// The message after 354, up to the lone dot.
    case data
    /// A chunk of BDAT: octets still to come, and whether it is the last.
    case chunk(left: Int, isLast: Bool)
    /// A message is complete, and its answer waits for its time.
    case delaying
    /// The handshake after STARTTLS, or before the greeting.
    case handshake
    case closed
  }

  /// A message under way.
  private struct Transaction {
    var recipients = 0
    var octets = 0
    /// BDAT was begun: no more recipients, no DATA.
    var isChunked = false
  }

  /// Answers that a peer may leave unread.
  private static let unreadLimit = 1 << 20
  /// What of a message is kept for looking at.
  private static let captureLimit = 256 << 20

  private let lane: SinkLane
  private let wire: Wire
  private var state = State.command
  private var lines = LineFeeder()
  private var bodyEnd = BodyEnd()
  private var transaction: Transaction?
  private var isSecure = false
  /// Answers since the last octets came in, sent in one piece (RFC 2920 §3.2).
  private var answers: [UInt8] = []
  /// What came while an answer was delayed.
  private var held: [UInt8] = []
  private var captured: [UInt8]?

  private static let ok = Array(utf8: "250 2.0.0 OK\r\n")
  private static let goOn = Array(utf8: "354 End data with <CR><LF>.<CR><LF>\r\n")
  private static let greeting = Array(utf8: "220 sink.example.test ESMTP smtp-load\r\n")

  init(_ lane: SinkLane, _ wire: Wire) { (self.lane, self.wire) = (lane, wire) }

  /// Greets. The wire's callbacks keep the session until the wire is closed.
  func begin() {
    wire.onOctets = { [self] octets in receive(octets) }
    wire.onEnd = { [self] _ in ended() }
    wire.onSecure = { [self] in secured() }
    wire.begin()
    if let tls = lane.plan.tls, lane.plan.startsSecure {
      state = .handshake
      wire.secure(tls)
    } else {
      wire.send(SinkSession.greeting)
    }
  }

  private func secured() {
    isSecure = true
    transaction = nil
    lines = LineFeeder()
    state = .command
    if lane.plan.startsSecure { wire.send(SinkSession.greeting) }
  }

  private func ended() {
    switch state {
    case .data, .chunk: lane.count.aborted += 1
    case .command, .delaying, .handshake, .closed: break
    }
    state = .closed
  }

  // MARK: What comes in

  private func receive(_ input: Span<UInt8>) {
    process(input)
    if answers.isEmpty { return }
    wire.send(answers)
    answers.removeAll(keepingCapacity: true)
    // Somebody talks and never listens.
    if wire.bytesQueued > SinkSession.unreadLimit { close() }
  }

  private func process(_ input: Span<UInt8>) {
    var at = 0
    while at < input.count {
      switch state {
      case .command:
        switch lines.next(input, &at) {
        case .more: return
        case .line(let range): take(input.extracting(range))
        case .gathered:
          let line = lines.gathered
          take(line.span)
        case .tooLong:
          say("500 5.5.2 Line too long\r\n")
          return finish()
        }
      case .data:
        let from = at
        let isThrough = bodyEnd.find(input, &at)
        transaction?.octets += at - from
        capture(input.extracting(from..<at))
        if isThrough {
          // The last line end belongs to the message, the dot and its own do not.
          transaction?.octets -= 3
          complete()
        }
      case .chunk(let left, let isLast):
        let piece = min(left, input.count - at)
        transaction?.octets += piece
        capture(input.extracting(at..<at + piece))
        at += piece
        state = .chunk(left: left - piece, isLast: isLast)
        if piece == left { chunkEnded(isLast) }
      case .delaying:
        held.append(copying: input.extracting(at..<input.count))
        return
      case .handshake:
        // Octets in the clear behind STARTTLS are nobody's commands (RFC 3207 §4.2).
        return
      case .closed: return
      }
    }
  }

  // MARK: Commands

  /// Commands that the sink knows.
  private enum Verb {
    case hello, mail, recipient, data, chunk, reset, noop, quit, startTLS, auth, forward, unknown

    /// By the first four letters, in any case.
    init(_ line: Span<UInt8>) {
      guard line.count >= 4 else {
        self = .unknown
        return
      }
      let word = UInt32(line[0]) << 24 | UInt32(line[1]) << 16 | UInt32(line[2]) << 8 | UInt32(line[3])
      switch word & 0xDFDF_DFDF {
      case 0x4548_4C4F, 0x4845_4C4F, 0x4C48_4C4F: self = .hello  // EHLO, HELO, LHLO
      case 0x4D41_494C: self = .mail
      case 0x5243_5054: self = .recipient
      case 0x4441_5441: self = .data
      case 0x4244_4154: self = .chunk
      case 0x5253_4554: self = .reset
      case 0x4E4F_4F50: self = .noop
      case 0x5155_4954: self = .quit
      case 0x5354_4152: self = .startTLS
      case 0x4155_5448: self = .auth
      case 0x5843_4C49: self = .forward
      default: self = .unknown
      }
    }
  }

  private func take(_ line: Span<UInt8>) {
    switch Verb(line) {
    case .hello:
      transaction = nil
      answers += isSecure ? lane.secureAnnouncement : lane.clearAnnouncement
    case .mail:
      if transaction != nil { return say("503 5.5.1 Nested MAIL\r\n") }
      transaction = Transaction()
      answers += SinkSession.ok
    case .recipient: takeRecipient()
    case .data:
      guard let open = transaction, open.recipients > 0, !open.isChunked else { return say("503 5.5.1 No valid recipients\r\n") }
      answers += SinkSession.goOn
      bodyEnd = BodyEnd()
      state = .data
      beginCapture()
    case .chunk: takeChunk(line)
    case .reset:
      transaction = nil
      answers += SinkSession.ok
    case .noop: answers += SinkSession.ok
    case .quit:
      say("221 2.0.0 Bye\r\n")
      finish()
    case .startTLS: beginTLS()
    case .auth: say(lane.plan.announcesAuth ? "235 2.7.0 Welcome\r\n" : "502 5.5.1 No AUTH here\r\n")
    case .forward: say(lane.plan.announcesXClient ? "220 sink.example.test ESMTP\r\n" : "502 5.5.1 No XCLIENT here\r\n")
    case .unknown: say("500 5.5.2 Command unknown\r\n")
    }
  }

  private func takeRecipient() {
    guard let open = transaction, !open.isChunked else { return say("503 5.5.1 MAIL first\r\n") }
    if lane.recipientRefusal?.isNext() == true {
      lane.count.refusedRecipients += 1
      return say(lane.recipientRefusal?.reply ?? "")
    }
    transaction?.recipients += 1
    answers += SinkSession.ok
  }

  /// `BDAT size [LAST]` (RFC 3030 §2).
  private func takeChunk(_ line: Span<UInt8>) {
    let words = String(decoding: [UInt8](copying: line.extracting(0..<min(line.count, 64))), as: UTF8.self).split(separator: " ")
    // Without a size nobody knows where the next command begins.
    guard words.count >= 2, let size = Int(words[1]), (0...(1 << 40)).contains(size) else {
      say("501 5.5.4 BDAT size [LAST]\r\n")
      return finish()
    }
    let isLast = words.count > 2 && ASCII.equal(String(words[2]), "LAST")
    if transaction?.isChunked == false { beginCapture() }
    transaction?.isChunked = true
    state = .chunk(left: size, isLast: isLast)
    if size == 0 { chunkEnded(isLast) }
  }

  private func beginTLS() {
    guard let tls = lane.plan.tls, !isSecure else { return say("502 5.5.1 No STARTTLS here\r\n") }
    wire.send(answers + Array(utf8: "220 2.0.0 Ready to start TLS\r\n"))
    answers.removeAll()
    state = .handshake
    wire.secure(tls)
  }

  // MARK: Messages

  private func chunkEnded(_ isLast: Bool) {
    state = .command
    guard let open = transaction, open.recipients > 0 else { return say("503 5.5.1 No valid recipients\r\n") }
    if isLast { complete() } else { answers += SinkSession.ok }
  }

  /// A message is here, whole.
  private func complete() {
    if let octets = captured {
      captured = nil
      lane.store(transaction?.isChunked == true ? octets : SinkSession.unstuffed(octets))
    }
    guard lane.plan.delayMilliseconds > 0 else { return answer() }
    state = .delaying
    wire.pause()
    lane.loop.timer(after: lane.plan.delayMilliseconds) { [weak self] in
      guard let self, case .delaying = state else { return }
      answer()
      let waiting = held
      held = []
      wire.resume()
      receive(waiting.span)
    }
  }

  /// One answer, or in LMTP one for each recipient (RFC 2033 §4.2).
  private func answer() {
    state = .command
    guard let done = transaction else { return }
    transaction = nil
    var accepted = 0
    for _ in 0..<(lane.plan.isLMTP ? done.recipients : 1) {
      if lane.messageRefusal?.isNext() == true {
        say(lane.messageRefusal?.reply ?? "")
      } else {
        answers += SinkSession.ok
        accepted += 1
      }
    }
    if accepted > 0 {
      lane.accepted(recipients: lane.plan.isLMTP ? accepted : done.recipients, octets: done.octets)
    } else {
      lane.count.refusedMessages += 1
    }
    if lane.messageRefusal?.code == 421, accepted == 0 { finish() }
  }

  private func beginCapture() {
    if lane.plan.captureFile != nil, lane.shared.claimCapture() { captured = [] }
  }

  private func capture(_ octets: Span<UInt8>) {
    guard let kept = captured?.count, kept + octets.count <= SinkSession.captureLimit else { return }
    captured?.append(copying: octets)
  }

  /// A message as it was before its dots were doubled (RFC 5321 §4.5.2).
  private static func unstuffed(_ octets: [UInt8]) -> [UInt8] {
    let text = octets.dropLast(3)
    var out: [UInt8] = []
    out.reserveCapacity(text.count)
    var line = 0
    while line < text.count {
      let end = Scan.first(10, in: octets.span, from: line).map { min($0 + 1, text.count) } ?? text.count
      out += text[(text[line] == UInt8(ascii: ".") ? line + 1 : line)..<end]
      line = end
    }
    return out
  }

  // MARK: Ends

  private func say(_ text: String) { answers += Array(utf8: text) }

  private func finish() {
    if !answers.isEmpty { wire.send(answers) }
    answers.removeAll()
    state = .closed
    wire.finish()
  }

  private func close() {
    ended()
    wire.close()
  }
}
