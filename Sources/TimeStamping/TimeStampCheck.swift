internal import COpenSSL

/// Judges time stamps.
public enum TimeStampCheck {
  /// Verifies a token of whatever age.
  ///
  /// - Parameters:
  ///   - token: the ContentInfo in DER.
  ///   - imprint: digest of the data it must be about.
  ///   - authorities: who may vouch for the authority's certificate.
  ///   - at: seconds since 1970: a time at which the token is known to have existed, because a later time stamp proves it, or the present.
  ///     The certificate must be valid then too, and not yet revoked for a reason that throws doubt on its key. Nil: the token's own
  ///     time is taken, which nothing else proves.
  ///   - digest: what the imprint was made with.
  public static func verify(
    token: [UInt8], imprint: [UInt8], authorities: TimeStampAuthorities, at: Int64?, digest: TimeStampDigest = .sha256
  ) throws(TimeStampError) -> TimeStampToken {
    let handle = try TokenHandle(token)
    let read = try TimeStampToken(handle)
    guard read.digest == digest, read.imprint == imprint else { throw .otherImprint }
    try judge(read, handle, authorities: authorities, at: at)
    return read
  }

  /// Strength of keys in bits at the least: RSA 2048, elliptic curves of 224 bits.
  private static let minimumStrength = 112

  /// Everything but what the token is about: signature, certificate, path, dates, revocation.
  static func judge(
    _ token: TimeStampToken, _ handle: TokenHandle, authorities: TimeStampAuthorities, at: Int64?
  ) throws(TimeStampError) {
    let strong = [NID_sha256, NID_sha384, NID_sha512, NID_sha3_256, NID_sha3_384, NID_sha3_512]
    guard strong.contains(handle.algorithms.digest) else { throw .weakAlgorithm("the time stamp is signed with \(token.signatureDigest)") }
    let signer = handle.signer
    guard signer.strength >= minimumStrength else { throw .weakAlgorithm("the key of \(signer.subject)") }
    try handle.checkSignature()
    guard signer.isForTimeStamping else { throw .notForTimeStamping(subject: signer.subject) }
    let time = at ?? token.genTime
    // The stamp's own time and that of the question; the path between the certificate and the anchor is asked about at the latter.
    for moment in [token.genTime, time] where !signer.isValid(at: moment) {
      throw .notValid(subject: signer.subject, at: moment, notBefore: signer.notBefore, notAfter: signer.notAfter)
    }
    let path = try CertificatePath.find(of: signer, with: handle.certificates, to: authorities, at: time)
    // Those of its issuers that the signer names may be above the anchor.
    try handle.checkNames(path: path + handle.certificates.filter { $0 !== signer } + authorities.anchors)
    for (certificate, issuer) in zip(path, path.dropFirst()) {
      guard let entry = authorities.revocation(of: certificate, issuer: issuer) else { continue }
      // RFC 3161 §4, 1. When the key may be in other hands its stamps can be dated at will: only a time that others prove counts then.
      let isGood = entry.isHarmless ? token.genTime < entry.since : at.map { $0 < entry.since } ?? false
      if !isGood { throw .revoked(subject: certificate.subject, since: entry.since, reason: entry.reason) }
    }
  }
}

/// Traces an authority's certificate to the anchors (RFC 5280 §6).
enum CertificatePath {
  /// The path from the certificate to the anchor. The certificate's own dates are judged beside.
  static func find(
    of certificate: Certificate, with others: [Certificate], to authorities: TimeStampAuthorities, at time: Int64
  ) throws(TimeStampError) -> [Certificate] {
    defer { OpenSSLErrors.clear() }
    let untrusted = try CertificateList(issuers(of: certificate, among: others))
    guard let context = unsafe X509_STORE_CTX_new() else { throw .library("no memory") }
    defer { unsafe X509_STORE_CTX_free(context) }
    guard unsafe X509_STORE_CTX_init(context, authorities.store, certificate.raw, untrusted.raw) == 1 else {
      throw .library(OpenSSLErrors.take())
    }
    unsafe ceralacca_ts_path_rules(context, time)
    unsafe X509_STORE_CTX_set_verify_cb(context) { verdict, context in
      if verdict == 1 { return 1 }
      let error = unsafe X509_STORE_CTX_get_error(context)
      guard error == X509_V_ERR_CERT_HAS_EXPIRED || error == X509_V_ERR_CERT_NOT_YET_VALID else { return 0 }
      // An anchor is a name and a key without dates (RFC 5280 §6.1.1 (d)).
      let depth = unsafe X509_STORE_CTX_get_error_depth(context)
      return unsafe depth == 0 || depth >= X509_STORE_CTX_get_num_untrusted(context) ? 1 : 0
    }
    guard unsafe X509_verify_cert(context) == 1 else {
      let error = unsafe X509_STORE_CTX_get_error(context)
      let broken = unsafe X509_STORE_CTX_get_current_cert(context).map { unsafe Certificate(sharing: $0) } ?? certificate
      throw .untrusted(certificate: broken.subject, reason: reason(error))
    }
    return unsafe CertificateList.certificates(of: X509_STORE_CTX_get0_chain(context))
  }

  /// The certificates among `others` whose keys signed the first one, or one that did. OpenSSL takes the first one whose name fits and
  /// does not try a second, and anybody can put certificates into a token.
  private static func issuers(of certificate: Certificate, among others: [Certificate]) -> [Certificate] {
    var rest = others.filter { $0 !== certificate }
    var found: [Certificate] = []
    var edge = [certificate]
    while !edge.isEmpty, !rest.isEmpty {
      let here = edge
      edge = rest.filter { one in here.contains { $0.isIssued(by: one) } }
      rest.removeAll { one in edge.contains { $0 === one } }
      found += edge
    }
    return found
  }

  private static func reason(_ error: Int32) -> String {
    switch error {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      "no certificate of its issuer was given"
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN: "it ends in a certificate that vouches for itself"
    case X509_V_ERR_CERT_SIGNATURE_FAILURE: "its issuer's signature does not hold"
    case X509_V_ERR_CERT_HAS_EXPIRED: "it had expired by then"
    case X509_V_ERR_CERT_NOT_YET_VALID: "it was not yet valid then"
    case X509_V_ERR_INVALID_PURPOSE: "it is not meant for time stamps"
    case X509_V_ERR_INVALID_CA: "its issuer is not a certification authority"
    default: unsafe String(cString: X509_verify_cert_error_string(Int(error)))
    }
  }
}
