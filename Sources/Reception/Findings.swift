import MIMEStream
import PEC

/// A reason for a treatment, in both tongues: English for the log, Italian for the people who get an anomaly envelope.
public struct Reason: Sendable, Equatable {
  public var english: String
  public var italian: String

  /// One reason; neither text ends in a full stop, nor holds control characters.
  public init(english: String, italian: String) {
    self.english = english
    self.italian = italian
  }
}

/// What the verifier found about the CMS signature of a message: told by whoever did the mathematics, judged here.
public struct SignatureFindings: Sendable, Equatable {
  /// Whether the signature holds over the exact octets.
  public enum Mathematics: Sendable, Equatable {
    case good
    /// It does not hold, or was refused: several signers, none, content inside of the CMS, an unknown digest.
    case bad(Reason)
  }

  /// Whether the signer's certificate leads to an authority that is trusted.
  public enum Path: Sendable, Equatable {
    case good
    /// English words on what is wrong with it.
    case bad(String)
    case notChecked
  }

  /// What the revocation lists say of the signer's certificate, and of those above it.
  public enum Revocation: Sendable, Equatable {
    case good
    case revoked(atUnixSeconds: Int64)
    /// No list, or a stale one; English words.
    case unknown(String)
  }

  public var mathematics: Mathematics
  /// The signer's certificate, DER.
  public var certificate: [UInt8]
  /// SHA-1 of `certificate`, hexadecimal.
  public var sha1: String
  /// Mail addresses in the certificate.
  public var mailAddresses: [String]
  /// Validity of the certificate, Unix seconds, both included.
  public var notBefore: Int64
  public var notAfter: Int64
  /// The path, apart from the validity of the signer's certificate, which is judged by `notBefore` and `notAfter`: a verifier that
  /// looks at a certificate that has expired must judge its path at a time when it had not.
  public var path: Path
  public var revocation: Revocation
  /// The signed attribute signingTime, Unix seconds.
  public var signingTime: Int64?
  /// Hexadecimal digest over the signed octets and the certificate: the same for the same message.
  public var fingerprint: String

  /// Findings as they are given.
  public init(
    mathematics: Mathematics, certificate: [UInt8], sha1: String, mailAddresses: [String], notBefore: Int64, notAfter: Int64,
    path: Path, revocation: Revocation, signingTime: Int64?, fingerprint: String
  ) {
    self.mathematics = mathematics
    self.certificate = certificate
    self.sha1 = sha1
    self.mailAddresses = mailAddresses
    self.notBefore = notBefore
    self.notAfter = notAfter
    self.path = path
    self.revocation = revocation
    self.signingTime = signingTime
    self.fingerprint = fingerprint
  }
}

/// What is known of `postacert.eml`, walked over on its own.
public struct OriginalFindings: Sendable, Equatable {
  /// Its Message-ID without brackets; nil when it has none, or several.
  public var messageID: String?
  public var header: HeaderFacts?
  /// True when octets above 127 are in it.
  public var hasEightBit: Bool

  /// Findings as they are given.
  public init(messageID: String?, header: HeaderFacts?, hasEightBit: Bool) {
    self.messageID = messageID
    self.header = header
    self.hasEightBit = hasEightBit
  }

  /// Findings of the original's own walk.
  public init(_ facts: MessageFacts) {
    self.init(
      messageID: PECMessage.messageID(in: facts.header), header: facts.header,
      hasEightBit: !facts.flags.isDisjoint(with: [.eightBitHeader, .eightBitBody]))
  }
}

/// An earlier reception of the same identificativo that was taken for genuine. One that ended in an anomaly envelope is none: whoever
/// replays an envelope with a wrong sender must not spoil the delivery of the real one.
public struct KnownReception: Sendable, Equatable {
  /// Id of the reception.
  public var id: String
  /// Of the signature; empty for an envelope that this provider made itself, which then is the same as any other that it signed.
  public var fingerprint: String
  public var recipients: [String]
  /// Name of the provider that signed it.
  public var provider: String
  /// True for a transport envelope, of which there is one for an identificativo; receipts and notices about it are many.
  public var isEnvelope: Bool

  /// A reception as it is given.
  public init(id: String, fingerprint: String, recipients: [String], provider: String, isEnvelope: Bool) {
    self.id = id
    self.fingerprint = fingerprint
    self.recipients = recipients
    self.provider = provider
    self.isEnvelope = isEnvelope
  }
}

/// A message at the incoming point, with all that was found out about it.
public struct ReceivedMessage: Sendable {
  /// MAIL FROM without angle brackets; empty for the null path.
  public var reversePath: String
  /// RCPT TO without angle brackets, in order; managed domains of this provider all.
  public var forwardPaths: [String]
  public var facts: MessageFacts
  public var claim: PECMessage
  /// Nil when there was no signature to verify.
  public var signature: SignatureFindings?
  /// The certification data as read; nil when `claim` names no part for them.
  public var certification: Result<CertificationData, CertificationFault>?
  /// Nil when `claim` names no part for it.
  public var original: OriginalFindings?
  public var isOverTLS: Bool
  /// Earlier receptions of the same identificativo.
  public var known: [KnownReception]

  /// A message as it is given.
  public init(
    reversePath: String, forwardPaths: [String], facts: MessageFacts, claim: PECMessage, signature: SignatureFindings?,
    certification: Result<CertificationData, CertificationFault>?, original: OriginalFindings?, isOverTLS: Bool,
    known: [KnownReception] = []
  ) {
    self.reversePath = reversePath
    self.forwardPaths = forwardPaths
    self.facts = facts
    self.claim = claim
    self.signature = signature
    self.certification = certification
    self.original = original
    self.isOverTLS = isOverTLS
    self.known = known
  }
}
