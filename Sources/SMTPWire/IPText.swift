/// IP addresses in one spelling, so that a peer has one name whoever tells it (RFC 5952; an IPv4 address in IPv6 is the IPv4 address).
public enum IPText {
  /// The usual spelling of an address; nil when `text` is none.
  public static func canonical(_ text: String) -> String? {
    let octets = Array(text.utf8)
    if AddressParser.isIPv4(octets[...]) { return self.text(ofIPv4: quad(octets[...])) }
    guard octets.count <= 45, AddressParser.isIPv6(octets[...]) else { return nil }
    return self.text(ofIPv6: groups(octets))
  }

  /// Whom one subscriber's address stands for where attempts are counted: an IPv4 address by itself, of an IPv6 address the network of 64
  /// bits, which is the least that anybody is given (RFC 6177 §2). What is no address is itself.
  public static func network(_ text: String) -> String {
    guard let address = canonical(text), address.utf8.contains(UInt8(ascii: ":")) else { return canonical(text) ?? text }
    return self.text(ofIPv6: Array(groups(Array(address.utf8)).prefix(8) + [0, 0, 0, 0, 0, 0, 0, 0])) + "/64"
  }

  /// Four octets as dotted numbers.
  static func text(ofIPv4 octets: [UInt8]) -> String { octets.map(String.init).joined(separator: ".") }

  /// Sixteen octets in groups (RFC 5952 §4): no leading zeros, small letters, the longest run of two and more zero groups as `::`.
  static func text(ofIPv6 octets: [UInt8]) -> String {
    if octets.prefix(10).allSatisfy({ $0 == 0 }), octets[10] == 0xFF, octets[11] == 0xFF { return text(ofIPv4: Array(octets[12...])) }
    let groups = (0..<8).map { UInt16(octets[2 * $0]) << 8 | UInt16(octets[2 * $0 + 1]) }
    var longest = 0..<0
    var start = 0
    while start < 8 {
      let end = groups[start...].firstIndex { $0 != 0 } ?? 8
      if end - start > max(1, longest.count) { longest = start..<end }
      start = max(end, start) + 1
    }
    let digits = groups.map { String($0, radix: 16) }
    if longest.isEmpty { return digits.joined(separator: ":") }
    return digits[..<longest.lowerBound].joined(separator: ":") + "::" + digits[longest.upperBound...].joined(separator: ":")
  }

  /// The octets of an address that is one.
  private static func quad(_ text: ArraySlice<UInt8>) -> [UInt8] {
    text.split(separator: UInt8(ascii: ".")).map { $0.reduce(0) { UInt8(truncatingIfNeeded: Int($0) * 10 + Int($1 - 48)) } }
  }

  /// The octets of an address that is one.
  private static func groups(_ text: [UInt8]) -> [UInt8] {
    let colon = UInt8(ascii: ":")
    var head: [UInt8] = []
    var tail: [UInt8] = []
    var isBehindGap = false
    var at = 0
    while at < text.count {
      if text[at] == colon {
        if at + 1 < text.count, text[at + 1] == colon {
          isBehindGap = true
          at += 1
        }
        at += 1
        continue
      }
      let end = text[at...].firstIndex(of: colon) ?? text.count
      let field = text[at..<end]
      let octets: [UInt8]
      if field.contains(UInt8(ascii: ".")) {
        octets = quad(field)
      } else {
        let value = field.reduce(UInt16(0)) { $0 << 4 | UInt16($1 <= 57 ? $1 - 48 : ($1 | 32) - 87) }
        octets = [UInt8(value >> 8), UInt8(value & 0xFF)]
      }
      if isBehindGap { tail += octets } else { head += octets }
      at = end
    }
    return head + [UInt8](repeating: 0, count: max(0, 16 - head.count - tail.count)) + tail
  }
}
