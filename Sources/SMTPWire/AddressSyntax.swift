import Limits

/// A path of MAIL or RCPT as it stands on the wire (RFC 5321 §4.1.2).
enum PathSyntax: Equatable {
  /// `<>`.
  case null
  /// A mailbox; source route and brackets are off.
  case mailbox(String)
  /// `<Postmaster>` in any case, without a domain.
  case postmaster(String)
  case fault(PathFault)
}

enum PathFault: Equatable {
  case syntax
  /// An octet above 127: SMTPUTF8 is not spoken.
  case eightBit
  /// Local part, domain or path over its limit (RFC 5321 §4.5.3.1).
  case tooLong
}

/// Reads paths, domains and address literals octet by octet: they are short, and every octet counts.
struct AddressParser {
  private let bytes: [UInt8]
  private let limits: CommandLimits
  /// Offset of the next octet.
  private(set) var at: Int

  init(_ bytes: [UInt8], from start: Int = 0, limits: CommandLimits = CommandLimits()) {
    self.bytes = bytes
    self.limits = limits
    at = start
  }

  /// True when `text` is a mailbox that may stand between the angle brackets of a path; what a client machine asks of its job.
  static func isMailbox(_ text: String) -> Bool {
    var parser = AddressParser([UInt8(ascii: "<")] + Array(text.utf8) + [UInt8(ascii: ">")])
    switch parser.path() {
    case .mailbox(let address): return address == text && parser.at == parser.bytes.count
    case .postmaster: return parser.at == parser.bytes.count
    case .null, .fault: return false
    }
  }

  /// Reads a path with its angle brackets; `at` is then the offset after ">".
  mutating func path() -> PathSyntax {
    let begin = at
    guard take("<") else { return fault() }
    if take(">") { return .null }
    if peek == UInt8(ascii: "@") {
      // RFC 5321 §4.1.1.3, appendix C: a source route is accepted and ignored.
      guard sourceRoute() else { return fault() }
    }
    let mailbox = at
    guard localPart() else { return fault() }
    let localEnd = at
    if localEnd - mailbox > limits.localPartBytes { return .fault(.tooLong) }
    if take(">") {
      // RFC 5321 §4.5.1: "RCPT TO:<Postmaster>" in any case of letters.
      let isPostmaster = bytes[mailbox..<localEnd].elementsEqual("postmaster".utf8) { ($0 | 32) == $1 }
      return isPostmaster ? .postmaster(text(mailbox..<localEnd)) : .fault(.syntax)
    }
    guard take("@") else { return fault() }
    let domainStart = at
    guard peek == UInt8(ascii: "[") ? addressLiteral() : domain() else { return fault() }
    let end = at
    guard take(">") else { return fault() }
    if end - domainStart > limits.domainBytes || at - begin > limits.pathBytes { return .fault(.tooLong) }
    return .mailbox(text(mailbox..<end))
  }

  private var peek: UInt8? { at < bytes.count ? bytes[at] : nil }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard peek == UInt8(ascii: character) else { return false }
    at += 1
    return true
  }

  private func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

  private func fault() -> PathSyntax {
    if let peek, peek > 127 { return .fault(.eightBit) }
    return .fault(.syntax)
  }

  /// `A-d-l = At-domain *( "," At-domain )`, then ":".
  private mutating func sourceRoute() -> Bool {
    repeat {
      guard take("@"), domain() else { return false }
    } while take(",")
    return take(":")
  }

  private mutating func localPart() -> Bool {
    peek == UInt8(ascii: "\"") ? quotedString() : dotString()
  }

  /// `Dot-string = Atom *("." Atom)`.
  private mutating func dotString() -> Bool {
    repeat {
      let start = at
      while let byte = peek, AddressParser.isAtomText(byte) { at += 1 }
      if at == start { return false }
    } while take(".")
    return true
  }

  /// `Quoted-string = DQUOTE *QcontentSMTP DQUOTE`.
  private mutating func quotedString() -> Bool {
    guard take("\"") else { return false }
    while let byte = peek {
      switch byte {
      case UInt8(ascii: "\""):
        at += 1
        return true
      case UInt8(ascii: "\\"):
        at += 1
        guard let next = peek, next >= 32, next < 127 else { return false }
        at += 1
      case 32...126: at += 1
      default: return false
      }
    }
    return false
  }

  /// `Domain = sub-domain *("." sub-domain)`, a label of 63 octets at the most (RFC 1035 §2.3.4).
  private mutating func domain() -> Bool {
    repeat {
      let start = at
      while let byte = peek, AddressParser.isLetterOrDigit(byte) || byte == UInt8(ascii: "-") { at += 1 }
      if at == start || at - start > 63 { return false }
      if bytes[start] == UInt8(ascii: "-") || bytes[at - 1] == UInt8(ascii: "-") { return false }
    } while take(".")
    return true
  }

  /// `address-literal` (RFC 5321 §4.1.3): IPv4, or IPv6 with its tag. No other tag is registered.
  private mutating func addressLiteral() -> Bool {
    guard take("[") else { return false }
    let start = at
    while let byte = peek, byte != UInt8(ascii: "]"), byte > 32, byte < 127, at - start < 64 { at += 1 }
    let literal = bytes[start..<at]
    guard take("]") else { return false }
    if literal.count > 5, literal.prefix(5).elementsEqual("ipv6:".utf8, by: { ($0 >= 65 && $0 <= 90 ? $0 | 32 : $0) == $1 }) {
      return AddressParser.isIPv6(literal.dropFirst(5))
    }
    return AddressParser.isIPv4(literal)
  }

  /// Four numbers of 0…255.
  static func isIPv4(_ text: ArraySlice<UInt8>) -> Bool {
    let numbers = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    return numbers.count == 4
      && numbers.allSatisfy { digits in
        guard !digits.isEmpty, digits.count <= 3, digits.allSatisfy({ $0 >= 48 && $0 <= 57 }) else { return false }
        return digits.reduce(0) { $0 * 10 + Int($1 - 48) } <= 255
      }
  }

  /// Eight groups, or fewer around one "::"; the last two may be an IPv4 address.
  static func isIPv6(_ text: ArraySlice<UInt8>) -> Bool {
    let colon = UInt8(ascii: ":")
    let groups = text.split(separator: colon, omittingEmptySubsequences: false)
    guard groups.count >= 3, groups.count <= 9 else { return false }
    var count = 0
    var gaps = 0
    for (index, group) in groups.enumerated() {
      if group.isEmpty {
        // "::" leaves one empty group inside, or two at an end.
        let atBegin = index == 0 && groups[1].isEmpty
        let atEnd = index == groups.count - 1 && groups[index - 1].isEmpty
        if atBegin || atEnd { continue }
        if index == 0 || index == groups.count - 1 { return false }
        gaps += 1
      } else if index == groups.count - 1, group.contains(UInt8(ascii: ".")) {
        guard isIPv4(group) else { return false }
        count += 2
      } else {
        guard group.count <= 4, group.allSatisfy({ ($0 >= 48 && $0 <= 57) || (($0 | 32) >= 97 && ($0 | 32) <= 102) }) else { return false }
        count += 1
      }
    }
    return gaps == 0 ? count == 8 : gaps == 1 && count <= 7
  }

  /// `atext` (RFC 5322 §3.2.3).
  static func isAtomText(_ byte: UInt8) -> Bool {
    switch byte {
    case 33, 35...39, 42, 43, 45, 47, 48...57, 61, 63, 65...90, 94...126: true
    default: false
    }
  }

  static func isLetterOrDigit(_ byte: UInt8) -> Bool {
    switch byte {
    case 48...57, 65...90, 97...122: true
    default: false
    }
  }
}
