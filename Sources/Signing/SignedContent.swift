import Octets

/// Why a signed file was not opened.
public enum SignedContentError: Error, Sendable, Equatable, CustomStringConvertible {
  /// More octets than a signed file may have.
  case tooLarge(Int)
  /// It is not a signed file that can be judged.
  case refused(SignatureVerdict.Refusal)
  /// The signature does not hold.
  case bad(SignatureVerdict.Flaw)
  /// The signature is good, and its signer is neither one of those given nor vouched for by an authority: the signer's subject, and
  /// why its path is not good, if authorities were given.
  case stranger(subject: String, reason: String?)
  /// The signer's certificate is not valid at the time (seconds since 1970).
  case outsideValidity(subject: String, notBefore: Int64, notAfter: Int64, at: Int64)
  /// The signer's certificate, or one of its authorities', had been taken back by the time: since when (seconds since 1970), and why.
  case revoked(subject: String, since: Int64, reason: String)

  public var description: String {
    switch self {
    case .tooLarge(let bytes): "the signed file has \(bytes) octets; at most \(SignedContent.maximumBytes) are read"
    case .refused(let refusal): "it is not a signed file: \(refusal.words)"
    case .bad(.signatureMismatch), .bad(.contentChanged): "the signature does not hold: the file was changed after it was signed"
    case .bad(.attributes(let reason)): "the signature does not hold: \(reason)"
    case .bad(.algorithm(let name)): "the signature cannot be judged: the signature algorithm \(name) is unknown here"
    case .stranger(let subject, nil): "it is signed by \(subject), who is not one of its signers"
    case .stranger(let subject, let reason?): "it is signed by \(subject), for whom no given authority vouches: \(reason)"
    case .outsideValidity(let subject, let notBefore, let notAfter, let at):
      "the certificate of \(subject) is valid from \(Calendar.text(notBefore)) to \(Calendar.text(notAfter)), not on \(Calendar.text(at))"
    case .revoked(let subject, let since, let reason):
      "the certificate of \(subject) had been revoked \(RevocationList.since(since)) (\(reason))"
    }
  }
}

/// A file whose signature was verified: the provider index and each provider's record are published as a SignedData with the content,
/// the signature and the certificate inside, `.p7m` (`pec-rules` 10.4).
public struct SignedContent: Sendable, Equatable {
  /// The largest file opened, in octets.
  public static let maximumBytes = 64 << 20

  /// What was signed.
  public let content: [UInt8]
  /// Who signed it.
  public let signer: CertificateFacts
  /// What the signer's clock said, seconds since 1970; nil when the signature does not say.
  public let signingTime: Int64?
  /// What the lists given say of the signer; `notChecked` without lists or anchors.
  public let revocation: SignatureVerdict.Revocation

  /// Opens a signed file and verifies it.
  ///
  /// - Parameters:
  ///   - p7m: the SignedData in DER or BER, in PEM, or in base64 alone.
  ///   - signers: certificates in DER; one of them must be the signer's, octet for octet, or `anchors` must vouch for it.
  ///   - anchors: the authorities, or nil: only `signers` count.
  ///   - at: the time at which the signer's certificate must be valid, seconds since 1970; nil takes the signer's clock, for a copy
  ///     that was judged when it came.
  ///   - lists: revocation lists, looked up along the path to the anchors; nil leaves revocation unchecked. A list that is missing or stale
  ///     does not count against the signer: `revocation` tells of it.
  /// - Throws: why nothing of it may be used.
  public static func open(
    _ p7m: [UInt8], signers: [[UInt8]], anchors: TrustAnchors?, at: Int64?, lists: RevocationLists? = nil
  ) throws(SignedContentError) -> SignedContent {
    guard p7m.count <= maximumBytes else { throw .tooLarge(p7m.count) }
    guard let cms = binary(p7m) else { throw .refused(.malformed("not a CMS message")) }
    // Without a time of its own the signature is judged at the beginning of time: it is expired for nobody and valid for nobody.
    let examination = SignatureExamination(anchors: anchors, lists: lists, memory: nil, at: at, now: at ?? .min)
    let opened: SignatureExamination.Opened
    switch examination.open(cms, detached: false) {
    case .failure(let refusal): throw .refused(refusal.reason)
    case .success(let found): opened = found
    }
    guard let content = opened.signed.content else { throw .refused(.contentMissing) }
    let verdict = examination.verdict(opened, content: [Chunk(content)])
    switch verdict.mathematics {
    case .refused(let refusal): throw .refused(refusal)
    case .bad(let flaw): throw .bad(flaw)
    case .good: break
    }
    guard let signer = verdict.signer else { throw .refused(.certificateMissing) }
    if !signers.contains(signer.der) {
      switch verdict.chain {
      case .good: break
      case .notChecked: throw .stranger(subject: signer.subject, reason: nil)
      case .bad(let reason, _): throw .stranger(subject: signer.subject, reason: reason)
      }
    }
    guard verdict.validity == .valid else {
      throw .outsideValidity(subject: signer.subject, notBefore: signer.notBefore, notAfter: signer.notAfter, at: verdict.judgedAt)
    }
    if verdict.isRevoked, case .revoked(let since, let reason) = verdict.revocation {
      throw .revoked(subject: signer.subject, since: since, reason: reason)
    }
    return SignedContent(content: content, signer: signer, signingTime: verdict.signingTime, revocation: verdict.revocation)
  }

  /// Whether octets begin as a signed file does: a SignedData in DER, BER, PEM or base64. Nothing is verified.
  public static func looksSigned(_ octets: [UInt8]) -> Bool {
    if octets.first == DER.sequence { return beginsAsSignedData(octets) }
    let start = Array(octets.prefix(4096))
    if let dashes = start.firstIndex(of: UInt8(ascii: "-")), start[..<dashes].allSatisfy(isSpace) {
      return ["PKCS7", "CMS", "PKCS #7 SIGNED DATA"].contains { label in
        start[dashes...].starts(with: Array("-----BEGIN \(label)-----".utf8))
      }
    }
    let digits = start.filter { !isSpace($0) }.prefix(64)
    guard let head = Base64.decode(digits.prefix(digits.count / 4 * 4)) else { return false }
    return beginsAsSignedData(head)
  }

  /// Tag and length of the outermost element, then the type.
  private static func beginsAsSignedData(_ octets: [UInt8]) -> Bool {
    guard octets.count > 2, octets[0] == DER.sequence else { return false }
    let start = octets[1] <= 0x80 ? 2 : 2 + Int(octets[1] & 0x7F)
    return octets.dropFirst(start).starts(with: DER.idSignedData)
  }

  /// The SignedData in binary form.
  private static func binary(_ p7m: [UInt8]) -> [UInt8]? {
    if p7m.first == DER.sequence { return p7m }
    if let blocks = try? PEMFile.blocks(in: p7m), let block = blocks.first(where: \.isSignedData) { return block.octets }
    return Base64.decode(p7m)
  }

  private static func isSpace(_ octet: UInt8) -> Bool { octet == 32 || (9...13).contains(octet) }
}

extension SignerCredentials {
  /// A signed file: a SignedData in DER with the content inside, digested with SHA-256, in the profile of our messages.
  ///
  /// - Parameters:
  ///   - content: what to sign.
  ///   - at: the signing time, seconds since 1970; the certificate must be valid then.
  /// - Throws: `outsideValidity`, `faultySignature` or `backend`.
  public func signedContent(_ content: [UInt8], at: Int64) throws(SigningError) -> [UInt8] {
    guard certificate.isValid(at: at) else {
      throw .outsideValidity(signingTime: at, notBefore: certificate.notBefore, notAfter: certificate.notAfter)
    }
    guard let check = SignatureCheck(publicKey),
      let attributes = skeleton.attributes(signingTime: at, messageDigest: ContentDigest.sha256([Chunk(content)]))
    else { throw .backend(OpenSSLErrors.take()) }
    let digest = ContentDigest.sha256([Chunk(skeleton.signedOctets(attributes: attributes))])
    let made: [[UInt8]]
    do {
      made = try KeyMemory.confined { try makeSigner().sign(batch: [digest]) }
    } catch {
      throw error as? SigningError ?? .backend("\(error)")
    }
    // See `SignatureCheck`: a faulty signature must not leave.
    guard made.count == 1, made[0].count == skeleton.signatureBytes, check.holds(made[0], digest: digest) else { throw .faultySignature }
    return skeleton.assemble(attributes: attributes, signature: made[0], content: content)
  }
}
