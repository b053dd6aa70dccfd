import Foundation
import Testing

@testable import LDAPSearch

/// Against a real slapd.
@Suite(.serialized) struct LDAPSearchTests {
  private static let root = """
    dn: o=postacert
    objectClass: top
    objectClass: organization
    objectClass: LDIFLocationURLObject
    o: postacert
    LDIFLocationURL: https://indice.example/igpec.ldif.p7m


    """

  private static func provider(_ number: Int, certificate: String = "MAA=", domains: Int = 1) -> String {
    """
    dn: providerName=Gestore \(number) S.p.A.,o=postacert
    objectClass: top
    objectClass: provider
    providerName: Gestore \(number) S.p.A.
    providerCertificateHash: \(String(repeating: "a", count: 40))
    providerCertificate;binary:: \(certificate)
    mailReceipt: ricevute@g\(number).example
    \((0..<domains).map { "managedDomains: d\($0).g\(number).example" }.joined(separator: "\n"))
    description:: U29jaWV0w6A=


    """
  }

  /// A real certificate: the schema's syntax has slapd look at it.
  private static func certificate() throws -> String {
    let folder = try DirectoryFolder()
    return Data(try folder.read("server.der")).base64EncodedString()
  }

  private static func server(
    providers: Int, domains: Int = 1, server: String = "server", lines: [String] = []
  ) throws -> (DirectoryServer, certificate: [UInt8]) {
    let certificate = try certificate()
    let text = root + (0..<providers).map { provider($0, certificate: certificate, domains: domains) }.joined()
    return (try DirectoryServer(text, certificate: server, lines: lines), Array(Data(base64Encoded: certificate) ?? Data()))
  }

  private func failure(_ request: LDAPRequest) -> LDAPSearchError? {
    do throws(LDAPSearchError) {
      _ = try LDAPSearch.entries(request)
      return nil
    } catch {
      return error
    }
  }

  private func isUnverified(_ error: LDAPSearchError?) -> Bool {
    if case .unverified(let words) = error { return !words.isEmpty }
    return false
  }

  @Test func theWholeTree() throws {
    let (server, certificate) = try LDAPSearchTests.server(providers: 3)
    defer { server.stop() }
    let secure = LDAPRequest(url: server.secure, caFile: server.folder.file("ca.pem"))
    let begun = LDAPRequest(url: server.plain, caFile: server.folder.file("ca.pem"), startTLS: true)
    for request in [LDAPRequest(url: server.plain), secure, begun] {
      let entries = try LDAPSearch.entries(request)
      #expect(entries.map(\.dn) == ["o=postacert"] + (0..<3).map { "providerName=Gestore \($0) S.p.A.,o=postacert" })
      let first = try #require(entries.dropFirst().first)
      func values(_ name: String) -> [[UInt8]]? { first.attributes.first { $0.name == name }?.values }
      #expect(values("providerCertificate;binary") == [certificate])
      #expect(values("objectClass") == [Array("top".utf8), Array("provider".utf8)])
      #expect(values("managedDomains") == [Array("d0.g0.example".utf8)])
      #expect(values("description") == [Array("Società".utf8)])
      // Operational attributes were not asked for.
      #expect(first.attributes.count == 7 && !first.attributes.contains { $0.name == "entryUUID" })
    }
  }

  /// More entries than a page and than the server's limit for a single answer.
  @Test func pages() throws {
    let (server, _) = try LDAPSearchTests.server(providers: 45, domains: 20, lines: ["limits anonymous size=10 size.prtotal=unlimited"])
    defer { server.stop() }
    for page in [1, 7, 9, 10] {
      let entries = try LDAPSearch.entries(LDAPRequest(url: server.plain, pageEntries: page))
      #expect(entries.count == 46 && Set(entries.map(\.dn)).count == 46, "page of \(page)")
      #expect(entries.last?.attributes.first { $0.name == "managedDomains" }?.values.count == 20)
    }
    let exact = try LDAPSearch.entries(LDAPRequest(url: server.plain, maximumEntries: 46, pageEntries: 10))
    #expect(exact.count == 46)
    guard case .tooLarge = failure(LDAPRequest(url: server.plain, maximumEntries: 45, pageEntries: 10)) else {
      Issue.record("46 entries were taken for 45")
      return
    }
    guard case .tooLarge = failure(LDAPRequest(url: server.plain, maximumBytes: 4096, pageEntries: 10)) else {
      Issue.record("more octets were taken than asked for")
      return
    }
  }

  /// A server that sends only part of what it has: no answer is better than half.
  @Test func halfAnAnswer() throws {
    let (server, _) = try LDAPSearchTests.server(providers: 30, lines: ["limits anonymous size=10 size.prtotal=10"])
    defer { server.stop() }
    guard case .refused(_, let words)? = failure(LDAPRequest(url: server.plain, pageEntries: 5)) else {
      Issue.record("half an answer was taken")
      return
    }
    #expect(words.contains("limit") || words.contains("Limit"))
    #expect(failure(LDAPRequest(url: server.plain, base: "o=altrove")) != nil)
  }

  /// A server that will not page, and says so: no answer, rather than some of it.
  @Test func withoutPaging() throws {
    let (server, _) = try LDAPSearchTests.server(providers: 30, lines: ["limits anonymous size=unlimited size.prtotal=disabled"])
    defer { server.stop() }
    guard case .refused = failure(LDAPRequest(url: server.plain, pageEntries: 5)) else {
      Issue.record("what was refused was taken")
      return
    }
  }

  @Test func whoTheServerIs() throws {
    let (server, _) = try LDAPSearchTests.server(providers: 1)
    defer { server.stop() }
    for ca in [server.folder.file("other.pem"), server.folder.file("none.pem"), nil] {
      #expect(isUnverified(failure(LDAPRequest(url: server.secure, caFile: ca))), "\(ca ?? "system")")
      #expect(isUnverified(failure(LDAPRequest(url: server.plain, caFile: ca, startTLS: true))), "\(ca ?? "system")")
    }
    let (other, _) = try LDAPSearchTests.server(providers: 1, server: "misnamed")
    defer { other.stop() }
    let ca = other.folder.file("ca.pem")
    #expect(isUnverified(failure(LDAPRequest(url: other.secure, caFile: ca))))
    #expect(isUnverified(failure(LDAPRequest(url: other.plain, caFile: ca, startTLS: true))))
  }

  /// The machine's and the user's settings of libldap cannot switch the verification off.
  @Test func settingsOfTheMachineDoNotCount() throws {
    let (server, _) = try LDAPSearchTests.server(providers: 1)
    defer { server.stop() }
    setenv("LDAPTLS_REQCERT", "never", 1)
    defer { unsetenv("LDAPTLS_REQCERT") }
    #expect(isUnverified(failure(LDAPRequest(url: server.secure, caFile: server.folder.file("other.pem")))))
  }

  @Test func whoWeAre() throws {
    let (server, _) = try LDAPSearchTests.server(providers: 1, lines: ["access to * by users read by * auth"])
    defer { server.stop() }
    let ca = server.folder.file("ca.pem")
    let known = LDAPRequest(url: server.secure, caFile: ca, bindDN: "cn=admin,o=postacert", password: "segreto")
    #expect(try LDAPSearch.entries(known).count == 2)
    var wrong = known
    wrong.password = "sbagliato"
    guard case .bindRefused = failure(wrong) else {
      Issue.record("a wrong password was taken")
      return
    }
    // Nobody in particular sees nothing here.
    #expect(failure(LDAPRequest(url: server.secure, caFile: ca)) != nil)
  }

  @Test func outage() throws {
    let (server, _) = try LDAPSearchTests.server(providers: 1)
    defer { server.stop() }
    #expect(try LDAPSearch.entries(LDAPRequest(url: server.plain)).count == 2)
    server.stop()
    guard case .unreachable = failure(LDAPRequest(url: server.plain)) else {
      Issue.record("nobody answered")
      return
    }
    #expect(failure(LDAPRequest(url: server.secure, caFile: server.folder.file("ca.pem"))) != nil)
  }

  /// Somebody who listens and never answers.
  @Test func silence() throws {
    let silent = try FreePort()
    defer { silent.release() }
    #expect(listen(silent.descriptor, 8) == 0)
    for (address, startTLS) in [("ldap", false), ("ldap", true), ("ldaps", false)] {
      let request = LDAPRequest(url: "\(address)://127.0.0.1:\(silent.number)", startTLS: startTLS, timeoutSeconds: 1)
      #expect(failure(request) == .timedOut(seconds: 1), "\(address) \(startTLS)")
    }
  }
}

/// Requests that are not made at all.
@Suite struct LDAPRequestTests {
  private static let fine = "ldaps://indice.example"

  @Test(arguments: [
    LDAPRequest(url: ""), LDAPRequest(url: "indice.example"), LDAPRequest(url: "ldapi:///"), LDAPRequest(url: "https://x"),
    LDAPRequest(url: "ldap://a ldap://b"), LDAPRequest(url: "ldap://a,ldap://b"), LDAPRequest(url: "ldap://\u{0}"),
    LDAPRequest(url: fine, base: ""), LDAPRequest(url: fine, base: "o=a\u{0}"), LDAPRequest(url: fine, caFile: ""),
    LDAPRequest(url: fine, startTLS: true), LDAPRequest(url: fine, bindDN: "cn=a"), LDAPRequest(url: fine, password: "b"),
    LDAPRequest(url: fine, bindDN: "cn=a", password: ""), LDAPRequest(url: fine, bindDN: "", password: "b"),
    LDAPRequest(url: "ldap://x", bindDN: "cn=a", password: "b"), LDAPRequest(url: fine, timeoutSeconds: 0),
    LDAPRequest(url: fine, maximumEntries: 0), LDAPRequest(url: fine, maximumBytes: 0), LDAPRequest(url: fine, pageEntries: 0),
    LDAPRequest(url: fine, pageEntries: 100_000),
  ])
  func refused(request: LDAPRequest) {
    guard case .badRequest? = request.fault else {
      Issue.record("it would be made")
      return
    }
    #expect(throws: LDAPSearchError.self) { try LDAPSearch.entries(request) }
  }

  @Test func fineOnes() {
    #expect(LDAPRequest(url: LDAPRequestTests.fine).fault == nil)
    #expect(LDAPRequest(url: "LDAP://[::1]:389", startTLS: true, bindDN: "cn=a", password: "b").fault == nil)
  }
}
