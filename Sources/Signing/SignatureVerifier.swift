internal import COpenSSL
import Octets

/// Judges detached CMS signatures, as a court would years later: at the message's own time, not now (`pec-rules` 11.5).
///
/// Any provider's signature is read, not only our own profile: BER with indefinite lengths, SHA-1 to SHA-512, with or without signed
/// attributes (`pec-rules` 11.2, 11.3). Revocation is not looked up.
public enum SignatureVerifier {
  /// A detached signature with a few certificates has some kilobytes; with revocation lists inside, more.
  public static let maximumBytes = 8 << 20

  /// Judges a signature.
  ///
  /// - Parameters:
  ///   - cms: the SignedData, in DER or BER.
  ///   - content: the exact octets that were signed, in order.
  ///   - anchors: the authorities; nil leaves the chain unchecked.
  ///   - at: the message's own time, seconds since 1970; nil takes the signer's clock, or the present where it is silent.
  ///   - now: the present, seconds since 1970.
  public static func verify(cms: [UInt8], content: [Chunk], anchors: TrustAnchors?, at: Int64?, now: Int64) -> SignatureVerdict {
    defer { OpenSSLErrors.clear() }
    func refused(_ refusal: SignatureVerdict.Refusal) -> SignatureVerdict {
      SignatureVerdict(.refused(refusal), judgedAt: at ?? now, now: now)
    }
    guard cms.count <= maximumBytes else { return refused(.tooLarge(cms.count)) }
    guard let signed = SignedDataHandle(cms) else { return refused(.malformed(OpenSSLErrors.take())) }
    if let refusal = signed.refusal { return refused(refusal) }
    guard let digest = acceptedDigest(signed) else { return refused(.digestAlgorithm(name(signed.algorithms.digest))) }
    let candidates = signed.signerCertificates
    guard !candidates.isEmpty else { return refused(.certificateMissing) }

    // Two certificates may claim the same issuer and number; the one whose key made the signature is the signer's.
    var judged: (certificate: CertificateHandle, flaw: SignatureVerdict.Flaw?)?
    for certificate in candidates {
      let flaw = flaw(signed, certificate, content: content, digest: digest.algorithm)
      if judged == nil || flaw != .signatureMismatch { judged = (certificate, flaw) }
      if flaw != .signatureMismatch { break }
    }
    guard let judged else { return refused(.certificateMissing) }

    let facts = CertificateFacts(judged.certificate)
    let time = at ?? signed.signingTime ?? now
    var verdict = SignatureVerdict(judged.flaw.map { .bad($0) } ?? .good, judgedAt: time, now: now)
    verdict.signer = facts
    verdict.digestAlgorithm = digest.name
    verdict.signingTime = signed.signingTime
    verdict.validity = time < facts.notBefore ? .notYetValid : time > facts.notAfter ? .expired : .valid
    if let anchors { verdict.chain = ChainJudge.chain(of: judged.certificate, with: signed, to: anchors, at: time) }
    return verdict
  }

  /// The digest algorithms of twenty years of PEC (`pec-rules` 11.2).
  private static func acceptedDigest(_ signed: SignedDataHandle) -> (name: String, algorithm: DigestAlgorithm)? {
    let known: [(nid: Int32, name: String, fetch: String)] = [
      (NID_sha1, "SHA-1", "SHA1"), (NID_sha256, "SHA-256", "SHA256"), (NID_sha384, "SHA-384", "SHA384"), (NID_sha512, "SHA-512", "SHA512"),
    ]
    guard let row = known.first(where: { $0.nid == signed.algorithms.digest }), let algorithm = DigestAlgorithm(name: row.fetch) else {
      return nil
    }
    return (row.name, algorithm)
  }

  private static func name(_ nid: Int32) -> String {
    unsafe OBJ_nid2ln(nid).map { unsafe String(cString: $0) } ?? "unknown"
  }

  /// What is wrong with the signature if `certificate` is the signer's; nil when nothing is.
  private static func flaw(
    _ signed: SignedDataHandle, _ certificate: CertificateHandle, content: [Chunk], digest algorithm: DigestAlgorithm
  ) -> SignatureVerdict.Flaw? {
    guard let digest = Hasher(algorithm).digest(content) else { return .algorithm(OpenSSLErrors.take()) }
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

/// A parsed CMS message. Owns the CMS_ContentInfo, freed in deinit; used by the thread that made it.
@safe
final class SignedDataHandle {
  let raw: OpaquePointer

  /// Nil when it is not CMS.
  init?(_ octets: [UInt8]) {
    let parsed = unsafe octets.withUnsafeBufferPointer { bytes -> OpaquePointer? in
      var cursor = bytes.baseAddress
      return unsafe d2i_CMS_ContentInfo(nil, &cursor, bytes.count)
    }
    guard let parsed = unsafe parsed else { return nil }
    unsafe raw = parsed
  }

  deinit { unsafe CMS_ContentInfo_free(raw) }

  /// Why it is not one detached signature by one signer; nil when it is.
  var refusal: SignatureVerdict.Refusal? {
    let type = unsafe CMS_get0_type(raw)
    guard unsafe OBJ_obj2nid(type) == NID_pkcs7_signed else { return unsafe .notSignedData(SignedDataHandle.text(type)) }
    let contentType = unsafe CMS_get0_eContentType(raw)
    guard unsafe OBJ_obj2nid(contentType) == NID_pkcs7_data else { return unsafe .contentType(SignedDataHandle.text(contentType)) }
    if unsafe ceralacca_has_content(raw) == 1 { return .contentInside }
    let signers = Int(unsafe ceralacca_signers_count(raw))
    return signers == 1 ? nil : signers < 1 ? .noSigner : .severalSigners(signers)
  }

  /// Borrowed from `raw`.
  private var signer: OpaquePointer? { unsafe ceralacca_signer_at(raw, 0) }

  /// The algorithms as OpenSSL's numbers.
  var algorithms: (digest: Int32, signature: Int32) {
    var digest: Int32 = 0
    var signature: Int32 = 0
    unsafe ceralacca_signer_algorithms(signer, &digest, &signature)
    return (digest, signature)
  }

  /// Certificates that the message names as the signer's.
  var signerCertificates: [CertificateHandle] {
    guard let list = unsafe CMS_get1_certs(raw) else { return [] }
    defer { unsafe ceralacca_certificates_free(list) }
    var found: [CertificateHandle] = []
    for at in 0..<(unsafe ceralacca_certificates_count(list)) {
      guard let certificate = unsafe ceralacca_certificates_at(list, at), unsafe CMS_SignerInfo_cert_cmp(signer, certificate) == 0 else {
        continue
      }
      unsafe found.append(CertificateHandle(sharing: certificate))
    }
    return found
  }

  var hasSignedAttributes: Bool { unsafe CMS_signed_get_attr_count(signer) >= 0 }

  /// Whether the signature is that of the signed attributes by the certificate's key.
  func attributesHold(for certificate: CertificateHandle) -> Bool {
    unsafe CMS_SignerInfo_set1_signer_cert(signer, certificate.raw)
    return unsafe CMS_SignerInfo_verify(signer) == 1
  }

  /// The contentType attribute as OpenSSL's number; nil unless it stands once.
  var contentTypeAttribute: Int32? {
    guard let value = unsafe ceralacca_signed_attribute(signer, NID_pkcs9_contentType, V_ASN1_OBJECT) else { return nil }
    return unsafe OBJ_obj2nid(OpaquePointer(value))
  }

  /// The messageDigest attribute; nil unless it stands once.
  var messageDigestAttribute: [UInt8]? {
    guard let value = unsafe ceralacca_signed_attribute(signer, NID_pkcs9_messageDigest, V_ASN1_OCTET_STRING) else { return nil }
    return unsafe CertificateFacts.octets(value.assumingMemoryBound(to: ASN1_STRING.self))
  }

  /// The signingTime attribute; nil unless it stands once.
  var signingTime: Int64? {
    for type in [V_ASN1_UTCTIME, V_ASN1_GENERALIZEDTIME] {
      if let value = unsafe ceralacca_signed_attribute(signer, NID_pkcs9_signingTime, type) {
        return unsafe CertificateFacts.seconds(value.assumingMemoryBound(to: ASN1_TIME.self))
      }
    }
    return nil
  }

  var signature: [UInt8] {
    guard let value = unsafe CMS_SignerInfo_get0_signature(signer) else { return [] }
    return unsafe CertificateFacts.octets(value)
  }

  @unsafe
  private static func text(_ object: OpaquePointer?) -> String {
    var text = [CChar](repeating: 0, count: 128)
    guard unsafe OBJ_obj2txt(&text, Int32(text.count), object, 0) > 0 else { return "unknown" }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
