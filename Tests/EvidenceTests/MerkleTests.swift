import Digests
import Evidence
import Octets
import Testing

@Suite("Merkle tree")
struct MerkleTests {
  /// The inputs and roots that implementations of RFC 6962 are tried with.
  private static let inputs: [[UInt8]] = [
    [], [0], [0x10], [0x20, 0x21], [0x30, 0x31], [0x40, 0x41, 0x42, 0x43], Array(0x50...0x57), Array(0x60...0x6F),
  ]
  private static let roots = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
  ]

  /// RFC 6962 §2.1, word for word.
  private func reference(_ leaves: ArraySlice<[UInt8]>) -> [UInt8] {
    if leaves.isEmpty { return SHA256.digest([UInt8]()) }
    if leaves.count == 1 { return leaves[leaves.startIndex] }
    var half = 1
    while half * 2 < leaves.count { half *= 2 }
    let middle = leaves.startIndex + half
    return SHA256.digest([1] + reference(leaves[..<middle]) + reference(leaves[middle...]))
  }

  /// RFC 6962 §2.1.1, word for word.
  private func referencePath(_ index: Int, _ leaves: ArraySlice<[UInt8]>) -> [MerkleStep] {
    if leaves.count == 1 { return [] }
    var half = 1
    while half * 2 < leaves.count { half *= 2 }
    let middle = leaves.startIndex + half
    return index < half
      ? referencePath(index, leaves[..<middle]) + [MerkleStep(side: .right, digest: reference(leaves[middle...]))]
      : referencePath(index - half, leaves[middle...]) + [MerkleStep(side: .left, digest: reference(leaves[..<middle]))]
  }

  private func leaves(_ count: Int) -> [[UInt8]] { (0..<count).map { EventChain.leaf(Array("row \($0)".utf8)) } }

  @Test("Known roots")
  func knownRoots() {
    for count in 0...MerkleTests.inputs.count {
      let leaves = MerkleTests.inputs[..<count].map { EventChain.leaf($0) }
      #expect(Hex.encode(MerkleTree.root(Array(leaves))) == MerkleTests.roots[count])
    }
  }

  @Test("Roots as the RFC defines them, also leaf by leaf")
  func roots() {
    let all = leaves(130)
    var builder = MerkleTree.Builder()
    for count in 0...all.count {
      let expected = reference(all[..<count])
      #expect(builder.count == count)
      #expect(builder.root() == expected)
      #expect(MerkleTree.root(Array(all[..<count])) == expected)
      if count < all.count { builder.add(all[count]) }
    }
  }

  @Test("Paths as the RFC defines them lead to the root, for every leaf of every size")
  func paths() {
    for count in 1...40 {
      let all = leaves(count)
      let root = MerkleTree.root(all)
      let paths = MerkleTree.paths(Array(0..<count), leaves: all)
      for index in 0..<count {
        #expect(paths[index] == referencePath(index, all[...]))
        #expect(MerkleTree.root(leaf: all[index], path: paths[index]) == root)
      }
    }
    #expect(MerkleTree.paths([], leaves: leaves(3)).isEmpty)
    #expect(MerkleTree.paths([2, 0, 2], leaves: leaves(5)).map(\.count) == [3, 3, 3])
  }

  @Test("A step's text is read back, and nothing else")
  func steps() {
    for step in [MerkleStep(side: .left, digest: leaves(1)[0]), MerkleStep(side: .right, digest: leaves(2)[1])] {
      #expect(MerkleStep(text: step.text) == step)
      for wrong in [
        "", "L", "L ", String(step.text.dropLast()), step.text + "0", step.text + " ", step.text.uppercased(), "X" + step.text.dropFirst(),
        step.text.replacingOccurrences(" ", "\t"), " " + step.text.dropLast(),
      ] {
        #expect(MerkleStep(text: wrong) == nil, "\(wrong)")
      }
    }
  }
}

extension String {
  fileprivate func replacingOccurrences(_ old: Character, _ new: Character) -> String { String(map { $0 == old ? new : $0 }) }
}

@Suite("Proofs of inclusion")
struct InclusionTests {
  private func proofs(_ count: Int64) throws -> (Export, [InclusionProof]) {
    let export = try Export(first: 401, count: count)
    let leaves = export.rows.map { EventChain.leaf($0) }
    return (export, InclusionProof.proofs(rows: Array(300...600), in: export.manifest, leaves: leaves))
  }

  @Test("Every row of a seal is proved, and by its own proof alone")
  func everyRow() throws {
    for count: Int64 in [1, 2, 3, 5, 8, 13] {
      let (export, proofs) = try proofs(count)
      #expect(proofs.map(\.row) == Array(401..<401 + count))
      for (at, proof) in proofs.enumerated() {
        for (other, row) in export.rows.enumerated() {
          #expect((proof.fault(canonical: row, manifest: export.manifest) == nil) == (at == other))
        }
      }
    }
  }

  @Test("Nothing in a proof can be changed")
  func changed() throws {
    let (export, proofs) = try proofs(7)
    for (at, proof) in proofs.enumerated() {
      var wrong: [InclusionProof] = []
      func change(_ body: (inout InclusionProof) -> Void) {
        var other = proof
        body(&other)
        wrong.append(other)
      }
      change { $0.row += 1 }
      change { $0.seal += 1 }
      change { $0.index += 1 }
      change { $0.index = -1 }
      change { $0.index = .max }
      change { $0.treeSize += 1 }
      change { $0.treeSize = 1 << 40 }
      change { $0.path.removeLast() }
      change { $0.path.append($0.path[0]) }
      for step in proof.path.indices {
        change { $0.path[step].side = $0.path[step].side == .left ? .right : .left }
        change { $0.path[step].digest[31] ^= 1 }
        change { $0.path[step].digest = [] }
      }
      for other in wrong { #expect(other.fault(canonical: export.rows[at], manifest: export.manifest)?.row == other.row) }
      var manifest = export.manifest
      manifest.root = String(manifest.root.reversed())
      #expect(proof.fault(canonical: export.rows[at], manifest: manifest) != nil)
    }
  }

  @Test("The text is read back, one proof or many, and in no other spelling")
  func text() throws {
    let (_, proofs) = try proofs(6)
    #expect(proofs[1].text.hasPrefix("row 402 seal 1 index 1 of 6\nL "))
    #expect(try InclusionProof.list(reading: proofs.map(\.text).joined()) == proofs)
    #expect(try InclusionProof.list(reading: "").isEmpty)
    for proof in proofs {
      #expect(try InclusionProof(reading: proof.text) == proof)
      let octets = Array(proof.text.utf8)
      for at in octets.indices {
        for bit in 0..<8 {
          var flipped = octets
          flipped[at] ^= 1 << bit
          let text = String(decoding: flipped, as: UTF8.self)
          guard let read = try? InclusionProof(reading: text) else { continue }
          #expect(read != proof)
          #expect(read.text == text)
        }
      }
    }
    let first = proofs[0].text
    for wrong in [
      "", "\n", String(first.dropLast()), "\n" + first, first + "\n", first.uppercased(), "row 1 seal 1 index 0 of 01\n",
      "row +1 seal 1 index 0 of 1\n", "row 1 seal 1 index 0 of 1 \n", String(first.dropFirst(28)), first + first,
    ] {
      #expect(throws: EvidenceError.self) { try InclusionProof(reading: wrong) }
    }
  }
}
