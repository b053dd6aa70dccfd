import Foundation
import Octets
import TLSPipe
import Testing

/// Against the openssl command's own client and server, over real sockets.
@Suite("TLS with openssl")
struct InteropTests {
  let keys: TestKeys

  init() throws { keys = try TestKeys.shared.get() }

  @Test("s_client: versions, certificates of both kinds", arguments: ["-tls1_2", "-tls1_3"], [true, false])
  func sClient(version: String, rsa: Bool) throws {
    let context = try rsa ? TLSContext.server(certificatePEM: keys.rsaCertificate, keyPEM: keys.rsaKey) : keys.server()
    let server = try PipeServer(context: context)
    let result = try run(
      [
        "openssl", "s_client", "-connect", "127.0.0.1:\(server.port)", version, "-CAfile", keys.authority, "-verify_return_error",
        "-verify_hostname", "mail.alfa.test", "-servername", "mail.alfa.test", "-ign_eof",
      ], input: "hello there\n")
    let outcome = server.finish()
    #expect(result.code == 0, "\(result.output)")
    #expect(result.output.contains("HELLO THERE"))
    #expect(result.output.contains("Verification: OK"))
    #expect(outcome.version == (version == "-tls1_2" ? "TLSv1.2" : "TLSv1.3"))
    #expect(outcome.fault == nil)
    #expect(outcome.plaintext == Array("hello there\n".utf8))
  }

  @Test("s_client with TLS 1.1 gets nowhere")
  func sClientOld() throws {
    let server = try PipeServer(context: keys.server())
    let result = try run(
      ["openssl", "s_client", "-connect", "127.0.0.1:\(server.port)", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], input: "hello\n")
    let outcome = server.finish()
    #expect(result.code != 0)
    #expect(result.output.contains("alert protocol version"))
    #expect(outcome.fault?.kind == .versionRefused)
    #expect(outcome.plaintext.isEmpty)
  }

  @Test("sessions are resumed by ticket", arguments: ["-tls1_2", "-tls1_3"])
  func tickets(version: String) throws {
    let context = try keys.server()
    let file = keys.folder + "/session-\(UUID().uuidString).pem"
    var resumed: [Bool] = []
    for option in ["-sess_out", "-sess_in"] {
      let server = try PipeServer(context: context)
      _ = try run(
        ["openssl", "s_client", "-connect", "127.0.0.1:\(server.port)", version, option, file, "-ign_eof"], input: "hello\n")
      resumed.append(server.finish().resumed)
    }
    #expect(resumed == [false, true])
  }

  @Test("renegotiation is declined")
  func renegotiation() throws {
    let server = try PipeServer(context: keys.server())
    // "R" at the start of a line makes s_client ask for a renegotiation.
    let result = try run(
      ["openssl", "s_client", "-connect", "127.0.0.1:\(server.port)", "-tls1_2"], input: "R\n")
    _ = server.finish()
    #expect(result.output.contains("no renegotiation"), "\(result.output)")
  }

  @Test("s_server: we are the client", arguments: ["-tls1_2", "-tls1_3"])
  func sServer(version: String) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [
      "openssl", "s_server", "-accept", "127.0.0.1:0", version, "-cert", keys.certificate, "-key", keys.key, "-naccept", "1", "-rev",
    ]
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    process.standardInput = FileHandle.nullDevice
    try process.run()
    defer {
      process.terminate()
      process.waitUntilExit()
    }
    var text = ""
    while !text.contains("ACCEPT 127.0.0.1:") || !text.hasSuffix("\n") {
      let data = output.fileHandleForReading.availableData
      if data.isEmpty { break }
      text += String(decoding: data, as: UTF8.self)
    }
    let port = try #require(text.split(separator: ":").last.flatMap { Int($0.prefix { $0.isNumber }) }, "\(text)")
    let pipe = try TLSPipe(context: keys.client(), serverName: "127.0.0.1")
    let socket = BlockingSocket(connectedTo: port)
    defer { socket.close() }
    pipe.send("reverse me\n")
    try pipe.start()
    var answer: [UInt8] = []
    while !answer.contains(10), pipe.failure == nil {
      if let chunk = pipe.takeCiphertext() { socket.write(chunk) }
      let bytes = socket.read()
      if bytes.isEmpty { break }
      try pipe.receive(bytes.span) { answer.append(copying: $0) }
    }
    #expect(answer == Array("em esrever\n".utf8))
    #expect(pipe.protocolVersion == (version == "-tls1_2" ? "TLSv1.2" : "TLSv1.3"))
    pipe.shutdown()
    if let chunk = pipe.takeCiphertext() { socket.write(chunk) }
  }
}

/// A blocking socket on loopback.
private struct BlockingSocket {
  let descriptor: Int32

  init(descriptor: Int32) { self.descriptor = descriptor }

  init(connectedTo port: Int) {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    _ = Self.withLoopback(port) { connect(descriptor, $0, $1) }
  }

  static func withLoopback<Result>(_ port: Int, _ body: (UnsafeMutablePointer<sockaddr>, socklen_t) -> Result) -> Result {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    return withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
  }

  /// What has arrived, at least an octet; nothing at the end.
  func read() -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: 16 * 1024)
    let count = Glibc.read(descriptor, &buffer, buffer.count)
    return count > 0 ? Array(buffer[0..<count]) : []
  }

  func write(_ chunk: Chunk) {
    let bytes = chunk.array
    var sent = 0
    while sent < bytes.count {
      let count = bytes[sent...].withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      if count <= 0 { return }
      sent += count
    }
  }

  func close() { _ = Glibc.close(descriptor) }
}

/// Takes one connection on a thread of its own, answers in capitals, and says goodbye after a line.
final class PipeServer: @unchecked Sendable {
  struct Outcome {
    var plaintext: [UInt8] = []
    var version: String?
    var resumed = false
    var fault: TLSError?
  }

  let port: Int
  private let done = DispatchSemaphore(value: 0)
  // Written by the thread before `done`, read after it.
  private var outcome = Outcome()

  init(context: TLSContext) throws {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    port = BlockingSocket.withLoopback(0) { address, length in
      bind(listener, address, length)
      listen(listener, 1)
      var length = length
      getsockname(listener, address, &length)
      return address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { Int(in_port_t(bigEndian: $0.pointee.sin_port)) }
    }
    Thread.detachNewThread { [self] in
      let accepted = BlockingSocket(descriptor: accept(listener, nil, nil))
      close(listener)
      if let pipe = try? TLSPipe(context: context) { serve(accepted, pipe) }
      accepted.close()
      done.signal()
    }
  }

  func finish() -> Outcome {
    done.wait()
    return outcome
  }

  private func serve(_ socket: BlockingSocket, _ pipe: TLSPipe) {
    while true {
      let bytes = socket.read()
      if bytes.isEmpty { return }
      do throws(TLSError) {
        try pipe.receive(bytes.span) { span in
          let text = [UInt8](copying: span)
          outcome.plaintext += text
          pipe.send(text.map { (97...122).contains($0) ? $0 - 32 : $0 })
          if text.contains(10) { pipe.shutdown() }
        }
      } catch {
        outcome.fault = error
      }
      outcome.version = outcome.version ?? pipe.protocolVersion
      outcome.resumed = outcome.resumed || pipe.isResumed
      if let chunk = pipe.takeCiphertext() { socket.write(chunk) }
      if outcome.fault != nil || pipe.peerHasClosed { return }
    }
  }
}
