import PEC

/// What a new index changes, and whether it may.
struct IndexChanges {
  /// Lines of a report that a person can still read; the rest are counted.
  static let most = 200

  private let old: Side
  private let new: Side

  /// An index by what it can be asked for here.
  private struct Side {
    /// Records by provider and environment, in lower case.
    var records: [String: ProviderRecord] = [:]
    var keys: [String] = []
    /// Owner of each domain: a key of `records`.
    var domains: [String: String] = [:]

    init(_ directory: ProviderDirectory) {
      for record in directory.records {
        let key = Side.label(record).lowercased()
        if records.updateValue(record, forKey: key) == nil { keys.append(key) }
        for domain in record.managedDomains where domains[domain] == nil { domains[domain] = key }
      }
    }

    static func label(_ record: ProviderRecord) -> String {
      record.unit.map { "\(record.providerName), \($0)" } ?? record.providerName
    }

    func label(of key: String) -> String { records[key].map(Side.label) ?? key }
  }

  init(from old: ProviderDirectory, to new: ProviderDirectory) {
    self.old = Side(old)
    self.new = Side(new)
  }

  /// Why the new index is not taken without somebody's word; nil when it is (pec-rules 10.4).
  /// - Parameter problems: of the new index: a listed provider whose record became unusable is lost, not gone.
  func loss(maximumPercent: Int, problems: [IndexProblem]) -> String? {
    let gone = old.domains.keys.count { new.domains[$0] == nil }
    if gone * 100 > old.domains.count * min(max(maximumPercent, 0), 100) {
      return "it loses \(gone) of \(old.domains.count) domains, more than \(maximumPercent) %"
    }
    let skipped = Set(problems.filter { $0.effect == .recordSkipped }.compactMap { $0.dn?.lowercased() })
    for key in old.keys {
      guard let before = old.records[key] else { continue }
      guard let after = new.records[key] else {
        if skipped.contains(before.dn.lowercased()) { return "the record of \(old.label(of: key)) is unusable in it" }
        continue
      }
      // Renewal keeps the old certificate beside the new one for a while (RFC 6109 §4.5).
      if Set(before.certificates).isDisjoint(with: after.certificates) {
        return "it replaces all certificates of \(old.label(of: key)) at once"
      }
    }
    return nil
  }

  /// One line for each change, for the log; empty when there is none.
  var lines: [String] {
    var lines: [String] = []
    for key in old.keys where new.records[key] == nil { lines.append("provider removed: \(old.label(of: key))") }
    for key in new.keys {
      guard let after = new.records[key] else { continue }
      guard let before = old.records[key] else {
        lines.append("provider added: \(new.label(of: key))")
        continue
      }
      if before.mailReceipt != after.mailReceipt {
        lines.append("service mailbox changed: \(before.mailReceipt) to \(after.mailReceipt) (\(new.label(of: key)))")
      }
      if before.ldifURL != after.ldifURL {
        lines.append("LDIFLocationURL changed: \(before.ldifURL ?? "none") to \(after.ldifURL ?? "none") (\(new.label(of: key)))")
      }
    }
    lines += certificateLines + domainLines
    let shown = lines.map(oneLine)
    if shown.count <= IndexChanges.most { return shown }
    return shown.prefix(IndexChanges.most) + ["and \(shown.count - IndexChanges.most) changes more"]
  }

  private var certificateLines: [String] {
    var lines: [String] = []
    let none: [String] = []
    for key in old.keys {
      let after = Set(new.records[key]?.certificateHashes ?? none)
      for hash in old.records[key]?.certificateHashes ?? none where !after.contains(hash) {
        lines.append("certificate removed: \(hash) (\(old.label(of: key)))")
      }
    }
    for key in new.keys {
      let before = Set(old.records[key]?.certificateHashes ?? none)
      let after = new.records[key]?.certificateHashes ?? none
      for hash in after where !before.contains(hash) { lines.append("certificate added: \(hash) (\(new.label(of: key)))") }
      // Where hashes are not checked, a certificate can change behind its hash.
      if let one = old.records[key], let other = new.records[key], before == Set(after), Set(one.certificates) != Set(other.certificates) {
        lines.append("certificates changed without their hashes (\(new.label(of: key)))")
      }
    }
    return lines
  }

  private var domainLines: [String] {
    var lines: [String] = []
    for domain in old.domains.keys.sorted() {
      guard let owner = old.domains[domain] else { continue }
      if let successor = new.domains[domain] {
        if successor != owner { lines.append("domain moved: \(domain) (\(old.label(of: owner)) to \(new.label(of: successor)))") }
      } else {
        lines.append("domain removed: \(domain) (\(old.label(of: owner)))")
      }
    }
    for domain in new.domains.keys.sorted() where old.domains[domain] == nil {
      lines.append("domain added: \(domain) (\(new.domains[domain].map { new.label(of: $0) } ?? ""))")
    }
    return lines
  }

  /// Names come out of the file: nothing in them may break a line of the log.
  private func oneLine(_ text: String) -> String {
    var out = String.UnicodeScalarView()
    for scalar in text.unicodeScalars { out.append(scalar.value < 32 || (127...159).contains(scalar.value) ? " " : scalar) }
    return String(out)
  }
}
