internal import COpenSSL
import Octets

extension SignedContent {
  /// Whether a signed file is, octet for octet, what `SignerCredentials.signedContent` makes of this content, time and certificates: nothing
  /// that the signature does not cover, a length, an algorithm's parameter, another certificate, was changed either. The signature itself
  /// is `open`'s to judge.
  ///
  /// - Parameters:
  ///   - signer: the signer's certificate in DER.
  ///   - issuers: the other certificates inside, in any order.
  public static func isExact(_ p7m: [UInt8], content: [UInt8], signingTime: Int64, signer: [UInt8], issuers: [[UInt8]]) -> Bool {
    guard let handle = CertificateHandle(der: signer), let key = unsafe X509_get0_pubkey(handle.raw) else { return false }
    let skeleton = CMSSkeleton(
      certificates: [signer] + issuers,
      issuer: unsafe derOctets { unsafe i2d_X509_NAME(X509_get_issuer_name(handle.raw), $0) },
      serialNumber: unsafe derOctets { unsafe i2d_ASN1_INTEGER(X509_get0_serialNumber(handle.raw), $0) },
      signatureBytes: (Int(unsafe EVP_PKEY_get_bits(key)) + 7) / 8)
    guard p7m.count > skeleton.signatureBytes,
      let attributes = skeleton.attributes(signingTime: signingTime, messageDigest: ContentDigest.sha256([Chunk(content)]))
    else { return false }
    return skeleton.assemble(attributes: attributes, signature: Array(p7m.suffix(skeleton.signatureBytes)), content: content) == p7m
  }
}
