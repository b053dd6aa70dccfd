import Glibc

/// Why a PIN could not be read from where the configuration says it is.
public enum PINFault: Sendable, Equatable {
  /// The file cannot be read; the system's words.
  case unreadable(path: String, String)
  /// Others may read the file; its permission bits.
  case open(path: String, mode: UInt32)
  /// The file is empty, or its first line is.
  case empty(path: String)
  /// The first line is longer than a PIN can be.
  case tooLong(path: String)
  /// A credential is named, and the environment has no `CREDENTIALS_DIRECTORY`.
  case noCredentials(String)

  /// What is wrong.
  public var what: String {
    switch self {
    case .unreadable(let path, let reason): "the PIN's file \(path) cannot be read: \(reason)"
    case .open(let path, let mode): "the PIN's file \(path) can be read by others (mode \(String(mode, radix: 8)))"
    case .empty(let path): "the PIN's file \(path) has no PIN in its first line"
    case .tooLong(let path): "the first line of the PIN's file \(path) is longer than a PIN can be"
    case .noCredentials(let name): "the PIN is the credential \(name), but the gateway was started without CREDENTIALS_DIRECTORY"
    }
  }

  /// What to do about it.
  public var advice: String {
    switch self {
    case .unreadable: "Check pin-source in the key's URI, and the file's owner and permissions."
    case .open(let path, _): "Make it the gateway's own: chmod 600 \(path), and chown it to the gateway's user."
    case .empty, .tooLong: "Write the user PIN of the token into the first line, and nothing else."
    case .noCredentials(let name): "Start the gateway by systemd with LoadCredential=\(name):/path, or name a file: pin-source=file:/path."
    }
  }
}

/// A PIN, in locked memory for as long as a login takes.
enum PIN {
  static let maximumBytes = 255

  struct Failure: Error {
    let fault: PINFault
  }

  /// Reads it anew for each login: between logins it is nowhere in memory.
  /// - Parameter credentials: the environment's `CREDENTIALS_DIRECTORY`.
  static func read(_ source: PKCS11URI.PINSource, credentials: String?) throws(Failure) -> SecretOctets {
    let path: String
    let forbidden: UInt32
    switch source {
    case .file(let name):
      path = name
      forbidden = 0o077
    case .credential(let name):
      guard let credentials else { throw Failure(fault: .noCredentials(name)) }
      path = credentials + "/" + name
      // systemd gives its service's user access by an ACL, whose mask shows as permissions of the group; the folder is the service's.
      forbidden = 0o007
    }
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw Failure(fault: .unreadable(path: path, systemError())) }
    defer { close(descriptor) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw Failure(fault: .unreadable(path: path, systemError())) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw Failure(fault: .unreadable(path: path, "not a file")) }
    let mode = status.st_mode & 0o7777
    guard mode & forbidden == 0 else { throw Failure(fault: .open(path: path, mode: mode)) }
    let pin = SecretOctets(capacity: maximumBytes + 2)
    while true {
      let got = pin.read(from: descriptor)
      if got < 0, errno == EINTR { continue }
      guard got >= 0 else { throw Failure(fault: .unreadable(path: path, systemError())) }
      if got == 0 { break }
    }
    let line = unsafe pin.octets.firstIndex { $0 == 10 || $0 == 13 || $0 == 0 } ?? pin.count
    guard line > 0 else { throw Failure(fault: .empty(path: path)) }
    guard line <= maximumBytes else { throw Failure(fault: .tooLong(path: path)) }
    pin.truncate(to: line)
    return pin
  }

  private static func systemError() -> String { unsafe String(cString: strerror(errno)) }
}
