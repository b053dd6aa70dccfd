internal import CConfinement
internal import Glibc

/// Shuts a process of the scanner in: no privileges, no network, no files but its own, no programs, no other processes.
///
/// ClamAV's parsers are the most attackable code near the gateway. Whoever takes a worker over has the message that is being scanned
/// and those that are handed to this worker after it, the answers to them, and nothing else. Landlock (by path) and seccomp (by system call) both stand for it; where either is not to be had
/// the functions throw, and the scanner does not run.
public enum Confinement {
  /// What this kernel has; needs no privileges and changes nothing.
  public static func support() -> ConfinementSupport {
    ConfinementSupport(landlockABI: Int(ceralacca_landlock_abi()), hasSeccomp: ceralacca_has_seccomp() == 1)
  }

  /// Confines the scanner's parent, for good, before it has a second thread (both fences are a thread's, and inherited).
  ///
  /// It ends with the thread that spawned it (PR_SET_PDEATHSIG), is nobody's debuggee, and is not root whatever it was. What libclamav's
  /// cl_init loads and warms is to be loaded before: afterwards only the database, character sets and the temporary folder can be opened.
  public static func confineParent(_ plan: ConfinementPlan) throws(ConfinementError) {
    try unsafe confine(plan) { plan, fault in unsafe ceralacca_confine_parent(plan, fault) }
  }

  /// Confines a worker, for good, right after `fork`: what its parent may not, and more.
  ///
  /// It keeps memory, clocks, its own temporary folder and the descriptors of the plan; it cannot map code, start threads or processes. It
  /// ends with the parent's thread that forked it.
  public static func confineWorker(_ plan: ConfinementPlan) throws(ConfinementError) {
    try unsafe confine(plan) { plan, fault in unsafe ceralacca_confine_worker(plan, fault) }
  }

  /// Forks: the child's process id in the parent, 0 in the child. Only while the process has one thread.
  public static func fork() throws(ConfinementError) -> Int32 {
    let id = ceralacca_fork()
    if id < 0 { throw .failed(step: "forking", code: errno) }
    return id
  }

  /// Tries what must not go, in this very process, which must be confined as `role` (an unconfined one is harmed by none of it).
  ///
  /// - Parameter keyFile: a file that exists and must not be readable.
  public static func probe(keyFile: String, as role: ConfinementRole = .worker) -> [ConfinementProbe] {
    var probes: [ConfinementProbe] = []
    for number in Int32(0)... {
      var what: UnsafePointer<CChar>?
      var isSkipped: Int32 = 0
      let code = unsafe ceralacca_probe(number, role == .worker ? 1 : 0, keyFile, &what, &isSkipped)
      guard code >= 0, let label = unsafe what else { break }
      if isSkipped == 0 { probes.append(ConfinementProbe(what: unsafe String(cString: label), code: code)) }
    }
    return probes
  }

  /// The C library's words for an errno.
  static func sentence(_ code: Int32) -> String { unsafe String(cString: strerror(code)) }

  private typealias Steps = (
    UnsafePointer<ceralacca_confinement>, UnsafeMutablePointer<ceralacca_confinement_fault>
  ) -> Int32

  private static func confine(_ plan: ConfinementPlan, _ steps: Steps) throws(ConfinementError) {
    if let fault = plan.fault { throw fault }
    var fault = ceralacca_confinement_fault()
    var readable: [CChar] = []
    for path in plan.readable { readable.append(contentsOf: path.utf8CString) }
    readable += [0, 0]
    // The strings and arrays live as long as the closures; C keeps none of them.
    let result = unsafe withText(plan.database) { database in
      unsafe withText(plan.user) { user in
        unsafe plan.temporary.withCString { temporary in
          unsafe readable.withUnsafeBufferPointer { readable in
            unsafe plan.descriptors.withUnsafeBufferPointer { descriptors in
              var raw = unsafe ceralacca_confinement(
                database: database, readable: readable.baseAddress, temporary: temporary, user: user,
                memory_bytes: UInt64(plan.memoryBytes), file_bytes: UInt64(plan.fileBytes),
                descriptors: descriptors.baseAddress, descriptor_count: descriptors.count)
              return unsafe steps(&raw, &fault)
            }
          }
        }
      }
    }
    if result == 0 { return }
    let step = unsafe withUnsafeBytes(of: fault.step) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    throw .failed(step: step, code: fault.code)
  }

  private static func withText<Result>(_ text: String?, _ body: (UnsafePointer<CChar>?) -> Result) -> Result {
    guard let text else { return body(nil) }
    return unsafe text.withCString { unsafe body($0) }
  }
}

extension ConfinementProbe {
  /// The kernel's refusals are denials; a call that the kernel does not have cannot go through either. Anything else shows nothing.
  init(what: String, code: Int32) {
    let isDenied = [EPERM, EACCES, ENOSYS].contains(code)
    let words = code == 0 ? "ALLOWED" : "\(isDenied ? "denied" : "not shown"): \(Confinement.sentence(code))"
    self.init(what: what, words: words, isDenied: isDenied)
  }
}
