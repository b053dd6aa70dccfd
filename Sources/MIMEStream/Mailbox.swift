import Octets

/// One mail address with the name that is shown for it (RFC 5322 §3.4).
public struct Mailbox: Sendable, Equatable {
  /// The name that is shown, decoded (RFC 2047); nil when there is none.
  public var displayName: String?
  /// Before the "@", without quotes and backslashes.
  public var localPart: String
  /// After the "@"; a domain literal keeps its brackets.
  public var domain: String

  /// A mailbox.
  public init(displayName: String? = nil, localPart: String, domain: String) {
    self.displayName = displayName
    self.localPart = localPart
    self.domain = domain
  }

  /// `local@domain`, the local part quoted where it needs to be (RFC 5321 §4.1.2).
  public var address: String { Mailbox.spelled(localPart) + "@" + domain }

  /// True when both name the same mailbox: ASCII case aside, after unquoting; no aliases are resolved (F4 of the formal checks).
  public func matches(_ other: Mailbox) -> Bool {
    ASCII.equal(localPart, other.localPart) && ASCII.equal(domain, other.domain)
  }

  /// The address of an SMTP path, without its brackets (RFC 5321 §4.1.2); a source route before it is passed over.
  /// Nil when it is not one, has no domain, or is not ASCII.
  public static func parsePath(_ path: String) -> Mailbox? {
    var rest = Array(path.utf8)[...]
    guard rest.allSatisfy({ $0 > 31 && $0 < 127 }) else { return nil }
    if rest.first == UInt8(ascii: "@") {
      guard let colon = rest.firstIndex(of: UInt8(ascii: ":")) else { return nil }
      for hop in rest[..<colon].split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
        guard hop.first == UInt8(ascii: "@"), isDomain(hop.dropFirst()) else { return nil }
      }
      rest = rest[(colon + 1)...]
    }
    guard let local = takeLocalPart(&rest), rest.first == UInt8(ascii: "@") else { return nil }
    let domain = rest.dropFirst()
    guard isDomain(domain) || isLiteral(domain) else { return nil }
    return Mailbox(localPart: String(decoding: local, as: UTF8.self), domain: String(decoding: domain, as: UTF8.self))
  }

  /// RFC 5321 §4.1.2 Local-part, unquoted; `rest` goes on behind it.
  private static func takeLocalPart(_ rest: inout ArraySlice<UInt8>) -> [UInt8]? {
    var local: [UInt8] = []
    if rest.first == UInt8(ascii: "\"") {
      rest.removeFirst()
      while let byte = rest.popFirst() {
        if byte == UInt8(ascii: "\"") { return local }
        guard byte != UInt8(ascii: "\\") else {
          guard let next = rest.popFirst() else { return nil }
          local.append(next)
          continue
        }
        local.append(byte)
      }
      return nil
    }
    while let byte = rest.first, byte != UInt8(ascii: "@") {
      local.append(byte)
      rest.removeFirst()
    }
    return isDotAtom(local) ? local : nil
  }

  /// Labels of atext joined by single dots: stricter names are the registry's affair, and underscores are met.
  private static func isDomain(_ text: ArraySlice<UInt8>) -> Bool {
    isDotAtom(text) && text.count <= 255
  }

  private static func isLiteral(_ text: ArraySlice<UInt8>) -> Bool {
    text.count > 2 && text.first == UInt8(ascii: "[") && text.last == UInt8(ascii: "]")
      && text.dropFirst().dropLast().allSatisfy { $0 > 32 && ![UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: "\\")].contains($0) }
  }

  private static func isDotAtom(_ text: some BidirectionalCollection<UInt8>) -> Bool {
    var afterDot = true
    for byte in text {
      if byte == UInt8(ascii: ".") {
        if afterDot { return false }
        afterDot = true
      } else {
        guard isAtext(byte) else { return false }
        afterDot = false
      }
    }
    return !afterDot
  }

  /// RFC 5322 §3.2.3; octets above 127 pass, since they need no quotes to be read back.
  private static func isAtext(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
    default: byte > 127 || atextMarks.contains(byte)
    }
  }

  private static let atextMarks = Set("!#$%&'*+-/=?^_`{|}~".utf8)

  private static func spelled(_ local: String) -> String {
    if isDotAtom(Array(local.utf8)) { return local }
    var out: [UInt8] = [UInt8(ascii: "\"")]
    for byte in local.utf8 {
      if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { out.append(UInt8(ascii: "\\")) }
      out.append(byte)
    }
    out.append(UInt8(ascii: "\""))
    return String(decoding: out, as: UTF8.self)
  }
}

/// The addresses of a From, To, Cc, Reply-To field (RFC 5322 §3.4 with the obsolete forms of §4.4).
public struct AddressList: Sendable, Equatable {
  /// The mailboxes in order, members of groups included.
  public var mailboxes: [Mailbox]
  /// Nil when the whole value parses and names something; else what is wrong and where, in English. Parsing went on behind it.
  public var fault: String?
  /// True when there is a group, though it be empty ("undisclosed-recipients:;").
  public var hasGroups: Bool

  /// Reads a field's value, folded or not, in time that grows with its length and no faster.
  ///
  /// - Parameters:
  ///   - value: the octets after the colon.
  ///   - limit: mailboxes at the most; more is a fault.
  public static func parse(_ value: [UInt8], limit: Int) -> AddressList {
    var parser = AddressParser(value, limit: limit)
    return parser.run()
  }
}
