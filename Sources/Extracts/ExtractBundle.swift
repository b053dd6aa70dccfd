import Digests
import Evidence
import Octets
import PEC

/// The files of an extract, all but the signature of their list: that is the caller's to make.
///
/// | File | What it is |
/// |---|---|
/// | `estratto.html`, `estratto.pdf` | the extract, for people |
/// | `dati.txt` | for whom, by whose order, when, and the stamps, for programs |
/// | `eventi.jsonl`, `eventi/N.json` | the rows' canonical octets: one a line, and each alone |
/// | `prove.txt` | the way from each row to its seal's root |
/// | `sigilli/N/…` | `manifesto.json`, `sigillo.p7m`, stamps, `evidenza.er`, `certificati.pem`, `marche.pem`, `revoche/…` |
/// | `certificati/…` | `gestore.pem` and `revoche/…` of who signs the list of contents |
/// | `VERIFICA.txt`, `verifica.html`, `verifica.sh` | how to check it, and a script that does |
/// | `contenuto.txt` | SHA-256 of every other file, as `sha256sum -c` reads it |
/// | `contenuto.p7m` | that list signed, content inside: added by the caller |
public struct ExtractBundle: Sendable, Equatable {
  /// Name of the list of contents.
  public static let contentsName = "contenuto.txt"
  /// Name of the list of contents, signed.
  public static let contentsSignatureName = "contenuto.p7m"
  /// Most rows of a bundle.
  public static let maximumRows = 20_000
  /// Most octets of a bundle, all files together.
  public static let maximumBytes = 1 << 30

  /// All of them, `contenuto.txt` last.
  public let files: [BundleFile]
  /// Octets of `contenuto.txt`: what the caller signs.
  public let contents: [UInt8]

  /// Puts a bundle together.
  /// - Parameter pdf: `matter.page()`, printed.
  public init(_ matter: ExtractMatter, pdf: [UInt8]) throws(ExtractError) {
    let page = try matter.page()
    let instructions = VerificationPage.make(matter)
    var files = [
      BundleFile("estratto.html", HTMLWriter.write(page)), BundleFile("estratto.pdf", pdf),
      BundleFile("dati.txt", ExtractData(matter).octets),
      BundleFile("eventi.jsonl", Array(matter.rows.map { $0.canonical + [10] }.joined())),
      BundleFile("prove.txt", matter.proofs.map(\.text).joined()), BundleFile("VERIFICA.txt", PlainWriter.write(instructions)),
      BundleFile("verifica.html", HTMLWriter.write(instructions)), BundleFile("verifica.sh", VerificationScript.octets),
      BundleFile("certificati/gestore.pem", matter.certificates),
    ]
    files += matter.revocationLists.map { BundleFile("certificati/revoche/\($0.path)", $0.octets) }
    files += matter.rows.map { BundleFile("eventi/\($0.event.number ?? 0).json", $0.canonical) }
    for seal in matter.seals { files += seal.files }
    files.sort { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
    let bytes = files.reduce(0) { $0 + $1.octets.count }
    guard bytes <= ExtractBundle.maximumBytes else { throw .tooLarge("\(bytes) octets") }
    for file in files {
      guard BundlePath.isUsable(file.path) else { throw .unusableName(file.path) }
    }
    if let twin = zip(files, files.dropFirst()).first(where: { $0.path == $1.path }) { throw .unusableName(twin.0.path) }
    contents = ExtractBundle.list(files)
    self.files = files + [BundleFile(ExtractBundle.contentsName, contents)]
  }

  /// The list of contents over these files.
  static func list(_ files: [BundleFile]) -> [UInt8] {
    Array(files.map { "\(Hex.encode(SHA256.digest($0.octets)))  \($0.path)\n" }.joined().utf8)
  }
}

/// What may be a path in a bundle: nothing that a shell, a file system or an archive takes for something else.
enum BundlePath {
  static func isUsable(_ path: String) -> Bool {
    path.utf8.count <= 200 && path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).allSatisfy { isName($0) }
  }

  /// A letter or digit first, then also `.`, `-` and `_`.
  static func isName(_ name: some BidirectionalCollection<UInt8>) -> Bool {
    guard let first = name.first, isLetter(first) else { return false }
    return name.allSatisfy { isLetter($0) || [UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_")].contains($0) }
  }

  private static func isLetter(_ octet: UInt8) -> Bool { (octet | 32) &- 97 < 26 || octet &- 48 < 10 }
}

extension SealFiles {
  /// Names that a stamp may not take.
  static let ownNames: Set<String> = [signedName, "manifesto.json", "evidenza.er", "certificati.pem", "marche.pem", "revoche"]

  var files: [BundleFile] {
    let folder = "sigilli/\(number)"
    var files = [
      BundleFile("\(folder)/manifesto.json", manifest), BundleFile("\(folder)/\(SealFiles.signedName)", signed),
      BundleFile("\(folder)/certificati.pem", certificates),
    ]
    if !stampAuthorities.isEmpty { files.append(BundleFile("\(folder)/marche.pem", stampAuthorities)) }
    files += stamps.map { BundleFile("\(folder)/\($0.name)", $0.token) }
    if let evidenceRecord { files.append(BundleFile("\(folder)/evidenza.er", evidenceRecord)) }
    return files + revocationLists.map { BundleFile("\(folder)/revoche/\($0.path)", $0.octets) }
  }
}

extension ExtractMatter {
  /// The seals' manifests by number, after a check that rows, proofs and seals belong together: a bundle that does not check is not made.
  func checkedManifests() throws(ExtractError) -> [Int64: SealManifest] {
    guard rows.count <= ExtractBundle.maximumRows else {
      throw .tooLarge("\(rows.count) rows, \(ExtractBundle.maximumRows) at the most")
    }
    var manifests: [Int64: SealManifest] = [:]
    for seal in seals {
      let manifest: SealManifest
      do { manifest = try SealManifest(reading: seal.manifest) } catch { throw .seal(seal.number, error.description) }
      guard manifest.number == seal.number else { throw .seal(seal.number, "its manifest is of seal \(manifest.number)") }
      guard manifests.updateValue(manifest, forKey: seal.number) == nil else { throw .seal(seal.number, "it is there twice") }
      var named: Set<String> = [SealFiles.signedName]
      for stamp in seal.stamps {
        guard BundlePath.isName(stamp.name.utf8), !SealFiles.ownNames.contains(stamp.name) else { throw .unusableName(stamp.name) }
        guard named.contains(stamp.covers) else { throw .seal(seal.number, "\(stamp.name) stamps \(stamp.covers), which is not there") }
        named.insert(stamp.name)
      }
    }
    var last: Int64 = 0
    for (index, row) in rows.enumerated() {
      guard let number = row.event.number, number > last else { throw .row(row.event.number ?? 0, "does not come after row \(last)") }
      guard CanonicalEvent.octets(row.event) == row.canonical else { throw .row(number, "is not what its octets say") }
      guard index < proofs.count, proofs[index].row == number else { throw .unproven(row: number) }
      guard let manifest = manifests[proofs[index].seal] else { throw .noSeal(proofs[index].seal) }
      if let fault = proofs[index].fault(canonical: row.canonical, manifest: manifest) { throw .row(number, fault.description) }
      last = number
    }
    guard proofs.count == rows.count else { throw .unproven(row: proofs[rows.count].row) }
    let needed = Set(proofs.map(\.seal))
    if let idle = seals.first(where: { !needed.contains($0.number) }) { throw .seal(idle.number, "none of the rows is under it") }
    return manifests
  }
}
