import Octets
import PEC
import Signing
import Spool

/// Why signatures could not be made.
struct SigningFailure: Error {
  var reason: String
}

extension Lane {
  /// Has these drafts signed by the pool; `then` is called once, on this lane, with the signatures in order.
  ///
  /// All drafts of a transaction have one priority, that of the peer who waits for them: an acceptance without its envelope is no 250.
  func sign(
    _ drafts: [Draft], at instant: Instant, original: BodyContent, _ priority: SigningPriority,
    then: @escaping (Result<[[UInt8]], SigningFailure>) -> Void
  ) {
    shared.expectSignatures(drafts.count)
    var signatures = [[UInt8]](repeating: [], count: drafts.count)
    var missing = drafts.count
    var failure: SigningFailure?
    for (index, draft) in drafts.enumerated() {
      let content: [Chunk]
      do { content = try octets(of: draft.signed, original: original) } catch {
        then(.failure(SigningFailure(reason: "\(error)")))
        return
      }
      let address = returnAddress { completion in
        switch completion {
        case .signature(let der): signatures[index] = der
        case .failed(let reason): failure = SigningFailure(reason: reason)
        default: preconditionFailure("a signature's answer of another kind")
        }
        missing -= 1
        if missing == 0 { then(failure.map { .failure($0) } ?? .success(signatures)) }
      }
      shared.sign(content, at: instant, priority, address)
    }
  }

  /// The octets of fragments, pointing into the body where they can.
  private func octets(of fragments: [Fragment], original: BodyContent) throws -> [Chunk] {
    var chunks: [Chunk] = []
    for fragment in fragments {
      switch fragment {
      case .composed(let bytes): chunks.append(Chunk(bytes))
      case .original(let range): chunks += try original.chunks(in: range, spool: shared.spool)
      }
    }
    return chunks
  }
}
