import Configuration
import Foundation
import Testing

@testable import Operations

/// What goes into a backup beside ledger and spool.
@Suite struct BackupSourcesTests {
  private func sources(_ folder: String, withKeys: Bool) -> BackupSources {
    var configuration = GatewayConfiguration(
      hostname: "mx.alfa.test",
      provider: ProviderSettings(name: "Alfa", serviceAddress: "p@alfa.test", node: "n", domains: ["alfa.test"]), dataDirectory: "/data",
      index: IndexSettings(file: "\(folder)/index"),
      signer: SignerSettings(certificate: "\(folder)/c", key: "pkcs11:token=t;object=o?module-path=/lib.so&pin-source=file:\(folder)/pin"),
      tls: nil, usersFile: nil, mailboxes: .lmtp(.unix(path: "/lmtp")), listeners: [], routes: [], scanner: nil)
    configuration.mailboxSearch = MailboxSearchSettings(
      url: "imaps://m:993", caFile: "\(folder)/imap-ca", user: "u", passwordFile: "\(folder)/imap-password")
    var sources = BackupSources(configuration, withKeys: withKeys)
    sources.addConfiguration("\(folder)/yaml")
    return sources
  }

  /// Of everything that a configuration names a backup has a copy, or says that it has none.
  @Test func whatTheConfigurationNamesIsThereOrNamed() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("sources-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let secrets = ["imap-password", "pin"]
    for name in ["index", "c", "yaml", "imap-ca"] + secrets { try Data("x".utf8).write(to: URL(fileURLWithPath: "\(folder)/\(name)")) }
    let without = sources(folder, withKeys: false)
    #expect(Set(without.files.compactMap(\.origin)) == Set(["index", "c", "yaml", "imap-ca"].map { "\(folder)/\($0)" }))
    for name in secrets { #expect(without.leftOut.contains { $0.hasPrefix("\(folder)/\(name), which is secret") }) }
    let with = sources(folder, withKeys: true)
    #expect(Set(secrets.map { "\(folder)/\($0)" }).isSubset(of: Set(with.files.compactMap(\.origin))))
  }
}
