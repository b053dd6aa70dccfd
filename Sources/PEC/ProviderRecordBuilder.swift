import Octets

/// Makes provider records of LDIF records: the schema's rules (RFC 6109 §4.5), with every breach named.
struct ProviderRecordBuilder {
  private(set) var records: [ProviderRecord] = []
  private(set) var rootURL: String?
  var problems = ProblemList()
  private var seen: Set<String> = []

  private struct Fault: Error {
    var line: Int
    var reason: String
  }

  /// Values of one record while it is read.
  private struct Gathered {
    var classes: [String] = []
    var names: [String] = []
    var units: [String] = []
    var receipts: [String] = []
    var urls: [String] = []
    var hashes: [String] = []
    var certificates: [[UInt8]] = []
    var domains: [String] = []
    var knownDomains: Set<String> = []
  }

  /// Adds a record of the file, or names what is wrong with it.
  mutating func add(_ record: LDIFRecord, digest: (([UInt8]) -> String)? = nil) {
    do throws(Fault) {
      guard let name = DistinguishedName(record.dn) else {
        throw Fault(line: record.line, reason: "the dn is not a distinguished name")
      }
      guard let root = name.levels.last, root.type == "o", ASCII.equal(root.value, "postacert") else {
        throw Fault(line: record.line, reason: "the record is not under o=postacert")
      }
      var gathered = try gather(record)
      if name.levels.count == 1 {
        rootURL = rootURL ?? gathered.urls.first
        return
      }
      if let digest { pair(&gathered, record, digest) }
      let made = try provider(record, name, gathered)
      guard seen.insert(ProviderRecordBuilder.key(made.providerName, made.unit)).inserted else {
        throw Fault(line: record.line, reason: "this provider and environment already has a record")
      }
      records.append(made)
    } catch let fault {
      problems.add(fault.line, record.dn, fault.reason, .recordSkipped)
    }
  }

  /// Every provider has a main record (RFC 6109 §4.5.7): names the environments of those that have none.
  mutating func checkEnvironments() {
    for record in records where record.unit != nil && !seen.contains(ProviderRecordBuilder.key(record.providerName, nil)) {
      problems.add(record.line, record.dn, "the provider of this environment has no main record", .kept)
    }
  }

  private static func key(_ name: String, _ unit: String?) -> String {
    ASCII.lowercased(name) + "\u{0}" + ASCII.lowercased(unit ?? "")
  }

  private mutating func gather(_ record: LDIFRecord) throws(Fault) -> Gathered {
    var gathered = Gathered()
    for attribute in record.attributes {
      switch attribute.name {
      case "providercertificate":
        // DER of a certificate begins with a SEQUENCE; whether it is one is for the verifier to say.
        if attribute.value.first == 0x30 {
          gathered.certificates.append(attribute.value)
        } else {
          problems.add(attribute.line, record.dn, "providerCertificate is not DER", .valueSkipped)
        }
      case "manageddomains":
        gatherDomain(attribute, record, &gathered)
      case "providercertificatehash":
        let hash = String(decoding: ProviderRecordBuilder.trimmed(attribute.value).map(ASCII.lower), as: UTF8.self)
        if hash.utf8.count == 40, hash.utf8.allSatisfy(ProviderRecordBuilder.isHexDigit) {
          if !gathered.hashes.contains(hash) { gathered.hashes.append(hash) }
        } else {
          problems.add(attribute.line, record.dn, "providerCertificateHash is not 40 hexadecimal digits", .valueSkipped)
        }
      case "objectclass": gathered.classes.append(try text(attribute))
      case "providername": gathered.names.append(try text(attribute))
      case "providerunit": gathered.units.append(try text(attribute))
      case "mailreceipt": gathered.receipts.append(try text(attribute))
      case "ldiflocationurl": gathered.urls.append(try text(attribute))
      default: break
      }
    }
    return gathered
  }

  /// Keeps the certificates and hashes that belong together: a hash alone would let a record claim another's certificate, and a
  /// certificate alone is not found.
  private mutating func pair(_ gathered: inout Gathered, _ record: LDIFRecord, _ digest: ([UInt8]) -> String) {
    var present: Set<String> = []
    var kept: [[UInt8]] = []
    for certificate in gathered.certificates {
      let hash = ASCII.lowercased(digest(certificate))
      if !gathered.hashes.contains(hash) {
        problems.add(record.line, record.dn, "a certificate whose SHA-1 \(hash) is not in providerCertificateHash", .valueSkipped)
      } else if present.insert(hash).inserted {
        kept.append(certificate)
      }
    }
    for hash in gathered.hashes where !present.contains(hash) {
      problems.add(record.line, record.dn, "providerCertificateHash \(hash) is of no certificate of the record", .valueSkipped)
    }
    gathered.hashes.removeAll { !present.contains($0) }
    gathered.certificates = kept
  }

  private mutating func gatherDomain(_ attribute: LDIFAttribute, _ record: LDIFRecord, _ gathered: inout Gathered) {
    let domain = ProviderRecordBuilder.trimmed(attribute.value)
    guard ProviderRecordBuilder.isDomain(domain) else {
      let shown = String(decoding: domain.prefix(80), as: UTF8.self)
      problems.add(attribute.line, record.dn, "managedDomains: \"\(shown)\" is not a domain", .valueSkipped)
      return
    }
    let key = String(decoding: domain.map(ASCII.lower), as: UTF8.self)
    if gathered.knownDomains.insert(key).inserted { gathered.domains.append(key) }
  }

  private mutating func provider(_ record: LDIFRecord, _ name: DistinguishedName, _ values: Gathered) throws(Fault) -> ProviderRecord {
    let line = record.line
    guard values.classes.contains(where: { ASCII.equal($0, "provider") }) else {
      throw Fault(line: line, reason: "the record has no objectClass provider")
    }
    let types = name.levels.map(\.type)
    guard types == ["providername", "o"] || types == ["providerunit", "providername", "o"] else {
      throw Fault(line: line, reason: "the dn is neither a provider's nor a secondary environment's")
    }
    let provider = try single(values.names, "providerName", line)
    let receipt = try single(values.receipts, "mailReceipt", line)
    guard ProviderRecordBuilder.isAddress(receipt) else {
      throw Fault(line: line, reason: "mailReceipt \"\(receipt)\" is not a plain mail address")
    }
    if values.hashes.isEmpty { throw Fault(line: line, reason: "the record has no usable providerCertificateHash") }
    if values.certificates.isEmpty { throw Fault(line: line, reason: "the record has no usable providerCertificate") }
    if values.domains.isEmpty { throw Fault(line: line, reason: "the record has no usable managedDomains") }
    let isMain = name.levels.count == 2
    var unit: String?
    var url: String?
    if isMain {
      if !values.units.isEmpty { throw Fault(line: line, reason: "a main record with a providerUnit") }
      if values.urls.count > 1 { throw Fault(line: line, reason: "the record has several values of LDIFLocationURL") }
      url = values.urls.first
      if let leaf = name.levels.first, !ASCII.equal(leaf.value, provider) {
        problems.add(line, record.dn, "providerName \"\(provider)\" differs from the dn", .kept)
      }
    } else {
      unit = try single(values.units, "providerUnit", line)
      if !values.urls.isEmpty {
        problems.add(line, record.dn, "a secondary environment may not have an LDIFLocationURL", .valueSkipped)
      }
    }
    return ProviderRecord(
      dn: record.dn, line: line, providerName: provider, unit: unit, certificateHashes: values.hashes,
      certificates: values.certificates, mailReceipt: receipt, managedDomains: values.domains, ldifURL: url)
  }

  private func single(_ values: [String], _ name: String, _ line: Int) throws(Fault) -> String {
    guard let value = values.first, !value.isEmpty else { throw Fault(line: line, reason: "the record has no \(name)") }
    guard values.count == 1 else { throw Fault(line: line, reason: "the record has several values of \(name)") }
    return value
  }

  private func text(_ attribute: LDIFAttribute) throws(Fault) -> String {
    guard let text = String(validating: ProviderRecordBuilder.trimmed(attribute.value), as: UTF8.self) else {
      throw Fault(line: attribute.line, reason: "\(attribute.name) is not UTF-8")
    }
    return text
  }

  private static func trimmed(_ value: [UInt8]) -> ArraySlice<UInt8> {
    var slice = value[...]
    while slice.last == 32 || slice.last == 9 { slice.removeLast() }
    while slice.first == 32 || slice.first == 9 { slice.removeFirst() }
    return slice
  }

  private static func isHexDigit(_ byte: UInt8) -> Bool {
    byte &- 48 < 10 || byte &- 97 < 6
  }

  /// A domain name in the form of RFC 1123 §2.1, with the underscore that some zones have.
  static func isDomain(_ name: some Sequence<UInt8>) -> Bool {
    var label = 0
    var total = 0
    var last: UInt8 = 0
    for byte in name {
      total += 1
      switch byte {
      case UInt8(ascii: "."):
        if label == 0 || last == UInt8(ascii: "-") { return false }
        label = 0
      case UInt8(ascii: "-"):
        if label == 0 { return false }
        label += 1
      case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "_"):
        label += 1
      default: return false
      }
      if label > 63 { return false }
      last = byte
    }
    return label > 0 && last != UInt8(ascii: "-") && total <= 253
  }

  /// Dot-atom on both sides of one @ (RFC 6109 §4.5.4).
  static func isAddress(_ text: String) -> Bool {
    guard let at = text.utf8.firstIndex(of: UInt8(ascii: "@")) else { return false }
    let local = text.utf8[..<at]
    guard local.count <= 64, local.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).allSatisfy({ !$0.isEmpty }) else {
      return false
    }
    return local.allSatisfy(isAtomCharacter) && isDomain(text.utf8[text.utf8.index(after: at)...])
  }

  /// atext of RFC 5322 §3.2.3, and the dot.
  private static func isAtomCharacter(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
    default: "!#$%&'*+-/=?^_`{|}~.".utf8.contains(byte)
    }
  }
}
