import Configuration
import Foundation
import Testing

@testable import Operations

/// What `check` says about the scanner, with folders of the test's own.
@Suite struct ScannerInspectionTests {
  private final class Place {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("inspection-\(UUID().uuidString)").path
    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, daysOld: Double = 0, mode: Int = 0o644) throws {
      let attributes: [FileAttributeKey: Any] = [
        .modificationDate: Date(timeIntervalSince1970: 1_800_000_000 - daysOld * 86_400), .posixPermissions: mode,
      ]
      try Data("x".utf8).write(to: URL(fileURLWithPath: path + "/" + name))
      try FileManager.default.setAttributes(attributes, ofItemAtPath: path + "/" + name)
    }
  }

  private func look(_ scanner: ScannerConfiguration?, isRoot: Bool = true) -> Inspection {
    let configuration = GatewayConfiguration(
      hostname: "mx.alfa.test",
      provider: ProviderSettings(name: "Alfa", serviceAddress: "p@alfa.test", node: "n", domains: ["alfa.test"]), dataDirectory: "/data",
      index: IndexSettings(file: "/i"), signer: SignerSettings(certificate: "/c", key: "/k"), tls: nil, usersFile: "/u",
      mailboxes: .maildir(root: "/m"), listeners: [], routes: [], scanner: scanner)
    var inspection = Inspection(now: 1_800_000_000)
    inspection.lookAtScanner(configuration, isRoot: isRoot)
    return inspection
  }

  /// A scanner of which all is there.
  private func whole(_ place: Place) throws -> ScannerConfiguration {
    try place.write("main.cvd", daysOld: 100)
    try place.write("daily.cld", daysOld: 1)
    try place.write("freshclam.dat")
    try place.write("ceralacca-scanner", mode: 0o755)
    return ScannerConfiguration(
      database: place.path, workers: 2, user: "root", temporary: place.path, executable: place.path + "/ceralacca-scanner")
  }

  @Test func off() {
    let found = look(nil)
    #expect(found.errors == [] && found.facts == [])
    #expect(found.warnings.count == 1 && found.warnings[0].hasPrefix("scanner: off: NOTHING IS SCANNED"))
  }

  @Test func allIsThere() throws {
    let place = try Place()
    let found = look(try whole(place))
    #expect(found.errors == [])
    #expect(found.facts.contains("scanner: signatures in \(place.path): 2 files, the newest daily.cld of 2027-01-14"))
    #expect(found.facts.contains("scanner: \(place.path)/ceralacca-scanner"))
    #expect(found.facts.contains("scanner: 2 workers, 1024 MB of memory each, 120 s a message, as user root"))
    #expect(found.facts.contains("scanner: encrypted archives and documents, which nobody can look into, pass; the log says so"))
    #expect(
      found.facts.contains(
        "scanner: while it is down, submissions are answered 451 after each message, port 25 451 after each message; "
          + "nothing passes unscanned"))
  }

  @Test func staleSignatures() throws {
    let place = try Place()
    let scanner = try whole(place)
    try place.write("daily.cld", daysOld: 8.5)
    try place.write("own.ndb")
    #expect(look(scanner).warnings.contains("scanner: the signatures in \(place.path) are 8 days old: does freshclam run?"))
    try place.write("daily.cld", daysOld: 6.5)
    #expect(!look(scanner).warnings.contains { $0.contains("days old") })
    // One's own signatures have no age.
    var own = scanner
    own.database = place.path + "/own.ndb"
    try place.write("own.ndb", daysOld: 1000)
    #expect(!look(own).warnings.contains { $0.contains("days old") })
    #expect(look(own).facts.contains { $0.hasPrefix("scanner: signatures in \(own.database): 1 file, the newest own.ndb of 2024-") })
  }

  @Test(arguments: ["nowhere", "empty"])
  func noSignatures(name: String) throws {
    let place = try Place()
    var scanner = try whole(place)
    scanner.database = place.path + "/" + name
    if name == "empty" {
      try FileManager.default.createDirectory(atPath: scanner.database, withIntermediateDirectories: true)
      try place.write("empty/README")
    }
    let found = look(scanner)
    #expect(
      found.errors == [
        "scanner: there are no signatures in \(scanner.database), and no mail would be taken: run freshclam, or name another place "
          + "with scanner.database"
      ])
  }

  @Test func noExecutable() throws {
    let place = try Place()
    var scanner = try whole(place)
    try place.write("ceralacca-scanner", mode: 0o644)
    #expect(look(scanner).errors.count == 1 && look(scanner).errors[0].contains("ceralacca-scanner is not there or cannot be run"))
    scanner.executable = place.path
    #expect(look(scanner).errors.count == 1)
  }

  @Test func noUser() throws {
    let place = try Place()
    var scanner = try whole(place)
    scanner.user = "nobody-of-this-name"
    #expect(look(scanner).errors.count == 1 && look(scanner).errors[0].hasPrefix("scanner: there is no user 'nobody-of-this-name'"))
    let plain = look(scanner, isRoot: false)
    #expect(plain.errors == [] && plain.warnings.contains { $0.contains("there is no user 'nobody-of-this-name'") })
  }

  @Test func noTemporaryFolder() throws {
    let place = try Place()
    var scanner = try whole(place)
    scanner.temporary = place.path + "/none"
    #expect(look(scanner).errors.count == 1 && look(scanner).errors[0].contains("the temporary folder \(place.path)/none is not there"))
    scanner.temporary = place.path
    scanner.limits.maximumFileBytes = 1 << 60
    #expect(look(scanner).warnings.contains { $0.contains("has only") })
  }

  @Test func degradedModes() throws {
    let place = try Place()
    var scanner = try whole(place)
    scanner.encrypted = .refuse
    scanner.beyondLimits = .accept
    scanner.infectedOrdinaryMail = .discard
    scanner.whenDown = ScannerOutage(submission: .connection, incoming: .message)
    let found = look(scanner)
    #expect(found.facts.contains("scanner: encrypted archives and documents are treated as infected"))
    #expect(found.facts.contains("scanner: infected ordinary mail is taken, kept in the quarantine and dropped"))
    #expect(found.warnings.contains { $0.contains("PASSES without a full look") })
    #expect(found.facts.contains { $0.contains("submissions are answered 421 at connect, port 25 451 after each message") })
  }

  @Test(
    arguments: [
      ("/dev/shm", "tmpfs"), ("/dev/shm/x", "tmpfs"), ("/dev/shmx", "devtmpfs"), ("/srv/a b/c", "xfs"), ("/etc", "ext4"), ("/", "ext4"),
      ("/twice/x", "tmpfs"),
    ])
  func fileSystems(path: String, kind: String) {
    let mounts = """
      /dev/vda / ext4 rw,relatime 0 0
      udev /dev devtmpfs rw 0 0
      tmpfs /dev/shm tmpfs rw 0 0
      /dev/vdb /srv/a\\040b xfs rw 0 0
      /dev/vdc /twice ext4 rw 0 0
      tmpfs /twice tmpfs rw 0 0
      short line
      """
    #expect(Inspection.fileSystem(of: path, mounts: mounts) == kind)
    #expect(Inspection.fileSystem(of: path, mounts: "") == nil)
  }
}
