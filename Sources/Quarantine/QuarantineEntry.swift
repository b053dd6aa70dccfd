public import Journey

/// A message in quarantine, known by its record; its octets are read only when they are asked for.
public struct QuarantineEntry: Sendable, Equatable {
  /// What is known of it.
  public let record: QuarantineRecord
  /// Its folder.
  public let path: String
  /// Day of its arrival, which is its folder's.
  public let day: QuarantineDay
  /// The last day on which it must be there.
  public let keepUntil: QuarantineDay

  /// The file with the message's octets as they came.
  public var messagePath: String { "\(path)/\(EntryNames.message)" }
  /// The file with the record.
  public var recordPath: String { "\(path)/\(EntryNames.record)" }
}

/// What is met in the quarantine's folders.
public enum QuarantineItem: Sendable, Equatable {
  /// A message in good order for all that can be seen without reading it.
  case entry(QuarantineEntry)
  /// Something that is not as it was put there, or that nobody put there: a person has to look at it.
  case damaged(path: String, reason: String)
}

/// Names of files and folders.
enum EntryNames {
  static let message = "message.eml"
  static let record = "record.json"
  /// Where entries are put together and taken apart.
  static let staging = "tmp"
  static let accessLog = "access.log"

  /// A folder's name for an identifier: letters, digits and `-_+=@.` stand for themselves, every other octet as `%XX`. An identifier
  /// too long for a file name is cut and ended by `~` and a checksum of all of it.
  static func folder(for id: String) -> String {
    var name = ""
    for (index, byte) in id.utf8.enumerated() {
      let isLetter = byte | 32 >= 97 && byte | 32 <= 122
      let isPlain = isLetter || byte &- 48 < 10 || "-_+=@.".utf8.contains(byte)
      if isPlain, index > 0 || byte != UInt8(ascii: ".") {
        name.unicodeScalars.append(Unicode.Scalar(byte))
      } else {
        name += "%" + hexadecimal(UInt64(byte), digits: 2)
      }
    }
    guard name.utf8.count > 200 else { return name }
    // FNV-1a: identifiers are our own, so that nobody makes two that meet; if two did, the second is refused as other content.
    let sum = id.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    return String(name.prefix(180)) + "~" + hexadecimal(sum, digits: 16)
  }

  static func hexadecimal(_ number: UInt64, digits: Int) -> String {
    let text = String(number, radix: 16, uppercase: true)
    return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
  }
}
