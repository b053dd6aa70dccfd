internal import Limits
internal import Yams

/// Reads the tree of a file into a configuration; `nil` anywhere below means that the log says why.
struct Reader {
  let document: Document
  let folder: String
  let log: ProblemLog
  /// Whether a file that is named must be there and readable.
  let files: FileCheck

  static let keys = [
    "hostname", "provider", "dataDirectory", "index", "signer", "tls", "users", "mailboxes", "listeners", "routes", "ordinaryMail",
    "trust", "scanner", "certifiedLog", "clock", "limits", "lanes", "log", "dns", "metrics", "user",
  ]

  func configuration() -> GatewayConfiguration? {
    guard let node = document.root, !Setting(node: node, key: "", keyPlace: Place(nil)).isNull else {
      if log.problems.isEmpty { log.add(Place(nil), "the file is empty", "give it the keys \(Section.list(Reader.keys))") }
      return nil
    }
    guard let top = section(Setting(node: node, key: "", keyPlace: Place(node.mark)), Reader.keys) else { return nil }
    let hostname = hostName(top, top.required("hostname", example: "mx.example.org"))
    let provider = provider(top)
    let dataDirectory = path(top, top.required("dataDirectory", example: "/var/lib/ceralacca"))
    let index = index(top)
    let signer = signer(top)
    let tls = tls(top)
    let mailboxes = mailboxes(top)
    let users = users(top, mailboxes?.store)
    let listeners = listeners(top)
    checkReports(mailboxes?.store, listeners, top)
    let routes = routes(top)
    let ordinaryMail = ordinaryMail(top, domains: provider?.domains)
    let trust = trust(top)
    let limits = limits(top)
    let scanner = scanner(top, limits)
    let certifiedLog = certifiedLog(top, provider)
    let clock = clock(top)
    let dns = dns(top)
    let lanes = top.has("lanes") ? top.whole(top.optional("lanes"), 1...256) : GatewayConfiguration.processors
    let logging = logging(top)
    let metrics = metrics(top)
    guard let hostname, let provider, let dataDirectory, let index, let signer, let users, let mailboxes, let listeners, let routes,
      let ordinaryMail, let trust, let scanner, let certifiedLog, let clock, let limits, let lanes, let logging, let dns,
      let metrics
    else { return nil }
    var configuration = GatewayConfiguration(
      hostname: hostname, provider: provider, dataDirectory: dataDirectory, index: index, signer: signer, tls: tls,
      usersFile: users.file, mailboxes: mailboxes.store, listeners: listeners, routes: routes, ordinaryMail: ordinaryMail, trust: trust,
      scanner: scanner, certifiedLog: certifiedLog, clock: clock, limits: limits, lanes: lanes, log: logging, dovecot: users.dovecot,
      user: user(top))
    configuration.quota = mailboxes.quota
    configuration.dns = dns
    configuration.metrics = metrics
    configuration.mailboxSearch = mailboxes.search
    return configuration
  }

  // MARK: Parts that several keys share

  func section(_ setting: Setting, _ known: [String]) -> Section? { Section(setting, known: known, document: document, log: log) }

  /// A group of keys that must be there.
  func group(_ outer: Section, _ name: String, _ known: [String], example: String) -> Section? {
    outer.required(name, example: example).flatMap { section($0, known) }
  }

  /// A path, joined to the file's folder when relative.
  func path(_ section: Section, _ setting: Setting?) -> String? {
    section.text(setting).map { $0.hasPrefix("/") ? $0 : "\(folder)/\($0)" }
  }

  /// The path of a file that must be there.
  func file(_ section: Section, _ name: String, example: String) -> String? {
    section.required(name, example: example).flatMap { file(section, $0) }
  }

  /// The path of a file that must be there.
  func file(_ section: Section, _ setting: Setting) -> String? {
    guard let path = path(section, setting) else { return nil }
    if let reason = files.fault(path) {
      log.add(
        setting.place, key: setting.key, "names the file '\(path)', which \(reason)", "mend the name, or the file's place and permissions")
    }
    return path
  }

  func hostName(_ section: Section, _ setting: Setting?) -> String? {
    guard let setting, let text = section.text(setting) else { return nil }
    guard Words.isHostName(text, leastLabels: 2) else {
      log.add(
        setting.place, key: setting.key, "\(setting.seen), which is not a domain name", "write one like mx.example.org, in ASCII letters")
      return nil
    }
    return text.lowercased()
  }

  // MARK: Keys of the top

  private func provider(_ top: Section) -> ProviderSettings? {
    let example = "{ name: …, serviceAddress: …, node: …, domains: […] }"
    let known = ["name", "serviceAddress", "node", "domains", "serviceMailbox"]
    guard let section = group(top, "provider", known, example: example) else { return nil }
    let name = section.text(section.required("name", example: "Alfa PEC S.p.A."))
    let addressSetting = section.required("serviceAddress", example: "posta-certificata@pec.example.org")
    let nodeSetting = section.required("node", example: "node1")
    var node = section.text(nodeSetting)
    let domains = domains(section, section.required("domains", example: "[pec.example.org]"), star: false)
    if let text = node, let nodeSetting, !Words.isLabel(text) || text.utf8.count > 32 {
      log.add(
        nodeSetting.place, key: nodeSetting.key, "\(nodeSetting.seen), which is not a word of letters, digits and hyphens",
        "write one like node1, up to 32 letters")
      node = nil
    }
    let address = ownAddress(section, addressSetting, domains, example: "posta-certificata@pec.example.org")
    let mailbox = section.optional("serviceMailbox").map { ownAddress(section, $0, domains, example: "servizio@pec.example.org") }
    guard let name, let address, let node, let domains else { return nil }
    if case .some(nil) = mailbox { return nil }
    return ProviderSettings(name: name, serviceAddress: address, node: node, domains: domains, serviceMailbox: mailbox ?? nil)
  }

  /// A mail address in one of the provider's domains, its domain in lower case.
  func ownAddress(_ section: Section, _ setting: Setting?, _ domains: [String]?, example: String) -> String? {
    guard let setting, let halves = address(section, setting, example: example) else { return nil }
    if let domains, !domains.contains(halves.domain.lowercased()) {
      log.add(
        setting.place, key: setting.key, "is in the domain '\(halves.domain)', which is not one of provider.domains",
        "add the domain there, or give an address in one of them")
    }
    return "\(halves.local)@\(halves.domain.lowercased())"
  }

  /// A mail address.
  func address(_ section: Section, _ setting: Setting, example: String) -> (local: String, domain: String)? {
    guard let text = section.text(setting) else { return nil }
    if let halves = Words.splitAddress(text) { return halves }
    log.add(setting.place, key: setting.key, "\(setting.seen), which is not a mail address", "write one like \(example)")
    return nil
  }

  /// A list of domains in lower case, none twice.
  func domains(_ section: Section, _ setting: Setting?, star: Bool) -> [String]? {
    guard let items = section.items(setting, of: "domains") else { return nil }
    var domains: [String] = []
    for item in items {
      guard let domain = star && section.text(item) == "*" ? "*" : hostName(section, item) else { continue }
      if domains.contains(domain) {
        log.add(item.place, key: item.key, "names '\(domain)' again", "keep one of them")
      } else {
        domains.append(domain)
      }
    }
    return domains
  }

  private func signer(_ top: Section) -> SignerSettings? {
    let example = "{ certificate: signer.pem, key: signer.key }"
    guard let section = group(top, "signer", ["certificate", "key", "threads"], example: example) else { return nil }
    let certificate = file(section, "certificate", example: "signer.pem")
    let key = signerKey(section)
    let threads = section.has("threads") ? section.whole(section.optional("threads"), 1...64) : min(64, GatewayConfiguration.processors)
    guard let certificate, let key, let threads else { return nil }
    return SignerSettings(certificate: certificate, key: key, threads: threads)
  }

  /// The private key: a file that must be there, or a key in a token by its URI (RFC 7512), judged when it is loaded.
  private func signerKey(_ section: Section) -> String? {
    guard let setting = section.required("key", example: "signer.key"), let text = section.text(setting) else { return nil }
    return SignerSettings(certificate: "", key: text).isInToken ? text : file(section, setting)
  }

  private func limits(_ top: Section) -> Limits? {
    var limits = Limits()
    guard top.has("limits") else { return limits }
    let known = LimitKey.all.map(\.name) + [LimitKey.sizeTimesRecipients, LimitKey.deadlines] + LimitKey.ofRates.map(\.name)
    guard let section = top.optional("limits").flatMap({ section($0, known) }) else { return nil }
    for key in LimitKey.all {
      guard let value = section.number(section.optional(key.name), key.range, whole: key.unit == .one) else { continue }
      limits[keyPath: key.bound] = Int((value * Double(key.unit.rawValue)).rounded())
    }
    if let setting = section.optional(LimitKey.sizeTimesRecipients) {
      if case .scalar(let scalar) = setting.node, scalar.string == "none" {
        limits.message.maximumBytesTimesRecipients = nil
      } else if let value = section.number(setting, LimitKey.sizeTimesRecipientsRange, whole: false, orElse: " or none") {
        limits.message.maximumBytesTimesRecipients = Int((value * Double(LimitKey.Unit.megabytes.rawValue)).rounded())
      }
    }
    deadlines(section, &limits)
    rates(section, &limits)
    let ordered: [(low: String, value: Int, high: String, most: Int)] = [
      ("formalMegabytes", limits.message.formalBytes, "maximumMessageMegabytes", limits.message.maximumBytes),
      ("firstRetrySeconds", limits.delivery.firstRetrySeconds, "lastRetrySeconds", limits.delivery.lastRetrySeconds),
      ("connectionsPerPeer", limits.connection.maximumConnectionsPerPeer, "connections", limits.connection.maximumConnections),
    ]
    for pair in ordered where pair.value > pair.most {
      let setting = section.optional(pair.low) ?? section.optional(pair.high)
      log.add(
        setting?.keyPlace ?? section.place, key: Section.path("limits", pair.low), "is above limits.\(pair.high)",
        "lower the one or raise the other")
    }
    return limits
  }

  private func logging(_ top: Section) -> LogSettings? {
    guard top.has("log") else { return LogSettings() }
    guard let section = top.optional("log").flatMap({ section($0, ["format", "level", "output"]) }) else { return nil }
    let format = section.has("format") ? section.choice(section.optional("format"), LogFormat.self) : .text
    let level = section.has("level") ? section.choice(section.optional("level"), LogLevel.self) : .info
    let output = section.has("output") ? section.choice(section.optional("output"), LogTarget.self) : .stderr
    guard let format, let level, let output else { return nil }
    return LogSettings(format: format, level: level, output: output)
  }
}
