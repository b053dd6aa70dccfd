import Foundation
import Gateway
import Journey
import Ledger
import Octets
import PEC
import Sealing
import Spool

/// `ceralacca backup verify`: whether a backup is what was made, and whether a gateway can go on from it.
public struct BackupVerification {
  private let folder: String
  private let manifest: BackupManifest
  private var faults: [String] = []
  private var remarks: [String] = []

  /// Faults that are named.
  static let mostNamed = 100

  /// What was found, for machines.
  private struct Report: Encodable {
    var holds: Bool
    var folder: String
    /// RFC 3339.
    var madeAt: String
    var files: Int
    var bytes: Int
    var lastRow: Int64
    var queued: Int
    var faults: [String]
    var remarks: [String]
  }

  /// Verifies a backup.
  /// - Throws: `CommandFailure` with code 66 when it is none, 65 when anything of it is not as it was.
  public static func run(
    _ folder: String, json: Bool, say: (String) -> Void, progress: @escaping (String) -> Void = { _ in }
  ) throws {
    let verification = try examine(folder, progress)
    if json {
      say(try Output.json(verification.report))
      if !verification.faults.isEmpty { throw CommandFailure("", exitCode: CommandFailure.dataError) }
      return
    }
    let manifest = try verification.told(say)
    say(
      "\(folder): all of it is as it was made at \(manifest.madeAt): \(manifest.files.count) files, the certified log up to row "
        + "\(manifest.lastRow), \(manifest.queued) messages in the queue")
  }

  /// The manifest of a backup of which everything is as it was.
  /// - Throws: as `run`.
  static func verify(_ folder: String, say: (String) -> Void, progress: @escaping (String) -> Void) throws -> BackupManifest {
    try examine(folder, progress).told(say)
  }

  private static func examine(_ folder: String, _ progress: @escaping (String) -> Void) throws -> BackupVerification {
    var verification = BackupVerification(folder: folder, manifest: try BackupManifest.read(folder).manifest)
    try verification.compareFiles(progress)
    // Where the files are not what they were, what is in them says nothing.
    if verification.faults.isEmpty {
      try verification.look(progress)
      verification.tellApart()
    }
    return verification
  }

  /// What is wrong with ledger and log in a backup that was just made, and so was wrong before.
  static func faults(_ folder: String, _ manifest: BackupManifest, _ progress: @escaping (String) -> Void) throws -> [String] {
    var verification = BackupVerification(folder: folder, manifest: manifest)
    try verification.look(progress)
    return verification.faults.map(verification.placed)
  }

  /// Words that are the same wherever the backup lies.
  private func placed(_ fault: String) -> String { fault.replacingOccurrences(of: folder + "/", with: "") }

  /// A fault that was there before is no reason to restore nothing.
  private mutating func tellApart() {
    let (known, found) = (Set(manifest.faults ?? []), faults)
    remarks += found.filter { known.contains(placed($0)) }.map { "it was so before the backup: \($0)" }
    faults = found.filter { !known.contains(placed($0)) }
  }

  /// Says what was found; ends where that is a fault.
  private func told(_ say: (String) -> Void) throws -> BackupManifest {
    for remark in remarks { say("remark  \(ASCII.escaped(remark))") }
    for fault in faults.prefix(BackupVerification.mostNamed) { say("FAULT   \(ASCII.escaped(fault))") }
    if faults.isEmpty { return manifest }
    throw CommandFailure("\(folder) has \(faults.count) faults, and must not be restored", exitCode: CommandFailure.dataError)
  }

  private var report: Report {
    Report(
      holds: faults.isEmpty, folder: folder, madeAt: manifest.madeAt, files: manifest.files.count, bytes: manifest.bytes,
      lastRow: manifest.lastRow, queued: manifest.queued, faults: faults, remarks: remarks)
  }

  private init(folder: String, manifest: BackupManifest) { (self.folder, self.manifest) = (folder, manifest) }

  private mutating func compareFiles(_ progress: @escaping (String) -> Void) throws {
    let pace = BackupPace(isGentle: false, all: manifest.bytes, progress: progress)
    var files = BackupFiles()
    files.copied = { try pace.step($0) }
    for file in manifest.files {
      guard FileFacts("\(folder)/\(file.path)")?.kind == .file else {
        faults.append("\(file.path) is missing")
        continue
      }
      guard let found = try files.digest("\(folder)/\(file.path)") else {
        faults.append("\(file.path) cannot be read")
        continue
      }
      if found.bytes != file.bytes {
        faults.append("\(file.path) has \(found.bytes) octets, and had \(file.bytes)")
      } else if found.sha256 != file.sha256 {
        faults.append("\(file.path) is not what was copied: its SHA-256 is another")
      }
    }
    for path in manifest.folders.map(\.path) where FileFacts("\(folder)/\(path)")?.kind != .folder {
      faults.append("\(path) is missing")
    }
  }

  private mutating func look(_ progress: @escaping (String) -> Void) throws {
    let ledger: LedgerReader
    do { ledger = try Ledger.openCopy(path: "\(folder)/\(BackupManifest.ledgerPath)") } catch {
      return faults.append("\(error)")
    }
    do {
      progress("the ledger's file")
      // Of this program's form the verification of the log looks at the file too.
      if manifest.ledgerSchema < Ledger.schema { faults += try ledger.fileFaults(limit: 20).map { "the ledger's file: \($0)" } }
      let last = try ledger.lastEventNumber()
      if last != manifest.lastRow {
        faults.append("the certified log ends at row \(last), and the list of contents says \(manifest.lastRow)")
      }
      progress("messages of the queue")
      try lookAtQueue(ledger)
    } catch { faults.append("\(error)") }
    guard manifest.ledgerSchema == Ledger.schema else {
      return remarks.append(
        "the ledger has schema \(manifest.ledgerSchema), and this program writes \(Ledger.schema): the certified log's chain is looked at "
          + "by `ceralacca log verify` after a restore")
    }
    let inspector = SealInspector(store: SealStore(path: "\(folder)/\(BackupManifest.dataFolder)/seals"), ledger: ledger)
    do {
      let found = try inspector.verifyLog { progress("the certified log, from row \($0)") }
      faults += found.faults.map { "\($0)" }
      if found.faultCount > found.faults.count {
        faults.append("the certified log: \(found.faultCount - found.faults.count) further faults")
      }
    } catch { faults.append("\(error)") }
  }

  private mutating func lookAtQueue(_ ledger: LedgerReader) throws(LedgerError) {
    let reader = SpoolReader(directory: "\(folder)/\(BackupManifest.dataFolder)/spool")
    let known = Set(manifest.damaged)
    var place: Int64?
    repeat {
      let page = try ledger.queueContents(after: place, limit: 1000)
      let found = reader.verify(page.entries.flatMap(\.content))
      for entry in page.entries {
        guard let range = entry.content.first(where: { found[$0] != nil }), let fault = found[range] else { continue }
        let words = "the message of entry \(entry.id) cannot be read: \(fault)"
        let wasSo = known.contains(BackupManifest.name(range))
        if wasSo { remarks.append("it was so before the backup: \(words)") } else { faults.append(words) }
      }
      place = page.next
    } while place != nil
  }
}
