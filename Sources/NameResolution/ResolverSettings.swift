/// How the DNS is asked.
public struct ResolverSettings: Sendable, Equatable {
  /// Who is asked.
  public enum Source: Sendable, Equatable {
    /// The servers of a file in the form of resolv.conf(5).
    case systemFile(String)
    /// These: `192.0.2.1`, or with a port `192.0.2.1@5353`.
    case servers([String])
    /// Nobody between us and the root: the names' own servers.
    case authorities
  }

  public var source: Source
  /// File with the DS or DNSKEY records of the root, which everything is proven from.
  public var trustAnchor: String
  /// Questions that are open at once.
  public var openQuestions: Int

  /// Servers and a trust anchor.
  public init(source: Source, trustAnchor: String, openQuestions: Int = 1024) {
    self.source = source
    self.trustAnchor = trustAnchor
    self.openQuestions = openQuestions
  }
}

/// Why there is no resolver.
public struct ResolverError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What could not be done, and why.
  public var description: String

  init(_ description: String) { self.description = "DNS: \(description)" }
}
