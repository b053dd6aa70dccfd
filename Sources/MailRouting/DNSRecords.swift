import Octets

/// Host names as mail needs them.
public enum HostName {
  /// Letters, digits, hyphens and underscores in labels of 1 to 63 octets, in lower case and without a last dot; nil for anything else, an
  /// address literal or a number among it (RFC 5321 §4.1.2, RFC 1123 §2.1; the underscore is not allowed, and met).
  public static func normalized(_ text: String) -> String? {
    let lower = ASCII.lowercased(text.utf8.last == UInt8(ascii: ".") ? String(text.dropLast()) : text)
    guard (1...253).contains(lower.utf8.count) else { return nil }
    let labels = lower.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    let isGood = labels.allSatisfy { label in
      guard (1...63).contains(label.count), label.first != UInt8(ascii: "-"), label.last != UInt8(ascii: "-") else { return false }
      return label.allSatisfy { octet in
        switch octet {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
      }
    }
    guard isGood, let last = labels.last, !last.allSatisfy({ $0 >= 48 && $0 <= 57 }) else { return nil }
    return lower
  }

  /// The domain of an address, as `normalized` has it; nil when there is none that the DNS could know.
  public static func domain(of address: String) -> String? {
    guard let at = address.utf8.lastIndex(of: UInt8(ascii: "@")) else { return nil }
    return normalized(String(address[address.utf8.index(after: at)...]))
  }
}

/// A mail exchanger (RFC 5321 §5.1).
struct MXRecord: Equatable {
  var preference: Int
  /// Nil for the root, which says that there is none (RFC 7505 §3).
  var host: String?
  /// False when the name cannot be a host's.
  var isUsable = true

  /// Reads RDATA (RFC 1035 §3.3.9); nil when it is malformed.
  init?(_ data: [UInt8]) {
    guard data.count >= 3 else { return nil }
    preference = Int(data[0]) << 8 | Int(data[1])
    var labels: [String] = []
    var at = 2
    while true {
      guard at < data.count else { return nil }
      let length = Int(data[at])
      at += 1
      if length == 0 { break }
      guard length < 64, at + length <= data.count else { return nil }
      let label = data[at..<(at + length)]
      // A dot within a label would be another name once it is text.
      labels.append(label.contains(UInt8(ascii: ".")) ? "?" : String(decoding: label, as: UTF8.self))
      at += length
    }
    guard at == data.count, at <= 257 else { return nil }
    if labels.isEmpty { return }
    host = HostName.normalized(labels.joined(separator: "."))
    isUsable = host != nil
  }
}

/// An address, for text and for judgement.
enum AddressRecord {
  /// The text of an A or AAAA record; nil when it is malformed.
  static func text(_ data: [UInt8]) -> String? {
    switch data.count {
    case 4: return data.map(String.init).joined(separator: ".")
    case 16:
      let groups = stride(from: 0, to: 16, by: 2).map { String(Int(data[$0]) << 8 | Int(data[$0 + 1]), radix: 16) }
      return groups.joined(separator: ":")
    default: return nil
    }
  }

  /// False for addresses that are not of the public Internet: a name that leads there would have us talk to ourselves or to a neighbour
  /// who trusts us (IANA's registries of special-purpose addresses, RFC 6890).
  static func isPublic(_ data: [UInt8]) -> Bool {
    if data.count == 4 { return isPublic(data[0], data[1], data[2]) }
    guard data.count == 16 else { return false }
    // IPv4 in IPv6: mapped (RFC 4291 §2.5.5.2) and translated (RFC 6052 §2.1); the IPv4 address counts.
    let isMapped = data[..<10].allSatisfy { $0 == 0 } && data[10] == 0xff && data[11] == 0xff
    let isTranslated = data[..<12].elementsEqual([0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0])
    if isMapped || isTranslated { return isPublic(data[12], data[13], data[14]) }
    // 6to4 has an IPv4 address behind its prefix (RFC 3056 §2).
    if data[0] == 0x20, data[1] == 0x02 { return isPublic(data[2], data[3], data[4]) }
    // Global unicast is 2000::/3; of it not Teredo and documentation.
    guard data[0] & 0xe0 == 0x20 else { return false }
    if data[0] == 0x20, data[1] == 0x01 { return !(data[2] == 0 && data[3] == 0) && !(data[2] == 0x0d && data[3] == 0xb8) }
    return true
  }

  private static func isPublic(_ first: UInt8, _ second: UInt8, _ third: UInt8) -> Bool {
    switch (first, second) {
    case (0, _), (10, _), (127, _), (224..., _): false
    case (100, 64...127), (169, 254), (172, 16...31), (192, 168), (198, 18...19): false
    case (192, 0): third != 0 && third != 2
    case (198, 51): third != 100
    case (203, 0): third != 113
    default: true
    }
  }
}

/// Text records (RFC 1035 §3.3.14): the strings of each, joined.
enum TextRecord {
  static func text(_ data: [UInt8]) -> [UInt8]? {
    var octets: [UInt8] = []
    var at = 0
    while at < data.count {
      let end = at + 1 + Int(data[at])
      guard end <= data.count else { return nil }
      octets += data[(at + 1)..<end]
      at = end
    }
    return octets
  }
}
