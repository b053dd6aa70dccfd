import MIMEStream
import Octets

// The facts of a transaction as a message of another provider tells them.
extension TransactionFacts {
  /// The facts that a received envelope, receipt or notice tells. Its certification data are signed and rule; the outer header gives
  /// the subject as it was spelled, and the type of receipt (RFC 6109 §3.3.2).
  ///
  /// - Parameters:
  ///   - data: of a message whose signature and form were found good.
  ///   - outer: its outer header.
  ///   - bytes: its size in octets.
  public init(_ data: CertificationData, outer: HeaderFacts, bytes: Int) {
    let subject = data.subject.map(oneLine).flatMap { $0.isEmpty ? nil : $0 }
    let asked = outer.first(named: "X-TipoRicevuta").map { ReceiptType(headerValue: String(decoding: outer.value(of: $0), as: UTF8.self)) }
    self.init(
      pecID: data.pecID, instant: data.instant, sender: data.sender, recipients: data.recipients, replyTo: data.replyTo, subject: subject,
      rawSubject: TransactionFacts.originalSubject(of: outer) ?? subject.map(TransactionFacts.spelled),
      clientMessageID: data.clientMessageID.flatMap { TransactionFacts.identifierLine($0.utf8) },
      receiptType: asked ?? data.receiptType ?? .complete, bytes: bytes)
  }

  /// The value of the outer Subject without the prefix of its kind, encoded words kept; nil when nothing is left.
  private static func originalSubject(of header: HeaderFacts) -> [UInt8]? {
    guard let value = header.first(named: "Subject").map({ header.value(of: $0) }), !value.isEmpty else { return nil }
    if let length = prefixBytes(value) { return behind(length, in: value) }
    // Some providers decode the subject and encode it again together with its prefix (pec-rules 2.0 item 5).
    guard value.starts(with: "=?".utf8) else { return value }
    let decoded = Array(oneLine(EncodedWord.decode(value)).utf8)
    guard let length = prefixBytes(decoded) else { return value }
    return behind(length, in: decoded).map { spelled(String(decoding: $0, as: UTF8.self)) }
  }

  /// Length of the prefix that a subject begins with, up to its colon; nil when there is none. A subject without anything behind
  /// its prefix has no space there.
  private static func prefixBytes(_ subject: [UInt8]) -> Int? {
    KindTraits.subjectPrefixes.lazy.map { $0.utf8.dropLast() }.first { ASCII.equal(subject.prefix($0.count), $0) }?.count
  }

  private static func behind(_ length: Int, in subject: [UInt8]) -> [UInt8]? {
    let rest = Array(subject[length...].drop { $0 == 32 || $0 == 9 })
    return rest.isEmpty ? nil : rest
  }

  /// A text as a header field's value, unfolded.
  private static func spelled(_ text: String) -> [UInt8] {
    EncodedWord.encode(text, column: 9).filter { $0 != 13 && $0 != 10 }
  }

  /// An identifier that somebody else chose, as one line of ASCII that fits into a header line; nil when nothing is left of it.
  static func identifierLine(_ value: some Sequence<UInt8>) -> String? {
    var id: [UInt8] = []
    for byte in value where byte >= 32 && byte != 127 {
      id.append(byte < 128 ? byte : UInt8(ascii: "?"))
      if id.count == clientMessageIDBytes { break }
    }
    return id.isEmpty ? nil : String(decoding: id, as: UTF8.self)
  }
}
