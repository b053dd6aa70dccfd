import Configuration
import Foundation
import Gateway
import Octets
import PEC
import Threading

/// `ceralacca doctor`: everything that mail rests on, looked at in one go, with what to do about what is wrong. It changes nothing and sends
/// no mail, and works whether the gateway runs or not.
public enum DoctorCommand {
  /// Checks go on beside each other, and what is not through after so many seconds is said to be late.
  private static let seconds = 11

  /// Looks, and shows what it found.
  /// - Throws: a `CommandFailure` without words, with code 1 for warnings and 2 for what is wrong.
  public static func run(configurationFile: String, json: Bool, say: (String) -> Void) throws {
    let report = examine(configurationFile, now: Clock.now().unixSeconds)
    if json {
      say(try Output.json(report))
    } else {
      for line in DoctorTable(report: report, columns: QueueTable.columns, colours: Terminal.columns != nil).lines { say(line) }
    }
    if report.worst.exitCode != 0 { throw CommandFailure("", exitCode: report.worst.exitCode) }
  }

  static func examine(_ file: String, now: Int64) -> DoctorReport {
    let judge = DoctorJudge(now: now)
    let (configuration, faults) = load(file)
    guard let configuration else {
      return DoctorReport(at: now, gateway: "unknown", findings: faults + DoctorMachine.bare(judge))
    }
    let gateway = DoctorGateway.meet(configuration.dataDirectory)
    let context = DoctorContext(configuration, file: file, gateway: gateway, now: now)
    return DoctorReport(at: now, gateway: gateway.word, findings: faults + meeting(gateway) + beside(checks(context)))
  }

  /// The configuration, and what is wrong with it. One that only names files that are not there is of use all the same.
  private static func load(_ file: String) -> (GatewayConfiguration?, [DoctorFinding]) {
    do { return (try GatewayConfiguration.load(path: file), [.ok("configuration", file, "can be used")]) } catch {
      let findings = error.problems.map { problem in
        DoctorFinding(
          .wrong, "configuration", problem.line > 0 ? "\(problem.file):\(problem.line):\(problem.column)" : problem.file,
          (problem.key.isEmpty ? "" : "key '\(problem.key)': ") + problem.what, problem.remedy, runbook: "gateway-down")
      }
      return (Service.parsed(file), findings)
    }
  }

  // MARK: The gateway

  /// Alarms about what has a row of its own here.
  private static let told: Set<String> = [
    "clock-untrusted", "scanner-down", "scanner-workers", "signatures-old", "disk-full", "disk-low", "draining",
  ]

  private static func meeting(_ gateway: DoctorGateway) -> [DoctorFinding] {
    let check = "gateway"
    switch gateway {
    case .running(let report):
      let words = "process \(report.process), version \(report.version), since \(StatusPage.time(report.startedAt))"
      return [.ok(check, "runs", words)]
        + report.alarms.filter { !told.contains($0.name) }.map { alarm in
          DoctorFinding(
            alarm.severity == .critical ? .wrong : .warning, "alarm", alarm.name,
            alarm.words + (alarm.stopsMail ? "; no mail is taken" : ""),
            "Read its place in the runbook.", runbook: alarm.name)
        }
    case .absent: return [DoctorFinding(.note, check, "control socket", "no gateway runs on this data directory")]
    case .starting(let words): return [DoctorFinding(.warning, check, "control socket", words, "Ask again in a minute.")]
    case .silent(let words):
      return [DoctorFinding(.wrong, check, "control socket", words, "Keep what its threads do, then restart it.", runbook: "lane-hangs")]
    case .closed(let path):
      return [DoctorFinding(.warning, check, path, "this user may not ask it", "Run this as root, or as the user of the gateway.")]
    }
  }

  // MARK: Checks

  private struct Check: Sendable {
    let name: String
    /// How grave it is that it is not through in time, and after how many seconds that is.
    var late = DoctorLevel.warning
    var seconds = DoctorCommand.seconds
    let look: @Sendable () -> [DoctorFinding]
  }

  private static func checks(_ context: DoctorContext) -> [Check] {
    [
      Check(name: "machine") { DoctorMachine.look(context) },
      Check(name: "files") { DoctorFiles(context: context).look() },
      Check(name: "signing") { DoctorKeys(context: context).signer() },
      Check(name: "certificates") { DoctorKeys(context: context).others() },
      Check(name: "ledger") { DoctorStores(context: context).ledger() },
      Check(name: "index") { DoctorStores(context: context).index() + DoctorStores(context: context).revocation() },
      Check(name: "scanner") { DoctorScanner(context: context).look() },
      Check(name: "network") { DoctorNetwork(context: context).look() },
      Check(name: "name servers") { DoctorMachine.resolver(context) },
      Check(name: "host name", late: .note, seconds: 4) { DoctorMachine.ownName(context) },
    ]
  }

  /// Makes all checks beside each other. One that hangs, on a dead disk or a token that says nothing, keeps no other from its end.
  private static func beside(_ checks: [Check]) -> [DoctorFinding] {
    let answers = Handoff<(Int, [DoctorFinding])>()
    for (number, check) in checks.enumerated() {
      WorkerThread(name: "doctor-\(number)") { answers.send((number, check.look())) }.detach()
    }
    var found: [Int: [DoctorFinding]] = [:]
    let begun = ContinuousClock.now
    while checks.indices.contains(where: { found[$0] == nil && ContinuousClock.now < begun + .seconds(checks[$0].seconds) }) {
      answers.wait(forSeconds: 1)
      guard answers.count > 0 else { continue }
      for (number, findings) in answers.take() ?? [] { found[number] = findings }
    }
    return checks.enumerated().flatMap { number, check in
      found[number] ?? [
        DoctorFinding(
          check.late, check.name, "this machine", "not through after \(check.seconds) seconds",
          "Look what it waits for: a disk, a token, or name servers.")
      ]
    }
  }
}
