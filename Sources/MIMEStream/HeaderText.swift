import Octets

/// Small matters of header text.
enum HeaderText {
  /// White space of a header: space, tab, and the line ends of folds.
  static func isSpace(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 || byte == 13 || byte == 10 }

  /// Without line ends and without white space around it (RFC 5322 §2.2.3).
  static func unfolded(_ value: ArraySlice<UInt8>) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(value.count)
    for byte in value where byte != 13 && byte != 10 {
      if out.isEmpty && (byte == 32 || byte == 9) { continue }
      out.append(byte)
    }
    while let last = out.last, last == 32 || last == 9 { out.removeLast() }
    return out
  }

  /// A value's octets as text: encoded words where there are any, else UTF-8 or Latin-1.
  static func readable(_ value: [UInt8]) -> String {
    for at in value.indices.dropLast() where value[at] == UInt8(ascii: "=") && value[at + 1] == UInt8(ascii: "?") {
      return EncodedWord.decode(value)
    }
    return guessed(value)
  }

  /// UTF-8 if it is that throughout, else Latin-1, which every octet is.
  static func guessed(_ value: [UInt8]) -> String {
    if let text = String(validating: value, as: UTF8.self) { return text }
    var scalars = String.UnicodeScalarView()
    for byte in value { scalars.append(Unicode.Scalar(byte)) }
    return String(scalars)
  }

  /// Without control characters.
  static func printable(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: isControl) else { return text }
    return String(String.UnicodeScalarView(text.unicodeScalars.filter { !isControl($0) }))
  }

  /// Control characters become spaces.
  static func spaced(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: isControl) else { return text }
    return String(String.UnicodeScalarView(text.unicodeScalars.map { isControl($0) ? " " : $0 }))
  }

  /// C0, DEL, C1.
  static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    scalar.value < 32 || (scalar.value >= 127 && scalar.value < 160)
  }

  /// The octet of two hexadecimal digits, or nil.
  static func hexOctet(_ high: UInt8, _ low: UInt8) -> UInt8? {
    guard let one = hexDigit(high), let two = hexDigit(low) else { return nil }
    return one << 4 | two
  }

  private static func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - 48
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - 55
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - 87
    default: nil
    }
  }

  /// The two upper-case hexadecimal digits of an octet.
  static func hexDigits(_ byte: UInt8) -> (UInt8, UInt8) {
    func digit(_ value: UInt8) -> UInt8 { value < 10 ? 48 + value : 55 + value }
    return (digit(byte >> 4), digit(byte & 15))
  }
}

/// Character sets under the names that mail gives them.
enum MailCharset {
  /// `bytes` as Unicode, or nil for a set that is not known.
  static func decode(_ bytes: [UInt8], as name: String) -> String? {
    let lower = ASCII.lowercased(name)
    // ASCII with octets above 127 is something else that was not said.
    if lower == "us-ascii" || lower == "ascii" { return HeaderText.guessed(bytes) }
    return Charset.decode(bytes, as: real[lower] ?? lower)
  }

  /// Names that promise less than senders put in, or that iconv does not know.
  private static let real = [
    "iso-8859-1": "windows-1252", "iso8859-1": "windows-1252", "latin1": "windows-1252", "cp-1252": "windows-1252",
    "gb2312": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "ks_c_5601-1987": "cp949", "euc-kr": "cp949",
    "x-sjis": "cp932", "shift_jis": "cp932", "iso-8859-8-i": "iso-8859-8", "x-mac-roman": "macintosh",
    "unicode-1-1-utf-7": "utf-7", "utf8": "utf-8", "x-utf-8": "utf-8",
  ]
}
