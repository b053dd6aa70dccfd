import Gateway
import Limits
import MIMEStream
import Octets
import PEC
import Signing
import Synchronization

/// The provider Gamma, whose gateway nobody runs: the demonstration plays its access point, one that does not look for viruses.
struct GammaAccessPoint {
  /// The laboratory's folder.
  let directory: String

  /// A letter in its signed transport envelope (RFC 6109 §3.1.5), for recipients with certified mailboxes.
  func envelope(of letter: [UInt8], from sender: String, to recipients: [String]) throws -> [UInt8] {
    let gamma = LabProvider.gamma
    let provider = ProviderIdentity(
      name: gamma.name, serviceAddress: gamma.serviceAddress, mailDomain: gamma.domain, nodeName: "\(gamma.word)1")
    let now = Clock.now()
    let original = MessageWalker.facts(of: letter, watchedBoundaryPrefix: Composer.boundaryPrefix)
    var facts = TransactionFacts(
      Submission(reversePath: sender, forwardPaths: recipients, facts: original),
      pecID: PECIdentifier.make(
        node: provider.nodeName, instant: now, sequence: 1, random: Entropy.word(), domain: provider.mailDomain),
      instant: now, directory: ProviderDirectory(records: []), limits: MessageLimits())
    facts.recipients = recipients.map { Recipient(address: $0, recipientClass: .certified) }
    let draft = Composer(provider: provider).envelope(facts, original: original, boundarySeed: Entropy.word())
    let content = draft.signed.flatMap { fragment in
      switch fragment {
      case .composed(let octets): octets
      case .original(let range): Array(letter[range])
      }
    }
    return draft.head + content + draft.tail(signature: try signature(of: content, at: now.unixSeconds))
  }

  private func signature(of content: [UInt8], at time: Int64) throws -> [UInt8] {
    let gamma = LabProvider.gamma
    let file = "\(directory)/\(gamma.word)/signer.pem"
    let credentials = try SignerCredentials(keyPath: file, certificatePath: file, serviceAddress: gamma.serviceAddress, now: time)
    let pool = try SignerPool(credentials: credentials, threads: 1, batch: 1)
    let made = SignatureBox()
    pool.submit(SigningJob(token: 0, content: [Chunk(content)], signingTime: time) { result in made.set(result) })
    // Returns when the job is done.
    pool.stop()
    return try made.value.get()
  }
}

/// What the signing thread leaves for the one that waits.
private final class SignatureBox: Sendable {
  private let held = Mutex<Result<[UInt8], SigningError>>(.failure(.stopped))
  var value: Result<[UInt8], SigningError> { held.withLock { $0 } }
  func set(_ result: Result<[UInt8], SigningError>) { held.withLock { $0 = result } }
}
