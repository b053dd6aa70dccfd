internal import CCryptoMB
internal import COpenSSL

/// Multi-buffer RSA: eight signatures with one key at once, each in a lane of AVX-512 registers (`crypto_mb` of Intel Cryptography
/// Primitives). It is there when it was built in and the processor has AVX512-IFMA.
public enum MultiBuffer {
  /// Digests that are signed in one go.
  public static let lanes = 8

  /// The library's version; nil when this build has none (`Appliance/crypto-mb`).
  public static var version: String? { unsafe ceralacca_mb_version().map { unsafe String(cString: $0) } }

  /// Whether this build, on this processor, can sign in lanes with keys of so many bits.
  public static func isApplicable(bits: Int) -> Bool { version != nil && ceralacca_mb_is_applicable(Int32(bits)) == 1 }

  /// What a signature takes on one core, in microseconds: by OpenSSL 3.0, and in a full batch of lanes.
  struct Cost {
    let alone: Int
    let inFullBatch: Int
  }

  /// Measured on a processor with AVX512-IFMA. A batch that is not full takes as long as a full one: a single digest in the lanes costs
  /// four times what it costs OpenSSL (2048 bits), and four cost the same.
  static let costs: [Int: Cost] = [
    2048: Cost(alone: 247, inFullBatch: 130),
    3072: Cost(alone: 1776, inFullBatch: 967),
    4096: Cost(alone: 4050, inFullBatch: 1368),
  ]

  /// From how many digests on lanes are quicker than OpenSSL, one after the other; nil for a size that is not known.
  static func leastLanes(bits: Int) -> Int? {
    costs[bits].map { lanes * $0.inFullBatch / $0.alone + 1 }
  }

  /// A SHA-256 digest in the padding of EMSA-PKCS1-v1_5 (RFC 8017 §9.2): 00 01, ones, 00, DigestInfo.
  /// - Parameter bytes: length of the modulus in octets.
  static func padded(_ digest: [UInt8], bytes: Int) -> [UInt8] {
    let tail = digestInfo + digest
    return [0x00, 0x01] + [UInt8](repeating: 0xFF, count: bytes - tail.count - 3) + [0x00] + tail
  }

  /// The beginning of a DigestInfo of SHA-256 (RFC 8017 §9.2, note 1).
  private static let digestInfo: [UInt8] = [
    0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
  ]
}

/// What signs with a key.
public enum SigningBackend: Sendable, Equatable, CustomStringConvertible {
  /// The token that has it.
  case token
  /// Lanes when enough wait, OpenSSL when not; the library's version.
  case multiBuffer(version: String)
  /// OpenSSL alone, and why.
  case openSSL(Reason)

  /// Why there are no lanes.
  public enum Reason: Sendable, Equatable {
    /// The library was not built in.
    case notBuiltIn
    /// The processor has no AVX512-IFMA.
    case processor
    /// The key is of a size or make that lanes are not for: three primes, an odd length.
    case key
    /// The memory for keys is full.
    case memory
    /// What lanes made in a trial does not verify: nothing of them is believed.
    case trial
  }

  public var description: String {
    switch self {
    case .token: "signing with the token"
    case .multiBuffer(let version): "signing with crypto_mb \(version), eight at once, and with OpenSSL while fewer wait"
    case .openSSL(.notBuiltIn): "signing with OpenSSL (multi-buffer RSA is not built in)"
    case .openSSL(.processor): "signing with OpenSSL (this processor has no AVX512-IFMA for multi-buffer RSA)"
    case .openSSL(.key): "signing with OpenSSL (multi-buffer RSA is not for keys of this form)"
    case .openSSL(.memory): "signing with OpenSSL (there is no room in the memory for keys for multi-buffer RSA)"
    case .openSSL(.trial): "signing with OpenSSL (multi-buffer RSA failed its trial)"
    }
  }
}

/// What lanes sign with, or why there are none for a key.
enum LaneKey: Sendable {
  /// Tried.
  case ready(PrivateNumbers)
  case none(SigningBackend.Reason)

  /// Looks at the build, the processor and the key, and then tries it: a full batch and the smallest that will be made, each signature
  /// verified with the public key. A library that calculates wrongly here is found before anything depends on it.
  static func probe(_ key: KeyHandle, _ check: SignatureCheck) -> LaneKey {
    if MultiBuffer.version == nil { return .none(.notBuiltIn) }
    guard let least = MultiBuffer.leastLanes(bits: key.bits) else { return .none(.key) }
    guard MultiBuffer.isApplicable(bits: key.bits) else { return .none(.processor) }
    guard let numbers = PrivateNumbers(key) else { return .none(.key) }
    guard let lanes = Lanes(numbers) else { return .none(.memory) }
    for count in [MultiBuffer.lanes, least] {
      let digests = (0..<count).map { lane in (0..<32).map { UInt8(truncatingIfNeeded: 0xA5 &+ lane &* 29 &+ $0 &* 7) } }
      guard let made = lanes.sign(digests[...]), zip(made, digests).allSatisfy({ check.holds($0, digest: $1) }) else {
        return .none(.trial)
      }
    }
    return .ready(numbers)
  }
}

/// The lanes of one thread: a key, and memory of its own to work in.
@safe
final class Lanes: @unchecked Sendable {
  // Used by one thread at a time. The scratch is of the secure heap, owned here; wiped after each batch, and freed in deinit.
  private let numbers: PrivateNumbers
  private let scratch: UnsafeMutableRawPointer
  private let scratchBytes: Int

  /// Nil when there is no room in the memory for keys, or no lanes for this size.
  init?(_ numbers: PrivateNumbers) {
    scratchBytes = ceralacca_mb_scratch_bytes(Int32(numbers.bits))
    KeyMemory.prepare()
    guard scratchBytes > 0, let block = unsafe CRYPTO_secure_malloc(scratchBytes, #file, #line) else {
      OpenSSLErrors.clear()
      return nil
    }
    self.numbers = numbers
    unsafe scratch = block
  }

  deinit { unsafe CRYPTO_secure_clear_free(scratch, scratchBytes, #file, #line) }

  /// Signatures of 1 to 8 digests, in order; nil when a lane says that it made none.
  func sign(_ digests: ArraySlice<[UInt8]>) -> [[UInt8]]? {
    let count = digests.count
    let bytes = numbers.bits / 8
    guard (1...MultiBuffer.lanes).contains(count) else { return nil }
    let padded = digests.flatMap { MultiBuffer.padded($0, bytes: bytes) }
    var key = unsafe ceralacca_mb_numbers(
      p: numbers[.p], q: numbers[.q], dp: numbers[.dP], dq: numbers[.dQ], qinv: numbers[.qInv])
    var made: UInt32 = 0
    let signatures = unsafe [UInt8](unsafeUninitializedCapacity: count * bytes) { out, filled in
      unsafe out.initialize(repeating: 0)
      unsafe made = ceralacca_mb_raise(
        Int32(numbers.bits), Int32(count), padded, out.baseAddress, &key, scratch.assumingMemoryBound(to: UInt8.self))
      filled = count * bytes
    }
    // The library leaves intermediate results in it.
    unsafe OPENSSL_cleanse(scratch, scratchBytes)
    guard made == (1 << UInt32(count)) - 1 else { return nil }
    return (0..<count).map { Array(signatures[($0 * bytes)..<(($0 + 1) * bytes)]) }
  }
}
