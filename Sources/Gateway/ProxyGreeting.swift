import EventLoop
import SMTPWire

/// A connection from a listed proxy, until the proxy has said whom it speaks for. Confined to its lane.
final class ProxyGreeting {
  /// How it ended.
  enum End {
    /// The header is through; with what came behind it.
    case header(ProxiedClient, rest: [UInt8])
    /// There is none; the stream is closed. The words say why; nil when the proxy left without a word, as one that only looks whether we
    /// are there.
    case none(String?)
  }

  private let stream: EventLoop.Stream
  private var reader: ProxyHeaderReader
  private var deadline: Deadline?
  private var then: ((End) -> Void)?

  /// - Parameters:
  ///   - seconds: that the header may take.
  ///   - then: called once, perhaps while the stream is reading. After a header the stream is the caller's.
  init(_ stream: EventLoop.Stream, maximumBytes: Int, seconds: Int, then: @escaping (End) -> Void) {
    self.stream = stream
    self.then = then
    reader = ProxyHeaderReader(maximumBytes: maximumBytes)
    deadline = stream.loop.deadline(afterSeconds: seconds) { [unowned self] in self.fail("no PROXY header within \(seconds) s") }
  }

  func begin() {
    stream.onRead = { [unowned self] in self.arrived($0) }
    stream.onEnd = { [unowned self] in self.left() }
    stream.onFailure = { [unowned self] _ in self.left() }
    stream.startReading()
  }

  /// Ends it: the gateway is stopping.
  func close() { fail(nil) }

  private func arrived(_ octets: Span<UInt8>) {
    guard then != nil else { return }
    var at = 0
    switch reader.read(octets, at: &at) {
    case .more: break
    case .header(let client):
      stream.stopReading()
      var rest: [UInt8] = []
      rest.append(copying: octets.extracting(at..<octets.count))
      end(.header(client, rest: rest))
    case .fault(let words): fail(words)
    }
  }

  private func left() { fail(reader.isUntouched ? nil : "the connection ended within the PROXY header") }

  private func fail(_ words: String?) {
    guard then != nil else { return }
    stream.close()
    end(.none(words))
  }

  private func end(_ end: End) {
    deadline?.cancel()
    stream.onRead = { _ in }
    stream.onEnd = {}
    stream.onFailure = { _ in }
    let tell = then
    then = nil
    tell?(end)
  }
}
