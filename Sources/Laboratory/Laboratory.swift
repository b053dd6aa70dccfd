import Accounts
import Configuration
import EventLoop
import Foundation
import Gateway
import Limits
import Logging
import Octets
import Operations

/// A complete world on loopback: a provider with its keys, index, users and mailboxes, and a sink for everything else. For trying
/// things and for tests; its keys and passwords are worth nothing.
public final class Laboratory {
  /// Folder that everything lives in.
  public let directory: String
  /// The gateway's ports are this and a small number: +1 submission, +2 submission with implicit TLS, +4 trusted peers, +21 the world.
  public let basePort: Int
  private let logger: Logger
  private var gateway: Gateway?
  private var world: WorldSink?

  /// Offsets of the ports from the base port.
  public enum Port: Int, CaseIterable, Sendable {
    case submission = 1
    case submissions = 2
    case trusted = 4
    case world = 21
  }

  /// Users of provider alfa; a user's password is the local part and `-secret`.
  public static let users = ["anna@pec.alfa.test", "aldo@pec.alfa.test"]
  /// The provider's domain.
  public static let domain = "pec.alfa.test"
  /// Service sending address of the provider.
  public static let serviceAddress = "posta-certificata@pec.alfa.test"

  /// A laboratory in `directory`, which is made when it is not there.
  public init(directory: String, basePort: Int, logger: Logger) {
    self.directory = URL(fileURLWithPath: directory).standardizedFileURL.path
    self.basePort = basePort
    self.logger = logger
  }

  /// Password of a user of the laboratory.
  public static func password(of user: String) -> String { "\(user.split(separator: "@")[0])-secret" }

  func port(_ port: Port) -> Int { basePort + port.rawValue }
  /// File that is there while everything listens.
  public var readyFile: String { "\(directory)/ready" }
  /// The provider's configuration file.
  public var configurationFile: String { "\(directory)/alfa/ceralacca.yaml" }

  /// Mailbox folder of a user.
  public func mailbox(of user: String) -> String { "\(directory)/alfa/mail/\(user)" }

  // MARK: Making

  /// Makes keys, index, users and configuration; keys and users of an earlier run are kept, the rest is written anew.
  public func prepare() throws {
    for folder in ["", "/alfa", "/alfa/mail", "/world"] {
      try FileManager.default.createDirectory(atPath: directory + folder, withIntermediateDirectories: true)
    }
    try? FileManager.default.removeItem(atPath: readyFile)
    try makeKeys()
    if !FileManager.default.fileExists(atPath: "\(directory)/alfa/users") { try makeUsers() }
    try configuration().yaml(in: "\(directory)/alfa").write(toFile: configurationFile, atomically: true, encoding: .utf8)
  }

  private func makeKeys() throws {
    let pki = try LaboratoryPKI(directory: directory, now: Clock.now().unixSeconds)
    try FileManager.default.createDirectory(atPath: "\(directory)/beta", withIntermediateDirectories: true)
    let alfa = try pki.signer(
      provider: "Alfa PEC S.p.A.", serviceAddress: Laboratory.serviceAddress, path: "\(directory)/alfa/signer.pem")
    let beta = try pki.signer(
      provider: "Beta PEC S.r.l.", serviceAddress: "posta-certificata@pec.beta.test", path: "\(directory)/beta/signer.pem")
    _ = try pki.server(
      names: ["localhost", "mx.alfa.test"], certificatePath: "\(directory)/alfa/tls.pem", keyPath: "\(directory)/alfa/tls.key")
    let ldif = LaboratoryIndex.ldif(providers: [
      LaboratoryProvider(
        name: "Alfa PEC S.p.A.", certificates: [alfa], serviceMailbox: "ricevute@pec.alfa.test", domains: [Laboratory.domain]),
      LaboratoryProvider(
        name: "Beta PEC S.r.l.", certificates: [beta], serviceMailbox: "ricevute@pec.beta.test", domains: ["pec.beta.test"]),
    ])
    try Data(ldif).write(to: URL(fileURLWithPath: "\(directory)/index.ldif"), options: .atomic)
  }

  private func makeUsers() throws {
    var lines = "# Users of provider alfa, in the format of a Dovecot passwd-file.\n"
    for user in Laboratory.users {
      lines += "\(user):\(try PasswordHash.make(Laboratory.password(of: user)).field)\n"
    }
    try lines.write(toFile: "\(directory)/alfa/users", atomically: true, encoding: .utf8)
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: "\(directory)/alfa/users")
  }

  /// The very configuration the provider runs with.
  private func configuration() -> GatewayConfiguration {
    let home = "\(directory)/alfa"
    let loopback = PeerList(["127.0.0.1", "::1"])
    var limits = Limits()
    // A laboratory is driven by one machine, and hard.
    limits.connection.maximumConnections = 15_000
    limits.connection.maximumConnectionsPerPeer = 15_000
    return GatewayConfiguration(
      hostname: "mx.alfa.test",
      provider: ProviderSettings(
        name: "Alfa PEC S.p.A.", serviceAddress: Laboratory.serviceAddress, node: "alfa1", domains: [Laboratory.domain]),
      dataDirectory: "\(home)/data", indexFile: "\(directory)/index.ldif",
      signer: SignerSettings(certificate: "\(home)/signer.pem", key: "\(home)/signer.pem"),
      tls: TLSSettings(certificate: "\(home)/tls.pem", key: "\(home)/tls.key"), usersFile: "\(home)/users",
      mailboxes: .maildir(root: "\(home)/mail"),
      listeners: [
        ListenerSettings(kind: .submission, address: "127.0.0.1", port: port(.submission)),
        ListenerSettings(kind: .submissions, address: "127.0.0.1", port: port(.submissions)),
      ]
        + (loopback.map {
          [ListenerSettings(kind: .trusted(peers: $0, user: .mailFrom), address: "127.0.0.1", port: port(.trusted))]
        } ?? []),
      routes: [RouteSettings(domains: ["*"], nextHop: Endpoint(host: "127.0.0.1", port: port(.world)), tls: .opportunistic)],
      limits: limits)
  }

  // MARK: Running

  /// Starts the world on `loop` and the provider on threads of its own; then the file `ready` appears.
  public func start(on loop: Loop) throws {
    let world = try WorldSink(loop: loop, folder: "\(directory)/world", hostname: "mx.mondo.test")
    _ = try world.listen(port: port(.world))
    self.world = world
    gateway = try Gateway.start(try GatewayConfiguration.load(path: configurationFile), logger: logger)
    try "\(basePort)\n".write(toFile: readyFile, atomically: true, encoding: .utf8)
  }

  /// Stops the provider and takes the file `ready` away.
  public func stop() {
    try? FileManager.default.removeItem(atPath: readyFile)
    gateway?.stop(drainingForSeconds: 5)
    gateway = nil
  }

  /// Reads index and users again.
  public func reload() -> String { gateway?.reload() ?? "not running" }

  /// Prepares, starts, and runs until a signal says otherwise. Lines for people go to `say`.
  public static func run(directory: String, basePort: Int, logger: Logger, say: @escaping (String) -> Void) throws {
    let laboratory = Laboratory(directory: directory, basePort: basePort, logger: logger)
    let loop = try Loop()
    do {
      try laboratory.prepare()
      for number in [SIGINT, SIGTERM] { try loop.onSignal(number) { loop.stop() } }
      try loop.onSignal(SIGHUP) { say(laboratory.reload()) }
      try laboratory.start(on: loop)
    } catch { throw CommandFailure("the laboratory cannot start: \(error)", exitCode: 69) }
    say(laboratory.greeting)
    loop.run()
    laboratory.stop()
    say("The laboratory has stopped. What it made is in \(laboratory.directory).")
  }

  private var greeting: String {
    """
    The laboratory is ready in \(directory) (stop it with Ctrl-C).

      submission, STARTTLS       127.0.0.1:\(port(.submission))
      submission, implicit TLS   127.0.0.1:\(port(.submissions))
      trusted peers (loopback)   127.0.0.1:\(port(.trusted))   user = MAIL FROM
      the world, an SMTP sink    127.0.0.1:\(port(.world))  keeps mail in \(directory)/world/new/

      users      \(Laboratory.users.joined(separator: ", "))   password: the local part and "-secret"
      mailboxes  \(directory)/alfa/mail/ADDRESS/
      CA         \(directory)/ca.pem
      index      \(directory)/index.ldif

    Try:
      swaks --server 127.0.0.1:\(port(.submission)) --tls --auth PLAIN --auth-user anna@pec.alfa.test --auth-password anna-secret \\
        --from anna@pec.alfa.test --to ufficio@pec.beta.test --header 'Subject: prova'
      ceralacca verify --ca \(directory)/ca.pem \(mailbox(of: Laboratory.users[0]))/new/*
    """
  }

  /// A base port from which all of the laboratory's ports are free at the moment.
  public static func freeBasePort() throws -> Int {
    let loop = try Loop()
    for _ in 0..<200 {
      let base = 20_000 + Int(Entropy.word() % 12_000)
      var held: [Listener] = []
      for port in Port.allCases {
        if let listener = try? loop.listen(
          host: "127.0.0.1", port: base + port.rawValue, reusePort: false, backlog: 1, onConnection: { $0.close() })
        {
          held.append(listener)
        }
      }
      let all = held.count == Port.allCases.count
      for listener in held { listener.close() }
      if all { return base }
    }
    throw LabClient.LabFailure(reason: "no free ports between 20000 and 32000 on 127.0.0.1")
  }
}
