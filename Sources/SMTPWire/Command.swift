import Limits
import Octets

/// The verbs of SMTP commands.
enum Verb: String, Sendable, CaseIterable {
  case ehlo, helo, mail, rcpt, data, bdat, rset, noop, vrfy, help, quit, auth, starttls, xclient, xforward
  // Known, and not to be had here: 502 instead of 500 (RFC 5321 §4.2.4).
  case expn, turn, etrn, atrn, send, soml, saml, burl

  /// The verb at the begin of `line`, up to the first space, in any case of letters.
  init?(_ line: [UInt8]) {
    guard let end = line.prefix(9).firstIndex(of: 32) ?? (line.count <= 8 ? line.count : nil) else { return nil }
    guard let verb = Verb.byKey[Verb.key(line[..<end])] else { return nil }
    self = verb
  }

  /// Up to eight letters as one number: commands are told apart without making a text of them.
  private static func key(_ letters: some Sequence<UInt8>) -> UInt64 {
    letters.reduce(0) { $0 << 8 | UInt64(ASCII.lower($1)) }
  }

  private static let byKey = Dictionary(uniqueKeysWithValues: Verb.allCases.map { (key($0.rawValue.utf8), $0) })
}

/// One command line without its CRLF, and the readers of its arguments. What is wrong comes back as the reply to it.
struct Command {
  /// An argument, or the refusal.
  enum Parsed<Value> {
    case value(Value)
    case refused(Reply)
  }

  /// BDAT's arguments (RFC 3030 §2).
  struct Chunk: Equatable {
    var size: Int
    var isLast: Bool
  }

  private let bytes: [UInt8]
  /// Offset of the arguments, after the verb and one space.
  private let arguments: Int
  private let limits: CommandLimits

  /// - Parameter bytes: the line without white space at its end.
  init(_ bytes: [UInt8], limits: CommandLimits) {
    arguments = bytes.firstIndex(of: 32).map { $0 + 1 } ?? bytes.count
    self.bytes = bytes
    self.limits = limits
  }

  /// `line` without the white space at its end, which is tolerated (RFC 5321 §4.1.1).
  static func trimmed(_ line: [UInt8]) -> [UInt8] {
    var line = line
    while let last = line.last, last == 32 || last == 9 { line.removeLast() }
    return line
  }

  /// What is wrong with the octets of a command line of any kind, or nil.
  ///
  /// Octets above 127 are let through in MAIL and RCPT, whose own parser names them.
  static func octetFault(in line: [UInt8], verb: Verb?) -> Reply? {
    if line.contains(where: { ($0 < 32 && $0 != 9) || $0 == 127 }) {
      return Reply(500, "5.5.2", "Control characters are not allowed in commands")
    }
    if verb != .mail, verb != .rcpt, Scan.hasHighBit(line.span) {
      return Reply(500, "5.5.2", "Only ASCII is allowed in commands")
    }
    return nil
  }

  /// True when nothing follows the verb.
  var isBare: Bool { arguments >= bytes.count }

  /// The arguments, split at spaces.
  var words: [ArraySlice<UInt8>] { bytes[min(arguments, bytes.count)...].split(separator: 32) }

  /// The argument of EHLO and HELO. RFC 5321 §4.1.4: no message is refused for a name that means nothing, so only octets
  /// that can be in no name are refused here.
  var clientName: Parsed<String> {
    let words = self.words
    guard words.count == 1, words[0].count <= limits.domainBytes, words[0].allSatisfy(Command.isNameOctet) else {
      return .refused(Reply(501, "5.5.4", "Syntax: EHLO hostname"))
    }
    return .value(String(decoding: words[0], as: UTF8.self))
  }

  private static func isNameOctet(_ byte: UInt8) -> Bool {
    switch byte {
    case 45, 46, 58, 91, 93, 95: true  // - . : [ ] _
    default: AddressParser.isLetterOrDigit(byte)
    }
  }

  /// `MAIL FROM:<path> [parameters]` (RFC 5321 §4.1.1.2).
  func mail(profile: ServerProfile) -> Parsed<MailCommand> {
    var parser: AddressParser
    switch path(after: "from:", "Syntax: MAIL FROM:<address>") {
    case .value(let found): parser = found
    case .refused(let reply): return .refused(reply)
    }
    var command: MailCommand
    switch parser.path() {
    case .null: command = MailCommand(path: "")
    case .mailbox(let address): command = MailCommand(path: address)
    case .postmaster, .fault(.syntax): return .refused(Reply(501, "5.1.7", "Bad sender address syntax"))
    case .fault(.tooLong): return .refused(Reply(501, "5.1.7", "Sender address too long"))
    // RFC 6531 §3.5: what a server says to an address it cannot take.
    case .fault(.eightBit): return .refused(Reply(553, "5.6.7", "Sender address must be ASCII: SMTPUTF8 is not supported"))
    }
    guard let parameters = parameters(from: parser.at) else {
      return .refused(Reply(501, "5.5.4", "Bad MAIL parameter syntax"))
    }
    command.parameters = parameters
    if let refusal = apply(parameters, to: &command, profile: profile) { return .refused(refusal) }
    return .value(command)
  }

  /// `RCPT TO:<path>` (RFC 5321 §4.1.1.3). No extension with RCPT parameters is announced, DSN (RFC 3461) least of all.
  var recipient: Parsed<RecipientCommand> {
    var parser: AddressParser
    switch path(after: "to:", "Syntax: RCPT TO:<address>") {
    case .value(let found): parser = found
    case .refused(let reply): return .refused(reply)
    }
    let command: RecipientCommand
    switch parser.path() {
    case .mailbox(let address): command = RecipientCommand(path: address, isBarePostmaster: false)
    case .postmaster(let name): command = RecipientCommand(path: name, isBarePostmaster: true)
    case .null, .fault(.syntax): return .refused(Reply(501, "5.1.3", "Bad recipient address syntax"))
    case .fault(.tooLong): return .refused(Reply(501, "5.1.3", "Recipient address too long"))
    case .fault(.eightBit): return .refused(Reply(553, "5.6.7", "Recipient address must be ASCII: SMTPUTF8 is not supported"))
    }
    guard let parameters = parameters(from: parser.at) else {
      return .refused(Reply(501, "5.5.4", "Bad RCPT parameter syntax"))
    }
    if let first = parameters.first {
      return .refused(Reply(555, "5.5.4", "RCPT parameter \(first.keyword) not recognized or not implemented"))
    }
    return .value(command)
  }

  /// A reader at the "<" after `keyword`. Spaces after the colon are wrong (RFC 5321 §4.1.1.11) and common, and harm nobody.
  private func path(after keyword: StaticString, _ syntax: String) -> Parsed<AddressParser> {
    let word = "\(keyword)".utf8
    let end = arguments + word.count
    guard end <= bytes.count, ASCII.equal(bytes[arguments..<end], word) else { return .refused(Reply(501, "5.5.4", syntax)) }
    var at = end
    while at < bytes.count, bytes[at] == 32 { at += 1 }
    return .value(AddressParser(bytes, from: at, limits: limits))
  }

  /// `esmtp-param *(SP esmtp-param)` after a space, up to the end of the line; nil when it is not that (RFC 5321 §4.1.2).
  private func parameters(from at: Int) -> [ESMTPParameter]? {
    if at == bytes.count { return [] }
    guard bytes[at] == 32 else { return nil }
    var parameters: [ESMTPParameter] = []
    for word in bytes[at...].split(separator: 32) {
      let sign = word.firstIndex(of: UInt8(ascii: "=")) ?? word.endIndex
      let keyword = word[..<sign]
      guard let first = keyword.first, AddressParser.isLetterOrDigit(first),
        keyword.allSatisfy({ AddressParser.isLetterOrDigit($0) || $0 == UInt8(ascii: "-") })
      else { return nil }
      var value: String?
      if sign < word.endIndex {
        let text = word[(sign + 1)...]
        guard !text.isEmpty, text.allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "=") }) else { return nil }
        value = String(decoding: text, as: UTF8.self)
      }
      let name = String(decoding: keyword, as: UTF8.self).uppercased()
      if parameters.contains(where: { $0.keyword == name }) { return nil }
      parameters.append(ESMTPParameter(keyword: name, value: value))
    }
    return parameters
  }

  private func apply(_ parameters: [ESMTPParameter], to command: inout MailCommand, profile: ServerProfile) -> Reply? {
    for parameter in parameters {
      switch parameter.keyword {
      case "SIZE":
        // RFC 1870 §3: 1 to 20 digits.
        guard let digits = parameter.value?.utf8, digits.count <= 20, digits.allSatisfy({ $0 >= 48 && $0 <= 57 }) else {
          return Reply(501, "5.5.4", "Bad SIZE parameter")
        }
        // RFC 1870 §6.1 (3).
        guard let size = Command.number(digits), size <= profile.sizeLimitBytes else { return BodyFault.tooLarge.reply }
        command.declaredBytes = size
      case "BODY" where profile.offersEightBit:
        switch parameter.value.map(ASCII.lowercased) {
        case "7bit": command.body = .sevenBit
        case "8bitmime": command.body = .eightBitMIME
        default: return Reply(555, "5.5.4", "BODY type not recognized or not implemented")
        }
      case "AUTH" where profile.asksForAuthentication:
        // RFC 4954 §5: accepted, and not believed: whose message it is was found out by AUTH.
        guard let value = parameter.value, XText.decode(value.utf8) != nil else { return Reply(501, "5.5.4", "Bad AUTH parameter") }
      default:
        // RFC 5321 §4.1.1.11.
        return Reply(555, "5.5.4", "MAIL parameter \(parameter.keyword) not recognized or not implemented")
      }
    }
    return nil
  }

  /// `BDAT size [LAST]` (RFC 3030 §2); nil when it cannot be told how many octets follow.
  var chunk: Chunk? {
    let words = self.words
    guard words.count == 1 || words.count == 2, let size = Command.number(words[0]) else { return nil }
    if words.count == 2, !ASCII.equal(words[1], "last".utf8) { return nil }
    return Chunk(size: size, isLast: words.count == 2)
  }

  /// A decimal number of at least one digit that fits; nil otherwise.
  static func number(_ digits: some Collection<UInt8>) -> Int? {
    guard !digits.isEmpty, digits.count <= 20 else { return nil }
    var number = 0
    for digit in digits {
      guard digit >= 48, digit <= 57 else { return nil }
      let (tens, high) = number.multipliedReportingOverflow(by: 10)
      let (sum, over) = tens.addingReportingOverflow(Int(digit - 48))
      if high || over { return nil }
      number = sum
    }
    return number
  }
}
