/// Text as people mean it: case, accents and odd spaces aside.
enum Folding {
  /// Lower case, accents off, white space of every kind a space, invisible signs left out.
  static func fold(_ text: some StringProtocol) -> String {
    var out = String.UnicodeScalarView()
    for scalar in text.lowercased().unicodeScalars {
      switch scalar.value {
      case 33...126: out.append(scalar)
      case 0x300...0x36f: continue
      case _ where isInvisible(scalar): continue
      case _ where isSpace(scalar): out.append(" ")
      default: out.append(plain[scalar] ?? scalar)
      }
    }
    return String(out)
  }

  private static let plain: [Unicode.Scalar: Unicode.Scalar] = {
    var table: [Unicode.Scalar: Unicode.Scalar] = [:]
    for (letter, accented) in [
      ("a", "àáâãäå"), ("c", "ç"), ("e", "èéêë"), ("i", "ìíîï"), ("n", "ñ"), ("o", "òóôõö"), ("u", "ùúûü"), ("y", "ýÿ"),
    ] as [(Unicode.Scalar, String)] {
      for scalar in accented.unicodeScalars { table[scalar] = letter }
    }
    return table
  }()

  /// Spaces, tabs, no-break spaces and their kin.
  static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 9...13, 32, 0x85, 0xa0, 0x1680, 0x2000...0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000: true
    default: false
    }
  }

  /// Signs that are not seen: joiners, marks of direction, byte order marks, soft hyphens.
  static func isInvisible(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0xad, 0x200b...0x200f, 0x202a...0x202e, 0x2060...0x2064, 0x2066...0x2069, 0xfeff: true
    case 0...8, 14...31, 127...159: scalar.value != 0x85
    default: false
    }
  }

  /// Without white space at both ends, and without signs that are not seen; inner white space of every kind becomes single spaces.
  static func tidied(_ text: some StringProtocol) -> String {
    var out = String.UnicodeScalarView()
    var isPending = false
    for scalar in text.unicodeScalars where !isInvisible(scalar) {
      if isSpace(scalar) {
        isPending = true
        continue
      }
      if isPending, !out.isEmpty { out.append(" ") }
      isPending = false
      out.append(scalar)
    }
    return String(out)
  }

  /// The first `count` characters.
  static func cut(_ text: String, _ count: Int) -> String { text.utf8.count <= count ? text : String(text.prefix(count)) }

  static func isDigits(_ text: some StringProtocol) -> Bool { !text.isEmpty && text.utf8.allSatisfy { $0 &- 48 < 10 } }
}
