/// A search of a whole tree.
public struct LDAPRequest: Sendable, Equatable {
  /// `ldaps://host[:port]`, or `ldap://host[:port]`.
  public var url: String
  /// The tree's root (RFC 6109 §4.5).
  public var base: String
  /// PEM file of the authorities that may vouch for the server; the system's when nil.
  public var caFile: String?
  /// PEM file of our certificate, for servers that ask for one (RFC 6109 §5.6).
  public var clientCertificate: String?
  /// PEM file of its key; the certificate's file when nil.
  public var clientKey: String?
  /// Begin TLS on an `ldap://` connection (RFC 4511 §4.14) before anything else, or fail.
  public var startTLS: Bool
  /// Who asks; nobody in particular when nil.
  public var bindDN: String?
  /// Their password; only with `bindDN`, and only under TLS.
  public var password: String?
  /// Seconds for the whole search.
  public var timeoutSeconds: Int
  /// Entries at the most; more of them are a failure, not half an answer.
  public var maximumEntries: Int
  /// Octets of all values at the most.
  public var maximumBytes: Int
  /// Entries that are asked for at a time, where the server has paging (RFC 2696).
  public var pageEntries: Int

  /// A search; anonymous, 60 s, 10,000 entries and 64 MB at the most.
  public init(
    url: String, base: String = "o=postacert", caFile: String? = nil, clientCertificate: String? = nil, clientKey: String? = nil,
    startTLS: Bool = false, bindDN: String? = nil, password: String? = nil, timeoutSeconds: Int = 60, maximumEntries: Int = 10_000,
    maximumBytes: Int = 64 * 1024 * 1024, pageEntries: Int = 100
  ) {
    self.url = url
    self.base = base
    self.caFile = caFile
    self.clientCertificate = clientCertificate
    self.clientKey = clientKey
    self.startTLS = startTLS
    self.bindDN = bindDN
    self.password = password
    self.timeoutSeconds = timeoutSeconds
    self.maximumEntries = maximumEntries
    self.maximumBytes = maximumBytes
    self.pageEntries = pageEntries
  }

  /// Whether TLS begins with the connection.
  var isLDAPS: Bool { url.lowercased().hasPrefix("ldaps://") }
  /// Whether the server must prove who it is.
  var isSecure: Bool { isLDAPS || startTLS }

  /// Why the request cannot be made as it stands; nil when it can.
  var fault: LDAPSearchError? {
    guard isLDAPS || url.lowercased().hasPrefix("ldap://") else { return .badRequest("the address is neither ldaps:// nor ldap://") }
    // libldap takes several addresses separated by spaces or commas; one is meant here.
    guard url.utf8.count <= 1024, url.utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: ",") }) else {
      return .badRequest("the address is too long, or holds characters that it may not")
    }
    if isLDAPS && startTLS { return .badRequest("ldaps:// is under TLS already: StartTLS is for ldap://") }
    let texts = [base, caFile, clientCertificate, clientKey, bindDN, password].compactMap { $0 }
    if texts.contains(where: { $0.isEmpty || $0.utf8.contains(0) }) {
      return .badRequest("a base, file, name or password is empty")
    }
    // RFC 4513 §5.1.2: a name without a password is nobody, and must not pass for somebody.
    if (bindDN == nil) != (password == nil) { return .badRequest("a bind needs both a name and a password") }
    if password != nil && !isSecure { return .badRequest("a password is not sent without TLS: use ldaps:// or StartTLS") }
    guard 1...86_400 ~= timeoutSeconds, 1...1_000_000 ~= maximumEntries, 1...10_000 ~= pageEntries, 1024...(1 << 31) ~= maximumBytes else {
      return .badRequest("a limit is out of range")
    }
    return nil
  }
}

/// An attribute of an entry, with its options (`providerCertificate;binary`), as the server writes it.
public struct LDAPAttribute: Sendable, Equatable {
  public var name: String
  /// The values' octets, in the server's order.
  public var values: [[UInt8]]

  /// An attribute.
  public init(name: String, values: [[UInt8]]) {
    self.name = name
    self.values = values
  }
}

/// An entry of a directory.
public struct LDAPEntry: Sendable, Equatable {
  /// Distinguished name (RFC 4514).
  public var dn: String
  public var attributes: [LDAPAttribute]

  /// An entry.
  public init(dn: String, attributes: [LDAPAttribute]) {
    self.dn = dn
    self.attributes = attributes
  }
}

/// Why there is no answer.
public enum LDAPSearchError: Error, Equatable, CustomStringConvertible {
  /// The request cannot be made: our own fault, or the configuration's.
  case badRequest(String)
  /// No connection, or it broke off.
  case unreachable(String)
  /// The server could not prove who it is, or TLS could not be had.
  case unverified(String)
  /// The server does not take the name and password.
  case bindRefused(String)
  /// The time was over before the answer was complete.
  case timedOut(seconds: Int)
  /// The answer is larger than was asked for.
  case tooLarge(String)
  /// The server answers with this code (RFC 4511 §4.1.9), or with something that is no answer.
  case refused(code: Int, String)

  /// One line for a log or terminal.
  public var description: String {
    switch self {
    case .badRequest(let words): words
    case .unreachable(let words): "the directory cannot be reached: \(words)"
    case .unverified(let words): "the directory is not trusted: \(words)"
    case .bindRefused(let words): "the directory does not take the name and password: \(words)"
    case .timedOut(let seconds): "no complete answer within \(seconds) s"
    case .tooLarge(let words): "the answer is too large: \(words)"
    case .refused(let code, let words): "the directory answers \(code): \(words)"
    }
  }
}
