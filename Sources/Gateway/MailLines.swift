import Logging
import Octets

/// What happened to mail, in the words of Postfix's log, which many programs read (`log.format: syslog`). The other formats have the same
/// facts as metadata; the words are made only where they are written.
enum MailLines: Sendable, CustomStringConvertible {
  /// A message was taken. `client` is nil for a message of our own.
  case arrival(id: String, client: MailClient?, messageID: String?, sender: String, bytes: Int, recipients: Int)
  /// Somebody or something was refused. `stage`: CONNECT, MAIL, RCPT or END-OF-MESSAGE.
  case rejection(stage: String, client: MailClient, reply: String, sender: String?, recipient: String?)
  /// A password was wrong.
  case authenticationFailed(client: MailClient, mechanism: String, login: String)
  /// An attempt was made. `opens` when it is the first one for its entry.
  case delivery(DeliveryFacts, opens: Bool)
  /// A connection was taken, or ended.
  case connection(client: MailClient, begins: Bool)

  /// The metadata key under which a log line carries them.
  static let key = "mailLines"

  /// As metadata.
  var value: Logger.MetadataValue { .stringConvertible(self) }

  /// For other log handlers.
  var description: String {
    var lines: [String] = []
    write { lines.append("\($0): \($1)") }
    return lines.joined(separator: "; ")
  }

  /// Calls `line` for each line with the program, by Postfix's names, and its words.
  func write(_ line: (_ program: String, _ words: String) -> Void) {
    switch self {
    case .arrival(let id, let client, let messageID, let sender, let bytes, let recipients):
      let id = MailLines.queueID(id)
      if let client {
        line("smtpd", "\(id): client=\(MailLines.host(client.name, client.address))\(MailLines.login(client))")
      } else {
        line("pickup", "\(id): uid=0 from=<\(MailLines.inner(sender))>")
      }
      if let messageID { line("cleanup", "\(id): message-id=<\(MailLines.inner(messageID))>") }
      line("qmgr", "\(id): from=<\(MailLines.inner(sender))>, size=\(bytes), nrcpt=\(recipients) (queue active)")
    case .rejection(let stage, let client, let reply, let sender, let recipient):
      var words = "NOQUEUE: reject: \(stage) from \(MailLines.host(client.name, client.address)): "
      if let recipient, let code = DeliveryFacts.enhancedCode(in: reply) {
        // Readers look for the reason behind the recipient.
        words += "\(reply.prefix(4))\(code) <\(MailLines.inner(recipient))>:\(reply.dropFirst(4 + code.count));"
      } else {
        words += "\(reply);"
      }
      if let sender { words += " from=<\(MailLines.inner(sender))>" }
      if let recipient { words += " to=<\(MailLines.inner(recipient))>" }
      line("smtpd", "\(words) proto=\(client.proto) helo=<\(MailLines.inner(client.helo))>")
    case .authenticationFailed(let client, let mechanism, _):
      // The name is not among the words: whoever reads this to shut addresses out must not be led by a name of the client's choice.
      line("smtpd", "warning: \(MailLines.host(client.name, client.address)): SASL \(mechanism) authentication failed")
    case .delivery(let facts, let opens): facts.write(opens: opens, line)
    case .connection(let client, let begins):
      line("smtpd", "\(begins ? "connect" : "disconnect") from \(MailLines.host(client.name, client.address))")
    }
  }

  /// Letters, digits and `_`: log readers know a queue id by them.
  static func queueID(_ id: String) -> String {
    let local = id.utf8.prefix { $0 != UInt8(ascii: "@") }
    return String(
      decoding: local.map { byte in
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"): byte
        default: UInt8(ascii: "_")
        }
      }, as: UTF8.self)
  }

  /// What stands between angle brackets, and must not end them.
  static func inner(_ text: String) -> String {
    let isPlain = text.utf8.allSatisfy { $0 != UInt8(ascii: "<") && $0 != UInt8(ascii: ">") }
    return isPlain ? text : String(text.map { $0 == "<" || $0 == ">" ? "?" : $0 })
  }

  /// `name[address]`; names have letters, digits and a few signs only.
  static func host(_ name: String?, _ address: String) -> String {
    let clean = (name ?? "").utf8.filter { byte in
      switch byte {
      case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), 48...57, 65...90, 97...122: true
      default: false
      }
    }
    return "\(clean.isEmpty ? "unknown" : String(decoding: clean, as: UTF8.self))[\(address.isEmpty ? "unknown" : inner(address))]"
  }

  private static func login(_ client: MailClient) -> String {
    var words = ""
    if let user = client.user { words += ", sasl_username=\(inner(user))" }
    if client.address != client.peer {
      // As Postfix has it: the client is who it was first, and whoever handed it on is named beside.
      words += ", forwarded_by=\(client.peer)"
      if let identifier = client.identifier { words += ", orig_queue_id=\(queueID(identifier))" }
    }
    return words
  }
}

/// One attempt for one recipient.
struct DeliveryFacts: Sendable {
  /// How it ended.
  enum Status: String, Sendable { case sent, deferred, bounced }

  var id: String
  var sender: String
  var bytes: Int
  var recipients: Int
  var recipient: String
  /// `smtp`, `lmtp` or `virtual`.
  var program: String
  /// `host[address]:port`; `none` when there was no connection.
  var relay: String
  /// Since the entry was made.
  var delaySeconds: Int64
  /// Enhanced status code (RFC 3463).
  var status: String
  var end: Status
  /// What was heard.
  var words: String

  fileprivate func write(opens: Bool, _ line: (String, String) -> Void) {
    let id = MailLines.queueID(self.id)
    if opens { line("qmgr", "\(id): from=<\(MailLines.inner(sender))>, size=\(bytes), nrcpt=\(recipients) (queue active)") }
    line(
      program,
      "\(id): to=<\(MailLines.inner(recipient))>, relay=\(relay), delay=\(delaySeconds), dsn=\(status), status=\(end.rawValue) (\(words))")
  }

  /// The enhanced status code in a reply such as `250 2.0.0 Ok`; nil when there is none.
  static func enhancedCode(in reply: some StringProtocol) -> String? {
    let words = reply.split(separator: " ", maxSplits: 2)
    guard words.count > 1, words[0].utf8.count == 3 else { return nil }
    let numbers = words[1].split(separator: ".", omittingEmptySubsequences: false)
    guard numbers.count == 3, numbers.allSatisfy({ (1...3).contains($0.utf8.count) && $0.utf8.allSatisfy { $0 >= 48 && $0 <= 57 } })
    else { return nil }
    return String(words[1])
  }
}
