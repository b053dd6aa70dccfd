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

extension DeliveryRun {
  /// Octets of a request: of what is longer only the header is looked at.
  private static let maximumRequestBytes = 1 << 20

  /// What the entry asks of the log, where it is a message to the mailbox for requests that was delivered; nil elsewhere.
  func question(_ entry: QueueEntry, _ matter: Matter, _ fates: [RecipientFate], on lane: Lane) -> String? {
    let points = lane.shared.points
    let isDelivered = fates.contains { fate in
      if case .delivered = fate.outcome { points.isExtractMailbox(fate.recipient) } else { false }
    }
    guard isDelivered, let mailbox = points.extractMailbox, DeliveryJourney.isDelivery(entry), let reception = matter.reception else {
      return nil
    }
    let reading = reading(entry, reception, asker: matter.transaction.sender, mailbox: mailbox, on: lane)
    if case .automatic(let reason) = reading {
      lane.shared.logger.notice("a message to the mailbox for requests is nobody's request: \(reason)", metadata: ["id": "\(entry.pecID)"])
    }
    return RequestNote.text(reading)
  }

  /// Whoever wrote is answered, even if what he wrote cannot be read: his delivery receipt says that it came.
  private func reading(
    _ entry: QueueEntry, _ reception: ReceptionRecord, asker: String, mailbox: String, on lane: Lane
  ) -> LogRequestReading {
    let shared = lane.shared
    let metadata: Logger.Metadata = ["id": "\(entry.pecID)"]
    guard let range = reception.original else {
      shared.logger.error("a request for an extract has no original", metadata: metadata)
      return LogRequestReader.unreadable
    }
    let octets: [UInt8]
    do {
      octets = try BodyContent.stored(entry.content).octets(in: range.prefix(DeliveryRun.maximumRequestBytes), spool: shared.spool)
    } catch {
      shared.logger.error("a request for an extract cannot be read: \(error)", metadata: metadata)
      return LogRequestReader.unreadable
    }
    let limits = shared.points.limits.message
    guard range.count <= DeliveryRun.maximumRequestBytes else {
      shared.logger.notice("a request for an extract of \(range.count) octets is not read", metadata: metadata)
      return LogRequestReader.tooLarge(Chunk(octets), asker: asker, mailbox: mailbox, limits: limits)
    }
    return LogRequestReader.read(Chunk(octets), asker: asker, mailbox: mailbox, today: LegalDay(shared.now()), limits: limits)
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
  /// Requests that are looked at besides because they failed before.
  private static let mostRetries = 1000
  /// How an asker gets his answer sooner.
  private static let narrowerQuestion =
    "Una nuova richiesta per un periodo più breve, o con l'identificativo di un messaggio, ha risposta senza l'operatore."

  /// Answers what came in. One that fails is tried again later, and holds up no other.
  func answerRequests() {
    guard shared.points.extractMailbox != nil else { return }
    let requests: [LogRequestRecord]
    do {
      // Those that failed are the oldest, often, and are not to fill the round.
      requests = try ledger.requests(
        states: [.open], limit: LogKeeper.requestsAtOnce + min(requestRetries.withLock { $0.count }, LogKeeper.mostRetries))
    } catch { return shared.logger.error("requests for extracts wait: \(error)") }
    requestRetries.withLock { $0.keep(only: requests.map(\.id)) }
    for request in requests {
      // Where nothing can be recorded nothing is the request's fault.
      guard shared.clock.distrust == nil, shared.committer.brokenBecause == nil else { return }
      guard requestRetries.withLock({ $0.isDue(request.id, at: shared.now().unixSeconds) }) else { continue }
      do {
        try answer(request)
        requestRetries.withLock { $0.succeed(request.id) }
      } catch is StoppingError {
        return
      } catch { failed(request, error) }
    }
  }

  private func failed(_ request: LogRequestRecord, _ error: any Error) {
    let count = requestRetries.withLock { $0.fail(request.id, at: shared.now().unixSeconds) }
    let metadata: Logger.Metadata = ["request": "\(request.id)"]
    shared.logger.error("a request for an extract is not answered, try \(count): \(error)", metadata: metadata)
    guard count >= RequestRetries.mostFailures else { return }
    let why = "\(count) tries failed, the last one: \(error)"
    do {
      // Who was told nothing yet could not be told anything: it is the mail that failed.
      if request.answerID == nil { try hand(request, why) } else { try waitOrHand(request, why) }
      requestRetries.withLock { $0.succeed(request.id) }
    } catch { shared.logger.error("a request that fails cannot be handed to the operator: \(error)", metadata: metadata) }
  }

  private func waitOrHand(_ request: LogRequestRecord, _ why: String) throws {
    do {
      try wait(request, LogRequestQuestion(text: request.question), why, "Un problema tecnico impedisce una risposta automatica.")
    } catch let stopping as StoppingError {
      throw stopping
    } catch { try hand(request, why) }
  }

  /// An operator's word about a request.
  func answer(request id: String, refusal: String?, by person: Operator) throws -> String {
    guard let request = try ledger.request(id: id) else { throw LogKeeperError("there is no request \(id)") }
    guard !request.state.isFinal else { throw LogKeeperError("request \(id) is \(request.state.rawValue) already") }
    let question = LogRequestQuestion(text: request.question)
    if let refusal {
      guard !refusal.isEmpty else { throw LogKeeperError("a refusal needs its reason, which the asker reads") }
      try send(.refused(reason: refusal), question, moving: request, to: .refused, outcome: "refused by \(person): \(refusal)")
    } else {
      guard question.isEnough else {
        throw LogKeeperError(
          "request \(id) does not say which messages it means: refuse it with --refuse and what is missing, in Italian, or make an "
            + "extract with 'ceralacca log extract'")
      }
      try sendExtract(request, question, orderedBy: person)
    }
    return try ledger.request(id: id).map { "request \(id) is \($0.state.rawValue): \($0.outcome)" } ?? ""
  }

  private func answer(_ request: LogRequestRecord) throws {
    // Only our own holders' rows are ours to certify to them; others have a provider who has the same rows.
    guard shared.points.routing.route(for: request.asker) == .mailbox else {
      return try sendOnce(
        .refused(reason: "L'estratto può essere chiesto dai titolari delle caselle di questo gestore; per le altre, al proprio gestore."),
        LogRequestQuestion(text: request.question), moving: request, to: .refused, outcome: "refused: not a holder of ours")
    }
    switch RequestNote.reading(request.question) {
    case .unclear(let question, let missing, let problems):
      try sendOnce(
        .unclear(missing: missing, problems: problems), question, moving: request, to: .returned,
        outcome: "not understood: the form was sent")
    case .notYours(let question):
      try sendOnce(.notYours, question, moving: request, to: .returned, outcome: "about others' messages")
    case .understood(let question):
      guard request.answerID != nil else {
        return try sendOnce(.opened, question, moving: request, to: .open, outcome: "understood")
      }
      try sendExtract(request, question, orderedBy: nil)
    case .automatic: return
    }
  }

  /// Sends a mail where the asker has not got too many today (`pec-rules` 13.6); the operator gets the request where he has.
  private func sendOnce(
    _ content: LogAnswer.Content, _ question: LogRequestQuestion, moving request: LogRequestRecord, to state: LogRequestRecord.State,
    outcome: String
  ) throws {
    let now = shared.now()
    let told = try ledger.requests(toldTo: request.asker, since: now.unixSeconds - AnswerAllowance.daySeconds)
    if let objection = AnswerAllowance(told, at: now).objection(to: state) {
      return try hand(request, "no mail was sent about it: \(objection)")
    }
    try send(content, question, moving: request, to: state, outcome: outcome)
  }

  /// - Parameter person: the operator who wants it: what is too much for an answer by itself he may send all the same.
  private func sendExtract(_ request: LogRequestRecord, _ question: LogRequestQuestion, orderedBy person: Operator?) throws {
    let isOrdered = person != nil
    let bounds = HolderRows.Bounds(messages: isOrdered ? .max : LogKeeper.maximumMessages)
    switch try HolderRows.gather(LogKeeper.queries(question), for: request.asker, from: ledger, bounds) {
    case .tooManyMessages:
      try wait(
        request, question, "more than \(bounds.messages) messages", "La richiesta riguarda molti messaggi. \(LogKeeper.narrowerQuestion)")
    case .tooManyRows where isOrdered:
      throw LogKeeperError(
        "request \(request.id) is about too many rows of the log for a mail: make the extract with 'ceralacca log extract', in parts, or "
          + "refuse it with --refuse and ask for a narrower question")
    case .tooManyRows:
      try wait(
        request, question, "too many rows of the log", "La richiesta riguarda molti eventi del registro. \(LogKeeper.narrowerQuestion)")
    case .rows(let selection, _) where selection.rows.isEmpty:
      try send(.nothingFound, question, moving: request, to: .answered, outcome: "nothing found")
    case .rows(let selection, let messages):
      try sealWhatIsAsked(selection)
      let archive = try makeExtract(request, question, selection)
      if !isOrdered, archive.count > LogKeeper.maximumArchiveBytes {
        return try wait(
          request, question, "an archive of \(archive.count) octets",
          "L'estratto è troppo grande per un messaggio. \(LogKeeper.narrowerQuestion)")
      }
      let name = "estratto-\(LegalDay(request.openedAt).text).zip"
      try send(
        .extract(fileName: name, archive: archive, rows: selection.rows.count), question, moving: request, to: .answered,
        outcome: "extract of \(selection.rows.count) rows about \(messages) messages" + (person.map { ", sent by \($0)" } ?? ""))
    }
  }

  /// What is not sealed is not given away. A seal costs a time stamp: none is made for rows that have one.
  private func sealWhatIsAsked(_ selection: ExtractFilter.Selection) throws {
    guard try maker.unsealed(selection.rows) != nil else { return }
    _ = try sealAll(.asked)
    report(sealer.stamp(at: shared.now()))
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

  /// What finds the messages that a question means, whoever they belong to.
  private static func queries(_ question: LogRequestQuestion) -> [LogQuery] {
    if let identifier = question.identifier {
      return [LogQuery(pecID: identifier), LogQuery(clientMessageID: "<\(identifier)>"), LogQuery(relatedID: identifier)]
    }
    let words = question.originalSubject.map { [$0] } ?? []
    return [LogQuery(sender: question.sender, recipient: question.recipient, words: words, from: question.from, to: question.to)]
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
    guard let verdict = submit(message) else { throw StoppingError() }
    guard verdict.code == 250 else { throw LogKeeperError("the answer to \(request.id) was not taken: \(verdict.text)") }
    let isMoved = try ledger.request(id: request.id).map { $0.answerID != request.answerID } ?? false
    if !isMoved { try giveUp(request, verdict) }
    shared.logger.info("a request for an extract is \(state.rawValue)", metadata: ["request": "\(request.id)", "outcome": "\(outcome)"])
  }

  /// Our own answer was refused by our own access point (its form, a virus): a person has to look, and nothing is tried for ever.
  private func giveUp(_ request: LogRequestRecord, _ verdict: Verdict) throws {
    shared.logger.error("an answer was not accepted by our own access point", metadata: ["request": "\(request.id)"])
    try hand(request, "the answer was not accepted: \(verdict.text)")
  }

  /// The operator gets a request of which its asker is told nothing.
  private func hand(_ request: LogRequestRecord, _ why: String) throws {
    var waiting = request
    waiting.state = .waiting
    waiting.changedAt = shared.now().unixSeconds
    waiting.outcome = why
    shared.logger.warning("a request for an extract waits for the operator: \(why)", metadata: ["request": "\(request.id)"])
    if let failure = commit([.request(waiting)]) { throw LogKeeperError(failure) }
  }
}

/// The gateway stops: what was begun is done after its next start, and nothing failed.
private struct StoppingError: Error, CustomStringConvertible {
  var description: String { "the gateway is stopping" }
}
