import Foundation
import Octets

/// The laboratory's own signatures for the virus scanner: EICAR's test string, and patterns that occur nowhere else.
public enum LaboratorySignatures {
  /// Where freshclam keeps the official signatures.
  static let officialFolder = "/var/lib/clamav"

  /// EICAR's test string, which every scanner takes for a virus and which harms nobody. In pieces, so that no scanner takes this
  /// program for infected.
  public static let testString = ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE", "!$H+H*"].joined()

  /// The file's lines, of ClamAV's form NAME:TARGET:OFFSET:HEX: target 0 and offset * mean anywhere in anything, * in the pattern
  /// means any octets between.
  static var text: String {
    func hex(_ text: String) -> String { Hex.encode(text.utf8) }
    let signatures = [
      ("Eicar-Test-Signature", hex(testString)),
      ("Ceralacca-Invented-1", hex("CERALACCA-INVENTED-" + "PATTERN-1")),
      ("Ceralacca-Invented-2", hex("CERALACCA-INVENTED-" + "BEGIN-2") + "*" + hex("CERALACCA-INVENTED-" + "END-2")),
      // No text, so that it travels encoded.
      ("Ceralacca-Invented-3", "00cecae1ac" + hex("INVENTED-3") + "ff00feff"),
    ]
    return signatures.map { "\($0):0:*:\($1)\n" }.joined()
  }

  /// The folder to scan with: the official one when it has signatures, else `own`.
  static func database(own: String) -> String {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: officialFolder)) ?? []
    return names.contains { $0.hasSuffix(".cvd") || $0.hasSuffix(".cld") } ? officialFolder : own
  }

  /// Writes the signatures, for all to read: the scanner's user is another one when the laboratory was started as root.
  static func write(to folder: String) throws {
    let files = FileManager.default
    try files.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let file = "\(folder)/laboratory.ndb"
    try text.write(toFile: file, atomically: true, encoding: .utf8)
    try files.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder)
    try files.setAttributes([.posixPermissions: 0o644], ofItemAtPath: file)
  }

  /// The first folder on the way to a file or folder that other users may not pass; nil when they may.
  static func obstacle(onTheWayTo path: String) -> String? {
    var folder = ""
    for part in path.split(separator: "/") {
      folder += "/\(part)"
      let attributes = try? FileManager.default.attributesOfItem(atPath: URL(fileURLWithPath: folder).resolvingSymlinksInPath().path)
      guard let mode = (attributes?[.posixPermissions] as? NSNumber)?.intValue, mode & 0o001 != 0 else { return folder }
    }
    return nil
  }
}
