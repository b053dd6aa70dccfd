import Foundation
import Glibc
import Octets
import Testing

@testable import Mailstore

/// A folder that goes with the test.
final class Folder: Sendable {
  let path: String

  init() {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("mail-test-\(UUID().uuidString)").path
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit {
    chmod(path, 0o700)
    try? FileManager.default.removeItem(atPath: path)
  }

  func names(_ below: String) -> [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path + "/" + below)) ?? []).sorted() }
  func content(_ below: String) -> [UInt8] { FileManager.default.contents(atPath: path + "/" + below).map { [UInt8]($0) } ?? [] }
  func mode(_ below: String) -> Int {
    ((try? FileManager.default.attributesOfItem(atPath: path + "/" + below))?[.posixPermissions] as? Int) ?? 0
  }
}

@Suite struct MaildirTests {
  let folder = Folder()
  let message = [Chunk("From: x\r\n"), Chunk(""), Chunk("\r\nciao\r\n")]
  let text = "From: x\r\n\r\nciao\r\n"

  private func maildir() throws -> Maildir { try Maildir(root: folder.path + "/mail", hostname: "mail.alfa.test") }

  @Test func delivery() throws {
    let mail = try maildir()
    let outcome = try mail.deliver(address: "Anna@pec.Alfa.test", uniqueName: "opec1.x", content: message, returnPath: "posta@x")
    #expect(outcome == .stored)
    #expect(folder.names("mail") == ["anna@pec.alfa.test"])
    #expect(folder.names("mail/anna@pec.alfa.test") == ["cur", "new", "tmp"])
    #expect(folder.names("mail/anna@pec.alfa.test/new") == ["opec1.x"])
    #expect(folder.names("mail/anna@pec.alfa.test/tmp").isEmpty)
    #expect(folder.content("mail/anna@pec.alfa.test/new/opec1.x") == Array("Return-Path: <posta@x>\r\n\(text)".utf8))
    #expect(folder.mode("mail/anna@pec.alfa.test/new/opec1.x") == 0o600)
    for name in [
      "mail", "mail/anna@pec.alfa.test", "mail/anna@pec.alfa.test/tmp", "mail/anna@pec.alfa.test/new", "mail/anna@pec.alfa.test/cur",
    ] {
      #expect(folder.mode(name) == 0o700, "\(name)")
    }
  }

  @Test func returnPaths() throws {
    let mail = try maildir()
    _ = try mail.deliver(address: "a@x", uniqueName: "none", content: message, returnPath: nil)
    _ = try mail.deliver(address: "a@x", uniqueName: "empty", content: message, returnPath: "")
    #expect(folder.content("mail/a@x/new/none") == Array(text.utf8))
    #expect(folder.content("mail/a@x/new/empty") == Array("Return-Path: <>\r\n\(text)".utf8))
    for odd in ["a@x\r\nX: y", "a\n", "<a@x>", "a>b", "\u{0}", "a\u{7F}"] {
      #expect(throws: MailstoreError.unusableReturnPath) {
        try mail.deliver(address: "a@x", uniqueName: "odd", content: message, returnPath: odd)
      }
    }
    #expect(folder.names("mail/a@x/new") == ["empty", "none"])
  }

  @Test func theSameMessageIsDeliveredOnce() throws {
    let mail = try maildir()
    #expect(try mail.deliver(address: "a@x", uniqueName: "m", content: message, returnPath: nil, checkExisting: false) == .stored)
    for check in [true, false] {
      #expect(try mail.deliver(address: "a@x", uniqueName: "m", content: message, returnPath: nil, checkExisting: check) == .alreadyThere)
    }
    #expect(try mail.deliver(address: "b@x", uniqueName: "m", content: message, returnPath: nil) == .stored)
    #expect(try mail.deliver(address: "a@x", uniqueName: "m2", content: message, returnPath: nil) == .stored)
    #expect(folder.names("mail/a@x/new") == ["m", "m2"])
  }

  /// The run ended after the rename and before the ledger knew; meanwhile a mail reader has been there.
  @Test(arguments: ["m", "m:2,", "m:2,FS", "m,S=40:2,S"])
  func whatAReaderMovedIsFound(name: String) throws {
    let mail = try maildir()
    _ = try mail.deliver(address: "a@x", uniqueName: "m", content: message, returnPath: nil)
    try FileManager.default.moveItem(atPath: folder.path + "/mail/a@x/new/m", toPath: folder.path + "/mail/a@x/cur/" + name)
    #expect(try mail.deliver(address: "a@x", uniqueName: "m", content: message, returnPath: nil) == .alreadyThere)
    #expect(folder.names("mail/a@x/new").isEmpty)
    #expect(try mail.deliver(address: "a@x", uniqueName: "m.2", content: message, returnPath: nil) == .stored)
    #expect(try mail.deliver(address: "a@x", uniqueName: "m", content: message, returnPath: nil, checkExisting: false) == .stored)
  }

  /// A mailbox without room gets nothing, and may hold the message from before.
  @Test func whatIsOnlyLookedForIsNotWritten() throws {
    let mail = try maildir()
    var delivery = MaildirDelivery(address: "a@x", uniqueName: "m", content: message, returnPath: nil)
    delivery.isLookedFor = true
    #expect(try mail.deliverAll([delivery, delivery]).map { try $0.get() } == [.absent, .absent])
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/mail/a@x"))
    _ = try mail.deliver(address: "a@x", uniqueName: "m", content: message, returnPath: nil)
    #expect(try mail.deliverAll([delivery]).map { try $0.get() } == [.alreadyThere])
    try FileManager.default.moveItem(atPath: folder.path + "/mail/a@x/new/m", toPath: folder.path + "/mail/a@x/cur/m:2,S")
    #expect(try mail.deliverAll([delivery]).map { try $0.get() } == [.alreadyThere])
    #expect(folder.names("mail/a@x/new").isEmpty)
  }

  @Test func aGroupSharesTheWorkAndNotTheFaults() throws {
    let mail = try maildir()
    _ = try mail.deliver(address: "b@x", uniqueName: "old", content: message, returnPath: nil)
    let results = mail.deliverAll([
      MaildirDelivery(address: "a@x", uniqueName: "1", content: message, returnPath: "s@x"),
      MaildirDelivery(address: "b@x", uniqueName: "1", content: message, returnPath: "s@x"),
      MaildirDelivery(address: "", uniqueName: "1", content: message, returnPath: nil),
      MaildirDelivery(address: "b@x", uniqueName: "old", content: message, returnPath: nil),
      MaildirDelivery(address: "a@x", uniqueName: "1", content: message, returnPath: "s@x"),
      MaildirDelivery(address: "a@x", uniqueName: "", content: message, returnPath: nil),
      MaildirDelivery(address: "a@x", uniqueName: "2", content: [], returnPath: nil),
      MaildirDelivery(address: "A@X", uniqueName: "1", content: message, returnPath: "s@x"),
    ])
    #expect(
      results == [
        .success(.stored), .success(.stored), .failure(.unusableAddress("")), .success(.alreadyThere), .success(.alreadyThere),
        .failure(.unusableName("")), .success(.stored), .success(.alreadyThere),
      ])
    #expect(folder.names("mail/a@x/new") == ["1", "2"])
    #expect(folder.names("mail/b@x/new") == ["1", "old"])
    #expect(folder.content("mail/a@x/new/2").isEmpty)
    #expect(mail.deliverAll([]).isEmpty)
  }

  @Test func moreThanOneGroup() throws {
    let mail = try maildir()
    let results = mail.deliverAll(
      (0..<150).map { MaildirDelivery(address: "u\($0 % 7)@x", uniqueName: "m\($0)", content: [Chunk("\($0)")], returnPath: nil) })
    #expect(results == [Result<MaildirOutcome, MailstoreError>](repeating: .success(.stored), count: 150))
    #expect((0..<7).reduce(0) { $0 + folder.names("mail/u\($1)@x/new").count } == 150)
    #expect(folder.content("mail/u2@x/new/m149") == Array("149".utf8))
  }

  @Test func manyPieces() throws {
    let mail = try maildir()
    let pieces = (0..<2000).map { Chunk([UInt8(truncatingIfNeeded: $0), 0, 255]) }
    _ = try mail.deliver(address: "a@x", uniqueName: "m", content: pieces, returnPath: nil)
    #expect(folder.content("mail/a@x/new/m") == pieces.flatMap(\.array))
  }

  @Test func leftoversGoAndOthersStay() throws {
    let mail = try maildir()
    let long = String(repeating: "l", count: 300) + "@x"
    for address in ["a@x", long] {
      _ = try mail.deliver(address: address, uniqueName: "m", content: message, returnPath: nil)
      let tmp = try mail.folder(of: address) + "/tmp/"
      for (name, age) in [("ceralacca.mail.alfa.test.1.aa", 7200.0), ("ceralacca.mail.alfa.test.1.bb", 10), ("1700.dovecot", 900_000)] {
        _ = FileManager.default.createFile(atPath: tmp + name, contents: Data())
        try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSinceNow: -age)], ofItemAtPath: tmp + name)
      }
    }
    let again = try maildir()
    for address in ["a@x", long] {
      let left = try FileManager.default.contentsOfDirectory(atPath: again.folder(of: address) + "/tmp").sorted()
      #expect(left == ["1700.dovecot", "ceralacca.mail.alfa.test.1.bb"])
    }
    #expect(again.removeStaleTemporaries(olderThanSeconds: 0) == 2)
    #expect(folder.names("mail/a@x/new") == ["m"])
  }

  @Test func faultsOfTheSystemAreTemporary() throws {
    let mail = try maildir()
    // A file where the mailbox should be.
    _ = FileManager.default.createFile(atPath: folder.path + "/mail/a@x", contents: Data())
    let error = #expect(throws: MailstoreError.self) {
      try mail.deliver(address: "a@x", uniqueName: "m", content: message, returnPath: nil)
    }
    #expect(error?.isTemporary == true)
    for code in [ENOSPC, EDQUOT, EIO, EMFILE, EACCES, EROFS, ENOTDIR, ENOMEM] {
      #expect(MailstoreError.system(operation: "write", path: "p", code: code).isTemporary)
    }
    for error in [
      MailstoreError.unusableAddress(""), .unusableName(""), .unusableReturnPath, .system(operation: "write", path: "p", code: EFBIG),
    ] {
      #expect(!error.isTemporary)
    }
    #expect(MailstoreError.system(operation: "write", path: "p", code: ENOSPC).description.contains("free some space"))
    #expect(throws: MailstoreError.self) { try Maildir(root: folder.path + "/no/such/root") }
  }

  @Test func aMailboxThatCannotBeWrittenLeavesNothingBehind() throws {
    let mail = try maildir()
    _ = try mail.deliver(address: "a@x", uniqueName: "m", content: message, returnPath: nil)
    // The message's name is taken by a folder: the rename fails.
    try FileManager.default.createDirectory(atPath: folder.path + "/mail/a@x/cur/z", withIntermediateDirectories: true)
    try FileManager.default.removeItem(atPath: folder.path + "/mail/a@x/new")
    let error = #expect(throws: MailstoreError.self) {
      try mail.deliver(address: "a@x", uniqueName: "m2", content: message, returnPath: nil)
    }
    #expect(error?.isTemporary == true)
    #expect(folder.names("mail/a@x/tmp").isEmpty)
  }
}

@Suite struct FolderNameTests {
  @Test(arguments: [
    ("anna@pec.alfa.test", "anna@pec.alfa.test"), ("Anna.Rossi+x=1_2-3@X", "anna.rossi+x=1_2-3@x"), (".", "%2e"), ("..", "%2e."),
    ("../../etc/passwd", "%2e.%2f..%2fetc%2fpasswd"), (".hidden@x", "%2ehidden@x"), ("a/b@x", "a%2fb@x"), ("a\u{0}b", "a%00b"),
    ("\"a b\"@x", "%22a%20b%22@x"), ("a%2fb@x", "a%252fb@x"), ("é@x", "%c3%a9@x"), ("a:2,S@x", "a%3a2%2cs@x"), ("\r\n", "%0d%0a"),
    ("~root", "%7eroot"), ("*?", "%2a%3f"),
  ])
  func names(address: String, expected: String) {
    #expect(FolderName.path(of: address) == expected)
  }

  @Test func noAddressNoName() {
    #expect(FolderName.path(of: "") == nil)
    #expect(FolderName.file("") == nil)
    #expect(FolderName.file("Opec.ABC-1") == "Opec.ABC-1")
    #expect(FolderName.file("a/b:2,S") == "a%2fb%3a2%2cS")
    #expect(FolderName.file(String(repeating: "x", count: 200))?.count == 200)
    #expect(FolderName.file(String(repeating: "x", count: 201)) == nil)
    #expect(FolderName.file(String(repeating: "/", count: 70)) == nil)
  }

  @Test func longAddressesGoDownInSteps() throws {
    let long = String(repeating: "a", count: 450)
    let path = try #require(FolderName.path(of: long))
    #expect(path.split(separator: "/").map(\.count) == [201, 201, 50])
    let dots = String(repeating: "a", count: 200) + ".."
    #expect(FolderName.path(of: dots) == String(repeating: "a", count: 200) + "%/%2e.")
  }

  /// No two addresses share a folder, none leaves the root, and every step is a name that a file system takes.
  @Test func oneFolderForEachAddress() {
    let letters = ["a", "b", ".", "%", "/", "2", "e", "\u{0}", "é", "@", "..", "%2e", String(repeating: "x", count: 199)]
    var seen: [String: String] = [:]
    var state: UInt64 = 42
    for _ in 0..<5000 {
      var address = ""
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      for step in 0..<Int(state >> 60) % 5 + 1 { address += letters[Int(state >> (8 + 8 * UInt64(step))) % letters.count] }
      guard let path = FolderName.path(of: address) else {
        Issue.record("no folder for \(address)")
        continue
      }
      if let other = seen[path] { #expect(other == address, "\(path)") }
      seen[path] = address
      let isSafe = path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { step in
        !step.isEmpty && step.utf8.count <= 255 && !step.hasPrefix(".") && step.utf8.allSatisfy { $0 > 32 && $0 < 127 }
      }
      #expect(isSafe, "\(path)")
    }
  }
}
