import Journey
import PEC
import Testing

@testable import Ledger

@Suite struct RequestsToldTests {
  private func request(
    _ id: String, _ state: LogRequestRecord.State, at: Int64, asker: String = "Anna@pec.alfa.test", answerID: String? = "a"
  ) -> LogRequestRecord {
    LogRequestRecord(id: id, pecID: id, asker: asker, openedAt: noon, state: state, changedAt: at, answerID: answerID)
  }

  @Test func whoWasSentAMailLately() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    #expect(try ledger.requests(toldTo: "anna@pec.alfa.test", since: 0).isEmpty)
    let all = [
      request("early", .returned, at: 9), request("returned", .returned, at: 10), request("open", .open, at: 12),
      request("untold", .waiting, at: 12, answerID: nil), request("another's", .returned, at: 12, asker: "aldo@pec.alfa.test"),
      request("answered", .answered, at: 11),
    ]
    try ledger.commit(all.map { .request($0) })
    #expect(try ledger.requests(toldTo: "anna@PEC.alfa.test", since: 10).map(\.id) == ["answered", "open", "returned"])
    #expect(try ledger.requests(toldTo: "anna@pec.alfa.test", since: 10, limit: 1).map(\.id) == ["answered"])
    #expect(try ledger.requests(toldTo: "anna@pec.alfa.test", since: 13).isEmpty)
  }
}
