public import Configuration
public import NameResolution

extension ResolverSettings {
  /// The resolver as a configuration has it.
  public init(_ dns: DNSSettings, openQuestions: Int) {
    let source: Source =
      switch dns.servers {
      case .system: .systemFile(DNSSettings.systemFile)
      case .listed(let servers): .servers(servers)
      case .authorities: .authorities
      }
    self.init(source: source, trustAnchor: dns.trustAnchor ?? DNSSettings.systemTrustAnchor, openQuestions: openQuestions)
  }
}
