internal import COpenSSL

/// A time stamp token as OpenSSL's CMS holds it.
///
/// Owns the CMS_ContentInfo, freed in deinit; used by the thread that made it.
@safe
final class TokenHandle {
  private let raw: OpaquePointer
  let octets: [UInt8]
  /// The TSTInfo in DER.
  let content: [UInt8]
  /// The certificates that came with it.
  let certificates: [Certificate]
  /// The one that the signer names.
  let signer: Certificate

  /// Longer ones are no time stamps.
  private static let maximumBytes = TimeStampRequest.maximumResponseBytes
  private static let maximumCertificates = 64

  /// Parses a token: a SignedData about a TSTInfo by one signer, whose certificate is in it.
  init(_ octets: [UInt8]) throws(TimeStampError) {
    defer { OpenSSLErrors.clear() }
    guard octets.count <= TokenHandle.maximumBytes else { throw .malformed("the time stamp is longer than any is") }
    // The outer element is checked here: OpenSSL would let octets be left over.
    var outer = DERReader(octets, "the time stamp")
    _ = try outer.next(DERWriter.sequence)
    try outer.finish()
    let parsed = unsafe octets.withUnsafeBufferPointer { bytes -> OpaquePointer? in
      var cursor = bytes.baseAddress
      return unsafe d2i_CMS_ContentInfo(nil, &cursor, bytes.count)
    }
    guard let parsed = unsafe parsed else { throw .malformed("the time stamp is not CMS") }
    // Freed here when it is no good: deinit runs only for an object that was made whole.
    var isKept = false
    defer { if !isKept { unsafe CMS_ContentInfo_free(parsed) } }
    let parts = try unsafe TokenHandle.parts(of: parsed)
    unsafe raw = parsed
    self.octets = octets
    content = parts.content
    certificates = parts.certificates
    signer = parts.signer
    isKept = true
  }

  deinit { unsafe CMS_ContentInfo_free(raw) }

  @unsafe
  private static func parts(
    of parsed: OpaquePointer
  ) throws(TimeStampError) -> (content: [UInt8], certificates: [Certificate], signer: Certificate) {
    guard unsafe OBJ_obj2nid(CMS_get0_type(parsed)) == NID_pkcs7_signed else { throw .malformed("the time stamp is not signed") }
    guard unsafe OBJ_obj2nid(CMS_get0_eContentType(parsed)) == NID_id_smime_ct_TSTInfo else {
      throw .malformed("what is signed is not a time stamp")
    }
    var start: UnsafePointer<UInt8>?
    let count = unsafe ceralacca_content(parsed, &start)
    guard count >= 0 else { throw .malformed("the time stamp is empty") }
    let content = unsafe Array(UnsafeBufferPointer(start: start, count: count))
    // RFC 3161 §2.4.2: no signature but the authority's.
    guard unsafe ceralacca_signers_count(parsed) == 1, let info = unsafe ceralacca_signer_at(parsed, 0) else {
      throw .malformed("the time stamp is not signed by one signer")
    }
    let list = unsafe CMS_get1_certs(parsed)
    defer { unsafe ceralacca_certificates_free(list) }
    guard unsafe ceralacca_certificates_count(list) <= maximumCertificates else {
      throw .malformed("the time stamp has too many certificates")
    }
    let certificates = unsafe CertificateList.certificates(of: list)
    guard let signer = certificates.first(where: { unsafe CMS_SignerInfo_cert_cmp(info, $0.raw) == 0 }) else {
      throw .otherCertificate("the authority's certificate is not in the time stamp")
    }
    return (content, certificates, signer)
  }

  /// Borrowed from `raw`.
  private var info: OpaquePointer? { unsafe ceralacca_signer_at(raw, 0) }

  /// OpenSSL's numbers of the digest and of the signature.
  var algorithms: (digest: Int32, signature: Int32) {
    var digest: Int32 = 0
    var signature: Int32 = 0
    unsafe ceralacca_signer_algorithms(info, &digest, &signature)
    return (digest, signature)
  }

  /// Whether the signature is the signer's, and of this content.
  func checkSignature() throws(TimeStampError) {
    defer { OpenSSLErrors.clear() }
    // RFC 5652 §5.3: content of another type than data needs signed attributes, its type among them.
    guard let type = unsafe ceralacca_signed_attribute(info, NID_pkcs9_contentType, V_ASN1_OBJECT),
      unsafe OBJ_obj2nid(OpaquePointer(type)) == NID_id_smime_ct_TSTInfo
    else { throw .badSignature("it is not about a time stamp") }
    let flags = UInt32(CMS_NO_SIGNER_CERT_VERIFY | CMS_BINARY)
    guard unsafe CMS_verify(raw, nil, nil, nil, nil, flags) == 1 else { throw .badSignature(OpenSSLErrors.take()) }
  }

  /// Whether the signature was made for the first of these certificates, and no other with its key, and names none but these
  /// (RFC 5035 §3).
  func checkNames(path: [Certificate]) throws(TimeStampError) {
    defer { OpenSSLErrors.clear() }
    let list = try CertificateList(path)
    guard unsafe ceralacca_ts_names_path(info, list.raw) == 1 else {
      throw .otherCertificate("the time stamp was signed for another certificate: \(OpenSSLErrors.take())")
    }
  }
}
