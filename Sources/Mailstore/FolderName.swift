internal import Octets

/// Names of folders and files made from what a stranger wrote.
///
/// Letters (lower-cased), digits and `. _ + - @ =` stand for themselves, every other octet is `%` and two hexadecimal digits, and so is
/// a dot at the beginning: no name is hidden, leaves its folder, or is another's.
enum FolderName {
  /// Octets that one name may have: file systems take 255, and a mail reader appends its flags.
  static let mostBytes = 200

  /// The path below the root for an address; nil when it is empty.
  ///
  /// An encoded address that is longer than a name may be goes down in steps: each folder but the last ends in `%`, which no whole
  /// name does.
  static func path(of address: String) -> String? {
    var rest = encode(ASCII.lowercased(address).utf8)[...]
    if rest.isEmpty { return nil }
    var path: [UInt8] = []
    while rest.count > mostBytes {
      path.append(contentsOf: rest.prefix(mostBytes))
      path.append(contentsOf: [UInt8](utf8: "%/"))
      rest = rest.dropFirst(mostBytes)
      // A dot is written as itself but at the beginning, so this cannot be mistaken for another address.
      if rest.first == UInt8(ascii: ".") { rest = ([UInt8](utf8: "%2e") + rest.dropFirst())[...] }
    }
    return String(decoding: path + rest, as: UTF8.self)
  }

  /// A file name for a message; nil when it is empty or too long. Case is kept: identifiers differ by it.
  static func file(_ name: String) -> String? {
    let encoded = encode(name.utf8)
    return encoded.isEmpty || encoded.count > mostBytes ? nil : String(decoding: encoded, as: UTF8.self)
  }

  private static func encode(_ bytes: some Collection<UInt8>) -> [UInt8] {
    var out: [UInt8] = []
    for byte in bytes {
      if isPlain(byte), !(out.isEmpty && byte == UInt8(ascii: ".")) {
        out.append(byte)
      } else {
        out.append(UInt8(ascii: "%"))
        out.append(contentsOf: Hex.encode([byte]).utf8)
      }
    }
    return out
  }

  private static func isPlain(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
    case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "@"), UInt8(ascii: "="): true
    default: false
    }
  }
}
