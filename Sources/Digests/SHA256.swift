internal import COpenSSL
import Glibc

/// SHA-256 (FIPS 180-4) of octets in memory.
///
/// The algorithm is fetched once and each thread keeps one context: a digest costs little more than its hashing.
public enum SHA256 {
  /// Octets of a digest.
  public static let bytes = 32

  /// The digest of `octets`. Traps only when OpenSSL has no SHA-256 or no memory.
  public static func digest(_ octets: [UInt8]) -> [UInt8] {
    let context = DigestContext.begun()
    context.add(octets)
    return context.finish()
  }

  /// The digest of these parts laid end to end.
  public static func digest(_ parts: [[UInt8]]) -> [UInt8] {
    let context = DigestContext.begun()
    for part in parts { context.add(part) }
    return context.finish()
  }

  /// The digest of one octet and then these two parts: how trees and chains keep their kinds of node apart (RFC 6962 §2.1).
  public static func digest(tag: UInt8, _ first: [UInt8], _ second: [UInt8] = []) -> [UInt8] {
    let context = DigestContext.begun()
    context.add(tag)
    context.add(first)
    if !second.isEmpty { context.add(second) }
    return context.finish()
  }
}

/// SHA-256 of octets that come piece by piece. For one thread at a time; ready for the next digest after `finish`.
@safe
public final class SHA256Stream {
  // Owned here, freed in deinit.
  private let context: DigestContext

  /// A digest of nothing so far.
  public init() {
    context = DigestContext.make()
    context.begin()
  }

  deinit { context.free() }

  /// Continues with `octets`.
  public func update(_ octets: [UInt8]) { context.add(octets) }

  /// Continues with `octets`.
  public func update(_ octets: Span<UInt8>) { context.add(octets) }

  /// The digest of all that came since the last `finish`.
  public func finish() -> [UInt8] {
    defer { context.begin() }
    return context.finish()
  }
}

/// A digest context of OpenSSL. Whoever made it frees it.
@safe
private struct DigestContext {
  private let pointer: OpaquePointer

  /// SHA-256 as the default provider makes it; never freed.
  nonisolated(unsafe) private static let algorithm: OpaquePointer = {
    guard let fetched = unsafe EVP_MD_fetch(nil, "SHA256", nil) else { preconditionFailure("OpenSSL offers no SHA-256") }
    return unsafe fetched
  }()

  /// Where each thread keeps its context; the thread's end frees it.
  private static let slot: pthread_key_t = {
    var key = pthread_key_t()
    let failure = unsafe pthread_key_create(&key) { kept in unsafe EVP_MD_CTX_free(OpaquePointer(kept)) }
    precondition(failure == 0, "no slot for the threads' digest contexts: \(failure)")
    return key
  }()

  /// A context that its maker owns.
  static func make() -> DigestContext {
    guard let made = unsafe EVP_MD_CTX_new() else { preconditionFailure("no memory for a digest context") }
    return unsafe DigestContext(pointer: made)
  }

  /// This thread's context, at the beginning of a digest. Owned by the slot.
  static func begun() -> DigestContext {
    let context: DigestContext
    if let kept = unsafe pthread_getspecific(slot) {
      context = unsafe DigestContext(pointer: OpaquePointer(kept))
    } else {
      context = make()
      let failure = unsafe pthread_setspecific(slot, UnsafeRawPointer(context.pointer))
      precondition(failure == 0, "a digest context cannot be kept: \(failure)")
    }
    context.begin()
    return context
  }

  func free() { unsafe EVP_MD_CTX_free(pointer) }

  func begin() {
    let begun = unsafe EVP_DigestInit_ex2(pointer, DigestContext.algorithm, nil)
    precondition(begun == 1, "OpenSSL cannot begin a digest")
  }

  func add(_ octets: [UInt8]) {
    // The array owns the octets and outlives the call.
    let taken = unsafe octets.withUnsafeBytes { unsafe EVP_DigestUpdate(pointer, $0.baseAddress, $0.count) }
    precondition(taken == 1, "OpenSSL cannot continue a digest")
  }

  func add(_ octets: Span<UInt8>) {
    // Whoever gave the span owns the octets, and they outlive the call.
    let taken = unsafe octets.withUnsafeBytes { unsafe EVP_DigestUpdate(pointer, $0.baseAddress, $0.count) }
    precondition(taken == 1, "OpenSSL cannot continue a digest")
  }

  func add(_ octet: UInt8) {
    let taken = unsafe withUnsafeBytes(of: octet) { unsafe EVP_DigestUpdate(pointer, $0.baseAddress, 1) }
    precondition(taken == 1, "OpenSSL cannot continue a digest")
  }

  func finish() -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: SHA256.bytes) { out, count in
      let made = unsafe EVP_DigestFinal_ex(pointer, out.baseAddress, nil)
      precondition(made == 1, "OpenSSL cannot end a digest")
      count = SHA256.bytes
    }
  }
}
