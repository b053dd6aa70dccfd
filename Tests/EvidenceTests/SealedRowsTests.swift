import Evidence
import Testing

@Suite("Rows of a seal")
struct SealedRowsTests {
  @Test("Whole files have no faults, however they are cut into pieces", arguments: [1, 2, 3, 7, 64, 100_000])
  func whole(piece: Int) throws {
    let export = try Export(count: 9)
    #expect(export.faults().isEmpty)
    var damaged = export
    damaged.rows[3][40] ^= 1
    let expected = damaged.faults()
    for (files, faults) in [(export, []), (damaged, expected)] {
      var check = SealedRowsCheck(files.manifest)
      for file in [false, true] {
        let octets = file ? files.rowFile : files.chainFile
        for at in stride(from: 0, to: octets.count, by: piece) {
          let part = Array(octets[at..<min(at + piece, octets.count)])
          if file { check.feed(rows: part) } else { check.feed(chain: part) }
        }
      }
      let found = check.finish()
      #expect(found == faults)
    }
  }

  @Test("Every bit of the rows: found, and the right row named")
  func everyBitOfRows() throws {
    let export = try Export(count: 4)
    let file = export.rowFile
    var row = export.manifest.first
    for at in file.indices {
      for bit in 0..<8 {
        var flipped = file
        flipped[at] ^= 1 << bit
        let faults = Export.faults(export.manifest, flipped, export.chainFile)
        #expect(faults.contains { $0.row == row && $0.kind == .changed }, "octet \(at) bit \(bit): \(faults)")
        #expect(faults.contains { $0.kind == .rootDiffers })
        // A line's end that came or went disturbs its neighbour too.
        if file[at] != 10, flipped[at] != 10 { #expect(faults.named == [row], "octet \(at) bit \(bit): \(faults)") }
      }
      if file[at] == 10 { row += 1 }
    }
  }

  @Test("Every bit of the chain values: found, and the right row named")
  func everyBitOfChain() throws {
    let export = try Export(count: 4)
    let file = export.chainFile
    for at in file.indices {
      let row = export.manifest.first + Int64(at / 65)
      for bit in 0..<8 {
        var flipped = file
        flipped[at] ^= 1 << bit
        let faults = Export.faults(export.manifest, export.rowFile, flipped)
        #expect(faults.contains { $0.row == row && $0.kind == .chainChanged }, "octet \(at) bit \(bit): \(faults)")
        #expect(faults.allSatisfy { $0.kind == .chainChanged || $0.kind == .countDiffers })
        if at % 65 != 64 { #expect(faults.short == ["chain value changed \(row)"]) }
      }
    }
  }

  @Test("Every digest of the manifest that is not the rows' own")
  func manifestDigests() throws {
    let export = try Export(count: 4)
    for (path, kind) in [
      (\SealManifest.root, EvidenceFault.Kind.rootDiffers), (\.chainBefore, .chainDiffers), (\.chainAfter, .chainDiffers),
    ] {
      var other = export
      other.manifest[keyPath: path] = String(other.manifest[keyPath: path].reversed())
      #expect(other.faults().map(\.kind) == [kind])
    }
    var fewer = export
    fewer.manifest.last -= 1
    #expect(fewer.faults().contains { $0.kind == .countDiffers })
    var shifted = export
    (shifted.manifest.first, shifted.manifest.last) = (shifted.manifest.first + 1, shifted.manifest.last + 1)
    #expect(shifted.faults().map(\.kind) == [.sealDiffers])
  }

  @Test("A row removed, alone or with its chain value", arguments: [Int](0..<9))
  func removed(at: Int) throws {
    let export = try Export(count: 9)
    let row = export.manifest.first + Int64(at)
    var one = export
    one.rows.remove(at: at)
    #expect(one.faults().short == ["missing \(row)", "count differs", "root differs"])
    one.chain.remove(at: at)
    let faults = one.faults()
    #expect(faults.first?.kind == .missing)
    #expect(faults.first?.row == row)
    // What follows the gap cannot be vouched for, nothing else is suspected.
    #expect(faults.named.subtracting([row, row + 1]).isEmpty, "\(faults)")
    #expect(faults.contains { $0.kind == .rootDiffers })
  }

  @Test("A row that is there twice, wherever the second stands", arguments: [Int](0..<6))
  func repeated(at: Int) throws {
    let export = try Export(count: 6)
    let row = export.manifest.first + Int64(at)
    for place in 0...6 {
      var more = export
      more.rows.insert(export.rows[at], at: place)
      let faults = more.faults()
      #expect(faults.short == ["added \(row)", "count differs", "root differs"], "\(place)")
    }
  }

  @Test("A row that was never there", arguments: [Int](0...6))
  func added(at: Int) throws {
    let export = try Export(count: 6)
    for forged in [Samples.small(9000), Samples.small(export.manifest.first + Int64(min(at, 5)))] {
      var event = forged
      event.sender = "forged@pec.example.org"
      var more = export
      more.rows.insert(CanonicalEvent.octets(event), at: at)
      let faults = more.faults()
      #expect(faults.short == ["added", "count differs", "root differs"])
      #expect(faults.first?.line == at + 1)
    }
    var empty = export
    empty.rows.insert([], at: at)
    #expect(empty.faults().short == ["added", "count differs", "root differs"])
  }

  @Test("Two rows that stand in each other's place, alone or with their chain values")
  func swapped() throws {
    let export = try Export(count: 6)
    for one in 0..<6 {
      for other in one + 1..<6 {
        let pair: Set<Int64> = [export.manifest.first + Int64(one), export.manifest.first + Int64(other)]
        var moved = export
        moved.rows.swapAt(one, other)
        let faults = moved.faults()
        #expect(faults.contains { $0.kind == .moved && pair.contains($0.row ?? 0) }, "\(faults)")
        #expect(faults.named.isSubset(of: pair))
        moved.chain.swapAt(one, other)
        #expect(!moved.faults().named.isDisjoint(with: pair), "\(moved.faults())")
        var chainOnly = export
        chainOnly.chain.swapAt(one, other)
        #expect(!chainOnly.faults().named.isDisjoint(with: pair))
        #expect(chainOnly.faults().allSatisfy { $0.kind == .chainChanged })
      }
    }
  }

  @Test("A row carried to another place", arguments: [Int](0..<7))
  func carried(from: Int) throws {
    let export = try Export(count: 7)
    for to in 0..<7 where abs(to - from) > 1 {
      var moved = export
      moved.rows.insert(moved.rows.remove(at: from), at: to)
      #expect(moved.faults().short == ["moved \(export.manifest.first + Int64(from))", "root differs"])
    }
  }

  @Test("Chain values removed, there twice, damaged")
  func chainLines() throws {
    let export = try Export(count: 6)
    for at in 0..<6 {
      let row = export.manifest.first + Int64(at)
      var fewer = export
      fewer.chain.remove(at: at)
      #expect(fewer.faults().short == ["chain value changed \(row)", "count differs"])
      var more = export
      more.chain.insert(export.chain[at], at: 3)
      #expect(more.faults().short == ["chain value changed \(row)", "count differs"])
      var odd = export
      odd.chain[at] = []
      #expect(odd.faults().short == ["chain value changed \(row)"])
      // With a row damaged elsewhere, both are named and nothing else is.
      for other in 0..<6 where abs(other - at) > 1 {
        odd.rows[other] = CanonicalEvent.octets(Samples.event(export.manifest.first + Int64(other)))
        let expected = ["changed \(export.manifest.first + Int64(other))", "chain value changed \(row)"]
        #expect(Set(odd.faults().short).isSuperset(of: expected), "\(odd.faults())")
        #expect(odd.faults().named == [row, export.manifest.first + Int64(other)])
        odd.rows[other] = export.rows[other]
      }
    }
  }

  @Test("Two rows changed are both named")
  func twoRows() throws {
    let export = try Export(count: 7)
    for one in 0..<7 {
      for other in one + 1..<7 {
        var changed = export
        changed.rows[one][30] ^= 1
        changed.rows[other][30] ^= 1
        let rows = [one, other].map { export.manifest.first + Int64($0) }
        #expect(changed.faults().short == rows.map { "changed \($0)" } + ["root differs"])
      }
    }
  }

  @Test("A row changed, and all later chain values made anew to fit: found, and said that its place cannot be told")
  func rewritten() throws {
    let events = (401...406).map { Samples.small($0) }
    let before = EventChain.leaf(Array("before".utf8))
    let right = try Export(events, chainBefore: before)
    var changed = events
    changed[2].sender = "another@pec.example.org"
    var forged = try Export(changed, chainBefore: before)
    forged.manifest = right.manifest
    #expect(forged.faults().map(\.kind) == [.chainDiffers, .rootDiffers])
    // Made anew as another log altogether: nothing fits.
    #expect(forged.faults().first?.detail.contains("rewritten") == true)
  }

  @Test("Files cut off at any octet, or empty")
  func cut() throws {
    let export = try Export(count: 3)
    for end in 0..<export.rowFile.count {
      let faults = Export.faults(export.manifest, Array(export.rowFile[..<end]), export.chainFile)
      #expect(faults.contains { $0.kind == .rootDiffers } && faults.named.contains(403), "\(end)")
    }
    for end in 0..<export.chainFile.count {
      #expect(Export.faults(export.manifest, export.rowFile, Array(export.chainFile[..<end])).named.contains(403), "\(end)")
    }
  }

  @Test("However much is wrong, few faults are named and none of it is fatal")
  func bounded() throws {
    let export = try Export(count: 60)
    var noise = export
    noise.rows = noise.rows.map { _ in Array("x".utf8) }
    noise.chain = noise.chain.map { _ in Array("y".utf8) }
    #expect(noise.faults().count <= SealedRowsCheck.maximumFaults + 4)
    #expect(noise.faults().contains { $0.kind == .rootDiffers })
    var endless = export
    endless.rows = [[UInt8]](repeating: [], count: 5000)
    endless.chain = endless.rows
    #expect(endless.faults().contains { $0.kind == .countDiffers && $0.detail.hasPrefix("5000 rows") })
    var seed: UInt64 = 7
    for _ in 0..<300 {
      var files = (export.rowFile, export.chainFile)
      for _ in 0..<6 {
        seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let at = Int(seed >> 33)
        if at % 2 == 0 { files.0.remove(at: at % files.0.count) } else { files.1[at % files.1.count] ^= UInt8(1 + seed >> 20 & 127) }
      }
      #expect(!Export.faults(export.manifest, files.0, files.1).isEmpty)
    }
  }
}
