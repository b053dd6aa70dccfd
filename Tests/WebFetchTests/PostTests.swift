import Foundation
import Testing

@testable import WebFetch

@Suite struct PostTests {
  private let server: WebServer

  init() throws { server = try WebServer() }

  private func post(
    _ address: String, body: [UInt8] = [1, 2, 3], type: String = "application/timestamp-query",
    _ change: (inout WebRequest) -> Void = { _ in }
  ) -> Result<[UInt8], WebFetchError> {
    var request = WebRequest(url: address, caFile: server.file("ca.pem"))
    change(&request)
    do throws(WebFetchError) {
      return .success(try WebFetch.post(request, body: body, contentType: type, accept: "application/timestamp-reply").body)
    } catch {
      return .failure(error)
    }
  }

  @Test func theContentArrives() {
    let head = Array("application/timestamp-query\napplication/timestamp-reply\n-\n-\nCeralacca\n".utf8)
    let bodies: [[UInt8]] = [[], [0], Array(0...255)]
    for (base, body) in [server.plain, server.secure].flatMap({ base in bodies.map { (base, $0) } }) {
      #expect(post(base + "/echo", body: body) == .success(head + body))
      // What is conditional about a GET is not sent.
      #expect(post(base + "/echo", body: body) { $0.etag = "\"abc\"" } == .success(head + body))
    }
  }

  @Test func largeContent() {
    let size = 16 << 20
    #expect(post(server.plain + "/size", body: [UInt8](repeating: 7, count: size)) == .success(Array("\(size)".utf8)))
    guard case .failure(.badRequest) = post(server.plain + "/size", body: [UInt8](repeating: 7, count: size + 1)) else {
      Issue.record("more than 16 MB were sent")
      return
    }
  }

  @Test func otherAnswers() {
    for status in [301, 302, 303, 307, 308] {
      #expect(post(server.plain + "/redirect/\(status)") == .failure(.status(status)))
    }
    for status in [201, 204, 304, 400, 401, 404, 415, 500, 503] {
      #expect(post(server.secure + "/status/\(status)") { $0.etag = "\"abc\"" } == .failure(.status(status)))
    }
  }

  @Test func whoWeAre() {
    func who(_ user: String?, _ password: String?) -> Result<[UInt8], WebFetchError> {
      post(server.secure + "/who") { ($0.user, $0.password) = (user, password) }
    }
    #expect(who(nil, nil) == .success([45]))
    #expect(who("anna", "segreto: é") == .success(Array("Basic \(Data("anna:segreto: é".utf8).base64EncodedString())".utf8)))
    #expect(who("anna", nil) == .success(Array("Basic \(Data("anna:".utf8).base64EncodedString())".utf8)))
    for (user, password) in [("", "x"), ("a:b", "x"), ("a\u{0}", "x"), ("a", "x\r\ny"), ("a", "\u{0}")] {
      guard case .failure(.badRequest) = who(user, password) else {
        Issue.record("\(user) and \(password) were sent")
        continue
      }
    }
  }

  @Test func badTypes() {
    for type in ["", "a\r\nX: y", "è"] {
      guard case .failure(.badRequest) = post(server.plain + "/echo", type: type) else {
        Issue.record("\(type) was sent")
        continue
      }
    }
  }

  @Test func limits() {
    #expect(post(server.plain + "/endless") { $0.maximumBytes = 99_999 } == .failure(.tooLarge(maximumBytes: 99_999)))
    #expect(post(server.plain + "/silent") { $0.timeoutSeconds = 1 } == .failure(.timedOut(seconds: 1)))
    guard case .failure(.unverified) = post(server.misnamed + "/echo") else {
      Issue.record("another server was taken for ours")
      return
    }
    guard case .failure(.failed) = post("http://127.0.0.1:1/") else {
      Issue.record("nobody answered")
      return
    }
  }
}
