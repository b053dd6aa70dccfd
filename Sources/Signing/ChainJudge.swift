internal import COpenSSL

/// A certificate of a path and who issued it.
struct PathLink: Sendable {
  let certificate: CertificateHandle
  let facts: CertificateFacts
  /// Its own public key in DER.
  let key: [UInt8]
  /// The next certificate of the path and its public key in DER; nil at the top.
  let issuer: CertificateHandle?
  let issuerKey: [UInt8]?
}

/// A path from a signer's certificate to an anchor that was found good.
struct VettedPath: Sendable {
  /// From the signer's certificate to the anchor's.
  let links: [PathLink]
  /// Within these times, seconds since 1970, the path is good whenever it is asked about: the dates of the certificates between
  /// the signer's, judged beside, and the anchor, which has none that count.
  let notBefore: Int64
  let notAfter: Int64

  /// The verdict's form of it, for one time.
  func chain(at time: Int64) -> SignatureVerdict.Chain {
    .good(path: links.map(\.facts.subject), remark: remark(at: time))
  }

  private func remark(at time: Int64) -> String? {
    guard links.count > 1, let anchor = links.last?.facts, !anchor.isValid(at: time) else { return nil }
    return "whose own certificate is dated \(Calendar.text(anchor.notBefore)) to \(Calendar.text(anchor.notAfter))"
  }
}

/// Traces a signer's certificate to the anchors (RFC 5280 §6), at the message's time.
enum ChainJudge {
  /// What was found.
  enum Outcome {
    case good(VettedPath)
    case bad(reason: String, certificate: String)
  }

  /// - Parameters:
  ///   - certificate: the signer's.
  ///   - others: the certificates that came with the message.
  ///   - anchors: the authorities.
  ///   - time: seconds since 1970.
  static func path(
    of certificate: CertificateHandle, with others: [CertificateHandle], to anchors: TrustAnchors, at time: Int64
  ) -> Outcome {
    defer { OpenSSLErrors.clear() }
    func failed(_ reason: String) -> Outcome { .bad(reason: reason, certificate: CertificateFacts(certificate).subject) }
    guard let context = unsafe X509_STORE_CTX_new(), let untrusted = unsafe ceralacca_certificates_new() else {
      return failed("out of memory")
    }
    // The list has references of its own; it outlives the context.
    defer {
      unsafe X509_STORE_CTX_free(context)
      unsafe ceralacca_certificates_free(untrusted)
    }
    for issuer in issuers(of: certificate, among: others) { unsafe ceralacca_certificates_add(untrusted, issuer.raw) }
    guard unsafe X509_STORE_CTX_init(context, anchors.store, certificate.raw, untrusted) == 1 else { return failed(OpenSSLErrors.take()) }
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
    var path: [CertificateHandle] = []
    for at in 0..<(unsafe ceralacca_certificates_count(chain)) {
      if let link = unsafe ceralacca_certificates_at(chain, at) { unsafe path.append(CertificateHandle(sharing: link)) }
    }
    return .good(vetted(path, untrusted: Int(unsafe X509_STORE_CTX_get_num_untrusted(context))))
  }

  /// The certificates among `others` whose keys signed the signer's, or one that did: no others can be part of the path.
  ///
  /// OpenSSL takes the first one whose name and key identifier fit and does not try a second. Authorities change keys and keep
  /// their name, and a certificate that nobody signed can bear any key identifier.
  private static func issuers(of certificate: CertificateHandle, among others: [CertificateHandle]) -> [CertificateHandle] {
    var rest = others
    var found: [CertificateHandle] = []
    var edge = [certificate]
    while !edge.isEmpty, !rest.isEmpty {
      let here = edge
      edge = rest.filter { one in here.contains { $0.isIssued(by: one) } }
      rest.removeAll { one in edge.contains { $0 === one } }
      found += edge
    }
    return found
  }

  private static func vetted(_ path: [CertificateHandle], untrusted: Int) -> VettedPath {
    let facts = path.map { CertificateFacts($0) }
    let keys = path.map(\.publicKeyOctets)
    let links = path.indices.map { at in
      let isTop = at + 1 == path.count
      return PathLink(
        certificate: path[at], facts: facts[at], key: keys[at], issuer: isTop ? nil : path[at + 1], issuerKey: isTop ? nil : keys[at + 1])
    }
    let between = facts.prefix(untrusted).dropFirst()
    return VettedPath(links: links, notBefore: between.map(\.notBefore).max() ?? .min, notAfter: between.map(\.notAfter).min() ?? .max)
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
