import Foundation
import Octets
import TLSPipe
import Testing

@Suite("TLS pipe")
struct TLSPipeTests {
  let keys: TestKeys

  init() throws { keys = try TestKeys.shared.get() }

  @Test("handshake, talk and goodbye, however the wire cuts the octets", arguments: [.max, 1, 2, 7, 100, 5000], [1, 2] as [UInt64])
  func handshake(mostAtOnce: Int, seed: UInt64) throws {
    let wire = try Wire(keys: keys, seed: seed, mostAtOnce: mostAtOnce)
    #expect(!wire.client.isEstablished && wire.client.protocolVersion == nil && wire.client.cipher == nil)
    #expect(wire.client.peerCertificate == nil)
    try wire.settle()
    #expect(wire.client.isEstablished && wire.server.isEstablished)
    #expect(wire.client.protocolVersion == "TLSv1.3" && wire.server.protocolVersion == "TLSv1.3")
    #expect(wire.server.cipher?.hasPrefix("TLS_") == true && wire.server.cipher == wire.client.cipher)
    #expect(!wire.server.isResumed)
    let pem = try String(contentsOfFile: keys.certificate, encoding: .utf8).components(separatedBy: "-----")
    #expect(wire.client.peerCertificate == Base64.decode(pem[2].utf8) && wire.server.peerCertificate == nil)
    wire.client.send("EHLO client\r\n")
    wire.server.send("250 server\r\n")
    try wire.settle()
    #expect(wire.atServer == Array("EHLO client\r\n".utf8))
    #expect(wire.atClient == Array("250 server\r\n".utf8))
    // One side says goodbye; the other may still answer (RFC 8446 §6.1).
    wire.client.shutdown()
    wire.client.send("dropped")
    try wire.settle()
    #expect(wire.server.peerHasClosed && !wire.client.peerHasClosed)
    wire.server.send("221 bye\r\n")
    wire.server.shutdown()
    wire.server.shutdown()
    try wire.settle()
    #expect(wire.atClient == Array("250 server\r\n221 bye\r\n".utf8))
    #expect(wire.atServer == Array("EHLO client\r\n".utf8))
    #expect(wire.client.peerHasClosed)
    try wire.client.receiveEnd()
    try wire.server.receiveEnd()
  }

  @Test("10 MB each way at once, in pieces", arguments: [3, 4] as [UInt64])
  func bulk(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let block = (0..<(1 << 20)).map { _ in UInt8.random(in: 0...255, using: &random) }
    let wire = try Wire(keys: keys, seed: seed, mostAtOnce: 40_000)
    var largest = 0
    wire.onServerPlaintext = { largest = max(largest, $0.count) }
    var expected: [UInt8] = []
    var left = 10 << 20
    while left > 0 {
      let size = min(left, Int.random(in: 1...(1 << Int.random(in: 0...20, using: &random)), using: &random))
      let start = Int.random(in: 0...(block.count - size), using: &random)
      let piece = Array(block[start..<(start + size)])
      expected += piece
      wire.client.send(piece)
      wire.server.send(piece)
      left -= size
      if Bool.random(using: &random) { try wire.settle() }
    }
    try wire.settle()
    #expect(wire.atServer == expected)
    #expect(wire.atClient == expected)
    #expect(largest <= 64 * 1024)
  }

  @Test("what is sent before the handshake follows it")
  func early() throws {
    let wire = try Wire(keys: keys)
    wire.client.send("first ")
    wire.server.send("greeting")
    wire.client.send("second")
    try wire.settle()
    #expect(wire.atServer == Array("first second".utf8))
    #expect(wire.atClient == Array("greeting".utf8))
  }

  @Test("a plaintext callback may answer, say goodbye, and feed another pipe on the same thread")
  func nested() throws {
    let inner = try Wire(keys: keys)
    let outer = try Wire(keys: keys)
    try inner.settle()
    try outer.settle()
    outer.onServerPlaintext = { span in
      inner.client.send(span)
      #expect(throws: Never.self) { try inner.settle() }
      outer.server.send(Array("seen ".utf8).span)
      outer.server.send(span)
      outer.server.shutdown()
    }
    outer.client.send(String(repeating: "all of it ", count: 10))
    try outer.settle()
    outer.onServerPlaintext = { _ in }
    #expect(inner.atServer == outer.atServer)
    #expect(outer.atClient == Array("seen ".utf8) + outer.atServer)
    #expect(outer.client.peerHasClosed)
  }

  @Test("names that the certificate bears", arguments: ["mail.alfa.test", "MAIL.alfa.TEST.", "host.wild.test", "127.0.0.1", "::1"])
  func rightName(name: String) throws {
    let wire = try Wire(keys: keys, name: name)
    try wire.settle()
    #expect(wire.client.isEstablished)
  }

  @Test("names that it does not", arguments: ["pec.alfa.test", "wild.test", "a.b.wild.test", "127.0.0.2", "alfa.test"])
  func wrongName(name: String) throws {
    let wire = try Wire(keys: keys, name: name)
    #expect(kindThrown { try wire.settle() } == .nameMismatch)
    #expect(!wire.client.isEstablished)
    #expect(wire.client.failure?.reason.contains("mismatch") == true)
    // The server is told: bad_certificate.
    #expect(wire.server.failure?.kind == .peerAlert(42))
  }

  @Test("a Common Name is no name of a server (RFC 8461 §4.1)") func commonName() throws {
    let server = try TLSContext.server([keys.identity("common")])
    let wire = try Wire(client: TLSPipe(context: keys.client(), serverName: "mail.alfa.test"), server: TLSPipe(context: server))
    #expect(kindThrown { try wire.settle() } == .nameMismatch)
  }

  @Test("an authority that is not trusted is refused, by file and by the system's store; unless nobody asks")
  func untrusted() throws {
    for authority in [keys.otherAuthority, nil] {
      let context = try TLSContext.client(caFile: authority, verify: true)
      let wire = try Wire(client: TLSPipe(context: context, serverName: "mail.alfa.test"), server: TLSPipe(context: keys.server()))
      let error = errorThrown { try wire.settle() }
      #expect(error?.kind == .certificateRefused)
      #expect(error?.reason == "the server's certificate: unable to get local issuer certificate")
      #expect(wire.server.failure?.kind == .peerAlert(48))
    }
    let trusting = try TLSContext.client(caFile: nil, verify: false)
    let wire = try Wire(client: TLSPipe(context: trusting, serverName: "whatever.test"), server: TLSPipe(context: keys.server()))
    try wire.settle()
    #expect(wire.client.isEstablished)
  }

  @Test(
    "octets that are no TLS",
    arguments: [
      "EHLO client\r\n", "GET / HTTP/1.0\r\n\r\n", "\r\n\r\n\r\n", "QUIT\r\nQUIT\r\n", "\u{16}garbage after a good first octet",
    ])
  func garbage(text: String) throws {
    for context in [try keys.server(), try keys.client()] {
      for atOnce in [true, false] {
        let pipe = try TLSPipe(context: context)
        try pipe.start()
        var faults: [TLSError] = []
        for piece in atOnce ? [Array(text.utf8)] : text.utf8.map({ [$0] }) {
          if let fault = pipe.fault(receiving: piece) { faults.append(fault) }
        }
        #expect(faults.first?.kind == .notTLS, "\(faults)")
        #expect(faults.dropFirst().allSatisfy { $0.kind == .closed })
        #expect(pipe.failure == faults.first)
        #expect(!pipe.isEstablished && pipe.cipher == nil)
        pipe.send("dropped")
        pipe.shutdown()
      }
    }
  }

  @Test("noise, and a good handshake with noise in it, never do worse than fail", arguments: 0..<8)
  func noise(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let server = try keys.server()
    let client = try keys.client()
    for _ in 0..<40 {
      let pipe = try TLSPipe(context: server)
      for _ in 0..<10 {
        var bytes = (0..<Int.random(in: 1...300, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        if Bool.random(using: &random) { bytes = [22, 3, 1, 0, UInt8.random(in: 0...255, using: &random), 1, 0] + bytes }
        _ = pipe.fault(receiving: bytes)
        _ = pipe.takeCiphertext()
      }
      #expect(!pipe.isEstablished)
      let asking = try TLSPipe(context: client)
      let answering = try TLSPipe(context: server)
      try asking.start()
      for _ in 0..<4 {
        for (from, to) in [(asking, answering), (answering, asking)] {
          guard var bytes = from.takeCiphertext()?.array else { continue }
          if Int.random(in: 0..<3, using: &random) == 0 {
            bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= UInt8.random(in: 1...255, using: &random)
          }
          _ = to.fault(receiving: bytes)
        }
      }
      asking.send("never seen as anything else")
      if let bytes = asking.takeCiphertext()?.array, answering.failure == nil {
        try? answering.receive(bytes.span) { #expect([UInt8](copying: $0) == Array("never seen as anything else".utf8)) }
      }
    }
  }

  @Test("a record that was tampered with: what came before is handed on, then the fault; the other side hears of it")
  func tampered() throws {
    let wire = try Wire(keys: keys)
    try wire.settle()
    wire.client.send("genuine")
    let good = try #require(wire.client.takeCiphertext()).array
    wire.client.send("forged")
    var bad = try #require(wire.client.takeCiphertext()).array
    bad[bad.count - 1] ^= 1
    var got: [UInt8] = []
    let error = errorThrown { try wire.server.receive((good + bad).span) { got.append(copying: $0) } }
    #expect(error?.kind == .protocolViolation)
    #expect(error?.reason.contains("bad record mac") == true)
    #expect(got == Array("genuine".utf8))
    #expect(kindThrown { try wire.server.receive(good.span) { _ in } } == .closed)
    let alert = try #require(wire.server.takeCiphertext())
    let heard = errorThrown { try wire.pass(alert, to: wire.client) { _ in } }
    #expect(heard?.kind == .peerAlert(20))
  }

  @Test("TLS 1.0 and 1.1 are refused with the alert that says so", arguments: [0x0301, 0x0302] as [UInt16])
  func oldVersions(version: UInt16) throws {
    // A client hello as an old client sends it (RFC 4346 §7.4.1.2).
    var hello: [UInt8] = [UInt8(version >> 8), UInt8(version & 255)] + [UInt8](repeating: 7, count: 32)
    hello += [0, 0, 6, 0xc0, 0x13, 0xc0, 0x14, 0, 0x2f, 1, 0]
    let message: [UInt8] = [1, 0, 0, UInt8(hello.count)] + hello
    let record: [UInt8] = [22, 3, 1, 0, UInt8(message.count)] + message
    let pipe = try TLSPipe(context: keys.server())
    let error = try #require(pipe.fault(receiving: record))
    #expect(error.kind == .versionRefused)
    #expect(error.reason == "unsupported protocol")
    // protocol_version (70), fatal.
    let alert = try #require(pipe.takeCiphertext()).array
    #expect(alert.count == 7 && alert[0] == 21 && alert.suffix(4) == [0, 2, 2, 70])
  }

  @Test("nothing in common: no cipher")
  func noCipher() throws {
    // TLS 1.2 with one cipher without forward secrecy.
    var hello: [UInt8] = [3, 3] + [UInt8](repeating: 7, count: 32)
    hello += [0, 0, 2, 0, 0x2f, 1, 0]
    let message: [UInt8] = [1, 0, 0, UInt8(hello.count)] + hello
    let pipe = try TLSPipe(context: keys.server())
    #expect(pipe.fault(receiving: [22, 3, 1, 0, UInt8(message.count)] + message)?.kind == .nothingInCommon)
  }

  @Test("a connection that is cut off is told from one that ended")
  func truncated() throws {
    let begun = try TLSPipe(context: keys.client())
    try begun.start()
    #expect(kindThrown { try begun.receiveEnd() } == .truncated)
    let wire = try Wire(keys: keys)
    try wire.settle()
    wire.client.send("half a")
    let bytes = try #require(wire.client.takeCiphertext())
    try wire.pass(bytes[0..<10], to: wire.server) { _ in Issue.record("half a record") }
    #expect(kindThrown { try wire.server.receiveEnd() } == .truncated)
    #expect(wire.server.failure?.kind == .truncated)
    try wire.server.receiveEnd()
  }

  // In a process of its own, so that nobody else's memory is measured.
  @Test("an idle server pipe costs no more than 24 KiB", .enabled(if: measuresMemory))
  func idleMemory() async {
    await #expect(processExitsWith: .success) {
      let keys = try TestKeys.shared.get()
      let server = try TLSContext.server(certificatePEM: keys.certificate, keyPEM: keys.key)
      let client = try TLSContext.client(caFile: keys.authority, verify: true)
      var pipes: [TLSPipe] = []
      var before = 0
      let count = 500
      for number in 0..<count {
        if number == 100 { before = residentBytes() }
        let wire = try Wire(client: TLSPipe(context: client, serverName: "mail.alfa.test"), server: TLSPipe(context: server))
        try wire.settle()
        wire.client.send(String(repeating: "something was said ", count: 100))
        wire.server.send(String(repeating: "and answered ", count: 100))
        try wire.settle()
        pipes.append(wire.server)
      }
      let each = (residentBytes() - before) / (count - 100)
      #expect(each > 0 && each <= 24 * 1024, "\(each) octets for each idle pipe")
      #expect(pipes.allSatisfy { $0.isEstablished })
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
