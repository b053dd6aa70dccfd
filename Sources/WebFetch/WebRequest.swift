/// A request over HTTPS or HTTP: a GET, or the frame of a POST.
public struct WebRequest: Sendable, Equatable {
  /// `https://…` or `http://…`.
  public var url: String
  /// PEM file of the authorities that may vouch for the server; the system's when nil.
  public var caFile: String?
  /// PEM file of our certificate, for servers that ask for one (RFC 6109 §5.6).
  public var clientCertificate: String?
  /// PEM file of its key; the certificate's file when nil.
  public var clientKey: String?
  /// Octets of the answer at the most.
  public var maximumBytes: Int
  /// Seconds for the whole of it, redirects included.
  public var timeoutSeconds: Int
  /// `ETag` of what we have: the answer to a GET may be that it is unchanged.
  public var etag: String?
  /// `Last-Modified` of what we have: the answer to a GET may be that it is unchanged.
  public var lastModified: String?
  /// Who we are, for servers that want a name and a password (RFC 7617), which go to no other host.
  public var user: String?
  public var password: String?

  /// False to take a redirect for a failure.
  public var followsRedirects = true
  /// Numeric addresses of the host at HTTPS's own port; looked up by libcurl when there are none.
  public var addresses: [String] = []

  /// A request; 64 MB and 60 s at the most.
  public init(
    url: String, caFile: String? = nil, clientCertificate: String? = nil, clientKey: String? = nil,
    maximumBytes: Int = 64 * 1024 * 1024, timeoutSeconds: Int = 60, etag: String? = nil, lastModified: String? = nil,
    user: String? = nil, password: String? = nil
  ) {
    self.url = url
    self.caFile = caFile
    self.clientCertificate = clientCertificate
    self.clientKey = clientKey
    self.maximumBytes = maximumBytes
    self.timeoutSeconds = timeoutSeconds
    self.etag = etag
    self.lastModified = lastModified
    self.user = user
    self.password = password
  }

  /// Whether the server must prove who it is.
  var isSecure: Bool { scheme == "https" }

  /// What is before `://`, in lower case.
  private var scheme: String? {
    guard let end = url.utf8.firstIndex(of: UInt8(ascii: ":")), url.utf8[end...].starts(with: "://".utf8) else { return nil }
    return url[..<end].lowercased()
  }

  /// What libcurl is told of addresses: `host:443:address,…`; nil when it looks them up itself.
  var addressEntry: String? {
    guard !addresses.isEmpty, isSecure else { return nil }
    let host = url.dropFirst("https://".count).prefix { $0 != "/" && $0 != ":" && $0 != "?" }
    return "\(host):443:" + addresses.map { $0.contains(":") ? "[\($0)]" : $0 }.joined(separator: ",")
  }

  /// Why the request cannot be made as it stands; nil when it can.
  var fault: WebFetchError? {
    guard scheme == "https" || scheme == "http" else { return .badRequest("the address is neither https:// nor http://") }
    guard url.utf8.count <= 8192, url.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else {
      return .badRequest("the address is too long, or holds characters that must be percent-encoded")
    }
    let files = [caFile, clientCertificate, clientKey].compactMap { $0 }
    if files.contains(where: { $0.isEmpty || $0.utf8.contains(0) }) { return .badRequest("the name of a certificate or key file is empty") }
    // A value out of an earlier answer must not become a header line of its own.
    if [etag, lastModified].contains(where: { $0.map { !WebRequest.isFieldValue($0) } ?? false }) {
      return .badRequest("the ETag or date of the earlier answer cannot stand in a header")
    }
    // RFC 7617 §2: the name ends at the first colon.
    if let user, user.isEmpty || user.utf8.contains(where: { $0 < 32 || $0 == 127 || $0 == UInt8(ascii: ":") }) {
      return .badRequest("the user's name is empty, or has a colon or a control character in it")
    }
    if (password ?? "").utf8.contains(where: { $0 < 32 || $0 == 127 }) {
      return .badRequest("the password has a control character in it")
    }
    if maximumBytes < 0 || timeoutSeconds < 1 || timeoutSeconds > 86_400 { return .badRequest("a limit is out of range") }
    return nil
  }

  /// Printable ASCII of a sane length.
  static func isFieldValue(_ text: String) -> Bool {
    !text.isEmpty && text.utf8.count <= 1024 && text.utf8.allSatisfy { $0 >= 32 && $0 < 127 }
  }
}

/// What a server answered.
public struct WebResponse: Sendable, Equatable {
  /// 200, or 304 when it is unchanged.
  public var status: Int
  /// The content; empty when it is unchanged.
  public var body: [UInt8]
  /// To be given with the next request.
  public var etag: String?
  /// To be given with the next request.
  public var lastModified: String?
  /// `Content-Type`, if there was one.
  public var contentType: String?
  /// The server says that what we have still holds (RFC 9110 §15.4.5).
  public var isUnchanged: Bool { status == 304 }

  /// An answer.
  public init(status: Int, body: [UInt8], etag: String? = nil, lastModified: String? = nil, contentType: String? = nil) {
    self.status = status
    self.body = body
    self.etag = etag
    self.lastModified = lastModified
    self.contentType = contentType
  }
}

/// Why nothing was fetched.
public enum WebFetchError: Error, Equatable, CustomStringConvertible {
  /// The request cannot be made: our own fault, or the configuration's.
  case badRequest(String)
  /// The content is larger than was asked for.
  case tooLarge(maximumBytes: Int)
  /// The server answered with something other than the content.
  case status(Int)
  /// The time was over before the content was there.
  case timedOut(seconds: Int)
  /// The server could not prove who it is, or TLS could not be had.
  case unverified(String)
  /// The connection failed, or the answer broke off.
  case failed(String)

  /// One line for a log or terminal.
  public var description: String {
    switch self {
    case .badRequest(let words): words
    case .tooLarge(let bytes): "the content is larger than \(bytes) octets"
    case .status(let status): "the server answers \(status)"
    case .timedOut(let seconds): "no complete answer within \(seconds) s"
    case .unverified(let words): "the server is not trusted: \(words)"
    case .failed(let words): words
    }
  }
}
