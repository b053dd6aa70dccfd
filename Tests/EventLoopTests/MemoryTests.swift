import EventLoop
import Foundation
import Testing

@Suite("Memory")
struct MemoryTests {
  // In a process of its own, so that nobody else's memory is measured. The clients are bare descriptors of the same process: their
  // sockets are the kernel's memory, and what the process grows by is the server's side alone. Both ends need descriptors, so a
  // limit of 20,000 allows for a few less than 10,000 connections.
  @Test("10,000 idle connections cost no more than 1 KiB of the process's memory each", .enabled(if: measuresMemory))
  func idleConnections() async {
    await #expect(processExitsWith: .success) {
      var limit = rlimit()
      getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      limit.rlim_cur = min(limit.rlim_max, 24_000)
      setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      let wanted = min(10_000, (Int(limit.rlim_cur) - 100) / 2)
      #expect(wanted >= 400, "too few descriptors to measure anything: \(limit.rlim_cur)")
      var streams: [EventLoop.Stream] = []
      var deadlines: [Deadline] = []
      streams.reserveCapacity(wanted)
      deadlines.reserveCapacity(wanted)
      var answered = 0
      var grown = 0
      try withLoop { loop in
        var clients: [Int32] = []
        clients.reserveCapacity(wanted)
        var before = 0
        let listener = try loop.listen(host: "127.0.0.1", port: 0, backlog: 4096) { stream in
          streams.append(stream)
          stream.onRead = { [unowned stream] in stream.write([UInt8](copying: $0)) { _ in answered += 1 } }
          stream.onEnd = { [unowned stream] in stream.close() }
          stream.startReading()
          // Each connection has its deadline, as a session has.
          deadlines.append(loop.deadline(afterSeconds: 300) { [unowned stream] in stream.close() })
        }
        func connectMore() {
          for _ in 0..<min(500, wanted - clients.count) {
            let client = RawSocket.connect(port: listener.boundPort)
            guard client >= 0 else {
              Issue.record("connect: \(client)")
              return loop.stop()
            }
            RawSocket.write(client, "hello")
            clients.append(client)
          }
          // The first five hundred make room for what is needed once.
          if answered >= 500 && before == 0 { before = residentBytes() }
          if answered < wanted { return loop.soon { connectMore() } }
          grown = residentBytes() - before
          #expect(loop.isOpen && streams.allSatisfy(\.isOpen))
          loop.stop()
        }
        connectMore()
      }
      #expect(streams.count == wanted && answered == wanted)
      let each = grown / (wanted - 500)
      #expect(each > 0 && each <= 1024, "\(each) octets for each of \(wanted) connections")
    }
  }
}

/// Sanitizers keep memory of their own beside everybody's.
private let measuresMemory = dlsym(nil, "__asan_init") == nil && dlsym(nil, "__tsan_init") == nil

/// Resident memory of this process, in octets.
private func residentBytes() -> Int {
  guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return 0 }
  let fields = text.split(separator: " ")
  return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
}
