import Configuration
import Testing

@testable import Gateway

@Suite("our own addresses")
struct OwnAddressesTests {
  private func own(_ address: String, kind: ListenerKind = .incoming, port: Int = 25) -> OwnAddresses {
    OwnAddresses([ListenerSettings(kind: kind, address: address, port: port)])
  }

  /// As operators write them, and as answers of the DNS are spelled.
  @Test(arguments: [
    ("2001:db8::1", "2001:db8:0:0:0:0:0:1"), ("2001:DB8:0::0:1", "2001:db8:0:0:0:0:0:1"), ("::1", "0:0:0:0:0:0:0:1"),
    ("193.0.6.139", "193.0.6.139"),
  ])
  func spellings(written: String, answered: String) {
    #expect(own(written).contains(answered))
    #expect(own(answered).contains(written))
    #expect(!own(written).contains("2001:db8:0:0:0:0:0:2"))
  }

  @Test func othersAreNot() {
    #expect(!own("193.0.6.139", port: 2525).contains("193.0.6.139"))
    #expect(!own("193.0.6.139", kind: .submission).contains("193.0.6.139"))
    #expect(!own("193.0.6.139").contains("193.0.6.140"))
  }
}
