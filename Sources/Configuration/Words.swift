/// What names look like.
enum Words {
  private static func isLetterOrDigit(_ octet: UInt8) -> Bool {
    switch octet {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
    default: false
    }
  }

  /// Letters, digits and inner hyphens, 63 octets at the most (RFC 1123 §2.1).
  static func isLabel(_ text: some StringProtocol) -> Bool {
    let octets = Array(text.utf8)
    guard let first = octets.first, let last = octets.last, octets.count <= 63 else { return false }
    return isLetterOrDigit(first) && isLetterOrDigit(last) && octets.allSatisfy { isLetterOrDigit($0) || $0 == UInt8(ascii: "-") }
  }

  /// Labels with dots between them; the last is no number, so that an IP address is no host name.
  static func isHostName(_ text: String, leastLabels: Int = 1) -> Bool {
    let labels = text.split(separator: ".", omittingEmptySubsequences: false)
    guard text.utf8.count <= 253, labels.count >= leastLabels, labels.allSatisfy({ isLabel($0) }), let last = labels.last else {
      return false
    }
    return !last.utf8.allSatisfy { $0 >= 48 && $0 <= 57 }
  }

  /// A mail address with a dot-atom before the @ (RFC 5322 §3.2.3) and a domain after it; nil for anything else.
  static func splitAddress(_ text: String) -> (local: String, domain: String)? {
    let halves = text.split(separator: "@", omittingEmptySubsequences: false)
    guard halves.count == 2, isHostName(String(halves[1]), leastLabels: 2), (1...64).contains(halves[0].utf8.count) else { return nil }
    let special = Array("!#$%&'*+-/=?^_`{|}~".utf8)
    let atoms = halves[0].utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard atoms.allSatisfy({ !$0.isEmpty && $0.allSatisfy { isLetterOrDigit($0) || special.contains($0) } }) else { return nil }
    return (String(halves[0]), String(halves[1]))
  }

  /// Numbers with dots between them, as ASN.1 allows them: the first up to 2, the second up to 39 below the first two.
  static func isObjectIdentifier(_ text: String) -> Bool {
    let arcs = text.split(separator: ".", omittingEmptySubsequences: false)
    guard text.utf8.count <= 128, arcs.count >= 2 else { return false }
    let isGood = arcs.allSatisfy { arc in
      (1...18).contains(arc.utf8.count) && arc.utf8.allSatisfy { $0 &- 48 < 10 } && (arc == "0" || !arc.hasPrefix("0"))
    }
    guard isGood, let first = Int(arcs[0]), let second = Int(arcs[1]) else { return false }
    return first <= 2 && (first == 2 || second < 40)
  }

  /// `host:port` or `[address]:port`; nil for anything else.
  static func endpoint(_ text: String) -> Endpoint? {
    guard let colon = text.lastIndex(of: ":") else { return nil }
    let digits = text[text.index(after: colon)...]
    var host = String(text[..<colon])
    guard (1...5).contains(digits.count), digits.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }), let port = Int(digits),
      (1...65_535).contains(port)
    else { return nil }
    if host.hasPrefix("["), host.hasSuffix("]") {
      host = String(host.dropFirst().dropLast())
      guard host.contains(":"), IPAddress(host) != nil else { return nil }
    } else {
      guard isHostName(host) || IPAddress(host)?.isIPv4 == true, !host.contains(":") else { return nil }
      host = host.lowercased()
    }
    return Endpoint(host: host, port: port)
  }

  /// A URL of one of `schemes` that names a host and nothing secret; in lower case its scheme, and what follows the host; else nil.
  static func url(_ text: String, schemes: [String]) -> (scheme: String, path: String)? {
    guard text.utf8.count <= 2048, text.utf8.allSatisfy({ $0 > 32 && $0 < 127 }), let colon = text.firstIndex(of: ":") else { return nil }
    let scheme = text[..<colon].lowercased()
    let rest = text[colon...].dropFirst()
    guard schemes.contains(scheme), rest.hasPrefix("//") else { return nil }
    let host = rest.dropFirst(2).prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    // A port may be missing, and any will do to read the host.
    guard endpoint(String(host)) != nil || endpoint("\(host):1") != nil else { return nil }
    return (scheme, String(rest[host.endIndex...]))
  }
}
