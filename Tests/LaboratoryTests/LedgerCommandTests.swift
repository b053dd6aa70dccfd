import Foundation
import Journey
import Ledger
import Octets
import PEC
import Testing

@testable import Laboratory
@testable import Operations

/// `ceralacca queue` and `ceralacca log` over a ledger of ours.
@Suite(.serialized) struct LedgerCommandTests {
  let world: LabWorld
  static let pecID = "alfa1.20260310091500.000042@pec.alfa.test"
  static let receptionID = "beta1.20260310091502.000007@pec.beta.test"

  init() throws {
    world = try LabWorld.shared.get()
    let data = world.path("beta/data")
    try? FileManager.default.removeItem(atPath: data)
    try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
    let ledger = try Ledger(path: data + "/ledger.sqlite")
    try ledger.commit(changes())
    try ledger.close()
  }

  private func changes() -> [LedgerChange] {
    let instant = Instant(unixSeconds: 1_773_130_502, utcOffsetSeconds: 3600)
    let recipients = ["bruno", "bianca"].map { Recipient(address: "\($0)@pec.beta.test", recipientClass: .certified) }
    let facts = TransactionRecord(
      pecID: Self.pecID, instant: instant, sender: "anna@pec.alfa.test", recipients: recipients, replyTo: "anna@pec.alfa.test",
      subject: "Prova", rawSubject: nil, clientMessageID: "<c1@mua.test>", receiptType: .complete, bytes: 500, accepted: true)
    return [
      .event(
        EventRecord(
          pecID: Self.pecID, instant: instant, kind: .envelopeReceived, sender: facts.sender, recipients: recipients, subject: "Prova",
          clientMessageID: "<c1@mua.test>", relatedIDs: [Self.pecID], provider: "Alfa PEC S.p.A.", bytes: 500)),
      .reception(
        ReceptionRecord(
          id: Self.receptionID, instant: instant, kind: .envelope, facts: facts, recipients: recipients.map(\.address),
          copyRecipients: ["bianca@pec.beta.test"], provider: "Alfa PEC S.p.A.", fingerprint: "ab12")),
      .enqueue(
        QueueEntry(
          id: "e1", pecID: Self.pecID, messageID: Self.pecID, kind: .envelope, sender: facts.sender, recipients: recipients.map(\.address),
          route: .mailbox, content: [], createdAt: instant.unixSeconds, dueAt: instant.unixSeconds, reception: Self.receptionID,
          proofToken: "a-token-that-nobody-may-see")),
      .awaitProof(entry: "e1", recipients: ["bianca@pec.beta.test"]),
    ]
  }

  private func said(_ command: (String, (String) -> Void) throws -> Void) throws -> String {
    var lines: [String] = []
    try command(world.laboratory.configurationFile(of: .beta)) { lines.append($0) }
    return lines.joined(separator: "\n")
  }

  @Test func queue() throws {
    let list = try said { try QueueCommands.list(QueueListing(), configurationFile: $0, json: false, say: $1) }
    #expect(list.contains("1 entries, 1 recipients, and 1 of whom the mailbox server has yet to report"))
    let shown = try said { try QueueCommands.show("e1", configurationFile: $0, json: false, say: $1) }
    #expect(shown.contains("recipients  bruno@pec.beta.test\n") && shown.contains("reports     to come of bianca@pec.beta.test"))
    #expect(shown.contains("reception   \(Self.receptionID)"))
    let json = try said { try QueueCommands.show("e1", configurationFile: $0, json: true, say: $1) }
    #expect(json.contains("\"awaiting\":[\"bianca@pec.beta.test\"]") && json.contains("\"reception\":\"\(Self.receptionID)\""))
    // Who knows it can forge a report.
    #expect(![list, shown, json].contains { $0.contains("a-token-that-nobody-may-see") })
  }

  @Test(arguments: [pecID, receptionID, "<c1@mua.test>"])
  func logShow(id: String) throws {
    let text = try said { try LogCommands.show(id, configurationFile: $0, json: false, say: $1) }
    #expect(text.contains("message \(Self.pecID)"))
    #expect(text.contains("reception \(Self.receptionID): envelope from Alfa PEC S.p.A. at 2026-03-10T09:15:02+01:00"))
    #expect(text.contains("  bianca@pec.beta.test  open since"))
    #expect(text.contains("ricezione-busta \(Self.pecID)") && text.contains("provider=\"Alfa PEC S.p.A.\""))
    let json = try said { try LogCommands.show(id, configurationFile: $0, json: true, say: $1) }
    #expect(json.hasPrefix("{\"events\":[{") && json.contains("\"kind\":\"envelope\""))
  }

  @Test func logShowOfNothing() throws {
    #expect(throws: CommandFailure.self) { try said { try LogCommands.show("none@x", configurationFile: $0, json: false, say: $1) } }
  }
}
