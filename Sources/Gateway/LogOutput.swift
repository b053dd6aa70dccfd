import Foundation
import Logging
import Octets
import PEC

/// Log lines on standard error: for people, or one JSON object a line.
public struct LogOutput: LogHandler {
  /// Form of a line.
  public enum Format: Sendable { case text, json }

  public var metadata: Logger.Metadata = [:]
  public var logLevel: Logger.Level
  private let label: String
  private let format: Format

  /// A handler for `label`, writing lines of `format` at `level` and above.
  public init(label: String, format: Format, level: Logger.Level) {
    self.label = label
    self.format = format
    logLevel = level
  }

  public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  /// Writes one line.
  public func log(event: LogEvent) {
    let now = Clock.now()
    var fields = metadata
    if let more = event.metadata { fields.merge(more) { _, new in new } }
    let line: String
    switch format {
    case .text:
      let extra = fields.sorted { $0.key < $1.key }.map { " \($0.key)=\(ASCII.escaped("\($0.value)"))" }.joined()
      line = "\(now.rfc3339) \(event.level) \(ASCII.escaped(event.message.description))\(extra)\n"
    case .json:
      var object: [String: String] = ["time": now.rfc3339, "level": "\(event.level)", "message": event.message.description]
      for (key, value) in fields { object[key] = "\(value)" }
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
      line = String(decoding: (try? encoder.encode(object)) ?? Data(), as: UTF8.self) + "\n"
    }
    // A log that cannot be written must not take the gateway with it.
    try? FileHandle.standardError.write(contentsOf: Data(line.utf8))
  }
}

/// The wall clock, with the offset of legal time.
public enum Clock {
  /// The present instant.
  public static func now() -> Instant {
    let seconds = Int64(Date().timeIntervalSince1970)
    return Instant(unixSeconds: seconds, utcOffsetSeconds: LocalTime.utcOffsetSeconds(at: seconds))
  }
}
