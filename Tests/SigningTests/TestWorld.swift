import Foundation
import Octets
import Synchronization

@testable import Signing

/// A run of a command.
struct Run {
  var status: Int32
  var output: Data
  var errors: String
  var text: String { String(decoding: output, as: UTF8.self) }
}

@discardableResult
func run(_ command: String, _ arguments: [String]) throws -> Run {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = [command] + arguments
  let out = Pipe()
  let errors = FileManager.default.temporaryDirectory.appendingPathComponent("stderr-\(UUID().uuidString)")
  _ = FileManager.default.createFile(atPath: errors.path, contents: nil)
  defer { try? FileManager.default.removeItem(at: errors) }
  process.standardOutput = out
  process.standardError = try FileHandle(forWritingTo: errors)
  process.standardInput = FileHandle.nullDevice
  try process.run()
  let output = out.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return Run(
    status: process.terminationStatus, output: output, errors: String(decoding: (try? Data(contentsOf: errors)) ?? Data(), as: UTF8.self))
}

/// Keys and certificates made by the `openssl` command: an implementation's input that is not our own.
final class TestWorld: Sendable {
  static let shared = TestWorld()
  static let address = "posta-certificata@pec.alfa.test"
  static let profile = """
    keyUsage=critical,digitalSignature
    subjectKeyIdentifier=hash
    authorityKeyIdentifier=keyid
    """

  let directory: String
  /// The present of the tests: some minutes on, when every certificate that a test makes has become valid.
  let now: Int64

  init() {
    directory = FileManager.default.temporaryDirectory.appendingPathComponent("signing-\(UUID().uuidString)").path
    now = Int64(Date().timeIntervalSince1970) + 600
    do {
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
      try make()
      // A shared instance has no end of its own.
      atexit { try? FileManager.default.removeItem(atPath: TestWorld.shared.directory) }
    } catch {
      fatalError("the openssl command could not make the tests' certificates: \(error)")
    }
  }

  func path(_ name: String) -> String { directory + "/" + name }

  func text(_ name: String) -> String { (try? String(contentsOfFile: path(name), encoding: .utf8)) ?? "" }

  func write(_ name: String, _ text: String, mode: Int = 0o600) throws {
    try text.write(toFile: path(name), atomically: true, encoding: .utf8)
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path(name))
  }

  func write(_ name: String, _ octets: [UInt8]) throws { try Data(octets).write(to: URL(fileURLWithPath: path(name))) }

  func octets(_ name: String) throws -> [UInt8] { try [UInt8](Data(contentsOf: URL(fileURLWithPath: path(name)))) }

  @discardableResult
  func openssl(_ arguments: String...) throws -> Run { try openssl(arguments) }

  @discardableResult
  func openssl(_ arguments: [String]) throws -> Run {
    let made = try run("openssl", arguments)
    guard made.status == 0 else { throw WorldError(text: arguments.joined(separator: " ") + "\n" + made.errors) }
    return made
  }

  struct WorldError: Error { var text: String }

  /// `NAME.pem`, issued for the key in `KEY.key`.
  func issue(
    _ name: String, key: String, by issuer: String, subject: String, days: Int = 3650, extensions: String
  ) throws {
    try write("\(name).ext", extensions)
    try openssl("req", "-new", "-key", path("\(key).key"), "-subj", subject, "-utf8", "-out", path("\(name).csr"))
    try openssl(
      "x509", "-req", "-in", path("\(name).csr"), "-CA", path("\(issuer).pem"), "-CAkey", path("\(issuer).key"), "-sha256", "-days",
      "\(days)", "-extfile", path("\(name).ext"), "-out", path("\(name).pem"), "-set_serial", "0x\(Entropy.word() >> 1)")
  }

  func key(_ name: String, bits: Int, primes: Int = 2) throws {
    try openssl(
      "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:\(bits)", "-pkeyopt", "rsa_keygen_primes:\(primes)", "-out",
      path("\(name).key"))
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path("\(name).key"))
  }

  private func make() throws {
    let authority = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
    for name in ["root", "middle", "signer", "other"] { try key(name, bits: 2048) }
    try openssl(
      "req", "-x509", "-key", path("root.key"), "-subj", "/C=IT/O=Test Root/CN=Test Root CA", "-days", "36500", "-sha256", "-out",
      path("root.pem"), "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    try issue(
      "middle", key: "middle", by: "root", subject: "/C=IT/O=Test/CN=Test CA 1", days: 36000,
      extensions: authority + "authorityKeyIdentifier=keyid")
    try issue(
      "signer", key: "signer", by: "middle", subject: "/C=IT/O=Gestore Però S.p.A./CN=Posta Certificata", days: 35000,
      extensions: TestWorld.profile + "\nextendedKeyUsage=emailProtection\nsubjectAltName=email:\(TestWorld.address)")
    try write("chain.pem", text("signer.pem") + text("middle.pem"))
    try issue(
      "other", key: "other", by: "middle", subject: "/C=IT/O=Beta/CN=Posta Certificata",
      extensions: TestWorld.profile + "\nsubjectAltName=email:posta-certificata@pec.beta.test")
  }

  func credentials(certificate: String = "chain.pem", key: String = "signer.key", at: Int64? = nil) throws -> SignerCredentials {
    try SignerCredentials(keyPath: path(key), certificatePath: path(certificate), serviceAddress: TestWorld.address, now: at ?? now)
  }
}

/// A source of random numbers that tells its seed.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }
}

func randomOctets(_ count: Int, _ generator: inout SeededGenerator) -> [UInt8] {
  (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
}

/// The same octets in random pieces, empty ones among them.
func cut(_ octets: [UInt8], _ generator: inout SeededGenerator) -> [Chunk] {
  var pieces: [Chunk] = []
  var at = 0
  while at < octets.count {
    let end = min(octets.count, at + Int.random(in: 0...max(1, octets.count / 3), using: &generator))
    pieces.append(Chunk(Array(octets[at..<end])))
    at = end
  }
  return pieces
}

/// Collects results of a pool and waits for them without polling.
final class Collector: Sendable {
  private let results = Mutex<[UInt64: Result<[UInt8], SigningError>]>([:])
  private let done = DispatchSemaphore(value: 0)

  func completion(_ token: UInt64) -> @Sendable (Result<[UInt8], SigningError>) -> Void {
    { result in
      self.results.withLock { $0[token] = result }
      self.done.signal()
    }
  }

  func wait(for count: Int) -> [UInt64: Result<[UInt8], SigningError>] {
    for _ in 0..<count { done.wait() }
    return results.withLock { $0 }
  }
}

/// A SignedData in DER with its three outer lengths made indefinite (X.690 §8.1.3.6), as streaming signers write them.
func indefinite(_ der: [UInt8]) -> [UInt8] {
  func contentStart(_ at: Int) -> Int { der[at + 1] < 0x80 ? at + 2 : at + 2 + Int(der[at + 1] & 0x7F) }
  let type = contentStart(0)
  let wrapper = contentStart(type) + Int(der[type + 1])
  let data = contentStart(wrapper)
  return [0x30, 0x80] + der[type..<wrapper] + [0xA0, 0x80, 0x30, 0x80] + der[contentStart(data)...] + [0, 0, 0, 0, 0, 0]
}

/// Signs one content and waits.
func signed(_ pool: SignerPool, _ content: [Chunk], at time: Int64) throws -> [UInt8] {
  let collector = Collector()
  pool.submit(SigningJob(token: 0, content: content, signingTime: time, completion: collector.completion(0)))
  guard let result = collector.wait(for: 1)[0] else { throw SigningError.backend("no result") }
  return try result.get()
}

/// A revocation that `openssl ca` writes into a list.
struct Revoked {
  /// Name of the certificate's file without `.pem`.
  var certificate: String
  /// Seconds since 1970.
  var at: Int64
  /// As `openssl ca` spells it: `keyCompromise`, `superseded`, or `keyTime,20240101000000Z` for the time the key was lost.
  var reason: String?
}

extension TestWorld {
  /// `NAME.crl`, a revocation list in PEM by `openssl ca`, and its octets.
  @discardableResult
  func list(
    _ name: String, by issuer: String = "middle", key: String? = nil, _ revoked: [Revoked] = [], from: Int64? = nil, until: Int64? = nil,
    extensions: String = "", digest: String = "sha256"
  ) throws -> [UInt8] {
    func digits(_ time: Int64) -> String { String(decoding: Calendar.generalized(time) ?? [], as: UTF8.self) }
    var rows = ""
    for one in revoked {
      let serial = try openssl("x509", "-in", path(one.certificate + ".pem"), "-noout", "-serial").text.split(separator: "=")[1]
        .trimmingCharacters(in: .newlines)
      let when = digits(one.at).dropFirst(2) + (one.reason.map { "," + $0 } ?? "")
      rows += "R\t401231235959Z\t\(when)\t\(serial)\tunknown\t/CN=\(one.certificate)\n"
    }
    try write("\(name).index", rows)
    try write("\(name).index.attr", "unique_subject = no\n")
    try write("\(name).number", "01\n")
    try write(
      "\(name).cnf",
      """
      [ca]
      default_ca = us
      [us]
      database = \(path(name)).index
      crlnumber = \(path(name)).number
      default_md = \(digest)
      crl_extensions = list
      [list]
      authorityKeyIdentifier = keyid
      \(extensions)

      """)
    try openssl(
      "ca", "-gencrl", "-config", path("\(name).cnf"), "-keyfile", path("\(key ?? issuer).key"), "-cert", path("\(issuer).pem"),
      "-crl_lastupdate", digits(from ?? now - 3600), "-crl_nextupdate", digits(until ?? now + 86_400), "-out", path("\(name).crl"))
    return try octets("\(name).crl")
  }

  /// A detached signature of `content` by the command.
  func signature(
    _ name: String, of content: String, by signer: String = "signer", key: String? = nil, with certificates: [String] = ["middle"],
    _ arguments: [String] = []
  ) throws -> [UInt8] {
    try write("\(name).txt", content)
    try write("\(name).extra", certificates.map { text($0 + ".pem") }.joined())
    try openssl(
      [
        "cms", "-sign", "-binary", "-outform", "DER", "-in", path("\(name).txt"), "-out", path("\(name).cms"), "-signer",
        path("\(signer).pem"), "-inkey", path("\(key ?? signer).key"),
      ] + (certificates.isEmpty ? [] : ["-certfile", path("\(name).extra")]) + arguments)
    return try octets("\(name).cms")
  }

  func anchors(_ names: String...) throws -> TrustAnchors { try TrustAnchors(paths: names.map { path($0 + ".pem") }) }
}
