internal import CCurl
import Synchronization

/// Asks a mail server whether a mailbox has a message, by IMAP (RFC 9051), with libcurl. Nothing is changed in the mailbox: folders are
/// opened for reading only (EXAMINE), so no message is seen or ceases to be recent.
public final class MailboxSearch: Sendable {
  private let server: MailboxServer
  private let isEnding = Atomic<Bool>(false)

  /// Asks this server.
  public init(_ server: MailboxServer) { self.server = server }

  /// Ends questions that are open, and all later ones, at once.
  public func end() { isEnding.store(true, ordering: .relaxed) }

  /// Looks into the inbox, and then into every other folder that the mailbox lists. Blocks, so it is for worker threads. For several
  /// threads at once: each question has a connection of its own.
  /// - Throws: everything but the server's word on all folders.
  public func answer(to question: MailboxQuestion) throws(MailboxSearchError) -> MailboxAnswer {
    guard let search = question.search else { throw .badQuestion("the message has no mark that could be searched for") }
    let login = question.holder
    guard !login.isEmpty, login.utf8.allSatisfy({ $0 > 32 && $0 != 127 }) else { throw .badQuestion("the holder's name is none") }
    do { return try look(as: login, search) } catch {
      // LMTP servers leave out what stands behind a plus sign; to log in by it is another matter.
      guard case .refused = error, let plain = MailboxSearch.withoutDetail(login) else { throw error }
      return try look(as: plain, search)
    }
  }

  /// `user@domain` of `user+detail@domain`; nil for an address without a detail (RFC 5233).
  static func withoutDetail(_ login: String) -> String? {
    guard let at = login.lastIndex(of: "@"), let plus = login[..<at].firstIndex(of: "+"), plus > login.startIndex else { return nil }
    return String(login[..<plus] + login[at...])
  }

  private func look(as login: String, _ search: String) throws(MailboxSearchError) -> MailboxAnswer {
    guard let dialogue = Dialogue(server, isEnding: { [self] in isEnding.load(ordering: .relaxed) }) else {
      throw .failed("libcurl cannot be made ready")
    }
    try dialogue.prepare(as: login)
    if try has(dialogue, "INBOX", search) { return .found(folder: "INBOX") }
    guard let folders = ServerLines.folders(try dialogue.say("LIST \"\" \"*\"")) else {
      throw .failed("the server names a folder in a way that is not understood")
    }
    guard folders.count <= server.maximumFolders else { throw .tooMuch("the mailbox has more than \(server.maximumFolders) folders") }
    for folder in folders where !ServerLines.isInbox(folder) {
      if try has(dialogue, folder, search) { return .found(folder: folder) }
    }
    return .absent
  }

  private func has(_ dialogue: Dialogue, _ folder: String, _ search: String) throws(MailboxSearchError) -> Bool {
    do { _ = try dialogue.say("EXAMINE \(folder)") } catch {
      if dialogue.isOtherFolderRefused(folder) { return false }
      throw error
    }
    guard let isFound = ServerLines.isFound(try dialogue.say(search)) else { throw .failed("the server did not answer a search") }
    return isFound
  }
}

/// One connection, one command after another.
///
/// Owns the easy handle and the buffer of the error's words; both are freed in deinit. libcurl gets a pointer to this object that it does
/// not own, and uses it inside `say` only.
@safe
private final class Dialogue {
  private static let isReady = ceralacca_curl_start() == CURLE_OK

  private let server: MailboxServer
  private let isEnding: () -> Bool
  private let handle: UnsafeMutableRawPointer
  private let words: UnsafeMutablePointer<CChar>
  private let until: ContinuousClock.Instant

  /// Untagged lines of the present command.
  private var lines: [String] = []
  /// The last line of all.
  private var lastLine = ""
  private var bytes = 0

  init?(_ server: MailboxServer, isEnding: @escaping () -> Bool) {
    guard Dialogue.isReady, let made = unsafe curl_easy_init() else { return nil }
    self.server = server
    self.isEnding = isEnding
    until = .now + .seconds(server.timeoutSeconds)
    unsafe handle = made
    unsafe words = .allocate(capacity: Int(CURL_ERROR_SIZE))
    unsafe words.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
  }

  deinit {
    unsafe curl_easy_cleanup(handle)
    unsafe words.deallocate()
  }

  func prepare(as login: String) throws(MailboxSearchError) {
    try checked(unsafe ceralacca_curl_words(handle, words))
    let address = server.url.hasSuffix("/") ? server.url : server.url + "/"
    try text(CURLOPT_URL, address)
    try text(CURLOPT_PROTOCOLS_STR, "imap,imaps")
    try number(CURLOPT_NOSIGNAL, 1)
    try number(CURLOPT_USE_SSL, server.startTLS ? Int(CURLUSESSL_ALL.rawValue) : Int(CURLUSESSL_NONE.rawValue))
    try number(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
    try number(CURLOPT_SSL_VERIFYPEER, 1)
    try number(CURLOPT_SSL_VERIFYHOST, 2)
    if let caFile = server.caFile {
      try text(CURLOPT_CAINFO, caFile)
      // The system's folder of authorities would count beside the file.
      try checked(unsafe ceralacca_curl_text(handle, CURLOPT_CAPATH, nil))
    }
    // In the holder's name, with a name and a password of our own (RFC 4616 §2).
    try text(CURLOPT_LOGIN_OPTIONS, "AUTH=PLAIN")
    try text(CURLOPT_SASL_AUTHZID, login)
    try text(CURLOPT_USERNAME, server.user)
    try text(CURLOPT_PASSWORD, server.password)
    let context = unsafe Unmanaged.passUnretained(self).toOpaque()
    try checked(unsafe ceralacca_curl_sinks(handle, Dialogue.takeUntagged, Dialogue.takeLine, context))
    try checked(unsafe ceralacca_curl_watch(handle, Dialogue.watch, context))
  }

  /// Says a command and returns the untagged lines of its answer, when it is OK.
  func say(_ command: String) throws(MailboxSearchError) -> [String] {
    let left = (until - .now) / .seconds(1)
    guard left > 0, !isEnding() else { throw .timedOut("no answer within \(server.timeoutSeconds) s") }
    try number(CURLOPT_TIMEOUT, max(1, Int(left.rounded(.up))))
    try number(CURLOPT_CONNECTTIMEOUT, max(1, min(30, Int(left.rounded(.up)))))
    // libcurl undoes percent-encoding in it.
    try text(CURLOPT_CUSTOMREQUEST, command.replacing("%", with: "%25"))
    (lines, lastLine) = ([], "")
    let code = unsafe curl_easy_perform(handle)
    guard code == CURLE_OK else { throw failure(code) }
    return lines
  }

  /// True when the last answer was a refusal of a folder that is none for the holder; his inbox is always one.
  func isOtherFolderRefused(_ folder: String) -> Bool { !ServerLines.isInbox(folder) && ServerLines.isNoFolder(lastLine) }

  private func failure(_ code: CURLcode) -> MailboxSearchError {
    if bytes > server.maximumBytes { return .tooMuch("the server said more than \(server.maximumBytes) octets") }
    let told = unsafe String(cString: words)
    let said = told.isEmpty ? unsafe String(cString: curl_easy_strerror(code)) : told
    // What the server said to a command tells more than that it said no; the words may quote it.
    let full = code == CURLE_QUOTE_ERROR && !lastLine.isEmpty ? "the server said: \(ServerLines.trimmed(lastLine))" : said
    let line = String(decoding: full.utf8.prefix(300).map { $0 < 32 || $0 == 127 ? 32 : $0 }, as: UTF8.self)
    switch code {
    case CURLE_OPERATION_TIMEDOUT: return .timedOut("no answer within \(server.timeoutSeconds) s")
    case CURLE_ABORTED_BY_CALLBACK: return .timedOut("the gateway is stopping")
    // A server that is not well says so at the same place; what it says of the mailbox or the password it says as NO.
    case CURLE_LOGIN_DENIED: return lastLine.uppercased().contains("[UNAVAILABLE]") ? .failed(line) : .refused(line)
    default: return .failed(line)
    }
  }

  // MARK: What comes

  private static let takeUntagged: ceralacca_curl_sink = { octets, size, count, context in
    guard let octets = unsafe octets, let context = unsafe context else { return 0 }
    let dialogue = unsafe Unmanaged<Dialogue>.fromOpaque(context).takeUnretainedValue()
    let bytes = unsafe UnsafeRawBufferPointer(start: octets, count: size * count)
    unsafe dialogue.lines.append(String(decoding: bytes, as: UTF8.self))
    return bytes.count
  }

  /// Every line passes here, the untagged ones too.
  private static let takeLine: ceralacca_curl_sink = { octets, size, count, context in
    guard let octets = unsafe octets, let context = unsafe context else { return 0 }
    let dialogue = unsafe Unmanaged<Dialogue>.fromOpaque(context).takeUnretainedValue()
    let bytes = unsafe UnsafeRawBufferPointer(start: octets, count: size * count)
    dialogue.bytes += bytes.count
    guard dialogue.bytes <= dialogue.server.maximumBytes else { return 0 }
    unsafe dialogue.lastLine = String(decoding: bytes, as: UTF8.self)
    return bytes.count
  }

  /// About once a second: anything but 0 ends the transfer.
  private static let watch: ceralacca_curl_watcher = { context, _, _, _, _ in
    guard let context = unsafe context else { return 0 }
    return unsafe Unmanaged<Dialogue>.fromOpaque(context).takeUnretainedValue().isEnding() ? 1 : 0
  }

  // MARK: Options

  private func text(_ option: CURLoption, _ value: String) throws(MailboxSearchError) {
    try checked(unsafe ceralacca_curl_text(handle, option, value))
  }

  private func number(_ option: CURLoption, _ value: Int) throws(MailboxSearchError) {
    try checked(unsafe ceralacca_curl_number(handle, option, value))
  }

  /// An option that libcurl does not take would leave the question without what it asks for: nothing is asked then.
  private func checked(_ code: CURLcode) throws(MailboxSearchError) {
    if code != CURLE_OK { throw .failed("libcurl refuses an option: \(unsafe String(cString: curl_easy_strerror(code)))") }
  }
}
