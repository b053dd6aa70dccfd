import EventLoop
import Foundation
import Gateway
import Octets
import Synchronization
import Threading

/// A running gateway's promise that no segment of its spool goes. It lasts as long as the connection: when this process dies, it ends.
final class SpoolHold: Sendable {
  private let thread: Mutex<WorkerThread?>
  private let remote: LoopRemote
  private let isBroken: Held

  private final class Held: Sendable {
    let value = Atomic<Bool>(false)
  }

  private enum Beginning: Sendable {
    case running(LoopRemote)
    case failed(String)
    case answered(ok: Bool, words: String)
  }

  /// Asks the gateway of a data directory.
  /// - Throws: `CommandFailure` with code 75 when it does not give the promise.
  init(dataDirectory: String) throws {
    let told = Handoff<Beginning>()
    let held = Held()
    isBroken = held
    let path = Gateway.controlPath(dataDirectory)
    let worker = WorkerThread(name: "spool-hold") { SpoolHold.run(path, told, held) }
    thread = Mutex(worker)
    var remote: LoopRemote?
    while true {
      switch told.take(atMost: 1)?.first {
      case .running(let made): remote = made
      case .answered(true, _):
        guard let remote else { preconditionFailure("an answer before the loop runs") }
        self.remote = remote
        return
      case .answered(false, let words):
        remote?.stop()
        worker.join()
        throw CommandFailure(
          "the gateway does not hold its spool for a backup (\(words)): if it is starting, try again; if it is an older program, stop it first",
          exitCode: CommandFailure.tryAgain)
      case .failed(let words):
        remote?.stop()
        worker.join()
        throw CommandFailure("a gateway runs on \(dataDirectory) and does not answer: \(words)", exitCode: CommandFailure.tryAgain)
      case nil: preconditionFailure("the queue is never closed")
      }
    }
  }

  /// - Throws: `CommandFailure` with code 75 when the promise is over, because the gateway has ended.
  func check() throws {
    if isBroken.value.load(ordering: .acquiring) {
      throw CommandFailure(
        "the gateway ended while the backup was made, and another may have begun: make the backup again", exitCode: CommandFailure.tryAgain)
    }
  }

  /// Takes it back.
  func end() {
    remote.stop()
    thread.withLock {
      $0?.join()
      $0 = nil
    }
  }

  private static func run(_ path: String, _ told: Handoff<Beginning>, _ held: Held) {
    let loop: Loop
    let question: [UInt8]
    do {
      loop = try Loop()
      question = Array(try JSONEncoder().encode(ControlRequest(verb: "hold-spool"))) + [10]
    } catch { return _ = told.send(.failed("\(error)")) }
    told.send(.running(loop.remote))
    var kept: EventLoop.Stream?
    var received: [UInt8] = []
    var hasAnswer = false
    let ended = { (words: String) in
      held.value.store(true, ordering: .releasing)
      if !hasAnswer { told.send(.failed(words)) }
      hasAnswer = true
    }
    _ = loop.connectLocal(path: path) { result in
      switch result {
      case .success(let stream):
        kept = stream
        stream.onRead = { octets in
          received.append(copying: octets)
          guard !hasAnswer, let line = received.firstIndex(of: 10) else { return }
          hasAnswer = true
          let answer = try? JSONDecoder().decode(ControlAnswer.self, from: Data(received[..<line]))
          told.send(.answered(ok: answer?.ok ?? false, words: answer?.message ?? "its answer cannot be read"))
        }
        stream.onEnd = { ended("it closed the connection") }
        stream.onFailure = { ended("\($0)") }
        stream.startReading()
        stream.write(question)
      case .failure(let error): ended("\(error)")
      }
    }
    let limit = loop.timer(after: 30_000) { if !hasAnswer { ended("no answer within 30 seconds") } }
    loop.run()
    limit.cancel()
    kept?.close()
  }
}
