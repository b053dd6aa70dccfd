import Digests
import Foundation
import Testing

private func hex(_ octets: [UInt8]) -> String { octets.map { String(format: "%02x", $0) }.joined() }

/// Repeatable octets.
private func octets(_ count: Int) -> [UInt8] {
  var state: UInt64 = UInt64(count) &* 0x9E37_79B9_7F4A_7C15 | 1
  return (0..<count).map { _ in
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return UInt8(truncatingIfNeeded: state)
  }
}

@Suite("SHA-256")
struct SHA256Tests {
  // FIPS 180-4's own examples (NIST's SHA256.pdf and the vectors of RFC 6234 §8.5).
  @Test(
    "Known answers",
    arguments: [
      ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
      ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
      ("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
    ])
  func knownAnswers(text: String, expected: String) {
    #expect(hex(SHA256.digest(Array(text.utf8))) == expected)
    #expect(SHA256.digest(Array(text.utf8)).count == SHA256.bytes)
  }

  @Test("A million times the letter a")
  func aMillion() {
    let expected = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
    #expect(hex(SHA256.digest([UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000))) == expected)
    let stream = SHA256Stream()
    for _ in 0..<1000 { stream.update([UInt8](repeating: UInt8(ascii: "a"), count: 1000)) }
    #expect(hex(stream.finish()) == expected)
  }

  @Test("Parts are laid end to end, wherever they are cut")
  func parts() {
    let whole = octets(200)
    let expected = SHA256.digest(whole)
    for cut in 0...whole.count {
      #expect(SHA256.digest([Array(whole[..<cut]), [], Array(whole[cut...])]) == expected)
    }
    #expect(SHA256.digest([[UInt8]]()) == SHA256.digest([UInt8]()))
    #expect(SHA256.digest([[], []]) == SHA256.digest([UInt8]()))
  }

  @Test("A tag is the first octet")
  func tag() {
    for tag: UInt8 in [0, 1, 2, 255] {
      #expect(SHA256.digest(tag: tag, octets(40), octets(33)) == SHA256.digest([tag] + octets(40) + octets(33)))
      #expect(SHA256.digest(tag: tag, octets(40)) == SHA256.digest([tag] + octets(40)))
      #expect(SHA256.digest(tag: tag, []) == SHA256.digest([tag]))
    }
  }

  @Test("A stream is ready for the next digest after its end, and two do not meet")
  func streams() {
    let one = SHA256Stream()
    let other = SHA256Stream()
    for round in 0..<5 {
      let (left, right) = (octets(100 + round), octets(300 + round))
      one.update(left)
      other.update(Array(right[..<7]))
      _ = SHA256.digest(left)
      other.update(Array(right[7...]))
      one.update([])
      #expect(one.finish() == SHA256.digest(left))
      #expect(other.finish() == SHA256.digest(right))
    }
    #expect(one.finish() == SHA256.digest([UInt8]()))
  }

  @Test("Threads do not meet in each other's digests")
  func threads() async {
    let inputs = (0..<16).map { octets(1000 + $0) }
    let expected = inputs.map { SHA256.digest($0) }
    let wrong = await withTaskGroup(of: Int.self) { group in
      for at in inputs.indices {
        group.addTask { (0..<500).count { _ in SHA256.digest(inputs[at]) != expected[at] } }
      }
      return await group.reduce(0, +)
    }
    #expect(wrong == 0)
  }

  @Test("Threads that end leave nothing behind that a later one would trip over")
  func endingThreads() {
    let expected = SHA256.digest(octets(90))
    for _ in 0..<50 {
      let done = DispatchSemaphore(value: 0)
      let seen = Seen()
      let thread = Thread {
        seen.digest = SHA256.digest(octets(90))
        done.signal()
      }
      thread.start()
      done.wait()
      #expect(seen.digest == expected)
    }
  }

  @Test("The same as the openssl command makes, around the lengths where padding turns")
  func openssl() throws {
    for count in [0, 1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 121, 127, 128, 129, 4095, 4096, 70_000] {
      let file = FileManager.default.temporaryDirectory.appendingPathComponent("digest-\(UUID().uuidString)")
      defer { try? FileManager.default.removeItem(at: file) }
      try Data(octets(count)).write(to: file)
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      process.arguments = ["openssl", "dgst", "-sha256", "-r", file.path]
      let output = Pipe()
      process.standardOutput = output
      try process.run()
      let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      #expect(said.prefix(64) == hex(SHA256.digest(octets(count))), "\(count) octets")
    }
  }
}

/// What a thread saw; handed over by a semaphore.
private final class Seen: @unchecked Sendable {
  var digest: [UInt8] = []
}
