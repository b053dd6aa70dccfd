/// A SignedData (RFC 5652) for one signer, detached unless a content is put inside, prepared but for what a message changes: the time, the digest, the signature.
///
/// The profile is the one every provider emits (`pec-rules` 11.1): SignedData version 1 with one digest algorithm and id-data without
/// content, the signer's certificate and its chain, no CRLs, one SignerInfo version 1 by issuer and serial number, signed
/// attributes contentType, signingTime and messageDigest, rsaEncryption, no unsigned attributes. Everything is DER. The signature
/// is the last thing in it, so a message is: prefix, attributes, middle, signature.
struct CMSSkeleton: Sendable {
  /// Octets up to the signed attributes and between them and the signature, for one length of the attributes.
  private struct Frame: Sendable {
    let prefix: [UInt8]
    let middle: [UInt8]
  }

  private let certificates: [[UInt8]]
  private let issuer: [UInt8]
  private let serialNumber: [UInt8]
  private let utcTimeFrame: Frame
  private let generalizedTimeFrame: Frame
  /// Length of a signature: the key's modulus, in octets.
  let signatureBytes: Int

  /// - Parameters:
  ///   - certificates: the signer's and its chain's, in DER.
  ///   - issuer: the Name of the signer's issuer, in DER.
  ///   - serialNumber: the INTEGER of the signer's certificate, in DER.
  ///   - signatureBytes: length of the signatures to come.
  init(certificates: [[UInt8]], issuer: [UInt8], serialNumber: [UInt8], signatureBytes: Int) {
    self.signatureBytes = signatureBytes
    self.certificates = certificates
    self.issuer = issuer
    self.serialNumber = serialNumber
    utcTimeFrame = CMSSkeleton.frame(certificates, issuer, serialNumber, signatureBytes, attributeBytes: 26 + 30 + 49)
    generalizedTimeFrame = CMSSkeleton.frame(certificates, issuer, serialNumber, signatureBytes, attributeBytes: 26 + 32 + 49)
  }

  private static func frame(
    _ certificates: [[UInt8]], _ issuer: [UInt8], _ serialNumber: [UInt8], _ signatureBytes: Int, attributeBytes: Int,
    content inside: [UInt8]? = nil
  ) -> Frame {
    // RFC 5754 §2: the parameters of SHA-256 are left out. RFC 3370 §3.2: those of rsaEncryption are NULL.
    let digestAlgorithm = DER.element(DER.sequence, DER.sha256)
    let middle =
      DER.element(DER.sequence, DER.rsaEncryption, DER.null) + DER.header(DER.octetString, count: signatureBytes)
    let signerStart =
      DER.one + DER.element(DER.sequence, issuer, serialNumber) + digestAlgorithm
      + DER.header(DER.context0, count: attributeBytes)
    let signer = DER.header(DER.sequence, count: signerStart.count + attributeBytes + middle.count + signatureBytes) + signerStart
    let signerBytes = signer.count + attributeBytes + middle.count + signatureBytes
    let encapsulated = inside.map { DER.element(DER.context0, DER.element(DER.octetString, $0)) } ?? []
    let dataStart =
      DER.one + DER.element(DER.set, digestAlgorithm) + DER.element(DER.sequence, DER.idData, encapsulated)
      + DER.element(DER.context0, DER.sorted(certificates).flatMap(\.self)) + DER.header(DER.set, count: signerBytes)
    let data = DER.header(DER.sequence, count: dataStart.count + signerBytes) + dataStart
    let explicit = DER.header(DER.context0, count: data.count + signerBytes) + data
    let content = DER.idSignedData + explicit
    return Frame(prefix: DER.header(DER.sequence, count: content.count + signerBytes) + content + signer, middle: middle)
  }

  /// The signed attributes of one message without their outer tag, in the order of a DER SET OF: by their encodings
  /// contentType (26 octets) comes before signingTime (30 or 32) and that before messageDigest (49). Nil after the year 9999.
  ///
  /// RFC 5652 §11.3: UTCTime from 1950 through 2049, GeneralizedTime otherwise.
  func attributes(signingTime: Int64, messageDigest: [UInt8]) -> [UInt8]? {
    guard let digits = Calendar.generalized(signingTime) else { return nil }
    let year = digits.prefix(4)
    let short = !year.lexicographicallyPrecedes(Array("1950".utf8)) && year.lexicographicallyPrecedes(Array("2050".utf8))
    let time = short ? DER.element(DER.utcTime, Array(digits.dropFirst(2))) : DER.element(DER.generalizedTime, digits)
    return DER.element(DER.sequence, DER.contentType, DER.element(DER.set, DER.idData))
      + DER.element(DER.sequence, DER.signingTime, DER.element(DER.set, time))
      + DER.element(DER.sequence, DER.messageDigest, DER.element(DER.set, DER.element(DER.octetString, messageDigest)))
  }

  /// What is digested and signed: the attributes under the tag of a SET (RFC 5652 §5.4).
  func signedOctets(attributes: [UInt8]) -> [UInt8] { DER.header(DER.set, count: attributes.count) + attributes }

  /// The SignedData with these attributes and this signature; with a content it is inside, else it stays beside.
  func assemble(attributes: [UInt8], signature: [UInt8], content: [UInt8]? = nil) -> [UInt8] {
    let frame =
      content.map {
        CMSSkeleton.frame(certificates, issuer, serialNumber, signatureBytes, attributeBytes: attributes.count, content: $0)
      } ?? (attributes.count == 26 + 30 + 49 ? utcTimeFrame : generalizedTimeFrame)
    var out: [UInt8] = []
    out.reserveCapacity(frame.prefix.count + attributes.count + frame.middle.count + signature.count)
    out += frame.prefix
    out += attributes
    out += frame.middle
    out += signature
    return out
  }
}
