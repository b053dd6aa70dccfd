import Foundation
import Octets
import Testing

@testable import TimeStamping

@Suite struct EvidenceTests {
  private let world: TestWorld
  private let authorities: TimeStampAuthorities
  private let data = Array("sigillo 17".utf8)

  init() throws {
    world = try TestWorld.shared.get()
    authorities = try world.authorities()
  }

  private func begun(_ data: [UInt8], at time: Int64 = TestWorld.year(2012)) throws -> EvidenceRecord {
    let imprint = TimeStampDigest.sha256.digest(data)
    return try EvidenceRecord(first: world.token(imprint, by: "first", at: time), imprint: imprint)
  }

  /// Four stamps in two chains, 2012 to 2026.
  private func old() throws -> EvidenceRecord {
    var record = try begun(data)
    try record.renew(world.token(record.renewalImprint, by: "second", at: TestWorld.year(2014, plusDays: 100)))
    let imprint = record.hashRenewalImprint(data: data, digest: .sha512)
    try record.renewHash(world.token(imprint, by: "third", at: TestWorld.year(2019, plusDays: 100), digest: .sha512), data: data)
    try record.renew(world.token(record.renewalImprint, by: "tsa", at: TestWorld.year(2025), digest: .sha512))
    return record
  }

  private func failure(_ record: EvidenceRecord, _ data: [UInt8], _ authorities: TimeStampAuthorities? = nil, at: Int64? = nil)
    -> TimeStampError?
  {
    fault { () throws(TimeStampError) in _ = try record.verify(data: data, authorities: authorities ?? self.authorities, at: at) }
  }

  @Test func oneStamp() throws {
    let record = try begun(data)
    let proof = try record.verify(data: data, authorities: authorities)
    #expect(proof.provenSince == TestWorld.year(2012) && proof.validUntil == TestWorld.year(2015) && proof.tokens.count == 1)
    #expect(try EvidenceRecord(reading: record.octets) == record && record.chainCount == 1)
    #expect(failure(record, data + [0]) == .evidenceStamp(chain: 1, stamp: 1, .otherImprint))
    // Asked about in 2026 nobody vouches for it any more.
    guard case .evidenceStamp(1, 1, .notValid) = failure(record, data, at: world.now) else {
      Issue.record("an expired record holds")
      return
    }
    #expect(throws: TimeStampError.otherImprint) { try EvidenceRecord(first: record.tokens[0], imprint: Array(repeating: 0, count: 32)) }
    let parsed = try parse(record.octets, "one")
    #expect(parsed.contains("sha256") && parsed.contains("pkcs7-signedData"))
  }

  private func parse(_ octets: [UInt8], _ name: String) throws -> String {
    try world.write(octets, to: "\(name).er")
    return try world.openssl("asn1parse", "-inform", "DER", "-in", world.path("\(name).er")).text
  }

  @Test func renewedStamps() throws {
    let record = try old()
    let proof = try record.verify(data: data, authorities: authorities, at: world.now)
    #expect(proof.provenSince == TestWorld.year(2012) && proof.validUntil == TestWorld.year(2060))
    #expect(proof.tokens.map(\.authority) == ["CN=first", "CN=second", "CN=third", "CN=tsa"] && record.chainCount == 2)
    let read = try EvidenceRecord(reading: record.octets)
    #expect(read == record && read.octets == record.octets && read.digest == .sha512)
    #expect(try parse(record.octets, "old").contains("sha512"))
    #expect(failure(record, Array("sigillo 18".utf8)) == .evidenceStamp(chain: 1, stamp: 1, .otherImprint))
  }

  /// The digests of RFC 4998 §5.2, made by the command.
  @Test func imprintsOfTheCommand() throws {
    var record = try begun(data)
    func digest(_ octets: [UInt8], _ name: String) throws -> String {
      try world.write(octets, to: "imprint.bin")
      return String(try world.openssl("dgst", name, "-r", world.path("imprint.bin")).text.prefix { $0 != " " })
    }
    #expect(try Hex.encode(record.renewalImprint) == digest(record.tokens[0].octets, "-sha256"))
    try record.renew(world.token(record.renewalImprint, by: "second", at: TestWorld.year(2014, plusDays: 100)))
    // ArchiveTimeStampSequence: the last element of the record.
    let octets = record.octets
    let lines = try parse(octets, "sequence").split(separator: "\n").filter { $0.contains("d=1 ") }
    let at = try #require(lines.last?.split(separator: ":").first.flatMap { Int($0.trimmingCharacters(in: .whitespaces)) })
    let sequence = Array(octets[at...])
    let both = TimeStampDigest.sha512.digest(data) + TimeStampDigest.sha512.digest(sequence)
    #expect(try Hex.encode(record.hashRenewalImprint(data: data, digest: .sha512)) == digest(both, "-sha512"))
  }

  @Test func badRenewals() throws {
    var record = try begun(data)
    let before = record
    let imprint = record.renewalImprint
    #expect(throws: TimeStampError.otherImprint) { try record.renew(world.token(Array(repeating: 1, count: 32), at: TestWorld.year(2025))) }
    #expect(throws: TimeStampError.self) { try record.renew(world.token(imprint, by: "first", at: TestWorld.year(2011))) }
    #expect(throws: TimeStampError.otherImprint) {
      try record.renew(world.token(TimeStampDigest.sha512.digest(record.tokens[0].octets), at: TestWorld.year(2025), digest: .sha512))
    }
    let other = record.hashRenewalImprint(data: data + [1], digest: .sha512)
    #expect(throws: TimeStampError.otherImprint) {
      try record.renewHash(world.token(other, at: TestWorld.year(2025), digest: .sha512), data: data)
    }
    #expect(record == before)
    // Renewed when the first certificate had ended: the first stamp proves nothing then.
    try record.renew(world.token(imprint, by: "second", at: TestWorld.year(2016)))
    guard case .evidenceStamp(1, 1, .notValid) = failure(record, data) else {
      Issue.record("a renewal that came too late was taken")
      return
    }
  }

  @Test func compromisedAfterRenewal() throws {
    let record = try old()
    let fine = try world.list("er-fine", revoked: "second", at: "200101000000Z", reason: "keyCompromise")
    #expect(failure(record, data, try world.authorities(lists: [fine])) == nil)
    let bad = try world.list("er-bad", revoked: "second", at: "180101000000Z", reason: "keyCompromise")
    guard case .evidenceStamp(1, 2, .revoked) = failure(record, data, try world.authorities(lists: [bad])) else {
      Issue.record("a stamp of a compromised key was taken")
      return
    }
  }

  @Test func stampsLeftOutOrMoved() throws {
    let stamps = try old().chains
    func record(_ chains: [[ArchiveTimeStamp]]) throws -> EvidenceRecord {
      let sequence = DERWriter.element(
        DERWriter.sequence, joining: chains.map { DERWriter.element(DERWriter.sequence, joining: $0.map(\.octets)) })
      let names = [TimeStampDigest.sha256, .sha512].map { DERWriter.element(DERWriter.sequence, $0.identifierContent(withNull: false)) }
      return try EvidenceRecord(
        reading: DERWriter.element(DERWriter.sequence, DERWriter.number(1), DERWriter.element(DERWriter.sequence, joining: names), sequence)
      )
    }
    #expect(failure(try record(stamps), data) == nil)
    #expect(failure(try record([stamps[0]]), data) == nil)
    #expect(failure(try record([[stamps[0][1]], stamps[1]]), data) == .evidenceStamp(chain: 1, stamp: 1, .otherImprint))
    #expect(failure(try record([[stamps[0][0]], stamps[1]]), data) != nil)
    #expect(failure(try record([stamps[0], [stamps[1][1]]]), data) != nil)
    #expect(failure(try record([stamps[0], [stamps[1][0], stamps[1][0]]]), data) == .evidenceStamp(chain: 2, stamp: 2, .otherImprint))
    #expect(failure(try record([stamps[1], stamps[0]]), data) == .evidenceStamp(chain: 1, stamp: 1, .otherImprint))
    #expect(failure(try record([stamps[1]]), data) == .evidenceStamp(chain: 1, stamp: 1, .otherImprint))
    for chains in [[], [[]], [stamps[0], []], [stamps[0] + stamps[1]]] {
      #expect(throws: TimeStampError.self) { try record(chains) }
    }
  }

  @Test(arguments: [1, 2, 3, 4, 5, 8, 9, 17])
  func renewedTogether(count: Int) throws {
    let records = try (0..<count).map { try begun([UInt8($0)], at: TestWorld.year(2012, plusDays: Int64($0))) }
    let renewal = try EvidenceRecord.renewTogether(records)
    let token = try world.token(renewal.imprint, by: "second", at: TestWorld.year(2014, plusDays: 9), digest: renewal.digest)
    let renewed = try renewal.finish(token)
    #expect(renewed.count == count)
    for (number, record) in renewed.enumerated() {
      let read = try EvidenceRecord(reading: record.octets)
      #expect(read == record)
      let proof = try read.verify(data: [UInt8(number)], authorities: authorities)
      #expect(proof.provenSince == TestWorld.year(2012, plusDays: Int64(number)) && proof.validUntil == TestWorld.year(2020))
      #expect(failure(read, [UInt8(number) + 1]) != nil)
      // Each goes on by itself.
      var more = read
      try more.renew(world.token(more.renewalImprint, by: "third", at: TestWorld.year(2019, plusDays: 9)))
      #expect(failure(more, [UInt8(number)]) == nil)
    }
    let other = try world.token(Array(repeating: 9, count: 32), by: "second", at: TestWorld.year(2014, plusDays: 9))
    #expect(throws: TimeStampError.otherImprint) { try renewal.finish(other) }
  }

  @Test func notTogether() throws {
    #expect(throws: TimeStampError.self) { try EvidenceRecord.renewTogether([]) }
    let (one, other) = (try begun(data), try old())
    #expect(throws: TimeStampError.self) { try EvidenceRecord.renewTogether([one, other]) }
  }

  /// The example of RFC 4998 §4.2, with digests put together here.
  @Test func hashTree() throws {
    let digest = TimeStampDigest.sha256
    func node(_ values: [[UInt8]]) -> [UInt8] { digest.digest(values.sorted { $0.lexicographicallyPrecedes($1) }.flatMap(\.self)) }
    let leaves = (0..<5).map { digest.digest([UInt8($0)]) }
    let (first, second) = (node([leaves[0], leaves[1]]), node([leaves[2], leaves[3]]))
    let tree = HashTree(leaves, digest)
    #expect(tree.root == node([node([first, second]), leaves[4]]))
    #expect(tree.reduced[2] == [[leaves[2], leaves[3]].sorted { $0.lexicographicallyPrecedes($1) }, [first], [leaves[4]]])
    #expect(tree.reduced[4].count == 1 && tree.reduced[4][0].contains(leaves[4]))
    for (leaf, lists) in zip(leaves, tree.reduced) {
      #expect(HashTree.root(from: leaf, through: lists, digest) == tree.root)
      #expect(HashTree.root(from: digest.digest([99]), through: lists, digest) == nil)
    }
    // Groups of other makers: three values in a list.
    let group = [leaves[0], leaves[1], leaves[2]]
    #expect(
      HashTree.root(from: leaves[1], through: [group, [leaves[3], leaves[4]]], digest) == node([node(group), leaves[3], leaves[4]]))
    #expect(HashTree([leaves[0]], digest).root == leaves[0])
    let same = HashTree([leaves[0], leaves[0]], digest)
    #expect(HashTree.root(from: leaves[0], through: same.reduced[1], digest) == same.root)
  }

  @Test func renewalNeeds() throws {
    let record = try begun(data)
    let (end, day) = (TestWorld.year(2015), Int64(86_400))
    #expect(!record.needsRenewal(at: end - 91 * day, marginSeconds: 90 * day))
    #expect(record.needsRenewal(at: end - 90 * day, marginSeconds: 90 * day) && record.needsRenewal(at: end + day, marginSeconds: 0))
    #expect(
      record.renewalNeed(at: end, marginSeconds: 0) == .stamp("the certificate of CN=first ends on 2015-01-01 00:00:00 UTC"))
    #expect(record.needsRenewal(at: 0, marginSeconds: .max) && !record.needsRenewal(at: end - day, marginSeconds: .min))
    #expect(record.renewalNeed(at: 0, marginSeconds: 0, weakDigests: [.sha256]) == .hash("its digests are made with SHA-256"))
    // Digests of SHA-512 under signatures of SHA-256.
    #expect(
      try old().renewalNeed(at: 0, marginSeconds: 0, weakDigests: [.sha256]) == .stamp("the last stamp is signed with SHA256"))
    #expect(try old().renewalNeed(at: 0, marginSeconds: 0, weakDigests: [.sha384]) == nil)
  }

  @Test func everyTruncationAndManyOctets() throws {
    var record = try begun(data)
    let renewal = try EvidenceRecord.renewTogether([record, begun([7])])
    record = try renewal.finish(world.token(renewal.imprint, by: "second", at: TestWorld.year(2014, plusDays: 9)))[0]
    let octets = record.octets
    for count in 0..<octets.count {
      #expect(fault { () throws(TimeStampError) in _ = try EvidenceRecord(reading: Array(octets.prefix(count))) } != nil, "\(count)")
    }
    #expect(fault { () throws(TimeStampError) in _ = try EvidenceRecord(reading: octets + [0]) } != nil)
    var passed: [Int] = []
    // Each bit of an octet in its turn; a third of the octets, because each asks for four signatures to be verified.
    for at in stride(from: 1, to: octets.count, by: 3) {
      var changed = octets
      changed[at] ^= 1 << UInt8(at % 8)
      guard let read = try? EvidenceRecord(reading: changed) else { continue }
      guard let proof = try? read.verify(data: data, authorities: authorities) else { continue }
      passed.append(at)
      #expect(proof.provenSince == TestWorld.year(2012) && proof.validUntil == TestWorld.year(2020), "\(at)")
    }
    // Only octets of the last token that its signature leaves out: those of earlier ones are under the later stamp.
    let last = octets.count - record.tokens[1].octets.count
    #expect(passed.allSatisfy { $0 >= last } && passed.count < 12, "\(passed) of \(octets.count)")
  }
}
