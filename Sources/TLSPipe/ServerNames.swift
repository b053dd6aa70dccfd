internal import COpenSSL

/// A server's certificate and its key, as files.
public struct ServerIdentity: Sendable, Equatable {
  /// PEM file: the certificate, then the intermediate certificates.
  public var certificatePEM: String
  /// PEM file: its private key, not encrypted.
  public var keyPEM: String

  /// A certificate and its key.
  public init(certificatePEM: String, keyPEM: String) {
    self.certificatePEM = certificatePEM
    self.keyPEM = keyPEM
  }
}

/// What a server's certificate says.
public struct TLSCertificateFacts: Sendable, Equatable {
  /// The file that it came from.
  public var path: String
  /// The names that it is made out to (dNSName, RFC 5280 §4.2.1.6), in lower case; one may begin with `*.`.
  public var names: [String]
  /// Kind of the key, as a number that is equal for equal kinds (RSA, EC, …).
  public var keyKind: Int32
  /// Kind of the key for people: `RSA`, `EC`, `Ed25519`.
  public var keyName: String {
    switch keyKind {
    case NID_rsaEncryption: "RSA"
    case NID_X9_62_id_ecPublicKey: "EC"
    case NID_ED25519: "Ed25519"
    case NID_ED448: "Ed448"
    default: "kind \(keyKind)"
    }
  }
  /// First and last second of its validity, Unix time.
  public var notBefore: Int64
  public var notAfter: Int64

  /// Why it does not hold at `now` (Unix seconds); nil when it does.
  public func fault(at now: Int64) -> String? {
    if now < notBefore { return "the certificate \(path) does not hold before \(Self.day(notBefore))" }
    return now > notAfter ? "the certificate \(path) ended on \(Self.day(notAfter))" : nil
  }

  /// `2026-11-22` of a time in seconds since 1970 (civil date from days, proleptic Gregorian calendar).
  static func day(_ seconds: Int64) -> String {
    let days = (seconds >= 0 ? seconds : seconds - 86_399) / 86_400 + 719_468
    let era = (days >= 0 ? days : days - 146_096) / 146_097
    let dayOfEra = days - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    let month = shifted < 10 ? shifted + 3 : shifted - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    let two = { (number: Int64) in number < 10 ? "0\(number)" : "\(number)" }
    return "\(year)-\(two(month))-\(two(dayOfYear - (153 * shifted + 2) / 5 + 1))"
  }
}

/// Which certificates a server shows for which name: by the client's SNI (RFC 6066 §3) from the certificates' own names, one of each
/// kind of key, so that old clients get RSA and new ones EC.
struct ServerNameTable: Equatable {
  /// Indexes of certificates by exact name, or by `*.` and the rest of a name.
  private(set) var byName: [String: [Int]] = [:]
  /// For clients that name nobody, or nobody known.
  let standard: [Int]

  /// - Parameter certificates: the first is the standard one.
  init(_ certificates: [TLSCertificateFacts]) {
    func choice(_ order: [Int]) -> [Int] {
      var kinds: Set<Int32> = []
      return order.filter { kinds.insert(certificates[$0].keyKind).inserted }
    }
    for name in certificates.flatMap(\.names) where byName[name] == nil {
      let exact = certificates.indices.filter { certificates[$0].names.contains(name) }
      let covering = certificates.indices.filter { !exact.contains($0) && Self.covers(certificates[$0].names, name) }
      byName[name] = choice(exact + covering)
    }
    guard let first = certificates.first else {
      standard = []
      return
    }
    let others = certificates.indices.dropFirst().filter { other in
      !first.names.isEmpty
        && first.names.allSatisfy { certificates[other].names.contains($0) || Self.covers(certificates[other].names, $0) }
    }
    standard = choice([0] + others)
  }

  /// The certificates for what a client asks for.
  func certificates(for name: String) -> [Int] {
    let name = name.lowercased()
    return byName[name] ?? Self.wildcard(for: name).flatMap { byName[$0] } ?? standard
  }

  /// A wildcard stands for the first label, and for one (RFC 6125 §6.4.3).
  private static func wildcard(for name: String) -> String? { name.firstIndex(of: ".").map { "*\(name[$0...])" } }

  private static func covers(_ names: [String], _ name: String) -> Bool {
    !name.hasPrefix("*.") && wildcard(for: name).map(names.contains) == true
  }
}

/// The contexts of a server with several certificates, and OpenSSL's question which of them it is to be.
@safe
final class ServerNames {
  private let table: ServerNameTable
  // Owned, freed in deinit; OpenSSL takes references of its own to those in use.
  private var contexts = unsafe [[Int]: OpaquePointer]()

  init(_ table: ServerNameTable) { self.table = table }

  deinit {
    unsafe contexts.values.forEach { unsafe SSL_CTX_free($0) }
  }

  /// The sets of certificates that need a context besides the standard one.
  var furtherSets: Set<[Int]> { Set(table.byName.values).subtracting([table.standard]) }

  /// Takes over a context.
  func add(_ context: OpaquePointer, for set: [Int]) { unsafe contexts[set] = context }

  /// Has OpenSSL ask here. This object must live as long as the connections of `standard`.
  func serve(_ standard: OpaquePointer) {
    unsafe ceralacca_tls_on_name(
      standard,
      { ssl, _, argument in
        guard let ssl = unsafe ssl, let argument = unsafe argument, let asked = unsafe ceralacca_tls_asked_name(ssl) else {
          return SSL_TLSEXT_ERR_NOACK
        }
        let name = unsafe String(cString: asked)
        return unsafe Unmanaged<ServerNames>.fromOpaque(argument)._withUnsafeGuaranteedRef { names in
          guard let context = unsafe names.contexts[names.table.certificates(for: name)] else { return SSL_TLSEXT_ERR_OK }
          return unsafe SSL_set_SSL_CTX(ssl, context) == nil ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_OK
        }
      }, Unmanaged.passUnretained(self).toOpaque())
  }
}
