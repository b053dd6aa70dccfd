import Extracts
import Journey
import Ledger
import PEC
import Testing

@testable import Sealing

@Suite struct HolderRowsTests {
  private static let (anna, bruno) = ("anna@pec.alfa.test", "bruno@pec.beta.test")

  private func gather(
    _ desk: Desk, _ query: LogQuery, for holder: String = anna, _ bounds: HolderRows.Bounds = HolderRows.Bounds()
  ) throws -> HolderRows.Outcome { try HolderRows.gather([query, query], for: holder, from: desk.ledger, bounds) }

  private func whole(_ desk: Desk, for holder: String) throws -> ExtractFilter.Selection {
    ExtractFilter.select(try desk.ledger.events(after: 0), for: holder)
  }

  /// Messages of more rows than a page has, mixed with each other.
  private func filled(_ rows: Int) throws -> Desk {
    let desk = try Desk()
    try desk.ledger.commit(
      (0..<rows).map { row in
        var event = Desk.event(row % 3, kind: .envelopeSent, recipients: [Self.bruno, "carla@pec.beta.test"])
        if row % 2 == 0 { event.recipient = row % 4 == 0 ? Self.bruno : "carla@pec.beta.test" }
        return .event(event)
      })
    return desk
  }

  @Test func pagesGiveWhatTheWholeGives() throws {
    let desk = try filled(700)
    for holder in [Self.anna, Self.bruno, "dario@pec.beta.test"] {
      #expect(
        try gather(desk, LogQuery(sender: Self.anna), for: holder) == .rows(try whole(desk, for: holder), messages: 3), "\(holder)")
    }
    #expect(try whole(desk, for: Self.anna).rows.count == 700)
    #expect(try whole(desk, for: Self.bruno).rows.count == 525)
  }

  /// One row of hundreds says that the sender is nobody's word: being named as him gives no right to any of them, on whichever page.
  @Test func theLastRowDecidesAboutTheFirst() throws {
    let desk = try filled(600)
    var anomaly = Desk.event(1, kind: .anomaly)
    anomaly.provider = ""
    try desk.ledger.commit([.event(anomaly)])
    let expected = try whole(desk, for: Self.anna)
    #expect(expected.rows.count == 400)
    #expect(try gather(desk, LogQuery(sender: Self.anna)) == .rows(expected, messages: 3))
    #expect(try gather(desk, LogQuery(pecID: "opec1@pec.alfa.test")) == .rows(ExtractFilter.Selection(rows: [], withheld: 0), messages: 1))
  }

  @Test func boundsEndIt() throws {
    let desk = try filled(700)
    let query = LogQuery(sender: Self.anna)
    #expect(try gather(desk, query, HolderRows.Bounds(messages: 2)) == .tooManyMessages)
    #expect(try gather(desk, query, HolderRows.Bounds(rows: 699)) == .tooManyRows)
    #expect(try gather(desk, query, HolderRows.Bounds(bytes: 700_000)) == .tooManyRows)
    #expect(try gather(desk, query, HolderRows.Bounds(examined: 2000)) == .tooManyRows)
    guard case .rows = try gather(desk, query, HolderRows.Bounds(messages: 3, rows: 700)) else {
      Issue.record("at its bounds it is refused")
      return
    }
    // What is another's counts for the memory that is kept no more than it is kept.
    #expect(
      try gather(desk, query, for: "dario@pec.beta.test", HolderRows.Bounds(rows: 0, bytes: 0))
        == .rows(ExtractFilter.Selection(rows: [], withheld: 0), messages: 3))
    #expect(try gather(desk, LogQuery(sender: "nobody@x.test")) == .rows(ExtractFilter.Selection(rows: [], withheld: 0), messages: 0))
  }
}
