import Configuration
import EventLoop
import Foundation
import Gateway
import Logging
import Octets
import Operations
import Signing

/// A complete world on loopback: two providers with their keys, users and mailboxes, an index, an authority, a forger, and a sink for
/// everything else. For trying things and for tests; its keys and passwords are worth nothing.
public final class Laboratory {
  /// Folder that everything lives in.
  public let directory: String
  /// All ports are counted from this: a provider's are `Port` plus its own offset, the world's is `worldPort`.
  public let basePort: Int
  private let logger: Logger
  private var gateways: [Gateway] = []
  private var world: WorldSink?
  private var timeStampers: [LaboratoryTSA] = []

  /// Offsets of a provider's ports from its first.
  public enum Port: Int, CaseIterable, Sendable {
    case submission = 1
    case submissions = 2
    case incoming = 3
    case trusted = 4
  }

  /// Offset of the world's port from the base port.
  public static let worldPort = 21
  /// Offsets of the ports of the two time-stamping authorities.
  public static let timeStampPorts = [22, 23]

  /// A laboratory in `directory`, which is made when it is not there.
  public init(directory: String, basePort: Int, logger: Logger) {
    self.directory = URL(fileURLWithPath: directory).standardizedFileURL.path
    self.basePort = basePort
    self.logger = logger
  }

  /// Password of a user of the laboratory.
  public static func password(of user: String) -> String { "\(user.split(separator: "@")[0])-secret" }

  /// Every port that the laboratory listens on.
  public static func ports(base: Int) -> [Int] {
    LabProvider.running.flatMap { provider in Port.allCases.map { provider.port($0, base: base) } }
      + ([worldPort] + timeStampPorts).map { base + $0 }
  }

  /// File that is there while everything listens.
  public var readyFile: String { "\(directory)/ready" }
  /// A running provider's configuration file.
  public func configurationFile(of provider: LabProvider) -> String { "\(directory)/\(provider.word)/ceralacca.yaml" }

  /// Mailbox folder of a user or service mailbox of a running provider.
  public func mailbox(of user: String) -> String {
    let provider = LabProvider.running.first { user.hasSuffix("@\($0.domain)") } ?? .alfa
    return "\(directory)/\(provider.word)/mail/\(user)"
  }

  var authorityFile: String { "\(directory)/ca.pem" }
  var indexFile: String { "\(directory)/index.ldif" }
  var worldFolder: String { "\(directory)/world/new" }
  /// Folder with the laboratory's own signatures; the official ones are used instead where they are.
  var signaturesFolder: String { "\(directory)/signatures" }

  /// The laboratory's two time-stamping authorities, as a configuration names them.
  static func timeStamps(_ directory: String, base: Int) -> TimeStampSettings {
    TimeStampSettings(
      authorities: timeStampPorts.map { TimeStampAuthoritySettings(url: "http://127.0.0.1:\(base + $0)/", caFile: "\(directory)/ca.pem") },
      timeoutSeconds: 5)
  }

  // MARK: Making

  /// Makes keys, revocation list, index, users and configurations; keys and users of an earlier run are kept, the rest is written anew.
  public func prepare() throws {
    let homes = LabProvider.running.flatMap { ["/\($0.word)", "/\($0.word)/mail"] }
    for folder in ["", "/gamma", "/forge", "/revoked", "/world"] + homes {
      try FileManager.default.createDirectory(atPath: directory + folder, withIntermediateDirectories: true)
    }
    try? FileManager.default.removeItem(atPath: readyFile)
    try Data(try makeKeys()).write(to: URL(fileURLWithPath: indexFile), options: .atomic)
    try publish()
    let scanner = try makeScanner()
    for provider in LabProvider.running {
      try provider.writeUsers(in: directory)
      // Alfa reads the index as it is, beta in its signed form: both ways are tried all the time.
      let index =
        provider == .alfa
        ? IndexSettings(file: indexFile)
        : IndexSettings(file: indexFile + ".p7m", signers: "\(directory)/index-operator.pem")
      try provider.configuration(in: directory, basePort: basePort, index: index, scanner: scanner)
        .yaml(in: "\(directory)/\(provider.word)")
        .write(toFile: configurationFile(of: provider), atomically: true, encoding: .utf8)
    }
  }

  /// Makes or takes up all keys, and returns the index that lists the three providers.
  private func makeKeys() throws -> [UInt8] {
    let now = Clock.now().unixSeconds
    let pki = try LaboratoryPKI(directory: directory, now: now)
    let listed = try [LabProvider.alfa, .beta, .gamma].map { provider in
      provider.listed(
        with: try pki.signer(
          provider: provider.name, serviceAddress: provider.serviceAddress, path: "\(directory)/\(provider.word)/signer.pem"))
    }
    for provider in LabProvider.running {
      let home = "\(directory)/\(provider.word)"
      _ = try pki.server(names: ["localhost", provider.hostname], certificatePath: "\(home)/tls.pem", keyPath: "\(home)/tls.key")
    }
    let operatorCertificate = try pki.signer(
      provider: "Indice dei gestori di laboratorio", serviceAddress: "indice@indice.pec.test", path: operatorKeyFile)
    try Data(operatorCertificate.pem).write(to: URL(fileURLWithPath: "\(directory)/index-operator.pem"), options: .atomic)
    // Alike in every name, and unknown to index and authorities.
    let beta = LabProvider.beta
    _ = try LaboratoryPKI(directory: "\(directory)/forge", now: now).signer(
      provider: beta.name, serviceAddress: beta.serviceAddress, path: "\(directory)/forge/signer.pem")
    return LaboratoryIndex.ldif(providers: listed)
  }

  /// Writes the signatures, and returns the scanner that works with them.
  private func makeScanner() throws -> ScannerConfiguration {
    try LaboratorySignatures.write(to: signaturesFolder)
    let scanner = ScannerConfiguration(database: LaboratorySignatures.database(own: signaturesFolder))
    guard geteuid() == 0 else { return scanner }
    // Started as root the scanner becomes another user, and must get at the signatures: passing through is all that is granted.
    let mode = (try FileManager.default.attributesOfItem(atPath: directory)[.posixPermissions] as? NSNumber)?.intValue ?? 0o700
    try FileManager.default.setAttributes([.posixPermissions: mode | 0o001], ofItemAtPath: directory)
    if let folder = LaboratorySignatures.obstacle(onTheWayTo: scanner.database) {
      throw CommandFailure(
        "the virus scanner runs as user \(scanner.user), who may not enter \(folder): choose a folder that all may enter, such as "
          + "one in /tmp, or 'chmod o+x \(folder)'", exitCode: 69)
    }
    return scanner
  }

  private var operatorKeyFile: String { "\(directory)/index-signer.pem" }

  /// What authority and index operator publish: the revocation list with the certificates in `revoked/`, and the signed index.
  private func publish() throws {
    let now = Clock.now().unixSeconds
    let pki = try LaboratoryPKI(directory: directory, now: now)
    let folder = "\(directory)/revoked"
    let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter { $0.hasSuffix(".pem") }
    try pki.writeRevocationList(
      to: "\(directory)/ca.crl", revoked: LaboratoryPKI.revocations(in: folder, named: names))
    let signer = try SignerCredentials(
      keyPath: operatorKeyFile, certificatePath: operatorKeyFile, serviceAddress: "indice@indice.pec.test", now: now)
    guard let ldif = FileManager.default.contents(atPath: indexFile) else { throw CocoaError(.fileReadNoSuchFile) }
    try Data(try signer.signedContent([UInt8](ldif), at: now)).write(to: URL(fileURLWithPath: indexFile + ".p7m"), options: .atomic)
  }

  // MARK: Running

  /// Starts the world on `loop` and the providers on threads of their own, and waits for their scanners; then the file `ready` appears.
  public func start(on loop: Loop) throws {
    let world = try WorldSink(loop: loop, folder: "\(directory)/world", hostname: "mx.mondo.test")
    _ = try world.listen(port: basePort + Laboratory.worldPort)
    self.world = world
    let pki = try LaboratoryPKI(directory: directory, now: Clock.now().unixSeconds)
    for (number, offset) in Laboratory.timeStampPorts.enumerated() {
      let stamper = try LaboratoryTSA(
        loop: loop, folder: "\(directory)/tsa-\(number + 1)", name: "Marche di laboratorio \(number + 1)", pki: pki)
      _ = try stamper.listen(port: basePort + offset)
      timeStampers.append(stamper)
    }
    for provider in LabProvider.running {
      var logger = logger
      logger[metadataKey: "provider"] = "\(provider.word)"
      gateways.append(try Gateway.start(try Service.load(configurationFile(of: provider)), logger: logger))
    }
    for (provider, gateway) in zip(LabProvider.running, gateways) {
      guard let reason = gateway.waitForScanner(seconds: 120) else { continue }
      throw CommandFailure("the virus scanner of \(provider.word): \(reason)", exitCode: 69)
    }
    try "\(basePort)\n".write(toFile: readyFile, atomically: true, encoding: .utf8)
  }

  /// Stops the providers and takes the file `ready` away.
  public func stop() {
    try? FileManager.default.removeItem(atPath: readyFile)
    for gateway in gateways { gateway.stop(drainingForSeconds: 5) }
    gateways = []
  }

  /// Publishes revocation list and index again, and has the providers read everything again. Returns a line for each.
  public func reload() -> [String] {
    do { try publish() } catch { return ["the index and the revocation list could not be published: \(error)"] }
    return zip(LabProvider.running, gateways).map { "\($0.word): \($1.reload().words)" }
  }

  /// Prepares, starts, and runs until a signal says otherwise. Lines for people go to `say`.
  public static func run(directory: String, basePort: Int, logger: Logger, say: @escaping (String) -> Void) throws {
    let laboratory = Laboratory(directory: directory, basePort: basePort, logger: logger)
    let loop = try Loop()
    do {
      try laboratory.prepare()
      for number in [SIGINT, SIGTERM] { try loop.onSignal(number) { loop.stop() } }
      try loop.onSignal(SIGHUP) { laboratory.reload().forEach(say) }
      // The revocation list is good for a week only.
      _ = loop.timer(after: 86_400_000, repeat: 86_400_000) { laboratory.reload().forEach(say) }
      try laboratory.start(on: loop)
    } catch {
      laboratory.stop()
      throw CommandFailure("the laboratory cannot start: \((error as? CommandFailure)?.message ?? "\(error)")", exitCode: 69)
    }
    say(laboratory.greeting)
    loop.run()
    laboratory.stop()
    say("The laboratory has stopped. What it made is in \(laboratory.directory).")
  }

  private var greeting: String {
    let alfa = LabProvider.alfa
    func row(_ what: String, _ port: Port) -> String {
      let ports = LabProvider.running.map { "127.0.0.1:\($0.port(port, base: basePort))" }.joined(separator: "   ")
      return "  \(what.padding(toLength: 26, withPad: " ", startingAt: 0))\(ports)"
    }
    return """
      The laboratory is ready in \(directory) (stop it with Ctrl-C).

                                  pec.alfa.test     pec.beta.test
      \(row("submission, STARTTLS", .submission))
      \(row("submission, implicit TLS", .submissions))
      \(row("incoming mail", .incoming))
      \(row("trusted peers (loopback)", .trusted))   user = MAIL FROM
        the world, an SMTP sink   127.0.0.1:\(basePort + Laboratory.worldPort)   keeps mail in \(directory)/world/new/

        users      \(LabProvider.running.flatMap(\.users).joined(separator: ", ")); password: the local part and "-secret"
        mailboxes  \(directory)/alfa/mail/ADDRESS/ and \(directory)/beta/mail/ADDRESS/, servizio@ is the service mailbox
        trust      \(directory)/ca.pem, ca.crl (a certificate put into revoked/ is on it after SIGHUP)
        index      \(directory)/index.ldif, signed index.ldif.p7m; it lists pec.gamma.test too, whose mail goes to the world
        seals      of the certified log, \(directory)/alfa/data/seals/; stamped by two authorities, 127.0.0.1:\(basePort + 22) and \(basePort + 23)
        extracts   a message to registro@pec.alfa.test (or beta) with lines Mittente:, Destinatario:, Data: gets one
        viruses    \(directory)/signatures/laboratory.ndb: what the scanner knows where /var/lib/clamav has no signatures
        a forger   \(directory)/forge/signer.pem: beta's names, from an authority that nobody knows

      Try:
        swaks --server 127.0.0.1:\(alfa.port(.submission, base: basePort)) --tls --auth PLAIN --auth-user anna@pec.alfa.test \
      --auth-password anna-secret \\
          --from anna@pec.alfa.test --to bruno@pec.beta.test --header 'Subject: prova'
        ceralacca verify --ca \(authorityFile) --index \(indexFile) \(mailbox(of: alfa.users[0]))/new/*
      """
  }

  /// A base port from which all of the laboratory's ports are free at the moment.
  public static func freeBasePort() throws -> Int {
    let loop = try Loop()
    for _ in 0..<200 {
      let base = 20_000 + Int(Entropy.word() % 12_000)
      let wanted = ports(base: base)
      let held = wanted.compactMap { port in
        try? loop.listen(host: "127.0.0.1", port: port, reusePort: false, backlog: 1, onConnection: { $0.close() })
      }
      for listener in held { listener.close() }
      if held.count == wanted.count { return base }
    }
    throw LabClient.LabFailure(reason: "no free ports between 20000 and 32000 on 127.0.0.1")
  }
}
