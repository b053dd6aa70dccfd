import Foundation
import Testing

@testable import Operations

@Suite struct BackupFilesTests {
  /// What the disk does not give back is zeros in the copy, sector by sector, and all else is there; where it is not wanted it is a failure.
  @Test(arguments: [0..<1, 5000..<5001, 1_048_570..<1_048_580, 2_000_000..<2_100_000, 2_099_999..<2_100_000])
  func unreadableSectorsBecomeZeros(bad: Range<Int>) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("files-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let whole = Data((0..<2_100_000).map { UInt8(truncatingIfNeeded: $0 % 251 + 1) })
    try whole.write(to: URL(fileURLWithPath: "\(folder)/segment"))
    var files = BackupFiles()
    files.read = { source, count in
      let start = Int(try source.offset())
      if bad.overlaps(start..<start + count) { throw CocoaError(.fileReadUnknown) }
      return try source.read(upToCount: count)
    }
    #expect(throws: CommandFailure.self) { try files.copy("\(folder)/segment", to: "\(folder)/none", mode: 0o600) }
    let copied = try files.copy("\(folder)/segment", to: "\(folder)/copy", mode: 0o600, isSparse: true, passesOver: true)
    #expect(copied?.bytes == whole.count)
    var expected = whole
    let sectors = bad.lowerBound / 4096 * 4096..<min(whole.count, (bad.upperBound + 4095) / 4096 * 4096)
    expected.replaceSubrange(sectors, with: Data(count: sectors.count))
    #expect(try Data(contentsOf: URL(fileURLWithPath: "\(folder)/copy")) == expected)
  }
}
