/// A request for a time stamp (RFC 3161 §2.4.1): asks for the authority's certificate to be in it.
public struct TimeStampRequest: Sendable, Equatable {
  /// The TimeStampReq in DER, to be sent as `application/timestamp-query` (RFC 3161 §3.4).
  public let octets: [UInt8]
  /// The digest to be stamped.
  public let imprint: [UInt8]
  /// What the imprint was made with.
  public let digest: TimeStampDigest
  /// What the answer must repeat; nil in a request of others that has none, or one of more than 64 bits.
  public let nonce: UInt64?
  /// Object identifier of the policy asked for; nil for whatever the authority has.
  public let policy: String?
  /// Whether the certificate is to be in the answer.
  public let wantsCertificate: Bool

  /// MIME type of a request.
  public static let contentType = "application/timestamp-query"
  /// MIME type of an answer.
  public static let responseType = "application/timestamp-reply"
  /// Octets of an answer at the most.
  public static let maximumResponseBytes = 256 << 10

  /// A request.
  /// - Parameters:
  ///   - imprint: the digest of the data.
  ///   - nonce: a random number that was never used before.
  ///   - policy: as `1.2.3.4`.
  ///   - digest: what the imprint was made with.
  /// - Throws: `TimeStampError.badRequest`.
  public init(
    imprint: [UInt8], nonce: UInt64, policy: String? = nil, digest: TimeStampDigest = .sha256
  ) throws(TimeStampError) {
    guard imprint.count == digest.bytes else { throw .badRequest("an imprint of \(imprint.count) octets is not \(digest.rawValue)") }
    var policyElement: [UInt8] = []
    if let policy {
      guard let element = ObjectIdentifier.element(policy) else { throw .badRequest("the policy \(policy) is not an object identifier") }
      policyElement = element
    }
    self.imprint = imprint
    self.digest = digest
    self.nonce = nonce
    self.policy = policy
    wantsCertificate = true
    octets = DERWriter.element(
      DERWriter.sequence, DERWriter.number(1), TimeStampRequest.messageImprint(imprint, digest), policyElement, DERWriter.number(nonce),
      DERWriter.yes)
  }

  /// Reads a request, as an authority does.
  /// - Throws: `malformed`, `weakAlgorithm`, or `badRequest` for extensions, which none is known of.
  public init(reading octets: [UInt8]) throws(TimeStampError) {
    var outer = DERReader(octets, "the request")
    var reader = outer.inside(try outer.next(DERWriter.sequence))
    try outer.finish()
    guard try reader.number() == 1 else { throw reader.fault("is not of version 1") }
    let asked = try TimeStampRequest.messageImprint(&reader)
    policy = reader.nextTag == DERWriter.objectIdentifier ? try reader.objectIdentifier() : nil
    nonce = reader.nextTag == DERWriter.integer ? TimeStampRequest.word(try reader.integerOctets()) : nil
    if let flag = try reader.optional(DERWriter.boolean) {
      guard reader.whole(flag) == DERWriter.yes else { throw reader.fault("has a truth value that is not DER") }
      wantsCertificate = true
    } else {
      wantsCertificate = false
    }
    if reader.nextTag == DERWriter.context(0) { throw .badRequest("the request has extensions") }
    try reader.finish()
    self.octets = octets
    imprint = asked.imprint
    digest = asked.digest
  }

  /// Whether a text is an object identifier, as a policy must be.
  public static func isPolicy(_ text: String) -> Bool { ObjectIdentifier.element(text) != nil }

  static func messageImprint(_ imprint: [UInt8], _ digest: TimeStampDigest) -> [UInt8] {
    DERWriter.element(
      DERWriter.sequence, DERWriter.element(DERWriter.sequence, digest.identifierContent(withNull: true)),
      DERWriter.element(DERWriter.octetString, imprint))
  }

  /// Reads a MessageImprint.
  static func messageImprint(_ reader: inout DERReader) throws(TimeStampError) -> (digest: TimeStampDigest, imprint: [UInt8]) {
    var inner = reader.inside(try reader.next(DERWriter.sequence))
    let digest = try inner.digestAlgorithm()
    let imprint = inner.content(try inner.next(DERWriter.octetString))
    try inner.finish()
    guard imprint.count == digest.bytes else { throw inner.fault("has an imprint that is not \(digest.rawValue)") }
    return (digest, imprint)
  }

  /// The number in the octets of an INTEGER, when it is not negative and fits.
  static func word(_ octets: [UInt8]) -> UInt64? {
    guard let first = octets.first, first < 128, octets.count <= 8 || octets.count == 9 && first == 0 else { return nil }
    return octets.reduce(0) { $0 << 8 | UInt64($1) }
  }
}

extension TimeStampRequest {
  /// Checks an authority's answer to this request.
  ///
  /// - Parameters:
  ///   - response: the TimeStampResp in DER.
  ///   - authorities: who may vouch for the authority's certificate.
  ///   - now: seconds since 1970; the certificate must be valid at the stamp's time and now.
  ///   - toleranceSeconds: how far the stamp's time may be from now.
  /// - Throws: each fault as a case of its own; nothing is taken from an answer that has one.
  public func check(
    response: [UInt8], authorities: TimeStampAuthorities, now: Int64, toleranceSeconds: Int
  ) throws(TimeStampError) -> TimeStampToken {
    guard response.count <= TimeStampRequest.maximumResponseBytes else { throw .malformed("the answer is longer than any time stamp") }
    let octets = try TimeStampResponse.token(of: response)
    let handle = try TokenHandle(octets)
    let token = try TimeStampToken(handle)
    guard token.digest == digest, token.imprint == imprint else { throw .otherImprint }
    guard let nonce, token.nonce == nonce else { throw .otherNonce }
    if let policy, token.policy != policy { throw .otherPolicy(token.policy) }
    try TimeStampCheck.judge(token, handle, authorities: authorities, at: now)
    let (difference, overflow) = token.genTime.subtractingReportingOverflow(now)
    guard !overflow, difference.magnitude <= UInt64(max(0, toleranceSeconds)) else {
      throw .otherTime(differenceSeconds: difference, toleranceSeconds: toleranceSeconds)
    }
    return token
  }
}

/// The answer of an authority (RFC 3161 §2.4.2).
enum TimeStampResponse {
  /// The time stamp token, when it was granted.
  static func token(of response: [UInt8]) throws(TimeStampError) -> [UInt8] {
    var outer = DERReader(response, "the answer")
    var reader = outer.inside(try outer.next(DERWriter.sequence))
    try outer.finish()
    var info = reader.inside(try reader.next(DERWriter.sequence))
    let status = try info.number()
    var texts: [String] = []
    if let free = try info.optional(DERWriter.sequence) {
      var list = info.inside(free)
      while !list.isAtEnd, texts.count < 8 { texts.append(TimeStampError.tamed(list.content(try list.next(DERWriter.utf8String)))) }
    }
    var failures: [String] = []
    if let bits = try info.optional(DERWriter.bitString) { failures = TimeStampResponse.failures(info.content(bits)) }
    try info.finish()
    // 0 granted, 1 granted with changes: what was changed is found by the checks.
    guard status <= 1 else {
      throw .refused(status: Int(clamping: status), failures: failures, text: TimeStampError.tamed(texts.joined(separator: "; ").utf8))
    }
    guard !reader.isAtEnd else { throw reader.fault("has no time stamp") }
    let token = reader.whole(try reader.next(DERWriter.sequence))
    try reader.finish()
    return token
  }

  /// Names of PKIFailureInfo.
  private static let failureNames = [
    0: "badAlg", 2: "badRequest", 5: "badDataFormat", 14: "timeNotAvailable", 15: "unacceptedPolicy", 16: "unacceptedExtension",
    17: "addInfoNotAvailable", 25: "systemFailure",
  ]

  private static func failures(_ bits: [UInt8]) -> [String] {
    var names: [String] = []
    for (at, octet) in bits.dropFirst().prefix(8).enumerated() {
      for bit in 0..<8 where octet & (0x80 >> UInt8(bit)) != 0 {
        names.append(failureNames[at * 8 + bit] ?? "failure \(at * 8 + bit)")
      }
    }
    return names
  }

  /// A rejection with a text, for an authority that cannot do better.
  static func rejection(_ text: String, failure: Int) -> [UInt8] {
    var octets = [UInt8](repeating: 0, count: failure / 8 + 1)
    octets[failure / 8] = 0x80 >> UInt8(failure % 8)
    let unused = UInt8(7 - failure % 8)
    return DERWriter.element(
      DERWriter.sequence,
      DERWriter.element(
        DERWriter.sequence, DERWriter.number(2),
        DERWriter.element(DERWriter.sequence, DERWriter.element(DERWriter.utf8String, Array(text.utf8))),
        DERWriter.element(DERWriter.bitString, [unused] + octets)))
  }
}
