import Foundation
import Testing

@testable import Configuration

/// Routes to mail exchangers, and how these are looked up.
@Suite struct MailExchangeTests {
  /// The smallest good file with another next hop and further keys.
  private func text(_ nextHop: String, _ more: String = "") throws -> String {
    let good = try Fixtures.text("good/smallest.yaml")
    #expect(good.contains("nextHop: \"127.0.0.1:10026\""))
    return good.replacingOccurrences(of: "nextHop: \"127.0.0.1:10026\"", with: "nextHop: \(nextHop)") + more
  }

  private func configuration(_ nextHop: String, _ more: String = "") throws -> GatewayConfiguration {
    try GatewayConfiguration.parse(text(nextHop, more), named: "f.yaml", folder: "/etc/ceralacca")
  }

  private func problems(_ nextHop: String, _ more: String = "") throws -> String {
    Fixtures.problems(try text(nextHop, more)).joined(separator: "\n")
  }

  @Test func defaults() throws {
    let it = try configuration("mx")
    #expect(it.routes == [RouteSettings(domains: ["*"], nextHop: nil)])
    #expect(it.dns == DNSSettings())
    #expect(it.dns.servers == .system)
    #expect(!it.dns.privateNetworks.contains(address: "127.0.0.1"))
  }

  @Test(arguments: [
    "dns: { servers: [127.0.0.1, \"127.0.0.1@5353\", \"2001:db8::1@53\"], trustAnchor: root.key, privateNetworks: [10.0.0.0/8, \"::1\"] }\n",
    "dns: { servers: authorities }\n", "",
  ])
  func readAndWritten(more: String) throws {
    let it = try configuration("mx, tls: required, caFile: ca.pem", more)
    #expect(it.routes.first?.tls == .required)
    #expect(it.routes.first?.caFile == "/etc/ceralacca/ca.pem")
    let again = try GatewayConfiguration.parse(it.yaml, named: "g.yaml", folder: "/elsewhere")
    #expect(again == it)
    guard more.contains("5353") else { return }
    #expect(it.dns.servers == .listed(["127.0.0.1", "127.0.0.1@5353", "2001:db8::1@53"]))
    #expect(it.dns.trustAnchor == "/etc/ceralacca/root.key")
    #expect(it.dns.privateNetworks.contains(address: "10.1.2.3"))
  }

  @Test(arguments: [
    ("mx, tls: never", "", "'routes[0].tls': is never, and mail exchangers may demand TLS"),
    ("mx, user: a, passwordFile: b", "", "'routes[0].user': has no meaning where nextHop is mx"),
    ("mx, user: a, passwordFile: b", "", "'routes[0].passwordFile': has no meaning where nextHop is mx"),
    ("mxx", "", "'routes[0].nextHop': is 'mxx', which is not a host and a port"),
    ("mx", "dns: { servers: all }\n", "'dns.servers': is 'all', which is neither a list nor known; write addresses"),
    ("mx", "dns: { servers: [ns.example.org] }\n", "'dns.servers[0]': is 'ns.example.org', which is not a name server's address"),
    ("mx", "dns: { servers: [\"127.0.0.1@0\"] }\n", "'dns.servers[0]': is '127.0.0.1@0', which is not"),
    ("mx", "dns: { servers: [\"127.0.0.1@53@53\"] }\n", "'dns.servers[0]'"), ("mx", "dns: { servers: [] }\n", "'dns.servers'"),
    ("mx", "dns: { privateNetworks: [10.0.0.1/8] }\n", "'dns.privateNetworks[0]'"),
    ("mx", "dns: { server: x }\n", "did you mean 'servers'?"),
    ("mx", "dns: yes\n", "'dns'"),
  ])
  func faults(_ nextHop: String, _ more: String, _ said: String) throws {
    let found = try problems(nextHop, more)
    #expect(found.contains(said), "\(found)")
  }
}
