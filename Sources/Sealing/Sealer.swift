public import Configuration
import Digests
import Evidence
import Foundation
public import Journey
public import Ledger
import Octets
public import PEC
public import Signing

/// Makes seals over the rows of the certified log, has them stamped, and has the stamps renewed.
///
/// It has no thread of its own and commits nothing: what it returns is committed by the caller before it is called again. A crash at any
/// moment in between loses nothing; the next call finds the files and goes on from there.
public struct Sealer: Sendable {
  let ledger: any LedgerReading
  let store: SealStore
  let currentCredentials: @Sendable () -> SignerCredentials
  let settings: CertifiedLogSettings
  let provider: String
  let keep: @Sendable () -> KeptFiles
  let clock: @Sendable () -> Int64

  /// A sealer of one provider's log.
  /// - Parameters:
  ///   - credentials: what seals are signed with; asked for anew for each, because a key may be exchanged while the gateway runs.
  ///   - provider: our own name, as it stands in rows about the log itself.
  ///   - keep: revocation lists of the moment, and certificates beside the signer's own chain.
  ///   - clock: Unix seconds, for stamps; the system's when nil.
  public init(
    ledger: any LedgerReading, store: SealStore, credentials: @escaping @Sendable @autoclosure () -> SignerCredentials,
    settings: CertifiedLogSettings, provider: String,
    keep: (@Sendable () -> KeptFiles)? = nil, clock: (@Sendable () -> Int64)? = nil
  ) {
    self.ledger = ledger
    self.store = store
    currentCredentials = credentials
    self.settings = settings
    self.provider = provider
    self.keep = keep ?? { KeptFiles() }
    self.clock = clock ?? { Int64(Date().timeIntervalSince1970) }
  }

  /// Where the next seal begins, and what it follows.
  struct Start {
    var number: Int64
    var first: Int64
    var last: Int64
    /// Digest of the previous seal's manifest.
    var previous: String
    /// The chain's value before `first`.
    var chain: [UInt8]
  }

  /// Rows that no seal covers.
  public func waiting() throws(SealingError) -> Int64 {
    guard let (_, first, last) = try uncovered() else { return 0 }
    return last - first + 1
  }

  /// Whether a seal is due, and why; `make` is then called until nothing is due.
  public func due(at instant: Instant) throws(SealingError) -> SealReason? {
    guard let (seal, first, last) = try uncovered() else { return nil }
    var since = seal?.madeAt.unixSeconds
    if since == nil {
      try eachRow(first, first) { event, _ throws(SealingError) in since = event.instant.unixSeconds }
    }
    return SealSchedule.due(waiting: last - first + 1, since: since ?? instant.unixSeconds, now: instant, settings: settings)
  }

  /// Seals the rows that wait, as many as a seal may cover (`sealEveryRows`).
  ///
  /// When it returns, the seal's files are on the disk. A folder that an interrupted call left is taken as it is when it holds and fits,
  /// and is moved aside when not.
  /// - Parameter person: who asked for it, for its row; nil where nobody did.
  /// - Returns: the seal, and the changes to be committed as one; nil when no row waits.
  /// - Throws: `brokenChain` when a row is not what the chain says: nothing is sealed then.
  public func make(
    reason: SealReason, at instant: Instant, by person: String? = nil
  ) throws(SealingError) -> (SealRecord, [LedgerChange])? {
    guard let start = try start() else { return nil }
    try DurableFiles.makeFolder(store.path)
    let manifest: SealManifest
    let origin: String
    if let found = try adopt(start) {
      (manifest, origin) = (found, ", found whole after an interruption")
    } else {
      (manifest, origin) = (try write(start, reason: reason, at: instant), "")
    }
    let record = SealRecord(
      number: manifest.number, first: manifest.first, last: manifest.last, madeAt: manifest.madeAt, digest: manifest.digest,
      root: manifest.root, chain: manifest.chainAfter)
    let contents = Hex.encode(SHA256.digest(try store.contents(manifest.number, SealFileNames.contents).octets))
    let why = manifest.reason + origin + (person.map { "; by \($0)" } ?? "")
    let words =
      "seal \(manifest.number) over rows \(manifest.first) to \(manifest.last) (\(why)); manifest \(manifest.digest); contents \(contents)"
    return (record, [.seal(record), .event(event(.sealed, seal: manifest.number, at: instant, words))])
  }

  /// A row about the log itself.
  func event(_ kind: EventKind, seal: Int64?, at instant: Instant, _ words: String) -> EventRecord {
    EventRecord(
      pecID: "", instant: instant, kind: kind, sender: "", recipients: [], subject: nil, clientMessageID: nil,
      relatedIDs: seal.map { [Sealer.name($0)] } ?? [], provider: provider, detail: words, bytes: 0)
  }

  /// How a seal is named among the identifiers of a row.
  static func name(_ seal: Int64) -> String { "seal-\(seal)" }

  /// The changes by which rows go whose time is over, with the row that says so: who verifies the log believes no purge without it.
  /// - Parameter words: why, for people.
  public func purge(_ rows: ClosedRange<Int64>, at instant: Instant, _ words: String) -> [LedgerChange] {
    var row = event(.purged, seal: nil, at: instant, "rows \(rows.lowerBound) to \(rows.upperBound): \(words)")
    row.relatedIDs = [Sealer.purgeName(rows)]
    return [.purge(first: rows.lowerBound, last: rows.upperBound), .event(row)]
  }

  /// How a purge is named among the identifiers of its row.
  static func purgeName(_ rows: ClosedRange<Int64>) -> String { "purge-\(rows.lowerBound)-\(rows.upperBound)" }

  // MARK: What is to be sealed

  private func uncovered() throws(SealingError) -> (seal: SealRecord?, first: Int64, last: Int64)? {
    let seal = try reading { () throws(LedgerError) in try ledger.lastSeal() }
    let last = try reading { () throws(LedgerError) in try ledger.lastEventNumber() }
    let oldest = try reading { () throws(LedgerError) in try ledger.firstEventNumber() }
    guard let first = seal.map({ $0.last + 1 }) ?? oldest, first <= last else { return nil }
    return (seal, first, last)
  }

  private func start() throws(SealingError) -> Start? {
    guard let (seal, first, last) = try uncovered() else { return nil }
    let most = min(max(1, Int64(settings.sealEveryRows)), SealManifest.maximumRows)
    guard let chain = try reading({ () throws(LedgerError) in try ledger.chain(after: first - 1) }) else {
      throw .brokenChain(row: first - 1, words: "its chain value is missing")
    }
    if let seal, seal.chain != Hex.encode(chain) {
      throw .brokenChain(row: seal.last, words: "its chain value is not the one that seal \(seal.number) was made over")
    }
    return Start(
      number: (seal?.number ?? 0) + 1, first: first, last: min(last, first + most - 1),
      previous: seal?.digest ?? SealManifest.noPrevious, chain: chain)
  }

  /// Rows of the ledger from first to last, each exactly once.
  func eachRow(
    _ first: Int64, _ last: Int64, _ body: (EventRecord, [UInt8]) throws(SealingError) -> Void
  ) throws(SealingError) {
    var next = first
    do {
      try ledger.rows(from: first, through: last) { event, chain in
        guard event.number == next else { throw SealingError.brokenChain(row: next, words: "it is missing") }
        try body(event, chain)
        next += 1
        return true
      }
    } catch {
      throw error as? SealingError ?? .ledger("\(error)")
    }
    guard next == last + 1 else { throw .brokenChain(row: next, words: "it is missing") }
  }

  func reading<Value>(_ body: () throws(LedgerError) -> Value) throws(SealingError) -> Value {
    do { return try body() } catch { throw .ledger("\(error)") }
  }
}
