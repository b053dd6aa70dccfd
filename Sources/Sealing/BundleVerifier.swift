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

/// Checks a bundle offline: `ceralacca verify BUNDLE`. Needs neither ledger nor store, nor anything of its maker.
public enum BundleVerifier {
  /// Files of a folder that are read at the most.
  private static let maximumFiles = 100_000

  /// - Parameters:
  ///   - path: a zip archive, or a folder.
  ///   - authorities: PEM files of those who may vouch for signer and time stamps; without them the bundle's own certificates are taken,
  ///     which proves that it is whole and not whose it is: that is remarked on.
  ///   - now: the present, Unix seconds.
  /// - Throws: `file`, `tooLarge` and `extract` for what cannot be read at all.
  public static func verify(path: String, authorities: [String] = [], at now: Int64) throws(SealingError) -> BundleReport {
    if DurableFiles.isFolder(path) { return try verify(files: try folder(path), authorities: authorities, at: now) }
    let octets = try DurableFiles.read(path, maximumBytes: PlainArchive.Bounds().archiveBytes)
    let contents: PlainArchive.Contents
    do { contents = try PlainArchive.read(octets) } catch { throw .extract("\(path): \(error)") }
    var report = try verify(files: unwrapped(contents.members), authorities: authorities, at: now)
    switch contents.packing {
    case .own: break
    case .foreign: report.remarks.append("the archive was packed anew by another program; its files were checked all the same")
    case .changed: report.faults.append(ExtractFault(file: path, words: "the archive itself was changed, or has something added to it"))
    }
    return report
  }

  /// The same of files in memory, with their paths inside the bundle.
  public static func verify(files: [BundleFile], authorities: [String] = [], at now: Int64) throws(SealingError) -> BundleReport {
    var report = BundleReport(reading: ExtractReader.read(files))
    report.faults = report.reading.faults
    var anchors: TrustAnchors?
    var vouching: TimeStampAuthorities?
    if !authorities.isEmpty {
      do {
        anchors = try TrustAnchors(paths: authorities)
        vouching = try TimeStampAuthorities(paths: authorities)
      } catch {
        throw .extract("the authorities cannot be read: \(error)")
      }
    }
    report.checkContents(anchors)
    for seal in report.reading.seals { report.check(seal, anchors, vouching, now: now) }
    if authorities.isEmpty {
      report.remarks.append(
        "nobody outside of the bundle vouches for its signers and time stamps: give the authorities' certificates, or compare the "
          + "fingerprints with those that the provider publishes")
    }
    if report.reading.rows.count > 0 {
      report.lines.append("\(report.reading.rows.count) rows, each proven to be under its seal")
    }
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

  /// All files below a folder, links left where they are.
  private static func folder(_ path: String) throws(SealingError) -> [BundleFile] {
    var files: [BundleFile] = []
    var waiting = [""]
    var total = 0
    while let here = waiting.popLast() {
      for name in try DurableFiles.names(in: here.isEmpty ? path : "\(path)/\(here)") {
        let inside = here.isEmpty ? name : "\(here)/\(name)"
        if DurableFiles.isFolder("\(path)/\(inside)") {
          waiting.append(inside)
          continue
        }
        let octets = try DurableFiles.read("\(path)/\(inside)", maximumBytes: ExtractBundle.maximumBytes - total)
        total += octets.count
        files.append(BundleFile(inside, octets))
        guard files.count + waiting.count <= maximumFiles else { throw .extract("\(path) has more than \(maximumFiles) files") }
      }
    }
    return files
  }
}

extension BundleReport {
  fileprivate mutating func fault(_ file: String, _ words: String) { faults.append(ExtractFault(file: file, words: words)) }

  /// Opens a signature; without anchors the certificates that came with it vouch for it.
  private func open(_ signed: [UInt8], _ certificates: [[UInt8]], _ anchors: TrustAnchors?, at: Int64?) throws -> SignedContent {
    try SignedContent.open(signed, signers: anchors == nil ? certificates : [], anchors: anchors, at: at)
  }

  mutating func checkContents(_ anchors: TrustAnchors?) {
    // That it is missing was said already.
    guard let signature = reading.contentsSignature else { return }
    let name = ExtractBundle.contentsSignatureName
    guard let certificates = CertificateText.der(reading.certificates), !certificates.isEmpty else {
      return fault("certificati/gestore.pem", "there is no certificate in it")
    }
    do {
      let signed = try open(signature, certificates, anchors, at: nil)
      if signed.content != reading.contents { fault(name, "it was signed over another list than \(ExtractBundle.contentsName)") }
      if certificates.first != signed.signer.der { fault("certificati/gestore.pem", "it does not begin with the signer's certificate") }
      // No list names this file: what its signature does not cover is compared with what must stand there.
      let isExact = certificates.indices.contains { last in
        SignedContent.isExact(
          signature, content: signed.content, signingTime: signed.signingTime ?? 0, signer: certificates[0],
          issuers: Array(certificates[1..<(last + 1)]))
      }
      if !isExact { fault(name, "the signature holds, but something around it was changed") }
      if signed.signingTime != reading.unixSeconds { fault(name, "it was not signed at the time that dati.txt says") }
      lines.append("the list of contents is signed by \(signed.signer.subject), SHA-256 \(signed.signer.sha256Fingerprint)")
      if !signed.signer.isNamed(reading.provider) { remarks.append("the signer's certificate does not name \(reading.provider)") }
    } catch {
      fault(name, "\(error)")
    }
  }

  fileprivate mutating func check(_ seal: SealFiles, _ anchors: TrustAnchors?, _ authorities: TimeStampAuthorities?, now: Int64) {
    let folder = "sigilli/\(seal.number)"
    let manifest = try? SealManifest(reading: seal.manifest)
    guard let certificates = CertificateText.der(seal.certificates), !certificates.isEmpty else {
      return fault("\(folder)/certificati.pem", "there is no certificate in it")
    }
    do {
      let signed = try open(seal.signed, certificates, anchors, at: manifest?.madeAt.unixSeconds)
      if signed.content != seal.manifest { fault("\(folder)/\(SealFiles.signedName)", "it was signed over another manifest") }
      if !certificates.contains(signed.signer.der) { fault("\(folder)/certificati.pem", "the signer's certificate is not in it") }
      if let manifest, signed.signingTime != manifest.madeAt.unixSeconds {
        fault("\(folder)/\(SealFiles.signedName)", "it was not signed at the time that the manifest says")
      }
      lines.append("seal \(seal.number) is signed by \(signed.signer.subject), SHA-256 \(signed.signer.sha256Fingerprint)")
      if let manifest, !signed.signer.isNamed(manifest.provider) {
        remarks.append("the certificate under seal \(seal.number) does not name \(manifest.provider)")
      }
    } catch {
      fault("\(folder)/\(SealFiles.signedName)", "\(error)")
    }
    if seal.stamps.isEmpty {
      remarks.append("seal \(seal.number) has no time stamp: its time is its signer's word")
      if seal.evidenceRecord != nil { fault("\(folder)/evidenza.er", "it has no time stamp beside it") }
      return
    }
    checkStamps(seal, folder, authorities, now: now)
  }

  private mutating func checkStamps(_ seal: SealFiles, _ folder: String, _ authorities: TimeStampAuthorities?, now: Int64) {
    var covered = [SealFiles.signedName: seal.signed]
    let vouching: TimeStampAuthorities
    do { vouching = try authorities ?? TimeStampAuthorities(pem: seal.stampAuthorities) } catch {
      return fault("\(folder)/marche.pem", "\(error)")
    }
    for stamp in seal.stamps {
      covered[stamp.name] = stamp.token
      do {
        let imprint = SHA256.digest(covered[stamp.covers] ?? [])
        let token = try TimeStampCheck.verify(token: stamp.token, imprint: imprint, authorities: vouching, at: nil)
        if token.genTime != stamp.unixSeconds { fault("dati.txt", "it says another time than \(folder)/\(stamp.name)") }
        lines.append("seal \(seal.number) was stamped by \(token.authority) at \(Self.text(token.genTime))")
        if token.certificateNotAfter < now, seal.evidenceRecord == nil {
          remarks.append("the certificate of the time stamp of seal \(seal.number) has ended")
        }
      } catch {
        fault("\(folder)/\(stamp.name)", "\(error)")
      }
    }
    guard let octets = seal.evidenceRecord else { return }
    do {
      let proof = try EvidenceRecord(reading: octets).verify(data: seal.signed, authorities: vouching, at: nil)
      if proof.tokens.first?.octets != seal.stamps.first?.token { fault("\(folder)/evidenza.er", "it begins with another time stamp") }
      if proof.validUntil < now {
        remarks.append("seal \(seal.number): the certificate of its last time stamp ended on \(Self.text(proof.validUntil))")
      }
    } catch {
      fault("\(folder)/evidenza.er", "\(error)")
    }
  }

  private static func text(_ unixSeconds: Int64) -> String { Instant(unixSeconds: unixSeconds, utcOffsetSeconds: 0).rfc3339 }
}
