import Foundation
import Limits
import MIMEStream
import Octets
import PEC
import Testing

@testable import Reception

/// A file of Tests/ReceptionTests/Fixtures.
func fixture(_ name: String) throws -> String {
  let folder = try #require(Bundle.module.resourceURL).appending(path: "Fixtures")
  return String(decoding: try Data(contentsOf: folder.appending(path: name)), as: UTF8.self)
}

/// The providers of the tests. A certificate is its name's octets here: what is judged is who has it.
enum World {
  static let arrival = Instant(unixSeconds: 1_773_130_530, utcOffsetSeconds: 3600)
  /// 2026-03-10 09:15:00 +0100, the time in the certification data.
  static let own: Int64 = 1_773_130_500

  static func certificate(_ name: String) -> [UInt8] { Array("certificate of \(name)".utf8) }
  static func sha1(_ name: String) -> String { Hex.encode(Array(name.utf8) + [UInt8](repeating: 0, count: 20)).prefix(40).description }

  private static func record(_ name: String, unit: String? = nil, signers: [String], receipt: String, domains: [String]) -> ProviderRecord {
    ProviderRecord(
      dn: (unit.map { "providerUnit=\($0)," } ?? "") + "providerName=\(name),o=postacert", line: 1, providerName: name, unit: unit,
      certificateHashes: signers.map(sha1), certificates: signers.map(certificate), mailReceipt: receipt, managedDomains: domains)
  }

  static let alfa = record(
    "Alfa PEC S.p.A.", signers: ["alfa", "alfa-old"], receipt: "servizio@pec.alfa.test", domains: ["pec.alfa.test", "studio.alfa.test"])
  static let interno = record(
    "Alfa PEC S.p.A.", unit: "Interno", signers: ["interno"], receipt: "servizio@interno.alfa.test", domains: ["interno.alfa.test"])
  static let beta = record("Beta PEC S.r.l.", signers: ["beta"], receipt: "servizio@pec.beta.test", domains: ["pec.beta.test"])
  static let gamma = record("Gamma PEC S.p.A.", signers: ["gamma"], receipt: "servizio@pec.gamma.test", domains: ["pec.gamma.test"])

  static let directory = ProviderDirectory(records: [alfa, interno, beta, gamma])

  /// Mail addresses in the certificates.
  static let addresses = [
    "alfa": ["posta-certificata@pec.alfa.test"], "alfa-old": ["posta-certificata@pec.alfa.test"],
    "interno": ["posta-certificata@interno.alfa.test"], "beta": ["posta-certificata@pec.beta.test"],
    "gamma": ["posta-certificata@pec.gamma.test"], "forge": ["posta-certificata@pec.alfa.test"],
    "user": ["anna@pec.alfa.test"],
  ]

  static let check = IncomingCheck(
    directory: directory, ownDomains: ["pec.beta.test"], serviceMailbox: "servizio@pec.beta.test",
    serviceAddress: "posta-certificata@pec.beta.test", limits: MessageLimits())
}

/// A fixture with changes, as somebody might send it, and what a verifier would find: the signature is good when a provider is said to
/// have signed just these octets, and only then.
struct Counterfeit {
  /// With LF for line ends, marks for octets that a text cannot have, and `@@file@@` where certification data go.
  private var text: String
  private var documents: [String: String] = [:]
  private var reversePath: String
  private var forwardPaths: [String]
  private var isResigned = false
  private var isOverTLS = true
  private var known: [(isSame: Bool, isEnvelope: Bool, provider: String, recipients: [String])] = []
  private var adjust: [(inout SignatureFindings) -> Void] = []
  private var isUnread = false
  private let genuine: [UInt8]

  /// MAIL FROM and RCPT TO of the fixtures.
  private static let paths: [String: (from: String, to: [String])] = [
    "envelope": ("anna@pec.alfa.test", ["bruno@pec.beta.test"]), "aruba-2014": ("anna@pec.alfa.test", ["bruno@pec.beta.test"]),
    "namirial-2024": ("anna@pec.alfa.test", ["bruno@pec.beta.test"]), "sogei-2018": ("anna@pec.alfa.test", ["bruno@pec.beta.test"]),
    "delivery": ("posta-certificata@pec.alfa.test", ["bruno@pec.beta.test"]),
    "non-delivery": ("posta-certificata@pec.alfa.test", ["bruno@pec.beta.test"]),
    "take-charge": ("posta-certificata@pec.alfa.test", ["servizio@pec.beta.test"]),
    "virus-detection": ("posta-certificata@pec.alfa.test", ["servizio@pec.beta.test"]),
    "anomaly-envelope": ("carlo@mail.test", ["bruno@pec.beta.test"]), "ordinary": ("carlo@mail.test", ["bruno@pec.beta.test"]),
    "bounce": ("", ["bruno@pec.beta.test"]),
  ]

  init(_ base: String) throws {
    text = try fixture(base + ".eml")
    let known = try #require(Counterfeit.paths[base], "a fixture without paths")
    (reversePath, forwardPaths) = known
    for match in text.matches(of: /@@([\w.-]+)@@/) { documents[String(match.1)] = try fixture(String(match.1)) }
    genuine = Counterfeit.signedOctets(Counterfeit.wire(Counterfeit.filled(text, documents)))
  }

  /// Applies a change as the table spells it.
  mutating func apply(_ change: String) throws {
    let verb = change.prefix { $0 != " " }
    let rest = Counterfeit.unescaped(String(change.dropFirst(verb.count + 1)))
    switch verb {
    case "add": text = rest + "\n" + text
    case "append": try header { $0 + "\n" + rest }
    case "drop": try header { Counterfeit.dropping(rest, from: $0) }
    case "set":
      let name = String(rest.prefix { $0 != ":" })
      try header { Counterfeit.dropping(name, from: $0, putting: rest) }
    case "outer":
      let (old, new) = try Counterfeit.halves(rest)
      try header { try Counterfeit.replacing(old, new, in: $0) }
    case "replace":
      let (old, new) = try Counterfeit.halves(rest)
      text = try Counterfeit.replacing(old, new, in: text)
    case "xml":
      let (old, new) = try Counterfeit.halves(rest)
      for key in documents.keys { documents[key] = try Counterfeit.replacing(old, new, in: documents[key] ?? "") }
    case "wrap": try wrap(rest)
    case "fields": try header { $0 + String(repeating: "\nX-Nota: a", count: Int(rest) ?? 0) + "\nFrom: sindaco@comune.test" }
    case "field-bytes": try header { $0 + "\nX-Nota: " + String(repeating: "a", count: Int(rest) ?? 0) + "\nFrom: sindaco@comune.test" }
    case "parts":
      text = try Counterfeit.replacing("--inner--\n", String(repeating: "--inner\n\nx\n", count: Int(rest) ?? 0) + "--inner--\n", in: text)
    case "as": break  // "as it is"
    case "signed": isResigned = true
    case "signer": text = try Counterfeit.replacing("CMS alfa", "CMS " + rest, in: text)
    case "mail-from": reversePath = rest == "<>" ? "" : rest
    case "rcpt": forwardPaths = rest.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
    case "no-tls": isOverTLS = false
    case "unread": isUnread = true
    case "known":
      let words = rest.split(separator: " ").map(String.init)
      known.append((words[0] == "same", words[1] == "envelope", words[2], Array(words[3...])))
    default: try find(String(verb), rest)
    }
  }

  /// Changes of what the verifier finds.
  private mutating func find(_ verb: String, _ rest: String) throws {
    let hours = Int64(rest.prefix { $0.isNumber || $0 == "-" }) ?? 0
    switch verb {
    case "expired": adjust.append { $0.notAfter = World.arrival.unixSeconds - hours * 3600 }
    case "begins": adjust.append { $0.notBefore = World.arrival.unixSeconds + hours * 3600 }
    case "signed-at": adjust.append { $0.signingTime = World.own + hours * 3600 }
    case "no-signing-time": adjust.append { $0.signingTime = nil }
    case "path": adjust.append { $0.path = rest == "unchecked" ? .notChecked : .bad(rest) }
    case "revoked": adjust.append { $0.revocation = .revoked(atUnixSeconds: World.own + hours * 3600) }
    case "no-list": adjust.append { $0.revocation = .unknown(rest) }
    case "certificate-octets": adjust.append { $0.certificate = Array(rest.utf8) }
    case "sha1": adjust.append { $0.sha1 = rest }
    case "sha1-upper": adjust.append { $0.sha1 = $0.sha1.uppercased() }
    case "certificate-address": adjust.append { $0.mailAddresses = rest.split(separator: ",").map(String.init) }
    default: throw CaseFault("an unknown change: \(verb)")
    }
  }

  /// The message with what was found out about it.
  func received() -> (message: ReceivedMessage, octets: [UInt8]) {
    let octets = Counterfeit.wire(Counterfeit.filled(text, documents))
    let facts = MessageWalker.facts(of: octets, limits: MessageLimits(), watchedBoundaryPrefix: [])
    let claim = PECMessage(facts)
    var certification: Result<CertificationData, CertificationFault>?
    if let part = claim.certificationPart {
      let document = TransferDecoder.decode(Array(octets[part.bodyRange]), encoding: part.transferEncoding)
      certification = Result { () throws(CertificationFault) in try CertificationData.read(xml: document) }
    }
    let original = claim.originalPart.map {
      OriginalFindings(MessageWalker.facts(of: Array(octets[$0.bodyRange]), limits: MessageLimits(), watchedBoundaryPrefix: []))
    }
    let signature = findings(claim, octets)
    let receptions = known.map { one in
      KnownReception(
        id: "r", fingerprint: one.isSame ? signature?.fingerprint ?? "" : one.provider == "own" ? "" : "another",
        recipients: one.recipients, provider: one.provider == "own" ? World.beta.providerName : World.alfa.providerName,
        isEnvelope: one.isEnvelope)
    }
    let message = ReceivedMessage(
      reversePath: reversePath, forwardPaths: forwardPaths, facts: facts, claim: claim, signature: signature,
      certification: certification, original: original, isOverTLS: isOverTLS, known: receptions)
    return (message, octets)
  }

  /// What a verifier says about a signature part of the form `CMS signer…`.
  private func findings(_ claim: PECMessage, _ octets: [UInt8]) -> SignatureFindings? {
    guard !isUnread, let range = claim.signedRange, let part = claim.signature else { return nil }
    let words = String(decoding: octets[part.bodyRange], as: UTF8.self).split { $0.isWhitespace }.map(String.init)
    guard words.count >= 2, words[0] == "CMS" else { return nil }
    let signer = words[1]
    let signed = Array(octets[range])
    var mathematics = SignatureFindings.Mathematics.good
    func bad(_ english: String) { mathematics = .bad(Reason(english: english, italian: "firma non valida")) }
    if signed != genuine && !isResigned { bad("the signature does not hold over the message") }
    if words.contains("+") { bad("there are several signers") }
    if signer == "nobody" { bad("there is no signer") }
    if words.contains("content") { bad("there is content inside of the signature") }
    var checksum = CRC32C()
    checksum.update(signed.span)
    var found = SignatureFindings(
      mathematics: mathematics, certificate: World.certificate(signer), sha1: World.sha1(signer),
      mailAddresses: World.addresses[signer] ?? [], notBefore: World.own - 86_400 * 300, notAfter: World.own + 86_400 * 300,
      path: signer == "forge" ? .bad("unknown authority") : .good, revocation: .good, signingTime: World.own,
      fingerprint: "\(checksum.value)-\(signed.count)-\(signer)")
    for change in adjust { change(&found) }
    return found
  }
}

struct CaseFault: Error, CustomStringConvertible {
  var description: String
  init(_ text: String) { description = text }
}

extension Counterfeit {
  private mutating func header(_ change: (String) throws -> String) throws {
    guard let end = text.range(of: "\n\n") else { throw CaseFault("no header") }
    text = try change(String(text[..<end.lowerBound])) + text[end.lowerBound...]
  }

  /// Puts the message's body into another, as a forger or a mailing list does. The outer header stays.
  private mutating func wrap(_ form: String) throws {
    guard let end = text.range(of: "\n\n") else { throw CaseFault("no header") }
    let head = String(text[..<end.lowerBound])
    let type = head.matches(of: /(?i)Content-Type:[^\n]*(\n[ \t][^\n]*)*/).map { String($0.0) }.first ?? ""
    let body = String(text[end.upperBound...])
    let outside = Counterfeit.dropping("Content-Type", from: head)
    let inside = "--w\n" + type + "\n\n" + body
    let note = "--w\nContent-Type: text/plain\n\nPagate subito.\n"
    switch form {
    case "first": text = outside + "\nContent-Type: multipart/mixed; boundary=w\n\n" + inside + note + "--w--\n"
    case "second": text = outside + "\nContent-Type: multipart/mixed; boundary=w\n\n" + note + inside + "--w--\n"
    case "alone": text = outside + "\nContent-Type: multipart/mixed; boundary=w\n\n" + inside + "--w--\n"
    case "alternative": text = outside + "\nContent-Type: multipart/alternative; boundary=w\n\n" + note + inside + "--w--\n"
    case "related": text = outside + "\nContent-Type: multipart/related; boundary=w\n\n" + note + inside + "--w--\n"
    case "attached": text = outside + "\nContent-Type: message/rfc822\n\n" + text
    case "signed-again":
      text =
        outside + "\nContent-Type: multipart/signed; boundary=w\n\n" + inside
        + "--w\nContent-Type: application/pkcs7-signature\n\nCMS user\n--w--\n"
    case "in-report":
      text =
        outside + "\nContent-Type: multipart/report; boundary=w\n\n" + note + "--w\nContent-Type: message/rfc822\n\n" + text + "--w--\n"
    default: throw CaseFault("an unknown wrapping: \(form)")
    }
  }

  private static func halves(_ text: String) throws -> (String, String) {
    if text.hasSuffix(" =>") { return (String(text.dropLast(3)), "") }
    guard let arrow = text.range(of: " => ") else { throw CaseFault("no arrow in \(text)") }
    return (String(text[..<arrow.lowerBound]), String(text[arrow.upperBound...]))
  }

  /// A replacement that replaces nothing is a mistake of the table.
  private static func replacing(_ old: String, _ new: String, in text: String) throws -> String {
    guard text.contains(old) else { throw CaseFault("not found: \(old)") }
    return text.replacing(old, with: new)
  }

  /// Without the fields of that name; `line` stands where the first was, or at the end.
  private static func dropping(_ name: String, from header: String, putting line: String? = nil) -> String {
    var lines: [String] = []
    var isDropped = false
    var isPut = line == nil
    for one in header.split(separator: "\n", omittingEmptySubsequences: false) {
      if !(one.hasPrefix(" ") || one.hasPrefix("\t")) {
        isDropped = one.lowercased().hasPrefix(name.lowercased() + ":")
        if isDropped, !isPut, let line {
          lines.append(line)
          isPut = true
        }
      }
      if !isDropped { lines.append(String(one)) }
    }
    if !isPut, let line { lines.append(line) }
    return lines.joined(separator: "\n")
  }

  /// `\n`, `\t`, `\0`, `\r` (a lone CR), `\l` (a lone LF), `\xNN` (an octet).
  private static func unescaped(_ text: String) -> String {
    var out = String.UnicodeScalarView()
    var rest = text.unicodeScalars[...]
    while let scalar = rest.popFirst() {
      guard scalar == "\\", let mark = rest.first else {
        out.append(scalar)
        continue
      }
      rest.removeFirst()
      switch mark {
      case "n": out.append("\n")
      case "t": out.append("\t")
      case "0": out.append("\0")
      case "r": out.append("\u{E000}")
      case "l": out.append("\u{E001}")
      case "x":
        let octet = UInt32(String(String.UnicodeScalarView(rest.prefix(2))), radix: 16) ?? 63
        rest = rest.dropFirst(2)
        out.append(Unicode.Scalar(0xE100 + octet) ?? "?")
      default:
        out.append("\\")
        out.append(mark)
      }
    }
    return String(out)
  }

  private static func filled(_ text: String, _ documents: [String: String]) -> String {
    var out = text
    for (name, document) in documents {
      let flat = String(decoding: Base64.encodeLines(plain(document)), as: UTF8.self).replacing("\r\n", with: "\n")
      out = out.replacing("@@\(name)@@\n", with: flat)
    }
    return out
  }

  /// LF to CRLF, marks to octets.
  private static func wire(_ text: String) -> [UInt8] { octets(text, lineEnd: [13, 10]) }
  private static func plain(_ text: String) -> [UInt8] { octets(text, lineEnd: [10]) }

  private static func octets(_ text: String, lineEnd: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    for scalar in text.unicodeScalars {
      switch scalar.value {
      case 10: out += lineEnd
      case 0xE000: out.append(13)
      case 0xE001: out.append(10)
      case 0xE100...0xE1FF: out.append(UInt8(scalar.value - 0xE100))
      default: out += Array(String(scalar).utf8)
      }
    }
    return out
  }

  private static func signedOctets(_ octets: [UInt8]) -> [UInt8] {
    let claim = PECMessage(MessageWalker.facts(of: octets, limits: MessageLimits(), watchedBoundaryPrefix: []))
    return claim.signedRange.map { Array(octets[$0]) } ?? []
  }
}
