/// The provider in whose name messages are made.
public struct ProviderIdentity: Sendable, Equatable {
  /// Descriptive name, as `gestore-emittente` shows it; equal to `providerName` in the index.
  public var name: String
  /// Service sending address, `posta-certificata@…`: From of everything that is made, and the address inside the signing certificate.
  public var serviceAddress: String
  /// Domain of identifiers (RFC 6109 §2.2.1): the domain of the service address.
  public var mailDomain: String
  /// Name of this machine in identifiers, so that two machines of a provider never make the same one.
  public var nodeName: String

  /// A provider.
  public init(name: String, serviceAddress: String, mailDomain: String, nodeName: String) {
    self.name = name
    self.serviceAddress = serviceAddress
    self.mailDomain = mailDomain
    self.nodeName = nodeName
  }
}
