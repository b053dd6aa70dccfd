import Octets

/// A provider as the laboratory's index lists it (RFC 6109 §4.5).
public struct LaboratoryProvider: Sendable {
  /// `providerName`.
  public var name: String
  /// `providerUnit`: a secondary environment, which has no LDIF location of its own.
  public var unit: String?
  public var certificates: [LaboratoryCertificate]
  /// `mailReceipt`: the service mailbox.
  public var serviceMailbox: String
  /// `managedDomains`.
  public var domains: [String]
  /// `LDIFLocationURL`.
  public var locationURL: String?
  public var description: String?

  /// A provider to be listed.
  public init(
    name: String, unit: String? = nil, certificates: [LaboratoryCertificate], serviceMailbox: String, domains: [String],
    locationURL: String? = nil, description: String? = nil
  ) {
    self.name = name
    self.unit = unit
    self.certificates = certificates
    self.serviceMailbox = serviceMailbox
    self.domains = domains
    self.locationURL = locationURL
    self.description = description
  }
}

/// Writes the laboratory's provider index (indice dei gestori) as LDIF (RFC 2849).
public enum LaboratoryIndex {
  /// The index: the root record and one for each provider or unit.
  /// - Parameter locationURL: where the whole directory would be had.
  public static func ldif(
    providers: [LaboratoryProvider], locationURL: String = "https://indice.pec.test/igpec.ldif.p7m"
  ) -> [UInt8] {
    var lines = LDIFLines()
    lines.attribute("dn", "o=postacert")
    for value in ["top", "organization", "LDIFLocationURLObject"] { lines.attribute("objectClass", value) }
    lines.attribute("o", "postacert")
    lines.attribute("LDIFLocationURL", locationURL)
    lines.attribute("description", "Indice dei gestori del laboratorio")
    for provider in providers { append(provider, to: &lines) }
    return lines.octets
  }

  private static func append(_ provider: LaboratoryProvider, to lines: inout LDIFLines) {
    lines.emptyLine()
    let main = "providerName=\(escaped(provider.name)),o=postacert"
    lines.attribute("dn", provider.unit.map { "providerUnit=\(escaped($0)),\(main)" } ?? main)
    lines.attribute("objectClass", "top")
    lines.attribute("objectClass", "provider")
    // RFC 6109 §4.5.7: a unit's record has no LDIFLocationURL.
    let location = provider.unit == nil ? provider.locationURL : nil
    lines.attribute("providerName", provider.name)
    if let unit = provider.unit { lines.attribute("providerUnit", unit) }
    for certificate in provider.certificates { lines.attribute("providerCertificateHash", certificate.sha1Fingerprint) }
    for certificate in provider.certificates { lines.binary("providerCertificate;binary", certificate.der) }
    lines.attribute("mailReceipt", provider.serviceMailbox)
    if let location { lines.attribute("LDIFLocationURL", location) }
    for domain in provider.domains { lines.attribute("managedDomains", domain) }
    if let description = provider.description { lines.attribute("description", description) }
  }

  /// A value in a distinguished name (RFC 4514 §2.4).
  static func escaped(_ value: String) -> String {
    var out = ""
    let scalars = Array(value.unicodeScalars)
    for (at, scalar) in scalars.enumerated() {
      let edge = at == 0 || at == scalars.count - 1
      if #""+,;<>\"#.unicodeScalars.contains(scalar) || (scalar == " " && edge) || (scalar == "#" && at == 0) {
        out += "\\"
        out.unicodeScalars.append(scalar)
      } else if scalar.value < 32 || scalar.value == 127 {
        out += "\\" + Hex.encode([UInt8(scalar.value)])
      } else {
        out.unicodeScalars.append(scalar)
      }
    }
    return out
  }
}

/// Lines of an LDIF file.
private struct LDIFLines {
  private(set) var octets = Array("version: 1\n\n".utf8)

  /// A line and its continuations hold this many characters at the most, as ldapsearch writes them.
  private static let width = 76

  mutating func emptyLine() { octets.append(10) }

  /// A text: as it is where RFC 2849 lets it be a SAFE-STRING, else in base64.
  mutating func attribute(_ name: String, _ value: String) {
    let bytes = Array(value.utf8)
    let unsafeStart: [UInt8] = [32, UInt8(ascii: ":"), UInt8(ascii: "<")]
    let safe =
      bytes.allSatisfy { $0 < 128 && $0 != 0 && $0 != 10 && $0 != 13 } && bytes.last != 32
      && !(bytes.first.map(unsafeStart.contains) ?? false)
    if safe { fold(Array("\(name): ".utf8) + bytes) } else { binary(name, bytes) }
  }

  /// Octets, in base64.
  mutating func binary(_ name: String, _ value: [UInt8]) { fold(Array("\(name):: ".utf8) + Base64.encode(value)) }

  /// Continuation lines begin with one space (RFC 2849 note 2).
  private mutating func fold(_ line: [UInt8]) {
    var at = 0
    while at < line.count || at == 0 {
      let room = at == 0 ? LDIFLines.width : LDIFLines.width - 1
      let end = min(at + room, line.count)
      if at > 0 { octets.append(32) }
      octets += line[at..<end]
      octets.append(10)
      at = end
    }
  }
}
