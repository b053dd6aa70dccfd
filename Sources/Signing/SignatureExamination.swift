internal import COpenSSL
import Octets

/// The work of judging one SignedData, whoever asks.
struct SignatureExamination {
  /// Nil leaves the chain unchecked.
  var anchors: TrustAnchors?
  /// Nil leaves revocation unchecked.
  var lists: RevocationLists?
  /// What earlier messages brought; nil remembers nothing.
  var memory: CertificateMemory?
  /// The time to judge at; nil takes the signer's clock, or the present where it is silent.
  var at: Int64?
  var now: Int64
  /// The time that the content certifies for itself; nil when it does not.
  var certified: Int64?

  /// Judges a detached signature over `content`.
  func verdict(cms: [UInt8], content: [Chunk]) -> SignatureVerdict {
    switch open(cms, detached: true) {
    case .failure(let refusal): SignatureVerdict(.refused(refusal.reason), judgedAt: at ?? now, now: now)
    case .success(let opened): verdict(opened, content: content)
    }
  }

  /// A SignedData that can be judged.
  struct Opened {
    let outline: SignedDataOutline
    let signed: SignedDataHandle
    let digest: (name: String, algorithm: DigestAlgorithm)
  }

  /// Why one cannot.
  struct Refused: Error { let reason: SignatureVerdict.Refusal }

  /// - Parameter detached: whether the content is beside the signature, or inside.
  func open(_ cms: [UInt8], detached: Bool) -> Result<Opened, Refused> {
    func refused(_ reason: SignatureVerdict.Refusal) -> Result<Opened, Refused> { .failure(Refused(reason: reason)) }
    let outline: SignedDataOutline
    switch SignedDataOutline.read(cms) {
    case .malformed(let reason): return refused(.malformed(reason))
    case .other(let type): return refused(.notSignedData(SignedDataHandle.typeName(type)))
    case .signedData(let read): outline = read
    }
    guard let signed = SignedDataHandle(outline.bare) else { return refused(.malformed(OpenSSLErrors.take())) }
    if let refusal = signed.refusal(detached: detached) { return refused(refusal) }
    guard let digest = SignatureExamination.acceptedDigest(signed) else {
      return refused(.digestAlgorithm(SignatureExamination.name(signed.algorithms.digest)))
    }
    return .success(Opened(outline: outline, signed: signed, digest: digest))
  }

  /// Judges what was opened, as a signature over `content`.
  func verdict(_ opened: Opened, content: [Chunk]) -> SignatureVerdict {
    defer { OpenSSLErrors.clear() }
    func refused(_ refusal: SignatureVerdict.Refusal) -> SignatureVerdict {
      SignatureVerdict(.refused(refusal), judgedAt: at ?? now, now: now)
    }
    let signed = opened.signed
    let algorithm = opened.digest.algorithm
    let known = memory?.certificates(of: opened.outline) ?? CertificateSet(opened.outline)
    let candidates = known.handles.indices.filter { signed.names(known.handles[$0]) }
    guard !candidates.isEmpty else { return refused(.certificateMissing) }
    guard let digest = Hasher(algorithm).digest(content) else { return refused(.malformed(OpenSSLErrors.take())) }

    // Two certificates may claim the same issuer and number; the one whose key made the signature is the signer's.
    var judged: (index: Int, flaw: SignatureVerdict.Flaw?)?
    for index in candidates {
      let flaw = SignatureExamination.flaw(signed, known.handles[index], content: content, digest: digest, algorithm: algorithm)
      if judged == nil || flaw != .signatureMismatch { judged = (index, flaw) }
      if flaw != .signatureMismatch { break }
    }
    guard let judged else { return refused(.certificateMissing) }

    let facts = known.signers[judged.index]?.facts ?? CertificateFacts(known.handles[judged.index])
    let time = at ?? signed.signingTime ?? now
    var verdict = SignatureVerdict(judged.flaw.map { .bad($0) } ?? .good, judgedAt: time, now: now)
    verdict.signer = facts
    verdict.digestAlgorithm = opened.digest.name
    verdict.signingTime = signed.signingTime
    verdict.validity = time < facts.notBefore ? .notYetValid : time > facts.notAfter ? .expired : .valid
    verdict.contentDigest = algorithm === DigestAlgorithm.sha256 ? digest : ContentDigest.sha256(content)
    if let anchors { trace(judged.index, facts, known, opened.outline, anchors, &verdict) }
    return verdict
  }

  /// The path to the anchors and revocation along it.
  private func trace(
    _ index: Int, _ facts: CertificateFacts, _ known: CertificateSet, _ outline: SignedDataOutline, _ anchors: TrustAnchors,
    _ verdict: inout SignatureVerdict
  ) {
    // A certificate that ended on the way is traced as of a time when it had not; what was revoked since stays revoked.
    var time = verdict.judgedAt
    if verdict.validity == .expired, let certified, facts.isValid(at: certified) { time = certified }
    let path: VettedPath
    if let vetted = known.signers[index]?.path, vetted.notBefore <= time, time <= vetted.notAfter {
      path = vetted
    } else {
      switch ChainJudge.path(of: known.handles[index], with: known.handles, to: anchors, at: time) {
      case .bad(let reason, let certificate):
        verdict.chain = .bad(reason: reason, certificate: certificate)
        return
      case .good(let found): path = found
      }
      // Only what a signature proved and an authority vouches for is worth remembering: a forger cannot fill the memory.
      if verdict.mathematics == .good { memory?.remember(known.adding(index, facts, path), of: outline) }
    }
    verdict.chain = path.chain(at: time)
    if let lists { (verdict.revocation, verdict.revocationRemarks) = lists.judge(path, at: verdict.judgedAt) }
  }

  /// The digest algorithms of twenty years of PEC (`pec-rules` 11.2).
  private static func acceptedDigest(_ signed: SignedDataHandle) -> (name: String, algorithm: DigestAlgorithm)? {
    let (name, algorithm): (String, DigestAlgorithm?) =
      switch signed.algorithms.digest {
      case NID_sha1: ("SHA-1", .sha1)
      case NID_sha256: ("SHA-256", .sha256)
      case NID_sha384: ("SHA-384", .sha384)
      case NID_sha512: ("SHA-512", .sha512)
      default: ("", nil)
      }
    return algorithm.map { (name, $0) }
  }

  private static func name(_ nid: Int32) -> String {
    unsafe OBJ_nid2ln(nid).map { unsafe String(cString: $0) } ?? "unknown"
  }

  /// What is wrong with the signature if `certificate` is the signer's; nil when nothing is.
  private static func flaw(
    _ signed: SignedDataHandle, _ certificate: CertificateHandle, content: [Chunk], digest: [UInt8], algorithm: DigestAlgorithm
  ) -> SignatureVerdict.Flaw? {
    guard signed.hasSignedAttributes else {
      return plainFlaw(signed, certificate, content: content, digest: digest, algorithm: algorithm)
    }
    guard signed.attributesHold(for: certificate) else { return .signatureMismatch }
    // RFC 5652 §11.1, §11.2: contentType and messageDigest exactly once with one value each; §5.6: the digest must be the content's.
    guard signed.contentTypeAttribute == NID_pkcs7_data else {
      return .attributes("the signed content type is missing or is not plain data")
    }
    guard let promised = signed.messageDigestAttribute else { return .attributes("the signed digest is missing or stands twice") }
    return promised == digest ? nil : .contentChanged
  }

  /// A signature straight over the content's digest.
  private static func plainFlaw(
    _ signed: SignedDataHandle, _ certificate: CertificateHandle, content: [Chunk], digest: [UInt8], algorithm: DigestAlgorithm
  ) -> SignatureVerdict.Flaw? {
    // The attributes of somebody else's signature, given out as content, would verify without attributes: no MIME part begins
    // with the tag of a SET.
    let first = content.first { !$0.isEmpty }?.withSpan { $0[0] }
    if first == DER.set { return .attributes("without signed attributes the content may be the attributes of another signature") }
    let rsa = [
      NID_rsaEncryption, NID_sha1WithRSAEncryption, NID_sha256WithRSAEncryption, NID_sha384WithRSAEncryption, NID_sha512WithRSAEncryption,
    ]
    guard rsa.contains(signed.algorithms.signature), let key = unsafe X509_get0_pubkey(certificate.raw),
      unsafe EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA
    else { return .algorithm(name(signed.algorithms.signature)) }
    guard let context = unsafe EVP_PKEY_CTX_new_from_pkey(nil, key, nil) else { return .algorithm(OpenSSLErrors.take()) }
    defer { unsafe EVP_PKEY_CTX_free(context) }
    let signature = signed.signature
    let good =
      unsafe EVP_PKEY_verify_init(context) == 1 && EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1
      && EVP_PKEY_CTX_set_signature_md(context, algorithm.raw) == 1
      && EVP_PKEY_verify(context, signature, signature.count, digest, digest.count) == 1
    // Without attributes nothing tells a changed message from a foreign signature.
    return good ? nil : .signatureMismatch
  }
}
