import Foundation
import Octets
import Sealing

/// What `ceralacca verify` says of an extract of the certified log.
struct BundleFinding: Encodable {
  var file: String
  /// `extract`, or `unreadable`.
  var kind = "extract"
  var holds: Bool
  var faults: [String]
  var facts: [String]
  var remarks: [String]

  /// True for what is an extract and not a message: a folder, or a zip archive.
  static func isBundle(_ path: String) -> Bool {
    let kind = (try? FileManager.default.attributesOfItem(atPath: path))?[.type] as? FileAttributeType
    if kind == .typeDirectory { return true }
    guard let file = FileHandle(forReadingAtPath: path) else { return false }
    defer { try? file.close() }
    return (try? file.read(upToCount: 4)).map { $0.elementsEqual([0x50, 0x4B, 3, 4]) } ?? false
  }

  /// False when it could not be looked at.
  var wasRead: Bool { kind != "unreadable" }

  /// Checks an extract. What cannot be read is a finding too: other files wait.
  init(_ path: String, authorities: BundleAuthorities) {
    file = path
    do {
      let report = try BundleVerifier.verify(path: path, authorities: authorities, at: Int64(Date().timeIntervalSince1970))
      holds = report.holds
      faults = report.faults.map { "\($0)" }
      facts = report.lines
      remarks = report.remarks
    } catch {
      kind = "unreadable"
      holds = false
      faults = ["\(error)"]
      facts = []
      remarks = []
    }
  }

  /// For people.
  var text: String {
    guard wasRead else { return ASCII.escaped("\(file): cannot be read: \(faults.joined(separator: "; "))") }
    var lines = ["\(file): extract of the certified log"]
    lines += facts.map { "  \($0)" } + remarks.map { "  remark: \($0)" } + faults.map { "  FAULT: \($0)" }
    lines.append(holds ? "  It holds." : "  It does NOT hold: \(faults.count) faults.")
    return lines.map(ASCII.escaped).joined(separator: "\n")
  }
}
