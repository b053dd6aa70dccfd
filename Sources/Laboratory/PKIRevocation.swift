internal import COpenSSL

/// A certificate that the laboratory's authority takes back.
public struct LaboratoryRevocation: Sendable, Equatable {
  /// PEM file with the certificate; what else is in it does not matter.
  public var path: String
  /// Since when, seconds since 1970.
  public var at: Int64

  /// A certificate in a PEM file, revoked at a time.
  public init(path: String, at: Int64) {
    self.path = path
    self.at = at
  }
}

extension LaboratoryPKI {
  /// Writes the authority's revocation list (RFC 5280 §5) as PEM, dated from now on.
  ///
  /// - Parameters:
  ///   - path: the file, replaced whole (mode 0644).
  ///   - revoked: what is on it, each with the reason keyCompromise.
  ///   - fromDays: thisUpdate, in days from now; a list of the past shows what a stale one does.
  ///   - toDays: nextUpdate, in days from now.
  public func writeRevocationList(
    to path: String, revoked: [LaboratoryRevocation] = [], fromDays: Int = 0, toDays: Int = 7
  ) throws(LaboratoryPKIError) {
    guard let list = PKIRevocationList() else { throw PKICertificate.failure("a revocation list") }
    guard list.begin(issuer: pair, from: now + Int64(fromDays) * 86_400, to: now + Int64(toDays) * 86_400, number: now) else {
      throw PKICertificate.failure("a revocation list")
    }
    for revocation in revoked {
      guard let text = try PKIFile.read(revocation.path) else { throw LaboratoryPKIError("\(revocation.path): there is no such file") }
      guard list.add(pem: text, at: revocation.at) else { throw PKICertificate.failure("the entry for \(revocation.path)") }
    }
    guard let pem = list.signed(by: pair) else { throw PKICertificate.failure("a revocation list") }
    try PKIFile.write(pem, to: path, mode: 0o644)
  }

  /// The certificates of a folder, each revoked since its file was put there; none when there is no such folder.
  static func revocations(in folder: String, named files: [String]) -> [LaboratoryRevocation] {
    files.sorted().compactMap { name in
      let path = "\(folder)/\(name)"
      return PKIFile.changedAt(path).map { LaboratoryRevocation(path: path, at: $0) }
    }
  }
}

/// A revocation list that is being made. Owns the X509_CRL, freed in deinit; used by the thread that made it.
@safe
private final class PKIRevocationList {
  private let raw: OpaquePointer

  init?() {
    guard let made = unsafe X509_CRL_new() else { return nil }
    unsafe raw = made
  }

  deinit { unsafe X509_CRL_free(raw) }

  /// Version 2, issuer, dates (seconds since 1970), number and the issuer's key identifier (RFC 5280 §5.1.2, §5.2.1, §5.2.3).
  func begin(issuer: PKIPair, from: Int64, to: Int64, number: Int64) -> Bool {
    guard let first = unsafe ASN1_TIME_set(nil, time_t(from)) else { return false }
    defer { unsafe ASN1_TIME_free(first) }
    guard let last = unsafe ASN1_TIME_set(nil, time_t(to)) else { return false }
    defer { unsafe ASN1_TIME_free(last) }
    guard let serial = unsafe ASN1_INTEGER_new() else { return false }
    defer { unsafe ASN1_INTEGER_free(serial) }
    // The authority vouches for itself, so the identifier of its issuer's key is that of its own.
    guard let identifier = unsafe X509_get_ext_d2i(issuer.certificate, NID_authority_key_identifier, nil, nil) else { return false }
    defer { unsafe AUTHORITY_KEYID_free(identifier.assumingMemoryBound(to: AUTHORITY_KEYID.self)) }
    return unsafe X509_CRL_set_version(raw, 1) == 1
      && X509_CRL_set_issuer_name(raw, X509_get_subject_name(issuer.certificate)) == 1
      && X509_CRL_set1_lastUpdate(raw, first) == 1 && X509_CRL_set1_nextUpdate(raw, last) == 1
      && ASN1_INTEGER_set_int64(serial, number) == 1 && X509_CRL_add1_ext_i2d(raw, NID_crl_number, serial, 0, 0) == 1
      && X509_CRL_add1_ext_i2d(raw, NID_authority_key_identifier, identifier, 0, 0) == 1
  }

  /// Puts the first certificate of a PEM text on the list.
  func add(pem: [UInt8], at: Int64) -> Bool {
    guard let bio = unsafe PKIFile.bio(pem) else { return false }
    defer { unsafe BIO_free(bio) }
    guard let certificate = unsafe PEM_read_bio_X509(bio, nil, nil, nil) else { return false }
    defer { unsafe X509_free(certificate) }
    guard let date = unsafe ASN1_TIME_set(nil, time_t(at)) else { return false }
    defer { unsafe ASN1_TIME_free(date) }
    guard let reason = unsafe ASN1_ENUMERATED_new() else { return false }
    defer { unsafe ASN1_ENUMERATED_free(reason) }
    guard let entry = unsafe X509_REVOKED_new() else { return false }
    guard
      unsafe X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(certificate)) == 1,
      unsafe X509_REVOKED_set_revocationDate(entry, date) == 1, unsafe ASN1_ENUMERATED_set(reason, Int(CRL_REASON_KEY_COMPROMISE)) == 1,
      unsafe X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, reason, 0, 0) == 1,
      // From here on the list owns the entry.
      unsafe X509_CRL_add0_revoked(raw, entry) == 1
    else {
      unsafe X509_REVOKED_free(entry)
      return false
    }
    return true
  }

  /// The list signed with SHA-256, in PEM.
  func signed(by issuer: PKIPair) -> [UInt8]? {
    guard unsafe X509_CRL_sort(raw) == 1, unsafe X509_CRL_sign(raw, issuer.key, EVP_sha256()) > 0 else { return nil }
    let pem = unsafe PKIPair.text { unsafe PEM_write_bio_X509_CRL($0, raw) }
    return pem.isEmpty ? nil : pem
  }
}
