import Evidence
import Extracts
import Journey
import PEC
import Testing

/// A bundle read back: what is in order, and what is found without any key.
@Suite struct ReaderTests {
  let world: World
  init() throws { world = try World.shared.get() }

  @Test func aWholeBundleIsReadBack() {
    let reading = ExtractReader.read(world.files)
    #expect(reading.faults == [])
    #expect(reading.rows == world.matter.rows)
    #expect(reading.proofs == world.matter.proofs)
    #expect(reading.seals == world.matter.seals)
    #expect(reading.contents == world.bundle.contents)
    #expect(reading.contentsSignature == world.files[ExtractBundle.contentsSignatureName])
    #expect(reading.certificates == world.matter.certificates)
    #expect(reading.revocationLists == world.matter.revocationLists)
    #expect(reading.holder == world.matter.holder)
    #expect(reading.provider == world.matter.provider)
    #expect(reading.order == world.matter.order)
    #expect(reading.unixSeconds == world.matter.instant.unixSeconds)
  }

  /// Bits all over every file but the signature, which is the caller's to check.
  @Test func changedBitsAreFound() {
    let files = world.files
    var tried = 0
    for (index, file) in files.enumerated() where file.path != ExtractBundle.contentsSignatureName {
      // A stride that is odd comes to every place of an octet in turn.
      let step = file.path.hasPrefix("eventi") || file.path.hasPrefix("sigilli/1/mani") || file.path == "prove.txt" ? 97 : 1999
      var damaged = files
      for bit in stride(from: index % step, to: file.octets.count * 8, by: step) {
        damaged[index].octets[bit / 8] ^= 1 << UInt8(bit % 8)
        let faults = ExtractReader.read(damaged).faults
        #expect(
          faults.contains { $0.file == file.path || file.path == ExtractBundle.contentsName }, "bit \(bit) of \(file.path): \(faults)")
        damaged[index].octets[bit / 8] ^= 1 << UInt8(bit % 8)
        tried += 1
      }
    }
    #expect(tried > 300)
  }

  /// The same with a list of contents made anew: the rows' own evidence names the row.
  @Test func changedBitsOfARowAreFoundByItsProof() throws {
    for row in [Int64(4), 11] {
      let path = "eventi/\(row).json"
      let whole = world.files[path]
      for bit in stride(from: Int(row) % 13, to: whole.count * 8, by: 13) {
        var octets = whole
        octets[bit / 8] ^= 1 << UInt8(bit % 8)
        let faults = ExtractReader.read(world.files.changing(path) { $0 = octets }).faults
        #expect(faults.contains { $0.file == path && $0.row == row && !$0.words.contains("contenuto.txt") }, "bit \(bit)")
      }
    }
  }

  @Test func filesRemovedAndAddedAreNamed() {
    for file in world.files {
      let faults = ExtractReader.read(world.files.without(file.path)).faults
      #expect(
        faults.contains { $0.file == file.path && $0.words == "it is missing" } || file.path.contains("revoche"), "\(file.path): \(faults)")
      #expect(!faults.isEmpty)
    }
    for path in [
      "eventi/5.json", "sigilli/3/manifesto.json", "sigilli/x/y", "sigilli/1/marca-9.tst", "leggimi", "eventi/x", "sigilli/1/../2",
    ] {
      let faults = ExtractReader.read(world.files + [BundleFile(path, Array("{}".utf8))]).faults
      #expect(faults.contains { $0.file == path || path.hasPrefix($0.file) }, "\(path): \(faults)")
    }
    #expect(ExtractReader.read(world.files + [world.files[0]]).faults.contains { $0.words == "it is there twice" })
    #expect(!ExtractReader.read([]).faults.isEmpty)
  }

  @Test func rowsMovedOrWithoutProofAreNamed() throws {
    let moved = try world.relisted(
      world.files.changing("eventi/4.json") { $0 = world.files["eventi/3.json"] }.changing("eventi/3.json") {
        $0 = world.files["eventi/4.json"]
      })
    let rows = ExtractReader.read(moved).faults.compactMap(\.row)
    #expect(Set(rows).isSuperset(of: [3, 4]))
    let added = try world.relisted(world.files + [BundleFile("eventi/5.json", CanonicalEvent.octets(World.event(5)))])
    #expect(ExtractReader.read(added).faults.map(\.description) == ["eventi/5.json: prove.txt has no proof for it"])
    let removed = try world.relisted(world.files.without("eventi/9.json"))
    #expect(ExtractReader.read(removed).faults.contains { $0.file == "eventi/9.json" && $0.row == 9 })
    let reordered = try world.relisted(
      world.files.changing("prove.txt") { $0 = Array(world.matter.proofs.reversed().map(\.text).joined().utf8) })
    #expect(ExtractReader.read(reordered).faults.contains { $0.file == "prove.txt" && $0.row == 3 })
    let seals = try world.relisted(
      world.files.changing("sigilli/2/manifesto.json") { $0 = world.files["sigilli/1/manifesto.json"] })
    #expect(ExtractReader.read(seals).faults.contains { $0.file == "sigilli/2/manifesto.json" && $0.words.contains("seal 1") })
    let provider = try world.relisted(world.files.replacing("dati.txt", "gestore: Gestore", "gestore: Altro"))
    #expect(ExtractReader.read(provider).faults.contains { $0.words.contains("another provider") })
  }

  /// Anybody can write a number: it is read before any signature is.
  @Test func numbersOfAnySizeAreReadWithoutTrapping() throws {
    let data = String(decoding: world.files["dati.txt"], as: UTF8.self)
    let issued = try #require(data.split(separator: "\n").first { $0.hasPrefix("emesso: ") })
    let stamp = try #require(data.split(separator: "\n").first { $0.hasPrefix("marca: 1 ") })
    let time = try #require(stamp.split(separator: " ").dropFirst(4).first)
    for number in [Int64.min, Int64.min + 1, .max, 1 << 40, -1 << 40].map(String.init) + ["-9223372036854775809", "9223372036854775808"] {
      let crafted = [
        (String(issued), "emesso: \(number) 3600"), (String(issued), "emesso: 1795254266 \(number)"), ("omesse: 0", "omesse: \(number)"),
        (String(stamp), String(stamp.replacing(time, with: number))),
        (String(stamp), String(stamp.replacing("marca: 1 ", with: "marca: \(number) "))),
      ]
      for (old, new) in crafted {
        let faults = ExtractReader.read(world.files.replacing("dati.txt", old, new)).faults
        #expect(faults.contains { $0.file == "dati.txt" }, "\(new)")
      }
      let proofs = ExtractReader.read(world.files.replacing("prove.txt", "row 3 seal 1", "row \(number) seal \(number)")).faults
      #expect(proofs.contains { $0.file == "prove.txt" })
      _ = ExtractReader.read(world.files.replacing("eventi/3.json", #""number":3"#, #""number":\#(number)"#))
      _ = ExtractReader.read(world.files + [BundleFile("sigilli/\(number)/manifesto.json", "{}")])
    }
  }

  @Test func whateverComesIsReadWithoutTrapping() {
    var seed: UInt64 = 88_172_645_463_325_252
    func next(_ bound: Int) -> Int {
      seed ^= seed << 13
      seed ^= seed >> 7
      seed ^= seed << 17
      return Int(seed % UInt64(max(1, bound)))
    }
    for _ in 0..<300 {
      var files = world.files
      for _ in 0...next(3) {
        let index = next(files.count)
        let count = files[index].octets.count
        switch next(5) {
        case 0: files[index].octets = Array(files[index].octets.prefix(next(count)))
        case 1: files[index].octets.insert(UInt8(next(256)), at: next(count))
        case 2: files[index].octets = files[next(files.count)].octets
        case 3: files[index].path = ["", "/", "sigilli/", "eventi/9999999999999999999.json", "a\u{0}b", "../x", "sigilli/1"][next(7)]
        default: files[index].octets = (0..<next(200)).map { _ in UInt8(next(256)) }
        }
      }
      if files != world.files {
        #expect(
          !ExtractReader.read(files).faults.isEmpty
            || files[ExtractBundle.contentsSignatureName] != world.files[ExtractBundle.contentsSignatureName])
      }
    }
  }
}

/// What is not right is not made into a bundle.
@Suite struct BundleTests {
  let world: World
  init() throws { world = try World.shared.get() }

  private func failure(_ change: (inout ExtractMatter) -> Void) -> ExtractError? {
    var matter = world.matter
    change(&matter)
    do {
      _ = try ExtractBundle(matter, pdf: [])
      return nil
    } catch { return error }
  }

  @Test func theSameMatterGivesTheSameBundle() throws {
    #expect(try ExtractBundle(world.matter, pdf: Array("%PDF-1.5 the caller's".utf8)) == world.bundle)
  }

  @Test func rowsProofsAndSealsMustFit() {
    #expect(failure { _ in } == nil)
    #expect(failure { $0.proofs.removeLast() } == .unproven(row: 12))
    #expect(failure { $0.proofs.append($0.proofs[4]) } == .unproven(row: 12))
    #expect(failure { $0.proofs.swapAt(0, 1) } == .unproven(row: 3))
    #expect(failure { $0.seals.removeLast() } == .noSeal(2))
    #expect(failure { $0.seals.append($0.seals[0]) } == .seal(1, "it is there twice"))
    #expect(
      failure {
        $0.rows.swapAt(0, 1); $0.proofs.swapAt(0, 1)
      } == .row(3, "does not come after row 4"))
    #expect(failure { $0.rows[0].event.bytes += 1 } == .row(3, "is not what its octets say"))
    #expect(failure { $0.rows[0].event.number = nil } == .row(0, "does not come after row 0"))
    let changed = failure { matter in
      matter.rows[0].event.bytes += 1
      matter.rows[0].canonical = CanonicalEvent.octets(matter.rows[0].event)
    }
    guard case .row(3, _) = changed else {
      Issue.record("\(String(describing: changed))")
      return
    }
    #expect(failure { $0.seals[0].manifest = $0.seals[1].manifest } == .seal(1, "its manifest is of seal 2"))
    #expect(
      failure {
        $0.rows.removeAll(); $0.proofs.removeAll()
      } == .seal(1, "none of the rows is under it"))
  }

  @Test func namesThatMayNotStandInABundleAreRefused() {
    for name in ["../x", "a b", "", "-x", ".x", "sigillo.p7m", "manifesto.json", "x/y", "è", "a\u{0}"] {
      #expect(failure { $0.seals[0].stamps[0].name = name } != nil, "\(name)")
    }
    #expect(failure { $0.seals[0].stamps[0].covers = "marca-7.tst" } != nil)
    #expect(failure { $0.revocationLists[0].path = "../ca.crl" } == .unusableName("certificati/revoche/../ca.crl"))
    #expect(failure { $0.revocationLists.append($0.revocationLists[0]) } == .unusableName("certificati/revoche/ca.crl"))
  }

  /// The bundle names nobody who is not in the rows asked for.
  @Test func noOtherHolderIsNamed() {
    for file in world.files {
      let text = String(decoding: file.octets, as: UTF8.self)
      for other in ["carla", "dario"] { #expect(!text.contains(other), "\(file.path)") }
    }
  }
}
