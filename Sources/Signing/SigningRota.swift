import Octets
import Synchronization

/// Why new credentials were not taken; the old ones stay.
public enum RolloverError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The pool was stopped.
  case stopped
  /// The new certificate is for another service address: messages name the one that is configured (RFC 6109 §2.1).
  case otherAddress(found: String, wanted: String)
  /// The new certificate is not valid now (seconds since 1970).
  case outsideValidity(notBefore: Int64, notAfter: Int64, now: Int64)
  /// A trial signature by the new key does not verify with the new certificate.
  case faultySignature
  /// The new key could not be used; the back end's words.
  case backend(String)

  public var description: String {
    let what =
      switch self {
      case .stopped: "signing was stopped"
      case .otherAddress(let found, let wanted): "the new certificate is for \(found), but the service address is \(wanted)"
      case .outsideValidity(let notBefore, let notAfter, let now):
        "the new certificate is valid from \(Calendar.text(notBefore)) to \(Calendar.text(notAfter)), not on \(Calendar.text(now))"
      case .faultySignature: "a trial signature by the new key does not verify with the new certificate"
      case .backend(let reason): "a trial signature by the new key failed: \(reason)"
      }
    return "\(what). The gateway goes on signing with the key and certificate that it had."
  }
}

/// What each thread signs with now, and who may change it.
final class SigningRota: Sendable {
  /// A thread's bench and its generation.
  struct Shift {
    let generation: UInt64
    let bench: SigningBench
  }

  private struct State {
    var generation: UInt64 = 0
    var credentials: SignerCredentials
    /// One for each thread, nil once it was fetched: when a thread puts its bench down, nobody else holds the key.
    var benches: [SigningBench?]
  }

  private let state: Mutex<State>
  /// Held while credentials are exchanged, by one at a time; threads that sign never wait for it.
  private let exchange = Mutex(())
  /// The number of `state.generation`, for a look without the lock.
  private let number = Atomic<UInt64>(0)
  private let places: Int
  private let makeBench: @Sendable (SignerCredentials) throws -> SigningBench

  init(
    _ credentials: SignerCredentials, places: Int, _ settings: SignerPool.Settings,
    _ signer: @escaping @Sendable (SignerCredentials) throws -> any DigestSigner
  ) throws {
    let make: @Sendable (SignerCredentials) throws -> SigningBench = { credentials in
      let own = try signer(credentials)
      guard let bench = SigningBench(credentials, own, batch: settings.batch, checkEvery: settings.checkEvery) else {
        throw SigningError.backend(OpenSSLErrors.take())
      }
      return bench
    }
    makeBench = make
    self.places = places
    state = Mutex(State(credentials: credentials, benches: try (0..<places).map { _ in try make(credentials) }))
  }

  var credentials: SignerCredentials { state.withLock { $0.credentials } }

  /// The generation that is to be signed with.
  var generation: UInt64 { number.load(ordering: .acquiring) }

  /// Hands a thread its bench of the present generation; each thread asks once in each.
  func shift(_ place: Int) -> Shift {
    state.withLock { state in
      guard let bench = state.benches[place] else { preconditionFailure("a thread asked twice for its bench") }
      state.benches[place] = nil
      return Shift(generation: state.generation, bench: bench)
    }
  }

  func roll(to credentials: SignerCredentials, now: Int64) throws(RolloverError) {
    let refusal = exchange.withLock { _ -> RolloverError? in
      do throws(RolloverError) {
        try replace(credentials, now)
        return nil
      } catch {
        return error
      }
    }
    if let refusal { throw refusal }
  }

  private func replace(_ fresh: SignerCredentials, _ now: Int64) throws(RolloverError) {
    let wanted = credentials.serviceAddress
    guard ASCII.equal(fresh.serviceAddress, wanted) else { throw .otherAddress(found: fresh.serviceAddress, wanted: wanted) }
    let certificate = fresh.certificate
    guard certificate.isValid(at: now) else {
      throw .outsideValidity(notBefore: certificate.notBefore, notAfter: certificate.notAfter, now: now)
    }
    let benches: [SigningBench]
    do {
      // A bench for the trial alone: a key's blinding belongs to the thread that signs with it first.
      try makeBench(fresh).trySigning()
      benches = try (0..<places).map { _ in try makeBench(fresh) }
    } catch SigningError.faultySignature {
      throw .faultySignature
    } catch SigningError.backend(let reason) {
      throw .backend(reason)
    } catch {
      throw .backend("\(error)")
    }
    state.withLock { state in
      state.generation &+= 1
      state.credentials = fresh
      // Benches of the generation before that their threads had not fetched yet go with this.
      state.benches = benches
      number.store(state.generation, ordering: .releasing)
    }
  }
}
