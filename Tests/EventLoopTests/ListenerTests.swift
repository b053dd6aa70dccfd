import EventLoop
import Foundation
import Testing

@Suite("Listener")
struct ListenerTests {
  @Test("two loops in two threads share a port, and each gets connections")
  func reusePort() throws {
    let first = Shared(0)
    let second = Shared(0)
    let ready = DispatchSemaphore(value: 0)
    var helper: Helper?
    let otherRemote = Shared<LoopRemote?>(nil)
    try withLoop { loop in
      let listener = try loop.listen(host: "127.0.0.1", port: 0, reusePort: true) {
        first.change { $0 += 1 }
        $0.close()
      }
      let port = listener.boundPort
      helper = Helper {
        guard let other = try? Loop() else { return }
        let joined = try? other.listen(host: "127.0.0.1", port: port, reusePort: true) {
          second.change { $0 += 1 }
          $0.close()
        }
        #expect(joined?.boundPort == port)
        otherRemote.change { [remote = other.remote] in $0 = remote }
        ready.signal()
        other.run()
      }
      ready.wait()
      #expect(kindThrown { try loop.listen(host: "127.0.0.1", port: port) { _ in } } == .addressInUse)
      var closed = 0
      func next() {
        loop.connect(host: "127.0.0.1", port: port, timeout: 10_000) { result in
          guard case .success(let stream) = result else { return loop.stop() }
          stream.onEnd = { done(stream) }
          stream.onFailure = { _ in done(stream) }
          stream.startReading()
        }
      }
      func done(_ stream: EventLoop.Stream) {
        stream.close()
        closed += 1
        if closed == 200 { loop.stop() } else { next() }
      }
      next()
    }
    otherRemote.current?.stop()
    helper?.join()
    #expect(first.current + second.current == 200)
    #expect(first.current > 20 && second.current > 20)
  }

  @Test("addresses that cannot be listened on", arguments: ["192.0.2.1", "no such name.invalid", "1.2.3.4.5"])
  func badAddress(host: String) throws {
    try withLoop { loop in
      let kind = kindThrown { try loop.listen(host: host, port: 0) { _ in } }
      #expect(kind == .addressInvalid || kind == .nameNotResolved)
      loop.stop()
    }
  }

  @Test("a closed listener refuses, also when it closes itself while connections wait")
  func closes() throws {
    var accepted = 0
    var kind: LoopError.Kind?
    try withLoop { loop in
      var listener: Listener?
      var peers: [Int32] = []
      listener = try loop.listen(host: "127.0.0.1", port: 0) { stream in
        accepted += 1
        let port = listener?.boundPort ?? 0
        listener?.close()
        listener?.close()
        stream.close()
        loop.connect(host: "127.0.0.1", port: port, timeout: 5000) {
          kind = $0.failureKind
          for peer in peers { close(peer) }
          loop.stop()
        }
      }
      for _ in 0..<5 { peers.append(RawSocket.connect(port: listener?.boundPort ?? 0)) }
    }
    #expect(accepted == 1)
    #expect(kind == .connectionRefused)
  }

  // These two in processes of their own: they take away every descriptor that there is.
  @Test("descriptors used up: connections that cannot be taken are dropped, the loop goes on and takes others later")
  func descriptorsUsedUp() async {
    await #expect(processExitsWith: .success) {
      setDescriptorLimit(64)
      try starve {
        (0..<64).map { _ in open("/dev/null", O_RDONLY) }.filter { $0 >= 0 }
      } feed: { fillers in
        for filler in fillers { close(filler) }
      }
    }
  }

  @Test("not one descriptor to be had: the listener pauses, connections wait and are served later")
  func noDescriptorAtAll() async {
    await #expect(processExitsWith: .success) {
      setDescriptorLimit(64)
      let waiting = try starve {
        setDescriptorLimit(3)
      } feed: {
        setDescriptorLimit(64)
      }
      #expect(waiting == 8)
    }
  }
}

private func setDescriptorLimit(_ count: UInt) {
  var limit = rlimit()
  getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  limit.rlim_cur = count
  setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}

/// Has eight connections in a listener's queue when `take` takes away the descriptors, gives them back after a while, and checks that
/// the loop lived on meanwhile. Returns how many of the eight were served in the end.
@discardableResult
private func starve<Taken>(_ take: @escaping () -> Taken, feed: @escaping (Taken) -> Void) throws -> Int {
  var turns = 0
  var served = 0
  try withLoop(atMostSeconds: 20) { loop in
    let listener = try loop.listen(host: "127.0.0.1", port: 0) { _ in served += 1 }
    for _ in 0..<8 { #expect(RawSocket.connect(port: listener.boundPort) >= 0) }
    let late = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    let taken = take()
    loop.timer(after: 10, repeat: 10) { turns += 1 }
    let used = processorMilliseconds()
    loop.timer(after: 300) {
      // A descriptor that another thread gives back just now may serve one of them.
      #expect(served < 4)
      #expect(turns > 3)
      // Accepting in vain, again and again, would use all of the 300 ms.
      #expect(processorMilliseconds() - used < 200)
      feed(taken)
      let before = served
      var address = RawSocket.loopback(listener.boundPort)
      let connected = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(late, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
      }
      #expect(connected == 0)
      loop.timer(after: 1, repeat: 1) {
        if served > before, listener.isOpen { loop.timer(after: 20) { loop.stop() } }
      }
    }
  }
  return served - 1
}

/// Processor time that this process has used, in milliseconds.
private func processorMilliseconds() -> Int { Int(clock()) / (Int(CLOCKS_PER_SEC) / 1000) }
