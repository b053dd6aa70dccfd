import ClockWatch
import Configuration
import Foundation
import Gateway
import MailRouting
import NameResolution
import Octets
import Threading

/// What the machine gives: clock, time zone, descriptors, names.
enum DoctorMachine {
  /// What needs no configuration.
  static func bare(_ judge: DoctorJudge) -> [DoctorFinding] { [zone] + [clock(judge, ClockSettings(), nil)] }

  static func look(_ context: DoctorContext) -> [DoctorFinding] {
    [zone, clock(context.judge, context.configuration.clock, context.gateway.report?.clock), descriptors(context)]
  }

  /// 15 January and 15 July 2026.
  private static var zone: DoctorFinding {
    DoctorJudge.zone(
      winter: LocalTime.utcOffsetSeconds(at: 1_768_435_200), summer: LocalTime.utcOffsetSeconds(at: 1_784_073_600),
      hasFile: FileManager.default.fileExists(atPath: "/usr/share/zoneinfo/Europe/Rome"),
      variable: ProcessInfo.processInfo.environment["TZ"].flatMap { ["", "Europe/Rome", ":Europe/Rome"].contains($0) ? nil : $0 })
  }

  private static func clock(_ judge: DoctorJudge, _ settings: ClockSettings, _ told: StatusReport.ClockState?) -> DoctorFinding {
    if let told {
      var words =
        told.isSynchronized
        ? "synchronized, offset \(StatusPage.duration(told.offsetSeconds))" : "not synchronized: no time service keeps it"
      if let bound = told.boundSeconds { words += ", within \(StatusPage.duration(bound)) of UTC" }
      return judge.clock(isTrusted: told.isTrusted, reason: told.reason, isSynchronized: told.isSynchronized, words: words)
    }
    let policy = ClockPolicy(limitMilliseconds: settings.limitMilliseconds, requiresSynchronization: settings.synchronization == .required)
    return judge.clock(ClockMonitor(policy: policy).look(), settings)
  }

  private static func descriptors(_ context: DoctorContext) -> DoctorFinding {
    let connections = context.configuration.limits.connection.maximumConnections
    if let process = context.gateway.report?.process, let most = openFiles(text("/proc/\(process)/limits")) {
      return DoctorJudge.descriptors(most, connections: connections, isOfGateway: true)
    }
    return DoctorJudge.descriptors(ProcessLimits.raiseOpenDescriptors(), connections: connections, isOfGateway: false)
  }

  /// The soft limit of open files in a table of `/proc/PID/limits`.
  static func openFiles(_ table: String) -> Int? {
    guard let line = table.split(separator: "\n").first(where: { $0.hasPrefix("Max open files") }) else { return nil }
    let word = line.dropFirst("Max open files".count).split(separator: " ").first
    return word == "unlimited" ? Int.max : word.flatMap { Int($0) }
  }

  private static func text(_ path: String) -> String {
    FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) } ?? ""
  }

  // MARK: Names

  /// Whether our own name leads to addresses, and these to it: others look, and nothing here depends on it.
  static func ownName(_ context: DoctorContext) -> [DoctorFinding] {
    let host = context.configuration.hostname
    let addresses = Host(name: host).addresses
    guard !addresses.isEmpty else {
      return [DoctorFinding(.note, "host name", host, "has no address", "Have it listed in the DNS: other servers look.")]
    }
    let names = addresses.flatMap { Host(address: $0).names }.map { $0.lowercased() }
    if names.contains(host.lowercased()) { return [.ok("host name", host, addresses.joined(separator: ", "))] }
    let found = names.isEmpty ? "have no name" : "are called \(Set(names).sorted().prefix(3).joined(separator: ", "))"
    return [
      DoctorFinding(
        .note, "host name", host, "\(addresses.joined(separator: ", ")) \(found)", "Have the reverse name (PTR) of its address set.")
    ]
  }

  /// Seconds for an answer of the name servers.
  private static let resolverSeconds = 8

  /// Whether name servers answer, and what they say can be proven: asked for the root's own, which is signed and always there.
  static func resolver(_ context: DoctorContext) -> [DoctorFinding] {
    guard context.configuration.routes.contains(where: { $0.nextHop == nil }) else { return [] }
    let check = "name servers"
    let settings = context.configuration.dns
    let looked: String
    switch settings.servers {
    case .system: looked = DNSSettings.systemFile
    case .listed(let servers): looked = servers.joined(separator: ", ")
    case .authorities: looked = "the root's own"
    }
    let remedy = "Mail to exchangers waits meanwhile: name other servers in dns.servers, or look at dns.trustAnchor."
    let told = Handoff<DNSAnswer>()
    do {
      let resolver = try NameResolver(ResolverSettings(settings, openQuestions: 8))
      resolver.ask(DNSQuestion(".", .mx)) { told.send($0) }
      told.wait(forSeconds: resolverSeconds)
      guard told.count > 0, let answer = told.take()?.first else {
        return [DoctorFinding(.wrong, check, looked, "no answer within \(resolverSeconds) seconds", remedy, runbook: "next-hop-down")]
      }
      resolver.finish()
      return [judge(answer, check, looked, remedy)]
    } catch { return [DoctorFinding(.wrong, check, looked, "\(error)", remedy, runbook: "next-hop-down")] }
  }

  static func judge(_ answer: DNSAnswer, _ check: String, _ looked: String, _ remedy: String) -> DoctorFinding {
    switch answer.content {
    case .failed(let words): return DoctorFinding(.wrong, check, looked, words, remedy, runbook: "next-hop-down")
    case .records, .noData, .noName:
      if answer.isSecure { return .ok(check, looked, "answer, and DNSSEC proves it") }
      return DoctorFinding(.wrong, check, looked, "answer, and nothing proves it: DANE stands on DNSSEC", remedy, runbook: "next-hop-down")
    }
  }
}
