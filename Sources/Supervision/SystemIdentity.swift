internal import Glibc

/// Who a process is to the file system.
public struct SystemIdentity: Sendable, Equatable {
  /// Number of the user; 0 is root.
  public var user: UInt32
  /// Numbers of all groups.
  public var groups: [UInt32]

  /// A user with groups.
  public init(user: UInt32, groups: [UInt32]) {
    self.user = user
    self.groups = groups
  }
}

extension SystemUser {
  private static let mostGroups = 1024
  /// Octets for the texts of an entry of the system's list of users.
  private static let entryBytes = 16_384

  /// The user of this name, with the groups that it would get; nil when there is none.
  public static func identity(of name: String) -> SystemIdentity? {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: entryBytes) { room in
      // The entry's texts lie in `room`; nothing of them leaves this closure.
      var entry = unsafe passwd()
      var found: UnsafeMutablePointer<passwd>?
      guard let start = room.baseAddress, unsafe getpwnam_r(name, &entry, start, room.count, &found) == 0, unsafe found != nil else {
        return nil
      }
      var groups = [gid_t](repeating: 0, count: mostGroups)
      var count = Int32(mostGroups)
      let (user, group) = unsafe (entry.pw_uid, entry.pw_gid)
      guard unsafe getgrouplist(name, group, &groups, &count) >= 0 else { return SystemIdentity(user: user, groups: [group]) }
      return SystemIdentity(user: user, groups: Array(groups.prefix(Int(count))))
    }
  }

  /// The number of the group of this name; nil when there is none.
  static func group(named name: String) -> UInt32? {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: entryBytes) { room in
      // As above.
      var entry = unsafe Glibc.group()
      var found: UnsafeMutablePointer<Glibc.group>?
      guard let start = room.baseAddress, unsafe getgrnam_r(name, &entry, start, room.count, &found) == 0, unsafe found != nil else {
        return nil
      }
      return unsafe entry.gr_gid
    }
  }

  /// Who this process is.
  public static var current: SystemIdentity {
    var groups = [gid_t](repeating: 0, count: mostGroups)
    let count = unsafe getgroups(Int32(mostGroups), &groups)
    return SystemIdentity(user: geteuid(), groups: [getegid()] + groups.prefix(Int(max(0, count))))
  }
}
