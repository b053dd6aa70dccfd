/// Why revocation lists were not taken. Nothing of what was given is in use then; what was held before stays.
public struct RevocationError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong.
  public enum Fault: Sendable, Equatable {
    /// More octets than a list may have.
    case tooLarge(Int)
    /// There is no list in it.
    case noList
    /// A list, counted from 1, cannot be read.
    case malformed(Int)
    /// A list has no time of issue, or none of the next list (RFC 5280 §5.1.2.4, §5.1.2.5).
    case noDates(issuer: String)
    /// A list of a form that is not read here: a delta, an indirect list, one for some reasons only (RFC 5280 §5.2).
    case unsupported(issuer: String, String)
    /// A list is signed with a digest that proves nothing.
    case digestAlgorithm(issuer: String)
    /// None of the known certificates of the issuer signed it.
    case badSignature(issuer: String)
    /// The issuer's certificate does not allow it to sign lists (keyUsage, cRLSign).
    case issuerMayNot(issuer: String)
    /// More lists than are held.
    case tooMany
  }

  public let fault: Fault
  /// Where the octets came from, in the caller's words.
  public let source: String

  /// What is wrong, without the source.
  public var what: String {
    switch fault {
    case .tooLarge(let bytes): "has \(bytes) octets; a revocation list has at most \(RevocationLists.maximumBytes)"
    case .noList: "holds no revocation list"
    case .malformed(let number): "revocation list \(number) cannot be read"
    case .noDates(let issuer): "the list of \(issuer) does not say when it was issued and when the next one comes"
    case .unsupported(let issuer, let form): "the list of \(issuer) cannot be used: \(form)"
    case .digestAlgorithm(let issuer): "the list of \(issuer) is signed with a broken digest algorithm"
    case .badSignature(let issuer): "the list is not signed by \(issuer), whose name it bears"
    case .issuerMayNot(let issuer): "the certificate of \(issuer) does not allow it to sign revocation lists"
    case .tooMany:
      "there are more than \(RevocationLists.maximumLists) revocation lists, or more than \(RevocationLists.maximumWaiting) of "
        + "unknown authorities"
    }
  }

  public var description: String { "\(source): \(what)" }
}
