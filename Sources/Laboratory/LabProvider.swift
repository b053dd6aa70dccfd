import Accounts
import Configuration
import Foundation
import Limits
import Octets

/// A provider of the laboratory: its names, and its folder and ports, counted from those of the laboratory.
public struct LabProvider: Sendable, Equatable {
  /// Name of its folder, and the second word of its domain: `alfa`.
  public let word: String
  /// The provider's name in the index and in certification data.
  public let name: String
  /// Added to the offsets of the ports: 0 for the first provider, 10 for the second.
  public let portOffset: Int
  /// Local parts of the holders' addresses.
  public let people: [String]

  /// The first provider: anna and aldo.
  public static let alfa = LabProvider(word: "alfa", name: "Alfa PEC S.p.A.", portOffset: 0, people: ["anna", "aldo"])
  /// The second provider: bruno and bianca.
  public static let beta = LabProvider(word: "beta", name: "Beta PEC S.r.l.", portOffset: 10, people: ["bruno", "bianca"])
  /// A third provider that only the index knows: its key lies in `DIR/gamma`, its mail goes to the world, and tests play it.
  public static let gamma = LabProvider(word: "gamma", name: "Gamma PEC S.p.A.", portOffset: 0, people: [])

  /// The providers whose gateways the laboratory runs.
  public static let running = [alfa, beta]

  /// The provider's only domain.
  public var domain: String { "pec.\(word).test" }
  /// The holders' addresses; a holder's password is the local part and `-secret`.
  public var users: [String] { people.map { "\($0)@\(domain)" } }
  /// Service sending address, RFC 6109 §2.2.6.
  public var serviceAddress: String { "posta-certificata@\(domain)" }
  /// Service mailbox, RFC 6109 §2.2.5.
  public var serviceMailbox: String { "servizio@\(domain)" }
  /// Where its holders ask for extracts of the log.
  public var extractAddress: String { "registro@\(domain)" }
  /// Name of its machine.
  public var hostname: String { "mx.\(word).test" }

  /// A listening port of the provider.
  public func port(_ port: Laboratory.Port, base: Int) -> Int { base + portOffset + port.rawValue }

  /// What the provider is in the laboratory's index.
  func listed(with certificate: LaboratoryCertificate) -> LaboratoryProvider {
    LaboratoryProvider(name: name, certificates: [certificate], serviceMailbox: serviceMailbox, domains: [domain])
  }

  // MARK: Its files

  /// Writes the passwd-file of the holders, unless there is one from an earlier run.
  func writeUsers(in directory: String) throws {
    let path = "\(directory)/\(word)/users"
    if FileManager.default.fileExists(atPath: path) { return }
    var text = "# Users of provider \(word), in the format of a Dovecot passwd-file.\n"
    for user in users { text += "\(user):\(try PasswordHash.make(Laboratory.password(of: user)).field)\n" }
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
  }

  /// The very configuration the provider runs with.
  /// - Parameters:
  ///   - index: where the provider index is and who must have signed it.
  ///   - scanner: the virus scanner, the same for every provider.
  func configuration(in directory: String, basePort: Int, index: IndexSettings, scanner: ScannerConfiguration) -> GatewayConfiguration {
    let home = "\(directory)/\(word)"
    let loopback = PeerList(["127.0.0.1", "::1"])
    var limits = Limits()
    // A laboratory is driven by one machine, and hard.
    limits.connection.maximumConnections = 15_000
    limits.connection.maximumConnectionsPerPeer = 15_000
    func listener(_ kind: ListenerKind, _ offset: Laboratory.Port) -> ListenerSettings {
      ListenerSettings(kind: kind, address: "127.0.0.1", port: port(offset, base: basePort))
    }
    // RFC 6109 §5.3: between providers on secure channels only.
    let neighbours = LabProvider.running.filter { $0 != self }.map { other in
      RouteSettings(
        domains: [other.domain], nextHop: Endpoint(host: "127.0.0.1", port: other.port(.incoming, base: basePort)), tls: .required,
        caFile: "\(directory)/ca.pem")
    }
    let world = RouteSettings(
      domains: ["*"], nextHop: Endpoint(host: "127.0.0.1", port: basePort + Laboratory.worldPort), tls: .opportunistic)
    return GatewayConfiguration(
      hostname: hostname,
      provider: ProviderSettings(
        name: name, serviceAddress: serviceAddress, node: "\(word)1", domains: [domain], serviceMailbox: serviceMailbox),
      dataDirectory: "\(home)/data", index: index,
      signer: SignerSettings(certificate: "\(home)/signer.pem", key: "\(home)/signer.pem"),
      tls: TLSSettings(certificate: "\(home)/tls.pem", key: "\(home)/tls.key"), usersFile: "\(home)/users",
      mailboxes: .maildir(root: "\(home)/mail"),
      listeners: [listener(.submission, .submission), listener(.submissions, .submissions), listener(.incoming, .incoming)]
        + (loopback.map { [listener(.trusted(peers: $0, user: .mailFrom), .trusted)] } ?? []),
      routes: neighbours + [world],
      trust: TrustSettings(authorities: ["\(directory)/ca.pem"], revocationLists: ["\(directory)/ca.crl"]), scanner: scanner,
      certifiedLog: CertifiedLogSettings(extractAddress: extractAddress, timeStamps: Laboratory.timeStamps(directory, base: basePort)),
      // A machine for trying things seldom keeps its clock by a time service that the kernel knows of.
      clock: ClockSettings(synchronization: .warn), limits: limits)
  }
}
