import Foundation
import TLSPipe
import Testing

@Suite("TLS contexts")
struct TLSContextTests {
  let keys: TestKeys

  init() throws { keys = try TestKeys.shared.get() }

  @Test("certificate and key that belong together are taken, EC and RSA; the certificate's end is known")
  func good() throws {
    let context = try keys.server()
    let end = try #require(context.certificateNotAfterUnixSeconds)
    let inDays = (end - Int64(Date().timeIntervalSince1970)) / 3600
    #expect((40...49).contains(inDays))
    _ = try TLSContext.server(certificatePEM: keys.rsaCertificate, keyPEM: keys.rsaKey)
    #expect(try keys.client().certificateNotAfterUnixSeconds == nil)
    _ = try TLSContext.client(caFile: nil, verify: true)
    _ = try TLSContext.client(caFile: nil, verify: false)
  }

  @Test("files that cannot be used are named, with the reason in words")
  func bad() throws {
    let nothing = keys.folder + "/nothing.pem"
    let text = keys.folder + "/text-\(UUID().uuidString).pem"
    try Data("no certificate here\n".utf8).write(to: URL(fileURLWithPath: text))
    let encrypted = keys.folder + "/encrypted-\(UUID().uuidString).key"
    try run(["openssl", "ec", "-in", keys.key, "-aes128", "-passout", "pass:secret", "-out", encrypted])

    let missing = errorThrown { try TLSContext.server(certificatePEM: nothing, keyPEM: keys.key) }
    #expect(missing?.kind == .certificateUnusable)
    #expect(missing?.description == "TLS: TLS certificate \(nothing): No such file or directory")
    let noCertificate = errorThrown { try TLSContext.server(certificatePEM: text, keyPEM: keys.key) }
    #expect(noCertificate?.kind == .certificateUnusable)
    #expect(noCertificate?.reason == "TLS certificate \(text): no PEM certificate in it")
    let noKey = errorThrown { try TLSContext.server(certificatePEM: keys.certificate, keyPEM: text) }
    #expect(noKey?.kind == .keyUnusable)
    #expect(noKey?.reason == "TLS key \(text): no PEM private key in it")
    #expect(kindThrown { try TLSContext.server(certificatePEM: keys.certificate, keyPEM: nothing) } == .keyUnusable)
    let locked = errorThrown { try TLSContext.server(certificatePEM: keys.certificate, keyPEM: encrypted) }
    #expect(locked?.kind == .keyUnusable)
    #expect(locked?.reason == "TLS key \(encrypted): it is encrypted; store it without a passphrase")
    for other in [keys.rsaKey, keys.folder + "/ca.key"] {
      let mismatch = errorThrown { try TLSContext.server(certificatePEM: keys.certificate, keyPEM: other) }
      #expect(mismatch?.kind == .keyMismatch)
      #expect(mismatch?.reason == "TLS key \(other) does not belong to the first certificate in \(keys.certificate)")
    }
    #expect(kindThrown { try TLSContext.client(caFile: nothing, verify: true) } == .authoritiesUnusable)
    let noAuthority = errorThrown { try TLSContext.client(caFile: text, verify: true) }
    #expect(noAuthority?.kind == .authoritiesUnusable)
    #expect(noAuthority?.reason == "trusted authorities \(text): no PEM certificate in it")
  }

  @Test("what is no server's name is refused", arguments: ["", ".", "a b", "caffè.test", "x\0y", String(repeating: "a", count: 300)])
  func names(name: String) throws {
    let context = try keys.client()
    #expect(kindThrown { try TLSPipe(context: context, serverName: name) } == .nameUnusable)
  }
}
