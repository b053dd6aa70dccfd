import Digests
import Journey
import Limits
import MIMEStream
import Octets
import SMTPWire

/// The digest of a message that a mail server of the operator's hands over: when our 250 does not reach it, it hands the same queue file
/// over again, octet for octet, and that must not be certified a second time.
final class HandOverDigest {
  /// What the first field must be; in lower case.
  private static let trace = Array("received:".utf8)

  private let octets = SHA256Stream()
  /// So many octets of the first field's name have come.
  private var matched = 0
  private var isOther = false

  /// Nil for who hands over in his own name: what he sends twice he means twice.
  init?(for trust: ServerProfile.Trust) {
    guard case .trustedPeer = trust else { return nil }
  }

  /// Octets of the message, in their order; of one that bears no trace line nothing is made.
  func update(_ octets: Span<UInt8>) {
    var place = 0
    while matched < HandOverDigest.trace.count, !isOther, place < octets.count {
      isOther = ASCII.lower(octets[place]) != HandOverDigest.trace[matched]
      matched += 1
      place += 1
    }
    if !isOther { self.octets.update(octets) }
  }

  /// What tells the hand-over from every other; nil when nothing in it does. A mail server's own trace line, with the name of its queue
  /// file, is on top of what it hands over: a user who sends the same again gets another one. Without such a line two of the same are two.
  func key(_ sender: String, _ recipients: [String], _ facts: MessageFacts, _ limits: StorageLimits) -> HandOverKey? {
    let header = facts.header
    guard !isOther, let first = header.fields.first, ASCII.equal(header.name(of: first), "Received"),
      HandOverDigest.namesFile(header.value(of: first))
    else { return nil }
    let envelope = [sender] + recipients.sorted()
    let digest = SHA256.digest([Array(envelope.joined(separator: "\n").utf8), [0], octets.finish()])
    return HandOverKey(digest: digest, seconds: Int64(limits.repeatSeconds), forgottenAtOnce: limits.repeatsForgottenAtOnce)
  }

  /// True when a trace line has the clause `id` (RFC 5321 §4.4) with a name; Postfix writes NOQUEUE where there is no queue file.
  static func namesFile(_ value: [UInt8]) -> Bool {
    let words = value.split { $0 <= 32 }
    guard let place = words.firstIndex(where: { ASCII.equal($0, Array("id".utf8)) }), place + 1 < words.count else { return false }
    let name = words[place + 1].filter { $0 != UInt8(ascii: ";") }
    return name.count >= 4 && !ASCII.equal(name, Array("NOQUEUE".utf8))
  }
}
