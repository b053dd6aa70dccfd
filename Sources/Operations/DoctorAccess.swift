import Supervision

/// A file or folder as the file system's rights see it.
struct FileRights: Equatable, Sendable {
  var path: String
  /// The lower twelve bits of its mode.
  var mode: Int
  var owner: UInt32
  /// The owner's name, or number.
  var ownerName: String
  var group: UInt32
}

/// What somebody wants to do with a file.
enum FileWish: Int, Sendable {
  case read = 0o4
  case write = 0o2
  /// Of a folder: to pass through it.
  case enter = 0o1
}

/// Rights on files, judged without asking the kernel: what counts is another user than the one who asks.
enum DoctorAccess {
  /// Whether `who` may; root may everything.
  static func allows(_ wish: FileWish, _ file: FileRights, _ who: SystemIdentity) -> Bool {
    if who.user == 0 { return true }
    let shift = file.owner == who.user ? 6 : who.groups.contains(file.group) ? 3 : 0
    return file.mode >> shift & wish.rawValue != 0
  }

  /// A file with a secret in it. Readable by others is wrong, whoever they are; by a group somebody may have meant.
  static func secret(
    _ check: String, _ file: FileRights, reader: SystemIdentity, readerName: String, folders: [FileRights]
  ) -> DoctorFinding {
    let words = "mode \(octal(file.mode)), owner \(file.ownerName)"
    if file.mode & 0o006 != 0 {
      let who = file.mode & 0o002 != 0 ? "written" : "read"
      return DoctorFinding(
        .wrong, check, file.path, "\(words): it can be \(who) by everybody on this machine",
        "Say `chmod 600 \(file.path)`, and ask who read it.",
        runbook: check == "signing key" ? "the-key-is-lost-or-somebody-else-may-have-it" : nil)
    }
    if let obstacle = folders.first(where: { !allows(.enter, $0, reader) }) {
      return DoctorFinding(
        .wrong, check, file.path,
        "the user \(readerName) may not pass through \(obstacle.path) (mode \(octal(obstacle.mode)), owner \(obstacle.ownerName))",
        "Let it in with `chmod` or `chown` on \(obstacle.path).")
    }
    if !allows(.read, file, reader) {
      return DoctorFinding(
        .wrong, check, file.path, "\(words): the user \(readerName) may not read it", "Say `chown \(readerName) \(file.path)`.")
    }
    if file.owner != 0, file.owner != reader.user {
      return DoctorFinding(
        .warning, check, file.path, "\(words): who owns it can read and replace it",
        "Say `chown root \(file.path)` or give it to \(readerName).")
    }
    if file.mode & 0o070 != 0 {
      return DoctorFinding(.note, check, file.path, "\(words): its group has rights on it", "See that nobody else is in the group.")
    }
    return .ok(check, file.path, words)
  }

  /// A file that decides what the gateway does, and holds no secret.
  static func settings(_ check: String, _ file: FileRights, reader: SystemIdentity) -> DoctorFinding {
    let words = "mode \(octal(file.mode)), owner \(file.ownerName)"
    if file.mode & 0o002 != 0 {
      return DoctorFinding(.wrong, check, file.path, "\(words): everybody can change it", "Say `chmod o-w \(file.path)`.")
    }
    if file.owner != 0, file.owner != reader.user {
      return DoctorFinding(
        .warning, check, file.path, "\(words): who owns it decides what the gateway does", "Say `chown root \(file.path)`.")
    }
    if file.mode & 0o020 != 0, file.group != 0 {
      return DoctorFinding(.note, check, file.path, "\(words): its group can change it", "See who is in the group.")
    }
    return .ok(check, file.path, words)
  }

  /// A folder that the gateway writes to. `folders`: those above it, from the root down.
  static func folder(
    _ check: String, _ file: FileRights, writer: SystemIdentity, writerName: String, folders: [FileRights], isPrivate: Bool
  ) -> DoctorFinding {
    let words = "mode \(octal(file.mode)), owner \(file.ownerName)"
    if let obstacle = folders.first(where: { !allows(.enter, $0, writer) }) {
      return DoctorFinding(
        .wrong, check, file.path,
        "the user \(writerName) may not pass through \(obstacle.path) (mode \(octal(obstacle.mode)), owner \(obstacle.ownerName))",
        "Let it in with `chmod` or `chown` on \(obstacle.path).")
    }
    if !allows(.write, file, writer) || !allows(.enter, file, writer) || !allows(.read, file, writer) {
      return DoctorFinding(
        .wrong, check, file.path, "\(words): the user \(writerName) may not write there", "Say `chown -R \(writerName) \(file.path)`.")
    }
    if file.mode & 0o002 != 0, file.mode & 0o1000 == 0 {
      return DoctorFinding(.wrong, check, file.path, "\(words): everybody can change what is in it", "Say `chmod o-w \(file.path)`.")
    }
    if isPrivate, file.mode & 0o005 != 0 {
      return DoctorFinding(.note, check, file.path, "\(words): everybody can look into it", "Say `chmod 700 \(file.path)`.")
    }
    return .ok(check, file.path, words)
  }

  /// `0600`.
  static func octal(_ mode: Int) -> String {
    let digits = String(mode & 0o7777, radix: 8)
    return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
  }
}
