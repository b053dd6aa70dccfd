import EventLoop
import Extracts
import Journey
import Ledger
import LogRequests
import Logging
import Octets
import PEC
import Sealing
import Threading

/// What a message to the mailbox for requests asks, as its record keeps it: read once, before the commit of its delivery receipt.
enum RequestNote {
  private static let notYours = "not-yours: yes"
  private static let problem = "problem: "

  /// The note of a reading; nil for what nobody wrote, of which no request is made.
  static func text(_ reading: LogRequestReading) -> String? {
    switch reading {
    case .understood(let question): question.text
    case .unclear(let question, _, let problems): ([question.text] + problems.map { problem + $0 }).joined(separator: "\n")
    case .notYours(let question): "\(question.text)\n\(notYours)"
    case .automatic: nil
    }
  }

  /// The reading of a note.
  static func reading(_ text: String) -> LogRequestReading {
    let question = LogRequestQuestion(text: text)
    let lines = text.split(separator: "\n").map(String.init)
    if lines.contains(notYours) { return .notYours(question) }
    let problems = lines.filter { $0.hasPrefix(problem) }.map { String($0.dropFirst(problem.count)) }
    return question.isEnough ? .understood(question) : .unclear(question, missing: question.missing, problems: problems)
  }
}

extension DeliveryRun {
  /// Octets of a request: what is longer is not read.
  private static let maximumRequestBytes = 1 << 20

  /// What the entry asks of the log, where it is a message to the mailbox for requests that was delivered; nil elsewhere.
  func question(_ entry: QueueEntry, _ matter: Matter, _ fates: [RecipientFate], on lane: Lane) -> String? {
    let points = lane.shared.points
    let isDelivered = fates.contains { fate in
      if case .delivered = fate.outcome { points.isExtractMailbox(fate.recipient) } else { false }
    }
    guard isDelivered, let mailbox = points.extractMailbox, DeliveryJourney.isDelivery(entry), let reception = matter.reception,
      let range = reception.original, range.count <= DeliveryRun.maximumRequestBytes,
      let octets = try? BodyContent.stored(entry.content).octets(in: range, spool: lane.shared.spool)
    else { return nil }
    let reading = LogRequestReader.read(
      Chunk(octets), asker: matter.transaction.sender, mailbox: mailbox, today: LegalDay(lane.shared.now()),
      limits: points.limits.message)
    if case .automatic(let reason) = reading {
      lane.shared.logger.notice("a message to the mailbox for requests is nobody's request: \(reason)", metadata: ["id": "\(entry.pecID)"])
    }
    return RequestNote.text(reading)
  }
}

/// Requests for extracts of the log (`pec-rules` 9.5): answered with the asker's own rows and no others.
extension LogKeeper {
  /// Requests that are looked at in one round.
  private static let requestsAtOnce = 50
  /// An extract over more messages is for a person to decide on.
  private static let maximumMessages = 500
  /// A larger archive is not sent by mail.
  private static let maximumArchiveBytes = 20_000_000

  /// Answers what came in; one that fails is tried again in the next round.
  func answerRequests() {
    guard shared.points.extractMailbox != nil else { return }
    do {
      for request in try ledger.requests(states: [.open], limit: LogKeeper.requestsAtOnce) { try answer(request) }
    } catch {
      shared.logger.error("requests for extracts wait: \(error)")
    }
  }

  /// An operator's word about a request.
  func answer(request id: String, refusal: String?) throws -> String {
    guard let request = try ledger.request(id: id) else { throw LogKeeperError("there is no request \(id)") }
    guard !request.state.isFinal else { throw LogKeeperError("request \(id) is \(request.state.rawValue) already") }
    let question = LogRequestQuestion(text: request.question)
    if let refusal {
      guard !refusal.isEmpty else { throw LogKeeperError("a refusal needs its reason, which the asker reads") }
      try send(.refused(reason: refusal), question, moving: request, to: .refused, outcome: "refused: \(refusal)")
    } else {
      try sendExtract(request, question, limits: (messages: .max, bytes: .max))
    }
    return try ledger.request(id: id).map { "request \(id) is \($0.state.rawValue): \($0.outcome)" } ?? ""
  }

  private func answer(_ request: LogRequestRecord) throws {
    // Only our own holders' rows are ours to certify to them; others have a provider who has the same rows.
    guard shared.points.routing.route(for: request.asker) == .mailbox else {
      return try send(
        .refused(reason: "L'estratto può essere chiesto dai titolari delle caselle di questo gestore; per le altre, al proprio gestore."),
        LogRequestQuestion(text: request.question), moving: request, to: .refused, outcome: "refused: not a holder of ours")
    }
    switch RequestNote.reading(request.question) {
    case .unclear(let question, let missing, let problems):
      try send(
        .unclear(missing: missing, problems: problems), question, moving: request, to: .returned,
        outcome: "not understood: the form was sent")
    case .notYours(let question):
      try send(.notYours, question, moving: request, to: .returned, outcome: "about others' messages")
    case .understood(let question):
      guard request.answerID != nil else {
        return try send(.opened, question, moving: request, to: .open, outcome: "understood")
      }
      try sendExtract(request, question, limits: (LogKeeper.maximumMessages, LogKeeper.maximumArchiveBytes))
    case .automatic: return
    }
  }

  private func sendExtract(_ request: LogRequestRecord, _ question: LogRequestQuestion, limits: (messages: Int, bytes: Int)) throws {
    let ids = try messages(question, atMost: limits.messages)
    if ids.count > limits.messages {
      return try wait(request, question, "more than \(limits.messages) messages", "La richiesta riguarda molti messaggi.")
    }
    var rows: [EventRecord] = []
    for id in ids { rows += try ledger.events(pecID: id) }
    let selection = ExtractFilter.select(rows.sorted { ($0.number ?? 0) < ($1.number ?? 0) }, for: request.asker)
    if selection.rows.isEmpty {
      return try send(.nothingFound, question, moving: request, to: .answered, outcome: "nothing found")
    }
    // What is not sealed is not given away.
    _ = try sealAll(.asked)
    report(sealer.stamp(at: shared.now()))
    let archive = try makeExtract(request, question, selection)
    if archive.count > limits.bytes {
      return try wait(request, question, "an archive of \(archive.count) octets", "L'estratto è troppo grande per un messaggio.")
    }
    let name = "estratto-\(LegalDay(request.openedAt).text).zip"
    try send(
      .extract(fileName: name, archive: archive, rows: selection.rows.count), question, moving: request, to: .answered,
      outcome: "extract of \(selection.rows.count) rows about \(ids.count) messages")
  }

  private func wait(_ request: LogRequestRecord, _ question: LogRequestQuestion, _ why: String, _ italian: String) throws {
    shared.logger.warning("a request for an extract waits for the operator: \(why)", metadata: ["request": "\(request.id)"])
    try send(.waiting(reason: italian), question, moving: request, to: .waiting, outcome: "waits for the operator: \(why)")
  }

  private func makeExtract(
    _ request: LogRequestRecord, _ question: LogRequestQuestion, _ selection: ExtractFilter.Selection
  ) throws -> [UInt8] {
    let asked = LogRequestField.allCases.compactMap { field in question.italian(field).map { (name: field.italian, value: $0) } }
    let order = ExtractMaker.Order(
      holder: request.asker, reason: "su richiesta del titolare, messaggio \(request.pecID)", question: asked, rows: selection.rows,
      withheld: selection.withheld)
    return try ExtractMaker.archive(try maker.files(order, at: shared.now()))
  }

  /// PEC ids of the messages that a question means, whoever they belong to: oldest first, one more than `most` at the most.
  private func messages(_ question: LogRequestQuestion, atMost most: Int) throws -> [String] {
    var queries: [LogQuery] = []
    if let identifier = question.identifier {
      queries = [LogQuery(pecID: identifier), LogQuery(clientMessageID: "<\(identifier)>"), LogQuery(relatedID: identifier)]
    } else {
      let words = question.subject.map { [$0] } ?? []
      queries = [LogQuery(sender: question.sender, recipient: question.recipient, words: words, from: question.from, to: question.to)]
    }
    var found: [String] = []
    var seen: Set<String> = []
    for var query in queries {
      while found.count <= most {
        let page = try ledger.search(query)
        for row in page.rows where !row.pecID.isEmpty && seen.insert(row.pecID).inserted { found.append(row.pecID) }
        guard let next = page.next else { break }
        query.cursor = next
      }
    }
    return found
  }

  /// Sends a mail about a request, which moves on in the same commit in which the mail is accepted.
  private func send(
    _ content: LogAnswer.Content, _ question: LogRequestQuestion, moving request: LogRequestRecord, to state: LogRequestRecord.State,
    outcome: String
  ) throws {
    guard let mailbox = shared.points.extractMailbox else { throw LogKeeperError("the configuration names no mailbox for requests") }
    let now = shared.now()
    var moved = request
    moved.state = state
    moved.outcome = outcome
    let local = request.id.split(separator: "@").first.map(String.init) ?? request.id
    let facts = try ledger.reception(id: request.id)?.facts
    let frame = LogAnswer.Frame(
      mailbox: mailbox, asker: request.asker, providerName: shared.points.provider.name,
      messageID: "\(local).\(state.rawValue)@\(shared.points.provider.mailDomain)", requestMessageID: facts?.clientMessageID, instant: now)
    let answer = LogAnswer(content, question: question, requestID: request.id, askedAt: request.openedAt)
    let message = OwnMessage(sender: mailbox, recipient: request.asker, octets: answer.message(frame), request: moved)
    guard let verdict = submit(message) else { throw LogKeeperError("the gateway is stopping") }
    guard verdict.code == 250 else { throw LogKeeperError("the answer to \(request.id) was not taken: \(verdict.text)") }
    let isMoved = try ledger.request(id: request.id).map { $0.answerID != request.answerID } ?? false
    if !isMoved { try giveUp(request, verdict) }
    shared.logger.info("a request for an extract is \(state.rawValue)", metadata: ["request": "\(request.id)", "outcome": "\(outcome)"])
  }

  /// Our own answer was refused by our own access point (its form, a virus): a person has to look, and nothing is tried for ever.
  private func giveUp(_ request: LogRequestRecord, _ verdict: Verdict) throws {
    var waiting = request
    waiting.state = .waiting
    waiting.changedAt = shared.now().unixSeconds
    waiting.outcome = "the answer was not accepted: \(verdict.text)"
    shared.logger.error("an answer was not accepted by our own access point", metadata: ["request": "\(request.id)"])
    if let failure = commit([.request(waiting)]) { throw LogKeeperError(failure) }
  }
}
