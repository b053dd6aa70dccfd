public import Configuration
import EventLoop
import Foundation
import Gateway
import Logging
import Signing
import Supervision

/// Running the gateway as a service.
public enum Service {
  /// What `TimeoutStartSec=` of the unit gives a start, in seconds.
  private static let takeOverSeconds = 300

  /// The version of this program.
  public static var version: String { Gateway.version }

  /// A logger with the usual form: text on standard error.
  public static func logger(label: String) -> Logger {
    Logger(label: label) { LogOutput(label: $0, format: .text, level: .warning) }
  }

  /// Loads a configuration; what is wrong with it becomes a failure with code 78.
  public static func load(_ path: String) throws -> GatewayConfiguration {
    do { return try GatewayConfiguration.load(path: path) } catch {
      throw CommandFailure("the configuration cannot be used:\n\(error)", exitCode: CommandFailure.configuration)
    }
  }

  /// Loads a configuration for who only wants to know where its gateway is. What it names, and what a start would refuse, is no matter.
  /// - Throws: as `load`, for a file that cannot be read, or whose form is not of use.
  static func loadLeniently(_ path: String) throws -> GatewayConfiguration {
    do { return try load(path) } catch {
      guard let configuration = parsed(path) else { throw error }
      return configuration
    }
  }

  /// A configuration by its text alone; nil when that is of no use.
  static func parsed(_ path: String) -> GatewayConfiguration? {
    let text = FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
    let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
    return text.flatMap { try? GatewayConfiguration.parse($0, named: path, folder: folder) }
  }

  /// Runs the gateway until SIGTERM or SIGINT, or until another process has taken over (SIGUSR2, `ceralacca restart`). SIGHUP reads
  /// everything again.
  /// - Parameters:
  ///   - user: the system's user that this process becomes when it was started as root; nil: what the configuration says.
  ///   - takesOver: true in a process that a running gateway has started to follow it.
  ///   - writesLog: false leaves the certified log out, to measure what it costs; on loopback only.
  public static func run(
    configurationFile: String, user: String? = nil, takesOver: Bool = false, writesLog: Bool = true, say: @escaping (String) -> Void
  ) throws {
    HeldSignals.hold()
    // Before anything else uses OpenSSL.
    let keyMemory = KeyMemory.prepare()
    let manager = ServiceManager.ofThisProcess()
    let origin = ProcessOrigin.ofThisProcess(takesOver: takesOver)
    let predecessor = takesOver ? try Predecessor() : nil
    do {
      let configuration = try load(configurationFile)
      let levels = LogLevelSwitch(Logger.Level(rawValue: configuration.log.level.rawValue) ?? .info)
      let format = logFormat(configuration)
      let logger = Logger(label: "ceralacca") { LogOutput(label: $0, format: format, levels: levels, to: configuration.log.output) }
      if let words = keyMemory.warning { logger.warning("signer: \(words)") }
      let doors = try open(configuration, predecessor, manager)
      if let name = user ?? configuration.user { try SystemUser.become(name) }
      if SystemUser.isRoot { logger.warning("this gateway runs as root: name a user with the key `user`") }
      let (loop, timeout) = (try Loop(), StartTimeout(manager))
      var endings: [SignalWatch] = []
      let gateway = try Gateway.start(
        configuration, file: configurationFile, doors: doors, levels: levels, writesLog: writesLog,
        beforeStorage: predecessor.map { predecessor in
          {
            try predecessor.takeOver()
            // The manager looks at this process from now on, and the unit's time for a start counts for one that takes over, too.
            timeout.extend(seconds: takeOverSeconds)
          }
        }, mayLast: { timeout.extend(seconds: $0) },
        beforeSessions: { endings = try ServiceRun.endings(loop) }, logger: logger)
      for address in gateway.addresses { logger.notice("listening on \(address)") }
      if let address = gateway.metricsAddress { logger.notice("metrics, health and readiness on http://\(address)") }
      // Where log lines go to standard output it is theirs alone: who reads them wants one form.
      if configuration.log.output == .stderr { say("ceralacca: listening on \(gateway.addresses.joined(separator: ", "))") }
      try ServiceRun(gateway, manager, origin, configurationFile, logger).untilTheEnd(loop)
      _ = endings
    } catch let failure as CommandFailure {
      predecessor?.give(up: failure.message)
      throw failure
    } catch {
      predecessor?.give(up: "\(error)")
      throw CommandFailure("the gateway cannot start: \(error)", exitCode: CommandFailure.unavailable)
    }
  }

  private static func logFormat(_ configuration: GatewayConfiguration) -> LogOutput.Format {
    switch configuration.log.format {
    case .text: .text
    case .json: .json
    case .syslog: .syslog(host: configuration.hostname)
    }
  }

  /// The listening sockets: those of the gateway before this one, those that a service manager opened, or fresh ones.
  private static func open(_ configuration: GatewayConfiguration, _ predecessor: Predecessor?, _ manager: ServiceManager) throws -> Doors {
    if let predecessor { return try Doors(configuration, handed: predecessor.sockets) }
    let handed = try manager.activated.map { HandedSocket(try ListeningSocket(adopting: $0.descriptor), name: $0.name) }
    return try Doors(configuration, handed: handed, isHeldElsewhere: true)
  }
}
