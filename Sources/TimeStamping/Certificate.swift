internal import COpenSSL
import Octets

/// A certificate that OpenSSL holds for us.
///
/// Owns one reference of the X509, given back in deinit. The object is not changed after its parsing, and OpenSSL locks its own caches
/// inside it: any thread may read it.
@safe
final class Certificate: @unchecked Sendable {
  let raw: OpaquePointer
  /// Subject as `C=IT, O=Alfa, CN=Marca Temporale`.
  let subject: String
  /// First and last second of validity, since 1970.
  let notBefore: Int64
  let notAfter: Int64

  /// Takes over the caller's reference.
  init(owning raw: OpaquePointer) {
    unsafe self.raw = raw
    subject = unsafe Certificate.text(of: X509_get_subject_name(raw))
    notBefore = unsafe Certificate.seconds(X509_get0_notBefore(raw)) ?? .max
    notAfter = unsafe Certificate.seconds(X509_get0_notAfter(raw)) ?? .min
  }

  /// Adds a reference to a certificate that somebody else owns.
  convenience init(sharing raw: OpaquePointer) {
    unsafe X509_up_ref(raw)
    unsafe self.init(owning: raw)
  }

  deinit { unsafe X509_free(raw) }

  /// The certificate in DER.
  var der: [UInt8] {
    var out: UnsafeMutablePointer<UInt8>?
    let count = unsafe i2d_X509(raw, &out)
    guard count > 0, let start = unsafe out else { return [] }
    defer { unsafe ceralacca_openssl_free(start) }
    return unsafe Array(UnsafeBufferPointer(start: start, count: Int(count)))
  }

  func isValid(at time: Int64) -> Bool { notBefore <= time && time <= notAfter }

  /// Whether time stamps are its key's business, and nothing else is (RFC 3161 §2.3).
  var isForTimeStamping: Bool {
    defer { OpenSSLErrors.clear() }
    return unsafe X509_check_purpose(raw, X509_PURPOSE_TIMESTAMP_SIGN, 0) == 1
  }

  /// Strength of its key in bits (SP 800-57): RSA 2048 has 112.
  var strength: Int {
    guard let key = unsafe X509_get0_pubkey(raw) else { return 0 }
    return Int(unsafe EVP_PKEY_get_security_bits(key))
  }

  /// Whether `issuer` issued this certificate: by name, key identifier and rights, and by its key.
  func isIssued(by issuer: Certificate) -> Bool {
    defer { OpenSSLErrors.clear() }
    guard unsafe X509_check_issued(issuer.raw, raw) == X509_V_OK, let key = unsafe X509_get0_pubkey(issuer.raw) else { return false }
    return unsafe X509_verify(raw, key) == 1
  }

  /// Where its issuer publishes revocation lists (RFC 5280 §4.2.1.13): 16 at the most.
  var revocationListURLs: [String] {
    guard let read = unsafe X509_get_ext_d2i(raw, NID_crl_distribution_points, nil, nil) else {
      OpenSSLErrors.clear()
      return []
    }
    let points = OpaquePointer(read)
    defer { unsafe ceralacca_points_free(points) }
    var found: [String] = []
    for at in 0..<(unsafe ceralacca_points_count(points)) {
      let names = unsafe ceralacca_points_names(points, at)
      for name in 0..<(unsafe ceralacca_names_count(names)) where found.count < 16 {
        guard let value = unsafe ceralacca_names_uri(names, name) else { continue }
        let octets = unsafe Certificate.octets(value)
        if !octets.isEmpty, octets.allSatisfy({ $0 > 32 && $0 < 127 }) { found.append(String(decoding: octets, as: UTF8.self)) }
      }
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
}

/// A list of certificates for OpenSSL. Owns the list and a reference of each, given back in deinit; used by the thread that made it.
@safe
final class CertificateList {
  let raw: OpaquePointer

  init(_ certificates: [Certificate]) throws(TimeStampError) {
    guard let made = unsafe ceralacca_certificates_new() else { throw .library("no memory") }
    unsafe raw = made
    for certificate in certificates { unsafe ceralacca_certificates_add(made, certificate.raw) }
  }

  deinit { unsafe ceralacca_certificates_free(raw) }

  /// The certificates of a list that somebody else owns.
  @unsafe
  static func certificates(of list: OpaquePointer?) -> [Certificate] {
    (0..<(unsafe ceralacca_certificates_count(list))).compactMap { at in
      unsafe ceralacca_certificates_at(list, at).map { unsafe Certificate(sharing: $0) }
    }
  }
}

/// OpenSSL's queue of errors, one for each thread.
enum OpenSSLErrors {
  static func clear() { ERR_clear_error() }

  /// The newest reason in words, and an empty queue.
  static func take() -> String {
    let code = ERR_peek_last_error()
    ERR_clear_error()
    guard code != 0, let reason = unsafe ERR_reason_error_string(code) else { return "no reason given" }
    return unsafe String(cString: reason)
  }
}
