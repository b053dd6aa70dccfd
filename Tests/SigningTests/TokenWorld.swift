import Foundation

@testable import Signing

/// Tokens of SoftHSM in a folder of their own, made once for the process: a library reads its configuration when it is initialised, and
/// that happens once.
final class TokenWorld: Sendable {
  static let shared = TokenWorld()
  static let pin = "27182818"
  /// The library, where Debian puts it.
  static let module = "/usr/lib/softhsm/libsofthsm2.so"

  let world = TestWorld.shared

  private init() {
    do { try make() } catch { fatalError("SoftHSM could not be prepared (package softhsm2): \(error)") }
  }

  private func make() throws {
    let tokens = world.path("tokens")
    try FileManager.default.createDirectory(atPath: tokens, withIntermediateDirectories: true)
    try world.write(
      "softhsm2.conf", "directories.tokendir = \(tokens)\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n")
    // The only variable that these tests set, and before the library is loaded.
    setenv("SOFTHSM2_CONF", world.path("softhsm2.conf"), 1)
    try world.write("pin", TokenWorld.pin + "\n")
    try token("PEC")
    try token("Posta Certificata")
    try token("Twin")
    try token("Twin")
    try token("Strict")
    for name in ["signer", "other"] {
      try world.openssl("pkcs8", "-topk8", "-nocrypt", "-in", world.path("\(name).key"), "-out", world.path("\(name).p8"))
    }
    try load("signer", into: "PEC", label: "signer", id: "01")
    try load("other", into: "PEC", label: "other", id: "02")
    try load("other", into: "PEC", label: "pair", id: "0a")
    try load("signer", into: "PEC", label: "pair", id: "0b")
    try load("signer", into: "Posta Certificata", label: "firma è", id: "ff00")
    try load("signer", into: "Strict", label: "signer", id: "01")
  }

  func softhsm(_ arguments: String...) throws {
    let made = try run("softhsm2-util", arguments)
    guard made.status == 0 else { throw TestWorld.WorldError(text: arguments.joined(separator: " ") + "\n" + made.text + made.errors) }
  }

  private func token(_ label: String) throws {
    try softhsm("--init-token", "--free", "--label", label, "--pin", TokenWorld.pin, "--so-pin", "31415926")
  }

  func load(_ key: String, into token: String, label: String, id: String) throws {
    try softhsm(
      "--import", world.path("\(key).p8"), "--token", token, "--label", label, "--id", id, "--pin", TokenWorld.pin)
  }

  /// A URI of a key.
  func uri(_ path: String = "token=PEC;object=signer", pin: String? = "pin") throws -> PKCS11URI {
    let source = pin.map { "&pin-source=file:" + world.path($0) } ?? ""
    return try PKCS11URI("pkcs11:\(path)?module-path=\(TokenWorld.module)\(source)")
  }

  func credentials(_ path: String = "token=PEC;object=signer", certificate: String = "chain.pem", pin: String? = "pin") throws
    -> SignerCredentials
  {
    try SignerCredentials(
      key: .token(uri(path, pin: pin), credentialsDirectory: nil), certificatePath: world.path(certificate),
      serviceAddress: TestWorld.address, now: world.now)
  }
}
