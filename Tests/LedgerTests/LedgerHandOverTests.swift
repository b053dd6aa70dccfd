import Journey
import Testing

@testable import Ledger

/// What trusted peers handed over, as the ledger keeps it.
@Suite struct LedgerHandOverTests {
  private static let day: Int64 = 86_400
  private static let now: Int64 = 20_000 * day + 100

  private static func key(_ octet: UInt8, forgottenAtOnce: Int = 1000) -> HandOverKey {
    HandOverKey(digest: [UInt8](repeating: octet, count: 32), seconds: 6 * day, forgottenAtOnce: forgottenAtOnce)
  }

  @Test func theFirstIsKnownForItsTime() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    #expect(try ledger.transaction(handedOverAs: Self.key(1), at: Self.now) == nil)
    try ledger.commit([.handedOver(Self.key(1), pecID: "pec1", at: Self.now)])
    for later in [0, 1, Self.day, 6 * Self.day] as [Int64] {
      #expect(try ledger.transaction(handedOverAs: Self.key(1), at: Self.now + later) == "pec1", "\(later)")
    }
    // A clock that was put back a little does not forget it.
    #expect(try ledger.transaction(handedOverAs: Self.key(1), at: Self.now - 200) == "pec1")
    #expect(try ledger.transaction(handedOverAs: Self.key(1), at: Self.now + 6 * Self.day + 1) == nil)
    #expect(try ledger.transaction(handedOverAs: Self.key(2), at: Self.now) == nil)
    try ledger.close()
    #expect(try Ledger(path: folder.ledger).transaction(handedOverAs: Self.key(1), at: Self.now) == "pec1")
  }

  @Test func whatIsTooOldIsForgottenInSteps() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit((0..<10).map { .handedOver(Self.key($0), pecID: "pec\($0)", at: Self.now) })
    // Asked with patience, the ledger tells what it has.
    let count = {
      try ([UInt8](0..<10) + [20, 21, 22, 23]).filter { octet in
        var key = Self.key(octet)
        key.seconds = 60 * Self.day
        return try ledger.transaction(handedOverAs: key, at: Self.now + 7 * Self.day) != nil
      }.count
    }
    try ledger.commit([.handedOver(Self.key(20), pecID: "pec20", at: Self.now + 6 * Self.day)])
    #expect(try count() == 11, "the day on which they end")
    let later = Self.now + 7 * Self.day
    try ledger.commit([.handedOver(Self.key(21, forgottenAtOnce: 4), pecID: "pec21", at: later)])
    #expect(try count() == 8)
    try ledger.commit([.handedOver(Self.key(22, forgottenAtOnce: 4), pecID: "pec22", at: later)])
    try ledger.commit([.handedOver(Self.key(23, forgottenAtOnce: 4), pecID: "pec23", at: later)])
    #expect(try count() == 4)
    #expect(try ledger.transaction(handedOverAs: Self.key(20), at: later) == "pec20")
  }

  /// A transaction that is refused as a whole leaves no key behind.
  @Test func noKeyWithoutItsTransaction() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.transaction(transaction("pec1"))])
    #expect(throws: LedgerError.self) {
      try ledger.commit([.handedOver(Self.key(1), pecID: "pec1", at: Self.now), .transaction(transaction("pec1"))])
    }
    #expect(try ledger.transaction(handedOverAs: Self.key(1), at: Self.now) == nil)
  }
}
