internal import Limits
internal import Yams

/// The certified log, its time stamps, the clock, and the deadlines.
extension Reader {
  private static let logKeys = ["retentionMonths", "marginDays", "sealEveryRows", "sealDailyAt", "extractAddress", "timeStamps"]

  /// A number that may be missing; nil means that the log says why it is none.
  private func whole(_ section: Section, _ name: String, _ range: ClosedRange<Int>, usual: Int) -> Int? {
    section.has(name) ? section.whole(section.optional(name), range) : usual
  }

  /// - Parameter provider: nil when it could not be read.
  func certifiedLog(_ top: Section, _ provider: ProviderSettings?) -> CertifiedLogSettings? {
    let usual = CertifiedLogSettings()
    guard top.has("certifiedLog") else { return usual }
    guard let section = top.optional("certifiedLog").flatMap({ section($0, Reader.logKeys) }) else { return nil }
    // RFC 6109 §2.3: rows are kept for 30 months, and nobody may configure less.
    let months = whole(section, "retentionMonths", 30...1200, usual: usual.retentionMonths)
    let margin = whole(section, "marginDays", 0...3650, usual: usual.marginDays)
    // A seal is followed by rows about itself: with too few to a seal each would ask for the next.
    let rows = whole(section, "sealEveryRows", 10...1_000_000, usual: usual.sealEveryRows)
    let daily = section.has("sealDailyAt") ? timeOfDay(section, section.optional("sealDailyAt")) : usual.sealDailyAt
    let address = section.optional("extractAddress").map { extractAddress(section, $0, provider) }
    let stamps = timeStamps(section)
    guard let months, let margin, let rows, let daily, let stamps else { return nil }
    if case .some(nil) = address { return nil }
    return CertifiedLogSettings(
      retentionMonths: months, marginDays: margin, sealEveryRows: rows, sealDailyAt: daily, extractAddress: address ?? nil,
      timeStamps: stamps)
  }

  private func timeOfDay(_ section: Section, _ setting: Setting?) -> TimeOfDay? {
    guard let setting, let text = section.text(setting) else { return nil }
    if let time = TimeOfDay(text) { return time }
    log.add(setting.place, key: setting.key, "\(setting.seen), which is not a time of day", "write one like \"00:10\", from 00:00 to 23:59")
    return nil
  }

  /// A mailbox of ours; not one that receipts and notices come to, since each of them would be taken for a request.
  private func extractAddress(_ section: Section, _ setting: Setting, _ provider: ProviderSettings?) -> String? {
    guard let address = ownAddress(section, setting, provider?.domains, example: "registro@pec.example.org") else { return nil }
    guard let provider else { return address }
    for (name, other) in [("serviceAddress", provider.serviceAddress), ("serviceMailbox", provider.serviceMailbox)]
    where address.lowercased() == other.lowercased() {
      log.add(
        setting.place, key: setting.key, "is provider.\(name) as well, where other providers' messages come in",
        "give requests a mailbox of their own, such as registro@\(provider.domains.first ?? "pec.example.org")")
      return nil
    }
    return address
  }

  // MARK: Time stamps

  /// Seals wait for their stamp while authorities are asked one after the other.
  private static let mostAuthorities = 8

  private func timeStamps(_ outer: Section) -> TimeStampSettings? {
    let usual = TimeStampSettings()
    guard outer.has("timeStamps") else { return usual }
    let known = ["authorities", "timeoutSeconds", "toleranceSeconds", "renewalDays"]
    guard let section = outer.optional("timeStamps").flatMap({ section($0, known) }) else { return nil }
    let timeout = whole(section, "timeoutSeconds", 1...120, usual: usual.timeoutSeconds)
    let tolerance = whole(section, "toleranceSeconds", 1...3600, usual: usual.toleranceSeconds)
    let renewal = whole(section, "renewalDays", 1...3650, usual: usual.renewalDays)
    var authorities: [TimeStampAuthoritySettings]? = []
    if let setting = section.optional("authorities") { authorities = self.authorities(section, setting) }
    guard let authorities, let timeout, let tolerance, let renewal else { return nil }
    return TimeStampSettings(
      authorities: authorities, timeoutSeconds: timeout, toleranceSeconds: tolerance, renewalDays: renewal)
  }

  private func authorities(_ section: Section, _ setting: Setting) -> [TimeStampAuthoritySettings]? {
    guard let items = section.items(setting, of: "authorities") else { return nil }
    if items.count > Reader.mostAuthorities {
      log.add(setting.place, key: setting.key, "names \(items.count) authorities", "keep \(Reader.mostAuthorities) of them at the most")
    }
    var authorities: [TimeStampAuthoritySettings] = []
    for item in items {
      guard let inner = self.section(item, ["url", "caFile", "user", "passwordFile", "policy"]), let authority = authority(inner) else {
        continue
      }
      if authorities.contains(where: { $0.url == authority.url }) {
        log.add(item.place, key: item.key, "has the url of an earlier authority", "name another, so that one may fail")
      }
      authorities.append(authority)
    }
    return authorities.count == items.count ? authorities : nil
  }

  private func authority(_ section: Section) -> TimeStampAuthoritySettings? {
    let example = "\"https://tsa.example.org/tsr\""
    let urlSetting = section.required("url", example: example)
    let url = section.text(urlSetting)
    let scheme = url.flatMap { Words.url($0, schemes: ["http", "https"])?.scheme }
    if let urlSetting, url != nil, scheme == nil {
      log.add(
        urlSetting.place, key: urlSetting.key, "\(urlSetting.seen), which is no place where time stamps can be asked for",
        "write one like \(example)")
    }
    let caFile = file(section, "caFile", example: "tsa-ca.pem")
    var authority = TimeStampAuthoritySettings(url: url ?? "", caFile: caFile ?? "")
    if section.has("user") || section.has("passwordFile") {
      authority.user = section.text(section.required("user", example: "ceralacca"))
      authority.passwordFile = file(section, "passwordFile", example: "tsa.password")
      if scheme == "http" {
        section.refuse(
          "user", "would send a password in the clear, as the url is one with http",
          "write a url with https, or remove user and passwordFile"
        )
      }
      if authority.user?.utf8.contains(UInt8(ascii: ":")) == true, let setting = section.optional("user") {
        log.add(
          setting.place, key: setting.key, "has a colon, which no user name over HTTP may have (RFC 7617 §2)",
          "name it as the authority does")
      }
      if authority.user == nil || authority.passwordFile == nil { return nil }
    }
    if let setting = section.optional("policy") {
      guard let policy = objectIdentifier(section, setting) else { return nil }
      authority.policy = policy
    }
    return scheme == nil || caFile == nil ? nil : authority
  }

  private func objectIdentifier(_ section: Section, _ setting: Setting) -> String? {
    guard let text = section.text(setting) else { return nil }
    if Words.isObjectIdentifier(text) { return text }
    log.add(
      setting.place, key: setting.key, "\(setting.seen), which is not an object identifier",
      "write the authority's policy as numbers with dots, like 1.3.76.36.1.1.40")
    return nil
  }

  // MARK: Clock and deadlines

  func clock(_ top: Section) -> ClockSettings? {
    var settings = ClockSettings()
    guard top.has("clock") else { return settings }
    guard let section = top.optional("clock").flatMap({ section($0, ["limitMilliseconds", "synchronization"]) }) else { return nil }
    // DM 2-11-2005 art. 9: one second. A clock read to the millisecond cannot be held to less than ten.
    guard let limit = whole(section, "limitMilliseconds", 10...1000, usual: settings.limitMilliseconds) else { return nil }
    settings.limitMilliseconds = limit
    if section.has("synchronization") {
      guard let word = section.choice(section.optional("synchronization"), ClockSettings.Synchronization.self) else { return nil }
      settings.synchronization = word
    }
    return settings
  }

  /// `limits.deadlines`: shorter ones are for tests; longer ones than the rules' own nobody may have.
  func deadlines(_ outer: Section, _ limits: inout Limits) {
    guard let section = outer.optional(LimitKey.deadlines).flatMap({ section($0, LimitKey.ofDeadlines.map(\.name)) }) else { return }
    for key in LimitKey.ofDeadlines {
      guard let value = section.number(section.optional(key.name), key.range, whole: true) else { continue }
      limits[keyPath: key.bound] = Int(value)
    }
    guard limits.deadlines.firstSeconds >= limits.deadlines.secondSeconds else { return }
    let setting = section.optional("firstSeconds") ?? section.optional("secondSeconds")
    log.add(
      setting?.keyPlace ?? section.place, key: Section.path(section.key, "firstSeconds"),
      "is not below \(Section.path(section.key, "secondSeconds"))", "lower the one or raise the other")
  }
}
