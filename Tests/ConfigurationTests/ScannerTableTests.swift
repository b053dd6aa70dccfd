import Foundation
import Testing

@testable import Configuration

/// Slips in the scanner's section, each with all that has to be said about it.
@Suite struct ScannerTableTests {
  /// What takes the place of `scanner: off`, the last line of `good/smallest.yaml`; what is said, without the file's name.
  static let slips: [(String, String)] = [
    (
      "",
      "1:1: key 'scanner': is missing; add it, for example 'scanner: { database: /var/lib/clamav }'; 'scanner: off' passes all mail on without a look for viruses"
    ),
    ("scaner: off", "16:1: key 'scaner': is not known; did you mean 'scanner'?"),
    ("scanner:", "16:1: key 'scanner': has no value; give it one, or remove the key"),
    ("scanner: ~", "16:1: key 'scanner': has no value; give it one, or remove the key"),
    (
      "scanner: no",
      "16:10: key 'scanner': is 'no', but must be a group of keys or the word off; write '{ database: /var/lib/clamav }', with the folder of the signatures, or off"
    ),
    (
      "scanner: Off",
      "16:10: key 'scanner': is 'Off', but must be a group of keys or the word off; write '{ database: /var/lib/clamav }', with the folder of the signatures, or off"
    ),
    (
      "scanner: /var/lib/clamav",
      "16:10: key 'scanner': is '/var/lib/clamav', but must be a group of keys or the word off; write '{ database: /var/lib/clamav }', with the folder of the signatures, or off"
    ),
    (
      "scanner: [off]",
      "16:10: key 'scanner': is a list, but must be a group of keys; give it the keys database, workers, user, temporary, executable, encrypted, beyondLimits, infectedOrdinaryMail, whenDown, seconds, memory, scanBytes, fileBytes, depth, files, databaseCheckSeconds and cachedVerdicts"
    ),
    ("scanner: {}", "16:1: key 'scanner.database': is missing; add it, for example 'database: /var/lib/clamav'"),
    ("scanner: { databse: /db }", "16:12: key 'scanner.databse': is not known; did you mean 'database'?"),
    ("scanner: { database: [] }", "16:22: key 'scanner.database': is a list, but must be a text; write it on one line after the key"),
    (
      "scanner: { database: /db, workers: 0 }",
      "16:36: key 'scanner.workers': is '0', which is out of range; write a whole number from 1 to 64"
    ),
    (
      "scanner: { database: /db, user: a b }",
      "16:33: key 'scanner.user': is 'a b', which is not the name of a user; write one like ceralacca-scan"
    ),
    (
      "scanner: { database: /db, user: 1000 }",
      "16:33: key 'scanner.user': is '1000', which is not the name of a user; write one like ceralacca-scan"
    ),
    (
      "scanner: { database: /db, user: root }",
      "16:33: key 'scanner.user': is 'root', and what reads infected mail must have no rights; make a user of its own, for example with 'adduser --system ceralacca-scan', and name it here"
    ),
    ("scanner: { database: /db, temporary: }", "16:27: key 'scanner.temporary': has no value; give it one, or remove the key"),
    (
      "scanner: { database: /db, encrypted: discard }",
      "16:38: key 'scanner.encrypted': is 'discard', which is not known; write accept or refuse"
    ),
    (
      "scanner: { database: /db, beyondLimits: refused }",
      "16:41: key 'scanner.beyondLimits': is 'refused', which is not known; did you mean 'refuse'?"
    ),
    (
      "scanner: { database: /db, beyond-limits: refuse }",
      "16:27: key 'scanner.beyond-limits': is not known; did you mean 'beyondLimits'?"
    ),
    (
      "scanner: { database: /db, infectedOrdinaryMail: anomaly }",
      "16:49: key 'scanner.infectedOrdinaryMail': is 'anomaly', which is not known; write refuse or discard"
    ),
    (
      "scanner: { database: /db, whenDown: message }",
      "16:37: key 'scanner.whenDown': is 'message', but must be a group of keys; give it the keys submission and incoming"
    ),
    (
      "scanner: { database: /db, whenDown: { submission: pass, incomming: message } }",
      "16:51: key 'scanner.whenDown.submission': is 'pass', which is not known; write message or connection\n16:57: key 'scanner.whenDown.incomming': is not known; did you mean 'incoming'?"
    ),
    (
      "scanner: { database: /db, seconds: 0 }",
      "16:36: key 'scanner.seconds': is '0', which is out of range; write a whole number from 1 to 600"
    ),
    (
      "scanner: { database: /db, memory: 63M }",
      "16:35: key 'scanner.memory': is '63M', which is out of range; write a size from 64M to 64G, such as 512M"
    ),
    (
      "scanner: { database: /db, memory: 65G }",
      "16:35: key 'scanner.memory': is '65G', which is out of range; write a size from 64M to 64G, such as 512M"
    ),
    (
      "scanner: { database: /db, memory: 999999999999G }",
      "16:35: key 'scanner.memory': is '999999999999G', which is out of range; write a size from 64M to 64G, such as 512M"
    ),
    (
      "scanner: { database: /db, memory: 9999999999999G }",
      "16:35: key 'scanner.memory': is '9999999999999G', which is not a size; write a size from 64M to 64G, such as 512M"
    ),
    (
      "scanner: { database: /db, memory: 1.5G }",
      "16:35: key 'scanner.memory': is '1.5G', which is not a size; write a size from 64M to 64G, such as 512M"
    ),
    (
      "scanner: { database: /db, memory: 1g }",
      "16:35: key 'scanner.memory': is '1g', which is not a size; write a size from 64M to 64G, such as 512M"
    ),
    (
      "scanner: { database: /db, memory: G }",
      "16:35: key 'scanner.memory': is 'G', which is not a size; write a size from 64M to 64G, such as 512M"
    ),
    (
      "scanner: { database: /db, memory: -1G }",
      "16:35: key 'scanner.memory': is '-1G', which is not a size; write a size from 64M to 64G, such as 512M"
    ),
    (
      "scanner: { database: /db, depth: 101 }",
      "16:34: key 'scanner.depth': is '101', which is out of range; write a whole number from 1 to 100"
    ),
    (
      "scanner: { database: /db, cachedVerdicts: none }",
      "16:43: key 'scanner.cachedVerdicts': is 'none', but must be a whole number; write a whole number from 0 to 1000000"
    ),
    (
      "scanner: { database: /db, fileBytes: 99M }",
      "16:27: key 'scanner.fileBytes': is below limits.maximumMessageMegabytes: larger messages would come in and never pass; raise the one or lower the other"
    ),
    (
      "scanner: { database: /db }\nlimits: { maximumMessageMegabytes: 151 }",
      "16:1: key 'scanner.fileBytes': is below limits.maximumMessageMegabytes: larger messages would come in and never pass; raise the one or lower the other"
    ),
    (
      "scanner: { database: /db, scanBytes: 149M }",
      "16:27: key 'scanner.scanBytes': is below scanner.fileBytes; raise the one or lower the other"
    ),
    (
      "scanner: { database: /db, fileBytes: 500M }",
      "16:27: key 'scanner.scanBytes': is below scanner.fileBytes; raise the one or lower the other"
    ),
  ]

  private static func problems(_ lines: String) throws -> String {
    let good = try Fixtures.text("good/smallest.yaml")
    try #require(good.hasSuffix("\nscanner: off\n"))
    return Fixtures.problems(good.replacingOccurrences(of: "scanner: off\n", with: lines + "\n")).joined(separator: "\n")
      .replacingOccurrences(of: "f.yaml:", with: "")
  }

  @Test(arguments: slips)
  func aSlipIsExplained(lines: String, said: String) throws {
    let found = try Self.problems(lines)
    #expect(found == said, "\(found)")
  }

  @Test(
    arguments: [
      "scanner: off", "scanner: \"off\"", "scanner: { database: /db, memory: 67108864, scanBytes: 16G, fileBytes: 2047M }",
      "scanner: { database: /db, user: ceralacca-scan_1.x }", "scanner: { database: /db, whenDown: { incoming: connection } }",
    ])
  func whatIsGoodIsTaken(lines: String) throws { #expect(try Self.problems(lines) == "") }
}
