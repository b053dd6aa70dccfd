import Configuration

/// What a next hop must be able to do.
struct HopDemand: Sendable {
  enum Kind: Sendable { case route, lmtp, mailboxServer, dovecot }
  var kind: Kind
  /// The address, and what goes there.
  var looked: String
  var tls = RouteTLS.never
  /// The largest message that we take, in octets.
  var largestBytes = 0
  var needsAuthentication = false

  var check: String {
    switch kind {
    case .route: "next hop"
    case .lmtp, .mailboxServer: "mailbox server"
    case .dovecot: "passwords"
    }
  }

  /// What a talk with it means.
  func judge(_ heard: ProbeHeard) -> DoctorFinding {
    if let stage = heard.stage { return broken(stage, heard.fault) }
    if kind == .dovecot { return .ok(check, looked, "Dovecot answers and offers PLAIN") }
    let said = words(heard)
    func finding(_ level: DoctorLevel, _ what: String, _ remedy: String) -> DoctorFinding {
      DoctorFinding(level, check, looked, "\(what); \(said)", remedy, runbook: "next-hop-down")
    }
    let keywords = heard.keywords ?? [:]
    if kind == .mailboxServer, keywords["DSN"] == nil {
      return finding(.wrong, "it does not announce DSN, by which delivery is proved", "Have it announce DSN to this gateway (RFC 3461).")
    }
    if needsAuthentication, keywords["AUTH"]?.uppercased().split(separator: " ").contains("PLAIN") != true {
      return finding(
        .wrong, "it does not offer AUTH PLAIN, and the route has a user", "Switch AUTH on there, or take `user` off the route.")
    }
    if let size = keywords["SIZE"].flatMap({ Int($0) }), size > 0, size < largestBytes {
      return finding(
        .warning, "it takes \(size) octets at the most, and we take \(largestBytes)",
        "Raise its limit (Postfix: message_size_limit), or lower limits.maximumMessageMegabytes.")
    }
    if heard.keywords == nil { return finding(.note, "it knows no EHLO", "See that it is the server that you mean.") }
    if keywords["8BITMIME"] == nil {
      return finding(.note, "it does not announce 8BITMIME", "Mail with eight-bit text goes there as it is: see that it passes.")
    }
    return .ok(check, looked, said)
  }

  private func words(_ heard: ProbeHeard) -> String {
    let secured = heard.protocolVersion ?? (heard.offersTLS ? "STARTTLS is offered" : "in clear")
    let offered = ["SIZE", "8BITMIME", "SMTPUTF8", "DSN", "PIPELINING", "CHUNKING"].compactMap { keyword in
      heard.keywords?[keyword].map { $0.isEmpty ? keyword : "\(keyword) \($0)" }
    }
    return (["220 \(heard.name)", secured] + offered).joined(separator: ", ")
  }

  private func broken(_ stage: ProbeStage, _ fault: String) -> DoctorFinding {
    func finding(_ level: DoctorLevel, _ found: String, _ remedy: String) -> DoctorFinding {
      DoctorFinding(level, check, looked, found, remedy, runbook: kind == .dovecot ? nil : "next-hop-down")
    }
    switch stage {
    case .connecting:
      return finding(
        .wrong, "no connection: \(fault)", "See that the server runs and listens there, and that nothing on the way shuts it out.")
    case .greeting:
      return finding(.wrong, "connected, and no greeting: \(fault)", "Look into that server's log: it is there and does not work.")
    case .hello: return finding(.wrong, "greeted, and then: \(fault)", "Look into that server's log.")
    case .security where tls == .required:
      return finding(
        .wrong, "no TLS, which the route demands: \(fault)", "Mend its certificate, or the route's `caFile`; nothing is sent in clear.")
    case .security: return finding(.warning, "TLS fails: \(fault); mail goes in clear", "Mend TLS there, or write `tls: never`.")
    }
  }
}

/// What a listener of our own must answer.
struct ListenerDemand: Sendable {
  var kind: String
  var looked: String
  var hostname: String
  /// The certificates on disk that it may show, in DER; empty where it has none.
  var certificates: [[UInt8]]
  var asksTLS: Bool
  /// True where this machine is none of the peers that the listener is for.
  var refusesUs: Bool

  /// What a talk with it means.
  /// - Parameter judged: a certificate that is not one of ours, judged by its dates.
  func judge(_ heard: ProbeHeard, judged: (([UInt8]) -> DoctorFinding)) -> DoctorFinding {
    let check = "listener \(kind)"
    if refusesUs, heard.greeting?.isPermanent == true || heard.greeting?.isTransient == true {
      return .ok(check, looked, "answers; this machine is none of its peers")
    }
    if let greeting = heard.greeting, heard.stage == .greeting {
      let isBusy = greeting.isTransient
      return DoctorFinding(
        isBusy ? .warning : .wrong, check, looked, heard.fault,
        isBusy ? "Mail waits outside; the alarms of `ceralacca status` say why." : "See who answers on this port.",
        runbook: isBusy ? "not-ready" : nil)
    }
    switch heard.stage {
    case .connecting:
      return DoctorFinding(
        .wrong, check, looked, "the gateway runs and nobody answers: \(heard.fault)", "Say `ceralacca restart`, and look into its log.",
        runbook: "not-ready")
    case .greeting, .hello:
      return DoctorFinding(
        .wrong, check, looked, "connected, and then: \(heard.fault)", "Look into the gateway's log.", runbook: "lane-hangs")
    case .security:
      return DoctorFinding(
        .wrong, check, looked, "TLS fails: \(heard.fault)", "Look at `tls` in the configuration, then say `ceralacca reload`.",
        runbook: "tls-certificate")
    case nil: break
    }
    guard heard.name.lowercased() == hostname.lowercased() else {
      return DoctorFinding(
        .wrong, check, looked, "\"\(heard.name)\" answers, and not \(hostname)",
        "Another server has the port, or the gateway waits for a reload.")
    }
    guard asksTLS else { return .ok(check, looked, "220 \(heard.name)") }
    guard let certificate = heard.certificate else {
      return DoctorFinding(
        .wrong, check, looked, "it shows no certificate", "Look at `tls` in the configuration.", runbook: "tls-certificate")
    }
    if certificates.contains(certificate) { return .ok(check, looked, "220 \(heard.name), \(heard.protocolVersion ?? "TLS")") }
    let dates = judged(certificate)
    return DoctorFinding(
      max(.warning, dates.level), check, looked, "it shows another certificate than those on disk; it shows \(dates.found)",
      "Say `ceralacca reload`: the files were changed since the gateway read them.", runbook: "tls-certificate")
  }
}
