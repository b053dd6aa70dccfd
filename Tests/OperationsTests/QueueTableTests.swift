import Journey
import PEC
import Testing

@testable import Operations

@Suite struct QueueTableTests {
  private func entry(id: String, to recipients: [String], route: Route = .relay("default"), error: String? = nil) -> QueueEntry {
    QueueEntry(
      id: id, pecID: "p", messageID: "m", kind: .deliveryComplete, sender: "", recipients: recipients, route: route, content: [],
      createdAt: 0, dueAt: 1000, attempts: 12345, lastError: error)
  }

  @Test func linesFitIntoTheTerminal() {
    let long = String(repeating: "x", count: 300)
    let id = "opec3213.20261122003412.12345.10.1.1-q1"
    let entry = entry(id: id, to: ["\(long)@y.test", "b"], route: .relay(long), error: "451 \(long)")
    for columns in [60, 80, 109, 110, 120, 250] {
      let lines = [QueueTable.head(columns)] + QueueTable.lines(entry, QueueHolds(), 900, columns)
      for line in lines.flatMap({ $0.split(separator: "\n") }) { #expect(line.count <= columns, "\(columns): \(line)") }
    }
    let wide = QueueTable.lines(entry, QueueHolds(), 900, 120)
    #expect(wide.count == 3)
    #expect(wide[0].hasSuffix("in 100s"))
    #expect(QueueTable.lines(entry, QueueHolds([QueueHold(scope: .all, heldAt: 1)]), 900, 120)[0].hasSuffix("held"))
  }

  @Test func numbersStayNarrow() {
    #expect([0, 99_999, 100_000, 9_999_999, 12_000_000].map(QueueTable.count) == ["0", "99999", "100k", "9999k", "12M"])
    #expect([9999, 10_000, 9_999_999, 10_000_000, 10_000_000_000].map(QueueTable.size) == ["9999", "10k", "9999k", "10M", "10G"])
    #expect([-5, 119, 120, 7199, 7200, 172_799, 172_800].map { QueueTable.span($0) } == ["0s", "119s", "2m", "119m", "2h", "47h", "2d"])
    #expect("abcdef".cut(4) == "abc…")
    #expect("abcd".cut(4) == "abcd")
  }

  @Test func columnsKeepTheirPlaces() {
    #expect("ab".left(4) == "ab  ")
    #expect("ab".right(4) == "  ab")
    #expect("abcdef".left(4) + "abcdef".right(4) == "abcdefabcdef")
    #expect(["a", "città", "c"].columns([3, 6, 0]) == "a   città  c")
  }

  @Test func aChoiceIsOne() throws {
    #expect(try QueueChoice(entry: "e").scope == .entry("e"))
    #expect(try QueueChoice(route: "mailbox").scope == .route(.mailbox))
    #expect(try QueueChoice(route: "pec.beta.test").scope == .route(.relay("pec.beta.test")))
    #expect(try QueueChoice(route: "relay:default").scope == .route(.relay("default")))
    #expect(try QueueChoice(domain: "@PEC.Beta.Test").scope == .domain("pec.beta.test"))
    #expect(try QueueChoice(all: true).scope == .all)
    #expect(throws: CommandFailure.self) { try QueueChoice() }
    #expect(throws: CommandFailure.self) { try QueueChoice(domain: "") }
    #expect(throws: CommandFailure.self) { try QueueChoice(entry: "e", all: true) }
  }
}
