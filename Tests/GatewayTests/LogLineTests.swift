import Foundation
import Logging
import PEC
import Testing

@testable import Gateway

@Suite struct LogLineTests {
  private static let now = Instant(unixSeconds: 1_800_000_000, utcOffsetSeconds: 3600)
  /// What mail may put into a log line.
  private static let hostile = "a\"b\\c\r\nd\t\u{0}\u{1b}[2J\u{7f}\u{9b}31m\u{2028}\u{202e}è\u{1F4E8}"

  @Test func oneObjectALine() throws {
    let line = LogLine.json(
      Self.now, .notice, Self.hostile, ["subject": .string(Self.hostile), "bytes": .stringConvertible(12), "level": .string("x")])
    #expect(line.hasSuffix("}\n"))
    #expect(
      line.unicodeScalars.dropLast().allSatisfy {
        $0.value >= 32 && !(0x7f...0x9f).contains($0.value) && $0 != "\u{2028}" && $0 != "\u{202e}"
      })
    let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String])
    #expect(
      object == [
        "time": Self.now.rfc3339, "level": "notice", "message": Self.hostile, "subject": Self.hostile, "bytes": "12", "field.level": "x",
      ])
    #expect(
      line.hasPrefix(
        "{\"time\":\"2027-01-15T09:00:00+01:00\",\"level\":\"notice\",\"message\":\"a\\\"b\\\\c\\r\\nd\\t\\u0000\\u001b[2J\\u007f"))
  }

  @Test func textIsOneLineToo() {
    let line = LogLine.text(Self.now, .error, Self.hostile, ["b": .string("2"), "a": .string(Self.hostile)])
    #expect(line.unicodeScalars.count { $0.value < 32 } == 1)
    #expect(line.hasPrefix("2027-01-15T09:00:00+01:00 error "))
    #expect(line.hasSuffix(" b=2\n"))
  }
}
