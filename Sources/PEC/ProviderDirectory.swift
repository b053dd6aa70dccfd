import Octets

/// A record of the provider index (indice dei gestori, RFC 6109 §4.5): a provider, or one of its secondary environments.
public struct ProviderRecord: Sendable, Equatable {
  /// Distinguished name as it stands in the file.
  public var dn: String
  /// Line of the file where the record begins.
  public var line: Int
  public var providerName: String
  /// Name of the secondary environment (`providerUnit`); nil in a provider's main record.
  public var unit: String?
  /// SHA-1 of the certificates, 40 lower-case hexadecimal digits each. A search key only: compare the certificate itself.
  public var certificateHashes: [String]
  /// Signing certificates, DER.
  public var certificates: [[UInt8]]
  /// Service mailbox for take-charge receipts and virus detection notices.
  public var mailReceipt: String
  /// Certified domains, in lower case.
  public var managedDomains: [String]
  /// Where the provider publishes its own signed LDIF; a main record's only.
  public var ldifURL: String?

  /// A record as it is given.
  public init(
    dn: String, line: Int, providerName: String, unit: String? = nil, certificateHashes: [String], certificates: [[UInt8]],
    mailReceipt: String, managedDomains: [String], ldifURL: String? = nil
  ) {
    self.dn = dn
    self.line = line
    self.providerName = providerName
    self.unit = unit
    self.certificateHashes = certificateHashes
    self.certificates = certificates
    self.mailReceipt = mailReceipt
    self.managedDomains = managedDomains
    self.ldifURL = ldifURL
  }
}

/// Something wrong in an index file, and what became of it.
public struct IndexProblem: Sendable, Equatable, CustomStringConvertible {
  /// What a problem cost.
  public enum Effect: String, Sendable {
    case recordSkipped = "record skipped"
    case valueSkipped = "value skipped"
    /// Nothing was left out.
    case kept = "kept"
    case fileRefused = "file refused"
  }

  /// Line of the file, counted from 1.
  public var line: Int
  /// Record it is in, where that is known.
  public var dn: String?
  public var reason: String
  public var effect: Effect

  /// A problem at a line of the file.
  public init(line: Int, dn: String?, reason: String, effect: Effect) {
    self.line = line
    self.dn = dn
    self.reason = reason
    self.effect = effect
  }

  /// One line for a log or terminal; control characters from the file are escaped.
  public var description: String {
    ASCII.escaped("line \(line)" + (dn.map { " (\($0))" } ?? "") + ": \(reason); \(effect.rawValue)")
  }
}

/// The provider index in memory: an immutable snapshot that is cheap to pass about.
public struct ProviderDirectory: Sendable {
  private final class Storage: Sendable {
    let records: [ProviderRecord]
    let byDomain: [String: Int]
    let byHash: [String: Int]
    let ldifURL: String?

    init(records: [ProviderRecord], byDomain: [String: Int], byHash: [String: Int], ldifURL: String?) {
      self.records = records
      self.byDomain = byDomain
      self.byHash = byHash
      self.ldifURL = ldifURL
    }
  }

  private let storage: Storage

  /// An index that lists nobody: every recipient is ordinary.
  public static let empty = ProviderDirectory(records: [])

  /// The index of these records. A domain or certificate hash that several records name belongs to the first.
  public init(records: [ProviderRecord], ldifURL: String? = nil) {
    var ignored = ProblemList()
    self.init(records: records, ldifURL: ldifURL, problems: &ignored)
  }

  init(records: [ProviderRecord], ldifURL: String?, problems: inout ProblemList) {
    var byDomain: [String: Int] = [:]
    var byHash: [String: Int] = [:]
    byDomain.reserveCapacity(records.reduce(0) { $0 + $1.managedDomains.count })
    for (index, record) in records.enumerated() {
      for domain in record.managedDomains {
        let key = ASCII.lowercased(domain)
        if let owner = byDomain[key] {
          if owner != index {
            problems.add(record.line, record.dn, "domain \(key) already belongs to \(records[owner].dn)", .valueSkipped)
          }
        } else {
          byDomain[key] = index
        }
      }
      for hash in record.certificateHashes {
        let key = ASCII.lowercased(hash)
        if let owner = byHash[key] {
          if owner != index {
            problems.add(record.line, record.dn, "certificate hash \(key) already belongs to \(records[owner].dn)", .valueSkipped)
          }
        } else {
          byHash[key] = index
        }
      }
    }
    storage = Storage(records: records, byDomain: byDomain, byHash: byHash, ldifURL: ldifURL)
  }

  /// The records, in the file's order.
  public var records: [ProviderRecord] { storage.records }
  /// How many domains are certified.
  public var domainCount: Int { storage.byDomain.count }
  /// True when no provider is listed.
  public var isEmpty: Bool { storage.records.isEmpty }
  /// Where the whole index is published (root record).
  public var ldifURL: String? { storage.ldifURL }

  /// The record that manages exactly this domain, without regard to case; subdomains are other domains (RFC 6109 §2.2.1).
  public func record(managing domain: String) -> ProviderRecord? {
    storage.byDomain[ASCII.lowercased(domain)].map { storage.records[$0] }
  }

  /// The record that lists this SHA-1 of a certificate, hexadecimal in either case (RFC 6109 §2.2.2).
  public func record(certificateHash: String) -> ProviderRecord? {
    storage.byHash[ASCII.lowercased(certificateHash)].map { storage.records[$0] }
  }

  /// Certified when the address's domain is in the index, ordinary otherwise (RFC 6109 §2.2.1).
  public func recipientClass(of address: String) -> RecipientClass {
    guard let at = address.utf8.lastIndex(of: UInt8(ascii: "@")) else { return .ordinary }
    let domain = ASCII.lowercased(String(address[address.utf8.index(after: at)...]))
    return storage.byDomain[domain] == nil ? .ordinary : .certified
  }

  /// Reads an index in LDIF (RFC 2849, RFC 6109 §4.5). Faulty records are named among the problems and left out, as are faulty
  /// values of an otherwise usable record.
  /// - Parameter digest: SHA-1 of octets, in lower-case hexadecimal. With it, only certificates whose hash is listed are kept, and only
  ///   hashes whose certificate is there (RFC 6109 §4.5.1).
  public static func parse(
    ldif: [UInt8], digest: (([UInt8]) -> String)? = nil
  ) -> (directory: ProviderDirectory, problems: [IndexProblem]) {
    var reader = LDIFReader(ldif)
    var builder = ProviderRecordBuilder()
    reading: while let entry = reader.next() {
      switch entry {
      case .record(let record):
        builder.add(record, digest: digest)
      case .fault(let line, let dn, let reason):
        builder.problems.add(line, dn, reason, .recordSkipped)
      case .unusable(let line, let reason):
        builder.problems.add(line, nil, reason, .fileRefused)
        break reading
      }
    }
    builder.checkEnvironments()
    let directory = ProviderDirectory(records: builder.records, ldifURL: builder.rootURL, problems: &builder.problems)
    return (directory, builder.problems.finished)
  }
}

/// Problems up to a number that a person can still read; the rest are counted.
struct ProblemList {
  static let most = 1000
  private(set) var listed: [IndexProblem] = []
  private var unlisted = 0
  private var lastLine = 0

  mutating func add(_ line: Int, _ dn: String?, _ reason: String, _ effect: IndexProblem.Effect) {
    if listed.count < ProblemList.most {
      listed.append(IndexProblem(line: line, dn: dn, reason: reason, effect: effect))
    } else {
      unlisted += 1
      lastLine = line
    }
  }

  /// In the file's order, with a word on those that were only counted.
  var finished: [IndexProblem] {
    var all = listed.enumerated().sorted { ($0.element.line, $0.offset) < ($1.element.line, $1.offset) }.map(\.element)
    if unlisted > 0 {
      all.append(IndexProblem(line: lastLine, dn: nil, reason: "and \(unlisted) problems more, not listed", effect: .kept))
    }
    return all
  }
}
