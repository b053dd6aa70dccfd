/// `postacert.eml` as a delivery receipt encloses it: octets of the stored envelope, or a rewritten form of them (pec-rules 7.2).
public struct EnclosedOriginal: Sendable, Equatable {
  /// Offsets in the stored message.
  public var fragments: [Fragment]
  /// Content-Transfer-Encoding of the part as the envelope said it.
  public var transferEncoding: String
  /// Lines of it that begin like a boundary of ours, where they are known: new boundaries differ from them. Where they are not, the
  /// boundaries' random part, drawn when the message had long arrived, is what tells them apart.
  public var boundaryLines: [[UInt8]] = []

  /// An original in pieces.
  public init(fragments: [Fragment], transferEncoding: String) {
    self.fragments = fragments
    self.transferEncoding = transferEncoding
  }

  /// The octets as they lie in the envelope.
  /// - Parameter range: offsets in the stored message.
  public init(range: Range<Int>, transferEncoding: String) {
    self.init(fragments: range.isEmpty ? [] : [.original(range)], transferEncoding: transferEncoding)
  }

  /// What the part of ours says. Nothing is re-encoded, so that an envelope's odd label for an attached message (RFC 2046 §5.2.1 allows
  /// the first three) stays with the octets it belongs to; "binary" cannot travel by SMTP, and what has come by it is 8bit at the most.
  var label: String {
    switch transferEncoding {
    case "8bit", "binary": "8bit"
    case "base64", "quoted-printable": transferEncoding
    default: "7bit"
    }
  }
}
