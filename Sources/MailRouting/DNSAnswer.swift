/// What the DNS is asked: a name in lower case without its last dot, and a type.
public struct DNSQuestion: Sendable, Hashable {
  /// The types that matter to mail.
  public enum Kind: Int, Sendable {
    case a = 1
    case mx = 15
    case txt = 16
    case aaaa = 28
    case tlsa = 52
  }

  public var name: String
  public var kind: Kind

  /// A question.
  public init(_ name: String, _ kind: Kind) {
    self.name = name
    self.kind = kind
  }
}

/// What a validating resolver says.
public struct DNSAnswer: Sendable, Equatable {
  /// Whether there is anything.
  public enum Content: Sendable, Equatable {
    /// RDATA in wire form, names uncompressed.
    case records([[UInt8]])
    /// The name exists, and has nothing of this type.
    case noData
    /// The name does not exist.
    case noName
    /// There is no answer that could be believed: the servers fail or are silent, or DNSSEC says that it is forged. The words say which.
    case failed(String)
  }

  public var content: Content
  /// True when DNSSEC proves it from the trust anchor on, also that there is nothing (RFC 4035 §4.3).
  public var isSecure: Bool
  /// The name at the end of the aliases; nil when the name asked for is none (CNAME, RFC 1034 §3.6.2).
  public var canonicalName: String?
  /// Seconds for which it may be believed.
  public var lifetimeSeconds: Int

  /// An answer; a failure is never secure.
  public init(_ content: Content, isSecure: Bool = false, canonicalName: String? = nil, lifetimeSeconds: Int = 0) {
    self.content = content
    self.isSecure = isSecure
    self.canonicalName = canonicalName
    self.lifetimeSeconds = lifetimeSeconds
  }

  /// The records; none when there are none, whatever the reason.
  var records: [[UInt8]] {
    switch content {
    case .records(let records): records
    case .noData, .noName, .failed: []
    }
  }
}
