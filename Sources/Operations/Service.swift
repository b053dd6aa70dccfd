public import Configuration
import EventLoop
import Foundation
import Gateway
import Logging
import Signing
import Threading

/// Running the gateway as a service.
public enum Service {
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

  /// Runs the gateway until SIGTERM or SIGINT. SIGHUP reads the provider index, the users, and the signer's key and
  /// certificate again.
  /// - Parameter writesLog: false leaves the certified log out, to measure what it costs; on loopback only.
  public static func run(configurationFile: String, writesLog: Bool = true, say: @escaping (String) -> Void) throws {
    // Before anything else uses OpenSSL.
    let keyMemory = KeyMemory.prepare()
    let configuration = try load(configurationFile)
    let format: LogOutput.Format =
      switch configuration.log.format {
      case .text: .text
      case .json: .json
      case .syslog: .syslog(host: configuration.hostname)
      }
    let level = Logger.Level(rawValue: configuration.log.level.rawValue) ?? .info
    let logger = Logger(label: "ceralacca") { LogOutput(label: $0, format: format, level: level, to: configuration.log.output) }
    if let words = keyMemory.warning { logger.warning("signer: \(words)") }
    let loop = try Loop()
    var watches: [SignalWatch] = []
    let gateway: Gateway
    do { gateway = try Gateway.start(configuration, writesLog: writesLog, logger: logger) } catch {
      throw CommandFailure("the gateway cannot start: \(error)", exitCode: CommandFailure.unavailable)
    }
    for number in [SIGINT, SIGTERM] { watches.append(try loop.onSignal(number) { loop.stop() }) }
    watches.append(
      try loop.onSignal(SIGHUP) {
        // Not on the loop: a large index, or a token, takes seconds.
        WorkerThread(name: "reload") { _ = gateway.reload() }.detach()
      })
    for address in gateway.addresses { logger.notice("listening on \(address)") }
    if let address = gateway.metricsAddress { logger.notice("metrics, health and readiness on http://\(address)") }
    // Where log lines go to standard output it is theirs alone: who reads them wants one form.
    if configuration.log.output == .stderr { say("ceralacca: listening on \(gateway.addresses.joined(separator: ", "))") }
    loop.run()
    logger.notice("stopping: what is under way may finish for 30 seconds")
    gateway.stop(drainingForSeconds: 30)
    logger.notice("stopped")
    _ = watches
  }
}
