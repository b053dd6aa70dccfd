import Foundation
import HTTPService
import Testing

/// A client that says just what it is told to.
private struct Client {
  let handle: Int32

  init?(port: Int, from source: String = "127.0.0.1") {
    handle = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var place = sockaddr_in()
    place.sin_family = sa_family_t(AF_INET)
    place.sin_addr.s_addr = inet_addr(source)
    _ = withUnsafePointer(to: &place) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(handle, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
    place = sockaddr_in()
    place.sin_family = sa_family_t(AF_INET)
    place.sin_port = in_port_t(port).bigEndian
    place.sin_addr.s_addr = inet_addr("127.0.0.1")
    let code = withUnsafePointer(to: &place) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(handle, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
    if code != 0 { return nil }
  }

  func say(_ text: String) { _ = Array(text.utf8).withUnsafeBytes { send(handle, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) } }

  /// All that comes until the other side closes.
  func hear() -> String {
    var heard: [UInt8] = []
    var room = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = recv(handle, &room, room.count, 0)
      if count <= 0 { break }
      heard += room[..<count]
    }
    return String(decoding: heard, as: UTF8.self)
  }

  func end() { _ = close(handle) }
}

@Suite struct HTTPServiceTests {
  private static func service() throws -> HTTPService {
    try HTTPService(address: "127.0.0.1", port: 0) { question in
      HTTPAnswer(status: question.path == "/gone" ? 503 : 200, body: "\(question.path) \(question.accept ?? "-")\n")
    }
  }

  private static func ask(_ service: HTTPService, _ text: String) throws -> String {
    let client = try #require(Client(port: service.port))
    defer { client.end() }
    client.say(text)
    return client.hear()
  }

  private static let end = "Host: a\r\nConnection: close\r\n\r\n"

  @Test func answers() throws {
    let service = try Self.service()
    let answer = try Self.ask(service, "GET /a/b?c=d HTTP/1.1\r\nAccept: text/plain\r\n" + Self.end)
    #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"))
    #expect(answer.contains("Cache-Control: no-store\r\n"))
    #expect(answer.hasSuffix("\r\n\r\n/a/b text/plain\n"))
    #expect(try Self.ask(service, "GET /gone HTTP/1.1\r\n" + Self.end).hasPrefix("HTTP/1.1 503 "))
    let head = try Self.ask(service, "HEAD /a HTTP/1.1\r\n" + Self.end)
    #expect(head.contains("Content-Length: 5\r\n") && head.hasSuffix("\r\n\r\n"))
  }

  private static let hostile: [String] = [
    "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\(end)abc", "DELETE /a HTTP/1.1\r\n\(end)", "\r\n\r\n\r\n", "GET\r\n\r\n",
    "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}", "GET /a HTTP/1.1\r\nContent-Length: -5\r\n\(end)",
    "GET /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nffffffffffffffffff\r\n",
    "GET /" + String(repeating: "a", count: 100_000) + " HTTP/1.1\r\n\(end)",
    "GET /a HTTP/1.1\r\nX: " + String(repeating: "a", count: 100_000) + "\r\n\(end)",
  ]

  /// What must not come is refused or cut off, and the service answers the next one.
  @Test(arguments: hostile.indices)
  func isNotHarmed(_ at: Int) throws {
    let hostile = Self.hostile[at]
    let service = try Self.service()
    let client = try #require(Client(port: service.port))
    client.say(hostile)
    shutdown(client.handle, Int32(SHUT_WR))
    let heard = client.hear()
    client.end()
    #expect(!heard.hasPrefix("HTTP/1.1 200"), "\(heard.prefix(80))")
    #expect(try Self.ask(service, "GET /a HTTP/1.1\r\n" + Self.end).hasPrefix("HTTP/1.1 200 OK\r\n"))
  }

  /// One address that holds all the connections it gets, and says a little on each, keeps nobody else from an answer.
  @Test func onePeerTakesNotAllConnections() throws {
    let service = try HTTPService(address: "127.0.0.1", port: 0, boundsPeers: true) { _ in HTTPAnswer(body: "here\n") }
    let held = (0..<HTTPService.maximumConnections).compactMap { _ in Client(port: service.port, from: "127.0.0.2") }
    defer { for each in held { each.end() } }
    for each in held { each.say("GET /a HTTP/1.1\r\nHost: a\r\n") }
    let other = try #require(Client(port: service.port, from: "127.0.0.3"))
    defer { other.end() }
    var patience = timeval(tv_sec: 3, tv_usec: 0)
    setsockopt(other.handle, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    other.say("GET /a HTTP/1.1\r\n" + Self.end)
    #expect(other.hear().hasSuffix("here\n"))
  }

  @Test func aBodyIsReadOver() throws {
    let service = try Self.service()
    let answer = try Self.ask(service, "GET /a HTTP/1.1\r\nContent-Length: 3\r\n\(Self.end)abc")
    #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"))
  }

  /// Who connects and says nothing takes a place for five seconds and holds up nobody who comes after.
  @Test func theSilentHoldUpNobody() throws {
    let service = try Self.service()
    let silent = (0..<Int(HTTPService.maximumConnections) / 2).compactMap { _ in Client(port: service.port) }
    #expect(try Self.ask(service, "GET /a HTTP/1.1\r\n" + Self.end).hasPrefix("HTTP/1.1 200 OK\r\n"))
    for client in silent { client.end() }
  }

  @Test func endsWithItsObject() throws {
    var service: HTTPService? = try Self.service()
    let port = try #require(service?.port)
    let open = try #require(Client(port: port))
    service = nil
    #expect(open.hear() == "")
    open.end()
    #expect(Client(port: port) == nil)
  }

  @Test func saysWhyItCannotListen() {
    #expect(throws: HTTPServiceError.self) { try HTTPService(address: "192.0.2.1", port: 0) { _ in HTTPAnswer(body: "") } }
    #expect(throws: HTTPServiceError.self) { try HTTPService(address: "no address", port: 0) { _ in HTTPAnswer(body: "") } }
  }
}
