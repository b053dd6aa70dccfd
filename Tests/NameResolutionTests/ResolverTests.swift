import Foundation
import MailRouting
import Testing

@testable import NameResolution

/// Answers over the network are tested with a real name server by Tests/Interop/test_mx.py.
@Suite struct ResolverTests {
  private let folder = FileManager.default.temporaryDirectory.appending(path: "resolver-\(UUID().uuidString)")

  private func settings(_ source: ResolverSettings.Source) throws -> ResolverSettings {
    let anchor = ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n"
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let file = folder.appending(path: "root.key")
    try anchor.write(to: file, atomically: true, encoding: .utf8)
    return ResolverSettings(source: source, trustAnchor: file.path, openQuestions: 2)
  }

  @Test func whatCannotBeUsed() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    for source in [ResolverSettings.Source.servers(["nonsense"]), .servers(["192.0.2.1@x"]), .systemFile("/nowhere/resolv.conf")] {
      let settings = try settings(source)
      #expect(throws: ResolverError.self) { try NameResolver(settings) }
    }
    var settings = try settings(.authorities)
    try "nonsense".write(toFile: settings.trustAnchor, atomically: true, encoding: .utf8)
    #expect(throws: ResolverError.self) { try NameResolver(settings) }
    settings.trustAnchor = "/nowhere/root.key"
    #expect(throws: ResolverError.self) { try NameResolver(settings) }
  }

  /// A server that says nothing: questions beyond the limit are refused at once, and the rest hear of the end.
  @Test func limitsAndTheEnd() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let silent = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    defer { close(silent) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        #expect(bind(silent, $0, length) == 0)
        #expect(getsockname(silent, $0, &length) == 0)
      }
    }
    let resolver = try NameResolver(settings(.servers(["127.0.0.1@\(UInt16(bigEndian: address.sin_port))"])))
    let told = Told()
    for number in 0..<3 { resolver.ask(DNSQuestion("mx\(number).example", .a)) { told.add($0) } }
    #expect(told.answers == [DNSAnswer(.failed("too many questions to the DNS are open"))])
    resolver.ask(DNSQuestion(String(repeating: "a.", count: 300), .a)) { told.add($0) }
    resolver.finish()
    #expect(told.answers.count == 4)
    #expect(told.answers.last == DNSAnswer(.failed("the gateway is stopping")))
  }
}

private final class Told: @unchecked Sendable {
  private let lock = NSLock()
  private var list: [DNSAnswer] = []
  func add(_ answer: DNSAnswer) { lock.withLock { list.append(answer) } }
  var answers: [DNSAnswer] { lock.withLock { list } }
}
