import Octets

/// The name that a mail client shows instead of the address: outside of the signature, and where a forger writes first.
enum ShownName {
  /// `Per conto di: a@b` (RFC 6109 §3.1.5; the RFC's English form as well), or the bare address: exactly the certified sender.
  static func isOnBehalf(_ name: String, of sender: String) -> Bool {
    var rest = ASCII.lowercased(plain(name))[...]
    for form in ["per conto di", "on behalf of"] where rest.hasPrefix(form) {
      rest = rest.dropFirst(form.count)
      if let colon = rest.drop(while: { $0 == " " }).first, colon == ":" { rest = rest.drop { $0 == " " }.dropFirst() }
      break
    }
    while let first = rest.first, first == " " || first == "<" { rest.removeFirst() }
    while let last = rest.last, last == " " || last == ">" { rest.removeLast() }
    return AddressKey.equal(String(rest), sender)
  }

  /// True when no address in the name is another than `address`. All that looks like an "@" counts as one.
  static func namesNobodyElse(_ name: String, than address: String) -> Bool {
    let words = plain(name).split { " <>()[]\"',;:".contains($0) }
    return words.allSatisfy { word in
      word.unicodeScalars.allSatisfy { !lookalikes.contains($0) } || AddressKey.equal(String(word), address)
    }
  }

  /// True when the name pretends that a provider wrote the message.
  static func pretendsProvider(_ name: String) -> Bool {
    let lower = ASCII.lowercased(plain(name))
    return lower.contains("per conto di:") || lower.contains("posta-certificata@")
  }

  private static let lookalikes: Set<Unicode.Scalar> = ["@", "\u{FE6B}", "\u{FF20}"]

  /// White space runs as one space, marks that do not show left out.
  private static func plain(_ name: String) -> String {
    var out = ""
    for scalar in name.unicodeScalars {
      switch scalar.properties.generalCategory {
      case .format, .control: continue
      case .spaceSeparator, .lineSeparator, .paragraphSeparator:
        if !out.hasSuffix(" ") { out += " " }
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out
  }
}
