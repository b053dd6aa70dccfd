import Digests

/// The chain that runs through all rows of the certified log: no row can be changed, removed, added or moved without all later values
/// changing.
///
/// leaf = SHA-256(0x00 ‖ canonical octets), as in RFC 6962 §2.1; chain_n = SHA-256(0x02 ‖ chain_{n-1} ‖ leaf_n).
public enum EventChain {
  /// The value before the first row: 32 octets of zero.
  public static let beginning = [UInt8](repeating: 0, count: SHA256.bytes)

  /// The leaf of a row, of which seals make their trees.
  public static func leaf(_ canonical: [UInt8]) -> [UInt8] { SHA256.digest(tag: 0, canonical) }

  /// The value after the row of that leaf.
  public static func next(_ chain: [UInt8], leaf: [UInt8]) -> [UInt8] { SHA256.digest(tag: 2, chain, leaf) }
}
