import Foundation
import Journey
import Octets
import PEC
import Synchronization

@testable import Ledger

/// A folder that goes with the test.
final class Folder: Sendable {
  let path: String

  init() {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("ledger-test-\(UUID().uuidString)").path
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  var ledger: String { path + "/ledger.sqlite" }

  /// A copy of the files as they are now: what a process killed at this moment leaves behind.
  func copy() -> Folder {
    let copy = Folder()
    for name in ["ledger.sqlite", "ledger.sqlite-wal"] {
      try? FileManager.default.copyItem(atPath: path + "/" + name, toPath: copy.path + "/" + name)
    }
    return copy
  }
}

let noon = Instant(unixSeconds: 1_773_140_400, utcOffsetSeconds: 3600)

func recipients(_ count: Int) -> [Recipient] {
  (0..<count).map { Recipient(address: "r\($0)@pec.beta.test", recipientClass: $0 % 3 == 2 ? .ordinary : .certified) }
}

func event(_ pecID: String, _ kind: EventKind = .acceptance, at instant: Instant = noon, sender: String = "anna@pec.alfa.test")
  -> EventRecord
{
  EventRecord(
    pecID: pecID, instant: instant, kind: kind, sender: sender, recipients: recipients(2), subject: "prova", clientMessageID: "<1@client>",
    relatedIDs: ["\(pecID).a"], provider: "Alfa S.p.A.", bytes: 5000)
}

func transaction(_ pecID: String, recipients count: Int = 2, accepted: Bool = true) -> TransactionRecord {
  TransactionRecord(
    pecID: pecID, instant: noon, sender: "anna@pec.alfa.test", recipients: recipients(count), replyTo: "anna@pec.alfa.test",
    subject: "prova", rawSubject: Array("prova".utf8), clientMessageID: "<1@client>", receiptType: .complete, bytes: 5000,
    accepted: accepted)
}

func entry(
  _ id: String, _ pecID: String = "pec1", kind: MessageKind = .envelope, recipients addresses: [String] = ["r0@pec.beta.test"],
  route: Route = .relay("default"), due: Int64 = 100
) -> QueueEntry {
  QueueEntry(
    id: id, pecID: pecID, messageID: "\(pecID).x", kind: kind, sender: "posta-certificata@pec.alfa.test", recipients: addresses,
    route: route,
    content: [StoredRange(segment: 1, offset: 96, length: 400), StoredRange(segment: 2, offset: 4096, length: 5000)], createdAt: 90,
    dueAt: due)
}

func reception(
  _ id: String, kind: ReceptionKind = .envelope, pecID: String = "opec1", recipients addresses: [String] = ["r0@pec.beta.test"],
  fingerprint: String? = nil, original: Range<Int>? = nil
) -> ReceptionRecord {
  ReceptionRecord(
    id: id, instant: noon, kind: kind, facts: transaction(pecID), recipients: addresses, provider: "Alfa S.p.A.",
    fingerprint: fingerprint ?? "f-\(pecID)", original: original)
}

extension EventRecord {
  func numbered(_ number: Int64) -> EventRecord {
    var copy = self
    copy.number = number
    return copy
  }
}

/// The same numbers for the same seed, on every machine.
struct Dice: RandomNumberGenerator {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state &* 0x2545_F491_4F6C_DD1D
  }
}

/// A clock that a test sets.
final class Clock: Sendable {
  private let seconds = Mutex<Int64>(0)

  var now: Int64 {
    get { seconds.withLock { $0 } }
    set { seconds.withLock { $0 = newValue } }
  }
}
