import Foundation
import Testing

@testable import Operations

@Suite struct BackupManifestTests {
  private func folder() throws -> String {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("manifest-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
  }

  private func manifest(_ paths: [String]) -> BackupManifest {
    BackupManifest(
      program: "1", ledgerSchema: 5, madeAt: "2026-11-21T10:00:00+01:00", snapshotAt: 1, hostname: "h", provider: "p", dataDirectory: "/d",
      lastRow: 1, lastSeal: 0, queued: 0, hasKeys: false, leftOut: [],
      files: paths.map { BackupManifest.File(path: $0, bytes: 1, sha256: "00", mode: 0o600, modifiedAt: 0) })
  }

  /// A list of contents comes with the backup, from wherever that was kept: it must not lead outside.
  @Test(arguments: ["/etc/passwd", "data/../../x", "../x", "x", "data//x", "data/./x", "other/x", ""])
  func aPathOutsideIsRefused(path: String) throws {
    let place = try folder()
    defer { try? FileManager.default.removeItem(atPath: place) }
    try manifest(["data/good", path]).encoded().write(to: URL(fileURLWithPath: "\(place)/\(BackupManifest.name)"))
    let failure = #expect(throws: CommandFailure.self) { try BackupManifest.read(place) }
    #expect(failure?.exitCode == CommandFailure.dataError)
  }

  /// Nor may its sizes be such that their sum is none.
  @Test(arguments: [[-1], [1 << 61], [1 << 60, 1], [.max, .max]])
  func aSizeThatNoFileHasIsRefused(sizes: [Int]) throws {
    let place = try folder()
    defer { try? FileManager.default.removeItem(atPath: place) }
    var crafted = manifest(sizes.indices.map { "data/\($0)" })
    for (at, size) in sizes.enumerated() { crafted.files[at].bytes = size }
    try crafted.encoded().write(to: URL(fileURLWithPath: "\(place)/\(BackupManifest.name)"))
    let failure = #expect(throws: CommandFailure.self) { try BackupManifest.read(place) }
    #expect(failure?.exitCode == CommandFailure.dataError)
  }

  @Test func itIsReadAsItWasWritten() throws {
    let place = try folder()
    defer { try? FileManager.default.removeItem(atPath: place) }
    #expect(throws: CommandFailure.self) { try BackupManifest.read(place) }
    let data = try manifest(["data/ledger.sqlite", "configuration/1-users"]).encoded()
    try data.write(to: URL(fileURLWithPath: "\(place)/\(BackupManifest.name)"))
    let read = try BackupManifest.read(place)
    #expect(try read.manifest.encoded() == data)
    #expect(read.sha256.count == 64)
    let other = String(decoding: data, as: UTF8.self).replacingOccurrences(of: "\"format\" : 1", with: "\"format\" : 2")
    try Data(other.utf8).write(to: URL(fileURLWithPath: "\(place)/\(BackupManifest.name)"))
    let failure = #expect(throws: CommandFailure.self) { try BackupManifest.read(place) }
    #expect(failure?.message.contains("form 2") == true)
  }
}
