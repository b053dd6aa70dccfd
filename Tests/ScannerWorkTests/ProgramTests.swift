import Channels
import Foundation
import Testing

/// The program as people run it.
@Suite struct ProgramTests {
  private func run(_ arguments: [String]) throws -> (text: String, code: Int32) {
    let process = Process()
    process.executableURL = URL(filePath: Session.executable)
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (String(decoding: data, as: UTF8.self), process.terminationStatus)
  }

  @Test func aScannerCanOpenNoSocketAndNoKey() throws {
    let session = try Session()
    let key = session.folder + "/key.pem"
    try Data("a key\n".utf8).write(to: URL(filePath: key))
    // Everybody may read it: what denies it is the confinement.
    chmod(key, 0o644)
    let test = try run(["--self-test", "--key", key, "--database", session.database])
    #expect(test.code == 0, "\(test.text)")
    #expect(test.text.contains("open the key file"))
    #expect(test.text.contains("open an Internet socket (TCP)"))
    #expect(test.text.contains("(1 signature): clean"))
    #expect(test.text.hasSuffix("All of it is denied.\n"))
  }

  @Test func aKeyThatIsNotThereShowsNothing() throws {
    let test = try run(["--self-test", "--key", "/nonexistent/key.pem"])
    #expect(test.code == 1, "\(test.text)")
  }

  @Test func theVersionIsTheEngines() throws {
    let version = try run(["--version"])
    #expect(version.code == 0)
    #expect(version.text.hasPrefix("ceralacca-scanner (ClamAV 1."))
  }

  @Test(arguments: [[], ["--self-test"], ["--self-test", "--key"], ["--scan"], ["--version", "x"], ["--self-test", "--key", "a", "b"]])
  func allElseGetsTheUsage(_ arguments: [String]) throws {
    let usage = try run(arguments)
    #expect(usage.code == 64)
    #expect(usage.text.hasPrefix("usage: ceralacca-scanner"))
  }
}
