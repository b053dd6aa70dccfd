import Foundation
import Octets
import PEC
import Testing

@testable import Laboratory
@testable import Operations

/// `ceralacca verify` over messages that `openssl` signed with the laboratory's keys.
@Suite struct VerifyTests {
  let world: LabWorld

  init() throws { world = try LabWorld.shared.get() }

  private func verifier(index: Bool = true, lists: [String] = [], ca: String = "ca.pem") throws -> MessageVerifier {
    try MessageVerifier(
      authority: world.path(ca), index: index ? world.path("index.ldif") : nil, revocationLists: lists.map(world.path))
  }

  private var receipt: LabWorld.Message { LabWorld.Message(data: world.data(.acceptance)) }

  @Test func everythingHolds() throws {
    let message = try world.made(receipt, signer: world.path("alfa/signer.pem"))
    let finding = try verifier(lists: ["ca.crl"]).examine(message, named: "x")
    #expect(finding.holds, "\(finding.sentences)")
    #expect(finding.kind == "acceptance receipt" && finding.italianKind == "ricevuta di accettazione")
    #expect(finding.provider == "Alfa PEC S.p.A." && finding.identifier == "alfa1.1@pec.alfa.test")
    #expect(finding.sentences.contains("The provider index lists the certificate; Alfa PEC S.p.A. signs with it."))
    #expect(finding.sentences.contains("From is of the domain pec.alfa.test, which that provider manages."))
    // Without an index the question is left open, and nothing is said of it.
    let open = try verifier(index: false).examine(message, named: "x")
    #expect(open.holds && open.provider == nil && !open.sentences.contains { $0.contains("provider index") })
    // The signed index says the same.
    let signed = try MessageVerifier(
      authority: world.path("ca.pem"), index: world.path("index.ldif.p7m"), indexSigners: world.path("index-operator.pem"))
    #expect(signed.examine(message, named: "x").provider == "Alfa PEC S.p.A.")
  }

  @Test func oneOctetChanged() throws {
    var message = try world.made(receipt, signer: world.path("alfa/signer.pem"))
    let at = try #require(message.firstRange(of: Array("Ricevuta\n".utf8)) ?? message.firstRange(of: Array("Ricevuta\r\n".utf8)))
    message[at.lowerBound] ^= 1
    let finding = try verifier().examine(message, named: "x")
    #expect(!finding.holds && finding.sentences.contains { $0.contains("changed after it was signed") })
  }

  @Test func forgedCertificate() throws {
    let message = try world.made(
      LabWorld.Message(from: "posta-certificata@pec.beta.test", data: world.data(.acceptance)), signer: world.path("forge/signer.pem"))
    #expect(try !verifier(index: false).examine(message, named: "x").holds)
    // Even to somebody who believes the forger's authority.
    let believing = try verifier(ca: "forge/ca.pem").examine(message, named: "x")
    #expect(!believing.holds && believing.provider == nil)
    #expect(believing.sentences.contains { $0.hasPrefix("The provider index does not list the signer's certificate") })
    #expect(try verifier(index: false, ca: "forge/ca.pem").examine(message, named: "x").holds)
  }

  @Test func domainOfSomebodyElse() throws {
    // A certificate of alfa's that is made out to an address of beta's: listed, and yet not beta's to sign with.
    let pki = try LaboratoryPKI(directory: world.directory, now: world.now)
    let address = "posta-certificata@pec.beta.test"
    let certificate = try pki.signer(provider: "Alfa PEC S.p.A.", serviceAddress: address, path: world.path("crossing.pem"))
    let beta = try pki.signer(
      provider: LabProvider.beta.name, serviceAddress: address, path: world.path("beta/signer.pem"))
    try world.write(
      LaboratoryIndex.ldif(providers: [LabProvider.alfa.listed(with: certificate), LabProvider.beta.listed(with: beta)]),
      to: "crossing.ldif")
    let message = try world.made(
      LabWorld.Message(from: address, data: world.data(.acceptance)), signer: world.path("crossing.pem"))
    let finding = try MessageVerifier(authority: world.path("ca.pem"), index: world.path("crossing.ldif")).examine(message, named: "x")
    #expect(!finding.holds && finding.provider == "Alfa PEC S.p.A.")
    #expect(
      finding.sentences.contains(
        "From is of the domain pec.beta.test, which is not one of that provider's domains: it is Beta PEC S.r.l.'s."))
  }

  @Test func listedByItsHashAlone() throws {
    // The hash is a key to search with; the certificate under it must be the very one (pec-rules 6.2).
    let pki = try LaboratoryPKI(directory: world.directory, now: world.now)
    let alfa = LabProvider.alfa
    let own = try pki.signer(provider: alfa.name, serviceAddress: alfa.serviceAddress, path: world.path("alfa/signer.pem"))
    let other = try pki.signer(provider: alfa.name, serviceAddress: alfa.serviceAddress, path: world.path("other.pem"))
    let crossed = LaboratoryCertificate(der: other.der, sha1Fingerprint: own.sha1Fingerprint, pem: [])
    let good = LaboratoryCertificate(der: other.der, sha1Fingerprint: other.sha1Fingerprint, pem: [])
    var listed = alfa.listed(with: crossed)
    listed.certificates.append(good)
    try world.write(LaboratoryIndex.ldif(providers: [listed]), to: "crossed.ldif")
    let message = try world.made(receipt, signer: world.path("alfa/signer.pem"))
    let finding = try MessageVerifier(authority: world.path("ca.pem"), index: world.path("crossed.ldif")).examine(message, named: "x")
    #expect(!finding.holds && finding.provider == nil)
  }

  @Test func judgedAtItsOwnTime() throws {
    let pki = try LaboratoryPKI(directory: world.directory, now: world.now)
    let address = "posta-certificata@pec.alfa.test"
    let old = try pki.signer(
      provider: "Alfa PEC S.p.A.", serviceAddress: address, path: world.path("old.pem"),
      validity: LaboratoryValidity(fromDays: -20, toDays: -10))
    try world.write(LaboratoryIndex.ldif(providers: [LabProvider.alfa.listed(with: old)]), to: "old.ldif")
    let then = try MessageVerifier(authority: world.path("ca.pem"), index: world.path("old.ldif"))
    func finding(daysAgo: Int64) throws -> MessageFinding {
      let data = world.data(.acceptance, at: world.now - daysAgo * 86_400)
      return then.examine(try world.made(LabWorld.Message(data: data), signer: world.path("old.pem")), named: "x")
    }
    // The authority of this laboratory is younger than the message; an anchor's own dates do not count against the signer.
    let good = try finding(daysAgo: 15)
    #expect(good.holds, "\(good.sentences)")
    #expect(good.sentences.contains { $0.contains("it has expired since") })
    let late = try finding(daysAgo: 5)
    #expect(!late.holds && late.sentences.contains { $0.contains("had expired by") })
  }

  @Test func revoked() throws {
    let pki = try LaboratoryPKI(directory: world.directory, now: world.now)
    let path = world.path("revoked.pem")
    let certificate = try pki.signer(
      provider: "Alfa PEC S.p.A.", serviceAddress: "posta-certificata@pec.alfa.test", path: path)
    try world.write(LaboratoryIndex.ldif(providers: [LabProvider.alfa.listed(with: certificate)]), to: "revoked.ldif")
    try pki.writeRevocationList(
      to: world.path("revoked.crl"), revoked: [LaboratoryRevocation(path: path, at: world.now - 3600)], fromDays: -1)
    let verifier = try MessageVerifier(
      authority: world.path("ca.pem"), index: world.path("revoked.ldif"), revocationLists: [world.path("revoked.crl")])
    func holds(secondsAgo: Int64) throws -> Bool {
      let data = world.data(.acceptance, at: world.now - secondsAgo)
      return verifier.examine(try world.made(LabWorld.Message(data: data), signer: path), named: "x").holds
    }
    #expect(try !holds(secondsAgo: 60), "signed after the revocation")
    #expect(try holds(secondsAgo: 7200), "signed before it: a later revocation does not unmake it (pec-rules 11.5)")
  }

  @Test(
    arguments: [
      ("X-Trasporto: posta-certificata", CertificationType.envelope, nil, true, "transport envelope", "busta di trasporto"),
      ("X-Ricevuta: accettazione", .acceptance, nil, false, "acceptance receipt", "ricevuta di accettazione"),
      ("X-Ricevuta: non-accettazione", .nonAcceptance, nil, false, "non-acceptance notice", "avviso di non accettazione"),
      (
        "X-Ricevuta: non-accettazione\nX-VerificaSicurezza: errore", .nonAcceptance, nil, false, "non-acceptance notice for a virus",
        "avviso di non accettazione per virus informatico"
      ),
      ("X-Ricevuta: presa-in-carico", .takeCharge, nil, false, "take-charge receipt", "ricevuta di presa in carico"),
      (
        "X-Ricevuta: avvenuta-consegna", .delivery, .complete, true, "complete delivery receipt",
        "ricevuta completa di avvenuta consegna"
      ),
      ("X-Ricevuta: avvenuta-consegna", .delivery, nil, true, "complete delivery receipt", "ricevuta completa di avvenuta consegna"),
      ("X-Ricevuta: avvenuta-consegna", .delivery, .brief, true, "brief delivery receipt", "ricevuta di avvenuta consegna breve"),
      (
        "X-Ricevuta: avvenuta-consegna", .delivery, .concise, false, "concise delivery receipt",
        "ricevuta sintetica di avvenuta consegna"
      ),
      // A Cc recipient's: the data still say what was asked for.
      (
        "X-Ricevuta: avvenuta-consegna", .delivery, .complete, false, "concise delivery receipt",
        "ricevuta sintetica di avvenuta consegna"
      ),
      ("X-Ricevuta: errore-consegna", .deliveryError, nil, false, "non-delivery notice", "avviso di mancata consegna"),
      (
        "X-Ricevuta: errore-consegna\nX-VerificaSicurezza: errore", .deliveryError, nil, false, "virus non-delivery notice",
        "avviso di mancata consegna per virus informatico"
      ),
      (
        "X-Ricevuta: preavviso-errore-consegna", .timeout, nil, false, "timeout notice",
        "avviso di mancata consegna per superamento dei tempi massimi previsti"
      ),
      (
        "X-Ricevuta: rilevazione-virus", .virusDetection, nil, false, "virus detection notice",
        "avviso di rilevazione virus informatico"
      ),
      ("X-Trasporto: errore", nil, nil, true, "anomaly envelope", "busta di anomalia"),
      ("X-Altro: niente", nil, nil, false, "not a PEC message", nil),
      ("X-Ricevuta: accettazione\nX-Ricevuta: accettazione", .acceptance, nil, false, "malformed PEC message", nil),
    ] as [(String, CertificationType?, ReceiptType?, Bool, String, String?)])
  func names(header: String, type: CertificationType?, asked: ReceiptType?, hasOriginal: Bool, english: String, italian: String?) throws {
    let data = type.map { world.data($0, receiptType: asked) }
    let message = LabWorld.Message(header: header + "\n", data: data, hasOriginal: hasOriginal)
    let finding = try verifier().examine(try world.made(message, signer: nil), named: "x")
    #expect(finding.kind == english && finding.italianKind == italian)
    #expect(!finding.holds)
  }

  @Test func whatCannotBeRead() throws {
    func code(_ make: () throws -> MessageVerifier) -> Int32? {
      do { _ = try make() } catch let failure as CommandFailure { return failure.exitCode } catch { return -1 }
      return nil
    }
    let ca = world.path("ca.pem")
    #expect(code { try MessageVerifier(authority: world.path("none.pem")) } == 66)
    #expect(code { try MessageVerifier(authority: ca, index: world.path("none.ldif")) } == 66)
    #expect(code { try MessageVerifier(authority: ca, index: ca) } == 65)
    #expect(code { try MessageVerifier(authority: ca, revocationLists: [world.path("none.crl")]) } == 66)
    #expect(code { try MessageVerifier(authority: ca, revocationLists: [ca]) } == 65)
    // A list of somebody else's authority, which bears the same name.
    let forger = try LaboratoryPKI(directory: world.path("forge"), now: world.now)
    try forger.writeRevocationList(to: world.path("forge/ca.crl"))
    #expect(code { try MessageVerifier(authority: ca, revocationLists: [world.path("forge/ca.crl")]) } == 65)
  }
}
