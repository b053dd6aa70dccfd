import Octets

/// Composing octets: what every text of this room is built with.
extension Array where Element == UInt8 {
  /// Appends a text in UTF-8.
  mutating func append(_ text: String) { append(contentsOf: text.utf8) }

  /// Appends CRLF.
  mutating func appendLineEnd() {
    append(13)
    append(10)
  }

  /// Appends a text as one line of ASCII: control characters become spaces and everything above ASCII "?", so that no value from
  /// outside can begin a line of its own.
  mutating func appendOneLine(ascii text: String) {
    let bytes = text.utf8.span
    var isPlain = true
    for index in bytes.indices where bytes[index] &- 32 >= 95 {
      isPlain = false
      break
    }
    if isPlain {
      append(copying: bytes)
      return
    }
    for index in bytes.indices {
      let byte = bytes[index]
      // Continuation octets of UTF-8 are passed over: one "?" for a character.
      if byte & 0xC0 == 0x80 { continue }
      append(byte >= 0x80 ? UInt8(ascii: "?") : byte < 32 || byte == 127 ? 32 : byte)
    }
  }

  /// Appends a header field of one line; the value is made safe as `appendOneLine` does.
  mutating func appendField(_ name: String, _ value: String) {
    append(name)
    append(": ")
    appendOneLine(ascii: value)
    appendLineEnd()
  }
}

/// A text on one line: control characters and Unicode's line separators become spaces.
func oneLine(_ text: String) -> String {
  func breaks(_ scalar: Unicode.Scalar) -> Bool {
    scalar.value < 32 || (127...159).contains(scalar.value) || scalar.value == 0x2028 || scalar.value == 0x2029
  }
  guard text.unicodeScalars.contains(where: breaks) else { return text }
  var out = String.UnicodeScalarView()
  for scalar in text.unicodeScalars { out.append(breaks(scalar) ? " " : scalar) }
  return String(out)
}

/// SipHash-2-4 over octets: short, keyed and without structure that an outsider who lacks the key could use.
struct KeyedHash {
  private var v0, v1, v2, v3: UInt64
  private var held: UInt64 = 0
  private var count: UInt64 = 0

  init(_ key0: UInt64, _ key1: UInt64) {
    v0 = key0 ^ 0x736f_6d65_7073_6575
    v1 = key1 ^ 0x646f_7261_6e64_6f6d
    v2 = key0 ^ 0x6c79_6765_6e65_7261
    v3 = key1 ^ 0x7465_6462_7974_6573
  }

  mutating func add(_ bytes: some Sequence<UInt8>) {
    for byte in bytes {
      held |= UInt64(byte) << (8 * (count & 7))
      count &+= 1
      if count & 7 == 0 {
        absorb(held)
        held = 0
      }
    }
  }

  /// The hash of all that was added.
  func value() -> UInt64 {
    var end = self
    end.absorb(held | (count & 0xFF) << 56)
    end.v2 ^= 0xFF
    for _ in 0..<4 { end.round() }
    return end.v0 ^ end.v1 ^ end.v2 ^ end.v3
  }

  private mutating func absorb(_ word: UInt64) {
    v3 ^= word
    round()
    round()
    v0 ^= word
  }

  private mutating func round() {
    v0 &+= v1
    v1 = (v1 << 13 | v1 >> 51) ^ v0
    v0 = v0 << 32 | v0 >> 32
    v2 &+= v3
    v3 = (v3 << 16 | v3 >> 48) ^ v2
    v0 &+= v3
    v3 = (v3 << 21 | v3 >> 43) ^ v0
    v2 &+= v1
    v1 = (v1 << 17 | v1 >> 47) ^ v2
    v2 = v2 << 32 | v2 >> 32
  }
}

/// 64 bits as 13 characters of a–z and 2–7 (the alphabet of RFC 4648 base32, without padding).
func base32(_ word: UInt64) -> [UInt8] {
  let alphabet = "abcdefghijklmnopqrstuvwxyz234567".utf8.span
  var out: [UInt8] = []
  out.reserveCapacity(13)
  for step in 0..<13 {
    // The first character carries the top four bits, the others five each.
    out.append(alphabet[Int(word >> UInt64(60 - 5 * step) & 31)])
  }
  return out
}
