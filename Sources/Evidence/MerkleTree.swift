import Digests
import Octets

/// The Merkle tree of RFC 6962 §2.1 over leaf digests (`EventChain.leaf`).
public enum MerkleTree {
  /// The root over these leaves; of none, the digest of nothing.
  public static func root(_ leaves: [[UInt8]]) -> [UInt8] {
    var builder = Builder()
    for leaf in leaves { builder.add(leaf) }
    return builder.root()
  }

  /// Makes the root of leaves that come one by one; keeps only the roots of whole subtrees, as many as there are bits in the count.
  public struct Builder: Sendable {
    /// Leaves so far.
    public private(set) var count = 0
    /// Largest subtree first.
    private var peaks: [[UInt8]] = []

    /// A tree without leaves.
    public init() {}

    /// Adds the next leaf.
    public mutating func add(_ leaf: [UInt8]) {
      var node = leaf
      // Each low bit that is set in the count is a subtree as large as what has grown here.
      var bits = count
      while bits & 1 == 1, let left = peaks.popLast() {
        node = MerkleTree.node(left, node)
        bits >>= 1
      }
      peaks.append(node)
      count += 1
    }

    /// The root over the leaves so far.
    public func root() -> [UInt8] {
      guard var root = peaks.last else { return SHA256.digest([UInt8]()) }
      for peak in peaks.dropLast().reversed() { root = MerkleTree.node(peak, root) }
      return root
    }
  }

  /// The audit paths (RFC 6962 §2.1.1) of leaves, given by their indexes from 0: each from the leaf upwards, empty for the only leaf of
  /// its tree. The tree is made once for all of them. Every index must be one of a leaf.
  public static func paths(_ indexes: [Int], leaves: [[UInt8]]) -> [[MerkleStep]] {
    precondition(indexes.allSatisfy { leaves.indices.contains($0) }, "a path of a leaf that is not there")
    var places = indexes
    var paths = [[MerkleStep]](repeating: [], count: indexes.count)
    var level = leaves
    while level.count > 1 {
      for (at, place) in places.enumerated() {
        let sibling = place ^ 1
        // The last node of an odd level has no sibling and is the same node one level up.
        if sibling < level.count { paths[at].append(MerkleStep(side: sibling < place ? .left : .right, digest: level[sibling])) }
        places[at] = place >> 1
      }
      level = stride(from: 0, to: level.count, by: 2).map { at in
        at + 1 < level.count ? node(level[at], level[at + 1]) : level[at]
      }
    }
    return paths
  }

  /// The root that a leaf and its path lead to.
  public static func root(leaf: [UInt8], path: [MerkleStep]) -> [UInt8] {
    path.reduce(leaf) { $1.side == .left ? node($1.digest, $0) : node($0, $1.digest) }
  }

  /// On which sides the siblings of a leaf stand, from the leaf upwards: an audit path of any other shape is none of this leaf.
  static func sides(of index: Int, in count: Int) -> [MerkleStep.Side] {
    var (place, width) = (index, count)
    var sides: [MerkleStep.Side] = []
    while width > 1 {
      if place & 1 == 1 { sides.append(.left) } else if place + 1 < width { sides.append(.right) }
      place >>= 1
      width = (width + 1) >> 1
    }
    return sides
  }

  private static func node(_ left: [UInt8], _ right: [UInt8]) -> [UInt8] { SHA256.digest(tag: 1, left, right) }
}

/// A step of an audit path: the sibling that is hashed together with what is there so far.
public struct MerkleStep: Sendable, Equatable {
  /// Where the sibling stands.
  public enum Side: String, Sendable {
    case left = "L"
    case right = "R"
  }

  public var side: Side
  /// The sibling's digest, 32 octets.
  public var digest: [UInt8]

  /// A step with that sibling.
  public init(side: Side, digest: [UInt8]) {
    self.side = side
    self.digest = digest
  }

  /// `L 0123…` or `R 0123…`, lower-case hexadecimal.
  public var text: String { "\(side.rawValue) \(Hex.encode(digest))" }

  /// Reads what `text` wrote; nil for anything else.
  public init?(text: String) {
    let octets = Array(text.utf8)
    guard octets.count == 2 + 2 * SHA256.bytes, octets[1] == UInt8(ascii: " "), let digest = CanonicalText.octets(hexadecimal: octets[2...])
    else { return nil }
    switch octets[0] {
    case UInt8(ascii: "L"): self.init(side: .left, digest: digest)
    case UInt8(ascii: "R"): self.init(side: .right, digest: digest)
    default: return nil
    }
  }
}
