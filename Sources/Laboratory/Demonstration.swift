import EventLoop
import Foundation
import Gateway
import Logging
import Operations
import SMTPWire
import TLSPipe

/// `ceralacca demo`: a laboratory, two messages, and what everybody received, told in a screenful.
public final class Demonstration {
  private let laboratory: Laboratory
  private let loop: Loop
  private let say: (String) -> Void
  private var answers: [String] = []
  private var failure: String?
  private var poll: LoopTimer?
  private var polls = 0

  private static let anna = "anna@pec.alfa.test"
  private static let certified = "ufficio@pec.beta.test"
  private static let ordinary = "giulia@posta.test"

  private init(_ laboratory: Laboratory, loop: Loop, say: @escaping (String) -> Void) {
    self.laboratory = laboratory
    self.loop = loop
    self.say = say
  }

  /// Runs the demonstration in `directory` (a new temporary one when nil). Throws a `CommandFailure` when the story does not end well.
  public static func run(directory: String?, say: @escaping (String) -> Void) throws {
    let folder = directory ?? NSTemporaryDirectory() + "ceralacca-demo-\(ProcessInfo.processInfo.processIdentifier)"
    let laboratory = Laboratory(
      directory: folder, basePort: try Laboratory.freeBasePort(), logger: Service.logger(label: "demo"))
    try laboratory.prepare()
    let loop = try Loop()
    try laboratory.start(on: loop)
    let demonstration = Demonstration(laboratory, loop: loop, say: say)
    demonstration.begin()
    loop.run()
    laboratory.stop()
    if let failure = demonstration.failure { throw CommandFailure("the demonstration failed: \(failure)", exitCode: 70) }
    try demonstration.tell()
  }

  // MARK: Sending

  private func begin() {
    submit(message: Demonstration.letter, to: [Demonstration.certified, Demonstration.ordinary]) { [self] in
      submit(message: Demonstration.secret, to: [Demonstration.certified, "nascosto@posta.test"]) { [self] in waitForMail() }
    }
  }

  private func submit(message: String, to recipients: [String], then: @escaping () -> Void) {
    let tls: TLSContext
    do { tls = try TLSContext.client(caFile: "\(laboratory.directory)/ca.pem", verify: true) } catch { return fail("\(error)") }
    let client = LabClient(
      loop: loop, tls: tls, user: Demonstration.anna, password: Laboratory.password(of: Demonstration.anna), recipients: recipients,
      message: Array(message.replacingOccurrences(of: "\n", with: "\r\n").utf8)
    ) { [self] result in
      switch result {
      case .success(let outcomes):
        guard case .delivered(let reply)? = outcomes.first?.verdict else { return fail("\(outcomes)") }
        answers.append(reply.summary)
        then()
      case .failure(let error): fail(error.reason)
      }
    }
    client.submit(host: "127.0.0.1", port: laboratory.port(.submission))
  }

  private func fail(_ reason: String) {
    failure = reason
    loop.stop()
  }

  /// Looks until the two notices and the envelope have arrived, for 30 seconds at the most.
  private func waitForMail() {
    poll = loop.timer(after: 20, repeat: 50) { [self] in
      polls += 1
      if files(laboratory.mailbox(of: Demonstration.anna) + "/new").count >= 2, files(world).count >= 1 { loop.stop() }
      if polls > 600 { fail("the mail did not arrive within 30 seconds") }
    }
  }

  private var world: String { "\(laboratory.directory)/world/new" }

  private func files(_ folder: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted().map { "\(folder)/\($0)" }
  }

  // MARK: Telling

  private func tell() throws {
    let mailbox = files(laboratory.mailbox(of: Demonstration.anna) + "/new")
    let envelopes = files(world)
    let acceptance = try one(mailbox, having: "X-Ricevuta: accettazione")
    let refusal = try one(mailbox, having: "X-Ricevuta: non-accettazione")
    guard envelopes.count == 1, let envelope = envelopes.first else {
      throw CommandFailure("the world has \(envelopes.count) messages instead of one", exitCode: 70)
    }
    let authority = "\(laboratory.directory)/ca.pem"
    say("Ceralacca, the access point of a PEC provider: a demonstration in \(laboratory.directory)")
    say("")
    say("1. Anna submits a letter with an attachment to \(Demonstration.certified) (certified) and")
    say("   \(Demonstration.ordinary) (ordinary mail), over STARTTLS and AUTH, and is answered:")
    say("      \(answers.first ?? "")")
    say("2. In her mailbox, the acceptance receipt (ricevuta di accettazione):")
    try show(acceptance, ["From", "To", "Subject", "X-Ricevuta"])
    say(try signature(acceptance, authority))
    say("3. To both recipients, her letter in a transport envelope (busta di trasporto):")
    try show(envelope, ["X-Envelope-To", "From", "Subject", "X-Trasporto"])
    say(try signature(envelope, authority))
    say("   Inside of it postacert.eml is her letter as she sent it, but for its identifier.")
    say("4. A second letter has a Bcc, which certified mail forbids. It is answered")
    say("      \(answers.last ?? "")")
    say("   and nothing leaves; she gets a non-acceptance notice (avviso di non accettazione):")
    try show(refusal, ["Subject", "X-Ricevuta"])
    say(try signature(refusal, authority))
    try say(cause(refusal))
    say("")
    try VerifyCommand.run(files: mailbox + envelopes, authority: authority, json: false) { line in
      let first = line.split(separator: "\n").first.map(String.init) ?? ""
      say("ceralacca verify: " + first.replacingOccurrences(of: laboratory.directory + "/", with: ""))
    }
    say("")
    say("Every receipt and envelope above is real, and stays in \(laboratory.directory).")
  }

  private func text(_ file: String) throws -> String {
    guard let data = FileManager.default.contents(atPath: file) else { throw CommandFailure("\(file) cannot be read", exitCode: 74) }
    return String(decoding: data, as: UTF8.self)
  }

  private func one(_ files: [String], having line: String) throws -> String {
    let found = try files.filter { try text($0).contains(line) }
    guard found.count == 1 else { throw CommandFailure("\(found.count) messages with \"\(line)\" instead of one", exitCode: 70) }
    return found[0]
  }

  private func show(_ file: String, _ names: [String]) throws {
    let header = try text(file).components(separatedBy: "\r\n\r\n")[0].components(separatedBy: "\r\n")
    for name in names {
      for line in header where line.lowercased().hasPrefix(name.lowercased() + ":") { say("      \(line)") }
    }
  }

  /// The reason in the notice's certification data.
  private func cause(_ file: String) throws -> String {
    let parts = try text(file).components(separatedBy: "daticert.xml\"\r\n\r\n")
    let encoded = parts.count > 1 ? parts[1].components(separatedBy: "\r\n\r\n")[0].components(separatedBy: "\r\n--")[0] : ""
    let xml = String(decoding: Data(base64Encoded: encoded, options: .ignoreUnknownCharacters) ?? Data(), as: UTF8.self)
    let element = xml.components(separatedBy: "<errore-esteso>").dropFirst().first?.components(separatedBy: "</errore-esteso>").first
    return "   Its daticert.xml says why: \(element ?? "?")"
  }

  /// What the `openssl` command says of the signature.
  private func signature(_ file: String, _ authority: String) throws -> String {
    // The world's two envelope lines are not the message's: openssl reads the message from its first line on.
    let stored = try text(file)
    let body =
      stored.hasPrefix("X-Envelope-From")
      ? stored.components(separatedBy: "\r\n").drop { $0.hasPrefix("X-Envelope-") }.joined(separator: "\r\n") : stored
    let copy = "\(laboratory.directory)/openssl-input.eml"
    try body.write(toFile: copy, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(atPath: copy) }
    let openssl = Process()
    openssl.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    openssl.arguments = ["openssl", "cms", "-verify", "-in", copy, "-CAfile", authority, "-out", "/dev/null"]
    let output = Pipe()
    openssl.standardError = output
    do { try openssl.run() } catch { throw CommandFailure("openssl cannot be run: \(error)", exitCode: 69) }
    let words = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      .trimmingCharacters(in: .whitespacesAndNewlines)
    openssl.waitUntilExit()
    guard openssl.terminationStatus == 0 else { throw CommandFailure("openssl refuses \(file): \(words)", exitCode: 70) }
    return "      openssl cms -verify: \(words)"
  }

  // MARK: The letters

  static let letter = """
    Message-ID: <lettera-1@mua.pec.alfa.test>
    Date: Sat, 21 Nov 2026 09:00:00 +0100
    From: Anna Rossi <anna@pec.alfa.test>
    To: Ufficio Protocollo <ufficio@pec.beta.test>
    Cc: giulia@posta.test
    Subject: =?UTF-8?Q?Richiesta_di_attivit=C3=A0?=
    MIME-Version: 1.0
    Content-Type: multipart/mixed; boundary="parte"

    --parte
    Content-Type: text/plain; charset=us-ascii

    Buongiorno, in allegato la richiesta.
    --parte
    Content-Type: text/csv; name="richiesta.csv"
    Content-Disposition: attachment; filename="richiesta.csv"
    Content-Transfer-Encoding: base64

    dm9jZTtpbXBvcnRvDQpyaWNoaWVzdGE7MTAwDQo=
    --parte--

    """

  static let secret = """
    Message-ID: <lettera-2@mua.pec.alfa.test>
    Date: Sat, 21 Nov 2026 09:01:00 +0100
    From: Anna Rossi <anna@pec.alfa.test>
    To: ufficio@pec.beta.test
    Bcc: nascosto@posta.test
    Subject: Con copia nascosta

    Questo messaggio ha un destinatario nascosto.

    """
}
