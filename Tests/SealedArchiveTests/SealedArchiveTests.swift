import Foundation
import Glibc
import Octets
import SealedArchive
import Testing

/// A folder that goes with the test, and 7-Zip to open what was sealed.
final class Desk: Sendable {
  let path: String

  init() {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("seal-test-\(UUID().uuidString)").path
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Runs 7-Zip: its exit code and its words.
  func sevenZip(_ arguments: String...) throws -> (code: Int32, words: String) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["7z"] + arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let words = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, words)
  }

  func content(_ name: String) -> [UInt8]? { FileManager.default.contents(atPath: "\(path)/\(name)").map { [UInt8]($0) } }
}

@Suite struct SealedArchiveTests {
  let desk = Desk()
  private var zip: String { "\(desk.path)/out.zip" }

  private func member(_ name: String, _ content: [Chunk]) -> SealedArchive.Member {
    SealedArchive.Member(name: name, content: content, modifiedUnixSeconds: 1_773_130_500)
  }

  @Test func whatIsSealedIsUnpackedWithThePasswordOnly() throws {
    // Octets that do not compress, in pieces, beside an empty member and one that compresses well.
    let noise = Entropy.bytes(3_000_000)
    let chunk = Chunk(noise)
    let pieces = [chunk[0..<1], Chunk.empty, chunk[1..<1_500_000], chunk[1_500_000..<3_000_000]]
    let text = Chunk(String(repeating: "Subject: prova\r\n", count: 10_000))
    try SealedArchive.write(
      [member("message.eml", pieces), member("empty", []), member("README.txt", [text])], password: "una parola d'ordine", to: zip)

    var facts = stat()
    #expect(lstat(zip, &facts) == 0)
    #expect(facts.st_mode & 0o777 == 0o600)
    let listing = try desk.sevenZip("l", "-slt", zip)
    #expect(listing.code == 0)
    #expect(listing.words.components(separatedBy: "AES-256").count - 1 >= 2, "\(listing.words)")
    #expect(!listing.words.contains("ZipCrypto"))

    #expect(try desk.sevenZip("t", "-pun'altra parola", zip).code != 0)
    let right = try desk.sevenZip("x", "-puna parola d'ordine", "-o\(desk.path)/there", zip)
    #expect(right.code == 0, "\(right.words)")
    #expect(desk.content("there/message.eml") == noise)
    #expect(desk.content("there/empty") == [])
    #expect(desk.content("there/README.txt") == text.array)
    // No trace of the content in the clear.
    #expect(try #require(desk.content("out.zip")).split(separator: 10).allSatisfy { !$0.starts(with: Array("Subject".utf8)) })
  }

  @Test func nothingIsOverwritten() throws {
    try Data("mine".utf8).write(to: URL(fileURLWithPath: zip))
    #expect(throws: SealedArchiveError.exists(path: zip)) {
      try SealedArchive.write([member("a", [Chunk("x")])], password: "12345678", to: zip)
    }
    #expect(desk.content("out.zip") == Array("mine".utf8))
    let link = "\(desk.path)/link.zip"
    #expect(symlink("\(desk.path)/nowhere", link) == 0)
    #expect(throws: SealedArchiveError.exists(path: link)) {
      try SealedArchive.write([member("a", [Chunk("x")])], password: "12345678", to: link)
    }
    #expect(desk.content("nowhere") == nil)
  }

  @Test func errorsAreNamed() {
    let path = "\(desk.path)/no/folder.zip"
    #expect(throws: SealedArchiveError.system(operation: "make", path: path, code: ENOENT)) {
      try SealedArchive.write([member("a", [Chunk("x")])], password: "12345678", to: path)
    }
    for members in [[], [member("", [])], [member("a", []), member("a", [])], [member("a\0b", [])]] {
      #expect(throws: SealedArchiveError.unusableMembers) { try SealedArchive.write(members, password: "12345678", to: zip) }
    }
    for password in ["", "1234567", "città di mare", "tab\tulator", String(repeating: "x", count: 128)] {
      #expect(throws: SealedArchiveError.unusablePassword) {
        try SealedArchive.write([member("a", [Chunk("x")])], password: password, to: zip)
      }
    }
    #expect(desk.content("out.zip") == nil)
    #expect("\(SealedArchiveError.exists(path: "/x.zip"))" == "/x.zip is there already, and is not overwritten")
  }

  @Test func passwordsAreNewAndUsable() {
    let made = (0..<100).map { _ in SealedArchive.makePassword() }
    #expect(Set(made).count == 100)
    for password in made {
      #expect(SealedArchive.isUsable(password))
      #expect(password.wholeMatch(of: /[a-km-np-z2-9]{5}(-[a-km-np-z2-9]{5}){4}/) != nil, "\(password)")
    }
  }
}
