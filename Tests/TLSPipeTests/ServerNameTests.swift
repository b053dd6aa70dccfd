import Foundation
import Testing

@testable import TLSPipe

@Suite("certificates by the name that a client asks for")
struct ServerNameTests {
  let keys: TestKeys

  init() throws { keys = try TestKeys.shared.get() }

  private func facts(_ names: [String], _ kind: Int32 = 1) -> TLSCertificateFacts {
    TLSCertificateFacts(path: names.first ?? "-", names: names, keyKind: kind, notBefore: 0, notAfter: 0)
  }

  @Test("exact names go before wildcards, a wildcard stands for one label, who is unknown gets the first")
  func choice() {
    let table = ServerNameTable([facts(["mail.test"]), facts(["*.one.test", "one.test"]), facts(["deep.one.test"])])
    for (name, expected) in [
      ("mail.test", 0), ("MAIL.test", 0), ("one.test", 1), ("x.one.test", 1), ("deep.one.test", 2), ("Deep.One.Test", 2),
      ("y.deep.one.test", 0), ("x.y.one.test", 0), ("test", 0), ("", 0), (".", 0), ("*.one.test", 1), (".one.test", 1), ("other.test", 0),
    ] { #expect(table.certificates(for: name) == [expected], "\(name)") }
  }

  @Test("one of each kind of key, exact names first")
  func kinds() {
    let table = ServerNameTable([
      facts(["a.test"], 1), facts(["*.test"], 2), facts(["a.test"], 1), facts(["b.test"], 2), facts(["b.test"], 1),
    ])
    #expect(table.certificates(for: "a.test") == [0, 1])
    #expect(table.certificates(for: "b.test") == [3, 4])
    #expect(table.certificates(for: "c.test") == [1])
    #expect(table.standard == [0, 1])
    #expect(ServerNameTable([facts([])]).standard == [0])
  }

  private func server() throws -> TLSContext { try TLSContext.server(["server", "one", "one-rsa", "two"].map(keys.identity)) }

  @Test(
    "each name is served with a certificate that bears it",
    arguments: ["mail.alfa.test", "x.wild.test", "one.test", "ONE.test", "x.one.test", "deep.one.test"])
  func served(name: String) throws {
    let wire = try Wire(client: TLSPipe(context: keys.client(), serverName: name), server: TLSPipe(context: server()))
    wire.client.send("hello")
    try wire.settle()
    #expect(wire.atServer == Array("hello".utf8))
  }

  @Test("a name that nobody has is served with the first certificate")
  func unknown() throws {
    let wire = try Wire(client: TLSPipe(context: keys.client(), serverName: "other.test"), server: TLSPipe(context: server()))
    let fault = errorThrown { try wire.settle() }
    #expect(fault?.kind == .nameMismatch)
  }

  @Test("a client that knows RSA alone gets the RSA certificate of the name", arguments: [("ECDSA", "one"), ("RSA", "one-rsa")])
  func keyKinds(kind: String, subject: String) throws {
    let server = try PipeServer(context: self.server())
    let result = try run(
      [
        "openssl", "s_client", "-connect", "127.0.0.1:\(server.port)", "-servername", "one.test", "-tls1_2", "-cipher",
        "ECDHE-\(kind)-AES128-GCM-SHA256",
      ], input: "hello\n")
    _ = server.finish()
    #expect(result.output.contains("subject=CN = \(subject)\n"), "\(result.output)")
  }

  @Test("tickets are good for every name's context", arguments: ["-tls1_2", "-tls1_3"])
  func tickets(version: String) throws {
    let context = try server()
    let file = keys.folder + "/session-\(UUID().uuidString).pem"
    var resumed: [Bool] = []
    for option in ["-sess_out", "-sess_in"] {
      let server = try PipeServer(context: context)
      _ = try run(
        ["openssl", "s_client", "-connect", "127.0.0.1:\(server.port)", "-servername", "one.test", version, option, file, "-ign_eof"],
        input: "hello\n")
      resumed.append(server.finish().resumed)
    }
    #expect(resumed == [false, true])
  }

  @Test(
    "finite fields, and ciphers without forward secrecy, get nowhere",
    arguments: [["-tls1_3", "-groups", "ffdhe2048"], ["-tls1_2", "-cipher", "AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256"]])
  func refused(options: [String]) throws {
    let server = try PipeServer(context: self.server())
    let result = try run(["openssl", "s_client", "-connect", "127.0.0.1:\(server.port)"] + options, input: "hello\n")
    #expect(result.code != 0)
    #expect(server.finish().fault?.kind == .nothingInCommon)
  }

  @Test("a further certificate that could never be shown is a fault, and so is a wrong key")
  func faults() throws {
    let first = keys.identity("server")
    let nameless = errorThrown { try TLSContext.server([first, keys.identity("ca")]) }
    #expect(nameless?.reason == "TLS certificate \(keys.folder)/ca.pem: it has no dNSName, so no client can ask for it")
    let again = errorThrown { try TLSContext.server([first, keys.identity("one"), keys.identity("one")]) }
    #expect(again?.kind == .certificateUnusable)
    let wrong = ServerIdentity(certificatePEM: keys.identity("one").certificatePEM, keyPEM: keys.identity("two").keyPEM)
    #expect(kindThrown { try TLSContext.server([first, wrong]) } == .keyMismatch)
  }

  @Test("a certificate says what it is good for, and when it is not")
  func dates() throws {
    let facts = try #require(try server().certificates.dropFirst().first)
    #expect(facts.names == ["one.test", "*.one.test"])
    #expect(facts.fault(at: facts.notAfter) == nil)
    #expect(facts.fault(at: facts.notBefore) == nil)
    var known = facts
    (known.path, known.notBefore, known.notAfter) = ("x.pem", 951_782_400, 4_107_542_399)
    #expect(known.fault(at: 951_782_399) == "the certificate x.pem does not hold before 2000-02-29")
    #expect(known.fault(at: 4_107_542_400) == "the certificate x.pem ended on 2100-02-28")
  }
}
