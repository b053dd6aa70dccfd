import Octets

/// A piece of a message: octets made here, or octets of the message as received, pointed at and not copied.
public enum Fragment: Sendable, Equatable {
  case composed([UInt8])
  /// Offsets in the original as received.
  case original(Range<Int>)

  /// How many octets.
  public var count: Int {
    switch self {
    case .composed(let bytes): bytes.count
    case .original(let range): range.count
    }
  }
}

/// A complete message but for its signature: `head`, the signed octets, then `tail` with the signature over them.
public struct Draft: Sendable, Equatable {
  public var kind: MessageKind
  /// Without angle brackets.
  public var messageID: String
  /// MAIL FROM.
  public var sender: String
  /// RCPT TO.
  public var recipients: [String]
  /// Outer header, preamble and the first boundary line.
  public var head: [UInt8]
  /// The exact octets to be signed, in order: from `Content-Type: multipart/mixed` to before the line end that belongs to the next
  /// boundary line (RFC 1847 §2.1).
  public var signed: [Fragment]
  /// Boundary between the signed part and the signature.
  let boundary: [UInt8]
  /// Where the content of postacert.eml lies in the whole message (`head`, signed octets, tail), for a transport envelope; nil for
  /// every other kind.
  public var originalRange: Range<Int>?

  /// Length of the signed octets.
  public var signedBytes: Int { signed.reduce(0) { $0 + $1.count } }

  /// What follows the signed octets.
  /// - Parameter der: the detached CMS signature over them, DER.
  public func tail(signature der: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(320 + der.count * 3 / 2)
    out.append("\r\n--")
    out.append(contentsOf: boundary)
    out.append(
      "\r\nContent-Type: application/pkcs7-signature; name=\"smime.p7s\"\r\n"
        + "Content-Transfer-Encoding: base64\r\n"
        + "Content-Disposition: attachment; filename=\"smime.p7s\"\r\n\r\n")
    out.append(contentsOf: Base64.encodeLines(der))
    out.append("\r\n--")
    out.append(contentsOf: boundary)
    out.append("--\r\n")
    return out
  }
}

/// Fragments under construction: what is composed in a row becomes one.
struct FragmentList {
  private(set) var fragments: [Fragment] = []
  private var pending: [UInt8] = []

  init(reserving bytes: Int = 0) { pending.reserveCapacity(bytes) }

  /// How many octets were appended.
  private(set) var count = 0

  mutating func append(_ text: String) {
    count += text.utf8.count
    pending.append(text)
  }
  mutating func append(_ bytes: [UInt8]) {
    count += bytes.count
    pending.append(contentsOf: bytes)
  }

  /// Octets of the original; an empty range is nothing, adjacent ranges become one.
  mutating func append(original range: Range<Int>) {
    guard !range.isEmpty else { return }
    count += range.count
    if pending.isEmpty, case .original(let last)? = fragments.last, last.upperBound == range.lowerBound {
      fragments[fragments.count - 1] = .original(last.lowerBound..<range.upperBound)
      return
    }
    flush()
    fragments.append(.original(range))
  }

  /// What another list holds.
  mutating func append(_ others: [Fragment]) {
    for fragment in others {
      switch fragment {
      case .composed(let bytes): append(bytes)
      case .original(let range): append(original: range)
      }
    }
  }

  /// All of it.
  mutating func finish() -> [Fragment] {
    flush()
    return fragments
  }

  private mutating func flush() {
    guard !pending.isEmpty else { return }
    fragments.append(.composed(pending))
    pending = []
  }
}

/// Boundaries of the two multiparts of a message, neither of which occurs in the original (pec-rules 4.6).
struct Boundaries {
  /// Between the signed part and the signature.
  let signed: [UInt8]
  /// Between text, certification data and original.
  let mixed: [UInt8]

  /// - Parameters:
  ///   - seed: random bits that came with the event. The same seed, kind and original give the same boundaries.
  ///   - lines: lines of the original that begin like one of ours, as the walker reports them.
  init(seed: UInt64, kind: MessageKind, avoiding lines: [[UInt8]]) {
    var attempt: UInt64 = 0
    while true {
      let signed = Boundaries.boundary("S", seed, kind, attempt)
      let mixed = Boundaries.boundary("M", seed, kind, attempt)
      // There are 1000 lines at the most, and each attempt gives two new boundaries: this ends.
      if !lines.contains(where: { $0.starts(with: signed) || $0.starts(with: mixed) }) {
        self.signed = signed
        self.mixed = mixed
        return
      }
      attempt += 1
    }
  }

  private static func boundary(_ level: String, _ seed: UInt64, _ kind: MessageKind, _ attempt: UInt64) -> [UInt8] {
    var out = Composer.boundaryPrefix
    out.append(level)
    for half in 0..<2 {
      var hash = KeyedHash(seed, attempt << 1 | UInt64(half))
      hash.add(level.utf8)
      hash.add(kind.rawValue.utf8)
      out.append(contentsOf: base32(hash.value()))
    }
    return out
  }
}
