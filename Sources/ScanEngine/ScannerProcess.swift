internal import CLibclamav

#if canImport(Glibc)
  import Glibc
#endif

/// What the scanner's processes ask of the system besides forking and confining themselves.
public enum ScannerProcess {
  /// What there is to attend to.
  public struct News: Sendable, Equatable {
    /// A packet on the channel, or its end.
    public var channel: Bool
    /// A child ended.
    public var children: Bool
  }

  /// From now on a crash ends this process and its children at once: Swift's own handlers would try to start a debugger first.
  public static func dieOfCrashes() { ceralacca_die_of_crashes() }

  /// From now on the end of a child makes this descriptor readable. Nil when the system does not give one.
  public static func watchChildren() -> Int32? {
    let watch = ceralacca_child_watch()
    return watch < 0 ? nil : watch
  }

  /// Waits for a packet on `channel` or for the end of a child. Nil when waiting fails.
  public static func wait(channel: Int32, watch: Int32) -> News? {
    let news = ceralacca_wait_for_news(channel, watch)
    return news < 0 ? nil : News(channel: news & 1 != 0, children: news & 2 != 0)
  }

  /// Takes a child that has ended, with its status in the form of waitpid(2); nil when there is none.
  public static func reap() -> (pid: Int32, status: Int32)? {
    var status: Int32 = 0
    let pid = unsafe ceralacca_reap(0, 0, &status)
    return pid > 0 ? (pid, status) : nil
  }

  /// Waits for the end of a child: its status in the form of waitpid(2), or nil when it is none of ours.
  public static func wait(for pid: Int32) -> Int32? {
    var status: Int32 = 0
    return unsafe ceralacca_reap(pid, 1, &status) == pid ? status : nil
  }

  /// In a child, after the fork: it gets signals as an ordinary process does.
  public static func unblockSignals() { ceralacca_unblock_signals() }

  /// Makes a folder that nobody else can enter. The system's reason when it cannot be made.
  public static func makeFolder(_ path: String) -> String? {
    unsafe mkdir(path, 0o700) == 0 ? nil : String(cString: strerror(errno))
  }

  /// Makes a folder with a name of its own below `parent`, belonging to `user` (nil: nobody) when this process is root. Nil when it
  /// cannot be made.
  public static func makeFolder(below parent: String, for user: String?) -> String? {
    let made: UnsafeMutablePointer<CChar>?
    if let user {
      unsafe made = unsafe ceralacca_make_folder(parent, user)
    } else {
      unsafe made = unsafe ceralacca_make_folder(parent, nil)
    }
    guard let made = unsafe made else { return nil }
    defer { unsafe free(made) }
    return unsafe String(cString: made)
  }

  /// Removes a folder and what is in it; no link is followed. False when it is still there after.
  @discardableResult
  public static func removeFolder(_ path: String) -> Bool { unsafe ceralacca_remove_folder(path) == 0 }

  /// A line on the standard error output, for what cannot be said to the gateway.
  public static func complain(_ line: String) { unsafe ceralacca_complain(line) }

  /// From now on nothing said here reaches the gateway's own log: its outputs go where its input comes from, which is nowhere.
  public static func fallSilent() {
    dup2(0, 1)
    dup2(0, 2)
  }

  /// Ends this process at once: nothing that its parent made and that it shares is tidied up a second time.
  public static func leave(_ code: Int32) -> Never { _exit(code) }

  /// The processor time that this process has used so far, by itself and in the system.
  public static var processorMilliseconds: Int {
    var time = timespec()
    if unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) != 0 { return 0 }
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
  }
}
