import Journey
import PEC
import Reception
import Testing

@testable import Ledger

/// What holders have chosen, as the ledger keeps it.
@Suite struct LedgerChoiceTests {
  private static let anna = HolderChoice(
    ordinary: .forward("anna@posta.test"), notice: .to("avvisi@posta.test"), noticeOfAnomalies: true, receipt: .concise)

  @Test func choicesAreKept() throws {
    let folder = Folder()
    var ledger = try Ledger(path: folder.ledger)
    #expect(try ledger.choices().isEmpty)
    let domain = HolderChoice(ordinary: .refuse, notice: .nobody, noticeOfAnomalies: false, receipt: .complete)
    try ledger.commit([
      .choice(domain, of: "PEC.alfa.test", changedAt: 5), .choice(Self.anna, of: "anna@pec.alfa.test", changedAt: 6),
      .event(EventRecord(aboutTheLog: .choiceChanged, "by operator: x", by: "Alfa", at: noon)),
    ])
    let both = [
      StoredChoice(holder: "anna@pec.alfa.test", choice: Self.anna, changedAt: 6),
      StoredChoice(holder: "pec.alfa.test", choice: domain, changedAt: 5),
    ]
    #expect(try ledger.choices() == both)
    try ledger.close()
    ledger = try Ledger(path: folder.ledger, checkingIntegrity: true)
    #expect(try ledger.choices() == both)
    #expect(try Ledger.openReadOnly(path: folder.ledger).choices() == both)
    #expect(try ledger.events(last: 1).first?.detail == "by operator: x")
  }

  /// The last word counts, and none at all leaves no row.
  @Test func choicesReplaceEachOther() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.choice(Self.anna, of: "anna@pec.alfa.test", changedAt: 1)])
    try ledger.commit([.choice(HolderChoice(receipt: .brief), of: "ANNA@pec.alfa.test", changedAt: 2)])
    let one = StoredChoice(holder: "anna@pec.alfa.test", choice: HolderChoice(receipt: .brief), changedAt: 2)
    #expect(try ledger.choices() == [one])
    try ledger.commit([.choice(HolderChoice(), of: "anna@pec.alfa.test", changedAt: 3)])
    #expect(try ledger.choices().isEmpty)
    try ledger.commit([.choice(HolderChoice(), of: "anna@pec.alfa.test", changedAt: 4)])
    #expect(try ledger.choices().isEmpty)
  }

  /// A crash right after the commit loses nothing, and a commit that is refused changes nothing.
  @Test func choicesAreDurableOrNotMade() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.choice(Self.anna, of: "anna@pec.alfa.test", changedAt: 1)])
    #expect(throws: LedgerError.self) {
      try ledger.commit([.choice(HolderChoice(), of: "anna@pec.alfa.test", changedAt: 2), .liftHold(id: "none")])
    }
    let crashed = folder.copy()
    #expect(try Ledger(path: crashed.ledger).choices().map(\.choice) == [Self.anna])
    withExtendedLifetime(ledger) {}
  }

  @Test(arguments: ["ordinary = 'forward:'", "notice = ''", "receipt = 'completo'"])
  func whatCannotBeReadIsNamed(change: String) throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.choice(Self.anna, of: "anna@pec.alfa.test", changedAt: 1)])
    try ledger.execute("UPDATE choices SET \(change)")
    let error = #expect(throws: LedgerError.self) { _ = try ledger.choices() }
    #expect("\(error as Any)".contains("table choices"))
  }
}
