import Foundation
import Glibc
import Testing

@testable import Supervision

@Suite("files in a folder of another's")
struct GuardedFilesTests {
  private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("guarded-\(UUID().uuidString)").path

  init() throws { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) }

  private func mode(_ path: String) -> Int? {
    (try? FileManager.default.attributesOfItem(atPath: path))?[.posixPermissions].flatMap { ($0 as? NSNumber)?.intValue }
  }

  @Test("a new file is its owner's alone before anything is in it, and never one that is there, or where a link leads")
  func create() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = "\(folder)/key"
    let descriptor = try GuardedFiles.create(path)
    #expect(mode(path) == 0o600)
    try GuardedFiles.setMode(descriptor, 0o640, path: path)
    #expect(mode(path) == 0o640)
    close(descriptor)
    #expect(throws: FileCallError(operation: "make", path: path, code: EEXIST)) { try GuardedFiles.create(path) }
    try FileManager.default.createSymbolicLink(atPath: "\(folder)/link", withDestinationPath: "\(folder)/elsewhere")
    #expect(throws: FileCallError.self) { try GuardedFiles.create("\(folder)/link") }
    #expect(!FileManager.default.fileExists(atPath: "\(folder)/elsewhere"))
  }

  @Test("a file below a folder is reached through folders alone")
  func below() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try FileManager.default.createDirectory(atPath: "\(folder)/a/b", withIntermediateDirectories: true)
    try Data("x".utf8).write(to: URL(fileURLWithPath: "\(folder)/a/b/file"))
    try FileManager.default.createSymbolicLink(atPath: "\(folder)/link", withDestinationPath: "\(folder)/a")
    try FileManager.default.createSymbolicLink(atPath: "\(folder)/a/link", withDestinationPath: "b/file")
    close(try GuardedFiles.open("a/b/file", below: folder))
    // The folder itself is the operator's word.
    close(try GuardedFiles.open("b/file", below: "\(folder)/link"))
    for name in ["link/b/file", "a/link", "a/b", "a/none", ""] {
      #expect(throws: FileCallError.self, "\(name)") { try GuardedFiles.open(name, below: folder) }
    }
  }

  @Test("a folder is held by one at a time, and only an empty folder is removed from it")
  func hold() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var held = try HeldFolder.lock(folder)
    #expect(held != nil)
    #expect(try HeldFolder.lock(folder) == nil)
    try FileManager.default.createDirectory(atPath: "\(folder)/mark/inside", withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(atPath: "\(folder)/link", withDestinationPath: "\(folder)/mark/inside")
    #expect(throws: FileCallError.self) { try held?.removeFolder("mark") }
    #expect(throws: FileCallError.self) { try held?.removeFolder("link") }
    try FileManager.default.removeItem(atPath: "\(folder)/mark/inside")
    try held?.removeFolder("mark")
    try held?.sync()
    held = nil
    #expect(try HeldFolder.lock(folder) != nil)
    #expect(throws: FileCallError.self) { try HeldFolder.lock("\(folder)/mark") }
  }
}
