import Configuration
import Foundation
import Journey
import Ledger
import Octets
import PEC
import Signing

@testable import Sealing

/// A run of a command.
struct Run {
  var status: Int32
  var text: String
}

@discardableResult
func run(_ command: String, _ arguments: [String], in folder: String? = nil) throws -> Run {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = [command] + arguments
  if let folder { process.currentDirectoryURL = URL(fileURLWithPath: folder) }
  let out = Pipe()
  process.standardOutput = out
  process.standardError = out
  process.standardInput = FileHandle.nullDevice
  try process.run()
  let text = String(decoding: out.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
  process.waitUntilExit()
  return Run(status: process.terminationStatus, text: text)
}

struct WorldError: Error { var text: String }

/// Keys, certificates and a time-stamping authority made by the `openssl` command, once for all tests.
final class SealWorld: Sendable {
  static let shared = SealWorld()
  static let address = "posta-certificata@pec.alfa.test"
  static let provider = "Gestore Alfa"

  let directory: String
  let tsa: TimeStampServer

  init() {
    directory = FileManager.default.temporaryDirectory.appendingPathComponent("sealing-\(UUID().uuidString)").path
    do {
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
      try SealWorld.make(directory)
      tsa = try TimeStampServer(directory: directory)
      atexit {
        SealWorld.shared.tsa.end()
        try? FileManager.default.removeItem(atPath: SealWorld.shared.directory)
      }
    } catch {
      fatalError("the openssl command could not make the tests' certificates: \(error)")
    }
  }

  func path(_ name: String) -> String { directory + "/" + name }

  func octets(_ name: String) throws -> [UInt8] { try [UInt8](Data(contentsOf: URL(fileURLWithPath: path(name)))) }

  func credentials(at: Int64? = nil) throws -> SignerCredentials {
    try SignerCredentials(
      keyPath: path("signer.key"), certificatePath: path("chain.pem"), serviceAddress: SealWorld.address, now: at ?? SealWorld.now)
  }

  /// The present, a little on: what was just issued is valid then.
  static var now: Int64 { Int64(Date().timeIntervalSince1970) + 5 }

  /// The server's authority of that way of answering.
  func authority(_ mode: String, ca: String = "tsaroot.pem") -> TimeStampAuthoritySettings {
    TimeStampAuthoritySettings(url: "http://127.0.0.1:\(tsa.port)/\(mode)", caFile: path(ca))
  }

  private static func openssl(_ folder: String, _ arguments: String...) throws {
    let made = try run("openssl", arguments, in: folder)
    guard made.status == 0 else { throw WorldError(text: arguments.joined(separator: " ") + "\n" + made.text) }
  }

  private static func make(_ folder: String) throws {
    func write(_ name: String, _ text: String) throws { try text.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8) }
    func issue(_ name: String, key: String, by issuer: String, _ subject: String, days: Int, _ extensions: String) throws {
      try write("\(name).ext", extensions)
      try openssl(folder, "req", "-new", "-key", "\(key).key", "-subj", subject, "-utf8", "-out", "\(name).csr")
      try openssl(
        folder, "x509", "-req", "-in", "\(name).csr", "-CA", "\(issuer).pem", "-CAkey", "\(issuer).key", "-sha256", "-days", "\(days)",
        "-extfile", "\(name).ext", "-out", "\(name).pem", "-set_serial", "0x\(String(Entropy.word() >> 1, radix: 16))")
    }
    for name in ["root", "signer", "tsa"] {
      try openssl(folder, "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "\(name).key")
      try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: "\(folder)/\(name).key")
    }
    try FileManager.default.copyItem(atPath: "\(folder)/root.key", toPath: "\(folder)/tsaroot.key")
    for (name, subject) in [("root", "/C=IT/O=Test/CN=Test CA"), ("tsaroot", "/C=IT/O=Test/CN=Test Time CA")] {
      try openssl(
        folder, "req", "-x509", "-key", "\(name).key", "-subj", subject, "-days", "9000", "-sha256", "-out", "\(name).pem", "-addext",
        "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    }
    let profile = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nkeyUsage=critical,digitalSignature\n"
    try issue(
      "signer", key: "signer", by: "root", "/C=IT/O=Gestore Alfa/CN=Posta Certificata", days: 4000,
      profile + "extendedKeyUsage=emailProtection\nsubjectAltName=email:\(address)")
    try write("chain.pem", String(contentsOfFile: "\(folder)/signer.pem", encoding: .utf8))
    let stamping = profile + "extendedKeyUsage=critical,timeStamping\n"
    try issue("tsa", key: "tsa", by: "tsaroot", "/C=IT/O=Test/CN=Test TSA", days: 3000, stamping)
    try issue("tsa-short", key: "tsa", by: "tsaroot", "/C=IT/O=Test/CN=Short TSA", days: 60, stamping)
    try issue("tsa-expired", key: "tsa", by: "tsaroot", "/C=IT/O=Test/CN=Old TSA", days: -1, stamping)
    try issue("tsa-foreign", key: "tsa", by: "root", "/C=IT/O=Test/CN=Foreign TSA", days: 3000, stamping)
    try issue(
      "tsa-usage", key: "tsa", by: "tsaroot", "/C=IT/O=Test/CN=Mail TSA", days: 3000, profile + "extendedKeyUsage=emailProtection\n")
    try openssl(
      folder, "ca", "-gencrl", "-config", try configuration(folder), "-keyfile", "root.key", "-cert", "root.pem", "-out", "root.crl")
  }

  /// For revocation lists.
  private static func configuration(_ folder: String) throws -> String {
    try "".write(toFile: "\(folder)/index.txt", atomically: true, encoding: .utf8)
    try """
    [ca]
    default_ca = own
    [own]
    database = \(folder)/index.txt
    default_md = sha256
    default_crl_days = 30
    """.write(toFile: "\(folder)/ca.cnf", atomically: true, encoding: .utf8)
    return "\(folder)/ca.cnf"
  }
}

/// `openssl ts` behind Python's HTTP server on a port of the system's choice. The first step of the path says how it behaves.
final class TimeStampServer: Sendable {
  let port: Int
  private let process: Process
  private let input: Pipe

  private static let script = """
    import http.server, os, subprocess, sys, tempfile, threading
    folder = sys.argv[1]
    count = 0
    lock = threading.Lock()
    def openssl(*words):
        return subprocess.run(["openssl", *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    def reply(query, signer):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            with open(place + "/serial", "w") as out: out.write("%016x" % int.from_bytes(os.urandom(7), "big"))
            with open(place + "/tsa.cnf", "w") as out:
                out.write("[tsa]\\ndefault_tsa = own\\n[own]\\nserial = " + place + "/serial\\nsigner_digest = sha256\\n"
                          "default_policy = 1.2.3.4.1\\ndigests = sha256\\nordering = no\\ness_cert_id_alg = sha256\\n")
            with open(place + "/query", "wb") as out: out.write(query)
            made = openssl("ts", "-reply", "-config", place + "/tsa.cnf", "-queryfile", place + "/query", "-signer", signer + ".pem",
                           "-inkey", "tsa.key", "-out", place + "/reply")
            if made.returncode: return b""
            with open(place + "/reply", "rb") as found: return found.read()
    def other(query, keep):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            with open(place + "/query", "wb") as out: out.write(query)
            text = openssl("ts", "-query", "-in", place + "/query", "-text").stdout.decode()
            digits = "".join(line[11:58].replace(" ", "").replace("-", "") for line in text.splitlines() if line.startswith("    00"))
            digits = digits[:64] if keep else "ab" * 32
            openssl("ts", "-query", "-digest", digits, "-sha256", "-cert", "-out", place + "/other")
            with open(place + "/other", "rb") as found: return found.read()
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *words): pass
        def do_GET(self):
            self.send_response(200); self.end_headers(); self.wfile.write(str(count).encode())
        def do_POST(self):
            global count
            query = self.rfile.read(int(self.headers["Content-Length"]))
            mode = self.path.strip("/")
            with lock: count += 1
            if mode == "slow":
                self.rfile.read(1)
                return
            if mode == "error":
                self.send_response(503); self.end_headers(); return
            if self.headers["Content-Type"] != "application/timestamp-query": octets = b""
            elif mode == "garbage": octets = b"<html>no time stamp today</html>"
            elif mode == "imprint": octets = reply(other(query, False), "tsa")
            elif mode == "nonce": octets = reply(other(query, True), "tsa")
            elif mode == "reject": octets = reply(b"0\\x03\\x02\\x01\\x05", "tsa")
            else: octets = reply(query, mode)
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(octets)))
            self.end_headers()
            self.wfile.write(octets)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    """

  init(directory: String) throws {
    process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["python3", "-c", TimeStampServer.script, directory]
    let output = Pipe()
    input = Pipe()
    process.standardOutput = output
    process.standardInput = input
    try process.run()
    var line: [UInt8] = []
    while let octet = try output.fileHandleForReading.read(upToCount: 1)?.first, octet != 10 { line.append(octet) }
    guard let port = Int(String(decoding: line, as: UTF8.self)) else { throw WorldError(text: "the server of time stamps did not start") }
    self.port = port
  }

  /// Its input ends, and so does it.
  func end() { try? input.fileHandleForWriting.close() }
}

/// A ledger and a store of seals in a folder that goes with the test.
final class Desk {
  let path: String
  let ledger: Ledger
  let store: SealStore
  let world = SealWorld.shared
  var settings = CertifiedLogSettings()
  /// Seconds that the sealer's clock is ahead.
  var ahead: Int64 = 0

  init() throws {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("seals-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    ledger = try Ledger(path: "\(path)/ledger.sqlite")
    store = SealStore(path: "\(path)/seals")
  }

  deinit {
    try? ledger.close()
    try? FileManager.default.removeItem(atPath: path)
  }

  var instant: Instant { Instant(unixSeconds: SealWorld.now + ahead, utcOffsetSeconds: 3600) }

  func sealer() throws -> Sealer {
    let ahead = ahead
    let credentials = try world.credentials()
    let (list, root) = (try world.octets("root.crl"), try world.octets("root.pem"))
    return Sealer(
      ledger: ledger, store: store, credentials: credentials, settings: settings, provider: SealWorld.provider,
      keep: {
        KeptFiles(certificates: root, revocationLists: [(name: "test-ca.crl", octets: list)])
      },
      clock: { Int64(Date().timeIntervalSince1970) + ahead })
  }

  static func event(_ id: Int, kind: EventKind = .acceptance, sender: String = "anna@pec.alfa.test", recipients: [String]? = nil)
    -> EventRecord
  {
    EventRecord(
      pecID: "opec\(id)@pec.alfa.test", instant: Instant(unixSeconds: SealWorld.now - 60, utcOffsetSeconds: 3600), kind: kind,
      sender: sender,
      recipients: (recipients ?? ["bruno@pec.beta.test"]).map { Recipient(address: $0, recipientClass: .certified) },
      subject: "Città \(id)", clientMessageID: "<\(id)@client.test>", relatedIDs: ["opec\(id).r@pec.alfa.test"],
      provider: SealWorld.provider, bytes: 1000 + id)
  }

  /// Adds rows.
  func fill(_ count: Int) throws {
    let next = Int(try ledger.lastEventNumber()) + 1
    try ledger.commit((next..<(next + count)).map { .event(Desk.event($0)) })
  }

  /// Seals what waits, and commits.
  @discardableResult
  func seal(_ reason: SealReason = .asked) throws -> SealRecord {
    guard let (record, changes) = try sealer().make(reason: reason, at: instant) else { throw WorldError(text: "nothing to seal") }
    try ledger.commit(changes)
    return record
  }

  /// Asks for stamps, and commits.
  @discardableResult
  func stamp() throws -> SealingOutcome {
    let outcome = try sealer().stamp(at: instant)
    if !outcome.changes.isEmpty { try ledger.commit(outcome.changes) }
    return outcome
  }

  func inspector(ledger: Bool = true) throws -> SealInspector {
    SealInspector(store: store, ledger: ledger ? self.ledger : nil, signers: [try world.credentials().certificate.der])
  }

  func verify(ledger: Bool = true) throws -> SealInspection { try inspector(ledger: ledger).verifySeals(at: SealWorld.now + ahead) }

  /// Every file of a seal by its path in the folder.
  func files(_ number: Int64) throws -> [String] {
    let folder = store.folder(number)
    return try FileManager.default.subpathsOfDirectory(atPath: folder).filter { name in
      var isFolder: ObjCBool = false
      return FileManager.default.fileExists(atPath: "\(folder)/\(name)", isDirectory: &isFolder) && !isFolder.boolValue
    }.sorted()
  }

  func octets(_ number: Int64, _ name: String) throws -> [UInt8] {
    try [UInt8](Data(contentsOf: URL(fileURLWithPath: store.file(number, name))))
  }

  func overwrite(_ number: Int64, _ name: String, _ octets: [UInt8]) throws {
    let path = store.file(number, name)
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
    try Data(octets).write(to: URL(fileURLWithPath: path))
  }
}
