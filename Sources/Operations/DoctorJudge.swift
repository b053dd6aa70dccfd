import ClockWatch
import Configuration
import Foundation
import PEC

// What ages, dates and numbers mean: pure, so that a test can say what day it is.

/// How the doctor judges what has a time.
struct DoctorJudge: Sendable {
  /// Unix seconds.
  let now: Int64

  static let noteDays: Int64 = 90
  static let warningDays: Int64 = 30
  static let wrongDays: Int64 = 7
  private static let day: Int64 = 86_400

  /// `2026-11-22`.
  static func day(_ seconds: Int64) -> String { String(Instant(unixSeconds: seconds, utcOffsetSeconds: 0).rfc3339.prefix(10)) }

  /// How many days are left until `end`, begun ones not counted: `5 days`, `1 day`, `20 hours`.
  static func left(_ seconds: Int64) -> String {
    switch max(0, seconds) {
    case 3600..<7200: "1 hour"
    case ..<day: "\(max(0, seconds) / 3600) hours"
    case ..<(2 * day): "1 day"
    default: "\(seconds / day) days"
    }
  }

  /// A certificate's dates.
  /// - Parameters:
  ///   - subject: whose it is, beside its dates.
  ///   - remedy: what to do before it ends.
  func certificate(
    _ check: String, _ looked: String, subject: String, notBefore: Int64, notAfter: Int64, remedy: String, runbook: String?
  ) -> DoctorFinding {
    let dates = "\(Self.day(notBefore)) to \(Self.day(notAfter))"
    if now < notBefore {
      return DoctorFinding(
        .wrong, check, looked, "\(subject): not valid before \(Self.day(notBefore)), in \(Self.left(notBefore - now))",
        "Look at the clock; if it is right, use the certificate before this one until then.", runbook: runbook)
    }
    let left = notAfter - now
    if left < 0 {
      return DoctorFinding(
        .wrong, check, looked, "\(subject): ended on \(Self.day(notAfter)), \(Self.left(-left)) ago", remedy, runbook: runbook)
    }
    let found = "\(subject): \(dates), ends in \(Self.left(left))"
    let level: DoctorLevel =
      left <= Self.wrongDays * Self.day
      ? .wrong : left <= Self.warningDays * Self.day ? .warning : left <= Self.noteDays * Self.day ? .note : .ok
    return level == .ok ? .ok(check, looked, found) : DoctorFinding(level, check, looked, found, remedy, runbook: runbook)
  }

  /// Revocation lists of one source: they live for days by design, so only one that is overdue is a fault.
  func revocation(_ looked: String, lists: Int, nextDue: Int64?) -> DoctorFinding {
    let check = "revocation list"
    guard lists > 0, let nextDue else {
      return DoctorFinding(
        .warning, check, looked, "no list of a known authority is in it", "Name the list of an authority in trust.authorities.",
        runbook: "revocation-outdated")
    }
    let what = lists == 1 ? "1 list" : "\(lists) lists"
    if nextDue >= now { return .ok(check, looked, "\(what), the next is due on \(Self.day(nextDue))") }
    let late = now - nextDue
    return DoctorFinding(
      late > Self.wrongDays * Self.day ? .wrong : .warning, check, looked,
      "\(what), overdue since \(Self.day(nextDue)), for \(Self.left(late))",
      "Fetch the authority's present list; revoked certificates are not seen meanwhile.", runbook: "revocation-outdated")
  }

  /// The virus signatures: how old the newest file is, and what versions their headers name.
  func signatures(_ looked: String, newest: Int64?, versions: String) -> DoctorFinding {
    let check = "virus signatures"
    guard let newest else {
      return DoctorFinding(
        .wrong, check, looked, "there are none", "Run freshclam: without signatures no mail is taken.", runbook: "scanner-down")
    }
    let age = max(0, now - newest)
    let found = "of \(Self.day(newest)), \(Self.left(age)) old" + (versions.isEmpty ? "" : "; \(versions)")
    if age <= 3 * Self.day { return .ok(check, looked, found) }
    return DoctorFinding(
      age > Self.wrongDays * Self.day ? .wrong : .warning, check, looked, found, "Look why freshclam does not renew them.",
      runbook: "signatures-old")
  }

  /// The provider index: when it was last known to be its publisher's.
  func indexAge(_ looked: String, confirmedAt: Int64, isFetched: Bool, contents: String) -> DoctorFinding {
    let check = "index age"
    let age = max(0, now - confirmedAt)
    let found = "\(contents), of \(Self.day(confirmedAt)), \(Self.left(age)) old"
    if age <= 2 * Self.day { return .ok(check, looked, found) }
    let remedy =
      isFetched
      ? "Say `ceralacca index fetch` and read why it could not be had."
      : "Put the present index there, or have it fetched with index.fetch."
    let level: DoctorLevel = age > Self.wrongDays * Self.day ? (isFetched ? .wrong : .warning) : isFetched ? .warning : .note
    return DoctorFinding(level, check, looked, found, remedy, runbook: "index-stale")
  }

  // MARK: The clock

  /// The clock as the kernel tells, when no gateway watches it.
  func clock(_ look: ClockLook, _ settings: ClockSettings) -> DoctorFinding {
    if case .untrusted(let reason) = look.judgement { return Self.clockIsWrong(reason) }
    if !look.reading.isSynchronized {
      return DoctorFinding(
        .note, "clock", "kernel", look.words, "The configuration allows it (clock.synchronization: warn): not for a provider.",
        runbook: "clock-untrusted")
    }
    return .ok("clock", "kernel", look.words)
  }

  /// The clock as the running gateway judges it.
  func clock(isTrusted: Bool, reason: String?, isSynchronized: Bool, words: String) -> DoctorFinding {
    guard isTrusted else { return Self.clockIsWrong(reason ?? "not trusted") }
    if isSynchronized { return .ok("clock", "the gateway", words) }
    return DoctorFinding(
      .note, "clock", "the gateway", words, "The configuration allows it (clock.synchronization: warn): not for a provider.",
      runbook: "clock-untrusted")
  }

  private static func clockIsWrong(_ reason: String) -> DoctorFinding {
    DoctorFinding(
      .wrong, "clock", "kernel", "\(reason); nothing is certified", "Have chronyd, ntpd or systemd-timesyncd set the clock.",
      runbook: "clock-untrusted")
  }
}

/// One file system that the gateway writes to.
struct DiskFigures: Equatable, Sendable {
  /// What lies on it, in words.
  var uses: [String]
  var path: String
  var freeBytes: Int64
  var freeNodes: Int64
  /// 0 where the file system makes them as they are needed.
  var nodes: Int64
}

extension DoctorJudge {
  /// Free octets against the floor below which no mail is taken, and files that can still be made.
  static func disk(_ disk: DiskFigures, minimumFreeBytes: Int64) -> [DoctorFinding] {
    let looked = "\(disk.path) (\(disk.uses.joined(separator: ", ")))"
    let free = "\(disk.freeBytes >> 20) MiB free; mail is taken from \(minimumFreeBytes >> 20) MiB on (limits.minimumFreeMegabytes)"
    var findings: [DoctorFinding] = []
    if disk.freeBytes < minimumFreeBytes {
      findings.append(DoctorFinding(.wrong, "disk", looked, free, "Make room: no mail is taken meanwhile.", runbook: "disk-full"))
    } else if disk.freeBytes / 4 < minimumFreeBytes {
      findings.append(DoctorFinding(.warning, "disk", looked, free, "Make room, or a larger disk.", runbook: "disk-low"))
    } else {
      findings.append(.ok("disk", looked, free))
    }
    if disk.nodes > 0 {
      let words = "\(disk.freeNodes) of \(disk.nodes) files can still be made"
      if disk.freeNodes < 1000 {
        findings.append(
          DoctorFinding(.wrong, "disk inodes", looked, words, "Remove small files; there is room for none.", runbook: "disk-full"))
      } else if disk.freeNodes < 20_000 || disk.freeNodes < disk.nodes / 50 {
        findings.append(
          DoctorFinding(.warning, "disk inodes", looked, words, "Remove small files, or make the file system anew.", runbook: "disk-low"))
      }
    }
    return findings
  }

  /// Descriptors that may be open, against connections and what is open beside them.
  /// - Parameter isOfGateway: false when they are those of this command: a service may have others.
  static func descriptors(_ most: Int, connections: Int, isOfGateway: Bool) -> DoctorFinding {
    let needed = connections + 200
    let looked = isOfGateway ? "the gateway's process" : "this shell"
    let found = "\(most) may be open; limits.connections and the rest need \(needed)"
    if most >= needed { return .ok("open files", looked, found) }
    return DoctorFinding(
      isOfGateway ? .warning : .note, "open files", looked, found, "Raise LimitNOFILE in the service's unit to \(needed) or more.",
      runbook: "sessions-full")
  }

  /// Legal time: the offsets that the zone gave for a day in winter and one in summer.
  static func zone(winter: Int, summer: Int, hasFile: Bool, variable: String?) -> DoctorFinding {
    if winter == 3600, summer == 7200 { return .ok("time zone", "Europe/Rome", "UTC+1 in winter, UTC+2 in summer") }
    let found = "in January UTC\(hours(winter)), in July UTC\(hours(summer))"
    if let variable {
      return DoctorFinding(
        .warning, "time zone", "TZ=\(variable)", "\(found): not Italy's legal time (RFC 6109 §4.2)",
        "Take TZ out of the environment of the gateway.")
    }
    return DoctorFinding(
      .wrong, "time zone", "Europe/Rome", hasFile ? found : "the system has no data for it; \(found)", "Install the package tzdata.")
  }

  private static func hours(_ seconds: Int) -> String { "\(seconds < 0 ? "-" : "+")\(abs(seconds) / 3600)" }
}
