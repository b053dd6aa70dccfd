internal import COpenSSL
import Octets

/// A time stamp authority without a clock and without a network: makes answers to requests (RFC 3161 §2.4). For the laboratory and for
/// tests; its accuracy is a second, and it stamps SHA-256, SHA-384 and SHA-512 imprints with SHA-256.
///
/// Nothing in it changes after its making: any thread may use it.
public final class TimeStampResponder: Sendable {
  /// Its certificate's subject.
  public var subject: String { certificate.subject }
  /// Object identifier of its policy.
  public let policy: String

  private let certificate: Certificate
  private let chain: [Certificate]
  private let key: PrivateKey

  /// - Parameters:
  ///   - path: PEM file with the key, the certificate and those of its issuers.
  ///   - policy: what stamps are made under, when a request asks for nothing else.
  /// - Throws: `badFile`, `badRequest` for a policy that is none, `notForTimeStamping`.
  public init(path: String, policy: String) throws(TimeStampError) {
    let text = try PEMText(path: path, wantsKey: true)
    guard let key = text.key else { throw .badFile(path: path, "there is no key in it") }
    guard let own = text.certificates.first(where: { unsafe X509_check_private_key($0.raw, key.raw) == 1 }) else {
      OpenSSLErrors.clear()
      throw .badFile(path: path, "there is no certificate of the key in it")
    }
    OpenSSLErrors.clear()
    guard TimeStampRequest.isPolicy(policy) else { throw .badRequest("the policy \(policy) is not an object identifier") }
    guard own.isForTimeStamping else { throw .notForTimeStamping(subject: own.subject) }
    self.key = key
    self.policy = policy
    certificate = own
    chain = text.certificates.filter { $0 !== own }
  }

  /// The answer to a request: a time stamp, or a rejection that says why.
  /// - Parameters:
  ///   - request: the TimeStampReq in DER, as it came.
  ///   - unixSeconds: the stamp's time.
  public func answer(_ request: [UInt8], at unixSeconds: Int64) -> [UInt8] {
    defer { OpenSSLErrors.clear() }
    var serial = Entropy.bytes(16)
    serial[0] = serial[0] & 0x7F | 0x40
    let list = try? CertificateList(chain)
    guard let list, request.count <= 64 << 10 else { return TimeStampResponder.rejection("the request is too long", failure: 2) }
    let answer = unsafe serial.withUnsafeBufferPointer { number -> [UInt8] in
      var out: UnsafeMutablePointer<UInt8>?
      var moment = unsafe ceralacca_ts_moment(seconds: unixSeconds, serial: number.baseAddress, serial_bytes: Int32(number.count))
      let count = unsafe ceralacca_ts_answer(
        certificate.raw, key.raw, list.raw, policy, request, Int32(request.count), &moment, &out)
      guard count > 0, let start = unsafe out else { return [] }
      defer { unsafe ceralacca_openssl_free(start) }
      return unsafe Array(UnsafeBufferPointer(start: start, count: Int(count)))
    }
    return answer.isEmpty ? TimeStampResponder.rejection("the time stamp could not be made", failure: 25) : answer
  }

  /// A rejection (RFC 3161 §2.4.2).
  /// - Parameter failure: number of the bit of PKIFailureInfo, `25` for systemFailure.
  public static func rejection(_ text: String, failure: Int) -> [UInt8] {
    TimeStampResponse.rejection(text, failure: max(0, min(failure, 31)))
  }
}
