import ArgumentParser
import Octets
import Synchronization
import TLSPipe

/// What a sink is to do.
struct SinkPlan: Sendable {
  let endpoint: Endpoint
  var threads = 1
  /// Messages after which it ends.
  var messages = Int.max
  var isLMTP = false
  var announcesDSN = false
  var announcesPipelining = true
  var announcesChunking = true
  var announcesAuth = false
  var announcesXClient = false
  var messageRefusal: Refusal?
  var recipientRefusal: Refusal?
  var delayMilliseconds: UInt64 = 0
  var tls: TLSContext?
  var startsSecure = false
  var captureFile: String?

  init(endpoint: Endpoint) { self.endpoint = endpoint }

  /// The certificate of a server; nil when there is none.
  func context(certificate: String?, key: String?) throws -> TLSContext? {
    switch (certificate, key) {
    case (nil, nil): return nil
    case (let certificate?, let key?): return try TLSContext.server(certificatePEM: certificate, keyPEM: key)
    case (.some, nil), (nil, .some): throw ValidationError("--cert and --key: both or neither")
    }
  }

  /// The answer to EHLO or LHLO.
  func announcement(isSecure: Bool) -> [UInt8] {
    var lines = ["sink.example.test", "SIZE 1073741824", "8BITMIME", "ENHANCEDSTATUSCODES"]
    if announcesPipelining { lines.append("PIPELINING") }
    if announcesChunking { lines.append("CHUNKING") }
    if announcesDSN { lines.append("DSN") }
    if announcesAuth { lines.append("AUTH PLAIN") }
    if announcesXClient { lines.append("XCLIENT LOGIN") }
    if tls != nil, !isSecure { lines.append("STARTTLS") }
    let last = lines.count - 1
    return Array(utf8: lines.enumerated().map { "250\($0 == last ? " " : "-")\($1)\r\n" }.joined())
  }
}

/// What one loop of a sink has had.
struct SinkCount: Sendable {
  var messages = 0
  var recipients = 0
  /// Octets of accepted messages as they came: with stuffed dots, without the final one.
  var octets = 0
  var refusedMessages = 0
  var refusedRecipients = 0
  /// Messages whose connection ended before they did.
  var aborted = 0
  var connections = 0
  /// When the first accepted message was complete, and the last; 0 when there was none.
  var firstNanoseconds: UInt64 = 0
  var lastNanoseconds: UInt64 = 0

  mutating func arrived(at now: UInt64) {
    if firstNanoseconds == 0 { firstNanoseconds = now }
    lastNanoseconds = now
  }

  static func + (one: SinkCount, other: SinkCount) -> SinkCount {
    var sum = one
    sum.messages += other.messages
    sum.recipients += other.recipients
    sum.octets += other.octets
    sum.refusedMessages += other.refusedMessages
    sum.refusedRecipients += other.refusedRecipients
    sum.aborted += other.aborted
    sum.connections += other.connections
    sum.firstNanoseconds = [one.firstNanoseconds, other.firstNanoseconds].filter { $0 > 0 }.min() ?? 0
    sum.lastNanoseconds = max(one.lastNanoseconds, other.lastNanoseconds)
    return sum
  }

  /// One line of JSON.
  func report(cpuMicroseconds: Double, threads: Int) -> String {
    let seconds = Clock.seconds(lastNanoseconds - firstNanoseconds)
    return JSON.object([
      ("messages", "\(messages)"), ("recipients", "\(recipients)"), ("octets", "\(octets)"), ("refusedMessages", "\(refusedMessages)"),
      ("refusedRecipients", "\(refusedRecipients)"), ("aborted", "\(aborted)"), ("connections", "\(connections)"),
      ("firstArrivalNanoseconds", "\(firstNanoseconds)"), ("lastArrivalNanoseconds", "\(lastNanoseconds)"),
      ("seconds", JSON.number(seconds)),
      ("cpuMicrosecondsPerMessage", JSON.number(messages > 0 ? cpuMicroseconds / Double(messages) : 0)), ("threads", "\(threads)"),
    ])
  }
}

/// What the loops of a sink share.
final class SinkShared: Sendable {
  private let taken = Atomic(0)
  private let isCaptured = Atomic(false)

  /// Counts a message; how many there are now.
  func take() -> Int { taken.add(1, ordering: .relaxed).newValue }

  /// True for the first to ask.
  func claimCapture() -> Bool { !isCaptured.exchange(true, ordering: .relaxed) }
}
