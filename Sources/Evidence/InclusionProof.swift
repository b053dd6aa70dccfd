import Octets

/// That a row is one of a seal's: the way from its leaf to the seal's root (RFC 6962 §2.1.1).
///
/// As text, for people and for a script of standard tools:
/// ```
/// row 17 seal 5 index 16 of 100
/// R 0123…
/// L 4567…
/// ```
public struct InclusionProof: Sendable, Equatable {
  /// Number of the row in the log.
  public var row: Int64
  /// Number of the seal.
  public var seal: Int64
  /// Place of the row among the seal's rows, from 0.
  public var index: Int
  /// How many rows the seal covers.
  public var treeSize: Int
  /// From the leaf upwards.
  public var path: [MerkleStep]

  /// A proof of these fields.
  public init(row: Int64, seal: Int64, index: Int, treeSize: Int, path: [MerkleStep]) {
    self.row = row
    self.seal = seal
    self.index = index
    self.treeSize = treeSize
    self.path = path
  }

  /// The proofs of rows of a seal, whose leaves are these. Rows that the seal does not cover have none and are passed over.
  public static func proofs(rows: [Int64], in manifest: SealManifest, leaves: [[UInt8]]) -> [InclusionProof] {
    guard manifest.count == leaves.count else { return [] }
    let covered = rows.filter { (manifest.first...max(manifest.first, manifest.last)).contains($0) }
    let indexes = covered.map { Int($0 - manifest.first) }
    return zip(covered, zip(indexes, MerkleTree.paths(indexes, leaves: leaves))).map { row, found in
      InclusionProof(row: row, seal: manifest.number, index: found.0, treeSize: leaves.count, path: found.1)
    }
  }

  /// What is wrong with it as a proof that a row of these canonical octets is among the rows of that seal; nil when it proves that.
  public func fault(canonical: [UInt8], manifest: SealManifest) -> EvidenceFault? {
    func fault(_ detail: String) -> EvidenceFault { EvidenceFault(.rootDiffers, row: row, detail: detail) }
    guard seal == manifest.number, Int64(treeSize) == manifest.count, index >= 0, index < treeSize, row == manifest.first + Int64(index)
    else { return fault("its proof does not fit seal \(manifest.number) with the rows \(manifest.first) to \(manifest.last)") }
    guard CanonicalEvent.claimedNumber(canonical) == row else { return fault("its octets say another row number than its proof") }
    guard path.map(\.side) == MerkleTree.sides(of: index, in: treeSize) else { return fault("its proof has the form of another row's") }
    guard Hex.encode(MerkleTree.root(leaf: EventChain.leaf(canonical), path: path)) == manifest.root else {
      return fault("its octets and its proof do not lead to the root of seal \(seal)")
    }
    return nil
  }

  /// The header line and a line for each step, each with its end.
  public var text: String {
    (["row \(row) seal \(seal) index \(index) of \(treeSize)"] + path.map(\.text)).map { $0 + "\n" }.joined()
  }

  /// Reads what `text` wrote, and nothing else.
  public init(reading text: String) throws(EvidenceError) {
    let all = try InclusionProof.list(reading: text)
    guard all.count == 1, let only = all.first else { throw .malformed(offset: 0, expected: "one proof") }
    self = only
  }

  /// Reads proofs that stand one after the other, as `text` wrote them.
  public static func list(reading text: String) throws(EvidenceError) -> [InclusionProof] {
    var proofs: [InclusionProof] = []
    var offset = 0
    for line in text.utf8.split(separator: 10, omittingEmptySubsequences: false).dropLast() {
      let words = line.split(separator: 32, omittingEmptySubsequences: false).map { String(Substring($0)) }
      if words.count == 8, words[0] == "row", words[2] == "seal", words[4] == "index", words[6] == "of", let row = Int64(words[1]),
        let seal = Int64(words[3]), let index = Int(words[5]), let size = Int(words[7])
      {
        proofs.append(InclusionProof(row: row, seal: seal, index: index, treeSize: size, path: []))
      } else if let step = MerkleStep(text: String(Substring(line))), let last = proofs.indices.last, proofs[last].path.count < 64 {
        proofs[last].path.append(step)
      } else {
        throw .malformed(offset: offset, expected: "a proof's first line, or a step")
      }
      offset += line.count + 1
    }
    // Whatever has two spellings, numbers for instance, is let through in one of them alone.
    try CanonicalText.compare(Array(text.utf8), with: Array(proofs.map(\.text).joined().utf8))
    return proofs
  }
}
