import Foundation
import Sealing

/// `ceralacca verify`: who signed a message, whether it holds at the message's own time, and what it certifies; and whether an extract of
/// the certified log proves what it says.
public enum VerifyCommand {
  /// Verifies files. Ends with exit code 65 when one does not hold, 66 when one cannot be read; all are looked at before.
  /// - Parameters:
  ///   - files: messages, and extracts as zip archives or folders.
  ///   - authorities: PEM files of who may vouch for an extract's signers.
  ///   - stampAuthorities: the same for its time stamps; `authorities` when there are none.
  public static func run(
    files: [String], verifier: MessageVerifier, authorities: [String] = [], stampAuthorities: [String] = [], json: Bool,
    say: (String) -> Void
  ) throws {
    guard !files.isEmpty else { throw CommandFailure("no files were named", exitCode: 64) }
    var vouching = BundleAuthorities.none
    // Of messages alone only `verifier` judges, which takes files that time stamps could not do with.
    if !stampAuthorities.isEmpty || files.contains(where: BundleFinding.isBundle) {
      do { vouching = try BundleAuthorities(signers: authorities, stamps: stampAuthorities) } catch {
        throw CommandFailure("\(error)", exitCode: CommandFailure.noInput)
      }
    }
    var failed = 0
    var unread = 0
    for file in files {
      if BundleFinding.isBundle(file) {
        let finding = BundleFinding(file, authorities: vouching)
        if !finding.wasRead { unread += 1 } else if !finding.holds { failed += 1 }
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
