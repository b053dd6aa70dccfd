import Foundation
import Journey
import Limits
import MIMEStream
import PEC
import Spool
import Synchronization
import Testing

@testable import Gateway
@testable import Ledger

@Suite struct HandOverDigestTests {
  private static let trace =
    "Received: from c.test (c.test [192.0.2.9])\r\n\tby mail.test (Postfix) with ESMTPSA id 4F0B21ABCD\r\n\tfor <b@b.test>; date\r\n"

  private static func key(
    _ text: String, _ sender: String = "a@a.test", _ recipients: [String] = ["b@b.test", "c@c.test"], pieces: Int = 7
  )
    -> HandOverKey?
  {
    let octets = Array(text.utf8)
    guard let digest = HandOverDigest(for: .trustedPeer(userFromMailFrom: true)) else { return nil }
    for start in stride(from: 0, to: octets.count, by: pieces) {
      digest.update(Array(octets[start..<min(start + pieces, octets.count)]).span)
    }
    return digest.key(sender, recipients, MessageWalker.facts(of: octets, watchedBoundaryPrefix: []), StorageLimits())
  }

  @Test func theSameIsTheSame() throws {
    let letter = "\(Self.trace)From: a@a.test\r\nSubject: x\r\n\r\nbody\r\n"
    let first = try #require(Self.key(letter))
    #expect(Self.key(letter, "a@a.test", ["c@c.test", "b@b.test"], pieces: 64) == first)
    #expect(first.seconds > 5 * 86_400, "longer than Postfix keeps a message")
    for other in [
      Self.key(letter + "."), Self.key(letter, "d@a.test"), Self.key(letter, "a@a.test", ["b@b.test"]),
      Self.key(letter.replacing("4F0B21ABCD", with: "4F0B21ABCE")), Self.key(letter, "a@a.test", ["b@b.test", "c@c.test", "c@c.test"]),
    ] { #expect(other != first) }
  }

  /// Without a trace line that names a queue file two messages of the same octets are two messages.
  @Test(arguments: [
    "", "Received: by mail.test; date\r\n", "Received: from a by b with SMTP id NOQUEUE; date\r\n", "Received: from a by b id\r\n",
    "X-Received: from a by b with SMTP id 4F0B21ABCD; date\r\n", "Subject: y\r\nReceived: from a by b with SMTP id 4F0B21ABCD; date\r\n",
  ])
  func withoutANameThereIsNoKey(top: String) { #expect(Self.key("\(top)From: a@a.test\r\n\r\nbody\r\n") == nil) }

  /// The name of the first field is seen however it is cut.
  @Test func everySplitIsTheSame() {
    let letter = Self.trace.replacing("Received", with: "RECEIVED") + "From: a@a.test\r\n\r\nbody\r\n"
    #expect(Self.key(letter) != nil)
    #expect(Set((1...12).map { Self.key(letter, pieces: $0) }).count == 1)
  }

  @Test func onlyTrustedPeersHandOver() {
    #expect(HandOverDigest(for: .submission(implicitTLS: false)) == nil)
    #expect(HandOverDigest(for: .incoming) == nil)
  }
}
