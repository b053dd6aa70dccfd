internal import Yams

/// How mail exchangers are looked up, for routes whose next hop is `mx`.
public struct DNSSettings: Sendable, Equatable {
  /// Who is asked.
  public enum Servers: Sendable, Equatable {
    /// Those of /etc/resolv.conf.
    case system
    /// These: an IP address, or with a port `127.0.0.1@5353`.
    case listed([String])
    /// Nobody in between: the root's servers, and from there each zone's own.
    case authorities
  }

  /// Debian's own file of the root's keys (package dns-root-data).
  public static let systemTrustAnchor = "/usr/share/dns/root.key"
  /// Where the system has its servers.
  public static let systemFile = "/etc/resolv.conf"

  public var servers = Servers.system
  /// File with the keys of the DNS root (DS or DNSKEY records); nil for the system's.
  public var trustAnchor: String?
  /// Networks that mail exchangers may be in although they are not of the public Internet.
  public var privateNetworks = PeerList([])!

  /// The system's servers and trust anchor, the public Internet alone.
  public init() {}
}

extension Reader {
  func dns(_ top: Section) -> DNSSettings? {
    var settings = DNSSettings()
    guard top.has("dns") else { return settings }
    guard let section = top.optional("dns").flatMap({ section($0, ["servers", "trustAnchor", "privateNetworks"]) }) else { return nil }
    if section.has("servers") {
      guard let servers = dnsServers(section, section.optional("servers")) else { return nil }
      settings.servers = servers
    }
    if section.has("trustAnchor") {
      guard let path = file(section, "trustAnchor", example: "/usr/share/dns/root.key") else { return nil }
      settings.trustAnchor = path
    }
    if section.has("privateNetworks") {
      guard let networks = peers(section, "privateNetworks") else { return nil }
      settings.privateNetworks = networks
    }
    return settings
  }

  private func dnsServers(_ section: Section, _ setting: Setting?) -> DNSSettings.Servers? {
    guard let setting else { return nil }
    if case .scalar = setting.node {
      if section.text(setting) == "authorities" { return .authorities }
      log.add(
        setting.place, key: setting.key, "\(setting.seen), which is neither a list nor known",
        "write addresses in square brackets, or 'authorities' to ask from the root on")
      return nil
    }
    guard let items = section.items(setting, of: "addresses") else { return nil }
    let servers = items.compactMap { item -> String? in
      guard let text = section.text(item) else { return nil }
      let halves = text.split(separator: "@", omittingEmptySubsequences: false)
      let port = halves.count == 2 ? Int(halves[1]) : 53
      if halves.count <= 2, IPAddress(String(halves[0])) != nil, let port, (1...65_535).contains(port) { return text }
      log.add(
        item.place, key: item.key, "\(item.seen), which is not a name server's address",
        "write one like 192.0.2.53, or with a port 127.0.0.1@5353")
      return nil
    }
    return servers.count == items.count ? .listed(servers) : nil
  }
}
