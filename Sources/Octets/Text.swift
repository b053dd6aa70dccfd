internal import CPlatform

/// Base64 and hexadecimal (RFC 4648), and comparisons of ASCII without regard to case.
public enum Base64 {
  /// Encodes without line breaks.
  public static func encode(_ bytes: [UInt8]) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: 4 * ((bytes.count + 2) / 3)) { out, count in
      unsafe bytes.withUnsafeBufferPointer { source in
        unsafe count = source.isEmpty ? 0 : ceralacca_base64(source.baseAddress!, source.count, out.baseAddress!)
      }
    }
  }

  /// Encodes in lines of 64 characters, each ended by CRLF, as MIME parts carry it (RFC 2045 §6.8 allows up to 76).
  public static func encodeLines(_ bytes: [UInt8]) -> [UInt8] {
    let flat = encode(bytes)
    var lines: [UInt8] = []
    lines.reserveCapacity(flat.count + flat.count / 32 + 4)
    var at = 0
    while at < flat.count {
      let end = min(at + 64, flat.count)
      lines.append(contentsOf: flat[at..<end])
      lines.append(13)
      lines.append(10)
      at = end
    }
    return lines
  }

  /// Decodes; white space is passed over. Nil when anything else is not base64, or the padding is wrong.
  public static func decode(_ text: some Sequence<UInt8>) -> [UInt8]? {
    var out: [UInt8] = []
    var word: UInt32 = 0
    var held = 0
    var padding = 0
    for byte in text {
      let value: UInt32
      switch byte {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = UInt32(byte) - 65
      case UInt8(ascii: "a")...UInt8(ascii: "z"): value = UInt32(byte) - 71
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = UInt32(byte) + 4
      case UInt8(ascii: "+"): value = 62
      case UInt8(ascii: "/"): value = 63
      case UInt8(ascii: "="):
        padding += 1
        if padding > 2 { return nil }
        continue
      case 9, 10, 13, 32: continue
      default: return nil
      }
      if padding > 0 { return nil }
      word = word << 6 | value
      held += 1
      if held == 4 {
        out.append(UInt8(truncatingIfNeeded: word >> 16))
        out.append(UInt8(truncatingIfNeeded: word >> 8))
        out.append(UInt8(truncatingIfNeeded: word))
        word = 0
        held = 0
      }
    }
    switch (held, padding) {
    case (0, 0): return out
    case (2, 2):
      out.append(UInt8(truncatingIfNeeded: word >> 4))
      return out
    case (3, 1):
      out.append(UInt8(truncatingIfNeeded: word >> 10))
      out.append(UInt8(truncatingIfNeeded: word >> 2))
      return out
    default: return nil
    }
  }
}

/// Hexadecimal digits.
public enum Hex {
  /// Lower-case digits, two for each octet.
  public static func encode(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var out: [UInt8] = []
    for byte in bytes {
      out.append(digits[Int(byte >> 4)])
      out.append(digits[Int(byte & 15)])
    }
    return String(decoding: out, as: UTF8.self)
  }
}

/// ASCII without regard to case, and other small matters of text on the wire.
public enum ASCII {
  /// The lower-case form of an ASCII letter; every other octet as it is.
  @inlinable
  public static func lower(_ byte: UInt8) -> UInt8 { byte &- 65 < 26 ? byte | 32 : byte }

  /// Lower-cases A–Z only; everything else, UTF-8 included, stays.
  public static func lowercased(_ text: String) -> String {
    String(decoding: text.utf8.map(lower), as: UTF8.self)
  }

  /// Equal but for the case of ASCII letters.
  @inlinable
  public static func equal(_ one: some Sequence<UInt8>, _ other: some Sequence<UInt8>) -> Bool {
    one.elementsEqual(other) { lower($0) == lower($1) }
  }

  /// Equal but for the case of ASCII letters.
  public static func equal(_ one: String, _ other: String) -> Bool { equal(one.utf8, other.utf8) }

  /// A text for a log line or a terminal: control characters escaped as \xNN, so that a subject cannot break a row.
  public static func escaped(_ text: String) -> String {
    // Almost all are plain.
    if text.utf8.allSatisfy({ $0 &- 32 < 95 }) { return text }
    var out = ""
    for scalar in text.unicodeScalars {
      if scalar.value < 32 || scalar.value == 127 {
        out += "\\x" + Hex.encode([UInt8(scalar.value)])
      } else if isInvisible(scalar) {
        out += "\\u{" + String(scalar.value, radix: 16) + "}"
      } else {
        out.unicodeScalars.append(scalar)
      }
    }
    return out
  }

  /// C1 controls, line separators, and marks that turn the direction of what is around them: they make a line look like another.
  private static func isInvisible(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x80...0x9F, 0x61C, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069: true
    default: false
    }
  }
}

/// Character sets of mail, converted by the C library's iconv.
public enum Charset {
  /// `bytes` in `name` as Unicode, with "?" for what cannot be converted; nil when the set is unknown.
  public static func decode(_ bytes: [UInt8], as name: String) -> String? {
    guard !name.isEmpty, name.utf8.count < 64, name.utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "/") }) else { return nil }
    if ASCII.equal(name, "utf-8") || ASCII.equal(name, "utf8") { return String(decoding: bytes, as: UTF8.self) }
    let room = bytes.count * 4 + 16
    var length = 0
    let converted = unsafe [UInt8](unsafeUninitializedCapacity: room) { out, count in
      length = unsafe bytes.withUnsafeBufferPointer { source in
        // An empty array may have no address; iconv is given one all the same.
        unsafe source.isEmpty
          ? ceralacca_to_utf8(name, UnsafePointer(out.baseAddress!), 0, out.baseAddress!, room)
          : ceralacca_to_utf8(name, source.baseAddress!, source.count, out.baseAddress!, room)
      }
      count = max(0, length)
    }
    return length < 0 ? nil : String(decoding: converted, as: UTF8.self)
  }
}
