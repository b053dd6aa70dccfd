import Digests
import Evidence
import Octets
import PEC
import Testing

@Suite("Seal manifest")
struct ManifestTests {
  @Test("The form is this one for ever")
  func golden() throws {
    let digest = { (digit: String) in String(repeating: digit, count: 64) }
    let manifest = SealManifest(
      number: 5, provider: "Gestore \"E\"", first: 401, last: 500, from: Instant(unixSeconds: 1_795_254_266, utcOffsetSeconds: 3600),
      to: Instant(unixSeconds: 1_795_254_300, utcOffsetSeconds: 3600), root: digest("a"), chainBefore: digest("b"), chainAfter: digest("c"),
      previous: digest("d"), madeAt: Instant(unixSeconds: 1_795_300_000, utcOffsetSeconds: 3600), reason: "daily")
    #expect(
      String(decoding: manifest.octets, as: UTF8.self)
        == #"{"v":1,"seal":5,"provider":"Gestore \"E\"","first":401,"last":500,"count":100,"fromUtc":1795254266,"fromOffset":3600,"#
        + #""from":"2026-11-21T10:44:26+01:00","toUtc":1795254300,"toOffset":3600,"to":"2026-11-21T10:45:00+01:00","#
        + #""mechanism":"RFC6962-SHA256","root":"\#(digest("a"))","chainBefore":"\#(digest("b"))","chainAfter":"\#(digest("c"))","#
        + #""previous":"\#(digest("d"))","madeUtc":1795300000,"madeOffset":3600,"made":"2026-11-21T23:26:40+01:00","reason":"daily"}"#)
    #expect(try SealManifest(reading: manifest.octets) == manifest)
    #expect(manifest.digest == Hex.encode(SHA256.digest(manifest.octets)))
    #expect(manifest.count == 100)
  }

  @Test("A flipped bit is refused, or changes the digest by which the next seal names it")
  func flipped() throws {
    let manifest = try Export().manifest
    let octets = manifest.octets
    for at in octets.indices {
      #expect(throws: EvidenceError.self) { try SealManifest(reading: Array(octets[..<at])) }
      for bit in 0..<8 {
        var flipped = octets
        flipped[at] ^= 1 << bit
        guard let read = try? SealManifest(reading: flipped) else { continue }
        #expect(read.octets == flipped)
        #expect(read.digest != manifest.digest)
      }
    }
  }

  @Test("Numbers that do not fit each other are refused")
  func numbers() throws {
    let manifest = try Export().manifest
    for change: (inout SealManifest) -> Void in [
      { $0.number = 0 }, { $0.first = 0 }, { $0.last = $0.first - 1 }, { $0.first = .min }, { $0.last = .max },
      { $0.last = $0.first + SealManifest.maximumRows }, { $0.root = "" }, { $0.root = $0.root.uppercased() + "A" },
      { $0.previous.removeLast() },
    ] {
      var other = manifest
      change(&other)
      #expect(throws: EvidenceError.self) { try SealManifest(reading: other.octets) }
    }
    var most = manifest
    most.last = most.first + SealManifest.maximumRows - 1
    #expect(try SealManifest(reading: most.octets) == most)
  }

  @Test("A seal follows the one before it")
  func follows() throws {
    let first = try Export((1...4).map { Samples.small($0) })
    let chain = try #require(first.chain.last)
    let before = stride(from: 0, to: 64, by: 2).map { UInt8(String(decoding: chain[$0..<$0 + 2], as: UTF8.self), radix: 16)! }
    let second = try Export((5...9).map { Samples.small($0) }, chainBefore: before, after: first.manifest)
    #expect(first.manifest.faults(after: nil).isEmpty)
    #expect(second.manifest.faults(after: first.manifest).isEmpty)
    #expect(second.faults().isEmpty)
    #expect(second.manifest.faults(after: nil).count == 4)
    #expect(first.manifest.faults(after: first.manifest).count == 4)
    for change: (inout SealManifest) -> Void in [
      { $0.number += 1 }, { $0.first += 1 }, { $0.chainBefore = $0.root }, { $0.previous = $0.root }, { $0.provider = "Altro" },
    ] {
      var other = second.manifest
      change(&other)
      #expect(other.faults(after: first.manifest).map(\.kind) == [.sealDiffers])
    }
    var forged = first.manifest
    forged.madeAt.unixSeconds += 1
    #expect(second.manifest.faults(after: forged).count == 1)
  }

  @Test("A writer takes rows one after the other only")
  func writer() throws {
    var writer = SealedRowsWriter(chainBefore: EventChain.beginning)
    var (rows, chain): ([UInt8], [UInt8]) = ([], [])
    let made = Instant(unixSeconds: 0, utcOffsetSeconds: 0)
    #expect(writer.manifest(provider: "G", after: nil, madeAt: made, reason: "asked") == nil)
    try writer.add(Samples.small(7), rows: &rows, chainLines: &chain)
    for wrong: Int64 in [7, 6, 9] {
      #expect(throws: EvidenceError.notConsecutive(expected: 8, found: wrong)) {
        try writer.add(Samples.small(wrong), rows: &rows, chainLines: &chain)
      }
    }
    try writer.add(Samples.small(8), canonical: CanonicalEvent.octets(Samples.small(8)), rows: &rows, chainLines: &chain)
    #expect(writer.count == 2)
    #expect(rows.count { $0 == 10 } == 2)
    #expect(chain.count == 2 * 65)
    let manifest = try #require(writer.manifest(provider: "G", after: nil, madeAt: made, reason: "asked"))
    #expect((manifest.number, manifest.first, manifest.last) == (1, 7, 8))
    #expect((manifest.from, manifest.to) == (Samples.small(7).instant, Samples.small(8).instant))
    #expect(manifest.chainAfter == Hex.encode(writer.chain))
    #expect(Export.faults(manifest, rows, chain).isEmpty)
  }
}
