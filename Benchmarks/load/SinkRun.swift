import EventLoop
import Glibc
import Octets
import Threading

/// One loop of a sink, with its listener and its sessions.
final class SinkLane {
  let loop: Loop
  let plan: SinkPlan
  let shared: SinkShared
  var count = SinkCount()
  /// Each lane refuses its share of what it gets.
  var messageRefusal: Refusal?
  var recipientRefusal: Refusal?
  /// Called when the last message of a run that has a last one was answered.
  let onLast: () -> Void
  let clearAnnouncement: [UInt8]
  let secureAnnouncement: [UInt8]
  private var listener: Listener?

  init(_ loop: Loop, _ plan: SinkPlan, _ shared: SinkShared, onLast: @escaping () -> Void) {
    (self.loop, self.plan, self.shared, self.onLast) = (loop, plan, shared, onLast)
    (messageRefusal, recipientRefusal) = (plan.messageRefusal, plan.recipientRefusal)
    clearAnnouncement = plan.announcement(isSecure: false)
    secureAnnouncement = plan.announcement(isSecure: true)
  }

  /// Listens, and says on which port.
  func listen(port: Int) throws(LoopError) -> Int {
    let made = try loop.listen(host: plan.endpoint.host, port: port, reusePort: plan.threads > 1) { [unowned self] stream in
      count.connections += 1
      SinkSession(self, Wire(stream)).begin()
    }
    listener = made
    return made.boundPort
  }

  /// A message was accepted: true when it was the last that is wanted.
  func accepted(recipients: Int, octets: Int) {
    count.messages += 1
    count.recipients += recipients
    count.octets += octets
    count.arrived(at: Clock.nanoseconds)
    if shared.take() == plan.messages { onLast() }
  }

  /// Keeps the first message for looking at.
  func store(_ octets: [UInt8]) {
    guard let file = plan.captureFile else { return }
    do { try Files.write(octets, to: file) } catch { Output.complain("\(file): \(error)") }
  }
}

/// A run of the sink, from the first listener to the report.
enum SinkRun {
  /// How a lane of another thread began: the way to reach it, or why it could not.
  private enum Beginning: Sendable {
    case ready(LoopRemote)
    case failed(String)
  }

  static func perform(_ plan: SinkPlan) throws -> String {
    _ = ProcessLimits.raiseOpenDescriptors()
    let shared = SinkShared()
    let loop = try Loop()
    let remote = loop.remote
    // The answer to the last message, and the sender's QUIT, get a moment.
    let onLast: @Sendable () -> Void = { remote.perform { loop in loop.timer(after: 100) { loop.stop() } } }
    let lane = SinkLane(loop, plan, shared, onLast: onLast)
    let port = try lane.listen(port: plan.endpoint.port)
    let counts = Handoff<SinkCount>()
    var others: [(thread: WorkerThread, remote: LoopRemote)] = []
    for index in 1..<max(1, plan.threads) {
      others.append(try start(plan, shared, name: "sink-\(index)", port: port, counts: counts, onLast: onLast))
    }
    for signal in [SIGTERM, SIGINT] { try loop.onSignal(signal) { loop.stop() } }
    let cpu = Clock.cpuMicroseconds
    Output.notice("listening \(port)")
    loop.run()
    for other in others { other.remote.stop() }
    for other in others { other.thread.join() }
    counts.close()
    let sum = (counts.take() ?? []).reduce(lane.count, +)
    return sum.report(cpuMicroseconds: Clock.cpuMicroseconds - cpu, threads: plan.threads)
  }

  private static func start(
    _ plan: SinkPlan, _ shared: SinkShared, name: String, port: Int, counts: Handoff<SinkCount>, onLast: @escaping @Sendable () -> Void
  ) throws -> (thread: WorkerThread, remote: LoopRemote) {
    let beginnings = Handoff<Beginning>()
    let thread = WorkerThread(name: name) {
      do throws(LoopError) {
        let loop = try Loop()
        let lane = SinkLane(loop, plan, shared, onLast: onLast)
        _ = try lane.listen(port: port)
        beginnings.send(.ready(loop.remote))
        loop.run()
        counts.send(lane.count)
      } catch { beginnings.send(.failed("\(error)")) }
    }
    switch beginnings.take()?.first {
    case .ready(let remote): return (thread, remote)
    case .failed(let reason): throw Fault(reason)
    case nil: throw Fault("\(name) did not begin")
    }
  }
}
