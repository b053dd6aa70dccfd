internal import Yams

/// Where mail comes in and where it goes out.
extension Reader {
  private enum KindWord: String, CaseIterable {
    case submission, submissions, trusted, incoming
  }

  func listeners(_ top: Section) -> [ListenerSettings]? {
    let setting = top.required("listeners", example: "[{ kind: submission, address: 0.0.0.0, port: 587 }]")
    guard let items = top.items(setting, of: "listeners") else { return nil }
    var listeners: [ListenerSettings] = []
    var speakers: [KindWord] = []
    for item in items {
      guard let section = section(item, ["kind", "address", "port", "peers", "user", "proxies", "forwarders"]) else { continue }
      let word = section.choice(section.required("kind", example: "submission"), KindWord.self)
      if let word, word != .trusted { speakers.append(word) }
      guard let listener = listener(section, word) else { continue }
      if listener.port != 0, listeners.contains(where: { $0.port == listener.port && $0.address == listener.address }) {
        log.add(item.place, key: item.key, "has the address and port of an earlier listener", "give it another port")
      }
      listeners.append(listener)
    }
    if !top.has("tls"), let first = speakers.first {
      log.add(
        top.place, key: "tls", "is missing, and the listener of kind \(first.rawValue) needs it",
        "add it, for example 'tls: { certificate: tls.pem, key: tls.key }'")
    }
    if !top.has("trust"), speakers.contains(.incoming) {
      log.add(
        top.place, key: "trust", "is missing, and the listener of kind incoming needs it: signatures of providers are checked there",
        "add it, for example 'trust: { authorities: [ca.pem] }'")
    }
    return listeners.count == items.count ? listeners : nil
  }

  private func listener(_ section: Section, _ word: KindWord?) -> ListenerSettings? {
    let addressSetting = section.required("address", example: "127.0.0.1")
    var address = section.text(addressSetting)
    let port = section.whole(section.required("port", example: "587"), 0...65_535)
    if let text = address, let addressSetting, IPAddress(text) == nil {
      log.add(
        addressSetting.place, key: addressSetting.key, "\(addressSetting.seen), which is not an IP address",
        "write one like 127.0.0.1 or \"::1\", or 0.0.0.0 for all of the machine's")
      address = nil
    }
    var kind: ListenerKind?
    switch word {
    case nil: break
    case .submission: kind = .submission
    case .submissions: kind = .submissions
    case .incoming: kind = .incoming
    case .trusted:
      let peers = peers(section, "peers")
      let user = section.choice(section.required("user", example: "xclient"), TrustedUser.self)
      if let peers, let user { kind = .trusted(peers: peers, user: user) }
    }
    if let word, word != .trusted {
      for name in ["peers", "user"] {
        section.refuse(name, "has no meaning for a listener of kind \(word.rawValue)", "remove it, or make the kind 'trusted'")
      }
    }
    let proxies = section.has("proxies") ? peers(section, "proxies") : nil
    let forwarders = section.has("forwarders") ? peers(section, "forwarders") : nil
    if word == .trusted {
      section.refuse("forwarders", "has no meaning for a listener of kind trusted: its peers may speak for others", "remove it")
    }
    guard let kind, let address, let port, section.has("proxies") == (proxies != nil), section.has("forwarders") == (forwarders != nil)
    else { return nil }
    return ListenerSettings(kind: kind, address: address, port: port, proxies: proxies, forwarders: forwarders)
  }

  /// A list of addresses and networks that must be there.
  func peers(_ section: Section, _ name: String) -> PeerList? {
    guard let items = section.items(section.required(name, example: "[127.0.0.1]"), of: "addresses or networks") else { return nil }
    var entries: [String] = []
    for item in items {
      guard let entry = section.text(item) else { continue }
      do {
        try PeerList.check(entry)
        entries.append(entry)
      } catch {
        log.add(item.place, key: item.key, error.what, error.remedy)
      }
    }
    return entries.count == items.count ? PeerList(entries) : nil
  }

  func routes(_ top: Section) -> [RouteSettings]? {
    let setting = top.required("routes", example: "[{ domains: [\"*\"], nextHop: \"127.0.0.1:25\" }]")
    guard let items = top.items(setting, of: "routes") else { return nil }
    var routes: [RouteSettings] = []
    var known: Set<String> = []
    for item in items {
      guard let section = section(item, ["domains", "nextHop", "tls", "caFile", "user", "passwordFile"]) else { continue }
      let names = domains(section, section.required("domains", example: "[\"*\"]"), star: true)
      for domain in names ?? [] where !known.insert(domain).inserted {
        log.add(item.place, key: "\(item.key).domains", "names '\(domain)', which an earlier route has", "keep it in one of them")
      }
      guard let route = route(section, domains: names ?? []) else { continue }
      routes.append(route)
    }
    if !known.contains("*") {
      log.add(
        setting?.keyPlace, key: "routes", "has no route for every other domain",
        "add one, for example '- { domains: [\"*\"], nextHop: \"127.0.0.1:25\" }'")
    }
    return routes.count == items.count ? routes : nil
  }

  /// A host and a port.
  func endpoint(_ section: Section, _ setting: Setting?) -> Endpoint? {
    guard let setting, let text = section.text(setting) else { return nil }
    if let endpoint = Words.endpoint(text) { return endpoint }
    log.add(
      setting.place, key: setting.key, "\(setting.seen), which is not a host and a port",
      "write one like \"mx.example.org:25\" or \"[2001:db8::1]:25\"")
    return nil
  }

  private func route(_ section: Section, domains: [String]) -> RouteSettings? {
    let place = section.required("nextHop", example: "\"mx.example.org:25\"")
    let usesMX = place.flatMap { isMX($0) } ?? false
    let hop = usesMX ? nil : endpoint(section, place)
    let tls = section.has("tls") ? section.choice(section.optional("tls"), RouteTLS.self) : .opportunistic
    if usesMX { refuseForMX(section, tls) }
    if let tls, tls != .required, !usesMX {
      section.refuse(
        "caFile", "has no meaning where tls is \(tls.rawValue): no certificate is checked there", "remove it, or write 'tls: required'")
    }
    let caFile = section.has("caFile") ? file(section, "caFile", example: "ca.pem") : nil
    var credentials: RouteCredentials?
    if !usesMX, section.has("user") || section.has("passwordFile") {
      let user = section.text(section.required("user", example: "gateway"))
      let passwordFile = file(section, "passwordFile", example: "next-hop.password")
      if let user, let passwordFile { credentials = RouteCredentials(user: user, passwordFile: passwordFile) }
      if let tls, tls != .required {
        section.refuse(
          "user", "would send a password to whoever answers, as tls is \(tls.rawValue) and no certificate is checked",
          "write 'tls: required', or remove user and passwordFile")
      }
    }
    guard let tls, usesMX || hop != nil else { return nil }
    return RouteSettings(domains: domains, nextHop: hop, tls: tls, caFile: caFile, credentials: credentials)
  }

  private func isMX(_ setting: Setting) -> Bool {
    if case .scalar(let scalar) = setting.node { scalar.string == "mx" } else { false }
  }

  /// Mail exchangers are strangers: they are told no password, and what their domains demand is not switched off.
  private func refuseForMX(_ section: Section, _ tls: RouteTLS?) {
    for name in ["user", "passwordFile"] {
      section.refuse(name, "has no meaning where nextHop is mx: mail exchangers ask for no password", "remove it")
    }
    if tls == .never {
      section.refuse(
        "tls", "is never, and mail exchangers may demand TLS by DANE or MTA-STS", "write opportunistic or required, or remove the key")
    }
  }
}
