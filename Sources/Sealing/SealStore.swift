import Digests
public import Evidence
import Foundation
import Octets
import Signing
import TimeStamping

/// Names of the files in a seal's folder.
public enum SealFileNames {
  /// A canonical row of the log on each line.
  public static let rows = "rows.jsonl"
  /// The chain's value after each row, in the same order.
  public static let chain = "chain.txt"
  /// What was sealed, as `SealManifest` writes it.
  public static let manifest = "manifest.json"
  /// The manifest signed: a DER SignedData with the content inside.
  public static let signature = "seal.p7m"
  /// PEM certificates of the signer: its own and those above it.
  public static let certificates = "certificates.pem"
  /// Folder with the revocation lists of that day.
  public static let revocation = "revocation"
  /// The first time stamp (RFC 3161) over `seal.p7m`: the token, a DER ContentInfo.
  public static let stamp = "stamp.tst"
  /// SHA-256 of all files above, as sha256sum(1) writes and checks it. It never changes; its own digest stands in the log.
  public static let contents = "contents.txt"

  /// PEM certificates that vouched for a time-stamping authority on the day of a stamp, named by their digest.
  static func authority(_ digest: String) -> String { "authority-\(digest.prefix(16)).pem" }

  /// Whether a name is of that form.
  static func isAuthority(_ name: String) -> Bool { name.hasPrefix("authority-") && name.hasSuffix(".pem") }

  /// The evidence record (RFC 4998) of that edition: each renewal makes the next one.
  static func evidence(_ edition: Int) -> String { "evidence-\(edition).er" }

  /// SHA-256 of the files that came after the sealing, in the form of `contents`; the highest edition counts.
  static func additions(_ edition: Int) -> String { "additions-\(edition).txt" }

  static func evidenceEdition(_ name: String) -> Int? { edition(name, "evidence-", ".er") }
  static func additionsEdition(_ name: String) -> Int? { edition(name, "additions-", ".txt") }

  /// The number in a name of that form; nil for other names.
  private static func edition(_ name: String, _ head: String, _ tail: String) -> Int? {
    guard name.hasPrefix(head), name.hasSuffix(tail), let edition = Int(name.dropFirst(head.count).dropLast(tail.count)), edition > 0,
      "\(head)\(edition)\(tail)" == name
    else { return nil }
    return edition
  }
}

/// The files of a seal but for its rows, as they lie in its folder.
public struct StoredSeal: Sendable, Equatable {
  public var number: Int64
  /// Octets of `manifest.json`.
  public var manifest: [UInt8]
  /// Octets of `seal.p7m`.
  public var signature: [UInt8]
  /// Octets of `certificates.pem`.
  public var certificates: [UInt8]
  /// Revocation lists by their file names.
  public var revocationLists: [String: [UInt8]]
  /// The first time stamp's token; nil while there is none.
  public var stamp: [UInt8]?
  /// PEM certificates that vouched for the time-stamping authorities when the stamps were made; empty while there are none.
  public var stampAuthorities: [UInt8]
  /// The newest evidence record.
  public var evidence: [UInt8]?
  /// True while its rows are there: they go when their time is over.
  public var hasRows: Bool
}

/// The folder of seals, `seals/000005/` and so on. Whole folders appear at once; what is in them never changes, but for the time stamp that
/// comes later, evidence records that follow each other, and rows that go when their time is over.
public struct SealStore: Sendable {
  /// The folder of all seals.
  public let path: String

  /// The largest file but rows and chain, in octets: a revocation list of a large authority has some megabytes.
  static let maximumBytes = 64 << 20
  /// The longest list of contents: a line for each file.
  static let maximumContentsBytes = 1 << 20

  /// The seals in that folder; it is made by the first seal.
  public init(path: String) { self.path = path }

  /// Numbers of the seals that are there, ascending.
  public func numbers() throws(SealingError) -> [Int64] {
    guard DurableFiles.exists(path) else { return [] }
    return try DurableFiles.names(in: path).compactMap { name in
      guard let number = Int64(name), number > 0, folderName(number) == name else { return nil }
      return number
    }.sorted()
  }

  /// Names in the store that are no seal's: what an interrupted or replaced sealing left, and what others put there.
  func strangers() throws(SealingError) -> [String] {
    guard DurableFiles.exists(path) else { return [] }
    let known = Set(try numbers().map { folderName($0) })
    return try DurableFiles.names(in: path).filter { !known.contains($0) }
  }

  /// The folder of a seal.
  public func folder(_ number: Int64) -> String { "\(path)/\(folderName(number))" }

  /// A file of a seal.
  public func file(_ number: Int64, _ name: String) -> String { "\(folder(number))/\(name)" }

  /// Whether the seal has a folder.
  public func has(_ number: Int64) -> Bool { DurableFiles.isFolder(folder(number)) }

  /// Six digits, or as many as there are.
  func folderName(_ number: Int64) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 6 - digits.utf8.count)) + digits
  }

  /// The manifest of a seal.
  /// - Throws: `.file`, `.tooLarge`, or `.damaged` when it cannot be read strictly.
  public func manifest(_ number: Int64) throws(SealingError) -> SealManifest {
    let octets = try read(number, SealFileNames.manifest)
    do { return try SealManifest(reading: octets) } catch { throw .damaged(seal: number, words: "manifest.json: \(error)") }
  }

  /// The files of a seal but for its rows, as they are; nothing is verified.
  public func seal(_ number: Int64) throws(SealingError) -> StoredSeal {
    var lists: [String: [UInt8]] = [:]
    let revocation = file(number, SealFileNames.revocation)
    if DurableFiles.isFolder(revocation) {
      for name in try DurableFiles.names(in: revocation).prefix(KeptFiles.maximumLists) {
        lists[name] = try read(number, "\(SealFileNames.revocation)/\(name)")
      }
    }
    let listed = try contents(number).digests.keys
    var authorities: [UInt8] = []
    for name in listed.filter(SealFileNames.isAuthority).sorted() { authorities += try read(number, name) }
    var evidence: [UInt8]?
    if let edition = try evidenceEdition(number) { evidence = try read(number, SealFileNames.evidence(edition)) }
    // One that no list names yet does not count: its certificates and its record may not be there.
    let stamp = listed.contains(SealFileNames.stamp) ? try read(number, SealFileNames.stamp) : nil
    return StoredSeal(
      number: number, manifest: try read(number, SealFileNames.manifest), signature: try read(number, SealFileNames.signature),
      certificates: try read(number, SealFileNames.certificates), revocationLists: lists, stamp: stamp, stampAuthorities: authorities,
      evidence: evidence, hasRows: DurableFiles.exists(file(number, SealFileNames.rows)))
  }

  /// The newest edition of the evidence record that the list of contents knows of; nil when there is none.
  func evidenceEdition(_ number: Int64) throws(SealingError) -> Int? {
    try contents(number).digests.keys.compactMap { SealFileNames.evidenceEdition($0) }.max()
  }

  /// The certificate of the authority that stamped a seal, in DER, as its stamp names it; nothing is verified.
  /// - Throws: `.file`, `.tooLarge`, or `.damaged` when the stamp cannot be read.
  public func stampCertificate(_ number: Int64) throws(SealingError) -> [UInt8] {
    let octets = try read(number, SealFileNames.stamp)
    let token: TimeStampToken
    do { token = try TimeStampToken(reading: octets) } catch {
      throw .damaged(seal: number, words: "\(SealFileNames.stamp): \(error)")
    }
    guard let certificate = token.certificates.first else {
      throw .damaged(seal: number, words: "\(SealFileNames.stamp) has no certificate")
    }
    return certificate
  }

  func read(_ number: Int64, _ name: String) throws(SealingError) -> [UInt8] {
    try DurableFiles.read(file(number, name), maximumBytes: SealStore.maximumBytes)
  }

  // MARK: Contents

  /// What the folder must hold by its lists, but for the lists themselves.
  func contents(_ number: Int64) throws(SealingError) -> SealContents {
    var contents = try contents(number, SealFileNames.contents)
    if let edition = try additionsEdition(number) {
      let added = try self.contents(number, SealFileNames.additions(edition)).digests
      guard Set(added.keys).isDisjoint(with: contents.digests.keys) else {
        throw .damaged(seal: number, words: "\(SealFileNames.additions(edition)) names files of contents.txt")
      }
      contents.digests.merge(added) { first, _ in first }
    }
    return contents
  }

  /// One list.
  func contents(_ number: Int64, _ name: String) throws(SealingError) -> SealContents {
    let octets = try DurableFiles.read(file(number, name), maximumBytes: SealStore.maximumContentsBytes)
    guard let contents = SealContents(reading: octets) else { throw .damaged(seal: number, words: "\(name) cannot be read") }
    return contents
  }

  /// The edition of the list of additions that counts; nil while nothing was added.
  func additionsEdition(_ number: Int64) throws(SealingError) -> Int? {
    try DurableFiles.names(in: folder(number)).compactMap { SealFileNames.additionsEdition($0) }.max()
  }

  /// Adds a file to a seal, durably; it counts from the moment that a list names it. What an interrupted call left under the name is
  /// replaced.
  func put(_ octets: [UInt8], _ number: Int64, _ name: String) throws(SealingError) {
    try DurableFiles.replace(file(number, name), with: octets)
  }

  /// Adds certificates that vouch for a stamp, unless they are there already.
  /// - Returns: the file's name.
  func put(authorities: [UInt8], _ number: Int64) throws(SealingError) -> String {
    let name = SealFileNames.authority(Hex.encode(SHA256.digest(authorities)))
    if !DurableFiles.exists(file(number, name)) { try put(authorities, number, name) }
    return name
  }

  /// Makes the next list of additions, with these digests, or nil for what goes; then the one before it goes.
  func list(_ number: Int64, _ digests: [String: String?]) throws(SealingError) {
    let edition = try additionsEdition(number)
    var contents = SealContents([:])
    if let edition { contents = try self.contents(number, SealFileNames.additions(edition)) }
    for (name, digest) in digests { contents.digests[name] = digest }
    try put(contents.octets, number, SealFileNames.additions((edition ?? 0) + 1))
    try tidy(number)
  }

  /// Removes the editions that no longer count, and those that never did.
  func tidy(_ number: Int64) throws(SealingError) {
    let (additions, evidence) = (try additionsEdition(number), try evidenceEdition(number))
    for name in try DurableFiles.names(in: folder(number)) {
      let isOld = SealFileNames.additionsEdition(name).map { $0 != additions } ?? false
      let isOther = SealFileNames.evidenceEdition(name).map { $0 != evidence } ?? false
      if isOld || isOther || name.hasSuffix(".new") { try DurableFiles.remove(file(number, name)) }
    }
  }

  // MARK: Rows

  /// Removes the rows of the seals all of whose rows are up to that number: their time is over. Manifests, signatures and stamps stay, and
  /// so does the list that says which rows there were.
  /// - Returns: the seals whose rows were removed.
  public func removeRows(through row: Int64) throws(SealingError) -> [Int64] {
    var removed: [Int64] = []
    for number in try numbers() {
      guard try manifest(number).last <= row else { break }
      let names = [SealFileNames.rows, SealFileNames.chain].filter { DurableFiles.exists(file(number, $0)) }
      if names.isEmpty { continue }
      for name in names { try DurableFiles.remove(file(number, name)) }
      try DurableFiles.syncFolder(folder(number))
      removed.append(number)
    }
    return removed
  }
}

/// A list of files with their digests, in the form of sha256sum(1).
struct SealContents: Equatable {
  /// Hexadecimal SHA-256 by path.
  var digests: [String: String]

  init(_ digests: [String: String]) { self.digests = digests }

  /// Reads strictly what `octets` wrote; nil for anything else.
  init?(reading octets: [UInt8]) {
    digests = [:]
    for line in octets.split(separator: 10) {
      let path = String(decoding: line.dropFirst(66), as: UTF8.self)
      guard line.count > 66, digests.updateValue(String(decoding: line.prefix(64), as: UTF8.self), forKey: path) == nil else { return nil }
    }
    guard self.octets == octets, digests.values.allSatisfy({ $0.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) } })
    else { return nil }
  }

  var octets: [UInt8] {
    var out: [UInt8] = []
    for (path, digest) in digests.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
      out += Array("\(digest)  \(path)\n".utf8)
    }
    return out
  }
}

/// What is kept with a seal of the day on which it was made: who signed, and what was known of revocations (`pec-rules` 11.4).
public struct KeptFiles: Sendable {
  /// PEM certificates to be kept behind the signer's own and those that go into its signatures: a root, for instance.
  public var certificates: [UInt8]
  /// Revocation lists, DER or PEM, each with a file name of letters, digits, `.`, `-` and `_`.
  public var revocationLists: [(name: String, octets: [UInt8])]

  /// Lists kept with one seal at the most.
  static let maximumLists = 64

  /// These files; lists with other names, or beyond the 64th, are left out.
  public init(certificates: [UInt8] = [], revocationLists: [(name: String, octets: [UInt8])] = []) {
    self.certificates = certificates
    var names: Set<String> = []
    self.revocationLists = Array(
      revocationLists.filter { KeptFiles.isUsable($0.name) && names.insert($0.name).inserted }.prefix(KeptFiles.maximumLists))
  }

  /// The certificates of a signer, and the others behind them.
  func certificates(of signer: SignerCredentials) -> [UInt8] {
    let own = [signer.certificate.der] + signer.chain.map(\.der)
    return CertificateText.pem(own + (CertificateText.der(certificates) ?? []).filter { !own.contains($0) })
  }

  static func isUsable(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.count <= 200 && !name.hasPrefix(".")
      && name.utf8.allSatisfy { octet in
        (48...57).contains(octet) || (65...90).contains(octet) || (97...122).contains(octet)
          || [UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_")].contains(octet)
      }
  }
}
