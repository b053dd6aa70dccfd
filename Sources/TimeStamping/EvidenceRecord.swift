/// What a record of evidence proves.
public struct EvidenceProof: Sendable, Equatable {
  /// The data existed at this time, in seconds since 1970: that of the first stamp.
  public var provenSince: Int64
  /// Until then the last stamp's certificate is valid, in seconds since 1970: before, the record must be renewed.
  public var validUntil: Int64
  /// The stamps, oldest first.
  public var tokens: [TimeStampToken]
}

/// Why a record of evidence must be renewed, and how.
public enum EvidenceRenewalNeed: Sendable, Equatable {
  /// The last stamp's certificate ends soon, or the stamp is signed with a weak algorithm: a stamp over the stamp will do (`renew`).
  case stamp(String)
  /// The digests themselves are weak: data and stamps must be digested anew (`renewHash`).
  case hash(String)
}

/// An evidence record (RFC 4998) of one piece of data: archive time stamps in chains, each proving the one before.
///
/// A chain's stamps share a digest algorithm; another one begins a new chain. There is neither encryption nor any attribute in it.
public struct EvidenceRecord: Sendable, Equatable {
  private(set) var chains: [[ArchiveTimeStamp]]
  /// CryptoInfos as they were read: certificates and lists for whoever wants them.
  private let cryptoInfos: [UInt8]

  /// The stamps, oldest first.
  public var tokens: [TimeStampToken] { chains.joined().map(\.token) }
  /// How many chains there are: one more than changes of the digest algorithm.
  public var chainCount: Int { chains.count }
  /// What the newest chain's digests are made with.
  public var digest: TimeStampDigest { last?.digest ?? .sha256 }

  /// Octets of a record at the most.
  public static let maximumBytes = 16 << 20
  private static let maximumStamps = 1024

  /// The record that begins with a data's first stamp.
  /// - Parameter imprint: digest of the data, with the token's algorithm.
  /// - Throws: `otherImprint`.
  public init(first token: TimeStampToken, imprint: [UInt8]) throws(TimeStampError) {
    guard token.imprint == imprint else { throw .otherImprint }
    chains = [[ArchiveTimeStamp(token)]]
    cryptoInfos = []
  }

  /// Reads a record; judges nothing but its form.
  /// - Throws: `malformed`, `weakAlgorithm`, `evidence`, and what reading a token throws.
  public init(reading octets: [UInt8]) throws(TimeStampError) {
    guard octets.count <= EvidenceRecord.maximumBytes else { throw .malformed("the evidence record is too large") }
    var outer = DERReader(octets, "the evidence record")
    var reader = outer.inside(try outer.next(DERWriter.sequence))
    try outer.finish()
    guard try reader.number() == 1 else { throw reader.fault("is not of version 1") }
    var named: [TimeStampDigest] = []
    var algorithms = reader.inside(try reader.next(DERWriter.sequence))
    while !algorithms.isAtEnd { named.append(try algorithms.digestAlgorithm()) }
    cryptoInfos = try reader.optional(DERWriter.context(0)).map { reader.whole($0) } ?? []
    if reader.nextTag == DERWriter.context(1) { throw reader.fault("is about encrypted data, which is not known here") }
    var sequence = reader.inside(try reader.next(DERWriter.sequence))
    try reader.finish()
    var chains: [[ArchiveTimeStamp]] = []
    var count = 0
    while !sequence.isAtEnd {
      var content = sequence.inside(try sequence.next(DERWriter.sequence))
      var chain: [ArchiveTimeStamp] = []
      while !content.isAtEnd {
        chain.append(try ArchiveTimeStamp(&content))
        count += 1
        guard count <= EvidenceRecord.maximumStamps else { throw reader.fault("has too many time stamps") }
      }
      guard let first = chain.first else { throw .evidence("has an empty chain") }
      guard chain.allSatisfy({ $0.digest == first.digest }), named.contains(first.digest) else {
        throw .evidence("has a chain of several digest algorithms, or one it does not name")
      }
      chains.append(chain)
    }
    guard !chains.isEmpty else { throw .evidence("has no chain") }
    self.chains = chains
  }

  /// The record in DER (RFC 4998 §3.1).
  public var octets: [UInt8] {
    let digests = TimeStampDigest.allCases.filter { one in chains.contains { $0.first?.digest == one } }
    let algorithms = digests.map { DERWriter.element(DERWriter.sequence, $0.identifierContent(withNull: false)) }
    return DERWriter.element(
      DERWriter.sequence, DERWriter.number(1), DERWriter.element(DERWriter.sequence, joining: algorithms), cryptoInfos,
      EvidenceRecord.sequence(chains[...]))
  }

  /// An ArchiveTimeStampSequence in DER.
  private static func sequence(_ chains: ArraySlice<[ArchiveTimeStamp]>) -> [UInt8] {
    DERWriter.element(
      DERWriter.sequence, joining: chains.map { DERWriter.element(DERWriter.sequence, joining: $0.map(\.octets)) })
  }

  private var last: ArchiveTimeStamp? { chains.last?.last }

  // MARK: Renewal

  /// The digest to be stamped when the last stamp is renewed: that of its token (RFC 4998 §5.2).
  public var renewalImprint: [UInt8] { digest.digest(last?.token.octets ?? []) }

  /// Adds a stamp over the last stamp, to the same chain.
  /// - Parameter token: over `renewalImprint`, later than the last one.
  /// - Throws: `otherImprint`, `evidence`; the record is as it was then.
  public mutating func renew(_ token: TimeStampToken) throws(TimeStampError) { try append(ArchiveTimeStamp(token), over: renewalImprint) }

  /// The digest to be stamped when the digest algorithm is changed: of the data's digest and that of all chains so far
  /// (RFC 4998 §5.2, hash-tree renewal).
  public func hashRenewalImprint(data: [UInt8], digest: TimeStampDigest) -> [UInt8] {
    EvidenceRecord.beginning(data, after: chains[...], digest)
  }

  /// Begins a new chain with another digest algorithm, the token's.
  /// - Parameter token: over `hashRenewalImprint`, later than the last one.
  /// - Throws: `otherImprint`, `evidence`; the record is as it was then.
  public mutating func renewHash(_ token: TimeStampToken, data: [UInt8]) throws(TimeStampError) {
    guard token.imprint == hashRenewalImprint(data: data, digest: token.digest) else { throw .otherImprint }
    try checkOrder(token)
    chains.append([ArchiveTimeStamp(token)])
  }

  fileprivate mutating func append(_ stamp: ArchiveTimeStamp, over value: [UInt8]) throws(TimeStampError) {
    guard stamp.digest == digest, stamp.covers(value) else { throw .otherImprint }
    try checkOrder(stamp.token)
    chains[chains.count - 1].append(stamp)
  }

  private func checkOrder(_ token: TimeStampToken) throws(TimeStampError) {
    guard let last, last.token.genTime <= token.genTime else { throw .evidence("would have a stamp that is older than the one before") }
    guard chains.joined().count < EvidenceRecord.maximumStamps else { throw .evidence("is full") }
  }

  /// What the first stamp of a chain is about.
  private static func beginning(
    _ data: [UInt8], after older: ArraySlice<[ArchiveTimeStamp]>, _ digest: TimeStampDigest
  ) -> [UInt8] {
    let own = digest.digest(data)
    return older.isEmpty ? own : digest.digest([own, digest.digest(sequence(older))])
  }

  // MARK: Judging

  /// Verifies the record: that it is about the data, and that each stamp was good when the next one was made (RFC 4998 §5.3).
  ///
  /// - Parameters:
  ///   - data: the octets that the evidence is about.
  ///   - authorities: who may vouch for the time stamp authorities, those of the past included.
  ///   - now: seconds since 1970: the last stamp must be good then; nil: at its own time.
  /// - Throws: `evidenceStamp` with what is wrong with which stamp.
  public func verify(data: [UInt8], authorities: TimeStampAuthorities, at now: Int64? = nil) throws(TimeStampError) -> EvidenceProof {
    var before: ArchiveTimeStamp?
    for (chainNumber, chain) in chains.enumerated() {
      for (stampNumber, stamp) in chain.enumerated() {
        let value =
          stampNumber == 0
          ? EvidenceRecord.beginning(data, after: chains[..<chainNumber], stamp.digest)
          : stamp.digest.digest(chain[stampNumber - 1].token.octets)
        let next = stampNumber + 1 < chain.count ? chain[stampNumber + 1] : chains.dropFirst(chainNumber + 1).first?.first
        do throws(TimeStampError) {
          guard stamp.covers(value) else { throw .otherImprint }
          guard before.map({ $0.token.genTime <= stamp.token.genTime }) ?? true else { throw .evidence("is not in the order of time") }
          _ = try TimeStampCheck.verify(
            token: stamp.token.octets, imprint: stamp.token.imprint, authorities: authorities, at: next?.token.genTime ?? now,
            digest: stamp.digest)
        } catch {
          throw .evidenceStamp(chain: chainNumber + 1, stamp: stampNumber + 1, error)
        }
        before = stamp
      }
    }
    guard let first = chains.first?.first, let last else { throw .evidence("has no stamp") }
    return EvidenceProof(provenSince: first.token.genTime, validUntil: last.token.certificateNotAfter, tokens: tokens)
  }

  /// Whether and how the record must be renewed.
  /// - Parameters:
  ///   - now: seconds since 1970.
  ///   - marginSeconds: how long before the end of the last stamp's certificate.
  ///   - weakDigests: algorithms that are no longer, or soon not, to be relied on.
  public func renewalNeed(
    at now: Int64, marginSeconds: Int64, weakDigests: Set<TimeStampDigest> = []
  ) -> EvidenceRenewalNeed? {
    guard let last else { return nil }
    if weakDigests.contains(last.digest) { return .hash("its digests are made with \(last.digest.rawValue)") }
    let weak = weakDigests.map { $0.rawValue.replacing("-", with: "") }
    if weak.contains(last.token.signatureDigest) { return .stamp("the last stamp is signed with \(last.token.signatureDigest)") }
    let (limit, overflow) = last.token.certificateNotAfter.subtractingReportingOverflow(max(0, marginSeconds))
    guard overflow || now >= limit else { return nil }
    return .stamp("the certificate of \(last.token.authority) ends on \(Times.text(last.token.certificateNotAfter))")
  }

  /// Whether the record must be renewed, as `renewalNeed` says.
  public func needsRenewal(at now: Int64, marginSeconds: Int64, weakDigests: Set<TimeStampDigest> = []) -> Bool {
    renewalNeed(at: now, marginSeconds: marginSeconds, weakDigests: weakDigests) != nil
  }
}

/// Many records under one new stamp, by a hash tree over their last stamps (RFC 4998 §5.2).
public struct EvidenceRenewal: Sendable {
  /// The digest to be stamped.
  public let imprint: [UInt8]
  /// What it is made with.
  public let digest: TimeStampDigest
  private let records: [EvidenceRecord]
  private let tree: HashTree

  fileprivate init(_ records: [EvidenceRecord], _ digest: TimeStampDigest) {
    self.records = records
    self.digest = digest
    tree = HashTree(records.map(\.renewalImprint), digest)
    imprint = tree.root
  }

  /// The records with the stamp added to each, in the order they were given.
  /// - Parameter token: over `imprint`, later than every last stamp.
  /// - Throws: `otherImprint`, `evidence`.
  public func finish(_ token: TimeStampToken) throws(TimeStampError) -> [EvidenceRecord] {
    guard token.digest == digest, token.imprint == imprint else { throw .otherImprint }
    var renewed: [EvidenceRecord] = []
    for (at, record) in records.enumerated() {
      var record = record
      try record.append(ArchiveTimeStamp(token, reduced: tree.reduced[at]), over: record.renewalImprint)
      renewed.append(record)
    }
    return renewed
  }
}

extension EvidenceRecord {
  /// Begins to renew records with one stamp for all.
  /// - Parameter records: at least one; their newest chains must share a digest algorithm.
  /// - Throws: `evidence`.
  public static func renewTogether(_ records: [EvidenceRecord]) throws(TimeStampError) -> EvidenceRenewal {
    guard let first = records.first else { throw .evidence("is missing: there is nothing to renew") }
    guard records.allSatisfy({ $0.digest == first.digest }) else { throw .evidence("uses another digest algorithm than its neighbour") }
    return EvidenceRenewal(records, first.digest)
  }
}
