import Foundation
import Journey
import Octets
import PEC
import Testing

@testable import Ledger

@Suite struct LedgerReceptionTests {
  private func isConflict(_ error: LedgerError?) -> Bool {
    if case .conflict = error { true } else { false }
  }

  // MARK: - Records

  @Test func everyFieldOfAReceptionComesBack() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    let facts = TransactionRecord(
      pecID: "opec2.«1»@beta", instant: Instant(unixSeconds: -5, utcOffsetSeconds: 7200), sender: "\"odd local\"@x",
      recipients: recipients(5),
      replyTo: "r@z", subject: "Però \r\n '", rawSubject: [0, 255, 13, 10], clientMessageID: "<é'@b>", receiptType: .brief,
      bytes: 31_000_000, accepted: true)
    let full = ReceptionRecord(
      id: "opec21.in1@alfa", instant: Instant(unixSeconds: .max, utcOffsetSeconds: -3600), kind: .envelope, facts: facts,
      recipients: ["C@x", "a@x", "b@x"], copyRecipients: ["C@x", "b@x"], provider: "Beta «S.p.A.»", fingerprint: "00ff",
      original: 4_000_000_000..<5_000_000_000, originalEncoding: "quoted-printable")
    let bare = ReceptionRecord(
      id: "in2", instant: noon, kind: .ordinary,
      facts: TransactionRecord(
        pecID: "in2", instant: noon, sender: "", recipients: [], replyTo: "", subject: nil, rawSubject: nil, clientMessageID: nil,
        receiptType: .complete, bytes: 0, accepted: false), recipients: [], provider: "", fingerprint: "", originalEncoding: "")
    var empty = bare
    empty.id = "in3"
    empty.facts.subject = ""
    empty.facts.rawSubject = []
    empty.facts.clientMessageID = ""
    empty.original = 0..<0
    try ledger.commit([.reception(full), .reception(bare), .reception(empty)])
    #expect(try ledger.reception(id: "opec21.in1@alfa") == full)
    #expect(try ledger.reception(id: "in2") == bare)
    #expect(try ledger.reception(id: "in3") == empty)
    #expect(try ledger.reception(id: "in4") == nil)
    #expect(try ledger.receptions(pecID: "opec2.«1»@beta") == [full])
    #expect(try ledger.receptions(pecID: "in2") == [bare, empty])
    #expect(try ledger.receptions(pecID: "in2", limit: 1) == [bare])
    #expect(try ledger.receptions(pecID: "in2", limit: -1).isEmpty)
    #expect(try ledger.receptions(pecID: "none").isEmpty)
    #expect(try Ledger.openReadOnly(path: folder.ledger).reception(id: "in2") == bare)
  }

  @Test func everyKindAndAnyTextComesBack() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    for kind in [.envelope, .notification, .serviceNotice, .anomaly, .ordinary] as [ReceptionKind] {
      let made = reception("in-\(kind)", kind: kind, pecID: "opec-\(kind)")
      try ledger.commit([.reception(made)])
      #expect(try ledger.reception(id: made.id) == made)
    }
    try ledger.commit([.reception(reception("in\u{0}", pecID: "a\u{0}b", recipients: ["r\u{0}@x"], fingerprint: ""))])
    #expect(try ledger.reception(id: "in\u{0}")?.recipients == ["r\u{2400}@x"])
    #expect(try ledger.receptionStates(id: "in\u{0}").count == 1)
    #expect(try ledger.knownArrivals(pecID: "a\u{0}b", fingerprint: "").map(\.recipients) == [["r\u{2400}@x"]])
  }

  /// Whatever of the copies is no recipient is left out, and a doubled recipient is one.
  @Test func aRecipientIsNamedOnce() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    for (id, fingerprint) in [("in1", "f1"), ("in2", "")] {
      var made = reception(id, recipients: ["a@x", "B@x", "A@X", "b@x", "c@x"], fingerprint: fingerprint)
      made.copyRecipients = ["b@X", "stranger@x"]
      try ledger.commit([.reception(made)])
      made.recipients = ["a@x", "B@x", "c@x"]
      made.copyRecipients = ["B@x"]
      #expect(try ledger.reception(id: id) == made)
    }
  }

  // MARK: - The same message again

  @Test func aRecipientHasAMessageOnce() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.reception(reception("in1", recipients: ["a@x", "b@x"]))])
    let refused: [(String, ReceptionRecord)] = [
      ("the same", reception("in2", recipients: ["a@x"])), ("in another case", reception("in2", recipients: ["c@x", "B@X"])),
      ("as another kind", reception("in2", kind: .anomaly, recipients: ["b@x"])),
      ("under another id", reception("in2", pecID: "other", recipients: ["b@x"], fingerprint: "f-opec1")),
      ("reception with an id of one", reception("in1", recipients: ["z@x"], fingerprint: "f9")),
    ]
    for (name, again) in refused {
      let error = #expect(throws: LedgerError.self, "\(name)") {
        try ledger.commit([.event(event("opec1", .envelopeReceived)), .reception(again), .enqueue(entry("e2"))])
      }
      #expect(isConflict(error), "\(name): \(String(describing: error))")
      #expect(try ledger.lastEventNumber() == 0, "\(name)")
      #expect(try ledger.allEntries().isEmpty, "\(name)")
      #expect(try ledger.reception(id: "in2") == nil, "\(name)")
      #expect(try ledger.knownArrivals(pecID: "opec1", fingerprint: "").count == 1, "\(name)")
    }
    // Others of its recipients, another message with its id, another message for the same.
    try ledger.commit([
      .reception(reception("in2", recipients: ["c@x"])), .reception(reception("in3", recipients: ["a@x"], fingerprint: "f9")),
      .reception(reception("in4", pecID: "opec4", recipients: ["a@x"])),
    ])
    #expect(try ledger.receptions(pecID: "opec1").map(\.id) == ["in1", "in2", "in3"])
  }

  @Test func ordinaryMailIsNeverTheSame() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    let both = ["in1", "in2"].map { reception($0, kind: .ordinary, pecID: $0, recipients: ["a@x"], fingerprint: "") }
    try ledger.commit(both.map { .reception($0) })
    #expect(try ledger.reception(id: "in1") == both[0])
    #expect(try ledger.reception(id: "in2") == both[1])
    #expect(try ledger.knownArrivals(pecID: "none", fingerprint: "").isEmpty)
    #expect(try ledger.knownArrivals(pecID: "in2", fingerprint: "").map(\.id) == ["in2"])
  }

  @Test func knownArrivals() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    #expect(try ledger.knownArrivals(pecID: "opec1", fingerprint: "f-opec1").isEmpty)
    try ledger.commit([
      .reception(reception("in1", recipients: ["b@x", "a@x"])), .reception(reception("other", pecID: "opec2", recipients: ["a@x"])),
      .reception(reception("in2", recipients: ["c@x"])), .reception(reception("in3", recipients: ["a@x"], fingerprint: "forged")),
      .reception(reception("in4", kind: .anomaly, pecID: "in4", recipients: ["d@x"], fingerprint: "f-opec1")),
      .reception(reception("in5", recipients: [], fingerprint: "f5")),
    ])
    func arrival(
      _ id: String, _ recipients: [String], _ fingerprint: String, pecID: String = "opec1", kind: ReceptionKind = .envelope
    ) -> KnownArrival {
      KnownArrival(id: id, pecID: pecID, fingerprint: fingerprint, provider: "Alfa S.p.A.", kind: kind, recipients: recipients)
    }
    let ofThatID = [
      arrival("in1", ["b@x", "a@x"], "f-opec1"), arrival("in2", ["c@x"], "f-opec1"), arrival("in3", ["a@x"], "forged"),
      arrival("in5", [], "f5"),
    ]
    let anomaly = arrival("in4", ["d@x"], "f-opec1", pecID: "in4", kind: .anomaly)
    #expect(try ledger.knownArrivals(pecID: "opec1", fingerprint: "") == ofThatID)
    #expect(try ledger.knownArrivals(pecID: "opec1", fingerprint: "unheard of") == ofThatID)
    #expect(try ledger.knownArrivals(pecID: "opec1", fingerprint: "f-opec1") == ofThatID[..<3] + [anomaly] + ofThatID[3...])
    #expect(try ledger.knownArrivals(pecID: "none", fingerprint: "f-opec1") == ofThatID[..<2] + [anomaly])
    #expect(try ledger.knownArrivals(pecID: "in4", fingerprint: "") == [anomaly])
    #expect(try ledger.knownArrivals(pecID: "none", fingerprint: "@in1").isEmpty)
  }

  /// A provider may send one transaction for each recipient.
  @Test func threeHundredTransactionsOfOneEnvelope() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    let all = recipients(300)
    let made = all.enumerated().map { index, recipient in
      var one = reception("in\(index)", recipients: [recipient.address])
      one.facts.recipients = all
      return one
    }
    for part in stride(from: 0, to: 300, by: 60) { try ledger.commit(made[part..<part + 60].map { .reception($0) }) }
    #expect(try ledger.receptions(pecID: "opec1") == made)
    #expect(try ledger.knownArrivals(pecID: "opec1", fingerprint: "f-opec1").flatMap(\.recipients) == all.map(\.address))
    #expect(
      isConflict(
        #expect(throws: LedgerError.self) { try ledger.commit([.reception(reception("in300", recipients: ["R7@pec.beta.test"]))]) }))
  }

  /// Receipts about one message for many recipients: the one that comes again is found, however many came before it.
  @Test func theThousandAndFirstOfAnId() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    let made = (0..<1005).map { reception("in\($0)", kind: .notification, recipients: ["anna@x"], fingerprint: "f\($0)") }
    try ledger.commit(made.map { .reception($0) })
    let found = try ledger.knownArrivals(pecID: "opec1", fingerprint: "f1004")
    #expect(found.count == 1001)
    #expect(found.last?.id == "in1004" && found.last?.kind == .notification && found.last?.recipients == ["anna@x"])
  }

  // MARK: - Fates

  @Test func fatesOfAReception() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger, clock: { 777 })
    // Of a sender of our own: the transaction and the reception have one PEC id, and each its own state.
    try ledger.commit([
      .transaction(transaction("pec1", recipients: 3)),
      .reception(reception("in1", pecID: "pec1", recipients: ["R0@pec.beta.test", "r1@pec.beta.test"])),
      .reception(reception("in2", pecID: "pec1", recipients: ["r2@pec.beta.test"])),
    ])
    var arrived = entry("e1", recipients: ["R0@pec.beta.test", "r1@pec.beta.test", "r2@pec.beta.test", "forwarded@x"])
    arrived.reception = "in1"
    try ledger.commit([.enqueue(arrived)])
    let before = try ledger.receptionStates(id: "in1")
    #expect(before.map(\.recipient) == ["R0@pec.beta.test", "r1@pec.beta.test"].map { Recipient(address: $0, recipientClass: .certified) })
    #expect(before.map(\.state) == [.open, .open])
    #expect(before.map(\.changedAt) == [noon.unixSeconds, noon.unixSeconds])
    try ledger.commit([.settle(entry: "e1", recipients: ["R0@pec.beta.test", "r2@pec.beta.test", "forwarded@x"], end: .delivered)])
    try ledger.commit([.settle(entry: "e1", recipients: ["r1@pec.beta.test"], end: .failed)])
    #expect(try ledger.receptionStates(id: "in1").map(\.state) == [.delivered, .failed])
    #expect(try ledger.receptionStates(id: "in1").map(\.changedAt) == [777, 777])
    #expect(try ledger.receptionStates(id: "in2").map(\.state) == [.open])
    #expect(try ledger.recipientStates(pecID: "pec1").map(\.state) == [.open, .open, .open])
    #expect(try ledger.allEntries().isEmpty)
    #expect(try ledger.receptionStates(id: "none").isEmpty)
  }

  /// Only what brings the message decides, whatever else names the reception or goes to the same address.
  @Test(arguments: MessageKind.allCases)
  func kindsThatDecideFates(kind: MessageKind) throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    let own = "r0@pec.beta.test"
    var about = entry("about", kind: kind, recipients: [own])
    about.reception = "in1"
    var unknown = entry("unknown", kind: kind, recipients: [own])
    unknown.reception = "none"
    try ledger.commit([
      .transaction(transaction("pec1", recipients: 1)), .reception(reception("in1", pecID: "pec1", recipients: [own])), .enqueue(about),
      .enqueue(unknown), .enqueue(entry("plain", kind: kind, recipients: [own])),
    ])
    let brings: Set<MessageKind> = [.envelope, .notification, .ordinary, .anomaly]
    try ledger.commit([.settle(entry: "unknown", recipients: [own], end: .delivered)])
    #expect(try ledger.receptionStates(id: "in1").map(\.state) == [.open])
    try ledger.commit([.settle(entry: "about", recipients: [own], end: .delivered)])
    #expect(try ledger.receptionStates(id: "in1").map(\.state) == [brings.contains(kind) ? .delivered : .open])
    #expect(try ledger.recipientStates(pecID: "pec1").map(\.state) == [.open])
    try ledger.commit([.settle(entry: "plain", recipients: [own], end: .relayed)])
    #expect(try ledger.recipientStates(pecID: "pec1").map(\.state) == [kind == .envelope ? .relayed : .open])
    #expect(try ledger.allEntries().isEmpty)
  }

  private static let ends: [RecipientEnd] = [.relayed, .takenInCharge, .delivered, .failed]

  /// Every two words about a recipient, in either order, by each of the three ways: the further one holds, and the first final one.
  @Test(arguments: ends, ends)
  func fatesNeverGoBack(first: RecipientEnd, second: RecipientEnd) throws {
    let folder = Folder()
    let time = Clock()
    let ledger = try Ledger(path: folder.ledger, clock: { time.now })
    let address = "r0@pec.beta.test"
    try ledger.commit([
      .transaction(transaction("pec1")), .transaction(transaction("pec2")), .reception(reception("in1", recipients: [address])),
    ])
    for (index, end) in [first, second].enumerated() {
      time.now = Int64(index) + 1
      var arrived = entry("in\(index)", "opec1", recipients: [address])
      arrived.reception = "in1"
      try ledger.commit([
        .progress(pecID: "pec1", recipients: ["R0@PEC.beta.test", "stranger@x"], to: end), .enqueue(entry("e\(index)", "pec2")),
        .settle(entry: "e\(index)", recipients: [address], end: end), .enqueue(arrived),
        .settle(entry: "in\(index)", recipients: [address], end: end), .progress(pecID: "none", recipients: [address], to: end),
      ])
    }
    let moves = Self.rank(second) > Self.rank(first)
    let expected = RecipientStatus.State(rawValue: (moves ? second : first).rawValue)
    for states in [
      try ledger.recipientStates(pecID: "pec1"), try ledger.recipientStates(pecID: "pec2"), try ledger.receptionStates(id: "in1"),
    ] {
      #expect(states.first?.state == expected)
      #expect(states.first?.changedAt == (moves ? 2 : 1))
      #expect(states.dropFirst().allSatisfy { $0.state == .open })
    }
  }

  private static func rank(_ end: RecipientEnd) -> Int {
    switch end {
    case .relayed: 1
    case .takenInCharge: 2
    case .delivered, .failed: 3
    }
  }

  // MARK: - Awaiting proof

  @Test func awaitingProof() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    let (a, b, c) = ("a@x", "b@x", "c@x")
    var arrived = entry("e1", recipients: [a, b, c])
    arrived.reception = "in1"
    arrived.proofToken = "secret"
    try ledger.commit([.reception(reception("in1", recipients: [a, b, c])), .enqueue(arrived)])
    try ledger.commit([.awaitProof(entry: "e1", recipients: [b, "stranger@x", a]), .awaitProof(entry: "none", recipients: [a])])
    arrived.recipients = [c]
    arrived.awaiting = [a, b]
    #expect(try ledger.entry("e1") == arrived)
    #expect(try ledger.entry(proofToken: "secret") == arrived)
    #expect(try ledger.entry(proofToken: "Secret") == nil)
    #expect(try ledger.entry(proofToken: "") == nil)
    #expect(try ledger.receptionStates(id: "in1").map(\.state) == [.open, .open, .open])
    // Again changes nothing; a report ends one of those awaited, and an answer one of those open.
    try ledger.commit([.awaitProof(entry: "e1", recipients: [a, b])])
    #expect(try ledger.entry("e1") == arrived)
    try ledger.commit([.settle(entry: "e1", recipients: [b], end: .delivered), .settle(entry: "e1", recipients: [c], end: .failed)])
    arrived.recipients = []
    arrived.awaiting = [a]
    #expect(try ledger.allEntries() == [arrived])
    #expect(try ledger.dueEntries(limit: 5).entries == [arrived])
    #expect(try ledger.liveRanges() == arrived.content)
    #expect(try ledger.receptionStates(id: "in1").map(\.state) == [.open, .delivered, .failed])
    try ledger.commit([.postpone(entry: "e1", dueAt: 900, attempts: 1, lastError: "no report yet")])
    #expect(try ledger.entry("e1")?.awaiting == [a])
    try ledger.commit([.settle(entry: "e1", recipients: [a], end: .delivered)])
    #expect(try ledger.entry("e1") == nil)
    #expect(try ledger.entry(proofToken: "secret") == nil)
    #expect(try ledger.receptionStates(id: "in1").map(\.state) == [.delivered, .delivered, .failed])
  }

  @Test func theFirstEntryOfATokenIsFound() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    for id in ["e1", "e2"] {
      var made = entry(id, due: id == "e1" ? 200 : 100)
      made.proofToken = "one"
      try ledger.commit([.enqueue(made)])
    }
    #expect(try ledger.entry(proofToken: "one")?.id == "e1")
  }
}
