internal import Foundation
internal import Journey
internal import Octets

/// What `record.json` says: the record, and for people who read the file alone, its dates in words.
struct StoredRecord: Codable {
  /// Version of this form. A reader refuses what it does not know rather than guess at it.
  var format: Int
  var receivedAt: String
  var keepUntil: String
  var record: QuarantineRecord

  static let format = 1
  /// Far above what the largest number of recipients takes.
  static let maximumBytes = 64 << 20

  private struct Form: Decodable { var format: Int }

  /// The file's octets.
  static func encode(_ record: QuarantineRecord, keepUntil: QuarantineDay) throws(QuarantineError) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    let stored = StoredRecord(format: format, receivedAt: record.instant.rfc3339, keepUntil: "\(keepUntil)", record: record)
    do { return [UInt8](try encoder.encode(stored)) + [10] } catch { throw .unusableRecord("\(error)") }
  }

  /// The record of a file's octets.
  static func decode(_ octets: [UInt8], path: String) throws(QuarantineError) -> QuarantineRecord {
    let data = Data(octets)
    guard let form = try? JSONDecoder().decode(Form.self, from: data) else {
      throw .damaged(path: path, reason: "it is no record")
    }
    guard form.format == format else {
      throw .damaged(path: path, reason: "it has form \(form.format), and this version knows form \(format) only")
    }
    do { return try JSONDecoder().decode(StoredRecord.self, from: data).record } catch {
      throw .damaged(path: path, reason: "a field of its record is missing or wrong")
    }
  }
}
