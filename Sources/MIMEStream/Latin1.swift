/// ISO-8859-1, for the readable part of receipts (RFC 6109 §4.3.1).
public enum Latin1 {
  /// The text in ISO-8859-1: accents composed, common letters and punctuation of other sets replaced by what comes nearest, the rest "?".
  /// Tab, CR and LF stay; other control characters become "?".
  public static func encode(_ text: String) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(text.utf8.count)
    for character in text {
      let scalars = character.unicodeScalars
      if let first = scalars.first, scalars.count == 1, let byte = direct(first) {
        out.append(byte)
      } else if character == "\r\n" {
        out += [13, 10]
      } else if let byte = composed[character] {
        // Characters are equal when they are canonically equivalent, so a letter and its accent find the composed one.
        out.append(byte)
      } else {
        out += approximated(scalars)
      }
    }
    return out
  }

  private static func direct(_ scalar: Unicode.Scalar) -> UInt8? {
    switch scalar.value {
    case 9, 10, 13, 32...126, 160...255: UInt8(truncatingIfNeeded: scalar.value)
    default: nil
    }
  }

  private static let composed: [Character: UInt8] = {
    var table: [Character: UInt8] = [:]
    for value in UInt8(192)...255 { table[Character(Unicode.Scalar(value))] = value }
    return table
  }()

  /// The base character and nothing of the marks on it; "?" once for a character of which nothing is known.
  private static func approximated(_ scalars: Character.UnicodeScalarView) -> [UInt8] {
    var out: [UInt8] = []
    for scalar in scalars {
      if let byte = direct(scalar) {
        out.append(byte)
      } else if let near = nearest[scalar] {
        out += near
      } else if !isMark(scalar) && out.last != UInt8(ascii: "?") {
        out.append(UInt8(ascii: "?"))
      }
    }
    return out
  }

  /// Combining marks, joiners and variation selectors: nothing stands for them. Alone they are "?" no more than nothing.
  private static func isMark(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x300...0x36F, 0x200B...0x200F, 0x202A...0x202E, 0x2060...0x2064, 0x2066...0x2069, 0xFE00...0xFE0F, 0xFEFF, 0x20D0...0x20FF,
      0x1F3FB...0x1F3FF:
      true
    default: false
    }
  }

  /// What comes nearest, by single characters: `(what is written, those it stands for)`.
  private static let nearest: [Unicode.Scalar: [UInt8]] = {
    var table: [Unicode.Scalar: [UInt8]] = [:]
    for (written, meant) in groups {
      let bytes = written.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
      for scalar in meant.unicodeScalars { table[scalar] = bytes }
    }
    return table
  }()

  private static let groups: [(String, String)] = [
    // Punctuation of word processors (Windows-1252 and General Punctuation).
    ("'", "\u{2018}\u{2019}\u{201B}\u{2032}\u{02BC}\u{02B9}\u{02BB}\u{2035}"), (",", "\u{201A}"),
    ("\"", "\u{201C}\u{201D}\u{201E}\u{201F}\u{2033}"),
    ("-", "\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{2015}\u{2212}\u{2043}"), ("...", "\u{2026}"),
    ("*", "\u{2022}\u{2219}\u{25CF}\u{2217}"),
    ("<", "\u{2039}\u{2329}"), (">", "\u{203A}\u{232A}"), ("/", "\u{2044}\u{2215}"), ("+", "\u{2020}"), ("++", "\u{2021}"),
    ("%o", "\u{2030}"),
    (" ", "\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\u{2007}\u{2008}\u{2009}\u{200A}\u{202F}\u{205F}\u{3000}"),
    ("\r\n", "\u{2028}\u{2029}"), ("!!", "\u{203C}"), ("^", "\u{02C6}"), ("~", "\u{02DC}\u{223C}"), ("\u{B4}", "\u{02CA}"),
    // Signs.
    ("EUR", "\u{20AC}"), ("(TM)", "\u{2122}"), ("Nr.", "\u{2116}"), ("->", "\u{2192}"), ("<-", "\u{2190}"), ("<->", "\u{2194}"),
    ("=>", "\u{21D2}"),
    ("<=", "\u{2264}"), (">=", "\u{2265}"), ("!=", "\u{2260}"), ("~=", "\u{2248}"), ("\u{B7}", "\u{22C5}"), ("\u{B5}", "\u{03BC}"),
    ("\u{DF}", "\u{1E9E}"), ("1/3", "\u{2153}"), ("2/3", "\u{2154}"), ("1/8", "\u{215B}"), ("\u{BA}", "\u{02DA}"),
    // Latin Extended-A and some beyond, by base letter.
    ("A", "ĀĂĄǍẠẢẤẦẨẪẬẮẰẲẴẶ"), ("a", "āăąǎạảấầẩẫậắằẳẵặ"), ("C", "ĆĈĊČ"), ("c", "ćĉċč"), ("D", "ĎĐ"), ("d", "ďđ"),
    ("E", "ĒĔĖĘĚẸẺẼẾỀỂỄỆ"), ("e", "ēĕėęěẹẻẽếềểễệ"), ("G", "ĜĞĠĢǦ"), ("g", "ĝğġģǧ"), ("H", "ĤĦ"), ("h", "ĥħ"),
    ("I", "ĨĪĬĮİǏỈỊ"), ("i", "ĩīĭįıǐỉị"), ("J", "Ĵ"), ("j", "ĵ"), ("K", "Ķ"), ("k", "ķĸ"), ("L", "ĹĻĽĿŁ"), ("l", "ĺļľŀł"),
    ("N", "ŃŅŇŊ"), ("n", "ńņňŋ"), ("'n", "ŉ"), ("O", "ŌŎŐƠǑỌỎỐỒỔỖỘỚỜỞỠỢ"), ("o", "ōŏőơǒọỏốồổỗộớờởỡợ"), ("OE", "Œ"), ("oe", "œ"),
    ("R", "ŔŖŘ"), ("r", "ŕŗř"), ("S", "ŚŜŞŠȘ"), ("s", "śŝşšșſ"), ("T", "ŢŤŦȚ"), ("t", "ţťŧț"),
    ("U", "ŨŪŬŮŰŲƯǓỤỦỨỪỬỮỰ"), ("u", "ũūŭůűųưǔụủứừửữự"), ("W", "ŴẀẂẄ"), ("w", "ŵẁẃẅ"), ("Y", "ŶŸỲỴỶỸ"), ("y", "ŷỳỵỷỹ"),
    ("Z", "ŹŻŽ"), ("z", "źżž"), ("f", "ƒ"), ("IJ", "Ĳ"), ("ij", "ĳ"), ("ff", "ﬀ"), ("fi", "ﬁ"), ("fl", "ﬂ"), ("ffi", "ﬃ"), ("ffl", "ﬄ"),
    ("st", "ﬆ"), ("@", "＠"),
  ]
}
