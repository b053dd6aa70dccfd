import Octets

/// xtext (RFC 3461 §4): printable ASCII, with "+HH" for the rest.
enum XText {
  /// The octets meant; nil when it is not xtext.
  static func decode(_ text: some Sequence<UInt8>) -> [UInt8]? {
    var out: [UInt8] = []
    var iterator = text.makeIterator()
    while let byte = iterator.next() {
      switch byte {
      case UInt8(ascii: "+"):
        guard let high = iterator.next().flatMap(digit), let low = iterator.next().flatMap(digit) else { return nil }
        out.append(high << 4 | low)
      case UInt8(ascii: "="): return nil
      case 33...126: out.append(byte)
      default: return nil
      }
    }
    return out
  }

  /// `text` as xtext: printable ASCII but "+" and "=" as it is, the rest as "+HH".
  static func encode(_ text: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var out: [UInt8] = []
    for byte in text {
      if byte > 32, byte < 127, byte != UInt8(ascii: "+"), byte != UInt8(ascii: "=") {
        out.append(byte)
      } else {
        out += [UInt8(ascii: "+"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: out, as: UTF8.self)
  }

  /// RFC 3461 §4 has capital digits only; small ones are taken as well.
  private static func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 48...57: byte - 48
    case 65...70: byte - 55
    case 97...102: byte - 87
    default: nil
    }
  }
}

/// XCLIENT as Postfix documents it: a trusted server tells who its client is.
enum XClient {
  /// What EHLO announces to a peer that names users.
  static let announcement = "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"
  /// What EHLO announces to a peer that names clients only.
  static let announcementWithoutLogin = "XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT"

  /// Takes the attributes of one command into `client`; what the command does not name stays. False, and nothing taken, when
  /// anything of it is wrong.
  /// - Parameter namesUsers: whether LOGIN is among the attributes.
  static func apply(_ words: [ArraySlice<UInt8>], to client: inout ForwardedClient, namesUsers: Bool) -> Bool {
    guard !words.isEmpty else { return false }
    var told = client
    for word in words {
      guard let (name, value) = XText.attribute(word), namesUsers || name != "login", set(name, to: value, in: &told) else { return false }
    }
    client = told
    return true
  }

  private static func set(_ name: String, to text: String, in client: inout ForwardedClient) -> Bool {
    let isMissing = ASCII.equal(text, "[UNAVAILABLE]") || ASCII.equal(text, "[TEMPUNAVAIL]")
    let value = isMissing ? nil : text
    switch name {
    case "name": client.name = value
    case "helo": client.helo = value
    case "login":
      if value == "" { return false }
      client.login = value
      client.saysNoLogin = isMissing
    case "proto":
      guard let value, ASCII.equal(value, "SMTP") || ASCII.equal(value, "ESMTP") else { return false }
      client.proto = value.uppercased()
    case "addr": return setAddress(value, \.address, in: &client)
    case "destaddr": return setAddress(value, \.destinationAddress, in: &client)
    case "port": return setPort(value, \.port, in: &client)
    case "destport": return setPort(value, \.destinationPort, in: &client)
    default: return false
    }
    return true
  }

  private static func setAddress(
    _ value: String?, _ key: WritableKeyPath<ForwardedClient, String?>, in client: inout ForwardedClient
  ) -> Bool {
    client[keyPath: key] = nil
    guard let value else { return true }
    client[keyPath: key] = XText.address(value)
    return client[keyPath: key] != nil
  }

  private static func setPort(_ value: String?, _ key: WritableKeyPath<ForwardedClient, Int?>, in client: inout ForwardedClient) -> Bool {
    client[keyPath: key] = nil
    guard let value else { return true }
    guard let port = Command.number(value.utf8), port <= 65_535 else { return false }
    client[keyPath: key] = port
    return true
  }
}
