/// The few pieces of DER (X.690) that a SignedData is built from.
enum DER {
  static let sequence: UInt8 = 0x30
  static let set: UInt8 = 0x31
  static let octetString: UInt8 = 0x04
  static let utcTime: UInt8 = 0x17
  static let generalizedTime: UInt8 = 0x18
  /// Context-specific, constructed, number 0.
  static let context0: UInt8 = 0xA0

  static let null: [UInt8] = [0x05, 0x00]
  /// INTEGER 1.
  static let one: [UInt8] = [0x02, 0x01, 0x01]

  // Object identifiers, tag and length included.
  /// 1.2.840.113549.1.7.1
  static let idData: [UInt8] = [0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x01]
  /// 1.2.840.113549.1.7.2
  static let idSignedData: [UInt8] = [0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02]
  /// 1.2.840.113549.1.9.3
  static let contentType: [UInt8] = [0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x03]
  /// 1.2.840.113549.1.9.4
  static let messageDigest: [UInt8] = [0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x04]
  /// 1.2.840.113549.1.9.5
  static let signingTime: [UInt8] = [0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x05]
  /// 2.16.840.1.101.3.4.2.1
  static let sha256: [UInt8] = [0x06, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01]
  /// 1.2.840.113549.1.1.1
  static let rsaEncryption: [UInt8] = [0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01]

  /// Tag and length of an element with `count` octets of content (X.690 §10.1: the shortest form).
  static func header(_ tag: UInt8, count: Int) -> [UInt8] {
    if count < 128 { return [tag, UInt8(count)] }
    var octets: [UInt8] = []
    var rest = count
    while rest > 0 {
      octets.insert(UInt8(rest & 255), at: 0)
      rest >>= 8
    }
    return [tag, 0x80 | UInt8(octets.count)] + octets
  }

  /// A whole element.
  static func element(_ tag: UInt8, _ parts: [UInt8]...) -> [UInt8] {
    let content = parts.flatMap(\.self)
    return header(tag, count: content.count) + content
  }

  /// The elements of a SET OF in the order of their encodings (X.690 §11.6).
  static func sorted(_ elements: [[UInt8]]) -> [[UInt8]] {
    elements.sorted { $0.lexicographicallyPrecedes($1) }
  }
}
