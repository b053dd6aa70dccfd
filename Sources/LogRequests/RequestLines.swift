/// A line of a request mail, and whether its writer wrote it or his mail program put it there from an earlier message.
struct RequestLine: Equatable {
  var text: String
  var isQuoted: Bool
}

/// Tells what somebody wrote from what mail programs add: quotations, headers of earlier messages, signatures.
enum RequestLines {
  static func lines(_ body: String) -> [RequestLine] {
    let raw = RequestText.lines(body).map { String($0) }
    var out: [RequestLine] = []
    var isEarlier = false
    var isSignature = false
    for (index, line) in raw.enumerated() {
      var text = line.unicodeScalars[...]
      var isQuoted = false
      while true {
        let rest = text.drop { $0 == " " }
        guard rest.first == ">" else { break }
        isQuoted = true
        text = rest.dropFirst()
      }
      if !isQuoted, beginsEarlier(raw, at: index) { isEarlier = true }
      let written = Folding.tidied(Substring(text))
      // The signature's mark has a space behind it (RFC 3676 §4.3), which is often lost.
      if !isQuoted, !isEarlier, written == "--" { isSignature = true }
      if isSignature, !isQuoted, !isEarlier { continue }
      out.append(RequestLine(text: isQuoted || isEarlier ? written : line, isQuoted: isQuoted || isEarlier))
    }
    return out
  }

  private static let marks = [
    "messaggio originale", "original message", "messaggio inoltrato", "forwarded message", "inizio messaggio inoltrato",
  ]

  /// True for a line from which on everything is an earlier message.
  private static func beginsEarlier(_ lines: [String], at index: Int) -> Bool {
    let line = Folding.tidied(Folding.fold(lines[index]))
    guard !line.isEmpty, line.utf8.count <= 300 else { return false }
    if line.hasPrefix("-") || line.hasSuffix("-"), marks.contains(where: { line.contains($0) }) { return true }
    // Mail programs put an attribution above what they quote; a long one is broken into two lines.
    if line.hasSuffix("ha scritto:") || line.hasSuffix("wrote:") || line.hasSuffix("scrisse:") { return true }
    if line.utf8.count >= 20, line.utf8.allSatisfy({ $0 == UInt8(ascii: "_") }) { return true }
    // Outlook's: "Da:", and "Inviato:" soon after it. A request may have a line "Da:" too, but nobody says when he sent what he writes.
    guard line.hasPrefix("da:") || line.hasPrefix("from:") else { return false }
    return lines[(index + 1)...].prefix(4).contains { next in
      let next = Folding.tidied(Folding.fold(next))
      return next.hasPrefix("inviato:") || next.hasPrefix("sent:") || next.hasPrefix("data invio:")
    }
  }
}
