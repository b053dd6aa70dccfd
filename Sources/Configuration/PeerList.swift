/// An IP address as a number, read from its text form (RFC 4291 §2.2, dotted quads for version 4).
///
/// An IPv4 address that came in as `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2) is the IPv4 address.
struct IPAddress: Sendable, Equatable {
  var isIPv4: Bool
  /// 32 significant bits for version 4, 128 for version 6.
  var bits: UInt128

  var width: Int { isIPv4 ? 32 : 128 }

  /// Nil when `text` is not an address. A zone (`%eth0`) is ignored: it says nothing about who the peer is.
  init?(_ text: String) {
    let octets = Array(text.utf8.prefix { $0 != UInt8(ascii: "%") })
    if let quad = IPAddress.quad(octets[...]) {
      (isIPv4, bits) = (true, UInt128(quad))
    } else if let groups = IPAddress.groups(octets[...]) {
      let value = groups.reduce(UInt128(0)) { $0 << 16 | UInt128($1) }
      isIPv4 = value >> 32 == 0xffff
      bits = isIPv4 ? value & 0xffff_ffff : value
    } else {
      return nil
    }
  }

  /// Four decimal numbers up to 255; a leading zero is refused because some read it as octal.
  private static func quad(_ text: ArraySlice<UInt8>) -> UInt32? {
    let fields = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard fields.count == 4 else { return nil }
    var value: UInt32 = 0
    for field in fields {
      guard (1...3).contains(field.count), field.count == 1 || field.first != UInt8(ascii: "0"),
        field.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
        let octet = UInt8(String(decoding: field, as: UTF8.self))
      else { return nil }
      value = value << 8 | UInt32(octet)
    }
    return value
  }

  /// Eight groups of 16 bits, one run of zeros abbreviated as `::`, the last two perhaps a dotted quad.
  private static func groups(_ text: ArraySlice<UInt8>) -> [UInt16]? {
    guard text.count <= 45 else { return nil }
    let colon = UInt8(ascii: ":")
    var head = text
    var tail: ArraySlice<UInt8>?
    for at in text.indices.dropLast() where text[at] == colon && text[at + 1] == colon {
      (head, tail) = (text[..<at], text[(at + 2)...])
      break
    }
    guard let first = hexGroups(head, mayEndInQuad: tail == nil) else { return nil }
    guard let tail else { return first.count == 8 ? first : nil }
    guard let last = hexGroups(tail, mayEndInQuad: true), first.count + last.count <= 7 else { return nil }
    return first + Array(repeating: 0, count: 8 - first.count - last.count) + last
  }

  private static func hexGroups(_ text: ArraySlice<UInt8>, mayEndInQuad: Bool) -> [UInt16]? {
    if text.isEmpty { return [] }
    let fields = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
    var groups: [UInt16] = []
    for (index, field) in fields.enumerated() {
      if mayEndInQuad, index == fields.count - 1, let quad = quad(field) {
        groups += [UInt16(quad >> 16), UInt16(quad & 0xffff)]
      } else if (1...4).contains(field.count), field.first != UInt8(ascii: "+"), field.first != UInt8(ascii: "-"),
        let group = UInt16(String(decoding: field, as: UTF8.self), radix: 16)
      {
        groups.append(group)
      } else {
        return nil
      }
    }
    return groups
  }
}

/// The peers that a trusted listener serves: addresses and networks (RFC 4632), of both versions of IP.
public struct PeerList: Sendable, Equatable {
  /// The entries as they were written.
  public let entries: [String]
  private let networks: [Network]

  private struct Network: Sendable, Equatable {
    var address: IPAddress
    var prefix: Int

    func contains(_ other: IPAddress) -> Bool {
      other.isIPv4 == address.isIPv4 && (prefix == 0 || (address.bits ^ other.bits) >> (address.width - prefix) == 0)
    }
  }

  /// What is wrong with an entry, and what would be right.
  struct Fault: Error { let what: String, remedy: String }

  /// A list of addresses and networks.
  /// - Returns: Nil when an entry is neither an IP address nor a network with no bits beyond its prefix.
  public init?(_ entries: [String]) {
    var networks: [Network] = []
    for entry in entries {
      guard let network = try? PeerList.network(entry) else { return nil }
      networks.append(network)
    }
    self.entries = entries
    self.networks = networks
  }

  static func check(_ entry: String) throws(Fault) { _ = try network(entry) }

  private static func network(_ entry: String) throws(Fault) -> Network {
    let fields = entry.split(separator: "/", omittingEmptySubsequences: false)
    guard fields.count <= 2, let text = fields.first, let address = IPAddress(String(text)), !entry.contains("%") else {
      throw Fault(what: "'\(entry)' is not an IP address or network", remedy: "write one like 192.0.2.7, 10.0.0.0/8 or \"2001:db8::/32\"")
    }
    guard fields.count == 2 else { return Network(address: address, prefix: address.width) }
    // A network of mapped addresses counts its prefix from the start of the 128 bits.
    let mapped = address.isIPv4 && text.utf8.contains(UInt8(ascii: ":"))
    let lowest = mapped ? 96 : 0
    let highest = lowest + address.width
    guard let written = Int(fields[1]), fields[1].utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }), (lowest...highest).contains(written) else {
      throw Fault(
        what: "'\(entry)' has no valid prefix length", remedy: "write a whole number from \(lowest) to \(highest) after the slash")
    }
    let prefix = written - lowest
    // A shift by the whole width gives 0, so that prefix 0 of version 6 wraps to all ones.
    let host = address.bits & ((UInt128(1) << UInt128(address.width - prefix)) &- 1)
    guard host == 0 else {
      throw Fault(
        what: "'\(entry)' has bits beyond its prefix",
        remedy: "write the network's first address, or leave out '/\(written)' to mean this one address")
    }
    return Network(address: address, prefix: prefix)
  }

  /// Whether a peer's address, as text, is in the list. What is not an address is in no list.
  public func contains(address: String) -> Bool {
    guard let address = IPAddress(address) else { return false }
    return networks.contains { $0.contains(address) }
  }
}
