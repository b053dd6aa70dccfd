import ScanWire

/// What is known of contents that were looked at before; the least recently asked for goes first.
///
/// A content is known by its SHA-256, by engine and database, and by the options: when one of them is another it is looked at again.
struct VerdictCache {
  /// What was said of a content.
  enum Entry: Equatable {
    case verdict(ScanVerdict)
    /// Every worker that looked at it failed.
    case fault(String)
  }

  /// What may come out otherwise another time is believed this long only: a worker that died may have been killed by the system, and one
  /// of the limits is time.
  static let doubtfulMilliseconds = 15 * 60 * 1000

  private struct Key: Hashable {
    var digest: String
    /// Engine, database and options.
    var basis: String
  }

  private struct Node {
    var key: Key
    var entry: Entry
    /// Milliseconds of the monotonic clock; nil: for good.
    var until: Int?
    /// Neighbours in the order of use; -1 at the ends.
    var newer: Int
    var older: Int
  }

  private let capacity: Int
  private var places: [Key: Int] = [:]
  private var nodes: [Node] = []
  private var newest = -1
  private var oldest = -1

  /// - Parameter capacity: entries at the most; 0 for no memory at all.
  init(capacity: Int) { self.capacity = max(0, capacity) }

  var count: Int { places.count }

  /// What was said of the content on this basis; it counts as used.
  mutating func find(_ digest: String, basis: String, now: Int) -> Entry? {
    guard let place = places[Key(digest: digest, basis: basis)] else { return nil }
    if let until = nodes[place].until, now >= until { return nil }
    unlink(place)
    link(place)
    return nodes[place].entry
  }

  /// Remembers what was said, instead of what was said before.
  mutating func store(_ entry: Entry, _ digest: String, basis: String, now: Int) {
    guard capacity > 0 else { return }
    let key = Key(digest: digest, basis: basis)
    let until = VerdictCache.isDoubtful(entry) ? now + VerdictCache.doubtfulMilliseconds : nil
    let node = Node(key: key, entry: entry, until: until, newer: -1, older: -1)
    if let place = places[key] {
      unlink(place)
      nodes[place] = node
      link(place)
    } else if nodes.count < capacity {
      nodes.append(node)
      places[key] = nodes.count - 1
      link(nodes.count - 1)
    } else {
      let place = oldest
      unlink(place)
      places[nodes[place].key] = nil
      nodes[place] = node
      places[key] = place
      link(place)
    }
  }

  private static func isDoubtful(_ entry: Entry) -> Bool {
    switch entry {
    case .fault: true
    case .verdict(let verdict): if case .limits = verdict.finding { true } else { false }
    }
  }

  private mutating func link(_ place: Int) {
    nodes[place].older = newest
    nodes[place].newer = -1
    if newest >= 0 { nodes[newest].newer = place } else { oldest = place }
    newest = place
  }

  private mutating func unlink(_ place: Int) {
    let (newer, older) = (nodes[place].newer, nodes[place].older)
    if newer >= 0 { nodes[newer].older = older } else { newest = older }
    if older >= 0 { nodes[older].newer = newer } else { oldest = newer }
  }
}
