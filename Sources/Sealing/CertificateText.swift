import Octets

/// Certificates in PEM (RFC 7468), as everybody's tools read them.
public enum CertificateText {
  private static let begin = "-----BEGIN CERTIFICATE-----"
  private static let end = "-----END CERTIFICATE-----"

  /// These certificates, given in DER, one block after the other.
  public static func pem(_ certificates: [[UInt8]]) -> [UInt8] {
    certificates.flatMap { der -> [UInt8] in
      Array("\(begin)\n".utf8) + Base64.encodeLines(der).filter { $0 != 13 } + Array("\(end)\n".utf8)
    }
  }

  /// The certificates of a PEM text in DER; text between the blocks is passed over. Nil when a block does not end, or is not base64.
  public static func der(_ pem: [UInt8]) -> [[UInt8]]? {
    var found: [[UInt8]] = []
    var block: [UInt8]?
    for line in pem.split(separator: 10, omittingEmptySubsequences: true) {
      let text = line.last == 13 ? line.dropLast() : line
      if text.elementsEqual(begin.utf8) {
        if block != nil { return nil }
        block = []
      } else if text.elementsEqual(end.utf8) {
        guard let whole = block, let der = Base64.decode(whole), !der.isEmpty else { return nil }
        found.append(der)
        block = nil
      } else if block != nil {
        block! += text
      }
    }
    return block == nil ? found : nil
  }
}
