import Foundation
import Octets

@testable import TimeStamping

/// A run of a command.
struct Run {
  var status: Int32
  var text: String
  var errors: String
}

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
    status: process.terminationStatus, text: String(decoding: output, as: UTF8.self),
    errors: String(decoding: (try? Data(contentsOf: errors)) ?? Data(), as: UTF8.self))
}

/// Authorities made by the `openssl` command: root, middle, and time stamp authorities of all kinds below it.
final class TestWorld: Sendable {
  static let shared = Result { try TestWorld() }
  static let policy = "1.2.3.4.1"
  /// The present of the tests: some minutes on, when every certificate that a test makes has become valid.
  let now = Int64(Date().timeIntervalSince1970) + 600
  let directory = FileManager.default.temporaryDirectory.appendingPathComponent("stamps-\(UUID().uuidString)").path

  struct WorldError: Error { var text: String }

  private static let stamping = "keyUsage=critical,digitalSignature\nextendedKeyUsage=critical,timeStamping\n"
  private static let years: (Int, Int) = (2024, 2060)

  private init() throws {
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    try text("", to: "index")
    try text("unique_subject = no\n", to: "index.attr")
    let authority = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
    for name in ["root", "other"] {
      try key(name)
      try openssl(
        "req", "-x509", "-key", path("\(name).key"), "-subj", "/O=Test/CN=\(name)", "-days", "36500", "-sha256", "-out",
        path("\(name).pem"),
        "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    }
    try issue("middle", by: "root", years: (2005, 2100), extensions: authority)
    try issue("tsa", extensions: TestWorld.stamping)
    try issue("rsa", bits: 2048, extensions: TestWorld.stamping)
    try issue("weak", bits: 1024, extensions: TestWorld.stamping)
    try issue("early", years: (2020, 2023), extensions: TestWorld.stamping)
    try issue("late", years: (2055, 2060), extensions: TestWorld.stamping)
    try issue("mail", extensions: "keyUsage=critical,digitalSignature\nextendedKeyUsage=critical,emailProtection\n")
    try issue("both", extensions: "keyUsage=critical,digitalSignature\nextendedKeyUsage=critical,timeStamping,emailProtection\n")
    try issue("uncritical", extensions: "keyUsage=critical,digitalSignature\nextendedKeyUsage=timeStamping\n")
    try issue("plain", extensions: "keyUsage=critical,digitalSignature\n")
    try issue("stranger", by: "other", extensions: TestWorld.stamping)
    // Of successive times, for records of evidence.
    for (name, from, to) in [("first", 2010, 2015), ("second", 2014, 2020), ("third", 2019, 2026)] {
      try issue(name, years: (from, to), extensions: TestWorld.stamping)
    }
    try text(
      """
      [tsa]
      default_tsa = us
      [us]
      serial = \(path("serial"))
      signer_digest = sha256
      default_policy = \(TestWorld.policy)
      other_policies = 1.2.3.4.9
      digests = sha256, sha512
      accuracy = secs:1, millisecs:500, microsecs:100
      ordering = yes
      tsa_name = yes
      ess_cert_id_chain = yes
      ess_cert_id_alg = sha256

      """, to: "ts.cnf")
    atexit { if let world = try? TestWorld.shared.get() { try? FileManager.default.removeItem(atPath: world.directory) } }
  }

  func path(_ name: String) -> String { directory + "/" + name }
  func text(_ text: String, to name: String) throws { try text.write(toFile: path(name), atomically: true, encoding: .utf8) }
  func text(_ name: String) throws -> String { try String(contentsOfFile: path(name), encoding: .utf8) }
  func octets(_ name: String) throws -> [UInt8] { try [UInt8](Data(contentsOf: URL(fileURLWithPath: path(name)))) }
  func write(_ octets: [UInt8], to name: String) throws { try Data(octets).write(to: URL(fileURLWithPath: path(name))) }

  @discardableResult
  func openssl(_ arguments: String...) throws -> Run { try openssl(arguments) }

  @discardableResult
  func openssl(_ arguments: [String]) throws -> Run {
    let made = try run("openssl", arguments)
    guard made.status == 0 else { throw WorldError(text: arguments.joined(separator: " ") + "\n" + made.errors) }
    return made
  }

  private func key(_ name: String, bits: Int? = nil) throws {
    let kind = bits.map { ["RSA", "-pkeyopt", "rsa_keygen_bits:\($0)"] } ?? ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    try openssl(["genpkey", "-algorithm"] + kind + ["-out", path("\(name).key")])
  }

  /// `NAME.pem`: the certificate; `NAME.all`: key, certificate and issuer, as a responder takes them.
  private func issue(
    _ name: String, by issuer: String = "middle", bits: Int? = nil, years: (Int, Int) = years, extensions: String
  ) throws {
    try key(name, bits: bits)
    try text(
      """
      [ca]
      default_ca = us
      [us]
      database = \(path("index"))
      new_certs_dir = \(directory)
      rand_serial = yes
      default_md = sha256
      policy = any
      x509_extensions = added
      [any]
      commonName = supplied
      [added]
      subjectKeyIdentifier=hash
      authorityKeyIdentifier=keyid
      \(extensions)

      """, to: "\(name).cnf")
    try openssl("req", "-new", "-key", path("\(name).key"), "-subj", "/CN=\(name)", "-out", path("\(name).csr"))
    try openssl(
      "ca", "-batch", "-notext", "-config", path("\(name).cnf"), "-in", path("\(name).csr"), "-out", path("\(name).pem"), "-cert",
      path("\(issuer).pem"), "-keyfile", path("\(issuer).key"), "-startdate", "\(years.0)0101000000Z", "-enddate", "\(years.1)0101000000Z")
    try text(text("\(name).key") + text("\(name).pem") + text("\(issuer).pem"), to: "\(name).all")
  }

  /// A revocation list of the middle authority in PEM: one certificate with time and reason as `openssl ca` spells them.
  func list(_ name: String, revoked: String, at: String, reason: String?, by issuer: String = "middle") throws -> [UInt8] {
    let serial = try openssl("x509", "-in", path("\(revoked).pem"), "-noout", "-serial").text.split(separator: "=")[1]
      .trimmingCharacters(in: .newlines)
    try text("R\t600101000000Z\t\(at)\(reason.map { "," + $0 } ?? "")\t\(serial)\tunknown\t/CN=\(revoked)\n", to: "\(name).index")
    try text("unique_subject = no\n", to: "\(name).index.attr")
    try text(
      "[ca]\ndefault_ca = us\n[us]\ndatabase = \(path(name)).index\ndefault_md = sha256\ncrl_extensions = list\n"
        + "[list]\nauthorityKeyIdentifier = keyid\n", to: "\(name).cnf")
    try openssl(
      "ca", "-gencrl", "-config", path("\(name).cnf"), "-keyfile", path("\(issuer).key"), "-cert", path("\(issuer).pem"), "-crldays", "30",
      "-out", path("\(name).crl"))
    return try octets("\(name).crl")
  }

  func authorities(_ names: [String] = ["root"], lists: [[UInt8]] = []) throws -> TimeStampAuthorities {
    try TimeStampAuthorities(paths: names.map { path($0 + ".pem") }, lists: lists)
  }

  func responder(_ name: String = "tsa") throws -> TimeStampResponder {
    try TimeStampResponder(path: path("\(name).all"), policy: TestWorld.policy)
  }

  /// A token of one authority over an imprint, at a time; judged by nobody.
  func token(
    _ imprint: [UInt8], by name: String = "tsa", at time: Int64, digest: TimeStampDigest = .sha256
  ) throws -> TimeStampToken {
    let request = try TimeStampRequest(imprint: imprint, nonce: 1, digest: digest)
    return try TimeStampToken(reading: TimeStampResponse.token(of: responder(name).answer(request.octets, at: time)))
  }

  /// A TSTInfo signed by the `cms` command, as an answer that grants it.
  func signed(_ content: [UInt8], by name: String, _ arguments: [String]) throws -> [UInt8] {
    let file = UUID().uuidString
    try write(content, to: file + ".tst")
    try openssl(
      [
        "cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-in", path(file + ".tst"), "-out", path(file + ".p7m"), "-signer",
        path("\(name).pem"), "-inkey", path("\(name).key"), "-certfile", path("middle.pem"),
      ] + arguments)
    return TestWorld.granted(try octets(file + ".p7m"))
  }

  static func granted(_ token: [UInt8], status: UInt64 = 0) -> [UInt8] {
    DERWriter.element(DERWriter.sequence, DERWriter.element(DERWriter.sequence, DERWriter.number(status)), token)
  }

  /// Seconds since 1970 of the first moment of a year.
  static func year(_ year: Int, plusDays days: Int64 = 0) -> Int64 {
    (Times.seconds(Array("\(year)0101000000Z".utf8)) ?? 0) + days * 86_400
  }
}

/// The error of a call, or nil.
func fault(_ body: () throws(TimeStampError) -> Void) -> TimeStampError? {
  do throws(TimeStampError) {
    try body()
    return nil
  } catch {
    return error
  }
}
