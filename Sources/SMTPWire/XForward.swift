import Octets

/// What a listed peer says about a message's original client by XFORWARD (Postfix XFORWARD_README); nil for what is unavailable or was
/// not said. For log lines and the trace field: nobody gets a right by it.
public struct OriginalClient: Sendable, Equatable {
  public var name: String?
  /// In its usual spelling.
  public var address: String?
  public var port: Int?
  public var proto: String?
  public var helo: String?
  /// The message's name at the peer, its queue id.
  public var identifier: String?
  /// True when it came from within the peer's own network.
  public var isLocal: Bool?
  public init() {}
}

/// XFORWARD as Postfix documents it.
enum XForward {
  /// What EHLO announces.
  static let announcement = "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"

  /// Takes the attributes of one command into `client`; what the command does not name stays. False, and nothing taken, when anything of
  /// it is wrong.
  static func apply(_ words: [ArraySlice<UInt8>], to client: inout OriginalClient) -> Bool {
    guard !words.isEmpty else { return false }
    var told = client
    for word in words {
      guard let (name, text) = XText.attribute(word) else { return false }
      let isMissing = ASCII.equal(text, "[UNAVAILABLE]") || ASCII.equal(text, "[TEMPUNAVAIL]")
      guard set(name, to: isMissing ? nil : text, in: &told) else { return false }
    }
    client = told
    return true
  }

  private static func set(_ name: String, to value: String?, in client: inout OriginalClient) -> Bool {
    switch name {
    case "name": client.name = value
    case "helo": client.helo = value
    case "proto": client.proto = value
    case "ident": client.identifier = value
    case "addr":
      client.address = nil
      guard let value else { return true }
      guard let address = XText.address(value) else { return false }
      client.address = address
    case "port":
      client.port = nil
      guard let value else { return true }
      guard let port = Command.number(value.utf8), port <= 65_535 else { return false }
      client.port = port
    case "source":
      client.isLocal = nil
      guard let value else { return true }
      guard ASCII.equal(value, "LOCAL") || ASCII.equal(value, "REMOTE") else { return false }
      client.isLocal = ASCII.equal(value, "LOCAL")
    default: return false
    }
    return true
  }
}

extension XText {
  /// An attribute of XCLIENT or XFORWARD, `name=value`, with its name in small letters; nil when it is none.
  static func attribute(_ word: ArraySlice<UInt8>) -> (name: String, value: String)? {
    guard let sign = word.firstIndex(of: UInt8(ascii: "=")), let octets = decode(word[(sign + 1)...]), octets.count <= 255,
      octets.allSatisfy({ $0 >= 32 && $0 != 127 }), let value = String(validating: octets, as: UTF8.self)
    else { return nil }
    return (ASCII.lowercased(String(decoding: word[..<sign], as: UTF8.self)), value)
  }

  /// An address as both commands write it: IPv4, or IPv6 behind `IPv6:`. In its usual spelling; nil when it is none.
  static func address(_ value: String) -> String? {
    let octets = Array(value.utf8)
    if ASCII.equal(octets.prefix(5), "IPv6:".utf8) {
      guard AddressParser.isIPv6(octets[5...]) else { return nil }
      return IPText.canonical(String(decoding: octets[5...], as: UTF8.self))
    }
    return AddressParser.isIPv4(octets[...]) ? IPText.canonical(value) : nil
  }
}
