internal import COpenSSL
import Glibc
import Octets
import Signing

/// Why the laboratory's keys or certificates could not be made.
public struct LaboratoryPKIError: Error, Sendable, Equatable, CustomStringConvertible {
  public let description: String

  init(_ description: String) { self.description = description }
}

/// From when to when a certificate is valid, in days from the present.
public struct LaboratoryValidity: Sendable, Equatable {
  public var fromDays: Int
  public var toDays: Int

  /// Dates counted from now.
  public init(fromDays: Int = -1, toDays: Int = 3 * 365) {
    self.fromDays = fromDays
    self.toDays = toDays
  }
}

/// A certificate that the laboratory's authority issued, as the index needs it.
public struct LaboratoryCertificate: Sendable, Equatable {
  /// The certificate in DER.
  public let der: [UInt8]
  /// SHA-1 of the DER in lower-case hexadecimal (`providerCertificateHash`).
  public let sha1Fingerprint: String
  /// `-----BEGIN CERTIFICATE-----` …
  public let pem: [UInt8]
}

/// The laboratory's certification authority, and the certificates it issues. For trying out only: nobody else should trust it.
///
/// What is in the directory is taken up again, so that messages of an earlier run still verify.
public struct LaboratoryPKI: Sendable {
  /// The authority's own certificate.
  public let authority: LaboratoryCertificate
  /// Path of the authority's certificate, `DIR/ca.pem`.
  public let authorityPath: String

  let pair: PKIPair
  let now: Int64

  /// Takes `ca.pem` and `ca.key` from a directory, or makes them there (RSA 3072, ten years).
  /// - Parameters:
  ///   - directory: must exist.
  ///   - now: seconds since 1970.
  public init(directory: String, now: Int64) throws(LaboratoryPKIError) {
    authorityPath = directory + "/ca.pem"
    let keyPath = directory + "/ca.key"
    self.now = now
    if let kept = try PKIPair.read(certificatePath: authorityPath, keyPath: keyPath), kept.outlasts(now) {
      pair = kept
    } else {
      pair = try LaboratoryPKI.makeAuthority(now: now)
      try PKIFile.write(pair.keyPEM, to: keyPath, mode: 0o600)
      try PKIFile.write(pair.certificatePEM, to: authorityPath, mode: 0o644)
    }
    authority = pair.facts
  }

  /// A provider's signing credentials with the profile of RFC 6109 §5.5 (`pec-rules` 11.3), RSA 2048: key, certificate and the
  /// authority's certificate in one PEM file (mode 0600). A file that is there and still good is kept.
  ///
  /// - Parameters:
  ///   - provider: its name, as in the index.
  ///   - serviceAddress: goes into the subjectAltName.
  ///   - path: the PEM file.
  ///   - validity: other dates, to try out what an expired signer does; they make the file anew.
  public func signer(
    provider: String, serviceAddress: String, path: String, validity: LaboratoryValidity? = nil
  ) throws(LaboratoryPKIError) -> LaboratoryCertificate {
    if validity == nil, let kept = try PKIPair.read(certificatePath: path, keyPath: path), kept.isUsable(now, issuer: pair),
      let facts = CertificateFacts(der: kept.facts.der), facts.mailAddresses == [serviceAddress], facts.isNamed(provider)
    {
      return kept.facts
    }
    guard PKICertificate.isPlain(serviceAddress) else { throw LaboratoryPKIError("not a mail address: \(serviceAddress)") }
    let made = try PKICertificate(
      subject: [("C", "IT"), ("O", provider), ("CN", "Posta Certificata")], bits: 2048, validity: validity ?? LaboratoryValidity(),
      now: now,
      extensions: [
        (NID_key_usage, "critical,digitalSignature"), (NID_ext_key_usage, "emailProtection"), (NID_subject_key_identifier, "hash"),
        (NID_authority_key_identifier, "keyid:always"), (NID_subject_alt_name, "email:\(serviceAddress)"),
      ]
    ).issued(by: pair)
    try PKIFile.write(made.keyPEM + made.certificatePEM + pair.certificatePEM, to: path, mode: 0o600)
    return made.facts
  }

  /// A TLS server's credentials (RSA 2048): for these DNS names, and always `localhost`, 127.0.0.1 and ::1. Files that are there and
  /// still good are kept.
  ///
  /// - Parameters:
  ///   - names: DNS names; the first is the common name.
  ///   - certificatePath: PEM file of the certificate and the authority's (mode 0644).
  ///   - keyPath: PEM file of the key (mode 0600).
  public func server(
    names: [String], certificatePath: String, keyPath: String, validity: LaboratoryValidity? = nil
  ) throws(LaboratoryPKIError) -> LaboratoryCertificate {
    if validity == nil, let kept = try PKIPair.read(certificatePath: certificatePath, keyPath: keyPath), kept.isUsable(now, issuer: pair),
      names.allSatisfy(kept.covers)
    {
      return kept.facts
    }
    if let bad = names.first(where: { !PKICertificate.isPlain($0) }) { throw LaboratoryPKIError("not a host name: \(bad)") }
    let hosts = names.contains("localhost") ? names : names + ["localhost"]
    let alternatives = hosts.map { "DNS:\($0)" } + ["IP:127.0.0.1", "IP:::1"]
    let made = try PKICertificate(
      subject: [("O", "Ceralacca Laboratory"), ("CN", hosts[0])], bits: 2048, validity: validity ?? LaboratoryValidity(), now: now,
      extensions: [
        (NID_basic_constraints, "critical,CA:FALSE"), (NID_key_usage, "critical,digitalSignature,keyEncipherment"),
        (NID_ext_key_usage, "serverAuth"), (NID_subject_key_identifier, "hash"), (NID_authority_key_identifier, "keyid:always"),
        (NID_subject_alt_name, alternatives.joined(separator: ",")),
      ]
    ).issued(by: pair)
    try PKIFile.write(made.keyPEM, to: keyPath, mode: 0o600)
    try PKIFile.write(made.certificatePEM + pair.certificatePEM, to: certificatePath, mode: 0o644)
    return made.facts
  }

  private static func makeAuthority(now: Int64) throws(LaboratoryPKIError) -> PKIPair {
    try PKICertificate(
      subject: [("C", "IT"), ("O", "Ceralacca Laboratory"), ("CN", "Ceralacca Laboratory CA")], bits: 3072,
      validity: LaboratoryValidity(toDays: 10 * 365), now: now,
      extensions: [
        (NID_basic_constraints, "critical,CA:TRUE"), (NID_key_usage, "critical,keyCertSign,cRLSign"), (NID_subject_key_identifier, "hash"),
        (NID_authority_key_identifier, "keyid:always"),
      ]
    ).issued(by: nil)
  }
}

/// Small files of the laboratory.
enum PKIFile {
  /// When a file was changed last, seconds since 1970; nil when it is not there.
  static func changedAt(_ path: String) -> Int64? {
    var status = stat()
    return unsafe stat(path, &status) == 0 ? Int64(status.st_mtim.tv_sec) : nil
  }

  /// Files larger than this hold something else.
  private static let maximumBytes = 1 << 20

  /// Writes a file whole or not at all: beside it, then renamed over it. It never has wider permissions than `mode`.
  static func write(_ octets: [UInt8], to path: String, mode: mode_t) throws(LaboratoryPKIError) {
    let beside = path + ".new"
    unsafe unlink(beside)
    let descriptor = unsafe open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
    guard descriptor >= 0 else { throw failure(path, "cannot be written") }
    var at = 0
    while at < octets.count {
      let written = unsafe octets.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress! + at, octets.count - at) }
      if written < 0, errno == EINTR { continue }
      guard written > 0 else {
        close(descriptor)
        throw failure(path, "cannot be written")
      }
      at += written
    }
    guard close(descriptor) == 0, unsafe rename(beside, path) == 0 else { throw failure(path, "cannot be written") }
  }

  /// The file's octets; nil when there is none.
  static func read(_ path: String) throws(LaboratoryPKIError) -> [UInt8]? {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0, errno == ENOENT { return nil }
    guard descriptor >= 0 else { throw failure(path, "cannot be read") }
    defer { close(descriptor) }
    var octets: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16 << 10)
    while octets.count < maximumBytes {
      let got = unsafe Glibc.read(descriptor, &buffer, buffer.count)
      if got < 0, errno == EINTR { continue }
      guard got >= 0 else { throw failure(path, "cannot be read") }
      if got == 0 { break }
      octets += buffer.prefix(got)
    }
    return octets
  }

  /// A memory BIO with a copy of these octets: one over an array's own memory would outlive it. The caller frees it.
  @unsafe
  static func bio(_ octets: [UInt8]) -> OpaquePointer? {
    guard let bio = unsafe BIO_new(BIO_s_mem()) else { return nil }
    guard unsafe BIO_write(bio, octets, Int32(octets.count)) == Int32(octets.count) else {
      unsafe BIO_free(bio)
      return nil
    }
    return unsafe bio
  }

  private static func failure(_ path: String, _ what: String) -> LaboratoryPKIError {
    LaboratoryPKIError("\(path): \(what): \(unsafe String(cString: strerror(errno)))")
  }
}
