import Foundation
import Glibc
import Octets
import Testing

@testable import Signing

/// Where keys lie in a process of the gateway's own is looked at from outside (Tests/Interop/test_key_memory.py): here other rooms' tests
/// have used OpenSSL before.
@Suite struct KeyMemoryTests {
  @Test func whatIsMissingIsSaidWithWhatToDo() {
    #expect(KeyMemory.Protection.complete.warning == nil)
    for other in [KeyMemory.Protection.numbersOnly, .unlocked, .none] { #expect(other.warning?.contains("swap") == true) }
  }

  /// What lies in the secure heap moves within it, and is given back to it.
  @Test func whatGrowsStaysInside() {
    let small = SecretOctets(capacity: 64)
    small.fill(64)
    for place in 0..<64 { small.octets[place] = UInt8(place) }
    let large = small.grown(to: 100_000)
    #expect(large.count == 64 && large.capacity == 100_000 && large.octets.elementsEqual(0..<64))
    large.truncate(to: 3)
    #expect(Array(large.octets) == [0, 1, 2])
    large.truncate(to: 9)
    #expect(large.count == 3)
    // Larger than the heap: in ordinary memory, and still wiped when it goes.
    #expect(SecretOctets(capacity: KeyMemory.heapBytes * 2).capacity == KeyMemory.heapBytes * 2)
  }
}

extension SecretOctets {
  /// Zeros, as a reading would have left.
  fileprivate func fill(_ count: Int) {
    let zero = open("/dev/zero", O_RDONLY | O_CLOEXEC)
    defer { close(zero) }
    while self.count < count, read(from: zero) > 0 {}
    truncate(to: count)
  }
}
