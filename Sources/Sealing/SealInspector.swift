import Digests
import Evidence
import Journey
public import Ledger
import Octets
public import Signing
public import TimeStamping

/// Verifies seals and the log: `ceralacca seal verify`, `ceralacca log verify`. Changes nothing, and may run beside the gateway.
public struct SealInspector: Sendable {
  let store: SealStore
  let ledger: (any LedgerReading)?
  let signers: [[UInt8]]
  let anchors: TrustAnchors?
  let stampAuthorities: TimeStampAuthorities?

  /// - Parameters:
  ///   - ledger: nil leaves out what only it knows.
  ///   - signers: certificates in DER that are known to be the provider's own, of whatever age.
  ///   - anchors: who may vouch for the signers of seals; nil: whoever is not among `signers` is remarked on.
  ///   - stampAuthorities: who may vouch for time stamps; nil: the certificates that were kept with them, which is remarked on.
  public init(
    store: SealStore, ledger: (any LedgerReading)?, signers: [[UInt8]] = [], anchors: TrustAnchors? = nil,
    stampAuthorities: TimeStampAuthorities? = nil
  ) {
    self.store = store
    self.ledger = ledger
    self.signers = signers
    self.anchors = anchors
    self.stampAuthorities = stampAuthorities
  }

  /// Verifies seals: each file against the list of contents, rows against the manifest, signature, chain to the seal before, time stamp,
  /// evidence record, and what the ledger remembers of it.
  ///
  /// - Parameters:
  ///   - only: numbers of seals; nil for all, and then also that none is missing or added.
  ///   - now: the present, Unix seconds.
  ///   - progress: told of each seal before it is looked at.
  /// - Throws: `file` when the store cannot be read, `ledger` when the ledger cannot.
  public func verifySeals(
    _ only: ClosedRange<Int64>? = nil, at now: Int64, progress: ((Int64) -> Void)? = nil
  ) throws(SealingError) -> SealInspection {
    var inspection = SealInspection()
    var known: [Int64: SealRecord] = [:]
    var oldestRow: Int64 = 1
    if let ledger {
      do {
        for record in try ledger.seals() { known[record.number] = record }
        oldestRow = SealInspector.next(try ledger.purgedRows().last?.upperBound ?? 0)
      } catch {
        throw .ledger("\(error)")
      }
    }
    let there = Set(try store.numbers())
    let lastKnown = ledger == nil ? there.max() ?? 0 : known.keys.max() ?? 0
    if only == nil { try lookAround(lastKnown: lastKnown, &inspection) }
    // Whatever number a stray folder has: what lies between is named as one.
    var next = only?.lowerBound ?? 1
    var previous: SealManifest?
    if next > 1 { previous = try? store.manifest(next - 1) }
    for number in there.union(known.keys).sorted() where only?.contains(number) ?? true {
      progress?(number)
      inspection.seals += 1
      if number > next { addGap(next...(number - 1), &inspection) }
      if number > next || !there.contains(number) { previous = nil }
      next = number == .max ? number : number + 1
      guard there.contains(number) else {
        inspection.add(SealFault(seal: number, words: "its folder is missing"))
        continue
      }
      previous = try verify(number, after: previous, known: known[number], oldestRow: oldestRow, now: now, &inspection)
    }
    if let only, next <= only.upperBound { inspection.add(SealFault(seal: next, words: "there is no such seal")) }
    return inspection
  }

  private func addGap(_ gap: ClosedRange<Int64>, _ inspection: inout SealInspection) {
    let isOne = gap.lowerBound == gap.upperBound
    let words = isOne ? "its folder is missing" : "the folders of this one and of all up to \(gap.upperBound) are missing"
    inspection.add(SealFault(seal: gap.lowerBound, words: words))
  }

  /// What stands in the store beside seals.
  private func lookAround(lastKnown: Int64, _ inspection: inout SealInspection) throws(SealingError) {
    for name in try store.strangers() {
      if name.hasPrefix("new-") {
        inspection.remarks.append("\(name) was left by an interrupted sealing, and goes with the next seal")
      } else if name.hasPrefix("aside-") {
        inspection.remarks.append("\(name) did not fit the log and was moved aside: see why, and keep it")
      } else {
        inspection.add(SealFault(seal: nil, words: "\(name) stands among the seals and is none"))
      }
    }
    for number in try store.numbers() where number > lastKnown {
      if number == lastKnown + 1 {
        inspection.remarks.append("seal \(number) is not known to the ledger yet: its commit was interrupted, or comes just now")
      } else {
        inspection.add(SealFault(seal: number, words: "the ledger does not know it"))
      }
    }
  }

  /// One seal.
  /// - Returns: its manifest, for the seal after it; nil when it cannot be read.
  private func verify(
    _ number: Int64, after previous: SealManifest?, known: SealRecord?, oldestRow: Int64, now: Int64, _ inspection: inout SealInspection
  ) throws(SealingError) -> SealManifest? {
    func add(_ file: String?, _ words: String) { inspection.add(SealFault(seal: number, file: file, words: words)) }
    var manifest: SealManifest?
    do { manifest = try store.manifest(number) } catch { add(SealFileNames.manifest, error.words) }
    let mayLackRows = (manifest?.last ?? known?.last).map { $0 < oldestRow } ?? false
    let check = SealFolderCheck(store: store, number: number)
    for fault in check.faults(manifest: manifest, mayLackRows: mayLackRows) { inspection.add(fault) }
    for name in check.leftovers() {
      inspection.remarks.append("seal \(number), \(name): no list names it; stamping was interrupted there, or goes on just now")
    }
    let files: StoredSeal
    do { files = try store.seal(number) } catch {
      // What cannot be read was named with the list of contents.
      if inspection.isWhole { add(nil, error.description) }
      return manifest
    }
    if files.hasRows {
      inspection.rows += manifest?.count ?? 0
    } else if mayLackRows {
      inspection.remarks.append("seal \(number): the time of its rows is over")
    }
    verifySignature(files, manifest, &inspection)
    verifyStamp(files, known: known, now: now, &inspection)
    guard let manifest else { return nil }
    if manifest.number != number { add(SealFileNames.manifest, "it is the manifest of seal \(manifest.number)") }
    if previous != nil || number == 1 {
      for fault in manifest.faults(after: previous) { add(SealFileNames.manifest, fault.detail) }
    }
    if let known { compare(manifest, known, &inspection) }
    try compareContents(manifest, oldestRow: oldestRow, &inspection)
    try compareChain(manifest, oldestRow: oldestRow, &inspection)
    return manifest
  }

  // MARK: Signature and stamp

  private func verifySignature(_ files: StoredSeal, _ manifest: SealManifest?, _ inspection: inout SealInspection) {
    func add(_ file: String, _ words: String) { inspection.add(SealFault(seal: files.number, file: file, words: words)) }
    guard let kept = CertificateText.der(files.certificates), !kept.isEmpty else {
      add(SealFileNames.certificates, "there is no certificate in it")
      return
    }
    let signed: SignedContent
    do {
      signed = try SignedContent.open(files.signature, signers: signers, anchors: anchors, at: manifest?.madeAt.unixSeconds)
    } catch .stranger(let subject, nil) {
      // Nobody was named who could vouch for a certificate of another time.
      guard let opened = try? SignedContent.open(files.signature, signers: kept, anchors: nil, at: manifest?.madeAt.unixSeconds) else {
        add(SealFileNames.signature, "it is signed by \(subject), whose certificate was not kept with it")
        return
      }
      signed = opened
      inspection.remarks.append("seal \(files.number) is signed by \(subject), for whom nobody here vouches: name the authorities")
    } catch {
      add(SealFileNames.signature, "\(error)")
      return
    }
    if !kept.contains(signed.signer.der) { add(SealFileNames.certificates, "the signer's certificate is not in it") }
    if signed.content != files.manifest { add(SealFileNames.signature, "it was signed over another manifest than manifest.json") }
    if let manifest, signed.signingTime != manifest.madeAt.unixSeconds {
      add(SealFileNames.signature, "it was not signed at the time that the manifest says")
    }
  }

  private func verifyStamp(_ files: StoredSeal, known: SealRecord?, now: Int64, _ inspection: inout SealInspection) {
    func add(_ file: String, _ words: String) { inspection.add(SealFault(seal: files.number, file: file, words: words)) }
    guard let stamp = files.stamp else {
      if let known, known.stampedAt != nil { add(SealFileNames.stamp, "it is missing, and the ledger knows of a stamp") }
      if known?.stampedAt == nil { inspection.remarks.append("seal \(files.number) has no time stamp") }
      return
    }
    let token: TimeStampToken
    do {
      let vouching = try stampAuthorities ?? TimeStampAuthorities(pem: files.stampAuthorities)
      guard let octets = files.evidence else {
        add(SealFileNames.stamp, "there is no evidence record beside it")
        return
      }
      let record = try EvidenceRecord(reading: octets)
      let proof = try record.verify(data: files.signature, authorities: vouching, at: nil)
      token = try TimeStampToken(reading: stamp)
      guard proof.tokens.first == token else {
        add(SealFileNames.stamp, "it is not the stamp that the evidence record begins with")
        return
      }
      if proof.validUntil < now {
        inspection.remarks.append("seal \(files.number): the certificate of its last time stamp has ended, and it was not renewed before")
      }
    } catch {
      add(SealFileNames.stamp, "\(error)")
      return
    }
    guard let known else { return }
    if known.stampedAt == nil {
      inspection.remarks.append("seal \(files.number) has a time stamp that the ledger does not know of yet")
    } else if known.stampedAt != token.genTime || known.authority != token.authority {
      add(SealFileNames.stamp, "the ledger knows of another time stamp")
    }
  }

  // MARK: What the ledger knows

  private func compare(_ manifest: SealManifest, _ known: SealRecord, _ inspection: inout SealInspection) {
    var differing: [String] = []
    func compare<Value: Equatable>(_ name: String, _ one: Value, _ other: Value) { if one != other { differing.append(name) } }
    compare("digest", manifest.digest, known.digest)
    compare("first row", manifest.first, known.first)
    compare("last row", manifest.last, known.last)
    compare("root", manifest.root, known.root)
    compare("chain value", manifest.chainAfter, known.chain)
    compare("time", manifest.madeAt, known.madeAt)
    if !differing.isEmpty {
      inspection.add(
        SealFault(
          seal: manifest.number, file: SealFileNames.manifest,
          words: "the ledger remembers another \(differing.joined(separator: ", ")): one of the two was changed"))
    }
  }

  /// The digest of the list of contents, in the row that was written with the seal.
  private func compareContents(_ manifest: SealManifest, oldestRow: Int64, _ inspection: inout SealInspection) throws(SealingError) {
    guard let ledger, SealInspector.next(manifest.last) >= oldestRow,
      let contents = try? store.contents(manifest.number, SealFileNames.contents)
    else { return }
    let row: EventRecord?
    do { row = try ledger.search(LogQuery(relatedID: Sealer.name(manifest.number), kinds: [.sealed], limit: 1)).rows.first } catch {
      throw .ledger("\(error)")
    }
    // Of a seal whose commit was interrupted there is no row yet.
    guard let detail = row?.detail else { return }
    if !detail.hasSuffix("contents \(Hex.encode(SHA256.digest(contents.octets)))") {
      let words = "it is not the list that row \(row?.number ?? 0) of the log was written about"
      inspection.add(SealFault(seal: manifest.number, file: SealFileNames.contents, words: words))
    }
  }

  /// The ledger's chain where the seal ends, as long as its rows are there.
  private func compareChain(_ manifest: SealManifest, oldestRow: Int64, _ inspection: inout SealInspection) throws(SealingError) {
    guard let ledger, manifest.last >= oldestRow else { return }
    do {
      guard let chain = try ledger.chain(after: manifest.last) else {
        inspection.add(SealFault(seal: manifest.number, row: manifest.last, words: "the row, or its chain value, is missing in the ledger"))
        return
      }
      if Hex.encode(chain) != manifest.chainAfter {
        inspection.add(
          SealFault(
            seal: manifest.number, row: manifest.last,
            words: "the ledger's chain is not the sealed one there: 'ceralacca log verify' names the rows"))
      }
    } catch {
      throw .ledger("\(error)")
    }
  }
}
