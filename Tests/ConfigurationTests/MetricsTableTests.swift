import Testing

@testable import Configuration

/// `metrics` and `log.output`: what is taken, and what each slip says.
@Suite struct MetricsTableTests {
  private static func parse(_ lines: String) throws -> GatewayConfiguration {
    try GatewayConfiguration.parse(try Fixtures.text("good/smallest.yaml") + lines + "\n", named: "c.yaml", folder: "/etc")
  }

  @Test func withoutTheKeyNothingIsTold() throws {
    let it = try Self.parse("")
    #expect(it.metrics == nil && it.log.output == .stderr)
  }

  @Test(arguments: [
    ("{ port: 0 }", MetricsSettings(port: 0)), ("{ address: \"::1\" }", MetricsSettings(address: "::1")),
    ("{ address: 127.8.9.1, port: 1 }", MetricsSettings(address: "127.8.9.1", port: 1)),
    ("{ address: 0.0.0.0, anywhere: true }", MetricsSettings(address: "0.0.0.0", anywhere: true)),
  ])
  func whatIsTaken(_ text: String, _ settings: MetricsSettings) throws {
    var it = try Self.parse("metrics: \(text)")
    #expect(it.metrics == settings)
    it.log.output = .stdout
    #expect(try GatewayConfiguration.parse(it.yaml, named: "again.yaml", folder: "/elsewhere") == it)
  }

  @Test(arguments: [
    ("metrics: { address: 0.0.0.0 }", "key 'metrics.address': is '0.0.0.0', which other machines reach"),
    ("metrics: { address: \"2001:db8::1\", anywhere: false }", "or, where a firewall"),
    ("metrics: { address: localhost }", "which is not an IP address; write 127.0.0.1 or ::1"),
    ("metrics: { port: 70000 }", "key 'metrics.port': is '70000', which is out of range"),
    ("metrics: { prot: 1 }", "key 'metrics.prot': is not known; did you mean 'port'?"),
    ("metrics: 9410", "must be a group of keys"), ("log: { output: stdot }", "did you mean 'stdout'?"),
  ])
  func whatASlipSays(_ text: String, _ words: String) throws {
    do {
      _ = try Self.parse(text)
      Issue.record("\(text) was taken")
    } catch { #expect("\(error)".contains(words), "\(error)") }
  }
}
