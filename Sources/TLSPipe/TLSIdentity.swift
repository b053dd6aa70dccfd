internal import COpenSSL

/// Who a server must be by its TLSA records (DANE, RFC 6698, RFC 7672).
public struct TLSIdentity: Sendable, Hashable {
  /// A record: certificate usage, selector, matching type and data (RFC 6698 §2.1).
  public struct Association: Sendable, Hashable {
    public var usage: UInt8
    public var selector: UInt8
    public var matching: UInt8
    public var data: [UInt8]

    /// A record.
    public init(usage: UInt8, selector: UInt8, matching: UInt8, data: [UInt8]) {
      self.usage = usage
      self.selector = selector
      self.matching = matching
      self.data = data
    }
  }

  public var associations: [Association]
  /// The name that the records stand under, sent along as SNI.
  public var base: String
  /// Names of which a certificate below a trust anchor (usage 2) must bear one (RFC 7672 §3.2.2).
  public var names: [String]

  /// An identity; `names` may have `base` in it.
  public init(associations: [Association], base: String, names: [String]) {
    self.associations = associations
    self.base = base
    self.names = names
  }
}

extension TLSIdentity {
  /// Demands this identity of the peer of a connection whose context is `daneClient`.
  /// - Throws: `nameUnusable`; `certificateRefused` when OpenSSL can use none of the records: then no certificate could match.
  func demand(of ssl: OpaquePointer) throws(TLSError) {
    let isName = { (name: String) in !name.isEmpty && name.utf8.count <= 253 && name.utf8.allSatisfy { $0 > 32 && $0 < 127 } }
    guard isName(base), names.allSatisfy(isName) else { throw TLSError(.nameUnusable, "not a server's name: \(base)") }
    guard unsafe ceralacca_tls_begin_dane(ssl, base) == 1 else {
      throw TLSError(.nameUnusable, "not a server's name: \(base): \(QueuedError.take().words)")
    }
    for name in names where name != base {
      guard unsafe SSL_add1_host(ssl, name) == 1 else { throw TLSError(.nameUnusable, "not a server's name: \(name)") }
    }
    var count = 0
    for association in associations {
      let added = unsafe association.data.withUnsafeBufferPointer { data in
        unsafe ceralacca_tls_add_association(
          ssl, association.usage, association.selector, association.matching, data.baseAddress, data.count)
      }
      if added < 0 { throw TLSError(.internalFailure, "a TLSA record of \(base) cannot be added") }
      count += Int(added)
    }
    if count == 0 { throw TLSError(.certificateRefused, "the TLSA records of \(base) cannot be used") }
  }
}
