import Foundation
import Octets
import PEC
import ProviderIndex
import Signing

/// A provider index in a file, plain LDIF or in its signed form (`.p7m`), read for somebody who wants to know: nothing is kept.
struct IndexFile {
  var path: String
  /// True when it came in a signature.
  var isSigned: Bool
  /// Who signed it; nil for plain LDIF, and where the signature does not hold.
  var signer: CertificateFacts?
  /// Why a signature is of no use.
  var signatureFault: String?
  var directory: ProviderDirectory
  var problems: [IndexProblem]

  /// Reads a file.
  /// - Parameters:
  ///   - path: LDIF, or CMS with the LDIF inside.
  ///   - signers: PEM file with certificates, or their authorities, that must have signed a signed index; nil believes no signature.
  ///   - at: when the signer's certificate must be valid, seconds since 1970; nil for when it was signed, as of an index of the past.
  /// - Throws: `CommandFailure` with exit code 66 for what cannot be read.
  init(path: String, signers: String?, at: Int64? = nil) throws {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw CommandFailure("\(path) cannot be read", exitCode: CommandFailure.noInput)
    }
    guard data.count <= ProviderIndex.maximumBytes else {
      throw CommandFailure(
        "\(path) is larger than \(ProviderIndex.maximumBytes / 1_048_576) MB", exitCode: CommandFailure.dataError)
    }
    self.path = path
    let octets = [UInt8](data)
    isSigned = SignedContent.looksSigned(octets)
    guard isSigned else {
      (directory, problems) = IndexFile.parse(octets)
      return
    }
    (directory, problems) = (.empty, [])
    guard let signers else {
      signatureFault = "the index is signed, and nothing says who may sign it"
      return
    }
    let certificates = try IndexFile.certificates(in: signers)
    do {
      let opened = try SignedContent.open(
        octets, signers: certificates, anchors: TrustAnchors(certificates: certificates), at: at)
      signer = opened.signer
      (directory, problems) = IndexFile.parse(opened.content)
    } catch { signatureFault = "\(error)" }
  }

  private static func parse(_ ldif: [UInt8]) -> (directory: ProviderDirectory, problems: [IndexProblem]) {
    ProviderDirectory.parse(ldif: ldif) { Hex.encode(ContentDigest.sha1([Chunk($0)])) }
  }

  /// The file, when its signature holds and it lists somebody.
  /// - Throws: `CommandFailure` with exit code 65.
  func usable() throws -> IndexFile {
    if let signatureFault { throw CommandFailure("\(path): \(signatureFault)", exitCode: CommandFailure.dataError) }
    if directory.isEmpty {
      let why = problems.prefix(3).map(\.description).joined(separator: "; ")
      throw CommandFailure(
        "\(path): no record of the index is usable" + (why.isEmpty ? "" : " (\(why))"), exitCode: CommandFailure.dataError)
    }
    return self
  }

  /// The certificates of a PEM file, DER each.
  static func certificates(in path: String) throws -> [[UInt8]] {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw CommandFailure("\(path) cannot be read", exitCode: CommandFailure.noInput)
    }
    var found: [[UInt8]] = []
    for block in String(decoding: data, as: UTF8.self).components(separatedBy: "-----BEGIN CERTIFICATE-----").dropFirst() {
      let text = block.components(separatedBy: "-----END CERTIFICATE-----")[0]
      guard let der = Base64.decode(text.utf8), CertificateFacts(der: der) != nil else {
        throw CommandFailure("\(path): certificate \(found.count + 1) cannot be read", exitCode: CommandFailure.dataError)
      }
      found.append(der)
    }
    if found.isEmpty { throw CommandFailure("\(path) holds no certificate", exitCode: CommandFailure.dataError) }
    return found
  }
}

extension ProviderRecord {
  /// The provider's name, and that of the secondary environment.
  var label: String { unit.map { "\(providerName), environment \($0)" } ?? providerName }
}
