import EventLoop
import Foundation
import Gateway
import Logging
import Operations
import SMTPWire
import TLSPipe

/// `ceralacca demo`: a laboratory, five messages, and what everybody received, told in three screenfuls.
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
  static let gino = "gino@pec.gamma.test"

  private init(_ laboratory: Laboratory, loop: Loop) {
    self.laboratory = laboratory
    self.loop = loop
  }

  /// Runs the demonstration in `directory` (a new temporary one when nil). Throws a `CommandFailure` when the story does not end well.
  public static func run(directory: String?, say: @escaping (String) -> Void) throws {
    let folder = directory ?? NSTemporaryDirectory() + "ceralacca-demo-\(ProcessInfo.processInfo.processIdentifier)"
    var logger = Service.logger(label: "demo")
    // What is warned of here, the story tells.
    logger.logLevel = .error
    let laboratory = Laboratory(directory: folder, basePort: try Laboratory.freeBasePort(), logger: logger)
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

  /// A message that somebody hands over.
  private struct Errand {
    var message: [UInt8]
    var sender: String
    /// Nil for servers, which do not log in.
    var password: String?
    var recipients: [String]
    var port: Int
  }

  private func begin() {
    let submission = LabProvider.alfa.port(.submission, base: laboratory.basePort)
    let incoming = LabProvider.beta.port(.incoming, base: laboratory.basePort)
    func annas(_ message: [UInt8], to recipients: [String]) -> Errand {
      Errand(
        message: message, sender: Demonstration.anna, password: Laboratory.password(of: Demonstration.anna), recipients: recipients,
        port: submission)
    }
    do {
      let tls = try TLSContext.client(caFile: laboratory.authorityFile, verify: true)
      let envelope = try GammaAccessPoint(directory: laboratory.directory)
        .envelope(of: DemonstrationLetters.infectedByGino, from: Demonstration.gino, to: [Demonstration.bruno])
      let errands = [
        annas(DemonstrationLetters.letter, to: [Demonstration.bruno, Demonstration.bianca]),
        annas(DemonstrationLetters.secret, to: [Demonstration.bruno, "nascosto@posta.test"]),
        Errand(message: DemonstrationLetters.ordinary, sender: Demonstration.giulia, recipients: [Demonstration.bruno], port: incoming),
        annas(DemonstrationLetters.infectedByAnna, to: [Demonstration.bruno]),
        Errand(message: envelope, sender: Demonstration.gino, recipients: [Demonstration.bruno], port: incoming),
      ]
      run(errands[...], tls)
    } catch { fail("\(error)") }
  }

  /// One after the other, each when the one before was answered.
  private func run(_ errands: ArraySlice<Errand>, _ tls: TLSContext) {
    guard let errand = errands.first else { return waitForMail() }
    let client = LabClient(
      loop: loop, tls: errand.password == nil ? nil : tls, sender: errand.sender,
      password: errand.password, recipients: errand.recipients, message: errand.message
    ) { [self] result in
      switch result {
      case .success(let outcomes):
        guard case .delivered(let reply)? = outcomes.first?.verdict else { return fail("\(outcomes)") }
        answers.append(reply.summary)
        run(errands.dropFirst(), tls)
      case .failure(let error): fail(error.reason)
      }
    }
    client.submit(host: "127.0.0.1", port: errand.port)
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
