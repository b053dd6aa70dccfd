internal import CPlatform
internal import Glibc

/// Why this process could not become whom it should.
public struct SystemUserError: Error, Equatable, CustomStringConvertible {
  public let description: String
}

/// The system's user that this process is.
public enum SystemUser {
  /// Whether this process is root.
  public static var isRoot: Bool { geteuid() == 0 }

  /// Its name, or its number when it has none.
  public static var name: String {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { room in
      let length = unsafe ceralacca_user_name(room.baseAddress, room.count)
      guard length > 0, let start = room.baseAddress else { return "\(geteuid())" }
      return unsafe String(cString: start)
    }
  }

  /// Becomes `name` with its groups, for good, when this process is root; does nothing when it is `name` already. Afterwards no program that
  /// it starts can gain privileges. Call it before there is a second thread.
  public static func become(_ name: String) throws(SystemUserError) {
    if isRoot {
      var step: UnsafePointer<CChar>?
      let failure = unsafe ceralacca_become_user(name, &step)
      if failure != 0 {
        let words = failure == -ENOENT ? "there is no such user" : Self.words(-failure)
        throw SystemUserError(
          description: "cannot become the user '\(name)', \(unsafe step.map { unsafe String(cString: $0) } ?? ""): \(words)")
      }
    } else if self.name != name {
      throw SystemUserError(
        description: "cannot become the user '\(name)': this process is '\(self.name)', and only root can; start it as root or as '\(name)'"
      )
    }
    let failure = ceralacca_no_new_privileges()
    if failure != 0 { throw SystemUserError(description: "no_new_privs: \(words(-failure))") }
  }

  static func words(_ code: Int32) -> String { unsafe String(cString: strerror(code)) }
}
