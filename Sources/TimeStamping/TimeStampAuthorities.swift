internal import COpenSSL

/// Who may vouch for time stamp authorities, and what they took back.
///
/// Owns an X509_STORE, which OpenSSL locks itself: any thread may use it.
@safe
public final class TimeStampAuthorities: @unchecked Sendable {
  let store: OpaquePointer
  let anchors: [Certificate]
  let lists: [RevocationList]

  /// Subjects of the anchors.
  public var subjects: [String] { anchors.map(\.subject) }
  /// The anchors in DER.
  public var certificates: [[UInt8]] { anchors.map(\.der) }

  /// Reads PEM files of certificates; a revocation list (`X509 CRL`) that stands in one is heeded.
  ///
  /// An authority's own dates do not count, as for any anchor (RFC 5280 §6.1.1 (d)); one that is not self-signed will do.
  /// - Parameters:
  ///   - paths: each must have a certificate.
  ///   - lists: revocation lists, in DER or PEM.
  /// - Throws: `badFile`, `library`.
  public convenience init(paths: [String], lists: [[UInt8]] = []) throws(TimeStampError) {
    var texts: [PEMText] = []
    for path in paths {
      let text = try PEMText(path: path)
      if text.certificates.isEmpty { throw .badFile(path: path, "there is no certificate in it") }
      texts.append(text)
    }
    try self.init(texts, lists)
  }

  /// The same of a PEM text.
  public convenience init(pem: [UInt8], lists: [[UInt8]] = []) throws(TimeStampError) {
    try self.init([PEMText(pem, "the authorities' certificates")], lists)
  }

  private init(_ texts: [PEMText], _ more: [[UInt8]]) throws(TimeStampError) {
    var lists = texts.flatMap(\.lists)
    for octets in more {
      let name = "a revocation list"
      if octets.first == DERWriter.sequence {
        lists.append(try RevocationList(der: octets, name))
      } else {
        let text = try PEMText(octets, name)
        if text.lists.isEmpty { throw .badFile(path: name, "it is neither DER nor PEM") }
        lists += text.lists
      }
    }
    // Last, when nothing can go wrong any more: deinit runs only for an object that was made whole.
    guard let made = unsafe X509_STORE_new() else { throw .library("no memory") }
    unsafe store = made
    anchors = texts.flatMap(\.certificates)
    self.lists = lists
    for anchor in anchors { unsafe X509_STORE_add_cert(made, anchor.raw) }
    OpenSSLErrors.clear()
  }

  deinit { unsafe X509_STORE_free(store) }

  /// What the lists say of a certificate of this issuer; nil when nothing is said.
  func revocation(of certificate: Certificate, issuer: Certificate) -> RevocationList.Entry? {
    for list in lists where list.bearsName(of: issuer) && list.isSigned(by: issuer) {
      if let entry = list.entry(for: certificate) { return entry }
    }
    return nil
  }
}

/// A certificate revocation list (RFC 5280 §5). Owns the X509_CRL, freed in deinit; not changed after its parsing.
@safe
final class RevocationList: @unchecked Sendable {
  /// A certificate that was taken back.
  struct Entry {
    /// Seconds since 1970; `Int64.min` when the time cannot be read.
    var since: Int64
    /// RFC 5280 §5.3.1; -1 when none is given.
    var code: Int

    /// Whether what was signed before stays good (RFC 3161 §4, 1): for any other reason, or none, the key may be in other hands.
    var isHarmless: Bool { [0, 3, 4, 5].contains(code) }

    var reason: String {
      let names = [
        0: "unspecified", 1: "key compromise", 2: "authority compromise", 3: "affiliation changed", 4: "superseded",
        5: "cessation of operation", 6: "certificate on hold", 9: "privilege withdrawn", 10: "attribute authority compromise",
      ]
      return names[code] ?? "no reason given"
    }
  }

  private let raw: OpaquePointer

  init(der: [UInt8], _ name: String) throws(TimeStampError) {
    let parsed = unsafe der.withUnsafeBufferPointer { bytes -> OpaquePointer? in
      var cursor = bytes.baseAddress
      return unsafe d2i_X509_CRL(nil, &cursor, bytes.count)
    }
    guard let parsed = unsafe parsed else { throw .badFile(path: name, "a revocation list cannot be read") }
    unsafe raw = parsed
    // A delta, or an extension that changes the meaning: what it leaves out would be taken for good.
    if unsafe ceralacca_list_has_unknown(parsed) == 1 {
      throw .badFile(path: name, "a revocation list is a delta or has a critical extension that is not known here")
    }
  }

  deinit { unsafe X509_CRL_free(raw) }

  func bearsName(of issuer: Certificate) -> Bool { unsafe X509_NAME_cmp(X509_CRL_get_issuer(raw), X509_get_subject_name(issuer.raw)) == 0 }

  func isSigned(by issuer: Certificate) -> Bool {
    defer { OpenSSLErrors.clear() }
    guard let key = unsafe X509_get0_pubkey(issuer.raw) else { return false }
    return unsafe X509_CRL_verify(raw, key) == 1
  }

  func entry(for certificate: Certificate) -> Entry? {
    var when: Int64 = 0
    var code: Int32 = -1
    switch unsafe ceralacca_list_find(raw, X509_get0_serialNumber(certificate.raw), &when, &code) {
    case 0: return nil
    case 1: return Entry(since: when, code: Int(code))
    default: return Entry(since: .min, code: Int(code))
    }
  }
}
