import EventLoop
import Foundation
import Octets
import Synchronization
import Testing
import TimeStamping
import WebFetch

@testable import Laboratory

/// A time stamp authority of the laboratory on a thread of its own, until the end of the test.
private final class RunningTSA: Sendable {
  let directory: String
  private let state = Mutex<(port: Int, remote: LoopRemote?, failure: String?)>((0, nil, nil))
  private let changed = DispatchSemaphore(value: 0)
  private let ended = DispatchSemaphore(value: 0)

  init() throws {
    directory = FileManager.default.temporaryDirectory.appendingPathComponent("tsa-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    Thread.detachNewThread { [self] in
      do {
        let loop = try Loop()
        let pki = try LaboratoryPKI(directory: directory, now: Int64(Date().timeIntervalSince1970))
        let authority = try LaboratoryTSA(loop: loop, folder: "\(directory)/tsa", name: "Prima marca", pki: pki)
        let port = try authority.listen(port: 0)
        state.withLock { $0 = (port, loop.remote, nil) }
        changed.signal()
        loop.run()
        authority.close()
      } catch {
        state.withLock { $0.failure = "\(error)" }
        changed.signal()
      }
      ended.signal()
    }
    changed.wait()
    if let failure = state.withLock({ $0.failure }) { throw RunFailure(text: failure) }
  }

  struct RunFailure: Error { var text: String }

  var url: String { "http://127.0.0.1:\(state.withLock { $0.port })/" }

  /// Nobody listens any more when this returns.
  func stop() {
    guard let remote = state.withLock({ $0.remote }) else { return }
    remote.stop()
    ended.wait()
    state.withLock { $0.remote = nil }
  }

  func remove() { try? FileManager.default.removeItem(atPath: directory) }

  func become(_ manner: LaboratoryTSA.Manner) throws {
    try "\(manner.rawValue)\n".write(toFile: "\(directory)/tsa/manner", atomically: true, encoding: .utf8)
  }

  /// Asks for a stamp as a gateway does.
  func ask(_ request: TimeStampRequest, timeoutSeconds: Int = 60) throws -> TimeStampToken {
    let response = try WebFetch.post(
      WebRequest(url: url, maximumBytes: TimeStampRequest.maximumResponseBytes, timeoutSeconds: timeoutSeconds), body: request.octets,
      contentType: TimeStampRequest.contentType, accept: TimeStampRequest.responseType)
    let now = Int64(Date().timeIntervalSince1970)
    return try request.check(
      response: response.body, authorities: TimeStampAuthorities(paths: ["\(directory)/ca.pem"]), now: now, toleranceSeconds: 600)
  }
}

@Suite struct TSATests {
  private let authority: RunningTSA
  private let request: TimeStampRequest

  init() throws {
    authority = try RunningTSA()
    request = try TimeStampRequest(imprint: TimeStampDigest.sha256.digest([1, 2, 3]), nonce: Entropy.word())
  }

  private func failure() throws -> TimeStampError? {
    do {
      _ = try authority.ask(request)
      return nil
    } catch let error as TimeStampError {
      return error
    }
  }

  @Test func everyManner() throws {
    defer {
      authority.stop()
      authority.remove()
    }
    let token = try authority.ask(request)
    #expect(token.authority == "C=IT, O=Ceralacca Laboratory, CN=Prima marca" && token.policy == LaboratoryTSA.policy)
    let expected: [(LaboratoryTSA.Manner, TimeStampError)] = [
      (.rejects, .refused(status: 2, failures: ["timeNotAvailable"], text: "the clock has failed")), (.wrongImprint, .otherImprint),
      (.otherNonce, .otherNonce),
    ]
    for (manner, error) in expected {
      try authority.become(manner)
      #expect(try failure() == error)
    }
    try authority.become(.garbage)
    guard case .malformed? = try failure() else { throw RunningTSA.RunFailure(text: "garbage was taken") }
    try authority.become(.wrongTime)
    guard case .otherTime? = try failure() else { throw RunningTSA.RunFailure(text: "another time was taken") }
    try authority.become(.expired)
    guard case .notValid? = try failure() else { throw RunningTSA.RunFailure(text: "an expired certificate was taken") }
    try authority.become(.stranger)
    guard case .untrusted? = try failure() else { throw RunningTSA.RunFailure(text: "a stranger was trusted") }
    try authority.become(.busy)
    #expect(throws: WebFetchError.status(503)) { try authority.ask(request) }
    try authority.become(.silent)
    #expect(throws: WebFetchError.timedOut(seconds: 1)) { try authority.ask(request, timeoutSeconds: 1) }
    try authority.become(.honest)
    #expect(try failure() == nil)
    authority.stop()
    #expect(throws: WebFetchError.self) { try authority.ask(request) }
  }

  @Test func requestsThatAreNone() throws {
    defer {
      authority.stop()
      authority.remove()
    }
    #expect(throws: WebFetchError.status(405)) { try WebFetch.get(WebRequest(url: authority.url)) }
    func post(_ body: [UInt8], _ type: String) throws -> [UInt8] {
      try WebFetch.post(WebRequest(url: authority.url), body: body, contentType: type, accept: TimeStampRequest.responseType).body
    }
    #expect(throws: WebFetchError.status(415)) { try post(request.octets, "text/plain") }
    #expect(throws: (any Error).self) { try post([UInt8](repeating: 0, count: 100_000), TimeStampRequest.contentType) }
    // Rejected in RFC 3161's own words.
    let answer = try post(Array("no request".utf8), TimeStampRequest.contentType)
    let authorities = try TimeStampAuthorities(paths: ["\(authority.directory)/ca.pem"])
    #expect(throws: TimeStampError.self) { try request.check(response: answer, authorities: authorities, now: 0, toleranceSeconds: 60) }
    #expect(try failure() == nil)
  }

  @Test func theCertificate() throws {
    defer {
      authority.stop()
      authority.remove()
    }
    let (path, root) = ("\(authority.directory)/tsa/tsa.pem", "\(authority.directory)/ca.pem")
    #expect(try openssl("verify", "-x509_strict", "-CAfile", root, "-purpose", "timestampsign", path).status == 0)
    let text = try openssl("x509", "-in", path, "-noout", "-text").text
    #expect(text.contains("X509v3 Extended Key Usage: critical\n                Time Stamping\n"))
    #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o600)
    let now = Int64(Date().timeIntervalSince1970)
    let pki = try LaboratoryPKI(directory: authority.directory, now: now)
    let kept = try pki.timeStampAuthority(name: "Prima marca", path: path)
    #expect(try pki.timeStampAuthority(name: "Prima marca", path: path) == kept)
    #expect(try pki.timeStampAuthority(name: "Seconda marca", path: path) != kept)
  }
}
