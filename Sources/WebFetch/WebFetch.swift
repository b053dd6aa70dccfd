internal import CCurl

/// Fetches the provider index and revocation lists, and asks time stamp authorities, by HTTP (RFC 9110), with libcurl.
public enum WebFetch {
  /// Gets the content of an address; blocks, so it is for worker threads and commands, never for a loop.
  ///
  /// TLS 1.2 at least, the server's certificate and name verified, no other authorities than the given ones. Redirects are followed five
  /// times at most, and never from https to http. Proxies are taken from the environment as libcurl does (`https_proxy`, `no_proxy`), but
  /// for a host whose addresses are given, which a proxy would look up again.
  /// - Throws: everything but a complete answer with status 200, or 304 to a request that was conditional.
  public static func get(_ request: WebRequest) throws(WebFetchError) -> WebResponse {
    if let fault = request.fault { throw fault }
    guard let transfer = Transfer(request) else { throw .failed("libcurl cannot be made ready") }
    try transfer.prepare()
    return try transfer.perform()
  }

  /// Sends content to an address and takes the answer; blocks like `get`, with the same limits.
  ///
  /// No redirect is followed: the content is for the configured server, and a redirect may ask for another method.
  /// - Parameters:
  ///   - body: 16 MB at the most; sent as it is, with its length.
  ///   - contentType: MIME type of `body`.
  ///   - accept: MIME type of the answer.
  /// - Throws: everything but a complete answer with status 200. The request's `etag` and `lastModified` do not matter.
  public static func post(
    _ request: WebRequest, body: [UInt8], contentType: String, accept: String
  ) throws(WebFetchError) -> WebResponse {
    if let fault = request.fault { throw fault }
    guard body.count <= 16 << 20, WebRequest.isFieldValue(contentType), WebRequest.isFieldValue(accept) else {
      throw .badRequest("what is to be sent is too large, or has no MIME type")
    }
    var request = request
    (request.etag, request.lastModified) = (nil, nil)
    guard let transfer = Transfer(request) else { throw .failed("libcurl cannot be made ready") }
    try transfer.prepare(sending: body, contentType: contentType, accept: accept)
    return try transfer.perform()
  }
}

/// One transfer.
///
/// Owns the easy handle, the header list and the buffer of the error's words; all are freed in deinit, after the transfer. libcurl gets
/// a pointer to this object that it does not own, and uses it inside `perform` only.
@safe
private final class Transfer {
  private static let isReady = ceralacca_curl_start() == CURLE_OK

  private let request: WebRequest
  private let handle: UnsafeMutableRawPointer
  private let words: UnsafeMutablePointer<CChar>
  private var lines: UnsafeMutablePointer<curl_slist>?
  private var addresses: UnsafeMutablePointer<curl_slist>?

  private var body: [UInt8] = []
  private var isTooLarge = false
  private var headerBytes = 0
  private var etag: String?
  private var lastModified: String?
  private var contentType: String?

  /// Octets of header lines in all answers together, redirects included.
  private static let maximumHeaderBytes = 256 * 1024

  init?(_ request: WebRequest) {
    guard Transfer.isReady, let made = unsafe curl_easy_init() else { return nil }
    self.request = request
    unsafe handle = made
    unsafe words = .allocate(capacity: Int(CURL_ERROR_SIZE))
    unsafe words.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
  }

  deinit {
    unsafe curl_easy_cleanup(handle)
    unsafe curl_slist_free_all(lines)
    unsafe curl_slist_free_all(addresses)
    unsafe words.deallocate()
  }

  func prepare() throws(WebFetchError) {
    try prepareConnection()
    try number(CURLOPT_FOLLOWLOCATION, request.followsRedirects ? 1 : 0)
    try number(CURLOPT_MAXREDIRS, 5)
    if let etag = request.etag { try line("If-None-Match: \(etag)") }
    if let date = request.lastModified { try line("If-Modified-Since: \(date)") }
    try checked(unsafe ceralacca_curl_headers(handle, lines))
  }

  func prepare(sending body: [UInt8], contentType: String, accept: String) throws(WebFetchError) {
    try prepareConnection()
    try number(CURLOPT_FOLLOWLOCATION, 0)
    // Copied by libcurl.
    try checked(unsafe body.withUnsafeBytes { unsafe ceralacca_curl_post(handle, $0.baseAddress, Int64($0.count)) })
    try line("Content-Type: \(contentType)")
    try line("Accept: \(accept)")
    // Nobody is asked first whether the content is wanted: some servers never answer that (RFC 9110 §10.1.1).
    try line("Expect:")
    try checked(unsafe ceralacca_curl_headers(handle, lines))
  }

  private func prepareConnection() throws(WebFetchError) {
    try checked(unsafe ceralacca_curl_words(handle, words))
    try text(CURLOPT_URL, request.url)
    try number(CURLOPT_NOSIGNAL, 1)
    try text(CURLOPT_PROTOCOLS_STR, request.isSecure ? "https" : "http,https")
    try text(CURLOPT_REDIR_PROTOCOLS_STR, request.isSecure ? "https" : "http,https")
    try number(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
    try number(CURLOPT_SSL_VERIFYPEER, 1)
    try number(CURLOPT_SSL_VERIFYHOST, 2)
    try number(CURLOPT_TIMEOUT, request.timeoutSeconds)
    try number(CURLOPT_CONNECTTIMEOUT, min(request.timeoutSeconds, 30))
    try text(CURLOPT_USERAGENT, "Ceralacca")
    try checked(unsafe ceralacca_curl_size(handle, CURLOPT_MAXFILESIZE_LARGE, Int64(max(1, request.maximumBytes))))
    if let caFile = request.caFile {
      try text(CURLOPT_CAINFO, caFile)
      // The system's folder of authorities would count beside the file.
      try checked(unsafe ceralacca_curl_text(handle, CURLOPT_CAPATH, nil))
    }
    if let certificate = request.clientCertificate {
      try text(CURLOPT_SSLCERT, certificate)
      try text(CURLOPT_SSLKEY, request.clientKey ?? certificate)
    }
    if let entry = request.addressEntry {
      guard let list = unsafe curl_slist_append(nil, entry) else { throw .failed("no memory for an address") }
      unsafe addresses = list
      try checked(unsafe ceralacca_curl_addresses(handle, list))
    }
    // A proxy out of the environment would look the host up by itself, and connect to whatever its DNS says.
    if !request.addresses.isEmpty { try text(CURLOPT_PROXY, "") }
    if let user = request.user {
      // Basic only (RFC 7617); libcurl keeps it from other hosts.
      try checked(unsafe ceralacca_curl_basic(handle))
      try text(CURLOPT_USERNAME, user)
      try text(CURLOPT_PASSWORD, request.password ?? "")
    }
    try checked(unsafe ceralacca_curl_sinks(handle, Transfer.takeBody, Transfer.takeHeader, Unmanaged.passUnretained(self).toOpaque()))
  }

  func perform() throws(WebFetchError) -> WebResponse {
    let code = unsafe curl_easy_perform(handle)
    guard code == CURLE_OK else { throw failure(code) }
    let status = unsafe ceralacca_curl_status(handle)
    let isConditional = request.etag != nil || request.lastModified != nil
    switch status {
    case 200: return WebResponse(status: 200, body: body, etag: etag, lastModified: lastModified, contentType: contentType)
    // RFC 9110 §15.4.5: validators may be left out of the answer when they have not changed.
    case 304 where isConditional:
      return WebResponse(status: 304, body: [], etag: etag ?? request.etag, lastModified: lastModified ?? request.lastModified)
    default: throw .status(status)
    }
  }

  private func failure(_ code: CURLcode) -> WebFetchError {
    if isTooLarge || code == CURLE_FILESIZE_EXCEEDED { return .tooLarge(maximumBytes: request.maximumBytes) }
    let told = unsafe String(cString: words)
    let said = told.isEmpty ? unsafe String(cString: curl_easy_strerror(code)) : told
    // The words may quote the peer.
    let line = String(decoding: said.utf8.prefix(300).map { $0 < 32 || $0 == 127 ? 32 : $0 }, as: UTF8.self)
    switch code {
    case CURLE_OPERATION_TIMEDOUT: return .timedOut(seconds: request.timeoutSeconds)
    case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_ISSUER_ERROR,
      CURLE_SSL_CERTPROBLEM, CURLE_USE_SSL_FAILED, CURLE_SSL_CIPHER:
      return .unverified(line)
    default: return .failed(line)
    }
  }

  // MARK: What comes

  private static let takeBody: ceralacca_curl_sink = { octets, size, count, context in
    guard let octets = unsafe octets, let context = unsafe context else { return 0 }
    let transfer = unsafe Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
    let bytes = unsafe UnsafeRawBufferPointer(start: octets, count: size * count)
    return unsafe transfer.take(body: bytes) ? bytes.count : 0
  }

  private static let takeHeader: ceralacca_curl_sink = { octets, size, count, context in
    guard let octets = unsafe octets, let context = unsafe context else { return 0 }
    let transfer = unsafe Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
    let bytes = unsafe UnsafeRawBufferPointer(start: octets, count: size * count)
    return unsafe transfer.take(header: bytes) ? bytes.count : 0
  }

  private func take(body octets: UnsafeRawBufferPointer) -> Bool {
    guard body.count + octets.count <= request.maximumBytes else {
      isTooLarge = true
      return false
    }
    unsafe body.append(contentsOf: octets)
    return true
  }

  /// Each header line comes whole; a status line begins the header of the next answer.
  private func take(header octets: UnsafeRawBufferPointer) -> Bool {
    headerBytes += octets.count
    guard headerBytes <= Transfer.maximumHeaderBytes else { return false }
    let line = unsafe String(decoding: octets, as: UTF8.self)
    if line.hasPrefix("HTTP/") {
      etag = nil
      lastModified = nil
      contentType = nil
      body = []
      return true
    }
    guard let colon = line.utf8.firstIndex(of: UInt8(ascii: ":")) else { return true }
    let value = Transfer.trimmed(line[line.utf8.index(after: colon)...])
    guard WebRequest.isFieldValue(value) else { return true }
    switch line[..<colon].lowercased() {
    case "etag": etag = value
    case "last-modified": lastModified = value
    case "content-type": contentType = value
    default: break
    }
    return true
  }

  private static func trimmed(_ text: Substring) -> String {
    var octets = text.utf8[...]
    while let last = octets.last, last <= 32 { octets = octets.dropLast() }
    return String(Substring(octets.drop { $0 <= 32 }))
  }

  // MARK: Options

  private func text(_ option: CURLoption, _ value: String) throws(WebFetchError) {
    try checked(unsafe ceralacca_curl_text(handle, option, value))
  }

  private func number(_ option: CURLoption, _ value: Int) throws(WebFetchError) {
    try checked(unsafe ceralacca_curl_number(handle, option, value))
  }

  private func line(_ text: String) throws(WebFetchError) {
    guard let longer = unsafe curl_slist_append(lines, text) else { throw .failed("no memory for a header line") }
    unsafe lines = longer
  }

  /// An option that libcurl does not take would leave the transfer without what it asks for: nothing is fetched then.
  private func checked(_ code: CURLcode) throws(WebFetchError) {
    if code != CURLE_OK { throw .failed("libcurl refuses an option: \(unsafe String(cString: curl_easy_strerror(code)))") }
  }
}
