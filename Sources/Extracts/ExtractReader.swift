import Digests
public import Evidence
import Octets

/// Something in a bundle that is not as it was made, with its place.
public struct ExtractFault: Sendable, Equatable, CustomStringConvertible {
  /// Path of the file.
  public var file: String
  /// Number of the row it is about, where there is one.
  public var row: Int64?
  /// What is wrong.
  public var words: String

  /// A fault of that place.
  public init(file: String, row: Int64? = nil, words: String) {
    self.file = file
    self.row = row
    self.words = words
  }

  /// `eventi/17.json: row 17: …`.
  public var description: String { "\(file): " + (row.map { "row \($0): " } ?? "") + words }
}

/// What a bundle holds, as far as it could be read, and what is wrong with it apart from signatures and stamps.
public struct ExtractReading: Sendable {
  /// In the order of the files' checks; at most `ExtractReader.maximumFaults`.
  public var faults: [ExtractFault] = []
  /// Rows that can be read and are proven, by ascending number.
  public var rows: [ExtractRow] = []
  /// One for each of `rows`.
  public var proofs: [InclusionProof] = []
  /// Seals whose files are there, by ascending number. To be checked by the caller: `signed` against `certificates`, at the time of the
  /// first stamp, and that its content is `manifest`; each stamp against the octets of what it covers.
  public var seals: [SealFiles] = []
  /// Octets of `contenuto.txt`. To be checked by the caller: that they are what is signed in `contentsSignature`.
  public var contents: [UInt8] = []
  /// Octets of `contenuto.p7m`; nil when it is missing, which is among the faults.
  public var contentsSignature: [UInt8]?
  /// PEM certificates that come with `contentsSignature`.
  public var certificates: [UInt8] = []
  /// Revocation lists that come with them.
  public var revocationLists: [BundleFile] = []
  /// For whom the extract was made, by whose order; empty when `dati.txt` cannot be read.
  public var holder = ""
  public var order = ""
  /// Name of the provider whose log it is from.
  public var provider = ""
  /// Unix seconds at which it says it was made; nil when `dati.txt` cannot be read.
  public var unixSeconds: Int64?

  /// Of nothing.
  public init() {}
}

/// Reads a bundle back and checks all that needs no key.
public enum ExtractReader {
  /// Most faults that are told.
  public static let maximumFaults = 200

  /// Reads the files of a bundle, given with their paths inside of it. Never fails: what cannot be read is among the faults.
  public static func read(_ files: [BundleFile]) -> ExtractReading {
    var work = Work()
    for file in files where work.files.updateValue(file.octets, forKey: file.path) != nil {
      work.fault(file.path, "it is there twice")
    }
    work.checkContents()
    work.readData()
    work.readSeals()
    work.readRows()
    return work.reading
  }

  fileprivate struct Work {
    var files: [String: [UInt8]] = [:]
    var reading = ExtractReading()
    var data: ExtractData?
    var manifests: [Int64: SealManifest] = [:]
    /// Names below the folder of each seal, sorted: gathered once, for a bundle may have as many folders as files.
    var sealNames: [Int64: [String]] = [:]
    /// The stamps of `data` by their seal, in their order.
    var stamps: [Int64: [ExtractData.Stamp]] = [:]
  }
}

extension ExtractReader.Work {
  fileprivate mutating func fault(_ file: String, row: Int64? = nil, _ words: String) {
    if reading.faults.count < ExtractReader.maximumFaults { reading.faults.append(ExtractFault(file: file, row: row, words: words)) }
  }

  private mutating func take(_ path: String) -> [UInt8] {
    guard let octets = files[path] else {
      fault(path, "it is missing")
      return []
    }
    return octets
  }

  private func names(below folder: String) -> [String] {
    files.keys.filter { $0.hasPrefix(folder) }.map { String($0.dropFirst(folder.count)) }.sorted()
  }

  private func lists(below folder: String) -> [BundleFile] { names(below: folder).map { BundleFile($0, files[folder + $0] ?? []) } }

  // MARK: The list of contents

  fileprivate mutating func checkContents() {
    reading.contents = take(ExtractBundle.contentsName)
    reading.contentsSignature = files[ExtractBundle.contentsSignatureName]
    if reading.contentsSignature == nil { fault(ExtractBundle.contentsSignatureName, "it is missing") }
    reading.certificates = take("certificati/gestore.pem")
    reading.revocationLists = lists(below: "certificati/revoche/")
    var named: Set<String> = []
    for (index, line) in reading.contents.split(separator: 10, omittingEmptySubsequences: false).dropLast().enumerated() {
      let (digest, path) = (String(decoding: line.prefix(64), as: UTF8.self), String(decoding: line.dropFirst(66), as: UTF8.self))
      guard line.count > 66, line.dropFirst(64).prefix(2).elementsEqual([32, 32]), BundlePath.isUsable(path),
        digest.utf8.allSatisfy({ $0 &- 48 < 10 || $0 &- 97 < 6 })
      else {
        fault(ExtractBundle.contentsName, "line \(index + 1) is not a digest and the name of a file")
        continue
      }
      if !named.insert(path).inserted { fault(ExtractBundle.contentsName, "\(path) is named twice") }
      guard let octets = files[path] else {
        fault(path, "it is missing")
        continue
      }
      if Hex.encode(SHA256.digest(octets)) != digest { fault(path, "it was changed: it is not what \(ExtractBundle.contentsName) names") }
    }
    if reading.contents.last != 10, !reading.contents.isEmpty { fault(ExtractBundle.contentsName, "it was cut") }
    let own = [ExtractBundle.contentsName, ExtractBundle.contentsSignatureName]
    for path in files.keys.sorted() where !named.contains(path) && !own.contains(path) {
      fault(path, "it was added: \(ExtractBundle.contentsName) does not name it")
    }
    // A list made by somebody who left out both a file and its line.
    for path in ["estratto.html", "estratto.pdf", "VERIFICA.txt", "verifica.html", "verifica.sh"]
    where files[path] == nil && !named.contains(path) {
      fault(path, "it is missing")
    }
  }

  fileprivate mutating func readData() {
    let octets = take("dati.txt")
    guard let data = ExtractData(reading: octets) else {
      if !octets.isEmpty { fault("dati.txt", "it is not in the form in which it is written") }
      return
    }
    self.data = data
    stamps = Dictionary(grouping: data.stamps, by: \.seal)
    reading.holder = data.holder
    reading.order = data.order
    reading.provider = data.provider
    reading.unixSeconds = data.instant.unixSeconds
  }

  // MARK: Seals

  fileprivate mutating func readSeals() {
    var strange: Set<Substring> = []
    for path in names(below: "sigilli/") {
      let steps = path.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = steps.first, let number = Int64(name), number > 0, String(number) == name else {
        if let name = steps.first, strange.insert(name).inserted { fault("sigilli/\(name)", "it is not the folder of a seal") }
        continue
      }
      sealNames[number, default: []] += steps.dropFirst().map(String.init)
    }
    for number in sealNames.keys.sorted() { readSeal(number) }
    for stamp in data?.stamps ?? [] where sealNames[stamp.seal] == nil { fault("dati.txt", "it names a stamp of seal \(stamp.seal)") }
    for number in manifests.keys.sorted() {
      guard let manifest = manifests[number], let before = manifests[number - 1] else { continue }
      for wrong in manifest.faults(after: before) { fault("sigilli/\(number)/manifesto.json", wrong.description) }
    }
  }

  private mutating func readSeal(_ number: Int64) {
    let folder = "sigilli/\(number)/"
    let names = sealNames[number] ?? []
    let lists = names.filter { $0.hasPrefix("revoche/") }
    var seal = SealFiles(
      number: number, manifest: take("\(folder)manifesto.json"), signed: take(folder + SealFiles.signedName),
      evidenceRecord: files["\(folder)evidenza.er"], certificates: take("\(folder)certificati.pem"),
      revocationLists: lists.map { BundleFile(String($0.dropFirst("revoche/".count)), files[folder + $0] ?? []) },
      stampAuthorities: files["\(folder)marche.pem"] ?? [])
    var known: Set<String> = [SealFiles.signedName]
    for stamp in stamps[number] ?? [] {
      guard BundlePath.isName(stamp.name.utf8), known.contains(stamp.covers), known.insert(stamp.name).inserted else {
        fault("dati.txt", "the stamp \(stamp.name) of seal \(number) stamps what is not there")
        continue
      }
      seal.stamps.append(
        ExtractStamp(
          name: stamp.name, token: take(folder + stamp.name), covers: stamp.covers, unixSeconds: stamp.unixSeconds,
          authority: stamp.authority))
    }
    for name in names where !name.hasPrefix("revoche/") && !known.contains(name) && !SealFiles.ownNames.contains(name) {
      fault(folder + name, "dati.txt does not name this stamp")
    }
    if !seal.manifest.isEmpty {
      do {
        let manifest = try SealManifest(reading: seal.manifest)
        if manifest.number == number {
          manifests[number] = manifest
        } else {
          fault("\(folder)manifesto.json", "it is the manifest of seal \(manifest.number)")
        }
        if let provider = data?.provider, Shown.text(manifest.provider) != provider {
          fault("\(folder)manifesto.json", "it is a seal of another provider than the extract's: \(Shown.text(manifest.provider))")
        }
      } catch { fault("\(folder)manifesto.json", "it is not a manifest: \(error)") }
    }
    reading.seals.append(seal)
  }

  // MARK: Rows

  fileprivate mutating func readRows() {
    var proofs: [InclusionProof] = []
    if let text = String(validating: take("prove.txt"), as: UTF8.self) {
      do { proofs = try InclusionProof.list(reading: text) } catch { fault("prove.txt", "it cannot be read: \(error)") }
    } else {
      fault("prove.txt", "it is not text")
    }
    var last: Int64 = 0
    for proof in proofs {
      if proof.row <= last { fault("prove.txt", row: proof.row, "it stands after row \(last), or twice") }
      last = max(last, proof.row)
      readRow(proof)
    }
    checkLines(proofs)
    let proven = Set(proofs.map { "\($0.row).json" })
    for name in names(below: "eventi/") where !proven.contains(name) { fault("eventi/\(name)", "prove.txt has no proof for it") }
    let covering = Set(proofs.map(\.seal))
    for number in manifests.keys.sorted() where !covering.contains(number) {
      fault("sigilli/\(number)", "no row is under this seal")
    }
  }

  private mutating func readRow(_ proof: InclusionProof) {
    let path = "eventi/\(proof.row).json"
    guard let octets = files[path] else { return fault(path, row: proof.row, "it is missing") }
    do {
      let event = try CanonicalEvent.read(octets)
      guard let manifest = manifests[proof.seal] else {
        return fault("prove.txt", row: proof.row, "the manifest of seal \(proof.seal) is missing or cannot be read")
      }
      if let wrong = proof.fault(canonical: octets, manifest: manifest) { return fault(path, row: proof.row, wrong.detail) }
      reading.rows.append(ExtractRow(event: event, canonical: octets))
      reading.proofs.append(proof)
    } catch { fault(path, row: proof.row, "it is not in canonical form: \(error)") }
  }

  /// `eventi.jsonl` shows the same rows as the files of each.
  private mutating func checkLines(_ proofs: [InclusionProof]) {
    let lines = take("eventi.jsonl").split(separator: 10, omittingEmptySubsequences: false)
    guard lines.last?.isEmpty ?? true else { return fault("eventi.jsonl", "it was cut") }
    let rows = lines.dropLast()
    if rows.count != proofs.count { fault("eventi.jsonl", "it has \(rows.count) rows, and prove.txt \(proofs.count)") }
    for (line, proof) in zip(rows, proofs) where files["eventi/\(proof.row).json"].map({ !$0.elementsEqual(line) }) ?? false {
      fault("eventi.jsonl", row: proof.row, "the line is not eventi/\(proof.row).json")
    }
  }
}
