import Foundation
import Limits
import Testing

@testable import Gateway

@Suite("kept policies of MTA-STS")
final class PolicyFolderTests {
  private let path = FileManager.default.temporaryDirectory.path + "/policies-" + UUID().uuidString

  deinit { try? FileManager.default.removeItem(atPath: path) }

  private let now: Int64 = 1_800_000_000

  private func folder(atMost most: Int, at instant: Int64? = nil) throws -> PolicyFolder {
    try PolicyFolder(path, limits: ExchangeLimits(), atMost: most, at: instant ?? now)
  }

  private func policy(maximumAge: Int = 604_800) -> [UInt8] {
    Array("version: STSv1\r\nmode: enforce\r\nmx: mx.beta.example\r\nmax_age: \(maximumAge)\r\n".utf8)
  }

  private var names: Set<String> { Set((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []) }

  @Test func whatIsKept() throws {
    let first = try folder(atMost: 10)
    #expect(first.load("beta.example") == nil)
    try first.store("beta.example", "2026a", now, policy())
    let found = try #require(try folder(atMost: 10, at: now + 604_799).load("beta.example"))
    #expect(found.id == "2026a" && found.fetchedAt == now && found.policy.mode == .enforce)
    #expect(found.holds(at: now + 604_799) && !found.holds(at: now + 604_800))
    #expect(try folder(atMost: 10, at: now + 604_800).load("beta.example") == nil)
    #expect(names.isEmpty)
  }

  @Test("at the bound the oldest go, also while it runs, and the same domain's policy takes no further room") func bound() throws {
    let kept = try folder(atMost: 5)
    for number in 0..<8 as Range<Int64> {
      try kept.store("d\(number).example", "1", now + number, policy())
      #expect(names.count <= 5)
    }
    #expect(names == ["d3.example", "d4.example", "d5.example", "d6.example", "d7.example"])
    // Who is in use is fetched anew.
    for _ in 0..<3 { try kept.store("d3.example", "2", now + 10, policy()) }
    #expect(names.count == 5)
    try kept.store("new.example", "1", now + 11, policy())
    #expect(names == ["d3.example", "d5.example", "d6.example", "d7.example", "new.example"])
  }

  @Test("before what holds goes what holds no more, and what is none of ours") func firstToGo() throws {
    let kept = try folder(atMost: 3)
    try kept.store("old.example", "1", now, policy())
    try kept.store("short.example", "1", now + 10, policy(maximumAge: 60))
    try kept.store("beta.example", "1", now + 20, policy())
    try Data("what is this\n".utf8).write(to: URL(filePath: path + "/strange"))
    try kept.store("gamma.example", "1", now + 100, policy())
    #expect(names == ["old.example", "beta.example", "gamma.example"])
  }

  @Test("too many at the start leave the newest, and not none") func start() throws {
    let kept = try folder(atMost: 10)
    for number in 0..<6 as Range<Int64> { try kept.store("d\(number).example", "1", now + number, policy()) }
    _ = try folder(atMost: 4, at: now + 10)
    #expect(names == ["d2.example", "d3.example", "d4.example", "d5.example"])
  }
}
