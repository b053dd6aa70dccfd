/// What is wrong with a time stamp, its request or a record of evidence.
public indirect enum TimeStampError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The authority granted nothing: its status, its failure codes in words, and its own text (RFC 3161 §2.4.2).
  case refused(status: Int, failures: [String], text: String)
  /// The octets are not what they should be.
  case malformed(String)
  /// The stamp is about other data than was asked for.
  case otherImprint
  /// The stamp answers another request, or none.
  case otherNonce
  /// The stamp was made under another policy than was asked for; the policy it names.
  case otherPolicy(String)
  /// The authority's time is not ours: the stamp's time less the present one, in seconds.
  case otherTime(differenceSeconds: Int64, toleranceSeconds: Int)
  /// An algorithm or key that proves nothing any more.
  case weakAlgorithm(String)
  /// The authority's certificate is not in the stamp, or not the one that the stamp was signed for (RFC 5035).
  case otherCertificate(String)
  /// The signature does not hold.
  case badSignature(String)
  /// The certificate may not sign time stamps: it must have the extended key usage timeStamping, alone and critical (RFC 3161 §2.3).
  case notForTimeStamping(subject: String)
  /// The certificate does not go back to an authority that is trusted here.
  case untrusted(certificate: String, reason: String)
  /// The certificate was not valid at a time it had to be; all in seconds since 1970.
  case notValid(subject: String, at: Int64, notBefore: Int64, notAfter: Int64)
  /// A certificate of the path was taken back; since when, in seconds since 1970.
  case revoked(subject: String, since: Int64, reason: String)
  /// A policy that is not an object identifier, or an imprint that is not a digest.
  case badRequest(String)
  /// A file of certificates, lists or keys that cannot be used.
  case badFile(path: String, String)
  /// The record of evidence does not hold together.
  case evidence(String)
  /// A stamp of a record of evidence is wrong; both counted from 1.
  case evidenceStamp(chain: Int, stamp: Int, TimeStampError)
  /// OpenSSL failed.
  case library(String)

  /// One line for a log or terminal.
  public var description: String {
    switch self {
    case .refused(let status, let failures, let text):
      "the authority refuses: \(Self.statusWords(status))\(failures.isEmpty ? "" : " (\(failures.joined(separator: ", ")))")"
        + (text.isEmpty ? "" : ": \(text)")
    case .malformed(let words): words
    case .otherImprint: "the time stamp is about other data"
    case .otherNonce: "the time stamp answers another request"
    case .otherPolicy(let policy): "the time stamp was made under another policy, \(policy)"
    case .otherTime(let difference, let tolerance):
      "the authority's time is \(difference.magnitude) s \(difference < 0 ? "behind" : "ahead of") ours; \(tolerance) s are let pass"
    case .weakAlgorithm(let words): "too weak: \(words)"
    case .otherCertificate(let words): words
    case .badSignature(let words): "the time stamp's signature does not hold: \(words)"
    case .notForTimeStamping(let subject):
      "the certificate of \(subject) is not for time stamps: their use must be its only one, and critical"
    case .untrusted(let certificate, let reason): "the certificate of \(certificate) is not trusted: \(reason)"
    case .notValid(let subject, let at, let from, let to):
      "the certificate of \(subject) is valid from \(Times.text(from)) to \(Times.text(to)), and not at \(Times.text(at))"
    case .revoked(let subject, let since, let reason):
      "the certificate of \(subject) was revoked \(since == .min ? "at a time that cannot be read" : "on \(Times.text(since))"): \(reason)"
    case .badRequest(let words): words
    case .badFile(let path, let words): "\(path): \(words)"
    case .evidence(let words): "the evidence record \(words)"
    case .evidenceStamp(let chain, let stamp, let error): "time stamp \(stamp) of chain \(chain) of the evidence record: \(error)"
    case .library(let words): "OpenSSL: \(words)"
    }
  }

  private static func statusWords(_ status: Int) -> String {
    let names = [
      "granted", "granted with changes", "rejection", "waiting", "its certificate will be revoked", "its certificate was revoked",
    ]
    return names.indices.contains(status) ? names[status] : "status \(status)"
  }

  /// Text of a peer as part of a line: no control characters, and not for ever.
  static func tamed(_ octets: some Collection<UInt8>) -> String {
    String(decoding: octets.prefix(300).map { $0 < 32 || $0 == 127 ? 32 : $0 }, as: UTF8.self)
  }
}
