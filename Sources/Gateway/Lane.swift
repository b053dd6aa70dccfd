import EventLoop
import Journey
import Limits
import Octets
import SMTPWire
import Threading

/// What a listener is, once its configuration is resolved.
struct ListenerPlan: Sendable {
  var address: String
  var port: Int
  var profile: ServerProfile
  var implicitTLS: Bool
  /// Peers that may connect; nil for everybody.
  var mayConnect: (@Sendable (String) -> Bool)?
  /// Peers that must say first whom they speak for; nil for none.
  var isProxy: (@Sendable (String) -> Bool)?
  /// Peers that may say who a message's client is.
  var mayForward: @Sendable (String) -> Bool = { _ in false }
  /// While there is no virus scanner connections are answered 421, and not each message 451.
  var closesWithoutScanner = false
}

/// One loop on one thread, with its listeners, sessions, journeys and deliveries: run to completion, nothing shared on the message
/// path but the handles of the threads that write and sign.
final class Lane {
  let loop: Loop
  /// What holds now; whoever began earlier has kept what held then.
  private(set) var shared: SharedState
  let number: Int
  private(set) var deliveries: Deliveries!
  /// Asks Dovecot who may log in; nil where the passwd-file knows everybody.
  private(set) var dovecot: DovecotLogin?
  /// Asks whether mailboxes have room; nil where nobody is asked.
  private(set) var quota: QuotaService?
  /// Free octets on the spool's disk, looked at once a second.
  private(set) var freeBytes = Int.max
  private var mailbox: Mailbox<LaneMessage>!
  private var waiting: [UInt64: (Completion) -> Void] = [:]
  private var nextToken: UInt64 = 1
  var sessions: [UInt64: SMTPSession] = [:]
  /// Connections of listed proxies that have not said yet whom they speak for.
  var greetings: [UInt64: ProxyGreeting] = [:]
  private var listeners: [ObjectIdentifier: OpenDoor] = [:]
  private var ticker: LoopTimer?
  private var settling: LoopTimer?
  private var draining = false
  /// True once no new connections are taken, and sessions may end by themselves.
  private(set) var resting = false

  /// A listener with the plan that holds for it at the time.
  private final class OpenDoor {
    var plan: ListenerPlan
    let isHandedIn: Bool
    var listener: Listener?
    init(_ plan: ListenerPlan, isHandedIn: Bool) { (self.plan, self.isHandedIn) = (plan, isHandedIn) }
  }

  /// Makes the loop; call on the lane's own thread.
  init(number: Int, shared: SharedState) throws {
    self.number = number
    self.shared = shared
    loop = try Loop(readSlabBytes: 128 * 1024)
    mailbox = loop.mailbox { [unowned self] in self.handle($0) }
    deliveries = Deliveries(lane: self)
    dovecot = shared.dovecot.map { DovecotLogin(lane: self, at: $0) }
    quota = shared.quota.map { QuotaService(lane: self, at: $0) }
    lookAtDisk()
    ticker = loop.timer(after: 1000, repeat: 1000) { [unowned self] in
      self.shared.measures.beat(self.number)
      self.lookAtDisk()
      self.deliveries.tick()
      if self.number == 0 { self.shared.lookAtQueue() }
      self.shared.committer.tick()
      if self.resting { self.sendQuietHome() }
    }
  }

  /// Outcomes of deliveries wait so long, in milliseconds, for a commit that they can go with. After a crash within that time the message
  /// is delivered again, as after one within the commit.
  private static let settlingMilliseconds: UInt64 = 20

  /// Commits rows that no peer waits for, with others if there are any.
  func commitSoon(_ plan: CommitPlan, _ address: ReturnAddress) {
    shared.committer.performLater(plan, address)
    guard settling == nil else { return }
    settling = loop.timer(after: Lane.settlingMilliseconds) { [unowned self] in
      self.settling = nil
      self.shared.committer.wake()
    }
  }

  /// True once no new connections are taken and sessions are to end.
  var isDraining: Bool { draining }
  /// Where other threads send this lane its messages.
  var inbox: Mailbox<LaneMessage> { mailbox }

  private func lookAtDisk() { freeBytes = shared.spool.freeBytes }

  // MARK: Listening

  /// Listens at these doors and at no others; what is open already stays open, and takes sessions by the new plan.
  func open(_ doors: [LaneDoor]) throws(LoopError) {
    let wanted = Set(doors.flatMap { $0.sockets.map { ObjectIdentifier($0) } })
    for (key, door) in listeners where !wanted.contains(key) {
      door.listener?.close()
      listeners[key] = nil
    }
    for door in doors {
      for socket in door.sockets {
        if let known = listeners[ObjectIdentifier(socket)] {
          known.plan = door.plan
          continue
        }
        let made = OpenDoor(door.plan, isHandedIn: door.isHandedIn)
        made.listener = try loop.listen(on: socket) { [unowned self, unowned made] stream in self.accept(stream, made.plan) }
        listeners[ObjectIdentifier(socket)] = made
      }
    }
  }

  /// Says so when this lane drains and has nothing under way any more.
  func checkDrained() {
    if draining, sessions.isEmpty, deliveries.isResting { shared.laneDrained(number) }
  }

  // MARK: Messages from other threads

  /// Opens a connection to a next hop, or to a server beside us.
  @discardableResult
  func connect(to place: NextHop.Place, completion: @escaping (Result<EventLoop.Stream, LoopError>) -> Void) -> ConnectAttempt {
    let milliseconds = UInt64(shared.limits.delivery.connectTimeoutSeconds) * 1000
    switch place {
    case .tcp(let host, let port): return loop.connect(host: host, port: port, timeout: milliseconds, completion: completion)
    case .addresses(let addresses, let port, let host):
      return loop.connect(addresses: addresses, port: port, named: host, timeout: milliseconds, completion: completion)
    case .local(let path): return loop.connectLocal(path: path, completion: completion)
    }
  }

  /// A number that nothing else on this lane has.
  func newToken() -> UInt64 {
    nextToken += 1
    return nextToken
  }

  /// An address to which one completion may be sent; `body` is then called on this lane.
  func returnAddress(_ body: @escaping (Completion) -> Void) -> ReturnAddress {
    nextToken += 1
    waiting[nextToken] = body
    return ReturnAddress(lane: mailbox, token: nextToken)
  }

  private func handle(_ message: LaneMessage) {
    switch message {
    case .completed(let token, let completion): waiting.removeValue(forKey: token)?(completion)
    case .dispatch(let pending): deliveries.dispatch(pending)
    case .pageComes(let bound, let tell): tell(deliveries.expectPage(upTo: bound))
    case .page(let share): deliveries.take(share)
    case .operate(let operation, let reply): deliveries.operate(operation, reply)
    case .holds(let holds, let then):
      deliveries.hold(holds)
      then()
    case .report(let report, let reply): deliveries.note(report, reply)
    case .deadline(let due, let then): DeadlineRun(lane: self, due: due, then: then).start()
    case .submit(let message, let then): submit(message, then)
    case .settle(let next, let doors, let then): settle(next, doors, then)
    case .rest(let refusing, let then):
      rest(refusing: refusing)
      then()
    case .expel: for session in Array(sessions.values) { session.drain() }
    case .pulse(let then): then()
    case .drain: drain()
    case .stop:
      deliveries.stop()
      dovecot?.close()
      quota?.close()
      loop.stop()
    }
  }

  /// The lane of a transaction: what belongs to one is decided on one.
  static func number(for pecID: String, of lanes: Int) -> Int {
    Int(pecID.utf8.reduce(UInt64(5381)) { $0 &* 33 &+ UInt64($1) } % UInt64(lanes))
  }

  /// Entries by the lane that delivers them.
  static func shares(_ deliveries: [PendingDelivery], of lanes: Int) -> [[PendingDelivery]] {
    var shares = [[PendingDelivery]](repeating: [], count: lanes)
    for delivery in deliveries { shares[number(for: delivery.entry.pecID, of: lanes)].append(delivery) }
    return shares
  }

  private func settle(_ next: SharedState, _ doors: [LaneDoor]?, _ then: () -> Void) {
    shared = next
    deliveries.settle()
    if let doors, !draining, !resting {
      do { try open(doors) } catch { shared.logger.error("a listener does not work: \(error)") }
    }
    then()
  }

  private func rest(refusing: Bool) {
    resting = true
    for (key, door) in listeners where !(refusing && door.isHandedIn) {
      door.listener?.close()
      listeners[key] = nil
    }
  }

  /// Sessions that wait for nothing, and that we could wait for until their timeout.
  private func sendQuietHome() {
    for session in Array(sessions.values) where session.isQuiet(forMilliseconds: 3000) { session.drain() }
  }

  private func drain() {
    draining = true
    shared.measures.isDraining.set(1)
    for door in listeners.values { door.listener?.close() }
    listeners = [:]
    deliveries.drain()
    for greeting in Array(greetings.values) { greeting.close() }
    for session in Array(sessions.values) { session.drain() }
    checkDrained()
  }
}
