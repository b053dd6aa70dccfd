import Foundation

/// `ceralacca verify`: who signed a message, whether it holds at the message's own time, and what it certifies; and whether an extract of
/// the certified log proves what it says.
public enum VerifyCommand {
  /// Verifies files. Ends with exit code 65 when one does not hold, 66 when one cannot be read.
  /// - Parameters:
  ///   - files: messages, and extracts as zip archives or folders.
  ///   - authorities: PEM files of who may vouch for an extract's signers and time stamps.
  public static func run(
    files: [String], verifier: MessageVerifier, authorities: [String] = [], json: Bool, say: (String) -> Void
  ) throws {
    guard !files.isEmpty else { throw CommandFailure("no files were named", exitCode: 64) }
    var failed = 0
    var unread = 0
    for file in files {
      if BundleFinding.isBundle(file) {
        let finding = try BundleFinding(file, authorities: authorities)
        if !finding.holds { failed += 1 }
        say(json ? try Output.json(finding) : finding.text)
        continue
      }
      guard let data = FileManager.default.contents(atPath: file) else {
        unread += 1
        let finding = MessageFinding(file: file, kind: "unreadable", sentences: ["The file cannot be read."])
        say(json ? try Output.json(finding) : "\(file): cannot be read")
        continue
      }
      let finding = verifier.examine([UInt8](data), named: file)
      if !finding.holds { failed += 1 }
      say(json ? try Output.json(finding) : finding.text)
    }
    if !json, files.count > 1 { say("\(files.count - failed - unread) of \(files.count) hold.") }
    if unread > 0 { throw CommandFailure("\(unread) of \(files.count) files could not be read", exitCode: CommandFailure.noInput) }
    if failed > 0 { throw CommandFailure("", exitCode: CommandFailure.dataError) }
  }
}
