import EventLoop
import Foundation
import Gateway
import Logging
import Operations
import SMTPWire
import TLSPipe

/// `ceralacca demo`: a laboratory, three messages, and what everybody received, told in two screenfuls.
public final class Demonstration {
  private let laboratory: Laboratory
  private let loop: Loop
  private var answers: [String] = []
  private var failure: String?
  private var poll: LoopTimer?
  private var polls = 0

  static let anna = "anna@pec.alfa.test"
  static let bruno = "bruno@pec.beta.test"
  static let bianca = "bianca@pec.beta.test"
  static let giulia = "giulia@posta.test"

  private init(_ laboratory: Laboratory, loop: Loop) {
    self.laboratory = laboratory
    self.loop = loop
  }

  /// Runs the demonstration in `directory` (a new temporary one when nil). Throws a `CommandFailure` when the story does not end well.
  public static func run(directory: String?, say: @escaping (String) -> Void) throws {
    let folder = directory ?? NSTemporaryDirectory() + "ceralacca-demo-\(ProcessInfo.processInfo.processIdentifier)"
    let laboratory = Laboratory(
      directory: folder, basePort: try Laboratory.freeBasePort(), logger: Service.logger(label: "demo"))
    try laboratory.prepare()
    let loop = try Loop()
    let demonstration: Demonstration
    do {
      defer { laboratory.stop() }
      try laboratory.start(on: loop)
      demonstration = Demonstration(laboratory, loop: loop)
      demonstration.begin()
      loop.run()
    }
    if let failure = demonstration.failure { throw CommandFailure("the demonstration failed: \(failure)", exitCode: 70) }
    try DemonstrationStory(laboratory: laboratory, answers: demonstration.answers, say: say).tell()
  }

  // MARK: Sending

  private func begin() {
    let (alfa, beta) = (LabProvider.alfa, LabProvider.beta)
    let submission = alfa.port(.submission, base: laboratory.basePort)
    let incoming = beta.port(.incoming, base: laboratory.basePort)
    let password = Laboratory.password(of: Demonstration.anna)
    let tls: TLSContext
    do { tls = try TLSContext.client(caFile: laboratory.authorityFile, verify: true) } catch { return fail("\(error)") }
    send(DemonstrationLetters.letter, Demonstration.anna, password, [Demonstration.bruno, Demonstration.bianca], tls, submission) {
      [self] in
      send(DemonstrationLetters.secret, Demonstration.anna, password, [Demonstration.bruno, "nascosto@posta.test"], tls, submission) {
        [self] in
        send(DemonstrationLetters.ordinary, Demonstration.giulia, nil, [Demonstration.bruno], nil, incoming) { [self] in waitForMail() }
      }
    }
  }

  private func send(
    _ message: String, _ sender: String, _ password: String?, _ recipients: [String], _ tls: TLSContext?, _ port: Int,
    then: @escaping () -> Void
  ) {
    let client = LabClient(
      loop: loop, tls: tls, sender: sender, password: password, recipients: recipients,
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
    client.submit(host: "127.0.0.1", port: port)
  }

  private func fail(_ reason: String) {
    failure = reason
    loop.stop()
  }

  /// Looks until everybody has what is due, for 60 seconds at the most.
  private func waitForMail() {
    poll = loop.timer(after: 20, repeat: 50) { [self] in
      polls += 1
      let missing = DemonstrationStory.due.filter { due in laboratory.mail(of: due.mailbox).count < due.count }
      if missing.isEmpty { loop.stop() }
      if polls > 1200 { fail("within a minute too little mail came for \(missing.map(\.mailbox).joined(separator: ", "))") }
    }
  }
}

extension Laboratory {
  /// Files of the new messages in a mailbox.
  func mail(of user: String) -> [String] {
    let folder = mailbox(of: user) + "/new"
    return ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted().map { "\(folder)/\($0)" }
  }
}

/// What is sent in the demonstration.
enum DemonstrationLetters {
  static let letter = """
    Message-ID: <lettera-1@mua.pec.alfa.test>
    Date: Sat, 21 Nov 2026 09:00:00 +0100
    From: Anna Rossi <anna@pec.alfa.test>
    To: Bruno Verdi <bruno@pec.beta.test>
    Cc: bianca@pec.beta.test
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
    To: bruno@pec.beta.test
    Bcc: nascosto@posta.test
    Subject: Con copia nascosta

    Questo messaggio ha un destinatario nascosto.

    """

  static let ordinary = """
    Message-ID: <cartolina-1@posta.test>
    Date: Sat, 21 Nov 2026 09:02:00 +0100
    From: Giulia Bianchi <giulia@posta.test>
    To: bruno@pec.beta.test
    Subject: Saluti dal mare

    Questa non e' posta certificata.

    """
}
