import Configuration
import Journey
import Limits
import Logging
import SMTPWire
import TLSPipe
import Threading

/// The settings of a gateway that may change while it runs, made whole from a configuration.
struct ChangeableSettings: Sendable {
  let points: ProviderPoints
  let limits: Limits
  let serverTLS: TLSContext?
  let nextHops: [String: NextHop]
  let exchangeRoutes: [String: ExchangeRoute]

  /// Reads the files that the configuration names. Throws when one of them cannot be used.
  init(_ configuration: GatewayConfiguration) throws {
    points = GatewayParts.points(configuration)
    limits = configuration.limits
    serverTLS = try configuration.tls.map { try TLSContext.server($0) }
    nextHops = try GatewayParts.nextHops(configuration)
    exchangeRoutes = try GatewayParts.exchangeRoutes(configuration)
  }
}

/// A configuration that was read again, beside the one that the gateway runs with.
struct Reloading {
  /// What holds from now on: the new one, with the old one's values where they cannot change.
  private(set) var effective: GatewayConfiguration
  /// Keys whose new values need a restart.
  private(set) var needsRestart: [String] = []

  init(running: GatewayConfiguration, fresh: GatewayConfiguration) {
    effective = fresh
    keep("hostname", \.hostname, of: running)
    keep("provider", \.provider, of: running)
    keep("dataDirectory", \.dataDirectory, of: running)
    keep("index.file", \.index.file, of: running)
    keep("index.signers", \.index.signers, of: running)
    keep("index.maximumLossPercent", \.index.maximumLossPercent, of: running)
    keep("signer.threads", \.signer.threads, of: running)
    keep("users", \.usersFile, of: running)
    keep("users.dovecot", \.dovecot, of: running)
    keep("dns", \.dns, of: running)
    keep("metrics", \.metrics, of: running)
    keep("mailboxes", \.mailboxes, of: running)
    keep("mailboxes.quota", \.quota, of: running)
    keep("mailboxes.imap", \.mailboxSearch, of: running)
    keep("certifiedLog", \.certifiedLog, of: running)
    keep("clock", \.clock, of: running)
    keep("limits.activeEntries", \.limits.delivery.activeEntries, of: running)
    keep("limits.segmentMegabytes", \.limits.storage.segmentBytes, of: running)
    keep("lanes", \.lanes, of: running)
    keep("log.format", \.log.format, of: running)
    keep("log.output", \.log.output, of: running)
    keep("user", \.user, of: running)
    keepScanner(of: running)
  }

  private mutating func keep<Value: Equatable>(
    _ name: String, _ place: WritableKeyPath<GatewayConfiguration, Value>, of running: GatewayConfiguration
  ) {
    guard effective[keyPath: place] != running[keyPath: place] else { return }
    effective[keyPath: place] = running[keyPath: place]
    needsRestart.append(name)
  }

  /// What is done with verdicts may change; who scans, and how, may not. Its bounds also follow from the size of messages.
  private mutating func keepScanner(of running: GatewayConfiguration) {
    guard let fresh = effective.scanner, var scanner = running.scanner else { return keep("scanner", \.scanner, of: running) }
    scanner.encrypted = fresh.encrypted
    scanner.beyondLimits = fresh.beyondLimits
    scanner.infectedOrdinaryMail = fresh.infectedOrdinaryMail
    scanner.whenDown = fresh.whenDown
    if scanner != fresh { needsRestart.append("scanner (its processes and bounds)") }
    effective.scanner = scanner
    if effective.limits.message.maximumBytes > running.limits.message.maximumBytes {
      keep("limits.maximumMessageMegabytes (more than the scanner was started for)", \.limits.message.maximumBytes, of: running)
      effective.limits.message.formalBytes = min(effective.limits.message.formalBytes, effective.limits.message.maximumBytes)
    }
  }
}

extension Gateway {
  /// Reads everything again: the configuration file, certificates, index, users, authorities, revocation lists, and the signer's key and
  /// certificate. When the configuration or a file that it needs is bad, nothing changes at all. Returns a line for people, and whether all
  /// of it holds. Blocks: not for a lane.
  /// - Parameter person: who asked for it; nil for a signal, which does not say.
  public func reload(by person: Operator? = nil) -> (words: String, isDone: Bool) {
    reloading.withLock { _ in
      let settled: String
      do { settled = try readConfigurationAgain() } catch {
        let words = "nothing was changed: \(error)"
        shared.logger.error("not reloaded: \(words)")
        return (words, false)
      }
      let (data, isDone) = reloadData(by: person)
      let line = [settled, data].filter { !$0.isEmpty }.joined(separator: "; ")
      shared.logger.notice("reloaded: \(line)")
      return (line, isDone)
    }
  }

  /// Prepares everything first, and then lets it hold. Returns what is to be said of it.
  private func readConfigurationAgain() throws -> String {
    let running = configuration.withLock { $0 }
    let fresh = try configurationFile.map { path throws in try GatewayConfiguration.load(path: path) } ?? running
    let change = Reloading(running: running, fresh: fresh)
    let effective = change.effective
    let settings = try ChangeableSettings(effective)
    if shared.planner == nil, let route = settings.exchangeRoutes.keys.min() {
      throw StartError("the route '\(route)' goes to mail exchangers, as none did when the gateway was started: restart it")
    }
    for certificate in settings.serverTLS?.certificates ?? [] {
      if let fault = certificate.fault(at: shared.now().unixSeconds) { throw StartError("TLS: \(fault)") }
    }
    let trusted = shared.trust.differs(from: effective.trust) ? try TrustStore.Holdings(effective.trust) : nil
    let old = doors.withLock { $0 }
    var fixed = Doors(changing: old, to: [])
    if !drainState.isDraining {
      for listener in effective.listeners {
        var door =
          try old.doors.first { $0.isAt(listener) } ?? Door(settings: listener, sockets: Doors.open(listener, lanes: effective.lanes))
        door.settings = listener
        fixed.doors.append(door)
      }
    }
    // From here on nothing can fail.
    let next = SharedState(shared, under: settings)
    let plans = GatewayParts.listenerPlans(effective, hasTLS: settings.serverTLS != nil)
    if let trusted { shared.trust.adopt(trusted) }
    shared.admission.adopt(effective.limits.connection)
    upkeep.adopt(effective)
    levels?.set(Logger.Level(rawValue: effective.log.level.rawValue) ?? .info)
    configuration.withLock { $0 = effective }
    if !drainState.isDraining { doors.withLock { $0 = fixed } }
    // Before anybody works by the new settings: what he does is counted under their names.
    watch.adopt(next, effective, doors.withLock { $0 })
    settle(next, fixed, plans)
    pager.readAnew()
    if !drainState.isDraining {
      let gone = old.doors.filter { door in !door.isHandedIn && !fixed.doors.contains { $0.isAt(door.settings) } }
      for socket in gone.flatMap(\.sockets) { socket.stop() }
    }
    var words: [String] = []
    if configurationFile != nil { words.append(effective == running ? "configuration: as it was" : "configuration: holds") }
    if !change.needsRestart.isEmpty { words.append("needs a restart: \(change.needsRestart.joined(separator: ", "))") }
    if let certificates = settings.serverTLS?.certificates { words.append("tls: \(certificates.count) certificates") }
    return words.joined(separator: "; ")
  }

  /// Tells the lanes, so that who connects afterwards is served by the new settings.
  private func settle(_ next: SharedState, _ doors: Doors, _ plans: [ListenerPlan]) {
    tellLanes { number, then in
      .settle(next, self.drainState.isDraining ? nil : doors.lane(number, of: self.inboxes.count, plans), then)
    }
  }

  /// Sends each lane a message with its number, and waits until all have taken it; for some seconds at the most, when a lane has ended.
  func tellLanes(_ message: (Int, @escaping @Sendable () -> Void) -> LaneMessage) {
    let done = Handoff<Void>()
    for (number, inbox) in inboxes.enumerated() { inbox.send(message(number) { done.send(()) }) }
    var missing = inboxes.count
    while missing > 0 {
      done.wait(forSeconds: 10)
      guard done.count > 0, let heard = done.take() else { return }
      missing -= heard.count
    }
  }

  /// Index, users, signer and scanner, each by itself: what cannot be read, or does not work, leaves its old one in place.
  private func reloadData(by person: Operator?) -> (String, Bool) {
    let index = shared.index.reload()
    let asked = person.map { "by \($0): " } ?? ""
    shared.note(.indexUpdated, "\(asked)\(index.isLoaded ? "loaded" : "not loaded"): \(index.lines.joined(separator: "; "))")
    upkeep.refresh()
    var line = "index: " + index.lines.joined(separator: "; ")
    var isDone = index.isLoaded
    do {
      let problems = try shared.accounts.reload()
      line += "; users: loaded" + problems.map { ", \($0)" }.joined()
    } catch {
      line += "; users: the old ones stay, \(error)"
      isDone = false
    }
    let signer = shared.rollSigner(configuration.withLock { $0 })
    line += "; signer: \(signer.words)"
    if !signer.isDone { shared.logger.error("signer: \(signer.words)") }
    if let scanner = shared.scanner {
      scanner.reload { [logger = shared.logger] words, isTaken in logger.log(level: isTaken ? .notice : .error, "scanner: \(words)") }
      line += "; scanner: loading signatures beside the old ones"
    }
    return (line, isDone && signer.isDone)
  }
}
