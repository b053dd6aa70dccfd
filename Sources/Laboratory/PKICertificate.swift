internal import COpenSSL
import Octets

/// A key and its certificate, as OpenSSL holds them.
///
/// Owns one reference of each, given back in deinit. Neither is changed after the making, so threads may share it.
@safe
final class PKIPair: @unchecked Sendable {
  let key: OpaquePointer
  let certificate: OpaquePointer

  /// Takes over both references.
  fileprivate init(key: OpaquePointer, certificate: OpaquePointer) {
    unsafe self.key = key
    unsafe self.certificate = certificate
  }

  deinit {
    unsafe X509_free(certificate)
    unsafe EVP_PKEY_free(key)
  }

  /// The first key and certificate of two PEM files (which may be one); nil when a file is missing or holds something else.
  static func read(certificatePath: String, keyPath: String) throws(LaboratoryPKIError) -> PKIPair? {
    guard let certificateText = try PKIFile.read(certificatePath), let keyText = try PKIFile.read(keyPath) else { return nil }
    defer { ERR_clear_error() }
    guard let certificateBIO = unsafe PKIFile.bio(certificateText) else { return nil }
    defer { unsafe BIO_free(certificateBIO) }
    guard let keyBIO = unsafe PKIFile.bio(keyText) else { return nil }
    defer { unsafe BIO_free(keyBIO) }
    guard let certificate = unsafe PEM_read_bio_X509(certificateBIO, nil, nil, nil) else { return nil }
    guard let key = unsafe PEM_read_bio_PrivateKey(keyBIO, nil, nil, nil) else {
      unsafe X509_free(certificate)
      return nil
    }
    return unsafe PKIPair(key: key, certificate: certificate)
  }

  var facts: LaboratoryCertificate {
    LaboratoryCertificate(der: der, sha1Fingerprint: sha1, pem: certificatePEM)
  }

  var certificatePEM: [UInt8] { unsafe PKIPair.text { unsafe PEM_write_bio_X509($0, certificate) } }
  var keyPEM: [UInt8] { unsafe PKIPair.text { unsafe PEM_write_bio_PrivateKey($0, key, nil, nil, 0, nil, nil) } }

  /// Whether the key fits, and the certificate is valid for a month to come.
  func outlasts(_ now: Int64) -> Bool {
    var day: Int64 = 0
    var end: Int64 = 0
    guard unsafe X509_check_private_key(certificate, key) == 1,
      unsafe ceralacca_time_unix(X509_get0_notBefore(certificate), &day) == 1,
      unsafe ceralacca_time_unix(X509_get0_notAfter(certificate), &end) == 1
    else { return false }
    return day <= now && end > now + 31 * 86_400
  }

  /// Whether it may be used again: it outlasts a month, and this authority issued it.
  func isUsable(_ now: Int64, issuer: PKIPair) -> Bool {
    defer { ERR_clear_error() }
    return unsafe outlasts(now) && X509_verify(certificate, issuer.key) == 1
  }

  /// Whether a TLS client that asks for this host is content.
  func covers(_ host: String) -> Bool { unsafe X509_check_host(certificate, host, host.utf8.count, 0, nil) == 1 }

  private var der: [UInt8] {
    var out: UnsafeMutablePointer<UInt8>?
    let count = unsafe i2d_X509(certificate, &out)
    guard count > 0, let start = unsafe out else { return [] }
    defer { unsafe ceralacca_openssl_free(start) }
    return unsafe Array(UnsafeBufferPointer(start: start, count: Int(count)))
  }

  private var sha1: String {
    var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    var count: UInt32 = 0
    guard unsafe X509_digest(certificate, EVP_sha1(), &digest, &count) == 1 else { return "" }
    return Hex.encode(digest.prefix(Int(count)))
  }

  @unsafe
  static func text(_ print: (OpaquePointer) -> Int32) -> [UInt8] {
    guard let bio = unsafe BIO_new(BIO_s_mem()) else { return [] }
    defer { unsafe BIO_free(bio) }
    guard unsafe print(bio) == 1 else { return [] }
    var start: UnsafePointer<UInt8>?
    let count = unsafe ceralacca_bio_contents(bio, &start)
    return unsafe Array(UnsafeBufferPointer(start: start, count: count))
  }
}

/// A certificate to be issued.
struct PKICertificate {
  var subject: [(String, String)]
  var bits: Int
  var validity: LaboratoryValidity
  /// Seconds since 1970.
  var now: Int64
  /// In OpenSSL's configuration syntax.
  var extensions: [(Int32, String)]

  /// Whether a mail address or host name can stand in that syntax without meaning something else.
  static func isPlain(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.allSatisfy { $0 > 32 && $0 < 127 && !#",;:"\'/"#.utf8.contains($0) }
  }

  /// Makes the key and the certificate.
  /// - Parameter issuer: nil for one that vouches for itself.
  func issued(by issuer: PKIPair?) throws(LaboratoryPKIError) -> PKIPair {
    guard let key = unsafe PKICertificate.makeKey(bits), let certificate = unsafe X509_new() else { throw PKICertificate.failure() }
    let pair = unsafe PKIPair(key: key, certificate: certificate)
    let signing = issuer ?? pair
    guard
      unsafe X509_set_version(certificate, 2) == 1, unsafe setSerialNumber(certificate), unsafe setDates(certificate),
      unsafe X509_set_pubkey(certificate, key) == 1, unsafe setSubject(certificate),
      unsafe X509_set_issuer_name(certificate, X509_get_subject_name(signing.certificate)) == 1
    else { throw PKICertificate.failure() }
    for (nid, value) in extensions {
      guard unsafe ceralacca_add_extension(certificate, signing.certificate, nid, value) == 1 else { throw PKICertificate.failure() }
    }
    guard unsafe X509_sign(certificate, signing.key, EVP_sha256()) > 0 else { throw PKICertificate.failure() }
    return pair
  }

  /// A fresh RSA key that the caller owns.
  @unsafe
  private static func makeKey(_ bits: Int) -> OpaquePointer? {
    guard let context = unsafe EVP_PKEY_CTX_new_from_name(nil, "RSA", nil) else { return nil }
    defer { unsafe EVP_PKEY_CTX_free(context) }
    var key: OpaquePointer?
    guard
      unsafe EVP_PKEY_keygen_init(context) == 1, unsafe EVP_PKEY_CTX_set_rsa_keygen_bits(context, Int32(bits)) == 1,
      unsafe EVP_PKEY_generate(context, &key) == 1
    else { return nil }
    return unsafe key
  }

  /// Random and positive, 16 octets (RFC 5280 §4.1.2.2 allows 20).
  @unsafe
  private func setSerialNumber(_ certificate: OpaquePointer) -> Bool {
    var octets = Entropy.bytes(16)
    octets[0] = octets[0] & 0x7F | 0x40
    guard let number = unsafe BN_bin2bn(octets, Int32(octets.count), nil) else { return false }
    defer { unsafe BN_free(number) }
    return unsafe BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nil
  }

  @unsafe
  private func setDates(_ certificate: OpaquePointer) -> Bool {
    // UTCTime through 2049, GeneralizedTime after, as X509_time_adj_ex chooses (RFC 5280 §4.1.2.5).
    var base = time_t(now)
    return unsafe X509_time_adj_ex(X509_getm_notBefore(certificate), Int32(clamping: validity.fromDays), 0, &base) != nil
      && X509_time_adj_ex(X509_getm_notAfter(certificate), Int32(clamping: validity.toDays), 0, &base) != nil
  }

  @unsafe
  private func setSubject(_ certificate: OpaquePointer) -> Bool {
    guard let name = unsafe X509_get_subject_name(certificate) else { return false }
    return subject.allSatisfy { field, value in
      let octets = Array(value.utf8)
      return unsafe X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, octets, Int32(octets.count), -1, 0) == 1
    }
  }

  static func failure(_ what: String = "a certificate") -> LaboratoryPKIError {
    let code = ERR_peek_last_error()
    ERR_clear_error()
    let reason = code == 0 ? nil : unsafe ERR_reason_error_string(code).map { unsafe String(cString: $0) }
    return LaboratoryPKIError("\(what) could not be made: \(reason ?? "no reason given by OpenSSL")")
  }
}
