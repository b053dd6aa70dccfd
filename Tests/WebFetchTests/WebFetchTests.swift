import Foundation
import Testing

@testable import WebFetch

@Suite struct WebFetchTests {
  private let server: WebServer

  init() throws { server = try WebServer() }

  private func request(_ address: String, _ change: (inout WebRequest) -> Void = { _ in }) -> WebRequest {
    var made = WebRequest(url: address, caFile: server.file("ca.pem"))
    change(&made)
    return made
  }

  /// The error, or nil when something was fetched.
  private func failure(_ request: WebRequest) -> WebFetchError? {
    do throws(WebFetchError) {
      _ = try WebFetch.get(request)
      return nil
    } catch {
      return error
    }
  }

  private func isUnverified(_ error: WebFetchError?) -> Bool {
    if case .unverified(let words) = error { return !words.isEmpty }
    return false
  }

  @Test func contentAndValidators() throws {
    let expected = WebResponse(
      status: 200, body: Array("dn: o=postacert\n".utf8), etag: "\"abc\"", lastModified: "Sat, 21 Nov 2026 04:00:00 GMT")
    #expect(try WebFetch.get(request(server.secure + "/index")) == expected)
    #expect(try WebFetch.get(request(server.plain + "/index")) == expected)
    #expect(!expected.isUnchanged)
    let octets = try WebFetch.get(request(server.secure + "/octets"))
    #expect(octets.body.count == 102_400 && octets.body.prefix(256).elementsEqual(0...255) && octets.etag == nil)
  }

  @Test func unchanged() throws {
    let held = try WebFetch.get(request(server.secure + "/conditional") { $0.etag = "\"abc\"" })
    #expect(held == WebResponse(status: 304, body: [], etag: "\"abc\"") && held.isUnchanged)
    let dated = try WebFetch.get(request(server.secure + "/conditional") { $0.lastModified = "yesterday" })
    #expect(dated.isUnchanged && dated.lastModified == "yesterday")
    let changed = try WebFetch.get(request(server.secure + "/conditional") { $0.etag = "\"old\"" })
    #expect(changed == WebResponse(status: 200, body: Array("new".utf8), etag: "\"def\""))
    // Nobody asked whether it changed.
    #expect(failure(request(server.secure + "/always-unchanged")) == .status(304))
  }

  @Test(arguments: [204, 206, 400, 401, 403, 404, 410, 500, 503])
  func otherAnswers(status: Int) {
    #expect(failure(request(server.secure + "/status/\(status)")) == .status(status))
  }

  @Test func redirects() throws {
    for count in [1, 5] {
      let found = try WebFetch.get(request(server.secure + "/redirect/\(count)"))
      #expect(found.body == Array("dn: o=postacert\n".utf8) && found.etag == "\"abc\"")
    }
    guard case .failed = failure(request(server.secure + "/redirect/6")) else {
      Issue.record("six redirects were followed")
      return
    }
    // Towards TLS, never away from it; and nowhere else.
    #expect(try WebFetch.get(request(server.plain + "/to-secure")).status == 200)
    for address in [server.secure + "/to-plain", server.secure + "/to-file", server.plain + "/to-file"] {
      guard case .failed = failure(request(address)) else {
        Issue.record("\(address) was followed")
        continue
      }
    }
  }

  @Test func whoTheServerIs() throws {
    #expect(isUnverified(failure(request(server.secure + "/index") { $0.caFile = server.file("other.pem") })))
    #expect(isUnverified(failure(request(server.secure + "/index") { $0.caFile = nil })))
    #expect(isUnverified(failure(request(server.secure + "/index") { $0.caFile = server.file("none.pem") })))
    #expect(isUnverified(failure(request(server.misnamed + "/index"))))
    #expect(isUnverified(failure(request(server.old + "/index"))))
    #expect(try WebFetch.get(request(server.secure + "/index")).status == 200)
  }

  @Test func whoWeAre() throws {
    let ours = try WebFetch.get(
      request(server.asking + "/peer") {
        $0.clientCertificate = server.file("client.pem")
        $0.clientKey = server.file("client.key")
      })
    #expect(String(decoding: ours.body, as: UTF8.self).contains("client"))
    #expect(failure(request(server.asking + "/peer")) != nil)
    #expect(isUnverified(failure(request(server.asking + "/peer") { $0.clientCertificate = server.file("none.pem") })))
  }

  @Test func limits() throws {
    #expect(try WebFetch.get(request(server.secure + "/octets") { $0.maximumBytes = 102_400 }).body.count == 102_400)
    let less = failure(request(server.secure + "/octets") { $0.maximumBytes = 102_399 })
    #expect(less == .tooLarge(maximumBytes: 102_399))
    #expect(failure(request(server.plain + "/endless") { $0.maximumBytes = 50_000 }) == .tooLarge(maximumBytes: 50_000))
    #expect(failure(request(server.secure + "/index") { $0.maximumBytes = 0 }) == .tooLarge(maximumBytes: 0))
    #expect(failure(request(server.plain + "/silent") { $0.timeoutSeconds = 1 }) == .timedOut(seconds: 1))
    guard case .failed = failure(request(server.plain + "/headers")) else {
      Issue.record("400 kB of header were taken")
      return
    }
  }

  @Test func brokenAnswers() throws {
    for base in [server.plain, server.secure] {
      guard case .failed = failure(request(base + "/short")) else {
        Issue.record("half an answer was taken")
        continue
      }
    }
    let strange = try WebFetch.get(request(server.plain + "/strange-etag"))
    #expect(strange.etag == nil && strange.lastModified == nil && strange.body == [120])
    guard case .failed = failure(WebRequest(url: "http://127.0.0.1:1/")) else {
      Issue.record("nobody answered")
      return
    }
  }

  /// Several threads at once, as worker threads of a gateway do.
  @Test func severalAtOnce() async throws {
    let requests = (0..<8).map { request(($0 % 2 == 0 ? server.secure : server.plain) + "/octets") }
    let sizes = await withTaskGroup(of: Int.self) { group in
      for request in requests { group.addTask { (try? WebFetch.get(request))?.body.count ?? 0 } }
      var all: [Int] = []
      for await size in group { all.append(size) }
      return all
    }
    #expect(sizes == Array(repeating: 102_400, count: 8))
  }
}

/// Requests that are not made at all.
@Suite struct WebRequestTests {
  private static let fine = "https://indice.example/igpec.ldif.p7m"

  @Test(arguments: [
    "", "indice.example", "ftp://indice.example/x", "file:///etc/passwd", "https:/indice.example", "https://indice example/",
    "https://indice.example/\r\nX: y", "https://indice.example/\u{0}", "https://indice.example/è", "//x", ":", "gopher://x",
    "https://" + String(repeating: "a", count: 9000),
  ])
  func addresses(url: String) {
    guard case .badRequest? = WebRequest(url: url).fault else {
      Issue.record("\(url) would be fetched")
      return
    }
  }

  @Test(arguments: [
    WebRequest(url: fine, caFile: ""), WebRequest(url: fine, caFile: "a\u{0}b"), WebRequest(url: fine, clientKey: ""),
    WebRequest(url: fine, maximumBytes: -1), WebRequest(url: fine, timeoutSeconds: 0), WebRequest(url: fine, timeoutSeconds: 1_000_000),
    WebRequest(url: fine, etag: "\"a\"\r\nX: y"), WebRequest(url: fine, etag: ""), WebRequest(url: fine, lastModified: "è"),
  ])
  func parameters(request: WebRequest) {
    #expect(request.fault != nil)
    #expect(throws: WebFetchError.self) { try WebFetch.get(request) }
  }

  @Test func fineOnes() {
    #expect(WebRequest(url: WebRequestTests.fine).fault == nil)
    #expect(
      WebRequest(url: "HTTP://indice.example:8080/a?b=%20c", etag: "W/\"x\"", lastModified: "Sat, 21 Nov 2026 04:00:00 GMT").fault == nil)
  }

  @Test func words() {
    #expect("\(WebFetchError.tooLarge(maximumBytes: 5))" == "the content is larger than 5 octets")
    #expect("\(WebFetchError.status(403))" == "the server answers 403")
    #expect("\(WebFetchError.timedOut(seconds: 9))" == "no complete answer within 9 s")
    #expect("\(WebFetchError.unverified("x"))" == "the server is not trusted: x")
  }
}
