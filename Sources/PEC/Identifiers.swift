import Octets

/// Identifiers of the certified channel (RFC 6109 §2.2.1). Only A–Z, a–z, 0–9, "." and "-" stand before their "@".
public enum PECIdentifier {
  /// A new PEC id (identificativo), without angle brackets: `node.yyyymmddhhmmss.sequence.random@domain`.
  ///
  /// - Parameters:
  ///   - node: name of this machine; other characters than those above become hyphens, 14 are kept at the most.
  ///   - instant: the transaction's one time value.
  ///   - sequence: runs up in the process, so that two ids of one second differ for certain.
  ///   - random: 64 random bits, so that two processes' ids differ, and nobody can know an id beforehand.
  ///   - domain: the provider's mail domain.
  public static func make(node: String, instant: Instant, sequence: UInt64, random: UInt64, domain: String) -> String {
    var id: [UInt8] = []
    id.reserveCapacity(66 + domain.utf8.count)
    id.append(contentsOf: clean(node).prefix(14))
    id.append(UInt8(ascii: "."))
    id.append(instant.compactUTC)
    id.append(UInt8(ascii: "."))
    let digits = String(sequence)
    for _ in 0..<max(0, 6 - digits.utf8.count) { id.append(UInt8(ascii: "0")) }
    id.append(digits)
    id.append(UInt8(ascii: "."))
    id.append(contentsOf: base32(random))
    id.append(UInt8(ascii: "@"))
    id.append(domain)
    return String(decoding: id, as: UTF8.self)
  }

  /// The Message-ID, without brackets, of a message that belongs to a transaction. The same input gives the same id, so that a journey
  /// replayed after a crash makes the same receipt and not a second one.
  ///
  /// The transport envelope's is the PEC id itself; every other has one component more. A recipient goes into it by a hash whose key is
  /// the id: the sender, who chooses the recipients, does not know its random part in time to look for two that collide.
  ///
  /// - Parameters:
  ///   - id: the PEC id for what the access point makes; for what the receiving side makes, our own identifier of the reception, since
  ///     a PEC id that comes from outside is not ours to build upon.
  ///   - recipient: for kinds made once for each recipient; compared without regard to ASCII case.
  public static func derived(from id: String, kind: MessageKind, recipient: String?) -> String {
    guard let code = kind.traits.identifierCode else { return id }
    return extended(id, by: code, about: recipient.map { [$0] } ?? [])
  }

  /// The id with a component more, and one that tells the recipients, when there are any.
  static func extended(_ id: String, by code: String, about recipients: [String]) -> String {
    let bytes = Array(id.utf8)
    let at = bytes.lastIndex(of: UInt8(ascii: "@")) ?? bytes.count
    var out = Array(bytes[..<at])
    out.append(UInt8(ascii: "."))
    out.append(code)
    if !recipients.isEmpty {
      var key = KeyedHash(0x4345_5241_4c41_4343, 0x4100_0000_0000_0001)
      key.add(bytes)
      let first = key.value()
      key.add([1])
      var hash = KeyedHash(first, key.value())
      for (index, recipient) in recipients.enumerated() {
        if index > 0 { hash.add([0]) }
        hash.add(recipient.utf8.lazy.map(ASCII.lower))
      }
      out.append(UInt8(ascii: "."))
      out.append(contentsOf: base32(hash.value()))
    }
    out.append(contentsOf: bytes[at...])
    return String(decoding: out, as: UTF8.self)
  }

  private static func clean(_ node: String) -> [UInt8] {
    var out = node.utf8.map { byte -> UInt8 in
      switch byte {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): byte
      default: UInt8(ascii: "-")
      }
    }
    while out.first == UInt8(ascii: "-") { out.removeFirst() }
    return out.isEmpty ? Array("node".utf8) : out
  }
}
