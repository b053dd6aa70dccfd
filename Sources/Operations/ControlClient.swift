import EventLoop
import Foundation
import Gateway
import Octets

/// Asks a running gateway over its control socket.
enum ControlClient {
  /// One request, one answer; 30 seconds at the most.
  static func ask(_ request: ControlRequest, of dataDirectory: String) throws -> ControlAnswer {
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
    let limit = loop.timer(after: 30_000) {
      failure = "no answer within 30 seconds"
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
}
