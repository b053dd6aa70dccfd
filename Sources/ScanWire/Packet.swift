import Octets

/// Why a packet is not taken. Whoever gets this from the other side treats that side as broken.
public enum ScanWireError: Error, Equatable, CustomStringConvertible {
  /// It ends too early.
  case truncated
  /// So many octets follow its end.
  case trailing(Int)
  /// It was made by another version of these programs, or is no packet of theirs at all.
  case format(UInt8)
  /// A kind of packet that has no place here.
  case kind(UInt8)
  /// A value that cannot be.
  case value(String)

  /// One line for people.
  public var description: String {
    switch self {
    case .truncated: "the packet ends too early"
    case .trailing(let count): "\(count) octets follow the packet's end"
    case .format(let format): "the packet has format \(format) and this program speaks \(Packet.format)"
    case .kind(let kind): "a packet of the unknown kind \(kind)"
    case .value(let what): "the packet has no possible \(what)"
    }
  }
}

/// The form of all packets between gateway and scanner:
///
///     format u8, kind u8, fields
///
/// Numbers are big-endian; a text is its length u16 and UTF-8; a choice is u8. Kinds are never used twice with another meaning. The
/// format goes up with every change: a gateway that runs on while its package is renewed starts the new scanner at the next database.
enum Packet {
  static let format: UInt8 = 1
  /// No text is longer, in octets. With the bounds on lists no packet comes near the 64 KB of a channel.
  static let textBytes = 4096

  enum Kind: UInt8 {
    case settings = 1
    case fork
    case kill
    case loaded = 17
    case failedToLoad
    case forked
    case died
    case job = 33
    case verdict = 49
    case notScanned
  }
}

/// Puts a packet together.
struct PacketWriter {
  private(set) var octets: [UInt8]

  init(_ kind: Packet.Kind) { octets = [Packet.format, kind.rawValue] }

  mutating func number(_ value: some FixedWidthInteger) {
    for shift in stride(from: value.bitWidth - 8, through: 0, by: -8) { octets.append(UInt8(truncatingIfNeeded: value >> shift)) }
  }

  mutating func flag(_ value: Bool) { octets.append(value ? 1 : 0) }

  /// A text of at most `Packet.textBytes`; a longer one is cut before the character that would cross the bound.
  mutating func text(_ text: String) {
    let kept = Wording.cut(text, atBytes: Packet.textBytes)
    number(UInt16(kept.utf8.count))
    octets += [UInt8](utf8: kept)
  }
}

/// Takes a packet apart. Nothing in it is believed: every read is bounded by what there is.
struct PacketReader {
  private let octets: [UInt8]
  private var at = 2
  /// The packet's kind.
  let kind: Packet.Kind

  init(_ octets: [UInt8]) throws(ScanWireError) {
    guard let format = octets.first else { throw .truncated }
    if format != Packet.format { throw .format(format) }
    guard octets.count >= 2 else { throw .truncated }
    guard let kind = Packet.Kind(rawValue: octets[1]) else { throw .kind(octets[1]) }
    self.octets = octets
    self.kind = kind
  }

  mutating func number<Number: FixedWidthInteger>(_ type: Number.Type = Number.self) throws(ScanWireError) -> Number {
    let size = Number.bitWidth / 8
    guard octets.count - at >= size else { throw .truncated }
    var value = Number.zero
    for _ in 0..<size {
      value = value << 8 | Number(truncatingIfNeeded: octets[at])
      at += 1
    }
    return value
  }

  /// A count that is not negative.
  mutating func count(_ what: String) throws(ScanWireError) -> Int {
    let value = try number(Int64.self)
    guard value >= 0, let fitting = Int(exactly: value) else { throw .value(what) }
    return fitting
  }

  /// A process id that names one process: 0, 1 and the negative ones mean others, or many.
  mutating func processID() throws(ScanWireError) -> Int32 {
    let value = try number(Int32.self)
    guard value > 1 else { throw .value("process id") }
    return value
  }

  mutating func flag() throws(ScanWireError) -> Bool {
    switch try number(UInt8.self) {
    case 0: return false
    case 1: return true
    default: throw .value("flag")
    }
  }

  mutating func text() throws(ScanWireError) -> String {
    let count = Int(try number(UInt16.self))
    guard count <= Packet.textBytes else { throw .value("text") }
    guard octets.count - at >= count else { throw .truncated }
    defer { at += count }
    guard let text = String(validating: octets[at..<at + count], as: UTF8.self) else { throw .value("text") }
    return text
  }

  /// Nothing may follow.
  func end() throws(ScanWireError) {
    if at != octets.count { throw .trailing(octets.count - at) }
  }
}

/// Texts that another process gave, made fit for logs, headers and terminals.
enum Wording {
  /// No threat's name is longer, in octets: it stands in headers, in certificates of what happened and in table rows.
  static let nameBytes = 256

  /// The longest beginning of `text` of at most `limit` octets that does not split a character of Unicode.
  static func cut(_ text: String, atBytes limit: Int) -> String {
    if text.utf8.count <= limit { return text }
    var end = text.utf8.index(text.startIndex, offsetBy: limit)
    while end.samePosition(in: text.unicodeScalars) == nil { end = text.utf8.index(before: end) }
    return String(text[..<end])
  }

  /// A threat's name: printable ASCII only, never empty.
  static func name(_ text: String) -> String {
    let printable = text.utf8.prefix(nameBytes).map { (0x20...0x7E).contains($0) ? $0 : UInt8(ascii: "?") }
    let blank = printable.allSatisfy { $0 == 0x20 }
    return blank ? "unnamed" : String(decoding: printable, as: UTF8.self)
  }

  /// A line for people: whatever would break the line, or turn the direction of writing, is a question mark.
  static func line(_ text: String) -> String {
    var scalars = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: scalars.append("?")
      default: scalars.append(scalar)
      }
    }
    return cut(String(scalars), atBytes: Packet.textBytes)
  }
}
