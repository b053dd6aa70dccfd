internal import COpenSSL
import Octets

/// What a certificate says, as a court, an operator or the provider index wants to know it.
public struct CertificateFacts: Sendable, Equatable {
  /// Subject as `C=IT, O=Alfa, CN=Posta Certificata`.
  public let subject: String
  /// Issuer in the same form.
  public let issuer: String
  /// Values of organizationName in the subject.
  public let organizations: [String]
  /// Values of commonName in the subject.
  public let commonNames: [String]
  /// Mail addresses of the subjectAltName (rfc822Name), then those of the subject that are not among them.
  public let mailAddresses: [String]
  /// Serial number in lower-case hexadecimal.
  public let serialNumber: String
  /// SHA-1 of the DER in lower-case hexadecimal: the key of the provider index (`providerCertificateHash`, RFC 6109 §4.5.1).
  public let sha1Fingerprint: String
  /// SHA-256 of the DER in lower-case hexadecimal.
  public let sha256Fingerprint: String
  /// First second of validity, since 1970.
  public let notBefore: Int64
  /// Last second of validity, since 1970.
  public let notAfter: Int64
  /// Algorithm and size of the public key, `RSA 2048`.
  public let publicKey: String
  /// Where the issuer publishes its revocation lists (cRLDistributionPoints, RFC 5280 §4.2.1.13): `http`, `ldap` and other URIs in
  /// their order, 16 at most.
  public let revocationListURLs: [String]
  /// The certificate in DER.
  public let der: [UInt8]

  /// Reads a certificate in DER; nil when it is not one.
  public init?(der: [UInt8]) {
    guard let certificate = CertificateHandle(der: der) else { return nil }
    self.init(certificate)
  }

  init(_ certificate: CertificateHandle) {
    let subjectName = unsafe X509_get_subject_name(certificate.raw)
    subject = unsafe CertificateFacts.text(of: subjectName)
    issuer = unsafe CertificateFacts.text(of: X509_get_issuer_name(certificate.raw))
    organizations = unsafe CertificateFacts.values(of: NID_organizationName, in: subjectName)
    commonNames = unsafe CertificateFacts.values(of: NID_commonName, in: subjectName)
    var mails = CertificateFacts.alternativeMails(certificate)
    for mail in unsafe CertificateFacts.values(of: NID_pkcs9_emailAddress, in: subjectName)
    where !mails.contains(where: { ASCII.equal($0, mail) }) {
      mails.append(mail)
    }
    mailAddresses = mails
    serialNumber = CertificateFacts.serial(certificate)
    sha1Fingerprint = unsafe CertificateFacts.fingerprint(certificate, EVP_sha1())
    sha256Fingerprint = unsafe CertificateFacts.fingerprint(certificate, EVP_sha256())
    notBefore = unsafe CertificateFacts.seconds(X509_get0_notBefore(certificate.raw)) ?? .max
    notAfter = unsafe CertificateFacts.seconds(X509_get0_notAfter(certificate.raw)) ?? .min
    publicKey = CertificateFacts.keyText(certificate)
    revocationListURLs = CertificateFacts.distributionPoints(certificate)
    der = certificate.der
    OpenSSLErrors.clear()
  }

  /// Whether `unixSeconds` lies within the dates.
  public func isValid(at unixSeconds: Int64) -> Bool { notBefore <= unixSeconds && unixSeconds <= notAfter }

  /// Whether the subject carries a provider's name as its O or CN (RFC 6109 §5.5), without regard to case and repeated spaces,
  /// as the index compares names (caseIgnoreMatch).
  public func isNamed(_ provider: String) -> Bool {
    func plain(_ name: String) -> String { name.split(separator: " ").joined(separator: " ").lowercased() }
    return (organizations + commonNames).contains { plain($0) == plain(provider) }
  }

  /// Mail addresses of the subjectAltName. One with a NUL in it is left out: what it would mean depends on the reader.
  static func alternativeMails(_ certificate: CertificateHandle) -> [String] {
    guard let raw = unsafe X509_get_ext_d2i(certificate.raw, NID_subject_alt_name, nil, nil) else {
      OpenSSLErrors.clear()
      return []
    }
    let names = OpaquePointer(raw)
    defer { unsafe GENERAL_NAMES_free(names) }
    var mails: [String] = []
    for at in 0..<(unsafe ceralacca_names_count(names)) {
      guard let value = unsafe ceralacca_names_mail(names, at) else { continue }
      let octets = unsafe octets(value)
      if !octets.isEmpty, !octets.contains(0) { mails.append(String(decoding: octets, as: UTF8.self)) }
    }
    return mails
  }

  private static func distributionPoints(_ certificate: CertificateHandle) -> [String] {
    guard let raw = unsafe X509_get_ext_d2i(certificate.raw, NID_crl_distribution_points, nil, nil) else {
      OpenSSLErrors.clear()
      return []
    }
    let points = OpaquePointer(raw)
    defer { unsafe ceralacca_points_free(points) }
    var found: [String] = []
    for at in 0..<(unsafe ceralacca_points_count(points)) where found.count < maximumURIs {
      for uri in unsafe uris(ceralacca_points_names(points, at)) where !found.contains(uri) && found.count < maximumURIs {
        found.append(uri)
      }
    }
    return found
  }

  private static let maximumURIs = 16

  /// URIs of a list of names, at most 16; one with anything but visible ASCII is left out.
  @unsafe
  static func uris(_ names: OpaquePointer?) -> [String] {
    var found: [String] = []
    for at in 0..<(unsafe ceralacca_names_count(names)) where found.count < maximumURIs {
      guard let value = unsafe ceralacca_names_uri(names, at) else { continue }
      let octets = unsafe octets(value)
      if !octets.isEmpty, octets.allSatisfy({ $0 > 32 && $0 < 127 }) { found.append(String(decoding: octets, as: UTF8.self)) }
    }
    return found
  }

  /// Octets of an ASN.1 string, whatever its type.
  @unsafe
  static func octets(_ string: UnsafePointer<ASN1_STRING>) -> [UInt8] {
    unsafe Array(UnsafeBufferPointer(start: ASN1_STRING_get0_data(string), count: Int(max(0, ASN1_STRING_length(string)))))
  }

  /// Seconds since 1970 of an ASN.1 time.
  @unsafe
  static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64? {
    var seconds: Int64 = 0
    guard let time = unsafe time, unsafe ceralacca_time_unix(time, &seconds) == 1 else {
      OpenSSLErrors.clear()
      return nil
    }
    return seconds
  }

  @unsafe
  static func text(of name: OpaquePointer?) -> String {
    guard let name = unsafe name, let bio = unsafe BIO_new(BIO_s_mem()) else { return "" }
    defer { unsafe BIO_free(bio) }
    guard unsafe ceralacca_print_name(bio, name) == 1 else { return "" }
    var start: UnsafePointer<UInt8>?
    let count = unsafe ceralacca_bio_contents(bio, &start)
    return unsafe String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
  }

  @unsafe
  private static func values(of nid: Int32, in name: OpaquePointer?) -> [String] {
    var values: [String] = []
    var at: Int32 = -1
    while true {
      at = unsafe X509_NAME_get_index_by_NID(name, nid, at)
      guard at >= 0, let data = unsafe X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)) else { return values }
      var utf8: UnsafeMutablePointer<UInt8>?
      let count = unsafe ASN1_STRING_to_UTF8(&utf8, data)
      guard count >= 0, let start = unsafe utf8 else { continue }
      let octets = unsafe Array(UnsafeBufferPointer(start: start, count: Int(count)))
      unsafe ceralacca_openssl_free(start)
      if !octets.contains(0) { values.append(String(decoding: octets, as: UTF8.self)) }
    }
  }

  private static func serial(_ certificate: CertificateHandle) -> String {
    guard let number = unsafe X509_get0_serialNumber(certificate.raw) else { return "" }
    let sign = unsafe ASN1_STRING_type(number) == V_ASN1_NEG_INTEGER ? "-" : ""
    return unsafe sign + Hex.encode(octets(number))
  }

  @unsafe
  private static func fingerprint(_ certificate: CertificateHandle, _ algorithm: OpaquePointer?) -> String {
    var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    var count: UInt32 = 0
    guard unsafe X509_digest(certificate.raw, algorithm, &digest, &count) == 1 else { return "" }
    return Hex.encode(digest.prefix(Int(count)))
  }

  private static func keyText(_ certificate: CertificateHandle) -> String {
    guard let key = unsafe X509_get0_pubkey(certificate.raw) else { return "unknown" }
    let name = unsafe EVP_PKEY_get0_type_name(key).map { unsafe String(cString: $0) } ?? "unknown"
    return "\(name) \(unsafe EVP_PKEY_get_bits(key))"
  }
}
