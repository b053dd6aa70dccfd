import Synchronization

/// A number that any thread may add to: an atomic in memory of its own.
public final class Count: Sendable {
  private let held = Atomic<Int>(0)

  /// Nought.
  public init() {}

  /// What was added so far, or what was set last.
  public var value: Int { held.load(ordering: .relaxed) }

  /// Adds; orders nothing else.
  public func add(_ amount: Int = 1) { held.add(amount, ordering: .relaxed) }

  /// Puts another number in its place.
  public func set(_ value: Int) { held.store(value, ordering: .relaxed) }
}

/// Counts by a label whose values are known from the start: nothing that a peer says can make another.
public struct Counts<Key: Hashable & Sendable>: Sendable {
  private var cells: [Key: Count]
  private let order: [Key]

  /// A count for each key; a key that comes again is one.
  public init(_ keys: some Sequence<Key>) {
    var cells: [Key: Count] = [:]
    var order: [Key] = []
    for key in keys where cells[key] == nil {
      cells[key] = Count()
      order.append(key)
    }
    self.cells = cells
    self.order = order
  }

  /// Counts for these keys, which go on where `old` has counted them, and begin at nought where it has not.
  public init(_ keys: some Sequence<Key>, continuing old: Counts) {
    self.init(keys)
    for key in order { if let cell = old.cells[key] { cells[key] = cell } }
  }

  /// Adds under a key. One that is not known is not counted; false then.
  @discardableResult
  public func add(_ key: Key, _ amount: Int = 1) -> Bool {
    guard let cell = cells[key] else { return false }
    cell.add(amount)
    return true
  }

  /// The count of a key; 0 for one that is not known.
  public subscript(key: Key) -> Int { cells[key]?.value ?? 0 }

  /// All keys with their counts, in the order of their naming.
  public var all: [(key: Key, value: Int)] { order.map { ($0, self[$0]) } }
}

extension Counts where Key: CaseIterable {
  /// A count for each case.
  public init() { self.init(Key.allCases) }
}
