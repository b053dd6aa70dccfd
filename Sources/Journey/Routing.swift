import Octets

/// Which way a recipient's mail goes: a mailbox of our own, or the next hop its domain is routed to.
public struct RoutingTable: Sendable {
  private let localDomains: Set<String>
  private let localAddresses: Set<String>
  private let relays: [String: String]
  private let fallback: String

  /// - Parameters:
  ///   - localDomains: domains whose mailboxes are ours.
  ///   - relays: name of the next hop for each routed domain.
  ///   - fallback: name of the next hop for every other domain.
  ///   - localAddresses: mailboxes of ours in domains that are not: the service mailbox.
  public init(localDomains: [String], relays: [String: String], fallback: String, localAddresses: [String] = []) {
    self.localAddresses = Set(localAddresses.map(ASCII.lowercased))
    self.localDomains = Set(localDomains.map(ASCII.lowercased))
    self.relays = Dictionary(relays.map { (ASCII.lowercased($0.key), $0.value) }, uniquingKeysWith: { first, _ in first })
    self.fallback = fallback
  }

  /// Domains whose mailboxes are ours, in lower case.
  public var ownDomains: [String] { localDomains.sorted() }

  /// The way to `address`.
  public func route(for address: String) -> Route {
    let at = address.utf8.lastIndex(of: UInt8(ascii: "@")).map { address.utf8.index(after: $0) } ?? address.startIndex
    let domain = ASCII.lowercased(String(address[at...]))
    if localDomains.contains(domain) || localAddresses.contains(ASCII.lowercased(address)) { return .mailbox }
    return .relay(relays[domain] ?? fallback)
  }

  /// Recipients grouped by their way, in order of first appearance, no group larger than `most` (RFC 5321 §4.5.3.1.8).
  public func grouped(_ addresses: [String], atMost most: Int) -> [(route: Route, addresses: [String])] {
    var groups: [(route: Route, addresses: [String])] = []
    var open: [Route: Int] = [:]
    for address in addresses {
      let way = route(for: address)
      if let index = open[way], groups[index].addresses.count < most {
        groups[index].addresses.append(address)
      } else {
        open[way] = groups.count
        groups.append((way, [address]))
      }
    }
    return groups
  }
}
