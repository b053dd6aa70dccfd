import Configuration
import Foundation
import Testing

@testable import Laboratory

/// The scanner's signatures that a laboratory makes.
@Suite struct SignatureDatabaseTests {
  @Test func theLaboratoryScansWithItsOwnSignaturesOrTheOfficialOnes() throws {
    let laboratory = try LabWorld.shared.get().laboratory
    let lines = try String(contentsOfFile: "\(laboratory.signaturesFolder)/laboratory.ndb", encoding: .utf8).split(separator: "\n")
    #expect(lines.count == 4)
    // ClamAV's own form: four fields, and a pattern of whole octets and wildcards.
    for line in lines { #expect(line.wholeMatch(of: /[A-Za-z0-9-]+:0:\*:([0-9a-f]{2})+(\*([0-9a-f]{2})+)*/) != nil, "\(line)") }
    for provider in LabProvider.running {
      let configuration = try GatewayConfiguration.load(path: laboratory.configurationFile(of: provider))
      let own = LaboratorySignatures.database(own: laboratory.signaturesFolder)
      #expect(configuration.scanner?.database == own)
    }
  }

  /// ClamAV's own tool must take the file, and find EICAR's string by it.
  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/clamscan")))
  func clamAVTakesTheSignatures() throws {
    let laboratory = try LabWorld.shared.get().laboratory
    let (infected, clean) = ("\(laboratory.directory)/infected", "\(laboratory.directory)/clean")
    try LaboratorySignatures.testString.write(toFile: infected, atomically: true, encoding: .utf8)
    try "Buongiorno.\n".write(toFile: clean, atomically: true, encoding: .utf8)
    #expect(LaboratorySignatures.testString.utf8.count == 68)
    for (file, status) in [(infected, Int32(1)), (clean, 0)] {
      let clamscan = Process()
      clamscan.executableURL = URL(fileURLWithPath: "/usr/bin/clamscan")
      clamscan.arguments = ["--database=\(laboratory.signaturesFolder)", "--no-summary", file]
      let output = Pipe()
      clamscan.standardOutput = output
      try clamscan.run()
      let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      clamscan.waitUntilExit()
      #expect(clamscan.terminationStatus == status, "\(text)")
      #expect(text.contains("Eicar-Test-Signature") == (status == 1), "\(text)")
    }
  }

  @Test func aFolderThatOthersMayNotPassIsNamed() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("way-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder + "/inner", withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    for path in [folder, folder + "/inner"] { try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path) }
    #expect(LaboratorySignatures.obstacle(onTheWayTo: folder + "/inner") == nil)
    try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: folder)
    #expect(LaboratorySignatures.obstacle(onTheWayTo: folder + "/inner") == folder)
  }
}
