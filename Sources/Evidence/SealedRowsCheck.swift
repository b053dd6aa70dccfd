import Digests
import Octets

/// Checks a seal's row files against its manifest, and names what is wrong with which row.
///
/// Both files are fed in pieces of any size, in any order between them. What is kept of a row is its number and its leaf; so a check
/// needs 40 octets for each row, not the rows. The manifest itself is taken as it is: whether it was signed is another question.
public struct SealedRowsCheck: Sendable {
  /// Most faults that are named row by row; what concerns the whole comes on top.
  public static let maximumFaults = 20

  private let manifest: SealManifest
  private var rowLines = LineSplitter(maximumOctets: CanonicalEvent.maximumOctets)
  private var chainLines = LineSplitter(maximumOctets: 2 * SHA256.bytes + 1)
  private var rows: [RowLine] = []
  private var chain: [[UInt8]?] = []
  private var tree = MerkleTree.Builder()
  private var beyond = (rows: 0, chain: 0)

  /// What is kept of a line of rows.
  struct RowLine: Sendable {
    /// The row number that it says; nil when it says none.
    var number: Int64?
    var leaf: [UInt8]
  }

  /// A check against that manifest.
  public init(_ manifest: SealManifest) { self.manifest = manifest }

  /// The next piece of `rows.jsonl`.
  public mutating func feed(rows piece: [UInt8]) {
    rowLines.feed(piece)
    while let line = rowLines.next() { take(row: line) }
  }

  /// The next piece of `chain.txt`.
  public mutating func feed(chain piece: [UInt8]) {
    chainLines.feed(piece)
    while let line = chainLines.next() { take(chain: line) }
  }

  /// Lines that are kept: some more than there should be, so that what was added is seen among what is right.
  private var room: Int { Int(min(manifest.count, SealManifest.maximumRows)) + 1024 }

  private mutating func take(row line: [UInt8]?) {
    guard rows.count < room else {
      beyond.rows += 1
      return
    }
    // A line without its end, or too long to be a row, has no leaf that any row could have.
    let leaf = line.map { EventChain.leaf($0) } ?? []
    rows.append(RowLine(number: line.flatMap { CanonicalEvent.claimedNumber($0) }, leaf: leaf))
    tree.add(leaf)
  }

  private mutating func take(chain line: [UInt8]?) {
    guard chain.count < room else {
      beyond.chain += 1
      return
    }
    chain.append(line.flatMap { $0.count == 2 * SHA256.bytes ? CanonicalText.octets(hexadecimal: $0) : nil })
  }

  /// Ends both files.
  ///
  /// - Returns: nothing when every row, every chain value and their counts are what the manifest says.
  public mutating func finish() -> [EvidenceFault] {
    if rowLines.hasRest { take(row: nil) }
    if chainLines.hasRest { take(chain: nil) }
    guard let before = CanonicalText.octets(hexadecimal: manifest.chainBefore.utf8),
      let after = CanonicalText.octets(hexadecimal: manifest.chainAfter.utf8)
    else { return [EvidenceFault(.sealDiffers, detail: "the manifest's chain values are no digests")] }
    let expected = Int(min(manifest.count, SealManifest.maximumRows))
    let isRoot = beyond.rows == 0 && Hex.encode(tree.root()) == manifest.root
    let alignment = ChainAlignment(first: manifest.first, count: expected, before: before, after: after, rows: rows, lines: chain)
    let named = isRoot && rows.count == expected ? alignment.faultsOfChain() : alignment.faultsOfRows()
    var faults = Array(named.prefix(SealedRowsCheck.maximumFaults))
    if rows.count != expected || beyond.rows > 0 {
      faults.append(
        EvidenceFault(.countDiffers, detail: "\(rows.count + beyond.rows) rows are there, and the seal covers \(manifest.count)"))
    }
    if chain.count != expected || beyond.chain > 0 {
      faults.append(
        EvidenceFault(.countDiffers, detail: "\(chain.count + beyond.chain) chain values are there for \(manifest.count) rows"))
    }
    if !isRoot {
      faults.append(
        EvidenceFault(
          .rootDiffers,
          detail: named.isEmpty
            ? "every row leads to the chain's end that seal \(manifest.number) says, but not to its root"
            : "the rows do not have the root of seal \(manifest.number)"))
    }
    return faults
  }
}

/// Cuts octets that come in pieces into lines, none longer than a bound.
struct LineSplitter: Sendable {
  let maximumOctets: Int
  private var piece: [UInt8] = []
  private var at = 0
  private var rest: [UInt8] = []
  private var isTooLong = false

  init(maximumOctets: Int) { self.maximumOctets = maximumOctets }

  /// The next piece; all lines of the one before must have been taken.
  mutating func feed(_ octets: [UInt8]) {
    piece = octets
    at = 0
  }

  /// The next line without its end: nil when more octets are needed, and nil within for a line that is too long.
  mutating func next() -> [UInt8]?? {
    guard let end = Scan.first(10, in: piece.span, from: at) else {
      keep(piece[at...])
      at = piece.count
      return nil
    }
    keep(piece[at..<end])
    at = end + 1
    defer {
      rest = []
      isTooLong = false
    }
    return .some(isTooLong ? nil : rest)
  }

  /// True when octets came after the last line's end.
  var hasRest: Bool { isTooLong || !rest.isEmpty }

  private mutating func keep(_ octets: ArraySlice<UInt8>) {
    if isTooLong { return }
    if rest.count + octets.count > maximumOctets {
      isTooLong = true
      rest = []
    } else {
      rest.append(contentsOf: octets)
    }
  }
}
