import Evidence
import Journey
import Ledger
import Octets

/// Verifies the ledger's rows against the chain that runs through them, and against the seals.
extension SealInspector {
  /// A run of rows that ends where somebody else knows the chain.
  private struct Stretch {
    var first: Int64
    var last: Int64
    /// Nil behind the last seal.
    var seal: Int64?
    var chainAfter: [UInt8]?
  }

  /// Reads every row of the ledger: that none was changed, removed, added or moved since it was written, and that the rows that were sealed
  /// are the sealed ones, even where all chain values were made anew.
  ///
  /// - Parameter progress: told of the number of each stretch's first row before it is read.
  /// - Throws: `ledger` when it cannot be read, or there is none.
  public func verifyLog(progress: ((Int64) -> Void)? = nil) throws(SealingError) -> SealInspection {
    guard let ledger else { throw .ledger("there is none") }
    var inspection = SealInspection()
    do {
      // Behind the rows whose time was over the log goes on without a gap.
      let first = (try ledger.purgedRows().last?.upperBound ?? 0) + 1
      var chain = try ledger.chain(after: first - 1)
      if chain == nil { inspection.add(SealFault(seal: nil, row: first, words: "missing: where the log begins the chain is not known")) }
      for stretch in stretches(from: first, seals: try ledger.seals(), last: try ledger.lastEventNumber()) {
        progress?(stretch.first)
        inspection.seals += stretch.seal == nil ? 0 : 1
        try verify(stretch, after: chain, ledger, &inspection)
        chain = stretch.chainAfter
      }
    } catch {
      throw error as? SealingError ?? .ledger("\(error)")
    }
    return inspection
  }

  /// From the first row to the last, cut where seals end. A seal's own manifest is believed before the ledger's memory of it.
  private func stretches(from first: Int64, seals: [SealRecord], last: Int64) -> [Stretch] {
    var ends: [Int64: (last: Int64, chain: String)] = [:]
    for seal in seals { ends[seal.number] = (seal.last, seal.chain) }
    for number in (try? store.numbers()) ?? [] {
      if let manifest = try? store.manifest(number), manifest.number == number { ends[number] = (manifest.last, manifest.chainAfter) }
    }
    var stretches: [Stretch] = []
    var next = first
    for (number, end) in ends.sorted(by: { $0.key < $1.key }) where end.last >= next {
      stretches.append(Stretch(first: next, last: end.last, seal: number, chainAfter: SealInspector.octets(hexadecimal: end.chain)))
      next = end.last + 1
    }
    if next <= last { stretches.append(Stretch(first: next, last: last, seal: nil, chainAfter: nil)) }
    return stretches
  }

  private func verify(
    _ stretch: Stretch, after chain: [UInt8]?, _ ledger: any LedgerReading, _ inspection: inout SealInspection
  ) throws {
    var check = EvidenceCheck(chainBefore: chain, first: stretch.first)
    try ledger.rowsAsFound(from: stretch.first, through: stretch.last) { row in
      check.feed(number: row.number, canonical: row.event.map { CanonicalEvent.octets($0) }, storedChain: row.chain)
      return true
    }
    let kept = check.finish(chainAfter: stretch.chainAfter, last: stretch.last)
    inspection.rows += check.rows
    for fault in kept {
      inspection.add(SealFault(seal: stretch.seal, row: fault.row, words: "\(fault.kind.rawValue): \(fault.detail)"))
    }
    if check.faultCount > kept.count {
      inspection.add(SealFault(seal: stretch.seal, words: "and \(check.faultCount - kept.count) faults more up to row \(stretch.last)"))
    }
  }

  /// 64 digits as octets; nil for anything else.
  static func octets(hexadecimal text: String) -> [UInt8]? {
    let digits = Array(text.utf8)
    guard digits.count == 64 else { return nil }
    var octets: [UInt8] = []
    for at in stride(from: 0, to: 64, by: 2) {
      guard let octet = UInt8(String(decoding: digits[at...(at + 1)], as: UTF8.self), radix: 16) else { return nil }
      octets.append(octet)
    }
    return octets
  }
}
