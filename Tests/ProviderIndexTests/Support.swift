import Foundation

/// A folder of the test's own, removed after.
final class IndexFolder {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.path + "/index-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func write(_ octets: some Sequence<UInt8>, _ name: String) throws { try Data(octets).write(to: URL(filePath: path + "/" + name)) }
  func read(_ name: String) -> [UInt8]? { (try? Data(contentsOf: URL(filePath: path + "/" + name))).map(Array.init) }
  func names(_ folder: String) -> [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path + "/" + folder)) ?? []).sorted() }

  struct ToolFailure: Error, CustomStringConvertible {
    var description: String
  }

  /// Runs a tool in the folder; its output, or an error with what it said.
  func run(_ arguments: [String]) throws -> String {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = arguments
    process.currentDirectoryURL = URL(filePath: path)
    let out = Pipe()
    process.standardOutput = out
    process.standardError = out
    try process.run()
    let said = String(decoding: out.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw ToolFailure(description: said.split(separator: "\n").first.map(String.init) ?? "no word")
    }
    return said
  }
}

/// A record of an index, as each test wants it.
struct SampleRecord {
  var name: String
  var unit: String?
  var domains: [String]
  /// Octets behind the first of each certificate.
  var certificates: [UInt8] = [1]
  var receipt: String?
  var url: String?

  /// The digest that goes with the samples: no SHA-1, but forty digits that depend on the octets.
  static func digest(_ octets: [UInt8]) -> String {
    let sum = octets.reduce(UInt64(7)) { $0 &* 31 &+ UInt64($1) }
    return String(repeating: "0", count: 20) + String(String(sum + 1_000_000, radix: 16).suffix(20)).leftPadded(20)
  }

  var text: String {
    let main = "providerName=\(name),o=postacert"
    var lines = ["dn: " + (unit.map { "providerUnit=\($0),\(main)" } ?? main), "objectClass: provider", "providerName: \(name)"]
    if let unit { lines.append("providerUnit: \(unit)") }
    for certificate in certificates {
      let octets = [0x30, certificate, UInt8(truncatingIfNeeded: name.utf8.count), name.utf8.first ?? 0]
      lines.append("providerCertificateHash: \(SampleRecord.digest(octets))")
      lines.append("providerCertificate;binary:: \(Data(octets).base64EncodedString())")
    }
    lines.append("mailReceipt: \(receipt ?? "r@" + domains[0])")
    if let url { lines.append("LDIFLocationURL: \(url)") }
    return (lines + domains.map { "managedDomains: \($0)" }).joined(separator: "\n") + "\n\n"
  }
}

extension String {
  fileprivate func leftPadded(_ width: Int) -> String { String(repeating: "0", count: max(0, width - count)) + self }
}

/// An index file of samples.
func ldif(_ records: [SampleRecord]) -> [UInt8] { Array(("version: 1\n\n" + records.map(\.text).joined()).utf8) }
