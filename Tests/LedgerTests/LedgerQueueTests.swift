import Foundation
import Journey
import Octets
import PEC
import Testing

@testable import Ledger

@Suite struct LedgerQueueTests {
  @Test func everyFieldOfATransactionComesBack() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    let full = TransactionRecord(
      pecID: "pec1", instant: Instant(unixSeconds: 1_773_140_400, utcOffsetSeconds: 7200), sender: "Anna@pec.alfa.test",
      recipients: recipients(5), replyTo: "\"x y\"@z", subject: "Però", rawSubject: [0, 255, 13, 10, 61], clientMessageID: "<a@b>",
      receiptType: .brief, bytes: 31_000_000, accepted: true)
    let bare = TransactionRecord(
      pecID: "pec2", instant: noon, sender: "", recipients: [], replyTo: "", subject: nil, rawSubject: nil, clientMessageID: nil,
      receiptType: .concise, bytes: 0, accepted: false)
    var empty = bare
    empty.pecID = "pec3"
    empty.subject = ""
    empty.rawSubject = []
    empty.clientMessageID = ""
    try ledger.commit([.transaction(full), .transaction(bare), .transaction(empty)])
    #expect(try ledger.transaction(pecID: "pec1") == full)
    #expect(try ledger.transaction(pecID: "pec2") == bare)
    #expect(try ledger.transaction(pecID: "pec3") == empty)
    #expect(try ledger.transaction(pecID: "pec4") == nil)
  }

  @Test func aClientMaySendTheSameMessageTwice() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.transaction(transaction("pec1")), .transaction(transaction("pec2"))])
    #expect(try ["pec1", "pec2"].allSatisfy { try ledger.transaction(pecID: $0)?.clientMessageID == "<1@client>" })
    #expect(throws: LedgerError.self) { try ledger.commit([.transaction(transaction("pec1"))]) }
  }

  @Test func everyFieldOfAnEntryComesBack() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    var full = entry("e1", kind: .nonDelivery, recipients: ["b@x", "a@x", "b@x", "é\"@x"], route: .relay("a b:c"))
    full.content = [StoredRange(segment: .max, offset: .max, length: 0), StoredRange(segment: 0, offset: 0, length: .max)]
    full.createdAt = .min
    full.dueAt = .max
    full.attempts = 17
    full.lastError = "451 4.3.0 «busy»\r\n"
    full.reception = "opec21.é@alfa"
    full.hasEightBit = true
    full.proofToken = "\"t'ok\""
    full.awaiting = ["c@x", "a@x", "c@x"]
    var bare = entry("", "", recipients: [], route: .mailbox)
    bare.content = []
    try ledger.commit([.enqueue(full), .enqueue(bare)])
    #expect(try ledger.entry("e1") == full)
    #expect(try ledger.entry("") == bare)
    #expect(try ledger.allEntries() == [bare, full])
    for kind in MessageKind.allCases { try ledger.commit([.enqueue(entry("k-\(kind)", kind: kind))]) }
    for kind in MessageKind.allCases { #expect(try ledger.entry("k-\(kind)")?.kind == kind) }
  }

  @Test func pagesInDueOrder() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    let dues: [Int64] = [50, 10, 30, 10, 20, 50, 40]
    try ledger.commit(dues.enumerated().map { .enqueue(entry("e\($0.offset)", due: $0.element)) })
    let order = ["e1", "e3", "e4", "e2", "e6", "e0", "e5"]
    #expect(try ledger.allEntries().map(\.id) == order)
    for size in 1...8 {
      var found: [String] = []
      var cursor: QueueCursor?
      repeat {
        let page = try ledger.dueEntries(limit: size, after: cursor)
        #expect(page.entries.count <= size)
        found += page.entries.map(\.id)
        cursor = page.next
      } while cursor != nil
      #expect(found == order, "pages of \(size)")
    }
    #expect(try ledger.dueEntries(limit: 100, dueBy: 30).entries.map(\.id) == ["e1", "e3", "e4", "e2"])
    #expect(try ledger.dueEntries(limit: 0).entries.isEmpty)
    #expect(try ledger.dueEntries(limit: -3).entries.isEmpty)
    // A page goes on where it ended, though what it ended with is gone.
    let page = try ledger.dueEntries(limit: 3)
    try ledger.commit([.settle(entry: "e4", recipients: ["r0@pec.beta.test"])])
    #expect(try ledger.dueEntries(limit: 2, after: page.next).entries.map(\.id) == ["e2", "e6"])
  }

  @Test func settling() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger, clock: { 777 })
    let addresses = ["r0@pec.beta.test", "r1@pec.beta.test", "r2@pec.beta.test"]
    try ledger.commit([.transaction(transaction("pec1", recipients: 3)), .enqueue(entry("e1", recipients: addresses))])
    #expect(try ledger.recipientStates(pecID: "pec1").map(\.state) == [.open, .open, .open])
    #expect(try ledger.recipientStates(pecID: "pec1").map(\.changedAt) == [Int64](repeating: noon.unixSeconds, count: 3))
    try ledger.commit([.settle(entry: "e1", recipients: [addresses[1], "stranger@x"])])
    #expect(try ledger.entry("e1")?.recipients == [addresses[0], addresses[2]])
    #expect(try ledger.recipientStates(pecID: "pec1").map(\.state) == [.open, .delivered, .open])
    #expect(try ledger.recipientStates(pecID: "pec1")[1].changedAt == 777)
    // Once more, and nothing.
    try ledger.commit([.settle(entry: "e1", recipients: [addresses[1]]), .settle(entry: "none", recipients: addresses)])
    try ledger.commit([.settle(entry: "e1", recipients: [])])
    #expect(try ledger.entry("e1")?.recipients == [addresses[0], addresses[2]])
    try ledger.commit([.settle(entry: "e1", recipients: [addresses[0], addresses[2]])])
    #expect(try ledger.entry("e1") == nil)
    #expect(try ledger.liveRanges().isEmpty)
    #expect(
      try ledger.queueSummary()
        == QueueSummary(entries: 0, recipients: 0, awaiting: 0, oldestCreatedAt: nil, nextDueAt: nil, entriesByRoute: [:]))
    #expect(try ledger.recipientStates(pecID: "pec1").map(\.state) == [.delivered, .delivered, .delivered])
    #expect(try ledger.transaction(pecID: "pec1")?.recipients == recipients(3))
  }

  /// A sender who writes to himself: his receipt being delivered says nothing about his message.
  @Test func onlyEnvelopesDecideTheFateOfRecipients() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    let own = "r0@pec.beta.test"
    try ledger.commit([
      .transaction(transaction("pec1")), .enqueue(entry("receipt", kind: .acceptance, recipients: [own])),
      .enqueue(entry("envelope", recipients: ["R0@pec.beta.test"])),
    ])
    try ledger.commit([.settle(entry: "receipt", recipients: [own])])
    #expect(try ledger.recipientStates(pecID: "pec1").map(\.state) == [.open, .open])
    try ledger.commit([.settle(entry: "envelope", recipients: ["R0@pec.beta.test"])])
    #expect(try ledger.recipientStates(pecID: "pec1").map(\.state) == [.delivered, .open])
  }

  @Test func whatWasRefusedIsNotOpen() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.transaction(transaction("pec1", accepted: false))])
    #expect(try ledger.recipientStates(pecID: "pec1").map(\.state) == [.refused, .refused])
    #expect(try ledger.recipientStates(pecID: "none").isEmpty)
    try ledger.commit([.progress(pecID: "pec1", recipients: ["r0@pec.beta.test"], to: .delivered)])
    #expect(try ledger.recipientStates(pecID: "pec1").map(\.state) == [.refused, .refused])
  }

  @Test func postponing() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.enqueue(entry("e1")), .enqueue(entry("e2"))])
    try ledger.commit([
      .postpone(entry: "e1", dueAt: 500, attempts: 3, lastError: "connection refused"),
      .postpone(entry: "gone", dueAt: 1, attempts: 1, lastError: ""),
    ])
    let stored = try #require(try ledger.entry("e1"))
    #expect(stored.dueAt == 500)
    #expect(stored.attempts == 3)
    #expect(stored.lastError == "connection refused")
    #expect(try ledger.allEntries().map(\.id) == ["e2", "e1"])
  }

  @Test func liveRangesAreCountedAsOftenAsTheyAreNamed() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.enqueue(entry("e1")), .enqueue(entry("e2"))])
    let content = entry("e1").content
    let live = try ledger.liveRanges()
    #expect(live.count == 4)
    #expect(Set(live) == Set(content))
  }

  @Test func summary() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    var old = entry("e1", recipients: ["a", "b"], due: 300)
    old.createdAt = 5
    try ledger.commit([.enqueue(old), .enqueue(entry("e2", route: .mailbox, due: 200)), .enqueue(entry("e3", due: 400))])
    try ledger.commit([.awaitProof(entry: "e1", recipients: ["b"])])
    #expect(
      try ledger.queueSummary()
        == QueueSummary(
          entries: 3, recipients: 3, awaiting: 1, oldestCreatedAt: 5, nextDueAt: 200, entriesByRoute: ["relay:default": 2, "mailbox": 1]))
  }

  @Test func aCommitIsStoredAsAWholeOrNotAtAll() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([])
    try ledger.commit([.enqueue(entry("e1"))])
    let error = #expect(throws: LedgerError.self) {
      try ledger.commit([
        .event(event("pec2")), .transaction(transaction("pec2")), .settle(entry: "e1", recipients: ["r0@pec.beta.test"]),
        .postpone(entry: "e1", dueAt: 1, attempts: 1, lastError: "x"), .enqueue(entry("e2")), .enqueue(entry("e2")),
      ])
    }
    guard case .conflict = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(try ledger.allEntries() == [entry("e1")])
    #expect(try ledger.transaction(pecID: "pec2") == nil)
    #expect(try ledger.lastEventNumber() == 0)
    // The ledger is as good as before.
    try ledger.commit([.event(event("pec2")), .enqueue(entry("e2"))])
    #expect(try ledger.allEntries().count == 2)
  }

  @Test func fiveHundredRecipients() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    let all = recipients(500)
    try ledger.commit([.transaction(transaction("pec1", recipients: 500)), .enqueue(entry("e1", recipients: all.map(\.address)))])
    #expect(try ledger.transaction(pecID: "pec1")?.recipients == all)
    #expect(try ledger.entry("e1")?.recipients == all.map(\.address))
    try ledger.commit(all.dropLast().map { .settle(entry: "e1", recipients: [$0.address]) })
    #expect(try ledger.entry("e1")?.recipients == [all[499].address])
    #expect(try ledger.recipientStates(pecID: "pec1").count { $0.state == .delivered } == 499)
  }

  /// Random work beside a model, with kills: the files are copied as they are after a commit and opened anew.
  @Test(arguments: 1...4 as ClosedRange<UInt64>)
  func randomWorkWithKills(seed: UInt64) throws {
    var dice = Dice(seed)
    var folder = Folder()
    var ledger = try Ledger(path: folder.ledger)
    var model: [String: QueueEntry] = [:]
    var events = 0
    for step in 0..<60 {
      var changes: [LedgerChange] = []
      for part in 0..<Int.random(in: 1...5, using: &dice) {
        switch Int.random(in: 0..<7, using: &dice) {
        case 0, 1, 2:
          let addresses = (0..<Int.random(in: 1...4, using: &dice)).map { "r\($0)@x" }
          let made = entry("e\(step)-\(part)", recipients: addresses, due: Int64.random(in: 0...50, using: &dice))
          model[made.id] = made
          changes.append(.enqueue(made))
        case 3:
          guard let id = model.keys.sorted().randomElement(using: &dice), var changed = model[id] else { continue }
          let gone = (changed.recipients + changed.awaiting).filter { _ in Bool.random(using: &dice) }
          changed.recipients.removeAll { gone.contains($0) }
          changed.awaiting.removeAll { gone.contains($0) }
          model[id] = changed.recipients.isEmpty && changed.awaiting.isEmpty ? nil : changed
          changes.append(.settle(entry: id, recipients: gone))
        case 4:
          guard let id = model.keys.sorted().randomElement(using: &dice) else { continue }
          model[id]?.dueAt += 7
          model[id]?.attempts += 1
          model[id]?.lastError = "later"
          changes.append(.postpone(entry: id, dueAt: model[id]?.dueAt ?? 0, attempts: model[id]?.attempts ?? 0, lastError: "later"))
        case 5:
          guard let id = model.keys.sorted().randomElement(using: &dice), var changed = model[id] else { continue }
          let taken = changed.recipients.filter { _ in Bool.random(using: &dice) }
          changed.recipients.removeAll { taken.contains($0) }
          changed.awaiting = (changed.awaiting + taken).sorted()
          model[id] = changed
          changes.append(.awaitProof(entry: id, recipients: taken))
        default:
          events += 1
          changes.append(.event(event("pec\(events)")))
        }
      }
      try ledger.commit(changes)
      if Int.random(in: 0..<12, using: &dice) == 0 {
        folder = folder.copy()
        ledger = try Ledger(path: folder.ledger, checkingIntegrity: true)
      }
      let stored = try ledger.allEntries()
      #expect(Dictionary(uniqueKeysWithValues: stored.map { ($0.id, $0) }) == model, "seed \(seed) step \(step)")
      #expect(stored.map(\.dueAt) == stored.map(\.dueAt).sorted(), "seed \(seed) step \(step)")
      #expect(try ledger.lastEventNumber() == Int64(events), "seed \(seed) step \(step)")
      let summary = try ledger.queueSummary()
      #expect(summary.recipients == model.values.reduce(0) { $0 + $1.recipients.count }, "seed \(seed) step \(step)")
      #expect(summary.awaiting == model.values.reduce(0) { $0 + $1.awaiting.count }, "seed \(seed) step \(step)")
      // The connection that commits does not check by itself.
      #expect(try ledger.access.all("PRAGMA foreign_key_check") { row, _ in "\(row)" } == [], "seed \(seed) step \(step)")
    }
  }
}
