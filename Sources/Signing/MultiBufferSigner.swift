/// Multi-buffer RSA, with OpenSSL beside it: what waits alone is signed by OpenSSL at once, enough of it goes into the lanes.
///
/// The results of its CRT are compared with nothing by the library, so the pool checks each (`SignatureCheck`); when a lane fails, the
/// pool tries each digest of the batch again alone, and that is OpenSSL's.
public final class MultiBufferSigner: DigestSigner {
  private let lanes: Lanes
  private let single: OpenSSLSigner
  /// From how many digests on lanes are used.
  private let least: Int

  public let preferredBatch = MultiBuffer.lanes
  public let partBatchCostsAsMuch = true

  /// Nil when the credentials' key has no lanes (`SignerCredentials.backend` says why), or there is no room in the memory for keys.
  /// - Throws: `SigningError.backend` when OpenSSL refuses the key.
  public convenience init?(_ credentials: SignerCredentials) throws(SigningError) {
    guard case .inMemory(_, _, .ready(let numbers)) = credentials.key, let lanes = Lanes(numbers),
      let least = MultiBuffer.leastLanes(bits: numbers.bits)
    else { return nil }
    self.init(lanes, least: least, try OpenSSLSigner(credentials))
  }

  init(_ lanes: Lanes, least: Int, _ single: OpenSSLSigner) {
    self.lanes = lanes
    self.least = least
    self.single = single
  }

  /// Prepares OpenSSL's part; lanes keep nothing from one batch to the next.
  public func prepare() { single.prepare() }

  /// Signs each digest by PKCS#1 v1.5, in order.
  public func sign(batch: [[UInt8]]) throws -> [[UInt8]] {
    var signatures: [[UInt8]] = []
    signatures.reserveCapacity(batch.count)
    for part in MultiBufferSigner.parts(of: batch.count, least: least) {
      if part.inLanes {
        guard let made = lanes.sign(batch[part.range]) else { throw SigningError.backend("multi-buffer RSA made no signature in a lane") }
        signatures += made
      } else {
        signatures += try single.sign(batch: Array(batch[part.range]))
      }
    }
    return signatures
  }

  /// Some digests of a batch, and what signs them.
  struct Part: Equatable {
    let range: Range<Int>
    let inLanes: Bool
  }

  /// How a batch is cut: full lanes first, and what is left goes into lanes too when that is quicker.
  static func parts(of count: Int, least: Int) -> [Part] {
    stride(from: 0, to: count, by: MultiBuffer.lanes).map { start in
      let range = start..<min(count, start + MultiBuffer.lanes)
      return Part(range: range, inLanes: range.count >= least)
    }
  }
}
