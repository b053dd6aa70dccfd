import Digests
import Foundation
import Octets

/// What a backup holds, written last: a folder without it is no backup.
struct BackupManifest: Codable {
  /// A file of the backup.
  struct File: Codable {
    /// Below the backup's folder.
    var path: String
    var bytes: Int
    /// SHA-256, in hexadecimal digits.
    var sha256: String
    /// Permissions of the original.
    var mode: Int
    /// When the original was changed last, in microseconds since 1970.
    var modifiedAt: Int64
    /// Where it was, for a file from outside the data directory, and whose: user and group by their names.
    var origin: String?
    var owner: String?
    var group: String?
  }

  /// A folder of the backup.
  struct Folder: Codable {
    var path: String
    var mode: Int
  }

  static let name = "backup.json"
  static let currentFormat = 1
  /// Octets of all files together: more than any disk has.
  private static let mostBytes = 1 << 60
  /// The data directory, and what the configuration names outside it.
  static let dataFolder = "data"
  static let configurationFolder = "configuration"

  var format = BackupManifest.currentFormat
  /// The version of the program that made it.
  var program: String
  var ledgerSchema: Int
  /// When the ledger was as it is here: RFC 3339, and in Unix seconds.
  var madeAt: String
  var snapshotAt: Int64
  var hostname: String
  var provider: String
  var dataDirectory: String
  /// The last row of the certified log, and the last seal; 0 for none.
  var lastRow: Int64
  var lastSeal: Int64
  /// Entries of the queue.
  var queued: Int
  var hasKeys: Bool
  /// What of the queue's messages could not be read when the backup was made: `segment:offset:length`.
  var damaged: [String] = []
  /// What else was wrong with ledger and log when the backup was made, in words; none in backups of before.
  var faults: [String]?
  /// What is not in it, in words.
  var leftOut: [String]
  var folders: [Folder] = []
  var files: [File] = []

  var bytes: Int { files.reduce(0) { $0 + $1.bytes } }

  /// How a range is named in `damaged`.
  static func name(_ range: StoredRange) -> String { "\(range.segment):\(range.offset):\(range.length)" }

  /// Where below the data directory a path of the backup belongs; nil for what does not belong there: the configuration, and what backups
  /// of before took of the file system's own.
  static func placeInData(_ path: String) -> String? {
    guard path.hasPrefix(dataFolder + "/") else { return nil }
    let place = String(path.dropFirst(dataFolder.count + 1))
    return place == RestoreFolder.lostAndFound || place.hasPrefix(RestoreFolder.lostAndFound + "/") ? nil : place
  }

  /// The ledger's path in a backup.
  static var ledgerPath: String { "\(dataFolder)/ledger.sqlite" }

  func encoded() throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
    return try encoder.encode(self) + Data("\n".utf8)
  }

  /// Reads the manifest of a backup.
  /// - Throws: `CommandFailure` with code 66 when there is none, 65 when it is not one that this program reads.
  static func read(_ folder: String) throws -> (manifest: BackupManifest, sha256: String) {
    let path = "\(folder)/\(name)"
    guard let data = FileManager.default.contents(atPath: path) else {
      throw CommandFailure(
        "\(folder) is no backup, or one that was not finished: it has no \(name)", exitCode: CommandFailure.noInput)
    }
    struct Format: Decodable { var format: Int }
    let decoder = JSONDecoder()
    do {
      let found = try decoder.decode(Format.self, from: data).format
      guard found == currentFormat else {
        throw CommandFailure(
          "\(path) has form \(found), and this program reads form \(currentFormat): use the program that made it",
          exitCode: CommandFailure.dataError)
      }
      let manifest = try decoder.decode(BackupManifest.self, from: data)
      for path in manifest.files.map(\.path) + manifest.folders.map(\.path) where !isInside(path) {
        throw CommandFailure(
          "\(folder)/\(name) names a path outside the backup: \(ASCII.escaped(path))", exitCode: CommandFailure.dataError)
      }
      // The sizes of all are added up.
      var left = mostBytes
      for file in manifest.files {
        guard file.bytes >= 0, file.bytes <= left else {
          throw CommandFailure("\(folder)/\(name) has a size that no file has: \(file.bytes)", exitCode: CommandFailure.dataError)
        }
        left -= file.bytes
      }
      return (manifest, Hex.encode(SHA256.digest([UInt8](data))))
    } catch let error as DecodingError {
      throw CommandFailure("\(path) cannot be read: \(error)", exitCode: CommandFailure.dataError)
    }
  }

  private static func isInside(_ path: String) -> Bool {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    return parts.count > 1 && [dataFolder, configurationFolder].contains(String(parts[0]))
      && !parts.contains { $0.isEmpty || $0 == "." || $0 == ".." }
      || path == dataFolder || path == configurationFolder
  }
}
