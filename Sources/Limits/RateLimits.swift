/// How often somebody may do something; nil for as often as he likes. Above it 4xx, and 421 for a connection.
///
/// Each is a bucket that fills evenly: so much may come at once, and as much again in the time that the name says.
public struct RateLimits: Sendable, Equatable {
  /// Messages that one user may hand in within an hour.
  public var messagesPerUserPerHour: Int?
  /// Recipients of one user's messages within an hour.
  public var recipientsPerUserPerHour: Int?
  /// Connections from one peer within a minute.
  public var connectionsPerPeerPerMinute: Int?
  /// Messages from one peer within a minute.
  public var messagesPerPeerPerMinute: Int?
  /// Words to an outside address about arrivals in one mailbox, within an hour; above it there are none.
  public var arrivalNoticesPerMailboxPerHour = 60
  /// Users, peers or mailboxes that each bound remembers; whoever has not been heard of for the longest is forgotten first.
  public let rememberedKeys = 131_072
  public init() {}
}
