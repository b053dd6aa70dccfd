import MIMEStream
import Octets

/// The original in the form of the brief receipt: attachments replaced by their hashes, everything else octet by octet (RFC 6109
/// §3.3.2.2, pec-rules 7.4).
///
/// A part is an attachment when it has a name, and so is every attached message. The tree stays as it is: a multipart is gone into
/// though it bear a name. Of an original in multipart/signed only the first part is worked upon, so that the signature stays in place; one
/// in application/pkcs7-mime cannot be taken apart. What the walker's limits kept out of its table stays whole.
public struct BriefOriginal: Sendable, Equatable {
  /// What is written in place of a part, but for the hash.
  private enum Place: Equatable {
    /// A part of a multipart, from its first header line on.
    case part(MIMEPart)
    /// The message itself is the attachment: header fields that tell its form go, the rest of its header stays.
    case message
  }

  private struct Replacement: Equatable {
    var place: Place
    var name: String
  }

  /// Ranges, from the original's start, whose octets are hashed by SHA-1, in order: bodies as transmitted, without the line end that
  /// belongs to the next boundary.
  public private(set) var hashed: [Range<Int>] = []

  private var replacements: [Replacement] = []
  private let header: HeaderFacts
  private let headerEnd: Int
  private let totalBytes: Int
  private let boundaryLines: [[UInt8]]

  /// What to hash and replace.
  /// - Parameter original: facts of the original walked on its own, offsets from its start.
  /// - Returns: nil when it stays intact: the brief receipt is then the complete one.
  public static func plan(_ original: MessageFacts) -> BriefOriginal? {
    guard let root = original.parts.first, root.type != "application/pkcs7-mime", root.type != "application/x-pkcs7-mime" else {
      return nil
    }
    return BriefOriginal(original)
  }

  private init(_ original: MessageFacts) {
    header = original.header
    headerEnd = original.headerEnd
    totalBytes = original.totalBytes
    boundaryLines = original.boundaryLines
    let parts = original.parts
    // Everything inside of a part that is replaced, or that must not be touched, is passed over.
    var isClosed = [Bool](repeating: false, count: parts.count)
    var hasSignedPart = false
    var nameless = 0
    for (index, part) in parts.enumerated() {
      if let parent = part.parent {
        isClosed[index] = isClosed[parent]
        if parent == 0, parts[0].type == "multipart/signed" {
          if hasSignedPart { isClosed[index] = true }
          hasSignedPart = true
        }
      }
      guard !isClosed[index], !part.isMultipart else { continue }
      let isMessage = part.type == "message/rfc822" || part.type == "message/global"
      guard isMessage || part.filename != nil else { continue }
      isClosed[index] = true
      var name = part.filename ?? ""
      if name.isEmpty {
        nameless += 1
        name = nameless == 1 ? "message.eml" : "message-\(nameless).eml"
      }
      replacements.append(Replacement(place: index == 0 ? .message : .part(part), name: name + ".hash"))
      hashed.append(part.bodyRange)
    }
  }

  /// The rewritten original.
  /// - Parameters:
  ///   - digests: 20 octets each, in the order of `hashed`.
  ///   - offset: where the original begins in the stored message.
  ///   - transferEncoding: Content-Transfer-Encoding of its part, as the envelope said it.
  public func enclosed(digests: [[UInt8]], offset: Int, transferEncoding: String) -> EnclosedOriginal {
    precondition(digests.count == hashed.count, "a hash for each replaced part")
    var out = FragmentList()
    var kept = 0
    func keep(to end: Int) {
      if kept < end { out.append(original: offset + kept..<offset + end) }
      kept = max(kept, end)
    }
    for (replacement, digest) in zip(replacements, digests) {
      switch replacement.place {
      case .message:
        for field in header.fields where describesForm(field) {
          keep(to: field.line.lowerBound)
          kept = max(kept, field.line.upperBound)
        }
        keep(to: headerEnd)
        if headerEnd == totalBytes, let last = header.bytes.last, last != 10 { out.append("\r\n") }
        out.append(BriefOriginal.header(name: replacement.name) + Array("\r\n".utf8) + Array(Hex.encode(digest).utf8))
        kept = max(kept, totalBytes)
      case .part(let part):
        keep(to: part.headerRange.lowerBound)
        out.append(BriefOriginal.header(name: replacement.name) + Array("\r\n".utf8) + Array(Hex.encode(digest).utf8))
        if part.bodyRange.isEmpty {
          // The line end before the boundary may be the one of the empty line behind the header, or missing with it: it must stand.
          if part.headerRange.upperBound == part.bodyRange.lowerBound { out.append("\r\n") }
          kept = max(kept, part.headerRange.upperBound)
        } else {
          kept = max(kept, part.bodyRange.upperBound)
        }
      }
    }
    keep(to: totalBytes)
    var enclosed = EnclosedOriginal(fragments: out.finish(), transferEncoding: transferEncoding)
    enclosed.boundaryLines = boundaryLines
    return enclosed
  }

  private func describesForm(_ field: HeaderField) -> Bool {
    ["Content-Type", "Content-Transfer-Encoding", "Content-Disposition"].contains { ASCII.equal(header.bytes[field.name], $0.utf8) }
  }

  /// Header of a part that holds a hash.
  private static func header(name: String) -> [UInt8] {
    var out: [UInt8] = []
    out.append("Content-Type: text/plain; charset=\"us-ascii\"")
    out.appendParameter("name", name)
    out.append("\r\nContent-Transfer-Encoding: 7bit\r\nContent-Disposition: attachment")
    out.appendParameter("filename", name)
    out.appendLineEnd()
    return out
  }
}

extension Array where Element == UInt8 {
  /// A parameter on lines of its own: a quoted string where it is short ASCII, else the segments of RFC 2231.
  fileprivate mutating func appendParameter(_ name: String, _ value: String) {
    let bytes = Array(value.utf8)
    if bytes.count <= 120, bytes.allSatisfy({ $0 >= 32 && $0 < 127 }) {
      append(";\r\n \(name)=\"")
      for byte in bytes {
        if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { append(UInt8(ascii: "\\")) }
        append(byte)
      }
      append(UInt8(ascii: "\""))
      return
    }
    var segments: [[UInt8]] = [[]]
    for byte in bytes {
      let piece = isAttributeOctet(byte) ? [byte] : Array("%\(Hex.encode([byte]).uppercased())".utf8)
      if segments[segments.count - 1].count + piece.count > 54 { segments.append([]) }
      segments[segments.count - 1] += piece
    }
    for (number, segment) in segments.enumerated() {
      append(segments.count == 1 ? ";\r\n \(name)*=" : ";\r\n \(name)*\(number)*=")
      if number == 0 { append("UTF-8''") }
      append(contentsOf: segment)
    }
  }

  /// RFC 2231 §7 attribute-char, letters, digits and the marks that file names use.
  private func isAttributeOctet(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
      UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
      true
    default: false
    }
  }
}
