/// Quoted-printable (RFC 2045 §6.7).
public enum QuotedPrintable {
  /// Encodes text: line ends (CRLF or LF) become CRLF, lines are 76 characters at the most.
  ///
  /// White space before a line end, "From " and a dot at the start of a line are encoded, so that no relay can be tempted to change them.
  public static func encode(_ bytes: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(bytes.count + bytes.count / 8 + 16)
    var column = 0
    var at = 0
    while at < bytes.count {
      if let length = lineEnd(bytes, at) {
        out += [13, 10]
        column = 0
        at += length
        continue
      }
      let byte = bytes[at]
      let endsLine = at + 1 >= bytes.count || lineEnd(bytes, at + 1) != nil
      let plain = isPlain(byte) && !((byte == 32 || byte == 9) && endsLine) && !(column == 0 && isTempting(bytes, at))
      // One column is kept for the "=" of a soft line break; a soft break leads to a new line start, judged anew.
      if column + (plain ? 1 : 3) > (endsLine ? 76 : 75) {
        out += [UInt8(ascii: "="), 13, 10]
        column = 0
        continue
      }
      if plain {
        out.append(byte)
        column += 1
      } else {
        let (high, low) = HeaderText.hexDigits(byte)
        out += [UInt8(ascii: "="), high, low]
        column += 3
      }
      at += 1
    }
    return out
  }

  /// Length of the line end at `at`: CRLF, or LF alone.
  private static func lineEnd(_ bytes: [UInt8], _ at: Int) -> Int? {
    if bytes[at] == 10 { return 1 }
    return bytes[at] == 13 && at + 1 < bytes.count && bytes[at + 1] == 10 ? 2 : nil
  }

  private static func isPlain(_ byte: UInt8) -> Bool {
    byte == 9 || (byte >= 32 && byte < 127 && byte != UInt8(ascii: "="))
  }

  private static func isTempting(_ bytes: [UInt8], _ at: Int) -> Bool {
    bytes[at] == UInt8(ascii: ".") || bytes[at...].starts(with: "From ".utf8)
  }
}

/// Undoes content transfer encodings of whole bodies (RFC 2045 §6).
public enum TransferDecoder {
  /// The body by the name of its encoding, case aside; identity for "7bit", "8bit", "binary" and whatever is unknown.
  public static func decode(_ body: [UInt8], encoding: String) -> [UInt8] {
    switch encoding.lowercased() {
    case "base64": base64(body)
    case "quoted-printable": quotedPrintable(body)
    default: body
    }
  }

  /// Base64; octets outside of the alphabet are passed over (RFC 2045 §6.8), padding ends its group of four and nothing else,
  /// so that bodies pasted together decode whole.
  public static func base64(_ body: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(body.count / 4 * 3 + 3)
    var word: UInt32 = 0
    var held = 0
    func close(_ out: inout [UInt8]) {
      if held == 2 { out.append(UInt8(truncatingIfNeeded: word >> 4)) }
      if held == 3 {
        out.append(UInt8(truncatingIfNeeded: word >> 10))
        out.append(UInt8(truncatingIfNeeded: word >> 2))
      }
      word = 0
      held = 0
    }
    for byte in body {
      let value = base64Values[Int(byte)]
      if value > 63 {
        if byte == UInt8(ascii: "=") { close(&out) }
        continue
      }
      word = word << 6 | UInt32(value)
      held += 1
      if held == 4 {
        out.append(UInt8(truncatingIfNeeded: word >> 16))
        out.append(UInt8(truncatingIfNeeded: word >> 8))
        out.append(UInt8(truncatingIfNeeded: word))
        word = 0
        held = 0
      }
    }
    close(&out)
    return out
  }

  private static let base64Values: [UInt8] = {
    var table = [UInt8](repeating: 255, count: 256)
    for (value, byte) in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8.enumerated() {
      table[Int(byte)] = UInt8(value)
    }
    return table
  }()

  /// Quoted-printable; soft line breaks and white space before line ends go, what is not an escape stays as it is.
  public static func quotedPrintable(_ body: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(body.count)
    var at = 0
    // White space that is dropped if a line end follows (RFC 2045 §6.7 (3)).
    var spaces = 0
    while at < body.count {
      let byte = body[at]
      switch byte {
      case 32, 9: spaces += 1
      case 13, 10:
        spaces = 0
        out.append(byte)
      case UInt8(ascii: "="):
        out += body[(at - spaces)..<at]
        spaces = 0
        if at + 2 < body.count, let value = HeaderText.hexOctet(body[at + 1], body[at + 2]) {
          out.append(value)
          at += 2
        } else if let end = softBreakEnd(body, at + 1) {
          at = end - 1
        } else {
          out.append(byte)
        }
      default:
        out += body[(at - spaces)..<at]
        spaces = 0
        out.append(byte)
      }
      at += 1
    }
    return out
  }

  /// Where the line begins that a soft break at `at - 1` joins; nil when it is none.
  private static func softBreakEnd(_ body: [UInt8], _ start: Int) -> Int? {
    var at = start
    while at < body.count, body[at] == 32 || body[at] == 9 { at += 1 }
    if at == body.count { return at }
    if body[at] == 10 { return at + 1 }
    return body[at] == 13 && at + 1 < body.count && body[at + 1] == 10 ? at + 2 : nil
  }
}
