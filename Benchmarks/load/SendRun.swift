import EventLoop
import Glibc
import Octets
import Synchronization
import Threading

/// A message that is to be sent now.
struct Ticket {
  let number: Int
  /// When it began, or was meant to: latency counts from here.
  let startNanoseconds: UInt64
}

/// A run of the generator: all connections on one loop. It hands out messages, and counts what comes of them.
final class SendRun {
  /// `gathering` until all connections are ready, `draining` when no more messages begin.
  private enum Phase { case gathering, running, draining, done }

  let loop: Loop
  let plan: SendPlan
  let corpus: Corpus
  let envelopes: Envelopes
  var tally = SendTally()
  var token = Token()
  /// Why a connection failed last.
  var lastTrouble = ""
  private var phase = Phase.gathering
  private var connections: [SendConnection] = []
  /// Connections that are ready while there is nothing for them to send.
  private var idle: [SendConnection] = []
  private var started = 0
  private var open = 0
  /// Messages whose time has come; all of them in a closed loop.
  private var due = Int.max
  private var pacer: Pacer?
  private var times = SendTimes()
  private var lastAnswer: UInt64 = 0
  private var fault: String?

  private init(_ loop: Loop, _ plan: SendPlan, _ corpus: Corpus, _ envelopes: Envelopes) {
    (self.loop, self.plan, self.corpus, self.envelopes) = (loop, plan, corpus, envelopes)
  }

  /// Runs to the end.
  static func perform(_ plan: SendPlan, _ corpus: Corpus, _ envelopes: Envelopes) throws -> SendOutcome {
    let descriptors = ProcessLimits.raiseOpenDescriptors()
    guard descriptors > plan.connections + 32 else { throw Fault("\(plan.connections) connections, but \(descriptors) descriptors") }
    let loop = try Loop()
    let run = SendRun(loop, plan, corpus, envelopes)
    for signal in [SIGTERM, SIGINT] { try loop.onSignal(signal) { run.interrupted() } }
    run.begin()
    loop.run()
    run.pacer?.stop()
    return run.outcome
  }

  private var outcome: SendOutcome {
    // What was due and could not be sent shows how far the target stayed behind.
    let unstarted = plan.rate == nil ? 0 : max(0, min(due, plan.messages) - started)
    return SendOutcome(json: tally.report(times, unstarted: unstarted, plan: plan, fault: fault), fault: fault)
  }

  // MARK: Beginning

  private func begin() {
    times.opening = Clock.nanoseconds
    lastAnswer = times.opening
    connections = (0..<plan.connections).map { _ in SendConnection(self) }
    for connection in connections { connection.open() }
    loop.timer(after: 500, repeat: 500) { [unowned self] in watch() }
  }

  /// A connection is ready for its next message.
  func ready(_ connection: SendConnection) {
    switch phase {
    case .gathering:
      idle.append(connection)
      if idle.count == plan.connections { start() }
    case .running:
      if started < min(due, plan.messages) { issue(to: connection) } else { idle.append(connection) }
    case .draining: idle.append(connection)
    case .done: break
    }
  }

  /// An idle connection has gone.
  func gone(_ connection: SendConnection) { idle.removeAll { $0 === connection } }

  private func start() {
    phase = .running
    times.cpuAtStart = Clock.cpuMicroseconds
    times.start = Clock.nanoseconds
    lastAnswer = times.start
    if let limit = plan.limitNanoseconds, plan.rate == nil {
      loop.timer(after: max(1, limit / 1_000_000)) { [unowned self] in timeIsUp() }
    }
    if let rate = plan.rate {
      due = 0
      let mailbox = loop.mailbox { [unowned self] (count: Int) in
        due = count
        handOut()
        if count == plan.messages, let limit = plan.limitNanoseconds { endOfSchedule(limit) }
      }
      pacer = Pacer(rate: rate, start: times.start, count: plan.messages, mailbox: mailbox)
    }
    handOut()
  }

  private func handOut() {
    while phase == .running, started < min(due, plan.messages), let connection = idle.popLast() { issue(to: connection) }
  }

  private func issue(to connection: SendConnection) {
    let number = started
    started += 1
    open += 1
    let start = plan.rate.map { times.start + UInt64(Double(number) / $0 * 1e9) } ?? Clock.nanoseconds
    connection.send(Ticket(number: number, startNanoseconds: start))
  }

  // MARK: Ending

  /// The last message of the schedule is due. What has not begun when its time is over does not begin any more.
  private func endOfSchedule(_ limit: UInt64) {
    let end = times.start + limit
    let now = Clock.nanoseconds
    loop.timer(after: end > now ? (end - now) / 1_000_000 : 0) { [unowned self] in timeIsUp() }
  }

  private func timeIsUp() {
    guard phase == .running else { return }
    phase = .draining
    endWhenSettled()
  }

  private func interrupted() {
    if phase != .running { return finish("interrupted") }
    plan.rate == nil ? timeIsUp() : abandonSchedule()
  }

  private func abandonSchedule() {
    pacer?.stop()
    timeIsUp()
  }

  /// A message has its answer, or never will have one.
  func settled(at now: UInt64) {
    lastAnswer = now
    open -= 1
    endWhenSettled()
  }

  private func endWhenSettled() {
    switch phase {
    case .gathering, .done: break
    case .running: if open == 0, started == plan.messages { finish(nil) }
    case .draining: if open == 0 { finish(nil) }
    }
  }

  /// Nothing can come of the run any more.
  func fail(_ reason: String) { finish(reason) }

  private func finish(_ reason: String?) {
    guard phase != .done else { return }
    if phase == .gathering { lastAnswer = Clock.nanoseconds }
    phase = .done
    fault = reason
    times.end = lastAnswer
    times.cpuAtEnd = Clock.cpuMicroseconds
    for connection in connections { connection.quit() }
    // QUIT and what answers it get a moment, so that nothing is reset on its way.
    loop.timer(after: 50) { [unowned self] in loop.stop() }
  }

  /// Twice a second: begins with the connections there are when others do not come, and ends a run that stands still.
  private func watch() {
    let silence = Clock.seconds(Clock.nanoseconds - lastAnswer)
    switch phase {
    case .gathering:
      guard silence > Double(min(15, plan.timeoutSeconds)) else { return }
      idle.isEmpty ? fail("no connection to \(plan.target.host):\(plan.target.port) was ready in time: \(lastTrouble)") : start()
    case .running, .draining:
      let isWaiting = open > 0 || started < min(due, plan.messages)
      if isWaiting, silence > Double(plan.timeoutSeconds + 5) { fail("no answer for \(plan.timeoutSeconds) seconds") }
    case .done: break
    }
  }
}

/// Says on time how many messages are due. Timers of the loop have steps of a millisecond, which would be most of what is measured;
/// a thread of its own is late by some ten microseconds.
final class Pacer: Sendable {
  private let isStopped = Atomic(false)
  private let thread = Mutex<WorkerThread?>(nil)

  /// Sends the number of messages that are due to `mailbox`, whenever it has grown: message n at `start` + n/`rate` seconds.
  init(rate: Double, start: UInt64, count: Int, mailbox: Mailbox<Int>) {
    thread.withLock {
      $0 = WorkerThread(name: "pacer") { [self] in
        var due = 0
        while due < count, !isStopped.load(ordering: .relaxed) {
          let target = start + UInt64(Double(due) / rate * 1e9)
          let now = Clock.nanoseconds
          if target > now {
            // In slices, so that a slow schedule can be stopped.
            usleep(useconds_t(min(50_000, (target - now) / 1000 + 1)))
            continue
          }
          due = min(count, Int(Double(now - start) / 1e9 * rate) + 1)
          mailbox.send(due)
        }
      }
    }
  }

  /// Ends the thread and waits for it.
  func stop() {
    isStopped.store(true, ordering: .relaxed)
    thread.withLock { taken in
      taken?.join()
      taken = nil
    }
  }
}
