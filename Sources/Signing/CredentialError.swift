/// Why signing credentials were refused: what is wrong, in which file, and what to do about it.
public struct CredentialError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong.
  public enum Fault: Sendable, Equatable {
    /// The file cannot be read; the system's words.
    case unreadable(String)
    /// The file is larger than a PEM file of keys and certificates can be.
    case tooLarge
    /// A PEM block, counted from 1, is broken.
    case malformedPEM(block: Int)
    /// There is no private key in the file.
    case noPrivateKey
    /// There is more than one private key in the file.
    case severalPrivateKeys
    /// The private key is protected by a password.
    case encryptedKey
    /// The private key's block holds something else.
    case malformedKey
    /// The key is not an RSA key.
    case notRSA
    /// The key's size, in bits, is not between 2048 and 4096.
    case keySize(Int)
    /// There is no certificate in the file.
    case noCertificate
    /// A certificate's block, counted among the certificates from 1, holds something else.
    case malformedCertificate(Int)
    /// No certificate in the file belongs to the key; the subjects found.
    case keyMismatch(subjects: [String])
    /// A trial signature by the key does not verify with the certificate: the key is damaged.
    case damagedKey
    /// The certificate becomes valid only then (seconds since 1970).
    case notYetValid(from: Int64)
    /// The certificate ended then (seconds since 1970).
    case expired(on: Int64)
    /// The certificate names no mail address in its subjectAltName.
    case noMailAddress
    /// The certificate names other mail addresses than the service address.
    case wrongMailAddress(found: [String], wanted: String)
    /// The certificate has no keyUsage extension, or one without digitalSignature.
    case keyUsage
    /// The certificate's extended key usage does not allow mail protection.
    case extendedKeyUsage
    /// The certificate is a certification authority's.
    case authority
    /// The key is named by a PKCS#11 URI that is not one.
    case keyURI(PKCS11URIError)
    /// The key is in a token, and could not be used.
    case token(PKCS11Error)
    /// The library failed; its words.
    case library(String)
  }

  public let fault: Fault
  /// The file; of a key in a token its URI and library.
  public let path: String

  init(_ fault: Fault, _ path: String) {
    self.fault = fault
    self.path = path
  }

  init(_ failure: PEMFile.Failure, _ path: String) {
    self.path = path
    fault =
      switch failure {
      case .unreadable(let reason): .unreadable(reason)
      case .tooLarge: .tooLarge
      case .malformed(let block): .malformedPEM(block: block)
      }
  }

  /// What is wrong, in one sentence without the file's name.
  public var what: String {
    switch fault {
    case .unreadable(let reason): "cannot be read: \(reason)"
    case .tooLarge: "is larger than \(PEMFile.maximumBytes) octets: it is not a PEM file of keys or certificates"
    case .malformedPEM(let block): "PEM block \(block) is broken"
    case .noPrivateKey: "holds no private key"
    case .severalPrivateKeys: "holds more than one private key"
    case .encryptedKey: "the private key is protected by a password"
    case .malformedKey: "the private key cannot be read"
    case .notRSA: "the private key is not an RSA key"
    case .keySize(let bits): "the RSA key has \(bits) bits; 2048 to 4096 are allowed"
    case .noCertificate: "holds no certificate"
    case .malformedCertificate(let number): "certificate \(number) cannot be read"
    case .keyMismatch(let subjects): "no certificate belongs to the private key (found: \(subjects.joined(separator: "; ")))"
    case .damagedKey: "the private key makes signatures that its own certificate does not verify"
    case .notYetValid(let from): "the signer's certificate becomes valid only on \(Calendar.text(from))"
    case .expired(let on): "the signer's certificate expired on \(Calendar.text(on))"
    case .noMailAddress: "the signer's certificate names no mail address (subjectAltName, rfc822Name)"
    case .wrongMailAddress(let found, let wanted):
      "the signer's certificate is for \(found.joined(separator: ", ")), but the service address is \(wanted)"
    case .keyUsage: "the signer's certificate does not allow digital signatures (keyUsage, digitalSignature)"
    case .extendedKeyUsage: "the signer's certificate does not allow mail protection (extendedKeyUsage, emailProtection)"
    case .authority: "the signer's certificate is that of a certification authority"
    case .keyURI(let error): error.description
    case .token(let error): error.what
    case .library(let reason): "OpenSSL failed: \(reason)"
    }
  }

  /// What to do about it.
  public var advice: String {
    switch fault {
    case .unreadable: "Check the path in the configuration and the file's owner and permissions."
    case .tooLarge: "Check the path in the configuration."
    case .malformedPEM, .malformedKey, .malformedCertificate:
      "Copy the file again from where it was made; each block begins with -----BEGIN and ends with -----END."
    case .noPrivateKey: "Name the file that has the block -----BEGIN PRIVATE KEY-----."
    case .severalPrivateKeys: "Leave only the signing key in the file."
    case .encryptedKey:
      "Write it without a password, readable by the gateway's user only: openssl pkey -in FILE -out NEW, then chmod 600 NEW."
    case .notRSA, .keySize: "Have a certificate issued for an RSA key of 2048, 3072 or 4096 bits."
    case .noCertificate: "Name the file that has the block -----BEGIN CERTIFICATE----- of the signer."
    case .keyMismatch: "Put the certificate that was issued for this key into the file, or name the key that belongs to it."
    case .damagedKey: "Restore the key from its backup; if there is none, have a new certificate issued."
    case .notYetValid: "Wait until then or use the earlier certificate; check the clock."
    case .expired: "Have the certificate renewed, publish it in the provider index, and check the clock."
    case .noMailAddress, .wrongMailAddress:
      "Set the service address of the configuration to the certificate's, or have a certificate issued for it: mail clients compare the two."
    case .keyUsage, .extendedKeyUsage, .authority: "Have a signer's certificate issued with the profile of RFC 6109 §5.5."
    case .keyURI: "Its form is pkcs11:token=LABEL;object=LABEL?module-path=/path/of/the/library.so&pin-source=file:/path (RFC 7512)."
    case .token(let error): error.advice
    case .library: "Check the installation of OpenSSL 3."
    }
  }

  public var description: String { "\(path): \(what). \(advice)" }
}

/// Something about signing credentials that does not keep them from being used, and should be seen to.
public enum CredentialWarning: Sendable, Equatable, CustomStringConvertible {
  /// The certificate ends within 30 days (seconds since 1970).
  case expiresSoon(on: Int64)
  /// A certificate of the chain is not valid now, or ends within 30 days.
  case chainDates(subject: String, notBefore: Int64, notAfter: Int64)
  /// A certificate in the file is neither the signer's nor one of its issuers': left out of the signatures.
  case notInChain(subject: String)
  /// The file has no certificate of the signer's issuer, and the signer's is not self-signed: verifiers must have it themselves.
  case issuerMissing(issuer: String)
  /// Users other than the owner and the group may read the private key.
  case keyReadableByOthers(path: String, mode: UInt32)
  /// The certificate departs from RFC 6109 §5.5; how.
  case profile(String)
  /// Multi-buffer RSA was built in, the processor is made for it, and what it signed in a trial does not verify.
  case lanesFailed

  public var description: String {
    switch self {
    case .expiresSoon(let on):
      "the signer's certificate expires on \(Calendar.text(on)): renew it and publish the new one in the provider index"
    case .chainDates(let subject, let notBefore, let notAfter):
      "the certificate of \(subject) in the chain is valid from \(Calendar.text(notBefore)) to \(Calendar.text(notAfter)) only"
    case .notInChain(let subject): "the certificate of \(subject) does not belong to the signer's chain and is left out"
    case .issuerMissing(let issuer): "the certificate of \(issuer) is not in the file: verifiers that lack it cannot build the chain"
    case .keyReadableByOthers(let path, let mode):
      "\(path): every user of this machine may read the private key (mode \(String(mode, radix: 8))): chmod 600"
    case .profile(let departure): "the signer's certificate departs from RFC 6109 §5.5: \(departure)"
    case .lanesFailed:
      "multi-buffer RSA made a signature that does not verify: OpenSSL signs everything, and the processor should be looked at"
    }
  }
}
