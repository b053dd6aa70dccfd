import Foundation
import Logging
import Octets

extension LogOutput {
  private static let process = ProcessInfo.processInfo.processIdentifier

  /// A log line as a file of syslog has it (RFC 3339 time, host, program and process): several lines where Postfix writes several.
  static func syslog(_ level: Logger.Level, _ words: String, _ fields: Logger.Metadata, host: String, at time: String) -> String {
    var fields = fields
    var lines = ""
    let write = { (program: String, words: String) in lines += "\(time) \(host) ceralacca/\(program)[\(process)]: \(ASCII.escaped(words))\n"
    }
    if case .stringConvertible(let value) = fields.removeValue(forKey: MailLines.key), let mail = value as? MailLines {
      mail.write(write)
      // What went wrong with us is more than Postfix's words say.
      if level < .warning { return lines }
    }
    let rest = fields.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
    write("gateway", "\(level == .critical ? "fatal" : level.rawValue): \(words)\(rest)")
    return lines
  }
}
