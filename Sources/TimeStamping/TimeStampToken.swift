internal import COpenSSL
import Octets

/// A time stamp token (RFC 3161 §2.4.2): what an authority signed.
public struct TimeStampToken: Sendable, Equatable {
  /// The ContentInfo in DER, as it came.
  public let octets: [UInt8]
  /// The digest that was stamped.
  public let imprint: [UInt8]
  /// What it was made with.
  public let digest: TimeStampDigest
  /// When, in seconds since 1970; a fraction is left out.
  public let genTime: Int64
  /// How far `genTime` may be from the truth, in microseconds; nil when the token does not say.
  public let accuracyMicroseconds: Int64?
  /// Serial number in lower-case hexadecimal.
  public let serial: String
  /// Object identifier of the authority's policy.
  public let policy: String
  /// The request's number; nil when there is none, or it has more than 64 bits.
  public let nonce: UInt64?
  /// Subject of the authority's certificate.
  public let authority: String
  /// First and last second of that certificate's validity, since 1970.
  public let certificateNotBefore: Int64
  public let certificateNotAfter: Int64
  /// Where its issuer publishes revocation lists.
  public let revocationListURLs: [String]
  /// The certificates in the token, in DER; the authority's first.
  public let certificates: [[UInt8]]
  /// The signature's digest algorithm, `SHA256`.
  public let signatureDigest: String
  /// The signature's own algorithm, `rsaEncryption`.
  public let signatureAlgorithm: String

  /// Reads a token without judging it: use `TimeStampCheck.verify` for what is to prove something.
  /// - Throws: `malformed`, `weakAlgorithm` of the imprint, `otherCertificate` when the authority's is not in it.
  public init(reading octets: [UInt8]) throws(TimeStampError) { try self.init(TokenHandle(octets)) }

  init(_ handle: TokenHandle) throws(TimeStampError) {
    octets = handle.octets
    authority = handle.signer.subject
    certificateNotBefore = handle.signer.notBefore
    certificateNotAfter = handle.signer.notAfter
    revocationListURLs = handle.signer.revocationListURLs
    certificates = [handle.signer.der] + handle.certificates.filter { $0 !== handle.signer }.map(\.der)
    let algorithms = handle.algorithms
    signatureDigest = TimeStampToken.name(algorithms.digest)
    signatureAlgorithm = TimeStampToken.name(algorithms.signature)

    var outer = DERReader(handle.content, "the time stamp's content")
    var reader = outer.inside(try outer.next(DERWriter.sequence))
    try outer.finish()
    guard try reader.number() == 1 else { throw reader.fault("is not of version 1") }
    policy = try reader.objectIdentifier()
    (digest, imprint) = try TimeStampRequest.messageImprint(&reader)
    serial = Hex.encode(try reader.integerOctets())
    guard let time = Times.seconds(reader.content(try reader.next(DERWriter.generalizedTime))) else {
      throw reader.fault("has a time that cannot be read")
    }
    genTime = time
    accuracyMicroseconds = try reader.optional(DERWriter.sequence).map { (element) throws(TimeStampError) in
      try TimeStampToken.accuracy(reader.inside(element))
    }
    _ = try reader.optional(DERWriter.boolean)
    nonce = reader.nextTag == DERWriter.integer ? TimeStampRequest.word(try reader.integerOctets()) : nil
    _ = try reader.optional(DERWriter.context(0))
    if let extensions = try reader.optional(DERWriter.context(1)) { try TimeStampToken.check(reader.inside(extensions)) }
    try reader.finish()
  }

  /// Seconds, then [0] milliseconds and [1] microseconds, each of which may be absent.
  private static func accuracy(_ content: DERReader) throws(TimeStampError) -> Int64 {
    var reader = content
    var microseconds: UInt64 = 0
    if reader.nextTag == DERWriter.integer { microseconds = min(try reader.number(), 1 << 32) * 1_000_000 }
    for (tag, factor) in [(UInt8(0x80), UInt64(1000)), (0x81, 1)] {
      guard let element = try reader.optional(tag) else { continue }
      guard let value = TimeStampRequest.word(reader.content(element)), value < 1000 else { throw reader.fault("has a strange accuracy") }
      microseconds += value * factor
    }
    try reader.finish()
    return Int64(microseconds)
  }

  /// No extension is known here that must be.
  private static func check(_ extensions: DERReader) throws(TimeStampError) {
    var list = extensions
    while !list.isAtEnd {
      var one = list.inside(try list.next(DERWriter.sequence))
      let identifier = try one.objectIdentifier()
      if let critical = try one.optional(DERWriter.boolean), one.whole(critical) == DERWriter.yes {
        throw .malformed("the time stamp has the critical extension \(identifier), which is not known here")
      }
      _ = try one.next(DERWriter.octetString)
      try one.finish()
    }
  }

  private static func name(_ number: Int32) -> String {
    guard number != NID_undef, let name = unsafe OBJ_nid2sn(number) else { return "unknown" }
    return unsafe String(cString: name)
  }
}
