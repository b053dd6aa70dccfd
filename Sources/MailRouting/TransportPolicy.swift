import Octets

/// What a domain demands of whoever delivers to it by MTA-STS (RFC 8461 §3.2).
public struct TransportPolicy: Sendable, Equatable {
  /// What follows when a host does not keep to the policy.
  public enum Mode: String, Sendable {
    /// It gets nothing.
    case enforce
    /// It gets everything; the domain only wants to know.
    case testing
    /// There is no policy any more.
    case none
  }

  public var mode: Mode
  /// Host names in lower case, or `*.` before a name for any one label.
  public var patterns: [String]
  /// For how long it may be kept.
  public var maximumAgeSeconds: Int

  /// A policy.
  public init(mode: Mode, patterns: [String], maximumAgeSeconds: Int) {
    self.mode = mode
    self.patterns = patterns
    self.maximumAgeSeconds = maximumAgeSeconds
  }

  /// A policy that is no policy, with the reason.
  public struct Fault: Error, Equatable, CustomStringConvertible {
    public var description: String
  }

  /// A year, about: the longest that may be asked for (RFC 8461 §3.2).
  static let longestSeconds = 31_557_600

  /// Reads a policy file: `key: value` lines, ended by CRLF or LF. Of keys that come twice the first one counts, but for `mx`.
  /// - Parameter limit: patterns at the most.
  /// - Throws: what is wrong; then there is no policy.
  public init(file: [UInt8], atMost limit: Int) throws(Fault) {
    guard file.allSatisfy({ $0 == 9 || $0 == 10 || $0 == 13 || (32...126).contains($0) }) else {
      throw Fault(description: "the policy has characters that are not printable ASCII")
    }
    var values: [String: String] = [:]
    var patterns: [String] = []
    for line in file.split(separator: 10) {
      let line = line.last == 13 ? line.dropLast() : line
      if line.allSatisfy({ $0 == 32 || $0 == 9 }) { continue }
      guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { throw Fault(description: "the policy has a line without a colon") }
      let key = TransportPolicy.trimmed(line[..<colon])
      let value = TransportPolicy.trimmed(line[(colon + 1)...])
      if key != "mx" {
        if values[key] == nil { values[key] = value }
        continue
      }
      guard let pattern = TransportPolicy.pattern(value) else { throw Fault(description: "the policy has an 'mx' that is no host name") }
      guard patterns.count < limit else { throw Fault(description: "the policy has more than \(limit) 'mx' lines") }
      patterns.append(pattern)
    }
    guard values["version"] == "STSv1" else { throw Fault(description: "the policy's version is not STSv1") }
    guard let mode = values["mode"].flatMap(Mode.init(rawValue:)) else { throw Fault(description: "the policy has no known mode") }
    guard let text = values["max_age"], (1...10).contains(text.utf8.count), text.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }),
      let age = Int(text)
    else { throw Fault(description: "the policy has no max_age") }
    guard mode == .none || !patterns.isEmpty else { throw Fault(description: "the policy names no host") }
    self.init(mode: mode, patterns: patterns, maximumAgeSeconds: min(age, TransportPolicy.longestSeconds))
  }

  private static func trimmed(_ octets: ArraySlice<UInt8>) -> String {
    var octets = octets.drop { $0 == 32 || $0 == 9 }
    while let last = octets.last, last == 32 || last == 9 { octets = octets.dropLast() }
    return String(decoding: octets, as: UTF8.self)
  }

  private static func pattern(_ text: String) -> String? {
    if text.hasPrefix("*.") { return HostName.normalized(String(text.dropFirst(2))).map { "*." + $0 } }
    return HostName.normalized(text)
  }

  /// Whether a host of the MX list is one of the policy's (RFC 8461 §4.1): a wildcard stands for one whole label.
  /// - Parameter host: in lower case, without a last dot.
  public func names(_ host: String) -> Bool {
    patterns.contains { pattern in
      guard pattern.hasPrefix("*.") else { return pattern == host }
      guard let dot = host.utf8.firstIndex(of: UInt8(ascii: ".")) else { return false }
      return host[host.utf8.index(after: dot)...] == pattern.dropFirst(2)
    }
  }

  /// Where a domain's policy is (RFC 8461 §3.3).
  public static func host(of domain: String) -> String { "mta-sts.\(domain)" }

  /// The id in a domain's TXT records (RFC 8461 §3.1); nil when there is no policy: no record, more than one, or a malformed one.
  public static func identifier(in answer: DNSAnswer) -> String? {
    let version = Array("v=STSv1".utf8)
    let records = answer.records.compactMap(TextRecord.text).filter { $0.starts(with: version) }
    guard records.count == 1, let record = records.first else { return nil }
    let fields = record.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false).map(trimmed)
    guard fields.count > 1, fields.first == "v=STSv1" else { return nil }
    let identifiers = fields.dropFirst().filter { $0.hasPrefix("id=") }
    guard let value = identifiers.first?.dropFirst(3), (1...32).contains(value.utf8.count),
      value.utf8.allSatisfy({ (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) })
    else { return nil }
    return String(value)
  }
}
