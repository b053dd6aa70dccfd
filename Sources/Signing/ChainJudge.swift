internal import COpenSSL

/// Traces a signer's certificate to the anchors (RFC 5280 §6), at the message's time.
enum ChainJudge {
  static func chain(
    of certificate: CertificateHandle, with signed: SignedDataHandle, to anchors: TrustAnchors, at time: Int64
  ) -> SignatureVerdict.Chain {
    func failed(_ reason: String) -> SignatureVerdict.Chain { .bad(reason: reason, certificate: CertificateFacts(certificate).subject) }
    guard let context = unsafe X509_STORE_CTX_new() else { return failed("out of memory") }
    // The intermediate certificates of the message; they outlive the context.
    let others = unsafe CMS_get1_certs(signed.raw)
    defer {
      unsafe X509_STORE_CTX_free(context)
      if let others = unsafe others { unsafe ceralacca_certificates_free(others) }
    }
    guard unsafe X509_STORE_CTX_init(context, anchors.store, certificate.raw, others) == 1 else { return failed(OpenSSLErrors.take()) }
    unsafe X509_STORE_CTX_set_time(context, 0, Int(time))
    unsafe X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SMIME_SIGN)
    // An anchor need not be self-signed: AgID's intermediate may be given alone.
    unsafe X509_STORE_CTX_set_flags(context, UInt(X509_V_FLAG_PARTIAL_CHAIN))
    unsafe X509_STORE_CTX_set_verify_cb(context) { verdict, context in
      if verdict == 1 { return 1 }
      let error = unsafe X509_STORE_CTX_get_error(context)
      guard error == X509_V_ERR_CERT_HAS_EXPIRED || error == X509_V_ERR_CERT_NOT_YET_VALID else { return 0 }
      // The signer's own dates are judged beside the chain, and an anchor is a name and a key without dates (RFC 5280 §6.1.1 (d)):
      // authorities issue their certificate anew with the same key, and old messages must go back to the new one (`pec-rules` 11.4).
      let depth = unsafe X509_STORE_CTX_get_error_depth(context)
      return unsafe depth == 0 || depth >= X509_STORE_CTX_get_num_untrusted(context) ? 1 : 0
    }
    guard unsafe X509_verify_cert(context) == 1 else {
      let broken = unsafe X509_STORE_CTX_get_current_cert(context).map { unsafe CertificateFacts(CertificateHandle(sharing: $0)) }
      return .bad(
        reason: reason(unsafe X509_STORE_CTX_get_error(context)), certificate: (broken ?? CertificateFacts(certificate)).subject)
    }
    let chain = unsafe X509_STORE_CTX_get0_chain(context)
    var path: [CertificateFacts] = []
    for at in 0..<(unsafe ceralacca_certificates_count(chain)) {
      if let link = unsafe ceralacca_certificates_at(chain, at) { unsafe path.append(CertificateFacts(CertificateHandle(sharing: link))) }
    }
    return .good(path: path.map(\.subject), remark: remark(path, at: time))
  }

  private static func remark(_ path: [CertificateFacts], at time: Int64) -> String? {
    guard path.count > 1, let anchor = path.last, !anchor.isValid(at: time) else { return nil }
    return "whose own certificate is dated \(Calendar.text(anchor.notBefore)) to \(Calendar.text(anchor.notAfter))"
  }

  private static func reason(_ error: Int32) -> String {
    switch error {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
      X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      "no certificate of its issuer was given"
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN: "it ends in a certificate that vouches for itself"
    case X509_V_ERR_CERT_SIGNATURE_FAILURE: "its issuer's signature does not hold"
    case X509_V_ERR_CERT_HAS_EXPIRED: "it had expired by then"
    case X509_V_ERR_CERT_NOT_YET_VALID: "it was not yet valid then"
    case X509_V_ERR_INVALID_PURPOSE: "it is not meant for signing mail"
    case X509_V_ERR_INVALID_CA: "its issuer is not a certification authority"
    default: unsafe String(cString: X509_verify_cert_error_string(Int(error)))
    }
  }
}
