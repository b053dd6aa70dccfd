import Testing

@testable import PEC

@Suite struct IdentifierTests {
  private let instant = Instant(unixSeconds: 1_773_130_500, utcOffsetSeconds: 3600)

  @Test func form() {
    let id = PECIdentifier.make(node: "alfa1", instant: instant, sequence: 42, random: 0, domain: "gestore-alfa.example")
    #expect(id == "alfa1.20260310081500.000042.aaaaaaaaaaaaa@gestore-alfa.example")
  }

  @Test func alphabetAndLength() {
    let allowed = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-".utf8)
    for node in ["", "a", "nodo con spazi", "è@<>\r\n", "--x--", String(repeating: "n", count: 300)] {
      let id = PECIdentifier.make(node: node, instant: instant, sequence: .max, random: .max, domain: "d.example")
      let parts = id.split(separator: "@")
      #expect(parts.count == 2 && parts[1] == "d.example")
      #expect(parts[0].utf8.allSatisfy(allowed.contains))
      #expect(parts[0].utf8.count <= 64)
      #expect(!parts[0].hasPrefix("."))
    }
  }

  @Test func differentInputGivesDifferentIdentifiers() {
    var seen: Set<String> = []
    for sequence in UInt64(0)..<50 {
      for random in UInt64(0)..<50 {
        seen.insert(PECIdentifier.make(node: "n", instant: instant, sequence: sequence, random: random, domain: "d"))
      }
    }
    #expect(seen.count == 2500)
  }

  @Test func derived() {
    let id = "alfa1.20260310081500.000042.aaaaaaaaaaaaa@gestore-alfa.example"
    #expect(PECIdentifier.derived(from: id, kind: .envelope, recipient: nil) == id)
    #expect(
      PECIdentifier.derived(from: id, kind: .acceptance, recipient: nil)
        == "alfa1.20260310081500.000042.aaaaaaaaaaaaa.acc@gestore-alfa.example")
    let one = PECIdentifier.derived(from: id, kind: .nonDelivery, recipient: "Uno@beta.example")
    #expect(one == PECIdentifier.derived(from: id, kind: .nonDelivery, recipient: "uno@BETA.example"))
    #expect(one.hasPrefix("alfa1.20260310081500.000042.aaaaaaaaaaaaa.man.") && one.hasSuffix("@gestore-alfa.example"))
    var seen: Set<String> = []
    for kind in IdentifierTests.kinds {
      seen.insert(PECIdentifier.derived(from: id, kind: kind, recipient: nil))
      for number in 0..<1000 { seen.insert(PECIdentifier.derived(from: id, kind: kind, recipient: "u\(number)@beta.example")) }
    }
    // The envelope's is the PEC id whatever the recipient, and so is the anomaly's where it inherits none.
    #expect(seen.count == 1 + (IdentifierTests.kinds.count - 2) * 1001)
  }

  /// What is composed, with one of the three delivery receipts: a recipient has one of them.
  private static let kinds: [MessageKind] = [
    .acceptance, .nonAcceptance, .nonAcceptanceVirus, .envelope, .nonDelivery, .takeCharge, .deliveryComplete, .virusDetection,
    .virusNonDelivery, .timeoutFirst, .timeoutSecond, .anomaly,
  ]

  @Test func oneDeliveryReceiptForEachRecipient() {
    let ids = [MessageKind.deliveryComplete, .deliveryBrief, .deliveryConcise].map {
      PECIdentifier.derived(from: "beta1.1.2.3@b.example", kind: $0, recipient: "u@beta.example")
    }
    #expect(Set(ids).count == 1 && ids[0].hasPrefix("beta1.1.2.3.con."))
  }

  @Test func severalRecipients() {
    func id(_ recipients: [String]) -> String { PECIdentifier.extended("a@b", by: "rap", about: recipients) }
    #expect(id([]) == "a.rap@b")
    #expect(id(["x"]) != id(["x", "y"]) && id(["xy"]) != id(["x", "y"]) && id(["x", "y"]) == id(["X", "Y"]))
  }

  @Test func derivedWithoutDomain() {
    #expect(PECIdentifier.derived(from: "abc", kind: .acceptance, recipient: nil) == "abc.acc")
    #expect(PECIdentifier.derived(from: "", kind: .acceptance, recipient: nil) == ".acc")
  }

  /// Vectors of the function's authors: key 00…0f, input 00, 00 01, … (SipHash-2-4).
  @Test func sipHash() {
    func hash(_ count: Int) -> UInt64 {
      var hash = KeyedHash(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908)
      hash.add((0..<count).map { UInt8($0) })
      return hash.value()
    }
    #expect(hash(0) == 0x726f_db47_dd0e_0e31)
    #expect(hash(15) == 0xa129_ca61_49be_45e5)
  }

  @Test func base32Words() {
    #expect(base32(0) == Array("aaaaaaaaaaaaa".utf8))
    #expect(base32(.max) == Array("p777777777777".utf8))
    #expect(base32(1) == Array("aaaaaaaaaaaab".utf8))
  }
}
