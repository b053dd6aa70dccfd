/// A TLSA record (RFC 6698 §2): what a server's certificate, or an authority above it, must be.
public struct TLSAssociation: Sendable, Hashable {
  /// 2: a trust anchor (DANE-TA); 3: the server's own certificate (DANE-EE).
  public var usage: UInt8
  /// 0: the whole certificate; 1: its public key.
  public var selector: UInt8
  /// 0: as it is; 1: its SHA-256; 2: its SHA-512.
  public var matching: UInt8
  public var data: [UInt8]

  /// A record of these fields.
  public init(usage: UInt8, selector: UInt8, matching: UInt8, data: [UInt8]) {
    self.usage = usage
    self.selector = selector
    self.matching = matching
    self.data = data
  }

  /// Reads RDATA; nil when it is too short for a record.
  init?(_ data: [UInt8]) {
    guard data.count >= 3 else { return nil }
    self.init(usage: data[0], selector: data[1], matching: data[2], data: Array(data[3...]))
  }

  /// Whether it can authenticate a mail server. Usages 0 and 1 want authorities that all agree on, which mail does not have: they are
  /// unusable (RFC 7672 §3.1.3), and so is what has an unknown field or a digest of another length.
  public var isUsable: Bool {
    guard usage == 2 || usage == 3, selector <= 1 else { return false }
    return switch matching {
    case 0: !data.isEmpty
    case 1: data.count == 32
    case 2: data.count == 64
    default: false
    }
  }
}

/// What DANE says of a host.
public enum AssociationFinding: Sendable, Equatable {
  /// There is nothing, or nothing that DNSSEC vouches for.
  case absent
  /// There are records, and none that could be used: TLS all the same, whoever answers (RFC 7672 §2.2).
  case unusable
  /// The server must be one of these; `base` is the name that they stand under (RFC 7672 §2.2.3).
  case usable([TLSAssociation], base: String)
  /// It cannot be known: the host must not be used (RFC 7672 §2.1.2).
  case failed(String)

  /// Judges the answer about `_25._tcp.` and a name.
  static func of(_ answer: DNSAnswer, base: String, atMost limit: Int) -> AssociationFinding {
    switch answer.content {
    case .failed(let reason): return .failed(reason)
    case .noData, .noName: return .absent
    case .records(let data):
      guard answer.isSecure else { return .absent }
      let usable = data.prefix(limit).compactMap(TLSAssociation.init).filter(\.isUsable)
      return usable.isEmpty ? .unusable : .usable(usable, base: base)
    }
  }
}
