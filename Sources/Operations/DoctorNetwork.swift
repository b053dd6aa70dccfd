import Configuration
import EventLoop
import Foundation
import Gateway
import Signing
import TLSPipe

/// Servers that mail goes to, and ports that it comes in by: all of them asked at the same time.
struct DoctorNetwork {
  let context: DoctorContext
  private var configuration: GatewayConfiguration { context.configuration }

  func look() -> [DoctorFinding] {
    let hops = self.hops
    let listeners = self.listeners
    let heard = Probes.ask(hops.map(\.target) + listeners.probed.map(\.target))
    var findings = zip(hops, heard).map { $0.demand.judge($1) }
    findings += zip(listeners.probed, heard.dropFirst(hops.count)).map { listener, heard in
      switch listener.demand {
      case .mail(let demand): demand.judge(heard, judged: shown)
      case .metrics(let looked): metrics(looked, heard)
      }
    }
    return findings + listeners.others
  }

  // MARK: Next hops

  private struct Hop {
    var target: ProbeTarget
    var demand: HopDemand
  }

  private var hops: [Hop] {
    var found: [Hop] = []
    // Routes to one place with the same demands are one talk.
    var grouped: [(route: RouteSettings, domains: [String])] = []
    for route in configuration.routes where route.nextHop != nil {
      let same = { (other: RouteSettings) in
        other.nextHop == route.nextHop && other.tls == route.tls && other.caFile == route.caFile && other.credentials == route.credentials
      }
      if let at = grouped.firstIndex(where: { same($0.route) }) {
        grouped[at].domains += route.domains
      } else {
        grouped.append((route, route.domains))
      }
    }
    for (route, domains) in grouped {
      guard let place = route.nextHop else { continue }
      let names =
        domains.count > 3 ? "\(domains.prefix(2).joined(separator: ", ")) and \(domains.count - 2) more" : domains.joined(separator: ", ")
      var target = ProbeTarget(place: .tcp(place), voice: .smtp, ownName: configuration.hostname, serverName: place.host)
      switch route.tls {
      case .never: target.security = .never
      case .opportunistic: target.security = .offered
      case .required: (target.security, target.verifies, target.caFile) = (.demanded, true, route.caFile)
      }
      let demand = HopDemand(
        kind: .route, looked: "\(place) (\(names))", tls: route.tls, largestBytes: configuration.limits.message.maximumBytes,
        needsAuthentication: route.credentials != nil)
      found.append(Hop(target: target, demand: demand))
    }
    return found + mailboxes
  }

  private var mailboxes: [Hop] {
    var found: [Hop] = []
    let most = configuration.limits.message.maximumBytes
    switch configuration.mailboxes {
    case .maildir: break
    case .lmtp(let place):
      found.append(
        Hop(
          target: ProbeTarget(place: place, voice: .lmtp, ownName: configuration.hostname),
          demand: HopDemand(kind: .lmtp, looked: "\(place) (LMTP)", largestBytes: most)))
    case .smtp(let server):
      found.append(
        Hop(
          target: ProbeTarget(place: .tcp(server.nextHop), voice: .smtp, ownName: configuration.hostname),
          demand: HopDemand(kind: .mailboxServer, looked: "\(server.nextHop) (mailboxes)", largestBytes: most)))
    }
    if let dovecot = configuration.dovecot {
      found.append(
        Hop(target: ProbeTarget(place: dovecot, voice: .dovecot), demand: HopDemand(kind: .dovecot, looked: "\(dovecot) (Dovecot)")))
    }
    return found
  }

  // MARK: Ports

  private enum PortDemand {
    case mail(ListenerDemand)
    /// Metrics, at this address.
    case metrics(String)
  }

  private struct Port {
    var target: ProbeTarget
    var demand: PortDemand
  }

  /// What listens is talked to; what does not has to be free.
  private var listeners: (probed: [Port], others: [DoctorFinding]) {
    switch context.gateway {
    case .running(let report) where report.isDraining:
      return (
        [],
        [
          DoctorFinding(
            .warning, "listeners", "the gateway", "drained: its ports are closed", "Say `ceralacca restart`.", runbook: "draining")
        ]
      )
    case .running(let report): return running(report)
    case .absent: return ([], free)
    case .starting, .silent, .closed:
      return ([], [DoctorFinding(.note, "listeners", "the gateway", "not looked at, because it does not tell where it listens")])
    }
  }

  /// The address that reaches a listener from this machine.
  static func near(_ address: String) -> String { address == "0.0.0.0" ? "127.0.0.1" : address == "::" ? "::1" : address }

  private func running(_ report: StatusReport) -> (probed: [Port], others: [DoctorFinding]) {
    let leaves = certificatesOnDisk
    var probed: [Port] = []
    var others: [DoctorFinding] = []
    for (number, listener) in configuration.listeners.enumerated() {
      let asked = port(listener, number, report)
      let place = Endpoint(host: DoctorNetwork.near(listener.address), port: asked)
      let looked = "\(listener.address):\(asked)"
      var target = ProbeTarget(place: .tcp(place), voice: .smtp, ownName: "localhost", serverName: configuration.hostname)
      if let proxies = listener.proxies {
        guard proxies.contains(address: place.host) else {
          others.append(DoctorFinding(.note, "listener \(listener.kind.name)", looked, "not talked to: it listens to listed proxies only"))
          continue
        }
        target.opening = "PROXY UNKNOWN\r\n"
      }
      let asksTLS = listener.kind.needsTLS && configuration.tls != nil
      if asksTLS { target.security = listener.kind == .submissions ? .implicit : .demanded }
      var refusesUs = false
      if case .trusted(let peers, _) = listener.kind { refusesUs = !peers.contains(address: place.host) }
      let demand = ListenerDemand(
        kind: listener.kind.name, looked: looked, hostname: configuration.hostname, certificates: leaves, asksTLS: asksTLS,
        refusesUs: refusesUs)
      probed.append(Port(target: target, demand: .mail(demand)))
      // A further certificate is shown to who asks for its name; once is enough.
      guard asksTLS, !probed.dropLast().contains(where: { $0.target.security == target.security }) else { continue }
      for name in furtherNames {
        target.serverName = name
        var named = demand
        named.looked += " as \(name)"
        probed.append(Port(target: target, demand: .mail(named)))
      }
    }
    if let address = report.metricsAddress, let at = address.lastIndex(of: ":"), let port = Int(address[address.index(after: at)...]) {
      let host = address[..<at].trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
      let place = Endpoint(host: DoctorNetwork.near(host), port: port)
      probed.append(Port(target: ProbeTarget(place: .tcp(place), voice: .http(path: "/health")), demand: .metrics(address)))
    }
    return (probed, others)
  }

  /// The port of a listener; where the configuration takes any free one, what the gateway got.
  private func port(_ listener: ListenerSettings, _ number: Int, _ report: StatusReport) -> Int {
    guard listener.port == 0, report.listeners.indices.contains(number) else { return listener.port }
    return report.listeners[number].address.split(separator: ":").last.flatMap { Int($0) } ?? 0
  }

  /// A name of each further certificate.
  private var furtherNames: [String] {
    guard let tls = configuration.tls else { return [] }
    let facts = (try? TLSContext.server(tls))?.certificates ?? []
    return facts.dropFirst().compactMap { $0.names.first { !$0.hasPrefix("*") } }
  }

  /// The first certificate of each file of `tls`, which is the server's own.
  private var certificatesOnDisk: [[UInt8]] {
    guard let tls = configuration.tls else { return [] }
    return ([tls.certificate] + tls.names.map(\.certificate)).compactMap { (try? IndexFile.certificates(in: $0))?.first }
  }

  /// A certificate that a port showed.
  private func shown(_ der: [UInt8]) -> DoctorFinding {
    guard let facts = CertificateFacts(der: der) else { return DoctorFinding(.wrong, "", "", "one that cannot be read") }
    return context.judge.certificate(
      "", "", subject: facts.subject, notBefore: facts.notBefore, notAfter: facts.notAfter, remedy: "", runbook: nil)
  }

  private func metrics(_ looked: String, _ heard: ProbeHeard) -> DoctorFinding {
    guard heard.stage == nil, let greeting = heard.greeting else {
      return DoctorFinding(
        .warning, "metrics", looked, "nobody answers: \(heard.fault)", "Say `ceralacca restart`: nobody would hear of an alarm.",
        runbook: "gateway-down")
    }
    return .ok("metrics", looked, greeting.lines.first ?? "")
  }

  // MARK: Ports that must be free

  private var free: [DoctorFinding] {
    var places = configuration.listeners.map { ("listener \($0.kind.name)", $0.address, $0.port) }
    if let metrics = configuration.metrics { places.append(("metrics", metrics.address, metrics.port)) }
    return places.map { check, address, port in
      let looked = "\(address):\(port)"
      do throws(LoopError) {
        _ = try ListeningSocket.listening(host: address, port: port, reusePort: false, backlog: 1)
        return .ok(check, looked, "free; the gateway does not run")
      } catch { return taken(check, looked, port, error) }
    }
  }

  private func taken(_ check: String, _ looked: String, _ port: Int, _ error: LoopError) -> DoctorFinding {
    switch error.kind {
    case .addressInUse:
      let holder = PortHolders.holder(of: port)
      if holder?.process == 1 { return DoctorFinding(.note, check, looked, "held by the service manager, which hands it to the gateway") }
      let who = holder.map { "\($0.name) (process \($0.process))" } ?? "another process"
      return DoctorFinding(
        .wrong, check, looked, "taken by \(who)", "End it, or give one of the two another port.", runbook: "gateway-down")
    case .notPermitted:
      return DoctorFinding(
        .warning, check, looked, "only root may listen on port \(port), and this is not root",
        "Start the gateway as root with the key `user`, or with AmbientCapabilities=CAP_NET_BIND_SERVICE.")
    default:
      return DoctorFinding(.wrong, check, looked, error.reason, "Name an address of this machine.", runbook: "gateway-down")
    }
  }
}

/// Who listens on a port, from proc(5).
enum PortHolders {
  /// The process that listens on a port, where this user may know.
  static func holder(of port: Int) -> (process: Int, name: String)? {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map { text($0) }
    let wanted = Set(tables.flatMap { inodes(ofListenersOn: port, in: $0) }.map { "socket:[\($0)]" })
    guard !wanted.isEmpty else { return nil }
    for process in ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap({ Int($0) }).sorted() {
      for descriptor in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/fd")) ?? [] {
        guard let link = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/fd/\(descriptor)"),
          wanted.contains(link)
        else { continue }
        return (process, text("/proc/\(process)/comm").split(separator: "\n").first.map(String.init) ?? "?")
      }
    }
    return nil
  }

  /// Inodes of the sockets that listen on a port, in a table of `/proc/net`.
  static func inodes(ofListenersOn port: Int, in table: String) -> [Int] {
    table.split(separator: "\n").dropFirst().compactMap { line in
      let fields = line.split(separator: " ")
      // 0A: TCP_LISTEN.
      guard fields.count > 9, fields[3] == "0A", let hex = fields[1].split(separator: ":").last, Int(hex, radix: 16) == port else {
        return nil
      }
      return Int(fields[9])
    }
  }

  private static func text(_ path: String) -> String {
    FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) } ?? ""
  }
}
