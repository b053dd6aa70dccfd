import Foundation
import Octets
import Synchronization
import Testing

@testable import Signing

/// Keys in tokens, with SoftHSM. One after the other: a login counts for the whole process.
@Suite(.serialized) struct TokenTests {
  let tokens = TokenWorld.shared
  let world = TestWorld.shared

  private func fault(_ path: String, certificate: String = "chain.pem", pin: String? = "pin") -> CredentialError.Fault? {
    do {
      _ = try tokens.credentials(path, certificate: certificate, pin: pin)
      return nil
    } catch {
      let error = error as? CredentialError
      // What, where, what to do; and never the PIN.
      #expect(error?.advice.isEmpty == false && error?.description.contains(TokenWorld.pin) == false)
      return error?.fault
    }
  }

  private func tokenFault(_ path: String, pin: String? = "pin") -> PKCS11Error.Fault? {
    guard case .token(let error) = fault(path, pin: pin) else { return nil }
    #expect(error.description.contains(TokenWorld.module) && error.description.contains("pkcs11:"))
    return error.fault
  }

  // MARK: Signing

  /// Several threads, each with a session of its own; what they make is what OpenSSL makes with the same key.
  @Test func aTokenSignsForAPool() throws {
    let credentials = try tokens.credentials()
    #expect(credentials.isInToken && credentials.keyBits == 2048)
    #expect(try !world.credentials().isInToken)
    let pool = try SignerPool(credentials: credentials, threads: 4, batch: 8)
    let collector = Collector()
    for token in 0..<100 as Range<UInt64> {
      pool.submit(SigningJob(token: token, content: [Chunk("m\(token)")], signingTime: world.now, completion: collector.completion(token)))
    }
    let results = collector.wait(for: 100)
    pool.stop()
    let software = try SignerPool(credentials: world.credentials(), threads: 1, batch: 8)
    for token in 0..<100 as Range<UInt64> {
      // PKCS#1 v1.5 has no randomness.
      #expect(try results[token]?.get() == signed(software, [Chunk("m\(token)")], at: world.now))
    }
    software.stop()
    // Whether a token checks its CRT is not known: every signature is checked.
    #expect(pool.figures.checks == 100 && pool.figures.signatures == 100)
    #expect(try !credentials.makeSigner().checksEachSignature)
  }

  @Test func signedFilesToo() throws {
    let p7m = try tokens.credentials().signedContent(Array("content".utf8), at: world.now)
    let opened = try SignedContent.open(p7m, signers: [world.credentials().certificate.der], anchors: nil, at: world.now)
    #expect(opened.content == Array("content".utf8))
  }

  @Test(arguments: [
    "token=PEC;object=signer", "token=PEC;id=%01", "token=PEC;id=%01;object=signer", "token=PEC;object=pair;id=%0b",
    "token=Posta%20Certificata;object=firma%20%C3%A8", "token=Posta%20Certificata;id=%FF%00;type=private",
    "token=PEC;object=signer;manufacturer=SoftHSM%20project;model=SoftHSM%20v2",
  ])
  func keysAreFoundByWhatTheURISays(_ path: String) throws {
    #expect(try tokens.credentials(path).certificate == world.credentials().certificate)
  }

  @Test func aTokenOfMany() throws {
    guard case .severalTokens(let serials) = tokenFault("token=Twin;object=signer") else {
      Issue.record("two tokens of one name were not told apart")
      return
    }
    #expect(Set(serials).count == 2)
    try tokens.softhsm(
      "--import", world.path("signer.p8"), "--serial", serials[0], "--label", "signer", "--id", "01", "--pin", TokenWorld.pin)
    #expect(try tokens.credentials("token=Twin;serial=\(serials[0]);object=signer").isInToken)
    #expect(tokenFault("serial=\(serials[1]);object=signer") == .noKey)
  }

  @Test func theConfigurationNamesItLikeAFile() throws {
    let text = "pkcs11:token=PEC;object=signer?module-path=\(TokenWorld.module)&pin-source=\(world.path("pin"))"
    let credentials = try SignerCredentials(
      keyPath: text, certificatePath: world.path("chain.pem"), serviceAddress: TestWorld.address, now: world.now)
    #expect(credentials.isInToken)
  }

  @Test func aCredentialOfTheServiceManagerIsThePIN() throws {
    let uri = try PKCS11URI("pkcs11:token=PEC;object=signer?module-path=\(TokenWorld.module)&pin-source=credential:pin")
    let credentials = try SignerCredentials(
      key: .token(uri, credentialsDirectory: world.directory), certificatePath: world.path("chain.pem"),
      serviceAddress: TestWorld.address, now: world.now)
    #expect(credentials.isInToken)
  }

  // MARK: Faults

  @Test func whatIsNotThere() throws {
    for path in ["token=Nowhere;object=signer", "token=PEC;serial=0;object=signer"] {
      guard case .noToken(let found) = tokenFault(path) else {
        Issue.record("\(path) was found")
        continue
      }
      #expect(found.contains("PEC") && found.contains("Posta Certificata"))
    }
    #expect(tokenFault("token=PEC;object=nobody") == .noKey)
    #expect(tokenFault("token=PEC;id=%01%02") == .noKey)
    #expect(tokenFault("token=PEC;object=other;id=%01") == .noKey)
    #expect(tokenFault("token=PEC;object=pair") == .severalKeys)
    #expect(fault("token=PEC;object=signer", certificate: "nowhere.pem") == .unreadable("No such file or directory"))
    guard case .keyMismatch(let subjects) = fault("token=PEC;object=other") else {
      Issue.record("a certificate of another key was taken")
      return
    }
    #expect(subjects.count == 2)
  }

  @Test func librariesThatAreNone() throws {
    func moduleFault(_ path: String) -> PKCS11Error.Fault? {
      do {
        let uri = try PKCS11URI("pkcs11:token=PEC;object=signer?module-path=\(path)")
        _ = try TokenKey(uri, credentials: nil)
        return nil
      } catch {
        return (error as? PKCS11Error)?.fault
      }
    }
    for path in ["/nowhere/p11.so", world.path("signer.pem")] {
      guard case .noModule(let words) = moduleFault(path) else {
        Issue.record("\(path) was loaded")
        continue
      }
      #expect(words.contains(path))
    }
    #expect(moduleFault("/usr/lib/x86_64-linux-gnu/libcrypto.so.3") == .notPKCS11)
  }

  @Test func theTokensPIN() throws {
    // Nobody else in this process uses this token, so that it is not logged in already.
    let path = "token=Strict;object=signer"
    #expect(tokenFault(path, pin: nil) == .noPINSource)
    #expect(tokenFault(path, pin: "nowhere") == .pin(.unreadable(path: world.path("nowhere"), "No such file or directory")))
    try world.write("wrong-pin", "11111111\n")
    #expect(tokenFault(path, pin: "wrong-pin") == .wrongPIN)
    // With one key no wrong PIN is tried twice, whoever asks: tokens count them.
    let key = try TokenKey(tokens.uri(path, pin: "wrong-pin"), credentials: nil)
    func fault() -> PKCS11Error.Fault? {
      do throws(PKCS11Error) {
        _ = try PKCS11Signer(key, signatureBytes: 512)
        return nil
      } catch {
        return error.fault
      }
    }
    #expect(fault() == .wrongPIN)
    try world.write("wrong-pin", TokenWorld.pin + "\n")
    #expect(fault() == .wrongPIN)
    // Credentials that are loaded anew try again.
    #expect(tokenFault(path, pin: "wrong-pin") == nil)
    try world.write("open-pin", TokenWorld.pin + "\n", mode: 0o644)
    #expect(tokenFault(path, pin: "open-pin") == .pin(.open(path: world.path("open-pin"), mode: 0o644)))
  }

  // MARK: When sessions go

  /// All sessions are closed behind the threads' backs, as a reset of the token does: the next signature opens a new one, and logs in again.
  @Test func lostSessionsAreReplaced() throws {
    let credentials = try tokens.credentials()
    guard case .token(let key) = credentials.key else {
      Issue.record("not in a token")
      return
    }
    let pool = try SignerPool(credentials: credentials, threads: 3, batch: 8)
    let collector = Collector()
    for round in 0..<6 as Range<UInt64> {
      for token in 10 * round..<10 * (round + 1) {
        pool.submit(SigningJob(token: token, content: [Chunk("m")], signingTime: world.now, completion: collector.completion(token)))
      }
      // While no thread is in the library: SoftHSM does not survive that its sessions are closed in the middle of a signature.
      _ = collector.wait(for: 10)
      try key.closeAllSessions()
    }
    let results = collector.wait(for: 0)
    pool.stop()
    #expect(results.count == 60 && results.values.allSatisfy { (try? $0.get()) != nil })
  }

  /// The PIN's file has gone when a new login is needed: the job fails with words, and the next one is well when the file is back.
  @Test func aLoginThatCannotBeMadeAnew() throws {
    try world.write("passing-pin", TokenWorld.pin + "\n")
    let credentials = try tokens.credentials("token=Posta%20Certificata;id=%FF%00", pin: "passing-pin")
    guard case .token(let key) = credentials.key else { return }
    let pool = try SignerPool(credentials: credentials, threads: 1, batch: 8)
    defer { pool.stop() }
    #expect(try !signed(pool, [Chunk("m")], at: world.now).isEmpty)
    try FileManager.default.removeItem(atPath: world.path("passing-pin"))
    try key.closeAllSessions()
    let error = #expect(throws: SigningError.self) { try signed(pool, [Chunk("m")], at: world.now) }
    #expect(error?.description.contains("the PIN's file \(world.path("passing-pin")) cannot be read") == true)
    try world.write("passing-pin", TokenWorld.pin + "\n")
    #expect(try !signed(pool, [Chunk("m")], at: world.now).isEmpty)
  }

  /// From a file to a token, to another key and back, with jobs on the way.
  @Test func rollingBetweenFileAndToken() throws {
    let generations = [try world.credentials(), try tokens.credentials(), try tokens.credentials("token=Posta%20Certificata;id=%FF%00")]
    let pool = try SignerPool(credentials: generations[0], threads: 2, batch: 8)
    let collector = Collector()
    for number in 0..<90 as Range<UInt64> {
      if number % 10 == 0 { try pool.roll(to: generations[Int(number / 10) % 3], now: world.now) }
      pool.submit(SigningJob(token: number, content: [Chunk("m")], signingTime: world.now, completion: collector.completion(number)))
    }
    let results = collector.wait(for: 90)
    pool.stop()
    #expect(pool.figures.failures == 0 && Set(results.values.compactMap { try? $0.get() }).count == 1)
  }

  @Test func whichReturnsAreWorthANewSession() {
    for code in [
      "CKR_SESSION_HANDLE_INVALID", "CKR_SESSION_CLOSED", "CKR_DEVICE_REMOVED", "CKR_DEVICE_ERROR", "CKR_TOKEN_NOT_PRESENT",
      "CKR_USER_NOT_LOGGED_IN", "CKR_KEY_HANDLE_INVALID", "CKR_OBJECT_HANDLE_INVALID", "CKR_GENERAL_ERROR", "CKR_FUNCTION_FAILED",
    ] {
      #expect((0...0x200 as ClosedRange<UInt>).filter { PKCS11Code.name($0) == code }.allSatisfy { PKCS11Code.isLost($0) }, "\(code)")
    }
    for code in ["CKR_PIN_INCORRECT", "CKR_PIN_LOCKED", "CKR_KEY_FUNCTION_NOT_PERMITTED", "CKR_MECHANISM_INVALID", "CKR_SESSION_COUNT"] {
      #expect((0...0x200 as ClosedRange<UInt>).filter { PKCS11Code.name($0) == code }.allSatisfy { !PKCS11Code.isLost($0) }, "\(code)")
    }
    #expect(PKCS11Code.name(0x8000_0001) == "0x80000001")
  }

  @Test func everyFaultSaysWhatToDo() throws {
    let faults: [PKCS11Error.Fault] = [
      .noModule("r"), .notPKCS11, .noToken(found: []), .noToken(found: ["a"]), .severalTokens(serials: ["1", "2"]), .noKey, .severalKeys,
      .alwaysAuthenticate, .noPINSource, .pin(.empty(path: "/p")), .wrongPIN, .lockedPIN, .unsetPIN, .sessions, .noMechanism,
      .singleThreaded, .device(function: "C_Sign", code: "CKR_DEVICE_ERROR", tries: 3), .call(function: "C_Sign", code: "CKR_HOST_MEMORY"),
    ]
    for fault in faults {
      let error = PKCS11Error(fault, try tokens.uri())
      #expect(!error.what.isEmpty && !error.advice.isEmpty && error.description.hasPrefix("pkcs11:token=PEC;object=signer in /"))
    }
  }
}
