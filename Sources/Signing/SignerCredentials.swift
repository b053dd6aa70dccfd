internal import COpenSSL
import Octets

/// The key and certificate that a provider signs with, loaded and checked.
///
/// Whoever holds one of these can sign; the checks are those whose failure would make every receipt worthless.
public struct SignerCredentials: Sendable {
  /// The signer's certificate.
  public let certificate: CertificateFacts
  /// Its issuers that are in the file, from the nearest upwards; they go into each signature.
  public let chain: [CertificateFacts]
  /// The service address, as configured (equal to the certificate's but for case).
  public let serviceAddress: String
  /// Size of the key in bits.
  public let keyBits: Int
  /// What should be seen to.
  public let warnings: [CredentialWarning]

  let key: SignerKey
  let publicKey: KeyHandle
  let skeleton: CMSSkeleton

  /// Days before its end in which a certificate is warned about.
  private static let warningDays: Int64 = 30

  /// Loads and checks, the key from where the configuration names it.
  ///
  /// - Parameters:
  ///   - keyPath: PEM file with the private key, without a password (PKCS#8, or the older RSA form), which may be the same file as the
  ///     other; or the `pkcs11:` URI of a key in a token (`PKCS11URI`).
  ///   - certificatePath: PEM file with the signer's certificate and its chain, in any order.
  ///   - serviceAddress: the address of `From:`; it must be in the certificate (RFC 6109 §2.1).
  ///   - now: seconds since 1970.
  /// - Throws: what is wrong, in which file, and what to do.
  public init(keyPath: String, certificatePath: String, serviceAddress: String, now: Int64) throws(CredentialError) {
    try self.init(key: .named(keyPath), certificatePath: certificatePath, serviceAddress: serviceAddress, now: now)
  }

  /// Loads and checks.
  ///
  /// - Parameters:
  ///   - key: where the private key is.
  ///   - certificatePath: PEM file with the signer's certificate and its chain, in any order.
  ///   - serviceAddress: the address of `From:`; it must be in the certificate (RFC 6109 §2.1).
  ///   - now: seconds since 1970.
  /// - Throws: what is wrong, in which file or token, and what to do.
  public init(key source: SigningKeySource, certificatePath: String, serviceAddress: String, now: Int64) throws(CredentialError) {
    let pair = try SignerCredentials.pair(source, certificatePath: certificatePath, now: now)
    let signer = pair.signer
    let facts = CertificateFacts(signer)
    try SignerCredentials.check(signer, facts, serviceAddress: serviceAddress, now: now, path: certificatePath)
    let issuers = SignerCredentials.issuers(of: signer, among: pair.certificates, now: now)

    key = pair.key
    publicKey = pair.publicKey
    certificate = facts
    chain = issuers.map { CertificateFacts($0) }
    self.serviceAddress = serviceAddress
    keyBits = publicKey.bits
    let all = pair.certificates.map { CertificateFacts($0) }
    warnings = SignerCredentials.warnings(signer, facts, chain: chain, all: all, now: now) + pair.warnings
    skeleton = CMSSkeleton(
      certificates: ([signer] + issuers).map(\.der),
      issuer: unsafe derOctets { unsafe i2d_X509_NAME(X509_get_issuer_name(signer.raw), $0) },
      serialNumber: unsafe derOctets { unsafe i2d_ASN1_INTEGER(X509_get0_serialNumber(signer.raw), $0) },
      signatureBytes: (keyBits + 7) / 8)
  }

  /// Whether the certificate's O or CN is the provider's name (RFC 6109 §5.5).
  public func isNamed(_ provider: String) -> Bool { certificate.isNamed(provider) }

  // MARK: Choosing

  /// Of several certificates the one that is valid at the time and lasts longest.
  static func preferred(_ certificates: [CertificateHandle], now: Int64) -> CertificateHandle? {
    certificates.map { ($0, CertificateFacts($0)) }.max { one, other in
      (one.1.isValid(at: now) ? 1 : 0, one.1.notAfter) < (other.1.isValid(at: now) ? 1 : 0, other.1.notAfter)
    }?.0
  }

  /// Follows the issuers through the file by name, key identifier and signature, up to a self-signed certificate or as far as it goes.
  /// An authority's certificate may have been issued again with the same key: `preferred` picks one (`pec-rules` 11.4).
  private static func issuers(of signer: CertificateHandle, among certificates: [CertificateHandle], now: Int64) -> [CertificateHandle] {
    var chain: [CertificateHandle] = []
    var last = signer
    while chain.count < certificates.count {
      if last.isIssued(by: last) { break }
      let seen = Set(chain.map { CertificateFacts($0).sha256Fingerprint })
      let candidates = certificates.filter { last.isIssued(by: $0) && !seen.contains(CertificateFacts($0).sha256Fingerprint) }
      guard let next = preferred(candidates, now: now) else { break }
      chain.append(next)
      last = next
    }
    OpenSSLErrors.clear()
    return chain
  }

  // MARK: Checking

  private static func check(
    _ signer: CertificateHandle, _ facts: CertificateFacts, serviceAddress: String, now: Int64, path: String
  ) throws(CredentialError) {
    if now < facts.notBefore { throw CredentialError(.notYetValid(from: facts.notBefore), path) }
    if now > facts.notAfter { throw CredentialError(.expired(on: facts.notAfter), path) }
    // RFC 6109 §5.5: the address is in the subjectAltName; one in the subject does not count.
    let mails = CertificateFacts.alternativeMails(signer)
    if mails.isEmpty { throw CredentialError(.noMailAddress, path) }
    if !mails.contains(where: { ASCII.equal($0, serviceAddress) }) {
      throw CredentialError(.wrongMailAddress(found: mails, wanted: serviceAddress), path)
    }
    let flags = unsafe X509_get_extension_flags(signer.raw)
    if flags & UInt32(EXFLAG_CA) != 0 { throw CredentialError(.authority, path) }
    let usage = unsafe X509_get_key_usage(signer.raw)
    if flags & UInt32(EXFLAG_KUSAGE) == 0 || usage & UInt32(KU_DIGITAL_SIGNATURE) == 0 { throw CredentialError(.keyUsage, path) }
    let extended = unsafe X509_get_extended_key_usage(signer.raw)
    if flags & UInt32(EXFLAG_XKUSAGE) != 0, extended & UInt32(XKU_SMIME | XKU_ANYEKU) == 0 {
      throw CredentialError(.extendedKeyUsage, path)
    }
  }

  private static func warnings(
    _ signer: CertificateHandle, _ facts: CertificateFacts, chain: [CertificateFacts], all: [CertificateFacts], now: Int64
  ) -> [CredentialWarning] {
    var warnings: [CredentialWarning] = []
    let (soon, overflow) = now.addingReportingOverflow(warningDays * 86_400)
    let horizon = overflow ? Int64.max : soon
    if facts.notAfter < horizon { warnings.append(.expiresSoon(on: facts.notAfter)) }
    for issuer in chain where issuer.notBefore > now || issuer.notAfter < horizon {
      warnings.append(.chainDates(subject: issuer.subject, notBefore: issuer.notBefore, notAfter: issuer.notAfter))
    }
    for other in all where other != facts && !chain.contains(other) { warnings.append(.notInChain(subject: other.subject)) }
    if chain.isEmpty, facts.issuer != facts.subject { warnings.append(.issuerMissing(issuer: facts.issuer)) }
    // The profile of RFC 6109 §5.5 in what does not make a signature unusable.
    func has(_ nid: Int32) -> Bool { unsafe X509_get_ext_by_NID(signer.raw, nid, -1) >= 0 }
    if has(NID_basic_constraints) { warnings.append(.profile("it has basicConstraints")) }
    if !has(NID_subject_key_identifier) { warnings.append(.profile("it has no subjectKeyIdentifier")) }
    if !has(NID_authority_key_identifier) { warnings.append(.profile("it has no authorityKeyIdentifier")) }
    let usage = unsafe X509_get_ext(signer.raw, X509_get_ext_by_NID(signer.raw, NID_key_usage, -1))
    if let usage = unsafe usage, unsafe X509_EXTENSION_get_critical(usage) == 0 {
      warnings.append(.profile("its keyUsage is not critical"))
    }
    return warnings
  }
}
