import Journey
import Octets
import PEC

/// Makes the two files of a seal's rows: `rows.jsonl`, a canonical row on each line, and `chain.txt`, on each line the chain value after
/// that row in 64 hexadecimal digits. Then the manifest over them. Keeps nothing of the rows.
public struct SealedRowsWriter: Sendable {
  /// The chain value after the last row that was added.
  public private(set) var chain: [UInt8]
  /// Rows so far.
  public var count: Int { tree.count }

  private let before: [UInt8]
  private var tree = MerkleTree.Builder()
  private var range: (first: Int64, last: Int64)?
  private var span: (from: Instant, to: Instant)?

  /// A writer of the rows after that chain value.
  public init(chainBefore: [UInt8]) {
    before = chainBefore
    chain = chainBefore
  }

  /// Adds the next row and appends its two lines. Throws `notConsecutive` when it is not the next, and `tooManyRows`; then nothing is
  /// added.
  ///
  /// - Parameter canonical: the row's canonical octets, when the caller has them.
  public mutating func add(
    _ event: EventRecord, canonical: [UInt8]? = nil, rows: inout [UInt8], chainLines: inout [UInt8]
  ) throws(EvidenceError) {
    let number = event.number ?? 0
    if let range, range.last == .max || number != range.last + 1 {
      throw .notConsecutive(expected: range.last == .max ? .max : range.last + 1, found: number)
    }
    guard Int64(count) < SealManifest.maximumRows else { throw .tooManyRows }
    let octets = canonical ?? CanonicalEvent.octets(event)
    let leaf = EventChain.leaf(octets)
    tree.add(leaf)
    chain = EventChain.next(chain, leaf: leaf)
    range = (range?.first ?? number, number)
    span = (span?.from ?? event.instant, event.instant)
    rows.append(contentsOf: octets)
    rows.append(10)
    chainLines.appendHexadecimal(chain)
    chainLines.append(10)
  }

  /// The manifest over the rows; nil when there are none.
  ///
  /// - Parameter previous: the seal before this one; nil for the first.
  public func manifest(provider: String, after previous: SealManifest?, madeAt: Instant, reason: String) -> SealManifest? {
    manifest(
      number: (previous?.number ?? 0) + 1, provider: provider, previous: previous?.digest ?? SealManifest.noPrevious, madeAt: madeAt,
      reason: reason)
  }

  /// The manifest over the rows; nil when there are none.
  ///
  /// - Parameter previous: digest of the seal before this one in hexadecimal, or `SealManifest.noPrevious`.
  public func manifest(number: Int64, provider: String, previous: String, madeAt: Instant, reason: String) -> SealManifest? {
    guard let range, let span else { return nil }
    return SealManifest(
      number: number, provider: provider, first: range.first, last: range.last, from: span.from, to: span.to,
      root: Hex.encode(tree.root()), chainBefore: Hex.encode(before), chainAfter: Hex.encode(chain), previous: previous, madeAt: madeAt,
      reason: reason)
  }
}
