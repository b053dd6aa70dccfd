internal import COpenSSL
import Octets

/// One revocation list (RFC 5280 §5).
///
/// Owns the X509_CRL, freed in deinit. It is not changed after its parsing but for the order of its entries, which OpenSSL sorts
/// under a lock of its own: so it may be asked by any thread.
@safe
final class RevocationList: @unchecked Sendable {
  private let raw: OpaquePointer
  /// The issuer's name in words.
  let issuer: String
  /// Times of issue and of the next list, seconds since 1970.
  let issued: Int64
  let next: Int64
  /// How many certificates it names.
  let entries: Int
  /// Where it came from.
  let source: String
  /// Which certificates it speaks of: all of its issuer's, or fewer (RFC 5280 §5.2.5).
  let scope: Scope

  /// Which of its issuer's certificates a list speaks of.
  struct Scope: Equatable {
    var onlyUsers = false
    var onlyAuthorities = false
    /// URIs; the list is for certificates that name one of them. Empty: for all.
    var points: [String] = []
  }

  /// What a list says of a certificate.
  enum Entry: Equatable {
    case absent
    /// Since when, seconds since 1970, and why.
    case revoked(at: Int64, reason: String)
  }

  init(der: [UInt8], number: Int, source: String) throws(RevocationError) {
    let parsed = unsafe der.withUnsafeBufferPointer { bytes -> OpaquePointer? in
      var cursor = bytes.baseAddress
      guard let made = unsafe d2i_X509_CRL(nil, &cursor, bytes.count) else { return nil }
      if unsafe cursor == bytes.baseAddress! + bytes.count { return unsafe made }
      unsafe X509_CRL_free(made)
      return nil
    }
    OpenSSLErrors.clear()
    guard let parsed = unsafe parsed else { throw RevocationError(fault: .malformed(number), source: source) }
    // From here on deinit frees it: every property is set before anything is thrown.
    unsafe raw = parsed
    self.source = source
    let name = unsafe CertificateFacts.text(of: X509_CRL_get_issuer(parsed))
    issuer = name
    let from = unsafe CertificateFacts.seconds(X509_CRL_get0_lastUpdate(parsed))
    let until = unsafe CertificateFacts.seconds(X509_CRL_get0_nextUpdate(parsed))
    issued = from ?? .max
    next = until ?? .min
    entries = Int(unsafe ceralacca_list_entries(parsed))
    let read = unsafe RevocationList.scope(of: parsed)
    scope = read.scope
    let digest = unsafe ceralacca_list_digest(parsed)
    func fault(_ fault: RevocationError.Fault) -> RevocationError { RevocationError(fault: fault, source: source) }
    guard from != nil, until != nil else { throw fault(.noDates(issuer: name)) }
    if let form = read.unsupported { throw fault(.unsupported(issuer: name, form)) }
    if [NID_md2, NID_md4, NID_md5].contains(digest) { throw fault(.digestAlgorithm(issuer: name)) }
  }

  deinit { unsafe X509_CRL_free(raw) }

  /// Whether the list bears the name of this certificate's subject.
  func bearsName(of certificate: CertificateHandle) -> Bool {
    unsafe X509_NAME_cmp(X509_CRL_get_issuer(raw), X509_get_subject_name(certificate.raw)) == 0
  }

  /// Whether the certificate's key signed the list.
  func isSigned(by certificate: CertificateHandle) -> Bool {
    defer { OpenSSLErrors.clear() }
    guard let key = unsafe X509_get0_pubkey(certificate.raw) else { return false }
    return unsafe X509_CRL_verify(raw, key) == 1
  }

  /// Whether the list speaks of a certificate of its issuer.
  func covers(_ certificate: CertificateHandle, _ facts: CertificateFacts) -> Bool {
    let isAuthority = unsafe X509_check_ca(certificate.raw) > 0
    if scope.onlyUsers && isAuthority || scope.onlyAuthorities && !isAuthority { return false }
    return scope.points.isEmpty || scope.points.contains { facts.revocationListURLs.contains($0) }
  }

  /// What the list says of a certificate of its issuer.
  func entry(for certificate: CertificateHandle) -> Entry {
    var when: Int64 = 0
    var reason: Int32 = -1
    switch unsafe ceralacca_list_find(raw, X509_get0_serialNumber(certificate.raw), &when, &reason) {
    case 0: return .absent
    case 1: return .revoked(at: when, reason: RevocationList.words(reason))
    // Named without a time that can be read: revoked for as long as it exists.
    default: return .revoked(at: .min, reason: RevocationList.words(reason))
    }
  }

  /// The list in one line.
  var line: String {
    let scope = scope.points.isEmpty ? "" : " for \(scope.points[0])"
    return "\(issuer)\(scope): issued \(Calendar.text(issued)), next \(Calendar.text(next)), "
      + "\(entries) \(entries == 1 ? "entry" : "entries") (\(source))"
  }

  /// The time of a revocation as part of a sentence.
  static func since(_ time: Int64) -> String { time == .min ? "at a time that cannot be read" : "on \(Calendar.text(time))" }

  private static func words(_ reason: Int32) -> String {
    let names = [
      "no reason", "key compromise", "authority compromise", "affiliation changed", "superseded", "cessation of operation",
      "certificate on hold", "", "removed", "privilege withdrawn", "attribute authority compromise",
    ]
    return names.indices.contains(Int(reason)) ? names[Int(reason)] : names[0]
  }

  /// Reads what certificates a list is for. Called with a list that the caller owns.
  @unsafe
  private static func scope(of raw: OpaquePointer) -> (scope: Scope, unsupported: String?) {
    defer { OpenSSLErrors.clear() }
    var scope = Scope()
    if unsafe ceralacca_list_has_unknown(raw) == 1 { return (scope, "it is a delta or has an unknown critical extension") }
    var broken: Int32 = 0
    guard let point = unsafe ceralacca_list_point(raw, &broken) else {
      return (scope, broken == 1 ? "its issuing distribution point cannot be read" : nil)
    }
    defer { unsafe ISSUING_DIST_POINT_free(point) }
    if unsafe point.pointee.indirectCRL > 0 { return (scope, "it is indirect: it speaks of other issuers' certificates") }
    if unsafe point.pointee.onlyattr > 0 { return (scope, "it is for attribute certificates") }
    if unsafe point.pointee.onlysomereasons != nil { return (scope, "it is for some reasons only") }
    scope.onlyUsers = unsafe point.pointee.onlyuser > 0
    scope.onlyAuthorities = unsafe point.pointee.onlyCA > 0
    guard unsafe point.pointee.distpoint != nil else { return (scope, nil) }
    scope.points = unsafe CertificateFacts.uris(ceralacca_list_point_names(point))
    return (scope, scope.points.isEmpty ? "its issuing distribution point has no URI" : nil)
  }
}
