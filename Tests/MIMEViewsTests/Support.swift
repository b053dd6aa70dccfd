import Limits
import MIMEViews
import Octets

/// EICAR's test string, in two halves so that no scanner takes this file for infected.
let eicar = Array(#"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-"#.utf8) + Array("ANTIVIRUS-TEST-FILE!$H+H*".utf8)

/// Octets of a text with its line ends made CRLF.
func crlf(_ text: String) -> String { text.replacing("\n", with: "\r\n") }

/// All views of a message, and the plan.
func views(of message: [UInt8], maximumBytes: Int = 1 << 26) -> (plan: ViewPlan, views: [MIMEView]) {
  var found: [MIMEView] = []
  let plan = MIMEViews.each(of: Chunk(message), limits: MessageLimits(), maximumBytes: maximumBytes) {
    found.append($0)
    return true
  }
  return (plan, found)
}

func views(of message: String) -> (plan: ViewPlan, views: [MIMEView]) { views(of: Array(message.utf8)) }

/// Names of the views that hold EICAR in one piece.
func sightings(in views: [MIMEView]) -> [String] {
  views.filter { $0.octets.withSpan { Scan.first(eicar, in: $0) } != nil }.map(\.name)
}

/// Base64 in lines of `width`.
func base64(_ bytes: [UInt8], width: Int = 76) -> String { wrapped(String(decoding: Base64.encode(bytes), as: UTF8.self), width) }

func wrapped(_ text: String, _ width: Int) -> String {
  var out = ""
  var column = 0
  for character in text {
    if column == width {
      out += "\n"
      column = 0
    }
    out.append(character)
    column += 1
  }
  return out + "\n"
}

/// Every octet as an escape, in short lines.
func quoted(_ bytes: [UInt8], soft: String = "=\n", isUpper: Bool = true) -> String {
  var out = ""
  for (index, byte) in bytes.enumerated() {
    if index > 0 && index % 20 == 0 { out += soft }
    let digits = Hex.encode([byte])
    out += "=" + (isUpper ? digits.uppercased() : digits)
  }
  return out + "\n"
}

func uuencoded(_ bytes: [UInt8]) -> String {
  var out = ""
  var at = 0
  func letter(_ value: UInt32) -> Character { Character(Unicode.Scalar(UInt8(value & 63 == 0 ? 96 : 32 + (value & 63)))) }
  while at < bytes.count {
    let end = min(bytes.count, at + 45)
    out.append(letter(UInt32(end - at)))
    for start in stride(from: at, to: end, by: 3) {
      let word = (0..<3).reduce(UInt32(0)) { $0 << 8 | UInt32(start + $1 < end ? bytes[start + $1] : 0) }
      for shift in [18, 12, 6, 0] { out.append(letter(word >> UInt32(shift))) }
    }
    out += "\n"
    at = end
  }
  return out + "`\n"
}

/// BinHex 4.0 of a file "conto.com"; the check sums are left at nothing, for nobody looks at them.
func binHex(_ payload: [UInt8]) -> String {
  let letters = Array("!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr")
  var data: [UInt8] = [9] + Array("conto.com\0APPLdosx\0\0".utf8) + [0, 0, 0, UInt8(payload.count), 0, 0, 0, 0, 0, 0]
  data += payload + [0, 0, 0, 0]
  while data.count % 3 != 0 { data.append(0) }
  var text = ":"
  for start in stride(from: 0, to: data.count, by: 3) {
    let word = (0..<3).reduce(0) { $0 << 8 | Int(data[start + $1]) }
    for shift in [18, 12, 6, 0] { text.append(letters[word >> shift & 63]) }
  }
  return wrapped(text + ":", 64)
}

func der(_ tag: UInt8, _ inner: [UInt8]) -> [UInt8] {
  let count = inner.count
  return [tag] + (count < 128 ? [UInt8(count)] : [0x82, UInt8(count >> 8), UInt8(count & 255)]) + inner
}

private let dataName: [UInt8] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01]
private let signedName: [UInt8] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02]

/// Opaque SignedData without signers.
func signedData(_ content: [UInt8]) -> [UInt8] {
  let inner = der(0x30, dataName + der(0xA0, der(0x04, content)))
  return der(0x30, signedName + der(0xA0, der(0x30, [2, 1, 1] + der(0x31, []) + inner + der(0x31, []))))
}

/// The same with indefinite lengths and the content in small pieces.
func signedDataInPieces(_ content: [UInt8]) -> [UInt8] {
  var pieces: [UInt8] = []
  for start in stride(from: 0, to: content.count, by: 20) { pieces += der(0x04, Array(content[start..<min(start + 20, content.count)])) }
  let end: [UInt8] = [0, 0]
  let inner: [UInt8] = [0x30, 0x80] + dataName + [0xa0, 0x80, 0x24, 0x80] + pieces + end + end + end
  let head: [UInt8] = [0x30, 0x80] + signedName + [0xa0, 0x80, 0x30, 0x80, 2, 1, 1]
  return head + der(0x31, []) + inner + der(0x31, []) + end + end + end
}

/// Random numbers that a seed determines (SplitMix64), so that a failure can be had again.
struct SeededRandom: RandomNumberGenerator {
  var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
    return value ^ (value >> 31)
  }
}
