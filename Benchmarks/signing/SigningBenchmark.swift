import Dispatch
import Foundation
import Octets
import Signing

/// Measures what a CMS signature costs above its RSA: the same key signs digests, and whole contents through the gateway's pool with one
/// thread, in turn. To be run on one core.
///
///   signing-benchmark IDENTITY.pem SERVICE-ADDRESS CONTENT-OCTETS ROUNDS MILLISECONDS
///
/// Prints a line of JSON: signatures for each second of processor time, of each round, raw and packaged.
///
///   signing-benchmark backends ROUNDS MILLISECONDS
///
/// Measures multi-buffer RSA against OpenSSL, each alone and in turn, with fresh keys of 2048, 3072 and 4096 bits. Prints a line of JSON
/// for each: signatures for each second of processor time, of each round, by OpenSSL and by batches of eight; or why there is no
/// multi-buffer RSA here.
@main struct SigningBenchmark {
  /// Contents that are handed to the pool at once: it never waits for us.
  private static let handful = 64

  static func main() throws {
    let first = CommandLine.arguments.dropFirst().first
    if first == "backends" { return try BackendBenchmark.run(Array(CommandLine.arguments.dropFirst(2))) }
    let words = CommandLine.arguments.dropFirst()
    let numbers = words.dropFirst(2).compactMap { Int($0) }
    guard words.count == 5, numbers.count == 3, numbers.allSatisfy({ $0 > 0 }), let identity = words.first else {
      FileHandle.standardError.write(
        Data("usage: signing-benchmark IDENTITY.pem SERVICE-ADDRESS CONTENT-OCTETS ROUNDS MILLISECONDS\n".utf8)
          + Data("       signing-benchmark backends ROUNDS MILLISECONDS\n".utf8))
      exit(64)
    }
    let now = Int64(Date().timeIntervalSince1970)
    let credentials = try SignerCredentials(
      keyPath: identity, certificatePath: identity, serviceAddress: words[words.startIndex + 1], now: now)
    let signer = try OpenSSLSigner(credentials)
    // Of the same back end, whatever the gateway would take: what is above the RSA is measured.
    let pool = try SignerPool(credentials: credentials, threads: 1, batch: handful) { try OpenSSLSigner($0) }
    defer { pool.stop() }
    let content = (0..<handful).map { number in Chunk((0..<numbers[0]).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ number) }) }
    let length = numbers[2] * 1000
    // Both once, so that nothing is made for the first time within a round.
    _ = try raw(signer, 1)
    _ = packaged(pool, content, now, 1)
    var rates: (raw: [Double], packaged: [Double]) = ([], [])
    for round in 0..<numbers[1] {
      if round.isMultiple(of: 2) { rates.raw.append(try raw(signer, length)) }
      rates.packaged.append(packaged(pool, content, now, length))
      if !round.isMultiple(of: 2) { rates.raw.append(try raw(signer, length)) }
    }
    let figures = pool.figures
    guard figures.failures == 0, figures.faultySignatures == 0 else { throw Failure(description: "\(figures)") }
    print(
      """
      {"rawPerSecond": \(rates.raw), "packagedPerSecond": \(rates.packaged), "contentBytes": \(numbers[0]), \
      "digestMicroseconds": \(perSignature(figures.digestNanoseconds, figures)), \
      "signMicroseconds": \(perSignature(figures.signNanoseconds, figures)), \
      "checkMicroseconds": \(perSignature(figures.checkNanoseconds, figures)), \
      "busyMicroseconds": \(perSignature(figures.busyNanoseconds, figures))}
      """)
  }

  /// Signatures of digests alone, a second.
  private static func raw(_ signer: OpenSSLSigner, _ microseconds: Int) throws -> Double {
    let digest = [UInt8](repeating: 0xA5, count: 32)
    var count = 0
    let begin = clock()
    while clock() - begin < microseconds {
      _ = try signer.sign(batch: [digest])
      count += 1
    }
    return rate(count, since: begin)
  }

  /// Whole CMS signatures through the pool, a second.
  private static func packaged(_ pool: SignerPool, _ contents: [Chunk], _ now: Int64, _ microseconds: Int) -> Double {
    let done = DispatchSemaphore(value: 0)
    var count = 0
    let begin = clock()
    while clock() - begin < microseconds {
      for content in contents {
        pool.submit(SigningJob(token: 0, content: [content], signingTime: now) { _ in done.signal() })
      }
      for _ in contents { done.wait() }
      count += contents.count
    }
    return rate(count, since: begin)
  }

  /// For each second of processor time of the whole process: what else the machine does falls on neither.
  static func rate(_ count: Int, since begin: Int) -> Double {
    let seconds = Double(max(1, clock() - begin)) / 1e6
    return (Double(count) / seconds * 10).rounded() / 10
  }

  private static func perSignature(_ nanoseconds: UInt64, _ figures: SigningFigures) -> Double {
    (Double(nanoseconds) / Double(max(1, figures.signatures)) / 100).rounded() / 10
  }

  private struct Failure: Error, CustomStringConvertible {
    let description: String
  }
}
