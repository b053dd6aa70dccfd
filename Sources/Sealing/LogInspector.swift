import Evidence
import Journey
import Ledger
import Octets
import PEC
import Signing

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
  /// What cannot be read is a fault like any other, and the rest is looked at all the same.
  ///
  /// - Parameter progress: told of the number of each stretch's first row before it is read.
  /// - Throws: `ledger` when there is none.
  public func verifyLog(progress: ((Int64) -> Void)? = nil) throws(SealingError) -> SealInspection {
    guard let ledger else { throw .ledger("there is none") }
    var inspection = SealInspection()
    // Rows may be purged meanwhile: then what was looked for may have gone, and is looked for once more.
    for attempt in 1...SealInspector.attempts {
      inspection = SealInspection()
      let before = try? ledger.purgedRows().last
      look(ledger, &inspection, progress)
      if inspection.isWhole || attempt == SealInspector.attempts || (try? ledger.purgedRows().last) == before { break }
    }
    return inspection
  }

  private static let attempts = 3

  private func look(_ ledger: any LedgerReading, _ inspection: inout SealInspection, _ progress: ((Int64) -> Void)?) {
    func part(_ name: String, _ inspection: inout SealInspection, _ body: (inout SealInspection) throws -> Void) {
      do { try body(&inspection) } catch { inspection.add(SealFault(seal: nil, words: "\(name) cannot be read: \(error)")) }
    }
    part("the ledger's file", &inspection) { inspection in
      for words in try ledger.fileFaults(limit: 100) { inspection.add(SealFault(seal: nil, words: "the ledger's file: \(words)")) }
    }
    part("the log", &inspection) { inspection in try lookAtRows(ledger, &inspection, progress) }
    part("the table of days", &inspection) { inspection in try lookBehind(ledger, &inspection) }
    part("what the log is found by", &inspection) { inspection in try lookAtIndex(ledger, &inspection, progress) }
  }

  private func lookAtRows(_ ledger: any LedgerReading, _ inspection: inout SealInspection, _ progress: ((Int64) -> Void)?) throws {
    // Behind the rows whose time was over the log goes on without a gap.
    let purged = try ledger.purgedRows()
    let first = SealInspector.next(purged.last?.upperBound ?? 0)
    try lookBefore(first, ledger, &inspection)
    var claims: [String: Instant] = [:]
    var chain = try ledger.chain(after: first - 1)
    if chain == nil { inspection.add(SealFault(seal: nil, row: first, words: "missing: where the log begins the chain is not known")) }
    let last = try ledger.lastEventNumber()
    for stretch in stretches(from: first, seals: try ledger.seals(), last: last, &inspection) {
      progress?(stretch.first)
      inspection.seals += stretch.seal == nil ? 0 : 1
      do { try verify(stretch, after: chain, ledger, &claims, &inspection) } catch {
        let words = "unreadable: from there to row \(stretch.last) not all can be read: \(error)"
        inspection.add(SealFault(seal: stretch.seal, row: stretch.first, words: words))
      }
      chain = stretch.chainAfter
    }
    if let last = purged.last { try verify(purge: last, claimedAt: claims[Sealer.purgeName(last)], &inspection) }
  }

  /// The number after that one; a damaged file may name the last of all.
  static func next(_ number: Int64) -> Int64 { number == .max ? number : number + 1 }

  /// Before the first row that may be there no row is: whatever stands there was added, or should have gone.
  private func lookBefore(_ first: Int64, _ ledger: any LedgerReading, _ inspection: inout SealInspection) throws {
    try ledger.rowsAsFound(from: .min, through: first - 1) { row in
      inspection.add(SealFault(seal: nil, row: row.number, words: "added: the log begins at row \(first)"))
      return inspection.faultCount < SealInspection.maximumFaults
    }
  }

  /// The row about a purge is written with it, and outlives it: nobody else can let rows go, and nobody before their time.
  private func verify(purge rows: ClosedRange<Int64>, claimedAt claim: Instant?, _ inspection: inout SealInspection) throws {
    func add(_ words: String) {
      let named = "rows \(rows.lowerBound) to \(rows.upperBound)"
      inspection.add(SealFault(seal: nil, row: rows.upperBound, words: "missing: \(named) count as purged, and \(words)"))
    }
    guard let claim else { return add("no row of the log says that they were") }
    for number in try store.numbers() {
      guard let seal = try? store.manifest(number), seal.first <= rows.upperBound, seal.last >= rows.upperBound else { continue }
      if LegalDay(seal.from) >= LegalDay(claim).before(months: SealInspector.keptMonths) {
        add("seal \(number) says that they were not \(SealInspector.keptMonths) months old")
      }
    }
  }

  /// What the law has the log kept for (`pec-rules` 9.3).
  private static let keptMonths = 30

  /// The days' own memory of their rows: what was cut off the end of the log since the last seal.
  private func lookBehind(_ ledger: any LedgerReading, _ inspection: inout SealInspection) throws {
    guard let known = try ledger.logDays().map(\.last).max() else { return }
    // Read after the days, because rows may come in between.
    let last = try ledger.lastEventNumber()
    if known > last {
      inspection.add(SealFault(seal: nil, row: known, words: "missing: the log ends at row \(last), and there were \(known)"))
    }
  }

  /// What the log is found and counted by. Of a row that was named already no more is said.
  private func lookAtIndex(_ ledger: any LedgerReading, _ inspection: inout SealInspection, _ progress: ((Int64) -> Void)?) throws {
    let named = Set(inspection.faults.compactMap(\.row))
    let index = try ledger.inspectIndex(limit: SealInspection.maximumFaults, progress: progress)
    for fault in index.faults {
      if let row = fault.row, named.contains(row) { continue }
      inspection.add(SealFault(seal: nil, row: fault.row, words: fault.words))
    }
    if index.isOvertaken { inspection.remarks.append("rows were purged meanwhile: counts of days were not compared; run it again") }
  }

  /// From the first row to the last, cut where seals end. A seal's signed manifest is believed, and the ledger's memory of it where there
  /// is none.
  private func stretches(from first: Int64, seals: [SealRecord], last: Int64, _ inspection: inout SealInspection) -> [Stretch] {
    var ends: [Int64: (last: Int64, chain: String)] = [:]
    for seal in seals { ends[seal.number] = (seal.last, seal.chain) }
    for number in Set((try? store.numbers()) ?? []).union(ends.keys).sorted() {
      if let manifest = signedManifest(number) {
        ends[number] = (manifest.last, manifest.chainAfter)
      } else if ends[number] != nil {
        inspection.add(SealFault(seal: number, words: "there is no signed manifest of it: 'ceralacca seal verify' says more"))
      }
    }
    var stretches: [Stretch] = []
    var next = first
    for (number, end) in ends.sorted(by: { $0.key < $1.key }) where end.last >= next {
      stretches.append(Stretch(first: next, last: end.last, seal: number, chainAfter: SealInspector.octets(hexadecimal: end.chain)))
      next = SealInspector.next(end.last)
    }
    if next <= last { stretches.append(Stretch(first: next, last: last, seal: nil, chainAfter: nil)) }
    return stretches
  }

  /// A seal's manifest, when the signature over it holds by what is known of the provider's signers, or of those kept with the seal where
  /// nobody is named.
  private func signedManifest(_ number: Int64) -> SealManifest? {
    guard let manifest = try? store.manifest(number), manifest.number == number,
      let signature = try? store.read(number, SealFileNames.signature),
      let kept = (try? store.read(number, SealFileNames.certificates)).flatMap({ CertificateText.der($0) })
    else { return nil }
    let believed = anchors == nil ? signers + kept : signers
    let signed = try? SignedContent.open(signature, signers: believed, anchors: anchors, at: manifest.madeAt.unixSeconds)
    return signed?.content == manifest.octets ? manifest : nil
  }

  private func verify(
    _ stretch: Stretch, after chain: [UInt8]?, _ ledger: any LedgerReading, _ claims: inout [String: Instant],
    _ inspection: inout SealInspection
  ) throws {
    var check = EvidenceCheck(chainBefore: chain, first: stretch.first)
    try ledger.rowsAsFound(from: stretch.first, through: stretch.last) { row in
      if let event = row.event, event.kind == .purged { for id in event.relatedIDs { claims[id] = event.instant } }
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
