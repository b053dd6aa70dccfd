import Octets

/// Writes content records of an LDIF file (RFC 2849), in UTF-8 and folded as `ldapsearch` does.
public struct LDIFWriter: Sendable {
  /// The file so far.
  public private(set) var octets: [UInt8] = Array("version: 1\n".utf8)

  /// Characters of a line and of each continuation at the most (RFC 2849 note 10 asks for 76).
  private static let width = 76

  /// A file without records yet.
  public init() {}

  /// Appends a record. Values that RFC 2849 does not let stand as they are (SAFE-STRING) go in base64, and so does every value with the
  /// option `;binary` (RFC 4522). An attribute whose name could not be read again is left out.
  public mutating func record(dn: String, attributes: [(name: String, values: [[UInt8]])]) {
    octets.append(10)
    line("dn", Array(dn.utf8), isBinary: false)
    for attribute in attributes where LDIFWriter.isName(attribute.name) {
      let isBinary = attribute.name.utf8.split(separator: UInt8(ascii: ";")).dropFirst().contains { ASCII.equal($0, "binary".utf8) }
      for value in attribute.values { line(attribute.name, value, isBinary: isBinary) }
    }
  }

  private mutating func line(_ name: String, _ value: [UInt8], isBinary: Bool) {
    var whole = Array(name.utf8)
    if !isBinary, LDIFWriter.isSafe(value) {
      whole.append(value.isEmpty ? ":" : ": ")
      whole += value
    } else {
      whole.append(":: ")
      whole += Base64.encode(value)
    }
    var at = 0
    while at < whole.count {
      // A continuation begins with one space, which counts.
      let end = min(at + (at == 0 ? LDIFWriter.width : LDIFWriter.width - 1), whole.count)
      if at > 0 { octets.append(32) }
      octets += whole[at..<end]
      octets.append(10)
      at = end
    }
  }

  /// SAFE-STRING of RFC 2849; and no space at the end (note 8).
  static func isSafe(_ value: [UInt8]) -> Bool {
    if let first = value.first, first == 32 || first == UInt8(ascii: ":") || first == UInt8(ascii: "<") { return false }
    return value.last != 32 && value.allSatisfy { $0 != 0 && $0 != 10 && $0 != 13 && $0 < 128 }
  }

  /// An attribute description (RFC 4512 §2.5): a name or OID, and options.
  static func isName(_ name: String) -> Bool {
    guard let first = name.utf8.first, first != UInt8(ascii: ";"), name.utf8.count <= 255 else { return false }
    return name.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: ";"):
        true
      default: false
      }
    }
  }
}

extension ProviderRecord {
  /// The distinguished name that the index gives a provider or one of its secondary environments (RFC 6109 §4.5, §4.5.7).
  public static func distinguishedName(provider: String, unit: String? = nil) -> String {
    let main = "providerName=\(escaped(provider)),o=postacert"
    return unit.map { "providerUnit=\(escaped($0)),\(main)" } ?? main
  }

  /// The record alone as an LDIF file.
  public var ldif: [UInt8] { ProviderDirectory.ldif(of: [self]) }

  /// The record's attributes in the order of RFC 6109 §4.5.10.
  var ldifAttributes: [(name: String, values: [[UInt8]])] {
    func texts(_ values: [String]) -> [[UInt8]] { values.map { Array($0.utf8) } }
    return [
      ("objectClass", texts(["top", "provider"])),
      ("providerName", texts([providerName])),
      ("providerUnit", texts(unit.map { [$0] } ?? [])),
      ("providerCertificateHash", texts(certificateHashes)),
      ("providerCertificate;binary", certificates),
      ("mailReceipt", texts([mailReceipt])),
      // RFC 6109 §4.5.6: a secondary environment has none.
      ("LDIFLocationURL", texts(unit == nil ? ldifURL.map { [$0] } ?? [] : [])),
      ("managedDomains", texts(managedDomains)),
    ]
  }

  /// A value in a distinguished name (RFC 4514 §2.4).
  private static func escaped(_ value: String) -> String {
    var out = ""
    let scalars = Array(value.unicodeScalars)
    for (at, scalar) in scalars.enumerated() {
      let isEdge = at == 0 || at == scalars.count - 1
      if scalar.value < 32 || scalar.value == 127 {
        out += "\\" + Hex.encode([UInt8(scalar.value)])
        continue
      }
      if #""+,;<>\"#.unicodeScalars.contains(scalar) || (scalar == " " && isEdge) || (scalar == "#" && at == 0) { out += "\\" }
      out.unicodeScalars.append(scalar)
    }
    return out
  }
}

extension ProviderDirectory {
  /// Records as an LDIF file: a provider's own for publication (RFC 6109 §4.5.6), or a whole index. A record without a distinguished
  /// name gets the one that the index would give it.
  /// - Parameter rootURL: where the whole directory is published; with it, the root record is written first.
  public static func ldif(of records: [ProviderRecord], rootURL: String? = nil) -> [UInt8] {
    var writer = LDIFWriter()
    if let rootURL {
      writer.record(
        dn: "o=postacert",
        attributes: [
          ("objectClass", ["top", "organization", "LDIFLocationURLObject"].map { Array($0.utf8) }), ("o", [Array("postacert".utf8)]),
          ("LDIFLocationURL", [Array(rootURL.utf8)]),
        ])
    }
    for record in records {
      let dn = record.dn.isEmpty ? ProviderRecord.distinguishedName(provider: record.providerName, unit: record.unit) : record.dn
      writer.record(dn: dn, attributes: record.ldifAttributes)
    }
    return writer.octets
  }
}
