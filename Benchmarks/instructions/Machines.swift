import Journey
import Ledger
import Limits
import MIMEStream
import Octets
import PEC
import SMTPWire

/// A machine whose instructions are counted: what it does for one message, made ready before.
struct Machine: Sendable {
  /// As it stands in the table of thresholds.
  var name: String
  /// Makes it ready; what comes out does the work for one message each time it is called.
  var prepare: @Sendable () throws -> () throws -> Void
}

/// The machines that every message passes, as the gateway drives them.
enum Machines {
  static let all = [
    Machine(name: "server: one message of 5 KB") { try serverSession() },
    Machine(name: "walker: mail of 5 KB, text and HTML") { walk(Mails.textAndHTML) },
    Machine(name: "walker: mail of 1 MB, an attachment") { walk(Mails.withAttachment) },
    Machine(name: "submission: checks, receipt, envelope") { submission() },
    Machine(name: "client: one message of 5 KB") { clientSession() },
    Machine(name: "ledger: rows of one message") { try rows() },
    Machine(name: "ledger: a conversation, sender's side") { try Conversation.commits(7) { $0.atSender($1) } },
    Machine(name: "ledger: the same in small commits") { try Conversation.smallCommits(7) { $0.atSender($1) } },
    Machine(name: "ledger: a conversation, recipient's side") { try Conversation.commits(4) { $0.atRecipient($1) } },
  ]

  /// From MAIL to the answer after the final dot, as a client with pipelining sends it.
  private static func serverSession() throws -> () -> Void {
    let limits = CommandLimits()
    var server = SMTPServer(
      profile: ServerProfile(hostname: "pec1.alfa.test", trust: .trustedPeer(userFromMailFrom: true), limits: limits))
    server.greet()
    var gathered = ChunkBuilder(capacity: 8192)
    drive(&server, Array("EHLO client.alfa.test\r\n".utf8), &gathered)
    let envelope = Array("MAIL FROM:<\(Mails.sender)> SIZE=5100\r\nRCPT TO:<\(Mails.recipient)>\r\nDATA\r\n".utf8)
    let body = Mails.textAndHTML + Array(".\r\n".utf8)
    return {
      drive(&server, envelope, &gathered)
      drive(&server, body, &gathered)
      precondition(gathered.freeze().count == Mails.textAndHTML.count, "the message came through whole")
    }
  }

  private static func drive(_ server: inout SMTPServer, _ input: [UInt8], _ gathered: inout ChunkBuilder) {
    var start = 0
    while true {
      let rest = input.span.extracting(start..<input.count)
      let (consumed, event) = server.step(rest)
      switch event {
      case .body(let range): gathered.append(rest.extracting(range))
      case .mail, .recipient: server.answer(Reply(250, "2.1.0", "Ok"))
      case .bodyBegins: server.answer(.startInput)
      case .bodyEnds: server.answer(Reply(250, "2.0.0", "Ok: accepted"))
      case .needInput:
        _ = server.takeOutput()
        return
      default: preconditionFailure("the session went another way: \(event)")
      }
      start += consumed
    }
  }

  private static func walk(_ mail: [UInt8]) -> () -> Void {
    {
      let facts = MessageWalker.facts(of: mail, watchedBoundaryPrefix: Composer.boundaryPrefix)
      precondition(facts.totalBytes == mail.count, "the walker saw it whole")
    }
  }

  // MARK: - Journeys

  private static let directory = ProviderDirectory(
    records: ["alfa", "beta"].map { name in
      ProviderRecord(
        dn: "providerName=\(name),o=postacert", line: 1, providerName: name, unit: nil,
        certificateHashes: [String(repeating: name == "alfa" ? "a" : "b", count: 40)], certificates: [Array(name.utf8)],
        mailReceipt: "servizio@pec.\(name).test", managedDomains: ["pec.\(name).test"], ldifURL: nil)
    })

  private static let points = ProviderPoints(
    provider: ProviderIdentity(
      name: "Alfa Posta Certificata S.p.A.", serviceAddress: "posta-certificata@pec.alfa.test", mailDomain: "pec.alfa.test",
      nodeName: "pec1"),
    serviceMailbox: "servizio@pec.alfa.test", limits: Limits(),
    routing: RoutingTable(localDomains: ["pec.alfa.test"], relays: ["pec.beta.test": "beta"], fallback: "default"),
    hostname: "pec1.alfa.test")

  private static let noon = Instant(unixSeconds: 1_773_140_400, utcOffsetSeconds: 3600)

  /// What is committed for a message, from its first check on.
  private static func plan(_ sequence: UInt64) -> CommitPlan {
    let facts = MessageWalker.facts(of: Mails.textAndHTML, watchedBoundaryPrefix: Composer.boundaryPrefix)
    var journey = SubmissionJourney(at: points)
    let random = RandomBits(identifier: sequence &* 0x9E37_79B9_7F4A_7C15, boundary: sequence, secret: (1, sequence))
    let effects = journey.handle(
      .received(
        Arrival(
          submission: Submission(reversePath: Mails.sender, forwardPaths: [Mails.recipient], facts: facts), instant: noon,
          sequence: sequence, random: random, directory: directory)))
    guard case .sign(let drafts, _)? = effects.last else { preconditionFailure("nothing to sign: \(effects)") }
    _ = journey.handle(.scanned(.off))
    let signature = [UInt8](repeating: 0x30, count: 2000)
    guard case .commit(let plan)? = journey.handle(.signed(drafts.map { _ in signature })).first else {
      preconditionFailure("nothing to commit")
    }
    precondition(journey.handle(.committed).count == 3, "answered, and over")
    return plan
  }

  private static func submission() -> () -> Void {
    var sequence: UInt64 = 0
    return {
      sequence += 1
      precondition(plan(sequence).messages.count == 2, "a receipt and an envelope")
    }
  }

  /// EHLO is over; from MAIL to the answer after the final dot.
  private static func clientSession() -> () -> Void {
    var client = SMTPClient(profile: ClientProfile(heloName: "pec1.alfa.test", tls: .never))
    client.receive(Array("220 mx.beta.test ESMTP\r\n".utf8).span)
    _ = drain(&client)
    client.receive(Array("250-mx.beta.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 104857600\r\n".utf8).span)
    _ = drain(&client)
    let answers = Array("250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with a dot\r\n".utf8)
    let taken = Array("250 2.0.0 Ok: queued\r\n".utf8)
    let mail = Mails.textAndHTML
    return {
      client.start(DeliveryJob(sender: Mails.sender, recipients: [Mails.recipient], bodyBytes: mail.count))
      _ = drain(&client)
      client.receive(answers.span)
      _ = drain(&client)
      var atLineStart = true
      precondition(DotStuffing.cuts(in: mail.span, atLineStart: &atLineStart).isEmpty, "no line begins with a dot")
      client.bodySent(atLineStart: atLineStart)
      client.receive(taken.span)
      precondition(drain(&client), "delivered")
    }
  }

  /// True when a job came to its end.
  private static func drain(_ client: inout SMTPClient) -> Bool {
    var isOver = false
    while true {
      switch client.next() {
      case .finished(let outcomes):
        guard case .delivered? = outcomes.first?.verdict else { preconditionFailure("not delivered: \(outcomes)") }
        isOver = true
      case .needInput, .idle, .sendBody: return isOver
      case .send: continue
      default: preconditionFailure("the next hop's session went another way")
      }
    }
  }

  // MARK: - Rows

  /// The rows of a message from its acceptance to the end of its receipt and its envelope, in commits of ten messages.
  private static func rows() throws -> () throws -> Void {
    let folder = try TemporaryFolder()
    let ledger = try Ledger(path: folder.path + "/ledger.sqlite")
    var sequence: UInt64 = 0
    var waiting: [LedgerChange] = []
    return {
      sequence += 1
      let plan = plan(sequence)
      waiting += plan.changes
      for message in plan.messages {
        for var entry in message.entries {
          entry.content = [StoredRange(segment: 1, offset: sequence * 8192, length: 6000)]
          waiting += [.enqueue(entry), .settle(entry: entry.id, recipients: entry.recipients, end: .relayed)]
        }
      }
      guard sequence % 10 == 0 else { return }
      try ledger.commit(waiting)
      waiting = []
      withExtendedLifetime(folder) {}
    }
  }
}
