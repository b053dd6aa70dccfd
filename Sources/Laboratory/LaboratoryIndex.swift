import PEC

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
    func texts(_ values: [String]) -> [[UInt8]] { values.map { Array($0.utf8) } }
    func text(_ value: String?) -> [[UInt8]] { texts(value.map { [$0] } ?? []) }
    var writer = LDIFWriter()
    writer.record(
      dn: "o=postacert",
      attributes: [
        ("objectClass", texts(["top", "organization", "LDIFLocationURLObject"])), ("o", text("postacert")),
        ("LDIFLocationURL", text(locationURL)), ("description", text("Indice dei gestori del laboratorio")),
      ])
    for provider in providers {
      writer.record(
        dn: ProviderRecord.distinguishedName(provider: provider.name, unit: provider.unit),
        attributes: [
          ("objectClass", texts(["top", "provider"])), ("providerName", text(provider.name)), ("providerUnit", text(provider.unit)),
          ("providerCertificateHash", texts(provider.certificates.map(\.sha1Fingerprint))),
          ("providerCertificate;binary", provider.certificates.map(\.der)), ("mailReceipt", text(provider.serviceMailbox)),
          // RFC 6109 §4.5.7: a unit's record has no LDIFLocationURL.
          ("LDIFLocationURL", text(provider.unit == nil ? provider.locationURL : nil)), ("managedDomains", texts(provider.domains)),
          ("description", text(provider.description)),
        ])
    }
    return writer.octets
  }
}
