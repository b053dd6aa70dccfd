/// Why a PKCS#11 URI was refused.
public struct PKCS11URIError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong and what to do about it; without values, because one might be a PIN.
  public let description: String

  init(_ what: String) { description = "the key's PKCS#11 URI \(what)" }
}

/// A key in a token, named by an RFC 7512 URI:
///
///     pkcs11:token=PEC;object=signer;id=%01?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/ceralacca/pin
///
/// Read strictly: each attribute once, no character that RFC 7512 §2.3 does not allow, no attribute that would be passed over. A part of
/// the RFC is taken: what finds one token and one private key in a module that is named by its path. `pin-value` is refused: a PIN does
/// not belong into a configuration that is copied, printed and kept in version control.
public struct PKCS11URI: Sendable, Equatable, CustomStringConvertible {
  /// Where the PIN comes from.
  public enum PINSource: Sendable, Equatable {
    /// A file whose first line is the PIN, readable by its owner only.
    case file(String)
    /// A credential of this name that systemd has put into `CREDENTIALS_DIRECTORY` (LoadCredential=, LoadCredentialEncrypted=).
    case credential(String)
  }

  /// The token's label, manufacturer, model and serial number, as far as given: a token that differs in one is another.
  public var token: String?
  public var manufacturer: String?
  public var model: String?
  public var serial: String?
  /// The key's label (CKA_LABEL).
  public var object: String?
  /// The key's identifier (CKA_ID), any octets.
  public var id: [UInt8]?
  /// The PKCS#11 library.
  public var modulePath: String
  /// Nil for a token that wants no PIN, or asks for it by itself (a keypad).
  public var pinSource: PINSource?

  /// Whether a key's name is such a URI and not a file (RFC 7512 §2.3: the scheme, in any case).
  public static func isOne(_ text: String) -> Bool { text.utf8.prefix(7).map { $0 | 0x20 } == Array("pkcs11:".utf8).map { $0 | 0x20 } }

  /// Reads a URI.
  /// - Throws: what is wrong with it.
  public init(_ text: String) throws(PKCS11URIError) {
    guard PKCS11URI.isOne(text) else { throw PKCS11URIError("does not begin with pkcs11:") }
    let parts = text.utf8.dropFirst(7).split(separator: UInt8(ascii: "?"), maxSplits: 1, omittingEmptySubsequences: false)
    let path = try PKCS11URI.attributes(Array(parts[0]), separator: ";", also: "&")
    let query = try PKCS11URI.attributes(parts.count > 1 ? Array(parts[1]) : [], separator: "&", also: "/?|")
    for (name, _) in path { try PKCS11URI.checkPath(name) }
    for (name, _) in query { try PKCS11URI.checkQuery(name) }
    token = try PKCS11URI.text(path, "token")
    manufacturer = try PKCS11URI.text(path, "manufacturer")
    model = try PKCS11URI.text(path, "model")
    serial = try PKCS11URI.text(path, "serial")
    object = try PKCS11URI.text(path, "object")
    id = path.first { $0.name == "id" }?.value
    if let type = try PKCS11URI.text(path, "type"), type != "private" {
      throw PKCS11URIError("names an object of another type than private: leave type out, or write type=private")
    }
    guard token != nil || serial != nil else { throw PKCS11URIError("names no token: add token=LABEL or serial=NUMBER") }
    guard object != nil || id != nil else { throw PKCS11URIError("names no key: add object=LABEL or id=%01…") }
    guard let module = try PKCS11URI.text(query, "module-path") else {
      throw PKCS11URIError("names no library: add ?module-path=/path/of/the/library.so, which comes with the HSM")
    }
    guard module.utf8.first == UInt8(ascii: "/") else {
      throw PKCS11URIError("has a module-path that does not begin with /: name the library by its whole path")
    }
    modulePath = module
    pinSource = try PKCS11URI.text(query, "pin-source").map { (value) throws(PKCS11URIError) in try PKCS11URI.source(value) }
  }

  /// The URI without its query, for messages.
  public var description: String {
    var parts: [String] = []
    for (name, value) in [("token", token), ("manufacturer", manufacturer), ("model", model), ("serial", serial), ("object", object)] {
      if let value { parts.append("\(name)=\(PKCS11URI.encoded(Array(value.utf8)))") }
    }
    if let id { parts.append("id=" + id.map { "%" + PKCS11URI.hex($0) }.joined()) }
    return "pkcs11:" + parts.joined(separator: ";")
  }

  // MARK: Attributes

  private static func checkPath(_ name: String) throws(PKCS11URIError) {
    switch name {
    case "token", "manufacturer", "model", "serial", "object", "id", "type": return
    case "pin-source", "module-path":
      throw PKCS11URIError("has \(name) among what names the key: it belongs behind the question mark")
    case "library-manufacturer", "library-description", "library-version", "slot-manufacturer", "slot-description", "slot-id":
      throw PKCS11URIError("has \(name), which is not used here: name the token by token, serial, model or manufacturer")
    case "pin-value": throw pinValue
    default: throw PKCS11URIError("has the attribute \(name), which is unknown here")
    }
  }

  private static func checkQuery(_ name: String) throws(PKCS11URIError) {
    switch name {
    case "module-path", "pin-source": return
    case "pin-value": throw pinValue
    case "module-name":
      throw PKCS11URIError("has module-name, which is not used here: name the library by module-path=/path/of/the/library.so")
    case "token", "manufacturer", "model", "serial", "object", "id", "type":
      throw PKCS11URIError("has \(name) behind the question mark: it belongs before it")
    default: throw PKCS11URIError("has the attribute \(name), which is unknown here")
    }
  }

  private static let pinValue = PKCS11URIError(
    "has a pin-value: take the PIN out of the configuration, change it, and name a file that holds it: pin-source=file:/path, "
      + "readable by the gateway's user only, or pin-source=credential:NAME")

  private static func source(_ value: String) throws(PKCS11URIError) -> PINSource {
    if value.hasPrefix("credential:") {
      let name = String(value.dropFirst("credential:".count))
      guard !name.isEmpty, name != ".", name != "..", !name.utf8.contains(UInt8(ascii: "/")) else {
        throw PKCS11URIError("has a pin-source whose credential has no proper name: write pin-source=credential:NAME, without slashes")
      }
      return .credential(name)
    }
    if value.hasPrefix("|") { throw PKCS11URIError("has a pin-source that is a command; commands are not run: name a file, file:/path") }
    var path = value
    if path.hasPrefix("file:") { path = String(path.dropFirst("file:".count)) }
    // RFC 8089 §2: file:///path has an empty authority, file:/path has none.
    if path.hasPrefix("///") { path = String(path.dropFirst(2)) }
    guard path.hasPrefix("/"), !path.hasPrefix("//"), path.utf8.count > 1 else {
      throw PKCS11URIError("has a pin-source that names no file: write pin-source=file:/path, or pin-source=credential:NAME")
    }
    return .file(path)
  }

  private typealias Attribute = (name: String, value: [UInt8])

  private static func text(_ attributes: [Attribute], _ name: String) throws(PKCS11URIError) -> String? {
    guard let value = attributes.first(where: { $0.name == name })?.value else { return nil }
    guard let text = String(validating: value, as: UTF8.self), !value.contains(0) else {
      throw PKCS11URIError("has a \(name) that is not UTF-8 text")
    }
    return text
  }

  /// Splits, checks every character and decodes. RFC 7512 §2.3: pk11-pchar and pk11-qchar.
  private static func attributes(_ octets: [UInt8], separator: Unicode.Scalar, also: String) throws(PKCS11URIError) -> [Attribute] {
    if octets.isEmpty { return [] }
    var found: [Attribute] = []
    for part in octets.split(separator: UInt8(ascii: separator), omittingEmptySubsequences: false) {
      guard let equals = part.firstIndex(of: UInt8(ascii: "=")), equals > part.startIndex else {
        throw PKCS11URIError("has a part without name=value: its attributes are parted by \(separator)")
      }
      let name = String(decoding: part[..<equals], as: UTF8.self)
      guard part[..<equals].allSatisfy({ isLetterOrDigit($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") }) else {
        throw PKCS11URIError("has an attribute whose name is not made of letters, digits, - and _")
      }
      guard !found.contains(where: { $0.name == name }) else { throw PKCS11URIError("has \(name) twice") }
      let value = try decoded(part[part.index(after: equals)...], name, also: Array(also.utf8))
      guard !value.isEmpty else { throw PKCS11URIError("has a \(name) without a value") }
      found.append((name, value))
    }
    return found
  }

  private static func decoded(_ text: ArraySlice<UInt8>, _ name: String, also: [UInt8]) throws(PKCS11URIError) -> [UInt8] {
    var value: [UInt8] = []
    var at = text.startIndex
    while at < text.endIndex {
      let octet = text[at]
      if octet == UInt8(ascii: "%") {
        guard at + 2 < text.endIndex, let high = digit(text[at + 1]), let low = digit(text[at + 2]) else {
          throw PKCS11URIError("has a % in \(name) that two hexadecimal digits do not follow: a percent sign itself is written %25")
        }
        value.append(high << 4 | low)
        at += 3
      } else {
        guard isLetterOrDigit(octet) || Array("-._~:[]@!$'()*+,=".utf8).contains(octet) || also.contains(octet) else {
          throw PKCS11URIError("has a character in \(name) that must be written as %\(hex(octet))")
        }
        value.append(octet)
        at += 1
      }
    }
    return value
  }

  private static func encoded(_ octets: [UInt8]) -> String {
    octets.map { isLetterOrDigit($0) || Array("-._~".utf8).contains($0) ? String(UnicodeScalar($0)) : "%" + hex($0) }.joined()
  }

  private static func hex(_ octet: UInt8) -> String {
    (octet < 16 ? "0" : "") + String(octet, radix: 16, uppercase: true)
  }

  private static func digit(_ octet: UInt8) -> UInt8? {
    switch octet {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): octet - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): octet - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): octet - UInt8(ascii: "A") + 10
    default: nil
    }
  }

  private static func isLetterOrDigit(_ octet: UInt8) -> Bool {
    switch octet {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
    default: false
    }
  }
}
