internal import CLDAP
internal import Synchronization

/// Asks a directory for a whole tree (RFC 4511), with libldap: the provider index where it is had by LDAP (RFC 6109 §4.5).
public enum LDAPSearch {
  /// All entries under the request's base, with all user attributes; blocks, so it is for worker threads and commands.
  ///
  /// The answer is whole or an error: a server that sends less than it has (its limits, referrals to others) is one. Under TLS the
  /// certificate and name of the server are verified whatever the machine's ldap.conf says, and TLS is 1.2 at least.
  public static func entries(_ request: LDAPRequest) throws(LDAPSearchError) -> [LDAPEntry] {
    if let fault = request.fault { throw fault }
    let connection = try Connection(request)
    do throws(LDAPSearchError) {
      try connection.open()
      return try connection.search()
    } catch {
      // Whatever broke off when the time was over broke off for that.
      throw connection.isOver ? .timedOut(seconds: request.timeoutSeconds) : error
    }
  }
}

/// A connection.
///
/// Owns the handle; it is unbound, which frees it, in deinit, and then the watch over its time. Used by one thread only.
@safe
private final class Connection {
  /// libldap and the library of its TLS set themselves up at the first handle and context: one thread at a time.
  private static let beginning = Mutex(())

  private let request: LDAPRequest
  private let handle: OpaquePointer
  private let watch: UnsafeMutablePointer<ceralacca_ldap_watch>
  private let deadline: ContinuousClock.Instant
  private var answer = Answer()

  /// What has come.
  private struct Answer {
    var entries: [LDAPEntry] = []
    var bytes = 0
  }

  init(_ request: LDAPRequest) throws(LDAPSearchError) {
    self.request = request
    deadline = .now + .seconds(request.timeoutSeconds)
    let (made, code) = unsafe Connection.beginning.withLock { _ in unsafe Connection.make(request) }
    guard let made = unsafe made else { throw .badRequest(Connection.sentence(code)) }
    guard let watching = unsafe ceralacca_ldap_watch_start(made, request.timeoutSeconds) else {
      unsafe ldap_unbind_ext_s(made, nil, nil)
      throw .unreachable("no thread to watch over its time")
    }
    unsafe handle = made
    unsafe watch = watching
    if code != LDAP_SUCCESS { throw .unverified("the certificate files cannot be used: \(words(code))") }
  }

  deinit {
    unsafe ldap_unbind_ext_s(handle, nil, nil)
    unsafe ceralacca_ldap_watch_stop(watch)
  }

  /// Whether the time was over, and the connection was ended for it.
  var isOver: Bool { unsafe ceralacca_ldap_watch_is_over(watch) != 0 }

  /// A handle with its options. A failure of TLS comes with a handle, so that its words can be had.
  private static func make(_ request: LDAPRequest) -> (OpaquePointer?, Int32) {
    ceralacca_ldap_ignore_sigpipe()
    var made: OpaquePointer?
    let code = unsafe ldap_initialize(&made, request.url)
    guard code == LDAP_SUCCESS, let made = unsafe made else { return (nil, code) }
    let prepared = unsafe ceralacca_ldap_prepare(made, request.timeoutSeconds)
    if prepared != LDAP_SUCCESS {
      unsafe ldap_unbind_ext_s(made, nil, nil)
      return (nil, prepared)
    }
    if !request.isSecure { return unsafe (made, LDAP_SUCCESS) }
    let key = request.clientKey ?? request.clientCertificate
    let failure = unsafe withText(request.caFile) { authorities in
      unsafe withText(request.clientCertificate) { certificate in
        unsafe withText(key) { key in unsafe ceralacca_ldap_tls(made, authorities, certificate, key) }
      }
    }
    return unsafe (made, failure)
  }

  /// Connects, begins TLS, and says who asks: nothing is sent before the server has proved who it is.
  func open() throws(LDAPSearchError) {
    let connected = unsafe ldap_connect(handle)
    if connected != LDAP_SUCCESS { throw unreachable(connected) }
    if request.startTLS {
      let begun = unsafe ldap_start_tls_s(handle, nil, nil)
      if begun == LDAP_TIMEOUT { throw .timedOut(seconds: request.timeoutSeconds) }
      if begun != LDAP_SUCCESS { throw .unverified(words(begun)) }
    }
    if request.isSecure, unsafe ceralacca_ldap_is_modern_tls(handle) == 0 { throw .unverified("it speaks no TLS 1.2 or newer") }
    let limited = unsafe ceralacca_ldap_limit(handle, request.maximumBytes)
    if limited != LDAP_SUCCESS { throw .refused(code: Int(limited), "the size of answers cannot be limited") }
    guard let name = request.bindDN, let password = request.password else { return }
    let bound = unsafe ceralacca_ldap_bind(handle, name, password)
    if bound == LDAP_TIMEOUT { throw .timedOut(seconds: request.timeoutSeconds) }
    if bound == LDAP_SERVER_DOWN { throw .unreachable(words(bound)) }
    if bound != LDAP_SUCCESS { throw .bindRefused(words(bound)) }
  }

  /// A failed connection: over ldaps a certificate that does not hold shows here too, with the words of the library of TLS.
  private func unreachable(_ code: Int32) -> LDAPSearchError {
    if code == LDAP_TIMEOUT { return .timedOut(seconds: request.timeoutSeconds) }
    let said = diagnosis()
    if request.isLDAPS, let said { return .unverified(said) }
    return .unreachable(said ?? Connection.sentence(code))
  }

  // MARK: Searching

  /// Page after page, until a page comes without a cookie.
  func search() throws(LDAPSearchError) -> [LDAPEntry] {
    var cookie = unsafe berval()
    defer { unsafe ber_memfree(cookie.bv_val) }
    // A server that gives a new cookie with each empty page would go on for ever.
    for _ in 0...(request.maximumEntries) {
      var message: Int32 = 0
      let asked = unsafe ceralacca_ldap_search(handle, request.base, Int32(request.pageEntries), &cookie, &message)
      if asked != LDAP_SUCCESS { throw failure(asked) }
      unsafe ber_memfree(cookie.bv_val)
      unsafe cookie = unsafe berval()
      let end = try page(message)
      var code: Int32 = 0
      let parsed = unsafe ceralacca_ldap_page_end(handle, end.take(), &code, &cookie)
      if parsed != LDAP_SUCCESS { throw failure(parsed) }
      if code != LDAP_SUCCESS { throw failure(code) }
      if unsafe cookie.bv_len == 0 { return answer.entries }
    }
    throw .tooLarge("more pages than entries were asked for")
  }

  /// Reads a page's entries; its last message is returned.
  private func page(_ message: Int32) throws(LDAPSearchError) -> Message {
    while true {
      let left = (deadline - .now) / .milliseconds(1)
      guard left >= 1 else { throw .timedOut(seconds: request.timeoutSeconds) }
      var raw: OpaquePointer?
      let kind = unsafe ceralacca_ldap_next(handle, message, Int(left), &raw)
      let owned = unsafe Message(raw)
      switch kind {
      case 0: throw .timedOut(seconds: request.timeoutSeconds)
      case Int32(LDAP_RES_SEARCH_ENTRY): try take(owned)
      case Int32(LDAP_RES_SEARCH_RESULT): return owned
      case Int32(LDAP_RES_SEARCH_REFERENCE): throw .refused(code: 10, "part of the tree is on another server")
      case Int32(LDAP_RES_INTERMEDIATE): continue
      default: throw failure(unsafe ceralacca_ldap_code(handle))
      }
    }
  }

  private func take(_ message: borrowing Message) throws(LDAPSearchError) {
    guard answer.entries.count < request.maximumEntries else { throw .tooLarge("more than \(request.maximumEntries) entries") }
    guard let entry = unsafe ldap_first_entry(handle, message.raw), let name = unsafe ldap_get_dn(handle, entry) else {
      throw .refused(code: 2, "an entry that cannot be read")
    }
    defer { unsafe ldap_memfree(name) }
    var made = LDAPEntry(dn: unsafe String(cString: name), attributes: [])
    // libldap's place in the entry: ours to free.
    var place: OpaquePointer?
    defer { unsafe ber_free(place, 0) }
    var next = unsafe ldap_first_attribute(handle, entry, &place)
    while let attribute = unsafe next {
      let label = unsafe String(cString: attribute)
      let values = unsafe values(entry, attribute)
      unsafe ldap_memfree(attribute)
      answer.bytes += values.reduce(label.utf8.count) { $0 + $1.count + 32 }
      if answer.bytes > request.maximumBytes { throw .tooLarge("more than \(request.maximumBytes) octets") }
      made.attributes.append(LDAPAttribute(name: label, values: values))
      unsafe next = unsafe ldap_next_attribute(handle, entry, place)
    }
    answer.entries.append(made)
  }

  private func values(_ entry: OpaquePointer, _ attribute: UnsafePointer<CChar>) -> [[UInt8]] {
    guard let list = unsafe ldap_get_values_len(handle, entry, attribute) else { return [] }
    defer { unsafe ldap_value_free_len(list) }
    var values: [[UInt8]] = []
    var at = 0
    while let value = unsafe list[at] {
      let octets = unsafe UnsafeRawBufferPointer(start: value.pointee.bv_val, count: Int(value.pointee.bv_len))
      unsafe values.append(Array(octets))
      at += 1
    }
    return values
  }

  // MARK: Failures

  private func failure(_ code: Int32) -> LDAPSearchError {
    switch code {
    case LDAP_TIMEOUT, Int32(LDAP_TIMELIMIT_EXCEEDED): .timedOut(seconds: request.timeoutSeconds)
    case LDAP_SERVER_DOWN, LDAP_CONNECT_ERROR: .unreachable(words(code))
    case Int32(LDAP_SIZELIMIT_EXCEEDED): .refused(code: Int(code), "it does not send all that it has: \(words(code))")
    default: .refused(code: Int(code), words(code))
    }
  }

  private func words(_ code: Int32) -> String {
    let plain = Connection.sentence(code)
    return diagnosis().map { "\(plain) (\($0))" } ?? plain
  }

  /// What the server or the library of TLS said, on one line.
  private func diagnosis() -> String? {
    guard let raw = unsafe ceralacca_ldap_words(handle) else { return nil }
    defer { unsafe ldap_memfree(raw) }
    let text = unsafe String(cString: raw)
    if text.isEmpty { return nil }
    return String(decoding: text.utf8.prefix(300).map { $0 < 32 || $0 == 127 ? 32 : $0 }, as: UTF8.self)
  }

  private static func sentence(_ code: Int32) -> String { unsafe String(cString: ldap_err2string(code)) }

  private static func withText<Result>(_ text: String?, _ body: (UnsafePointer<CChar>?) -> Result) -> Result {
    guard let text else { return body(nil) }
    return unsafe text.withCString { unsafe body($0) }
  }
}

/// A message of the server: freed at its end, unless it was taken.
@safe
private struct Message: ~Copyable {
  private(set) var raw: OpaquePointer?

  init(_ raw: OpaquePointer?) { unsafe self.raw = raw }

  /// Hands the message to somebody who frees it.
  consuming func take() -> OpaquePointer? {
    let taken = unsafe raw
    discard self
    return unsafe taken
  }

  deinit { if let raw = unsafe raw { unsafe ldap_msgfree(raw) } }
}
