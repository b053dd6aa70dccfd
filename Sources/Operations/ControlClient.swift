import EventLoop
import Foundation
import Gateway
import Octets

/// Asks a running gateway over its control socket.
enum ControlClient {
  /// Whether a gateway runs on this data directory.
  static func isRunning(_ dataDirectory: String) -> Bool { (try? ask(ControlRequest(verb: "status"), of: dataDirectory)) != nil }

  /// One request, one answer.
  /// - Throws: `CommandFailure` with exit code 69 when nobody answers in time.
  static func ask(_ request: ControlRequest, of dataDirectory: String, withinSeconds seconds: Int = 30) throws -> ControlAnswer {
    let path = Gateway.controlPath(dataDirectory)
    let loop = try Loop()
    var received: [UInt8] = []
    var failure: String?
    let question = Array(try JSONEncoder().encode(request)) + [10]
    var held: EventLoop.Stream?
    _ = loop.connectLocal(path: path) { result in
      switch result {
      case .success(let stream):
        held = stream
        stream.onRead = { received.append(copying: $0) }
        stream.onEnd = { loop.stop() }
        stream.onFailure = { error in
          failure = "\(error)"
          loop.stop()
        }
        stream.startReading()
        stream.write(question)
      case .failure(let error):
        failure = "\(error)"
        loop.stop()
      }
    }
    let limit = loop.timer(after: UInt64(seconds) * 1000) {
      failure = "no answer within \(seconds) seconds"
      loop.stop()
    }
    loop.run()
    limit.cancel()
    _ = held
    if let failure, received.isEmpty {
      throw CommandFailure("no gateway answers on \(path) (\(failure)): is it running?", exitCode: CommandFailure.unavailable)
    }
    do { return try JSONDecoder().decode(ControlAnswer.self, from: Data(received)) } catch {
      throw CommandFailure("the gateway's answer cannot be read: \(error)", exitCode: CommandFailure.software)
    }
  }

  /// Has a running gateway do something, and says what it answers.
  /// - Parameters:
  ///   - json: the whole answer for machines, also where it is a refusal.
  ///   - code: how the command ends when the gateway refuses.
  static func tell(
    _ request: ControlRequest, of dataDirectory: String, json: Bool = false, withinSeconds seconds: Int = 300, refusal code: Int32,
    _ say: (String) -> Void
  ) throws {
    let answer = try ask(request, of: dataDirectory, withinSeconds: seconds)
    if json { say(try Output.json(answer)) } else if answer.ok { say(answer.message) }
    if !answer.ok { throw CommandFailure(json ? "" : answer.message, exitCode: code) }
  }
}
