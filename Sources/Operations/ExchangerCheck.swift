import Configuration
import Foundation

extension Inspection {
  /// Routes to mail exchangers need name servers and a trust anchor; nobody is asked.
  mutating func lookAtExchangers(_ configuration: GatewayConfiguration) {
    guard configuration.routes.contains(where: { $0.nextHop == nil }) else { return }
    let anchor = configuration.dns.trustAnchor ?? DNSSettings.systemTrustAnchor
    if !FileManager.default.isReadableFile(atPath: anchor) {
      errors.append("dns: the trust anchor \(anchor) cannot be read; install the package dns-root-data, or name one in dns.trustAnchor")
    }
    switch configuration.dns.servers {
    case .system:
      if !FileManager.default.isReadableFile(atPath: DNSSettings.systemFile) {
        errors.append("dns: \(DNSSettings.systemFile) cannot be read; name servers in dns.servers")
      } else {
        facts.append("mail exchangers: looked up by the servers of \(DNSSettings.systemFile), validated from \(anchor) on")
      }
    case .listed(let servers): facts.append("mail exchangers: looked up by \(servers.joined(separator: ", ")), validated from \(anchor) on")
    case .authorities: facts.append("mail exchangers: looked up from the root on, validated from \(anchor) on")
    }
  }
}
