import Foundation
import Testing

@testable import Signing

@Suite struct PKCS11URITests {
  private static let module = "?module-path=/usr/lib/p11.so"

  private func error(_ text: String) -> String? {
    do {
      _ = try PKCS11URI(text)
      return nil
    } catch {
      return error.description
    }
  }

  @Test func everyPart() throws {
    let uri = try PKCS11URI(
      "pkcs11:token=The%20Token;manufacturer=Acme%20%26%20Co.;model=X-1;serial=00042;object=signer%C3%A8;id=%00%01%fF%3b;type=private"
        + "?module-path=/usr/lib/a%20b/p11.so&pin-source=file:/etc/pec/pin")
    #expect(uri.token == "The Token" && uri.manufacturer == "Acme & Co." && uri.model == "X-1" && uri.serial == "00042")
    #expect(uri.object == "signerè" && uri.id == [0, 1, 0xFF, 0x3B])
    #expect(uri.modulePath == "/usr/lib/a b/p11.so" && uri.pinSource == .file("/etc/pec/pin"))
    #expect(
      uri.description
        == "pkcs11:token=The%20Token;manufacturer=Acme%20%26%20Co.;model=X-1;serial=00042;object=signer%C3%A8;id=%00%01%FF%3B")
    // What it says of itself is a URI again, and has neither the library nor where the PIN is.
    #expect(try PKCS11URI(uri.description + Self.module).object == uri.object)
  }

  @Test func anyOrderAndAnyCaseOfTheScheme() throws {
    let uri = try PKCS11URI("PKCS11:id=%01;token=t?pin-source=credential:pin&module-path=/m.so")
    #expect(uri.id == [1] && uri.token == "t" && uri.object == nil && uri.pinSource == .credential("pin"))
    #expect(PKCS11URI.isOne("pkcs11:") && PKCS11URI.isOne("Pkcs11:x") && !PKCS11URI.isOne("/etc/pkcs11:key") && !PKCS11URI.isOne("pkcs1"))
  }

  @Test(
    arguments: [
      ("file:/etc/pin", .file("/etc/pin")), ("file:///etc/pin", .file("/etc/pin")), ("/etc/pin", .file("/etc/pin")),
      ("file:/a%20b", .file("/a b")), ("credential:pec.pin", .credential("pec.pin")),
    ] as [(String, PKCS11URI.PINSource)])
  func pinSources(_ row: (text: String, source: PKCS11URI.PINSource)) throws {
    #expect(try PKCS11URI("pkcs11:token=t;object=o\(Self.module)&pin-source=\(row.text)").pinSource == row.source)
  }

  @Test(arguments: [
    ("", "does not begin with pkcs11:"), ("pkcs12:token=t", "does not begin"), ("pkcs11:", "names no token"),
    ("pkcs11:token=t" + module, "names no key"), ("pkcs11:object=o" + module, "names no token"),
    ("pkcs11:token=t;object=o", "names no library"), ("pkcs11:token=t;object=o?", "names no library"),
    ("pkcs11:token=t;object=o?module-path=p11.so", "does not begin with /"),
    ("pkcs11:token=t;token=u;object=o" + module, "has token twice"),
    ("pkcs11:token=t;object=o?module-path=/a&module-path=/b", "has module-path twice"),
    ("pkcs11:token=;object=o" + module, "token without a value"), ("pkcs11:token=t;;object=o" + module, "part without name=value"),
    ("pkcs11:token=t;object=o;" + module, "part without name=value"), ("pkcs11:token;object=o" + module, "part without name=value"),
    ("pkcs11:=t;object=o" + module, "part without name=value"), ("pkcs11:to ken=t;object=o" + module, "name is not made of"),
    ("pkcs11:token=a b;object=o" + module, "must be written as %20"), ("pkcs11:token=a/b;object=o" + module, "must be written as %2F"),
    ("pkcs11:token=è;object=o" + module, "must be written as %C3"), ("pkcs11:token=\u{0};object=o" + module, "must be written as %00"),
    ("pkcs11:token=%;object=o" + module, "two hexadecimal digits"), ("pkcs11:token=%2;object=o" + module, "two hexadecimal digits"),
    ("pkcs11:token=%2G;object=o" + module, "two hexadecimal digits"), ("pkcs11:token=t;object=%f" + module, "two hexadecimal digits"),
    ("pkcs11:token=%FF;object=o" + module, "not UTF-8"), ("pkcs11:token=a%00b;object=o" + module, "not UTF-8"),
    ("pkcs11:token=t;object=o;type=public" + module, "another type than private"),
    ("pkcs11:token=t;object=o;slot-id=0" + module, "slot-id, which is not used"),
    ("pkcs11:token=t;object=o;library-version=2" + module, "library-version, which is not used"),
    ("pkcs11:token=t;object=o;x-colour=red" + module, "unknown here"), ("pkcs11:token=t;object=o\(module)&x=1", "unknown here"),
    ("pkcs11:token=t;object=o?module-name=softhsm", "module-name, which is not used"),
    ("pkcs11:token=t;object=o;pin-source=a" + module, "belongs behind the question mark"),
    ("pkcs11:token=t\(module)&object=o", "belongs before it"),
    ("pkcs11:token=t;object=o\(module)&pin-source=pin.txt", "names no file"),
    ("pkcs11:token=t;object=o\(module)&pin-source=file:pin", "names no file"),
    ("pkcs11:token=t;object=o\(module)&pin-source=file://host/pin", "names no file"),
    ("pkcs11:token=t;object=o\(module)&pin-source=/", "names no file"),
    ("pkcs11:token=t;object=o\(module)&pin-source=|/bin/cat", "commands are not run"),
    ("pkcs11:token=t;object=o\(module)&pin-source=credential:", "no proper name"),
    ("pkcs11:token=t;object=o\(module)&pin-source=credential:..", "no proper name"),
    ("pkcs11:token=t;object=o\(module)&pin-source=credential:a/b", "no proper name"),
  ])
  func wrongInput(_ row: (text: String, words: String)) {
    let said = error(row.text)
    #expect(said?.contains(row.words) == true, "\(row.text): \(said ?? "was taken")")
  }

  /// Of a PIN in a URI nothing is repeated, wherever it stands; the words say what to do instead.
  @Test(arguments: [
    "pkcs11:token=t;object=o?module-path=/m.so&pin-value=314159", "pkcs11:token=t;object=o;pin-value=314159?module-path=/m.so",
    "pkcs11:token=t;object=o?module-path=/m.so&pin-value=314159%", "pkcs11:token=t;object=o?pin=314159",
  ])
  func aPINIsNeverRepeated(_ text: String) throws {
    #expect(error(text)?.contains("314159") == false)
    let world = TestWorld.shared
    #expect {
      try SignerCredentials(
        keyPath: text, certificatePath: world.path("chain.pem"), serviceAddress: TestWorld.address, now: world.now)
    } throws: { error in
      !"\(error)".contains("314159")
    }
    if text.hasSuffix("pin-value=314159") { #expect(error(text)?.contains("pin-source=file:/path") == true) }
  }

  /// Whatever the octets: a refusal or a URI, never a trap, and what was taken says the same when it is read again.
  @Test func randomInput() throws {
    let seed = UInt64.random(in: 0...UInt64.max)
    var generator = SeededGenerator(seed: seed)
    let pieces = [
      "pkcs11:", "token=", "object=", "id=", ";", "?", "&", "module-path=", "/m", "%", "%41", "%zz", "pin-source=", "file:", "è", "a", "=",
    ]
    for _ in 0..<20_000 {
      var text = Bool.random(using: &generator) ? "pkcs11:token=t;object=o?module-path=/m.so" : "pkcs11:"
      for _ in 0..<Int.random(in: 0...6, using: &generator) {
        let at = text.index(text.startIndex, offsetBy: Int.random(in: 0...text.count, using: &generator))
        text.insert(contentsOf: pieces.randomElement(using: &generator)!, at: at)
      }
      guard let uri = try? PKCS11URI(text) else { continue }
      let again = try PKCS11URI(uri.description + Self.module)
      #expect(again.token == uri.token && again.object == uri.object && again.id == uri.id, "seed \(seed): \(text)")
    }
  }

  // MARK: PIN files

  private func pin(_ source: PKCS11URI.PINSource, credentials: String? = nil) -> Result<String, PIN.Failure> {
    Result { () throws(PIN.Failure) in
      let pin = try PIN.read(source, credentials: credentials)
      return unsafe String(decoding: pin.octets, as: UTF8.self)
    }
  }

  private func fault(_ source: PKCS11URI.PINSource, credentials: String? = nil) -> PINFault? {
    guard case .failure(let failure) = pin(source, credentials: credentials) else { return nil }
    return failure.fault
  }

  @Test func theFirstLineIsThePIN() throws {
    let world = TestWorld.shared
    for (number, text) in ["1234", "1234\n", "1234\r\n", "1234\n5678\n"].enumerated() {
      try world.write("pin-\(number)", text)
      #expect(try pin(.file(world.path("pin-\(number)"))).get() == "1234")
    }
    try world.write("pin-space", " 12 34 \n")
    #expect(try pin(.file(world.path("pin-space"))).get() == " 12 34 ")
    try world.write("pin-longest", String(repeating: "9", count: PIN.maximumBytes) + "\n")
    #expect(try pin(.file(world.path("pin-longest"))).get().count == PIN.maximumBytes)
  }

  @Test func faultsOfPINFiles() throws {
    let world = TestWorld.shared
    func path(_ name: String) -> String { world.path(name) }
    #expect(fault(.file("/nowhere/pin")) == .unreadable(path: "/nowhere/pin", "No such file or directory"))
    #expect(fault(.file(world.directory)) == .unreadable(path: world.directory, "not a file"))
    try world.write("pin-empty", "")
    #expect(fault(.file(path("pin-empty"))) == .empty(path: path("pin-empty")))
    try world.write("pin-blank", "\n1234\n")
    #expect(fault(.file(path("pin-blank"))) == .empty(path: path("pin-blank")))
    for length in [256, 257, 258, 100_000] {
      try world.write("pin-long", String(repeating: "9", count: length))
      #expect(fault(.file(path("pin-long"))) == .tooLong(path: path("pin-long")))
    }
    for mode in [0o640, 0o604, 0o660, 0o644, 0o610] {
      try world.write("pin-open", "1234\n", mode: mode)
      #expect(fault(.file(path("pin-open"))) == .open(path: path("pin-open"), mode: UInt32(mode)))
    }
  }

  @Test func credentialsOfTheServiceManager() throws {
    let world = TestWorld.shared
    try world.write("pec.pin", "4321\n", mode: 0o400)
    #expect(try pin(.credential("pec.pin"), credentials: world.directory).get() == "4321")
    // The mask of an ACL shows as the group's permissions.
    try world.write("pec.acl", "4321\n", mode: 0o440)
    #expect(try pin(.credential("pec.acl"), credentials: world.directory).get() == "4321")
    try world.write("pec.open", "4321\n", mode: 0o444)
    #expect(fault(.credential("pec.open"), credentials: world.directory) == .open(path: world.path("pec.open"), mode: 0o444))
    #expect(fault(.credential("pec.pin")) == .noCredentials("pec.pin"))
  }

  @Test func everyFaultSaysWhatToDo() {
    let faults: [PINFault] = [
      .unreadable(path: "/p", "r"), .open(path: "/p", mode: 0o644), .empty(path: "/p"), .tooLong(path: "/p"), .noCredentials("n"),
    ]
    for fault in faults { #expect(!fault.what.isEmpty && !fault.advice.isEmpty) }
  }
}
