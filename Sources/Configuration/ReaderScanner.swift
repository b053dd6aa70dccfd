internal import Limits
internal import Yams

/// A number of `scanner:` and the bound that it sets: one table for reading and for writing.
struct ScanKey: Sendable {
  enum Unit: Sendable {
    /// A count, or seconds.
    case one
    /// Octets, as `Section.size` reads them.
    case octets
  }

  let name: String
  let unit: Unit
  let range: ClosedRange<Int>
  let bound: WritableKeyPath<ScanLimits, Int> & Sendable

  init(_ name: String, _ unit: Unit, _ range: ClosedRange<Int>, _ bound: WritableKeyPath<ScanLimits, Int> & Sendable) {
    self.name = name
    self.unit = unit
    self.range = range
    self.bound = bound
  }

  static let scanBytes = "scanBytes"
  static let fileBytes = "fileBytes"

  /// What libclamav itself allows is the upper end: files below 2 GB, 100 levels.
  static let all: [ScanKey] = [
    ScanKey("seconds", .one, 1...600, \.scanSeconds),
    ScanKey("memory", .octets, 64 << 20...64 << 30, \.workerMemoryBytes),
    ScanKey(scanBytes, .octets, 1 << 20...16 << 30, \.maximumScanBytes),
    ScanKey(fileBytes, .octets, 1 << 20...2047 << 20, \.maximumFileBytes),
    ScanKey("depth", .one, 1...100, \.depth),
    ScanKey("files", .one, 1...1_000_000, \.files),
    ScanKey("databaseCheckSeconds", .one, 1...86_400, \.databaseCheckSeconds),
    ScanKey("cachedVerdicts", .one, 0...1_000_000, \.cachedVerdicts),
  ]
}

/// The virus scanner. There is no default: whoever runs a gateway says what it scans with, or that it does not.
extension Reader {
  private static let scannerKeys =
    ["database", "workers", "user", "temporary", "executable", "encrypted", "beyondLimits", "infectedOrdinaryMail", "whenDown"]
    + ScanKey.all.map(\.name)

  /// A group of keys, or the word `off`. The outer nil means that the log says why, the inner one that the scanner is off.
  /// - Parameter limits: the gateway's; nil when they could not be read.
  func scanner(_ top: Section, _ limits: Limits?) -> ScannerConfiguration?? {
    let remedy =
      "add it, for example 'scanner: { database: /var/lib/clamav }'; 'scanner: off' passes all mail on without a look for viruses"
    guard let setting = top.required("scanner", remedy: remedy) else { return nil }
    if case .scalar(let scalar) = setting.node {
      if scalar.string == "off" { return .some(nil) }
      log.add(
        setting.place, key: setting.key, "\(setting.seen), but must be a group of keys or the word off",
        "write '{ database: /var/lib/clamav }', with the folder of the signatures, or off")
      return nil
    }
    guard let section = section(setting, Reader.scannerKeys) else { return nil }
    let database = path(section, section.required("database", example: "/var/lib/clamav"))
    let workers = section.has("workers") ? section.whole(section.optional("workers"), 1...64) : ScannerConfiguration.usualWorkers
    let bounds = scanLimits(section, limits)
    var scanner = ScannerConfiguration(database: database ?? "", workers: workers ?? 1, limits: bounds)
    if let setting = section.optional("user"), let user = userName(section, setting) { scanner.user = user }
    scanner.temporary = path(section, section.optional("temporary"))
    scanner.executable = path(section, section.optional("executable"))
    scanner.encrypted = section.choice(section.optional("encrypted"), EncryptedTreatment.self) ?? scanner.encrypted
    scanner.beyondLimits = section.choice(section.optional("beyondLimits"), BeyondLimitsTreatment.self) ?? scanner.beyondLimits
    scanner.infectedOrdinaryMail =
      section.choice(section.optional("infectedOrdinaryMail"), InfectedOrdinaryTreatment.self) ?? scanner.infectedOrdinaryMail
    scanner.whenDown = outage(section)
    return database == nil ? nil : scanner
  }

  private func outage(_ outer: Section) -> ScannerOutage {
    var outage = ScannerOutage()
    guard let section = outer.optional("whenDown").flatMap({ section($0, ["submission", "incoming"]) }) else { return outage }
    outage.submission = section.choice(section.optional("submission"), ScannerOutage.Answer.self) ?? outage.submission
    outage.incoming = section.choice(section.optional("incoming"), ScannerOutage.Answer.self) ?? outage.incoming
    return outage
  }

  /// What adduser takes for a name, and nothing that a shell or a path could misread.
  private func userName(_ section: Section, _ setting: Setting) -> String? {
    guard let text = section.text(setting) else { return nil }
    let isName = text.utf8.allSatisfy { octet in
      switch octet {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
      case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."): true
      default: false
      }
    }
    guard isName, text.utf8.count <= 32, !text.hasPrefix("-"), !text.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }) else {
      log.add(setting.place, key: setting.key, "\(setting.seen), which is not the name of a user", "write one like ceralacca-scan")
      return nil
    }
    guard text != "root" else {
      log.add(
        setting.place, key: setting.key, "is 'root', and what reads infected mail must have no rights",
        "make a user of its own, for example with 'adduser --system ceralacca-scan', and name it here")
      return nil
    }
    return text
  }

  private func scanLimits(_ section: Section, _ gateway: Limits?) -> ScanLimits {
    var limits = ScanLimits()
    for key in ScanKey.all {
      guard let setting = section.optional(key.name) else { continue }
      switch key.unit {
      case .one: if let value = section.whole(setting, key.range) { limits[keyPath: key.bound] = value }
      case .octets: if let value = section.size(setting, key.range) { limits[keyPath: key.bound] = value }
      }
    }
    // The message is itself a file that is scanned: one that may come and may not be scanned would never pass.
    if let gateway, limits.maximumFileBytes < gateway.message.maximumBytes {
      let setting = section.optional(ScanKey.fileBytes)
      log.add(
        setting?.keyPlace ?? section.place, key: Section.path(section.key, ScanKey.fileBytes),
        "is below limits.maximumMessageMegabytes: larger messages would come in and never pass", "raise the one or lower the other")
    }
    if limits.maximumScanBytes < limits.maximumFileBytes {
      let setting = section.optional(ScanKey.scanBytes) ?? section.optional(ScanKey.fileBytes)
      log.add(
        setting?.keyPlace ?? section.place, key: Section.path(section.key, ScanKey.scanBytes),
        "is below scanner.\(ScanKey.fileBytes)", "raise the one or lower the other")
    }
    return limits
  }
}

extension Section {
  /// A size in octets: a whole number with K, M or G behind it for 1024, 1024² and 1024³.
  func size(_ setting: Setting, _ range: ClosedRange<Int>) -> Int? {
    let remedy = "write a size from \(Section.sizeText(range.lowerBound)) to \(Section.sizeText(range.upperBound)), such as 512M"
    guard let text = text(setting) else { return nil }
    let shifts: [Character: Int] = ["K": 10, "M": 20, "G": 30]
    let shift = text.last.flatMap { shifts[$0] }
    let digits = shift == nil ? text[...] : text.dropLast()
    guard (1...12).contains(digits.utf8.count), digits.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }), let number = Int(digits) else {
      log.add(setting.place, key: setting.key, "\(setting.seen), which is not a size", remedy)
      return nil
    }
    // Twelve digits and thirty bits are below 2⁷⁰: above the largest size nothing is multiplied.
    let value = number > range.upperBound >> (shift ?? 0) ? Int.max : number << (shift ?? 0)
    guard range.contains(value) else {
      log.add(setting.place, key: setting.key, "\(setting.seen), which is out of range", remedy)
      return nil
    }
    return value
  }

  /// A size as `size` reads it, in the largest unit without a rest.
  static func sizeText(_ octets: Int) -> String {
    for (shift, unit) in [(30, "G"), (20, "M"), (10, "K")] where octets > 0 && octets & (1 << shift - 1) == 0 {
      return "\(octets >> shift)\(unit)"
    }
    return String(octets)
  }
}
