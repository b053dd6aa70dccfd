extension Composer {
  /// Trace line that a server puts on top of what it takes (RFC 5321 §4.4), folded, with its line end.
  ///
  /// What the client says of itself is its own choice: only characters that cannot end a line, open a comment or begin a quoted string
  /// are kept of it.
  ///
  /// - Parameters:
  ///   - peer: IP address of the client.
  ///   - name: host name of the client, where one is known; nobody has to have checked it.
  ///   - helo: what it said in HELO or EHLO; empty when it said nothing.
  ///   - protocolName: "ESMTP" or "ESMTPS" (RFC 3848).
  ///   - id: our identifier of the message.
  public static func receivedLine(
    from peer: String, name: String? = nil, helo: String, by hostname: String, protocolName: String, id: String, at instant: Instant
  ) -> [UInt8] {
    var line: [UInt8] = []
    line.reserveCapacity(256)
    line.append("Received: from ")
    line.append(contentsOf: harmless(helo))
    line.append(" (")
    if let name, !name.isEmpty {
      line.append(contentsOf: harmless(name))
      line.append(" ")
    }
    line.append(contentsOf: literal(peer))
    line.append(")\r\n\tby ")
    line.append(contentsOf: harmless(hostname))
    line.append(" with ")
    line.append(contentsOf: harmless(protocolName))
    line.append(" id ")
    line.append(contentsOf: harmless(id))
    line.append(";\r\n\t")
    line.appendHeaderDate(instant)
    line.appendLineEnd()
    return line
  }

  /// An address literal (RFC 5321 §4.1.3); what is no address stands as it is, without its sharp characters.
  private static func literal(_ peer: String) -> [UInt8] {
    let isAddress = !peer.isEmpty && peer.utf8.allSatisfy { addressOctets.contains($0) } && peer.utf8.count <= 45
    guard isAddress else { return harmless(peer) }
    return Array((peer.utf8.contains(UInt8(ascii: ":")) ? "[IPv6:\(peer)]" : "[\(peer)]").utf8)
  }

  private static let addressOctets = Set("0123456789abcdefABCDEF.:".utf8)

  /// Printable ASCII without space, parentheses, quotes, backslash, angle brackets and semicolon; anything else becomes "?", 255 octets
  /// are kept.
  private static func harmless(_ text: String) -> [UInt8] {
    let out = text.utf8.prefix(255).map { byte in byte > 32 && byte < 127 && !sharp.contains(byte) ? byte : UInt8(ascii: "?") }
    return out.isEmpty ? Array("unknown".utf8) : out
  }

  private static let sharp = Set("()<>\"\\;".utf8)
}
