/// Why rows were not sealed, or an extract not made.
public enum SealingError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The system refused `operation` on `path`, in its words.
  case file(operation: String, path: String, reason: String)
  /// Larger than such a file can be (octets).
  case tooLarge(path: String, maximumBytes: Int)
  /// The ledger could not be read; its words.
  case ledger(String)
  /// A row does not hold with the chain: nothing is sealed over it, because a seal would make the change look genuine.
  case brokenChain(row: Int64, words: String)
  /// The signer cannot sign; its words.
  case signing(String)
  /// What lies in the folder of a seal cannot be used; which seal, and why.
  case damaged(seal: Int64, words: String)
  /// The extract cannot be made.
  case extract(String)

  public var description: String {
    switch self {
    case .file(let operation, let path, let reason): "\(operation) \(path): \(reason)"
    case .tooLarge(let path, let bytes): "\(path) has more than \(bytes) octets, more than such a file can have"
    case .ledger(let words): "the ledger cannot be read: \(words)"
    case .brokenChain(let row, let words):
      "row \(row) of the log does not hold: \(words): nothing is sealed from here on. Run 'ceralacca log verify', keep a copy of the "
        + "ledger, and restore it"
    case .signing(let words): "the seal cannot be signed: \(words)"
    case .damaged(let seal, let words): "seal \(seal): \(words)"
    case .extract(let words): "the extract cannot be made: \(words)"
    }
  }
}
