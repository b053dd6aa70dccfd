import EventLoop
import Journey
import Octets

/// A message for a next hop, with whom to tell what became of it.
final class RelayJob {
  let sender: String
  let recipients: [String]
  let content: [Chunk]
  let bytes: Int
  let hasEightBit: Bool
  /// Wants delivery reports that name this (RFC 3461); nil for none.
  let envelopeID: String?
  /// Tells that it was taken back before it began.
  let recalled: () -> Void
  /// Whom it was handed to, as log lines name him; empty before a connection has taken it.
  var relay = ""
  private var then: (([RecipientFate], String) -> Void)?

  init(
    sender: String, recipients: [String], content: [Chunk], bytes: Int, hasEightBit: Bool, envelopeID: String?,
    recalled: @escaping () -> Void, then: @escaping ([RecipientFate], String) -> Void
  ) {
    self.sender = sender
    self.recipients = recipients
    self.content = content
    self.bytes = bytes
    self.hasEightBit = hasEightBit
    self.envelopeID = envelopeID
    self.recalled = recalled
    self.then = then
  }

  /// Called instead of `finish` when no connection came about; nil to postpone the job then.
  var onUnreached: ((String) -> Void)?

  /// Called instead of `finish` when the settings changed before anything of it was sent; nil where the pool's successor takes it.
  var onChanged: (() -> Void)?

  private var triedAnew = false

  /// True once: the message may go out on a new connection without counting as another attempt.
  func mayTryAnew() -> Bool {
    defer { triedAnew = true }
    return !triedAnew
  }

  /// The next hop is not there: nothing of this job was sent.
  func unreached(_ reason: String) {
    guard let tell = onUnreached else { return postpone(reason) }
    (onUnreached, onChanged, then) = (nil, nil, nil)
    tell(reason)
  }

  /// The settings have changed, and nothing of this job was sent. False when nobody can begin it again.
  @discardableResult
  func beginAnew() -> Bool {
    guard let begin = onChanged else { return false }
    (onUnreached, onChanged, then) = (nil, nil, nil)
    begin()
    return true
  }

  /// Tells what became of it; once.
  func finish(_ fates: [RecipientFate]) {
    let tell = then
    (onUnreached, onChanged, then) = (nil, nil, nil)
    tell?(fates, relay)
  }

  /// The attempt came to nothing: everybody later.
  func postpone(_ reason: String) {
    finish(recipients.map { RecipientFate(recipient: $0, outcome: .later(reason)) })
  }
}

/// The connections of one lane to one next hop: reused while there is work, few, and none that nobody needs.
final class RelayPool {
  /// Whether the next hop is there, as far as is known.
  enum Contact: Equatable {
    /// Nothing was heard yet.
    case unknown
    /// No connection came about, or the last one broke; why.
    case absent(String)
    /// It has been answering since then (Unix seconds).
    case answering(since: Int64)
  }

  private unowned let lane: Lane
  /// New connections go there.
  var hop: NextHop
  /// Nothing is open, and nothing waits.
  var onEmpty: (() -> Void)?
  private var jobs: [RelayJob?] = []
  /// True when the next hop offered STARTTLS and could not do it, on a route where TLS is only wished for.
  var avoidsTLS = false
  private var head = 0
  private var connections: [ObjectIdentifier: RelayConnection] = [:]
  private var idle: [RelayConnection] = []
  private let maximum: Int
  private var closed = false
  /// True while no connection is to be kept for another message.
  private(set) var isRetired = false
  private(set) var contact = Contact.unknown
  /// True when the settings have changed: another pool is in this one's place.
  private var isReplaced = false
  /// True while a connection is being opened that no message asked for.
  private var isGreeting = false

  init(lane: Lane, hop: NextHop) {
    self.lane = lane
    self.hop = hop
    maximum = max(1, lane.shared.limits.delivery.connectionsPerDestination / max(1, lane.shared.laneCount))
  }

  /// Puts a job first in line again; the end of the connection that had it opens another.
  func putBack(_ job: RelayJob) {
    if closed { return job.postpone("the gateway is stopping") }
    if isReplaced, job.beginAnew() { return }
    jobs.insert(job, at: head)
  }

  private var waitingJobs: Int { jobs.count - head }

  func enqueue(_ job: RelayJob) {
    if closed { return job.postpone("the gateway is stopping") }
    isRetired = false
    jobs.append(job)
    if let connection = idle.popLast() {
      connection.wake()
    } else if connections.count < maximum {
      open()
    }
  }

  /// The next job for a connection that is free; nil puts it among the idle.
  func nextJob(for connection: RelayConnection) -> RelayJob? {
    guard head < jobs.count else {
      // Octets that are no whole reply bring an idle connection here again: it stands in the list once.
      if !idle.contains(where: { $0 === connection }) { idle.append(connection) }
      return nil
    }
    let job = jobs[head]
    // A job that was given out must not keep its body mapped from here.
    jobs[head] = nil
    head += 1
    if head == jobs.count || (head > 1024 && head * 2 > jobs.count) {
      jobs.removeFirst(head)
      head = 0
    }
    return job
  }

  /// A connection ended. When it never came about, the jobs that wait are postponed: the next hop is not there, and trying each
  /// of them in turn would only wait the same time again.
  func ended(_ connection: RelayConnection, neverReady reason: String?) {
    connections[ObjectIdentifier(connection)] = nil
    idle.removeAll { $0 === connection }
    isGreeting = false
    guard !closed else { return }
    if let reason {
      if connections.isEmpty { contact = .absent(reason) }
      let postponed = jobs[head...].compactMap { $0 }
      jobs = []
      head = 0
      for job in postponed { job.unreached(reason) }
    } else if waitingJobs > 0, connections.count < maximum {
      open()
    }
    if connections.isEmpty, waitingJobs == 0 { onEmpty?() }
  }

  /// Looks whether the next hop is there, though there is nothing for it: `contact` tells, when it is known.
  func greet() {
    guard !closed, !isGreeting, connections.count < maximum else { return }
    if case .answering = contact { return }
    isGreeting = true
    open()
  }

  /// The next hop answered.
  func reached() {
    isGreeting = false
    if case .answering = contact { return }
    contact = .answering(since: lane.shared.now().unixSeconds)
  }

  /// The answer to a message stayed away, or the next hop ended an idle connection: it may be down.
  func lost(_ reason: String) { contact = .absent(reason) }

  /// Takes back what no connection has begun with: it may be held by now. What is not comes in line again.
  func recall() {
    let waiting = jobs[head...].compactMap { $0 }
    jobs = []
    head = 0
    for job in waiting { job.recalled() }
  }

  /// Nothing more goes this way for now: connections say QUIT once they have nothing to do.
  func retire() {
    guard waitingJobs == 0 else { return }
    isRetired = true
    for connection in idle { connection.quit() }
    idle = []
  }

  func close() {
    closed = true
    for connection in connections.values { connection.close() }
    connections = [:]
    idle = []
    let postponed = jobs[head...].compactMap { $0 }
    jobs = []
    head = 0
    for job in postponed { job.postpone("the gateway is stopping") }
  }

  /// True when no connection is open.
  var isResting: Bool { connections.isEmpty }

  /// Gives out the jobs that no connection has begun; those under way end here. What is idle ends as it would.
  func giveAway() -> [RelayJob] {
    isReplaced = true
    defer { (jobs, head) = ([], 0) }
    return jobs[head...].compactMap { $0 }
  }

  private func open() {
    let connection = RelayConnection(lane: lane, pool: self)
    connections[ObjectIdentifier(connection)] = connection
    connection.open()
  }
}
