import Glibc
import Synchronization

/// Why the users could not be loaded; the users loaded before stay.
public enum AccountsError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The file cannot be read: the path and the system's words.
  case unreadable(path: String, reason: String)
  /// The file is larger than a passwd-file can be (octets).
  case tooLarge(path: String)
  /// The file has no user any more, and there were some: most likely it was being written.
  case emptied(path: String)

  public var description: String {
    switch self {
    case .unreadable(let path, let reason): "\(path): cannot be read: \(reason)"
    case .tooLarge(let path): "\(path): larger than \(Accounts.maximumBytes) octets; it is not a passwd-file"
    case .emptied(let path): "\(path): holds no user any more; those of before are kept"
    }
  }
}

/// The users of this provider, from a Dovecot passwd-file: an immutable snapshot that a reload replaces.
///
/// Every method may be called by any thread, several at once. `verify` takes milliseconds and belongs on a thread that may wait.
public final class Accounts: Sendable {
  /// Larger files are refused.
  public static let maximumBytes = 64 << 20

  private let path: String?
  private let held: Mutex<PasswordFile>

  /// Loads the file; nil where nobody is known here, and another server is asked for everybody.
  public init(path: String?) throws(AccountsError) {
    self.path = path
    held = Mutex(PasswordFile(try path.map { path throws(AccountsError) in try Accounts.read(path) } ?? []))
  }

  /// Loads the file anew. When it throws, the users of before stay.
  /// - Returns: the lines that were skipped or not wholly obeyed.
  @discardableResult
  public func reload() throws(AccountsError) -> [AccountProblem] {
    guard let path else { return [] }
    let fresh = PasswordFile(try Accounts.read(path))
    let taken = held.withLock { current in
      if fresh.count == 0, current.count > 0 { return false }
      current = fresh
      return true
    }
    if !taken { throw .emptied(path: path) }
    return fresh.problems
  }

  /// The users as they are now.
  public var snapshot: PasswordFile { held.withLock { $0 } }

  /// Lines of the file that were skipped or not wholly obeyed.
  public var problems: [AccountProblem] { snapshot.problems }

  /// Whether there is a mailbox of that name, without regard to the case of ASCII letters.
  public func exists(_ address: String) -> Bool { snapshot.account(address) != nil }

  /// The user of that name.
  public func account(_ name: String) -> Account? { snapshot.account(name) }

  /// Whether the password is that user's; the same time for an unknown user. Takes milliseconds.
  public func verify(_ login: String, password: String) -> Bool { snapshot.verify(login, password: password) }

  private static func read(_ path: String) throws(AccountsError) -> [UInt8] {
    func failure() -> AccountsError { .unreadable(path: path, reason: unsafe String(cString: strerror(errno))) }
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure() }
    defer { close(descriptor) }
    var octets: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let got = unsafe Glibc.read(descriptor, &buffer, buffer.count)
      if got < 0, errno == EINTR { continue }
      guard got >= 0 else { throw failure() }
      if got == 0 { return octets }
      octets += buffer.prefix(got)
      if octets.count > maximumBytes { throw .tooLarge(path: path) }
    }
  }
}
