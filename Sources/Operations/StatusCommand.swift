import Foundation
import Gateway
import Octets
import PEC

/// `ceralacca status`: how the running gateway is doing, for people or for machines.
public enum StatusCommand {
  /// Exit codes: something should be looked at; something must not wait.
  static let warning: Int32 = 1
  static let critical: Int32 = 2

  /// What is asked: how everything is, or one thing that a supervisor wants to know.
  public enum Question: Sendable { case everything, health, readiness }

  /// Which gateway is asked: that of a configuration, or of a data directory. A configuration on the disk may be broken while the gateway
  /// goes on with what it read: who would end it for a bad answer asks by the data directory.
  public enum Place: Sendable { case configuration(file: String), dataDirectory(String) }

  /// Asks the gateway and shows what it says.
  /// - Throws: a `CommandFailure` without words and with code 1 or 2 when there are alarms, with code 69 when no gateway answers.
  public static func run(_ question: Question = .everything, of place: Place, json: Bool, say: (String) -> Void) throws {
    let report = try ask(place)
    switch question {
    case .everything: break
    case .health: return try answer(Readiness.health(report), well: "ok", say)
    case .readiness: return try answer(Readiness.ready(report), well: "ready", say)
    }
    if json { say(try Output.json(report)) } else { for line in StatusPage(report).lines { say(line) } }
    if report.alarms.contains(where: { $0.severity == .critical }) { throw CommandFailure("", exitCode: critical) }
    if !report.alarms.isEmpty { throw CommandFailure("", exitCode: warning) }
  }

  /// The words of `/health` and `/ready`, for who has no HTTP.
  private static func answer(_ alarms: [StatusReport.Alarm], well: String, _ say: (String) -> Void) throws {
    if alarms.isEmpty { return say(well) }
    for alarm in alarms { say("\(alarm.name): \(ASCII.escaped(alarm.words))") }
    throw CommandFailure("", exitCode: critical)
  }

  static func ask(_ place: Place, withinSeconds seconds: Int = 10) throws -> StatusReport {
    let directory =
      switch place {
      case .configuration(let file): try Service.loadLeniently(file).dataDirectory
      case .dataDirectory(let directory): directory
      }
    return try ask(dataDirectory: directory, withinSeconds: seconds)
  }

  static func ask(dataDirectory: String, withinSeconds seconds: Int) throws -> StatusReport {
    let answer = try ControlClient.ask(ControlRequest(verb: "status"), of: dataDirectory, withinSeconds: seconds)
    guard let report = answer.status else {
      // Still starting, or of a version that does not tell.
      throw CommandFailure("the gateway says only: \(answer.message)", exitCode: CommandFailure.tryAgain)
    }
    return report
  }
}

/// A report as lines for people.
struct StatusPage {
  private let report: StatusReport

  init(_ report: StatusReport) { self.report = report }

  var lines: [String] {
    var lines = alarms
    lines += ["", "Ceralacca \(report.version) on \(ASCII.escaped(report.hostname)), \(ASCII.escaped(report.provider))"]
    lines.append(
      row("since", "\(StatusPage.time(report.startedAt)), \(StatusPage.span(report.at - report.startedAt)); process \(report.process)"))
    for listener in report.listeners { lines.append(row("listening", "\(listener.kind) on \(listener.address)")) }
    lines.append(row("metrics", report.metricsAddress.map { "http://\($0)/metrics" } ?? "not told: the configuration has no metrics"))
    lines += ["", "Mail since the start"] + mail
    lines += ["", "Queue"] + queue
    lines += ["", "What mail rests on"] + rest
    return lines
  }

  private func row(_ name: String, _ words: String) -> String { "  " + [name, words].columns([15, 0]) }

  private var alarms: [String] {
    if report.alarms.isEmpty { return ["All is well."] }
    return report.alarms.map { alarm in
      "\(alarm.severity == .critical ? "ALARM  " : "WARNING") \(alarm.name): \(ASCII.escaped(alarm.words))"
        + (alarm.stopsMail ? "; NO MAIL IS TAKEN" : "")
    }
  }

  private var mail: [String] {
    let sessions = report.sessions
    let connections = sessions.connections.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
    let refused = sessions.refusedConnections.values.reduce(0, +)
    var lines = [
      row("sessions", "\(sessions.open) open of \(sessions.maximum) at the most"),
      row("connections", connections + (refused > 0 ? "; \(refused) refused" : "")),
      row("AUTH", "\(sessions.authenticated) accepted, \(sessions.authenticationsRejected) rejected"),
    ]
    let bounds = sessions.bounds.filter { $0.value > 0 }.sorted { $0.key < $1.key }.map { "\($0.value) by \($0.key)" }
    if !bounds.isEmpty { lines.append(row("limits refused", bounds.joined(separator: ", "))) }
    let seconds = Double(max(1, report.at - report.startedAt))
    for intake in report.intake {
      let taken = intake.accepted + intake.notAccepted
      var words = "\(taken) taken (\(StatusPage.rate(Double(taken) / seconds))), \(intake.refused) refused, \(intake.deferred) put off; "
      words += "\(StatusPage.size(intake.bytes)) for \(intake.recipients) recipients"
      if intake.notAccepted > 0 { words += "; \(intake.notAccepted) with a notice of non-acceptance" }
      if let half = intake.replySecondsHalf, let most = intake.replySeconds99 {
        words += "; reply within \(StatusPage.duration(half)), 99 % within \(StatusPage.duration(most))"
      }
      lines.append(row("\(intake.point) point", words))
    }
    let queued = report.queued.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
    lines.append(row("queued", queued.isEmpty ? "nothing" : queued))
    for way in report.deliveries where way.sent + way.deferred + way.bounced > 0 {
      lines.append(row("delivered", "\(way.route): \(way.sent) sent, \(way.deferred) put off, \(way.bounced) given up"))
    }
    return lines
  }

  private var queue: [String] {
    if report.queue.routes.isEmpty { return ["  empty"] }
    return report.queue.routes.map { part in
      var words = "\(part.entries) messages, \(part.recipients) recipients"
      if part.held > 0 { words += ", \(part.held) held" }
      if part.awaiting > 0 { words += ", \(part.awaiting) reports awaited" }
      return row(part.route, words + ", the oldest \(StatusPage.span(report.at - part.oldestAt)) old")
    }
  }

  private var rest: [String] {
    let signer = report.signer
    var lines = [
      row(
        "signer",
        "\(signer.backend); \(signer.signatures) signatures in \(signer.batches) batches, \(signer.waiting) waiting; "
          + "certificate \(StatusPage.end(signer.notAfter, report.at))")
    ]
    for one in report.certificates where one.use != .signer {
      let words = "\(ASCII.escaped(one.name)) (\(one.key)), certificate \(StatusPage.end(one.notAfter, report.at))"
      lines.append(row(one.use == .tls ? "TLS" : "time stamps", words))
    }
    if let scanner = report.scanner {
      var words = scanner.isUp ? "\(scanner.workers) of \(scanner.workersWanted) workers" : "DOWN: \(ASCII.escaped(scanner.reason))"
      words += "; \(scanner.scanned) scanned, \(scanner.infected) infected, \(scanner.waiting) waiting"
      if !scanner.engine.isEmpty { words += "; \(scanner.engine), \(ASCII.escaped(scanner.database))" }
      if let at = scanner.databaseAt { words += ", signatures \(StatusPage.span(report.at - at)) old" }
      lines.append(row("scanner", words))
    } else {
      lines.append(row("scanner", "OFF by configuration"))
    }
    let clock = report.clock
    var words = clock.isTrusted ? "trusted" : "NOT TRUSTED: \(ASCII.escaped(clock.reason ?? ""))"
    words += clock.isSynchronized ? ", offset \(StatusPage.duration(clock.offsetSeconds))" : ", kept by no time service"
    if let bound = clock.boundSeconds { words += ", within \(StatusPage.duration(bound)) of UTC" }
    lines.append(row("clock", words))
    let index = report.index
    words = "\(index.records) providers, \(index.domains) domains"
    if let at = index.confirmedAt { words += ", of \(StatusPage.span(report.at - at)) ago" }
    lines.append(row("index", words + "; \(index.revocationLists) revocation lists, \(index.revocationListsOutdated) out of date"))
    let storage = report.storage
    lines.append(
      row(
        "disk",
        "\(StatusPage.size(storage.freeBytes)) free; spool \(StatusPage.size(storage.liveBytes)) in use of "
          + "\(StatusPage.size(storage.fileBytes)) in \(storage.segments + storage.spareSegments) files; \(storage.quarantined) in quarantine"
      ))
    lines.append(
      row(
        "ledger",
        storage.brokenBecause.map { "BROKEN: \(ASCII.escaped($0))" } ?? "\(storage.commits) commits, \(storage.commitFailures) failed"))
    let next = report.deadlines.nextAt.map { ", the next at \(StatusPage.time($0))" } ?? ""
    lines.append(row("deadlines", "\(report.deadlines.pending) run\(next)"))
    let log = report.log
    words = "\(log.rows) rows, \(log.unsealedRows) not sealed yet"
    if let at = log.lastSealAt { words += "; \(log.seals) seals, the last \(StatusPage.span(report.at - at)) ago" }
    if let count = log.unstampedSeals, count > 0 { words += "; \(count) without a time stamp" }
    lines.append(row("log", words))
    lines.append(
      row(
        "process",
        "\(StatusPage.size(report.memoryBytes)) of memory, \(StatusPage.span(Int64(report.processorSeconds))) of processor time, "
          + "\(report.openDescriptors) descriptors, \(report.laneSilenceSeconds.count) lanes"))
    return lines
  }

  // MARK: Words

  static func time(_ seconds: Int64) -> String {
    Instant(unixSeconds: seconds, utcOffsetSeconds: LocalTime.utcOffsetSeconds(at: seconds)).rfc3339
  }

  static func span(_ seconds: Int64) -> String {
    switch max(0, seconds) {
    case ..<120: "\(max(0, seconds)) s"
    case ..<7200: "\(seconds / 60) min"
    case ..<172_800: "\(seconds / 3600) h"
    default: "\(seconds / 86_400) days"
    }
  }

  private static func end(_ at: Int64, _ now: Int64) -> String {
    at < now ? "ENDED \(span(now - at)) ago" : "ends in \(span(at - now))"
  }

  static func size(_ bytes: Int) -> String {
    let names = ["B", "kB", "MB", "GB", "TB"]
    var value = Double(bytes)
    var at = 0
    while abs(value) >= 1000, at < names.count - 1 {
      value /= 1000
      at += 1
    }
    return "\(at == 0 ? "\(bytes)" : short(value)) \(names[at])"
  }

  static func duration(_ seconds: Double) -> String {
    abs(seconds) < 1 ? "\(short(seconds * 1000)) ms" : "\(short(seconds)) s"
  }

  static func rate(_ perSecond: Double) -> String { "\(short(perSecond))/s" }

  /// Three figures or so.
  static func short(_ value: Double) -> String {
    let digits = abs(value) >= 100 || value == value.rounded() ? 0 : abs(value) >= 10 ? 1 : 2
    return String(format: "%.\(digits)f", value)
  }
}
