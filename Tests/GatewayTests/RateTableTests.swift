import Limits
import Metering
import Testing

@testable import Gateway

@Suite struct RateTableTests {
  /// A table that expectations can take from.
  private final class Table {
    private var table: RateTable
    init(tokens: Int, perSeconds: Int, keys: Int) { table = RateTable(tokens: tokens, perSeconds: perSeconds, keys: keys) }
    var count: Int { table.count }
    func take(_ key: String, at now: UInt64) -> Bool { table.take(key, at: now) }
  }

  /// Milliseconds of some clock, far from its beginning.
  private static let start: UInt64 = 1_000_000_000

  @Test func somuchAtOnceAndTheRestEvenly() {
    let table = Table(tokens: 6, perSeconds: 60, keys: 100)
    var now = Self.start
    for _ in 0..<6 { #expect(table.take("a", at: now)) }
    #expect(!table.take("a", at: now))
    // Others are not touched.
    #expect(table.take("b", at: now))
    now += 9_999
    #expect(!table.take("a", at: now))
    now += 1
    #expect(table.take("a", at: now))
    #expect(!table.take("a", at: now))
    // A refusal costs nothing: all of it is there again a minute later, and no more.
    now += 60_000
    for _ in 0..<6 { #expect(table.take("a", at: now)) }
    #expect(!table.take("a", at: now))
  }

  @Test func oneIsOne() {
    let table = Table(tokens: 1, perSeconds: 60, keys: 10)
    #expect(table.take("a", at: Self.start))
    #expect(!table.take("a", at: Self.start + 59_999))
    #expect(table.take("a", at: Self.start + 60_000))
  }

  @Test func aLargeBoundIsExact() {
    let table = Table(tokens: 1_000_000, perSeconds: 3600, keys: 10)
    var taken = 0
    while table.take("a", at: Self.start) { taken += 1 }
    #expect(taken == 1_000_000)
  }

  @Test func aClockOfAnotherLaneThatIsBehindDoesNoHarm() {
    let table = Table(tokens: 3, perSeconds: 60, keys: 10)
    #expect(table.take("a", at: Self.start))
    #expect(table.take("a", at: Self.start - 3))
    #expect(!table.take("a", at: Self.start - 3))
  }

  @Test func memoryIsBoundAndTheBusyAreRemembered() {
    let table = Table(tokens: 2, perSeconds: 60, keys: 1000)
    #expect(table.take("busy", at: Self.start))
    #expect(table.take("busy", at: Self.start))
    for number in 0..<50_000 {
      #expect(table.take("\(number)", at: Self.start))
      #expect(table.count <= 1000)
      // Though he is refused each time, whoever is heard of in time is not forgotten.
      if number % 400 == 0 { #expect(!table.take("busy", at: Self.start)) }
    }
  }

  @Test func wordsAboutArrivals() {
    var limits = RateLimits()
    limits.arrivalNoticesPerMailboxPerHour = 3
    let refused = Counts<Bound>()
    let rates = Rates(limits, refused: refused)
    let voice = { (mailbox: String, seconds: UInt64) in rates.voice(of: mailbox, at: Self.start + seconds * 1000) }
    #expect((0..<5).map { _ in voice("anna@pec.test", 0) } == [.usual, .usual, .last, .silent, .silent])
    #expect(voice("ANNA@pec.test", 0) == .silent)
    #expect(voice("aldo@pec.test", 0) == .usual)
    #expect(voice("anna@pec.test", 1200) == .last)
    #expect(voice("anna@pec.test", 7200) == .usual)
    #expect(refused[.arrivalNoticesPerMailboxPerHour] == 3)
  }

  @Test func withoutBoundsNobodyIsCounted() {
    let rates = Rates(RateLimits())
    for _ in 0..<1000 {
      #expect(rates.allowsConnection(of: "192.0.2.7", at: Self.start))
      #expect(rates.refusal(ofMessageBy: "a", from: "192.0.2.7", at: Self.start) == nil)
      #expect(rates.refusal(ofRecipientBy: "a", at: Self.start) == nil)
    }
  }

  @Test func usersAndPeersHaveTheirOwn() {
    var limits = RateLimits()
    (limits.messagesPerUserPerHour, limits.recipientsPerUserPerHour) = (2, 3)
    (limits.messagesPerPeerPerMinute, limits.connectionsPerPeerPerMinute) = (3, 1)
    let refused = Counts<Bound>()
    let rates = Rates(limits, refused: refused)
    let message = { (user: String?, peer: String?) in rates.refusal(ofMessageBy: user, from: peer, at: Self.start)?.summary }
    #expect(message("Anna@pec.test", "192.0.2.1") == nil)
    #expect(message("anna@PEC.test", "192.0.2.2") == nil)
    #expect(message("anna@pec.test", "192.0.2.3") == "450 4.7.1 Too many messages from this user within an hour, try again later")
    for _ in 0..<3 { #expect(message(nil, "2001:db8::1") == nil) }
    // One network, one peer.
    #expect(message(nil, "2001:db8::2") == "450 4.7.1 Too many messages from your address within a minute, try again later")
    #expect(message(nil, "2001:db8:0:1::2") == nil)
    #expect(message(nil, nil) == nil)
    for _ in 0..<3 { #expect(rates.refusal(ofRecipientBy: "anna@pec.test", at: Self.start) == nil) }
    #expect(rates.refusal(ofRecipientBy: "anna@pec.test", at: Self.start)?.code == 450)
    #expect(rates.allowsConnection(of: "::ffff:192.0.2.1", at: Self.start))
    #expect(!rates.allowsConnection(of: "192.0.2.1", at: Self.start))
    #expect(refused[.recipientsPerUserPerHour] == 1)
    #expect(refused[.connectionsPerPeerPerMinute] == 1)
  }
}
