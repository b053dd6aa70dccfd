import Digests
import Evidence
import Extracts
import Foundation
import Journey
import Octets
import PEC

/// A folder that goes with its owner, and programs that run in it.
final class Desk: Sendable {
  let path: String

  init() {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("extract-test-\(UUID().uuidString)").path
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  struct Failed: Error, CustomStringConvertible {
    var description: String
  }

  /// Runs a program: its exit code and all its words.
  func run(_ arguments: [String], in folder: String = "", tools: String? = nil) throws -> (code: Int32, words: String) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    process.currentDirectoryURL = URL(fileURLWithPath: "\(path)/\(folder)")
    if let tools { process.environment = ["PATH": tools, "HOME": path] }
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let words = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, words)
  }

  func openssl(_ line: String) throws {
    let answer = try run(["openssl"] + line.split(separator: " ").map(String.init))
    if answer.code != 0 { throw Failed(description: "openssl \(line): \(answer.words)") }
  }

  func read(_ name: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)"))) }

  func write(_ octets: some Collection<UInt8>, _ name: String) throws {
    let url = URL(fileURLWithPath: "\(path)/\(name)")
    try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(octets).write(to: url)
  }

  /// Writes a bundle's files below a folder, which is made anew.
  func lay(_ files: [BundleFile], in folder: String) throws {
    try? FileManager.default.removeItem(atPath: "\(path)/\(folder)")
    try FileManager.default.createDirectory(atPath: "\(path)/\(folder)", withIntermediateDirectories: true)
    for file in files { try write(file.octets, "\(folder)/\(file.path)") }
  }
}

/// Keys of a provider, of a time-stamping authority and of strangers, made by openssl; and a sealed log. Made once.
final class World: Sendable {
  static let shared = Result { try World() }

  let desk = Desk()
  let matter: ExtractMatter
  let bundle: ExtractBundle
  /// With `contenuto.p7m`.
  let files: [BundleFile]

  /// Rows of other holders stand between those asked for.
  static let asked: [Int64] = [3, 4, 9, 11, 12]

  private init() throws {
    try World.makeKeys(desk)
    let events = (1...14).map { World.event(Int64($0)) }
    let first = try World.seal(1, Array(events[..<9]), after: nil, desk)
    let second = try World.seal(2, Array(events[9...]), after: try SealManifest(reading: first.manifest), desk)
    let seals = [first, second]
    let rows = World.asked.map { number in
      ExtractRow(event: events[Int(number) - 1], canonical: CanonicalEvent.octets(events[Int(number) - 1]))
    }
    var proofs: [InclusionProof] = []
    for (seal, covered) in zip(seals, [events[..<9], events[9...]]) {
      let leaves = covered.map { EventChain.leaf(CanonicalEvent.octets($0)) }
      proofs += InclusionProof.proofs(rows: World.asked, in: try SealManifest(reading: seal.manifest), leaves: leaves)
    }
    matter = ExtractMatter(
      holder: "anna@pec.example.org", order: "su richiesta del titolare",
      question: [("Mittente", "anna@pec.example.org"), ("Destinatario", "bruno@pec.example.net"), ("Data", "21/11/2026")],
      provider: "Gestore di prova S.p.A.", instant: Instant(unixSeconds: Int64(Date().timeIntervalSince1970), utcOffsetSeconds: 3600),
      rows: rows, proofs: proofs, seals: seals, certificates: try desk.read("gestore.pem") + desk.read("ca.pem"),
      revocationLists: [BundleFile("ca.crl", try desk.read("ca.crl"))])
    bundle = try ExtractBundle(matter, pdf: Array("%PDF-1.5 the caller's".utf8))
    files = bundle.files + [try World.signature(of: bundle.contents, desk)]
  }

  static func event(_ number: Int64) -> EventRecord {
    let kinds: [EventKind] = [.acceptance, .envelopeMade, .envelopeSent, .takeChargeReceived, .notificationReceived]
    let isAsked = asked.contains(number)
    let name = isAsked ? "anna" : "carla"
    return EventRecord(
      number: number, pecID: isAsked ? "g.20261121094426.000017.abcd@pec.example.org" : "g.20261121094426.000018.efgh@pec.example.org",
      instant: Instant(unixSeconds: 1_795_254_266 + number, utcOffsetSeconds: 3600), kind: kinds[Int(number) % kinds.count],
      sender: "\(name)@pec.example.org",
      recipients: [
        Recipient(address: isAsked ? "bruno@pec.example.net" : "dario@pec.example.net", recipientClass: .certified),
        Recipient(address: "eva@example.com", recipientClass: .ordinary),
      ], subject: "Perché \"<b>\(name)</b>\" & 'così'\u{202E}\u{7}", clientMessageID: "<1@\(name)>",
      relatedIDs: ["x.\(number)@pec.example.org"],
      provider: "Gestore di prova S.p.A.", recipient: number % 5 > 1 ? (isAsked ? "bruno@pec.example.net" : "dario@pec.example.net") : nil,
      error: number % 5 == 4 ? "no-dest" : nil, detail: number % 5 == 2 ? "250 2.0.0 Ok" : nil, bytes: 5120)
  }

  // MARK: openssl

  private static func makeKeys(_ desk: Desk) throws {
    try desk.write(
      Array(
        """
        [ca]
        default_ca=d
        [d]
        database=index.txt
        serial=serial
        crlnumber=crlnumber
        new_certs_dir=.
        certificate=ca.pem
        private_key=ca.key
        default_md=sha256
        default_days=400
        default_crl_days=30
        policy=p
        unique_subject=no
        [p]
        commonName=supplied
        organizationName=optional
        [req]
        distinguished_name=dn
        [dn]
        [root]
        basicConstraints=critical,CA:TRUE
        keyUsage=critical,keyCertSign,cRLSign
        [mail]
        basicConstraints=critical,CA:FALSE
        keyUsage=critical,digitalSignature,nonRepudiation
        extendedKeyUsage=emailProtection
        [stamp]
        basicConstraints=critical,CA:FALSE
        keyUsage=critical,digitalSignature
        extendedKeyUsage=critical,timeStamping
        [tsa]
        default_tsa=t
        [t]
        serial=tsserial
        signer_digest=sha256
        default_policy=1.2.3.4
        digests=sha256
        accuracy=secs:1

        """.utf8), "openssl.cnf")
    for (name, text) in [("index.txt", ""), ("serial", "01\n"), ("crlnumber", "01\n"), ("tsserial", "01\n")] {
      try desk.write(Array(text.utf8), name)
    }
    for (name, title) in [("ca", "CA-di-prova"), ("altraca", "Altra-CA"), ("tsaca", "CA-delle-marche")] {
      try makeKey(name, desk)
      try desk.openssl(
        "req -x509 -new -key \(name).key -out \(name).pem -days 800 -config openssl.cnf -extensions root -subj /CN=\(title) -sha256")
    }
    try certificate("gestore", "CN=posta-certificata/O=Gestore-di-prova", by: "ca", "mail", desk)
    try certificate("revocato", "CN=revocato/O=Gestore-di-prova", by: "ca", "mail", desk)
    try certificate("estraneo", "CN=estraneo", by: "altraca", "mail", desk)
    try certificate("tsa", "CN=TSA-di-prova", by: "tsaca", "stamp", desk)
    try certificate("altratsa", "CN=Altra-TSA", by: "altraca", "stamp", desk)
    try desk.openssl("ca -config openssl.cnf -revoke revocato.pem")
    try desk.openssl("ca -config openssl.cnf -gencrl -out crl.pem")
    try desk.openssl("crl -in crl.pem -outform DER -out ca.crl")
  }

  private static func makeKey(_ name: String, _ desk: Desk) throws {
    try desk.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out \(name).key")
  }

  private static func certificate(_ name: String, _ subject: String, by ca: String, _ extensions: String, _ desk: Desk) throws {
    try makeKey(name, desk)
    try desk.openssl("req -new -key \(name).key -out \(name).csr -config openssl.cnf -subj /\(subject)")
    try desk.openssl(
      "ca -batch -notext -config openssl.cnf -cert \(ca).pem -keyfile \(ca).key -extfile openssl.cnf -extensions \(extensions) "
        + "-in \(name).csr -out \(name).pem")
  }

  static func sign(_ octets: [UInt8], by name: String = "gestore", _ desk: Desk) throws -> [UInt8] {
    let work = UUID().uuidString
    try desk.write(octets, work)
    try desk.openssl(
      "cms -sign -binary -nodetach -outform DER -md sha256 -signer \(name).pem -inkey \(name).key -in \(work) -out \(work).p7m")
    return try desk.read("\(work).p7m")
  }

  static func signature(of contents: [UInt8], by name: String = "gestore", _ desk: Desk) throws -> BundleFile {
    BundleFile(ExtractBundle.contentsSignatureName, try sign(contents, by: name, desk))
  }

  static func stamp(
    _ name: String, over octets: [UInt8], covers: String = SealFiles.signedName, by tsa: String = "tsa", _ desk: Desk
  ) throws -> ExtractStamp {
    let work = UUID().uuidString
    try desk.write(octets, work)
    try desk.openssl("ts -query -data \(work) -sha256 -cert -out \(work).tsq")
    try desk.openssl("ts -reply -config openssl.cnf -queryfile \(work).tsq -signer \(tsa).pem -inkey \(tsa).key -out \(work).tsr")
    try desk.openssl("ts -reply -in \(work).tsr -token_out -out \(work).tst")
    let words = try desk.run(["openssl", "ts", "-reply", "-token_in", "-in", "\(work).tst", "-text"]).words
    let format = DateFormatter()
    format.locale = Locale(identifier: "en_US_POSIX")
    format.timeZone = TimeZone(identifier: "UTC")
    format.dateFormat = "MMM d HH:mm:ss yyyy 'GMT'"
    guard let line = words.split(separator: "\n").first(where: { $0.hasPrefix("Time stamp: ") }),
      let date = format.date(from: String(line.dropFirst(12)))
    else { throw Desk.Failed(description: "no time in \(words)") }
    return ExtractStamp(
      name: name, token: try desk.read("\(work).tst"), covers: covers, unixSeconds: Int64(date.timeIntervalSince1970),
      authority: "CN = TSA di prova")
  }

  static func seal(_ number: Int64, _ events: [EventRecord], after: SealManifest?, _ desk: Desk) throws -> SealFiles {
    let canonical = events.map { CanonicalEvent.octets($0) }
    let leaves = canonical.map { EventChain.leaf($0) }
    let before = after?.chainAfter ?? Hex.encode(EventChain.beginning)
    let start = stride(from: 0, to: 64, by: 2).map { at -> UInt8 in
      UInt8(before.dropFirst(at).prefix(2), radix: 16) ?? 0
    }
    let manifest = SealManifest(
      number: number, provider: "Gestore di prova S.p.A.", first: events[0].number ?? 0, last: events[events.count - 1].number ?? 0,
      from: events[0].instant, to: events[events.count - 1].instant, root: Hex.encode(MerkleTree.root(leaves)), chainBefore: before,
      chainAfter: Hex.encode(leaves.reduce(start) { EventChain.next($0, leaf: $1) }), previous: after?.digest ?? SealManifest.noPrevious,
      madeAt: Instant(unixSeconds: Int64(Date().timeIntervalSince1970), utcOffsetSeconds: 3600), reason: "daily")
    let signed = try sign(manifest.octets, desk)
    let first = try stamp("marca-1.tst", over: signed, desk)
    // The second seal's stamp was renewed.
    let stamps = number == 1 ? [first] : [first, try stamp("marca-2.tst", over: first.token, covers: "marca-1.tst", desk)]
    return SealFiles(
      number: number, manifest: manifest.octets, signed: signed, stamps: stamps, evidenceRecord: [0x30, 0],
      certificates: try desk.read("gestore.pem") + desk.read("ca.pem"), revocationLists: [BundleFile("ca.crl", try desk.read("ca.crl"))],
      stampAuthorities: try desk.read("tsaca.pem"))
  }

  // MARK: Damage

  /// The files with one of them changed, and the list of contents made anew over them and signed by `signer`: what is found then, is found
  /// by the steps below the list.
  func relisted(_ files: [BundleFile], by signer: String = "gestore") throws -> [BundleFile] {
    let own = [ExtractBundle.contentsName, ExtractBundle.contentsSignatureName]
    let rest = files.filter { !own.contains($0.path) }
    let list = Array(rest.map { "\(Hex.encode(SHA256.digest($0.octets)))  \($0.path)\n" }.joined().utf8)
    return rest + [BundleFile(ExtractBundle.contentsName, list), try World.signature(of: list, by: signer, desk)]
  }
}

extension [BundleFile] {
  func changing(_ path: String, _ change: (inout [UInt8]) -> Void) -> [BundleFile] {
    map { file in
      var file = file
      if file.path == path { change(&file.octets) }
      return file
    }
  }

  func replacing(_ path: String, _ old: String, _ new: String) -> [BundleFile] {
    changing(path) { octets in
      let text = String(decoding: octets, as: UTF8.self)
      octets = [UInt8](text.replacingOccurrences(of: old, with: new).utf8)
    }
  }

  func without(_ path: String) -> [BundleFile] { filter { $0.path != path } }
  subscript(path: String) -> [UInt8] { first { $0.path == path }?.octets ?? [] }
}
