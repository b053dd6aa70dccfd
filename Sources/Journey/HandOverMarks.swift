import Limits
import MIMEStream
import Octets
import PEC

/// What tells a message of the queue from every other in a mailbox, read from the header under which it is handed over.
///
/// A Message-ID alone does not: what comes from outside bears one that its sender chose, and an anomaly envelope inherits it. What is
/// passed on has our Received line on top, with the identifier of this one reception; what we composed has boundaries that nobody can
/// foresee. Both are ours alone, and no server changes them.
public enum HandOverMarks {
  /// Fields, and texts that stand in their values; all of them are in the message, and together in no other. Empty when there are none.
  /// - Parameters:
  ///   - head: the beginning of the message as it is handed over.
  ///   - entry: the entry that carries it.
  public static func of(_ head: [UInt8], _ entry: QueueEntry, limits: MessageLimits) -> [(field: String, text: String)] {
    let header = HeaderFacts.parse(head, limits: limits).header
    var marks: [(field: String, text: String)] = []
    if entry.reception != nil, let first = header.fields.first, ASCII.equal(header.name(of: first), "Received"),
      let id = receivedID(header.value(of: first))
    {
      marks.append(("Received", id))
    }
    if let field = header.first(named: "Content-Type"), let boundary = ownBoundary(header.value(of: field)) {
      marks.append(("Content-Type", boundary))
    }
    // Reports and words to holders are not signed and have no boundary of that kind: their Message-IDs are made by us alone.
    if marks.isEmpty, entry.kind == .deliveryReport || entry.kind == .arrivalNotice { marks.append(("Message-ID", entry.messageID)) }
    return marks
  }

  /// `id …` of a trace line of ours (`Composer.receivedLine`), up to the semicolon.
  private static func receivedID(_ value: [UInt8]) -> String? {
    let text = String(decoding: value, as: UTF8.self)
    guard let start = text.utf8.firstRange(of: " id ".utf8)?.upperBound, let end = text.utf8[start...].firstIndex(of: UInt8(ascii: ";"))
    else {
      return nil
    }
    let id = text[start..<end]
    return (8...255).contains(id.utf8.count) && id.utf8.allSatisfy { $0 > 32 && $0 < 127 } ? "id \(id);" : nil
  }

  /// A boundary of our making.
  private static func ownBoundary(_ value: [UInt8]) -> String? {
    guard let start = value[...].firstRange(of: Composer.boundaryPrefix)?.lowerBound else { return nil }
    let boundary = value[start...].prefix { $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: ";") }
    return boundary.count >= Composer.boundaryPrefix.count + 8 ? String(decoding: boundary, as: UTF8.self) : nil
  }
}
