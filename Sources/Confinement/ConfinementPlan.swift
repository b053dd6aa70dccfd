/// What a process of the scanner may still do once it is confined.
public struct ConfinementPlan: Sendable, Equatable {
  /// Folder or file of signatures, read by the parent; a worker does without. What a link in the folder points to elsewhere cannot be read.
  public var database: String?
  /// Folder below which files may be made, read, written and removed: all workers' for the parent, its own for a worker. Must be there.
  public var temporary: String
  /// Who the parent becomes when it was started as root; "nobody" when nil. Means nothing to a process that is not root.
  public var user: String?
  /// Further folders and files that the parent may read; those of character sets (gconv) are always among them.
  public var readable: [String]
  /// What a worker's address space may grow by, in octets. The message that is mapped counts.
  public var memoryBytes: Int
  /// How large a file of a worker's may get, in octets.
  public var fileBytes: Int
  /// Descriptors that a worker keeps besides 0, 1 and 2: all others are closed, the parent's control channel among them.
  public var descriptors: [Int32]

  /// A plan; a worker may grow by 1 GB and write files of 512 MB.
  public init(
    database: String? = nil, temporary: String, user: String? = nil, readable: [String] = [], memoryBytes: Int = 1 << 30,
    fileBytes: Int = 512 << 20, descriptors: [Int32] = []
  ) {
    self.database = database
    self.temporary = temporary
    self.user = user
    self.readable = readable
    self.memoryBytes = memoryBytes
    self.fileBytes = fileBytes
    self.descriptors = descriptors
  }

  /// Why the plan cannot be carried out as it stands; nil when it can.
  var fault: ConfinementError? {
    let texts = [database, temporary, user].compactMap { $0 } + readable
    if texts.contains(where: { $0.isEmpty || $0.utf8.count > 4096 || $0.utf8.contains(0) }) {
      return .badPlan("a path or name is empty, too long, or holds a NUL")
    }
    let paths = [database, temporary].compactMap { $0 } + readable
    if paths.contains(where: { !$0.utf8.starts(with: "/".utf8) }) { return .badPlan("a path does not begin at the root") }
    if readable.count > 64 || descriptors.count > 64 { return .badPlan("more than 64 readable paths or descriptors") }
    if descriptors.contains(where: { $0 < 0 }) { return .badPlan("a descriptor is negative") }
    guard 1...(1 << 46) ~= memoryBytes, 1...(1 << 46) ~= fileBytes else { return .badPlan("a limit is out of range") }
    return nil
  }
}

/// Why a process is not confined: it must end then, for it may be so by half.
public enum ConfinementError: Error, Equatable, CustomStringConvertible {
  /// The plan cannot be carried out.
  case badPlan(String)
  /// A step failed; `code` is an errno, 0 when the step says all.
  case failed(step: String, code: Int32)

  /// One line for a log or terminal.
  public var description: String {
    switch self {
    case .badPlan(let words): "not confined: \(words)"
    case .failed(let step, 0): "not confined: \(step)"
    case .failed(let step, let code): "not confined: \(step): \(Confinement.sentence(code))"
    }
  }
}

/// What this kernel has for confinement.
public struct ConfinementSupport: Sendable, Equatable {
  /// Version of Landlock's interface; 0 when there is none, or when it is off.
  public var landlockABI: Int
  /// Whether system calls can be filtered.
  public var hasSeccomp: Bool

  /// What a kernel has.
  public init(landlockABI: Int, hasSeccomp: Bool) {
    self.landlockABI = landlockABI
    self.hasSeccomp = hasSeccomp
  }

  /// Whether the scanner can run: it never does so unconfined.
  public var isEnough: Bool { landlockABI >= 1 && hasSeccomp }

  /// Words for `check`.
  public var text: String {
    let landlock = landlockABI >= 1 ? "Landlock \(landlockABI)" : "no Landlock (see the kernel's lsm= parameter)"
    return "\(landlock), \(hasSeccomp ? "seccomp" : "no seccomp filters")"
  }
}

/// Which of the scanner's processes.
public enum ConfinementRole: Sendable, Equatable {
  /// Loads the signatures and forks workers; meets no message.
  case parent
  /// Meets the messages.
  case worker
}

/// A forbidden thing that was tried.
public struct ConfinementProbe: Sendable, Equatable {
  /// What was tried: "open an Internet socket (TCP)".
  public var what: String
  /// What came of it: "denied: Operation not permitted".
  public var words: String
  /// Whether confinement holds here.
  public var isDenied: Bool

  /// A thing that was tried.
  public init(what: String, words: String, isDenied: Bool) {
    self.what = what
    self.words = words
    self.isDenied = isDenied
  }
}
