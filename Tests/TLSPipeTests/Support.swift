import Foundation
import Octets
import TLSPipe
import Testing

/// Runs a command and waits for it. What it wrote to both outputs, and its exit code.
@discardableResult
func run(_ arguments: [String], input: String = "") throws -> (code: Int32, output: String) {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = arguments
  let output = Pipe()
  let toInput = Pipe()
  process.standardOutput = output
  process.standardError = output
  process.standardInput = toInput
  try process.run()
  try toInput.fileHandleForWriting.write(contentsOf: Data(input.utf8))
  try toInput.fileHandleForWriting.close()
  let text = output.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return (process.terminationStatus, String(decoding: text, as: UTF8.self))
}

/// Certificates for the tests, made by the openssl command in a temporary folder.
struct TestKeys: Sendable {
  let folder: String

  /// Made once for all tests of the process, removed at its end.
  static let shared: Result<TestKeys, any Error> = Result {
    let keys = try TestKeys()
    atexit { (try? TestKeys.shared.get())?.remove() }
    return keys
  }

  var authority: String { folder + "/ca.pem" }
  var otherAuthority: String { folder + "/other-ca.pem" }
  var certificate: String { folder + "/server.pem" }
  var key: String { folder + "/server.key" }
  var rsaCertificate: String { folder + "/rsa.pem" }
  var rsaKey: String { folder + "/rsa.key" }

  private init() throws {
    let place = FileManager.default.temporaryDirectory.appendingPathComponent("ceralacca-tls-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
    folder = place.path
    for name in ["ca", "other-ca"] {
      let constraint = ["-addext", "basicConstraints=critical,CA:TRUE"]
      try make(name, kind: ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], ["-subj", "/CN=Test \(name)"] + constraint)
    }
    let alternatives = "subjectAltName=DNS:mail.alfa.test,DNS:*.wild.test,IP:127.0.0.1,IP:::1"
    let names = ["-addext", alternatives, "-addext", "basicConstraints=CA:FALSE"]
    let signed = ["-CA", folder + "/ca.pem", "-CAkey", folder + "/ca.key", "-subj", "/CN=mail.alfa.test"] + names
    try make("server", kind: ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], signed)
    try make("rsa", kind: ["rsa:2048"], signed)
    // Without alternative names.
    let bare = ["-CA", folder + "/ca.pem", "-CAkey", folder + "/ca.key", "-subj", "/CN=mail.alfa.test"]
    try make("common", kind: ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], bare)
    for (name, kind, alternatives) in [
      ("one", "ec", "DNS:One.test,DNS:*.one.test"), ("one-rsa", "rsa", "DNS:one.test"), ("two", "rsa", "DNS:deep.one.test"),
    ] {
      let kinds = ["ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]]
      try make(
        name, kind: kinds[kind] ?? [],
        ["-CA", folder + "/ca.pem", "-CAkey", folder + "/ca.key", "-subj", "/CN=\(name)", "-addext", "subjectAltName=\(alternatives)"])
    }
  }

  func identity(_ name: String) -> ServerIdentity {
    ServerIdentity(certificatePEM: "\(folder)/\(name).pem", keyPEM: "\(folder)/\(name).key")
  }

  private func make(_ name: String, kind: [String], _ more: [String]) throws {
    let result = try run(
      ["openssl", "req", "-x509", "-nodes", "-days", "2", "-keyout", "\(folder)/\(name).key", "-out", "\(folder)/\(name).pem", "-newkey"]
        + kind + more)
    guard result.code == 0 else { throw Failure(text: result.output) }
  }

  struct Failure: Error { var text: String }

  func remove() { try? FileManager.default.removeItem(atPath: folder) }

  func server() throws -> TLSContext { try TLSContext.server(certificatePEM: certificate, keyPEM: key) }
  func client() throws -> TLSContext { try TLSContext.client(caFile: authority, verify: true) }
}

/// A small generator with a seed, so that a failure can be repeated.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var word = state
    word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
    word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
    return word ^ (word >> 31)
  }
}

/// Two pipes with a wire between them that cuts the octets as it likes.
final class Wire {
  let client: TLSPipe
  let server: TLSPipe
  /// Plaintext that came out at each end.
  var atClient: [UInt8] = []
  var atServer: [UInt8] = []
  /// Called with each plaintext span at the server, before it is kept.
  var onServerPlaintext: (Span<UInt8>) -> Void = { _ in }
  private var random: SeededGenerator
  private let mostAtOnce: Int

  init(client: TLSPipe, server: TLSPipe, seed: UInt64 = 1, mostAtOnce: Int = .max) {
    self.client = client
    self.server = server
    self.mostAtOnce = mostAtOnce
    random = SeededGenerator(seed: seed)
  }

  convenience init(keys: TestKeys, name: String? = "mail.alfa.test", seed: UInt64 = 1, mostAtOnce: Int = .max) throws {
    try self.init(
      client: TLSPipe(context: keys.client(), serverName: name), server: TLSPipe(context: keys.server()), seed: seed,
      mostAtOnce: mostAtOnce)
  }

  /// Carries octets until both ends are silent; the first fault of either end is thrown, after its alert has been carried over.
  func settle() throws {
    try client.start()
    var fault: (any Error)?
    while true {
      let fromClient = client.takeCiphertext()
      let fromServer = server.takeCiphertext()
      if fromClient == nil && fromServer == nil { break }
      if let fromClient {
        do {
          try pass(fromClient, to: server) {
            onServerPlaintext($0)
            atServer.append(copying: $0)
          }
        } catch { fault = fault ?? error }
      }
      if let fromServer {
        do { try pass(fromServer, to: client) { atClient.append(copying: $0) } } catch { fault = fault ?? error }
      }
    }
    if let fault { throw fault }
  }

  func pass(_ chunk: Chunk, to pipe: TLSPipe, _ plaintext: (Span<UInt8>) -> Void) throws {
    var start = 0
    while start < chunk.count, pipe.failure == nil {
      let size = min(chunk.count - start, mostAtOnce == .max ? .max : Int.random(in: 1...mostAtOnce, using: &random))
      let result: Result<Void, TLSError> = chunk[start..<(start + size)].withSpan { span in
        do throws(TLSError) {
          return .success(try pipe.receive(span, plaintext: plaintext))
        } catch {
          return .failure(error)
        }
      }
      try result.get()
      start += size
    }
  }
}

extension TLSPipe {
  func send(_ bytes: [UInt8]) { send(bytes.span) }
  func send(_ text: String) { send(Array(text.utf8).span) }

  /// The fault that these octets make, if any.
  func fault(receiving bytes: [UInt8]) -> TLSError? {
    do throws(TLSError) {
      try receive(bytes.span) { _ in }
      return nil
    } catch {
      return error
    }
  }
}

/// The kind of the TLS error that `body` throws, nil when it throws none.
func kindThrown<Value>(_ body: () throws -> Value) -> TLSError.Kind? { errorThrown(body)?.kind }

func errorThrown<Value>(_ body: () throws -> Value) -> TLSError? {
  do {
    _ = try body()
    return nil
  } catch {
    return error as? TLSError
  }
}
