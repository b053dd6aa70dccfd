internal import MIMEStream
internal import Octets

/// The texts of a request mail that may be its body.
enum RequestText {
  /// Octets of a part that are decoded, and lines that are read: a form is short.
  static let partBytes = 256 * 1024
  static let mostLines = 4000
  static let lineBytes = 1000
  /// Parts that are tried.
  private static let mostParts = 6

  /// Texts in the order in which they are tried: plain before HTML. Attachments and attached messages are not the writer's words.
  static func bodies(_ original: Chunk, _ facts: MessageFacts) -> [String] {
    let texts = facts.parts.filter { part in
      !part.isInsideAttachedMessage && part.disposition != "attachment" && (part.type == "text/plain" || part.type == "text/html")
    }
    let ordered = texts.filter { $0.type == "text/plain" } + texts.filter { $0.type == "text/html" }
    return ordered.prefix(mostParts).map { part in
      let range = part.bodyRange.clamped(to: 0..<original.count)
      let octets = original[range.prefix(partBytes)].array
      let text = decoded(TransferDecoder.decode(octets, encoding: part.transferEncoding), charset: part.charset)
      if part.type == "text/html" { return HTMLText.text(text) }
      return part.parameter("format").map { ASCII.equal($0, "flowed") } == true ? unflowed(text) : text
    }
  }

  /// Mail says "iso-8859-1" and means "windows-1252"; what it says of ASCII is often wrong.
  private static func decoded(_ octets: [UInt8], charset: String?) -> String {
    let name = ASCII.lowercased(charset ?? "")
    if !["", "us-ascii", "ascii"].contains(name) {
      let real = ["iso-8859-1", "iso8859-1", "latin1"].contains(name) ? "windows-1252" : name
      if let text = Charset.decode(octets, as: real) { return text }
    }
    return String(validating: octets, as: UTF8.self) ?? Charset.decode(octets, as: "windows-1252") ?? ""
  }

  /// RFC 3676 §4.2: a line that ends in a space goes on in the next, except the one before a signature.
  private static func unflowed(_ text: String) -> String {
    var out: [Substring] = []
    var joined = ""
    for line in lines(text) {
      let content = line.hasPrefix(" ") ? line.dropFirst() : line
      if content.hasSuffix(" "), content != "-- ", !content.hasPrefix(">") {
        joined += content
        continue
      }
      out.append(joined.isEmpty ? line : Substring(joined + content))
      joined = ""
    }
    if !joined.isEmpty { out.append(Substring(joined)) }
    return out.joined(separator: "\n")
  }

  /// Lines without their ends, the first `mostLines` of them.
  static func lines(_ text: String) -> [Substring] {
    text.split(maxSplits: mostLines, omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" || $0 == "\r" }.prefix(mostLines).map {
      $0.utf8.count > lineBytes ? $0.prefix(lineBytes) : $0
    }
  }
}
