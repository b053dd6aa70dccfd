internal import CUnbound
import Glibc
public import MailRouting
import Synchronization
import Threading

/// A stub resolver that validates by DNSSEC itself (RFC 4035 §4.9), and believes no server's word that it has: libunbound, with a cache.
///
/// Questions are asked from any thread and never block; answers are told on the resolver's own thread.
@safe
public final class NameResolver: Sendable {
  private let core: Core
  private let thread: WorkerThread

  /// Reads servers and trust anchor; nobody is asked yet.
  /// - Throws: `ResolverError` with the file or server that cannot be used.
  public init(_ settings: ResolverSettings) throws(ResolverError) {
    let core = try Core(settings)
    self.core = core
    thread = WorkerThread(name: "dns") { core.work() }
  }

  /// Asks. `then` is called once, on the resolver's thread, or before this call returns when the question cannot be asked.
  public func ask(_ question: DNSQuestion, then: @escaping @Sendable (DNSAnswer) -> Void) { core.ask(question, then) }

  /// Asks and waits: for threads that have nothing else to do.
  public func answer(to question: DNSQuestion) -> DNSAnswer {
    let told = Handoff<DNSAnswer>()
    ask(question) { told.send($0) }
    return told.take(atMost: 1)?.first ?? DNSAnswer(.failed("the gateway is stopping"))
  }

  /// Ends the thread; questions that are open get no other answer than that. Call it once, last.
  public func finish() {
    core.stop()
    thread.join()
    core.end()
  }
}

/// A question that is open.
private final class OpenQuestion: Sendable {
  let core: Core
  let token: UInt64
  let then: @Sendable (DNSAnswer) -> Void

  init(_ core: Core, _ token: UInt64, _ then: @escaping @Sendable (DNSAnswer) -> Void) {
    self.core = core
    self.token = token
    self.then = then
  }
}

/// libunbound's context and what is open in it.
///
/// The context is made in init and freed by `end`, when the thread that processes answers has ended; libunbound locks it itself, so that
/// any thread may ask. Its own thread does the network's part, and tells by a pipe that answers are there.
@safe
private final class Core: @unchecked Sendable {
  private let context: OpaquePointer
  /// A pipe that ends the wait for answers.
  private let wake: (read: Int32, write: Int32)
  private let limit: Int

  private struct Open {
    var questions: [UInt64: OpenQuestion] = [:]
    var next: UInt64 = 1
    var isStopping = false
  }
  private let open = Mutex(Open())

  init(_ settings: ResolverSettings) throws(ResolverError) {
    guard let made = unsafe ub_ctx_create() else { throw ResolverError("no memory for a resolver") }
    unsafe context = made
    limit = settings.openQuestions
    var ends: [Int32] = [-1, -1]
    guard unsafe pipe(&ends) == 0 else {
      unsafe ub_ctx_delete(made)
      throw ResolverError("no pipe: \(unsafe String(cString: strerror(errno)))")
    }
    wake = (ends[0], ends[1])
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    do { try prepare(settings) } catch {
      end()
      throw error
    }
  }

  private func prepare(_ settings: ResolverSettings) throws(ResolverError) {
    // Nothing is written to standard error; what fails is told with its question.
    _ = unsafe ub_ctx_debugout(context, nil)
    try check(unsafe ub_ctx_async(context, 1), "a thread of its own")
    // Servers on this machine are what many have in resolv.conf.
    try option("do-not-query-localhost:", "no")
    // What is not proven is not believed, and extra records do not spoil what is asked for.
    try option("val-permissive-mode:", "no")
    try option("val-clean-additional:", "yes")
    try option("num-queries-per-thread:", "\(limit)")
    try option("outgoing-range:", "256")
    try option("msg-cache-size:", "8m")
    try option("rrset-cache-size:", "16m")
    try option("cache-max-ttl:", "3600")
    try option("cache-max-negative-ttl:", "300")
    guard unsafe access(settings.trustAnchor, R_OK) == 0 else {
      throw ResolverError("trust anchor \(settings.trustAnchor): \(unsafe String(cString: strerror(errno)))")
    }
    try check(unsafe ub_ctx_add_ta_file(context, settings.trustAnchor), "trust anchor \(settings.trustAnchor)")
    switch settings.source {
    case .systemFile(let path): try check(unsafe ub_ctx_resolvconf(context, path), path)
    case .servers(let servers): for server in servers { try check(unsafe ub_ctx_set_fwd(context, server), "server \(server)") }
    case .authorities: break
    }
    // The files are read now and not at the first question: taking away a zone that is not there makes the context final.
    try check(unsafe ub_ctx_zone_remove(context, "nowhere.invalid."), "trust anchor \(settings.trustAnchor)")
  }

  private func option(_ name: String, _ value: String) throws(ResolverError) {
    try check(unsafe ub_ctx_set_option(context, name, value), "\(name) \(value)")
  }

  private func check(_ code: Int32, _ what: String) throws(ResolverError) {
    if code != 0 { throw ResolverError("\(what): \(Core.words(code))") }
  }

  private static func words(_ code: Int32) -> String { unsafe ub_strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)" }

  // MARK: Questions

  func ask(_ question: DNSQuestion, _ then: @escaping @Sendable (DNSAnswer) -> Void) {
    let made = open.withLock { open -> OpenQuestion? in
      guard !open.isStopping, open.questions.count < limit else { return nil }
      let made = OpenQuestion(self, open.next, then)
      open.questions[open.next] = made
      open.next += 1
      return made
    }
    guard let made else { return then(DNSAnswer(.failed("too many questions to the DNS are open"))) }
    // The table keeps the question until its callback, or until the context is gone and no callback can come.
    let pointer = unsafe Unmanaged.passUnretained(made).toOpaque()
    let code = unsafe ub_resolve_async(context, question.name, Int32(question.kind.rawValue), 1, pointer, Core.told, nil)
    if code != 0 { tell(made, DNSAnswer(.failed(Core.words(code)))) }
  }

  private static let told: @convention(c) (UnsafeMutableRawPointer?, Int32, UnsafeMutablePointer<ub_result>?) -> Void = {
    pointer, code, result in
    // The result is ours to free.
    defer { unsafe ub_resolve_free(result) }
    guard let pointer = unsafe pointer else { return }
    let question = unsafe Unmanaged<OpenQuestion>.fromOpaque(pointer).takeUnretainedValue()
    guard code == 0, let result = unsafe result else {
      return question.core.tell(question, DNSAnswer(.failed(Core.words(code))))
    }
    unsafe question.core.tell(question, Core.answer(result))
  }

  private func tell(_ question: OpenQuestion, _ answer: DNSAnswer) {
    guard open.withLock({ $0.questions.removeValue(forKey: question.token) }) != nil else { return }
    question.then(answer)
  }

  /// RDATA of one answer at the most; a name with more is somebody's joke.
  private static let mostRecords: Int32 = 200

  private static func answer(_ result: UnsafeMutablePointer<ub_result>) -> DNSAnswer {
    let it = unsafe result.pointee
    if unsafe it.bogus != 0 {
      let why = unsafe it.why_bogus.map { unsafe String(cString: $0) } ?? "it is not signed as it should be"
      return DNSAnswer(.failed("DNSSEC refuses the answer: \(printable(why))"))
    }
    // 0: no error; 3: no such name (RFC 1035 §4.1.1).
    let code = unsafe it.rcode
    guard code == 0 || code == 3 else {
      return DNSAnswer(.failed(code == 2 ? "the servers fail (SERVFAIL)" : "the servers answer with code \(code)"))
    }
    let isSecure = unsafe it.secure != 0
    let lifetime = unsafe Int(it.ttl)
    let canonical = unsafe it.canonname.map { unsafe String(cString: $0) }
    guard unsafe it.havedata != 0 else {
      return unsafe DNSAnswer(it.nxdomain != 0 ? .noName : .noData, isSecure: isSecure, canonicalName: canonical, lifetimeSeconds: lifetime)
    }
    var records: [[UInt8]] = []
    for index in 0..<mostRecords {
      var count: Int32 = 0
      guard let data = unsafe ceralacca_unbound_record(result, index, &count), count >= 0 else { break }
      records.append(unsafe [UInt8](UnsafeRawBufferPointer(start: data, count: Int(count))))
    }
    return DNSAnswer(.records(records), isSecure: isSecure, canonicalName: canonical, lifetimeSeconds: lifetime)
  }

  /// The words quote names that a stranger may have chosen.
  private static func printable(_ text: String) -> String {
    String(decoding: text.utf8.prefix(300).map { $0 > 31 && $0 < 127 ? $0 : 63 }, as: UTF8.self)
  }

  // MARK: The thread

  func work() {
    let answers = unsafe ub_fd(context)
    while true {
      var watched = [pollfd(fd: answers, events: Int16(POLLIN), revents: 0), pollfd(fd: wake.read, events: Int16(POLLIN), revents: 0)]
      let ready = unsafe poll(&watched, 2, -1)
      if ready < 0, errno != EINTR { break }
      if open.withLock({ $0.isStopping }) { break }
      if watched[0].revents != 0 { _ = unsafe ub_process(context) }
    }
    let left = open.withLock { Array($0.questions.values) }
    for question in left { tell(question, DNSAnswer(.failed("the gateway is stopping"))) }
  }

  func stop() {
    open.withLock { $0.isStopping = true }
    var octet: UInt8 = 1
    _ = unsafe write(wake.write, &octet, 1)
  }

  func end() {
    unsafe ub_ctx_delete(context)
    close(wake.read)
    close(wake.write)
  }
}
