public import Evidence
public import Journey
public import PEC

/// A file of a bundle: its path inside (with `/`, never absolute) and its octets.
public struct BundleFile: Sendable, Equatable {
  public var path: String
  public var octets: [UInt8]

  /// A file of these octets.
  public init(_ path: String, _ octets: [UInt8]) {
    self.path = path
    self.octets = octets
  }

  /// A file of that text.
  public init(_ path: String, _ text: String) { self.init(path, Array(text.utf8)) }
}

/// A row of the certified log in an extract: what it says and the octets that were sealed.
public struct ExtractRow: Sendable, Equatable {
  /// Its number is set.
  public var event: EventRecord
  /// As `CanonicalEvent` writes it.
  public var canonical: [UInt8]

  /// A row with its sealed octets.
  public init(event: EventRecord, canonical: [UInt8]) {
    self.event = event
    self.canonical = canonical
  }
}

/// A time stamp of a seal (RFC 3161).
public struct ExtractStamp: Sendable, Equatable {
  /// File name inside the seal's folder; letters, digits, `.`, `-` and `_`.
  public var name: String
  /// The time-stamp token: a DER ContentInfo.
  public var token: [UInt8]
  /// Name of the file of the same folder whose octets it stamps: `sigillo.p7m` for the first, an earlier stamp's for a renewal
  /// (RFC 4998 §5.2).
  public var covers: String
  /// The time it vouches for, seconds since 1970.
  public var unixSeconds: Int64
  /// Who vouches: subject of the authority's certificate.
  public var authority: String

  /// A stamp of these fields.
  public init(name: String, token: [UInt8], covers: String = SealFiles.signedName, unixSeconds: Int64, authority: String) {
    self.name = name
    self.token = token
    self.covers = covers
    self.unixSeconds = unixSeconds
    self.authority = authority
  }
}

/// What a bundle carries of a seal: enough to check it without the log.
public struct SealFiles: Sendable, Equatable {
  /// File name of the signed manifest in a seal's folder.
  public static let signedName = "sigillo.p7m"

  public var number: Int64
  /// Octets of the manifest, as `SealManifest` writes them.
  public var manifest: [UInt8]
  /// The manifest signed: a DER SignedData with the content inside.
  public var signed: [UInt8]
  /// Oldest first; empty while no authority answered.
  public var stamps: [ExtractStamp]
  /// The evidence record (RFC 4998), where one is kept.
  public var evidenceRecord: [UInt8]?
  /// PEM certificates of the signer: its own and those above it.
  public var certificates: [UInt8]
  /// Revocation lists of that day, DER or PEM, each with a file name.
  public var revocationLists: [BundleFile]
  /// PEM certificates that vouch for the time-stamping authorities.
  public var stampAuthorities: [UInt8]

  /// A seal of these files.
  public init(
    number: Int64, manifest: [UInt8], signed: [UInt8], stamps: [ExtractStamp] = [], evidenceRecord: [UInt8]? = nil,
    certificates: [UInt8], revocationLists: [BundleFile] = [], stampAuthorities: [UInt8] = []
  ) {
    self.number = number
    self.manifest = manifest
    self.signed = signed
    self.stamps = stamps
    self.evidenceRecord = evidenceRecord
    self.certificates = certificates
    self.revocationLists = revocationLists
    self.stampAuthorities = stampAuthorities
  }
}

/// All that an extract of the certified log is made from (`pec-rules` 9.5).
public struct ExtractMatter: Sendable {
  /// For whom it is made: a holder's address, or an authority in words.
  public var holder: String
  /// By whose order, in Italian words: `su richiesta del titolare`, or the number of a judge's order.
  public var order: String
  /// What was asked, each as a name and a value in Italian: `("Mittente", "anna@pec.example.org")`.
  public var question: [(name: String, value: String)]
  /// Name of the provider whose log this is.
  public var provider: String
  /// When the extract is made.
  public var instant: Instant
  /// The rows asked for and no others, by ascending number.
  public var rows: [ExtractRow]
  /// One for each row, in the same order.
  public var proofs: [InclusionProof]
  /// Every seal that a proof names, by ascending number.
  public var seals: [SealFiles]
  /// PEM certificates of who will sign the list of contents: its own and those above it.
  public var certificates: [UInt8]
  /// Revocation lists for them, each with a file name.
  public var revocationLists: [BundleFile]
  /// Rows that belong to the question and were left out because they name third persons (`ExtractFilter`); they are told by number only.
  public var withheld: Int

  /// The matter of an extract.
  public init(
    holder: String, order: String, question: [(name: String, value: String)], provider: String, instant: Instant, rows: [ExtractRow],
    proofs: [InclusionProof], seals: [SealFiles], certificates: [UInt8], revocationLists: [BundleFile] = [], withheld: Int = 0
  ) {
    self.holder = holder
    self.order = order
    self.question = question
    self.provider = provider
    self.instant = instant
    self.rows = rows
    self.proofs = proofs
    self.seals = seals
    self.certificates = certificates
    self.revocationLists = revocationLists
    self.withheld = withheld
  }
}

/// Why a bundle was not made.
public enum ExtractError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The row has no proof, or one of another row: what is not sealed is not given away.
  case unproven(row: Int64)
  /// A proof names a seal that is not there.
  case noSeal(Int64)
  /// A seal's manifest cannot be read, or is another seal's.
  case seal(Int64, String)
  /// Rows are not in ascending order, or a row is there twice, or is not what its octets say.
  case row(Int64, String)
  /// A file name that cannot stand in a bundle.
  case unusableName(String)
  /// More than a bundle may hold.
  case tooLarge(String)

  public var description: String {
    switch self {
    case .unproven(let row): "row \(row) has no proof"
    case .noSeal(let seal): "seal \(seal) is missing"
    case .seal(let seal, let words): "seal \(seal): \(words)"
    case .row(let row, let words): "row \(row): \(words)"
    case .unusableName(let name): "the file name \(name) cannot be used in a bundle"
    case .tooLarge(let what): "too much for a bundle: \(what)"
    }
  }
}
