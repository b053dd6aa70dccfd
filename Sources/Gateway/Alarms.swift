import ProviderIndex

/// What is an alarm: judged from a report alone, so that people, scrapers and tests see the same.
enum Alarms {
  /// A lane looks at its clock each second; one that has not for so long hangs.
  static let laneSilenceSeconds = 30.0
  /// Ledger and spool are looked at each second, or after twenty times what the look took.
  static let lookAgeSeconds = 120.0
  static let queueSeconds: Int64 = 4 * 3600
  /// A sender is told after 12 hours that nothing has come, also of what is held.
  static let heldSeconds: Int64 = 8 * 3600
  static let databaseSeconds: Int64 = 3 * 86_400
  static let certificateDays: [(days: Int64, severity: StatusReport.Alarm.Severity)] = [(7, .critical), (30, .warning)]
  static let deadlineSeconds: Int64 = 300
  /// A restart of the service for quotas takes less.
  static let quotaSilenceSeconds = 60.0
  /// Sealed once a day at the least.
  static let sealSeconds: Int64 = 26 * 3600

  /// All names that an alarm may have: anchors of the runbook.
  static let names = [
    "storage-broken", "ledger-refuses", "disk-full", "disk-low", "lane-hangs", "look-late", "clock-untrusted", "scanner-down",
    "scanner-workers", "signatures-old", "signer-certificate", "tls-certificate", "stamp-certificate", "signer-faulty", "index-stale",
    "index-empty", "revocation-outdated", "queue-old", "queue-held", "restored", "quota-silent", "deadlines-late", "seal-late",
    "stamp-missing", "draining",
  ]

  /// What of a report a person should look at, gravest first.
  static func judge(_ report: StatusReport) -> [StatusReport.Alarm] {
    var found: [StatusReport.Alarm] = []
    func add(_ name: String, _ severity: StatusReport.Alarm.Severity, _ words: String, _ stopsMail: Bool) {
      found.append(StatusReport.Alarm(name: name, severity: severity, words: words, stopsMail: stopsMail))
    }
    storage(report, add)
    lanes(report, add)
    if let reason = report.clock.reason { add("clock-untrusted", .critical, "nothing is certified: \(reason)", true) }
    scanner(report, add)
    certificates(report, add)
    others(report, add)
    return found.filter { $0.severity == .critical } + found.filter { $0.severity == .warning }
  }

  typealias Add = (String, StatusReport.Alarm.Severity, String, Bool) -> Void

  private static func storage(_ report: StatusReport, _ add: Add) {
    let storage = report.storage
    if let reason = storage.brokenBecause { add("storage-broken", .critical, "nothing is stored until a restart: \(reason)", true) }
    if storage.refusingSeconds > 0 {
      add("ledger-refuses", .critical, "the ledger has refused every commit for \(Int(storage.refusingSeconds)) seconds", true)
    }
    let words =
      "\(storage.freeBytes >> 20) MiB are free on the spool's disk, and mail is taken from \(storage.minimumFreeBytes >> 20) MiB on"
    if storage.freeBytes < storage.minimumFreeBytes {
      add("disk-full", .critical, words, true)
    } else if storage.freeBytes / 4 < storage.minimumFreeBytes {
      add("disk-low", .warning, words, false)
    }
  }

  private static func lanes(_ report: StatusReport, _ add: Add) {
    let hanging = report.laneSilenceSeconds.enumerated().filter { $0.element > laneSilenceSeconds }
    if !hanging.isEmpty {
      let numbers = hanging.map { "\($0.offset)" }.joined(separator: ", ")
      add("lane-hangs", .critical, "lane \(numbers) has done nothing for \(Int(hanging[0].element)) seconds", true)
    }
    if report.lookAgeSeconds > lookAgeSeconds {
      add("look-late", .warning, "ledger and spool were looked at \(Int(report.lookAgeSeconds)) seconds ago; numbers are of then", false)
    }
    if report.isDraining { add("draining", .warning, "the gateway takes nothing new", true) }
  }

  private static func scanner(_ report: StatusReport, _ add: Add) {
    guard let scanner = report.scanner else { return }
    if !scanner.isUp {
      add("scanner-down", .critical, "no message is taken without a scan: \(scanner.reason)", true)
    } else if scanner.workers == 0 {
      add("scanner-down", .critical, "no worker of the scanner is there", true)
    } else if scanner.workers < scanner.workersWanted {
      add("scanner-workers", .warning, "\(scanner.workers) of \(scanner.workersWanted) workers are there", false)
    }
    if let at = scanner.databaseAt, report.at - at > databaseSeconds {
      add("signatures-old", .warning, "the newest virus signatures are \((report.at - at) / 86_400) days old", false)
    }
  }

  private static func certificates(_ report: StatusReport, _ add: Add) {
    let first = Dictionary(grouping: report.certificates, by: \.use).compactMapValues { $0.min { $0.notAfter < $1.notAfter } }
    if let one = first[.signer] { judge("signer-certificate", "the signer's certificate", one.notAfter, report.at, stopsMail: true, add) }
    if let one = first[.tls] {
      judge("tls-certificate", "the TLS certificate for \(one.name) (\(one.key))", one.notAfter, report.at, stopsMail: false, add)
    }
    if let one = first[.stamp] {
      judge("stamp-certificate", "the time-stamping authority's certificate, \(one.name),", one.notAfter, report.at, stopsMail: false, add)
    }
    if report.signer.faulty > 0 {
      add("signer-faulty", .critical, "\(report.signer.faulty) signatures that were made did not verify, and were not used", false)
    }
  }

  private static func judge(_ name: String, _ whose: String, _ end: Int64, _ now: Int64, stopsMail: Bool, _ add: Add) {
    let left = end - now
    if left < 0 { return add(name, .critical, "\(whose) ended \(-left / 86_400) days ago", stopsMail) }
    guard let step = certificateDays.first(where: { left < $0.days * 86_400 }) else { return }
    add(name, step.severity, "\(whose) ends in \(left / 86_400) days", false)
  }

  private static func others(_ report: StatusReport, _ add: Add) {
    let now = report.at
    if report.index.records == 0 { add("index-empty", .critical, "the provider index lists nobody", false) }
    if let at = report.index.confirmedAt, report.index.isFetched, now - at > ProviderIndex.staleHours * 3600 {
      add("index-stale", .warning, "the provider index is of \((now - at) / 3600) hours ago", false)
    }
    if report.index.revocationListsOutdated > 0 {
      let count = report.index.revocationListsOutdated
      add("revocation-outdated", .warning, "\(count) of \(report.index.revocationLists) revocation lists are out of date", false)
    }
    if let at = report.queue.oldestAt, now - at > queueSeconds {
      add("queue-old", .warning, "the oldest message of the queue has waited for \((now - at) / 3600) hours", false)
    }
    if let since = report.queue.heldSince, report.queue.held > 0, now - since > heldSeconds {
      add("queue-held", .warning, "\(report.queue.held) messages are held, some for \((now - since) / 3600) hours", false)
    }
    if let restored = report.restored { add("restored", .warning, words(restored), false) }
    if report.quotaSilenceSeconds > quotaSilenceSeconds {
      let seconds = Int(report.quotaSilenceSeconds)
      add("quota-silent", .critical, "nobody has said for \(seconds) seconds whether mailboxes have room; mail for them waits", false)
    }
    // While the clock is not trusted none may fire.
    if let at = report.deadlines.nextAt, report.clock.isTrusted, now - at > deadlineSeconds {
      add("deadlines-late", .critical, "a deadline passed \(now - at) seconds ago, and its notice has not been made", false)
    }
    if let at = report.log.lastSealAt, report.log.unsealedRows > 0, now - at > sealSeconds {
      add("seal-late", .warning, "\(report.log.unsealedRows) rows of the log wait for a seal for \((now - at) / 3600) hours", false)
    }
    if let count = report.log.unstampedSeals, count > 0 { add("stamp-missing", .warning, "\(count) seals have no time stamp", false) }
  }

  /// What waits for a word does not keep a gateway from taking mail: it is ready.
  private static func words(_ restored: StatusReport.Restored) -> String {
    var parts: [String] = []
    if restored.held > 0 { parts.append("\(restored.held) messages are held, \(restored.reason) (`ceralacca queue release`)") }
    if restored.notices > 0 { parts.append("the notices of silence about \(restored.notices) messages wait (`ceralacca queue notices`)") }
    return "a backup was restored: " + parts.joined(separator: "; ")
  }
}
