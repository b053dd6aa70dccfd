import Foundation

/// Why the tests cannot be run.
struct Unfit: Error, CustomStringConvertible {
  var description: String
}

/// The program of Fixtures/confined.c: a test's own process cannot be confined, and comes back from it.
struct Confined {
  /// A build of the program and of CConfinement.
  enum Build: String, CaseIterable {
    case usual
    /// A refused system call ends the process, so that whatever is refused shows.
    case deadly
    /// As on a kernel that has no more of Landlock (Debian 12 has ABI 2).
    case firstLandlock = "landlock-1"
    case secondLandlock = "landlock-2"
    case fourthLandlock = "landlock-4"

    var definitions: [String] {
      switch self {
      case .usual: []
      case .deadly: ["-DCERALACCA_REFUSAL=SCMP_ACT_KILL_PROCESS"]
      case .firstLandlock: ["-DCERALACCA_LANDLOCK_NEWEST=1"]
      case .secondLandlock: ["-DCERALACCA_LANDLOCK_NEWEST=2"]
      case .fourthLandlock: ["-DCERALACCA_LANDLOCK_NEWEST=4"]
      }
    }
  }

  /// Who starts the program: root, where the tests run as root, and an ordinary user.
  enum Starter: String, CaseIterable {
    case root, ordinary

    static var all: [Starter] { getuid() == 0 ? [.root, .ordinary] : [.ordinary] }
  }

  /// What the program said: a line is a word and what came of it.
  struct Words {
    var lines: [[String]]
    var status: Int32

    subscript(_ what: String) -> String? { lines.first { $0[0] == what }?.dropFirst().joined(separator: " ") }
    /// What was refused, by the kernel or for want of it.
    var refused: [String] { lines.filter { ["EPERM", "EACCES", "ENOSYS"].contains($0.last) }.map { $0[0] } }
  }

  private static let programs = FileManager.default.temporaryDirectory.path + "/ceralacca-confined-\(UUID().uuidString)"
  /// Made once for all tests; readable by everybody.
  private static let built: Result<String, any Error> = Result {
    let folder = programs
    try makeFolder(folder)
    atexit { try? FileManager.default.removeItem(atPath: Confined.programs) }
    guard let fixture = Bundle.module.path(forResource: "Fixtures/confined", ofType: "c") else { throw Unfit(description: "no fixture") }
    let rooms = ["CConfinement", "CScratch"].map { URL(filePath: #filePath).deletingLastPathComponent().path + "/../../Sources/\($0)" }
    let sources = try rooms.flatMap { room in
      try FileManager.default.contentsOfDirectory(atPath: room).filter { $0.hasSuffix(".c") }.map { "\(room)/\($0)" }
    }
    for build in Build.allCases {
      let arguments =
        ["cc", "-O1", "-w"] + rooms.map { "-I\($0)/include" } + build.definitions + ["-o", "\(folder)/\(build.rawValue)", fixture] + sources
        + ["-lseccomp", "-lclamav", "-lpthread"]
      let (text, status) = try execute(arguments, [:])
      if status != 0 { throw Unfit(description: text) }
    }
    return folder
  }

  /// The folder of this world: `db`, `key`, and `temporary`, which belongs to whom the scanner runs as.
  let folder: String
  var database: String { "\(folder)/db" }
  var key: String { "\(folder)/key" }
  var temporary: String { "\(folder)/temporary" }

  /// A world with a signature of a text that nobody writes, and with a key that everybody could read.
  init() throws {
    folder = FileManager.default.temporaryDirectory.path + "/ceralacca-confinement-\(UUID().uuidString)"
    for path in [folder, "\(folder)/db", "\(folder)/temporary"] { try Confined.makeFolder(path) }
    let hex = Confined.threat.utf8.map { String(format: "%02x", $0) }.joined()
    try Data("Ceralacca-Invented:0:*:\(hex)\n".utf8).write(to: URL(filePath: "\(database)/invented.ndb"))
    try Data("a secret\n".utf8).write(to: URL(filePath: key))
    for path in [key, "\(database)/invented.ndb"] { try Confined.setMode(path, 0o644) }
    if getuid() == 0 { try Confined.expect(["chown", "nobody", temporary]) }
  }

  static let threat = "ceralacca-invented-threat"

  func remove() { try? FileManager.default.removeItem(atPath: folder) }

  /// Runs the program; two minutes at the most.
  func run(_ arguments: [String], build: Build = .usual, as starter: Starter, user: String? = nil, temporary: String? = nil) throws -> Words
  {
    let program = try Confined.built.get() + "/\(build.rawValue)"
    let becoming =
      starter == .ordinary && getuid() == 0 ? ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] : []
    let (text, status) = try Confined.execute(
      ["timeout", "120"] + becoming + [program] + arguments,
      ["DATABASE": database, "KEY": key, "TEMPORARY": temporary ?? self.temporary, "CONFINED_USER": user ?? ""])
    let lines = text.split(separator: "\n").map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) }
    return Words(lines: lines, status: status)
  }

  /// Runs a command that must succeed.
  @discardableResult static func expect(_ arguments: [String]) throws -> String {
    let (text, status) = try execute(arguments, [:])
    if status != 0 { throw Unfit(description: "\(arguments.joined(separator: " ")): \(status) \(text)") }
    return text
  }

  private static func execute(_ arguments: [String], _ environment: [String: String]) throws -> (String, Int32) {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardInput = FileHandle.nullDevice
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let octets = try output.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return (String(decoding: octets, as: UTF8.self), process.terminationStatus)
  }

  private static func makeFolder(_ path: String) throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    try setMode(path, 0o755)
  }

  private static func setMode(_ path: String, _ mode: Int) throws {
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
  }
}
