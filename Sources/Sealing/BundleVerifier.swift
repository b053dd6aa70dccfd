import Digests
import Evidence
public import Extracts
import Octets
import PEC
import SealedArchive
import Signing
import TimeStamping

/// What the check of a bundle came to.
public struct BundleReport: Sendable {
  /// What is wrong, each with its file and row; empty when the bundle holds.
  public internal(set) var faults: [ExtractFault] = []
  /// What was found good, for people, a line each.
  public internal(set) var lines: [String] = []
  /// What the bundle cannot prove by itself, and what else is worth knowing.
  public internal(set) var remarks: [String] = []
  /// What it holds, as far as it could be read.
  public internal(set) var reading: ExtractReading

  /// True when nothing is wrong.
  public var holds: Bool { faults.isEmpty }
}

/// Why authorities that were given cannot vouch for anything.
public struct BundleAuthoritiesError: Error, Sendable, Equatable, CustomStringConvertible {
  /// One line for a terminal.
  public let description: String
}

/// Who may vouch for the signers and for the time stamps of a bundle.
public struct BundleAuthorities: Sendable {
  /// Nil: the bundle's own certificates are taken, which proves that it is whole and not whose it is; that is remarked on.
  let signers: TrustAnchors?
  /// The same for time stamps.
  let stamps: TimeStampAuthorities?

  /// Nobody outside of the bundle.
  public static let none = BundleAuthorities(signers: nil, stamps: nil)

  private init(signers: TrustAnchors?, stamps: TimeStampAuthorities?) {
    self.signers = signers
    self.stamps = stamps
  }

  /// Reads PEM files.
  /// - Parameters:
  ///   - signers: of those who may vouch for who signed; empty for nobody.
  ///   - stamps: of those who may vouch for time stamps. Empty for `signers` too: but then whoever may issue a signer's certificate may
  ///     date seals as well.
  public init(signers: [String], stamps: [String] = []) throws(BundleAuthoritiesError) {
    let stamping = stamps.isEmpty ? signers : stamps
    do {
      self.signers = signers.isEmpty ? nil : try TrustAnchors(paths: signers)
      self.stamps = stamping.isEmpty ? nil : try TimeStampAuthorities(paths: stamping)
    } catch {
      throw BundleAuthoritiesError(description: "the authorities cannot be read: \(error)")
    }
  }

  /// What nobody outside of the bundle vouches for; nil when somebody does for all.
  fileprivate var lacking: String? {
    switch (signers, stamps) {
    case (nil, nil): "signers and time stamps"
    case (nil, _): "signers"
    case (_, nil): "time stamps"
    default: nil
    }
  }
}

/// Checks a bundle offline: `ceralacca verify BUNDLE`. Needs neither ledger nor store, nor anything of its maker.
public enum BundleVerifier {
  /// Files and folders of a folder that are read at the most.
  private static let maximumFiles = 100_000

  /// - Parameters:
  ///   - path: a zip archive, or a folder. One that is damaged is a fault of the report.
  ///   - authorities: who vouches for it.
  ///   - now: the present, Unix seconds.
  /// - Throws: `file` and `tooLarge` for what cannot be read at all.
  public static func verify(
    path: String, authorities: BundleAuthorities = .none, at now: Int64
  ) throws(SealingError) -> BundleReport {
    if DurableFiles.isFolder(path) {
      if let files = try folder(path) { return verify(files: files, authorities: authorities, at: now) }
      return broken(path, "it has more than \(maximumFiles) files and folders")
    }
    let octets = try DurableFiles.read(path, maximumBytes: PlainArchive.Bounds().archiveBytes)
    let contents: PlainArchive.Contents
    do { contents = try PlainArchive.read(octets) } catch { return broken(path, "\(error)") }
    var report = verify(files: unwrapped(contents.members), authorities: authorities, at: now)
    switch contents.packing {
    case .own: break
    case .foreign: report.remarks.append("the archive was packed anew by another program; its files were checked all the same")
    case .changed: report.faults.append(ExtractFault(file: path, words: "the archive itself was changed, or has something added to it"))
    }
    return report
  }

  /// The same of files in memory, with their paths inside the bundle.
  public static func verify(files: [BundleFile], authorities: BundleAuthorities = .none, at now: Int64) -> BundleReport {
    var report = BundleReport(reading: ExtractReader.read(files))
    report.faults = report.reading.faults
    report.checkContents(authorities.signers, now: now)
    for seal in report.reading.seals { report.check(seal, authorities, now: now) }
    if let lacking = authorities.lacking {
      report.remarks.append(
        "nobody outside of the bundle vouches for its \(lacking): give the authorities' certificates, or compare the fingerprints with "
          + "those that the provider publishes")
    }
    if report.reading.rows.count > 0 {
      report.lines.append("\(report.reading.rows.count) rows, each proven to be under its seal")
    }
    return report
  }

  /// The report on a bundle of which no file can be looked at.
  private static func broken(_ path: String, _ words: String) -> BundleReport {
    var report = BundleReport(reading: ExtractReading())
    report.faults = [ExtractFault(file: path, words: words)]
    return report
  }

  /// A bundle that lies in a folder inside of the archive, as other programs pack it.
  private static func unwrapped(_ members: [PlainArchive.Member]) -> [BundleFile] {
    let files = members.map { BundleFile($0.path, $0.octets) }
    guard !files.contains(where: { $0.path == ExtractBundle.contentsName }),
      let first = files.first?.path.split(separator: "/", maxSplits: 1), first.count == 2,
      files.allSatisfy({ $0.path.hasPrefix("\(first[0])/") })
    else { return files }
    return files.map { BundleFile(String($0.path.dropFirst(first[0].count + 1)), $0.octets) }
  }

  /// All files below a folder, links left where they are; nil when there are too many.
  private static func folder(_ path: String) throws(SealingError) -> [BundleFile]? {
    var files: [BundleFile] = []
    var waiting = [""]
    var (total, entries) = (0, 0)
    while let here = waiting.popLast() {
      for name in try DurableFiles.names(in: here.isEmpty ? path : "\(path)/\(here)") {
        let inside = here.isEmpty ? name : "\(here)/\(name)"
        entries += 1
        guard entries <= maximumFiles else { return nil }
        if DurableFiles.isFolder("\(path)/\(inside)") {
          waiting.append(inside)
          continue
        }
        let octets = try DurableFiles.read("\(path)/\(inside)", maximumBytes: ExtractBundle.maximumBytes - total)
        total += octets.count
        files.append(BundleFile(inside, octets))
      }
    }
    return files
  }
}

extension BundleReport {
  /// How much earlier than the time in its manifest a seal's stamp may be: what two good clocks differ in.
  private static let clockToleranceSeconds: Int64 = 60
  /// Certificates of a file at the most, and those of them that a signature can have inside.
  private static let maximumCertificates = 256
  private static let maximumInside = 16

  fileprivate mutating func fault(_ file: String, _ words: String) { faults.append(ExtractFault(file: file, words: words)) }

  /// The certificates of a file; what is wrong with it is said.
  private mutating func certificates(_ pem: [UInt8], _ file: String) -> [[UInt8]]? {
    guard let found = CertificateText.der(pem), !found.isEmpty else {
      fault(file, "there is no certificate in it")
      return nil
    }
    guard found.count <= BundleReport.maximumCertificates else {
      fault(file, "it has more than \(BundleReport.maximumCertificates) certificates")
      return nil
    }
    return found
  }

  // MARK: Signers

  /// A signature, with what is needed to judge it.
  private struct Signature {
    var octets: [UInt8]
    /// That came with it: without anchors they vouch for it.
    var certificates: [[UInt8]]
    var anchors: TrustAnchors?
    /// Seconds since 1970; nil takes the signer's clock.
    var at: Int64?
    /// Revocation lists that came with it, and the folder they are in.
    var lists: [BundleFile]
    var folder: String
  }

  /// Opens a signature, and says what the bundle's lists know of the signer. A missing, unusable or stale list is remarked on, as
  /// `verifica.sh` does.
  /// - Throws: why it does not hold; a revoked signer is among the reasons.
  private mutating func open(_ signature: Signature) throws(SignedContentError) -> SignedContent {
    var signers = signature.anchors == nil ? signature.certificates : []
    let kept = TrustAnchors(certificates: signature.certificates.filter { CertificateFacts(der: $0) != nil })
    var opened: SignedContent?
    var unusable: [String] = []
    // The authorities that were given need not be those whose lists were kept: a single certificate may be trusted as it is.
    search: for anchors in [signature.anchors, kept] {
      guard let anchors else { continue }
      let lists = RevocationLists()
      unusable = []
      for list in signature.lists {
        do { _ = try lists.load(list.octets, named: "\(signature.folder)/\(list.path)", anchors: anchors) } catch {
          unusable.append("\(error)")
        }
      }
      let found = try SignedContent.open(signature.octets, signers: signers, anchors: anchors, at: signature.at, lists: lists)
      opened = found
      signers = [found.signer.der]
      switch found.revocation {
      case .noList, .notChecked: continue
      case .good, .revoked, .stale: break search
      }
    }
    guard let opened else {
      return try SignedContent.open(signature.octets, signers: signers, anchors: signature.anchors, at: signature.at)
    }
    remarks += unusable
    tell(opened.revocation, signature)
    return opened
  }

  private mutating func tell(_ revocation: SignatureVerdict.Revocation, _ signature: Signature) {
    let folder = signature.folder
    if signature.lists.isEmpty { return remarks.append("\(folder): there is no revocation list: the signer may have been revoked") }
    switch revocation {
    case .good(let issued): lines.append("\(folder): the signer was not revoked, says the list of \(Self.text(issued))")
    case .revoked(let since, let reason):
      remarks.append("\(folder): the signer was revoked on \(Self.text(since)) (\(reason)), later than the time of the signature")
    case .stale(let issuer, let due):
      remarks.append("\(folder): the list of \(issuer) is too old, the next was due \(Self.text(due)): the signer may have been revoked")
    case .noList(let issuer): remarks.append("\(folder): there is no list of \(issuer): the signer may have been revoked")
    case .notChecked: remarks.append("\(folder): whether the signer was revoked could not be looked up")
    }
  }

  /// Whoever an authority certifies can sign: only a certificate in the provider's name makes it the provider's. Where nobody vouches for
  /// the certificate, its name is worth nothing anyway.
  private mutating func checkName(_ signer: CertificateFacts, _ provider: String, _ file: String, isVouchedFor: Bool) {
    guard !signer.isNamed(provider) else { return }
    let words = "the certificate of \(signer.subject) does not name \(provider)"
    if isVouchedFor { fault(file, words) } else { remarks.append("\(file): \(words)") }
  }

  mutating func checkContents(_ anchors: TrustAnchors?, now: Int64) {
    // That it is missing was said already.
    guard let signature = reading.contentsSignature else { return }
    let name = ExtractBundle.contentsSignatureName
    guard let certificates = certificates(reading.certificates, "certificati/gestore.pem") else { return }
    do {
      let signed = try open(
        Signature(
          octets: signature, certificates: certificates, anchors: anchors, at: nil, lists: reading.revocationLists,
          folder: "certificati/revoche"))
      if signed.content != reading.contents { fault(name, "it was signed over another list than \(ExtractBundle.contentsName)") }
      if certificates.first != signed.signer.der { fault("certificati/gestore.pem", "it does not begin with the signer's certificate") }
      // No list names this file: what its signature does not cover is compared with what must stand there.
      let isExact = certificates.indices.prefix(BundleReport.maximumInside).contains { last in
        SignedContent.isExact(
          signature, content: signed.content, signingTime: signed.signingTime ?? 0, signer: certificates[0],
          issuers: Array(certificates[1..<(last + 1)]))
      }
      if !isExact { fault(name, "the signature holds, but something around it was changed") }
      if signed.signingTime != reading.unixSeconds { fault(name, "it was not signed at the time that dati.txt says") }
      lines.append("the list of contents is signed by \(signed.signer.subject), SHA-256 \(signed.signer.sha256Fingerprint)")
      if signed.signer.notAfter < now {
        remarks.append("\(name): the signer's certificate has ended; it was valid at the time that the signature itself says")
      }
      // What dati.txt says is among the faults when it cannot be read.
      if reading.unixSeconds != nil { checkName(signed.signer, reading.provider, name, isVouchedFor: anchors != nil) }
    } catch {
      fault(name, "\(error)")
    }
  }

  // MARK: Seals

  fileprivate mutating func check(_ seal: SealFiles, _ authorities: BundleAuthorities, now: Int64) {
    let folder = "sigilli/\(seal.number)"
    let file = "\(folder)/\(SealFiles.signedName)"
    let manifest = try? SealManifest(reading: seal.manifest)
    let madeAt = manifest?.madeAt.unixSeconds
    let stampedAt = checkStamps(seal, folder, madeAt: madeAt, authorities.stamps, now: now)
    guard let certificates = certificates(seal.certificates, "\(folder)/certificati.pem") else { return }
    do {
      // The time in the manifest is its signer's word: a key that was stolen, or should have been put away, can be made to say any. The
      // stamp's is proven.
      let signed = try open(
        Signature(
          octets: seal.signed, certificates: certificates, anchors: authorities.signers, at: stampedAt ?? madeAt,
          lists: seal.revocationLists, folder: "\(folder)/revoche"))
      if signed.content != seal.manifest { fault(file, "it was signed over another manifest") }
      if !certificates.contains(signed.signer.der) { fault("\(folder)/certificati.pem", "the signer's certificate is not in it") }
      lines.append("seal \(seal.number) is signed by \(signed.signer.subject), SHA-256 \(signed.signer.sha256Fingerprint)")
      guard let manifest, let madeAt else { return }
      if signed.signingTime != madeAt { fault(file, "it was not signed at the time that the manifest says") }
      if !signed.signer.isValid(at: madeAt) { fault(file, "the signer's certificate is not valid at the time that the manifest says") }
      checkName(signed.signer, manifest.provider, file, isVouchedFor: authorities.signers != nil)
    } catch {
      fault(file, "\(error)")
    }
  }

  /// - Returns: when the seal was there at the latest: the time of its first stamp, if that holds.
  private mutating func checkStamps(
    _ seal: SealFiles, _ folder: String, madeAt: Int64?, _ authorities: TimeStampAuthorities?, now: Int64
  ) -> Int64? {
    guard !seal.stamps.isEmpty else {
      remarks.append("seal \(seal.number) has no time stamp: its time is its signer's word")
      if seal.evidenceRecord != nil { fault("\(folder)/evidenza.er", "it has no time stamp beside it") }
      return nil
    }
    var covered = [SealFiles.signedName: seal.signed]
    let vouching: TimeStampAuthorities
    do { vouching = try authorities ?? TimeStampAuthorities(pem: seal.stampAuthorities) } catch {
      fault("\(folder)/marche.pem", "\(error)")
      return nil
    }
    var first: Int64?
    for (place, stamp) in seal.stamps.enumerated() {
      covered[stamp.name] = stamp.token
      do {
        let imprint = SHA256.digest(covered[stamp.covers] ?? [])
        let token = try TimeStampCheck.verify(token: stamp.token, imprint: imprint, authorities: vouching, at: nil)
        if token.genTime != stamp.unixSeconds { fault("dati.txt", "it says another time than \(folder)/\(stamp.name)") }
        // The sum cannot overflow: a token's year has four digits. The manifest's time can be any number.
        if let madeAt, token.genTime + BundleReport.clockToleranceSeconds < madeAt {
          fault("\(folder)/\(stamp.name)", "it is of \(Self.text(token.genTime)), older than the seal, of \(Self.text(madeAt))")
        }
        if place == 0 { first = token.genTime }
        lines.append("seal \(seal.number) was stamped by \(token.authority) at \(Self.text(token.genTime))")
        if token.certificateNotAfter < now, seal.evidenceRecord == nil {
          remarks.append("the certificate of the time stamp of seal \(seal.number) has ended")
        }
      } catch {
        fault("\(folder)/\(stamp.name)", "\(error)")
      }
    }
    checkEvidence(seal, folder, vouching, now: now)
    return first
  }

  private mutating func checkEvidence(_ seal: SealFiles, _ folder: String, _ authorities: TimeStampAuthorities, now: Int64) {
    guard let octets = seal.evidenceRecord else { return }
    do {
      let proof = try EvidenceRecord(reading: octets).verify(data: seal.signed, authorities: authorities, at: nil)
      if proof.tokens.first?.octets != seal.stamps.first?.token { fault("\(folder)/evidenza.er", "it begins with another time stamp") }
      if proof.validUntil < now {
        remarks.append("seal \(seal.number): the certificate of its last time stamp ended on \(Self.text(proof.validUntil))")
      }
    } catch {
      fault("\(folder)/evidenza.er", "\(error)")
    }
  }

  /// A time for people. Numbers that no calendar has come from crafted files, and would overflow one.
  private static func text(_ unixSeconds: Int64) -> String {
    guard unixSeconds.magnitude < 1 << 37 else { return "\(unixSeconds) seconds since 1970" }
    return Instant(unixSeconds: unixSeconds, utcOffsetSeconds: 0).rfc3339
  }
}
