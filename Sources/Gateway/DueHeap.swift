/// Entries by due time: a binary heap with stale items allowed.
struct DueHeap {
  private var items: [(at: Int64, id: String)] = []

  mutating func insert(_ id: String, at: Int64) {
    items.append((at, id))
    var child = items.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      if items[parent].at <= items[child].at { break }
      items.swapAt(parent, child)
      child = parent
    }
  }

  /// The next item whose time has come, or nil.
  mutating func popDue(at now: Int64) -> String? {
    guard let first = items.first, first.at <= now else { return nil }
    let last = items.removeLast()
    if items.isEmpty { return first.id }
    items[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < items.count && items[child].at < items[least].at { least = child }
      if least == parent { break }
      items.swapAt(parent, least)
      parent = least
    }
    return first.id
  }
}
