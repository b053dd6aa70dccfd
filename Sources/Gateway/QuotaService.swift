import DovecotWire
import EventLoop
import Journey
import Octets
import Threading

/// A lane's connection to the service that knows whether mailboxes have room, made when it is first asked and kept. Confined to its lane.
///
/// Questions share it, a bounded number of them ahead of their answers; the others stand in line. Whatever keeps the service from a
/// verdict leaves it unknown, and nothing is refused for good by it.
///
/// While nothing is heard of the service an alarm says so, and what went unanswered last is asked again every few seconds. An alarm that
/// ended because nobody had asked for a while would say what is not known: mail that was put off asks only when it is tried again, which
/// may be hours later. One that waited for such a question would stand through a quiet night after the service is back. A question
/// changes nothing in the service, so asking is the cheapest way to say what is true.
final class QuotaService {
  private final class Inquiry {
    var answers: [QuotaAnswer?]
    let then: ([QuotaAnswer]) -> Void

    init(_ count: Int, _ then: @escaping ([QuotaAnswer]) -> Void) {
      answers = [QuotaAnswer?](repeating: nil, count: count)
      self.then = then
    }

    func answer(_ index: Int, _ answer: QuotaAnswer) {
      answers[index] = answer
      let known = answers.compactMap { $0 }
      if known.count == answers.count { then(known) }
    }
  }

  private struct Question {
    var text: PolicyQuestion
    var inquiry: Inquiry
    var index: Int
    /// True once a connection ended over it: it may have been one that the service had given up for want of work.
    var isSecondTry = false
    /// True where nobody waits for the answer.
    var isOurs = false

    var secondTry: Question {
      var again = self
      again.isSecondTry = true
      return again
    }
  }

  private unowned let lane: Lane
  private let place: NextHop.Place
  /// For log lines and error texts.
  let name: String
  private var client: PolicyClient?
  private var stream: EventLoop.Stream?
  private var attempt: ConnectAttempt?
  private var deadline: Deadline?
  /// Runs until the service is asked again.
  private var pause: Deadline?
  /// Asked, in the order of the answers to come.
  private var sent: [Question] = []
  private var line: [Question] = []
  private var head = 0

  init(lane: Lane, at place: NextHop.Place) {
    self.lane = lane
    self.place = place
    name = "\(place.display) (quota service)"
  }

  /// Asks whether these mailboxes have room for a message of so many octets. `then` is called once, with answers in the same order.
  func ask(_ mailboxes: [String], from sender: String, bytes: Int, then: @escaping ([QuotaAnswer]) -> Void) {
    let inquiry = Inquiry(mailboxes.count, then)
    for (index, mailbox) in mailboxes.enumerated() {
      line.append(
        Question(text: PolicyQuestion(sender: sender, recipient: mailbox, bytes: bytes), inquiry: inquiry, index: index))
    }
    pump()
  }

  /// Ends the connection; of whatever was asked nothing is known.
  func close() {
    broken("the gateway is stopping")
    pause?.cancel()
    pause = nil
  }

  // MARK: The connection

  private func connect() {
    client = PolicyClient()
    let connected: (Result<EventLoop.Stream, LoopError>) -> Void = { [unowned self] result in
      attempt = nil
      switch result {
      case .success(let stream): begin(stream)
      case .failure(let error): broken("\(error)")
      }
    }
    attempt = lane.connect(to: place, completion: connected)
  }

  private func begin(_ stream: EventLoop.Stream) {
    self.stream = stream
    stream.onRead = { [unowned self] octets in
      for event in client?.receive(octets) ?? [] {
        switch event {
        case .verdict(let verdict): heard(verdict)
        case .broken(let reason): return broken(reason)
        }
      }
      pump()
    }
    stream.onEnd = { [unowned self] in lost("it closed the connection") }
    stream.onFailure = { [unowned self] in lost("\($0)") }
    stream.startReading()
    pump()
  }

  /// Sends what may be sent ahead of its answer.
  private func pump() {
    if client == nil, head < line.count { connect() }
    guard let stream else { return }
    let limits = lane.shared.limits.quota
    while head < line.count, sent.count < limits.questionsUnderWay {
      let question = line[head]
      head += 1
      if client?.ask(question.text) == true {
        sent.append(question)
      } else {
        // It says nothing of the service.
        question.inquiry.answer(question.index, .unknown("the address cannot be asked about"))
      }
    }
    // What was given out must not stay in memory for as long as the line is not empty.
    if head == line.count || head > 1024 { (line, head) = (Array(line[head...]), 0) }
    guard !sent.isEmpty else {
      deadline?.cancel()
      deadline = nil
      return
    }
    if deadline == nil {
      deadline = lane.loop.deadline(afterSeconds: limits.answerSeconds) { [unowned self] in
        deadline = nil
        broken("no answer within \(limits.answerSeconds) s")
      }
    }
    if let octets = client?.takeOutput(), !octets.isEmpty { stream.write([Chunk(octets)], completion: nil) }
  }

  private func heard(_ verdict: PolicyVerdict) {
    guard !sent.isEmpty else { return }
    deadline?.renew(afterSeconds: lane.shared.limits.quota.answerSeconds)
    let question = sent.removeFirst()
    switch verdict {
    case .allowed: tell(question, .room)
    case .refused(let code, let enhanced, let text): tell(question, .full(code: code, enhanced: enhanced, text: text))
    case .deferred(let code, let enhanced, let text): tell(question, .unknown("\(name) said: \(code) \(enhanced) \(text)"), isAnswer: true)
    case .unclear(let action): tell(question, .unknown("\(name) answers '\(action)', which says nothing of a mailbox"))
    }
  }

  /// The connection ended. What was asked over it is asked once more over another.
  private func lost(_ reason: String) {
    let again = sent.filter { !$0.isSecondTry }
    let asked = sent.filter(\.isSecondTry)
    hangUp()
    (line, head) = (again.map(\.secondTry) + line[head...], 0)
    if !asked.isEmpty { giveUp(asked, reason) }
    pump()
  }

  private func broken(_ reason: String) {
    let left = sent + line[head...]
    hangUp()
    (line, head) = ([], 0)
    // Whoever is answered may ask again at once, over another connection.
    if !left.isEmpty { giveUp(left, reason) }
  }

  private func hangUp() {
    sent = []
    attempt?.cancel()
    attempt = nil
    deadline?.cancel()
    deadline = nil
    client = nil
    if let stream {
      stream.onRead = { _ in }
      stream.onEnd = {}
      stream.onFailure = { _ in }
      stream.close()
    }
    stream = nil
  }

  private func giveUp(_ questions: [Question], _ reason: String) {
    let waiting = questions.count { !$0.isOurs }
    if waiting > 0 {
      lane.shared.logger.error("\(name) does not say whether mailboxes have room: \(reason)", metadata: ["waiting": "\(waiting)"])
    }
    for question in questions { tell(question, .unknown("\(name): \(reason)")) }
  }

  /// - Parameter isAnswer: true where an unknown answer is what the service itself said.
  private func tell(_ question: Question, _ answer: QuotaAnswer, isAnswer: Bool = false) {
    lane.shared.measures.quotaAnswered(answer, isAnswer: isAnswer)
    if case .unknown = answer, !isAnswer { askAgainLater(question.text) }
    question.inquiry.answer(question.index, answer)
  }

  private func askAgainLater(_ question: PolicyQuestion) {
    if pause != nil { return }
    pause = lane.loop.deadline(afterSeconds: lane.shared.limits.quota.askAgainSeconds) { [unowned self] in
      pause = nil
      // Another lane has heard of it, or somebody is asking anyway.
      guard lane.shared.measures.quotaSilenceSeconds > 0, sent.isEmpty, head == line.count else { return }
      line.append(Question(text: question, inquiry: Inquiry(1) { _ in }, index: 0, isOurs: true))
      pump()
    }
  }
}
