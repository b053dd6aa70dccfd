import Journey
import Limits
import Metering
import Octets
import SMTPWire
import Synchronization

/// How often each of many keys may come: a bucket of tokens for each, that fills evenly. The time is told, and memory has a bound.
///
/// Of a bucket the moment is kept at which it will be full again (the generic cell rate algorithm): one number. Keys stand in a younger and
/// an older half; when the younger is full it becomes the older, and who was not heard of meanwhile is forgotten. So nothing is ever
/// searched for, and whoever comes from more addresses than are remembered is counted anew.
struct RateTable: Sendable {
  private var young: [String: UInt64] = [:]
  private var old: [String: UInt64] = [:]
  private let keysInHalf: Int
  /// Microseconds that a token takes to come back, and all of them.
  private let interval: UInt64
  private let window: UInt64

  /// - Parameters:
  ///   - tokens: how much may come at once, and again in each `seconds`.
  ///   - keys: that are remembered at the most.
  init(tokens: Int, perSeconds seconds: Int, keys: Int) {
    window = UInt64(max(1, seconds)) * 1_000_000
    interval = max(1, window / UInt64(max(1, tokens)))
    keysInHalf = max(1, keys / 2)
  }

  /// Keys that are remembered.
  var count: Int { young.count + old.count }

  /// Takes a token of a key; false when it has none.
  /// - Parameter milliseconds: of a clock that does not go back.
  mutating func take(_ key: String, at milliseconds: UInt64) -> Bool { takeLooking(key, at: milliseconds) != nil }

  /// Takes a token of a key; nil when it has none, else whether another would be there at once.
  mutating func takeLooking(_ key: String, at milliseconds: UInt64) -> Bool? {
    let now = milliseconds * 1000
    let known = young[key]
    if known == nil, young.count >= keysInHalf { (young, old) = ([:], young) }
    let before = known ?? old[key] ?? 0
    let full = max(before, now) + interval
    let isThere = full - now <= window
    // Who is refused is remembered too.
    young[key] = isThere ? full : before
    return isThere ? full + interval - now <= window : nil
  }
}

/// The bounds on how often users and peers come, for all lanes together. A bound that is not set costs nothing.
final class Rates: Sendable {
  private let messagesOfUser: Meter?
  private let recipientsOfUser: Meter?
  private let connectionsOfPeer: Meter?
  private let messagesOfPeer: Meter?
  private let wordsOfMailbox: Meter
  private let refused: Counts<Bound>

  /// - Parameter refused: where it is counted that somebody was refused.
  init(_ limits: RateLimits, refused: Counts<Bound> = Counts()) {
    self.refused = refused
    let meter = { (tokens: Int?, seconds: Int) in tokens.map { Meter(tokens: $0, perSeconds: seconds, keys: limits.rememberedKeys) } }
    messagesOfUser = meter(limits.messagesPerUserPerHour, 3600)
    recipientsOfUser = meter(limits.recipientsPerUserPerHour, 3600)
    connectionsOfPeer = meter(limits.connectionsPerPeerPerMinute, 60)
    messagesOfPeer = meter(limits.messagesPerPeerPerMinute, 60)
    wordsOfMailbox = Meter(tokens: limits.arrivalNoticesPerMailboxPerHour, perSeconds: 3600, keys: limits.rememberedKeys)
  }

  /// True when messages are counted by peer.
  var countsMessagesOfPeers: Bool { messagesOfPeer != nil }

  /// Counts a connection; false when there are too many. Milliseconds of the loop's clock.
  func allowsConnection(of peer: String, at now: UInt64) -> Bool {
    guard let connectionsOfPeer else { return true }
    if connectionsOfPeer.take(IPText.network(peer), at: now) { return true }
    count(.connectionsPerPeerPerMinute)
    return false
  }

  /// Counts a message; nil when it may come, else the refusal. Nobody is counted who is nil.
  func refusal(ofMessageBy user: String?, from peer: String?, at now: UInt64) -> Reply? {
    if let messagesOfPeer, let peer, !messagesOfPeer.take(IPText.network(peer), at: now) {
      count(.messagesPerPeerPerMinute)
      return Reply(450, "4.7.1", "Too many messages from your address within a minute, try again later")
    }
    if let messagesOfUser, let user, !messagesOfUser.take(ASCII.lowercased(user), at: now) {
      count(.messagesPerUserPerHour)
      return Reply(450, "4.7.1", "Too many messages from this user within an hour, try again later")
    }
    return nil
  }

  /// Counts a recipient; nil when he may come, else the refusal.
  func refusal(ofRecipientBy user: String?, at now: UInt64) -> Reply? {
    guard let recipientsOfUser, let user, !recipientsOfUser.take(ASCII.lowercased(user), at: now) else { return nil }
    count(.recipientsPerUserPerHour)
    return Reply(450, "4.7.1", "Too many recipients from this user within an hour, try again later")
  }

  /// Counts a word about an arrival in a mailbox; how it may be said.
  func voice(of mailbox: String, at now: UInt64) -> ArrivalVoice {
    switch wordsOfMailbox.takeLooking(ASCII.lowercased(mailbox), at: now) {
    case nil:
      count(.arrivalNoticesPerMailboxPerHour)
      return .silent
    case false?: return .last
    case true?: return .usual
    }
  }

  private func count(_ bound: Bound) { refused.add(bound) }

  /// A table that all lanes share, in parts so that they seldom meet.
  private final class Meter: Sendable {
    private final class Part: Sendable {
      let table: Mutex<RateTable>
      init(_ table: RateTable) { self.table = Mutex(table) }
    }

    private let parts: [Part]

    init(tokens: Int, perSeconds seconds: Int, keys: Int) {
      parts = (0..<16).map { _ in Part(RateTable(tokens: tokens, perSeconds: seconds, keys: keys / 16)) }
    }

    func take(_ key: String, at now: UInt64) -> Bool { takeLooking(key, at: now) != nil }

    func takeLooking(_ key: String, at now: UInt64) -> Bool? {
      parts[Int(UInt(bitPattern: key.hashValue) % 16)].table.withLock { $0.takeLooking(key, at: now) }
    }
  }
}
