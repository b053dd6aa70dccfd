import Foundation
import Journey
import Octets
import PEC
import Testing

@testable import Operations

/// `ceralacca verify` over files that are no whole extracts.
@Suite struct VerifyCommandTests {
  private final class Place {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("verify-\(UUID().uuidString)").path
    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String, _ octets: [UInt8]) throws -> String {
      try Data(octets).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
      return "\(path)/\(name)"
    }

    /// An authority's certificate, made by openssl.
    func certificate() throws -> String {
      let openssl = Process()
      openssl.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
      openssl.arguments = [
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=CA", "-days", "30", "-keyout",
        "\(path)/ca.key", "-out", "\(path)/ca.pem",
      ]
      openssl.standardError = FileHandle.nullDevice
      try openssl.run()
      openssl.waitUntilExit()
      return "\(path)/ca.pem"
    }
  }

  /// Runs the command: what it says, and how it ends.
  private func verify(_ files: [String], ca: String, stamps: [String] = [], json: Bool) throws -> (said: [String], code: Int32?) {
    var said: [String] = []
    let verifier = try MessageVerifier(authority: ca)
    do {
      try VerifyCommand.run(files: files, verifier: verifier, authorities: [ca], stampAuthorities: stamps, json: json) { said.append($0) }
      return (said, nil)
    } catch let failure as CommandFailure { return (said, failure.exitCode) }
  }

  @Test func aDamagedArchiveDoesNotKeepTheOthersFromBeingLookedAt() throws {
    let place = try Place()
    let ca = try place.certificate()
    let damaged = try place.file("damaged.zip", [0x50, 0x4B, 3, 4] + [UInt8](repeating: 7, count: 100))
    let message = try place.file("message.eml", Array("Subject: x\r\n\r\nx\r\n".utf8))
    let files = [damaged, message, "\(place.path)/nowhere", damaged]
    let found = try verify([damaged, message, damaged], ca: ca, json: false)
    #expect(found.code == 65 && found.said.count == 4 && found.said.last == "0 of 3 hold.", "\(found)")
    #expect(found.said[0].contains("FAULT: \(damaged): the zip archive cannot be read") && !found.said[0].contains("be made"))
    let lines = try verify(files, ca: ca, json: true)
    #expect(lines.code == 66 && lines.said.count == 4)
    let kinds = try lines.said.map { try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any] }
    #expect(kinds.map { $0?["holds"] as? Bool } == [false, false, false, false])
    #expect((kinds[0]?["faults"] as? [String])?.count == 1 && kinds[0]?["kind"] as? String == "extract")
  }

  @Test func whatCannotBeReadIsAFindingToo() throws {
    let place = try Place()
    let ca = try place.certificate()
    // A folder in which a link stands instead of a file.
    try FileManager.default.createDirectory(atPath: "\(place.path)/folder", withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(atPath: "\(place.path)/folder/dati.txt", withDestinationPath: ca)
    let found = try verify(["\(place.path)/folder", "\(place.path)/folder"], ca: ca, json: false)
    #expect(found.code == 66 && found.said.count == 3 && found.said[0].contains("folder: cannot be read: "), "\(found)")
  }

  @Test func authoritiesThatCannotBeReadAreToldOnce() throws {
    let place = try Place()
    let ca = try place.certificate()
    let damaged = try place.file("damaged.zip", [0x50, 0x4B, 3, 4])
    let found = try verify([damaged, damaged], ca: ca, stamps: ["\(place.path)/nowhere.pem"], json: false)
    #expect(found.code == 66 && found.said == [])
  }
}

/// What `ceralacca log extract` gives away.
@Suite struct ExtractCommandTests {
  private static func row(_ number: Int64, _ kind: EventKind, _ id: String = "", recipient: String = "bruno@pec.beta.test") -> EventRecord {
    EventRecord(
      number: number, pecID: id, instant: Instant(unixSeconds: 1_800_000_000 + number, utcOffsetSeconds: 3600), kind: kind,
      sender: id.isEmpty ? "" : "anna@pec.alfa.test",
      recipients: id.isEmpty ? [] : [Recipient(address: recipient, recipientClass: .certified)], subject: nil, clientMessageID: nil,
      relatedIDs: [], provider: "Alfa", bytes: 0)
  }

  private let rows = [
    row(1, .logOpened), row(2, .acceptance, "a"), row(3, .clockAlarm), row(4, .acceptance, "b"), row(5, .delivery, "a"), row(6, .purged),
  ]

  private func chosen(_ numbers: [Int64], for reader: ExtractCommand.Reader) -> [Int64] {
    let found = rows.filter { numbers.contains($0.number ?? 0) }
    return ExtractCommand.chosen(found, for: reader) { id in rows.filter { $0.pecID == id } }.rows.compactMap(\.number)
  }

  @Test func aJudgeIsGivenRowsAboutTheLogItself() {
    let judge = ExtractCommand.Reader.judge(order: "RG 1/2026")
    #expect(chosen([6], for: judge) == [6])
    #expect(chosen([1, 2, 3, 6], for: judge) == [1, 2, 3, 5, 6])
    #expect(chosen([5, 3, 2], for: judge) == [2, 3, 5])
    #expect(chosen([], for: judge) == [])
  }

  @Test func aHolderIsNot() {
    let holder = ExtractCommand.Reader.holder("anna@pec.alfa.test")
    #expect(chosen([1, 3, 6], for: holder) == [])
    #expect(chosen([1, 2, 3, 6], for: holder) == [2, 5])
  }

  @Test func anExtractThatCouldNotBeRecordedIsTold() {
    var remarks: [String] = []
    ExtractCommand.record("3 rows", of: "/nowhere") { remarks.append($0) }
    #expect(remarks.count == 1 && remarks[0].hasPrefix("warning: the extract is good") && remarks[0].contains("is it running?"))
  }
}
