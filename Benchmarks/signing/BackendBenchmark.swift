import Foundation
import Signing

/// Multi-buffer RSA against OpenSSL, by size of key.
enum BackendBenchmark {
  private static let address = "posta-certificata@pec.alfa.test"

  /// Measures, and prints a line for each size.
  static func run(_ words: [String]) throws {
    let numbers = words.compactMap { Int($0) }
    guard words.count == 2, numbers.count == 2, numbers.allSatisfy({ $0 > 0 }) else {
      FileHandle.standardError.write(Data("usage: signing-benchmark backends ROUNDS MILLISECONDS\n".utf8))
      exit(64)
    }
    for bits in [2048, 3072, 4096] { try run(bits, rounds: numbers[0], length: numbers[1] * 1000) }
  }

  /// Credentials of our own making: a key by the command, and a certificate that it issues to itself.
  private static func credentials(_ bits: Int) throws -> SignerCredentials {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("signing-benchmark-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let command = Process()
    command.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    command.arguments =
      ["openssl", "req", "-x509", "-newkey", "rsa:\(bits)", "-noenc", "-keyout", "\(folder)/key.pem", "-out", "\(folder)/certificate.pem"]
      + ["-subj", "/CN=Posta Certificata", "-days", "30"]
      + ["basicConstraints=CA:FALSE", "keyUsage=critical,digitalSignature", "subjectAltName=email:\(address)"].flatMap { ["-addext", $0] }
    command.standardError = FileHandle.nullDevice
    try command.run()
    command.waitUntilExit()
    return try SignerCredentials(
      keyPath: "\(folder)/key.pem", certificatePath: "\(folder)/certificate.pem", serviceAddress: address,
      now: Int64(Date().timeIntervalSince1970))
  }

  private static func run(_ bits: Int, rounds: Int, length: Int) throws {
    let credentials = try credentials(bits)
    let single = try OpenSSLSigner(credentials)
    guard let lanes = try MultiBufferSigner(credentials) else {
      let what = MultiBuffer.version == nil ? "not built in" : "not on this processor"
      let rates = try (0..<rounds).map { _ in try rate(single, 1, length) }
      print("{\"bits\": \(credentials.keyBits), \"openSSLPerSecond\": \(rates), \"multiBuffer\": \"\(what)\"}")
      return
    }
    // Both once, so that nothing is made for the first time within a round.
    _ = try rate(single, 1, 1)
    _ = try rate(lanes, MultiBuffer.lanes, 1)
    var rates: (alone: [Double], lanes: [Double]) = ([], [])
    for round in 0..<rounds {
      if round.isMultiple(of: 2) { rates.alone.append(try rate(single, 1, length)) }
      rates.lanes.append(try rate(lanes, MultiBuffer.lanes, length))
      if !round.isMultiple(of: 2) { rates.alone.append(try rate(single, 1, length)) }
    }
    print(
      """
      {"bits": \(credentials.keyBits), "openSSLPerSecond": \(rates.alone), "multiBufferPerSecond": \(rates.lanes), \
      "multiBuffer": "\(credentials.backend)"}
      """)
  }

  /// Signatures a second, handed over in batches of so many.
  private static func rate(_ signer: any DigestSigner, _ batch: Int, _ microseconds: Int) throws -> Double {
    let digests = (0..<batch).map { number in [UInt8](repeating: UInt8(0xA5 &+ number), count: 32) }
    var count = 0
    let begin = clock()
    while clock() - begin < microseconds {
      _ = try signer.sign(batch: digests)
      count += batch
    }
    return SigningBenchmark.rate(count, since: begin)
  }
}
