internal import CPlatform
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// A child process in its own right: a program of its own, in a process group of its own, that shares nothing but what it was handed.
///
/// It is named by a handle of the kernel (a pidfd), not by its number: `kill` cannot meet another process that got the number later.
/// The child is killed when the last reference goes while it runs, unless it was disowned.
public final class ChildProcess: Sendable {
  /// The process id, while it runs or is not yet waited for.
  public let id: Int32
  private let handle: Descriptor
  private let ending = Mutex<String?>(nil)
  private let isDisowned = Atomic<Bool>(false)

  private init(id: Int32, handle: Descriptor) {
    self.id = id
    self.handle = handle
  }

  deinit {
    if isDisowned.load(ordering: .relaxed) || poll() != nil { return }
    kill()
    // It cannot refuse; a moment later it can be taken off the process table.
    _ = wait(waitingMilliseconds: Self.lastWaitMilliseconds)
  }

  private static let lastWaitMilliseconds = 2000

  /// Starts a program.
  ///
  /// It begins with default signals, an empty signal mask, an empty standard input, its standard output joined to standard error, and
  /// nothing open but these and `descriptors`. With PR_SET_PDEATHSIG the system looks at the thread that calls this, not at the process.
  ///
  /// - Parameters:
  ///   - path: the executable; PATH is not searched.
  ///   - arguments: what follows the program's name.
  ///   - environment: "NAME=value" each; nothing is inherited.
  ///   - descriptors: become 3, 4, … in the child; 16 at the most.
  ///   - keepsOutput: the child writes to this process's standard output, and not to standard error in its place.
  /// - Throws: `.system` when there is no such executable or no process to be had; `.malformed` for a text with a zero octet.
  public static func spawn(
    path: String, arguments: [String] = [], environment: [String] = [], descriptors: [Descriptor] = [], keepsOutput: Bool = false
  ) throws(ChannelError) -> ChildProcess {
    let texts = [path] + arguments + environment
    if texts.contains(where: { $0.utf8.contains(0) }) { throw .malformed("a zero octet in the command line of a process") }
    var id: Int32 = 0
    var handle: Int32 = -1
    let numbers = descriptors.map(\.number)
    // Copies on the heap, freed below; the last entry of each list is the null that ends it.
    var given = unsafe ([path] + arguments).map { unsafe strdup($0) } + [nil]
    var variables = unsafe environment.map { unsafe strdup($0) } + [nil]
    defer {
      unsafe given.forEach { unsafe free($0) }
      unsafe variables.forEach { unsafe free($0) }
    }
    let failure = unsafe ceralacca_spawn(path, &given, &variables, numbers, Int32(numbers.count), keepsOutput ? 1 : 0, &id, &handle)
    withExtendedLifetime(descriptors) {}
    if failure != 0 { throw .system(call: path, errno: -failure) }
    return ChildProcess(id: id, handle: Descriptor(owning: handle))
  }

  /// Lets the child outlive this process.
  public func disown() { isDisowned.store(true, ordering: .relaxed) }

  /// Ends the process at once (SIGKILL); nothing when it has ended.
  public func kill() { _ = ceralacca_signal_child(handle.number, SIGKILL) }

  /// How it ended, or nil while it runs: "exit code 3", "killed by signal 11 (Segmentation fault)".
  public func poll() -> String? { wait(waitingMilliseconds: 0) }

  /// Waits until it has ended, and says how.
  public func wait() -> String {
    while true {
      if let words = wait(waitingMilliseconds: nil) { return words }
    }
  }

  /// Waits for its end, for `waitingMilliseconds` at the most (nil: for ever). How it ended, or nil while it runs.
  public func wait(waitingMilliseconds: Int?) -> String? {
    if let known = ending.withLock({ $0 }) { return known }
    let wait = waitingMilliseconds.map { Int32(clamping: max(0, $0)) } ?? -1
    if wait != 0, ceralacca_await_child(handle.number, wait) == 0 { return nil }
    // Under the lock, so that one of several who wait takes the status and the others read what it said.
    return ending.withLock { known in
      if known != nil { return known }
      var status: Int32 = 0
      switch unsafe ceralacca_take_child(handle.number, &status) {
      case 0: return nil
      case 1: known = Self.words(forStatus: status)
      // Its end is certain, how is not: SIGCHLD is ignored, or somebody else in this process waited for any child.
      default: known = "ended"
      }
      return known
    }
  }

  /// What a status in the form of waitpid(2) says, for people.
  public static func words(forStatus status: Int32) -> String {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 96) { room in
      let length = unsafe ceralacca_status_words(status, room.baseAddress, room.count)
      return unsafe String(decoding: room[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
  }
}
