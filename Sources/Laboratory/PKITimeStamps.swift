internal import COpenSSL
import Signing

extension LaboratoryPKI {
  /// A time stamp authority's credentials with the profile of RFC 3161 §2.3, RSA 2048: key, certificate and the authority's certificate
  /// in one PEM file (mode 0600). A file that is there and still good is kept.
  ///
  /// - Parameters:
  ///   - name: the common name.
  ///   - path: the PEM file.
  ///   - validity: other dates, to try out what an expired one does; they make the file anew.
  public func timeStampAuthority(
    name: String, path: String, validity: LaboratoryValidity? = nil
  ) throws(LaboratoryPKIError) -> LaboratoryCertificate {
    if validity == nil, let kept = try PKIPair.read(certificatePath: path, keyPath: path), kept.isUsable(now, issuer: pair),
      let facts = CertificateFacts(der: kept.facts.der), facts.commonNames == [name]
    {
      return kept.facts
    }
    let made = try PKICertificate(
      subject: [("C", "IT"), ("O", "Ceralacca Laboratory"), ("CN", name)], bits: 2048, validity: validity ?? LaboratoryValidity(), now: now,
      extensions: [
        (NID_basic_constraints, "critical,CA:FALSE"), (NID_key_usage, "critical,digitalSignature"),
        (NID_ext_key_usage, "critical,timeStamping"), (NID_subject_key_identifier, "hash"), (NID_authority_key_identifier, "keyid:always"),
      ]
    ).issued(by: pair)
    try PKIFile.write(made.keyPEM + made.certificatePEM + pair.certificatePEM, to: path, mode: 0o600)
    return made.facts
  }
}
