import Configuration
import Foundation
import Logging
import Octets
import PEC
import Synchronization

/// Log lines on standard error or standard output: for people, or one JSON object a line.
public struct LogOutput: LogHandler {
  /// Form of a line.
  public enum Format: Sendable {
    case text, json
    /// As a file of syslog has them, what is about mail in Postfix's words.
    case syslog(host: String)
  }

  public var metadata: Logger.Metadata = [:]
  /// How much is written; of all copies at once, so that it can be changed while the gateway runs.
  public var logLevel: Logger.Level {
    get { switchboard.level }
    set { switchboard.set(newValue) }
  }
  private let switchboard: LogLevelSwitch
  private let label: String
  private let format: Format
  private let target: LogTarget

  /// A handler for `label`, writing lines of `format` at `level` and above.
  public init(label: String, format: Format, level: Logger.Level, to target: LogTarget = .stderr) {
    self.init(label: label, format: format, levels: LogLevelSwitch(level), to: target)
  }

  /// A handler for `label`, writing lines of `format` at the level that the switch has at the time.
  public init(label: String, format: Format, levels: LogLevelSwitch, to target: LogTarget = .stderr) {
    self.target = target
    self.label = label
    self.format = format
    switchboard = levels
  }

  public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  /// Writes one line.
  public func log(event: LogEvent) {
    let now = Clock.now()
    var fields = metadata
    if let more = event.metadata {
      if fields.isEmpty { fields = more } else { fields.merge(more) { _, new in new } }
    }
    if case .syslog = format {} else { fields[MailLines.key] = nil }
    let line =
      switch format {
      case .text: LogLine.text(now, event.level, event.message.description, fields)
      case .json: LogLine.json(now, event.level, event.message.description, fields)
      case .syslog(let host): LogOutput.syslog(event.level, event.message.description, fields, host: host, at: now.rfc3339)
      }
    // A log that cannot be written must not take the gateway with it.
    let file = target == .stdout ? FileHandle.standardOutput : FileHandle.standardError
    try? file.write(contentsOf: Data(line.utf8))
  }
}

/// How much is logged, for all handlers that have it; any thread may change it.
public final class LogLevelSwitch: Sendable {
  private let place: Atomic<Int>

  /// Begins at a level.
  public init(_ level: Logger.Level) { place = Atomic(Logger.Level.allCases.firstIndex(of: level) ?? 0) }

  /// The level that holds.
  public var level: Logger.Level { Logger.Level.allCases[place.load(ordering: .relaxed)] }

  /// Takes another level from now on.
  public func set(_ level: Logger.Level) { place.store(Logger.Level.allCases.firstIndex(of: level) ?? 0, ordering: .relaxed) }
}

/// The wall clock, with the offset of legal time.
public enum Clock {
  /// The quarter of an hour that was asked for last (upper 40 bits) and its offset in seconds: a zone changes at such times only, and
  /// looking it up takes a lock that all threads share.
  private static let last = Atomic<Int64>(.min)

  /// The present instant.
  public static func now() -> Instant {
    let seconds = Int64(Date().timeIntervalSince1970)
    let quarter = seconds / 900
    let known = last.load(ordering: .relaxed)
    if known >> 24 == quarter { return Instant(unixSeconds: seconds, utcOffsetSeconds: Int(known & 0xFF_FFFF) - 0x80_0000) }
    let offset = LocalTime.utcOffsetSeconds(at: seconds)
    last.store(quarter << 24 | Int64(offset + 0x80_0000), ordering: .relaxed)
    return Instant(unixSeconds: seconds, utcOffsetSeconds: offset)
  }
}
