import Foundation
import Octets
import Testing

@testable import Signing

@Suite struct RevocationTests {
  let world = TestWorld.shared
  static let content = "Content-Type: text/plain\r\n\r\nciao\r\n"
  static let middle = "C=IT, O=Test, CN=Test CA 1"
  static let root = "C=IT, O=Test Root, CN=Test Root CA"

  private func judged(
    _ lists: RevocationLists, _ cms: [UInt8], anchors: [String] = ["root"], at: Int64? = nil
  ) throws -> SignatureVerdict {
    let anchors = try TrustAnchors(paths: anchors.map { world.path($0 + ".pem") })
    let time = at ?? world.now
    let verdict = SignatureJudge(anchors: anchors, lists: lists).judge(
      cms: cms, content: [Chunk(RevocationTests.content)], at: time, now: world.now)
    // The archive's verifier says the same.
    let again = SignatureVerifier.verify(
      cms: cms, content: [Chunk(RevocationTests.content)], anchors: anchors, lists: lists, at: time, now: world.now)
    #expect(again == verdict)
    return verdict
  }

  private func fault(_ octets: [UInt8], anchors: [String] = ["root", "middle"]) throws -> RevocationError.Fault? {
    let lists = RevocationLists()
    do {
      _ = try lists.load(octets, named: "test", anchors: TrustAnchors(paths: anchors.map { world.path($0 + ".pem") }))
      return nil
    } catch let error as RevocationError {
      #expect(error.source == "test" && error.description.hasPrefix("test: ") && error.what.count > 10)
      #expect(lists.lines.isEmpty)
      return error.fault
    }
  }

  /// A list in the intermediate's name, signed by another key.
  private func forgedList(_ name: String, _ revoked: [Revoked] = []) throws -> [UInt8] {
    try world.openssl(
      "req", "-x509", "-key", world.path("other.key"), "-subj", "/C=IT/O=Test/CN=Test CA 1", "-days", "3650", "-out",
      world.path("\(name)-ca.pem"))
    return try world.list(name, by: "\(name)-ca", key: "other", revoked)
  }

  // MARK: What lists say

  @Test func everyAnswer() throws {
    let cms = try world.signature("answers", of: RevocationTests.content)
    let before = world.now - 100
    func answer(_ name: String, _ revoked: [Revoked], from: Int64? = nil, until: Int64? = nil, at: Int64? = nil) throws -> SignatureVerdict
    {
      let lists = RevocationLists()
      let list = try world.list(name, revoked, from: from, until: until)
      _ = try lists.load(list, named: name, anchors: world.anchors("root", "middle"))
      return try judged(lists, cms, anchors: ["root", "middle"], at: at)
    }
    let good = try answer("good", [Revoked(certificate: "other", at: before)])
    #expect(good.revocation == .good(listIssued: world.now - 3600) && good.holds && !good.isRevoked)
    #expect(good.sentences.contains { $0.hasPrefix("It is not among the revoked") })
    #expect(!good.sentences.contains { $0.contains("revocation was not looked up") })

    let revoked = try answer("revoked", [Revoked(certificate: "signer", at: before, reason: "keyCompromise")])
    #expect(revoked.revocation == .revoked(at: before, reason: "key compromise") && !revoked.holds && revoked.isRevoked)
    #expect(revoked.mathematics == .good && revoked.validity == .valid)
    #expect(revoked.sentences.contains { $0.contains("had been revoked on \(Calendar.text(before)) (key compromise)") })

    // To the second.
    #expect(try !answer("second", [Revoked(certificate: "signer", at: world.now)]).holds)
    let later = try answer("later", [Revoked(certificate: "signer", at: before, reason: "superseded")], at: before - 1)
    #expect(later.revocation == .revoked(at: before, reason: "superseded") && later.holds && !later.isRevoked)
    #expect(later.sentences.contains { $0.contains("does not unmake the signature") })
    #expect(try answer("bare", [Revoked(certificate: "signer", at: before)]).revocation == .revoked(at: before, reason: "no reason"))
    #expect(try !answer("hold", [Revoked(certificate: "signer", at: before, reason: "certificateHold")]).holds)

    // The key was lost before anybody said so.
    let lost = before - 500_000
    let digits = String(decoding: try #require(Calendar.generalized(lost)), as: UTF8.self)
    let stolen = try answer("stolen", [Revoked(certificate: "signer", at: before, reason: "keyTime,\(digits)")], at: before - 1)
    #expect(stolen.revocation == .revoked(at: lost, reason: "key compromise") && !stolen.holds)
  }

  @Test func staleAndMissingLists() throws {
    let cms = try world.signature("stale", of: RevocationTests.content)
    let lists = RevocationLists()
    let nothing = try judged(lists, cms, anchors: ["root", "middle"])
    #expect(nothing.revocation == .noList(issuer: RevocationTests.middle) && nothing.holds)
    #expect(nothing.sentences.contains { $0.contains("there is no revocation list of \(RevocationTests.middle)") })
    #expect(lists.lines.isEmpty && lists.staleLines(at: .max).isEmpty)

    let from = world.now - 10_000
    let until = world.now - 5_000
    let lines = try lists.load(
      world.list("old", from: from, until: until), named: "http://crl.test/old", anchors: world.anchors("root", "middle"))
    #expect(
      lines == [
        "\(RevocationTests.middle): issued \(Calendar.text(from)), next \(Calendar.text(until)), 0 entries (http://crl.test/old)"
      ])
    #expect(lists.lines == lines)
    let stale = try judged(lists, cms, anchors: ["root", "middle"])
    #expect(stale.revocation == .stale(issuer: RevocationTests.middle, since: until) && stale.holds)
    #expect(stale.sentences.contains { $0.contains("is stale") })
    #expect(lists.staleLines(at: until).isEmpty)
    #expect(lists.staleLines(at: until + 1).count == 1)
    #expect(lists.staleLines(at: until + 1)[0].contains("(http://crl.test/old) is stale"))
    // At a time that the list still covers it is not stale, whatever the clock says now: an archive's question.
    #expect(try judged(lists, cms, anchors: ["root", "middle"], at: until).revocation == .good(listIssued: from))

    // A revoked certificate stays revoked in a stale list.
    _ = try lists.load(
      world.list("old-revoked", [Revoked(certificate: "signer", at: from)], from: from, until: until), named: "x",
      anchors: world.anchors("root", "middle"))
    #expect(try judged(lists, cms, anchors: ["root", "middle"]).isRevoked)
  }

  @Test func aListIssuedAfterTheCertificatesEndIsSilentAboutIt() throws {
    try world.issue(
      "brief", key: "other", by: "middle", subject: "/C=IT/O=Brief", days: 1,
      extensions: TestWorld.profile + "\nsubjectAltName=email:\(TestWorld.address)")
    let facts = try #require(
      CertificateFacts(der: [UInt8](try world.openssl("x509", "-in", world.path("brief.pem"), "-outform", "DER").output)))
    let cms = try world.signature("brief", of: RevocationTests.content, by: "brief", key: "other")
    let lists = RevocationLists()
    _ = try lists.load(
      world.list("after", from: facts.notAfter + 10, until: facts.notAfter + 100_000), named: "x", anchors: world.anchors("root", "middle"))
    let verdict = try judged(lists, cms, at: facts.notAfter - 10)
    #expect(verdict.holds && verdict.revocation == .noList(issuer: RevocationTests.middle))
    #expect(verdict.sentences.contains { $0.contains("issued after the certificate's end") })
    // It is not silent when it names it.
    _ = try lists.load(
      world.list(
        "after2", [Revoked(certificate: "brief", at: facts.notAfter - 20)], from: facts.notAfter + 20, until: facts.notAfter + 100_000),
      named: "x", anchors: world.anchors("root", "middle"))
    #expect(try judged(lists, cms, at: facts.notAfter - 10).isRevoked)
  }

  @Test func newerListsReplaceOlderOnesAndNeverTheOtherWay() throws {
    let cms = try world.signature("rollback", of: RevocationTests.content)
    let anchors = try world.anchors("root", "middle")
    let old = try world.list("roll-old", from: world.now - 5000)
    let new = try world.list("roll-new", [Revoked(certificate: "signer", at: world.now - 4500)], from: world.now - 4000)
    let lists = RevocationLists()
    _ = try lists.load(old, named: "old", anchors: anchors)
    #expect(try judged(lists, cms, anchors: ["root", "middle"]).holds)
    _ = try lists.load(new, named: "new", anchors: anchors)
    #expect(lists.lines.count == 1)
    #expect(try !judged(lists, cms, anchors: ["root", "middle"]).holds)
    let lines = try lists.load(old, named: "replayed", anchors: anchors)
    #expect(lines.count == 1 && lines[0].contains("not taken"))
    #expect(try !judged(lists, cms, anchors: ["root", "middle"]).holds)
    // The same edition again, and DER instead of PEM.
    try world.openssl("crl", "-in", world.path("roll-new.crl"), "-outform", "DER", "-out", world.path("roll-new.der"))
    #expect(try !lists.load(world.octets("roll-new.der"), named: "again", anchors: anchors)[0].contains("not taken"))
    #expect(lists.lines.count == 1 && lists.lines[0].contains("1 entry (again)"))
  }

  // MARK: Authorities of the path

  @Test func aListOfAnIntermediateWaitsForItsCertificate() throws {
    let cms = try world.signature("waiting", of: RevocationTests.content)
    let lists = RevocationLists()
    let lines = try lists.load(
      world.list("waits", [Revoked(certificate: "signer", at: world.now - 900)]), named: "w", anchors: world.anchors("root"))
    #expect(lines[0].contains("waits for its issuer's certificate"))
    #expect(lists.lines == lines)
    // A message that brings the certificate of the issuer on a path that is good: from then on the list counts, for it already.
    #expect(try judged(lists, cms).isRevoked)
    #expect(!lists.lines[0].contains("waits"))
    // And the issuer is known: a list that it did not sign is refused.
    let forged = try forgedList("forged-later")
    #expect(throws: RevocationError.self) { try lists.load(forged, named: "f", anchors: world.anchors("root")) }
  }

  /// A forger's list bears the name of the authority; it waits, decides nothing, and keeps the real one from nothing.
  @Test func aForgedListDecidesNothing() throws {
    let cms = try world.signature("forged", of: RevocationTests.content)
    let lists = RevocationLists()
    let anchors = try world.anchors("root")
    // Signed by another key than the intermediate's, whose certificate is not known yet.
    let forged = try forgedList("forged", [Revoked(certificate: "signer", at: world.now - 900)])
    #expect(try lists.load(forged, named: "forger", anchors: anchors)[0].contains("waits"))
    #expect(try judged(lists, cms).revocation == .noList(issuer: RevocationTests.middle))
    _ = try lists.load(world.list("genuine", from: world.now - 7200), named: "authority", anchors: anchors)
    #expect(try judged(lists, cms).revocation == .good(listIssued: world.now - 7200))
    #expect(lists.lines.count == 2)
    // With the authority known it is refused at once.
    #expect(try fault(forged) == .badSignature(issuer: RevocationTests.middle))
  }

  @Test func aRevokedAuthority() throws {
    let cms = try world.signature("authority", of: RevocationTests.content)
    let lists = RevocationLists()
    let anchors = try world.anchors("root")
    _ = try lists.load(world.list("own"), named: "own", anchors: anchors)
    let without = try judged(lists, cms)
    #expect(without.revocation == .good(listIssued: world.now - 3600) && without.holds)
    #expect(
      without.revocationRemarks == ["No revocation list of \(RevocationTests.root) was there for the authority \(RevocationTests.middle)."])
    _ = try lists.load(world.list("root-stale", by: "root", from: world.now - 9000, until: world.now - 8000), named: "r", anchors: anchors)
    #expect(try judged(lists, cms).revocation == .stale(issuer: RevocationTests.root, since: world.now - 8000))
    _ = try lists.load(
      world.list("root-good", by: "root", [Revoked(certificate: "other", at: world.now - 5000)], from: world.now - 7000), named: "r",
      anchors: anchors)
    let whole = try judged(lists, cms)
    #expect(whole.revocation == .good(listIssued: world.now - 3600) && whole.revocationRemarks.isEmpty)
    _ = try lists.load(
      world.list("root-revoked", by: "root", [Revoked(certificate: "middle", at: world.now - 50, reason: "CACompromise")]), named: "r",
      anchors: anchors)
    let revoked = try judged(lists, cms)
    #expect(
      revoked.revocation == .revoked(at: world.now - 50, reason: "authority compromise, of the authority \(RevocationTests.middle)"))
    #expect(!revoked.holds)
    #expect(try judged(lists, cms, at: world.now - 51).holds)
  }

  /// Authorities split their lists (RFC 5280 §5.2.5): a part speaks of the certificates that name it and of no others.
  @Test func partsOfLists() throws {
    let points = "\ncrlDistributionPoints=URI:http://crl.test/part1,URI:ldap://crl.test/part1"
    try world.issue(
      "parted", key: "other", by: "middle", subject: "/C=IT/O=Parted",
      extensions: TestWorld.profile + "\nsubjectAltName=email:\(TestWorld.address)" + points)
    let facts = try #require(
      CertificateFacts(der: [UInt8](try world.openssl("x509", "-in", world.path("parted.pem"), "-outform", "DER").output)))
    #expect(facts.revocationListURLs == ["http://crl.test/part1", "ldap://crl.test/part1"])
    #expect(try world.credentials().certificate.revocationListURLs.isEmpty)
    let parted = try world.signature("parted", of: RevocationTests.content, by: "parted", key: "other")
    let whole = try world.signature("unparted", of: RevocationTests.content)
    func part(_ number: Int, _ revoked: [Revoked]) throws -> [UInt8] {
      try world.list(
        "part\(number)", revoked,
        extensions: "issuingDistributionPoint=critical,@point\n[point]\nfullname=URI:http://crl.test/part\(number)")
    }
    let lists = RevocationLists()
    let anchors = try world.anchors("root", "middle")
    _ = try lists.load(part(2, [Revoked(certificate: "parted", at: world.now - 50)]), named: "2", anchors: anchors)
    #expect(try judged(lists, parted).revocation == .noList(issuer: RevocationTests.middle))
    let line = try lists.load(part(1, []), named: "1", anchors: anchors)[0]
    #expect(line.hasPrefix("\(RevocationTests.middle) for http://crl.test/part1: "))
    #expect(try judged(lists, parted).revocation == .good(listIssued: world.now - 3600))
    #expect(try judged(lists, whole).revocation == .noList(issuer: RevocationTests.middle))
    #expect(lists.lines.count == 2)
    _ = try lists.load(part(1, [Revoked(certificate: "parted", at: world.now - 50)]), named: "1", anchors: anchors)
    #expect(try judged(lists, parted).isRevoked)

    // Lists for users only, and for authorities only.
    let users = try world.list(
      "users", [Revoked(certificate: "signer", at: world.now - 60)],
      extensions: "issuingDistributionPoint=critical,@point\n[point]\nonlyuser=TRUE")
    let authorities = try world.list(
      "authorities", [Revoked(certificate: "signer", at: world.now - 60)],
      extensions: "issuingDistributionPoint=critical,@point\n[point]\nonlyCA=TRUE")
    let some = RevocationLists()
    _ = try some.load(authorities, named: "a", anchors: anchors)
    #expect(try judged(some, whole).revocation == .noList(issuer: RevocationTests.middle))
    _ = try some.load(users, named: "u", anchors: anchors)
    #expect(try judged(some, whole).isRevoked)
  }

  // MARK: What is refused

  @Test func listsThatAreNotTaken() throws {
    #expect(try fault([]) == .noList)
    #expect(try fault(Array("nothing".utf8)) == .noList)
    #expect(try fault(world.octets("signer.pem")) == .noList)
    #expect(try fault([UInt8](repeating: 0x30, count: RevocationLists.maximumBytes + 1)) == .tooLarge(RevocationLists.maximumBytes + 1))
    #expect(try fault([0x30, 0x03, 1, 2, 3]) == .malformed(1))
    #expect(try fault(Array("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n".utf8)) == .malformed(1))
    let good = try world.list("fine")
    try world.openssl("crl", "-in", world.path("fine.crl"), "-outform", "DER", "-out", world.path("fine.der"))
    let der = try world.octets("fine.der")
    #expect(try fault(der) == nil)
    #expect(try fault(der + [0]) == .malformed(1))
    #expect(try fault(Array(good.prefix(good.count / 2))) == .malformed(1))
    // Every octet counts.
    for at in stride(from: 4, to: der.count, by: 7) {
      var spoiled = der
      spoiled[at] ^= 1
      let found = try fault(spoiled, anchors: ["middle"])
      if found == nil {
        // Another issuer's name: it waits, for nobody.
        let lists = RevocationLists()
        #expect(try lists.load(spoiled, named: "s", anchors: world.anchors("middle"))[0].contains("waits"), "octet \(at) does not matter")
      }
    }
    // All or nothing.
    let bundle = good + (try forgedList("wrong-key"))
    #expect(try fault(bundle) == .badSignature(issuer: RevocationTests.middle))
    let lists = RevocationLists()
    let both = try lists.load(good + world.list("of-root", by: "root"), named: "both", anchors: world.anchors("root", "middle"))
    #expect(both.count == 2 && lists.lines.count == 2)

    func unsupported(_ name: String, _ extensions: String) throws -> Bool {
      let list = try world.list(name, extensions: extensions)
      guard case .unsupported(RevocationTests.middle, _) = try fault(list) else { return false }
      return true
    }
    #expect(try unsupported("indirect", "issuingDistributionPoint=critical,@point\n[point]\nindirectCRL=TRUE"))
    #expect(try unsupported("attributes", "issuingDistributionPoint=critical,@point\n[point]\nonlyAA=TRUE"))
    #expect(try unsupported("reasons", "issuingDistributionPoint=critical,@point\n[point]\nonlysomereasons=keyCompromise"))
    #expect(try unsupported("directory", "issuingDistributionPoint=critical,@point\n[point]\nfullname=dirName:dn\n[dn]\nCN=x"))
    #expect(try unsupported("delta", "2.5.29.27=critical,DER:020101"))
    #expect(try unsupported("unknown", "1.2.3.4.5=critical,DER:0500"))
    #expect(try fault(world.list("uncritical", extensions: "1.2.3.4.5=DER:0500")) == nil)
    #expect(try fault(world.list("md5", digest: "md5")) == .digestAlgorithm(issuer: RevocationTests.middle))
    #expect(try fault(world.list("sha1", digest: "sha1")) == nil)
  }

  /// Lists that nobody known signed take a bounded room, each source its own.
  @Test func strangersCannotFillTheRoom() throws {
    let lists = RevocationLists()
    let anchors = try world.anchors("root")
    let stranger = try forgedList("stranger")
    let many = (0...RevocationLists.maximumWaiting).flatMap { _ in stranger }
    #expect(throws: RevocationError(fault: .tooMany, source: "s")) { try lists.load(many, named: "s", anchors: anchors) }
    let most = (0..<RevocationLists.maximumWaiting).flatMap { _ in stranger }
    for source in ["s", "s", "t"] { #expect(try lists.load(most, named: source, anchors: anchors).count == RevocationLists.maximumWaiting) }
    #expect(lists.lines.count == 2 * RevocationLists.maximumWaiting)
    _ = try lists.load(stranger, named: "s", anchors: anchors)
    #expect(lists.lines.count == RevocationLists.maximumWaiting + 1)
    _ = try lists.load(world.list("room", by: "root"), named: "r", anchors: anchors)
    #expect(throws: RevocationError(fault: .tooMany, source: "x")) {
      try lists.load((0...RevocationLists.maximumLists).flatMap { _ in stranger }, named: "x", anchors: anchors)
    }
  }

  /// An anchor that is the signer's own certificate has no authority to ask.
  @Test func theSignerAsAnAnchor() throws {
    let verdict = try judged(RevocationLists(), world.signature("leaf", of: RevocationTests.content, with: []), anchors: ["signer"])
    #expect(verdict.holds && verdict.revocation == .noList(issuer: RevocationTests.middle))
    guard
      case .bad = try judged(RevocationLists(), world.signature("leaf2", of: RevocationTests.content, by: "other"), anchors: ["signer"])
        .chain
    else {
      Issue.record("a neighbour was believed")
      return
    }
  }

  @Test func anIssuerMustHaveTheRight() throws {
    try world.key("clerk", bits: 2048)
    try world.issue(
      "clerk", key: "clerk", by: "root", subject: "/CN=clerk",
      extensions: "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash")
    #expect(try fault(world.list("clerks", by: "clerk"), anchors: ["clerk"]) == .issuerMayNot(issuer: "CN=clerk"))
    // Issued anew with the right.
    try world.issue(
      "clerk2", key: "clerk", by: "root", subject: "/CN=clerk",
      extensions: "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash")
    #expect(try fault(world.list("clerks", by: "clerk"), anchors: ["clerk", "clerk2"]) == nil)
  }

  @Test func listsAreAskedWhileTheyAreLoaded() async throws {
    let cms = try world.signature("busy", of: RevocationTests.content)
    let anchors = try world.anchors("root", "middle")
    let lists = RevocationLists()
    let editions = try (0..<4).map { number in
      try world.list(
        "edition\(number)", number < 3 ? [] : [Revoked(certificate: "signer", at: world.now - 9)], from: world.now - 100 + Int64(number))
    }
    let judge = SignatureJudge(anchors: anchors, lists: lists)
    let now = world.now
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<3 {
        group.addTask {
          for _ in 0..<200 {
            let verdict = judge.judge(cms: cms, content: [Chunk(RevocationTests.content)], at: now, now: now)
            #expect(verdict.mathematics == .good)
            if case .stale = verdict.revocation { Issue.record("no list was stale") }
          }
        }
      }
      group.addTask {
        for edition in editions { for _ in 0..<5 { _ = try? lists.load(edition, named: "x", anchors: anchors) } }
      }
    }
    #expect(judge.judge(cms: cms, content: [Chunk(RevocationTests.content)], at: now, now: now).isRevoked)
    #expect(lists.lines.count == 1)
  }
}
