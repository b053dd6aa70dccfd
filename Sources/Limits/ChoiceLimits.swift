/// Bounds of holders' choices: all of them are in memory, and a change makes a new snapshot.
public enum ChoiceLimits {
  /// Domains and mailboxes for which something is chosen.
  public static let holders = 100_000
  /// An address, in octets (RFC 5321 §4.5.3.1.3: a path of 256 with its brackets).
  public static let addressBytes = 254
}
