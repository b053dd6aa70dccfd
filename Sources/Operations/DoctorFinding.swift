import Octets

/// How grave what the doctor found is.
enum DoctorLevel: String, Encodable, Comparable, CaseIterable, Sendable {
  case ok
  /// Nothing is wrong; somebody may want to know.
  case note
  /// It will be wrong, or it harms somebody else's mail.
  case warning
  /// Mail stands still because of it, or is worth nothing, or soon will be.
  case wrong

  static func < (one: DoctorLevel, other: DoctorLevel) -> Bool { one.rank < other.rank }

  private var rank: Int {
    switch self {
    case .ok: 0
    case .note: 1
    case .warning: 2
    case .wrong: 3
    }
  }

  /// Exit code of the command when nothing is graver.
  var exitCode: Int32 {
    switch self {
    case .ok, .note: 0
    case .warning: 1
    case .wrong: 2
    }
  }
}

/// One row: what was looked at, what was found there, and what to do about it.
struct DoctorFinding: Encodable, Equatable, Sendable {
  var level: DoctorLevel
  /// The check, a word or two that stay the same: machines look for it.
  var check: String
  /// The file, address or name that was looked at.
  var looked: String
  var found: String
  /// One sentence; empty where nothing is to be done.
  var remedy: String
  /// Name of its place in the runbook; nil where it has none.
  var runbook: String?

  init(_ level: DoctorLevel, _ check: String, _ looked: String, _ found: String, _ remedy: String = "", runbook: String? = nil) {
    (self.level, self.check, self.looked, self.remedy, self.runbook) = (level, check, looked, remedy, runbook)
    // Errors of files name their file, which stands before them anyway.
    self.found = !looked.isEmpty && found.hasPrefix("\(looked): ") ? String(found.dropFirst(looked.count + 2)) : found
  }

  static func ok(_ check: String, _ looked: String, _ found: String) -> DoctorFinding { DoctorFinding(.ok, check, looked, found) }
}

/// Everything that was found, as machines get it.
struct DoctorReport: Encodable, Sendable {
  /// When it was looked at, Unix seconds.
  var at: Int64
  /// running, absent, starting, silent, closed (this user may not ask it), or unknown without a configuration.
  var gateway: String
  var checks: [DoctorFinding]
  var worst: DoctorLevel

  init(at: Int64, gateway: String, findings: [DoctorFinding]) {
    (self.at, self.gateway) = (at, gateway)
    // The gravest last, where a terminal's reader looks first; within a level as they were looked at.
    checks = DoctorLevel.allCases.flatMap { level in findings.filter { $0.level == level } }
    worst = checks.last?.level ?? .ok
  }
}

/// The report on a terminal.
struct DoctorTable {
  let report: DoctorReport
  let columns: Int
  let colours: Bool

  private static let levelColumns = 7
  private static let checkColumns = 20

  var lines: [String] { report.checks.flatMap(row) + [""] + Self.wrapped(summary, columns) }

  private func row(_ finding: DoctorFinding) -> [String] {
    let left = Self.levelColumns + 2 + Self.checkColumns + 1
    let room = max(24, columns - left)
    let head =
      coloured(finding.level.rawValue.left(Self.levelColumns), finding.level) + "  "
      + finding.check.left(Self.checkColumns) + " "
    let indent = String(repeating: " ", count: left)
    let words = finding.looked.isEmpty ? finding.found : "\(finding.looked): \(finding.found)"
    var lines = Self.wrapped(ASCII.escaped(words), room)
    if !finding.remedy.isEmpty {
      let place = finding.runbook.map { " (runbook: \($0))" } ?? ""
      lines += Self.wrapped("-> " + ASCII.escaped(finding.remedy + place), room)
    }
    return lines.enumerated().map { ($0.offset == 0 ? head : indent) + $0.element }
  }

  private var summary: String {
    let counts = DoctorLevel.allCases.reversed().compactMap { level -> String? in
      let count = report.checks.count { $0.level == level }
      guard count > 0 else { return nil }
      switch level {
      case .ok: return "\(count) ok"
      case .note: return count == 1 ? "1 note" : "\(count) notes"
      case .warning: return count == 1 ? "1 warning" : "\(count) warnings"
      case .wrong: return "\(count) wrong"
      }
    }
    return "\(report.checks.count) checks: \(counts.joined(separator: ", ")). \(Self.state(report.gateway))"
  }

  private static func state(_ gateway: String) -> String {
    switch gateway {
    case "running": "The gateway runs."
    case "absent": "The gateway does not run."
    case "starting": "The gateway is starting."
    case "silent": "The gateway does not answer."
    default: "Whether the gateway runs is not known."
    }
  }

  private func coloured(_ text: String, _ level: DoctorLevel) -> String {
    guard colours else { return text }
    switch level {
    case .ok: return "\u{1b}[32m\(text)\u{1b}[0m"
    case .note: return text
    case .warning: return "\u{1b}[33m\(text)\u{1b}[0m"
    case .wrong: return "\u{1b}[1;31m\(text)\u{1b}[0m"
    }
  }

  /// Lines of at most `width` columns, broken between words; a word that is longer is broken where the line ends.
  static func wrapped(_ text: String, _ width: Int) -> [String] {
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ") {
      var word = word
      if !line.isEmpty, line.count + 1 + word.count > width {
        lines.append(line)
        line = ""
      }
      while word.count > width {
        lines.append(String(word.prefix(width)))
        word = word.dropFirst(width)
      }
      line += line.isEmpty ? String(word) : " \(word)"
    }
    return line.isEmpty && !lines.isEmpty ? lines : lines + [line]
  }
}
