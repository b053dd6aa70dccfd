import Foundation

/// `ceralacca verify`: who signed a message, whether it holds at the message's own time, and what it certifies.
public enum VerifyCommand {
  /// Verifies files. Ends with exit code 65 when one does not hold, 66 when one cannot be read.
  public static func run(files: [String], verifier: MessageVerifier, json: Bool, say: (String) -> Void) throws {
    guard !files.isEmpty else { throw CommandFailure("no files were named", exitCode: 64) }
    var failed = 0
    var unread = 0
    for file in files {
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
