internal import Yams

/// What the incoming and the delivery point need: the index, whom to trust, where mailboxes are, what becomes of ordinary mail.
extension Reader {
  // MARK: The provider index

  /// A path by itself, or a group of keys.
  func index(_ top: Section) -> IndexSettings? {
    guard let setting = top.required("index", example: "{ file: index.ldif }") else { return nil }
    // The index may be away for a while: the gateway has a last good copy of it.
    if case .scalar = setting.node { return path(top, setting).map { IndexSettings(file: $0) } }
    guard let section = section(setting, ["file", "signers", "maximumLossPercent", "fetch"]) else { return nil }
    let file = path(section, section.required("file", example: "index.ldif"))
    let signers = section.optional("signers").map { self.file(section, $0) }
    let loss = section.has("maximumLossPercent") ? section.whole(section.optional("maximumLossPercent"), 0...100) : 5
    let fetch = section.optional("fetch").map { self.fetch(section, $0) }
    guard let file, let loss else { return nil }
    return IndexSettings(file: file, signers: signers ?? nil, fetch: fetch ?? nil, maximumLossPercent: loss)
  }

  private func fetch(_ outer: Section, _ setting: Setting) -> IndexFetchSettings? {
    let known = ["url", "startTLS", "caFile", "certificate", "key", "bindDN", "passwordFile", "everyMinutes"]
    guard let section = section(setting, known) else { return nil }
    let example = "\"https://index.example.org/index.ldif.p7m\""
    let urlSetting = section.required("url", example: example)
    let url = section.text(urlSetting)
    let parts = url.flatMap { Words.url($0, schemes: ["https", "ldap", "ldaps"]) }
    if let urlSetting, url != nil, parts == nil || parts?.scheme != "https" && !["", "/"].contains(parts?.path) {
      log.add(
        urlSetting.place, key: urlSetting.key, "\(urlSetting.seen), which is no place that an index can be fetched from",
        "write one like \(example) or \"ldaps://ldap.example.org\"")
      return nil
    }
    let startTLS = section.has("startTLS") ? section.flag(section.optional("startTLS")) : false
    let minutes = section.has("everyMinutes") ? section.whole(section.optional("everyMinutes"), 1...10_080) : 720
    var settings = IndexFetchSettings(url: url ?? "", startTLS: startTLS ?? false, everyMinutes: minutes ?? 720)
    settings.caFile = section.optional("caFile").flatMap { file(section, $0) }
    if section.has("certificate") || section.has("key") {
      settings.certificate = file(section, "certificate", example: "client.pem")
      settings.key = file(section, "key", example: "client.key")
    }
    if section.has("bindDN") || section.has("passwordFile") {
      settings.bindDN = section.text(section.required("bindDN", example: "\"cn=reader,o=postacert\""))
      settings.passwordFile = file(section, "passwordFile", example: "ldap.password")
    }
    guard let scheme = parts?.scheme, let startTLS else { return nil }
    refuseIdleKeys(section, scheme: scheme, startTLS: startTLS)
    return settings
  }

  /// A setting that does nothing misleads, and a password goes through TLS or nowhere.
  private func refuseIdleKeys(_ section: Section, scheme: String, startTLS: Bool) {
    switch scheme {
    case "https":
      for name in ["startTLS", "bindDN", "passwordFile"] {
        section.refuse(name, "has no meaning for a url with https", "remove it, or write a url with ldap or ldaps")
      }
      return
    case "ldaps": section.refuse("startTLS", "has no meaning for a url with ldaps: TLS is there from the start", "remove it")
    default:
      if startTLS { break }
      section.refuse(
        "caFile", "has no meaning for a url with ldap: no certificate is checked there", "remove it, or write 'startTLS: true'")
      section.refuse("bindDN", "would send a password in the clear", "write 'startTLS: true', or remove bindDN and passwordFile")
    }
    for name in ["certificate", "key"] {
      section.refuse(name, "has no meaning for a url with \(scheme)", "remove it, or write a url with https")
    }
  }

  // MARK: Trust

  func trust(_ top: Section) -> TrustSettings? {
    guard top.has("trust") else { return TrustSettings() }
    let known = ["authorities", "revocationLists", "distributionPoints", "refreshMinutes"]
    guard let section = top.optional("trust").flatMap({ section($0, known) }) else { return nil }
    let authorities = section.items(section.required("authorities", example: "[ca.pem]"), of: "files")?.compactMap { file(section, $0) }
    var lists: [String]? = []
    if let setting = section.optional("revocationLists") {
      // As with the index, a list may be away for a while: it is then unknown what is revoked, and that is said.
      lists = section.items(setting, of: "files or URLs")?.compactMap { revocationList(section, $0) }
    }
    let points = section.has("distributionPoints") ? section.flag(section.optional("distributionPoints")) : false
    let minutes = section.has("refreshMinutes") ? section.whole(section.optional("refreshMinutes"), 1...1440) : 60
    guard let authorities, let lists, let points, let minutes else { return nil }
    return TrustSettings(authorities: authorities, revocationLists: lists, usesDistributionPoints: points, refreshMinutes: minutes)
  }

  private func revocationList(_ section: Section, _ item: Setting) -> String? {
    guard let text = section.text(item) else { return nil }
    guard text.contains("://") else { return path(section, item) }
    if Words.url(text, schemes: ["http", "https"]) != nil { return text }
    log.add(
      item.place, key: item.key, "\(item.seen), which is neither a file nor a place that a list can be fetched from",
      "write one like ca.crl or \"http://crl.example.org/ca.crl\"")
    return nil
  }

  // MARK: Mailboxes

  /// Where local mail is delivered, and who is asked about mailboxes before.
  struct Mailboxes {
    var store: MailboxStore
    /// Whether they have room.
    var quota: LocalTarget?
    /// Whether they have a message whose hand-over was cut off.
    var search: MailboxSearchSettings?
  }

  func mailboxes(_ top: Section) -> Mailboxes? {
    let ways = ["maildir", "lmtp", "smtp"]
    guard let section = group(top, "mailboxes", ways + ["reportsFrom", "quota", "imap"], example: "{ maildir: mail }") else { return nil }
    let search = section.optional("imap").map { mailboxSearch(section, $0) }
    let quota = section.optional("quota").map {
      localTarget(section, $0, examples: "\"unix:/run/dovecot/quota-status\" or \"127.0.0.1:12340\"")
    }
    // A file whose group is bad is none; the log says why.
    guard let store = store(section, among: ways) else { return nil }
    if case .some(nil) = search { return nil }
    if case .some(nil) = quota { return nil }
    return Mailboxes(store: store, quota: quota ?? nil, search: search ?? nil)
  }

  private func store(_ section: Section, among ways: [String]) -> MailboxStore? {
    let present = ways.filter { section.has($0) }
    for name in present.dropFirst() {
      section.refuse(name, "stands beside \(present[0]), and mail can only go to one of them", "remove one of the two keys")
    }
    if !present.contains("smtp") {
      section.refuse("reportsFrom", "has no meaning without smtp: no other way needs delivery reports", "remove it")
    }
    if present.first == "maildir" {
      section.refuse("imap", "has no meaning with maildir: a Maildir knows by itself what it has", "remove it")
    }
    switch present.first {
    case "maildir": return path(section, section.optional("maildir")).map { .maildir(root: $0) }
    case "lmtp": return lmtp(section)
    case "smtp":
      let hop = endpoint(section, section.optional("smtp"))
      let peers = peers(section, "reportsFrom")
      guard let hop, let peers else { return nil }
      return .smtp(SMTPMailboxes(nextHop: hop, reportsFrom: peers))
    default:
      let remedy = "write '{ maildir: mail }', '{ lmtp: \"127.0.0.1:24\" }' or '{ smtp: \"127.0.0.1:25\", reportsFrom: [127.0.0.1] }'"
      log.add(section.place, key: section.key, "says neither maildir nor lmtp nor smtp", remedy)
      return nil
    }
  }

  private func lmtp(_ section: Section) -> MailboxStore? {
    let examples = "\"127.0.0.1:24\" or \"unix:/run/dovecot/lmtp\""
    return section.optional("lmtp").flatMap { localTarget(section, $0, examples: examples) }.map { .lmtp($0) }
  }

  /// The mailboxes' server by IMAP. Its password opens all of them: it goes through TLS, or to this machine.
  private func mailboxSearch(_ outer: Section, _ setting: Setting) -> MailboxSearchSettings? {
    guard let section = section(setting, ["url", "startTLS", "caFile", "user", "passwordFile"]) else { return nil }
    let example = "\"imaps://mail.example.org\""
    let urlSetting = section.required("url", example: example)
    let url = section.text(urlSetting)
    let parts = url.flatMap { Words.url($0, schemes: ["imap", "imaps"]) }
    if let urlSetting, url != nil, !["", "/"].contains(parts?.path) {
      log.add(
        urlSetting.place, key: urlSetting.key, "\(urlSetting.seen), which is no place that can be asked by IMAP",
        "write one like \(example) or \"imap://127.0.0.1:143\"")
      return nil
    }
    let startTLS = section.has("startTLS") ? section.flag(section.optional("startTLS")) : false
    let caFile = section.optional("caFile").map { file(section, $0) }
    let user = section.text(section.required("user", example: "ceralacca"))
    let passwordFile = file(section, "passwordFile", example: "dovecot-master.password")
    guard let url, let parts, let startTLS, let user, let passwordFile else { return nil }
    if parts.scheme == "imaps" {
      section.refuse("startTLS", "has no meaning for a url with imaps: TLS is there from the start", "remove it")
    } else if !startTLS {
      section.refuse(
        "caFile", "has no meaning for a url with imap: no certificate is checked there", "remove it, or write 'startTLS: true'")
      guard isLoopback(url) else {
        section.refuse(
          "url", "would send a password that opens all mailboxes in the clear", "write a url with imaps, or add 'startTLS: true'")
        return nil
      }
    }
    if case .some(nil) = caFile { return nil }
    return MailboxSearchSettings(url: url, startTLS: startTLS, caFile: caFile ?? nil, user: user, passwordFile: passwordFile)
  }

  /// Whether a URL names this machine by address.
  private func isLoopback(_ url: String) -> Bool {
    let authority = url.dropFirst("imap://".count).prefix { $0 != "/" }
    return ["127.0.0.1", "[::1]"].contains { authority == $0 || authority.hasPrefix("\($0):") }
  }

  /// A server beside us: `host:port`, or `unix:` and the path of a socket.
  private func localTarget(_ section: Section, _ setting: Setting, examples: String) -> LocalTarget? {
    guard let text = section.text(setting) else { return nil }
    if text.hasPrefix("unix:"), text.count > 5 {
      let path = String(text.dropFirst(5))
      return .unix(path: path.hasPrefix("/") ? path : "\(folder)/\(path)")
    }
    if let endpoint = Words.endpoint(text) { return .tcp(endpoint) }
    log.add(setting.place, key: setting.key, "\(setting.seen), which is no place to connect to", "write one like \(examples)")
    return nil
  }

  // MARK: Users

  /// Who may log in: a passwd-file, Dovecot, or both.
  func users(_ top: Section, _ mailboxes: MailboxStore?) -> (file: String?, dovecot: LocalTarget?)? {
    guard let section = group(top, "users", ["passwdFile", "dovecot"], example: "{ passwdFile: users }") else { return nil }
    let examples = "\"unix:/run/dovecot/auth-ceralacca\" or \"127.0.0.1:12345\""
    guard let dovecotSetting = section.optional("dovecot") else { return file(section, "passwdFile", example: "users").map { ($0, nil) } }
    let dovecot = localTarget(section, dovecotSetting, examples: examples)
    let passwdFile = section.optional("passwdFile").map { file(section, $0) }
    if passwdFile == nil, case .maildir = mailboxes {
      log.add(
        section.place, key: "users.passwdFile", "is missing, and mailboxes.maildir needs it: only the file says which mailboxes there are",
        "add it, or deliver by LMTP")
      return nil
    }
    if case .some(nil) = passwdFile { return nil }
    guard let dovecot else { return nil }
    return (passwdFile ?? nil, dovecot)
  }

  /// Reports prove what was delivered, and they come in where all mail does.
  func checkReports(_ store: MailboxStore?, _ listeners: [ListenerSettings]?, _ top: Section) {
    guard case .smtp = store, let listeners, !listeners.contains(where: { $0.kind == .incoming }) else { return }
    log.add(
      top.optional("mailboxes")?.keyPlace, key: "mailboxes.smtp", "needs a listener of kind incoming, where delivery reports come in",
      "add one, for example '- { kind: incoming, address: 127.0.0.1, port: 25 }'")
  }

  // MARK: Ordinary mail

  /// - Parameter domains: the provider's; nil when they could not be read.
  func ordinaryMail(_ top: Section, domains: [String]?) -> OrdinaryMailSettings? {
    guard top.has("ordinaryMail") else { return OrdinaryMailSettings() }
    let known = ["policy", "forged", "domains", "mailboxes"]
    guard let section = top.optional("ordinaryMail").flatMap({ section($0, known) }) else { return nil }
    var settings = OrdinaryMailSettings()
    if let setting = section.optional("policy") { settings.standard = treatment(setting, domains) ?? .anomaly }
    if let setting = section.optional("forged") { settings.forged = treatment(setting, domains, isForged: true) ?? .refuse }
    settings.domains = table(section.optional("domains"), of: "domains", domains) { name in
      Words.isHostName(name, leastLabels: 2) ? name : nil
    }
    settings.mailboxes = table(section.optional("mailboxes"), of: "addresses", domains) { Words.splitAddress($0)?.domain }
    return settings
  }

  /// Names of domains or mailboxes of the provider, with the treatment of each. `domain` tells the domain of a name, nil for no name.
  private func table(
    _ setting: Setting?, of what: String, _ domains: [String]?, domain: (String) -> String?
  ) -> [String: OrdinaryTreatment] {
    var table: [String: OrdinaryTreatment] = [:]
    for entry in setting.flatMap({ named($0, of: what) }) ?? [] {
      let name = entry.name.lowercased()
      guard let domain = domain(name) else {
        let form = what == "domains" ? "a domain name" : "a mail address"
        log.add(entry.setting.keyPlace, key: entry.setting.key, "is not \(form)", "name one of the provider's \(what)")
        continue
      }
      if let domains, !domains.contains(domain) {
        log.add(
          entry.setting.keyPlace, key: entry.setting.key, "is in no domain of provider.domains", "add the domain there, or remove the key")
      }
      if table[name] != nil {
        log.add(entry.setting.keyPlace, key: entry.setting.key, "is there more than once", "keep one of them")
      }
      if let treatment = treatment(entry.setting, domains) { table[name] = treatment }
    }
    return table
  }

  private func treatment(_ setting: Setting, _ domains: [String]?, isForged: Bool = false) -> OrdinaryTreatment? {
    let words = isForged ? "refuse, discard or anomaly" : "refuse, discard, anomaly or '{ forward: anna@example.org }'"
    switch setting.node {
    case .scalar(let scalar):
      switch scalar.string {
      case "refuse": return .refuse
      case "discard": return .discard
      case "anomaly": return .anomaly
      default:
        let known = setting.isNull ? setting.seen : "\(setting.seen), which is not known"
        log.add(setting.place, key: setting.key, known, "write \(words)")
        return nil
      }
    case .mapping where isForged:
      log.add(setting.place, key: setting.key, "is a group of keys, and forged mail is not sent on", "write \(words)")
      return nil
    case .mapping:
      guard let section = section(setting, ["forward"]), let target = section.required("forward", example: "anna@example.org"),
        let halves = address(section, target, example: "anna@example.org")
      else { return nil }
      if let domains, domains.contains(halves.domain.lowercased()) {
        log.add(
          target.place, key: target.key, "is in the domain '\(halves.domain)' of provider.domains: mail would come back",
          "name an ordinary address elsewhere")
      }
      return .forward(to: "\(halves.local)@\(halves.domain.lowercased())")
    case .sequence, .alias:
      log.add(setting.place, key: setting.key, "\(setting.seen), but must be a treatment", "write \(words)")
      return nil
    }
  }

  /// A group with keys of the writer's own choice, in the order of the file; nil when it is none.
  private func named(_ setting: Setting, of what: String) -> [(name: String, setting: Setting)]? {
    guard case .mapping(let mapping) = setting.node else {
      log.add(setting.place, key: setting.key, "\(setting.seen), but must be a group of keys", "write \(what) as its keys")
      return nil
    }
    var entries: [(name: String, setting: Setting)] = []
    for (key, value) in mapping {
      guard case .scalar(let scalar) = key else {
        log.add(Place(key.mark), key: setting.key, "has a key that is not a word", "write \(what) as its keys")
        continue
      }
      // Of a key that is there twice the first was blotted out in part: as it was, it shows that the second is too many.
      let blot = document.blots.first { scalar.string.hasPrefix($0.key) }
      let name = blot.map { $0.value.key + scalar.string.dropFirst($0.key.count) } ?? scalar.string
      entries.append((name, Setting(node: value, key: Section.path(setting.key, name), keyPlace: Place(key.mark))))
    }
    return entries
  }
}
