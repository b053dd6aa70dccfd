import EventLoop
import Foundation
import Testing

@Suite("Connect")
struct ConnectTests {
  @Test("nobody listens: refused, with the address in the words")
  func refused() throws {
    let (descriptor, port) = RawSocket.bound(backlog: nil)
    defer { close(descriptor) }
    var outcome: Result<EventLoop.Stream, LoopError>?
    var returned = false
    try withLoop { loop in
      loop.connect(host: "127.0.0.1", port: port, timeout: 5000) {
        #expect(returned, "never within the call")
        outcome = $0
        loop.stop()
      }
      returned = true
    }
    #expect(outcome?.failureKind == .connectionRefused)
    if case .failure(let error) = outcome { #expect(error.description == "connect to 127.0.0.1:\(port): connection refused") }
  }

  @Test("nobody answers: the time runs out; a cancelled attempt says nothing")
  func timeout() throws {
    // A listener that never accepts, its queue full: further connects hang.
    let (descriptor, port) = RawSocket.bound(backlog: 0)
    defer { close(descriptor) }
    var fillers: [Int32] = []
    for _ in 0..<4 {
      let filler = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
      var address = RawSocket.loopback(port)
      _ = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(filler, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
      }
      fillers.append(filler)
    }
    defer { for filler in fillers { close(filler) } }
    var kinds: [LoopError.Kind?] = []
    try withLoop { loop in
      let cancelled = loop.connect(host: "127.0.0.1", port: port, timeout: 20) { _ in Issue.record("cancelled") }
      loop.connect(host: "127.0.0.1", port: port, timeout: 60) {
        kinds.append($0.failureKind)
        loop.stop()
      }
      loop.timer(after: 5) { cancelled.cancel() }
    }
    #expect(kinds == [.timedOut])
  }

  @Test("names are looked up, and what is no name fails in words")
  func names() throws {
    var peers: [String] = []
    var kinds: [LoopError.Kind?] = []
    try withLoop { loop in
      var left = 4
      func done() {
        left -= 1
        if left == 0 { loop.stop() }
      }
      let listener = try loop.listen(host: "localhost", port: 0) { $0.close() }
      loop.connect(host: "localhost", port: listener.boundPort, timeout: 10_000) { result in
        if case .success(let stream) = result { peers.append(stream.peerAddress) }
        done()
      }
      for host in ["no such name.invalid", "", String(repeating: "a", count: 300)] {
        loop.connect(host: host, port: 25, timeout: 10_000) {
          kinds.append($0.failureKind)
          done()
        }
      }
      let cancelled = loop.connect(host: "localhost", port: listener.boundPort, timeout: 10_000) { _ in Issue.record("cancelled") }
      cancelled.cancel()
    }
    #expect(peers == ["127.0.0.1"] || peers == ["::1"])
    #expect(kinds == [.nameNotResolved, .nameNotResolved, .nameNotResolved])
  }

  @Test("a port out of range is an error, not a crash", arguments: [0, -1, 65536, Int.max, Int.min])
  func ports(port: Int) throws {
    try withLoop { loop in
      loop.connect(host: "127.0.0.1", port: port, timeout: .max) {
        #expect($0.failureKind == .addressInvalid)
        loop.stop()
      }
      if port != 0 { #expect(throws: LoopError.self) { try loop.listen(host: "127.0.0.1", port: port) { _ in } } }
    }
  }

  @Test("stopping while attempts are open calls nobody")
  func stopMeanwhile() throws {
    try withLoop { loop in
      let listener = try loop.listen(host: "127.0.0.1", port: 0) { _ in }
      for host in ["127.0.0.1", "localhost"] {
        loop.connect(host: host, port: listener.boundPort, timeout: 10_000) { _ in Issue.record("after stop") }
      }
      loop.soon { loop.stop() }
    }
  }
}

@Suite("Local sockets")
struct LocalSocketTests {
  @Test("there and back, permissions from the start, the file gone at the end")
  func echo() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/control"
      var answer: [UInt8] = []
      try withLoop { loop in
        let listener = try loop.listenLocal(path: path, mode: 0o620) { stream in
          #expect(stream.isLocal && stream.peerAddress.isEmpty && stream.peerPort == 0 && stream.localPort == 0)
          #expect(stream.peerUser == LocalUser(id: geteuid()) && LocalUser.ofThisProcess == stream.peerUser)
          stream.onRead = { stream.write([UInt8](copying: $0).reversed()) }
          stream.onEnd = { stream.closeAfterWrites() }
          stream.startReading()
        }
        #expect(listener.boundAddress == path && listener.boundPort == 0)
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o620)
        #expect(kindThrown { try loop.listenLocal(path: path) { _ in } } == .addressInUse)
        loop.connectLocal(path: path) { result in
          guard case .success(let stream) = result else { return loop.stop() }
          stream.onRead = { answer += [UInt8](copying: $0) }
          stream.onEnd = { loop.stop() }
          stream.write([1, 2, 3])
          stream.shutdown()
          stream.startReading()
        }
      }
      #expect(answer == [3, 2, 1])
      #expect(access(path, F_OK) != 0)
    }
  }

  @Test("a leftover file is replaced, a file that is no socket is not; nobody there is refused")
  func leftovers() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/leftover"
      let other = folder + "/file"
      try Data("kept".utf8).write(to: URL(fileURLWithPath: other))
      let old = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
      _ = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(old, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
      }
      close(old)
      #expect(access(path, F_OK) == 0)
      var kinds: [LoopError.Kind?] = []
      try withLoop { loop in
        _ = try loop.listenLocal(path: path) { _ in }
        #expect(kindThrown { try loop.listenLocal(path: other) { _ in } } == .addressInUse)
        let tooLong = folder + "/" + String(repeating: "x", count: 200)
        #expect(kindThrown { try loop.listenLocal(path: tooLong) { _ in } } == .addressInvalid)
        for nobody in [folder + "/nobody", String(repeating: "x", count: 200), ""] {
          loop.connectLocal(path: nobody) {
            kinds.append($0.failureKind)
            if kinds.count == 3 { loop.stop() }
          }
        }
      }
      #expect(Set(kinds) == [.connectionRefused, .addressInvalid])
      #expect(FileManager.default.contents(atPath: other) == Data("kept".utf8))
    }
  }
}
