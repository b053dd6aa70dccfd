import Octets

/// A user of this provider.
public struct Account: Sendable, Equatable {
  /// The name as written in the file: a mail address.
  public var name: String
  /// Field 6, where a Dovecot keeps the mailbox; nil when empty.
  public var home: String?
  /// The extra fields by name (`userdb_mail`, …); one without a value has an empty one.
  public var extra: [String: String]
  /// False for a mailbox that nobody can log in to: no password, a locked one, or `nologin`.
  public var mayLogIn: Bool { hash != nil }

  let hash: PasswordHash?
}

/// A line of the file that was skipped, or not wholly obeyed.
public struct AccountProblem: Sendable, Equatable, CustomStringConvertible {
  /// Counted from 1.
  public var line: Int
  /// The user's name, where one could be read.
  public var name: String?
  /// What is wrong and what became of it.
  public var reason: String

  public var description: String { "line \(line)" + (name.map { " (\(ASCII.escaped($0)))" } ?? "") + ": \(reason)" }
}

/// The users of a Dovecot passwd-file: `user:password:uid:gid:gecos:home:shell:extra fields`, all but the first optional.
///
/// Immutable. Empty lines and lines that begin with `#` are passed over; a bad line is named and skipped, and the rest is used.
public struct PasswordFile: Sendable {
  /// What was skipped or not wholly obeyed.
  public let problems: [AccountProblem]
  private let accounts: [String: Account]
  private let decoy: PasswordHash

  /// Reads a whole file.
  public init(_ octets: [UInt8]) {
    var accounts: [String: Account] = [:]
    var problems: [AccountProblem] = []
    var number = 0
    for slice in octets.split(separator: 10, omittingEmptySubsequences: false) {
      number += 1
      let line = slice.last == 13 ? slice.dropLast() : slice
      guard let first = line.first, first != UInt8(ascii: "#"), line.contains(where: { $0 != 32 && $0 != 9 }) else { continue }
      let parsed = PasswordFile.parse(line)
      for reason in parsed.reasons { problems.append(AccountProblem(line: number, name: parsed.name, reason: reason)) }
      guard let account = parsed.account else { continue }
      let key = ASCII.lowercased(account.name)
      if accounts[key] == nil {
        accounts[key] = account
      } else {
        problems.append(AccountProblem(line: number, name: account.name, reason: "the name stands twice; the first line counts"))
      }
    }
    self.accounts = accounts
    self.problems = problems
    decoy = PasswordFile.decoy(accounts)
  }

  /// How many users.
  public var count: Int { accounts.count }

  /// Names as written, sorted.
  public var names: [String] { accounts.values.map(\.name).sorted() }

  /// The user of that name, without regard to the case of ASCII letters.
  public func account(_ name: String) -> Account? { accounts[ASCII.lowercased(name)] }

  /// Whether the password is that user's. An unknown user costs the same time as a known one, so that names cannot be tried out.
  /// Takes milliseconds.
  public func verify(_ login: String, password: String) -> Bool {
    guard let hash = account(login)?.hash else {
      _ = decoy.matches(password)
      return false
    }
    return hash.matches(password)
  }

  /// The hash that is reckoned through for unknown users: one of the scheme and cost that most users have.
  private static func decoy(_ accounts: [String: Account]) -> PasswordHash {
    var census: [String: (count: Int, hash: PasswordHash)] = [:]
    for hash in accounts.values.compactMap(\.hash) { census[hash.costClass, default: (0, hash)].count += 1 }
    // The name breaks ties, so that two loads of one file choose alike.
    return census.max { ($0.value.count, $0.key) < ($1.value.count, $1.key) }?.value.hash ?? .decoy
  }

  /// What a line says, and what is to be said about it.
  private struct Parsed {
    var name: String?
    var account: Account?
    var reasons: [String] = []
  }

  private static func parse(_ line: ArraySlice<UInt8>) -> Parsed {
    var parsed = Parsed()
    guard let text = String(validating: line, as: UTF8.self) else {
      parsed.reasons = ["not UTF-8; skipped"]
      return parsed
    }
    // The eighth field is all the rest: extra fields may have colons in them.
    let fields = text.split(separator: ":", maxSplits: 7, omittingEmptySubsequences: false).map(String.init)
    let name = fields[0].trimmed
    guard !name.isEmpty, name.unicodeScalars.allSatisfy({ $0.value > 32 && $0.value != 127 }) else {
      parsed.reasons = ["no user name, or one with spaces or control characters; skipped"]
      return parsed
    }
    parsed.name = name
    let extra = extraFields(fields.count > 7 ? fields[7] : "")
    if extra["nopassword"] != nil {
      parsed.reasons = ["nopassword would let everybody in; skipped"]
      return parsed
    }
    var hash: PasswordHash?
    let password = fields.count > 1 ? fields[1] : ""
    if !isLocked(password) {
      do {
        hash = try PasswordHash(field: password)
      } catch {
        parsed.reasons = ["\(error); skipped"]
        return parsed
      }
    }
    if extra["allow_nets"] != nil, hash != nil {
      hash = nil
      parsed.reasons = ["allow_nets is not obeyed here, so this user cannot log in; the mailbox exists"]
    }
    if extra["nologin"] != nil { hash = nil }
    let home = fields.count > 5 && !fields[5].isEmpty ? fields[5] : nil
    parsed.account = Account(name: name, home: home, extra: extra, hash: hash)
    return parsed
  }

  /// No password, or one that cannot match: `*`, `!`, `{SHA512-CRYPT}!…`.
  private static func isLocked(_ field: String) -> Bool {
    let hash = field.hasPrefix("{") ? field.drop { $0 != "}" }.dropFirst() : field[...]
    return hash.isEmpty && !field.hasPrefix("{") || hash.hasPrefix("!") || hash.hasPrefix("*")
  }

  private static func extraFields(_ text: String) -> [String: String] {
    var fields: [String: String] = [:]
    for word in text.split(whereSeparator: { $0 == " " || $0 == "\t" }) {
      let pair = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      fields[String(pair[0])] = pair.count > 1 ? String(pair[1]) : ""
    }
    return fields
  }
}

extension PasswordHash {
  /// Hashes of one class cost the same: scheme and rounds.
  var costClass: String {
    let parts = setting.split(separator: "$")
    guard parts.count > 1 else { return setting }
    return parts[1].hasPrefix("rounds=") || parts[0].hasPrefix("2") || parts[0] == "y" ? "\(parts[0])$\(parts[1])" : "\(parts[0])"
  }
}

extension String {
  fileprivate var trimmed: String {
    String(drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
  }
}
