import EventLoop
import Foundation
import Octets
import Testing

/// A connected pair on one loop: `body` gets the server's and the client's end.
private func withPair(_ loop: Loop, _ body: @escaping (EventLoop.Stream, EventLoop.Stream) -> Void) throws {
  var server: EventLoop.Stream?
  var client: EventLoop.Stream?
  func check() {
    if let server, let client { body(server, client) }
  }
  var listener: Listener?
  listener = try loop.listen(host: "127.0.0.1", port: 0) {
    server = $0
    listener?.close()
    check()
  }
  loop.connect(host: "127.0.0.1", port: listener?.boundPort ?? 0, timeout: 10_000) {
    client = try? $0.get()
    check()
  }
}

@Suite("Stream")
struct StreamTests {
  @Test("100 MB there and back in random pieces, with back-pressure on both sides", arguments: [7] as [UInt64])
  func bulkEcho(seed: UInt64) throws {
    let total = 100 << 20
    let high = 1 << 20
    var random = SeededGenerator(seed: seed)
    let pattern = Chunk((0..<(1 << 20)).map { _ in UInt8.random(in: 0...255, using: &random) })
    var sent = CRC32C()
    var received = CRC32C()
    var sentBytes = 0
    var receivedBytes = 0
    var completions = 0
    var writes = 0
    var mostQueued = 0
    var pauses = 0
    var isPaused = false
    try withLoop { loop in
      try withPair(loop) { server, client in
        server.onRead = { bytes in
          server.write([Chunk(copying: bytes)]) { _ in
            guard server.bytesQueued < high / 2 else { return }
            isPaused = false
            server.startReading()
          }
          mostQueued = max(mostQueued, server.bytesQueued)
          if server.bytesQueued > high {
            pauses += 1
            isPaused = true
            server.stopReading()
            client.startReading()
          }
        }
        server.onEnd = { server.closeAfterWrites() }
        server.startReading()

        func feed() {
          while sentBytes < total, client.bytesQueued < high {
            let start = Int.random(in: 0..<(1 << 20), using: &random)
            let size = min(total - sentBytes, (1 << 20) - start, 1 << Int.random(in: 0...20, using: &random))
            let pieces = [pattern[start..<(start + size / 3)], pattern[(start + size / 3)..<(start + size)]]
            for piece in pieces { piece.withSpan { sent.update($0) } }
            sentBytes += size
            writes += 1
            client.write(pieces) { error in
              #expect(error == nil)
              completions += 1
              feed()
            }
          }
          if sentBytes == total { client.shutdown() }
        }
        // The reader begins, and goes on now and then, only when the other side has had to wait.
        var nextStop = 20 << 20
        client.onRead = { bytes in
          received.update(bytes)
          receivedBytes += bytes.count
          guard receivedBytes >= nextStop, nextStop <= 60 << 20 else { return }
          nextStop += 20 << 20
          if !isPaused { client.stopReading() }
        }
        client.onEnd = { loop.stop() }
        feed()
      }
    }
    #expect(receivedBytes == total)
    #expect(sent.value == received.value)
    #expect(completions == writes)
    #expect(pauses > 0)
    // The mark, and what one read of the slab can add above it.
    #expect(mostQueued <= high + 256 * 1024)
  }

  @Test("what was kept of a read stays as it is while the loop reads on, and what is small is not kept")
  func keptReads() throws {
    let sent = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    var pieces: [Chunk] = []
    var kept = 0
    try withLoop(readSlabBytes: 1024) { loop in
      try withPair(loop) { server, client in
        server.onRead = { bytes in
          #expect(server.keepRead(0..<511) == nil)
          #expect(server.keepRead(0..<bytes.count + 1) == nil)
          // All but the first octet, where that is enough.
          if let rest = server.keepRead(1..<bytes.count) {
            kept += 1
            pieces += [Chunk(copying: bytes.extracting(0..<1)), rest]
          } else {
            pieces.append(Chunk(copying: bytes))
          }
        }
        server.onEnd = { loop.stop() }
        #expect(server.keepRead(0..<1024) == nil)
        server.startReading()
        client.write([Chunk(sent)]) { _ in client.shutdown() }
      }
    }
    var got: [UInt8] = []
    for piece in pieces { piece.withSpan { got.append(copying: $0) } }
    #expect(got == sent)
    #expect(kept > 100)
  }

  @Test("small writes, corked and vectored, arrive whole and in order, and complete in order")
  func coalesced() throws {
    var expected: [UInt8] = []
    var got: [UInt8] = []
    var order: [Int] = []
    var reads = 0
    try withLoop { loop in
      try withPair(loop) { server, client in
        server.onRead = {
          reads += 1
          got += [UInt8](copying: $0)
        }
        server.onEnd = { loop.stop() }
        server.startReading()
        client.cork()
        for number in 0..<1000 {
          let line = Array("line \(number)\r\n".utf8)
          expected += line
          client.write(line) { _ in order.append(number) }
        }
        #expect(client.bytesQueued == expected.count)
        client.uncork()
        #expect(client.bytesQueued == 0)
        let pieces = (0..<500).map { Chunk("piece \($0);") } + [.empty, Chunk([]), Chunk("end")]
        for piece in pieces { expected += piece.array }
        client.write(pieces) { _ in order.append(1000) }
        client.write([Chunk]()) { _ in order.append(1001) }
        client.write([.empty]) { _ in order.append(1002) }
        client.shutdown()
      }
    }
    #expect(got == expected)
    #expect(order == Array(0...1002))
    // 1003 writes; corked, they come in a handful of packets.
    #expect(reads < 100)
  }

  @Test("bytesQueued is exact, and completions come when their own octets are out")
  func exactQueue() throws {
    let size = 8 << 20
    var completed: [Int] = []
    var received = 0
    try withLoop { loop in
      try withPair(loop) { server, client in
        let body = Chunk([UInt8](repeating: 65, count: size))
        client.write([body]) { _ in completed.append(1) }
        let left = client.bytesQueued
        #expect(left > 0 && left < size)
        client.write([1, 2, 3]) { _ in completed.append(2) }
        #expect(client.bytesQueued == left + 3)
        #expect(completed.isEmpty)
        server.onRead = {
          received += $0.count
          if received == size + 3 {
            loop.soon {
              #expect(client.bytesQueued == 0)
              loop.timer(after: 1) { loop.stop() }
            }
          }
        }
        server.startReading()
      }
    }
    #expect(received == size + 3)
    #expect(completed == [1, 2])
  }

  @Test("a peer that resets while we write: each write gets its error once, then the failure, then nothing")
  func peerReset() throws {
    var completions: [LoopError.Kind?] = []
    var failures: [LoopError.Kind] = []
    var after = 0
    try withLoop { loop in
      var peer: Int32 = -1
      let listener = try loop.listen(host: "127.0.0.1", port: 0) { stream in
        stream.onFailure = { error in
          failures.append(error.kind)
          #expect(!stream.isOpen)
          stream.write([1]) { _ in after += 1 }
          stream.close()
          loop.timer(after: 5) { loop.stop() }
        }
        for _ in 0..<4 { stream.write([Chunk([UInt8](repeating: 0, count: 4 << 20))]) { completions.append($0?.kind) } }
        stream.startReading()
        loop.soon { RawSocket.reset(peer) }
      }
      peer = RawSocket.connect(port: listener.boundPort)
    }
    #expect(failures == [.connectionReset])
    #expect(completions.count == 4)
    #expect(completions.allSatisfy { $0 == nil || $0 == .connectionReset } && completions.last == .some(.connectionReset))
    #expect(after == 0)
  }

  @Test("writing to a peer that has gone is an error, not a signal, also when nobody reads")
  func brokenPipe() throws {
    var kind: LoopError.Kind?
    try withLoop { loop in
      var peer: Int32 = -1
      let listener = try loop.listen(host: "127.0.0.1", port: 0) { stream in
        RawSocket.reset(peer)
        stream.onFailure = {
          kind = $0.kind
          loop.stop()
        }
        loop.timer(after: 1, repeat: 1) { stream.write([1, 2, 3]) }
      }
      peer = RawSocket.connect(port: listener.boundPort)
    }
    #expect(kind == .connectionReset)
  }

  @Test("closing within any callback is safe and is the last that is heard", arguments: 0..<6)
  func closeWithin(place: Int) throws {
    var closed = false
    var after = 0
    try withLoop { loop in
      func end(_ stream: EventLoop.Stream) {
        #expect(!closed)
        closed = true
        stream.close()
        stream.close()
        #expect(!stream.isOpen && stream.bytesQueued == 0)
        stream.startReading()
        stream.stopReading()
        stream.shutdown()
        stream.cork()
        stream.uncork()
        stream.setNoDelay(false)
        stream.write([1]) { _ in after += 1 }
        #expect(stream.localPort == 0)
        loop.timer(after: 10) { loop.stop() }
      }
      var peer: Int32 = -1
      let listener = try loop.listen(host: "127.0.0.1", port: 0) { stream in
        if place == 0 { return end(stream) }
        stream.onRead = { _ in
          if closed { after += 1 } else if place == 1 || place == 2 { end(stream) }
        }
        stream.onEnd = { if closed { after += 1 } else { end(stream) } }
        stream.onFailure = { _ in
          if closed { after += 1 } else { end(stream) }
        }
        let big = place == 2 || place == 5
        stream.write([Chunk([UInt8](repeating: 0, count: big ? 16 << 20 : 10))]) { _ in
          if closed { after += 1 } else if place >= 4 { end(stream) }
        }
        stream.startReading()
        if place == 5 { loop.soon { RawSocket.reset(peer) } } else { RawSocket.write(peer, "hello") }
        if place == 3 { Glibc.shutdown(peer, Int32(SHUT_WR)) }
      }
      peer = RawSocket.connect(port: listener.boundPort)
      loop.timer(after: 10_000) {
        if peer >= 0 { close(peer) }
      }
    }
    #expect(closed)
    #expect(after == 0)
  }

  @Test("closeAfterWrites delivers everything although the peer goes on sending")
  func lingering() throws {
    let size = 4 << 20
    let got = Shared(0)
    var helper: Helper?
    try withLoop { loop in
      let listener = try loop.listen(host: "127.0.0.1", port: 0) { stream in
        stream.onRead = { _ in Issue.record("let go of") }
        stream.write([Chunk([UInt8](repeating: 7, count: size))]) { _ in Issue.record("let go of") }
        stream.closeAfterWrites()
        stream.write([1]) { _ in Issue.record("let go of") }
      }
      let port = listener.boundPort
      let remote = loop.remote
      helper = Helper {
        let socket = RawSocket.connect(port: port)
        // Unread input at the server would turn its close into a reset that destroys what is on its way here.
        RawSocket.write(socket, String(repeating: "noise ", count: 1000))
        got.change { $0 = RawSocket.readAll(socket).count }
        close(socket)
        remote.stop()
      }
    }
    helper?.join()
    #expect(got.current == size)
  }

  @Test("closeAfterWrites gives a peer that never reads its time, and no more")
  func lingeringEnds() throws {
    weak var stream: EventLoop.Stream?
    var ended = false
    try withLoop { loop in
      var peer: Int32 = -1
      let listener = try loop.listen(host: "127.0.0.1", port: 0) {
        stream = $0
        $0.write([Chunk([UInt8](repeating: 7, count: 32 << 20))])
        $0.closeAfterWrites(withinSeconds: 0)
      }
      peer = RawSocket.connect(port: listener.boundPort)
      loop.timer(after: 10, repeat: 10) {
        guard peer >= 0, stream == nil else { return }
        ended = true
        close(peer)
        loop.stop()
      }
    }
    #expect(ended)
  }

  @Test("stopReading holds the peer back until startReading, and an end is told once")
  func pause() throws {
    var heard: [String] = []
    try withLoop { loop in
      try withPair(loop) { server, client in
        server.onRead = { heard.append(String(decoding: [UInt8](copying: $0), as: UTF8.self)) }
        server.onEnd = {
          heard.append("end")
          server.startReading()
          client.onRead = { _ in
            heard.append("answer")
            loop.stop()
          }
          client.startReading()
          // The peer has shut its side, ours is open.
          server.write([33])
        }
        server.startReading()
        #expect(server.isReading)
        server.stopReading()
        #expect(!server.isReading)
        client.write(Array("first".utf8)) { _ in
          loop.timer(after: 2) {
            #expect(heard.isEmpty)
            server.startReading()
            client.shutdown()
            client.write([1]) { #expect($0?.kind == .closed) }
          }
        }
      }
    }
    #expect(heard == ["first", "end", "answer"])
  }

  @Test("addresses of both ends, IPv4, IPv6, and IPv4 on an IPv6 socket")
  func addresses() throws {
    try withLoop { loop in
      var left = 3
      func check(host: String, to address: String) throws {
        var expected = 0
        let listener = try loop.listen(host: host, port: 0) { stream in
          #expect(stream.peerAddress == address)
          #expect(stream.localAddress == address)
          #expect(stream.localPort == expected)
          #expect(stream.peerPort > 0)
          left -= 1
          if left == 0 { loop.stop() }
        }
        expected = listener.boundPort
        #expect(expected > 0)
        loop.connect(host: address, port: expected, timeout: 5000) {
          if case .failure(let error) = $0 { Issue.record("\(error)") }
        }
      }
      try check(host: "127.0.0.1", to: "127.0.0.1")
      try check(host: "::1", to: "::1")
      try check(host: "*", to: "127.0.0.1")
    }
  }
}
