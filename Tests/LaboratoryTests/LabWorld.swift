import Foundation
import Logging
import Octets
import PEC
import Synchronization
import Testing

@testable import Laboratory

/// A laboratory's folder with all its keys and files, nothing of it running; made once for all tests of this target.
struct LabWorld: Sendable {
  let directory: String
  static let shared = Result { try LabWorld() }
  /// The time that messages of these tests certify.
  let now = Int64(Date().timeIntervalSince1970)

  private init() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("world-\(UUID().uuidString)").path
    let laboratory = Laboratory(directory: folder, basePort: 25_000, logger: Logger(label: "test"))
    try laboratory.prepare()
    directory = laboratory.directory
    worldFolder.withLock { $0 = folder }
    atexit { worldFolder.withLock { if let made = $0 { try? FileManager.default.removeItem(atPath: made) } } }
  }

  var laboratory: Laboratory { Laboratory(directory: directory, basePort: 25_000, logger: Logger(label: "test")) }
  func path(_ name: String) -> String { "\(directory)/\(name)" }
  func octets(_ name: String) throws -> [UInt8] { try [UInt8](Data(contentsOf: URL(fileURLWithPath: path(name)))) }
  func write(_ octets: [UInt8], to name: String) throws { try Data(octets).write(to: URL(fileURLWithPath: path(name))) }

  // MARK: Messages made by `openssl`

  /// A certified message as another provider would make it.
  struct Message {
    var header = "X-Ricevuta: accettazione\n"
    var from = "posta-certificata@pec.alfa.test"
    var data: CertificationData?
    var hasOriginal = false
  }

  /// Certification data with all that one type or another needs.
  func data(_ type: CertificationType, receiptType: ReceiptType? = nil, at: Int64? = nil) -> CertificationData {
    CertificationData(
      type: type, error: .none, sender: "anna@pec.alfa.test",
      recipients: [Recipient(address: "bruno@pec.beta.test", recipientClass: .certified)], replyTo: "anna@pec.alfa.test",
      subject: "Prova", provider: "Alfa PEC S.p.A.", instant: Instant(unixSeconds: at ?? now, utcOffsetSeconds: 3600),
      pecID: "alfa1.1@pec.alfa.test", clientMessageID: "<1@mua.test>", receiptType: receiptType, delivery: "bruno@pec.beta.test",
      receptions: ["bruno@pec.beta.test"])
  }

  /// The message's text, signed with the key and certificate of a PEM file; unsigned, with an empty signature, when nil.
  func made(_ message: Message, signer: String?) throws -> [UInt8] {
    var content = "Content-Type: multipart/mixed; boundary=\"m\"\n\n--m\nContent-Type: text/plain\n\nRicevuta\n"
    if let data = message.data {
      content += "--m\nContent-Type: application/xml; name=\"daticert.xml\"\nContent-Transfer-Encoding: base64\n\n"
      content += Data(data.xml()).base64EncodedString(options: [.lineLength64Characters, .endLineWithLineFeed]) + "\n"
    }
    if message.hasOriginal {
      content += "--m\nContent-Type: message/rfc822; name=\"postacert.eml\"\n\n"
      content += "Message-ID: <alfa1.1@pec.alfa.test>\nFrom: anna@pec.alfa.test\n\nCiao\n"
    }
    content += "--m--\n"
    let head =
      "From: \(message.from)\nTo: anna@pec.alfa.test\nSubject: ACCETTAZIONE: Prova\nMessage-ID: <alfa1.1@pec.alfa.test>\n\(message.header)"
    guard let signer else {
      return Array(
        (head + "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; boundary=\"s\"\n\n--s\n" + content
          + "\n--s\nContent-Type: application/pkcs7-signature; name=\"smime.p7s\"\n\n\n--s--\n").utf8)
    }
    let (input, output) = (path("\(UUID().uuidString).in"), path("\(UUID().uuidString).out"))
    defer { for file in [input, output] { try? FileManager.default.removeItem(atPath: file) } }
    try content.write(toFile: input, atomically: true, encoding: .utf8)
    let status = try openssl("cms", "-sign", "-md", "sha256", "-in", input, "-signer", signer, "-out", output).status
    try #require(status == 0)
    return Array(head.utf8) + (try [UInt8](Data(contentsOf: URL(fileURLWithPath: output))))
  }
}

/// Runs the `openssl` command.
@discardableResult
func openssl(_ arguments: String...) throws -> (status: Int32, text: String) {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = ["openssl"] + arguments
  let pipe = Pipe()
  process.standardOutput = pipe
  process.standardError = FileHandle.nullDevice
  try process.run()
  let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
  process.waitUntilExit()
  return (process.terminationStatus, text)
}

/// The folder to be taken away at the end.
private let worldFolder = Mutex<String?>(nil)
