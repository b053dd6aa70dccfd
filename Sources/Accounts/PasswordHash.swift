internal import CPlatform
import Octets

/// Salted password hashes of the system's crypt(3), as Dovecot writes them: `{SHA512-CRYPT}$6$…`.
///
/// They are slow by design (milliseconds): never called on a lane. Safe to be called by several threads at once.
public struct PasswordHash: Sendable, Equatable {
  /// A scheme for new hashes.
  public enum Scheme: String, Sendable, CaseIterable {
    case sha512Crypt = "SHA512-CRYPT"
    case sha256Crypt = "SHA256-CRYPT"
    /// bcrypt; it looks at the first 72 octets of a password only.
    case blowfishCrypt = "BLF-CRYPT"

    var prefix: String {
      switch self {
      case .sha512Crypt: "$6$"
      case .sha256Crypt: "$5$"
      case .blowfishCrypt: "$2b$"
      }
    }
  }

  /// Why a hash is not taken.
  public enum Refusal: Error, Sendable, Equatable, CustomStringConvertible {
    /// `{PLAIN}` and its like: the file would hold the password itself.
    case clearText(String)
    /// A scheme this system's crypt does not do, or one that is not crypt.
    case unknownScheme(String)
    /// DES or MD5: broken within hours.
    case weak(String)
    /// The hash does not have the form of its scheme.
    case malformed(String)
    /// Its cost would keep a thread busy for longer than a client waits.
    case tooCostly(String)
    /// The password to be hashed is empty, has a NUL in it, or more than 511 octets.
    case unusablePassword

    public var description: String {
      switch self {
      case .clearText(let scheme):
        "the scheme \(scheme) keeps the password in clear text; write a hash (doveadm pw -s SHA512-CRYPT, or openssl passwd -6)"
      case .unknownScheme(let scheme): "the scheme \(scheme) is not known here; SHA512-CRYPT, SHA256-CRYPT, BLF-CRYPT and CRYPT are"
      case .weak(let scheme): "the hash is of the kind \(scheme), which is too weak; write a new one as SHA512-CRYPT"
      case .malformed(let scheme): "the hash does not have the form of \(scheme)"
      case .tooCostly(let scheme): "the cost of the \(scheme) hash is too high"
      case .unusablePassword: "a password must not be empty, have a NUL in it, or be longer than \(PasswordHash.maximumBytes) octets"
      }
    }
  }

  /// The longest password that crypt takes (libxcrypt's CRYPT_MAX_PASSPHRASE_SIZE without its NUL), in octets.
  public static let maximumBytes = 511

  /// crypt's form: `$6$salt$hash`.
  let setting: String

  /// Makes a hash with a fresh salt and the system's usual cost.
  public static func make(_ password: String, scheme: Scheme = .sha512Crypt) throws(Refusal) -> PasswordHash {
    guard isUsable(password) else { throw .unusablePassword }
    var out = [CChar](repeating: 0, count: 512)
    guard unsafe ceralacca_crypt_make(password, scheme.prefix, &out, out.count) == 0 else { throw .unknownScheme(scheme.rawValue) }
    return PasswordHash(setting: String(decoding: out.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
  }

  /// Reads a password field: `{SCHEME}hash`, or a bare crypt hash (Dovecot's default scheme for passwd-files is CRYPT).
  public init(field: String) throws(Refusal) {
    var scheme = "CRYPT"
    var hash = field[...]
    if field.hasPrefix("{") {
      guard let end = field.firstIndex(of: "}") else { throw .malformed("{SCHEME}hash") }
      scheme = field[field.index(after: field.startIndex)..<end].uppercased()
      hash = field[field.index(after: end)...]
    }
    switch scheme {
    case "CRYPT": _ = try PasswordHash.kind(of: hash)
    case "SHA512-CRYPT", "SHA256-CRYPT", "BLF-CRYPT":
      guard try PasswordHash.kind(of: hash) == scheme else { throw .malformed(scheme) }
    case "PLAIN", "CLEARTEXT", "CLEAR", "PLAIN-TRUNC", "PLAIN.B64", "PLAIN.HEX": throw .clearText(scheme)
    case "MD5-CRYPT", "DES-CRYPT", "MD5", "LDAP-MD5", "SMD5", "SHA", "SHA1", "SSHA", "CRAM-MD5", "NTLM", "LANMAN": throw .weak(scheme)
    default: throw .unknownScheme(scheme)
    }
    setting = String(hash)
  }

  private init(setting: String) { self.setting = setting }

  /// A hash that no password has, of the usual scheme and cost: something to be slow with.
  static let decoy = PasswordHash(setting: "$6$q1wZr8TnYc5Kd3Fv$")

  /// `{SCHEME}hash`, for a passwd-file.
  public var field: String {
    switch setting.prefix(3) {
    case "$6$": "{SHA512-CRYPT}" + setting
    case "$5$": "{SHA256-CRYPT}" + setting
    case "$2a", "$2b", "$2y": "{BLF-CRYPT}" + setting
    default: "{CRYPT}" + setting
    }
  }

  /// Whether `password` is the hashed one. Takes milliseconds, and the same for every password.
  public func matches(_ password: String) -> Bool {
    // crypt ends at a NUL: "secret\0anything" must not pass for "secret".
    let usable = PasswordHash.isUsable(password)
    let verdict = unsafe ceralacca_crypt_matches(usable ? password : "-", setting)
    return usable && verdict == 1
  }

  private static func isUsable(_ password: String) -> Bool {
    !password.isEmpty && password.utf8.count <= maximumBytes && !password.utf8.contains(0)
  }

  /// The scheme of a crypt hash by its prefix, with its form and cost checked.
  private static func kind(of hash: Substring) throws(Refusal) -> String {
    guard hash.utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: ":") }) else { throw .malformed("crypt") }
    // `$id$rest` gives ["", id, rest…].
    let parts = hash.split(separator: "$", omittingEmptySubsequences: false)
    guard parts.count >= 3, parts[0].isEmpty else {
      // 13 characters without a dollar sign are DES; the rest is no crypt at all.
      throw hash.utf8.count == 13 || hash.hasPrefix("_") ? .weak("DES") : .malformed("crypt")
    }
    switch parts[1] {
    case "6": return try shaCrypt(parts, "SHA512-CRYPT", hashCharacters: 86)
    case "5": return try shaCrypt(parts, "SHA256-CRYPT", hashCharacters: 43)
    case "2a", "2b", "2y":
      guard parts.count == 4, parts[3].utf8.count == 53, let cost = Int(parts[2]), cost >= 4 else { throw .malformed("BLF-CRYPT") }
      if cost > 16 { throw .tooCostly("BLF-CRYPT") }
      return "BLF-CRYPT"
    case "y", "gy", "7":
      guard parts.count >= 4, parts.last?.utf8.count == 43 else { throw .malformed("CRYPT") }
      return "CRYPT"
    case "1", "md5", "sha1", "3": throw .weak("$\(parts[1])$")
    default: throw .unknownScheme("$\(parts[1])$")
    }
  }

  private static func shaCrypt(_ parts: [Substring], _ name: String, hashCharacters: Int) throws(Refusal) -> String {
    // $6$salt$hash or $6$rounds=N$salt$hash
    var rest = parts.dropFirst(2)
    if let first = rest.first, first.hasPrefix("rounds=") {
      guard let rounds = Int(first.dropFirst(7)), rounds > 0 else { throw .malformed(name) }
      if rounds > 5_000_000 { throw .tooCostly(name) }
      rest = rest.dropFirst()
    }
    guard rest.count == 2, rest.last?.utf8.count == hashCharacters else { throw .malformed(name) }
    return name
  }
}
