internal import COpenSSL

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

  /// Why it is not one signature by one signer; nil when it is.
  /// - Parameter detached: whether the content must be beside the signature; else it must be inside.
  func refusal(detached: Bool) -> SignatureVerdict.Refusal? {
    let contentType = unsafe CMS_get0_eContentType(raw)
    guard unsafe OBJ_obj2nid(contentType) == NID_pkcs7_data else { return unsafe .contentType(SignedDataHandle.text(contentType)) }
    let isInside = unsafe ceralacca_has_content(raw) == 1
    if detached && isInside { return .contentInside }
    if !detached && !isInside { return .contentMissing }
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

  /// Whether the message names this certificate as the signer's.
  func names(_ certificate: CertificateHandle) -> Bool { unsafe CMS_SignerInfo_cert_cmp(signer, certificate.raw) == 0 }

  /// A copy of the content inside; nil when there is none.
  var content: [UInt8]? {
    var start: UnsafePointer<UInt8>?
    let count = unsafe ceralacca_content(raw, &start)
    return count < 0 ? nil : unsafe Array(UnsafeBufferPointer(start: start, count: count))
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

  /// The name of an object identifier given with tag and length.
  static func typeName(_ encoded: [UInt8]) -> String {
    let object = unsafe encoded.withUnsafeBufferPointer { bytes -> OpaquePointer? in
      var cursor = bytes.baseAddress
      return unsafe d2i_ASN1_OBJECT(nil, &cursor, bytes.count)
    }
    guard let object = unsafe object else {
      OpenSSLErrors.clear()
      return "unknown"
    }
    defer { unsafe ASN1_OBJECT_free(object) }
    return unsafe text(object)
  }

  @unsafe
  private static func text(_ object: OpaquePointer?) -> String {
    var text = [CChar](repeating: 0, count: 128)
    guard unsafe OBJ_obj2txt(&text, Int32(text.count), object, 0) > 0 else { return "unknown" }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
