internal import COpenSSL

/// The authorities that signatures are traced back to.
///
/// Owns an X509_STORE, which OpenSSL locks itself: it may be used by any thread.
@safe
public final class TrustAnchors: @unchecked Sendable {
  let store: OpaquePointer
  /// The same certificates, for the lists they sign.
  let certificates: [CertificateHandle]
  /// Subjects of the anchors.
  public let subjects: [String]

  /// Reads the certificates of PEM files.
  /// - Throws: `CredentialError` with `unreadable`, `tooLarge`, `malformedPEM`, `malformedCertificate` or `noCertificate`.
  public convenience init(paths: [String]) throws(CredentialError) {
    var certificates: [CertificateHandle] = []
    for path in paths {
      let before = certificates.count
      for block in try TrustAnchors.open(path).blocks where block.isCertificate {
        guard let certificate = block.certificate else {
          throw CredentialError(.malformedCertificate(certificates.count - before + 1), path)
        }
        certificates.append(certificate)
      }
      if certificates.count == before { throw CredentialError(.noCertificate, path) }
    }
    self.init(certificates)
  }

  /// Certificates in DER, of the provider index for instance; nil when one of them is not a certificate.
  public convenience init?(certificates: [[UInt8]]) {
    var handles: [CertificateHandle] = []
    for der in certificates {
      guard let handle = CertificateHandle(der: der) else { return nil }
      handles.append(handle)
    }
    self.init(handles)
  }

  private init(_ certificates: [CertificateHandle]) {
    unsafe store = X509_STORE_new()
    self.certificates = certificates
    for certificate in certificates { unsafe X509_STORE_add_cert(store, certificate.raw) }
    subjects = certificates.map { CertificateFacts($0).subject }
  }

  deinit { unsafe X509_STORE_free(store) }

  private static func open(_ path: String) throws(CredentialError) -> PEMFile {
    do {
      return try PEMFile(path: path)
    } catch {
      throw CredentialError(error, path)
    }
  }
}
