import Digests

/// Compares a run of rows with the chain values stored beside them (the ledger's own check of itself). Names each row that is not what
/// it was, and goes on behind it.
///
/// A row that does not fit says only that one of three is wrong: the row, the chain value beside it, or the one before it. The row after
/// it decides: it follows either from the stored value, and then the row was changed, or from the computed one, and then the stored value
/// was.
public struct EvidenceCheck: Sendable {
  /// Most faults that are kept; `faultCount` goes on.
  public static let maximumFaults = 20

  /// Rows seen.
  public private(set) var rows: Int64 = 0
  /// All faults, also those that are not kept.
  public private(set) var faultCount = 0
  /// The first faults, in the order of their discovery.
  public private(set) var faults: [EvidenceFault] = []

  private var expected: Int64
  private var state: State

  private enum State {
    /// The chain value before the next row is known.
    case known([UInt8])
    /// It is not: rows are missing before the next one, or nothing stored could be read.
    case unknown
    /// The last row did not fit. `computed` are the values that may be the true ones after it, when its stored one is not.
    case undecided(row: Int64, stored: [UInt8], computed: [[UInt8]], isSure: Bool)
  }

  /// A check that begins with the row numbered `first`.
  ///
  /// - Parameter chainBefore: the chain value before that row; nil when nobody knows it, and then the first row cannot be checked.
  public init(chainBefore: [UInt8]?, first: Int64 = 1) {
    expected = first
    state = chainBefore.map { .known($0) } ?? .unknown
  }

  /// The next row of the run, by number.
  ///
  /// - Parameters:
  ///   - canonical: nil when what is stored of the row cannot be read as a row.
  ///   - storedChain: what is stored as the chain value after it.
  public mutating func feed(number: Int64, canonical: [UInt8]?, storedChain: [UInt8]?) {
    rows += 1
    if number < expected {
      add(EvidenceFault(.moved, row: number, detail: "it stands after row \(expected - 1)"))
      return
    }
    if number > expected {
      giveUp()
      addMissing(expected, number - 1)
    }
    expected = number == .max ? number : number + 1
    let stored = storedChain.flatMap { $0.count == SHA256.bytes ? $0 : nil }
    if stored == nil { add(EvidenceFault(.chainChanged, row: number, detail: "what is stored beside it is no chain value")) }
    guard let canonical, CanonicalEvent.claimedNumber(canonical) == number else {
      giveUp()
      add(EvidenceFault(.changed, row: number, detail: canonical == nil ? "it cannot be read" : "it says another row number"))
      state = stored.map { .known($0) } ?? .unknown
      return
    }
    follow(number, EventChain.leaf(canonical), stored)
  }

  /// A row that can be read.
  private mutating func follow(_ number: Int64, _ leaf: [UInt8], _ stored: [UInt8]?) {
    switch state {
    case .unknown: state = stored.map { .known($0) } ?? .unknown
    case .known(let before):
      let computed = EventChain.next(before, leaf: leaf)
      guard let stored else {
        state = .known(computed)
        return
      }
      state = stored == computed ? .known(stored) : .undecided(row: number, stored: stored, computed: [computed], isSure: true)
    case .undecided(let row, let storedBefore, let computedBefore, let isSure):
      let fromStored = EventChain.next(storedBefore, leaf: leaf)
      let fromComputed = computedBefore.map { EventChain.next($0, leaf: leaf) }
      guard let stored else {
        giveUp()
        return
      }
      if stored == fromStored {
        isSure ? addChanged(row) : addUnclear(row)
        state = .known(stored)
      } else if fromComputed.contains(stored) {
        addChain(row)
        state = .known(stored)
      } else {
        addUnclear(row)
        state = .undecided(row: number, stored: stored, computed: [fromStored] + fromComputed.prefix(1), isSure: false)
      }
    }
  }

  /// Ends the run.
  ///
  /// - Parameters:
  ///   - chainAfter: the chain value after the last row, when somebody else knows it: a seal, or the ledger's memory.
  ///   - last: number of the last row, when it is known.
  /// - Returns: the first faults of all.
  @discardableResult
  public mutating func finish(chainAfter: [UInt8]? = nil, last: Int64? = nil) -> [EvidenceFault] {
    let end = last.map { $0 == .max ? $0 : $0 + 1 } ?? expected
    let isComplete = end <= expected
    if let chainAfter, isComplete {
      switch state {
      case .undecided(let row, let stored, _, let isSure) where stored == chainAfter: isSure ? addChanged(row) : addUnclear(row)
      case .undecided(let row, _, let computed, _) where computed.contains(chainAfter): addChain(row)
      case .undecided(let row, _, _, _): addUnclear(row)
      case .known(let chain) where chain != chainAfter:
        add(EvidenceFault(.chainDiffers, row: expected - 1, detail: "the chain after it is not the one that is known to end there"))
      case .known, .unknown: break
      }
    } else {
      giveUp()
    }
    if !isComplete { addMissing(expected, end - 1) }
    state = .unknown
    expected = max(expected, end)
    return faults
  }

  /// No row comes that could decide what is undecided.
  private mutating func giveUp() {
    if case .undecided(let row, _, _, _) = state { addUnclear(row) }
    state = .unknown
  }

  private mutating func add(_ fault: EvidenceFault) {
    faultCount += 1
    if faults.count < EvidenceCheck.maximumFaults { faults.append(fault) }
  }

  private mutating func addMissing(_ first: Int64, _ last: Int64) {
    add(EvidenceFault(.missing, row: first, detail: first == last ? "it is not there" : "rows \(first) to \(last) are not there"))
  }

  private mutating func addChanged(_ row: Int64) {
    add(EvidenceFault(.changed, row: row, detail: "it does not lead to the chain value beside it"))
  }

  private mutating func addChain(_ row: Int64) {
    add(EvidenceFault(.chainChanged, row: row, detail: "the rows before and after it fit each other, but not the value beside it"))
  }

  private mutating func addUnclear(_ row: Int64) {
    add(EvidenceFault(.unclear, row: row, detail: "row and chain values do not fit each other, and nothing says which is whole"))
  }
}
