/// What a server's untagged lines say (RFC 9051 §7).
enum ServerLines {
  /// True when `* SEARCH` names at least one message; false when it names none; nil when there is no such line.
  static func isFound(_ lines: [String]) -> Bool? {
    var answer: Bool?
    for line in lines {
      let words = trimmed(line).split(separator: " ")
      guard words.count >= 2, words[0] == "*", words[1].uppercased() == "SEARCH" else { continue }
      answer = answer == true || words.dropFirst(2).contains { UInt64($0) != nil }
    }
    return answer
  }

  /// The folders of `* LIST` lines that can be opened, each name as the server wrote it, fit to be said to it again. Nil when a name is
  /// one that cannot be read from a line: a literal.
  static func folders(_ lines: [String]) -> [String]? {
    var folders: [String] = []
    for line in lines {
      let line = trimmed(line)
      guard line.uppercased().hasPrefix("* LIST ") else { continue }
      var rest = line.dropFirst("* LIST ".count)
      guard rest.first == "(", let end = rest.firstIndex(of: ")") else { return nil }
      let attributes = rest[..<end].dropFirst().split(separator: " ").map { $0.uppercased() }
      rest = rest[rest.index(after: end)...].drop { $0 == " " }
      // The hierarchy's separator: NIL, or one character in quotes.
      guard let separator = word(&rest), separator.uppercased() == "NIL" || separator.hasPrefix("\"") else { return nil }
      rest = rest.drop { $0 == " " }
      guard let name = word(&rest), !name.isEmpty, !name.hasPrefix("{") else { return nil }
      if attributes.contains("\\NOSELECT") || attributes.contains("\\NONEXISTENT") { continue }
      folders.append(name)
    }
    return folders
  }

  /// An atom or a quoted string with its quotes, taken off the front.
  private static func word(_ rest: inout Substring) -> String? {
    guard rest.first == "\"" else {
      let atom = rest.prefix { $0 != " " }
      rest = rest[atom.endIndex...]
      return atom.isEmpty ? nil : String(atom)
    }
    var at = rest.index(after: rest.startIndex)
    while at < rest.endIndex {
      if rest[at] == "\\" {
        at = rest.index(after: at)
        guard at < rest.endIndex else { return nil }
      } else if rest[at] == "\"" {
        let end = rest.index(after: at)
        defer { rest = rest[end...] }
        return String(rest[..<end])
      }
      at = rest.index(after: at)
    }
    return nil
  }

  static func isInbox(_ folder: String) -> Bool { folder.uppercased() == "INBOX" || folder.uppercased() == "\"INBOX\"" }

  /// True when a tagged answer says that a folder is none for us: it has gone since it was listed, or is another's.
  static func isNoFolder(_ line: String) -> Bool {
    let line = line.uppercased()
    return line.contains(" NO [NONEXISTENT]") || line.contains(" NO [NOPERM]")
  }

  /// Without its line end, which is one character to a string and not two.
  static func trimmed(_ line: String) -> Substring {
    var line = line[...]
    while let last = line.unicodeScalars.last, last == "\r" || last == "\n" { line.unicodeScalars.removeLast() }
    return line
  }
}
