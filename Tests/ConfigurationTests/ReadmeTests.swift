import Foundation
import Limits
import Testing

@testable import Configuration

/// The reference in README.md, held against the code.
@Suite struct ReadmeTests {
  private static func readme() throws -> String {
    let root = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    return try String(contentsOf: root.appendingPathComponent("README.md"), encoding: .utf8)
  }

  /// Rows of tables: the key in the first column, what the second says.
  private static func rows(_ text: String) -> [String: String] {
    var rows: [String: String] = [:]
    for line in text.split(separator: "\n") where line.hasPrefix("| `") {
      let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
      if cells.count >= 2 { rows[cells[0].trimmingCharacters(in: ["`"])] = cells[1] }
    }
    return rows
  }

  @Test func everyLimitStandsThereWithItsDefault() throws {
    let rows = Self.rows(try Self.readme())
    let usual = Limits()
    for key in LimitKey.all { #expect(rows[key.name] == key.text(in: usual), "\(key.name)") }
    for key in LimitKey.ofDeadlines { #expect(rows["deadlines." + key.name] == key.text(in: usual), "\(key.name)") }
    for key in LimitKey.ofRates {
      #expect(usual[keyPath: key.bound] == nil)
      #expect(rows[key.name] == "none", "\(key.name)")
    }
    let megabytes = Double(try #require(usual.message.maximumBytesTimesRecipients)) / Double(LimitKey.Unit.megabytes.rawValue)
    #expect(rows[LimitKey.sizeTimesRecipients] == LimitKey.text(megabytes))
  }

  @Test func everyBoundOfTheScannerStandsThereWithItsDefault() throws {
    let rows = Self.rows(try Self.readme())
    for key in ScanKey.all {
      let value = ScanLimits()[keyPath: key.bound]
      #expect(rows["scanner." + key.name] == (key.unit == .octets ? Section.sizeText(value) : String(value)), "\(key.name)")
    }
  }

  @Test func everyKeyOfTheLogAndTheClockStandsThereWithItsDefault() throws {
    let rows = Self.rows(try Self.readme())
    let log = CertifiedLogSettings()
    let stamps = log.timeStamps
    let clock = ClockSettings()
    let keys = [
      ("certifiedLog.retentionMonths", String(log.retentionMonths)), ("certifiedLog.marginDays", String(log.marginDays)),
      ("certifiedLog.sealEveryRows", String(log.sealEveryRows)), ("certifiedLog.sealDailyAt", "`\"\(log.sealDailyAt)\"`"),
      ("certifiedLog.extractAddress", "none"), ("certifiedLog.timeStamps.authorities", "none"),
      ("certifiedLog.timeStamps.timeoutSeconds", String(stamps.timeoutSeconds)),
      ("certifiedLog.timeStamps.toleranceSeconds", String(stamps.toleranceSeconds)),
      ("certifiedLog.timeStamps.renewalDays", String(stamps.renewalDays)),
      ("clock.limitMilliseconds", String(clock.limitMilliseconds)), ("clock.synchronization", "`\(clock.synchronization.rawValue)`"),
    ]
    for (key, value) in keys { #expect(rows[key] == value, "\(key)") }
  }

  @Test func everyKeyStandsThere() throws {
    let text = try Self.readme()
    for key in Reader.keys {
      #expect(text.contains("| `\(key)` |") || text.contains("| `\(key)."), "\(key)")
    }
  }

  /// The examples are parts of configurations, or whole ones; put together with a good file each is taken.
  @Test func theExamplesAreGood() throws {
    let blocks = try Self.readme().components(separatedBy: "```yaml\n").dropFirst().compactMap { $0.components(separatedBy: "```").first }
    #expect(blocks.count >= 2)
    let good = try Fixtures.text("good/smallest.yaml")
    for block in blocks {
      let keys = block.split(separator: "\n").filter { !$0.hasPrefix(" ") }.compactMap { $0.split(separator: ":").first.map(String.init) }
      var text = block
      if !keys.contains("hostname") {
        // The keys of the example replace those of the file.
        var isReplaced = false
        for line in good.split(separator: "\n") {
          if !line.hasPrefix(" ") { isReplaced = keys.contains { line.hasPrefix($0 + ":") } }
          if !isReplaced { text += line + "\n" }
        }
      }
      #expect(Fixtures.problems(text) == [])
    }
  }
}
