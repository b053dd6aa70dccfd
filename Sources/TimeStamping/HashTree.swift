/// The hash trees of archive time stamps (RFC 4998 §4.2): each inner node is the digest of its children's values in ascending order.
struct HashTree {
  let root: [UInt8]
  /// For each leaf what leads from it to the root: a list of values for each level, the leaf's own value in the first. Empty for a tree
  /// of one leaf, which is its root.
  let reduced: [[[[UInt8]]]]

  /// The tree over these values, at least one.
  init(_ leaves: [[UInt8]], _ digest: TimeStampDigest) {
    var reduced: [[[[UInt8]]]] = leaves.map { _ in [] }
    // Values of a level, and which leaves are below each.
    var level = leaves.enumerated().map { (value: $1, leaves: [$0]) }
    while level.count > 1 {
      var next: [(value: [UInt8], leaves: [Int])] = []
      for at in stride(from: 0, to: level.count, by: 2) {
        // One without a neighbour goes up as it is.
        guard at + 1 < level.count else {
          next.append(level[at])
          continue
        }
        let (one, other) = (level[at], level[at + 1])
        for (node, sibling) in [(one, other), (other, one)] {
          for leaf in node.leaves {
            reduced[leaf].append(reduced[leaf].isEmpty ? HashTree.ascending([leaves[leaf], sibling.value]) : [sibling.value])
          }
        }
        next.append((digest.digest(HashTree.ascending([one.value, other.value])), one.leaves + other.leaves))
      }
      level = next
    }
    root = level.first?.value ?? digest.digest([UInt8]())
    self.reduced = reduced
  }

  /// The root that a value and its reduced tree lead to (RFC 4998 §4.3); nil when the value is not in the tree's first list.
  static func root(from value: [UInt8], through lists: [[[UInt8]]], _ digest: TimeStampDigest) -> [UInt8]? {
    guard let first = lists.first else { return value }
    guard first.contains(value) else { return nil }
    var node = digest.digest(ascending(first))
    for list in lists.dropFirst() { node = digest.digest(ascending(list + [node])) }
    return node
  }

  private static func ascending(_ values: [[UInt8]]) -> [[UInt8]] { values.sorted { $0.lexicographicallyPrecedes($1) } }
}
