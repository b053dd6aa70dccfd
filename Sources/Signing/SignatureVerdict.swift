import Octets

/// What is to be said about a signature: each question answered by itself, so that an archive can show why.
public struct SignatureVerdict: Sendable, Equatable {
  /// Whether the signature is that of this content by the key of the signer's certificate.
  public enum Mathematics: Sendable, Equatable {
    case good
    /// It was looked at and does not hold.
    case bad(Flaw)
    /// It was not looked at: it is not one detached signature by one signer.
    case refused(Refusal)
  }

  /// Why a signature does not hold.
  public enum Flaw: Sendable, Equatable {
    /// The signature is the signer's, over other content: the message was changed after it was signed.
    case contentChanged
    /// The signature is not that of the key in the certificate.
    case signatureMismatch
    /// The signed attributes break RFC 5652 §5.3 or §11; how.
    case attributes(String)
    /// A signature algorithm that cannot be judged.
    case algorithm(String)
  }

  /// Why a signature was not looked at.
  public enum Refusal: Sendable, Equatable {
    /// Not CMS; OpenSSL's words.
    case malformed(String)
    /// Larger than a detached signature can be (octets).
    case tooLarge(Int)
    /// CMS of another type (its name).
    case notSignedData(String)
    /// What is signed is not plain data (its type).
    case contentType(String)
    /// The content is inside the signature, which must be detached (RFC 6109 §2.1).
    case contentInside
    /// The content is not inside the signature, where a signed file has it.
    case contentMissing
    case noSigner
    /// More than one signer: whose word would it be?
    case severalSigners(Int)
    /// The signer's certificate is not in it (RFC 6109 §2.1 demands it).
    case certificateMissing
    /// A digest algorithm other than SHA-1, SHA-256, SHA-384 and SHA-512 (its name).
    case digestAlgorithm(String)
  }

  /// Whether the signer's certificate was within its dates at `judgedAt` (`pec-rules` 11.5).
  public enum Validity: Sendable, Equatable {
    case valid
    case notYetValid
    case expired
  }

  /// Whether the signer's certificate goes back to one of the anchors, judged at `judgedAt`; of one that had expired by then, at the
  /// time that the content certifies, where that was asked for.
  public enum Chain: Sendable, Equatable {
    /// No anchors were given.
    case notChecked
    /// It does: the subjects from the signer's up to the anchor's. A remark tells of an anchor outside of its own dates, which
    /// does not count against the signer (RFC 5280 §6.1.1 (d): an anchor is a name and a key).
    case good(path: [String], remark: String?)
    /// It does not: why, and the subject of the certificate where it broke.
    case bad(reason: String, certificate: String)
  }

  /// What the revocation lists say of the signer's certificate and its authorities'.
  public enum Revocation: Sendable, Equatable {
    /// No lists were given, or the chain is not good: nothing to look up.
    case notChecked
    /// Not revoked, as the list issued then says (seconds since 1970).
    case good(listIssued: Int64)
    /// Revoked since then (seconds since 1970; where the list tells when the key was lost, since that), and why.
    case revoked(at: Int64, reason: String)
    /// There is no list that speaks of the certificate; the name of the authority whose list it would be.
    case noList(issuer: String)
    /// Not revoked, as far as a list knows whose next edition was due before `judgedAt`.
    case stale(issuer: String, since: Int64)
  }

  public var mathematics: Mathematics
  /// The signer's certificate; nil when there was none to find.
  public var signer: CertificateFacts?
  /// `SHA-256`; nil when nothing was looked at.
  public var digestAlgorithm: String?
  /// The signingTime attribute: what the signer's clock said, seconds since 1970.
  public var signingTime: Int64?
  public var validity: Validity?
  public var chain: Chain
  public var revocation: Revocation
  /// What else is to be said about revocation, a sentence each.
  public var revocationRemarks: [String]
  /// SHA-256 of the content, whatever digest the signature uses; nil when nothing was looked at.
  public var contentDigest: [UInt8]?
  /// The time that dates were judged at, seconds since 1970.
  public var judgedAt: Int64
  /// The present, as the caller said.
  public var now: Int64

  init(_ mathematics: Mathematics, judgedAt: Int64, now: Int64) {
    self.mathematics = mathematics
    self.judgedAt = judgedAt
    self.now = now
    chain = .notChecked
    revocation = .notChecked
    revocationRemarks = []
  }

  /// True when the signature is good, the certificate was valid then and not revoked by then, and the chain is good. A list that is
  /// missing or stale does not count against it.
  public var holds: Bool {
    guard case .good = mathematics, validity == .valid, case .good = chain else { return false }
    return !isRevoked
  }

  /// True when the certificate, or one of its authorities', was revoked at or before `judgedAt`.
  public var isRevoked: Bool {
    guard case .revoked(let when, _) = revocation else { return false }
    return when <= judgedAt
  }

  /// What makes a signed content and its signer one thing for telling messages apart: SHA-256 of the content's SHA-256 and the
  /// signer's certificate in DER, in lower-case hexadecimal. Nil when nothing was looked at.
  public var fingerprint: String? {
    guard let contentDigest, let signer else { return nil }
    return Hex.encode(ContentDigest.sha256([Chunk(contentDigest), Chunk(signer.der)]))
  }

  /// True when a certificate that was valid then has expired since; the signature holds all the same.
  public var expiredSince: Bool { validity == .valid && (signer.map { $0.notAfter < now } ?? false) }

  /// The verdict in plain words, a sentence each.
  public var sentences: [String] {
    var out = [mathematicsSentence]
    if let signer {
      out.append(
        "Signed by \(signer.subject), for \(signer.mailAddresses.joined(separator: ", ")); certificate issued by \(signer.issuer).")
    }
    if let signingTime { out.append("The signer's clock said \(Calendar.text(signingTime)).") }
    if let sentence = validitySentence { out.append(sentence) }
    if signer != nil { out.append(chainSentence) }
    if let sentence = revocationSentence { out.append(sentence) }
    return out + revocationRemarks
  }

  private var mathematicsSentence: String {
    switch mathematics {
    case .good: "The signature is good: not an octet was changed since it was signed (\(digestAlgorithm ?? "?"))."
    case .bad(let flaw):
      switch flaw {
      case .contentChanged: "The signature does not hold: the message was changed after it was signed."
      case .signatureMismatch: "The signature does not hold: it was not made with the key of the certificate."
      case .attributes(let reason): "The signature does not hold: \(reason)."
      case .algorithm(let name): "The signature cannot be judged: the signature algorithm \(name) is unknown here."
      }
    case .refused(let refusal): "This is not a signature that can be judged: \(refusal.words)."
    }
  }

  private var validitySentence: String? {
    guard let validity, let signer else { return nil }
    let dates = "from \(Calendar.text(signer.notBefore)) to \(Calendar.text(signer.notAfter))"
    let then = Calendar.text(judgedAt)
    return switch validity {
    case .valid where expiredSince:
      "The certificate was valid on \(then); it has expired since (valid \(dates)), which does not unmake the signature."
    case .valid: "The certificate was valid on \(then) (valid \(dates))."
    case .notYetValid: "The certificate was not yet valid on \(then) (valid \(dates))."
    case .expired: "The certificate had expired by \(then) (valid \(dates))."
    }
  }

  private var chainSentence: String {
    switch chain {
    case .notChecked: "No authorities were given, so nobody vouches for the certificate."
    case .good(let path, let remark):
      "The certificate goes back to \(path.last ?? "?")" + (remark.map { " (\($0))" } ?? "")
        + (revocation == .notChecked ? "; revocation was not looked up." : ".")
    case .bad(let reason, let certificate): "The certificate does not go back to a given authority: \(reason) (\(certificate))."
    }
  }

  private var revocationSentence: String? {
    switch revocation {
    case .notChecked: nil
    case .good(let issued): "It is not among the revoked, says its authority's list of \(Calendar.text(issued))."
    case .revoked(let when, let reason) where isRevoked: "The certificate had been revoked \(RevocationList.since(when)) (\(reason))."
    case .revoked(let when, let reason):
      "The certificate was revoked \(RevocationList.since(when)) (\(reason)), later than the time it is judged at, which does not "
        + "unmake the signature."
    case .noList(let issuer): "Whether it was revoked cannot be said: there is no revocation list of \(issuer) for it."
    case .stale(let issuer, let since):
      "It was not among the revoked, but the revocation list of \(issuer) is stale: the next was due \(Calendar.text(since))."
    }
  }
}

extension SignatureVerdict.Refusal {
  /// The refusal as part of a sentence.
  public var words: String {
    switch self {
    case .malformed(let reason): "it cannot be read (\(reason))"
    case .tooLarge(let bytes): "it has \(bytes) octets"
    case .notSignedData(let type): "it is not signed data but \(type)"
    case .contentType(let type): "what it signs is not plain data but \(type)"
    case .contentInside: "the content is inside the signature instead of beside it"
    case .contentMissing: "there is no content inside the signature"
    case .noSigner: "nobody signed it"
    case .severalSigners(let count): "it has \(count) signers instead of one"
    case .certificateMissing: "the signer's certificate is not in it"
    case .digestAlgorithm(let name): "the digest algorithm \(name) is not accepted"
    }
  }
}
