import Foundation
import Octets
import TLSPipe
import Testing

@Suite("DANE")
struct DANETests {
  let keys: TestKeys

  init() throws { keys = try TestKeys.shared.get() }

  /// The octets of a certificate, or of its public key, in DER.
  private func octets(of file: String, key: Bool) throws -> [UInt8] {
    let place = FileManager.default.temporaryDirectory.appending(path: "dane-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: place) }
    let command =
      key
      ? "openssl x509 -in \(file) -pubkey -noout | openssl pkey -pubin -outform DER -out \(place)"
      : "openssl x509 -in \(file) -outform DER -out \(place)"
    #expect(try run(["sh", "-c", command]).code == 0)
    return [UInt8](try Data(contentsOf: URL(filePath: place)))
  }

  private func association(_ usage: UInt8, _ file: String, key: Bool = true) throws -> TLSIdentity.Association {
    TLSIdentity.Association(usage: usage, selector: key ? 1 : 0, matching: 0, data: try octets(of: file, key: key))
  }

  private func settle(_ associations: [TLSIdentity.Association], names: [String]) throws -> TLSError? {
    let identity = TLSIdentity(associations: associations, base: "mail.alfa.test", names: names)
    return errorThrown {
      let client = try TLSPipe(context: .daneClient(), identity: identity)
      let wire = try Wire(client: client, server: TLSPipe(context: keys.server()))
      try wire.settle()
      #expect(wire.client.isEstablished)
    }
  }

  @Test("the server's own certificate or key, whatever its names") func own() throws {
    for key in [false, true] {
      #expect(try settle([association(3, keys.certificate, key: key)], names: []) == nil)
      // RFC 7672 §3.1.1: no name is compared.
      let identity = TLSIdentity(associations: [try association(3, keys.certificate, key: key)], base: "other.example", names: [])
      let wire = try Wire(client: TLSPipe(context: .daneClient(), identity: identity), server: TLSPipe(context: keys.server()))
      try wire.settle()
      #expect(wire.client.isEstablished)
    }
  }

  @Test("one of several records suffices, and none that matches is refused") func several() throws {
    let other = try association(3, keys.rsaCertificate)
    #expect(try settle([other, association(3, keys.certificate)], names: []) == nil)
    let error = try settle([other], names: [])
    #expect(error?.kind == .certificateRefused)
    #expect(error?.reason.contains("TLSA") == true)
  }

  @Test("records that OpenSSL cannot use let nothing through") func unusable() throws {
    let broken = TLSIdentity.Association(usage: 3, selector: 0, matching: 0, data: [1, 2, 3])
    #expect(try settle([broken], names: [])?.kind == .certificateRefused)
    #expect(try settle([], names: [])?.kind == .certificateRefused)
    #expect(try settle([broken], names: ["a b"])?.kind == .nameUnusable)
  }
}
