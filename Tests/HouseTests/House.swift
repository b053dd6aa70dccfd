import Foundation

/// The repository, found from this file: the tests work from any folder.
enum House {
  /// The folder of Package.swift.
  static let root: URL = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  static func text(_ path: String) throws -> String { try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8) }

  /// Files below a folder with one of these endings, as paths from the root, sorted. Build folders and caches are passed over.
  static func files(below folder: String, endings: [String]) throws -> [String] {
    let start = root.appendingPathComponent(folder)
    let paths = try FileManager.default.subpathsOfDirectory(atPath: start.path)
    return paths.filter { path in
      endings.contains(URL(fileURLWithPath: path).pathExtension)
        && !path.split(separator: "/").contains { $0.hasPrefix(".build") || $0 == "__pycache__" }
    }.map { "\(folder)/\($0)" }.sorted()
  }

  /// A Swift source of a room.
  struct Source {
    var room: String
    var path: String
    var text: SourceText
  }

  /// The Swift sources of all rooms, read once.
  static func sources() throws -> [Source] { try read.get() }

  private static let read = Result {
    try files(below: "Sources", endings: ["swift"]).map { path in
      Source(room: String(path.split(separator: "/")[1]), path: path, text: SourceText(try text(path)))
    }
  }

  static func manifest() throws -> Manifest { Manifest(try text("Package.swift")) }
}

/// Who may do what. What a room is not given here it may not do.
enum HouseRules {
  /// The floors, from the ground up (ARCHITECTURE.md).
  static let ground: Set<String> = ["Octets", "Limits", "Threading", "Channels", "Digests", "Metering"]
  static let pure: Set<String> = [
    "MIMEStream", "SMTPWire", "PEC", "Reception", "ScanWire", "DovecotWire", "MIMEViews", "Journey", "Evidence", "Extracts",
    "LogRequests", "MailRouting",
  ]
  static let inputOutput: Set<String> = [
    "EventLoop", "TLSPipe", "Signing", "Spool", "Ledger", "Mailstore", "Accounts", "ProviderIndex", "WebFetch", "MailboxSearch",
    "LDAPSearch",
    "Configuration", "Confinement", "ScanEngine", "Scanning", "Quarantine", "SealedArchive", "ClockWatch", "TimeStamping", "PagePrinting",
    "NameResolution",
    "HTTPService",
    "Supervision",
  ]
  static let top: Set<String> = ["Sealing", "Gateway", "Laboratory", "Operations", "ceralacca", "ScannerWork", "ceralacca-scanner"]

  /// Rooms whose rules must hold in a simulation and on any machine: no system, no clock, no locks.
  static let bare: Set<String> = pure.union(["Limits"])
  static let foundation: Set<String> = [
    "Ledger", "Configuration", "ProviderIndex", "Laboratory", "Operations", "ceralacca", "Gateway", "Quarantine", "Sealing",
  ]

  /// Rooms that handle what the compiler cannot check.
  static let fences: Set<String> = [
    "Octets", "Threading", "Channels", "EventLoop", "TLSPipe", "Signing", "Spool", "Mailstore", "Accounts", "WebFetch", "MailboxSearch",
    "LDAPSearch",
    "Confinement", "ScanEngine", "Scanning", "Quarantine", "SealedArchive", "Digests", "ClockWatch", "TimeStamping", "PagePrinting",
    "NameResolution",
    "HTTPService",
    "Supervision",
  ]
  /// Files elsewhere that do, with what for.
  static func isFence(_ room: String, _ path: String) -> Bool { fences.contains(room) || (room == "Laboratory" && path.contains("PKI")) }

  /// Rooms whose business is to write to a terminal.
  static let talkers: Set<String> = ["Laboratory", "Operations", "ceralacca", "ceralacca-scanner"]

  static let fileLines = 500
  static let functionLines = 70
  /// Longer files and functions, each with its reason; a function is named as path:name.
  static let longer: [String: String] = [:]

  /// What may stand at the top level. Build folders and what git ignores do not count.
  static let topLevel: Set<String> = [
    "Package.swift", "Sources", "Tests", "Benchmarks", "Appliance", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md",
    "LICENSE", "publiccode.yml", ".swift-format", ".gitignore", ".ci", ".editorconfig", "SECURITY.md",
  ]
  static func isLeftOver(_ name: String) -> Bool {
    !(topLevel.contains(name) || name == ".git" || name == ".swiftpm" || name == "Package.resolved" || name.hasPrefix(".build"))
  }
}
