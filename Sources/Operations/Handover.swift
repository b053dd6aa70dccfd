import Channels
import EventLoop
import Foundation
import Gateway
import Supervision

/// Where a process stands, for the question whether its end is that of a container and of everything in it, who takes over included.
struct ProcessOrigin: Sendable {
  var process: Int32
  /// Who started it.
  var parent: Int32
  /// False where process 1 is the machine's own (or that is not known).
  var isInNamespace: Bool
  var hasManager: Bool
  /// Who follows another process is not what the container waits for.
  var takesOver: Bool

  /// The machine's own namespace of processes: PROC_PID_INIT_INO of the kernel (include/linux/proc_ns.h).
  private static let machine = "pid:[\(0xEFFF_FFFC)]"

  static func ofThisProcess(takesOver: Bool) -> ProcessOrigin {
    let namespace = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/pid")
    return ProcessOrigin(
      process: getpid(), parent: getppid(), isInNamespace: namespace.map { $0 != machine } ?? false,
      hasManager: ProcessInfo.processInfo.environment["NOTIFY_SOCKET"] != nil, takesOver: takesOver)
  }

  /// Why it must not hand over; nil when it may. An engine's own small init (`init: true`, `--init`) is process 1 and ends with its child.
  var endOfContainer: String? {
    if process == 1 { return "this is process 1: whoever runs the container has to start a new one" }
    if parent == 1, isInNamespace, !hasManager, !takesOver {
      return "process 1 of the container ends with this one: whoever runs the container has to start a new one"
    }
    return nil
  }
}

/// The process that is to take over from this one: the same program, which may have been exchanged on the disk meanwhile, with the listening
/// sockets of this one.
///
/// It reads and loads everything but ledger and spool and says that it is ready; then this process takes nothing new, finishes what is here
/// and ends. Its end, however it comes, is the word that ledger and spool are free. Until `ready` nothing has changed here: when the new
/// process cannot start, this one goes on.
final class Successor: Sendable {
  private let child: ChildProcess
  private let channel: Channel

  /// Starts it and hands it the sockets.
  /// - Throws: a `CommandFailure` that says why not.
  init(executable: String, arguments: [String], sockets: [ListeningSocket]) throws {
    let environment = ProcessInfo.processInfo.environment.filter { !ServiceManager.ownVariables.contains($0.key) }
    let (ours, theirs) = try Channel.pair()
    channel = ours
    child = try ChildProcess.spawn(
      path: executable, arguments: arguments, environment: environment.map { "\($0.key)=\($0.value)" }, descriptors: [theirs.descriptor],
      keepsOutput: true)
    try channel.send(Array("sockets \(sockets.count)".utf8), waitingMilliseconds: 10_000)
    for socket in sockets {
      // A copy goes along; the socket itself stays with its owner.
      let copy = dup(socket.descriptor)
      guard copy >= 0 else { throw CommandFailure("no descriptor to hand a socket over", exitCode: CommandFailure.unavailable) }
      try channel.send(Array("socket".utf8), passing: Descriptor(owning: copy), waitingMilliseconds: 10_000)
    }
  }

  /// The new process's id.
  var id: Int32 { child.id }

  /// Waits until it could take over. Throws, and ends it, when it cannot or takes longer than `seconds`.
  func waitUntilReady(seconds: Int) throws {
    do {
      guard let (packet, _) = try channel.receive(waitingMilliseconds: seconds * 1000, takingDescriptor: false) else {
        child.kill()
        throw CommandFailure("it was not ready within \(seconds) seconds", exitCode: CommandFailure.unavailable)
      }
      let words = String(decoding: packet, as: UTF8.self)
      if words == "ready" { return }
      throw CommandFailure(words, exitCode: CommandFailure.unavailable)
    } catch ChannelError.closed {
      throw CommandFailure(
        "it ended before it was ready (\(child.wait(waitingMilliseconds: 5000) ?? "still there")); its words are in the log",
        exitCode: CommandFailure.unavailable)
    }
  }

  /// How it ended; nil while it runs.
  var ending: String? { child.poll() }

  /// Lets it live on when this process ends.
  func disown() { child.disown() }
}

/// The gateway that this process follows: the other end of `Successor`.
final class Predecessor {
  /// Where a process that takes over finds its channel.
  static let descriptor: Int32 = 3

  private let channel: Channel
  private let parent = getppid()
  /// Its listening sockets.
  let sockets: [HandedSocket]

  /// Takes over the channel and the sockets.
  init() throws {
    channel = try Channel.inherited(Predecessor.descriptor)
    guard let (packet, _) = try channel.receive(waitingMilliseconds: 10_000),
      let count = Int(String(decoding: packet, as: UTF8.self).dropFirst("sockets ".count)), (0...100_000).contains(count)
    else { throw CommandFailure("the process before this one hands nothing over", exitCode: CommandFailure.unavailable) }
    var sockets: [HandedSocket] = []
    for _ in 0..<count {
      guard let (_, passed) = try channel.receive(waitingMilliseconds: 10_000), let passed else {
        throw CommandFailure("a listening socket did not arrive", exitCode: CommandFailure.unavailable)
      }
      // The copy is owned by the socket object, the passed one ends with this round.
      let copy = dup(passed.number)
      guard copy >= 0 else { throw CommandFailure("no descriptor for a listening socket", exitCode: CommandFailure.unavailable) }
      sockets.append(HandedSocket(try ListeningSocket(adopting: copy)))
    }
    self.sockets = sockets
  }

  /// Says that all is ready here, and waits until the process before this one has ended.
  func takeOver() throws {
    try channel.send(Array("ready".utf8), waitingMilliseconds: 10_000)
    var isThere = true
    while isThere {
      do { _ = try channel.receive(waitingMilliseconds: nil, takingDescriptor: false) } catch ChannelError.closed { isThere = false }
    }
    // Its descriptors are closed one after the other as it ends, and the spool's lock may come behind the channel. We are somebody else's
    // child once all are.
    for _ in 0..<10 where getppid() == parent { LifeCommands.pause.wait(forSeconds: 1) }
  }

  /// Says why this process cannot take over.
  func give(up words: String) { try? channel.send(Array(words.utf8.prefix(60_000)), waitingMilliseconds: 1000) }
}
