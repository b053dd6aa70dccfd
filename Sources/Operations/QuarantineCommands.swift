import EventLoop
import Foundation
import Gateway
import Journey
import Ledger
import Logging
import Quarantine

/// `ceralacca quarantine`: the store of infected messages (RFC 6109 §2.2.4), which only its owner may read. Whoever looks into a message,
/// takes one out or purges is written into the store's `access.log` first, and into the log lines.
public enum QuarantineCommands {
  /// Lists messages of some days, oldest first.
  /// - Parameters:
  ///   - from: first day, `YYYY-MM-DD` in legal time; nil for all.
  ///   - to: last day.
  /// - Throws: `CommandFailure`, with code 65 when something is damaged.
  public static func list(from: String?, to: String?, configurationFile: String, json: Bool, say: (String) -> Void) throws {
    let days = (try day(from, of: "--from"), try day(to, of: "--to"))
    try desk(configurationFile).list(from: days.0, to: days.1, json: json, say: say)
  }

  /// Shows one message: all that its record says, whether its octets are those that were put away, and its rows in the certified log.
  /// - Parameter id: our own identifier of it, or the PEC id of its transaction.
  public static func show(_ id: String, configurationFile: String, json: Bool, say: (String) -> Void) throws {
    try desk(configurationFile).show(id, json: json, say: say)
  }

  /// Seals one message with its record into a zip archive under a password, for an analyst.
  /// - Parameters:
  ///   - path: the archive, which must not be there.
  ///   - passwordFile: file whose first line is the password; nil for a new one, which is said.
  public static func export(
    _ id: String, to path: String, passwordFile: String?, configurationFile: String, json: Bool, say: (String) -> Void
  ) throws {
    try desk(configurationFile).export(id, to: path, passwordFile: passwordFile, json: json, say: say)
  }

  /// Removes the messages that have been kept for 30 months.
  /// - Parameter isConfirmed: false only says which they are.
  public static func purge(isConfirmed: Bool, configurationFile: String, json: Bool, say: (String) -> Void) throws {
    try desk(configurationFile).purge(isConfirmed: isConfirmed, json: json, say: say)
  }

  private static func desk(_ configurationFile: String) throws -> QuarantineDesk {
    let configuration = try Service.load(configurationFile)
    let format: LogOutput.Format = configuration.log.format == .json ? .json : .text
    let logger = Logger(label: "ceralacca") { LogOutput(label: $0, format: format, level: .info) }
    return QuarantineDesk(
      quarantine: Quarantine(path: Gateway.quarantinePath(configuration.dataDirectory)), now: Clock.now(), user: who(),
      events: { try QueueCommands.ledger(configurationFile).events(pecID: $0) }, note: { logger.notice("\($0)") })
  }

  /// The day that an option names.
  static func day(_ text: String?, of option: String) throws -> QuarantineDay? {
    guard let text else { return nil }
    guard let day = QuarantineDay(text) else {
      throw CommandFailure("\(option) must be a day in the form YYYY-MM-DD, as 2026-03-10", exitCode: CommandFailure.usage)
    }
    return day
  }

  /// Who asks, as far as the system knows.
  private static func who() -> String {
    "\(Operator(.ofThisProcess, claim: ProcessInfo.processInfo.environment["SUDO_USER"]))"
  }

  /// What is wrong with the store, as a command ends with it.
  static func failure(_ error: QuarantineError) -> CommandFailure {
    let code =
      switch error {
      case .damaged, .otherContent, .unusableRecord: CommandFailure.dataError
      case .mustBeKept: CommandFailure.noPermission
      case .system: error.isNoPermission ? CommandFailure.noPermission : CommandFailure.inputOutput
      }
    let advice = error.isNoPermission ? ": only the owner of the quarantine may look into it" : ""
    return CommandFailure("\(error)\(advice)", exitCode: code)
  }
}
