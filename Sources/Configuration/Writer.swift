internal import Limits

extension GatewayConfiguration {
  /// The configuration as a file that `load(path:)` reads to the same configuration, paths as they are.
  public var yaml: String { yaml(in: nil) }

  /// The configuration as a file in `folder`: paths below it are written relative, so that the folder can be moved.
  public func yaml(in folder: String?) -> String {
    let writer = Writer(folder: folder)
    return writer.text(of: self)
  }
}

/// Writes every key in the order of the reference; bounds only where they differ from the defaults.
private struct Writer {
  let folder: String?

  func text(of it: GatewayConfiguration) -> String {
    var lines = ["hostname: \(scalar(it.hostname))", "provider:"]
    lines += ["  name: \(scalar(it.provider.name))", "  serviceAddress: \(scalar(it.provider.serviceAddress))"]
    lines += ["  node: \(scalar(it.provider.node))", "  domains: \(list(it.provider.domains))"]
    lines.append("  serviceMailbox: \(scalar(it.provider.serviceMailbox))")
    lines.append("dataDirectory: \(path(it.dataDirectory))")
    lines.append("index: { \(index(it.index)) }")
    lines.append("signer: { certificate: \(path(it.signer.certificate)), key: \(signerKey(it.signer)), threads: \(it.signer.threads) }")
    if let tls = it.tls { lines.append("tls: { \(self.tls(tls)) }") }
    lines.append("users: { \(users(it)) }")
    let quota = it.quota.map { ", quota: \(scalar($0.description))" } ?? ""
    lines.append("mailboxes: { \(mailboxes(it))\(quota) }")
    lines.append("listeners:")
    lines += it.listeners.map { "  - { \(listener($0)) }" }
    lines.append("routes:")
    lines += it.routes.map { "  - { \(route($0)) }" }
    lines += ordinaryMail(it.ordinaryMail)
    if !it.trust.authorities.isEmpty { lines.append("trust: { \(trust(it.trust)) }") }
    lines += scanner(it.scanner)
    lines += certifiedLog(it.certifiedLog)
    lines.append("clock: { limitMilliseconds: \(it.clock.limitMilliseconds), synchronization: \(it.clock.synchronization.rawValue) }")
    lines += dns(it.dns)
    let bounds = limits(it.limits)
    if !bounds.isEmpty { lines += ["limits:"] + bounds.map { "  " + $0 } }
    lines.append("lanes: \(it.lanes)")
    let output = it.log.output == .stderr ? "" : ", output: \(it.log.output.rawValue)"
    lines.append("log: { format: \(it.log.format.rawValue), level: \(it.log.level.rawValue)\(output) }")
    if let metrics = it.metrics {
      lines.append("metrics: { address: \(scalar(metrics.address)), port: \(metrics.port), anywhere: \(metrics.anywhere) }")
    }
    if let user = it.user { lines.append("user: \(scalar(user))") }
    return lines.joined(separator: "\n") + "\n"
  }

  private func users(_ it: GatewayConfiguration) -> String {
    var parts = it.usersFile.map { ["passwdFile: \(path($0))"] } ?? []
    if let dovecot = it.dovecot { parts.append("dovecot: \(scalar(dovecot.description))") }
    return parts.joined(separator: ", ")
  }

  private func tls(_ tls: TLSSettings) -> String {
    let first = "certificate: \(path(tls.certificate)), key: \(path(tls.key))"
    let further = tls.names.map { "{ certificate: \(path($0.certificate)), key: \(path($0.key)) }" }
    return further.isEmpty ? first : "\(first), names: [\(further.joined(separator: ", "))]"
  }

  private func mailboxes(_ it: GatewayConfiguration) -> String {
    switch it.mailboxes {
    case .maildir(let root): "maildir: \(path(root))"
    case .lmtp(let target): "lmtp: \(scalar(target.description))" + searched(it)
    case .smtp(let smtp): "smtp: \(scalar(smtp.nextHop.description)), reportsFrom: \(list(smtp.reportsFrom.entries))" + searched(it)
    }
  }

  private func searched(_ it: GatewayConfiguration) -> String { it.mailboxSearch.map { ", imap: { \(mailboxSearch($0)) }" } ?? "" }

  private func mailboxSearch(_ search: MailboxSearchSettings) -> String {
    var parts = ["url: \(scalar(search.url))"]
    if search.startTLS { parts.append("startTLS: true") }
    if let caFile = search.caFile { parts.append("caFile: \(path(caFile))") }
    parts += ["user: \(scalar(search.user))", "passwordFile: \(path(search.passwordFile))"]
    return parts.joined(separator: ", ")
  }

  private func index(_ index: IndexSettings) -> String {
    var parts = ["file: \(path(index.file))"]
    if let signers = index.signers { parts.append("signers: \(path(signers))") }
    if index.maximumLossPercent != IndexSettings(file: "").maximumLossPercent {
      parts.append("maximumLossPercent: \(index.maximumLossPercent)")
    }
    if let fetch = index.fetch { parts.append("fetch: { \(self.fetch(fetch)) }") }
    return parts.joined(separator: ", ")
  }

  private func fetch(_ fetch: IndexFetchSettings) -> String {
    var parts = ["url: \(scalar(fetch.url))"]
    if fetch.startTLS { parts.append("startTLS: true") }
    if let caFile = fetch.caFile { parts.append("caFile: \(path(caFile))") }
    if let certificate = fetch.certificate { parts.append("certificate: \(path(certificate))") }
    if let key = fetch.key { parts.append("key: \(path(key))") }
    if let bindDN = fetch.bindDN { parts.append("bindDN: \(scalar(bindDN))") }
    if let passwordFile = fetch.passwordFile { parts.append("passwordFile: \(path(passwordFile))") }
    parts.append("everyMinutes: \(fetch.everyMinutes)")
    return parts.joined(separator: ", ")
  }

  private func trust(_ trust: TrustSettings) -> String {
    var parts = ["authorities: [\(trust.authorities.map(path).joined(separator: ", "))]"]
    if !trust.revocationLists.isEmpty {
      let lists = trust.revocationLists.map { TrustSettings.isAddress($0) ? scalar($0) : path($0) }
      parts.append("revocationLists: [\(lists.joined(separator: ", "))]")
    }
    if trust.usesDistributionPoints { parts.append("distributionPoints: true") }
    parts.append("refreshMinutes: \(trust.refreshMinutes)")
    return parts.joined(separator: ", ")
  }

  private func scanner(_ scanner: ScannerConfiguration?) -> [String] {
    guard let scanner else { return ["scanner: off"] }
    var lines = ["database: \(path(scanner.database))", "workers: \(scanner.workers)", "user: \(scalar(scanner.user))"]
    if let temporary = scanner.temporary { lines.append("temporary: \(path(temporary))") }
    if let executable = scanner.executable { lines.append("executable: \(path(executable))") }
    lines += ["encrypted: \(scanner.encrypted.rawValue)", "beyondLimits: \(scanner.beyondLimits.rawValue)"]
    lines.append("infectedOrdinaryMail: \(scanner.infectedOrdinaryMail.rawValue)")
    let down = scanner.whenDown
    lines.append("whenDown: { submission: \(down.submission.rawValue), incoming: \(down.incoming.rawValue) }")
    let usual = ScanLimits()
    for key in ScanKey.all where scanner.limits[keyPath: key.bound] != usual[keyPath: key.bound] {
      let value = scanner.limits[keyPath: key.bound]
      lines.append("\(key.name): \(key.unit == .octets ? Section.sizeText(value) : String(value))")
    }
    return ["scanner:"] + lines.map { "  " + $0 }
  }

  private func certifiedLog(_ log: CertifiedLogSettings) -> [String] {
    var lines = ["retentionMonths: \(log.retentionMonths)", "marginDays: \(log.marginDays)", "sealEveryRows: \(log.sealEveryRows)"]
    lines.append("sealDailyAt: \(scalar(log.sealDailyAt.description))")
    if let address = log.extractAddress { lines.append("extractAddress: \(scalar(address))") }
    let stamps = log.timeStamps
    lines.append("timeStamps:")
    if !stamps.authorities.isEmpty {
      lines.append("  authorities:")
      lines += stamps.authorities.map { "    - { \(authority($0)) }" }
    }
    lines += ["timeoutSeconds: \(stamps.timeoutSeconds)", "toleranceSeconds: \(stamps.toleranceSeconds)"].map { "  " + $0 }
    lines.append("  renewalDays: \(stamps.renewalDays)")
    return ["certifiedLog:"] + lines.map { "  " + $0 }
  }

  private func authority(_ authority: TimeStampAuthoritySettings) -> String {
    var parts = ["url: \(scalar(authority.url))", "caFile: \(path(authority.caFile))"]
    if let user = authority.user { parts.append("user: \(scalar(user))") }
    if let passwordFile = authority.passwordFile { parts.append("passwordFile: \(path(passwordFile))") }
    if let policy = authority.policy { parts.append("policy: \(scalar(policy))") }
    return parts.joined(separator: ", ")
  }

  private func ordinaryMail(_ settings: OrdinaryMailSettings) -> [String] {
    var lines = ["ordinaryMail:", "  policy: \(treatment(settings.standard))", "  forged: \(treatment(settings.forged))"]
    for (name, table) in [("domains", settings.domains), ("mailboxes", settings.mailboxes)] where !table.isEmpty {
      lines.append("  \(name):")
      lines += table.sorted { $0.key < $1.key }.map { "    \(scalar($0.key)): \(treatment($0.value))" }
    }
    return lines
  }

  private func treatment(_ treatment: OrdinaryTreatment) -> String {
    switch treatment {
    case .refuse: "refuse"
    case .discard: "discard"
    case .anomaly: "anomaly"
    case .forward(let address): "{ forward: \(scalar(address)) }"
    }
  }

  private func listener(_ listener: ListenerSettings) -> String {
    var place = "kind: \(listener.kind.name), address: \(scalar(listener.address)), port: \(listener.port)"
    if let proxies = listener.proxies { place += ", proxies: \(list(proxies.entries))" }
    if let forwarders = listener.forwarders { place += ", forwarders: \(list(forwarders.entries))" }
    switch listener.kind {
    case .submission, .submissions, .incoming: return place
    case .trusted(let peers, let user): return "\(place), peers: \(list(peers.entries)), user: \(user.rawValue)"
    }
  }

  private func dns(_ dns: DNSSettings) -> [String] {
    var parts: [String] = []
    switch dns.servers {
    case .system: break
    case .listed(let servers): parts.append("servers: \(list(servers))")
    case .authorities: parts.append("servers: authorities")
    }
    if let anchor = dns.trustAnchor { parts.append("trustAnchor: \(path(anchor))") }
    if !dns.privateNetworks.entries.isEmpty { parts.append("privateNetworks: \(list(dns.privateNetworks.entries))") }
    return parts.isEmpty ? [] : ["dns: { \(parts.joined(separator: ", ")) }"]
  }

  private func route(_ route: RouteSettings) -> String {
    let place = route.nextHop.map { scalar($0.description) } ?? "mx"
    var parts = ["domains: \(list(route.domains))", "nextHop: \(place)", "tls: \(route.tls.rawValue)"]
    if let caFile = route.caFile { parts.append("caFile: \(path(caFile))") }
    if let credentials = route.credentials {
      parts += ["user: \(scalar(credentials.user))", "passwordFile: \(path(credentials.passwordFile))"]
    }
    return parts.joined(separator: ", ")
  }

  private func limits(_ limits: Limits) -> [String] {
    let usual = Limits()
    var lines = LimitKey.all.filter { limits[keyPath: $0.bound] != usual[keyPath: $0.bound] }.map { "\($0.name): \($0.text(in: limits))" }
    if limits.message.maximumBytesTimesRecipients != usual.message.maximumBytesTimesRecipients {
      let value = limits.message.maximumBytesTimesRecipients.map { LimitKey.text(Double($0) / Double(LimitKey.Unit.megabytes.rawValue)) }
      lines.append("\(LimitKey.sizeTimesRecipients): \(value ?? "none")")
    }
    lines += LimitKey.ofRates.compactMap { key in limits[keyPath: key.bound].map { "\(key.name): \($0)" } }
    let deadlines = LimitKey.ofDeadlines.filter { limits[keyPath: $0.bound] != usual[keyPath: $0.bound] }
    if !deadlines.isEmpty {
      let parts = deadlines.map { "\($0.name): \($0.text(in: limits))" }
      lines.append("\(LimitKey.deadlines): { \(parts.joined(separator: ", ")) }")
    }
    return lines
  }

  private func list(_ items: [String]) -> String { "[" + items.map { scalar($0) }.joined(separator: ", ") + "]" }

  /// A file, or a token's URI.
  private func signerKey(_ signer: SignerSettings) -> String { signer.isInToken ? scalar(signer.key) : path(signer.key) }

  private func path(_ path: String) -> String {
    guard let folder, path.hasPrefix(folder + "/"), path.utf8.count > folder.utf8.count + 1 else { return scalar(path) }
    return scalar(String(path.dropFirst(folder.count + 1)))
  }

  /// Plain where no reader of YAML could take it for anything but this text; otherwise in double quotes.
  private func scalar(_ text: String) -> String {
    let reserved = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"].contains(text.lowercased())
    let plain = text.utf8.allSatisfy { octet in
      switch octet {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
      case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "/"), UInt8(ascii: "@"), UInt8(ascii: "-"), UInt8(ascii: " "): true
      default: false
      }
    }
    let startsWell =
      text.utf8.first.map { ![UInt8(ascii: "-"), UInt8(ascii: "@"), UInt8(ascii: " "), UInt8(ascii: ".")].contains($0) } ?? false
    if plain, startsWell, text.utf8.last != UInt8(ascii: " "), !reserved, Double(text) == nil { return text }
    let escaped = text.flatMap { letter -> [Character] in letter == "\"" || letter == "\\" ? ["\\", letter] : [letter] }
    return "\"" + String(escaped) + "\""
  }
}
